"""HighFrequencyCut: code maps that hold little in their high frequencies."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from _regularized import trained
from numpy.testing import assert_allclose

from latentgen.autoencoders import HighFrequencyCut
from latentgen.autoencoders.regularizers._frequencies import low_pass
from latentgen.metrics import high_frequency_fraction


def test_high_frequencies_get_less(digits):
    X, means = digits[0], []
    for regularizers in ([], [HighFrequencyCut()]):
        models = [trained(*regularizers, random_state=seed).fit(X) for seed in (0, 1, 2)]
        fractions = [
            high_frequency_fraction(model.transform(X), code_shape=model.code_shape_)
            for model in models
        ]
        means.append(np.mean(fractions))
    assert means[1] < 0.95 * means[0]


def test_low_pass_keeps_the_lowest_frequencies(x):
    assert_allclose(low_pass(x, 1.0), x, atol=1e-6)
    mean = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
    assert_allclose(low_pass(x, 1 / 64), mean, atol=1e-6)
    half = low_pass(x, 0.5)
    assert_allclose(low_pass(half, 0.5), half, atol=1e-6)
