"""Judging generated images: distances, novelty, usefulness, and scorers for model selection."""

# SPDX-License-Identifier: BSD-3-Clause

from latentgen.metrics._distances import frechet_distance, kernel_distance
from latentgen.metrics._features import ClassifierFeatures
from latentgen.metrics._latent import latent_ks_statistic, novelty

__all__ = [
    "ClassifierFeatures",
    "frechet_distance",
    "kernel_distance",
    "latent_ks_statistic",
    "novelty",
]
