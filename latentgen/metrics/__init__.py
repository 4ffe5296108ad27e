"""Judging generated images: distances, novelty, usefulness, and scorers for model selection."""

# SPDX-License-Identifier: BSD-3-Clause

from latentgen.metrics._augment import shift_and_rotate
from latentgen.metrics._copying import copied_fraction, data_copying_test
from latentgen.metrics._diagnostics import (
    active_units,
    decoder_sensitivity,
    equivariance_error,
    high_frequency_fraction,
    kl_from_prior,
    latent_spectrum,
    linear_probe,
    scale_equivariance_error,
)
from latentgen.metrics._distances import frechet_distance, kernel_distance
from latentgen.metrics._features import ClassifierFeatures
from latentgen.metrics._frechet_infinity import frechet_distance_infinity
from latentgen.metrics._imagenet import ImageNetFeatures
from latentgen.metrics._inception import InceptionFeatures
from latentgen.metrics._inception_score import inception_score
from latentgen.metrics._latent import latent_ks_statistic, novelty
from latentgen.metrics._manifold import precision_recall_density_coverage
from latentgen.metrics._report import GenerationReport, generation_report
from latentgen.metrics._scorer import FIDScorer, GenerationScorer, KIDScorer, TSTRScorer
from latentgen.metrics._two_sample import classifier_two_sample_test, energy_distance
from latentgen.metrics._uncertainty import bootstrap_interval, paired_difference
from latentgen.metrics._utility import (
    trtr_score,
    trts_score,
    tstr_score,
    utility_of_added_images,
)

__all__ = [
    "ClassifierFeatures",
    "FIDScorer",
    "GenerationReport",
    "GenerationScorer",
    "ImageNetFeatures",
    "InceptionFeatures",
    "KIDScorer",
    "TSTRScorer",
    "active_units",
    "bootstrap_interval",
    "classifier_two_sample_test",
    "copied_fraction",
    "data_copying_test",
    "decoder_sensitivity",
    "energy_distance",
    "equivariance_error",
    "frechet_distance",
    "frechet_distance_infinity",
    "generation_report",
    "high_frequency_fraction",
    "inception_score",
    "kernel_distance",
    "kl_from_prior",
    "latent_ks_statistic",
    "latent_spectrum",
    "linear_probe",
    "novelty",
    "paired_difference",
    "precision_recall_density_coverage",
    "scale_equivariance_error",
    "shift_and_rotate",
    "trtr_score",
    "trts_score",
    "tstr_score",
    "utility_of_added_images",
]
