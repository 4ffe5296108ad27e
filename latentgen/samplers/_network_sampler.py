"""What samplers with a network have in common: it sees standardized codes."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from abc import abstractmethod
from numbers import Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval

from latentgen.base import BaseSampler
from latentgen.samplers._moments import CONSTANT_WIDTH, feature_scales
from latentgen.training import NetworkMixin, apply_in_batches
from latentgen.utils._random import make_generator
from latentgen.utils._warnings import warn_user

# Codes that are drawn or scored at a time.
INFERENCE_BATCH = 1024
# Shorter trainings are not judged; and nats per value by which a loss may be worse than that of one
# normal distribution: with the defaults that were 0.2 at most, from one epoch to the next.
_STEPS_TO_LEARN, _MARGIN = 200, 1.0


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
        # From the mean, so that the sums of a constant feature make hardly any error.
        self.scale_ = feature_scales(self.mean_, (Z - self.mean_).std(axis=0), CONSTANT_WIDTH)

    def _train_network(self, X, y=None, *, go_on=False, **how):
        super()._train_network(X, y, go_on=go_on, **how)
        # Codes that come later may lie elsewhere, and a short training has no time.
        if not go_on and self.net_.clock.n_done >= _STEPS_TO_LEARN:
            self._warn_if_nothing_is_learned(X.shape[1])

    def _warn_if_nothing_is_learned(self, n_features):
        """Compare the loss with that of N(0, I), exact for standardized codes."""
        losses = [row["train_loss"] for row in self.history_]
        # Several epochs, since those of a diffusion are noisy.
        loss = np.mean(losses[-math.ceil(len(losses) / 4) :])
        normal = 0.5 * n_features * (1 + math.log(2 * math.pi))
        if not loss < normal + _MARGIN * n_features:
            warn_user(
                f"{type(self).__name__} has learned nothing: its loss is {loss:.3g} nats, that of "
                f"one normal distribution would be {normal:.3g}. Lower 'lr' (now "
                f"{self.net_.lr:g}), or set 'grad_clip', for example to 1.",
                ConvergenceWarning,
            )

    def _standardize(self, Z):
        return ((Z - self.mean_) / self.scale_).astype(np.float32)

    def _sample(self, n_samples, rng, y=None):
        generator = make_generator(rng)
        X_new = np.empty((n_samples, len(self.mean_)), dtype=np.float32)
        for batch in gen_batches(n_samples, INFERENCE_BATCH):
            Z = self._draw_standardized(batch.stop - batch.start, generator)
            X_new[batch] = self.mean_ + self.scale_ * Z
        return X_new

    def _log_density(self, Z):
        # The change of variables of the standardization.
        density = self._standardized_log_density(self._standardize(Z))
        return density - np.log(self.scale_).sum()

    def _apply(self, function, *arrays, out):
        return apply_in_batches(
            function, *arrays, out=out, batch_size=INFERENCE_BATCH, device=self.device_
        )
