"""Images: what a user may pass, the flat form used inside, and the way back."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from dataclasses import dataclass

import numpy as np
from sklearn.utils import assert_all_finite, check_array
from sklearn.utils.validation import validate_data

from latentgen.utils._warnings import warn_user

_CHANNEL_COUNTS = (1, 3, 4)
_CHUNK_VALUES = 2**24
# Value of a white pixel where the dtype says it. Other integers are read as one of these.
_WHITE = {"bool": 1, "uint8": 255, "uint16": 65535}
# Whites that data comes with, for messages: 4 (scikit-learn's digits), 8, 10, 12 and 16 bits.
_USUAL_WHITES = (1, 16, 255, 1023, 4095, 65535)
# No picture of bytes uses so few of the 256 values.
_FEW_BYTES = 16
# Resizing and noise make floats stray so far from [0, 1]; farther ones have another scale.
_STRAY = 0.5
# Flat rows of fewer values are no pictures, but the arbitrary numbers of scikit-learn's checks.
_LEAST_PIXELS = 64


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
        Name of the NumPy dtype.
    pixels : {'bool', 'uint8', 'uint16', 'float'}
        What the values are read as: 0 and 1, 0 to 255, 0 to 65535, or [0, 1].
    """

    image_shape: tuple
    ndim: int
    dtype: str
    pixels: str

    @property
    def shape(self):
        """Shape of one image in this layout."""
        channels, height, width = self.image_shape
        return {2: (channels * height * width,), 3: (height, width), 4: self.image_shape}[self.ndim]

    @property
    def white(self):
        """Value of a white pixel."""
        return _WHITE.get(self.pixels, 1)


class PixelRows:
    """Images of any layout and dtype as flat rows of bytes or unit floats.

    Rows are read and converted when they are asked for, so that what cannot be flattened or
    converted in place, such as a transposed `numpy.memmap`, is never copied whole.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), (n, H, W) or (n, C, H, W)
    pixels : {'bool', 'uint8', 'uint16', 'float'}
        As of `ImageLayout`.
    """

    ndim = 2

    def __init__(self, X, pixels):
        self.X, self.pixels = X, pixels
        self.shape = (len(X), math.prod(X.shape[1:]))
        self.size = math.prod(self.shape)
        self.dtype = np.dtype(np.uint8 if pixels == "uint8" else np.float32)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        block = self.X[rows]
        block = block.reshape(*block.shape[: block.ndim - self.X.ndim + 1], self.shape[1])
        block = as_declared(block, self.pixels)
        return block if self.pixels == "uint8" else to_unit_floats(block)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[:], dtype=dtype)


def check_images(
    estimator, X, y="no_validation", *, layout=None, image_shape=None, ensure_min_samples=1
):
    """Check images on their way into an estimator, and flatten them without a copy.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_``, the number of pixels, if `layout` is None.
    X : array-like of shape (n, n_features), (n, H, W) or (n, C, H, W)
    y : array-like of shape (n,), default='no_validation'
        Is checked too where it is passed.
    layout : ImageLayout, default=None
        That of the images seen in ``fit``, where this is not ``fit``.
    image_shape : tuple of int, default=None
        The parameter of the estimator.
    ensure_min_samples : int, default=1
        Least number of images.

    Returns
    -------
    X : ndarray or PixelRows of shape (n, n_features)
        Bytes or floats: an array where that takes no copy.
    y : ndarray of shape (n,)
        Only if it was passed.
    layout : ImageLayout
        Layout of `X`, if `layout` was None.

    Raises
    ------
    ValueError
        If the images cannot be read, or are not like those seen in ``fit``.
    """
    images = read_array(X, estimator=estimator)
    if layout is not None and images is not None and _shape_of(images) != layout.image_shape:
        raise ValueError(
            f"Expected images of shape {layout.image_shape} as seen in fit, got "
            f"{_shape_of(images)}.{_hint_for_one(images, layout)}"
        )
    # Numbers that take no memory stand for images that have sides.
    stand_in = X if images is None else np.broadcast_to(np.uint8(0), _flat_shape(images))
    checked = validate_data(
        estimator,
        stand_in,
        y,
        reset=layout is None,
        dtype="numeric",
        ensure_all_finite=False,
        ensure_min_samples=ensure_min_samples,
    )
    flat, y = checked if isinstance(checked, tuple) else (checked, None)
    shape = None if images is None else _shape_of(images)
    images = _undo_nullable(flat, X) if images is None else images
    n_pixels = flat.shape[1]
    arbitrary = shape is None and n_pixels < _LEAST_PIXELS
    pixels = settle_pixels(images, layout=layout, arbitrary=arbitrary)
    given = [] if y is None else [y]
    if layout is None:
        shape = settle_shape(n_pixels, shape, image_shape)
        given.append(ImageLayout(shape, images.ndim, images.dtype.name, pixels))
    rows = as_rows(images, pixels)
    return (rows, *given) if given else rows


