"""Sample grids and reconstructions: which image stands where, in every layout."""

# SPDX-License-Identifier: BSD-3-Clause

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator

from latentgen.inspection import ReconstructionDisplay, SampleGridDisplay
from latentgen.inspection._tiles import as_image_batch, tile

matplotlib = pytest.importorskip("matplotlib")
Figure = pytest.importorskip("matplotlib.figure").Figure


class Generator(BaseEstimator):
    """Images with the brightness class / 10, or random without classes; halves when it codes."""

    def __init__(self, shape=(1, 4, 6), dtype="float32"):
        self.shape = shape
        self.dtype = dtype

    def fit(self, X, y=None):
        self.image_shape_ = (1, 4, 6) if X.ndim < 4 else X.shape[1:]
        if y is not None:
            self.classes_ = np.unique(y)
        return self

    def sample(self, n_samples=1, *, y=None, random_state=None):
        rng = np.random.RandomState(random_state)
        values = rng.uniform(size=n_samples) if y is None else y / 10
        images = np.ones((n_samples, *self.shape)) * values.reshape(-1, *[1] * len(self.shape))
        return (images * 255).astype("u1") if self.dtype == "uint8" else images.astype("f4")

    def reconstruct(self, X):
        return X / 2 if X.dtype != np.uint8 else X // 2


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.fixture
def images():
    """30 images of 4 x 6 with the brightness i / 100, of the classes 0, 1 and 2."""
    X = np.ones((30, 1, 4, 6), np.float32) * np.arange(30).reshape(-1, 1, 1, 1) / 100
    return X, np.arange(30) % 3


def brightness(grid):
    return grid[:, :, 0, 0, 0]


def picture(display):
    return display.axes_.images[0].get_array()


def test_from_images_fills_rows_in_order(images, ax):
    display = SampleGridDisplay.from_images(images[0], n_columns=7, ax=ax)
    assert display.images.shape == (5, 7, 1, 4, 6)
    assert_allclose(brightness(display.images).ravel()[:30] * 100, np.arange(30), rtol=1e-5)
    assert np.isnan(brightness(display.images).ravel()[30:]).all()
    assert display.labels is None and display.real_images is None
    assert display.axes_ is ax and display.figure_ is ax.figure


def test_from_images_n_rows(images, ax):
    X, y = images
    assert SampleGridDisplay.from_images(X, n_rows=2, ax=ax).images.shape[:2] == (2, 8)
    assert SampleGridDisplay.from_images(X, y, n_rows=2, ax=ax).labels == ["0", "1"]
    assert len(SampleGridDisplay.from_images(X[:20], n_columns=1, ax=ax).images) == 10


def test_from_images_one_row_per_class(images, ax):
    X, y = images
    display = SampleGridDisplay.from_images(
        X, y, X_real=X[:4], y_real=y[:4], n_columns=2, ax=ax, image_shape=(1, 4, 6)
    )
    assert_allclose(brightness(display.images) * 100, [[0, 3], [1, 4], [2, 5]], rtol=1e-5)
    expected = [[0, 3], [1, np.nan], [2, np.nan]]
    assert_allclose(brightness(display.real_images) * 100, expected, rtol=1e-5)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0", "1", "2"]
    assert [text.get_text() for text in ax.texts] == ["generated", "real"]


def test_from_images_shows_a_class_without_real_images_as_a_gap(images, ax):
    X, y = images
    display = SampleGridDisplay.from_images(X, y, X_real=X[:1], y_real=y[:1], n_columns=1, ax=ax)
    assert np.isnan(brightness(display.real_images)).ravel().tolist() == [False, True, True]


@pytest.mark.parametrize("shape", [(24,), (4, 6), (1, 4, 6)])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_from_estimator_reads_every_layout(images, ax, shape, dtype):
    generator = Generator(shape, dtype).fit(*images)
    y = np.array([2, 7])
    display = SampleGridDisplay.from_estimator(generator, y=y, n_columns=3, ax=ax)
    assert display.images.shape == (2, 3, 1, 4, 6)
    assert_allclose(brightness(display.images), [[0.2] * 3, [0.7] * 3], atol=0.01)
    assert display.labels == ["2", "7"] and display.real_images is None


def test_from_estimator_puts_real_images_of_the_class_beside(images, ax):
    X, y = images
    display = SampleGridDisplay.from_estimator(Generator().fit(X, y), X, y, n_columns=4, ax=ax)
    real = np.rint(brightness(display.real_images) * 100)
    assert_array_equal(real % 3, [[0] * 4, [1] * 4, [2] * 4])
    assert (np.diff(real) > 0).all()


