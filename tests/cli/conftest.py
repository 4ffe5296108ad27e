"""Images and a fitted model on disk, which the tests of the command line read."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from PIL import Image

from latentgen.cli import main
from latentgen.datasets import load_digits_images

QUICK = ["--epochs", "1", "--batch-size", "32"]


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder with small images of three digits in all formats."""
    folder = tmp_path_factory.mktemp("data")
    X, y = load_digits_images(return_X_y=True)
    X, y = X[y < 3][:180], y[y < 3][:180]
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    np.savez(folder / "both.npz", X=X, y=y)
    for name, digit in [("round", 0), ("straight", 1)]:
        (folder / "classes" / name).mkdir(parents=True)
        for number, pixels in enumerate(X[y == digit][:12, 0]):
            picture = Image.fromarray((pixels * 255).astype(np.uint8))
            picture.save(folder / "classes" / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def model(data):
    path = data / "model.latentgen"
    arguments = ["fit", str(data / "both.npz"), "-o", str(path), "--latent-dim", "3", *QUICK]
    assert main(arguments) == 0
    return str(path)
