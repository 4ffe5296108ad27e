"""Image layouts: whatever comes in goes out again."""

# SPDX-License-Identifier: BSD-3-Clause

import math
import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal

from latentgen.utils._images import (
    ImageLayout,
    flatten_images,
    infer_layout,
    to_unit_floats,
    warn_unusual_range,
)

SIDES = st.integers(1, 40)
SHAPES = st.tuples(st.integers(1, 5), SIDES, SIDES)


def looks_channel_last(shape):
    return shape[2] in (1, 3, 4) and shape[0] not in (1, 3, 4)


@given(
    n=st.integers(1, 4),
    shape=SHAPES,
    ndim=st.sampled_from([2, 3, 4]),
    dtype=st.sampled_from(["uint8", "float32", "float64"]),
)
def test_every_layout_comes_back(n, shape, ndim, dtype):
    assume(not looks_channel_last(shape))
    if ndim == 3:
        shape = (1, *shape[1:])
    layout = ImageLayout(shape, ndim, dtype)
    X = np.arange(n * math.prod(shape)).reshape(n, *layout.shape).astype(dtype)
    flat, found, found_ndim = flatten_images(X)
    assert flat.shape == (n, math.prod(shape))
    assert infer_layout(flat, found, found_ndim, shape) == layout
    assert_array_equal(flat.reshape(n, *layout.shape), X)


@given(shape=SHAPES)
def test_flattening_contiguous_images_copies_nothing(shape):
    assume(not looks_channel_last(shape))
    X = np.zeros((3, *shape), dtype=np.uint8)
    assert np.shares_memory(flatten_images(X)[0], X)


@given(side=SIDES)
def test_flat_squares_are_read_as_one_channel(side):
    layout = infer_layout(np.zeros((2, side**2)), None, 2, None)
    assert layout.image_shape == (1, side, side)


@given(n_features=st.integers(1, 2000))
def test_flat_rows_that_are_no_square_earn_a_warning(n_features):
    assume(math.isqrt(n_features) ** 2 != n_features)
    message = f"each sample is read as one row of {n_features} pixels. Pass image_shape"
    with pytest.warns(UserWarning, match=message):
        layout = infer_layout(np.zeros((2, n_features)), None, 2, None)
    assert layout.image_shape == (1, 1, n_features)


def test_bytes_become_unit_floats():
    X = np.arange(256, dtype=np.uint8)[:, None]
    unit = to_unit_floats(X)
    assert unit.dtype == np.float32 and unit.min() == 0 and unit.max() == 1
    assert_array_equal(np.rint(unit * 255), X)


@given(X=arrays(np.float64, (3, 4), elements=st.floats(-1e6, 1e6)))
def test_floats_are_clipped_to_the_unit_scale(X):
    unit = to_unit_floats(X)
    assert unit.dtype == np.float32
    assert_array_equal(unit, np.clip(X, 0, 1).astype(np.float32))


def test_lists_of_images_are_read():
    flat, shape, ndim = flatten_images([[[0.0, 0.5], [1.0, 0.2]]] * 3)
    assert flat.shape == (3, 4) and shape == (1, 2, 2) and ndim == 3


@pytest.mark.parametrize("X", [[], [[1.0, 2.0]], np.zeros((2, 3)), np.zeros(3)])
def test_input_of_at_most_two_dimensions_is_handed_on(X):
    flat, shape, ndim = flatten_images(X)
    assert flat is X and shape is None and ndim == 2


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_in_the_last_place_are_refused(channels):
    message = r"channels first, got \(5, 8, 9, {}\). Use X.transpose\(0, 3, 1, 2\)"
    with pytest.raises(ValueError, match=message.format(channels)):
        flatten_images(np.zeros((5, 8, 9, channels)))


def test_narrow_images_with_channels_first_are_no_channel_last_images():
    assert flatten_images(np.zeros((5, 1, 37, 1)))[1] == (1, 37, 1)


@pytest.mark.parametrize("image_shape", [(8, 8), (1, 8, 0), (1, 8.5, 8), 8 * (1,)])
def test_image_shape_must_be_three_positive_integers(image_shape):
    with pytest.raises(ValueError, match="three positive integers"):
        infer_layout(np.zeros((2, 64)), None, 2, image_shape)


def test_image_shape_may_be_a_list_of_numpy_integers():
    layout = infer_layout(np.zeros((2, 64)), None, 2, list(np.array([1, 4, 16])))
    assert layout.image_shape == (1, 4, 16)
    assert all(type(side) is int for side in layout.image_shape)


@pytest.mark.parametrize("X", [np.full((2, 4), 255, dtype=np.uint8), np.zeros((0, 4)), np.eye(4)])
def test_usual_ranges_are_silent(X):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_unusual_range(X)
    assert caught == []


def test_the_range_is_looked_for_in_every_block(monkeypatch):
    monkeypatch.setattr("latentgen.utils._images._CHUNK_VALUES", 8)
    X = np.zeros((100, 4))
    X[97, 1], X[3, 0] = 1.5, -0.25
    with pytest.warns(UserWarning, match=r"got values from -0.25 to 1.50"):
        warn_unusual_range(X)
