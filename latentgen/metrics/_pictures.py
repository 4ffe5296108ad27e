"""Pictures of a report: generated beside real images, nearest training images, distances."""

# SPDX-License-Identifier: BSD-3-Clause

import base64
import io
import math
import re
from typing import NamedTuple

import numpy as np

from latentgen.utils._images import settle_shape, to_unit_floats
from latentgen.utils._optional import import_optional
from latentgen.utils._png import encode_png

# Draws whose nearest training images are searched with the distances there, and pairs shown.
N_SEARCHED, _N_PAIRS = 500, 12
_LARGEST_SIDE = 128
# Colors of matplotlib's output that the page replaces by its own, for light and for dark.
_COLORS = {"#010101": "--ink", "#020202": "--line", "#030303": "--accent", "#040404": "--second"}


class Pictures(NamedTuple):
    """What a page shows beside numbers.

    Parameters
    ----------
    generated, real : ndarray of shape (height, width, channels), dtype uint8, or None
        Grids; None where the shape of the images is not known or has other channels.
    pairs : list of tuple of ndarray
        Generated images beside their nearest training images.
    n_searched : int
        Draws among which the pairs were chosen.
    distances, test_distances : ndarray or None
        Distances to the nearest training images of generated and of unseen real images.
    """

    generated: np.ndarray | None
    real: np.ndarray | None
    pairs: list
    n_searched: int
    distances: np.ndarray | None
    test_distances: np.ndarray | None


def find_shape(X, image_shape):
    """Shape (C, H, W) in which images can be shown, or None."""
    known = {2: None, 3: (1, *X.shape[1:]), 4: X.shape[1:]}[X.ndim]
    n_pixels = math.prod(X.shape[1:])
    if known is None and image_shape is None:
        side = math.isqrt(n_pixels)
        known = (1, side, side) if side * side == n_pixels else None
    else:
        known = settle_shape(n_pixels, known, image_shape)
    return known if known and known[0] in (1, 3, 4) else None


def as_pixels(X, image_shape):
    """Images of any layout as bytes of shape (n, H, W, C), large ones shrunk by a whole factor."""
    images = to_unit_floats(X).reshape(-1, *image_shape)
    factor = -(-max(image_shape[1:]) // _LARGEST_SIDE)
    if factor > 1:
        n, channels, height, width = images.shape
        height, width = height // factor, width // factor
        images = images[:, :, : height * factor, : width * factor]
        images = images.reshape(n, channels, height, factor, width, factor).mean(axis=(3, 5))
    return np.rint(images * 255).astype(np.uint8).transpose(0, 2, 3, 1)


def choose_shown(images, image_shape):
    """A grid of some images, class by class if there are labels."""
    n_columns = 10 if max(image_shape[1:]) <= 40 else 6
    n_shown = min(len(images), n_columns**2)
    order = np.arange(len(images)) if images.y is None else np.argsort(images.y, kind="stable")
    rows = order[(2 * np.arange(n_shown) + 1) * len(order) // (2 * n_shown)]
    return lay_out(as_pixels(images.X[rows], image_shape), n_columns)


def lay_out(pixels, n_columns):
    """Images in a grid with transparent gaps, of shape (height, width, 4)."""
    n, height, width, channels = pixels.shape
    gap = max(1, max(height, width) // 14)
    n_rows = -(-n // n_columns)
    grid = np.zeros((n_rows * (height + gap) - gap, n_columns * (width + gap) - gap, 4), np.uint8)
    for number, image in enumerate(pixels):
        row, column = divmod(number, n_columns)
        top, left = row * (height + gap), column * (width + gap)
        place = grid[top : top + height, left : left + width]
        place[..., : min(channels, 3) if channels > 1 else 3] = image[..., :3]
        place[..., 3] = image[..., 3] if channels == 4 else 255
    return grid


def as_data_uri(pixels):
    """A picture as the address of itself."""
    return "data:image/png;base64," + base64.b64encode(encode_png(pixels)).decode()


def choose_pairs(ratios):
    """Which of the searched draws are shown: half of them the nearest, the others evenly spaced."""
    order = np.argsort(ratios, kind="stable")
    nearest = order[: _N_PAIRS // 2]
    others = np.setdiff1d(np.arange(len(ratios)), nearest)
    n_others = min(len(others), _N_PAIRS - len(nearest))
    return np.concatenate([nearest, others[np.arange(n_others) * len(others) // max(1, n_others)]])


def draw_distances(pictures):
    """Histogram of the distances to the nearest training images as SVG, None without matplotlib."""
    if pictures.distances is None:
        return None
    try:
        matplotlib = import_optional("matplotlib", extra="plot", needed_by="A plot")
        figures = import_optional("matplotlib.figure", extra="plot", needed_by="A plot")
    except ImportError:
        return None
    ink, line, accent, second = _COLORS
    unit = pictures.test_distances.mean()
    parts = [pictures.test_distances / unit, pictures.distances / unit]
    edges = np.linspace(0, max(np.quantile(part, 0.995) for part in parts), 41)
    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "latentgen",
        "text.color": ink,
        "axes.labelcolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "axes.edgecolor": line,
        "font.size": 10,
    }
    with matplotlib.rc_context(style):
        figure = figures.Figure(figsize=(5.6, 2.3), layout="constrained")
        ax = figure.subplots()
        names = ["unseen real images", "generated images"]
        for part, name, color, dashes in zip(
            parts, names, (second, accent), ("--", "-"), strict=True
        ):
            heights = np.histogram(part, edges)[0] / len(part)
            ax.stairs(heights, edges, color=color, linestyle=dashes, linewidth=2, label=name)
        ax.set(xlim=(0, edges[-1]), ylim=(0, None), xlabel="distance / mean of unseen real images")
        ax.set_yticks([])
        ax.spines[["left", "right", "top"]].set_visible(False)
        ax.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
        file = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    for color, name in _COLORS.items():
        svg = svg.replace(color, f"var({name})")
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font: \1 inherit; font-family: inherit", svg)
    says = "Histogram of distances to the nearest training image, of generated and of real images"
    return svg.replace("<svg", f'<svg role="img" aria-label="{says}"', 1)
