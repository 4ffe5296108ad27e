"""Image layouts and values: whatever comes in goes out again, and what cannot be told is said."""

# SPDX-License-Identifier: BSD-3-Clause

import math
import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator

from latentgen.utils._images import (
    ImageLayout,
    PixelRows,
    as_images,
    as_rows,
    check_images,
    settle_shape,
    to_unit_floats,
)

SIDES = st.integers(1, 40)
SHAPES = st.tuples(st.integers(1, 5), SIDES, SIDES)


class Reader(BaseEstimator):
    """An estimator that only reads images."""

    def __init__(self, image_shape=None):
        self.image_shape = image_shape

    def fit(self, X):
        self.rows_, self.layout_ = check_images(self, X, image_shape=self.image_shape)
        return self

    def transform(self, X):
        return to_unit_floats(check_images(self, X, layout=self.layout_)[:])


def unit_rows(X, **params):
    return to_unit_floats(Reader(**params).fit(X).rows_[:])


def looks_channel_last(shape):
    return shape[2] in (1, 3, 4) and shape[0] not in (1, 3, 4)


def values_from_0_to(white, dtype, shape=(4, 1, 8, 8)):
    return np.linspace(0, white, math.prod(shape)).reshape(shape).astype(dtype)


# ------------------------------------------------------------------ layouts


@given(
    n=st.integers(1, 4),
    shape=SHAPES,
    ndim=st.sampled_from([2, 3, 4]),
    dtype=st.sampled_from(["uint8", "float32", "float64", "bool", "float16"]),
)
def test_every_layout_comes_back(n, shape, ndim, dtype):
    assume(not looks_channel_last(shape))
    if ndim == 3:
        shape = (1, *shape[1:])
    layout = ImageLayout(shape, ndim, dtype, dtype if dtype in ("uint8", "bool") else "float")
    X = values_from_0_to(255 if dtype == "uint8" else 1, dtype, (n, *layout.shape))
    reader = Reader(shape).fit(X)
    assert reader.layout_ == layout and reader.n_features_in_ == math.prod(shape)
    assert reader.rows_.shape == (n, math.prod(shape))
    assert_array_equal(reader.rows_[:].reshape(X.shape), X)


@given(shape=SHAPES)
def test_flattening_contiguous_images_copies_nothing(shape):
    assume(not looks_channel_last(shape))
    X = np.zeros((3, *shape), dtype=np.uint8)
    assert np.shares_memory(Reader().fit(X).rows_, X)
    assert np.shares_memory(Reader().fit(X[::2]).rows_, X)


@pytest.mark.parametrize("rows", [2, slice(1, 3), [3, 0], np.array([True, False, True, False])])
def test_rows_of_a_view_are_read_when_they_are_asked_for(rows):
    X = values_from_0_to(255, np.uint8, (4, 5, 6, 3))
    lazy = as_rows(X.transpose(0, 3, 1, 2), "uint8")
    assert isinstance(lazy, PixelRows)
    assert_array_equal(lazy[rows], X.transpose(0, 3, 1, 2).reshape(4, -1)[rows])


@pytest.mark.parametrize(
    "n_features, shape",
    [(784, (1, 28, 28)), (64, (1, 8, 8)), (1024, (1, 32, 32)), (9, (1, 3, 3)), (4, (1, 2, 2))],
)
def test_flat_squares_are_read_as_one_channel(n_features, shape):
    assert settle_shape(n_features, None, None) == shape


@pytest.mark.parametrize(
    "n_features, examples",
    [
        (3072, r"\(3, 32, 32\) or \(1, 48, 64\)"),
        (2916, r"\(1, 54, 54\) or \(4, 27, 27\) or \(3, 27, 36\)"),
        (12288, r"\(3, 64, 64\) or "),
        (560, r"\(1, 20, 28\) or \(4, 10, 14\)$"),
        (67, r"\(1, 1, 67\)"),
    ],
)
def test_flat_rows_that_can_have_several_shapes_are_refused(n_features, examples):
    message = rf"rows of {n_features} values, .* Pass image_shape=\(C, H, W\), for example "
    with pytest.raises(ValueError, match=message + examples.rstrip("$")):
        settle_shape(n_features, None, None)


