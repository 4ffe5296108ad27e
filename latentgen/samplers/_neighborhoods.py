"""Cells that are neighborhoods of codes, cut at means and fitted to densities."""

# SPDX-License-Identifier: BSD-3-Clause

import heapq

import numpy as np
from sklearn.metrics import pairwise_distances_argmin
from sklearn.neighbors import NearestNeighbors

from latentgen.samplers._moments import cell_means, shrunk_factors

# Rows whose scatter is looked at for the direction of a cut, and steps of the power iteration.
_SCATTER_ROWS = 1000
_POWER_STEPS = 6

# Cells whose density a row is compared in, and rounds of it.
_CANDIDATES = 8
_ROUNDS = 3
# Cells take no more rows than so many times the mean.
_LARGEST_SIZE = 2
# Fraction of a determinant that a row leaves behind, where rounding could make it negative.
_LEAST_LEFT = 1e-3


def find_neighborhoods(Z, n_cells, min_samples_leaf, rng):
    """Cut codes into compact cells.

    A tree cuts the cell with the largest scatter in two, at the mean of its leading principal
    component, until there are enough (principal direction divisive partitioning, Boley 1998).
    One step of k-means follows: rows move to the nearest mean and means are computed anew.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, n_features)
    n_cells : int
        Largest number of cells.
    min_samples_leaf : int
    rng : RandomState

    Returns
    -------
    means : ndarray of shape (n_cells, n_features), dtype float32
        A row belongs to the cell with the nearest of them.
    cells : ndarray of shape (n_samples,)
        Cell of each row.
    """
    origin = Z.mean(axis=0, dtype=np.float64)
    Z = (Z - origin).astype(np.float32)
    means = np.array([Z[rows].mean(axis=0) for rows in _principal_cells(Z, n_cells, rng)])
    cells = np.unique(pairwise_distances_argmin(Z, means), return_inverse=True)[1]
    means = cell_means(Z[np.argsort(cells, kind="stable")], np.bincount(cells)).astype(np.float32)
    while True:
        cells = pairwise_distances_argmin(Z, means)
        large = np.bincount(cells, minlength=len(means)) >= min(min_samples_leaf, len(Z))
        if large.all():
            return (means + origin).astype(np.float32), cells
        # Never empty: with so few rows that no cell is large, the first takes them all.
        means = means[large] if large.any() else means[:1]


def _principal_cells(Z, n_cells, rng):
    """Rows of each cell, cut along the leading principal components of cells."""
    done = []
    # The number keeps the order of equal scatters, and arrays from being compared.
    heap = [(-1.0, 0, np.arange(len(Z)))]
    n_made = 1
    while heap and len(heap) + len(done) < n_cells:
        _, _, rows = heapq.heappop(heap)
        centered = Z[rows]
        centered -= centered.mean(axis=0)
        some = centered[:: -(-len(centered) // _SCATTER_ROWS)]
        scatter = some.T @ some
        direction = rng.standard_normal(Z.shape[1]).astype(np.float32)
        for _ in range(_POWER_STEPS):
            direction = scatter @ direction
            direction /= max(np.linalg.norm(direction), np.finfo(np.float32).tiny)
        left = centered @ direction <= 0
        if left.all() or not left.any():
            done.append(rows)  # Equal rows.
            continue
        for side in (left, ~left):
            part = centered[side]
            part_scatter = float(
                np.square(part).sum() - np.square(part.sum(axis=0)).sum() / len(part)
            )
            heapq.heappush(heap, (-part_scatter, n_made, rows[side]))
            n_made += 1
    return done + [rows for _, _, rows in heap]


def fit_cells_to_density(Z, cells):
    """Move rows to the cell that gives them the highest normal density.

    Rounds of the classification EM algorithm (Celeux and Govaert 1992) on the cells with the
    nearest means: cells become as long and as narrow as the data. Covariances are pulled
    towards the pooled one with the weight of as many rows as there are features, and a row
    counts in its own cell as if it had not been there, because in many dimensions it would
    never leave. A cell takes the rows that gain most, up to twice the mean number, because with
    few rows for each feature large cells would take all of them.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, n_features)
    cells : ndarray of shape (n_samples,)
        Cell of each row, from 0 and without gaps.

    Returns
    -------
    cells : ndarray of shape (n_samples,)
        At most as many cells.
    """
    Z = (Z - Z.mean(axis=0, dtype=np.float64)).astype(np.float32)
    for _ in range(_ROUNDS):
        if not cells.any():
            return cells
        cells = np.unique(_densest_cells(Z, cells), return_inverse=True)[1]
    return cells


def _densest_cells(Z, cells):
    """One round: for each row the cell of the highest density that has room for it."""
    n_features = Z.shape[1]
    sizes = np.bincount(cells)
    ordered = Z[np.argsort(cells, kind="stable")]
    means = cell_means(ordered, sizes).astype(np.float32)
    pull = n_features / (n_features + sizes)
    factors = shrunk_factors(ordered, sizes, pull)

    index = NearestNeighbors(n_neighbors=min(_CANDIDATES, len(sizes)), algorithm="brute")
    candidates = index.fit(means).kneighbors(Z, return_distance=False)
    scores = np.empty(candidates.shape, dtype=np.float32)
    order = np.argsort(candidates, axis=None, kind="stable")
    bounds = np.cumsum(np.bincount(candidates.ravel(), minlength=len(sizes)))
    # scipy's triangular solver brings a BLAS of its own, whose threads and NumPy's would wait for
    # each other in every turn of the loop.
    whiten = np.linalg.inv(factors)
    for cell, places in enumerate(np.split(order, bounds[:-1])):
        rows = places // candidates.shape[1]
        squared = np.square((Z[rows] - means[cell]) @ whiten[cell].T).sum(axis=1)
        log_determinant = 2 * np.log(np.diagonal(factors[cell])).sum()
        if sizes[cell] > 1:
            # Without the row, by the formula of Sherman and Morrison.
            others = sizes[cell] - 1
            own = cells[rows] == cell
            left = np.maximum(1 - (1 - pull[cell]) * squared[own] / others, _LEAST_LEFT)
            squared[own] *= sizes[cell] / others / left
            squared[own] += np.log(left)
        scores.ravel()[places] = 2 * np.log(sizes[cell]) - log_determinant - squared

    rows, best = np.arange(len(Z)), scores.argmax(axis=1)
    new = candidates[rows, best]
    # -inf from a cell that is not a candidate any more.
    now = np.where(candidates == cells[:, None], scores, -np.inf).max(axis=1)
    gain = np.where(new == cells, np.inf, scores[rows, best] - now)
    # Rows by cell, those that gain the most first; what comes too late stays where it is.
    order = np.lexsort((-gain, new))
    counts = np.bincount(new, minlength=len(sizes))
    place = rows - np.repeat(np.cumsum(counts) - counts, counts)
    late = order[place >= max(1, _LARGEST_SIZE * len(Z) // len(sizes))]
    new[late] = cells[late]
    return new
