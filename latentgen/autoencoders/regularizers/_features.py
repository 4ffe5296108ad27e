"""Regularisers that compare features: masked autoencoding, alignment, smooth decoders."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from numbers import Integral, Real

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn
from torch.nn import functional as F

from latentgen.autoencoders.regularizers._base import (
    FIXED_WEIGHT,
    FRACTION,
    LatentRegularizer,
    resize,
)
from latentgen.autoencoders.regularizers._feature_models import build_features

_POSITIONS = 256


def alignment_losses(projected, features, margin_cosine, margin_distance):
    """Both losses of maps (B, F, h, w); zero where the margins are kept (VA-VAE, section 3.2).

    The first compares directions position by position, the second the cosines of pairs of
    positions within an image.
    """
    projected = F.normalize(projected.flatten(2), dim=1)
    features = F.normalize(features.flatten(2), dim=1)
    cosine = (projected * features).sum(dim=1)
    point = F.relu(1 - margin_cosine - cosine).mean()
    own, other = (x.transpose(1, 2) @ x for x in (projected, features))
    pair = F.relu((own - other).abs() - margin_distance).mean()
    return point, pair


def perceptual_distance(features, features_hat, outliers):
    """Weighted squared distance of two lists of feature maps (B, C, h, w), coarsest first.

    Both are divided by the standard deviations of `features_hat`, channel by channel, and a share
    `outliers` of the values at each end of a channel's range is left out (Berrada et al. 2024,
    section 3.2). Stage l has weight 2 ** -l.
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


def _head(code_shape, n_features, sides):
    """Two 3 x 3 convolutions for maps, a linear layer for vectors."""
    if len(code_shape) == 1:
        linear = nn.Linear(code_shape[0], n_features * math.prod(sides))
        return nn.Sequential(linear, nn.Unflatten(1, (n_features, *sides)))
    width = max(32, code_shape[0])
    return nn.Sequential(
        nn.Conv2d(code_shape[0], width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, n_features, 3, padding=1),
    )


