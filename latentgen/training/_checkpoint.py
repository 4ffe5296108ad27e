"""Resume: the state of a training in a file, so that a killed one can go on."""

# SPDX-License-Identifier: BSD-3-Clause

import hashlib
import io
import tempfile
from pathlib import Path
from types import FunctionType

import joblib
import numpy as np
import torch
from sklearn.base import BaseEstimator
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from skorch.history import History
from torch import nn

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

    def on_epoch_end(self, net, **kwargs):
        self._write(net, finished=False)

    def on_train_end(self, net, **kwargs):
        self._write(net, finished=True)
        self.saved = None

    def _write(self, net, finished):
        state = _state(net) | {
            "format_version": _FORMAT_VERSION,
            "digests": self.digests,
            "seed": self.seed,
            "finished": finished,
        }
        # In memory first: torch hides what the system says of a file.
        content = io.BytesIO()
        torch.save(state, content)
        try:
            with atomic_path(self.path) as temporary:
                temporary.write_bytes(content.getbuffer())
        except OSError as error:
            raise OSError(
                f"Cannot write the checkpoint '{self.path}' of epoch {len(net.history)}: "
                f"{error.strerror}. Make room for it and call 'fit' again, which goes on from the "
                "last one that was written."
            ) from error


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
            name: state
            for name, callback in callbacks.items()
            if (state := _callback_state(callback)) is not None
        },
    }


def take_finished(net, saved):
    """Take over what a complete training has left, without training."""
    net.module_.load_state_dict(saved["shown"])
    net.clock.resume(saved["n_done"], saved["seconds"])
    net.history = _history(saved)


def _restore(net, saved):
    callbacks = dict(net.callbacks_)
    net.module_.load_state_dict(saved["weights"])
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
    net.history = _history(saved)
    for name, state in saved["callbacks"].items():
        if name in callbacks:
            _load_callback_state(callbacks[name], state)


def _history(saved):
    return History({**row, "batches": []} for row in saved["history"])


def _callback_state(callback):
    """What a callback of skorch needs to know to go on, as plain values and tensors, or None."""
    if isinstance(callback, EarlyStopping):
        weights = getattr(callback, "best_model_weights_", None)
        return {
            "misses": callback.misses_,
            "best_epoch": callback.best_epoch_,
            "threshold": float(callback.dynamic_threshold_),
            "weights": None if weights is None else dict(weights),
        }
    if isinstance(callback, LRScheduler):
        return {"n_steps": callback.batch_idx_, "schedule": callback.lr_scheduler_.state_dict()}
    return None


def _load_callback_state(callback, state):
    if isinstance(callback, EarlyStopping):
        callback.misses_, callback.best_epoch_ = state["misses"], state["best_epoch"]
        callback.dynamic_threshold_ = state["threshold"]
        callback.best_model_weights_ = state["weights"]
    elif isinstance(callback, LRScheduler):
        callback.batch_idx_ = state["n_steps"]
        callback.lr_scheduler_.load_state_dict(state["schedule"])


def _generators(net):
    return {"draws": net.generator, "shuffling": net.iterator_train__generator}


def _plain(row):
    """One epoch of a skorch history as numbers and text, without what else callbacks record."""
    row = {
        key: value.item() if isinstance(value, np.generic) else value for key, value in row.items()
    }
    return {key: value for key, value in row.items() if isinstance(value, int | float | str)}


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
    more = {**parameters, **more}
    return digests | {name: joblib.hash(_described(value)) for name, value in more.items()}


def _described(value):
    """Plain values and arrays that stand for a parameter, the same in every process."""
    if isinstance(value, nn.Module):
        weights = {
            name: tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy()
            for name, tensor in value.state_dict().items()
            if not nn.parameter.is_lazy(tensor)
        }
        return repr(value), weights
    if isinstance(value, BaseEstimator):
        return type(value).__qualname__, _described(value.get_params(deep=False))
    if isinstance(value, dict):
        return {name: _described(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_described(item) for item in value]
    if isinstance(value, FunctionType):
        # Functions inside of others cannot be pickled, and so not hashed.
        return f"{value.__module__}.{value.__qualname__}", value.__code__.co_code
    return value


def read_checkpoint(path, digests):
    """Read the state that a training left, or give None where there is no file.

    Raises
    ------
    ValueError
        If the file is of another training or cannot be read.
    OSError
        If no file can be written there.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"Cannot write '{path}': it is a folder.")
    if not path.exists():
        _check_writable(path)
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
    if not saved["finished"]:
        _check_writable(path)
    return saved


def _check_writable(path):
    """Find out before the training what its first epoch would end with."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"Cannot write '{path}': there is no folder '{path.parent}'.")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise OSError(
            f"Cannot write the checkpoint '{path}': {error.strerror}. Name a 'checkpoint' in a "
            "folder that can be written to."
        ) from error
