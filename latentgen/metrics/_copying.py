"""Whether generated images are copies of training images: how many, and in every region."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from scipy import stats
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils import check_random_state, check_scalar

from latentgen.metrics._distances import check_pair
from latentgen.metrics._latent import in_range
from latentgen.metrics._uncertainty import fraction_interval
from latentgen.utils._neighbors import NeighborIndex
from latentgen.utils._novelty import NEAR_COPY

# With fewer rows in a cell the normal approximation of the rank test is poor.
_LEAST_IN_CELL = 20
_N_CELLS = 10


class CopiedFraction(NamedTuple):
    """Fraction of near-copies, and its 95 % interval."""

    fraction: float
    low: float
    high: float


class DataCopying(NamedTuple):
    """Statistic of generated rows, and that of as many unseen real rows."""

    statistic: float
    null: float


def copied_fraction(X_train, X_generated, *, near_copy=NEAR_COPY):
    """Fraction of generated rows that are near-copies of training rows, with an interval.

    A near-copy is nearer to its nearest training row than `near_copy` times the distance of that
    training row to its own nearest different one. So the unit is local, and copies are seen where
    training rows are close together and where they are far apart. Lower is better, in [0, 1].
    Identical distributions do not give 0 but about ``near_copy ** d`` in d dimensions, for limits
    up to 1/2: 30 % for d = 1, 3 % for 3, none for images.

    Parameters
    ----------
    X_train : array-like of shape (n_train, n_features)
        The **whole** training set: pixels, features or codes. With a part of it, copies of the
        rest look new.
    X_generated : array-like of shape (n_generated, n_features)
        Generated rows.
    near_copy : float, default=0.3
        Limit of a near-copy, at least 0; 0 counts training rows only.

    Returns
    -------
    fraction : float
        Fraction of near-copies.
    low, high : float
        Wilson interval of the probability of a near-copy, at 95 % [1]_.

    Raises
    ------
    ValueError
        If the numbers of columns differ.

    See Also
    --------
    novelty : Mean distance from the training set, which copies and outliers can balance.
    data_copying_test : Sees also draws that are too near on average without being near-copies.

    Notes
    -----
    A new row at the distance r from its nearest training row t is a near-copy if the ball of radius
    r / `near_copy` about t is empty but for t. Up to 1/2 this ball holds the one of radius r about
    the new row, which is empty, and the rest of it is empty with a probability that follows from
    the ratio of the volumes: over all r it is ``near_copy ** d``, if the density is constant there.

    Training rows that occur several times count once for their distances; where all training rows
    are equal there is no unit, and only copies of them count. Two training rows that nearly agree
    have a small unit: what is near them is a near-copy only if it is nearer still.

    The search is exact, in O((n_generated + n_near) n_train n_features) time, where n_near <=
    n_generated is the number of those that may be near-copies by their two nearest training rows.
    Comparing with the distance to the second nearest training row, at a limit of 1/3, was proposed
    for images of diffusion models [2]_; a copy of one of two equal training rows is missed there.

    References
    ----------
    .. [1] Wilson (1927). Probable Inference, the Law of Succession, and Statistical Inference.
       https://doi.org/10.1080/01621459.1927.10502953
    .. [2] Yoon, Choi, Kwon, Ryu (2023). Diffusion Probabilistic Models Generalize when They Fail to
       Memorize. https://openreview.net/forum?id=shciCbSk9h

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.metrics import copied_fraction
    >>> X_train, X_new = np.random.default_rng(0).normal(size=(2, 100, 20))
    >>> copied_fraction(X_train, np.concatenate([X_train[:25], X_new[25:]])).fraction
    0.25
    """
    check_scalar(near_copy, "near_copy", Real, min_val=0)
    X_train, X_generated = check_pair(X_train, X_generated, names=("X_train", "X_generated"))
    (X_train, X_generated), _ = in_range(X_train, X_generated)
    return fraction_of(NeighborIndex(X_train).find_near(X_generated, near_copy)[2])


def fraction_of(near):
    """`CopiedFraction` of an array that says which rows are near-copies."""
    return CopiedFraction(*fraction_interval(near))


def data_copying_test(X_train, X_test, X_generated, *, n_cells=_N_CELLS, random_state=0):
    """Whether generated rows are nearer to the training set than real ones, region by region.

    The statistic is a mean of standard normal scores: 0 is expected for identical distributions,
    far below 0 means copying, far above 0 that generated rows are farther from the training set
    than real ones. Neither direction is better.

    Parameters
    ----------
    X_train : array-like of shape (n_train, n_features)
        The **whole** training set: pixels, features or codes.
    X_test : array-like of shape (n_test, n_features)
        Real rows that were not trained on. One random half is what generated rows are compared
        with, the other one gives the null.
    X_generated : array-like of shape (n_generated, n_features)
        Generated rows. If there are more than in half of the test set, a random part of them is
        taken, since the statistic of a copier grows with the number of rows.
    n_cells : int, default=10
        Number of k-means cells of the training set.
    random_state : int, RandomState instance or None, default=0
        For the halves and the cells.

    Returns
    -------
    statistic : float
        :math:`C_T` of the generated rows.
    null : float
        :math:`C_T` of the second half of the test rows: what unseen real rows reach. Its distance
        from 0 says how far to trust a statistic.

    Raises
    ------
    ValueError
        If the numbers of columns differ, or if no cell has 20 rows of each set.

    See Also
    --------
    copied_fraction : Fraction of rows that are copies.

    Notes
    -----
    With the distances of rows to their nearest training row, the Mann-Whitney statistic U counts
    pairs of one of m generated and one of n test rows in which the generated row is farther away
    (half for ties). In each cell :math:`\\pi`,

    .. math:: Z_\\pi = \\frac{U - mn/2}{\\sqrt{mn(m + n + 1)/12}}, \\qquad
              C_T = \\frac{\\sum_\\pi P(\\pi) Z_\\pi}{\\sum_\\pi P(\\pi)},

    where :math:`P(\\pi)` is the fraction of test rows in the cell, and the sums are over cells with
    enough rows [1]_, section 4; enough are 20 rows of both sets. As there, and unlike in the
    authors' program, there is no correction for continuity, and the nearest training row is that of
    the whole training set and not of the cell alone. With k cells the standard deviation of the
    null is about :math:`1/\\sqrt{k}`.

    References
    ----------
    .. [1] Meehan, Chaudhuri, Dasgupta (2020). A Non-Parametric Test to Detect Data-Copying in
       Generative Models. https://arxiv.org/abs/2004.05675

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.metrics import data_copying_test
    >>> rng = np.random.default_rng(0)
    >>> X_train, X_test, X_new = rng.normal(size=(3, 2000, 4))
    >>> copier = data_copying_test(X_train, X_test, X_train + 0.1 * X_new)
    >>> copier.statistic < -5, abs(copier.null) < 1
    (True, True)
    """
    check_scalar(n_cells, "n_cells", Integral, min_val=1)
    X_train, X_test = check_pair(X_train, X_test, names=("X_train", "X_test"))
    X_train, X_generated = check_pair(X_train, X_generated, names=("X_train", "X_generated"))
    (X_train, X_test, X_generated), _ = in_range(X_train, X_test, X_generated)
    # Of one dtype, as k-means has it.
    dtype = np.result_type(X_train, X_test, X_generated)
    X_train, X_test, X_generated = (
        X.astype(dtype, copy=False) for X in (X_train, X_test, X_generated)
    )
    index = NeighborIndex(X_train)
    distances = [index.query(X)[0] for X in (X_test, X_generated)]
    options = {"n_cells": n_cells, "random_state": random_state}
    result = compare_cells(X_train, X_test, X_generated, *distances, **options)
    if None in result:
        raise ValueError(
            f"No cell has {_LEAST_IN_CELL} rows of each half of {len(X_test)} test rows and of "
            f"{len(X_generated)} generated ones. Pass more rows, or a smaller 'n_cells'."
        )
    return result


def compare_cells(
    X_train, X_test, X_generated, test_distances, distances, *, n_cells=_N_CELLS, random_state=0
):
    """`DataCopying` where distances to the nearest training rows are known; None for few rows."""
    rng = check_random_state(random_state)
    n_cells = min(n_cells, len(X_train))
    cells = MiniBatchKMeans(n_cells, n_init=1, random_state=rng.randint(2**31 - 1)).fit(X_train)
    reference, null = np.array_split(rng.permutation(len(X_test)), 2)
    if len(null) == 0:
        return DataCopying(None, None)
    rows = rng.permutation(len(X_generated))[: len(null)]
    test_cells, generated_cells = (cells.predict(X) for X in (X_test, X_generated[rows]))
    reference = test_distances[reference], test_cells[reference]
    null = test_distances[null], test_cells[null]
    return DataCopying(
        _mean_score(*reference, distances[rows], generated_cells), _mean_score(*reference, *null)
    )


def _mean_score(test_distances, test_cells, distances, cells):
    """The statistic of Meehan et al., from distances and cells of two sets; None for few rows."""
    scores, weights = [], []
    for cell in np.unique(test_cells):
        test, generated = test_distances[test_cells == cell], distances[cells == cell]
        n, m = len(test), len(generated)
        if min(n, m) >= _LEAST_IN_CELL:
            ranks = stats.rankdata(np.concatenate([generated, test]))[:m]
            # Ranks of generated rows minus those that they have among themselves.
            u = ranks.sum() - m * (m + 1) / 2
            scores.append((u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))
            weights.append(n)
    return float(np.average(scores, weights=weights)) if scores else None
