"""The skorch net that trains every network of latentgen."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from contextlib import nullcontext
from opcode import opmap

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.utils import to_device
from torch import nn

from latentgen.training._random import DrawFrom, make_generator


class TrainingStopped(Exception):
    """Ends a training on purpose, unlike Ctrl-C."""


class _Own(nn.Module):
    """Stands in for the criterion that skorch asks for: the module computes its own loss."""


class _UntilFinished:
    """Batches of an iterator, until the clock says that the training is finished."""

    def __init__(self, batches, clock):
        self.batches, self.clock = batches, clock

    def __iter__(self):
        for batch in self.batches:
            if self.clock.finished:
                return
            yield batch

    def __len__(self):
        return len(self.batches)


def _is_raised_by_callback(error):
    """Whether the innermost function is one of a callback, and stands at a ``raise``.

    Ctrl-C comes out of any instruction, and the handler of a signal is nobody's method.
    """
    innermost = error.__traceback__
    while innermost.tb_next is not None:
        innermost = innermost.tb_next
    frame = innermost.tb_frame
    raised = frame.f_code.co_code[innermost.tb_lasti] == opmap["RAISE_VARARGS"]
    return raised and isinstance(frame.f_locals.get("self"), Callback)


class TrainingNet(NeuralNet):
    """skorch net whose module computes its own loss, in training and in validation.

    Parameters
    ----------
    module : torch.nn.Module
        With ``loss(batch, *, progress, generator, stage)``, see `latentgen.training`.
    clock : Clock, default=None
        Progress of the training.
    generator : torch.Generator, default=None
        What the module draws from.
    seed : int, default=0
        Seed of the draws in validation, the same in every epoch.
    **kwargs : dict
        For `skorch.NeuralNet`.
    """

    def __init__(self, module, *, clock=None, generator=None, seed=0, **kwargs):
        self.clock, self.generator, self.seed = clock, generator, seed
        super().__init__(module, _Own, **kwargs)

    def partial_fit(self, X, y=None, classes=None, **fit_params):
        """Train; unlike skorch's own, Ctrl-C is raised."""
        if not self.initialized_:
            self.initialize()
        self._terms = {"train": {}, "valid": {}}
        self.average_ = None
        self.notify("on_train_begin", X=X, y=y)
        try:
            self.fit_loop(X, y, **fit_params)
        except TrainingStopped:
            pass
        self.notify("on_train_end", X=X, y=y)
        return self

    def notify(self, method_name, **cb_kwargs):
        """Call callbacks, which may end the training; those of skorch raise KeyboardInterrupt."""
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt as error:
            if not _is_raised_by_callback(error):
                raise
            raise TrainingStopped from None
        if method_name == "on_epoch_end" and self.clock.finished:
            raise TrainingStopped

    def initialize_optimizer(self, triggered_directly=None):
        """Make the optimizer, where there is anything to learn."""
        has_any = any(True for _ in self.module_.parameters())
        return super().initialize_optimizer(triggered_directly) if has_any else self

    def get_iterator(self, dataset, training=False):
        """Iterate over batches, in training until the clock has run out."""
        batches = super().get_iterator(dataset, training)
        return _UntilFinished(batches, self.clock) if training else batches

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Train or validate for one epoch, and log the means of the terms."""
        if not training:
            # The same noise in every epoch, and none taken from the training.
            self._valid_generator = make_generator(self.device, self.seed)
        super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
        if training and not self.history[-1, "train_batch_count"]:
            # Time ran out between two epochs.
            self.history.pop()
            raise TrainingStopped
        for name, values in self._terms[prefix].items():
            self.history.record(f"{prefix}_{name}", math.fsum(map(float, values)) / len(values))
        self._terms[prefix] = {}
        if training and self.average_ is not None:
            # Validation, and callbacks at the end of the epoch, see the average.
            self.average_.swap_in(self.module_)

    def train_step_single(self, batch, **fit_params):
        """Take the loss of a batch and its gradients."""
        self._set_training(True)
        loss, terms = self._loss(batch, self.generator)
        loss.backward()
        self._log("train", terms)
        return {"loss": loss, "y_pred": terms}

    def validation_step(self, batch, **fit_params):
        """Take the loss of a batch in evaluation mode."""
        self._set_training(False)
        with torch.no_grad():
            loss, terms = self._loss(batch, self._valid_generator)
        self._log("valid", terms)
        return {"loss": loss, "y_pred": terms}

    def _loss(self, batch, generator):
        batch = to_device(batch, self.device)
        stage = self.clock.stage
        with DrawFrom(generator) if self._draws_by_itself else nullcontext():
            return self.module_.loss(
                batch,
                progress=self.clock.progress,
                generator=generator,
                stage=stage.name if stage else "",
            )

    @property
    def _draws_by_itself(self):
        """Whether layers draw without being handed the generator."""
        return getattr(self.module_, "draws_by_itself", True)

    def _log(self, prefix, terms):
        for name, value in terms.items():
            value = value.detach() if isinstance(value, torch.Tensor) else value
            self._terms[prefix].setdefault(name, []).append(value)
