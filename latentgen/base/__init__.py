"""The two contracts: autoencoders turn images into codes and back, samplers draw new codes."""

# SPDX-License-Identifier: BSD-3-Clause

from latentgen.base._autoencoder import BaseAutoencoder
from latentgen.base._sampler import BaseSampler

__all__ = ["BaseAutoencoder", "BaseSampler"]
