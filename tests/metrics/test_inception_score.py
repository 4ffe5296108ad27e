"""Inception score against its bounds, scipy and the programs that others use."""

# SPDX-License-Identifier: BSD-3-Clause

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax
from scipy.stats import entropy

from latentgen.metrics import inception_score


def logits(n_samples=130, n_classes=7):
    return 2 * np.random.default_rng(0).normal(size=(n_samples, n_classes))


@pytest.mark.parametrize("n_splits", [1, 3, 10])
def test_score_is_that_of_scipys_divergences(n_splits):
    P = softmax(logits(), axis=1)
    bounds = [i * 130 // n_splits for i in range(n_splits + 1)]
    parts = [P[start:stop] for start, stop in pairwise(bounds)]
    scores = [np.exp(np.mean([entropy(p, part.mean(axis=0)) for p in part])) for part in parts]
    found = inception_score(P, n_splits=n_splits)
    assert_allclose(found, [np.mean(scores), np.std(scores)], rtol=1e-10, atol=1e-12)


def test_score_agrees_with_torch_fidelity():
    torch = pytest.importorskip("torch")
    metric = pytest.importorskip("torch_fidelity.metric_isc", exc_type=ImportError)
    expected = metric.isc_features_to_metric(torch.as_tensor(logits()), splits=10, shuffle=False)
    found = inception_score(softmax(logits(), axis=1))
    assert_allclose(found, list(expected.values()), rtol=1e-10)


def test_score_agrees_with_torchmetrics():
    torch = pytest.importorskip("torch")
    metric = pytest.importorskip("torchmetrics.image.inception", exc_type=ImportError)
    # One part, as its parts are of another order.
    score = metric.InceptionScore(feature=torch.nn.Identity(), splits=1)
    score.update(torch.as_tensor(logits()))
    found = inception_score(softmax(logits(), axis=1), n_splits=1)[0]
    assert_allclose(found, float(score.compute()[0]), rtol=1e-6)


def test_score_is_one_where_images_cannot_be_told_apart():
    assert_allclose(inception_score(np.full((40, 4), 0.25)), (1, 0), atol=1e-12)


@pytest.mark.parametrize(
    "P, options, message",
    [
        (np.full((4, 2), 0.5), {}, "minimum of 10 is required by inception_score"),
        (np.full((20, 2), 0.6), {}, "Expected rows of probabilities.* sums from 1.2 to 1.2"),
        (np.tile([1.5, -0.5], (20, 1)), {}, "got values from -0.5"),
        (np.full((20, 2), 0.5), {"n_splits": 0}, "n_splits == 0, must be >= 1"),
    ],
)
def test_score_rejects(P, options, message):
    with pytest.raises(ValueError, match=message):
        inception_score(P, **options)
