"""Small autoencoders with regularizers, and single training steps, for the tests of this folder."""

# SPDX-License-Identifier: BSD-3-Clause

import torch
from _estimators import CONV
from sklearn.base import clone
from torch import nn
from torch.nn import functional as F

from latentgen.autoencoders import (
    EquivarianceRegularizer,
    FeatureAlignmentRegularizer,
    HighFrequencyCut,
    LatentPerceptualLoss,
    MaskedAutoencodingObjective,
    NoiseAugmentedDecoding,
    ScaleEquivarianceRegularizer,
)
from latentgen.autoencoders.regularizers import prepare_regularizers
from latentgen.networks._reconstruction import (
    Code,
    ReconstructionModule,
    Regularization,
    TrainingStep,
)
from latentgen.training._random import DrawFrom

ON_MAPS = [
    EquivarianceRegularizer(),
    ScaleEquivarianceRegularizer(),
    HighFrequencyCut(),
    FeatureAlignmentRegularizer(feature_model="hog"),
]
ANYWHERE = [NoiseAugmentedDecoding(), MaskedAutoencodingObjective(), LatentPerceptualLoss()]
ALL = ON_MAPS + ANYWHERE
NEARLY_ALWAYS = 1 - 1e-12


def name(value):
    return type(value).__name__ if hasattr(value, "get_params") else str(value)


def maps(*regularizers, **params):
    """A tiny autoencoder whose codes are maps of 2 x 4 x 4."""
    regularizers = list(regularizers) or None
    fixed = {"latent_dim": 32, "spatial_latent": True, "regularizers": regularizers}
    return clone(CONV).set_params(**fixed | params)


def trained(*regularizers, **params):
    """The same with 4 x 4 x 4 values, to be trained as long as its properties take to show."""
    fixed = {"latent_dim": 64, "max_epochs": 8, "batch_size": 16, "lr": 0.02, "channels": (8,)}
    return maps(*regularizers, **fixed | params)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.net_.module_.parameters()]).numpy()


class Pooling(ReconstructionModule):
    """A linear autoencoder: means of 2 x 2 pixels, repeated. It commutes with quarter turns."""

    stride = 2
    masked = True

    def __init__(self, beta=0.0):
        super().__init__((1, 8, 8), (1, 4, 4), loss="mse", beta=beta)
        # Nothing that counts; gradients are measured at its weights.
        self.code_layer = nn.Conv2d(1, 1, 1)

    def encode(self, x, mask=None):
        return Code(F.avg_pool2d(x, 2).flatten(1))

    def draw_code(self, code, generator):
        return code.mean

    def decode_map(self, z):
        return torch.logit(z.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))

    def decode(self, z):
        return self.decode_map(z.unflatten(1, self.code_shape))


def prepared_for(module, *regularizers):
    """Copies of regularizers that are ready for a network, with no images to learn from."""
    with DrawFrom(torch.Generator().manual_seed(0)):
        return prepare_regularizers(regularizers, None, None, module, "cpu", (0,))


def step_with(regularizer, x, *, module=None, progress=0.0):
    """A training step, and a copy of the regularizer that is ready for it."""
    module = Pooling() if module is None else module
    (prepared,) = prepared_for(module, regularizer)
    return TrainingStep(module, x, progress, torch.Generator().manual_seed(0)), prepared


def loss_with(x, *regularizers, module=None):
    """Loss of one training step, and its terms."""
    module = Pooling() if module is None else module
    module.regularization = Regularization(prepared_for(module, *regularizers))
    generator = torch.Generator().manual_seed(0)
    return module.loss((x.flatten(1),), progress=0.0, generator=generator, stage="")
