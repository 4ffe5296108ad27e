"""Autoencoders: images to latent codes to images."""

from latentgen.autoencoders._conv import ConvAutoencoder

__all__ = ["ConvAutoencoder"]
