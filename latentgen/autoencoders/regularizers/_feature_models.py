"""Image features on a grid, as targets of regularizers: gradients, moments, small networks."""

# SPDX-License-Identifier: BSD-3-Clause

import math

import numpy as np
import torch
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d
from torch import nn
from torch.nn import functional as F

from latentgen.networks._classifier import ConvClassifierNet
from latentgen.networks._conv import ConvAutoencoderNet, default_channels
from latentgen.networks._reconstruction import unit_images
from latentgen.training import NetworkMixin
from latentgen.training._random import make_generator

_N_ORIENTATIONS = 8
_NOISE = 0.3


class HOG(nn.Module):
    """Histograms of oriented gradients (Dalal and Triggs 2005), one per cell.

    Eight orientations in [0, pi), linear weights between neighbors, each histogram of unit
    length and zero where nothing is to be seen.

    Parameters
    ----------
    cell : int
        Side of a cell in pixels.
    """

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        gray = F.pad(x.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        dx = gray[..., 1:-1, 2:] - gray[..., 1:-1, :-2]
        dy = gray[..., 2:, 1:-1] - gray[..., :-2, 1:-1]
        position = torch.atan2(dy, dx) % math.pi / math.pi * _N_ORIENTATIONS
        centres = torch.arange(_N_ORIENTATIONS, device=x.device).view(-1, 1, 1)
        distance = (position - centres).abs()
        distance = torch.minimum(distance, _N_ORIENTATIONS - distance)
        histogram = (1 - distance).clamp(min=0) * (dx.square() + dy.square()).sqrt()
        histogram = F.avg_pool2d(histogram, self.cell, ceil_mode=True)
        return histogram / (histogram.norm(dim=1, keepdim=True) + 1e-3)


class LocalMoments(nn.Module):
    """Mean and standard deviation of each channel in each cell.

    Parameters
    ----------
    cell : int
        Side of a cell in pixels.
    """

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        mean = F.avg_pool2d(x, self.cell, ceil_mode=True)
        variance = F.avg_pool2d(x.square(), self.cell, ceil_mode=True) - mean.square()
        return torch.cat([mean, variance.clamp(min=0).sqrt()], dim=1)


class _Denoiser(ConvAutoencoderNet):
    """Learns to take noise off images."""

    def loss(self, batch, *, progress, generator, stage):
        clean = unit_images(batch[0], self.image_shape)
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        code = self.encode(clean + _NOISE * noise)
        return self.reconstruction(clean, self.decode(code.mean)), {}


class _Classifier(ConvAutoencoderNet):
    """Learns classes: its codes are their logits."""

    def loss(self, batch, *, progress, generator, stage):
        x = unit_images(batch[0], self.image_shape)
        return F.cross_entropy(self.encode(x).mean, batch[1]), {}


class _FeatureModel(NetworkMixin):
    """Trains one of the two; settings of its own, whatever those of the autoencoder are."""

    max_epochs = 3
    batch_size = 128
    lr = 0.002
    lr_schedule = "constant"

    def __init__(self, device):
        self.device = device

    def _make_module(self, kind, image_shape, latent_dim, channels):
        network = _Denoiser if kind == "dae" else _Classifier
        return network(image_shape, latent_dim, channels)


class _Stages(nn.Module):
    """The stages of an encoder, which give maps."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network.encoder_stages(self.network.pad(x))


def build_features(model, X, y, module, device, seeds):
    """A frozen module in eval mode that turns images (B, C, H, W) into maps of features.

    Parameters
    ----------
    model : {'hog', 'moments', 'dae', 'classifier'} or torch.nn.Module
    X : ndarray of shape (n, n_features)
        Training images.
    y : array-like of shape (n,) or None
        Their classes, for ``'classifier'``.
    module : ReconstructionModule
        What is to be trained; the networks here have its image shape, and its widths if it has any.
    device : str
    seeds : tuple of int
        For the networks that are trained here.
    """
    if model == "hog":
        features = HOG(module.stride)
    elif model == "moments":
        features = LocalMoments(module.stride)
    elif model in ("dae", "classifier"):
        features = _train_stages(model, X, y, module, device, seeds)
    else:
        _refuse_judges(model)
        features = model
    features = features.to(device).requires_grad_(False).eval()
    with torch.no_grad():
        shape = tuple(features(torch.zeros(2, *module.image_shape, device=device)).shape)
    if len(shape) != 4 or shape[0] != 2:
        raise ValueError(
            f"A feature model must turn images {(2, *module.image_shape)} into maps (2, F, h, w), "
            f"got shape {shape}. Leave out layers that flatten or pool everything."
        )
    return features


def _refuse_judges(model):
    for part in model.modules():
        in_metrics = type(part).__module__.split(".")[:2] == ["latentgen", "metrics"]
        if in_metrics or isinstance(part, ConvClassifierNet):
            raise ValueError(
                f"The feature model holds {type(part).__name__}, a network of latentgen that "
                "judges generated images. A model that was trained to please its judge gets "
                "better numbers and no better images: use another network, or 'dae'."
            )


def _train_stages(kind, X, y, module, device, seeds):
    """Train a small network of the same stages, and give the stages."""
    latent_dim, numbers = 32, None
    if kind == "classifier":
        if y is None:
            raise ValueError(
                "feature_model='classifier' needs class labels, got y=None. Pass them to 'fit', "
                "or use feature_model='dae'."
            )
        y = column_or_1d(check_array(y, ensure_2d=False, dtype=None, input_name="y"), warn=True)
        check_consistent_length(X, y)
        check_classification_targets(y)
        classes, numbers = np.unique(y, return_inverse=True)
        latent_dim, numbers = len(classes), numbers.astype(np.int64)
    channels = getattr(module, "channels", None) or default_channels(module.image_shape)
    design = {
        "kind": kind,
        "image_shape": module.image_shape,
        "latent_dim": latent_dim,
        "channels": channels,
    }
    rng = np.random.RandomState(make_generator("cpu", *seeds).initial_seed() % 2**32)
    model = _FeatureModel(device)
    model._train_network(X, numbers, design=design, rng=rng)
    return _Stages(model.net_.module_)
