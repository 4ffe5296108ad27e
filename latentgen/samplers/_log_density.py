"""Log-densities of even mixtures with one kernel on each training code.

Codes are sorted by cell, as in `_moments`.
"""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from latentgen.samplers._moments import cell_starts

# Values per block of intermediate results.
_BLOCK_VALUES = 2**21


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
        for cell, (start, size) in enumerate(zip(cell_starts(sizes), sizes, strict=True)):
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
