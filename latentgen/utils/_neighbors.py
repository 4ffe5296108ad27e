"""Exact nearest rows, and how far draws stay from the rows they were learned from."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

_BLOCK_VALUES = 2**23
_INDEX_VALUES = 2**24
# A draw is a near-copy below this share of the median distance between neighbours.
NEAR_COPY = 0.3
# Draws, and training rows, that a fit compares: a share then errs by 4 points at most.
N_COMPARED = 200
_REJECTIONS = 10


def nearest_rows(X_index, X, *, exclude=None):
    """Exact distance to the nearest row of `X_index`, and that row.

    The search runs in float32 through matrix products. Every row that rounding could have hidden
    is then compared in float64, so that a copy has distance 0.

    Parameters
    ----------
    X_index : ndarray of shape (n_index, n_features)
    X : ndarray of shape (n_samples, n_features)
    exclude : ndarray of shape (n_samples,), default=None
        For each row of `X` a row of `X_index` that does not count, such as itself.

    Returns
    -------
    distances : ndarray of shape (n_samples,), dtype float64
        ``inf`` where no row counts.
    rows : ndarray of shape (n_samples,), dtype int64
        The first of equally near rows.
    """
    centre = X_index.mean(axis=0, dtype=np.float64)
    # Sums of squares stay in the range of float32 whatever the unit of the data.
    scale = float(np.max([X_index.max(axis=0) - centre, centre - X_index.min(axis=0)])) or 1.0
    distances = np.full(len(X), np.inf)
    nearest = np.zeros(len(X), dtype=np.int64)
    size = max(1, _INDEX_VALUES // X_index.shape[1])
    for start in range(0, len(X_index), size):
        skip = None if exclude is None else exclude - start
        _search(X_index[start : start + size], X, skip, centre, scale, start, distances, nearest)
    return distances, nearest


def _search(X_index, X, exclude, centre, scale, offset, distances, nearest):
    """Search a part of the index, `offset` rows from its start, and keep what is nearer."""
    n_index, n_features = X_index.shape
    index = np.empty((n_features + 1, n_index), dtype=np.float32)
    for start in range(0, n_index, 4096):
        rows = slice(start, start + 4096)
        index[:-1, rows] = ((X_index[rows] - centre) / scale).T
    index[-1] = np.einsum("ij,ij->j", index[:-1], index[:-1])
    largest = np.sqrt(index[-1].max())
    index[:-1] *= -2

    step = max(1, _BLOCK_VALUES // n_index)
    for start in range(0, len(X), step):
        block = np.asarray(X[start : start + step])
        queries = np.ones((len(block), n_features + 1), dtype=np.float32)
        queries[:, :-1] = (block - centre) / scale
        scores = queries @ index
        if exclude is not None:
            skipped = exclude[start : start + step]
            inside = np.flatnonzero((skipped >= 0) & (skipped < n_index))
            scores[inside, skipped[inside]] = np.inf
        # Bound on the rounding of one score: length of the sum times unit roundoff times the
        # product of the norms, for the two that are compared (Higham 2002, equation 3.5).
        norms = np.linalg.norm(queries[:, :-1], axis=1)
        slack = 2 * np.finfo(np.float32).eps * (n_features + 4) * largest * (2 * norms + largest)
        candidate = scores <= (scores.min(axis=1) + slack)[:, None]
        query, row = np.nonzero(candidate & np.isfinite(scores))
        chunk = max(1, _BLOCK_VALUES // n_features)
        for first in range(0, len(query), chunk):
            q, r = query[first : first + chunk], row[first : first + chunk]
            gaps = np.subtract(block[q], X_index[r], dtype=np.float64)
            exact = np.sqrt(np.einsum("ij,ij->i", gaps, gaps))
            order = np.lexsort((r, exact, q))
            order = order[np.unique(q[order], return_index=True)[1]]
            better = order[exact[order] < distances[start + q[order]]]
            distances[start + q[better]] = exact[better]
            nearest[start + q[better]] = offset + r[better]


def neighbor_distances(X):
    """Distances of some rows of `X`, evenly spread, to their nearest other row, without zeros."""
    distances = _neighbor_distances(X)
    # All zero: perhaps every row is there twice.
    return distances if len(distances) else _neighbor_distances(np.unique(X, axis=0))


def _neighbor_distances(X):
    rows = np.unique(np.linspace(0, len(X) - 1, N_COMPARED).astype(np.int64))
    distances = nearest_rows(X, X[rows], exclude=rows)[0]
    return distances[(distances > 0) & (distances < np.inf)]


def keep_distance(Z, X_train, distance, redraw, rng):
    """Replace draws that are too near a training row, in place.

    They are drawn again some times, which keeps the shape of the density elsewhere. What is
    still too near is pushed straight away from its nearest training row.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, n_features), dtype float32
        Draws.
    X_train : ndarray of shape (n_train, n_features)
    distance : float
        Least distance from every training row.
    redraw : callable
        Gives new draws for an array of row numbers.
    rng : RandomState
    """
    near = np.flatnonzero(nearest_rows(X_train, Z)[0] < distance)
    for _ in range(_REJECTIONS):
        if not len(near):
            return
        Z[near] = redraw(near)
        near = near[nearest_rows(X_train, Z[near])[0] < distance]
    # Beyond the last training row nothing is near: longer and longer pushes come to an end.
    length = distance
    while len(near):
        distances, rows = nearest_rows(X_train, Z[near])
        near, rows = near[distances < distance], rows[distances < distance]
        away = Z[near] - np.asarray(X_train[rows], dtype=np.float64)
        # A draw that is a copy has no direction of its own.
        away += 1e-6 * distance * rng.standard_normal(away.shape)
        away *= length / np.linalg.norm(away, axis=1, keepdims=True)
        Z[near] = X_train[rows] + away
        length *= 1.05
