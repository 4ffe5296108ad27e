"""Autoencoders: images to latent codes to images."""

# SPDX-License-Identifier: BSD-3-Clause

from latentgen.autoencoders._conv import ConvAutoencoder
from latentgen.autoencoders._network import NetworkAutoencoder
from latentgen.autoencoders._prior import NormalPrior
from latentgen.autoencoders.regularizers import (
    EquivarianceRegularizer,
    FeatureAlignmentRegularizer,
    HighFrequencyCut,
    LatentPerceptualLoss,
    LatentRegularizer,
    MaskedAutoencodingObjective,
    NoiseAugmentedDecoding,
    ScaleEquivarianceRegularizer,
)

__all__ = [
    "ConvAutoencoder",
    "EquivarianceRegularizer",
    "FeatureAlignmentRegularizer",
    "HighFrequencyCut",
    "LatentPerceptualLoss",
    "LatentRegularizer",
    "MaskedAutoencodingObjective",
    "NetworkAutoencoder",
    "NoiseAugmentedDecoding",
    "NormalPrior",
    "ScaleEquivarianceRegularizer",
]
