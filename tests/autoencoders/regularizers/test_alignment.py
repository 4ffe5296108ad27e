"""FeatureAlignmentRegularizer: codes that look like the features of a frozen network."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
import torch
from _regularized import loss_with, maps, trained
from numpy.testing import assert_allclose
from torch import nn

from latentgen.autoencoders import FeatureAlignmentRegularizer
from latentgen.autoencoders.regularizers import _alignment
from latentgen.autoencoders.regularizers._alignment import alignment_losses


def test_alignment_compares_a_limited_number_of_positions(x, monkeypatch):
    shapes = []

    def losses(projected, features, *margins):
        shapes.append((projected.shape, features.shape[2]))
        return (projected.sum(),)

    monkeypatch.setattr(_alignment, "_POSITIONS", 5)
    monkeypatch.setattr(_alignment, "alignment_losses", losses)
    loss_with(x, FeatureAlignmentRegularizer(feature_model="hog"))
    assert shapes[0][0][2] == shapes[0][1] == 5


def test_alignment_costs_nothing_where_codes_are_the_features():
    features = torch.randn(3, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    for loss in alignment_losses(5 * features, features, 0.0, 0.0):
        assert_allclose(loss, 0, atol=1e-6)


@pytest.mark.parametrize("margins, expected", [((0, 0), (0.2, 0.4)), ((0.15, 0.1), (0.125, 0.35))])
def test_alignment_margins_are_honored(margins, expected):
    # Two positions: one code agrees with its feature, the other has a cosine of 0.6 to it.
    features = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]).view(1, 2, 1, 2)
    projected = torch.tensor([[[1.0, 0.8], [0.0, 0.6]]]).view(1, 2, 1, 2)
    # The mean over positions of 1 - 0.6 - margin, and over pairs of 0.8 - margin.
    assert_allclose(alignment_losses(projected, features, *margins), expected, atol=1e-6)


class Spied(nn.Conv2d):
    """Remembers the modes in which it was called."""

    modes = []

    def forward(self, x):
        self.modes.append((self.training, torch.is_grad_enabled(), self.weight.requires_grad))
        return super().forward(x)


def test_the_feature_model_is_frozen_and_the_projection_is_dropped(digits):
    network = Spied(1, 6, 2, stride=2).train()
    Spied.modes.clear()
    model = maps(FeatureAlignmentRegularizer(feature_model=network, weight=1.0)).fit(digits[0])
    assert set(Spied.modes) == {(False, False, False)} and len(Spied.modes) > 5
    assert network.training and network.weight.requires_grad  # The user's own is as it was.
    kept, plain = (m.net_.module_.state_dict() for m in (model, maps().fit(digits[0])))
    assert list(kept) == list(plain)


def test_alignment_learns_a_projection(digits):
    losses = [
        row["regularizers"][0]["loss"]
        for row in trained(FeatureAlignmentRegularizer(feature_model="hog", weight=1.0))
        .fit(digits[0])
        .history_
    ]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(
    "y, message",
    [
        (np.zeros(3), "inconsistent numbers of samples"),
        (np.linspace(0, 1, 150), "Unknown label type: continuous"),
        (np.where(np.arange(150) < 3, np.nan, 1), "contains NaN"),
    ],
    ids=["too short", "continuous", "nan"],
)
def test_labels_of_the_classifier_are_checked(digits, y, message):
    model = maps(FeatureAlignmentRegularizer(feature_model="classifier"))
    with pytest.raises(ValueError, match=message):
        model.fit(digits[0], np.resize(y, len(digits[0])) if len(y) > 3 else y)
