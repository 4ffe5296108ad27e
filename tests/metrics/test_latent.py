"""Latent statistic and novelty against scipy, brute force and what they must ignore."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from latentgen.metrics import _latent, latent_ks_statistic, novelty


def codes(n_samples, seed=0, n_features=4):
    return np.random.default_rng(seed).normal(size=(n_samples, n_features))


@pytest.mark.parametrize("decimals", [8, 0], ids=["distinct", "ties"])
def test_ks_is_the_mean_of_scipys_statistic(decimals):
    Z, Z_new = codes(70).round(decimals), (codes(50, seed=1) * 1.3).round(decimals)
    expected = np.mean([stats.ks_2samp(a, b).statistic for a, b in zip(Z.T, Z_new.T, strict=True)])
    assert_allclose(latent_ks_statistic(Z, Z_new), expected, rtol=1e-12)


def test_ks_in_blocks_is_the_same(monkeypatch):
    Z, Z_new = codes(70), codes(50, seed=1)
    whole = latent_ks_statistic(Z, Z_new)
    monkeypatch.setattr(_latent, "_BLOCK_VALUES", 1)
    assert_allclose(latent_ks_statistic(Z, Z_new), whole, rtol=1e-14)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), scale=st.floats(0.1, 10), shift=st.floats(-3, 3))
def test_ks_ignores_monotone_maps(seed, scale, shift):
    Z, Z_new = codes(30, seed), codes(20, seed + 1)
    mapped = [np.exp(scale * part / 10) + shift for part in (Z, Z_new)]
    assert_allclose(latent_ks_statistic(*mapped), latent_ks_statistic(Z, Z_new), rtol=1e-12)


def test_ks_is_zero_for_equal_and_one_for_separate_samples():
    Z = codes(30)
    assert latent_ks_statistic(Z, Z[::-1]) == 0
    assert latent_ks_statistic(Z, Z + 100) == 1


def test_novelty_is_zero_for_copies():
    X_train = codes(100)
    result = novelty(X_train, codes(50, seed=1), X_train[10:30])
    assert (result.novelty, result.near_copies) == (0.0, 1.0)
    assert_array_equal(result.neighbors, np.arange(10, 30))


def test_novelty_is_near_one_for_fresh_draws_of_the_same_distribution():
    result = novelty(codes(1000), codes(1000, seed=1), codes(1000, seed=2))
    spread = np.std(result.test_distances) / np.sqrt(1000) / np.mean(result.test_distances)
    assert abs(result.novelty - 1) < 4 * np.sqrt(2) * spread


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), exponent=st.integers(-12, 12), shift=st.floats(-3, 3))
def test_novelty_ignores_unit_and_origin(seed, exponent, shift):
    parts = codes(40, seed), codes(15, seed + 1), codes(20, seed + 2)
    moved = novelty(*((part + shift) * 10.0**exponent for part in parts))
    assert_allclose(moved.novelty, novelty(*parts).novelty, rtol=1e-9)


def test_near_copies_are_counted_in_units_of_the_distance_there():
    # Gaps of 1 and of 10 between training rows.
    X_train, X_test = np.array([[0.0], [1.0], [40.0], [50.0]]), np.array([[20.0]])
    X_generated = np.array([[0.2], [0.4], [42.0], [44.0]])
    assert_array_equal(novelty(X_train, X_test, X_generated).near, [True, False, True, False])
    assert novelty(X_train, X_test, X_generated).near_copies == 0.5
    assert novelty(X_train, X_test, X_generated, near_copy=0.5).near_copies == 1
    assert novelty(X_train, X_test, X_generated).novelty == pytest.approx(6.6 / 4 / 19)


@pytest.mark.parametrize(
    "parts, options, message",
    [
        ((codes(9), codes(9)[:3], codes(9)), {}, "All 3 rows of 'X_test' are rows of 'X_train'"),
        ((np.ones((9, 4)), np.ones((3, 4)), codes(9)), {"test_rows": [0, 1, 2]}, "No row of 'X_te"),
        ((codes(9), codes(9)[:, :2], codes(9)), {}, "'X_train' and 'X_test' must have equally"),
        ((codes(9), codes(9, 1), codes(9)[:, :2]), {}, "'X_train' and 'X_generated' must have"),
        ((codes(9), codes(9, 1), codes(9)), {"near_copy": -1}, "near_copy == -1"),
    ],
)
def test_novelty_rejects(parts, options, message):
    with pytest.raises(ValueError, match=message):
        novelty(*parts, **options)


def test_half_of_the_test_rows_being_training_rows_does_not_hide_copies():
    # near_copies was 0 for copies of this kind, whose unit was 0.
    X_train, X_test = codes(400), codes(200, seed=1)
    mixed = np.concatenate([X_train[:110], X_test[:90]])
    X_new = X_train[200:] + 0.03 * codes(200, seed=2)
    with pytest.warns(UserWarning, match="110 of 200 test rows are training rows"):
        result = novelty(X_train, mixed, X_new)
    expected = novelty(X_train, X_test, X_new)
    assert expected.near_copies > 0.9
    assert_allclose(result.near_copies, expected.near_copies, atol=0.05)
    assert_allclose(result.novelty, expected.novelty, rtol=0.2)


def test_a_test_row_among_the_training_rows_is_measured_to_the_others():
    X_train = np.array([[0.0], [0.0], [1.0], [5.0]])
    with pytest.warns(UserWarning, match="3 of 4 test rows"):
        result = novelty(X_train, [*X_train[1:], [7.0]], X_train[:1])
    assert_array_equal(result.test_distances, [1, 1, 4, 2])


def test_copies_count_where_most_test_rows_lie_on_others():
    X_train = np.array([[0.0], [0.0], [3.0]])
    result = novelty(X_train, X_train, X_train, test_rows=[0, 1, 2])
    assert_array_equal(result.test_distances, [0, 0, 3])
    assert result.near_copies == 1


def test_test_rows_say_which_training_row_is_not_compared_with():
    X_train, X_test = np.array([[0.0], [2.0], [5.0]]), np.array([[0.5], [1.5], [5.0]])
    result = novelty(X_train, X_test, X_train, test_rows=[0, -1, 2])
    assert_array_equal(result.test_distances, [1.5, 0.5, 3])


@pytest.mark.parametrize("exponent", [-1000, -600, 500, 900, 1010])
@pytest.mark.parametrize("n_features", [4, 12])
def test_novelty_of_numbers_at_the_ends_of_the_range(exponent, n_features):
    parts = [codes(40, seed, n_features) for seed in range(3)]
    scaled = [np.ldexp(part, exponent) for part in parts]
    assert novelty(*scaled).novelty == pytest.approx(novelty(*parts).novelty)
    expected = np.ldexp(novelty(*parts).distances, exponent)
    assert_allclose(novelty(*scaled).distances, expected, rtol=1e-6)


def test_ks_rejects_codes_of_different_width():
    with pytest.raises(ValueError, match="'Z_real' and 'Z_generated' must have equally"):
        latent_ks_statistic(codes(9), codes(9)[:, :2])
