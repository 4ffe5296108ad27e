"""Samplers: latent codes to new latent codes."""

from latentgen.samplers._density import GaussianSampler
from latentgen.samplers._fast_hvrt import FastHVRTSampler
from latentgen.samplers._local_gaussian import LocalGaussianSampler
from latentgen.samplers._meta import ConditionalSampler

__all__ = ["ConditionalSampler", "FastHVRTSampler", "GaussianSampler", "LocalGaussianSampler"]
