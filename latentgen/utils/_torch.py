"""torch without side effects: seeds, devices, batched inference."""

# SPDX-License-Identifier: BSD-3-Clause

from contextlib import contextmanager

import numpy as np
import torch


def draw_seed(rng):
    """Draw one integer seed from a `numpy.random.RandomState`."""
    return int(rng.randint(np.iinfo(np.int32).max))


@contextmanager
def seed_scope(seed, device="cpu"):
    """Seed torch inside the block and give the caller's random state back after it."""
    device = torch.device(device)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def resolve_device(device):
    """Turn ``'auto'`` into the best device at hand, and check any other.

    Parameters
    ----------
    device : str
        ``'auto'`` (CUDA, then Apple's MPS, then the CPU) or a torch device.

    Returns
    -------
    device : str

    Raises
    ------
    ValueError
        If the device does not exist here.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f"'device'={device!r} is not a torch device: {error}") from error
    there = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if kind in there and not there[kind]():
        raise ValueError(
            f"'device'={device!r} is not available on this machine. Use device='auto' or 'cpu'."
        )
    return str(device)


def pixels_to_tensor(X):
    """Copy a batch to a tensor, bytes as bytes and any float as float32.

    A copy, because torch warns of memory-mapped files that are read-only; float32, because not
    every device knows float64.
    """
    return torch.from_numpy(np.array(X, dtype=np.uint8 if X.dtype == np.uint8 else np.float32))


def apply_in_batches(function, X, *, out, batch_size, device):
    """Fill `out` with ``function(batch)`` over the rows of `X`, without gradients.

    Parameters
    ----------
    function : callable
        Takes a tensor on `device`, returns a tensor with as many rows.
    X : ndarray of shape (n, ...)
    out : ndarray of shape (n, ...)
        May be of another dtype than the tensors; filled in place.
    batch_size : int
    device : str

    Returns
    -------
    out : ndarray
    """
    with torch.inference_mode():
        for start in range(0, len(X), batch_size):
            rows = slice(start, start + batch_size)
            out[rows] = function(pixels_to_tensor(X[rows]).to(device)).cpu().numpy()
    return out
