"""Autoencoders: images to latent codes to images."""

from latentgen.autoencoders._conv import ConvAutoencoder
from latentgen.autoencoders._feature_regularizers import (
    FeatureAlignmentRegularizer,
    LatentPerceptualLoss,
    MaskedAutoencodingObjective,
)
from latentgen.autoencoders._regularizers import (
    EquivarianceRegularizer,
    HighFrequencyCut,
    NoiseAugmentedDecoding,
    ScaleEquivarianceRegularizer,
)

__all__ = [
    "ConvAutoencoder",
    "EquivarianceRegularizer",
    "FeatureAlignmentRegularizer",
    "HighFrequencyCut",
    "LatentPerceptualLoss",
    "MaskedAutoencodingObjective",
    "NoiseAugmentedDecoding",
    "ScaleEquivarianceRegularizer",
]
