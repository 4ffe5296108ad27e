"""Samplers: latent codes to new latent codes."""

from latentgen.samplers._density import GaussianSampler
from latentgen.samplers._diffusion import DiffusionSampler
from latentgen.samplers._fast_hvrt import FastHVRTSampler
from latentgen.samplers._gaussian_mixture import GaussianMixtureSampler
from latentgen.samplers._kernel_density import KernelDensitySampler
from latentgen.samplers._local_gaussian import LocalGaussianSampler
from latentgen.samplers._meta import ConditionalSampler, EnsembleSampler
from latentgen.samplers._normalizing_flow import NormalizingFlowSampler

__all__ = [
    "ConditionalSampler",
    "DiffusionSampler",
    "EnsembleSampler",
    "FastHVRTSampler",
    "GaussianMixtureSampler",
    "GaussianSampler",
    "KernelDensitySampler",
    "LocalGaussianSampler",
    "NormalizingFlowSampler",
]
