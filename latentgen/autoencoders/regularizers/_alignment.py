"""Codes that look like the features of a frozen network."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn
from torch.nn import functional as F

from latentgen.autoencoders.regularizers._base import LatentRegularizer, resize
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
        ``'classifier'`` needs the labels in ``fit``: codes are then no longer learned without
        supervision, which belongs in every report.
    margin_cosine : float, default=0.5
        Positions with a cosine above one minus this cost nothing.
    margin_distance : float, default=0.25
        Pairs of positions whose cosines differ by less cost nothing.
    start : float, default=0.0
        Fraction of the training after which it begins.
    end : float, default=1.0
        Fraction of the training after which it ends.
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
    larger than 16 x 16, 256 positions are compared in each step.

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

    draws_by_itself = False
    needs_map = True
    needs = ("stride",)
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
