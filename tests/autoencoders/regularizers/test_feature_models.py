"""Feature models of regularizers: gradients, moments, small networks."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
import torch
from _regularized import Pooling, maps
from numpy.testing import assert_allclose

from latentgen.autoencoders.regularizers._feature_models import (
    HOG,
    LocalMoments,
    _FeatureModel,
    build_features,
)


def test_hog_tells_the_direction_of_an_edge():
    stripes = torch.zeros(1, 1, 16, 16)
    stripes[..., ::4] = stripes[..., 1::4] = 1
    both = HOG(8)(torch.cat([stripes, stripes.transpose(2, 3)]))
    assert both.shape == (2, 8, 2, 2)
    # Gradients along the rows are at angle 0 or pi, those along columns at pi / 2.
    assert (both[0].argmax(dim=0) == 0).all() and (both[1].argmax(dim=0) == 4).all()
    assert_allclose(both.norm(dim=1), np.ones((2, 2, 2)), atol=0.01)
    assert HOG(8)(torch.zeros(1, 1, 16, 16)).abs().max() == 0


def test_local_moments_are_those_of_each_cell(x):
    cells = x.numpy().reshape(5, 2, 4, 2, 4)
    expected = np.stack([cells.mean(axis=(2, 4)), cells.std(axis=(2, 4))], axis=1)
    assert_allclose(LocalMoments(4)(x), expected, atol=1e-4)


def features_of(kind, digits, seeds=(0,), module=None):
    """Features of the images by a small network that was trained on them, and its shape."""
    module = maps(channels=(8,)).fit(digits[0]).net_.module_ if module is None else module
    X, y = digits[0].reshape(200, -1), digits[1]
    features = build_features(kind, X, y, module, "cpu", seeds)
    return features(torch.tensor(digits[0])).numpy()


@pytest.mark.parametrize("kind", ["dae", "classifier"])
def test_networks_are_decided_by_the_seeds_alone(kind, digits):
    before = torch.get_rng_state()
    first, again, other = (features_of(kind, digits, seeds) for seeds in ((1, 2), (1, 2), (1, 3)))
    assert first.shape == (200, 8, 4, 4)
    assert np.array_equal(first, again) and not np.allclose(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_without_widths_gets_features_too(digits):
    assert features_of("dae", digits, module=Pooling()).shape[:2] == (200, 16)


@pytest.mark.parametrize("kind", ["dae", "classifier"])
def test_networks_learn(kind, digits):
    X, y = np.repeat(digits[0].reshape(200, -1), 5, axis=0), np.repeat(digits[1], 5)
    design = {"kind": kind, "image_shape": (1, 8, 8), "latent_dim": 10, "channels": (8,)}
    model = _FeatureModel("cpu")
    model._train_network(X, y, design=design, rng=np.random.RandomState(0))
    losses = [row["train_loss"] for row in model.history_]
    assert len(losses) == 3 and losses[2] < losses[1] < losses[0]
