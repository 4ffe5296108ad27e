"""Exact nearest rows, and how far draws stay from the rows they were learned from."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

_BLOCK_VALUES = 2**23
_INDEX_VALUES = 2**24
# A draw is a near-copy below this share of the median distance between neighbours.
NEAR_COPY = 0.3
# Draws, and training rows, that a fit compares: the standard error of a share is then 3.5 points
# at most.
N_COMPARED = 200
_REJECTIONS = 10
_ROWS_OF_MEDIAN = 1000
# Candidates per query above which they are sifted once more.
_MANY = 20


class NeighborIndex:
    """Exact nearest rows of a fixed set.

    The search runs in float32 through matrix products. Every row that rounding could have hidden
    is then compared in float64, so that a copy has distance 0.

    Parameters
    ----------
    X : ndarray of shape (n_index, n_features)
        Is kept, beside a copy of it in float32.
    """

    def __init__(self, X):
        self.X = X
        # Rounding grows with the distance from here, and a mean would follow a single far row.
        self._centre = np.median(X[:: -(-len(X) // _ROWS_OF_MEDIAN)], axis=0).astype(np.float64)
        # Sums of squares stay in the range of float32 whatever the unit of the data.
        sides = X.max(axis=0) - self._centre, self._centre - X.min(axis=0)
        self._scale = float(np.max(sides)) or 1.0
        size = max(1, _INDEX_VALUES // X.shape[1])
        self._parts = [self._prepare(X[start : start + size]) for start in range(0, len(X), size)]

    def _prepare(self, X):
        """Features times -2 and squared norms of rows, one row per column."""
        part = np.empty((X.shape[1] + 1, len(X)), dtype=np.float32)
        for start in range(0, len(X), 4096):
            rows = slice(start, start + 4096)
            part[:-1, rows] = ((X[rows] - self._centre) / self._scale).T
        part[-1] = np.einsum("ij,ij->j", part[:-1], part[:-1])
        part[:-1] *= -2
        return part

    def query(self, X, *, exclude=None):
        """Distance to the nearest row, and that row.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
        exclude : ndarray of shape (n_samples,), default=None
            For each row of `X` a row of the index that does not count, such as itself.

        Returns
        -------
        distances : ndarray of shape (n_samples,), dtype float64
            ``inf`` where no row counts.
        rows : ndarray of shape (n_samples,), dtype int64
            The first of equally near rows.
        """
        distances = np.full(len(X), np.inf)
        nearest = np.zeros(len(X), dtype=np.int64)
        offset = 0
        for part in self._parts:
            skip = None if exclude is None else exclude - offset
            self._search(part, offset, X, skip, distances, nearest)
            offset += part.shape[1]
        return distances, nearest

    def _search(self, index, offset, X, exclude, distances, nearest):
        """Search a part of the index, `offset` rows from its start, and keep what is nearer."""
        n_index, n_features = index.shape[1], X.shape[1]
        X_index = self.X[offset : offset + n_index]
        largest = np.sqrt(index[-1].max())
        step = max(1, _BLOCK_VALUES // n_index)
        for start in range(0, len(X), step):
            block = np.asarray(X[start : start + step])
            queries = np.ones((len(block), n_features + 1), dtype=np.float32)
            queries[:, :-1] = (block - self._centre) / self._scale
            scores = queries @ index
            if exclude is not None:
                skipped = exclude[start : start + step]
                inside = np.flatnonzero((skipped >= 0) & (skipped < n_index))
                scores[inside, skipped[inside]] = np.inf
            # Bound on the rounding of one score: length of the sum times unit roundoff times the
            # product of the norms, for the two that are compared (Higham 2002, equation 3.5).
            norms = np.linalg.norm(queries[:, :-1], axis=1)
            unit = np.finfo(np.float32).eps * (n_features + 4)
            slack = 2 * unit * largest * (2 * norms + largest)
            candidate = scores <= (scores.min(axis=1) + slack)[:, None]
            query, row = np.nonzero(candidate & np.isfinite(scores))
            if len(query) > _MANY * len(block):
                # One far row loosens that bound for all; the own norm of each is tighter.
                length = np.sqrt(index[-1, row])
                error = unit * length * (2 * norms[query] + length)
                found = scores[query, row]
                firsts = np.flatnonzero(np.diff(query, prepend=-1))
                highest = np.full(len(block), np.inf)
                highest[query[firsts]] = np.minimum.reduceat(found + error, firsts)
                kept = found - error <= highest[query]
                query, row = query[kept], row[kept]
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


def neighbor_distances(index):
    """Distances of some rows of an index, evenly spread, to their nearest other row, no zeros."""
    distances = _neighbor_distances(index)
    # All zero: perhaps every row is there twice.
    return (
        distances
        if len(distances)
        else _neighbor_distances(NeighborIndex(np.unique(index.X, axis=0)))
    )


def _neighbor_distances(index):
    rows = np.unique(np.linspace(0, len(index.X) - 1, N_COMPARED).astype(np.int64))
    distances = index.query(index.X[rows], exclude=rows)[0]
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
    index = NeighborIndex(X_train)
    near = np.flatnonzero(index.query(Z)[0] < distance)
    for _ in range(_REJECTIONS):
        if not len(near):
            return
        Z[near] = redraw(near)
        near = near[index.query(Z[near])[0] < distance]
    # Beyond the last training row nothing is near: longer and longer pushes come to an end.
    length = distance
    while len(near):
        distances, rows = index.query(Z[near])
        near, rows = near[distances < distance], rows[distances < distance]
        away = Z[near] - np.asarray(X_train[rows], dtype=np.float64)
        # A draw that is a copy has no direction of its own.
        away += 1e-6 * distance * rng.standard_normal(away.shape)
        away *= length / np.linalg.norm(away, axis=1, keepdims=True)
        Z[near] = X_train[rows] + away
        length *= 1.05
