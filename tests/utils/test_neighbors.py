"""Nearest rows against brute force."""

# SPDX-License-Identifier: BSD-3-Clause

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

from latentgen.utils import _neighbors
from latentgen.utils._neighbors import NeighborIndex

# Searched by a tree and by products.
both_ways = pytest.mark.parametrize("n_features", [4, 20])


def codes(n_samples, seed=0, n_features=4):
    return np.random.default_rng(seed).normal(size=(n_samples, n_features))


@both_ways
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("offset", [0, 1e4], ids=["centered", "far from zero"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nearest_rows_agree_with_brute_force(n_features, dtype, offset, unit):
    index, X = (
        (unit * (codes(size, seed, n_features) + offset)).astype(dtype)
        for seed, size in ((0, 300), (1, 80))
    )
    expected = cdist(X.astype(np.float64), index.astype(np.float64))
    distances, rows = NeighborIndex(index).query(X)
    assert_allclose(distances, expected.min(axis=1), rtol=1e-9)
    assert_array_equal(rows, expected.argmin(axis=1))


@both_ways
def test_several_neighbors_come_in_rising_order(n_features):
    index, X = codes(300, 0, n_features), codes(80, 1, n_features)
    distances, rows = NeighborIndex(index).query(X, n_neighbors=3)
    expected = cdist(X, index)
    assert_array_equal(rows, np.argsort(expected, axis=1)[:, :3])
    assert_allclose(distances, np.sort(expected, axis=1)[:, :3])


@both_ways
def test_copies_have_distance_zero(n_features):
    """Also in a cluster so small, and so far away, that products cannot tell its rows apart."""
    index = 1 + 1e-9 * codes(200, n_features=n_features)
    index[:120] -= 7
    distances, rows = NeighborIndex(index).query(index[::-1])
    assert_array_equal(distances, 0)
    assert_array_equal(rows, np.arange(200)[::-1])


@both_ways
def test_one_far_row_changes_nothing_for_the_others(n_features):
    index, X = codes(500, 0, n_features), codes(500, 1, n_features)
    index[7] *= 1e6
    expected = cdist(X, index)
    distances, rows = NeighborIndex(index).query(X)
    assert_array_equal(rows, expected.argmin(axis=1))
    assert_allclose(distances, expected.min(axis=1))


@both_ways
def test_equal_rows_are_equally_near(n_features):
    index = np.repeat(codes(50, 0, n_features), 3, axis=0)
    distances, rows = NeighborIndex(index).query(index, n_neighbors=3)
    assert_array_equal(distances, 0)
    assert_array_equal(np.sort(rows, axis=1) // 3, np.arange(150)[:, None] // 3 * [1, 1, 1])


def test_blocks_change_nothing(monkeypatch):
    index, X = codes(50, 0, 20), codes(40, 1, 20)
    whole = NeighborIndex(index).query(X, n_neighbors=2)
    monkeypatch.setattr(_neighbors, "_BLOCK_ROWS", 7)
    parts = NeighborIndex(index).query(X, n_neighbors=2)
    assert_allclose(parts[0], whole[0])
    assert_array_equal(parts[1], whole[1])


def test_many_rows_are_not_copied(monkeypatch):
    monkeypatch.setattr(_neighbors, "_BLOCK_ROWS", 1000)
    index = codes(20_000, 0, 64).astype(np.float32)
    NeighborIndex(index[:500]).query(index[:5])
    tracemalloc.start()
    NeighborIndex(index).query(index[:50], n_neighbors=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < index.nbytes / 2


@pytest.mark.parametrize(
    "X, expected",
    [
        ([[0.0], [0.0], [3.0]], [3.0, 3.0, 3.0]),
        ([[1.0]], [np.nan]),
        ([[1.0], [1.0]], [np.nan, np.nan]),
        ([[0.0], [1.0], [5.0]], [1.0, 1.0, 4.0]),
    ],
)
@both_ways
def test_spacing_is_the_distance_to_the_nearest_different_row(X, expected, n_features):
    index = np.pad(np.array(X), [(0, 0), (0, n_features - 1)])
    assert_allclose(NeighborIndex(index).spacings(np.arange(len(X))), expected)