def _hint_for_one(images, layout):
    is_one = images.shape == layout.image_shape
    return " Pass X[np.newaxis], if this is one image." if is_one else ""


def as_images(X, input_name="X", *, drawn=False):
    """Images for a function, in the layout they came in.

    Parameters
    ----------
    X : array-like of shape (n, n_features), (n, H, W) or (n, C, H, W)
    input_name : str, default="X"
    drawn : bool, default=False
        Whether a fitted model made the images, as for `settle_pixels`.

    Returns
    -------
    X : ndarray
        Of dtype bool, uint8, uint16 or float; other integers have become one of these.

    Raises
    ------
    ValueError
        If the images cannot be read.
    """
    images = read_array(X, input_name=input_name)
    if images is None:
        if not hasattr(X, "shape"):
            X = np.asarray(X)
        if len(X.shape) != 2:
            raise ValueError(
                f"Expected '{input_name}' of shape (n_samples, n_features), (n_samples, H, W) or "
                f"(n_samples, C, H, W), got {tuple(X.shape)}."
            )
        flat = check_array(
            X, dtype="numeric", ensure_all_finite=False, ensure_min_samples=0, input_name=input_name
        )
        images = _undo_nullable(flat, X)
    if not len(images):
        raise ValueError(f"Expected at least one image, got '{input_name}' of shape {X.shape}.")
    pixels = settle_pixels(images, input_name=input_name, drawn=drawn)
    return as_declared(images, pixels)


def read_array(X, *, estimator=None, input_name="X"):
    """Images with sides as an array; None where `X` is flat.

    Raises
    ------
    ValueError
        For channels in the last place, images of different sizes and more than four dimensions.
    """
    hint = "X"
    if not hasattr(X, "ndim"):
        if not (isinstance(X, list | tuple) and len(X) and np.ndim(X[0]) in (2, 3)):
            return None
        shapes = sorted({np.shape(image) for image in X})
        if len(shapes) > 1:
            raise ValueError(
                f"Expected images of one size, got {shapes[0]} and {shapes[-1]}. Resize them, for "
                "example by latentgen.datasets.load_image_folder(folder, image_size=(H, W))."
            )
        X, hint = np.stack(X), "np.stack(X)"
    if X.ndim <= 2:
        return None
    if X.ndim > 4:
        raise ValueError(
            "Expected images of shape (n_samples, n_features), (n_samples, H, W) or "
            f"(n_samples, C, H, W), got {tuple(X.shape)}."
        )
    if X.ndim == 4 and _is_channels_last(X.shape[1:]):
        raise ValueError(
            "Expected images of shape (n_samples, C, H, W) with channels first, got "
            f"{tuple(X.shape)}. Use {hint}.transpose(0, 3, 1, 2) to move the channels."
        )
    return check_array(
        X,
        dtype="numeric",
        allow_nd=True,
        ensure_all_finite=False,
        ensure_min_samples=0,
        ensure_min_features=0,
        estimator=estimator,
        input_name=input_name,
    )


def _undo_nullable(flat, X):
    """Numbers of a data frame in their dtype, where scikit-learn made floats of it for NaN."""
    dtypes = [getattr(dtype, "numpy_dtype", None) for dtype in getattr(X, "dtypes", ())]
    if not dtypes or None in dtypes:
        return flat
    assert_all_finite(flat, input_name="X")
    return flat.astype(np.result_type(*dtypes))


def _is_channels_last(shape):
    return shape[2] in _CHANNEL_COUNTS and shape[0] not in _CHANNEL_COUNTS


def _shape_of(images):
    return (1, *images.shape[1:]) if images.ndim == 3 else images.shape[1:]


def _flat_shape(images):
    return len(images), math.prod(images.shape[1:])


