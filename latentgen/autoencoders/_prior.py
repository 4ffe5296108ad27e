"""The prior that a variational autoencoder is trained towards."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_random_state, check_scalar


class NormalPrior(BaseEstimator):
    """N(0, I) over codes, the prior of a variational autoencoder.

    It is ``prior_`` of a `ConvAutoencoder` with ``beta > 0``. A pipeline with the last step
    ``"prior"`` draws from it.

    Parameters
    ----------
    latent_dim : int
        Number of values in a code.

    See Also
    --------
    latentgen.samplers.PriorSampler : The same as a sampler with novelty.

    Examples
    --------
    >>> from latentgen.autoencoders import NormalPrior
    >>> NormalPrior(8).sample(3, random_state=0).shape
    (3, 8)
    """

    def __init__(self, latent_dim):
        self.latent_dim = latent_dim

    def sample(self, n_samples=1, *, random_state=None):
        """Draw new codes.

        Parameters
        ----------
        n_samples : int, default=1
            Number of codes to draw, at least 1.
        random_state : int, RandomState instance or None, default=None
            The same integer gives the same codes; None gives new ones in every call.

        Returns
        -------
        X_new : ndarray of shape (n_samples, latent_dim), dtype float32
            New codes.
        """
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        rng = check_random_state(random_state)
        return rng.standard_normal((n_samples, self.latent_dim)).astype(np.float32)

    def score_samples(self, X):
        """Compute the log-density.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Codes.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats.
        """
        X = check_array(X, dtype=np.float64, input_name="X")
        return -0.5 * (np.square(X).sum(axis=1) + X.shape[1] * np.log(2 * np.pi))
