"""Which draws are too near to the rows that they were learned from, in units of the distance there.

The spacing of a row is its distance to its nearest different row. With all spacings known, most
draws need no search: of a draw at distance D from a row of spacing s, no other row can be as near
as m of its own spacing if D <= (1 - m) s. For a row c with spacing t at distance g from the first
row, g >= max(s, t), so its distance from the draw is at least max(s, t) - D >= m t.
"""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.utils import gen_batches

from latentgen.utils._neighbors import NeighborIndex

# All pairs of so many rows of 64 columns take 15 s of processor time in `fit`.
_MOST_PRODUCTS = 2**17
# Blocks whose products stay in the cache.
_BLOCK_DRAWS = 1024
_BLOCK_ROWS = 512
# A spacing may come out too wide by half of this, where products in float32 cannot tell two rows
# apart.
_TOLERANCE = 1e-3
_FIRST_COORDINATES = 16
_ROWS_OF_AXES = 2000
# Squares of what is between these are numbers in float32.
_SMALLEST, _FARTHEST = 1e-15, 1e15


class SpacedIndex(NeighborIndex):
    """Nearest rows, and which draws are too near to any, with the spacings of all rows at hand.

    Parameters
    ----------
    X : ndarray of shape (n_index, n_features)
        Different rows.
    known : ndarray of shape (n_index,), default=None
        Spacings that an index of the same rows has found; None finds them.

    Attributes
    ----------
    known : ndarray of shape (n_index,) or None
        Spacings; None for so many rows that they are searched when needed.
    """

    def __init__(self, X, known=None):
        super().__init__(X)
        self._products = None
        if known is None and len(X) > 1:
            if self._tree is not None:
                known = super().spacings(np.arange(len(X)))
            elif len(X) <= _MOST_PRODUCTS:
                known = self._find_spacings()
        self.known = known

    def spacings(self, rows):
        """Distance of rows of the index to their nearest different row; nan for a single one."""
        return super().spacings(rows) if self.known is None else self.known[rows]

    def are_nearer(self, Z, limit, starts=None):
        """Which draws are nearer to their nearest row than `limit` times its spacing.

        Parameters
        ----------
        Z : ndarray of shape (n_samples, n_features)
        limit : float
        starts : ndarray of shape (n_samples,), default=None
            A row for each draw that may be near, such as that which it was drawn from. It spares
            a search and has no influence on the answer.

        Returns
        -------
        near : ndarray of shape (n_samples,), dtype bool
        """
        if self.known is None:
            return self.find_near(Z, limit)[2]
        if starts is None:
            near, unsure = np.zeros(len(Z), dtype=bool), np.arange(len(Z))
        else:
            near, unsure = self._judge_by_start(Z, limit, starts)
        if self._tree is None and len(unsure):
            unsure = unsure[self._are_in_reach(Z[unsure], limit)]
            if limit <= 0.5:
                # Two rows cannot both be as near, so that what is in reach of any is too near.
                near[unsure] = True
                return near
        if len(unsure):
            distances, rows = self.query(Z[unsure])
            near[unsure] = distances < limit * self.known[rows]
        return near

    def _judge_by_start(self, Z, limit, starts):
        """Which draws are too near to their starts, and indices of those that need a search."""
        distances, spacings = np.empty(len(Z), dtype=np.float32), self.known[starts]
        for batch in gen_batches(len(Z), _BLOCK_DRAWS):
            gaps = Z[batch] - np.take(self.X, starts[batch], axis=0)
            with np.errstate(over="ignore"):
                distances[batch] = np.sqrt(np.einsum("ij,ij->i", gaps, gaps))
        # A row nearer than half of the spacing is the nearest. Rounding is far below the tolerance,
        # where squares do not vanish in float32.
        sure = distances <= (1 - _TOLERANCE) * max(0.5, 1 - limit) * spacings
        sure &= spacings > _SMALLEST
        near = sure & (distances < (1 + _TOLERANCE) * limit * spacings)
        rows = np.flatnonzero(near)
        gaps = np.subtract(Z[rows], self.X[starts[rows]], dtype=np.float64)
        near[rows] = np.sqrt(np.einsum("ij,ij->i", gaps, gaps)) < limit * spacings[rows]
        return near, np.flatnonzero(~sure)

    def _prepare_products(self):
        """Rows in float32, in coordinates of which the first ones tell most rows apart."""
        if self._products is None:
            X = self._clip(self.X)
            sample = X[:: -(-len(X) // _ROWS_OF_AXES)]
            self._axes = np.linalg.svd(sample, full_matrices=False)[2].T
            if len(sample) < X.shape[1]:
                self._axes = np.eye(X.shape[1])
            self._products = (X @ self._axes).astype(np.float32)
            self._spread = np.cumsum(self._products.var(axis=0, dtype=np.float64))
        return self._products

    def _clip(self, X):
        # What is far beyond is moved to the side of a box, where products stay finite. No distance
        # becomes larger by that.
        return np.clip(X - self._center, -_FARTHEST, _FARTHEST)

    @property
    def _rounding(self):
        """Most by which products in float32 are wrong, relative to the sum of squared norms.

        Twice the bound of N. J. Higham, "Accuracy and Stability of Numerical Algorithms" (2002),
        equation 3.5, and some units for the rounding of the factors.
        """
        return 2 * (self.X.shape[1] + 8) * np.finfo(np.float32).eps

    def _are_in_reach(self, Z, limit):
        """Which draws are nearer to any row than `limit` times its spacing, by products."""
        reach = (limit * self.known) ** 2
        # Distances in the first coordinates are lower bounds. So many are taken that most pairs
        # are told apart by them, each being about twice the spread apart.
        X = self._prepare_products()
        draws = (self._clip(Z) @ self._axes).astype(np.float32)
        slack = [self._rounding * _squared_norms(rows) for rows in (X, draws)]
        n_first = np.searchsorted(self._spread, 2 * np.median(reach)) + 1
        n_first = max(_FIRST_COORDINATES, n_first)
        X, draws = X[:, :n_first], draws[:, :n_first]
        near = np.zeros(len(Z), dtype=bool)
        # A row is in reach if draw @ row + (reach - |row|^2) / 2 >= |draw|^2 / 2. The second term
        # is one more column. What products can be wrong by is on the side of a look at the pair.
        draws = np.c_[draws, np.ones(len(draws), dtype=np.float32)]
        tiny = X.shape[1] * np.finfo(np.float32).tiny
        least = (_squared_norms(draws[:, :-1]) - slack[1]) / 2 - tiny
        least = np.nextafter(least.astype(np.float32), -np.inf, dtype=np.float32)
        for rows in gen_batches(len(X), _BLOCK_ROWS):
            last = (reach[rows] + slack[0][rows] - _squared_norms(X[rows])) / 2
            with np.errstate(over="ignore"):
                columns = np.c_[X[rows], last.astype(np.float32)].T
            for batch in gen_batches(len(draws), _BLOCK_DRAWS):
                products = draws[batch] @ columns
                hits = np.flatnonzero(products.max(axis=1) >= least[batch])
                if len(hits):
                    pairs = products[hits] >= least[batch][hits, None]
                    hits = hits[_are_in_reach(pairs, Z[batch][hits], self.X[rows], reach[rows])]
                    near[batch.start + hits] = True
        return near

    def _find_spacings(self):
        """Spacings of all rows, by products in float32, each of which serves two rows."""
        X = self._prepare_products()
        norms, n_rows = _squared_norms(X), len(X)
        best = np.full(n_rows, -np.inf, dtype=np.float32)
        nearest = np.zeros(n_rows, dtype=np.int64)
        halves = (norms / 2).astype(np.float32)[:, None]
        one = np.ones_like(halves)
        # Two more columns make a product minus half of the squared distance.
        left, right = np.c_[X, -halves, one], np.c_[X, one, -halves]
        for rows in gen_batches(n_rows, _BLOCK_ROWS):
            columns = right[rows].T
            for batch in gen_batches(rows.stop, _BLOCK_DRAWS):
                products = left[batch] @ columns
                own = np.arange(max(rows.start, batch.start), batch.stop)
                products[own - batch.start, own - rows.start] = -np.inf
                _keep_best(best[batch], nearest[batch], products, rows.start)
                _keep_best(best[rows], nearest[rows], products.T, batch.start)
        gaps = np.subtract(self.X, self.X[nearest], dtype=np.float64)
        squares = np.einsum("ij,ij->i", gaps, gaps)
        unsure = self._rounding * (norms + norms[nearest]) >= _TOLERANCE * squares
        # Squares that vanish in float32.
        unsure |= squares < _SMALLEST**2
        far = np.any(np.abs(self.X - self._center) >= _FARTHEST, axis=1)
        unsure |= far | far[nearest]
        spacings = np.sqrt(squares)
        spacings[unsure] = super().spacings(np.flatnonzero(unsure))
        return spacings


def _squared_norms(X):
    return np.einsum("ij,ij->i", X, X, dtype=np.float64)


def _are_in_reach(pairs, Z, X, reach):
    """Whether any of the marked pairs of draws and rows is nearer than the root of `reach`."""
    if pairs.sum() * 16 < pairs.size:
        draws, rows = np.nonzero(pairs)
        gaps = np.subtract(Z[draws], X[rows], dtype=np.float64)
        near = draws[np.einsum("ij,ij->i", gaps, gaps) < reach[rows]]
        return np.isin(np.arange(len(Z)), near)
    return np.any(cdist(Z, X, "sqeuclidean") < reach, axis=1)


def _keep_best(best, nearest, products, start):
    """Update the largest product of each row and its column, counted from `start`, in place."""
    largest = products.max(axis=1)
    better = np.flatnonzero(largest > best)
    best[better] = largest[better]
    nearest[better] = start + products[better].argmax(axis=1)
