"""EquivarianceRegularizer and ScaleEquivarianceRegularizer: codes that move with the image."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
import torch
from _regularized import NEARLY_ALWAYS, Pooling, loss_with, maps, name, step_with, trained
from numpy.testing import assert_allclose
from torch.nn import functional as F

from latentgen.autoencoders import (
    EquivarianceRegularizer,
    HighFrequencyCut,
    ScaleEquivarianceRegularizer,
)
from latentgen.metrics import equivariance_error, scale_equivariance_error
from latentgen.networks._reconstruction import Code


def test_equivariance_costs_an_equivariant_autoencoder_nothing(x):
    regularizer = EquivarianceRegularizer(p_eq=NEARLY_ALWAYS, min_scale=None, flips=True)
    (plain, _), (turned, _) = loss_with(x), loss_with(x, regularizer)
    assert plain > 0.01
    assert_allclose(turned, plain, rtol=1e-5)


def test_equivariance_turns_and_scales_code_and_image_alike(x):
    step, regularizer = step_with(EquivarianceRegularizer(p_eq=NEARLY_ALWAYS, min_scale=0.5), x)
    seen = set()
    for _ in range(30):
        regularizer._replace(step)
        expected = Pooling().decode_map(F.avg_pool2d(step.target, 2))
        assert step.target.shape == step.logits.shape
        if step.target.shape[2] == 4:  # Exact for half the side, whose weights are 1/2.
            assert_allclose(step.logits, expected, atol=1e-4)
        seen.add(step.target.shape[2])
    assert seen == {4, 6, 8}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equivariance_error_falls_by_a_fifth(seed, digits):
    X = digits[0]
    control = trained(random_state=seed).fit(X)
    model = trained(EquivarianceRegularizer(min_scale=None), random_state=seed).fit(X)
    assert equivariance_error(model, X) < 0.8 * equivariance_error(control, X)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scale_equivariance_error_falls_by_a_quarter(seed, digits):
    X = digits[0]
    control = trained(random_state=seed).fit(X)
    model = trained(ScaleEquivarianceRegularizer(), random_state=seed).fit(X)
    assert scale_equivariance_error(model, X) < 0.75 * scale_equivariance_error(control, X)


def test_kl_of_small_images_is_shared_by_their_pixels(x):
    # Codes of unit variance and mean: 1 / 2 nat for each of 4 values, over 16 pixels.
    class Variational(Pooling):
        def encode(self, x, mask=None):
            mean = torch.ones_like(super().encode(x).mean)
            return Code(mean, torch.zeros_like(mean))

    for one in ([], [EquivarianceRegularizer(p_eq=0.0, p_low=NEARLY_ALWAYS)]):
        without, with_kl = (loss_with(x, *one, module=Variational(beta))[0] for beta in (0.0, 1.0))
        assert_allclose(with_kl - without, 0.5 / 4, rtol=1e-5)


@pytest.mark.parametrize("other", [ScaleEquivarianceRegularizer(), HighFrequencyCut()], ids=name)
def test_small_images_of_odd_sides_stay_aligned(other):
    X = np.random.RandomState(0).rand(40, 2, 13, 18).astype(np.float32)
    pair = [EquivarianceRegularizer(p_eq=0.0, p_low=NEARLY_ALWAYS, min_scale=0.5), other]
    report = maps(*pair, latent_dim=40, channels=(4, 4)).fit(X).history_[0]["regularizers"]
    assert all(entry["weight"] > 0 and np.isfinite(entry["loss"]) for entry in report)


def test_only_whole_images_are_padded():
    X = np.random.RandomState(0).rand(40, 2, 13, 18).astype(np.float32)
    module = maps(latent_dim=40, channels=(4, 4)).fit(X).net_.module_
    small = torch.rand(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    assert module.pad(small) is small and module.pad(torch.tensor(X)).shape[2:] == (16, 20)


def test_scale_equivariance_has_the_exact_value_on_a_linear_autoencoder(x):
    step, regularizer = step_with(ScaleEquivarianceRegularizer(), x)
    step.encode(x)
    images = x.numpy().astype(np.float64)
    small = images.reshape(5, 1, 4, 2, 4, 2).mean(axis=(3, 5))
    codes = images.reshape(5, 1, 2, 4, 2, 4).mean(axis=(3, 5))
    expected = np.mean((small - codes.repeat(2, axis=2).repeat(2, axis=3)) ** 2)
    assert_allclose(regularizer._penalty(step), expected, rtol=1e-5)
    (plain, _), (total, _) = loss_with(x), loss_with(x, ScaleEquivarianceRegularizer())
    assert_allclose(total - plain, 0.25 * expected, rtol=1e-4)
