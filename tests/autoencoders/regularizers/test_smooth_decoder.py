"""NoiseAugmentedDecoding and LatentPerceptualLoss: decoders that forgive small errors."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import torch
from _regularized import NEARLY_ALWAYS, loss_with, maps, step_with, trained
from numpy.testing import assert_allclose

from latentgen.autoencoders import LatentPerceptualLoss, NoiseAugmentedDecoding
from latentgen.autoencoders.regularizers._smooth_decoder import perceptual_distance


def test_noise_makes_noisy_codes_decodable(digits):
    X, errors = digits[0], []
    for regularizers in ([], [NoiseAugmentedDecoding(sigma=1.0, p=0.9)]):
        model = trained(*regularizers, max_epochs=16).fit(X)
        Z = model.transform(X)
        noise = np.random.RandomState(0).standard_normal(Z.shape) * Z.std(axis=0)
        errors.append(np.mean((model.inverse_transform(Z + noise) - X) ** 2))
    assert errors[1] < 0.9 * errors[0]


def test_noise_has_the_scale_of_the_codes(x):
    regularizer = NoiseAugmentedDecoding(sigma=0.3, p=NEARLY_ALWAYS)
    step, regularizer = step_with(regularizer, x.repeat(200, 1, 1, 1))
    regularizer._replace(step)
    noise = torch.sigmoid(step.logits)[..., ::2, ::2].nan_to_num(0) - step.z
    inside = (noise + step.z > 0.01) & (noise + step.z < 0.99)
    assert_allclose(noise[inside].std() / step.z.std(), 0.3, rtol=0.1)


def test_weight_of_noisy_decoding_is_that_of_its_reconstruction(x):
    once, thrice = (
        loss_with(x, NoiseAugmentedDecoding(p=NEARLY_ALWAYS, weight=weight))[0] for weight in (1, 3)
    )
    assert_allclose(thrice, 3 * once, rtol=1e-6)


def feature_maps(seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(4, c, s, s, generator=generator) for c, s in ((3, 4), (2, 8))]


def test_perceptual_distance_of_equal_features_is_zero():
    assert perceptual_distance(feature_maps(0), feature_maps(0), 0.02) == 0


def test_perceptual_distance_does_not_see_scale_and_offset_of_channels():
    first, second = feature_maps(0), feature_maps(1)
    scaled = [
        [f * torch.arange(1.0, f.shape[1] + 1).view(-1, 1, 1) * 7 + 3 for f in features]
        for features in (first, second)
    ]
    expected = perceptual_distance(first, second, 0.02)
    assert expected > 0.5
    assert_allclose(perceptual_distance(*scaled, 0.02), expected, rtol=1e-4)


def test_perceptual_distance_halves_later_stages():
    first, second = feature_maps(0), feature_maps(1)
    coarse, fine = (perceptual_distance([a], [b], 0.0) for a, b in zip(first, second, strict=True))
    assert_allclose(perceptual_distance(first, second, 0.0), coarse + fine / 2, rtol=1e-5)


def test_perceptual_distance_leaves_out_both_ends_of_each_channel():
    x, x_hat = (f[0].transpose(0, 1).flatten(1).numpy() for f in (feature_maps(0), feature_maps(1)))
    # 64 values in each of three channels, of which 10 % are 6.
    low, high = np.sort(x_hat, axis=1)[:, [6, -7]].T[..., np.newaxis]
    kept = (x_hat >= low) & (x_hat <= high)
    expected = np.mean(kept * (x - x_hat) ** 2 / x_hat.var(axis=1, keepdims=True))
    assert kept.sum() == 3 * 52
    found = perceptual_distance(feature_maps(0)[:1], feature_maps(1)[:1], 0.1)
    assert_allclose(found, expected, rtol=1e-5)


def test_decoder_smoothness_gives_the_encoder_no_gradient(digits):
    module = maps().fit(digits[0]).net_.module_.train()
    step, regularizer = step_with(LatentPerceptualLoss(), torch.tensor(digits[0]), module=module)
    step.encode(step.x)
    module.zero_grad()
    regularizer._penalty(step).backward()
    assert all(p.grad is None for p in module.encoder_stages.parameters())
    assert module.code_layer.weight.grad is None
    assert module.first_layer.weight.grad.abs().max() > 0
