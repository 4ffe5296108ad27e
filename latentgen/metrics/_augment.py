"""Ordinary augmentation of images, which generated images are to be compared with."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import numpy as np
from sklearn.utils import check_random_state, check_scalar

from latentgen.metrics._features import image_blocks
from latentgen.utils._images import as_images, from_unit_floats, settle_shape, to_unit_floats


def shift_and_rotate(
    X, *, max_shift=0.08, max_rotation=10.0, flip=False, image_shape=None, random_state=0
):
    """Shift and rotate each image a little at random.

    It is the ordinary augmentation that `utility_of_added_images` compares generated images with.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), (n_samples, H, W) or (n_samples, C, H, W)
        Unsigned bytes in [0, 255] or floats in [0, 1].
    max_shift : float, default=0.08
        Largest shift, as a fraction of the height and of the width, in [0, 1].
    max_rotation : float, default=10.0
        Largest rotation about the center in either direction, in degrees, in [0, 180].
    flip : bool, default=False
        Mirror each image left to right with probability 1/2. Leave it out where a mirrored image is
        of another class or of none, as with digits and letters.
    image_shape : tuple of int, default=None
        Shape (C, H, W) of flat images that are not square with one channel.
    random_state : int, RandomState instance or None, default=0
        Seed of shifts, rotations and flips.

    Returns
    -------
    X_augmented : ndarray
        As many images, in the layout and dtype of `X`. Pixels are interpolated linearly, and what
        comes in from outside repeats the border.

    Raises
    ------
    ValueError
        If the images cannot be read, or if a parameter is out of its range.

    See Also
    --------
    utility_of_added_images : Takes it as ``augment``, and any other function of this form.

    Examples
    --------
    >>> from functools import partial
    >>> from sklearn.datasets import load_digits
    >>> from latentgen.metrics import shift_and_rotate
    >>> X = load_digits().images / 16
    >>> shift_and_rotate(X[:5]).shape
    (5, 8, 8)
    >>> augment = partial(shift_and_rotate, flip=True)  # for photographs
    """
    # torch takes seconds to import.
    import torch
    from torch.nn import functional as F

    X = as_images(X)
    check_scalar(max_shift, "max_shift", Real, min_val=0, max_val=1)
    check_scalar(max_rotation, "max_rotation", Real, min_val=0, max_val=180)
    own_shape = None if X.ndim == 2 else (1, *X.shape[1:])[-3:]
    shape = settle_shape(int(np.prod(X.shape[1:])), own_shape, image_shape)
    rng = check_random_state(random_state)
    _, height, width = shape
    parts = []
    for block in image_blocks(X):
        n = len(block)
        angle = np.deg2rad(rng.uniform(-max_rotation, max_rotation, n))
        mirror = rng.choice([-1, 1], n) if flip else np.ones(n)
        # Rows say where each output pixel comes from, in coordinates from -1 to 1 in which a
        # rotation is one only if the sides are equal.
        source = np.empty((n, 2, 3), dtype=np.float32)
        source[:, 0, 0], source[:, 0, 1] = np.cos(angle) * mirror, -np.sin(angle) * height / width
        source[:, 1, 0], source[:, 1, 1] = np.sin(angle) * mirror * width / height, np.cos(angle)
        source[:, :, 2] = 2 * rng.uniform(-max_shift, max_shift, (n, 2))
        grid = F.affine_grid(torch.from_numpy(source), (n, *shape), align_corners=False)
        pixels = torch.from_numpy(to_unit_floats(block).reshape(n, *shape))
        moved = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
        moved = from_unit_floats(moved.clamp(0, 1).numpy(), X.dtype)
        parts.append(moved.reshape(block.shape).astype(X.dtype, copy=False))
    return np.concatenate(parts)
