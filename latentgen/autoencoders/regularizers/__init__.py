"""Regularizers: what makes the codes of an autoencoder easier to sample."""

# SPDX-License-Identifier: BSD-3-Clause

from latentgen.autoencoders.regularizers._base import LatentRegularizer, prepare_regularizers
from latentgen.autoencoders.regularizers._features import (
    FeatureAlignmentRegularizer,
    LatentPerceptualLoss,
    MaskedAutoencodingObjective,
)
from latentgen.autoencoders.regularizers._maps import (
    EquivarianceRegularizer,
    HighFrequencyCut,
    NoiseAugmentedDecoding,
    ScaleEquivarianceRegularizer,
)

__all__ = [
    "EquivarianceRegularizer",
    "FeatureAlignmentRegularizer",
    "HighFrequencyCut",
    "LatentPerceptualLoss",
    "LatentRegularizer",
    "MaskedAutoencodingObjective",
    "NoiseAugmentedDecoding",
    "ScaleEquivarianceRegularizer",
    "prepare_regularizers",
]