def settle_shape(n_features, shape, image_shape):
    """Settle the (C, H, W) of images.

    Parameters
    ----------
    n_features : int
        Number of pixels.
    shape : tuple of int or None
        (C, H, W) of images that have sides.
    image_shape : tuple of int or None
        The parameter of the user.

    Returns
    -------
    shape : tuple of int

    Raises
    ------
    ValueError
        If `image_shape` is not a (C, H, W) that fits, or is missing where flat images can have
        more than one shape.
    """
    if image_shape is None:
        return _guess_shape(n_features) if shape is None else shape
    given = tuple(image_shape)
    if len(given) != 3 or any(int(side) != side or side < 1 for side in given):
        raise ValueError(
            f"'image_shape' must be three positive integers (C, H, W), got {image_shape!r}."
        )
    given = tuple(int(side) for side in given)
    if _is_channels_last(given):
        height, width, channels = given
        raise ValueError(
            f"'image_shape' must be (C, H, W) with channels first, got {given}. Pass image_shape="
            f"{(channels, height, width)}; where the values of a row have their channels last, "
            f"pass X.reshape(-1, {height}, {width}, {channels}).transpose(0, 3, 1, 2) as X."
        )
    if math.prod(given) != n_features:
        raise ValueError(
            f"'image_shape'={given} needs {math.prod(given)} features, but X has {n_features}."
        )
    if shape is not None and shape != given:
        raise ValueError(
            f"'image_shape'={given} does not match the images in X, which are {shape}. "
            "Leave 'image_shape' out, or pass flat images."
        )
    return given


def _guess_shape(n_features):
    """The shape of flat images: square ones of one channel, if they cannot have three."""
    side = math.isqrt(n_features)
    is_small = n_features < _LEAST_PIXELS
    if side * side == n_features and (n_features % 3 or is_small):
        return (1, side, side)
    if is_small:
        warn_user(
            f"X has {n_features} features and 'image_shape' is None, so each sample is read as one "
            f"row of {n_features} pixels. Pass image_shape=(C, H, W)."
        )
        return (1, 1, n_features)
    examples = " or ".join(map(str, _possible_shapes(n_features)))
    raise ValueError(
        f"X has rows of {n_features} values, which do not tell the shape of the images. Pass "
        f"image_shape=(C, H, W), for example {examples}."
    )