def test_from_estimator_random_state(images, ax):
    X, _ = images
    generator = Generator().fit(X)
    grids = [
        SampleGridDisplay.from_estimator(generator, X, n_rows=2, random_state=seed, ax=ax)
        for seed in (0, 0, 1)
    ]
    assert_array_equal(grids[0].images, grids[1].images)
    assert_array_equal(grids[0].real_images, grids[1].real_images)
    assert (grids[0].images != grids[2].images).any()
    assert (grids[0].real_images != grids[2].real_images).any()


def test_from_estimator_ignores_labels_without_classes(images, ax):
    X, y = images
    display = SampleGridDisplay.from_estimator(Generator().fit(X), X, y, ax=ax)
    assert display.images.shape == (4, 8, 1, 4, 6) and display.labels is None
    assert display.real_images.shape == display.images.shape


def test_from_estimator_n_rows_limits_classes(images, ax):
    X, y = images
    generator = Generator().fit(X, y)
    assert SampleGridDisplay.from_estimator(generator, y=y, n_rows=2, ax=ax).labels == ["0", "1"]


def test_from_estimator_image_shape_wins_over_a_missing_attribute(ax):
    generator = Generator((24,))
    display = SampleGridDisplay.from_estimator(generator, image_shape=(1, 3, 8), ax=ax)
    assert display.images.shape[2:] == (1, 3, 8)


def test_real_images_may_be_a_list_a_frame_or_a_memmap(images, ax, tmp_path):
    X, _ = images
    np.save(tmp_path / "x.npy", X)
    kinds = [X, list(X), np.load(tmp_path / "x.npy", mmap_mode="r")]
    pandas = pytest.importorskip("pandas")
    kinds.append(pandas.DataFrame(X.reshape(30, -1)))
    generator = Generator().fit(X)
    grids = [SampleGridDisplay.from_estimator(generator, kind, ax=ax) for kind in kinds]
    for grid in grids[1:]:
        assert_array_equal(grid.real_images, grids[0].real_images)


def test_plot_again_with_other_colors(images, ax):
    display = SampleGridDisplay.from_images(images[0], ax=ax)
    before = picture(display)
    assert display.plot(Figure().add_subplot(), cmap="gray_r") is display
    after = picture(display)
    assert_array_equal(before[..., 3], after[..., 3])
    assert before[0, 0].tolist() == [0, 0, 0, 255] and after[0, 0].tolist() == [255] * 4


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(
        st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 3, 4]), *[st.integers(1, 60)] * 2
    )
)
def test_tile_places_every_image(shape):
    grid = np.random.RandomState(0).randint(0, 256, shape) / np.float32(255)
    if shape[2] == 4:
        grid[:, :, 3] = 1
    canvas, gap, (height, width) = tile(grid, "gray", "test")
    step = height // shape[3]
    assert max(height, width) >= 48 and gap >= 2
    for row, column in np.ndindex(shape[:2]):
        top, left = row * (height + gap), column * (width + gap)
        found = canvas[top : top + height : step, left : left + width : step, : min(3, shape[2])]
        expected = np.moveaxis(grid[row, column, :3], 0, -1) * 255
        assert_array_equal(found, np.rint(expected))
    inside = shape[0] * shape[1] * height * width
    assert np.count_nonzero(canvas[..., 3]) == inside


def test_empty_places_are_transparent():
    grid = np.full((1, 2, 3, 4, 4), 0.5, np.float32)
    grid[0, 1] = np.nan
    canvas, _, (_, width) = tile(grid, "gray", "test")
    assert (canvas[:, :width, 3] == 255).all() and (canvas[:, width:] == 0).all()


def test_figure_pixels_are_canvas_pixels():
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    before = dict(matplotlib.rcParams)
    pixels = np.random.RandomState(0).randint(0, 2, (6, 1, 28, 28)).astype(np.uint8) * 255
    labels = ["first", "b", "c", "d", "e", "f"]
    display = SampleGridDisplay.from_images(pixels, labels, n_columns=1)
    display.figure_.canvas.draw()
    screen = np.asarray(display.figure_.canvas.buffer_rgba())
    box = display.axes_.get_window_extent()
    top, left = round(len(screen) - box.y1), round(box.x0)
    canvas = picture(display)
    shown = screen[top : top + canvas.shape[0], left : left + canvas.shape[1]]
    opaque = canvas[..., 3] == 255
    assert_array_equal(shown[opaque], canvas[opaque])
    assert dict(matplotlib.rcParams) == before
    plt.close(display.figure_)


def test_large_images_are_smoothed_when_shrunk(ax):
    for side, interpolation in [(64, "nearest"), (200, "auto")]:
        display = SampleGridDisplay.from_images(np.zeros((1, side, side)), n_columns=1, ax=ax)
        assert display.axes_.images[-1].get_interpolation() == interpolation


