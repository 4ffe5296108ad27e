"""Kernels that move training codes inside the cells of a partition, in plain NumPy.

Everywhere the codes are sorted by cell: the first ``sizes[0]`` rows belong to cell 0, and so on.
"""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.fft import irfft, rfft
from scipy.linalg import solve_triangular
from scipy.sparse import csr_array
from scipy.special import logsumexp, ndtr, ndtri

# Least standard deviation and least variance of a kernel in units of the z-scores.
STD_FLOOR = 0.01
VARIANCE_FLOOR = 1e-8

# Resolution of the marginals: points of the density grid, points of the table of quantiles,
# and where that table ends, in standard deviations of the copula's normal coordinate.
_GRID_SIZE = 256
_TABLE_SIZE = 128
_TABLE_END = 4.5

# Values per block of intermediate results.
_GRID_VALUES = 2**18
_BLOCK_VALUES = 2**21


def make_generator(rng):
    """Make a fast `numpy.random.Generator` from a `numpy.random.RandomState`."""
    entropy = rng.randint(2**32, size=4, dtype=np.uint64)
    return np.random.Generator(np.random.SFC64([int(word) for word in entropy]))


# Parameters of the kernels.


def _starts(sizes):
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
    for cell, (start, size) in enumerate(zip(_starts(sizes), sizes, strict=True)):
        centred = Z[start : start + size] - means[cell]
        # A cell with no more rows than features has a singular covariance.
        covariance = centred.T @ centred / size
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
    means, starts = cell_means(Z, sizes).astype(np.float64), _starts(sizes)

    def scatter(cell):
        rows = Z[starts[cell] : starts[cell] + sizes[cell]] - means[cell]
        return rows.T @ rows

    freedom = max(len(Z) - len(sizes), 1)
    pooled = sum(map(scatter, range(len(sizes)))) / freedom
    # The target needs all its directions, even with fewer codes than features.
    variance = np.trace(pooled) / n_features
    pull = _oracle_shrinkage(pooled, freedom)
    pooled = (1 - pull) * pooled + pull * variance * identity
    pooled += max(VARIANCE_FLOOR * variance, 1e-12) * identity
    root = np.linalg.cholesky(pooled)
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


def copula_factors(Z, sizes):
    """Lower Cholesky factors of the correlations of normal scores, shape (n_cells, d, d).

    The normal score of a value is the normal quantile of its rank / (size + 1) in the cell.
    """
    n_features = Z.shape[1]
    identity = np.eye(n_features)
    factors = np.tile(identity.astype(np.float32), (len(sizes), 1, 1))
    for cell, (start, size) in enumerate(zip(_starts(sizes), sizes, strict=True)):
        # Fewer rows say nothing about dependence.
        if size < 4 or n_features == 1:
            continue
        order = np.argsort(Z[start : start + size], axis=0, kind="stable")
        scores = np.empty(order.shape)
        quantiles = ndtri(np.arange(1, size + 1) / (size + 1))
        np.put_along_axis(scores, order, quantiles[:, None], axis=0)
        correlation = scores.T @ scores / (quantiles @ quantiles)
        correlation += 1e-6 * (identity - correlation)
        factors[cell] = np.linalg.cholesky(correlation)
    return factors


