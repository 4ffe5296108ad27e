"""Fidelity and coverage apart: precision, recall, density and coverage."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_scalar, gen_batches

from latentgen.metrics._distances import check_pair
from latentgen.metrics._latent import in_range
from latentgen.utils._neighbors import NeighborIndex

_BLOCK_VALUES = 2**22
# A row at the radius is outside, also after rounding of the products.
_INSIDE = 1 - 1e-9


class PrecisionRecallDensityCoverage(NamedTuple):
    """Two measures of fidelity, precision and density, and two of coverage, recall and coverage."""

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall_density_coverage(X_real, X_generated, *, n_neighbors=5):
    """Whether generated rows lie where real ones do, and real ones where generated ones do.

    A Fréchet distance mixes fidelity and coverage, so that a generator may buy one with the other.
    These four tell them apart. Greater is better for each. Compare only values from equally many
    rows, and none with 1 but with what real images reach.

    Parameters
    ----------
    X_real : array-like of shape (n_real, n_features)
        Features of real images.
    X_generated : array-like of shape (n_generated, n_features)
        Features of generated images.
    n_neighbors : int, default=5
        The ball of a row reaches to its `n_neighbors`-th nearest other row of the same set [2]_.

    Returns
    -------
    precision : float
        Fraction of generated rows in the ball of any real row, in [0, 1]. Some real rows far from
        all others, with wide balls, raise it.
    recall : float
        Fraction of real rows in the ball of any generated row, in [0, 1]. Generated rows far from
        all others raise it.
    density : float
        Mean number of balls of real rows that a generated row is in, divided by `n_neighbors`, at
        least 0. Its expected value is 1 for identical distributions, and it may exceed 1 where
        generated rows keep to the middle of the data.
    coverage : float
        Fraction of real rows with a generated row in their ball, in [0, 1]. For identical
        distributions its expected value is

        .. math:: 1 - \\prod_{i=1}^{k} \\frac{n - i}{n + m - i}

        for n real rows, m generated ones and k neighbors [2]_, section 3: 0.97 for n = m and k = 5.

    Raises
    ------
    ValueError
        If a set has not more than `n_neighbors` rows, or if the numbers of columns differ.

    See Also
    --------
    frechet_distance : One number for both.
    copied_fraction : Whether rows are copies, which have the best precision and density.

    Notes
    -----
    Precision and recall are those of [1]_, equation 2, density and coverage of [2]_, section 3; a
    row just at the radius is outside, as in the program of [2]_. The expected precision
    and recall of identical distributions have no general value; it is lower in more dimensions.

    The time is O((n + m)^2 d), in matrix products; the memory does not grow with the number of
    pairs.

    References
    ----------
    .. [1] Kynkäänniemi, Karras, Laine, Lehtinen, Aila (2019). Improved Precision and Recall Metric
       for Assessing Generative Models. https://arxiv.org/abs/1904.06991
    .. [2] Naeem, Oh, Uh, Choi, Yoo (2020). Reliable Fidelity and Diversity Metrics for Generative
       Models. https://arxiv.org/abs/2002.09797

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.metrics import precision_recall_density_coverage
    >>> X_real, X_new = np.random.default_rng(0).normal(size=(2, 1000, 8))
    >>> narrow = precision_recall_density_coverage(X_real, X_new / 2)
    >>> narrow.precision > 0.95, narrow.density > 1, narrow.coverage < 0.9
    (True, True, True)
    """
    check_scalar(n_neighbors, "n_neighbors", Integral, min_val=1)
    options = {"min_samples": n_neighbors + 1, "needed_by": "precision_recall_density_coverage"}
    X_real, X_generated = check_pair(X_real, X_generated, **options)
    (X_real, X_generated), _ = in_range(X_real, X_generated)
    real, generated = _squared_radii(X_real, n_neighbors), _squared_radii(X_generated, n_neighbors)
    n_balls = np.zeros(len(X_generated), dtype=np.int64)
    recalled, covered = np.empty(len(X_real), dtype=bool), np.empty(len(X_real), dtype=bool)
    for rows, squares in squared_distances(X_real, X_generated):
        recalled[rows] = np.any(squares < generated, axis=1)
        inside = squares < real[rows, None]
        covered[rows] = inside.any(axis=1)
        n_balls += np.count_nonzero(inside, axis=0)
    return PrecisionRecallDensityCoverage(
        precision=float(np.mean(n_balls > 0)),
        recall=float(recalled.mean()),
        density=float(n_balls.mean() / n_neighbors),
        coverage=float(covered.mean()),
    )


def _squared_radii(X, n_neighbors):
    """Squared distance of each row to its `n_neighbors`-th nearest other row."""
    # The nearest one is the row itself.
    distances, _ = NeighborIndex(X).query(X, n_neighbors=n_neighbors + 1)
    return _INSIDE * distances[:, -1] ** 2


def squared_distances(X, Y):
    """Blocks of the squared distances between rows, with the slice of `X` that they belong to."""
    # Products cancel digits of what lies far from zero.
    center = np.mean(X, axis=0, dtype=np.float64)
    Y = Y - center
    norms = np.einsum("ij,ij->i", Y, Y)
    for rows in gen_batches(len(X), max(1, _BLOCK_VALUES // len(Y))):
        block = X[rows] - center
        squares = block @ Y.T
        squares *= -2
        squares += norms
        squares += np.einsum("ij,ij->i", block, block)[:, None]
        # Rounding makes the square of 0 negative, which is less than the radius 0 of equal rows.
        np.maximum(squares, 0, out=squares)
        yield rows, squares
