"""Codes of images with hidden patches."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from numbers import Integral

import torch
from sklearn.utils._param_validation import Interval
from torch import nn
from torch.nn import functional as F

from latentgen.autoencoders.regularizers._base import (
    FIXED_WEIGHT,
    FRACTION,
    LatentRegularizer,
    resize,
)
from latentgen.autoencoders.regularizers._feature_models import build_features


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
        Smallest and largest fraction of hidden patches, drawn anew in each step.
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
        Fraction of its time, the last one, in which the encoder is frozen and the fraction of
        hidden patches goes to 0, so that the decoder learns the codes of whole images.
    start : float, default=0.0
        Fraction of the training after which it begins.
    end : float, default=1.0
        Fraction of the training after which it ends.
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
    normalization, since statistics of masked images are not those of whole ones. The decoder
    keeps batch normalization. No other regularizer that takes the place of the ordinary pass can
    stand beside it. With ``mask_ratio=(0, 0)``, ``targets=()`` and ``decoder_only=0`` only the
    different network remains, which is the control to compare with.

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

    draws_by_itself = False
    masks_images = True
    needs = ("stride",)
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
