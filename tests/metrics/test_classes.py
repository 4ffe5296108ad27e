"""Measures of each class in a report."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.metrics import recall_score
from sklearn.naive_bayes import GaussianNB

from latentgen.metrics import (
    copied_fraction,
    frechet_distance,
    generation_report,
    kernel_distance,
    novelty,
)

pytestmark = pytest.mark.filterwarnings("ignore:The covariance of")
CHEAP = GaussianNB(var_smoothing=0.05)


@pytest.fixture(scope="module")
def parts(digits):
    """Training images, test images and images with noise, of three classes of unequal size."""
    X, y = digits[0].reshape(200, -1), np.array(["a", "b", "c"])[digits[1] % 3]
    noise = np.random.default_rng(0).normal(scale=0.15, size=(60, 64))
    X_new = np.clip(X[:60] + noise, 0, 1).astype(np.float32)
    return (X[:100], y[:100]), (X[100:], y[100:]), (X_new, y[:60])


def measure(parts, **options):
    (X_train, y_train), (X, y), (X_new, y_new) = parts
    labels = {"y_test": y, "y_generated": y_new, "y_train": y_train}
    options = {"X_train": X_train, "classifier": CHEAP, **labels, **options}
    return generation_report(X, X_new, **options)["classes"]


@pytest.fixture(scope="module")
def classes(parts):
    return measure(parts, feature_extractor=PCA(1).fit(parts[0][0]))


def test_every_class_has_its_number_of_images(classes, parts):
    _, (_, y), (_, y_new) = parts
    found = [(row["label"], row["n_real"], row["n_generated"]) for row in classes]
    assert found == [(label, sum(y == label), sum(y_new == label)) for label in "abc"]


def test_distances_are_those_of_the_images_of_the_class(classes, parts):
    (X_train, _), (X, y), (X_new, y_new) = parts
    pca = PCA(1).fit(X_train)
    for row in classes:
        features = pca.transform(X[y == row["label"]]), pca.transform(X_new[y_new == row["label"]])
        distance, error = kernel_distance(*features)
        assert_allclose((row["kernel_distance"], row["kernel_distance_error"]), (distance, error))
        assert_allclose(row["frechet_distance"], frechet_distance(*features))


def test_frechet_distance_needs_ten_images_for_each_feature(parts):
    rows = measure(parts, feature_extractor=PCA(3).fit(parts[0][0]))
    assert {row["frechet_distance"] for row in rows} == {None}
    assert None not in [row["kernel_distance"] for row in rows]


def test_tstr_is_the_recall_of_the_class_with_its_wilson_interval(classes, parts):
    _, (X, y), (X_new, y_new) = parts
    predicted = CHEAP.fit(X_new, y_new).predict(X)
    assert_allclose([row["tstr"] for row in classes], recall_score(y, predicted, average=None))
    correct, n = int(np.sum((y == "a") & (predicted == "a"))), int(np.sum(y == "a"))
    interval = stats.binomtest(correct, n).proportion_ci(method="wilson")
    assert_allclose((classes[0]["tstr_low"], classes[0]["tstr_high"]), interval)


def test_trts_is_the_recall_of_generated_images(classes, parts):
    _, (X, y), (X_new, y_new) = parts
    expected = recall_score(y_new, CHEAP.fit(X, y).predict(X_new), average=None)
    assert_allclose([row["trts"] for row in classes], expected)


def test_novelty_is_measured_against_all_training_images(classes, parts):
    (X_train, _), (X, y), (X_new, y_new) = parts
    for row in classes:
        own = X_new[y_new == row["label"]]
        expected = novelty(X_train, X[y == row["label"]], own).novelty
        assert_allclose(row["novelty"], expected, rtol=1e-5)
        copies = copied_fraction(X_train, own)
        found = [row[f"near_copies{ending}"] for ending in ("", "_low", "_high")]
        assert_allclose(found, copies)


def test_a_class_that_was_not_drawn_is_said(parts):
    train, test, (X_new, y_new) = parts
    kept = y_new != "b"
    with pytest.warns(UserWarning, match=r"no generated images of the classes \['b'\]"):
        row = measure((train, test, (X_new[kept], y_new[kept])))[1]
    assert (row["label"], row["n_generated"], row["tstr"]) == ("b", 0, 0)
    assert {row[key] for key in ("kernel_distance", "trts", "novelty", "near_copies")} == {None}


def test_a_class_that_has_no_test_images_is_said(parts):
    train, (X, y), new = parts
    with pytest.warns(UserWarning, match=r"no real test images of the classes \['a'\]"):
        row = measure((train, (X[y != "a"], y[y != "a"]), new))[0]
    assert (row["n_real"], row["tstr"], row["novelty"]) == (0, None, None)
    assert row["near_copies"] is not None


def test_without_labels_there_are_no_classes(parts):
    assert measure(parts, y_generated=None) is None


def test_without_training_images_there_is_no_novelty(parts):
    rows = measure(parts, X_train=None)
    assert {(row["novelty"], row["near_copies"]) for row in rows} == {(None, None)}