def test_short_rows_that_are_no_square_earn_a_warning():
    with pytest.warns(UserWarning, match="read as one row of 7 pixels. Pass image_shape"):
        assert settle_shape(7, None, None) == (1, 1, 7)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_in_the_last_place_are_refused(channels):
    message = r"channels first, got \(5, 8, 9, {}\). Use X.transpose\(0, 3, 1, 2\)"
    with pytest.raises(ValueError, match=message.format(channels)):
        Reader().fit(np.zeros((5, 8, 9, channels)))


def test_image_shape_with_channels_in_the_last_place_is_refused():
    message = (
        r"channels first, got \(32, 32, 3\). Pass image_shape=\(3, 32, 32\); .* pass "
        r"X.reshape\(-1, 32, 32, 3\).transpose\(0, 3, 1, 2\) as X"
    )
    with pytest.raises(ValueError, match=message):
        Reader((32, 32, 3)).fit(np.zeros((2, 3072)))


def test_narrow_images_with_channels_first_are_no_channel_last_images():
    assert Reader().fit(np.zeros((5, 1, 37, 1))).layout_.image_shape == (1, 37, 1)


@pytest.mark.parametrize("image_shape", [(8, 8), (1, 8, 0), (1, 8.5, 8), 8 * (1,)])
def test_image_shape_must_be_three_positive_integers(image_shape):
    with pytest.raises(ValueError, match="three positive integers"):
        settle_shape(64, None, image_shape)


def test_image_shape_may_be_a_list_of_numpy_integers():
    shape = settle_shape(64, None, list(np.array([1, 4, 16])))
    assert shape == (1, 4, 16) and all(type(side) is int for side in shape)


def test_lists_of_images_are_read():
    images = list(values_from_0_to(255, np.uint8, (4, 8, 9)))
    reader = Reader().fit(images)
    assert reader.layout_ == ImageLayout((1, 8, 9), 3, "uint8", "uint8")
    assert_array_equal(reader.rows_, np.stack(images).reshape(4, -1))


def test_lists_of_pillow_images_are_read():
    image_module = pytest.importorskip("PIL.Image")
    gray, color = (
        [image_module.fromarray(a) for a in values_from_0_to(255, np.uint8, shape)]
        for shape in [(4, 8, 9), (4, 8, 9, 3)]
    )
    assert Reader().fit(gray).layout_.image_shape == (1, 8, 9)
    with pytest.raises(ValueError, match=r"Use np.stack\(X\).transpose\(0, 3, 1, 2\)"):
        Reader().fit(color)


def test_a_list_of_images_of_different_sizes_is_refused():
    message = r"images of one size, got \(8, 8\) and \(9, 8\). Resize them"
    with pytest.raises(ValueError, match=message):
        Reader().fit([np.zeros((9, 8)), np.zeros((8, 8))])


@pytest.mark.parametrize(
    "X, message",
    [
        (np.zeros((0, 1, 8, 8)), r"0 sample\(s\)"),
        (np.zeros((3, 1, 0, 8)), r"0 feature\(s\)"),
        (np.zeros((2, 2, 2, 2, 2)), r"or \(n_samples, C, H, W\), got \(2, 2, 2, 2, 2\)"),
        (np.full((2, 1, 8, 8), np.nan), "X contains NaN"),
        (np.full((2, 1, 8, 8), -np.inf, np.float16), "X contains infinity"),
        (np.zeros((2, 1, 8, 8), complex), "Complex data not supported"),
        (np.full((2, 1, 8, 8), "a"), "'numeric'|string"),
        (np.zeros((2, 1, 8, 8), "M8[s]"), "pixels that are numbers, got X of datetime64"),
    ],
)
def test_what_is_no_image_is_refused(X, message):
    with pytest.raises(ValueError, match=message):
        Reader().fit(X)