class MaskedAutoencodingObjective(LatentRegularizer):
    """Encode images with hidden patches, decode whole ones, predict features of what is hidden.

    The codes must then say what belongs together, and classes separate better [1]_. Works on
    vectors and maps; a KL term (``beta > 0``) beside it is redundant.

    Read more in the :ref:`User Guide <regularizers>`.

    Parameters
    ----------
    mask_ratio : tuple of float, default=(0.4, 0.6)
        Smallest and largest share of hidden patches; the share is drawn anew in each step.
    patch_size : int, default=None
        Side of a patch in pixels. None is the stride of the encoder.
    masked_weight : float, default=1.0
        Weight of the reconstruction loss of hidden pixels alone, beside that of all pixels.
    targets : tuple of {'hog', 'moments'} or torch.nn.Module, default=('hog', 'moments')
        Features to predict on hidden patches, by small networks that are dropped afterwards:
        histograms of oriented gradients, mean and standard deviation of each cell, or a frozen
        module that turns images (B, C, H, W) in [0, 1] into maps of features.
    target_weight : float, default=0.5
        Weight of the squared error of each of them.
    decoder_only : float, default=0.2
        Last part of its time in which the encoder is frozen and the share of hidden patches goes
        to 0, so that the decoder learns the codes of whole images.
    start : float, default=0.0
        Share of the training after which it begins.
    end : float, default=1.0
        Share of the training after which it ends.
    weight : float or 'adaptive', default=1.0
        Weight of what is added to the reconstruction loss; 0 hides nothing either.
        ``'adaptive'`` is the ratio of the gradients of reconstruction and addition at the last
        layer of the encoder, and 0 while that is frozen.

    See Also
    --------
    latentgen.metrics.linear_probe : Measures the effect.

    Notes
    -----
    The network differs from that of other autoencoders: the encoder has one more input channel,
    which says where patches are hidden and is 0 in ``transform``, and group instead of batch
    normalisation, since statistics of masked images are not those of whole ones. The decoder
    keeps batch normalisation. No other regularizer that takes the place of the ordinary pass can
    stand beside it. With
    ``mask_ratio=(0, 0)``, ``targets=()`` and ``decoder_only=0`` the different network is all that
    remains, which is the control to compare with.

    References
    ----------
    .. [1] H. Chen et al. "Masked Autoencoders Are Effective Tokenizers for Diffusion Models".
       2025, section 3. https://arxiv.org/abs/2502.03444

    Examples
    --------
    >>> from latentgen import ConvAutoencoder
    >>> from latentgen.autoencoders import MaskedAutoencodingObjective
    >>> from latentgen.datasets import load_digits_images
    >>> X, _ = load_digits_images(return_X_y=True)
    >>> objective = MaskedAutoencodingObjective(patch_size=2, mask_ratio=(0.3, 0.5))
    >>> autoencoder = ConvAutoencoder(8, regularizers=[objective], max_epochs=1)
    >>> autoencoder.fit(X[:200]).transform(X[:5]).shape
    (5, 8)
    """

    masks_images = True
    _published_weight = 1.0
    _parameter_constraints: dict = {
        "mask_ratio": [tuple, list],
        "patch_size": [Interval(Integral, 1, None, closed="left"), None],
        "masked_weight": FIXED_WEIGHT,
        "targets": [tuple, list],
        "target_weight": FIXED_WEIGHT,
        "decoder_only": FRACTION,
        **LatentRegularizer._parameter_constraints,
    }

    def __init__(
        self,
        *,
        mask_ratio=(0.4, 0.6),
        patch_size=None,
        masked_weight=1.0,
        targets=("hog", "moments"),
        target_weight=0.5,
        decoder_only=0.2,
        start=0.0,
        end=1.0,
        weight=1.0,
    ):
        self.mask_ratio = mask_ratio
        self.patch_size = patch_size
        self.masked_weight = masked_weight
        self.targets = targets
        self.target_weight = target_weight
        self.decoder_only = decoder_only
        self.start = start
        self.end = end
        self.weight = weight

    def _prepare(self, X, y, module, device, seeds):
        """Build the token of hidden pixels, the targets and the networks that predict them."""
        super()._prepare(X, y, module, device, seeds)
        if len(self.mask_ratio) != 2 or not 0 <= self.mask_ratio[0] <= self.mask_ratio[1] <= 1:
            raise ValueError(
                "'mask_ratio' must be two increasing numbers in [0, 1], got "
                f"{self.mask_ratio!r}. Use for example (0.4, 0.6)."
            )
        for target in self.targets:
            if target not in ("hog", "moments") and not isinstance(target, nn.Module):
                raise ValueError(
                    f"'targets' must be 'hog', 'moments' or torch modules, got {target!r}."
                )
        self.features_ = [
            build_features(target, X, y, module, device, (*seeds, number))
            for number, target in enumerate(self.targets)
        ]
        image = torch.zeros(2, *module.image_shape, device=device)
        with torch.no_grad():
            shapes = [features(image).shape[1:] for features in self.features_]
        sides = [math.ceil(side / module.stride) for side in module.image_shape[1:]]
        self.heads_ = nn.ModuleDict(
            {
                "predict": nn.ModuleList(
                    _head(module.code_shape, shape[0], sides) for shape in shapes
                ),
                "token": nn.ParameterList([torch.full((module.image_shape[0], 1, 1), 0.5)]),
            }
        )

    def _late(self, progress):
        """How much of the phase with a frozen encoder is done; below 0 before it."""
        if self.decoder_only == 0:
            return -1.0
        length = self.decoder_only * (self.end - self.start)
        return 1 - (self.end - progress) / length

    def _draw_mask(self, step):
        """Hidden patches as (B, 1, H, W), 1 where pixels are hidden."""
        n, _, height, width = step.x.shape
        patch = self.patch_size or step.module.stride
        rows, columns = math.ceil(height / patch), math.ceil(width / patch)
        late = self._late(step.progress)
        low, high = self.mask_ratio
        if late >= 0:
            ratio = high * (1 - late)
            n_hidden = round(ratio * rows * columns)
        else:
            # Whole numbers of patches inside the range, where there are any.
            fewest, most = math.ceil(low * rows * columns), math.floor(high * rows * columns)
            n_hidden = step.choice(range(fewest, most + 1)) if fewest <= most else fewest
        # Something must be left to see.
        n_hidden = min(n_hidden, rows * columns - 1)
        hidden = step.random_order(n, rows * columns) < n_hidden
        mask = hidden.view(n, 1, rows, columns).to(step.x)
        mask = mask.repeat_interleave(patch, dim=2).repeat_interleave(patch, dim=3)
        return mask[..., :height, :width]

    def _replace(self, step):
        """Encode the masked images and decode the whole ones."""
        step.target, self.mask_ = step.x, self._draw_mask(step)
        token = self.heads_["token"][0].to(step.x)
        masked = step.x * (1 - self.mask_) + token * self.mask_
        frozen = self._late(step.progress) >= 0
        with torch.set_grad_enabled(not frozen):
            step.encode(masked, self.mask_)
        step.x, step.logits = step.target, step.decode(step.z)
        return True

    def _penalty(self, step):
        """Loss of hidden pixels and of predicted features, if this step was masked."""
        mask, self.mask_ = getattr(self, "mask_", None), None
        if mask is None:
            return None
        loss = self.masked_weight * step.reconstruction(step.target, step.logits, mask)
        if self._late(step.progress) >= 0:
            return loss
        for features, head in zip(self.features_, self.heads_["predict"], strict=True):
            # The code is in half precision with amp.
            prediction = head(step.z.float())
            with torch.no_grad():
                target = resize(features(step.x), prediction.shape[2:])
                weight = F.adaptive_avg_pool2d(mask, prediction.shape[2:])
            error = (prediction - target).square().mean(dim=1, keepdim=True)
            error = (weight * error).sum() / weight.sum().clamp(min=1)
            loss = loss + self.target_weight * error
        return loss