def _possible_shapes(n_features):
    """Shapes (C, H, W) that are not too narrow, the squarest first."""
    shapes = []
    for channels in _CHANNEL_COUNTS:
        area, rest = divmod(n_features, channels)
        if rest == 0:
            height = max(h for h in range(1, math.isqrt(area) + 1) if area % h == 0)
            shapes.append((channels, height, area // height))
    near_square = [shape for shape in shapes if shape[2] <= 2 * shape[1]]
    return sorted(near_square or shapes[:1], key=lambda shape: shape[2] / shape[1])


def settle_pixels(X, *, layout=None, arbitrary=False, input_name="X", drawn=False):
    """Settle what the values of images mean, and refuse those that do not tell.

    Parameters
    ----------
    X : ndarray
    layout : ImageLayout, default=None
        That of the images seen in ``fit``: values of the same dtype mean the same.
    arbitrary : bool, default=False
        Whether `X` may be no images at all; values outside of [0, 1] then are clipped, with a
        warning in ``fit``.
    input_name : str, default="X"
    drawn : bool, default=False
        Whether a fitted model made the images: they may be dark, and stray further from [0, 1].

    Returns
    -------
    pixels : {'bool', 'uint8', 'uint16', 'float'}

    Raises
    ------
    ValueError
        If values are not finite, negative, or of a scale that is not known.
    """
    if X.dtype.kind not in "biuf":
        raise ValueError(f"Expected pixels that are numbers, got {input_name} of {X.dtype}.")
    name, is_new = X.dtype.name, layout is None or X.dtype.name != layout.dtype
    if name in _WHITE and (name == "bool" or arbitrary or drawn or not is_new):
        return name
    low, high = _value_range(X, input_name, until=_FEW_BYTES if name == "uint8" else math.inf)
    if X.dtype.kind == "f" or arbitrary:
        _check_float_range(low, high, is_new and layout is None, arbitrary, input_name, drawn)
        return "float"
    if low < 0:
        raise ValueError(
            f"Expected integer pixels of at least 0, got {low} in {input_name}. Rescale to floats "
            "in [0, 1] or to bytes from 0 to 255."
        )
    if not is_new:
        if high > layout.white:
            raise ValueError(
                f"Expected pixels from 0 to {layout.white} as seen in fit, got {high} in "
                f"{input_name}. Pass images of the same scale."
            )
        return layout.pixels
    if name in _WHITE:
        is_clear = high == 0 or high > (_FEW_BYTES if name == "uint8" else _WHITE[name] // 2)
        pixels = name
    else:
        # One of which at least half is used.
        least = {p: 1 if drawn else white // 2 + 1 for p, white in _WHITE.items()}
        fits = [p for p, white in _WHITE.items() if least[p] <= high <= white or high == 0]
        pixels, is_clear = fits[0] if fits else None, bool(fits)
    if is_clear:
        return pixels
    raise ValueError(_unclear_integers(name, high, input_name))


def _value_range(X, input_name, until=math.inf):
    """Least and largest value, read block by block until one is above `until`."""
    if X.size == 0:
        return 0, 0
    # In the order of the memory, where it is the reverse one.
    blocks = X.T if X.flags.f_contiguous else X
    step = max(1, _CHUNK_VALUES // max(1, math.prod(blocks.shape[1:])))
    low, high = math.inf, -math.inf
    for start in range(0, len(blocks), step):
        block = blocks[start : start + step]
        ends = block.min().item(), block.max().item()
        if not all(map(math.isfinite, ends)):
            assert_all_finite(block, input_name=input_name)
        low, high = min(low, ends[0]), max(high, ends[1])
        if high > until:
            break
    return low, high


def _check_float_range(low, high, is_fit, arbitrary, input_name, drawn):
    if low >= 0 and high <= 1:
        return
    got = f"Float pixels are expected in [0, 1], got values from {low:.2f} to {high:.2f}"
    stray = 16 * _STRAY if drawn else _STRAY
    if not arbitrary and (low <= -stray or high >= 1 + stray):
        raise ValueError(f"{got} in {input_name}. {_advice(low, high, input_name)}")
    if is_fit and not drawn:
        warn_user(f"{got}; values outside are clipped. {_advice(low, high, input_name)}")


def _advice(low, high, name):
    if low >= 0:
        white = _likely_white(high)
        as_bytes = f" or {name}.astype(np.uint8)" if white == 255 else ""
        advice = f"Pass {name} / {white:g}{as_bytes} if {white:g} is white"
        return f"{advice}, or {name}.clip(0, 1) if few values stray."
    if low >= -1 and high <= 1:
        return f"Pass ({name} + 1) / 2 if black is -1, or {name}.clip(0, 1) if few values stray."
    return (
        f"Rescale with ({name} - {name}.min()) / ({name}.max() - {name}.min()), or pass "
        f"{name}.clip(0, 1) if few values stray."
    )


def _likely_white(high):
    return next((white for white in _USUAL_WHITES if high <= white), high)


def _unclear_integers(dtype, high, name):
    white = _likely_white(high)
    as_other = {1: f"{name}.astype(bool)", 255: f"{name}.astype(np.uint8)"}
    fix = as_other.get(white if dtype != "uint8" or white == 1 else None, f"{name} / {white}")
    if dtype in _WHITE:
        return (
            f"Pixels of dtype {dtype} are read as 0 to {_WHITE[dtype]}, but the largest value in "
            f"{name} is {high}. Pass {fix} if {white} is white, or {name} / {_WHITE[dtype]} if the "
            "images are that dark."
        )
    return (
        f"Pixels of dtype {dtype} are read as 0 and 1, as 0 to 255 or as 0 to 65535, but the "
        f"largest value in {name} is {high}, which is near none of 1, 255 and 65535. Pass {fix} "
        f"if {white} is white."
    )


def as_rows(X, pixels):
    """Images as rows of bytes or floats, without a copy."""
    is_flat = X.ndim == 2 or (len(X) and X[0].flags.c_contiguous)
    if is_flat and X.dtype.isnative and X.dtype.name in ("uint8", "float32", "float64"):
        return X.reshape(_flat_shape(X))
    return PixelRows(X, pixels)


def as_declared(X, pixels):
    """Pixels in the dtype that says what they mean."""
    return X if pixels == "float" else X.astype(pixels, copy=False)


def to_unit_floats(X):
    """Turn a batch of pixels into float32 in [0, 1]; what is not bool or unsigned is clipped."""
    white = _WHITE.get(X.dtype.name)
    if white is None:
        return np.clip(X, 0, 1).astype(np.float32, copy=False)
    X = X.astype(np.float32)
    return X if white == 1 else X / np.float32(white)


def from_unit_floats(X, dtype):
    """Turn float32 in [0, 1] into pixels of a dtype that `to_unit_floats` reads."""
    white = _WHITE.get(np.dtype(dtype).name)
    return X if white is None else np.rint(X * np.float32(white)).astype(dtype)
