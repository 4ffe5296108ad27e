"""Axis-parallel regression trees as plain arrays: grown, searched and grafted."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from latentgen.utils._random import draw_seed

_TREE_ARRAYS = ("children_left", "children_right", "feature", "threshold")

# Random cuts of a node that are compared; with fewer, many nodes find no cut at all.
_CUTS_COMPARED = 16


def tree_arrays(tree):
    """Copy what `find_leaves` needs from a fitted scikit-learn tree."""
    # The arrays alone, because scikit-learn's Tree does not outlive its version in a file.
    return {name: getattr(tree.tree_, name).copy() for name in _TREE_ARRAYS}


def grow_tree(Z, n_leaves, min_samples_leaf, rng, *, max_depth=None, thorough=False):
    """Grow a regression tree on the sum of the z-scores.

    Each cut is the best of one random threshold in each of 16 random features (extremely
    randomized trees, Geurts et al. 2006), or with `thorough` the best of all cuts.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, n_features)
        z-scores.
    n_leaves : int
        Largest number of leaves, at least 2.
    min_samples_leaf : int
    rng : RandomState
    max_depth : int, default=None
    thorough : bool, default=False

    Returns
    -------
    tree : dict of ndarray
        As from `tree_arrays`.
    leaves : ndarray of shape (n_samples,)
        Leaf of each row.
    """
    Z = Z.astype(np.float32)
    tree = DecisionTreeRegressor(
        splitter="best" if thorough else "random",
        max_features=None if thorough else min(Z.shape[1], _CUTS_COMPARED),
        max_leaf_nodes=n_leaves,
        min_samples_leaf=min_samples_leaf,
        max_depth=max_depth,
        random_state=draw_seed(rng),
    )
    tree.fit(Z, Z.sum(axis=1, dtype=np.float64))
    return tree_arrays(tree), tree.apply(Z)


def find_leaves(Z, tree):
    """Leaf of each row of `Z`, by the arrays of a scikit-learn tree."""
    # scikit-learn cuts float32 features at float64 thresholds.
    Z = Z.astype(np.float32)
    nodes = np.zeros(len(Z), dtype=np.intp)
    moving = np.arange(len(Z))
    # No descent is longer than the number of nodes, not even in a damaged tree.
    for _ in tree["feature"]:
        at = nodes[moving]
        inner = tree["children_left"][at] >= 0
        if not inner.any():
            break
        moving, at = moving[inner], at[inner]
        left = Z[moving, tree["feature"][at]] <= tree["threshold"][at]
        nodes[moving] = np.where(left, tree["children_left"][at], tree["children_right"][at])
    return nodes


def graft(tree, leaf, branch):
    """Put another tree in the place of a leaf.

    Parameters
    ----------
    tree, branch : dict of ndarray
    leaf : int
        Node of `tree`.

    Returns
    -------
    tree : dict of ndarray
        A new tree; node ``i`` of `branch` is its node ``len(tree) + i``, except for the root,
        which takes the number of the leaf.
    """
    offset = len(tree["feature"])
    # The root appears a second time, at `offset`, where nothing leads to.
    grown = {name: np.append(tree[name], branch[name]) for name in _TREE_ARRAYS}
    for name in ("children_left", "children_right"):
        added = grown[name][offset:]
        added[added >= 0] += offset
    for name in _TREE_ARRAYS:
        grown[name][leaf] = grown[name][offset]
    return grown
