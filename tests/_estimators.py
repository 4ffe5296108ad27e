"""The one list of tested estimators: a new estimator is one more row here."""

# SPDX-License-Identifier: BSD-3-Clause

import math

import numpy as np
from newcomer_autoencoder import DenseAutoencoder
from newcomer_components import ComponentsAutoencoder
from newcomer_sampler import InterpolatingSampler
from sklearn.base import clone
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler
from torch import nn

from latentgen import (
    ConditionalSampler,
    ConvAutoencoder,
    DiffusionSampler,
    EnsembleSampler,
    FastHVRTSampler,
    GaussianMixtureSampler,
    GaussianSampler,
    KernelDensitySampler,
    LatentGenerativePipeline,
    LocalGaussianSampler,
    NetworkAutoencoder,
    NormalizingFlowSampler,
)
from latentgen.autoencoders import MaskedAutoencodingObjective
from latentgen.metrics import ClassifierFeatures, ImageNetFeatures
from latentgen.samplers import PriorSampler

# Constructor arguments that are cheap enough for hundreds of fits.
CONV = ConvAutoencoder(latent_dim=3, channels=(4,), max_epochs=1, batch_size=32, random_state=0)


def dense_encoder(image_shape):
    """A network for images of any size."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(image_shape), 3))


def dense_decoder(image_shape):
    return nn.Sequential(nn.Dropout(0.01), nn.Linear(3, math.prod(image_shape)))


AUTOENCODERS = [
    CONV,
    clone(CONV).set_params(beta=1.0),
    # Maps have a number of values that depends on the image, which the checks choose.
    clone(CONV).set_params(regularizers=[MaskedAutoencodingObjective()]),
    NetworkAutoencoder(dense_encoder, dense_decoder, max_epochs=1, batch_size=32, random_state=0),
    DenseAutoencoder(latent_dim=3, max_epochs=2, random_state=0),
    ComponentsAutoencoder(),
]

SAMPLERS = [
    GaussianSampler(),
    GaussianSampler(covariance="diag"),
    GaussianMixtureSampler(2, random_state=0),
    GaussianMixtureSampler(2, covariance_type="diag", bayesian=True, random_state=0),
    KernelDensitySampler(),
    KernelDensitySampler("cv", kernel="epanechnikov", random_state=0),
    LocalGaussianSampler(random_state=0),
    FastHVRTSampler(random_state=0),
    FastHVRTSampler("univariate_kde_copula", min_samples_leaf=5, random_state=0),
    FastHVRTSampler("local_gaussian", min_samples_leaf=5, random_state=0),
    FastHVRTSampler(partition="fast", random_state=0),
    FastHVRTSampler("local_gaussian", partition="local", random_state=0),
    NormalizingFlowSampler(
        n_transforms=2, hidden_features=(8,), max_epochs=1, batch_size=64, random_state=0
    ),
    DiffusionSampler(width=8, n_blocks=1, n_steps=3, max_epochs=1, batch_size=64, random_state=0),
    DiffusionSampler(
        **{"start": KernelDensitySampler(), "start_time": 0.2, "width": 8, "n_blocks": 1},
        **{"n_steps": 3, "max_epochs": 1, "batch_size": 64, "random_state": 0},
    ),
    PriorSampler(),
    ConditionalSampler(FastHVRTSampler(random_state=0)),
    ConditionalSampler(GaussianSampler()),
    ConditionalSampler(GaussianMixture(random_state=0)),
    EnsembleSampler(LocalGaussianSampler(), n_estimators=2, random_state=0),
    EnsembleSampler(ConditionalSampler(GaussianSampler()), n_estimators=2, random_state=0),
    InterpolatingSampler(),
]

PIPELINES = [
    LatentGenerativePipeline([("autoencoder", CONV), ("sampler", GaussianSampler())]),
    LatentGenerativePipeline(
        [
            ("autoencoder", CONV),
            ("scaler", StandardScaler()),
            ("sampler", ConditionalSampler(GaussianSampler())),
        ]
    ),
]

# Estimators that are neither autoencoder nor sampler, such as feature extractors.
OTHERS = [ClassifierFeatures(max_epochs=1, batch_size=32), ImageNetFeatures(side=8, batch_size=8)]

ESTIMATORS = AUTOENCODERS + SAMPLERS + PIPELINES + OTHERS

# What is not part of latentgen: written as CONTRIBUTING.md tells it, and functions.
NEWCOMERS = [
    ComponentsAutoencoder,
    DenseAutoencoder,
    InterpolatingSampler,
    dense_decoder,
    dense_encoder,
]


CLUSTER_MEANS = np.array([[0, 0, 0], [6, 0, 0], [0, 6, 0]])


def make_codes():
    """150 codes in three clusters of different size, and their labels."""
    rng = np.random.RandomState(0)
    y = np.repeat(["a", "b", "c"], [75, 50, 25])
    centers = np.repeat(CLUSTER_MEANS, [75, 50, 25], axis=0)
    Z = (centers + rng.standard_normal((150, 3))).astype(np.float32)
    order = rng.permutation(150)
    return Z[order], y[order]
