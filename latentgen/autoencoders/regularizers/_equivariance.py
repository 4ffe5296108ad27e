"""Codes that move with the image: turned, mirrored and scaled."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from numbers import Integral, Real

import torch
from sklearn.utils._param_validation import Interval

from latentgen.autoencoders.regularizers._base import (
    FIXED_WEIGHT,
    FRACTION_OF_STEPS,
    LatentRegularizer,
    resize,
)


class EquivarianceRegularizer(LatentRegularizer):
    """Decode turned and scaled codes to turned and scaled images (EQ-VAE).

    In a fraction of the training steps the map of codes is scaled and turned, and what the decoder
    makes of it is compared with the image after the same. The encoder then learns codes that
    move with the image, which are easier to sample [1]_. Needs ``spatial_latent=True``.

    Read more in the :ref:`User Guide <regularizers>`.

    Parameters
    ----------
    p_eq : float, default=0.5
        Fraction of the steps with transformed codes, below 1.
    p_low : float, default=0.25
        Fraction of the other steps, below 1, in which the image itself is scaled down, and encoded
        and decoded as usual.
    min_scale : float, default=0.5
        Smallest side of a scaled map, relative to the whole; at least 2 values. The side is drawn
        anew in each step, up to the whole. None only turns.
    rotations : tuple of int, default=(1, 2, 3)
        Quarter turns to draw from. An empty tuple only scales.
    flips : bool, default=False
        Mirror half of the transformed maps.
    antialias : bool, default=False
        Filter images before they are scaled down. [1]_ does not.
    start : float, default=0.0
        Fraction of the training after which it begins.
    end : float, default=1.0
        Fraction of the training after which it ends.
    weight : float, default=1.0
        Weight of the reconstruction loss in the steps that are changed.

    See Also
    --------
    ScaleEquivarianceRegularizer : Scales only, in every step; an alternative.
    latentgen.metrics.equivariance_error : Measures the effect.

    Notes
    -----
    Sides of scaled maps are whole, and the image's side is the map's times the stride. [1]_ draws
    scales from 8 / 32 to 31 / 32; on maps of 7 x 7 the smallest ones cost reconstruction and bring
    nothing, and without the whole map codes of turned images do not follow. Digits may be turned,
    since code and image turn together. Costs nothing, as the changed pass takes the place of the
    ordinary one. Changed passes leave the running statistics of batch normalization alone.

    References
    ----------
    .. [1] T. Kouzelis et al. "EQ-VAE: Equivariance Regularized Latent Space for Improved
       Generative Image Modeling". 2025, equation 4. https://arxiv.org/abs/2502.09509

    Examples
    --------
    >>> from latentgen import ConvAutoencoder
    >>> from latentgen.autoencoders import EquivarianceRegularizer
    >>> from latentgen.datasets import load_digits_images
    >>> X, _ = load_digits_images(return_X_y=True)
    >>> autoencoder = ConvAutoencoder(
    ...     16, spatial_latent=True, regularizers=[EquivarianceRegularizer(min_scale=None)],
    ...     max_epochs=1, random_state=0,
    ... )
    >>> autoencoder.fit(X[:200]).transform(X[:5]).shape
    (5, 16)
    """

    draws_by_itself = False
    needs_map = True
    needs = ("stride", "decode_map")
    _parameter_constraints: dict = {
        "p_eq": FRACTION_OF_STEPS,
        "p_low": FRACTION_OF_STEPS,
        "min_scale": [Interval(Real, 0, 1, closed="left"), None],
        "rotations": ["array-like"],
        "flips": ["boolean"],
        "antialias": ["boolean"],
        **LatentRegularizer._parameter_constraints,
        "weight": FIXED_WEIGHT,
    }

    def __init__(
        self,
        *,
        p_eq=0.5,
        p_low=0.25,
        min_scale=0.5,
        rotations=(1, 2, 3),
        flips=False,
        antialias=False,
        start=0.0,
        end=1.0,
        weight=1.0,
    ):
        self.p_eq = p_eq
        self.p_low = p_low
        self.min_scale = min_scale
        self.rotations = rotations
        self.flips = flips
        self.antialias = antialias
        self.start = start
        self.end = end
        self.weight = weight

    def _prepare(self, X, y, module, device, seeds):
        """Settle the sides of scaled maps."""
        super()._prepare(X, y, module, device, seeds)
        if not all(isinstance(turns, Integral) for turns in self.rotations):
            raise ValueError(
                f"'rotations' must be whole quarter turns, got {self.rotations!r}. Use for example "
                "(1, 2, 3)."
            )
        height, width = module.code_shape[1:]
        self.sides_ = [(height, width)]
        if self.min_scale is not None:
            smallest = max(2, math.ceil(self.min_scale * height))
            self.sides_ = [
                (side, max(1, round(side * width / height))) for side in range(smallest, height + 1)
            ]
        if not self.sides_:
            raise ValueError(
                "EquivarianceRegularizer scales code maps of at least 2 x 2, got "
                f"{height} x {width}. Use min_scale=None, which only turns."
            )
        if self.min_scale is None and not (len(self.rotations) or self.flips):
            raise ValueError(
                "There is nothing to do with min_scale=None, rotations=() and flips=False. Set "
                "one of them."
            )

    def _replace(self, step):
        """Decode a transformed map, or take a smaller image, or leave the step alone."""
        stride = step.module.stride
        if step.uniform() < self.p_eq:
            sides = step.choice(self.sides_)
            turns = step.choice(list(self.rotations)) if len(self.rotations) else 0
            flip = self.flips and step.uniform() < 0.5

            def transform(x, sides):
                x = torch.rot90(resize(x, sides, self.antialias), turns, (2, 3))
                return x.flip(3) if flip else x

            step.encode(step.x)
            image = step.module.pad(step.x)
            step.target = transform(image, [side * stride for side in sides]).clamp(0, 1)
            with step.fixed_statistics():
                step.logits = step.module.decode_map(transform(step.z, sides))
            return True
        if self.min_scale is not None and step.uniform() < self.p_low:
            sides = [side * stride for side in step.choice(self.sides_)]
            step.target = resize(step.module.pad(step.x), sides, self.antialias).clamp(0, 1)
            with step.fixed_statistics():
                step.encode(step.target)
                step.logits = step.module.decode_map(step.z)
            return True
        return None


class ScaleEquivarianceRegularizer(LatentRegularizer):
    """Decode scaled-down maps of codes to scaled-down images.

    Takes energy out of the high frequencies of the code map, where samplers make their errors
    [1]_. Needs ``spatial_latent=True``.

    Read more in the :ref:`User Guide <regularizers>`.

    Parameters
    ----------
    start : float, default=0.0
        Fraction of the training after which it begins.
    end : float, default=1.0
        Fraction of the training after which it ends.
    weight : float or 'adaptive', default=0.25
        Weight of the loss; above 0.5 images get blurred. ``'adaptive'`` is 0.25 times the ratio
        of the gradients of reconstruction and regularizer.

    See Also
    --------
    HighFrequencyCut : Cuts frequencies instead of scaling.
    latentgen.metrics.high_frequency_fraction : Measures the effect.

    Notes
    -----
    The side of the map is drawn in each step from a half and a quarter of the whole, rounded up,
    as far as it is at least 2. A step costs about 1.3 times as much. The additional pass leaves the
    running statistics of batch normalization alone.

    References
    ----------
    .. [1] I. Skorokhodov et al. "Improving the Diffusability of Autoencoders". 2025, section 3.
       https://arxiv.org/abs/2502.14831

    Examples
    --------
    >>> from latentgen import ConvAutoencoder
    >>> from latentgen.autoencoders import ScaleEquivarianceRegularizer
    >>> from latentgen.datasets import load_digits_images
    >>> X, _ = load_digits_images(return_X_y=True)
    >>> autoencoder = ConvAutoencoder(
    ...     16, spatial_latent=True, regularizers=[ScaleEquivarianceRegularizer()],
    ...     max_epochs=1, random_state=0,
    ... )
    >>> row = autoencoder.fit(X[:200]).history_[0]
    >>> row["regularizers"][0]["weight"]
    0.25
    """

    draws_by_itself = False
    needs_map = True
    needs = ("stride", "decode_map")
    _published_weight = 0.25

    def __init__(self, *, start=0.0, end=1.0, weight=0.25):
        self.start = start
        self.end = end
        self.weight = weight

    def _prepare(self, X, y, module, device, seeds):
        """Settle the sides of scaled maps."""
        super()._prepare(X, y, module, device, seeds)
        sides = module.code_shape[1:]
        scaled = [tuple(math.ceil(side / m) for side in sides) for m in (2, 4)]
        self.sides_ = [pair for pair in scaled if min(pair) >= 2 and pair != sides]
        if not self.sides_:
            raise ValueError(
                "ScaleEquivarianceRegularizer needs code maps of at least 3 x 3, got "
                f"{sides[0]} x {sides[1]}. Use fewer 'channels', which halve the sides."
            )

    def _penalty(self, step):
        """Reconstruction loss of the scaled-down image from the scaled-down codes."""
        sides = step.choice(self.sides_)
        image = step.module.pad(step.x)
        target = resize(image, [side * step.module.stride for side in sides]).clamp(0, 1)
        with step.fixed_statistics():
            logits = step.module.decode_map(resize(step.z, sides))
        return step.reconstruction(target, logits)