class FeatureAlignmentRegularizer(LatentRegularizer):
    """Align code maps with the features of a frozen network (VA-VAE).

    A learned projection of the code at each position is drawn towards the feature there, and
    similarities between positions towards those of the features [1]_. Needs
    ``spatial_latent=True``.

    Read more in the :ref:`User Guide <regularizers>`.

    Parameters
    ----------
    feature_model : {'dae', 'classifier', 'hog'} or torch.nn.Module, default='dae'
        Where features come from: the encoder of a denoising autoencoder, or of a classifier,
        each trained for 3 epochs in every ``fit`` and ``partial_fit``; histograms of oriented
        gradients; or a module that turns images (B, C, H, W) in [0, 1] into maps (B, F, h, w).
        ``'classifier'`` needs the
        labels in ``fit``: codes are then not learnt without supervision any more, which belongs
        into every report.
    margin_cosine : float, default=0.5
        Positions with a cosine above one minus this cost nothing.
    margin_distance : float, default=0.25
        Pairs of positions whose cosines differ by less cost nothing.
    start : float, default=0.0
        Share of the training after which it begins.
    end : float, default=1.0
        Share of the training after which it ends.
    weight : float or 'adaptive', default='adaptive'
        Weight of the losses. ``'adaptive'`` is 0.1 times the ratio of the gradients of
        reconstruction and regularizer, at the last layer of the encoder.

    See Also
    --------
    latentgen.metrics.linear_probe : Measures the effect.

    Notes
    -----
    Never use the network that judges generated images: what is trained to please a judge gets
    better numbers and no better images. Networks of `latentgen.metrics` are refused. Of maps
    larger than 16 x 16, 256 positions are compared in each step. A module cannot be saved with
    `save_model`, only pickled.

    References
    ----------
    .. [1] J. Yao, B. Yang, X. Wang. "Reconstruction vs. Generation: Taming Optimization Dilemma
       in Latent Diffusion Models". CVPR 2025, section 3.2. https://arxiv.org/abs/2501.01423

    Examples
    --------
    >>> from latentgen import ConvAutoencoder
    >>> from latentgen.autoencoders import FeatureAlignmentRegularizer
    >>> from latentgen.datasets import load_digits_images
    >>> X, _ = load_digits_images(return_X_y=True)
    >>> regularizer = FeatureAlignmentRegularizer(feature_model="hog")
    >>> autoencoder = ConvAutoencoder(
    ...     16, spatial_latent=True, regularizers=[regularizer], max_epochs=1
    ... )
    >>> autoencoder.fit(X[:200]).transform(X[:5]).shape
    (5, 16)
    """

    needs_map = True
    _published_weight = 0.1
    _parameter_constraints: dict = {
        "feature_model": [StrOptions({"dae", "classifier", "hog"}), nn.Module],
        "margin_cosine": [Interval(Real, 0, 2, closed="both")],
        "margin_distance": [Interval(Real, 0, 2, closed="both")],
        **LatentRegularizer._parameter_constraints,
    }

    def __init__(
        self,
        *,
        feature_model="dae",
        margin_cosine=0.5,
        margin_distance=0.25,
        start=0.0,
        end=1.0,
        weight="adaptive",
    ):
        self.feature_model = feature_model
        self.margin_cosine = margin_cosine
        self.margin_distance = margin_distance
        self.start = start
        self.end = end
        self.weight = weight

    def _prepare(self, X, y, module, device, seeds):
        """Train or freeze the feature model, and build the projection."""
        super()._prepare(X, y, module, device, seeds)
        self.features_ = build_features(self.feature_model, X, y, module, device, seeds)
        with torch.no_grad():
            n_features = self.features_(torch.zeros(2, *module.image_shape, device=device)).shape[1]
        self.heads_ = nn.Conv2d(module.code_shape[0], n_features, 1)

    def _penalty(self, step):
        """Both alignment losses."""
        # The code is in half precision with amp.
        projected = self.heads_(step.z.float()).flatten(2)
        with torch.no_grad():
            features = resize(self.features_(step.x), step.z.shape[2:]).flatten(2)
        if projected.shape[2] > _POSITIONS:
            rows = step.random_order(1, projected.shape[2])[0, :_POSITIONS].to(projected.device)
            projected, features = projected[..., rows], features[..., rows]
        return sum(alignment_losses(projected, features, self.margin_cosine, self.margin_distance))


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
        Share of the values at each end of a channel's range that are left out.
    start : float, default=0.0
        Share of the training after which it begins.
    end : float, default=1.0
        Share of the training after which it ends.
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
