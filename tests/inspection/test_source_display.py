"""New images beside the training images they came from and beside their nearest ones."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from _estimators import CONV
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from sklearn.base import clone

from latentgen import (
    ConditionalSampler,
    GaussianSampler,
    KernelDensitySampler,
    LatentGenerativePipeline,
)
from latentgen.inspection import SourceDisplay
from latentgen.inspection._tiles import as_image_batch

pytest.importorskip("matplotlib")
figure = pytest.importorskip("matplotlib.figure")


@pytest.fixture(scope="module")
def X(digits):
    return digits[0]


def chain(sampler, *data):
    return LatentGenerativePipeline([("autoencoder", clone(CONV)), ("sampler", sampler)]).fit(*data)


@pytest.fixture(scope="module")
def pipeline(X):
    return chain(KernelDensitySampler(1e-5), X)


@pytest.fixture
def ax():
    return figure.Figure().add_subplot()


def test_rows_are_those_of_the_training_images(pipeline, X, ax):
    display = SourceDisplay.from_estimator(pipeline, X, n_images=5, ax=ax)
    assert display.images.shape == display.nearest.shape == (5, 1, 8, 8)
    codes = pipeline[0].transform(X)
    # So little noise that a draw is nearest to its source.
    assert_array_equal(display.sources, display.nearest)
    between = cdist(codes, codes)
    np.fill_diagonal(between, np.inf)
    rows = [np.flatnonzero((X == image).all(axis=(1, 2, 3)))[0] for image in display.nearest]
    assert np.all(display.distances * between.min(axis=1)[rows] < 0.1)


@pytest.mark.parametrize("sampler", [GaussianSampler(), ConditionalSampler(GaussianSampler())])
def test_draws_without_a_source_show_the_nearest_images(sampler, digits, ax):
    X, y = digits
    pipeline = chain(sampler, X, y)
    display = SourceDisplay.from_estimator(pipeline, X, n_images=4, ax=ax)
    assert display.sources is None
    assert [text.get_text() for text in ax.get_yticklabels()] == ["new", "nearest"]
    assert display.distances.min() > 0


def test_labels_are_those_asked_for(digits, ax):
    X, y = digits
    pipeline = chain(ConditionalSampler(KernelDensitySampler(1e-5)), X, y)
    display = SourceDisplay.from_estimator(pipeline, X, y=[3, 5, 3], ax=ax)
    rows = [np.flatnonzero((X == image).all(axis=(1, 2, 3)))[0] for image in display.sources]
    assert_array_equal(y[rows], [3, 5, 3])


def test_random_state_chooses_the_images(pipeline, X, ax):
    first, again, other = (
        SourceDisplay.from_estimator(pipeline, X, random_state=seed, ax=ax).images
        for seed in (0, 0, 1)
    )
    assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_flat_images_have_a_shape(X, ax):
    pipeline = chain(KernelDensitySampler(1e-5), X.reshape(-1, 64))
    display = SourceDisplay.from_estimator(pipeline, X.reshape(-1, 64), ax=ax)
    assert display.nearest.shape == (8, 1, 8, 8)
    wide = SourceDisplay.from_estimator(pipeline, X.reshape(-1, 64), image_shape=(1, 4, 16), ax=ax)
    assert_allclose(wide.images.reshape(8, -1), display.images.reshape(8, -1))


@pytest.mark.parametrize("show", [True, False])
def test_distances_stand_under_the_images(show, X, ax):
    images = as_image_batch(X[:3], None)
    display = SourceDisplay(images, images, distances=np.array([0.0, 0.51, 1.0]))
    display.plot(ax, show_distances=show)
    texts = [text.get_text() for text in ax.get_xticklabels()]
    assert texts == (["0.00", "0.51", "1.00"] if show else [])


def test_a_source_outside_of_the_images_is_refused(pipeline, X, ax):
    with pytest.raises(ValueError, match=r"training row \d+, but 'X_train' has 3 rows"):
        SourceDisplay.from_estimator(pipeline, X[:3], ax=ax)


@pytest.mark.parametrize("wrong", [GaussianSampler(), clone(CONV)])
def test_only_a_pipeline_has_sources(wrong, X):
    with pytest.raises(TypeError, match="Expected a fitted LatentGenerativePipeline, got"):
        SourceDisplay.from_estimator(wrong, X)
