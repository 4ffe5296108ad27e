"""Copied fraction and data-copying statistic against brute force and scipy."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.cluster import MiniBatchKMeans

from latentgen.metrics import _copying, copied_fraction, data_copying_test, novelty


def codes(n_samples, seed=0, n_features=16):
    return np.random.default_rng(seed).normal(size=(n_samples, n_features))


def near_by_brute_force(X_train, X, limit=0.3):
    between, inner = cdist(X, X_train), cdist(X_train, X_train)
    inner[inner == 0] = np.inf
    return between.min(axis=1) < limit * inner.min(axis=1)[between.argmin(axis=1)]


@pytest.mark.parametrize("n_features", [3, 16])
@pytest.mark.parametrize("near_copy", [0.3, 0.7])
def test_copied_fraction_agrees_with_brute_force(n_features, near_copy):
    X_train, noise = codes(300, 0, n_features), codes(300, 1, n_features)
    # From copies to what is farther than the next row.
    X = X_train[::-1] + np.linspace(0, 0.6, 300)[:, None] * noise
    near = near_by_brute_force(X_train, X, near_copy)
    assert 40 < near.sum() < 280
    assert copied_fraction(X_train, X, near_copy=near_copy).fraction == near.mean()


@pytest.mark.parametrize("n_copies, n_drawn", [(0, 200), (3, 50), (200, 200)])
def test_copied_fraction_has_the_interval_of_wilson(n_copies, n_drawn):
    X_train = codes(400)
    X = np.concatenate([X_train[:n_copies], codes(n_drawn - n_copies, seed=1)])
    found, z = copied_fraction(X_train, X), stats.norm.ppf(0.975)
    p = n_copies / n_drawn
    middle = (p + z**2 / (2 * n_drawn)) / (1 + z**2 / n_drawn)
    half = z / (1 + z**2 / n_drawn) * np.sqrt(p * (1 - p) / n_drawn + (z / (2 * n_drawn)) ** 2)
    assert_allclose(found, [p, middle - half, middle + half], atol=1e-12)


@pytest.mark.parametrize("copied", ["dense", "sparse"])
def test_copies_are_seen_in_dense_and_in_sparse_regions(copied):
    dense, sparse = codes(500) / 100, codes(50, seed=1) * 10 + 1000
    part = dense if copied == "dense" else sparse
    distances = np.sort(cdist(part, part), axis=1)[:, 1]
    X = part + 0.05 * distances[:, None] * codes(len(part), seed=2) / 4
    assert copied_fraction(np.concatenate([dense, sparse]), X).fraction == 1


@pytest.mark.parametrize("near_copy, n_features", [(0.3, 1), (0.5, 1), (0.3, 2), (0.5, 3)])
def test_identical_distributions_have_the_fraction_that_follows_from_volumes(near_copy, n_features):
    X_train, X = np.random.default_rng(0).random((2, 4000, n_features))
    found = copied_fraction(X_train, X, near_copy=near_copy)
    # Cells at the border of the cube are cut.
    assert abs(found.fraction - near_copy**n_features) < 0.025


def test_new_rows_of_a_dense_region_are_not_copies():
    dense, sparse = codes(500) / 100, codes(500, seed=1) * 10 + 1000
    assert copied_fraction(np.concatenate([dense, sparse]), codes(200, seed=2) / 100).fraction == 0


def test_copies_and_outliers_whose_mean_novelty_is_one_are_seen():
    X_train, X_test, X = codes(1000), codes(200, seed=1), codes(200, seed=2)
    usual = cdist(X_test, X_train).min(axis=1).mean()
    X = np.concatenate([X_train[:172], X[172:]])
    outliers = cdist(X[172:], X_train).min(axis=1)
    X[172:] *= 1 + (usual / 0.14 - outliers.mean()) / np.linalg.norm(X[172:], axis=1).mean()
    result = novelty(X_train, X_test, X)
    assert 0.9 < result.novelty < 1.1
    assert result.near_copies == copied_fraction(X_train, X).fraction == 0.86


@pytest.mark.parametrize("n_features", [3, 16])
def test_duplicates_in_the_training_set_change_nothing(n_features):
    X_train = codes(200, 0, n_features)
    X = X_train + np.linspace(0, 0.6, 200)[:, None] * codes(200, 1, n_features)
    repeated = np.concatenate([X_train, X_train[::2], X_train[::4]])
    assert copied_fraction(repeated, X) == copied_fraction(X_train, X)


def test_copies_of_equal_training_rows_are_copies_and_nothing_else_is():
    for X_train in (np.ones((1, 2)), np.ones((5, 2))):
        assert copied_fraction(X_train, [[1.0, 1.0], [1.0, 1.1]]).fraction == 0.5


def test_spacings_are_searched_only_where_a_copy_is_possible(monkeypatch):
    # They take as long as the search for the nearest rows does.
    searched = []
    spacings = _copying.NeighborIndex.spacings

    def counted(self, rows):
        searched.append(len(rows))
        return spacings(self, rows)

    monkeypatch.setattr(_copying.NeighborIndex, "spacings", counted)
    X_train = codes(500)
    copied_fraction(X_train, np.concatenate([codes(300, seed=1), X_train[:7]]))
    assert searched == [7]


def statistic_by_scipy(X_train, X_test, X_generated, n_cells, seed):
    """Meehan et al. (2020), section 4, cell by cell."""
    rng = np.random.RandomState(seed)
    kmeans = MiniBatchKMeans(n_cells, n_init=1, random_state=rng.randint(2**31 - 1)).fit(X_train)
    order = rng.permutation(len(X_test))
    halves = X_test[order[: -(len(order) // 2)]], X_test[order[-(len(order) // 2) :]]
    X_generated = X_generated[rng.permutation(len(X_generated))[: len(halves[1])]]
    statistics = []
    for X in (X_generated, halves[1]):
        total = weight = 0
        for cell in range(n_cells):
            parts = [part[kmeans.predict(part) == cell] for part in (X, halves[0])]
            m, n = map(len, parts)
            if min(m, n) < 20:
                continue
            d_new, d_test = (cdist(part, X_train).min(axis=1) for part in parts)
            u = stats.mannwhitneyu(d_new, d_test).statistic
            total += n * (u - m * n / 2) / np.sqrt(m * n * (m + n + 1) / 12)
            weight += n
        statistics.append(total / weight)
    return statistics


@pytest.mark.parametrize("n_cells, seed, scale", [(1, 0, 1.0), (6, 3, 0.9)])
def test_data_copying_agrees_with_scipy(n_cells, seed, scale):
    X_train, X_test, X = codes(600, 0, 3), codes(501, 1, 3), scale * codes(400, 2, 3)
    # Copies are ties.
    X[:50] = X_train[:50]
    X_test[:10] = X_train[:10]
    found = data_copying_test(X_train, X_test, X, n_cells=n_cells, random_state=seed)
    assert_allclose(found, statistic_by_scipy(X_train, X_test, X, n_cells, seed), rtol=1e-10)


def test_data_copying_takes_rows_of_different_dtypes():
    parts = [codes(200, seed) for seed in range(3)]
    single = [X.astype(np.float32) for X in parts]
    expected = data_copying_test(*parts, n_cells=2)
    found = data_copying_test(parts[0], *single[1:], n_cells=2)
    assert_allclose(found, expected, atol=1e-3)


def test_the_score_of_one_cell_is_the_standard_normal_one_of_scipy():
    distances = np.random.default_rng(0).exponential(size=(2, 300)) * [[1], [0.8]]
    test = stats.mannwhitneyu(
        *distances[::-1], alternative="less", use_continuity=False, method="asymptotic"
    )
    score = _copying._mean_score(distances[0], np.zeros(300), distances[1], np.zeros(300))
    assert_allclose(score, stats.norm.ppf(test.pvalue), rtol=1e-10)


def test_unseen_rows_have_the_statistic_of_the_null():
    rng = np.random.default_rng(0)
    draws = [data_copying_test(*rng.normal(size=(3, 200, 2)), n_cells=1) for _ in range(60)]
    assert_allclose(np.mean(draws, axis=0), 0, atol=4 / np.sqrt(60))
    assert_allclose(np.std(draws, axis=0), 1, rtol=4 / np.sqrt(2 * 60))


def test_data_copying_sees_copies_of_one_region_only():
    X_train, X_test, X = codes(2000, 0, 2), codes(2000, 1, 2), codes(2000, 2, 2)
    # What is copied on one side is far from the data on the other one.
    left = X[:, 0] < 0
    nearest = cdist(X[left], X_train).argmin(axis=1)
    X[left] = X_train[nearest]
    assert data_copying_test(X_train, X_test, X).statistic < -4


def test_data_copying_takes_as_many_generated_rows_as_its_null_has():
    X_train, X_test = codes(500, 0, 2), codes(400, 1, 2)
    few, many = X_train[:200], np.tile(X_train, (10, 1))
    statistics = [data_copying_test(X_train, X_test, X, n_cells=1).statistic for X in (few, many)]
    assert_array_equal(statistics[0], statistics[1])


@pytest.mark.parametrize(
    "function, parts, options, message",
    [
        (copied_fraction, (codes(9), codes(9)), {"near_copy": -1}, "near_copy == -1"),
        (copied_fraction, (codes(9), codes(9)[:, :2]), {}, "'X_train' and 'X_generated' must have"),
        (
            data_copying_test,
            (codes(9), codes(30), codes(30)),
            {},
            "No cell has 20 rows of",
        ),
        (data_copying_test, (codes(9), codes(1), codes(30)), {}, "No cell has 20 rows of"),
        (data_copying_test, (codes(9), codes(9), codes(9)), {"n_cells": 0}, "n_cells == 0"),
        (data_copying_test, (codes(9), codes(9)[:, :2], codes(9)), {}, "'X_train' and 'X_test' mu"),
    ],
)
def test_copying_rejects(function, parts, options, message):
    with pytest.raises(ValueError, match=message):
        function(*parts, **options)
