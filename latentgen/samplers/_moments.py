"""Origin and scale of codes; means, spreads and covariances of cells.

Codes of cells are sorted by cell: the first ``sizes[0]`` rows belong to cell 0, the next
``sizes[1]`` to cell 1, and so on.
"""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.linalg import solve_triangular
from scipy.sparse import csr_array

# Least standard deviation and least variance of a kernel in units of the z-scores.
STD_FLOOR = 0.01
VARIANCE_FLOOR = 1e-8
# What constant features have in units of the least standard deviation of the others.
CONSTANT_WIDTH = 1e-4


def find_origin(Z):
    """Mean of the codes, rounded to float32, so that adding it to a draw rounds only once."""
    return Z.mean(axis=0, dtype=np.float64).astype(np.float32)


def move_to(Z, origin):
    """Codes seen from an origin, in float32, which far from zero would lose their digits."""
    out = np.empty(Z.shape, dtype=np.float32)
    return np.subtract(Z, origin.astype(np.float64), out=out, casting="same_kind")


def feature_scales(mean, std, width=1.0):
    """Standard deviations of features, with a width for constant ones.

    Parameters
    ----------
    mean, std : ndarray of shape (n_features,)
        A constant feature has a standard deviation of rounding errors.
    width : float, default=1.0
        What a constant feature has, in units of the least standard deviation of the others, or
        of 1 if all are constant.

    Returns
    -------
    scale : ndarray of shape (n_features,)
        Above 0.
    """
    constant = std <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    least = std[~constant].min(initial=np.inf)
    least = width * (least if np.isfinite(least) else 1.0)
    return np.where(constant, np.maximum(std, least), std)


def cell_starts(sizes):
    """Index of the first row of each cell."""
    return np.cumsum(sizes) - sizes


def cell_means(Z, sizes):
    """Means of the cells, shape (n_cells, n_features)."""
    # A product with a sparse matrix of ones is ten times as fast as np.add.reduceat.
    stops = np.cumsum(sizes)
    ones = np.ones(len(Z), dtype=Z.dtype)
    sums = csr_array((ones, np.arange(len(Z)), np.append(0, stops)), shape=(len(sizes), len(Z))) @ Z
    return sums / sizes[:, None]


def cell_stds(Z, sizes):
    """Standard deviations of the cells, at least `STD_FLOOR`, shape (n_cells, n_features)."""
    variances = cell_means(Z * Z, sizes) - cell_means(Z, sizes) ** 2
    return np.sqrt(np.maximum(variances, STD_FLOOR**2))


def scott_factors(sizes, n_features):
    """Scott's bandwidth factors n^(-1 / (d + 4)) of the cells [Scott 1992, eq. 6.42]."""
    return sizes ** (-1.0 / (n_features + 4))


def covariance_factors(Z, sizes):
    """Lower Cholesky factors of the cells' covariances, shape (n_cells, d, d)."""
    means = cell_means(Z, sizes)
    n_features = Z.shape[1]
    factors = np.empty((len(sizes), n_features, n_features), dtype=np.float32)
    for cell, (start, size) in enumerate(zip(cell_starts(sizes), sizes, strict=True)):
        centered = Z[start : start + size] - means[cell]
        # A cell with no more rows than features has a singular covariance.
        covariance = centered.T @ centered / size
        # In z-scores of earlier codes the variances of new ones may be huge.
        ridge = max(VARIANCE_FLOOR, 1e-12 * np.trace(covariance) / n_features)
        factors[cell] = np.linalg.cholesky(covariance + ridge * np.eye(n_features))
    return factors


def shrunk_factors(Z, sizes, shrinkage=None):
    """Lower Cholesky factors of the cells' covariances, pulled towards what cells share.

    The target is the pooled covariance inside cells, scaled to the volume of the cell. Left to
    the data, the pull is the oracle-approximating shrinkage of each cell, in coordinates where
    the pooled covariance is the identity [Chen et al. 2010, eq. 23].

    Parameters
    ----------
    Z : ndarray of shape (n_samples, n_features)
    sizes : ndarray of shape (n_cells,)
    shrinkage : float or ndarray of shape (n_cells,), default=None
        Weight of the target, from 0 to 1; None chooses one for each cell. A cell with a single
        row has the target.

    Returns
    -------
    factors : ndarray of shape (n_cells, n_features, n_features), dtype float32
    """
    n_features = Z.shape[1]
    identity = np.eye(n_features)
    means, starts = cell_means(Z, sizes).astype(np.float64), cell_starts(sizes)

    def scatter(cell):
        rows = Z[starts[cell] : starts[cell] + sizes[cell]] - means[cell]
        return rows.T @ rows

    freedom = max(len(Z) - len(sizes), 1)
    pooled = sum(map(scatter, range(len(sizes)))) / freedom
    # The target needs all its directions, even with fewer codes than features. Its correlations
    # are pulled and raised, so that no feature is measured by the variance of others.
    scale = CONSTANT_WIDTH * feature_scales(0.0, Z.std(axis=0, dtype=np.float64))
    scale = np.maximum(np.sqrt(np.diagonal(pooled)), scale)
    pooled /= np.outer(scale, scale)
    np.fill_diagonal(pooled, 1)
    pooled *= 1 - _oracle_shrinkage(pooled, freedom)
    np.fill_diagonal(pooled, 1 + VARIANCE_FLOOR)
    root = scale[:, None] * np.linalg.cholesky(pooled)
    whiten = solve_triangular(root, identity, lower=True)

    weights = None if shrinkage is None else np.broadcast_to(shrinkage, len(sizes))
    factors = np.empty((len(sizes), n_features, n_features), dtype=np.float32)
    for cell, size in enumerate(sizes):
        covariance = whiten @ (scatter(cell) / size) @ whiten.T
        # The pooled covariance stands in for the degree of freedom that the mean has taken.
        volume = np.trace(covariance) / n_features + 1 / size
        weight = _oracle_shrinkage(covariance, size) if weights is None else weights[cell]
        # A code alone has no covariance; without noise it would be copied.
        weight = 1.0 if size == 1 else weight
        covariance *= 1 - weight
        covariance += (weight + VARIANCE_FLOOR) * volume * identity
        factors[cell] = root @ np.linalg.cholesky(covariance)
    return factors


def _oracle_shrinkage(covariance, n_samples):
    """Oracle-approximating shrinkage towards the sphere [Chen et al. 2010, eq. 23]."""
    n_features = len(covariance)
    squares, trace = (covariance**2).sum(), np.trace(covariance)
    numerator = (1 - 2 / n_features) * squares + trace**2
    denominator = (n_samples + 1 - 2 / n_features) * (squares - trace**2 / n_features)
    return 1.0 if numerator >= denominator else numerator / denominator
