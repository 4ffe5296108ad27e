"""Single-pass latent image generation with scikit-learn estimators."""

# SPDX-License-Identifier: BSD-3-Clause
# Public names load on first use, so that `import latentgen` stays free of torch.

from importlib import import_module

from latentgen._version import __version__

_HOMES = {
    "ConvAutoencoder": "autoencoders",
    "NetworkAutoencoder": "autoencoders",
    "ConditionalSampler": "samplers",
    "DiffusionSampler": "samplers",
    "EnsembleSampler": "samplers",
    "FastHVRTSampler": "samplers",
    "GaussianMixtureSampler": "samplers",
    "GaussianSampler": "samplers",
    "KernelDensitySampler": "samplers",
    "LocalGaussianSampler": "samplers",
    "NormalizingFlowSampler": "samplers",
    "LatentGenerativePipeline": "pipeline",
    "make_latent_pipeline": "pipeline",
    "load_model": "persistence",
    "save_model": "persistence",
}
_SUBPACKAGES = ["autoencoders", "datasets", "inspection", "metrics", "model_selection", "samplers"]

__all__ = ["__version__", *sorted([*_HOMES, *_SUBPACKAGES])]


def __getattr__(name):
    if name in _HOMES:
        return getattr(import_module(f"latentgen.{_HOMES[name]}"), name)
    if name in _SUBPACKAGES:
        return import_module(f"latentgen.{name}")
    raise AttributeError(f"module 'latentgen' has no attribute {name!r}")


def __dir__():
    return __all__
