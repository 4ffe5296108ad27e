"""Callbacks of every training, by name: users replace one by naming theirs the same."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from copy import deepcopy
from functools import partial
from importlib.util import find_spec

import torch
from skorch import callbacks
from skorch.utils import noop
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR
from torch.optim.swa_utils import AveragedModel

# One cycle ends at a rate of nearly 0, and with one step it also begins there.
_SHORTEST_CYCLE = 4
_MOST_POSITIONS = 10_000


class CountSteps(callbacks.Callback):
    """Keep the clock, and let the parameters of the stage learn."""

    def on_train_begin(self, net, **kwargs):
        self._stage = None

    def on_batch_begin(self, net, training=False, **kwargs):
        if not training:
            return
        net.clock.begin_step()
        stage = net.clock.stage
        if stage is not self._stage:
            self._stage = stage
            for name, parameter in net.module_.named_parameters():
                learns = stage.learns is None or name.startswith(tuple(stage.learns))
                parameter.requires_grad_(learns)

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            net.clock.end_step()

    def on_train_end(self, net, **kwargs):
        if net.clock.stages:
            net.module_.requires_grad_(True)


class CheckLoss(callbacks.Callback):
    """Stop with an error when the loss is no longer finite."""

    def on_batch_end(self, net, training=False, **kwargs):
        prefix = "train" if training else "valid"
        loss = net.history[-1, "batches", -1, f"{prefix}_loss"]
        if not math.isfinite(loss):
            raise ValueError(
                f"Training diverged in epoch {len(net.history)}: expected a finite loss, got "
                f"{loss}. Lower 'lr' (now {net.lr:g}), or set 'grad_clip', for example to 1."
            )


class ScheduleRate(callbacks.Callback):
    """Step one of torch's schedules as far as the progress of the training says.

    Parameters
    ----------
    schedule : callable
        Takes an optimizer and a number of steps, gives a scheduler.
    """

    def __init__(self, schedule):
        self.schedule = schedule

    def on_train_begin(self, net, **kwargs):
        self._position, self._length = 0, net.clock.n_steps
        if net.clock.max_seconds is not None:
            # Time may skip many of them, and each costs some microseconds.
            self._length = min(self._length, _MOST_POSITIONS)
        self._scheduler = self.schedule(net.optimizer_, self._length)

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            # As skorch's own schedules do.
            net.history.record_batch("event_lr", net.optimizer_.param_groups[0]["lr"])
            self.move_to(net.clock)

    def move_to(self, clock):
        """Go on to the rate of the next step."""
        clock.begin_step()
        position = min(round(clock.progress * self._length), self._length - 1)
        # One by one, since some of torch's schedules compute a rate from the one before it.
        while self._position < position:
            self._scheduler.step()
            self._position += 1


def _one_cycle(cycle_momentum, lr, optimizer, n_steps):
    return OneCycleLR(optimizer, max_lr=lr, total_steps=n_steps, cycle_momentum=cycle_momentum)


def _cosine(optimizer, n_steps):
    return CosineAnnealingLR(optimizer, T_max=n_steps)


class AverageWeights(callbacks.Callback):
    """Keep the exponential moving average of the weights, which the trained module has.

    The decay grows with the number of steps as (1 + n) / (10 + n), so that a short training does
    not end near its random start. The average is in the module from the end of the steps of an
    epoch to the beginning of the next.

    Parameters
    ----------
    decay : float
        Largest decay, in (0, 1).
    """

    def __init__(self, decay):
        self.decay = decay

    def on_train_begin(self, net, **kwargs):
        self.raw = None
        self.model = AveragedModel(net.module_, avg_fn=self._mix, use_buffers=True)
        net.average_ = self

    def on_epoch_begin(self, net, **kwargs):
        if self.raw is not None:
            net.module_.load_state_dict(self.raw)
            self.raw = None

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            self.model.update_parameters(net.module_)

    def on_train_end(self, net, **kwargs):
        if self.raw is None:
            # Some callback has ended the training within an epoch.
            self.swap_in(net.module_)
        self.raw = self.model = None

    def swap_in(self, module):
        """Put the average into the module, and keep what was there."""
        self.raw = deepcopy(module.state_dict())
        module.load_state_dict(self.model.module.state_dict())

    def _mix(self, average, current, n_averaged):
        if not average.is_floating_point():
            return current
        n = int(n_averaged)
        return torch.lerp(current, average, min(self.decay, (1 + n) / (10 + n)))


class EarlyStopping(callbacks.EarlyStopping):
    """Early stopping that counts epochs from `first` on, when all regularizers are at work.

    Otherwise the best epoch could be one without them, and restoring it would undo them.
    """

    def __init__(self, first=1, **kwargs):
        super().__init__(**kwargs)
        self.first = first

    def on_epoch_end(self, net, **kwargs):
        if net.history[-1, "epoch"] >= self.first:
            super().on_epoch_end(net, **kwargs)


def build_callbacks(
    *,
    n_steps,
    lr,
    lr_schedule,
    cycle_momentum,
    grad_clip,
    ema_decay,
    patience,
    first_epoch,
    verbose,
    checkpoint,
    own,
):
    """Name the callbacks of a training, with the user's own in their places.

    Parameters
    ----------
    n_steps : int
        Steps of the whole training.
    lr : float
    lr_schedule : {'one_cycle', 'cosine', 'constant'}
    cycle_momentum : bool
        Whether one cycle changes the momentum too.
    grad_clip : float or None
    ema_decay : float
    patience : int or None
        Epochs without improvement before the training stops; None without validation.
    first_epoch : int
        First epoch that counts for early stopping.
    verbose : int
    checkpoint : Callback or None
    own : list of skorch callbacks or pairs of name and callback
        The user's.

    Returns
    -------
    named : list of (str, Callback)
    """
    built = {"count_steps": CountSteps(), "check_loss": CheckLoss()}
    if grad_clip is not None:
        built["grad_clip"] = callbacks.GradientNormClipping(grad_clip)
    if lr_schedule == "one_cycle" and n_steps >= _SHORTEST_CYCLE:
        built["lr_schedule"] = ScheduleRate(partial(_one_cycle, cycle_momentum, lr))
    elif lr_schedule == "cosine":
        built["lr_schedule"] = ScheduleRate(_cosine)
    if ema_decay > 0:
        built["average_weights"] = AverageWeights(ema_decay)
    if verbose:
        # The bar of notebooks is a widget; without those a line of text has to do.
        has_widgets = find_spec("ipywidgets") is not None
        built["progress_bar"] = callbacks.ProgressBar(detect_notebook=has_widgets)
    last = {}
    if patience is not None:
        sink = print if verbose > 1 else noop
        stopping = EarlyStopping(first_epoch, patience=patience, load_best=True, sink=sink)
        last["early_stopping"] = stopping
    # The state of an epoch is whole once all others have seen its end.
    if checkpoint is not None:
        last["checkpoint"] = checkpoint
    others = []
    own_names = [item[0] for item in own if isinstance(item, tuple)]
    scheduled = "lr_schedule" in built and "lr_schedule" not in own_names
    for item in own_copies(own):
        name, callback = item if isinstance(item, tuple) else (None, item)
        for group in (built, last):
            if name in group:
                group[name] = callback
                break
        else:
            if scheduled:
                _refuse_two_schedules(callback)
            others.append(callback if name is None else (name, callback))
    return [*built.items(), *others, *last.items()]


def own_copies(items):
    """Copy callbacks, or pairs of name and callback, apart from those with a connection."""
    return [
        (item[0], _own_copy(item[1])) if isinstance(item, tuple) else _own_copy(item)
        for item in items
    ]


def _own_copy(callback):
    """Copy a callback, since it changes while it runs; one with a connection stays as it is."""
    printing = callbacks.EpochTimer | callbacks.PrintLog | callbacks.ProgressBar
    loggers = (kind.__module__ == "skorch.callbacks.logging" for kind in type(callback).__mro__)
    if any(loggers) and not isinstance(callback, printing):
        return callback
    try:
        return deepcopy(callback)
    except Exception:  # Locks, sockets and files refuse in their own ways.
        return callback


def _refuse_two_schedules(callback):
    if isinstance(callback, callbacks.LRScheduler) or callback is callbacks.LRScheduler:
        raise ValueError(
            "'callbacks' has an LRScheduler beside the schedule of 'lr_schedule'. Name it, as in "
            "callbacks=[('lr_schedule', LRScheduler(...))], to take its place, or set "
            "lr_schedule='constant'."
        )
