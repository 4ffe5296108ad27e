"""What autoencoders share that are one network, trained to give images back."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from abc import abstractmethod
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions

from latentgen.autoencoders.regularizers import prepare_regularizers
from latentgen.base import BaseAutoencoder
from latentgen.networks._reconstruction import Regularization, unit_images
from latentgen.training import NetworkMixin, apply_in_batches
from latentgen.utils._images import to_unit_floats
from latentgen.utils._warnings import warn_user

# Without gradients, a batch has at most so many images, and at most so many pixels.
_INFERENCE_BATCH = 512
_INFERENCE_PIXELS = 2**23
# Shorter trainings are not judged: all that were measured had passed the mean image by then.
_STEPS_TO_LEARN = 200
_N_JUDGED = 256
# Images that differ by less than one of 255 steps are as good as equal.
_LEAST_SPREAD = 1 / 255**2
# Variance of a mean code above which it is active (Burda et al. 2016, "Importance Weighted
# Autoencoders", section 5.2), and the fraction of active values below which a code has collapsed.
_ACTIVE_VARIANCE, _LEAST_ACTIVE = 0.01, 0.1
# Of the squared error of the mean image, since those of a network that gives it back vary a little.
_NOTHING_LEARNED = 0.98


class ReconstructionAutoencoder(NetworkMixin, BaseAutoencoder):
    """An autoencoder whose network is a `ReconstructionModule`.

    An implementer writes ``_make_module`` and ``_settle_design(layout)``, the plain arguments of
    the network for such images.
    """

    _parameter_constraints: dict = {
        "image_shape": ["array-like", None],
        "loss": [StrOptions({"auto", "bce", "mse", "mae", "mae_bce"})],
        "flip": [StrOptions({"horizontal", "vertical", "both"}), None],
        "lr_schedule": [StrOptions({"one_cycle", "cosine", "constant"})],
        "optimizer": [StrOptions({"adam", "adamw", "sgd"}), callable],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "regularizers": [list, tuple, None],
        "max_rec_degradation": [Interval(Real, 0, None, closed="left")],
        "callbacks": [list, tuple, None],
        "warm_start": ["boolean"],
        **NetworkMixin._training_constraints,
        "batch_size": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
    }

    # As in `NetworkMixin`: what an implementer does not make a parameter.
    regularizers = None
    max_rec_degradation = 0.1
    warm_start = False

    @abstractmethod
    def _settle_design(self, layout): ...

    def _fit_images(self, X, y, layout):
        go_on = self.warm_start and hasattr(self, "net_")
        self._train_on_images(X, y, layout, go_on=go_on)

    def _partial_fit_images(self, X, y, layout):
        self._train_on_images(X, y, layout, go_on=hasattr(self, "net_"), n_epochs=1)

    def _train_on_images(self, X, y, layout, *, go_on, n_epochs=None):
        n_before = len(self.history_) if go_on else 0
        starts = [regularizer.start for regularizer in self.regularizers or ()
                  if hasattr(regularizer, "start")]  # fmt: skip
        first = math.ceil(max(starts, default=0) * (n_epochs or self.max_epochs) - 1e-9) + 1
        # Labels are for regularizers, as they came; the network sees none.
        self._labels = y
        try:
            self._train_network(
                X,
                design=self._settle_design(layout),
                n_epochs=n_epochs,
                go_on=go_on,
                first_epoch=first,
                depends_on={"y": None if y is None else np.asarray(y)} if self.regularizers else {},
            )
        finally:
            del self._labels
        self.code_shape_ = self.net_.module_.code_shape
        self.history_ = self.history_[:n_before] + [
            _group_regularizers(row, len(self.regularizers or ()))
            for row in self.history_[n_before:]
        ]
        if self.regularizers:
            warn_degradation(self.history_, n_before, self.max_rec_degradation)
        # Of an earlier training only the number of epochs is known.
        n_steps = round(self.net_.clock.n_done * self.n_iter_ / len(self.net_.history))
        if n_steps >= _STEPS_TO_LEARN:
            self._warn_if_nothing_is_learned(X, n_steps)

    def _warn_if_nothing_is_learned(self, X, n_steps):
        """Warn of codes that have collapsed, and of a rate that has led nowhere."""
        rows = np.linspace(0, len(X) - 1, min(len(X), _N_JUDGED)).astype(int)
        few = np.asarray(X[rows])
        images, decoded = to_unit_floats(few), np.empty(few.shape, np.float32)
        Z = self._encode(few)
        self._decode(Z, decoded)
        error, spread = np.mean((decoded - images) ** 2), images.var(axis=0).mean()
        if spread < _LEAST_SPREAD:
            return
        beta = self.net_.module_.beta
        n_idle = np.sum(Z.var(axis=0) <= _ACTIVE_VARIANCE) if beta > 0 else 0
        if n_idle > (1 - _LEAST_ACTIVE) * Z.shape[1]:
            warn_user(
                f"The codes have collapsed: the standard deviation of {n_idle} of their "
                f"{Z.shape[1]} values, as encoded, is below {math.sqrt(_ACTIVE_VARIANCE):g} of "
                f"that of the prior, so they say nearly nothing about an image. Lower 'beta' (now "
                f"{beta:g}) or 'latent_dim'.",
                ConvergenceWarning,
            )
        elif not error < _NOTHING_LEARNED * spread:
            warn_user(
                f"After {n_steps} steps the reconstructions are no better than the mean image: "
                f"their squared error is {error:.3g}, and that of the mean image {spread:.3g}. "
                f"Lower 'lr' (now {self.net_.lr:g}), or train longer if the loss still falls.",
                ConvergenceWarning,
            )

    def _prepare_module(self, module, X, y, device, seeds):
        if self.regularizers:
            prepared = prepare_regularizers(
                self.regularizers, X, self._labels, module, device, seeds
            )
            module.regularization = Regularization(prepared).to(device)

    def _strip_module(self, module):
        # What was trained for the regularizers alone is not needed any more.
        module.regularization = None

    def _inference_batch(self):
        n_pixels = math.prod(self.net_.module_.image_shape)
        return max(1, min(_INFERENCE_BATCH, _INFERENCE_PIXELS // n_pixels))

    def _encode(self, X):
        module = self.net_.module_

        def codes(batch):
            return module.encode(unit_images(batch, module.image_shape)).mean.float()

        Z = np.empty((len(X), math.prod(module.code_shape)), dtype=np.float32)
        return apply_in_batches(
            codes, X, out=Z, batch_size=self._inference_batch(), device=self.device_
        )

    def _decode(self, Z, out):
        module = self.net_.module_

        def pixels(batch):
            return torch.sigmoid(module.decode(batch).float()).flatten(1)

        apply_in_batches(
            pixels, Z, out=out, batch_size=self._inference_batch(), device=self.device_
        )


def _group_regularizers(row, n_regularizers):
    """Gather what regularizers have logged in one epoch: a dict for each, in a list."""
    if not n_regularizers:
        return row
    row = {name: value for name, value in row.items() if not name.startswith("valid_regularizer_")}
    row["regularizers"] = []
    for i in range(n_regularizers):
        term = f"train_regularizer_{i}_"
        weight = row.pop(f"{term}weight", 0.0)
        row["regularizers"].append(
            {
                "loss": row.pop(f"{term}loss", math.nan),
                "weight": weight,
                # Of a gradient that was not measured nothing is known; without a step it is 0.
                "gradient_fraction": row.pop(
                    f"{term}gradient_fraction", math.nan if weight else 0.0
                ),
            }
        )
    return row


def warn_degradation(history, n_before, limit):
    """Compare the validation loss with that of the last epoch without regularizers.

    The first `n_before` of the rows in `history` are of an earlier ``fit``.
    """
    losses = [row.get("valid_loss") for row in history]
    regularized = [any(r["weight"] for r in row.get("regularizers", ())) for row in history]
    if True not in regularized[n_before:]:
        return
    first = regularized.index(True, n_before)
    if first == 0 or None in losses[first - 1 :]:
        return
    rise = min(losses[first:]) / losses[first - 1] - 1
    if rise > limit:
        warn_user(
            f"The validation loss rose by {rise:.0%} under the regularizers, expected at most "
            f"'max_rec_degradation'={limit:g}. Lower their weights, or start them later.",
            ConvergenceWarning,
        )