def test_reconstruction_rows_and_error(images, ax):
    X, _ = images
    display = ReconstructionDisplay.from_estimator(
        Generator().fit(X), X, n_images=40, show_mse=True, ax=ax
    )
    assert_allclose(display.images, X)
    assert_allclose(display.reconstructions, X / 2)
    assert_allclose(display.mse, (X[:, 0, 0, 0] / 2) ** 2, rtol=1e-5)
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == ["original", "reconstructed", "error\n(up to 0.14)"]
    captions = [text.get_text() for text in ax.get_xticklabels()]
    assert captions[:3] == ["0.0000", "0.0000", "0.0001"] and ax.texts[0].get_text() == "MSE"
    errors = picture(display)[-1, ::51, 0]  # the tiles are 48 pixels wide with 3 between
    assert_allclose(errors, np.arange(30) / 29 * 255, atol=0.6)


def test_reconstruction_options_take_rows_away(images, ax):
    generator = Generator().fit(images[0])
    display = ReconstructionDisplay.from_estimator(generator, images[0], show_error=False, ax=ax)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["original", "reconstructed"]
    assert not ax.get_xticklabels() and len(display.images) == 10
    assert len(ReconstructionDisplay(display.images, display.images).plot(ax).mse) == 10


@pytest.mark.parametrize("shape", [(48,), (4, 12), (3, 4, 4)])
def test_reconstruction_reads_every_layout(ax, shape):
    X = np.random.RandomState(0).randint(0, 256, (5, *shape)).astype(np.uint8)
    generator = Generator()
    image_shape = {1: (3, 4, 4), 2: (1, 4, 12), 3: (3, 4, 4)}[len(shape)]
    display = ReconstructionDisplay.from_estimator(
        generator, X, n_images=2, image_shape=image_shape, ax=ax
    )
    assert display.reconstructions.shape == (2, *image_shape)
    assert_allclose(display.reconstructions, display.images / 2, atol=1 / 255)


def test_reconstruction_random_state(images, ax):
    generator = Generator().fit(images[0])
    first, same, other = (
        ReconstructionDisplay.from_estimator(
            generator, images[0], n_images=3, random_state=seed, ax=ax
        ).images
        for seed in (0, 0, 1)
    )
    assert_array_equal(first, same)
    assert (first != other).any()


def test_flat_square_images_need_no_shape():
    assert as_image_batch(np.zeros((2, 25)), None).shape == (2, 1, 5, 5)


GENERATOR = Generator()
X = np.zeros((4, 1, 4, 6))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: SampleGridDisplay.from_estimator(object()), TypeError, "'sample', got object"),
        (
            lambda: ReconstructionDisplay.from_estimator(object(), X),
            TypeError,
            "'reconstruct', got object",
        ),
        (lambda: SampleGridDisplay.from_images(X, n_columns=0), ValueError, "n_columns == 0"),
        (lambda: SampleGridDisplay.from_images(X, n_rows=0), ValueError, "n_rows == 0"),
        (
            lambda: SampleGridDisplay.from_estimator(GENERATOR, n_rows=0),
            ValueError,
            "n_rows == 0",
        ),
        (
            lambda: ReconstructionDisplay.from_estimator(GENERATOR, X, n_images=0),
            ValueError,
            "n_images == 0",
        ),
        (lambda: SampleGridDisplay.from_images(X, [0, 1]), ValueError, "inconsistent numbers"),
        (
            lambda: SampleGridDisplay.from_images(X, [0] * 4, X_real=X),
            ValueError,
            "of neither, got only y",
        ),
        (
            lambda: SampleGridDisplay.from_images(X, X_real=X, y_real=[0] * 4),
            ValueError,
            "of neither, got only y_real",
        ),
        (
            lambda: SampleGridDisplay.from_images(np.zeros((2, 2, 4, 6))),
            ValueError,
            r"1, 3 or 4 channels can be drawn, got \(2, 4, 6\)",
        ),
        (
            lambda: SampleGridDisplay.from_images(np.zeros((2, 24)), image_shape=(1, 5, 5)),
            ValueError,
            "needs 25 features, but X has 24",
        ),
    ],
)
def test_bad_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_unusual_range_is_refused(ax):
    with pytest.raises(ValueError, match=r"expected in \[0, 1\], got values from 0.00 to 200.00"):
        SampleGridDisplay.from_images(X + np.arange(4).reshape(4, 1, 1, 1) * 200 / 3, ax=ax)


@pytest.mark.parametrize(
    "display", [SampleGridDisplay(X[None]), ReconstructionDisplay(X, X)], ids=["grid", "pairs"]
)
def test_missing_matplotlib_names_the_extra(display, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    name = type(display).__name__
    with pytest.raises(ImportError, match=rf"{name} needs matplotlib.*latentgen\[plot\]"):
        display.plot()
