"""Class labels: those that codes come with, and those that draws are wanted of."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

_LABELS_SHOWN = 20


def check_labels(y, Z):
    """Check the labels of codes.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, 1)
    Z : ndarray of shape (n_samples, n_features)

    Returns
    -------
    y : ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If there is not one label for each code, or labels are not classes.
    """
    y = _as_plain(y)
    y = column_or_1d(check_array(y, ensure_2d=False, dtype=None, input_name="y"), warn=True)
    check_consistent_length(Z, y)
    check_classification_targets(y)
    return y


def _as_plain(y):
    """Labels of a nullable type of pandas in the plain one, for scikit-learn makes them floats."""
    dtypes = np.ravel(getattr(y, "dtypes", getattr(y, "dtype", None)))
    plain = getattr(dtypes[0], "numpy_dtype", None) if len(dtypes) == 1 else None
    if plain is None or np.any(np.asarray(y.isna())):
        return y
    return y.to_numpy(dtype=plain)


def count_labels(y, classes=None, counts=None):
    """Count labels, beside those that were counted before.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
    classes : ndarray of shape (n_classes,), default=None
        Labels seen before.
    counts : dict, default=None
        How many of each there were.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        All labels, sorted.
    counts : dict
        From labels, in this order, to numbers.

    Raises
    ------
    ValueError
        If text is mixed with other labels.
    """
    new, n_new = np.unique(y, return_counts=True)
    added = dict(zip(new.tolist(), n_new.tolist(), strict=True))
    if classes is None:
        return new, added
    if {isinstance(label, str) for label in counts} != {isinstance(label, str) for label in added}:
        raise ValueError(
            f"'y' must hold labels of the type seen in fit, {classes.dtype}, got {y.dtype}. "
            f"Known classes: {classes[:_LABELS_SHOWN].tolist()}."
        )
    classes = np.union1d(classes, new)
    return classes, {
        label: counts.get(label, 0) + added.get(label, 0) for label in classes.tolist()
    }


def as_wanted_labels(y, n_samples, classes):
    """Check what `sample` was asked for and make one known label per code of it.

    Parameters
    ----------
    y : label or array-like of shape (n_labels,) or (n_labels, 1)
    n_samples : int
        1 or the length of `y`, where that is no label alone.
    classes : ndarray of shape (n_classes,)

    Returns
    -------
    y : ndarray of shape (n_samples,), with the dtype of `classes`
    """
    if np.ndim(y) == 0:
        y = np.full(n_samples, y)
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        # As in fit, with the same warning.
        y = column_or_1d(y, warn=True)
    if y.ndim != 1 or len(y) == 0:
        raise ValueError(
            f"'y' must be a label or an array of shape (n_samples,), got shape {y.shape}."
        )
    if n_samples not in (1, len(y)):
        raise ValueError(
            f"'y' asks for {len(y)} codes, one per label, got n_samples={n_samples}. "
            "Leave 'n_samples' out, or pass a single label."
        )
    wanted, inverse = np.unique(y, return_inverse=True)
    index = {label: code for code, label in enumerate(classes.tolist())}
    unknown = [label for label in wanted.tolist() if label not in index]
    if unknown:
        known = ", ".join(repr(label) for label in list(index)[:_LABELS_SHOWN])
        more = ", ..." if len(index) > _LABELS_SHOWN else ""
        raise ValueError(f"Unknown label {unknown[0]!r} in 'y'. Known classes: {known}{more}.")
    return classes[np.array([index[label] for label in wanted.tolist()])[inverse]]
