"""Regularizers: what makes the codes of an autoencoder easier to sample."""

# SPDX-License-Identifier: BSD-3-Clause

from latentgen.autoencoders.regularizers._alignment import FeatureAlignmentRegularizer
from latentgen.autoencoders.regularizers._base import LatentRegularizer, prepare_regularizers
from latentgen.autoencoders.regularizers._equivariance import (
    EquivarianceRegularizer,
    ScaleEquivarianceRegularizer,
)
from latentgen.autoencoders.regularizers._frequencies import HighFrequencyCut
from latentgen.autoencoders.regularizers._masked import MaskedAutoencodingObjective
from latentgen.autoencoders.regularizers._smooth_decoder import (
    LatentPerceptualLoss,
    NoiseAugmentedDecoding,
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
