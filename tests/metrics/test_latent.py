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


def test_near_copies_counts_rows_closer_than_the_given_share_of_the_real_median():
    X_train, X_test = np.zeros((1, 1)), np.array([[1.0], [2.0], [9.0]])
    X_generated = np.array([[0.5], [0.7], [1.5], [3.0]])
    assert novelty(X_train, X_test, X_generated).near_copies == 0.25
    assert novelty(X_train, X_test, X_generated, near_copy=0.5).near_copies == 0.5
    assert novelty(X_train, X_test, X_generated).novelty == pytest.approx(1.425 / 4)


@pytest.mark.parametrize(
    "parts, options, message",
    [
        ((codes(9), codes(9)[:3], codes(9)), {}, "All 3 rows of 'X_test' are rows of 'X_train'"),
        ((codes(9), codes(9)[:, :2], codes(9)), {}, "'X_train' and 'X_test' must have equally"),
        ((codes(9), codes(9, 1), codes(9)[:, :2]), {}, "'X_train' and 'X_generated' must have"),
        ((codes(9), codes(9, 1), codes(9)), {"near_copy": -1}, "near_copy == -1"),
    ],
)
def test_novelty_rejects(parts, options, message):
    with pytest.raises(ValueError, match=message):
        novelty(*parts, **options)


def test_ks_rejects_codes_of_different_width():
    with pytest.raises(ValueError, match="'Z_real' and 'Z_generated' must have equally"):
        latent_ks_statistic(codes(9), codes(9)[:, :2])
