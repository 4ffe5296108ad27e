"""The report of one set of generated images."""

# SPDX-License-Identifier: BSD-3-Clause

import json
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from latentgen.metrics import (
    frechet_distance,
    generation_report,
    latent_ks_statistic,
    tstr_score,
)
from latentgen.metrics._judged import Images, draw_like, halves

pytestmark = pytest.mark.filterwarnings("ignore:The covariance of 64 features")
CHEAP = GaussianNB(var_smoothing=0.05)


class Fading(TransformerMixin, BaseEstimator):
    """An autoencoder whose decoder loses half of the brightness."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X

    def inverse_transform(self, X):
        return X / 2


def pixels(X):
    return np.asarray(X).reshape(len(X), -1)


def dark(X):
    return pixels(X) / 2


def make_copies(digits):
    """Training images with noise."""
    noise = np.random.default_rng(0).normal(scale=0.1, size=(50, 1, 8, 8))
    return np.clip(digits[0][:50] + noise, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def pca(digits):
    return PCA(3).fit(pixels(digits[0][:100]))


@pytest.fixture(scope="module")
def pca_decode(pca):
    """Send images through the autoencoder of the report."""
    return lambda X: np.clip(pca.inverse_transform(pca.transform(pixels(X))), 0, 1)


@pytest.fixture(scope="module")
def report(digits, pca):
    X, y = digits
    return generation_report(
        X[100:],
        make_copies(digits),
        y_test=y[100:],
        y_generated=y[:50],
        X_train=X[:100],
        y_train=y[:100],
        encoder=pca,
        classifier=CHEAP,
    )


def test_report_is_plain_json_with_everything_filled_in(report):
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    # C_T needs 20 images of each kind in a cell.
    empty = {name for name, value in report.items() if value is None}
    assert empty == {"data_copying", "data_copying_null"}


def test_report_says_what_was_compared(report):
    assert (report["n_real"], report["n_generated"]) == (100, 50)
    assert (report["n_train"], report["n_floor"]) == (100, 50)
    assert report["feature_extractor"] == "pixels in [0, 1]"
    assert report["novelty_space"] == "pixels in [0, 1], real images decoded"
    assert report["classifier"] == "GaussianNB(var_smoothing=0.05)"
    assert report["reference"] == (
        "100 real test images; floor from 50 of 100 training images of the same classes"
    )


def test_report_floors_are_those_of_as_many_training_images_of_the_same_classes(
    report, digits, pca_decode
):
    X, y = digits
    floor = draw_like(Images(X[:100], y[:100]), Images(X[:50], y[:50]))
    distance = frechet_distance(pixels(X[100:]), pixels(floor.X))
    assert_allclose(report["frechet_distance_floor"], distance, rtol=1e-6)
    tstr = tstr_score(X[100:], y[100:], floor.X, floor.y, classifier=CHEAP)
    assert report["tstr_floor"] == tstr
    decoded = [pca_decode(part) for part in (X[:100], X[100:], floor.X)]
    distance = frechet_distance(*decoded[1:])
    assert_allclose(report["frechet_distance_codes_floor"], distance, rtol=1e-4)


def test_report_has_both_reference_sets(report, digits, pca_decode):
    X = digits[0]
    X_new = make_copies(digits)
    distance = frechet_distance(pixels(X[100:]), pixels(X_new))
    assert_allclose(report["frechet_distance"], distance, rtol=1e-6)
    distance = frechet_distance(pca_decode(X[100:]), pixels(X_new))
    assert_allclose(report["frechet_distance_codes"], distance, rtol=1e-4)


def test_perfect_sampler_draws_the_codes_of_other_test_images(report, digits, pca_decode):
    X, y = digits[0][100:], digits[1][100:]
    first, second = halves(Images(X, y))
    assert report["n_half"] == 50
    distance = frechet_distance(pixels(X[first]), pca_decode(X[second]))
    assert_allclose(report["frechet_distance_perfect"], distance, rtol=1e-4)
    distance = frechet_distance(pca_decode(X[first]), pca_decode(X[second]))
    assert_allclose(report["frechet_distance_codes_perfect"], distance, rtol=1e-4)


def test_perfect_sampler_stands_beside_as_many_generated_images(digits):
    X = digits[0]
    report = generation_report(X[:50], X[50:75], encoder=PCA(3).fit(pixels(X)))
    first, _ = halves(Images(X[:50]))
    distance = frechet_distance(pixels(X[first]), pixels(X[50:75]))
    assert report["n_half"] == 25
    assert_allclose(report["frechet_distance_half"], distance, rtol=1e-6)


def test_perfect_sampler_needs_a_decoder(digits):
    report = generation_report(
        digits[0][:50], digits[0][50:], encoder=lambda X: X.reshape(len(X), -1)
    )
    assert report["frechet_distance_codes"] is report["frechet_distance_perfect"] is None
    assert report["n_half"] is None and report["latent_ks"] is not None


def test_other_extractors_measure_what_compares_features(digits):
    X = digits[0]
    report = generation_report(X[:50], X[50:100], X_train=X[100:], other_extractors={"dark": dark})
    distance = frechet_distance(pixels(X[:50]) / 2, pixels(X[50:100]) / 2)
    assert_allclose(report["frechet_distance_dark"], distance, rtol=1e-6)
    assert report["frechet_distance"] > 2 * report["frechet_distance_dark"]
    assert report["kernel_distance_dark_floor_error"] > 0
    assert report["feature_extractor_dark"].endswith("dark")
    assert "novelty" in report and "novelty_dark" not in report


def test_report_leaves_out_what_has_no_input(digits):
    report = generation_report(digits[0][:100], digits[0][100:])
    missing = {name for name, value in report.items() if value is None}
    assert {"tstr", "tstr_floor", "novelty", "n_floor", "frechet_distance_floor"} <= missing
    assert report["frechet_distance"] > 0 and report["reference"].endswith("no floor")


def test_report_random_state_decides_the_floor(digits):
    X = digits[0]
    reports = [
        generation_report(X[:50], X[50:80], X_train=X[80:], random_state=seed) for seed in (0, 0, 1)
    ]
    floors = [report["kernel_distance_floor"] for report in reports]
    assert floors[0] == floors[1] != floors[2]


def test_report_uses_the_feature_extractor(digits):
    X = digits[0]
    pca = PCA(2).fit(pixels(X[100:]))
    report = generation_report(X[:50], X[50:100], feature_extractor=pca)
    expected = frechet_distance(*(pca.transform(pixels(part)) for part in (X[:50], X[50:100])))
    assert_allclose(report["frechet_distance"], expected, rtol=1e-4)


def test_report_finds_copied_codes_behind_a_lossy_decoder(digits):
    X = pixels(digits[0])
    report = generation_report(X[:50], X[50:100] / 2, X_train=X[50:], encoder=Fading().fit(X))
    assert (report["novelty"], report["near_copies"]) == (0, 1)
    expected = latent_ks_statistic(pixels(X[:50]), pixels(X[50:100]))
    assert_allclose(report["latent_ks"], expected)


@pytest.mark.parametrize("n_generated", [50, 51])
def test_report_warns_of_a_floor_from_fewer_images_than_were_generated(n_generated, digits):
    X = digits[0]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = generation_report(X[150:], 1 - X[:n_generated], X_train=X[:50])
    said = [
        w for w in caught if "floor is measured on 50 training images, but 51" in str(w.message)
    ]
    assert len(said) == (n_generated == 51) and report["n_floor"] == 50


@pytest.mark.filterwarnings("ignore:There are no generated images of the classes")
def test_report_without_enough_training_images_of_a_rare_class_has_no_floor(digits):
    X, y = digits
    rare = np.concatenate([np.flatnonzero(y[:100] != 3), np.flatnonzero(y[:100] == 3)[:1]])
    labels = {"y_test": y[150:], "y_generated": np.full(50, 3), "y_train": y[rare]}
    with pytest.warns(UserWarning, match="There is no floor: 1 training images of the classes"):
        report = generation_report(X[150:], 1 - X[:50], X_train=X[rare], classifier=CHEAP, **labels)
    assert report["n_floor"] is None and report["frechet_distance_floor"] is None
    assert report["novelty"] > 0 and report["reference"].endswith("no floor")


@pytest.mark.parametrize("n_test, n_generated, name", [(5, 50, "X_test"), (50, 5, "X_generated")])
def test_report_refuses_few_images(n_test, n_generated, name, digits):
    X = digits[0]
    with pytest.raises(ValueError, match=f"Expected at least 6 images in '{name}', got 5"):
        generation_report(X[:n_test], X[100 : 100 + n_generated])


@pytest.mark.parametrize("name", ["y_generated", "y_train"])
def test_report_refuses_labels_of_other_classes(name, digits):
    X, y = digits
    labels = {"y_test": y[:50], "y_generated": y[50:100], "y_train": y[100:]}
    labels[name] = labels[name].astype(str)
    with pytest.raises(ValueError, match=f"same classes in 'y_test' and '{name}'"):
        generation_report(X[:50], X[50:100], X_train=X[100:], **labels)


def test_report_warns_of_test_images_that_are_training_images(digits):
    X = digits[0]
    as_bytes = np.rint(X * 255).astype(np.uint8)
    seen, unseen = (as_bytes[50:70] / 255).astype(np.float32), X[150:]
    with pytest.warns(UserWarning, match="20 of 70 test rows are training rows"):
        report = generation_report(
            np.concatenate([seen, unseen]), seen, X_train=pixels(as_bytes[:100])
        )
    assert (report["novelty"], report["near_copies"]) == (0, 1)


def test_report_refuses_training_images_as_test_images(digits):
    X = digits[0]
    with pytest.raises(ValueError, match="All 50 images of 'X_test' are images of 'X_train'"):
        generation_report(X[:50], X[50:100], X_train=pixels(X).astype(np.float64))


def test_report_novelty_does_not_depend_on_the_units_of_codes(digits):
    X, pca = digits[0], PCA(4).fit(pixels(digits[0][:100]))
    # The same images from codes of which one value has another unit.
    rescaling = StandardScaler(with_mean=False).fit(np.diag([1e3, 1, 1, 1]))
    parts = {"X_test": X[100:150], "X_generated": X[150:], "X_train": X[:100]}
    plain, scaled = (
        generation_report(**parts, encoder=encoder)["novelty"]
        for encoder in (pca, make_pipeline(pca, rescaling))
    )
    assert_allclose(scaled, plain, rtol=1e-5)


@pytest.mark.parametrize("name", ["feature_extractor", "encoder"])
def test_report_refuses_what_is_not_fitted(name, digits):
    with pytest.raises(NotFittedError, match=f"'{name}' must be fitted before it judges"):
        generation_report(digits[0][:50], digits[0][50:], **{name: PCA()})