# ------------------------------------------------------------------ values


@pytest.mark.parametrize(
    "dtype, white",
    [
        ("bool", 1),
        ("uint8", 255),
        ("uint16", 65535),
        (">u2", 65535),
        ("int64", 1),
        ("int64", 255),
        ("int64", 65535),
        ("int16", 255),
        (">i4", 255),
        ("float16", 1),
        ("float32", 1),
        ("float64", 1),
        (">f4", 1),
    ],
)
@pytest.mark.parametrize("shape", [(4, 64), (4, 8, 8), (4, 1, 8, 8)])
def test_values_are_read_as_what_dtype_and_range_say(dtype, white, shape):
    X = values_from_0_to(white, dtype, shape)
    expected = X.reshape(4, 64).astype(np.float64) / white
    np.testing.assert_allclose(unit_rows(X), expected, atol=1e-6)
    np.testing.assert_allclose(to_unit_floats(as_images(X)), expected.reshape(shape), atol=1e-6)


@pytest.mark.parametrize(
    "dtype, values, message",
    [
        (
            "uint8",
            [0, 1],
            r"largest value in X is 1. Pass X.astype\(bool\) if 1 is white, or X / 2",
        ),
        ("uint8", [0, 16], r"largest value in X is 16. Pass X / 16 if 16 is white, or X / 255 if"),
        ("uint16", [0, 255], r"is 255. Pass X.astype\(np.uint8\) if 255 is white, or X / 65535"),
        (
            "uint16",
            [0, 4000],
            r"read as 0 to 65535, .* Pass X / 4095 if 4095 is white, or X / 65535",
        ),
        ("int64", [0, 16], r"near none of 1, 255 and 65535. Pass X / 16 if 16 is white"),
        ("int64", [0, 100], r"Pass X.astype\(np.uint8\) if 255 is white"),
        ("int32", [0, 70000], r"Pass X / 70000 if 70000 is white"),
        ("int64", [-1, 255], "at least 0, got -1 in X"),
        ("float64", [0, 254], r"to 254.00 in X. Pass X / 255 or X.astype\(np.uint8\) if 255 is w"),
        ("float64", [0, 16], r"Pass X / 16 if 16 is white, or X.clip\(0, 1\)"),
        ("float32", [-1, 1], r"Pass \(X \+ 1\) / 2 if black is -1"),
        ("float64", [-9, 9], r"Rescale with \(X - X.min\(\)\) / \(X.max\(\) - X.min\(\)\)"),
    ],
)
def test_values_that_cannot_be_told_are_refused(dtype, values, message):
    X = np.resize(values, (4, 64)).astype(dtype)
    for images in (X, X.reshape(4, 8, 8)):
        with pytest.raises(ValueError, match=message):
            Reader().fit(images)
        with pytest.raises(ValueError, match=message.replace("X", "X_test")):
            as_images(images, "X_test")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64", "float32"])
def test_black_images_are_no_riddle(dtype):
    assert unit_rows(np.zeros((3, 8, 8), dtype)).max() == 0


@pytest.mark.parametrize(("dtype", "white"), [("uint8", 255), ("uint16", 65535), ("int64", 255)])
def test_dark_images_mean_what_those_in_fit_meant(dtype, white):
    reader = Reader().fit(values_from_0_to(white, dtype))
    assert reader.transform(np.ones((2, 8, 8), dtype)).max() == pytest.approx(1 / white)


@pytest.mark.parametrize("values", [256, -1])
def test_integers_of_another_scale_than_in_fit_are_refused(values):
    reader = Reader().fit(values_from_0_to(255, np.int64))
    with pytest.raises(ValueError, match=r"from 0 to 255 as seen in fit|at least 0"):
        reader.transform(np.full((2, 8, 8), values))


def test_floats_of_another_scale_than_in_fit_are_refused():
    with pytest.raises(ValueError, match=r"expected in .0, 1., got values from 0.00 to 255.00"):
        Reader().fit(values_from_0_to(1, float)).transform(values_from_0_to(255, float))


