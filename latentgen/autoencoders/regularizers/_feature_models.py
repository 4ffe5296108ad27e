"""Image features on a grid, as targets of regularisers: gradients, moments, small networks."""

# SPDX-License-Identifier: BSD-3-Clause

import math

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d
from torch import nn
from torch.nn import functional as F

from latentgen.networks._classifier import ConvClassifierNet
from latentgen.networks._conv import ConvAutoencoderNet
from latentgen.networks._reconstruction import unit_images
from latentgen.training import NetworkMixin
from latentgen.training._random import DrawFrom, make_generator

_N_ORIENTATIONS = 8
_NOISE = 0.3


class HOG(nn.Module):
    """Histograms of oriented gradients (Dalal and Triggs 2005), one per cell.

    Eight orientations in [0, pi), linear weights between neighbours, each histogram of unit
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
        grey = F.pad(x.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        dx = grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2]
        dy = grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1]
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


class _Classifier(nn.Module):
    """Encoder stages and a linear layer."""

    draws_by_itself = False

    def __init__(self, stages, image_shape, n_features, n_classes):
        super().__init__()
        self.stages, self.image_shape = stages, image_shape
        self.head = nn.Linear(n_features, n_classes)

    def loss(self, batch, *, progress, generator, stage):
        x = unit_images(batch[0], self.image_shape)
        return F.cross_entropy(self.head(self.stages(x).flatten(1)), batch[1]), {}


class _Denoiser(nn.Module):
    """An autoencoder that sees noisy images."""

    draws_by_itself = False

    def __init__(self, network):
        super().__init__()
        self.network = network

    def loss(self, batch, *, progress, generator, stage):
        clean = unit_images(batch[0], self.network.image_shape)
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        code = self.network.encode(clean + _NOISE * noise)
        return self.network.reconstruction(clean, self.network.decode(code.mean)), {}


class _FeatureModel(NetworkMixin, BaseEstimator):
    """Trains one of the two; settings of its own, whatever those of the autoencoder are."""

    max_epochs = 3
    batch_size = 128
    lr = 0.002
    lr_schedule = "constant"

    def __init__(self, module, device, seed):
        self.module, self.device, self.random_state = module, device, seed

    def _make_module(self):
        return self.module

    def fit(self, X, y=None):
        self._train_network(X, y, design={})
        return self


def build_features(model, X, y, module, device, seeds):
    """A frozen module in eval mode that turns images (B, C, H, W) into maps of features.

    Parameters
    ----------
    model : {'hog', 'moments', 'dae', 'classifier'} or torch.nn.Module
    X : ndarray of shape (n, n_features)
        Training images.
    y : array-like of shape (n,) or None
        Their classes, for ``'classifier'``.
    module : ConvAutoencoderNet
        What is to be trained; the networks here have its image shape and widths.
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
    widths = [stage[0].out_channels for stage in module.encoder_stages]
    with DrawFrom(make_generator("cpu", *seeds)):
        network = ConvAutoencoderNet(module.image_shape, 32, widths)
    stages = nn.Sequential(_Pad(network), network.encoder_stages)
    net, numbers = _Denoiser(network), None
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
        numbers = numbers.astype(np.int64)
        with DrawFrom(make_generator("cpu", *seeds, 1)):
            net = _Classifier(
                stages, module.image_shape, network.code_layer.in_features, len(classes)
            )
    seed = int(np.random.SeedSequence(seeds).generate_state(1)[0] // 2)
    _FeatureModel(net, device, seed).fit(X, numbers)
    return stages


class _Pad(nn.Module):
    """The padding of a network, without registering it as a part."""

    def __init__(self, network):
        super().__init__()
        self.pad = network.pad

    def forward(self, x):
        return self.pad(x)
