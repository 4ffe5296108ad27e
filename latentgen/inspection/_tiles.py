"""Many images as one crisp array, and the axes that it is drawn on."""

# SPDX-License-Identifier: BSD-3-Clause

import math

import numpy as np
from sklearn.utils import check_random_state

from latentgen.utils._images import as_images, settle_shape, to_unit_floats
from latentgen.utils._optional import import_optional

_MIN_TILE = 48  # pixels: smaller images are enlarged by a whole factor
_CRISP_TILE = 128  # pixels: larger images are likely to be shrunk on screen
_PIXELS_PER_INCH = 100
_FONT_SIZE = 10
_LETTER_WIDTH = 0.085  # inches, of an average letter at _FONT_SIZE
_LINE_HEIGHT = 0.2  # inches


def as_image_batch(X, image_shape, *, drawn=False):
    """Turn images in any layout into float32 of shape (n, C, H, W) in [0, 1].

    `drawn` says whether a fitted model made them.
    """
    X = as_images(X, drawn=drawn)
    shape = {2: None, 3: (1, *X.shape[1:]), 4: X.shape[1:]}[X.ndim]
    shape = settle_shape(math.prod(X.shape[1:]), shape, image_shape)
    if shape[0] not in (1, 3, 4):
        raise ValueError(
            f"Only images of 1, 3 or 4 channels can be drawn, got {shape} as (C, H, W). Choose "
            "channels first, for example X[:, :3]."
        )
    return to_unit_floats(X).reshape(-1, *shape)


def choose_rows(n_rows, n_wanted, random_state):
    """Choose `n_wanted` different rows (or all there are), in their own order."""
    if n_wanted >= n_rows:
        return np.arange(n_rows)
    rng = check_random_state(random_state)
    return np.sort(rng.choice(n_rows, n_wanted, replace=False))


def take_rows(X, rows):
    """Read only the wanted rows, whatever holds them."""
    if hasattr(X, "iloc"):
        return X.iloc[rows].to_numpy()
    return X[rows] if hasattr(X, "ndim") else np.asarray([X[row] for row in rows])