def test_one_image_without_an_axis_of_images_is_refused():
    X = values_from_0_to(255, np.uint8, (4, 3, 8, 8))
    with pytest.raises(ValueError, match=r"as seen in fit, got \(1, 8, 8\). Pass X\[np.newaxis\]"):
        Reader().fit(X).transform(X[0])


def test_no_images_are_refused():
    with pytest.raises(ValueError, match=r"at least one image, got 'X_test' of shape \(0, 8, 8\)"):
        as_images(np.zeros((0, 8, 8)), "X_test")


def test_bytes_and_floats_may_be_mixed(digits):
    reader, X = Reader().fit(digits[0]), np.rint(255 * digits[0])
    np.testing.assert_allclose(reader.transform(X.astype(np.uint8)), X.reshape(-1, 64) / 255, 1e-6)


def test_floats_that_stray_a_little_are_clipped_with_one_warning_on_this_line():
    X = np.linspace(-0.2, 1.1, 256).reshape(4, 8, 8)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reader = Reader()
        Z = reader.fit(X).transform(X)
    assert [(w.filename, "outside are clipped" in str(w.message)) for w in caught] == [
        (__file__, True)
    ]
    assert_array_equal(Z, np.clip(X, 0, 1).astype(np.float32).reshape(4, 64))


def test_short_rows_of_any_numbers_are_clipped_with_a_warning():
    X = np.linspace(-5, 5, 100).reshape(10, 10)
    with pytest.warns(UserWarning, match=r"from -5.00 to 5.00; values outside are clipped"):
        assert_array_equal(unit_rows(X, image_shape=(1, 2, 5)), np.clip(X, 0, 1).astype(np.float32))


def test_drawn_images_may_be_dark_and_stray_further():
    dark = np.ones((2, 64), np.int64)
    assert as_images(dark * 100, drawn=True).dtype == np.uint8
    assert as_images(dark.astype(np.uint8), drawn=True).max() == 1
    assert as_images(dark * 1.9, drawn=True).max() == 1.9
    with pytest.raises(ValueError, match=r"got values from 200.00"):
        as_images(dark * 200.0, drawn=True)


@given(X=arrays(np.float64, (3, 4), elements=st.floats(-1e6, 1e6)))
def test_floats_are_clipped_to_the_unit_scale(X):
    unit = to_unit_floats(X)
    assert unit.dtype == np.float32
    assert_array_equal(unit, np.clip(X, 0, 1).astype(np.float32))


@pytest.mark.parametrize("value", [1.7, -0.75, np.nan])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_block_is_looked_at(value, order, monkeypatch):
    monkeypatch.setattr("latentgen.utils._images._CHUNK_VALUES", 200)
    X = np.zeros((100, 64), order=order)
    X[97, 1] = value
    with pytest.raises(ValueError, match=r"expected in|NaN"):
        Reader().fit(X)


# ------------------------------------------------------------------ frames


def frame_of(library, X, dtype):
    frames = pytest.importorskip(library)
    columns = {f"pixel{i}": X[:, i] for i in range(X.shape[1])}
    if library == "pandas":
        return frames.DataFrame(columns).astype(dtype)
    return frames.DataFrame(columns, schema=dict.fromkeys(columns, getattr(frames, dtype)))


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize(("dtype", "white"), [("UInt8", 255), ("Int64", 255), ("UInt16", 65535)])
def test_frames_are_read_as_arrays_are(library, dtype, white):
    X = values_from_0_to(white, np.int64, (4, 64))
    reader = Reader().fit(frame_of(library, X, dtype))
    assert reader.layout_.dtype == dtype.lower()
    assert_array_equal(reader.feature_names_in_[:2], ["pixel0", "pixel1"])
    np.testing.assert_allclose(to_unit_floats(reader.rows_[:]), X / white, atol=1e-6)


def test_frames_of_booleans_are_read(digits):
    X = digits[0].reshape(-1, 64) > 0.5
    assert_array_equal(unit_rows(frame_of("pandas", X, "boolean")), X)
