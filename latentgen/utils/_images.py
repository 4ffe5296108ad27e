"""Image layouts: what a user may pass, the flat form used inside, and the way back."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from dataclasses import dataclass

import numpy as np

from latentgen.utils._warnings import warn_user

_CHANNEL_COUNTS = (1, 3, 4)
_CHUNK_VALUES = 2**24


@dataclass(frozen=True)
class ImageLayout:
    """How images came in during ``fit``, so that images can go out the same way.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W).
    ndim : {2, 3, 4}
        2 for (n, C * H * W), 3 for (n, H, W), 4 for (n, C, H, W).
    dtype : str
        Name of the NumPy dtype; ``'uint8'`` means pixels in [0, 255], any other [0, 1].
    """

    image_shape: tuple
    ndim: int
    dtype: str

    @property
    def shape(self):
        """Shape of one image in this layout."""
        channels, height, width = self.image_shape
        return {2: (channels * height * width,), 3: (height, width), 4: self.image_shape}[self.ndim]


def flatten_images(X):
    """Flatten images to rows of pixels, without copying arrays that are contiguous.

    Parameters
    ----------
    X : array-like of shape (n, n_features), (n, H, W) or (n, C, H, W)

    Returns
    -------
    X : array-like of shape (n, n_features)
        Two-dimensional input is handed on untouched.
    shape : tuple of int or None
        (C, H, W), or None when the input was flat.
    ndim : {2, 3, 4}
        Number of dimensions that came in.

    Raises
    ------
    ValueError
        For channels in the last place and for more than four dimensions.
    """
    if not hasattr(X, "ndim"):
        if not (isinstance(X, list | tuple) and len(X) and np.ndim(X[0]) in (2, 3)):
            return X, None, 2
        X = np.asarray(X)
    if X.ndim <= 2:
        return X, None, 2
    if X.ndim > 4:
        raise ValueError(
            "Expected images of shape (n_samples, n_features), (n_samples, H, W) or "
            f"(n_samples, C, H, W), got {tuple(X.shape)}."
        )
    if X.ndim == 4 and X.shape[3] in _CHANNEL_COUNTS and X.shape[1] not in _CHANNEL_COUNTS:
        raise ValueError(
            "Expected images of shape (n_samples, C, H, W) with channels first, got "
            f"{tuple(X.shape)}. Use X.transpose(0, 3, 1, 2) to move the channels."
        )
    X = np.asarray(X)
    shape = (1, *X.shape[1:]) if X.ndim == 3 else X.shape[1:]
    flat = X.reshape(len(X), math.prod(shape))
    return flat, tuple(int(side) for side in shape), X.ndim


def infer_layout(X, shape, ndim, image_shape):
    """Settle the layout of the images seen in ``fit``.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
    shape : tuple of int or None
        (C, H, W) as found by `flatten_images`.
    ndim : {2, 3, 4}
        Likewise.
    image_shape : tuple of int or None
        The user's parameter.

    Returns
    -------
    layout : ImageLayout

    Raises
    ------
    ValueError
        If `image_shape` is not a (C, H, W) that fits the data.
    """
    n_features = X.shape[1]
    if image_shape is not None:
        given = tuple(image_shape)
        if len(given) != 3 or any(int(side) != side or side < 1 for side in given):
            raise ValueError(
                f"'image_shape' must be three positive integers (C, H, W), got {image_shape!r}."
            )
        given = tuple(int(side) for side in given)
        if math.prod(given) != n_features:
            raise ValueError(
                f"'image_shape'={given} needs {math.prod(given)} features, but X has {n_features}."
            )
        if shape is not None and shape != given:
            raise ValueError(
                f"'image_shape'={given} does not match the images in X, which are {shape}. "
                "Leave 'image_shape' out, or pass flat images."
            )
    else:
        given = shape
    if given is None:
        side = math.isqrt(n_features)
        if side * side == n_features:
            given = (1, side, side)
        else:
            warn_user(
                f"X has {n_features} features and 'image_shape' is None, so each sample is read "
                f"as one row of {n_features} pixels. Pass image_shape=(C, H, W), for example "
                "(3, 32, 32).",
            )
            given = (1, 1, n_features)
    return ImageLayout(given, ndim, X.dtype.name)


def warn_unusual_range(X):
    """Warn when float pixels leave [0, 1]; reads `X` block by block."""
    if X.dtype == np.uint8 or X.size == 0:
        return
    step = max(1, _CHUNK_VALUES // X.shape[1])
    low = min(float(X[start : start + step].min()) for start in range(0, len(X), step))
    high = max(float(X[start : start + step].max()) for start in range(0, len(X), step))
    if low < 0 or high > 1:
        if low >= 0:
            advice = f"Rescale with X / {high:g} or pass unsigned bytes"
        elif low >= -1 and high <= 1:
            advice = "Rescale with (X + 1) / 2 or pass unsigned bytes"
        else:
            advice = "Rescale with (X - X.min()) / (X.max() - X.min())"
        warn_user(
            f"Float pixels are expected in [0, 1], got values from {low:.2f} to {high:.2f}. "
            f"{advice}; values outside are clipped.",
        )


def to_unit_floats(X):
    """Turn a batch of bytes or floats into float32 in [0, 1]."""
    if X.dtype == np.uint8:
        return X.astype(np.float32) / np.float32(255)
    return np.clip(X, 0, 1).astype(np.float32, copy=False)
