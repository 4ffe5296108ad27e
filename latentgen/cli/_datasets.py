"""The table of data sets that the command line knows by name."""

# SPDX-License-Identifier: BSD-3-Clause
# Only the standard library, because --help reads this table too.

from typing import NamedTuple


class Dataset(NamedTuple):
    """One row of the table of data sets.

    Parameters
    ----------
    name : str
        What the user types.
    loader : str
        Module and function, called as ``loader(return_X_y=True)``; loaded when it is used.
    parts : tuple of str, default=()
        Values of the loader's ``subset``, the first one being the default. A data set without
        parts is split here into 'train' and 'test'.
    """

    name: str
    loader: str
    parts: tuple = ()


DATASETS = [
    Dataset("digits", "latentgen.datasets:load_digits_images"),
    Dataset("mnist", "latentgen.datasets:fetch_mnist", ("train", "test")),
    Dataset("cifar10", "latentgen.datasets:fetch_cifar10", ("train", "test")),
]
