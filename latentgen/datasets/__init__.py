"""Image data sets: small ones to try things with, and the user's own folders."""

# SPDX-License-Identifier: BSD-3-Clause

from latentgen.datasets._fetch import fetch_cifar10, fetch_mnist, load_digits_images
from latentgen.datasets._folder import load_image_folder
from latentgen.datasets._weights import fetch_inception_weights

__all__ = [
    "fetch_cifar10",
    "fetch_inception_weights",
    "fetch_mnist",
    "load_digits_images",
    "load_image_folder",
]
