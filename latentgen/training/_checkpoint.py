"""Resume: the state of a training in a file, so that a killed one can go on."""

# SPDX-License-Identifier: BSD-3-Clause

import hashlib
from pathlib import Path

import joblib
import numpy as np
import torch
from skorch.callbacks import Callback
from skorch.history import History

from latentgen.utils._files import atomic_path

_FORMAT_VERSION = 1
_BLOCK_VALUES = 2**24


class Checkpoint(Callback):
    """Write the state of the training after each epoch, and take up that of a file.

    The file holds tensors and plain values, and is read without running code from it.

    Parameters
    ----------
    path : str or path-like
    digests : dict of {str: str}
        What the training depends on, see `digest_training`.
    saved : dict or None
        State to go on from, see `read_checkpoint`.
    seed : int
        Seed of the training.
    """

    def __init__(self, path, digests, saved, seed):
        self.path = path
        self.digests = digests
        self.saved = saved
        self.seed = seed

    def on_train_begin(self, net, **kwargs):
        if self.saved is not None:
            _restore(net, self.saved)
            self.saved = None

    def on_epoch_end(self, net, **kwargs):
        self._write(net, finished=False)

    def on_train_end(self, net, **kwargs):
        self._write(net, finished=True)

    def _write(self, net, finished):
        state = _state(net) | {
            "format_version": _FORMAT_VERSION,
            "digests": self.digests,
            "seed": self.seed,
            "finished": finished,
        }
        with atomic_path(self.path) as temporary:
            torch.save(state, temporary)


def _state(net):
    callbacks = dict(net.callbacks_)
    average = callbacks.get("average_weights")
    shown = net.module_.state_dict()
    return {
        # Where there is an average, it is in the module at the end of an epoch.
        "weights": average.raw if average and average.raw is not None else shown,
        "average": average.model.state_dict() if average and average.model else None,
        "shown": shown,
        "optimizer": net.optimizer_.state_dict(),
        "generators": {name: g.get_state() for name, g in _generators(net).items()},
        "n_done": net.clock.n_done,
        "seconds": net.clock.seconds,
        "history": [_plain(row) for row in net.history],
        "callbacks": {
            name: callback.state() for name, callback in callbacks.items() if _has_state(callback)
        },
    }


def _restore(net, saved):
    callbacks = dict(net.callbacks_)
    net.module_.load_state_dict(saved["shown"] if saved["finished"] else saved["weights"])
    if saved["average"] is not None:
        callbacks["average_weights"].model.load_state_dict(saved["average"])
    net.clock.resume(saved["n_done"], saved["seconds"])
    # Without gradients a step changes nothing; torch warns of schedules that move before one.
    net.optimizer_.step()
    # Before the state of the optimizer, because schedules write the rate into it.
    if hasattr(callbacks.get("lr_schedule"), "move_to"):
        callbacks["lr_schedule"].move_to(net.clock)
    net.optimizer_.load_state_dict(saved["optimizer"])
    for name, generator in _generators(net).items():
        generator.set_state(saved["generators"][name])
    net.history = History({**row, "batches": []} for row in saved["history"])
    for name, state in saved["callbacks"].items():
        if name in callbacks:
            callbacks[name].load_state(state)


def _has_state(callback):
    return hasattr(callback, "state") and hasattr(callback, "load_state")


def _generators(net):
    return {"draws": net.generator, "shuffling": net.iterator_train__generator}


def _plain(row):
    """One epoch of a skorch history, without its batches, as numbers that any reader knows."""
    return {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in row.items()
        if key != "batches"
    }


def digest_training(parameters, X, y, **more):
    """Digests of all that decides a training, by name.

    Parameters
    ----------
    parameters : dict
        Of the estimator, without those that do not matter to the result.
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,) or None
    **more : plain values
        Whatever else the training starts from.

    Returns
    -------
    digests : dict of {str: str}
    """
    sha = hashlib.sha256(f"{X.shape} {X.dtype}".encode())
    step = max(1, _BLOCK_VALUES // X.shape[1])
    for start in range(0, len(X), step):
        sha.update(np.ascontiguousarray(X[start : start + step]))
    digests = {"X": sha.hexdigest(), "y": joblib.hash(None if y is None else np.asarray(y))}
    return digests | {name: joblib.hash(value) for name, value in {**parameters, **more}.items()}


def read_checkpoint(path, digests):
    """Read the state that a training left, or give None where there is no file.

    Raises
    ------
    ValueError
        If the file is of another training or cannot be read.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"Cannot write '{path}': there is no folder '{path.parent}'.")
    if not path.exists():
        return None
    advice = "Delete it, or name another 'checkpoint', to train anew."
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        version, before = saved["format_version"], saved["digests"]
    except Exception as error:  # torch raises nearly anything on other files.
        raise ValueError(
            f"'{path}' is not a checkpoint of latentgen, or is damaged: {error} {advice}"
        ) from error
    if version != _FORMAT_VERSION:
        raise ValueError(
            f"'{path}' has format version {version!r}, not {_FORMAT_VERSION}. {advice}"
        )
    names = sorted(name for name in {*before, *digests} if before.get(name) != digests.get(name))
    if names:
        raise ValueError(
            f"The checkpoint '{path}' belongs to another training: {', '.join(names)} "
            f"{'differs' if len(names) == 1 else 'differ'}. {advice}"
        )
    return saved
