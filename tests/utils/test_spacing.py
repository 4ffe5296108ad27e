"""Draws that are too near to a row, against brute force."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

from latentgen.utils import _spacing
from latentgen.utils._spacing import SpacedIndex

# Searched by a tree and by products.
both_ways = pytest.mark.parametrize("n_features", [4, 20])


def codes(n_samples, n_features, seed=0):
    """Gaussians of very different widths, so that spacings differ too."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_samples, n_features)) * rng.choice([0.3, 1, 4], (n_samples, 1))


def draws_near(X, n_samples, seed=1):
    """Moved rows, from copies to what is farther than the next row, and the rows they were."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(len(X), size=n_samples)
    noise = rng.standard_normal((n_samples, X.shape[1])) * rng.uniform(0, 1.5, (n_samples, 1))
    return (X[starts] + np.median(true_spacings(X)) / 4 * noise).astype(np.float32), starts


def true_spacings(X):
    between = cdist(X.astype(np.float64), X.astype(np.float64))
    between[between == 0] = np.inf
    return between.min(axis=1)


def truly_near(Z, X, limit):
    distances = cdist(Z.astype(np.float64), X.astype(np.float64))
    return distances.min(axis=1) < limit * true_spacings(X)[distances.argmin(axis=1)]


@both_ways
@pytest.mark.parametrize("scale, offset", [(1, 0), (1e-6, 0), (1e-3, 1e3), (1e25, 0), (1e-25, 0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_spacings_agree_with_brute_force(n_features, scale, offset, dtype):
    X = (offset + scale * codes(700, n_features)).astype(dtype)
    spacings = SpacedIndex(X).spacings(np.arange(700))
    assert_allclose(spacings, true_spacings(X), rtol=1e-6)


@both_ways
@pytest.mark.parametrize("limit", [0.2, 0.5, 0.8, 1.3])
@pytest.mark.parametrize("told", [False, True], ids=["by search", "by their starts"])
def test_draws_that_are_too_near_are_those_of_brute_force(n_features, limit, told):
    X = codes(1300, n_features)
    Z, starts = draws_near(X, 1100)
    near = SpacedIndex(X).are_nearer(Z, limit, starts if told else None)
    assert_array_equal(near, truly_near(Z, X, limit))
    assert 0 < near.sum() < 1100


@pytest.mark.parametrize("limit", [0.4, 0.8])
@pytest.mark.parametrize("scale, offset", [(1e-3, 1e3), (1e25, 0), (1e-25, 0), (1e12, 0)])
def test_products_that_cannot_tell_are_not_trusted(scale, offset, limit):
    """Digits that cancel, and squares that are too large or too small for single precision."""
    X = offset + scale * codes(300, 20)
    X[7] *= 1e5
    Z, starts = draws_near(X, 200)
    expected = truly_near(Z, X, limit)
    index = SpacedIndex(X)
    assert_array_equal(index.are_nearer(Z, limit), expected)
    assert_array_equal(index.are_nearer(Z, limit, starts), expected)


@both_ways
def test_a_wrong_start_changes_nothing(n_features):
    X = codes(500, n_features)
    Z, starts = draws_near(X, 400)
    wrong = np.random.default_rng(3).integers(500, size=400)
    index = SpacedIndex(X)
    assert_array_equal(index.are_nearer(Z, 0.5, wrong), index.are_nearer(Z, 0.5, starts))


def test_start_spares_the_search(monkeypatch):
    X = 100 * np.eye(20)
    index = SpacedIndex(X)
    monkeypatch.setattr(index, "query", None)
    monkeypatch.setattr(index, "_are_in_reach", None)
    near = index.are_nearer(X + 1, 0.3, np.arange(20))
    assert near.all()


@both_ways
def test_known_spacings_are_not_searched_again(n_features, monkeypatch):
    X = codes(300, n_features)
    found = SpacedIndex(X).known
    assert SpacedIndex(X, 2 * found).spacings([5]) == 2 * found[5]


def test_many_rows_are_searched_when_needed(monkeypatch):
    monkeypatch.setattr(_spacing, "_MOST_PRODUCTS", 100)
    X = codes(300, 20)
    Z, starts = draws_near(X, 200)
    index = SpacedIndex(X)
    assert index.known is None
    assert_array_equal(index.are_nearer(Z, 0.5, starts), truly_near(Z, X, 0.5))
    assert_allclose(index.spacings([3, 4]), true_spacings(X)[3:5])
