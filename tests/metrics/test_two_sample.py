"""Energy distance and classifier two-sample test against loops, scipy and repeated draws."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.spatial.distance import cdist, pdist
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from latentgen.metrics import _manifold, classifier_two_sample_test, energy_distance


def codes(n_samples, seed=0, n_features=4):
    return np.random.default_rng(seed).normal(size=(n_samples, n_features))


@pytest.mark.parametrize("offset", [0, 1e4])
def test_energy_agrees_with_all_pairs(offset):
    X, Y = codes(50) + offset, 1.3 * codes(40, seed=1) + offset
    expected = 2 * cdist(X, Y).mean() - pdist(X).mean() - pdist(Y).mean()
    assert_allclose(energy_distance(X, Y), expected, rtol=1e-8)


def test_energy_of_one_dimension_is_the_square_of_scipys_without_its_bias():
    X, Y = codes(50, 0, 1), codes(40, 1, 1) + 0.3
    bias = pdist(X).mean() / 50 + pdist(Y).mean() / 40
    expected = stats.energy_distance(X[:, 0], Y[:, 0]) ** 2 - bias
    assert_allclose(energy_distance(X, Y), expected, rtol=1e-10)


def test_energy_in_blocks_is_the_same(monkeypatch):
    X, Y = codes(50), codes(40, seed=1)
    whole = energy_distance(X, Y)
    monkeypatch.setattr(_manifold, "_BLOCK_VALUES", 100)
    assert_allclose(energy_distance(X, Y), whole, rtol=1e-10)


def test_energy_of_identical_distributions_is_zero_on_average():
    values = [energy_distance(*np.split(codes(50, seed), [20])) for seed in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)


@pytest.mark.parametrize("exponent", [-600, 500])
def test_energy_of_numbers_at_the_ends_of_the_range(exponent):
    X, Y = codes(20), codes(20, seed=1) + 1
    expected = np.ldexp(energy_distance(X, Y), exponent)
    assert_allclose(energy_distance(np.ldexp(X, exponent), np.ldexp(Y, exponent)), expected)


def test_classifier_finds_the_accuracy_that_is_possible():
    X, Y = codes(2000), codes(2000, seed=1) + [1, 0, 0, 0]
    accuracy, p_value = classifier_two_sample_test(X, Y, classifier=LinearDiscriminantAnalysis())
    assert abs(accuracy - stats.norm.cdf(0.5)) < 4 * 0.5 / np.sqrt(4000)
    assert p_value < 1e-9


def test_classifier_by_default_sees_a_difference_between_dimensions_only():
    X, Y = codes(500, n_features=2), codes(500, 1, 2)
    Y[:, 1] = 0.8 * Y[:, 0] + 0.6 * Y[:, 1]
    assert classifier_two_sample_test(X, Y)[1] < 1e-3


def test_classifier_never_judges_what_it_was_trained_on():
    X, Y = codes(300), codes(300, seed=1)
    accuracy, _ = classifier_two_sample_test(X, Y, classifier=KNeighborsClassifier(1))
    assert accuracy < 0.6


def test_classifier_rejects_identical_distributions_at_most_as_often_as_it_says():
    # Folds share rows: by a binomial distribution 14 % of these would be below 5 %.
    nearest = NearestCentroid()
    pairs = (np.split(codes(400, seed, 16), 2) for seed in range(80))
    p_values = [classifier_two_sample_test(*pair, classifier=nearest)[1] for pair in pairs]
    assert np.mean(np.array(p_values) < 0.05) < 0.08


def test_p_value_is_that_of_a_variance_widened_for_five_folds():
    X, Y = codes(200), codes(200, seed=1) + [0.3, 0, 0, 0]
    accuracy, p_value = classifier_two_sample_test(X, Y, classifier=NearestCentroid())
    assert 0.01 < p_value < 0.5
    assert_allclose(p_value, stats.norm.sf((accuracy - 0.5) / np.sqrt(0.25 / 400 * 2.25)))


def test_two_sample_test_refuses_what_is_not_a_classifier():
    with pytest.raises(ValueError, match="'classifier' must be a classifier, got Ridge"):
        classifier_two_sample_test(codes(9), codes(9), classifier=Ridge())


def test_classifier_takes_equally_many_of_both():
    X, Y = codes(900), codes(100, seed=1)
    accuracy, _ = classifier_two_sample_test(X, Y, classifier=LinearDiscriminantAnalysis())
    assert 0.35 < accuracy < 0.65


def test_classifier_follows_its_seed():
    X, Y = codes(60), codes(60, seed=1)
    steps = make_pipeline(StandardScaler(), SGDClassifier(max_iter=5, tol=None))
    first, again, *others = (
        classifier_two_sample_test(X, Y, classifier=steps, random_state=seed)
        for seed in (0, 0, 1, 2, 3)
    )
    assert first == again and any(other != first for other in others)


@pytest.mark.parametrize(
    "function, X, Y, message",
    [
        (energy_distance, codes(1), codes(9), "minimum of 2 is required by energy_distance"),
        (energy_distance, codes(9), codes(9)[:, :2], "must have equally many columns"),
        (classifier_two_sample_test, codes(4), codes(9), "minimum of 5 is required by classifier"),
        (classifier_two_sample_test, codes(9), codes(9)[:, :2], "must have equally many columns"),
    ],
)
def test_two_samples_reject(function, X, Y, message):
    with pytest.raises(ValueError, match=message):
        function(X, Y)
