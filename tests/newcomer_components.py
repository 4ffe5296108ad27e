"""An autoencoder without a network, as a newcomer would write it after reading CONTRIBUTING.md."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral

import numpy as np
from sklearn.decomposition import IncrementalPCA
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval

from latentgen.base import BaseAutoencoder
from latentgen.utils._images import to_unit_floats


class ComponentsAutoencoder(BaseAutoencoder):
    """Principal components of the pixels."""

    _parameter_constraints: dict = {"latent_dim": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, latent_dim=2):
        self.latent_dim = latent_dim

    def _fit_images(self, X, y, layout):
        self.pca_ = IncrementalPCA(self.latent_dim)
        for rows in gen_batches(len(X), 32, min_batch_size=self.latent_dim):
            self.pca_.partial_fit(to_unit_floats(X[rows]))
        self.code_shape_ = (self.latent_dim,)

    def _encode(self, X):
        batches = (X[rows] for rows in gen_batches(len(X), 32))
        return np.concatenate([self.pca_.transform(to_unit_floats(batch)) for batch in batches])

    def _decode(self, Z, out):
        pixels = self.pca_.inverse_transform(Z).clip(0, 1)
        out[:] = np.rint(255 * pixels) if out.dtype == np.uint8 else pixels
