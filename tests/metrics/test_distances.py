"""Fréchet and kernel distance against closed forms, slow references and repeated draws."""

# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import linalg

from latentgen.metrics import _distances, frechet_distance, kernel_distance


def features(n_samples, n_features, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(n_features, n_features))
    return rng.normal(size=(n_samples, n_features)) @ mixing + shift


def frechet_by_sqrtm(X, Y):
    """The definition, with the square root of the product of covariances."""
    covariances = [np.atleast_2d(np.cov(part, rowvar=False)) for part in (X, Y)]
    root = linalg.sqrtm(covariances[0] @ covariances[1])
    gap = X.mean(axis=0) - Y.mean(axis=0)
    return gap @ gap + np.trace(covariances[0] + covariances[1] - 2 * root.real)


def kernel_by_loops(X, Y):
    """Equation 3 of Gretton et al. (2012), pair by pair."""

    def mean(A, B, same):
        values = [
            (a @ b / len(a) + 1) ** 3
            for i, a in enumerate(A)
            for j, b in enumerate(B)
            if not (same and i == j)
        ]
        return np.mean(values)

    return mean(X, X, True) + mean(Y, Y, True) - 2 * mean(X, Y, False)


def frechet_quietly(X, Y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return frechet_distance(X, Y)


def test_frechet_of_two_normals_has_its_closed_form():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2000, 3))
    noise -= noise.mean(axis=0)
    noise = noise @ np.linalg.inv(np.linalg.cholesky(np.cov(noise, rowvar=False))).T
    X, Y = noise * [1, 2, 3], noise * [2, 2, 5] + [1, 0, -2]
    # Diagonal covariances: sum of squared differences of means and of standard deviations.
    assert_allclose(frechet_distance(X, Y), (1 + 4) + (1 + 0 + 4), rtol=1e-10)


@pytest.mark.parametrize("n_samples, n_features", [(300, 24), (40, 24), (15, 24), (200, 1)])
def test_frechet_agrees_with_sqrtm(n_samples, n_features):
    X = features(n_samples, n_features)
    Y = features(n_samples + 3, n_features, seed=1, shift=0.5) * 1.5
    assert_allclose(frechet_quietly(X, Y), frechet_by_sqrtm(X, Y), rtol=1e-6)


def test_frechet_agrees_with_torch_fidelity():
    torch = pytest.importorskip("torch")
    metric = pytest.importorskip("torch_fidelity.metric_fid", exc_type=ImportError)
    X, Y = features(300, 24), 1.5 * features(250, 24, seed=1, shift=0.5)
    statistics = [metric.fid_features_to_statistics(torch.as_tensor(part)) for part in (X, Y)]
    expected = metric.fid_statistics_to_metric(*statistics, verbose=False)
    assert_allclose(frechet_distance(X, Y), *expected.values(), rtol=1e-8)


def test_frechet_agrees_with_torchmetrics():
    torch = pytest.importorskip("torch")
    metric = pytest.importorskip("torchmetrics.image.fid", exc_type=ImportError)
    X, Y = features(300, 24), 1.5 * features(250, 24, seed=1, shift=0.5)
    parts = [torch.as_tensor(part) for part in (X, Y)]
    means, covariances = zip(
        *((part.mean(dim=0), torch.cov(part.T)) for part in parts), strict=True
    )
    expected = metric._compute_fid(means[0], covariances[0], means[1], covariances[1])
    assert_allclose(frechet_distance(X, Y), float(expected), rtol=1e-8)


def test_frechet_in_blocks_is_the_same(monkeypatch):
    X, Y = features(500, 8), features(450, 8, seed=1)
    whole = frechet_distance(X, Y)
    monkeypatch.setattr(_distances, "_BLOCK_VALUES", 8)
    assert_allclose(frechet_distance(X, Y), whole, rtol=1e-10)


def test_frechet_of_float32_is_summed_in_float64():
    X, Y = features(400, 8) + 1000, features(400, 8, seed=1) + 1000
    X32, Y32 = X.astype(np.float32), Y.astype(np.float32)
    expected = frechet_distance(X32.astype(np.float64), Y32.astype(np.float64))
    assert_allclose(frechet_distance(X32, Y32), expected, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), shift=st.floats(-5, 5), n_samples=st.integers(3, 40))
