"""Precision, recall, density and coverage against the package of their authors."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose

from latentgen.metrics import _manifold, precision_recall_density_coverage


def features(n_samples, n_features=8, seed=0, scale=1.0):
    return scale * np.random.default_rng(seed).normal(size=(n_samples, n_features))


@pytest.mark.parametrize("n_features", [2, 64])
@pytest.mark.parametrize("n_neighbors", [1, 5])
def test_the_four_agree_with_prdc(n_neighbors, n_features):
    prdc = pytest.importorskip("prdc")
    X, Y = features(300, n_features), features(200, n_features, seed=1, scale=0.8) + 0.1
    expected = prdc.compute_prdc(X, Y, n_neighbors)
    found = precision_recall_density_coverage(X, Y, n_neighbors=n_neighbors)
    assert_allclose(found, [expected[name] for name in found._fields], atol=1e-6)


def test_the_four_in_blocks_are_the_same(monkeypatch):
    X, Y = features(90), features(70, seed=1)
    whole = precision_recall_density_coverage(X, Y)
    monkeypatch.setattr(_manifold, "_BLOCK_VALUES", 300)
    assert precision_recall_density_coverage(X, Y) == whole


def test_the_four_ignore_a_common_shift():
    # Float32 numbers, so that the shift rounds nothing away.
    X, Y = (features(200, seed=seed).astype(np.float32).astype(float) for seed in (0, 1))
    moved = precision_recall_density_coverage(X + 2**10, Y + 2**10)
    assert moved == precision_recall_density_coverage(X, Y)


def test_density_and_coverage_of_identical_distributions_are_as_expected():
    rng = np.random.default_rng(0)
    n, m, k = 60, 40, 3
    pairs = [np.split(rng.normal(size=(n + m, 3)), [n]) for _ in range(200)]
    draws = [precision_recall_density_coverage(*pair, n_neighbors=k) for pair in pairs]
    _, _, density, coverage = np.transpose(draws)
    expected = 1 - np.prod([(n - i) / (n + m - i) for i in range(1, k + 1)])
    for values, value in [(density, 1), (coverage, expected)]:
        assert abs(values.mean() - value) < 3 * values.std() / np.sqrt(200)


def test_copies_of_the_real_rows_are_perfect():
    # Other copies of the real rows lie just at the radius, whatever rounding makes of it.
    X = features(200, 32)
    assert precision_recall_density_coverage(X, X[::-1]) == (1, 1, 1, 1)


def test_rounding_does_not_put_rows_into_balls_of_radius_zero():
    # Each real row is there eight times, and the program of the paper finds nothing inside.
    X = np.repeat(features(40, 50), 8, axis=0)
    assert precision_recall_density_coverage(X, X[::-1]) == (0, 0, 0, 0)


def test_a_missing_half_lowers_recall_and_coverage_only():
    X, Y = features(400), features(400, seed=1)
    X[:200, 0] += 20
    found = precision_recall_density_coverage(X, Y)
    assert found.precision > 0.8 and found.density > 0.8
    assert found.recall < 0.55 and found.coverage < 0.55


@pytest.mark.parametrize(
    "X, Y, options, message",
    [
        (features(5), features(9), {}, "minimum of 6 is required by precision_recall_density_cov"),
        (features(9), features(9)[:, :2], {}, "must have equally many columns"),
        (features(9), features(9), {"n_neighbors": 0}, "n_neighbors == 0, must be >= 1"),
    ],
)
def test_the_four_reject(X, Y, options, message):
    with pytest.raises(ValueError, match=message):
        precision_recall_density_coverage(X, Y, **options)
