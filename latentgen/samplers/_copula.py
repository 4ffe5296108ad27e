"""The copula of each cell: correlations of normal scores, and marginals as tables of quantiles.

Codes are sorted by cell, as in `_moments`.
"""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.fft import irfft, rfft
from scipy.special import ndtr, ndtri

from latentgen.samplers._moments import cell_starts, cell_stds, scott_factors

# Resolution of the marginals: points of the density grid, points of the table of quantiles,
# and where that table ends, in standard deviations of the copula's normal coordinate.
_GRID_SIZE = 256
_TABLE_SIZE = 128
_TABLE_END = 4.5

# Values per block of density grids.
_GRID_VALUES = 2**18


def copula_factors(Z, sizes):
    """Lower Cholesky factors of the correlations of normal scores, shape (n_cells, d, d).

    The normal score of a value is the normal quantile of its rank / (size + 1) in the cell.
    """
    n_features = Z.shape[1]
    identity = np.eye(n_features)
    factors = np.tile(identity.astype(np.float32), (len(sizes), 1, 1))
    for cell, (start, size) in enumerate(zip(cell_starts(sizes), sizes, strict=True)):
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

    Each marginal is a Gaussian kernel density estimate. Each value is split linearly between its
    two neighbors on an even grid, and the counts are smoothed by one multiplication between two
    Fourier transforms [Silverman 1982].

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
    starts = cell_starts(sizes)
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
