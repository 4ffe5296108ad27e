"""Comparisons of latent codes: marginal fit, and distance from the training set."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import numpy as np
from sklearn.utils import Bunch, check_scalar

from latentgen.metrics._distances import check_pair
from latentgen.utils._neighbors import NeighborIndex
from latentgen.utils._novelty import NEAR_COPY
from latentgen.utils._warnings import warn_user

_BLOCK_VALUES = 2**23
# Squares of larger or smaller numbers, or their sums, leave the range of float64.
_LARGEST, _SMALLEST = 2.0**400, 2.0**-400


def latent_ks_statistic(Z_real, Z_generated):
    """Mean over dimensions of the two-sample Kolmogorov-Smirnov statistic.

    It compares the marginal distributions of two sets of codes, and does not see how the
    dimensions depend on each other. Lower is better, in [0, 1], 0 for equal samples. Two samples
    of n rows from the same distribution give about :math:`0.87 \\sqrt{2 / n}`.

    Parameters
    ----------
    Z_real : array-like of shape (n_real, latent_dim)
        Codes of real images.
    Z_generated : array-like of shape (n_generated, latent_dim)
        Codes from a sampler.

    Returns
    -------
    statistic : float
        Mean of the largest differences between the empirical distribution functions.

    Raises
    ------
    ValueError
        If the codes are not finite or do not have equally many columns.

    See Also
    --------
    novelty : Whether codes are copies of the training set.
    scipy.stats.ks_2samp : The statistic of one dimension.

    References
    ----------
    .. [1] Hodges (1958). The Significance Probability of the Smirnov Two-Sample Test.
       https://doi.org/10.1007/BF02589501

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.metrics import latent_ks_statistic
    >>> Z = np.arange(10.0).reshape(-1, 1)
    >>> latent_ks_statistic(Z, Z + 1)
    0.1
    """
    Z_real, Z_generated = check_pair(Z_real, Z_generated, names=("Z_real", "Z_generated"))
    n, m = len(Z_real), len(Z_generated)
    step = max(1, _BLOCK_VALUES // (n + m))
    total = 0.0
    for start in range(0, Z_real.shape[1], step):
        columns = slice(start, start + step)
        # One dimension per row, which sorts faster.
        both = np.concatenate([Z_real[:, columns].T, Z_generated[:, columns].T], axis=1)
        order = np.argsort(both, axis=1)
        both = np.take_along_axis(both, order, axis=1)
        # Integer steps of m and -n: the difference of the two counts, times n * m, exactly.
        gap = np.abs(np.cumsum(np.where(order < n, m, -n), axis=1))
        # Within a run of equal values both functions jump together.
        gap[:, :-1][both[:, 1:] == both[:, :-1]] = 0
        total += gap.max(axis=1).sum() / (n * m)
    return float(total / Z_real.shape[1])


def novelty(X_train, X_test, X_generated, *, test_rows=None, near_copy=NEAR_COPY):
    """Distance of generated rows from the training set, in units of unseen real rows.

    A sampler that copies its training set has an excellent Fréchet distance, so read the two
    together. Neither direction is better: 0 is a copy, 1 is as far from the training set as
    unseen real data, well above 1 is farther from the data than real rows are.

    Parameters
    ----------
    X_train : array-like of shape (n_train, n_features)
        The **whole** training set, codes or pixels. With a part of it the value comes out far
        too high.
    X_test : array-like of shape (n_test, n_features)
        Real rows that were not trained on. One that is a row of `X_train` all the same is measured
        to the nearest other one.
    X_generated : array-like of shape (n_generated, n_features)
        Generated rows.
    test_rows : array-like of shape (n_test,), default=None
        Which row of `X_train` a test row is, -1 for none; such a test row is measured to the other
        training rows. None finds them by a distance of 0, and warns of them.
    near_copy : float, default=0.3
        A generated row is a near-copy if it is a training row, or nearer to its nearest training
        row than `near_copy` times the distance of that row to its own nearest different one.

    Returns
    -------
    result : :class:`~sklearn.utils.Bunch`
        Has the attributes

        novelty : float
            Mean distance to the nearest training row of the generated rows, divided by that of
            the test rows; at least 0.
        near_copies : float
            Fraction of near-copies, in [0, 1]; `copied_fraction` gives its interval.
        near : ndarray of shape (n_generated,), dtype bool
            Which generated rows are near-copies.
        distances : ndarray of shape (n_generated,)
            Euclidean distance of each generated row to its nearest training row.
        neighbors : ndarray of shape (n_generated,)
            Which training row that is.
        test_distances : ndarray of shape (n_test,)
            Distances of the test rows.

    Raises
    ------
    ValueError
        If the numbers of columns differ, or if all test rows are rows of `X_train`.

    Warns
    -----
    UserWarning
        If test rows are rows of `X_train`, and `test_rows` does not say so.

    See Also
    --------
    copied_fraction : Fraction of near-copies, with an interval.
    frechet_distance : What novelty is to be read beside.

    Notes
    -----
    Novelty is a ratio of means, in which rows far from the data make up for copies: 86 % copies and
    14 % outliers can have novelty 1. So look at the near-copies too. Their unit is local, since one
    unit for all would miss copies where training rows are far apart, and take new rows for copies
    where they are close together.

    The search is exact and scikit-learn's. With more than 8 columns it takes
    O((n_test + n_generated) n_train n_features) time, in matrix products, and the
    memory of one more copy of all rows in float64.

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.metrics import novelty
    >>> rng = np.random.default_rng(0)
    >>> X_train, X_test, X_new = rng.normal(size=(3, 500, 4))
    >>> copies = novelty(X_train, X_test, X_train[:100])
    >>> copies.novelty, copies.near_copies
    (0.0, 1.0)
    >>> round(novelty(X_train, X_test, X_new).novelty, 1)
    1.0
    """
    check_scalar(near_copy, "near_copy", Real, min_val=0)
    X_train, X_test = check_pair(X_train, X_test, names=("X_train", "X_test"))
    X_train, X_generated = check_pair(X_train, X_generated, names=("X_train", "X_generated"))
    (X_train, X_test, X_generated), unit = in_range(X_train, X_test, X_generated)
    index = NeighborIndex(X_train)
    test_distances, rows = index.query(X_test)
    if test_rows is None:
        seen = test_distances == 0
        if seen.all():
            raise ValueError(
                f"All {len(X_test)} rows of 'X_test' are rows of 'X_train', so there is no "
                "distance of unseen data to compare with. Pass real rows that were not trained on."
            )
        if seen.any():
            test_distances[seen] = np.nan_to_num(index.spacings(rows[seen]))
            warn_of_seen(seen.sum(), len(seen))
    elif np.any(seen := np.asarray(test_rows) >= 0):
        own = np.asarray(test_rows)[seen]
        test_distances[seen] = _distances_to_others(index, X_test[seen], own)
    if not np.any(test_distances > 0):
        raise ValueError(
            f"No row of 'X_test' differs from the {len(X_train)} rows of 'X_train', so there is no "
            "distance of unseen data to compare with. Pass different rows."
        )
    distances, neighbors, near = index.find_near(X_generated, near_copy)
    return Bunch(
        novelty=float(distances.mean() / test_distances.mean()),
        near_copies=float(near.mean()),
        near=near,
        distances=distances * unit,
        neighbors=neighbors,
        test_distances=test_distances * unit,
    )


def warn_of_seen(n_seen, n_test):
    """Warn that test rows were trained on."""
    warn_user(
        f"{n_seen} of {n_test} test rows are training rows. Novelty is measured without them, each "
        "to the other training rows, but what compares with the test rows rewards copying. Pass "
        "rows that were not trained on."
    )


def _distances_to_others(index, X, own):
    """Distances to the nearest rows of the index but the own one."""
    if len(index.X) < 2:
        return np.zeros(len(X))
    distances, rows = index.query(X, n_neighbors=2)
    return np.where(rows[:, 0] == own, distances[:, 1], distances[:, 0])


def in_range(*parts):
    """Rows in a unit in which squares of distances are finite and not 0, and this unit."""
    largest = max(float(np.abs(part).max()) for part in parts)
    if largest == 0 or _SMALLEST < largest < _LARGEST:
        return parts, 1.0
    # A power of two, so that no digit changes.
    unit = 2.0 ** np.clip(np.frexp(largest)[1], -1000, 1000)
    return tuple(part.astype(np.float64) / unit for part in parts), unit
