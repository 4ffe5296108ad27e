"""Samplers: latent codes to new latent codes."""

# SPDX-License-Identifier: BSD-3-Clause
# Samplers with a network load on first use: the others do without torch.

from importlib import import_module

from latentgen.samplers._conditional import ConditionalSampler
from latentgen.samplers._ensemble import EnsembleSampler
from latentgen.samplers._fast_hvrt import FastHVRTSampler
from latentgen.samplers._gaussian import GaussianSampler
from latentgen.samplers._gaussian_mixture import GaussianMixtureSampler
from latentgen.samplers._kernel_density import KernelDensitySampler
from latentgen.samplers._local_gaussian import LocalGaussianSampler
from latentgen.samplers._prior import PriorSampler

_WITH_NETWORK = {"DiffusionSampler": "_diffusion", "NormalizingFlowSampler": "_normalizing_flow"}

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
    "PriorSampler",
]


def __getattr__(name):
    if name in _WITH_NETWORK:
        return getattr(import_module(f"latentgen.samplers.{_WITH_NETWORK[name]}"), name)
    raise AttributeError(f"module 'latentgen.samplers' has no attribute {name!r}")


def __dir__():
    return __all__
