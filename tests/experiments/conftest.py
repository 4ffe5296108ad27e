"""A small workbench."""

# SPDX-License-Identifier: BSD-3-Clause

import pytest

from latentgen.experiments import Workbench

TINY = {"n_images": 100, "epochs": 1, "n_samples": 40, "classifier_epochs": 1, "seeds": [3]}


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Folder of the fitted models of `bench`."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def bench(cache):
    """A hundred digits, one epoch, one seed and two draws of 40 images."""
    return Workbench("digits", **TINY, n_draws=2, cache=cache, command="typed")
