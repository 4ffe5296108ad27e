"""Rows of an array as batches of tensors."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info


class Rows(Dataset):
    """Rows of an array and their labels, fetched a batch at a time.

    Bytes stay bytes, other numbers become float32, because not every device knows float64. A
    `numpy.memmap` is read batch by batch.

    Parameters
    ----------
    X : ndarray or PixelRows of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,), default=None
    """

    def __init__(self, X, y=None):
        self.X, self.y = X, y
        self._buffers = {}
        # Of any other array, take makes a whole copy.
        self._can_take = isinstance(X, np.ndarray) and X.flags.c_contiguous and X.flags.aligned

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        rows, labels = self.__getitems__([index])
        return rows[0], labels[0]

    def __getitems__(self, indices):
        # The order within a batch does not count, and a sorted read is kinder to a file.
        indices = np.sort(indices)
        dtype = np.uint8 if self.X.dtype == np.uint8 else np.float32
        rows = self._buffer(len(indices), dtype)
        if self._can_take and self.X.dtype == dtype:
            # mode='clip' lets take write into its target without a buffer.
            np.take(self.X, indices, axis=0, out=rows, mode="clip")
        else:
            rows[:] = self.X[indices]
        rows = torch.from_numpy(rows)
        labels = rows[:, :0] if self.y is None else torch.from_numpy(self.y[indices])
        return rows, labels

    def _buffer(self, n_rows, dtype):
        """Memory of one batch; that of the last batch of this size, which has been used up.

        The C library would give the memory of every batch back to the system and fault it in
        again.
        """
        shape = (n_rows, self.X.shape[1])
        # A worker process hands its memory on while it reads ahead.
        if get_worker_info() is not None:
            return np.empty(shape, dtype)
        if shape not in self._buffers:
            self._buffers[shape] = np.empty(shape, dtype)
        return self._buffers[shape]


def already_collated(batch):
    """Hand a batch of `Rows` on as it is."""
    return batch
