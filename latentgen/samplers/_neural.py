"""What samplers with a network share: scaling, training by skorch, inference in batches."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from abc import abstractmethod

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch import NeuralNet
from skorch.callbacks import Callback, LRScheduler, ProgressBar
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from latentgen.base import BaseSampler
from latentgen.utils._torch import draw_seed, resolve_device, seed_scope
from latentgen.utils._weights import WeightsMixin

# What batch_size='auto' aims at, and its limits.
_STEPS_PER_EPOCH, _MIN_BATCH, _MAX_BATCH = 50, 16, 512
INFERENCE_BATCH = 1024
# OneCycleLR ends at a rate of nearly 0, and with one step it also begins there.
_SHORTEST_CYCLE = 4


class _MeanLoss(nn.Module):
    """The module gives the loss of each row."""

    def forward(self, y_pred, y_true):
        return y_pred.mean()


class _ShuffledBatches:
    """Batches of a skorch dataset of codes; all have nearly the same size."""

    def __init__(self, dataset, batch_size):
        self.Z, self.n_batches = dataset.X, count_batches(len(dataset), batch_size)

    def __iter__(self):
        for rows in np.array_split(torch.randperm(len(self.Z)).numpy(), self.n_batches):
            yield torch.from_numpy(self.Z[rows]), torch.empty(0)


def count_batches(n_samples, batch_size):
    """Number of batches per epoch."""
    return max(1, round(n_samples / batch_size))


class _StopWhenDiverged(Callback):
    """Stop when the loss is no number any more."""

    def on_batch_end(self, net, training=False, **kwargs):
        loss = net.history[-1, "batches", -1, "train_loss"]
        if not math.isfinite(loss):
            raise ValueError(
                f"Training diverged in epoch {len(net.history)}: expected a finite loss, got "
                f"{loss}. Lower 'lr' (now {net.lr:g})."
            )


class NeuralSampler(WeightsMixin, BaseSampler):
    """A density given by a network on standardised codes.

    An implementer writes ``_design(n_features)``, the arguments of the network as plain values,
    and ``_make_module(**design)``, whose ``forward`` gives the loss of each row in nats. The
    parameters `max_epochs`, `batch_size`, `lr`, `device` and `verbose` are read here.
    """

    _min_samples = 2
    _read_at_draws = ("temperature", "min_novelty")

    @abstractmethod
    def _design(self, n_features): ...

    @abstractmethod
    def _make_module(self, **design): ...

    def _fit(self, Z, y, rng):
        self._architecture = self._design(Z.shape[1])
        self.device_ = resolve_device(self.device)
        self.mean_ = Z.mean(axis=0, dtype=np.float64)
        variance = Z.var(axis=0, dtype=np.float64)
        # A constant feature keeps a width, as in GaussianSampler.
        floor = max(1e-8 * variance.mean(), 1e-12)
        self.scale_ = np.sqrt(np.maximum(variance, floor))
        self.history_ = []
        self._train(self._standardise(Z), self.max_epochs, draw_seed(rng))

    def _partial_fit(self, Z, y, rng):
        """One epoch from the weights of the last one, with a new optimizer."""
        weights = self.net_.module_.state_dict()
        self._train(self._standardise(Z), 1, draw_seed(rng), weights)

    def _standardise(self, Z):
        return ((Z - self.mean_) / self.scale_).astype(np.float32)

    def _train(self, Z, n_epochs, seed, weights=None):
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = min(max(_MIN_BATCH, len(Z) // _STEPS_PER_EPOCH), _MAX_BATCH)
        n_steps = n_epochs * count_batches(len(Z), batch_size)
        callbacks = [("stop_when_diverged", _StopWhenDiverged()), *self._callbacks()]
        if n_steps >= _SHORTEST_CYCLE:
            schedule = {"max_lr": self.lr, "total_steps": n_steps}
            one_cycle = LRScheduler(OneCycleLR, step_every="batch", **schedule)
            callbacks.insert(1, ("lr_schedule", one_cycle))
        if self.verbose:
            callbacks.append(("progress_bar", ProgressBar()))
        with seed_scope(seed, self.device_):
            net = self._make_net(
                optimizer=torch.optim.AdamW,
                lr=self.lr,
                max_epochs=n_epochs,
                batch_size=batch_size,
                iterator_train=_ShuffledBatches,
                train_split=None,
                callbacks=callbacks,
                verbose=max(0, int(self.verbose) - 1),
            )
            if weights is not None:
                net.module_.load_state_dict(weights)
            net.partial_fit(Z)
        net.module_.eval()
        self.net_ = net
        self.history_ = self.history_ + [
            {"epoch": epoch, "train_loss": float(row["train_loss"]), "dur": float(row["dur"])}
            for epoch, row in enumerate(net.history, start=len(self.history_) + 1)
            if "train_loss" in row  # Not so where the keyboard ended the training.
        ]
        self.n_iter_ = len(self.history_)

    def _callbacks(self):
        """More callbacks of the training, as pairs of name and callback."""
        return []

    def _make_net(self, **training):
        module = self._make_module(**self._architecture)
        return NeuralNet(module, _MeanLoss, device=self.device_, **training).initialize()

    def score_samples(self, X):
        """Compute the log-density.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in_)
            Codes.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        # The change of variables of the standardisation.
        return self._score(self._standardise(X)) - np.log(self.scale_).sum()

    @abstractmethod
    def _score(self, Z):
        """Log-density of standardised codes."""

    def _apply(self, function, *arrays):
        """Rows of ``function(*tensors)``, the same whatever the rows around them.

        Every batch is filled up to one size, because the last bits of a product depend on it.
        """
        n = len(arrays[0])
        size, parts = min(INFERENCE_BATCH, max(n, 32)), []
        with torch.inference_mode():
            for start in range(0, n, size):
                batch = [array[start : start + size] for array in arrays]
                n_rows = len(batch[0])
                fill = size - n_rows
                batch = [np.pad(a, [(0, fill)] + [(0, 0)] * (a.ndim - 1)) for a in batch]
                tensors = [torch.from_numpy(array).to(self.device_) for array in batch]
                parts.append(function(*tensors)[:n_rows].cpu().numpy())
        return np.concatenate(parts)
