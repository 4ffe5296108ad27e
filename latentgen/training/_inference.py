"""Running a network over the rows of arrays, without gradients; and on which device."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import torch

# Results depend in their last bits on the size of the batch; fewer rows are filled up to this.
_LEAST_ROWS = 32


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
    try:
        torch.empty(0, device=device)
        usable = kind != "meta"  # That has shapes and no numbers.
    except Exception:  # Each kind of device that is not there raises something else.
        usable = False
    if not usable:
        raise ValueError(
            f"'device'={device!r} is not available on this machine. Use device='auto' or 'cpu'."
        )
    return str(device)


def apply_in_batches(function, *arrays, out, batch_size, device):
    """Fill `out` with ``function(*batches)`` over the rows of some arrays.

    Every batch is filled up to one size, so that a row's result does not depend on the rows
    around it.

    Parameters
    ----------
    function : callable
        Takes a tensor on `device` for each array, returns a tensor with as many rows. Pixels in
        [0, 1] become bytes where `out` has bytes.
    *arrays : ndarray of shape (n, ...)
        Bytes stay bytes, integers stay integers, other numbers become float32.
    out : ndarray of shape (n, ...)
        May be of another dtype than the tensors; filled in place.
    batch_size : int
        Most rows of a batch.
    device : str
        A torch device.

    Returns
    -------
    out : ndarray of shape (n, ...)
        The array that was passed.

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.training import apply_in_batches
    >>> X, out = np.ones((3, 2)), np.empty((3, 1), np.float32)
    >>> apply_in_batches(lambda x: x.sum(1, True), X, out=out, batch_size=2, device="cpu").ravel()
    array([2., 2., 2.], dtype=float32)
    """
    n = len(arrays[0])
    size = min(batch_size, max(n, _LEAST_ROWS))
    with torch.inference_mode():
        for start in range(0, n, size):
            rows = slice(start, min(start + size, n))
            batch = [_as_tensor(array[rows], size).to(device) for array in arrays]
            values = function(*batch)[: rows.stop - start]
            if out.dtype == np.uint8 and values.is_floating_point():
                values = (values * 255).round_().to(torch.uint8)
            out[rows] = values.cpu().numpy()
    return out


def _as_tensor(rows, size):
    """Copy rows to a tensor of `size` rows, zeros at the end."""
    # A copy, because torch warns of memory-mapped files that are read-only.
    dtype = rows.dtype if rows.dtype.kind in "iu" else np.float32
    filled = np.zeros((size, *rows.shape[1:]), dtype)
    filled[: len(rows)] = rows
    return torch.from_numpy(filled)
