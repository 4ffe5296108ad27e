"""Fréchet distance at infinitely many samples against known distances and repeated draws."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose

from latentgen.metrics import frechet_distance, frechet_distance_infinity

N_FEATURES, SHIFT = 8, 0.3


def pair(n_samples, seed, shift=SHIFT):
    X, Y = np.random.default_rng(seed).normal(size=(2, n_samples, N_FEATURES))
    return X, Y + shift


@pytest.mark.parametrize("shift", [0, SHIFT])
@pytest.mark.parametrize("n_samples", [100, 400])
def test_value_is_that_of_the_distributions_at_any_number_of_samples(n_samples, shift):
    pairs = [pair(n_samples, seed, shift) for seed in range(60)]
    values = np.array([frechet_distance_infinity(*each)[0] for each in pairs])
    expected, error = N_FEATURES * shift**2, values.std() / np.sqrt(60)
    assert abs(values.mean() - expected) < 3 * error
    assert frechet_distance(*pairs[0]) > expected + 5 * error


def test_standard_error_is_the_spread_of_repeated_draws():
    found = np.array([frechet_distance_infinity(*pair(400, seed)) for seed in range(80)])
    # The spread of 80 values is known to 8 %; parts of a fifth add to the error.
    assert_allclose(np.sqrt(np.mean(found[:, 1] ** 2)), found[:, 0].std(), rtol=0.35)


def test_value_is_the_line_through_distances_of_parts():
    X, Y = pair(1000, 0)
    rng = np.random.RandomState(3)
    X_mixed, Y_mixed = X[rng.permutation(1000)], Y[rng.permutation(1000)]
    means = [
        np.mean([frechet_distance(X_mixed[part], Y_mixed[part]) for part in np.split(rows, n)])
        for rows, n in ((np.arange(1000), n) for n in (1, 2, 5))
    ]
    line = np.linalg.lstsq(np.c_[np.ones(3), [1, 2, 5]], np.array(means), rcond=None)[0]
    found = [frechet_distance_infinity(X, Y, random_state=seed)[0] for seed in (3, 3, 4)]
    assert_allclose(found[:2], line[0], rtol=1e-9)
    assert found[2] != found[0]


@pytest.mark.parametrize(
    "X, Y, message",
    [
        (np.ones((9, 2)), np.ones((50, 2)), "minimum of 10 is required by frechet_distance_inf"),
        (np.ones((50, 2)), np.ones((50, 3)), "must have equally many columns"),
    ],
)
def test_infinity_rejects(X, Y, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance_infinity(X, Y)
