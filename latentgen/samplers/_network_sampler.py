"""What samplers with a network have in common: it sees standardized codes."""

# SPDX-License-Identifier: BSD-3-Clause

from abc import abstractmethod
from numbers import Real

import numpy as np
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval

from latentgen.base import BaseSampler
from latentgen.samplers._moments import CONSTANT_WIDTH, feature_scales
from latentgen.training import NetworkMixin, apply_in_batches
from latentgen.utils._random import make_generator

# Codes that are drawn or scored at a time.
_INFERENCE_BATCH = 1024


class NetworkSampler(NetworkMixin, BaseSampler):
    """A density given by a network on standardized codes.

    An implementer writes ``_make_module(**design)``, whose loss is minus the mean log-density in
    nats or a bound on it, and ``_fit``, which calls `_set_scale` and trains on what `_standardize`
    gives. Drawing and scoring are two methods that see standardized codes only.
    """

    _min_samples = 2
    _read_at_draws = ("temperature", "min_novelty")
    _largest_batch = 512
    _cycle_momentum = True
    optimizer = "adamw"

    _parameter_constraints: dict = {
        **NetworkMixin._training_constraints,
        "temperature": [Interval(Real, 0, None, closed="left")],
        "min_novelty": [Interval(Real, 0, None, closed="left")],
    }

    @abstractmethod
    def _draw_standardized(self, n_samples, generator):
        """Draw standardized codes; in several calls, so that memory is needed for few."""

    @abstractmethod
    def _standardized_log_density(self, Z):
        """Log-density of standardized codes in nats, float64."""

    def _set_scale(self, Z):
        """Settle mean and scale of the codes."""
        self.mean_ = Z.mean(axis=0, dtype=np.float64)
        # A constant feature keeps a width, as in GaussianSampler.
        self.scale_ = feature_scales(self.mean_, Z.std(axis=0, dtype=np.float64), CONSTANT_WIDTH)

    def _standardize(self, Z):
        return ((Z - self.mean_) / self.scale_).astype(np.float32)

    def _sample(self, n_samples, rng, y=None):
        generator = make_generator(rng)
        X_new = np.empty((n_samples, len(self.mean_)), dtype=np.float32)
        for batch in gen_batches(n_samples, _INFERENCE_BATCH):
            Z = self._draw_standardized(batch.stop - batch.start, generator)
            X_new[batch] = self.mean_ + self.scale_ * Z
        return X_new

    def _log_density(self, Z):
        # The change of variables of the standardization.
        density = self._standardized_log_density(self._standardize(Z))
        return density - np.log(self.scale_).sum()

    def _apply(self, function, *arrays, out):
        return apply_in_batches(
            function, *arrays, out=out, batch_size=_INFERENCE_BATCH, device=self.device_
        )
