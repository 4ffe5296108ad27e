"""Decoders that forgive small errors of the codes."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from numbers import Real

import torch
from sklearn.utils._param_validation import Interval

from latentgen.autoencoders.regularizers._base import (
    FIXED_WEIGHT,
    FRACTION_OF_STEPS,
    LatentRegularizer,
)


def perceptual_distance(features, features_hat, outliers):
    """Weighted squared distance of two lists of feature maps (B, C, h, w), coarsest first.

    Both are divided by the standard deviations of `features_hat`, channel by channel, and a
    fraction `outliers` of the values at each end of a channel's range is left out (Berrada et al.
    2024, section 3.2). Stage l has weight 2 ** -l.
    """
    total = 0.0
    for stage, (x, x_hat) in enumerate(zip(features, features_hat, strict=True)):
        x, x_hat = (f.float().transpose(0, 1).flatten(1) for f in (x, x_hat))
        scale = x_hat.detach().std(dim=1, keepdim=True, unbiased=False)
        n_values = x_hat.shape[1]
        n_out = int(outliers * (n_values - 1))
        low, high = (
            x_hat.detach().kthvalue(k, dim=1, keepdim=True).values
            for k in (n_out + 1, n_values - n_out)
        )
        kept = (x_hat >= low) & (x_hat <= high)
        # A dead channel says nothing.
        squared = ((x - x_hat) / scale.where(scale > 0, torch.inf)).square()
        total = total + 2.0**-stage * (squared * kept).mean()
    return total


class NoiseAugmentedDecoding(LatentRegularizer):
    """Decode codes with noise to the images without it.

    In a fraction of the training steps normal noise is added to the codes, so that the decoder
    forgives the errors of a sampler and the encoder keeps different images apart. Works on
    vectors and maps.

    Read more in the :ref:`User Guide <regularizers>`.

    Parameters
    ----------
    sigma : float, default=0.1
        Standard deviation of the noise, in units of the standard deviation of each code value in
        the batch. Relative, so that larger codes do not get around it.
    p : float, default=0.5
        Fraction of the steps with noise, below 1.
    start : float, default=0.0
        Fraction of the training after which it begins.
    end : float, default=1.0
        Fraction of the training after which it ends.
    weight : float, default=1.0
        Weight of the reconstruction loss in the steps with noise.

    See Also
    --------
    LatentPerceptualLoss : Makes the decoder alone smooth.
    latentgen.metrics.decoder_sensitivity : Measures the effect.

    References
    ----------
    .. [1] P. Ghosh et al. "From Variational to Deterministic Autoencoders". ICLR 2020,
       section 3.1. https://arxiv.org/abs/1903.12436

    Examples
    --------
    >>> from latentgen import ConvAutoencoder
    >>> from latentgen.autoencoders import NoiseAugmentedDecoding
    >>> from latentgen.datasets import load_digits_images
    >>> X, _ = load_digits_images(return_X_y=True)
    >>> autoencoder = ConvAutoencoder(8, regularizers=[NoiseAugmentedDecoding()], max_epochs=1)
    >>> autoencoder.fit(X[:200]).transform(X[:5]).shape
    (5, 8)
    """

    draws_by_itself = False
    _parameter_constraints: dict = {
        "sigma": [Interval(Real, 0, None, closed="left")],
        "p": FRACTION_OF_STEPS,
        **LatentRegularizer._parameter_constraints,
        "weight": FIXED_WEIGHT,
    }

    def __init__(self, *, sigma=0.1, p=0.5, start=0.0, end=1.0, weight=1.0):
        self.sigma = sigma
        self.p = p
        self.start = start
        self.end = end
        self.weight = weight

    def _replace(self, step):
        """Decode with noise, or leave the step alone."""
        if step.uniform() >= self.p:
            return None
        step.encode(step.x)
        scale = self.sigma * step.z.detach().std(dim=0, unbiased=False)
        step.target = step.x
        with step.fixed_statistics():
            step.logits = step.decode(step.z + scale * step.normal_like(step.z))
        return True


class LatentPerceptualLoss(LatentRegularizer):
    """Make the decoder smooth: compare its features for codes with noise and without.

    The latent perceptual loss [1]_ compares decoder features of a predicted code and the true
    one. Here the predicted code is the true one with noise, and the decoder is trained; the
    encoder gets no gradient. Works on vectors and maps.

    Read more in the :ref:`User Guide <regularizers>`.

    Parameters
    ----------
    sigma : float, default=0.2
        Largest standard deviation of the noise, in units of the standard deviation of each code
        value in the batch; drawn anew in each step, uniformly from 0.
    outliers : float, default=0.02
        Fraction of the values at each end of a channel's range that are left out.
    start : float, default=0.0
        Fraction of the training after which it begins.
    end : float, default=1.0
        Fraction of the training after which it ends.
    weight : float or 'adaptive', default=0.1
        Weight of the loss. ``'adaptive'`` is 0.1 times the ratio of the gradients of
        reconstruction and regularizer, at the first layer of the decoder.

    See Also
    --------
    NoiseAugmentedDecoding : Trains the encoder too.
    latentgen.metrics.decoder_sensitivity : Measures the effect.

    Notes
    -----
    Features are divided by their standard deviation in each channel, since their scale is not
    that of pixels.

    References
    ----------
    .. [1] T. Berrada et al. "Boosting Latent Diffusion with Perceptual Objectives". ICLR 2025,
       section 3.2. https://arxiv.org/abs/2411.04873

    Examples
    --------
    >>> from latentgen import ConvAutoencoder
    >>> from latentgen.autoencoders import LatentPerceptualLoss
    >>> from latentgen.datasets import load_digits_images
    >>> X, _ = load_digits_images(return_X_y=True)
    >>> autoencoder = ConvAutoencoder(8, regularizers=[LatentPerceptualLoss()], max_epochs=1)
    >>> autoencoder.fit(X[:200]).transform(X[:5]).shape
    (5, 8)
    """

    draws_by_itself = False
    needs = ("first_layer", "decoder_features")
    _published_weight = 0.1
    _parameter_constraints: dict = {
        "sigma": [Interval(Real, 0, None, closed="left")],
        "outliers": [Interval(Real, 0, 0.5, closed="left")],
        **LatentRegularizer._parameter_constraints,
    }

    def __init__(self, *, sigma=0.2, outliers=0.02, start=0.0, end=1.0, weight=0.1):
        self.sigma = sigma
        self.outliers = outliers
        self.start = start
        self.end = end
        self.weight = weight

    def _anchor(self, module):
        """Weights of the first layer of the decoder."""
        return module.first_layer.weight

    def _penalty(self, step):
        """Distance of decoder features with noise and without."""
        z = step.z.detach().flatten(1)
        if z.shape[1] != math.prod(step.module.code_shape):
            return None  # A step with smaller images.
        scale = step.uniform(0, self.sigma) * z.std(dim=0, unbiased=False)
        with step.fixed_statistics():
            features, features_hat = (
                step.module.decoder_features(codes)
                for codes in (z, z + scale * step.normal_like(z))
            )
        return perceptual_distance(features, features_hat, self.outliers)