def quantile_tables(Z, sizes, bandwidth=None):
    """Tables from normal scores to quantiles of the cells' marginal densities.

    Each marginal is a Gaussian kernel density estimate. Its values are shared out linearly over
    the two neighbours on an even grid, and the counts are smoothed by one multiplication
    between two Fourier transforms [Silverman 1982].

    Parameters
    ----------
    Z : ndarray of shape (n_samples, n_features)
    sizes : ndarray of shape (n_cells,)
    bandwidth : float, default=None
        Standard deviation of the kernel in standard deviations of the cell; None is Scott's
        n^(-1/5).

    Returns
    -------
    tables : ndarray of shape (n_cells, n_features, table_size), dtype float32
        Quantiles at the even grid of normal scores that `transform_scores` reads.
    """
    n_features = Z.shape[1]
    tables = np.empty((len(sizes), n_features, _TABLE_SIZE), dtype=np.float32)
    # With the divisor n - 1 in the variance, as in scipy.stats.gaussian_kde.
    widths = scott_factors(sizes, 1) if bandwidth is None else np.full(len(sizes), bandwidth)
    widths = widths[:, None] * cell_stds(Z, sizes)
    widths *= np.sqrt(sizes / np.maximum(sizes - 1, 1))[:, None]
    starts = _starts(sizes)
    lows = np.minimum.reduceat(Z, starts, axis=0) - 4 * widths
    highs = np.maximum.reduceat(Z, starts, axis=0) + 4 * widths
    steps = (highs - lows) / (_GRID_SIZE - 1)
    probabilities = ndtr(np.linspace(-_TABLE_END, _TABLE_END, _TABLE_SIZE))
    frequencies = 2 * np.pi * np.arange(_GRID_SIZE // 2 + 1) / _GRID_SIZE

    per_block = max(1, _GRID_VALUES // (n_features * _GRID_SIZE))
    for first in range(0, len(sizes), per_block):
        block = slice(first, min(first + per_block, len(sizes)))
        n_cells = block.stop - first
        rows = slice(starts[first], starts[block.stop - 1] + sizes[block.stop - 1])
        cells = np.repeat(np.arange(n_cells), sizes[block])
        position = (Z[rows] - lows[block][cells]) / steps[block][cells]
        left = np.minimum(position.astype(np.int64), _GRID_SIZE - 2)
        weight = (position - left).ravel()
        curve = cells[:, None] * n_features + np.arange(n_features)
        bins = (curve * _GRID_SIZE + left).ravel()
        n_curves = n_cells * n_features
        counts = np.bincount(bins, 1 - weight, minlength=n_curves * _GRID_SIZE)
        counts += np.bincount(bins + 1, weight, minlength=n_curves * _GRID_SIZE)
        spread = (widths[block] / steps[block]).reshape(-1, 1) * frequencies
        density = irfft(
            rfft(counts.reshape(n_curves, _GRID_SIZE)) * np.exp(-0.5 * spread**2), _GRID_SIZE
        )
        density = np.maximum(density, 0)
        cumulative = np.cumsum(density, axis=1) - 0.5 * density
        cumulative -= cumulative[:, :1]
        cumulative /= cumulative[:, -1:]
        # One interpolation for all curves: the curve's number is added to its probabilities.
        offsets = np.arange(n_curves)[:, None]
        located = np.interp(
            (probabilities + offsets).ravel(),
            (cumulative + offsets).ravel(),
            np.tile(np.arange(_GRID_SIZE, dtype=np.float64), n_curves),
        ).reshape(n_cells, n_features, _TABLE_SIZE)
        tables[block] = lows[block][..., None] + located * steps[block][..., None]
    return tables


# Noise, drawn in place in float32.


def epanechnikov_noise(generator, out):
    """Fill `out`, shape (n_rows, n_features), with Epanechnikov noise.

    The density is 3 / 4 (1 - u^2) on [-1, 1]. With u = 2 sin(t), its distribution function
    1 / 2 + 3 u / 4 - u^3 / 4 becomes 1 / 2 + sin(3 t) / 2, hence the inverse
    2 sin(asin(2 p - 1) / 3).
    """
    # Random bits are the costliest part. Each value has 16 of its own, and all values of a row
    # share the fraction behind them: every value is uniform over all of [-1, 1], every row is
    # independent, and inside a row nothing is shared above the 16th bit.
    words = generator.bit_generator.random_raw(-(-out.size // 4))
    bits = words.view(np.int16)[: out.size].reshape(out.shape)
    np.add(bits, generator.random((len(out), 1), dtype=np.float32), out=out)
    out *= np.float32(2**-15)
    np.arcsin(out, out=out)
    out *= np.float32(1 / 3)
    np.sin(out, out=out)
    out *= 2


def normal_noise(generator, out):
    """Fill `out` with standard normal noise."""
    generator.standard_normal(dtype=np.float32, out=out)


def correlate(noise, cells, factors):
    """Multiply each row of `noise` by the factor of its cell, in place; `cells` is sorted."""
    present, starts = np.unique(cells, return_index=True)
    stops = np.append(starts[1:], len(cells))
    for cell, start, stop in zip(present, starts, stops, strict=True):
        noise[start:stop] = noise[start:stop] @ factors[cell].T


def add_correlated_noise(generator, out, cells, factors, scale=1.0):
    """Add normal noise with the factor of its cell to each row of `out`, in place.

    Parameters
    ----------
    generator : Generator
    out : ndarray of shape (n_rows, n_features), dtype float32
    cells : ndarray of shape (n_rows,)
        Cell of each row, in any order.
    factors : ndarray of shape (n_cells, n_features, n_features), dtype float32
        Lower factors of the covariances.
    scale : float, default=1.0
        Factor of the noise.
    """
    step = max(1, _BLOCK_VALUES // max(64, out.shape[1]))
    noise = np.empty((min(step, len(out)), out.shape[1]), dtype=np.float32)
    for first in range(0, len(out), step):
        order = first + np.argsort(cells[first : first + step], kind="stable")
        moved = noise[: len(order)]
        normal_noise(generator, moved)
        moved *= np.float32(scale)
        correlate(moved, cells[order], factors)
        out[order] += moved


def transform_scores(scores, cells, tables):
    """Turn normal scores into quantiles of the cells' marginals, in place, by interpolation."""
    n_features = scores.shape[1]
    scale = np.float32((_TABLE_SIZE - 1) / (2 * _TABLE_END))
    np.clip(scores, -_TABLE_END, _TABLE_END, out=scores)
    scores += np.float32(_TABLE_END)
    scores *= scale
    left = np.minimum(scores.astype(np.int32), _TABLE_SIZE - 2)
    scores -= left
    curve = cells[:, None] * n_features + np.arange(n_features)
    index = curve * _TABLE_SIZE + left
    flat = tables.reshape(-1)
    low = flat[index]
    index += 1
    scores *= flat[index] - low
    scores += low


# Log-densities of mixtures with one kernel on each centre.


def normal_log_density(X, centers, sizes, factors):
    """Log-density in nats of an even mixture of normal kernels.

    Parameters
    ----------
    X : ndarray of shape (n_queries, n_features)
    centers : ndarray of shape (n_samples, n_features)
    sizes : ndarray of shape (n_cells,)
    factors : ndarray of shape (n_cells, n_features) or (n_cells, n_features, n_features)
        Standard deviations, or lower factors of the covariances.

    Returns
    -------
    log_density : ndarray of shape (n_queries,)
    """
    n_features = X.shape[1]
    out = np.empty(len(X))
    step = max(1, _BLOCK_VALUES // max(len(sizes), sizes.max(), n_features))
    for first in range(0, len(X), step):
        queries = X[first : first + step]
        by_cell = np.empty((len(queries), len(sizes)))
        for cell, (start, size) in enumerate(zip(_starts(sizes), sizes, strict=True)):
            rows = centers[start : start + size].astype(np.float64)
            # Distances from the cell's mean keep digits that large offsets would cancel.
            mean = rows.mean(axis=0)
            factor = factors[cell].astype(np.float64)
            if factor.ndim == 1:
                diagonal = factor
                points, rows = (queries - mean) / factor, (rows - mean) / factor
            else:
                diagonal = np.diagonal(factor)
                points = solve_triangular(factor, (queries - mean).T, lower=True).T
                rows = solve_triangular(factor, (rows - mean).T, lower=True).T
            squared = (points**2).sum(axis=1)[:, None] + (rows**2).sum(axis=1)
            squared -= 2 * points @ rows.T
            exponent = -0.5 * np.maximum(squared, 0)
            by_cell[:, cell] = logsumexp(exponent, axis=1) - np.log(diagonal).sum()
        out[first : first + step] = logsumexp(by_cell, axis=1)
    return out - np.log(len(centers)) - 0.5 * n_features * np.log(2 * np.pi)


def epanechnikov_log_density(X, centers, sizes, widths):
    """Log-density in nats of an even mixture of product Epanechnikov kernels.

    Parameters
    ----------
    X : ndarray of shape (n_queries, n_features)
    centers : ndarray of shape (n_samples, n_features)
    sizes : ndarray of shape (n_cells,)
    widths : ndarray of shape (n_cells, n_features)
        Half the length of the kernels' support.

    Returns
    -------
    log_density : ndarray of shape (n_queries,)
        ``-inf`` where no kernel reaches.
    """
    out = np.full(len(X), -np.inf)
    cells = np.repeat(np.arange(len(sizes)), sizes)
    log_scale = np.log(0.75 / widths.astype(np.float64)).sum(axis=1)
    step = max(1, _BLOCK_VALUES // len(centers))
    for first in range(0, len(X), step):
        queries = X[first : first + step]
        # Bounded support: feature by feature, only the pairs still in reach are kept.
        distance = np.abs(queries[:, :1] - centers[:, 0])
        query, row = np.nonzero(distance < widths[cells, 0])
        for feature in range(1, X.shape[1]):
            distance = np.abs(queries[query, feature] - centers[row, feature])
            near = distance < widths[cells[row], feature]
            query, row = query[near], row[near]
        if len(query) == 0:
            continue
        log_kernel = log_scale[cells[row]]
        for feature in range(X.shape[1]):
            difference = queries[query, feature] - centers[row, feature].astype(np.float64)
            log_kernel += np.log1p(-((difference / widths[cells[row], feature]) ** 2))
        found, starts = np.unique(query, return_index=True)
        out[first + found] = np.logaddexp.reduceat(log_kernel, starts)
    return out - np.log(len(centers))
