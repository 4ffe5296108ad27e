"""The four disjoint parts of a data set: to fit, to judge, to choose by, and to test on."""

# SPDX-License-Identifier: BSD-3-Clause

import hashlib
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from latentgen.datasets import fetch_cifar10, fetch_mnist, load_digits_images

# Images of the judge's part and of the part to choose by, of data with a test file of its own.
_N_APART = 5000


class Parts(NamedTuple):
    """Images and labels of each part.

    Parameters
    ----------
    name : str
        Name of the data, ``'cifar10-jpeg'`` for the copy of CIFAR-10 that was stored as JPEG.
    digest : str
        First 16 hexadecimal digits of the SHA-256 of all images and labels.
    X_fit, y_fit : ndarray
        What autoencoders and samplers are fitted to.
    X_judge, y_judge : ndarray
        What the judging classifier is fitted to; no model sees it.
    X_choose, y_choose : ndarray or None
        For dials and defaults. None where all training images are fitted to.
    X_test, y_test : ndarray
        What distances are measured against.
    X_test_file, y_test_file : ndarray
        All test images, which classifiers of generated images are tested on: more than `X_test`
        where half of them are the judge's.
    """

    name: str
    digest: str
    X_fit: np.ndarray
    y_fit: np.ndarray
    X_judge: np.ndarray
    y_judge: np.ndarray
    X_choose: np.ndarray | None
    y_choose: np.ndarray | None
    X_test: np.ndarray
    y_test: np.ndarray
    X_test_file: np.ndarray
    y_test_file: np.ndarray


def load_parts(data, *, n_fit=None, data_home=None):
    """Load a data set in parts, which are the same in every call.

    The training images are put in the order of ``default_rng(0).permutation(n)``. The last 5 000
    are to choose by, the 5 000 before them for the judge, the first `n_fit` of the others to fit.
    The digits, which are few and have no test images of their own, are split as on the command
    line: 599 are test images, and of the 1 198 others the judge and the part to choose by get a
    sixth (199) each.

    Parameters
    ----------
    data : {'digits', 'mnist', 'cifar10'}
    n_fit : int, default=None
        Images to fit. None takes all but those of the other parts. The number of all training
        images takes them in the order they are stored in. Then a random half of the test images is
        the judge's part, the other half is what distances are measured against, and nothing is left
        to choose by.
    data_home : str or path-like, default=None
        Folder of the files, as for `fetch_mnist` and `fetch_cifar10`.

    Returns
    -------
    parts : Parts
        A named tuple: ``name`` and ``digest`` of the data, and images and labels of each part,
        ``X_fit``, ``y_fit``, ``X_judge`` and so on.

    Raises
    ------
    ValueError
        If there is no such data set, or too few images.
    OSError
        If the files are not found.

    Examples
    --------
    >>> from latentgen.experiments import load_parts
    >>> parts = load_parts("digits")
    >>> [len(X) for X in (parts.X_fit, parts.X_judge, parts.X_choose, parts.X_test)]
    [800, 199, 199, 599]
    """
    if data == "digits":
        X, y = load_digits_images(return_X_y=True)
        X, X_test, y, y_test = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=0)
        n_apart = len(X) // 6
    elif data in ("mnist", "cifar10"):
        fetch = fetch_mnist if data == "mnist" else fetch_cifar10
        train, test = (fetch(subset=subset, data_home=data_home) for subset in ("train", "test"))
        (X, y), (X_test, y_test) = ((part.data, part.target) for part in (train, test))
        n_apart = _N_APART
        if "jpeg" in str(train.get("filename", "")):
            data = "cifar10-jpeg"
    else:
        raise ValueError(f"expected 'digits', 'mnist' or 'cifar10', got '{data}'.")
    digest = _digest(X, y, X_test, y_test)
    n_most = len(X) - 2 * n_apart
    test_file = X_test, y_test
    if n_fit == len(X):
        order, n_judge = np.random.default_rng(0).permutation(len(X_test)), len(X_test) // 2
        apart = [part[rows] for rows in (order[:n_judge], order[n_judge:]) for part in test_file]
        return Parts(data, digest, X, y, *apart[:2], None, None, *apart[2:], *test_file)
    n_fit = n_most if n_fit is None else n_fit
    if not 2 <= n_fit <= n_most:
        raise ValueError(
            f"expected 2 to {n_most} images of '{data}' to fit, or all {len(X)}, got {n_fit}. "
            f"{2 * n_apart} of them are for the judge and to choose by."
        )
    order = np.random.default_rng(0).permutation(len(X))
    rows = order[:n_fit], order[-2 * n_apart : -n_apart], order[-n_apart:]
    apart = [array for part in rows for array in (X[part], y[part])]
    return Parts(data, digest, *apart, *test_file, *test_file)


def _digest(*arrays):
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array))
    return sha.hexdigest()[:16]
