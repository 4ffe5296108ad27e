"""Intervals of values and of paired differences."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from latentgen.metrics import (
    bootstrap_interval,
    frechet_distance,
    kernel_distance,
    paired_difference,
)

A, B = np.array([5.2, 4.8, 3.9]), np.array([6.0, 5.9, 4.2])

# paired_difference


@pytest.mark.parametrize("confidence", [0.95, 0.5])
def test_paired_difference_is_that_of_the_t_test(confidence):
    expected = stats.ttest_rel(A, B)
    interval = expected.confidence_interval(confidence)
    result = paired_difference(A, B, confidence=confidence)
    assert_allclose(result[1:], [interval.low, interval.high, expected.pvalue], rtol=1e-10)
    assert result.difference == pytest.approx(np.mean(A - B))


def test_difference_from_a_number_is_the_interval_of_the_mean():
    interval = stats.ttest_1samp(A - 4, 0).confidence_interval()
    result = paired_difference(A, 4)
    assert_allclose((result.low, result.high), (interval.low, interval.high), rtol=1e-10)


@pytest.mark.parametrize("step, p_value", [(0.0, 1), (1.0, 0)])
def test_equal_differences_have_an_interval_of_one_value(step, p_value):
    assert paired_difference([2 + step, 3 + step], [2, 3]) == (step, step, step, p_value)


@pytest.mark.parametrize(
    "a, b, message",
    [
        ([1], [2], "at least 2, got shapes"),
        ([1, 2], [1, 2, 3], "equally many values"),
        ([1, np.nan], 0, "Expected finite values"),
    ],
)
def test_what_cannot_be_paired_is_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        paired_difference(a, b)


# bootstrap_interval


def test_bootstrap_is_near_the_interval_of_the_normal_distribution():
    x = np.random.default_rng(0).normal(size=2000)
    value, low, high = bootstrap_interval(x)
    assert value == pytest.approx(x.mean())
    # Half widths of 999 resamples have a standard error of about 3 %.
    assert_allclose([value - low, high - value], 1.96 * stats.sem(x), rtol=0.12)


def test_bootstrap_of_an_accuracy_is_near_that_of_wilson():
    correct = np.repeat([1, 0], [950, 50])
    expected = stats.binomtest(950, 1000).proportion_ci(method="wilson")
    assert_allclose(bootstrap_interval(correct)[1:], expected, atol=0.003)


def test_samples_are_resampled_apart():
    rng = np.random.default_rng(0)
    generated, real = rng.gamma(4, size=(2, 500))
    ratio = lambda x, y: np.mean(x) / np.mean(y)  # noqa: E731
    value, low, high = bootstrap_interval(generated, real, statistic=ratio)
    error = value * np.hypot(stats.sem(generated) / generated.mean(), stats.sem(real) / real.mean())
    assert value == ratio(generated, real)
    assert_allclose(high - low, 2 * 1.96 * error, rtol=0.12)


def test_parameters_of_the_bootstrap_are_used():
    x = np.random.default_rng(0).normal(size=50)
    default, again, other = (bootstrap_interval(x, random_state=seed) for seed in (0, 0, 1))
    assert default == again != other
    narrow = bootstrap_interval(x, confidence=0.5)
    assert narrow.high - narrow.low < 0.5 * (default.high - default.low)
    assert bootstrap_interval(x, n_resamples=99) != default
    assert bootstrap_interval(x, statistic=np.median).value == np.median(x)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_distances_of_feature_distributions_are_not_resampled(distance):
    X = np.zeros((5, 2))
    with pytest.raises(ValueError, match=f"got {distance.__name__}.*paired_difference"):
        bootstrap_interval(X, X, statistic=distance)


def test_resamples_double_the_bias_of_the_frechet_distance():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(2, 1000, 16))
    rows = rng.integers(1000, size=(20, 2, 1000))
    resampled = np.mean([frechet_distance(X[i], Y[j]) for i, j in rows])
    assert resampled == pytest.approx(2 * frechet_distance(X, Y), rel=0.15)


@pytest.mark.parametrize(
    "samples, message",
    [
        ([], "at least one sample, got none"),
        ([[]], r"shape \(0,\) with 0"),
        ([[1, 2], [1, np.nan]], r"shape \(2,\) with 1 that are not finite"),
        ([np.eye(2)], r"shape \(2, 2\)"),
    ],
)
def test_what_is_not_one_value_for_each_image_is_refused(samples, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(*samples)


def test_equal_values_have_no_interval():
    with pytest.raises(ValueError, match="all resamples have the same value"):
        bootstrap_interval(np.ones(10))
