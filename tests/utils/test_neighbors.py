"""Nearest rows against brute force, and the distance that draws keep."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

from latentgen.utils import _neighbors
from latentgen.utils._neighbors import NeighborIndex, keep_distance, neighbor_distances


def codes(n_samples, seed=0, n_features=4):
    return np.random.default_rng(seed).normal(size=(n_samples, n_features))


@pytest.mark.parametrize("offset", [0, 1e4], ids=["centred", "far from zero"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nearest_rows_agree_with_brute_force(dtype, offset):
    index, X = (codes(300) + offset).astype(dtype), (codes(80, seed=1) + offset).astype(dtype)
    expected = cdist(X.astype(np.float64), index.astype(np.float64))
    distances, rows = NeighborIndex(index).query(X)
    assert_allclose(distances, expected.min(axis=1), rtol=1e-9)
    assert_array_equal(rows, expected.argmin(axis=1))


def test_nearest_rows_finds_copies_among_rows_that_float32_cannot_tell_apart():
    index = 1 + 1e-9 * codes(200, n_features=20)
    index[0] = -1
    distances, rows = NeighborIndex(index).query(index[::-1])
    assert_array_equal(distances, 0)
    assert_array_equal(rows, np.arange(200)[::-1])


def test_one_far_row_changes_nothing_for_the_others(monkeypatch):
    index, X = np.random.RandomState(0).standard_normal((2, 500, 8)).astype(np.float32)
    index[7] *= 1e6
    compared = []
    subtract = np.subtract
    monkeypatch.setattr(
        np, "subtract", lambda a, b, **kw: compared.append(len(a)) or subtract(a, b, **kw)
    )
    distances, rows = NeighborIndex(index).query(X)
    monkeypatch.undo()
    exact = cdist(X.astype(np.float64), index.astype(np.float64))
    assert_array_equal(rows, exact.argmin(axis=1))
    assert_allclose(distances, exact.min(axis=1))
    # Nearly all of the 250 000 pairs without the second sieve.
    assert sum(compared) < 100_000


@pytest.mark.parametrize("exclude", [None, np.arange(40)], ids=["all", "all but one"])
@pytest.mark.parametrize("limit", ["_BLOCK_VALUES", "_INDEX_VALUES"])
def test_nearest_rows_in_blocks_is_the_same(limit, exclude, monkeypatch):
    index, X = codes(50), codes(40, seed=1)
    whole = NeighborIndex(index).query(X, exclude=exclude)
    monkeypatch.setattr(_neighbors, limit, 30)
    assert_array_equal(NeighborIndex(index).query(X, exclude=exclude), whole)


def test_an_excluded_row_does_not_count():
    X = codes(60)
    expected = cdist(X, X)
    np.fill_diagonal(expected, np.inf)
    distances, rows = NeighborIndex(X).query(X, exclude=np.arange(60))
    assert_allclose(distances, expected.min(axis=1))
    assert_array_equal(rows, expected.argmin(axis=1))


@pytest.mark.parametrize(
    "X, expected",
    [
        ([[0.0], [0.0], [3.0]], [3.0]),
        ([[1.0]], []),
        ([[1.0], [1.0]], []),
        ([[0.0], [3.0], [0.0], [3.0]], [3.0, 3.0]),
    ],
)
def test_distances_between_neighbours_leave_out_equal_rows(X, expected):
    assert_array_equal(neighbor_distances(NeighborIndex(np.array(X))), expected)


def test_draws_that_are_too_near_are_drawn_again():
    X_train = codes(100)
    Z = np.array([[0, 0, 0, 9], X_train[3]], dtype=np.float32)
    far = np.full((1, 4), 7, dtype=np.float32)
    keep_distance(Z, X_train, 1.0, lambda rows: far, np.random.RandomState(0))
    assert_array_equal(Z, [[0, 0, 0, 9], [7, 7, 7, 7]])


@pytest.mark.parametrize("n_features", [1, 4, 30])
def test_draws_that_stay_too_near_are_pushed_away(n_features):
    X_train = codes(200, n_features=n_features)
    Z = X_train[:50].astype(np.float32)
    keep_distance(Z, X_train, 0.5, lambda rows: X_train[rows], np.random.RandomState(0))
    assert NeighborIndex(X_train).query(Z)[0].min() >= 0.5