def test_frechet_ignores_rotations_and_common_shifts(seed, shift, n_samples):
    X, Y = features(n_samples, 6, seed), features(n_samples + 1, 6, seed + 1, 0.3)
    rotation = linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0]
    expected = frechet_quietly(X, Y)
    assert_allclose(frechet_quietly(X @ rotation + shift, Y @ rotation + shift), expected, 1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), n_samples=st.integers(2, 40))
def test_frechet_is_symmetric_and_zero_for_equal_sets(seed, n_samples):
    X, Y = features(n_samples, 5, seed), features(n_samples + 2, 5, seed + 1)
    assert_allclose(frechet_quietly(X, Y), frechet_quietly(Y, X), rtol=1e-9)
    scale = np.trace(np.atleast_2d(np.cov(X, rowvar=False)))
    assert 0 <= frechet_quietly(X, X[::-1]) <= 1e-12 * scale


@pytest.mark.parametrize("n_samples, warns", [(9, True), (79, True), (80, False)])
def test_frechet_warns_where_it_is_mostly_bias(n_samples, warns):
    X, Y = features(n_samples, 8), features(500, 8, seed=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frechet_distance(X, Y)
    message = f"The covariance of 8 features was estimated from {n_samples} samples; FID is biased"
    assert [str(w.message).startswith(message) for w in caught] == [True] * warns


def test_kernel_distance_agrees_with_loops(monkeypatch):
    X, Y = features(12, 3), features(9, 3, seed=1, shift=0.4)
    assert_allclose(kernel_distance(X, Y)[0], kernel_by_loops(X, Y), rtol=1e-10)
    whole = kernel_distance(X, Y)
    monkeypatch.setattr(_distances, "_BLOCK_VALUES", 30)
    assert_allclose(kernel_distance(X, Y), whole, rtol=1e-10)


def repeated(shift, n_repeats=400):
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=(60, 3)), rng.normal(size=(80, 3)) + shift) for _ in range(n_repeats)]
    return np.array([kernel_distance(X, Y) for X, Y in pairs]).T


def test_kernel_distance_is_unbiased_for_equal_distributions():
    distances, _ = repeated(shift=0.0)
    assert abs(distances.mean()) < 3 * distances.std() / np.sqrt(len(distances))


def test_kernel_distance_error_matches_the_spread_of_repeated_draws():
    distances, errors = repeated(shift=0.8)
    # The spread of 400 values is known to 4 %; heavy tails of the cubic kernel add to that.
    assert_allclose(np.sqrt(np.mean(errors**2)), distances.std(), rtol=0.15)


def test_kernel_distance_error_is_on_the_safe_side_for_equal_distributions():
    distances, errors = repeated(shift=0.0)
    ratio = np.sqrt(np.mean(errors**2)) / distances.std()
    assert 0.9 < ratio < 1.7
    assert np.mean(np.abs(distances) < 2 * errors) > 0.93


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_kernel_distance_ignores_rotations_and_order_of_sets(seed):
    X, Y = features(10, 4, seed), features(11, 4, seed + 1)
    rotation = linalg.qr(np.random.default_rng(seed).normal(size=(4, 4)))[0]
    expected = kernel_distance(X, Y)
    # Differences of large means: compare on the scale of the kernel values.
    scale = np.max((X @ X.T / 4 + 1) ** 3)
    for pair in ((X @ rotation, Y @ rotation), (Y, X)):
        assert_allclose(kernel_distance(*pair)[0], expected[0], rtol=1e-9, atol=1e-12 * scale)


@pytest.mark.parametrize(
    "function, X, Y, message",
    [
        (
            frechet_distance,
            np.ones((1, 2)),
            np.ones((5, 2)),
            "minimum of 2 is required by frechet_distance",
        ),
        (
            kernel_distance,
            np.ones((3, 2)),
            np.ones((5, 2)),
            "minimum of 4 is required by kernel_distance",
        ),
        (frechet_distance, np.ones((5, 2)), np.ones((5, 3)), "must have equally many columns"),
        (kernel_distance, np.ones((5, 2)), np.ones((5, 3)), r"got \(5, 2\) and \(5, 3\)"),
        (frechet_distance, np.full((5, 2), np.nan), np.ones((5, 2)), "X_real contains NaN"),
        (frechet_distance, np.ones((5, 2)), np.full((5, 2), np.inf), "X_generated contains inf"),
    ],
)
def test_distances_reject(function, X, Y, message):
    with pytest.raises(ValueError, match=message):
        function(X, Y)
