"""Training of the network of an estimator, from its parameters to its fitted attributes."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from functools import partial
from numbers import Real

import numpy as np
import torch
from sklearn.utils import check_random_state
from skorch.dataset import ValidSplit

from latentgen.training._callbacks import build_callbacks
from latentgen.training._checkpoint import (
    Checkpoint,
    digest_training,
    read_checkpoint,
    take_finished,
)
from latentgen.training._clock import Clock
from latentgen.training._data import Rows, already_collated
from latentgen.training._inference import resolve_device
from latentgen.training._net import TrainingNet
from latentgen.training._random import DrawFrom, make_generator
from latentgen.utils._random import draw_seed

# What batch_size='auto' aims at, and its least value.
_STEPS_PER_EPOCH, _LEAST_BATCH = 50, 16
_OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
}
# Parameters that do not decide the result of a training.
_WITHOUT_EFFECT = ("callbacks", "checkpoint", "device", "n_jobs", "verbose", "warm_start")
# Parameters of skorch that parameters of the estimators stand for.
_SET_ELSEWHERE = {
    "callbacks": "callbacks",
    "device": "device",
    "train_split": "validation_fraction",
}
# What each stream of random numbers is for.
_WEIGHTS, _SHUFFLING, _DRAWS, _SPLIT, _MORE = range(5)


def train_network(
    estimator, X, y, *, design, rng, n_epochs, go_on, stages, first_epoch, depends_on
):
    """Train the network of an estimator; see `NetworkMixin._train_network`."""
    device = resolve_device(estimator.device)
    if estimator.verbose:
        print(f"[{type(estimator).__name__}] device={device!r}")
    history = estimator.history_ if go_on else []
    seed = draw_seed(check_random_state(estimator.random_state) if rng is None else rng)
    saved = checkpoint = None
    if estimator.checkpoint is not None and n_epochs is None:
        weights = estimator.net_.module_.state_dict() if go_on else {}
        weights = {name: tensor.cpu().numpy() for name, tensor in weights.items()}
        digests = digest_training(_decisive(estimator) | depends_on, X, y, weights=weights)
        saved = read_checkpoint(estimator.checkpoint, digests)
        seed = seed if saved is None else saved["seed"]
        checkpoint = Checkpoint(estimator.checkpoint, digests, saved, seed)
    # With the number of epochs in it, rows are shuffled anew when training goes on.
    seeds = seed, len(history)
    with DrawFrom(make_generator("cpu", *seeds, _WEIGHTS)):
        module = estimator._make_module(**design)
    if go_on:
        module.load_state_dict(estimator.net_.module_.state_dict())
    module.to(device)
    with DrawFrom(make_generator("cpu", *seeds, _MORE)):
        estimator._prepare_module(module, X, y, device, (*seeds, _MORE))
    split_seed = int(np.random.SeedSequence((*seeds, _SPLIT)).generate_state(1)[0])
    if go_on:
        # The same images are set aside again: others have been trained on.
        split_seed = getattr(estimator, "_split_seed", split_seed)
    net = build_net(
        estimator,
        module,
        device,
        len(X),
        n_epochs or estimator.max_epochs,
        go_on=go_on,
        seeds=seeds,
        split_seed=split_seed,
        stages=stages,
        first_epoch=first_epoch,
        checkpoint=checkpoint,
    )
    if saved is not None and saved["finished"]:
        take_finished(net, saved)
    else:
        n_done = 0 if saved is None else len(saved["history"])
        net.partial_fit(Rows(X, y), epochs=net.max_epochs - n_done)
    estimator._strip_module(net.module_)
    net.module_.eval()
    estimator.net_, estimator.device_, estimator._split_seed = net, device, split_seed
    estimator.history_ = history + epoch_rows(net.history, len(history) + 1)
    estimator.n_iter_ = len(estimator.history_)


def _decisive(estimator):
    """Parameters that decide the result of a training."""
    without_effect = {*_WITHOUT_EFFECT, *getattr(estimator, "_read_at_draws", ())}
    return {
        name: value
        for name, value in estimator.get_params(deep=False).items()
        if name not in without_effect and not isinstance(value, np.random.RandomState)
    }


def build_net(
    estimator,
    module,
    device,
    n_samples,
    n_epochs,
    *,
    go_on,
    seeds,
    split_seed,
    stages,
    first_epoch,
    checkpoint,
):
    """Set up skorch; schedules need to know the number of steps ahead."""
    own = estimator.net_params or {}
    for name, parameter in _SET_ELSEWHERE.items():
        if name in own:
            raise ValueError(
                f"'net_params' sets {name!r}, which {parameter!r} decides. Set {parameter!r}."
            )
    n_valid = math.ceil(estimator.validation_fraction * n_samples)
    n_train = n_samples - n_valid
    if n_train < 2:
        raise ValueError(
            f"validation_fraction={estimator.validation_fraction} leaves {n_train} of {n_samples} "
            "images for training, at least 2 are needed."
        )
    batch_size = estimator.batch_size
    if batch_size == "auto":
        batch_size = min(max(_LEAST_BATCH, n_train // _STEPS_PER_EPOCH), estimator._largest_batch)
    batch_size = own.get("batch_size", batch_size)
    trained_size = own.get("iterator_train__batch_size", batch_size)
    # skorch's word for all rows.
    trained_size = n_train if trained_size == -1 else trained_size
    settings = {
        "optimizer": _OPTIMIZERS.get(estimator.optimizer, estimator.optimizer),
        "lr": estimator._learning_rate(module, go_on),
        "max_epochs": n_epochs,
        "batch_size": batch_size,
        "iterator_train__shuffle": True,
        # A small last batch would be noisy, and of one row nothing for batch normalization.
        "iterator_train__drop_last": n_train > trained_size,
        "iterator_train__collate_fn": already_collated,
        "iterator_train__generator": make_generator("cpu", *seeds, _SHUFFLING),
        "iterator_valid__collate_fn": already_collated,
        # Iterators draw a seed for worker processes, also where there are none.
        "iterator_valid__generator": make_generator("cpu", *seeds, _SPLIT),
        "train_split": (
            ValidSplit(estimator.validation_fraction, random_state=split_seed) if n_valid else None
        ),
        "verbose": max(0, int(estimator.verbose) - 1),
    }
    if estimator.weight_decay is not None:
        settings["optimizer__weight_decay"] = estimator.weight_decay
    settings |= own
    rounded = math.floor if settings["iterator_train__drop_last"] else math.ceil
    n_batches = rounded(n_train / trained_size)
    if n_batches == 0:
        raise ValueError(
            f"Batches of {trained_size} with 'iterator_train__drop_last' leave out all {n_train} "
            "rows for training. Use smaller batches."
        )
    n_steps = settings["max_epochs"] * n_batches
    return TrainingNet(
        module,
        clock=Clock(n_steps, estimator.max_seconds, stages),
        generator=make_generator(device, *seeds, _DRAWS),
        seed=split_seed,
        callbacks=build_callbacks(
            n_steps=n_steps,
            lr=settings["lr"],
            lr_schedule=estimator.lr_schedule,
            cycle_momentum=estimator._cycle_momentum,
            grad_clip=estimator.grad_clip,
            ema_decay=estimator.ema_decay,
            patience=estimator.n_iter_no_change if n_valid else None,
            first_epoch=first_epoch,
            verbose=estimator.verbose,
            checkpoint=checkpoint,
            own=list(estimator.callbacks or ()),
        ),
        device=device,
        **settings,
    ).initialize()


def epoch_rows(history, first):
    """Epochs of a skorch history as plain rows, numbered from `first`."""
    rows = []
    for epoch, row in enumerate(history, start=first):
        kept = {
            name: float(value)
            for name, value in row.items()
            if name != "epoch"
            and isinstance(value, Real)
            and not name.endswith(("_best", "_batch_count"))
        }
        rows.append({"epoch": epoch, **kept})
    return rows


def adopt_network(estimator, design):
    """Take the network of an estimator as it is made; see `NetworkMixin._adopt_network`."""
    seed = draw_seed(check_random_state(estimator.random_state))
    with DrawFrom(make_generator("cpu", seed, 0, _WEIGHTS)):
        module = estimator._make_module(**design)
    estimator.device_ = resolve_device(estimator.device)
    estimator.net_ = _trained_net(module, estimator.device_)
    estimator.history_, estimator.n_iter_ = [], 0


def restore_net(estimator, weights):
    """Rebuild the net of an estimator from arrays."""
    try:
        estimator.device_ = resolve_device(estimator.device)
    except ValueError:
        estimator.device_ = "cpu"
    # Initial weights are drawn, and thrown away.
    with DrawFrom(make_generator("cpu", 0)):
        module = estimator._make_module(**estimator._network_design)
    # A copy, since a safetensors file may hand out read-only memory.
    module.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
    return _trained_net(module, estimator.device_)


def _trained_net(module, device):
    net = TrainingNet(module, device=device).initialize()
    net.module_.eval()
    return net
