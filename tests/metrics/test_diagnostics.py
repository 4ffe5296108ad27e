"""Diagnostics of latent spaces, on codes and autoencoders whose values are known."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.fft import dctn, idctn
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler

from latentgen import ConvAutoencoder
from latentgen.metrics import (
    active_units,
    decoder_sensitivity,
    equivariance_error,
    high_frequency_fraction,
    kl_from_prior,
    latent_spectrum,
    linear_probe,
    scale_equivariance_error,
)


class Pooling:
    """Codes are means of 2 x 2 pixels times `gain`, images repeat them."""

    image_shape_, code_shape_ = (1, 8, 8), (1, 4, 4)

    def __init__(self, gain=1.0):
        self.gain = np.asarray(gain)

    def transform(self, X):
        Z = X.reshape(-1, 1, 4, 2, 4, 2).mean(axis=(3, 5)) * self.gain
        return Z.reshape(len(X), 16)

    def decode_map(self, Z):
        return (Z / self.gain).repeat(2, axis=2).repeat(2, axis=3)

    def inverse_transform(self, Z):
        return self.decode_map(Z.reshape(-1, 1, 4, 4))


class Biased(Pooling):
    """Decodes to images that are too bright."""

    def __init__(self, bias):
        super().__init__()
        self.bias = bias

    def decode_map(self, Z):
        return super().decode_map(Z) + self.bias


@pytest.fixture(scope="module")
def X():
    return np.random.RandomState(0).rand(50, 1, 8, 8)


def noise(*shape):
    return np.random.RandomState(0).standard_normal(shape)


def smooth(Z, keep):
    """Keep the lowest frequencies of square maps."""
    spectrum = dctn(Z, axes=(2, 3), norm="ortho")
    spectrum *= np.add.outer(np.arange(Z.shape[2]), np.arange(Z.shape[3])) < keep
    return idctn(spectrum, axes=(2, 3), norm="ortho")


# ------------------------------------------------------------------ frequencies


def test_spectrum_of_white_noise_is_flat():
    spectrum = latent_spectrum(noise(4000, 2, 4, 4))
    assert spectrum.shape == (2, 16)
    # The mean of 4000 absolute normal values has a relative standard error of 0.012.
    assert_allclose(spectrum, np.ones((2, 16)), atol=5 * np.sqrt(2) * 0.012)


def test_spectrum_of_smooth_maps_decays():
    frequency = np.add.outer(np.arange(6), np.arange(6))
    Z = idctn(noise(2000, 1, 6, 6) * 0.5**frequency, axes=(2, 3), norm="ortho")
    expected = np.sort(0.5 ** frequency.ravel())[::-1]
    assert_allclose(latent_spectrum(Z)[0], expected / expected.mean(), rtol=0.15)


def test_spectrum_of_maps_without_a_constant_part_is_finite():
    # It was divided by the constant part: values of 1e15.
    Z = noise(4000, 2, 4, 4)
    Z[:, 0] -= Z[:, 0].mean(axis=(1, 2), keepdims=True)
    Z[:, 1] = 0
    spectrum = latent_spectrum(Z)
    assert_allclose(spectrum[0], np.append(0, np.full(15, 16 / 15)), atol=0.1)
    assert_allclose(spectrum[1], 0)


def test_spectrum_is_that_of_each_channel():
    Z = noise(500, 2, 4, 4)
    Z[:, 1] = smooth(Z[:, 1:], 1)[:, 0]
    spectrum = latent_spectrum(Z)
    assert spectrum[0, 1:].min() > 0.8 and spectrum[1, 1:].max() < 1e-10


def test_flat_codes_need_their_shape():
    Z = noise(20, 2, 4, 3)
    flat = Z.reshape(20, -1)
    assert_allclose(latent_spectrum(flat, code_shape=(2, 4, 3)), latent_spectrum(Z))
    assert high_frequency_fraction(flat, code_shape=(2, 4, 3)) == high_frequency_fraction(Z)


@pytest.mark.parametrize("cutoff, expected", [(0.25, 48 / 63), (0.5, 32 / 63), (1.0, 0)])
def test_high_frequency_fraction_of_white_noise_is_that_of_frequencies(cutoff, expected):
    assert_allclose(high_frequency_fraction(noise(2000, 1, 8, 8), cutoff), expected, atol=0.01)


def test_high_frequency_fraction_falls_with_a_low_pass():
    Z = noise(100, 1, 8, 8)
    fractions = [high_frequency_fraction(smooth(Z, keep)) for keep in (15, 11, 9, 7, 1)]
    assert fractions == sorted(fractions, reverse=True) and len(set(fractions)) > 3
    assert fractions[-1] == 0


def test_high_frequency_fraction_does_not_see_offset_and_scale():
    Z = noise(100, 1, 8, 8)
    assert_allclose(high_frequency_fraction(7 * Z + 100), high_frequency_fraction(Z), rtol=1e-6)


# ------------------------------------------------------------------ equivariance


def test_equivariance_error_of_an_equivariant_encoder_is_zero(X):
    assert_allclose(equivariance_error(Pooling(), X), 0, atol=1e-12)


def test_equivariance_error_is_the_relative_distance(X):
    # Only the upper half of the map is doubled: a flip moves it to the wrong place.
    gain = np.repeat([2.0, 1.0], 2)[:, np.newaxis] * np.ones((4, 4))
    flip = lambda a: a[:, :, ::-1]  # noqa: E731
    Z = X.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4))
    moved, expected = Z[:, ::-1] * gain, (Z * gain)[:, ::-1]
    ratio = np.linalg.norm(moved - expected, axis=(1, 2)) / np.linalg.norm(moved, axis=(1, 2))
    found = equivariance_error(Pooling(gain), X, [flip])
    assert_allclose(found, ratio.mean())
    assert_allclose(equivariance_error(Pooling(gain), X, [flip, lambda a: a]), found / 2)


def test_equivariance_error_takes_quarter_turns_by_default(X):
    gain = noise(4, 4)
    turns = [lambda a, k=k: np.rot90(a, k, (2, 3)) for k in (1, 2, 3)]
    found = equivariance_error(Pooling(gain), X)
    assert found > 0.5
    assert_allclose(found, equivariance_error(Pooling(gain), X.reshape(50, 64), turns))


@pytest.mark.parametrize("factor, side", [(2, 2), (4, 1), (3, 2)])
def test_scale_equivariance_error_has_the_exact_value(factor, side, X):
    constant = np.ones_like(X) * X[:, :, :1, :1]
    assert_allclose(scale_equivariance_error(Pooling(), constant, factor=factor), 0, atol=1e-12)
    found = scale_equivariance_error(Biased(0.1), constant, factor=factor)
    assert_allclose(found, 0.01, rtol=1e-5)


def test_scale_equivariance_error_compares_means_of_pixels(X):
    small = X.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4))
    codes = X.reshape(-1, 2, 4, 2, 4).mean(axis=(2, 4))
    expected = np.mean((small - codes.repeat(2, axis=1).repeat(2, axis=2)) ** 2)
    assert_allclose(scale_equivariance_error(Pooling(), X), expected, rtol=1e-5)


# ------------------------------------------------------------------ classes, sensitivity


def test_linear_probe_is_chance_on_noise_and_perfect_on_separate_classes():
    y = np.repeat(["a", "b", "c", "d"], 100)
    Z = noise(400, 5)
    assert abs(linear_probe(Z, y) - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 400)
    Z[:, 0] += 20 * np.repeat([0, 1, 2, 3], 100)
    assert linear_probe(Z, y) > 0.95
    # The scale of a code value does not matter.
    assert linear_probe(Z * [1, 1e4, 1, 1, 1e-4], y) > 0.95


def test_linear_probe_uses_the_folds():
    y = np.repeat([0, 1], 6)
    Z = noise(12, 2)
    assert linear_probe(Z, y, cv=2) != linear_probe(Z, y, cv=6)


def test_decoder_sensitivity_is_the_variance_of_the_codes_for_a_copying_decoder():
    X = np.random.RandomState(0).rand(500, 1, 8, 8)
    Z = Pooling().transform(X)
    for sigma, seed in ((0.1, 0), (0.4, 1)):
        found = decoder_sensitivity(Pooling(), X, sigma=sigma, random_state=seed)
        assert_allclose(found, Z.var(axis=0).mean(), rtol=0.1)


def test_decoder_sensitivity_does_not_see_the_scale_of_codes(X):
    expected = decoder_sensitivity(Pooling(), X)
    assert_allclose(decoder_sensitivity(Pooling(100.0), X), expected, rtol=1e-3)
    assert decoder_sensitivity(Pooling(), X, random_state=1) != expected


@pytest.mark.parametrize("sigma", [0.1, 0.001])
def test_decoder_sensitivity_of_bytes_is_that_of_floats(sigma, digits, fitted_conv):
    # Rounding to bytes made it 29 times as large at 0.001.
    as_bytes = np.rint(digits[0] * 255).astype(np.uint8)
    of_bytes = clone(fitted_conv).set_params(max_epochs=1).fit(as_bytes)
    of_floats = clone(of_bytes).fit(as_bytes / np.float32(255))
    expected = decoder_sensitivity(of_floats, as_bytes / np.float32(255), sigma=sigma)
    assert_allclose(decoder_sensitivity(of_bytes, as_bytes, sigma=sigma), expected, rtol=1e-3)


def test_decoder_sensitivity_refuses_rounded_images(X):
    class Rounding(Pooling):
        def inverse_transform(self, Z):
            return (255 * super().inverse_transform(Z)).astype(np.uint8)

    with pytest.raises(TypeError, match="decodes to floats, got uint8 from Rounding"):
        decoder_sensitivity(Rounding(), X)


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda X: latent_spectrum(np.ones((3, 4))), r"Expected maps .* got \(3, 4\)"),
        (lambda X: latent_spectrum(np.ones((3, 4)), code_shape=(4,)), "Expected maps of codes"),
        (lambda X: latent_spectrum(np.ones((3, 4)), code_shape=(1, 3, 3)), r"\(3, 4\) and code_sh"),
        (lambda X: high_frequency_fraction(np.ones((3, 1, 2, 2)), 2), "cutoff == 2, must be <= 1"),
        (lambda X: decoder_sensitivity(Pooling(), X, sigma=0), "sigma == 0, must be > 0"),
        (lambda X: scale_equivariance_error(Pooling(), X, factor=0), "factor == 0, must be >= 1"),
    ],
)
def test_bad_calls_are_explained(call, message, X):
    with pytest.raises(ValueError, match=message):
        call(X)


@pytest.mark.parametrize("metric", [equivariance_error, scale_equivariance_error])
def test_codes_must_be_maps(metric, X, fitted_conv):
    with pytest.raises(ValueError, match=r"codes are maps, got codes of shape \(8,\)"):
        metric(fitted_conv, X.astype(np.float32))


@pytest.mark.parametrize("error", [equivariance_error, scale_equivariance_error])
def test_errors_need_a_fitted_autoencoder(error, X):
    with pytest.raises(NotFittedError):
        error(ConvAutoencoder(16, spatial_latent=True), X)
    with pytest.raises(TypeError, match="Expected a fitted autoencoder, got StandardScaler"):
        error(StandardScaler().fit(X.reshape(50, -1)), X)


def test_kl_from_prior_is_that_of_torch():
    mean, variance = noise(40, 5), np.exp(noise(40, 5)[::-1])
    posterior = torch.distributions.Normal(*map(torch.as_tensor, (mean, variance**0.5)))
    prior = torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(posterior, prior).sum(dim=1).mean()
    assert_allclose(kl_from_prior(mean, variance), expected, rtol=1e-12)


def test_a_posterior_that_ignores_the_image_says_nothing():
    assert kl_from_prior(np.zeros((9, 3)), np.ones((9, 3))) == 0
    assert active_units(np.full((9, 3), 2.0)) == 0


def test_active_units_vary_more_than_the_threshold():
    mean = noise(20_000, 4) * [0.09, 0.11, 1, 0]
    assert active_units(mean) == 2
    assert active_units(mean, threshold=0.0) == 3


@pytest.mark.parametrize("variance", [np.ones((9, 2)), np.zeros((9, 3))])
def test_kl_from_prior_needs_a_positive_variance_for_each_mean(variance):
    with pytest.raises(ValueError, match="Expected a positive variance for each mean, got means"):
        kl_from_prior(np.zeros((9, 3)), variance)
