"""The prior that a variational autoencoder is trained towards."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state, check_scalar


class NormalPrior:
    """N(0, I) over codes.

    Parameters
    ----------
    latent_dim : int
        Number of values in a code.
    """

    def __init__(self, latent_dim):
        self.latent_dim = latent_dim

    def sample(self, n_samples=1, *, random_state=None):
        """Draw codes, an array of shape (n_samples, latent_dim), dtype float32."""
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        rng = check_random_state(random_state)
        return rng.standard_normal((n_samples, self.latent_dim)).astype(np.float32)

    def score_samples(self, X):
        """Compute the log-density in nats of codes (n_samples, latent_dim)."""
        X = np.asarray(X, dtype=np.float64)
        return -0.5 * (np.square(X).sum(axis=1) + self.latent_dim * np.log(2 * np.pi))
