"""The copula of each cell: correlations of normal scores, and marginals as tables of scores.

Codes are sorted by cell, as in `_moments`.
"""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.fft import irfft, rfft
from scipy.special import ndtri
from sklearn.utils import gen_batches

from latentgen.samplers._moments import cell_starts, cell_stds, scott_factors

# Points of the even grid that a marginal is known on, a power of 2, and the largest score there.
_GRID_SIZE = 256
_LARGEST_SCORE = 8.0

# Values per block of density grids, and of scores that are looked up.
_GRID_VALUES = 2**18
_CACHE_VALUES = 2**15


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


def score_tables(Z, sizes, bandwidth=None):
    """Tables of the normal scores of the cells' marginal densities on even grids.

    Each marginal is a Gaussian kernel density estimate. Each value is split linearly between its
    two neighbors on the grid, and the counts are smoothed by one multiplication between two
    Fourier transforms [Silverman 1982]. The tables are even in the values, because one that is
    even in the scores would bridge a gap of the marginal by a straight line.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, n_features)
    sizes : ndarray of shape (n_cells,)
    bandwidth : float, default=None
        Standard deviation of the kernel in standard deviations of the cell; None is Scott's
        n^(-1/5).

    Returns
    -------
    tables : dict of ndarray
        ``lows`` and ``steps``, shape (n_cells, n_features), of the grids, and ``scores``, shape
        (n_cells, n_features, grid_size), the normal quantiles of the distribution functions.
    """
    n_features = Z.shape[1]
    scores = np.empty((len(sizes), n_features, _GRID_SIZE), dtype=np.float32)
    # With the divisor n - 1 in the variance, as in scipy.stats.gaussian_kde.
    widths = scott_factors(sizes, 1) if bandwidth is None else np.full(len(sizes), bandwidth)
    widths = widths[:, None] * cell_stds(Z, sizes)
    widths *= np.sqrt(sizes / np.maximum(sizes - 1, 1))[:, None]
    starts = cell_starts(sizes)
    lows = np.minimum.reduceat(Z, starts, axis=0) - 4 * widths
    highs = np.maximum.reduceat(Z, starts, axis=0) + 4 * widths
    steps = (highs - lows) / (_GRID_SIZE - 1)
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
        found = np.clip(ndtri(cumulative), -_LARGEST_SCORE, _LARGEST_SCORE)
        scores[block] = found.reshape(n_cells, n_features, _GRID_SIZE)
    return {"lows": lows, "steps": steps, "scores": scores}


def transform_scores(scores, cells, tables):
    """Turn normal scores into quantiles of the cells' marginals, in place, by interpolation.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_features), dtype float32
    cells : ndarray of shape (n_rows,)
    tables : dict of ndarray
        As from `score_tables`.
    """
    n_features = scores.shape[1]
    flat = tables["scores"].reshape(-1)
    curves = np.arange(n_features) * _GRID_SIZE
    for batch in gen_batches(len(scores), max(1, _CACHE_VALUES // n_features)):
        values, cell = scores[batch], cells[batch]
        np.clip(values, -_LARGEST_SCORE, _LARGEST_SCORE, out=values)
        first = cell[:, None] * (n_features * _GRID_SIZE) + curves
        # Bisection: the last point of the grid whose score is not above.
        left, step = first.copy(), _GRID_SIZE // 2
        while step:
            left += step * (flat[left + step] <= values)
            step //= 2
        # The last point has no right neighbor.
        left = np.minimum(left, first + _GRID_SIZE - 2)
        low = flat[left]
        values -= low
        values /= np.maximum(flat[left + 1] - low, np.finfo(np.float32).tiny)
        values += left - first
        values *= tables["steps"][cell]
        values += tables["lows"][cell]
