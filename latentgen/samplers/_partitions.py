"""Partitions: how codes are cut into cells, where new codes go, and which cells are cut again.

A partition holds no data. ``fit`` and ``update`` return a dict of arrays, which the sampler keeps,
so that a saved sampler names no class of this module. A cell has a number, its id; not every id
needs to be taken.
"""

# SPDX-License-Identifier: BSD-3-Clause

from abc import ABC, abstractmethod

import numpy as np
from sklearn.metrics import pairwise_distances_argmin

from latentgen.samplers._neighborhoods import find_neighborhoods
from latentgen.samplers._trees import find_leaves, graft, grow_tree

# Usual codes in a cell that is a neighborhood, and most of these cells.
_LOCAL_SIZE, _MOST_LOCAL = 60, 1000


class Partition(ABC):
    """Codes cut into cells.

    An implementer writes ``size``, ``_fit``, ``find`` and ``_cut``.

    Parameters
    ----------
    n_cells : int or None
        Largest number of cells.
    min_samples_leaf : int or None
        Least number of codes in a cell.
    max_depth : int or None
        Largest depth of a tree.
    tree_splitter : {'best', 'random'}
        How hvrt's tree finds a cut.
    """

    def __init__(self, n_cells, min_samples_leaf, max_depth, tree_splitter):
        self.n_cells = n_cells
        self.min_samples_leaf = min_samples_leaf
        self.max_depth = max_depth
        self.tree_splitter = tree_splitter

    @abstractmethod
    def size(self, n_samples, n_features):
        """Largest number of cells, and least number of codes in one."""

    @abstractmethod
    def find(self, fitted, codes):
        """Id of the cell of each code."""

    @abstractmethod
    def _fit(self, codes, scale, rng):
        """Cut codes; give the arrays that ``find`` needs and the id of each code's cell."""

    @abstractmethod
    def _cut(self, fitted, cell, codes, n_cells, min_samples_leaf, rng):
        """Cut the codes of one cell; as ``_fit``, or ids of None where nothing is cut."""

    def fit(self, codes, scale, rng):
        """Cut codes into cells.

        Parameters
        ----------
        codes : ndarray of shape (n_samples, n_features)
            Seen from about their mean, as all codes here.
        scale : ndarray of shape (n_features,)
            Of the z-scores.
        rng : RandomState

        Returns
        -------
        fitted : dict of ndarray
        ids : ndarray of shape (n_samples,)
            Id of the cell of each code.
        """
        fitted, ids = self._fit(codes, scale, rng)
        # How many codes each cell was made for, and out of how many.
        return fitted | {"made_sizes": np.bincount(ids), "n_made": len(codes)}, ids

    def update(self, fitted, codes, ids, rng):
        """Cut cells that hold twice the codes that they would in a partition made anew.

        Parameters
        ----------
        fitted : dict of ndarray
        codes : ndarray of shape (n_samples, n_features)
            All codes, those that came after ``fit`` too.
        ids : ndarray of shape (n_samples,)
            Id of the cell of each code.
        rng : RandomState

        Returns
        -------
        fitted : dict of ndarray
        ids : ndarray of shape (n_samples,)
        """
        ids = ids.copy()
        n_cells, min_samples_leaf = self.size(*codes.shape)
        n_before, _ = self.size(fitted["n_made"], codes.shape[1])
        # A limited number of cells lets each grow with the codes.
        growth = max(1.0, len(codes) / n_cells * n_before / fitted["n_made"])
        made = fitted["made_sizes"]
        usual = made * growth
        sizes = np.bincount(ids, minlength=len(usual))
        for cell in np.flatnonzero(sizes > 2 * np.maximum(usual, min_samples_leaf)):
            members = np.flatnonzero(ids == cell)
            n_parts = max(2, round(len(members) / usual[cell]))
            grown, parts = self._cut(fitted, cell, codes[members], n_parts, min_samples_leaf, rng)
            if parts is None:
                continue
            fitted, ids[members] = grown, parts
            counts = np.bincount(parts)
            made = np.append(made, np.zeros(max(0, len(counts) - len(made))))
            made[np.flatnonzero(counts)] = counts[counts > 0] / growth
        return fitted | {"made_sizes": made}, ids


class TreePartition(Partition):
    """Leaves of a regression tree on the sum of the z-scores, which compares random cuts."""

    thorough = False

    def size(self, n_samples, n_features):
        """Those of hvrt."""
        n_cells, min_samples_leaf = self.n_cells, self.min_samples_leaf
        if min_samples_leaf is None:
            min_samples_leaf = max(n_features + 2, int(np.sqrt(n_samples)))
        if n_cells is None:
            n_cells = min(max(3 * n_samples // (2 * min_samples_leaf), 30), 1500)
        return n_cells, min_samples_leaf

    def find(self, fitted, codes):
        """Leaf of each code."""
        return find_leaves((codes - fitted["mean"]) / fitted["scale"], fitted["tree"])

    def _fit(self, codes, scale, rng):
        size, mean = self.size(*codes.shape), codes.mean(axis=0, dtype=np.float64)
        tree, ids = grow_tree((codes - mean) / scale, *size, rng, max_depth=self.max_depth)
        return {"tree": tree, "mean": mean, "scale": scale}, ids

    def _cut(self, fitted, cell, codes, n_cells, min_samples_leaf, rng):
        Z = (codes - fitted["mean"]) / fitted["scale"]
        branch, leaves = grow_tree(Z, n_cells, min_samples_leaf, rng, thorough=self.thorough)
        if len(branch["feature"]) == 1:
            return fitted, None
        ids = len(fitted["tree"]["feature"]) + leaves
        return fitted | {"tree": graft(fitted["tree"], cell, branch)}, ids


class NeighborhoodPartition(Partition):
    """Cells of the nearest of some means."""

    def size(self, n_samples, n_features):
        """One cell for every 60 codes, with at least 5."""
        n_cells = self.n_cells
        if n_cells is None:
            n_cells = min(max(n_samples // _LOCAL_SIZE, 1), _MOST_LOCAL)
        return n_cells, self.min_samples_leaf or 5

    def find(self, fitted, codes):
        """Nearest mean of each code."""
        # In float64, because rounding would move codes between cells.
        means = fitted["means"].astype(np.float64)
        return pairwise_distances_argmin(codes.astype(np.float64), means)

    def update(self, fitted, codes, ids, rng):
        """Cut cells that have outgrown the others, and move codes to the nearest mean."""
        n_before = len(fitted["means"])
        fitted, ids = super().update(fitted, codes, ids, rng)
        if len(fitted["means"]) == n_before:
            return fitted, ids
        # Near the border of a cell that was cut, another mean may now be the nearest.
        kept = np.unique(ids)
        nearest = pairwise_distances_argmin(codes, fitted["means"][kept])
        taken, ids = np.unique(nearest, return_inverse=True)
        kept = kept[taken]
        return fitted | {name: fitted[name][kept] for name in ("means", "made_sizes")}, ids

    def _fit(self, codes, scale, rng):
        means, ids = find_neighborhoods(codes, *self.size(*codes.shape), rng)
        return {"means": means}, ids

    def _cut(self, fitted, cell, codes, n_cells, min_samples_leaf, rng):
        means, parts = find_neighborhoods(codes, n_cells, min_samples_leaf, rng)
        ids = len(fitted["means"]) + parts
        return fitted | {"means": np.concatenate([fitted["means"], means])}, ids
