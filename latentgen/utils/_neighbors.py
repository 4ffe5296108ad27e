"""Exact nearest rows, and how far draws are from the rows they were learned from."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.spatial.distance import cdist
from sklearn import config_context
from sklearn.neighbors import KDTree, NearestNeighbors
from sklearn.utils import gen_batches

# Up to here a tree is faster than all products; measured in docs/design.md.
_TREE_FEATURES = 8
_BLOCK_ROWS = 2**16
_ROWS_OF_MEDIAN = 1000


class NeighborIndex:
    """Exact nearest rows of a fixed set, by scikit-learn.

    Many columns are searched by matrix products, few by a tree. Distances are those of the pairs
    found, from differences in float64, so that a copy has distance 0.

    Parameters
    ----------
    X : ndarray of shape (n_index, n_features)
        Is kept and not copied, but for a tree.
    """

    def __init__(self, X):
        self.X = X
        # Products cancel digits of what lies far from zero. A mean would follow a single far row.
        sample = X[:: -(-len(X) // _ROWS_OF_MEDIAN)]
        self._center = np.median(sample, axis=0).astype(np.float64)
        self._tree = KDTree(X - self._center) if X.shape[1] <= _TREE_FEATURES else None
        self._centered = None

    def query(self, X, *, n_neighbors=1):
        """Distances to the nearest rows, and these rows.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
        n_neighbors : int, default=1
            At most the number of rows.

        Returns
        -------
        distances : ndarray of shape (n_samples,) or (n_samples, n_neighbors), dtype float64
            In rising order; one dimension for one neighbor.
        rows : ndarray of the same shape, dtype int64
            Any of equally near rows.
        """
        X = X - self._center
        if self._tree is not None:
            distances, rows = self._tree.query(X, k=n_neighbors)
        else:
            distances, rows = self._search_blocks(X, n_neighbors)
        return (distances[:, 0], rows[:, 0]) if n_neighbors == 1 else (distances, rows)

    def _search_blocks(self, X, n_neighbors):
        distances, rows = np.empty((len(X), 0)), np.empty((len(X), 0), dtype=np.int64)
        for block in gen_batches(len(self.X), _BLOCK_ROWS):
            found = self._search(self._center_rows(block), X, n_neighbors)
            distances = np.append(distances, found[0], axis=1)
            rows = np.append(rows, found[1] + block.start, axis=1)
            order = np.argsort(distances, axis=1, kind="stable")[:, :n_neighbors]
            distances = np.take_along_axis(distances, order, axis=1)
            rows = np.take_along_axis(rows, order, axis=1)
        return distances, rows

    def _center_rows(self, block):
        """Rows of a block from the center; a single block is kept, for it is searched again."""
        if len(self.X) > _BLOCK_ROWS:
            return self.X[block] - self._center
        if self._centered is None:
            self._centered = self.X - self._center
        return self._centered

    def _search(self, index, X, n_neighbors):
        search = NearestNeighbors(n_neighbors=min(n_neighbors, len(index)), algorithm="brute")
        # Both have been checked, and looking at all values takes a tenth of the time.
        with config_context(assume_finite=True):
            rows = search.fit(index).kneighbors(X, return_distance=False)
        distances = np.empty(rows.shape)
        for distance, row in zip(distances.T, rows.T, strict=True):
            gaps = X - index[row]
            distance[:] = np.sqrt(np.einsum("ij,ij->i", gaps, gaps))
        # Rounding of a product, relative to the squared norm, could have hidden a nearer row.
        unit = 1e3 * X.shape[1] * np.finfo(np.float64).eps
        unsure = distances**2 < unit * np.einsum("ij,ij->i", X, X)[:, None]
        unsure &= distances > 0
        for query in np.flatnonzero(unsure.any(axis=1)):
            every = cdist(X[query : query + 1], index)[0]
            rows[query] = np.argsort(every, kind="stable")[: rows.shape[1]]
            distances[query] = every[rows[query]]
        return distances, rows

    def find_near(self, X, limit):
        """Nearest rows, and whether they are near in units of the distance there.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
        limit : float

        Returns
        -------
        distances : ndarray of shape (n_samples,), dtype float64
        rows : ndarray of shape (n_samples,), dtype int64
        near : ndarray of shape (n_samples,), dtype bool
            Where the distance is 0, or less than `limit` times the spacing of the nearest row.
        """
        if len(self.X) < 2:
            distances, rows = self.query(X)
            return distances, rows, distances == 0
        distances, rows = self.query(X, n_neighbors=2)
        gaps = np.subtract(self.X[rows[:, 0]], self.X[rows[:, 1]], dtype=np.float64)
        distances, rows = distances[:, 0], rows[:, 0]
        # A spacing is at most the gap between the two nearest rows, if they differ: what is far
        # enough by that needs no search for the spacing.
        gaps = np.sqrt(np.einsum("ij,ij->i", gaps, gaps))
        near = (distances < limit * gaps) | (gaps == 0)
        near[near] = distances[near] < limit * self.spacings(rows[near])
        return distances, rows, near | (distances == 0)

    def spacings(self, rows):
        """Distance of rows of the index to their nearest different row; nan if all are equal."""
        if len(self.X) < 2 or not len(rows):
            return np.full(len(rows), np.nan)
        wanted, inverse = np.unique(rows, return_inverse=True)
        distances = self.query(self.X[wanted], n_neighbors=2)[0][:, 1]
        if np.any(equal := distances == 0):
            different = NeighborIndex(np.unique(self.X, axis=0))
            distances[equal] = np.nan
            if len(different.X) > 1:
                found = different.query(self.X[wanted[equal]], n_neighbors=2)
                distances[equal] = found[0][:, 1]
        return distances[inverse]
