"""What NetworkAutoencoder does beyond the contract of every autoencoder."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from latentgen import NetworkAutoencoder


def encoder():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))


def decoder():
    return nn.Linear(4, 64)


def network(encoder, decoder, **params):
    settings = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
    return NetworkAutoencoder(encoder, decoder, **settings | params)


@pytest.fixture(scope="module")
def pair():
    return encoder(), decoder()


def learned(model, part):
    module = getattr(model.net_.module_, part)
    return np.concatenate([p.detach().numpy().ravel() for p in module.parameters()])


@pytest.mark.parametrize("trainable", [True, False])
def test_trainable_decides_whether_copies_of_the_modules_learn(pair, digits, trainable):
    before = [p.detach().clone() for part in pair for p in part.parameters()]
    model = network(*pair, trainable=trainable).fit(digits[0])
    after = [p for part in pair for p in part.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    weights = np.concatenate([p.detach().numpy().ravel() for p in pair[0].parameters()])
    assert np.array_equal(learned(model, "encoder"), weights) != trainable
    assert hasattr(model, "partial_fit") == trainable and bool(model.history_) == trainable


def test_modules_as_they_are_give_their_own_codes_and_images(pair, digits):
    X, _ = digits
    model = network(*pair, trainable=False).fit(X)
    with torch.no_grad():
        codes = pair[0](torch.tensor(X))
        pixels = torch.sigmoid(pair[1](codes))
    assert_allclose(model.transform(X), codes, atol=1e-5)
    assert_allclose(model.reconstruct(X).reshape(-1, 64), pixels, atol=1e-5)


def test_output_says_whether_the_decoder_gives_pixels(pair, digits):
    X, _ = digits
    squashed = nn.Sequential(pair[1], nn.Sigmoid())
    logits = network(*pair, trainable=False).fit(X)
    pixels = network(pair[0], squashed, trainable=False, output="pixels").fit(X)
    assert_allclose(pixels.reconstruct(X), logits.reconstruct(X), atol=1e-4)


def test_functions_of_the_image_shape_are_seeded(digits):
    X, _ = digits

    def fit(seed):
        make = lambda shape: nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 4))  # noqa: E731
        return network(make, lambda shape: decoder(), random_state=seed).fit(X).transform(X)

    assert_array_equal(fit(0), fit(0))
    assert not np.allclose(fit(0), fit(1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_modules_of_another_precision_are_used_in_float32(digits, dtype):
    model = network(encoder().to(dtype), decoder().to(dtype)).fit(digits[0])
    assert model.reconstruct(digits[0][:3]).dtype == np.float32


def test_frozen_parameters_stay_frozen(digits):
    frozen = encoder().requires_grad_(False)
    model = network(frozen, decoder()).fit(digits[0])
    weights = np.concatenate([p.numpy().ravel() for p in frozen.parameters()])
    assert_array_equal(learned(model, "encoder"), weights)


def test_modules_without_parameters_can_be_used_as_they_are(digits):
    X, _ = digits
    identity = network(nn.Flatten(), nn.Identity(), trainable=False, output="pixels").fit(X)
    assert identity.score(X) > -1e-10


@pytest.mark.parametrize(
    "parts, error",
    [
        ((nn.Flatten(), nn.Identity()), "Expected modules with parameters that learn, got 0"),
        (
            (encoder(), nn.Linear(4, 63)),
            r"Expected a decoder that turns codes \(1, 4\) into",
        ),
        ((nn.Flatten(0), decoder()), r"Expected an encoder that turns images \(1, 1, 8, 8\)"),
    ],
)
def test_modules_that_do_not_fit_are_refused(digits, parts, error):
    with pytest.raises(ValueError, match=error):
        network(*parts).fit(digits[0])


def test_lazy_layers_take_the_size_of_the_images(digits):
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), nn.LazyLinear(64)
    X, _ = digits
    first, second = (network(*lazy).fit(X).transform(X) for _ in range(2))
    assert_array_equal(first, second)