def tile(grid, cmap, needed_by):
    """Lay out a grid of images on a transparent canvas.

    Parameters
    ----------
    grid : ndarray of shape (n_rows, n_columns, C, H, W)
        Floats in [0, 1]; NaN leaves a place empty.
    cmap : str or Colormap
        For images of one channel.
    needed_by : str
        Name of the public class, for the message when matplotlib is missing.

    Returns
    -------
    canvas : ndarray of shape (height, width, 4), dtype uint8
    gap : int
        Pixels between two images.
    side : tuple of int
        (height, width) of a tile in pixels.
    """
    matplotlib = import_optional("matplotlib", extra="plot", needed_by=needed_by)
    n_rows, n_columns, channels, height, width = grid.shape
    factor = math.ceil(_MIN_TILE / max(height, width))
    gap = max(2, factor * max(height, width) // 16)
    if channels == 1:
        # The middle of each of 256 steps, so that rounding never picks the color beside it; and
        # no bytes=True, which cuts decimals off.
        levels = (np.rint(grid[:, :, 0] * 255) + 0.5) / 256
        colors = matplotlib.colormaps.get_cmap(cmap)(levels)
    else:
        colors = np.moveaxis(grid, 2, -1)
        if channels == 3:
            colors = np.concatenate([colors, np.ones_like(colors[..., :1])], axis=-1)
    colors = np.rint(np.nan_to_num(colors) * 255).astype(np.uint8)
    colors[np.isnan(grid).any(axis=2)] = 0
    colors = colors.repeat(factor, axis=2).repeat(factor, axis=3)
    height, width = colors.shape[2:4]
    canvas = np.zeros((n_rows * (height + gap) - gap, n_columns * (width + gap) - gap, 4), np.uint8)
    for row in range(n_rows):
        for column in range(n_columns):
            top, left = row * (height + gap), column * (width + gap)
            canvas[top : top + height, left : left + width] = colors[row, column]
    return canvas, gap, (height, width)


def draw_blocks(blocks, *, headings, row_labels, captions, ax, cmap, needed_by):
    """Draw blocks of images beside each other, under headings and behind row labels.

    Parameters
    ----------
    blocks : list of ndarray of shape (n_rows, n_columns, C, H, W)
        All with the same rows and image size.
    headings : list of str or None
        One per block.
    row_labels : list of str or None
        One per row.
    captions : list of str or None
        Below the first block: a title to the left, then one per column.
    ax : Axes or None
        None makes a figure in which a pixel of the canvas is a pixel of the screen.
    cmap : str or Colormap
    needed_by : str
        As in `tile`.

    Returns
    -------
    ax : Axes
    """
    canvases, gaps, sides = zip(*[tile(block, cmap, needed_by) for block in blocks], strict=True)
    gap, (tile_height, tile_width) = gaps[0], sides[0]
    # A heading needs an inch, also above a single column.
    spacer_width = max(tile_width // 2, _PIXELS_PER_INCH - canvases[0].shape[1])
    spacer = np.zeros((len(canvases[0]), spacer_width, 4), np.uint8)
    pieces, centers, left = [], [], 0
    for canvas in canvases:
        centers.append(left + canvas.shape[1] / 2 - 0.5)
        pieces += [canvas, spacer]
        left += canvas.shape[1] + spacer.shape[1]
    picture = np.concatenate(pieces[:-1], axis=1)
    if ax is None:
        ax = _new_axes(
            picture.shape[:2],
            max(tile_height, tile_width),
            headings,
            row_labels,
            captions,
            needed_by,
        )
    ax.imshow(
        picture,
        # Hard pixel edges for small images; large ones would lose lines when they are shrunk.
        interpolation="nearest" if max(tile_height, tile_width) <= _CRISP_TILE else "auto",
    )
    ax.set_frame_on(False)
    ax.tick_params(length=0, labelsize=_FONT_SIZE)
    rows = np.arange(len(blocks[0])) * (tile_height + gap) + (tile_height - 1) / 2
    ax.set_yticks(rows if row_labels else [], row_labels)
    ax.set_xticks([])
    if captions:
        columns = np.arange(blocks[0].shape[1]) * (tile_width + gap) + (tile_width - 1) / 2
        ax.set_xticks(columns, captions[1:], fontsize=_FONT_SIZE - 2)
        ax.annotate(
            captions[0],
            (0, 0),
            xytext=(-4, -4),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=_FONT_SIZE - 2,
            annotation_clip=False,
        )
    for center, heading in zip(centers, headings or [], strict=False):
        ax.annotate(
            heading,
            (center, -0.5),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=_FONT_SIZE + 1,
            annotation_clip=False,
        )
    return ax


def _new_axes(shape, tile_side, headings, row_labels, captions, needed_by):
    """Make a figure that fits the canvas and its texts exactly."""
    plt = import_optional("matplotlib.pyplot", extra="plot", needed_by=needed_by)
    scale = min(1, _CRISP_TILE / tile_side) / _PIXELS_PER_INCH
    height, width = shape[0] * scale, shape[1] * scale
    lines = [line for label in row_labels or [] for line in label.split("\n")]
    left = 0.1 + (0.05 + _LETTER_WIDTH * max(map(len, lines)) if lines else 0)
    bottom = 0.1 + (_LINE_HEIGHT if captions else 0)
    top = 0.1 + (_LINE_HEIGHT if headings else 0)
    figsize = (left + width + 0.1, bottom + height + top)
    figure = plt.figure(figsize=figsize, dpi=_PIXELS_PER_INCH)
    return figure.add_axes(
        (
            left / figsize[0],
            bottom / figsize[1],
            width / figsize[0],
            height / figsize[1],
        )
    )
