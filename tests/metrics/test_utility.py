"""What a classifier learns from generated images, and ordinary augmentation."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB

from latentgen.metrics import (
    shift_and_rotate,
    trtr_score,
    trts_score,
    tstr_score,
    utility_of_added_images,
)

CHEAP = GaussianNB(var_smoothing=0.05)
SCORES = [tstr_score, trts_score, trtr_score]


class Recorder(ClassifierMixin, BaseEstimator):
    """Keeps what it was trained on."""

    seen = []

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.seen.append((np.array(X), np.array(y)))
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


@pytest.fixture
def seen():
    Recorder.seen.clear()
    return Recorder.seen


@pytest.fixture(scope="module")
def parts(digits):
    X, y = digits
    return X[:100], y[:100], 1 - X[100:], y[100:]


# trts_score and trtr_score


def test_trts_trains_on_real_and_tests_on_generated(parts):
    X, y, X_new, y_new = parts
    expected = CHEAP.fit(X.reshape(100, -1), y).score(X_new.reshape(100, -1), y_new)
    assert trts_score(*parts, classifier=CHEAP) == pytest.approx(expected)
    assert expected != pytest.approx(tstr_score(*parts, classifier=CHEAP))


def test_trtr_is_tstr_with_real_images(parts):
    assert trtr_score(*parts, classifier=CHEAP) == tstr_score(*parts, classifier=CHEAP)


@pytest.mark.parametrize("score", SCORES)
def test_random_state_seeds_the_classifier(score, parts):
    forest = RandomForestClassifier(n_estimators=3)
    first, again, other = (
        score(*parts, classifier=forest, random_state=seed) for seed in (0, 0, 5)
    )
    assert first == again != other


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("size, most", [(230, 3), (40, 1)])
def test_images_are_repeated_equally_often_up_to_one(score, size, most, digits, seen):
    X, y = digits
    score(X[:100], y[:100], X[100:], y[100:], classifier=Recorder(), images_per_epoch=size)
    rows, labels = seen[0]
    counts = np.unique(rows, axis=0, return_counts=True)[1]
    assert len(rows) == len(labels) == size and set(counts) <= {most, most - 1}


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    "change, message",
    [({1: [0, 1]}, "inconsistent numbers"), ({2: np.zeros((100, 9))}, "images of one size")],
)
def test_what_does_not_fit_together_is_refused(score, change, message, parts):
    arguments = [change.get(place, part) for place, part in enumerate(parts)]
    with pytest.raises(ValueError, match=message):
        score(*arguments, classifier=CHEAP)


@pytest.mark.parametrize("score", SCORES)
def test_labels_of_other_classes_are_refused(score, parts):
    X, y, *others = parts
    with pytest.raises(ValueError, match=r"labels of the same classes in 'y_\w+' and 'y_"):
        score(X, y.astype(str), *others, classifier=CHEAP)


# utility_of_added_images


def test_every_training_sees_as_many_images_of_its_kind(digits, seen):
    X, y = digits
    added = X[:30], y[:30], np.ones_like(X[:50]), y[:50]
    utility_of_added_images(
        *(X[100:], y[100:], *added),
        images_per_epoch=120,
        classifier=Recorder(),
        augment=lambda X, random_state: X / 2,
    )
    assert [len(rows) for rows, _ in seen] == [120] * 5
    # Generated ones are white, and halved where they are augmented.
    generated = [np.isin(rows.mean(axis=1), (1, 0.5)).sum() for rows, _ in seen]
    assert generated == [0, 0, 120, 60, 60]
    brightest = [rows.max() for rows, _ in seen]
    assert_allclose(brightest, [1, 0.5, 1, 1, 0.5])


def test_rows_keep_their_labels(digits, seen):
    X, y = digits
    utility_of_added_images(
        *(X[100:], y[100:], X[:50], y[:50], X[50:100], y[50:100]),
        images_per_epoch=150,
        classifier=Recorder(),
        trainings=["real_generated"],
    )
    label_of = {
        row.tobytes(): label for row, label in zip(X[:100].reshape(100, -1), y, strict=False)
    }
    rows, labels = seen[0]
    assert_array_equal([label_of[row.tobytes()] for row in rows], labels)


def test_result_says_what_was_compared(parts, digits):
    X, y = digits
    options = {"images_per_epoch": 90, "classifier": CHEAP, "trainings": ("generated",)}
    result = utility_of_added_images(X[:20], y[:20], *parts, **options)
    expected = tstr_score(X[:20], y[:20], *parts[2:], classifier=CHEAP, images_per_epoch=90)
    assert result.pop("generated") == pytest.approx(expected, abs=0.11)
    assert result == {
        "n_real": 100,
        "n_generated": 100,
        "n_test": 20,
        "images_per_epoch": 90,
        "classifier": "GaussianNB(var_smoothing=0.05)",
    }


def test_default_network_follows_the_seed(digits):
    X, y = digits
    parts = X[120:], y[120:], X[:60], y[:60], X[60:120], y[60:120]
    options = {"images_per_epoch": 320, "trainings": ["real_augmented"]}
    results = [utility_of_added_images(*parts, **options, random_state=seed) for seed in (0, 0, 1)]
    first, again, other = (result["real_augmented"] for result in results)
    assert first == again != other


@pytest.mark.parametrize("changed", [3, 5])
def test_added_images_of_other_classes_are_refused(changed, parts):
    arguments = [*parts[:2], *parts, *parts[2:]][:6]
    arguments[changed] = arguments[changed].astype(str)
    with pytest.raises(ValueError, match="labels of the same classes in 'y_test' and 'y_"):
        utility_of_added_images(*arguments)


def test_unknown_training_is_refused(parts):
    with pytest.raises(ValueError, match=r"among 'real', 'real_augmented'.*got 'fake'"):
        utility_of_added_images(*parts[:2], *parts, trainings=["fake"])


# shift_and_rotate

STILL = {"max_shift": 0, "max_rotation": 0}


@pytest.mark.parametrize("as_bytes", [False, True])
@pytest.mark.parametrize("shape", [(200, 1, 8, 8), (200, 8, 8), (200, 64)])
def test_images_keep_layout_and_dtype(as_bytes, shape, digits):
    X = digits[0].reshape(shape)
    X = np.rint(X * 255).astype(np.uint8) if as_bytes else X
    X_new = shift_and_rotate(X)
    assert X_new.shape == X.shape and X_new.dtype == X.dtype and np.any(X_new != X)
    assert_allclose(shift_and_rotate(X, **STILL), X, atol=1e-5)


def test_flips_mirror_about_half_of_the_images(digits):
    X = digits[0]
    X_new = shift_and_rotate(X, **STILL, flip=True)
    mirrored = np.abs(X_new - X[..., ::-1]).max(axis=(1, 2, 3)) < 1e-5
    kept = np.abs(X_new - X).max(axis=(1, 2, 3)) < 1e-5
    assert np.all(mirrored | kept) and 0.35 < mirrored.mean() < 0.65


def dots(image_shape, position, n=300):
    """Images of one bright spot."""
    X = np.zeros((n, *image_shape), dtype=np.float32)
    X[(slice(None), 0, *position)] = 1
    return ndimage.gaussian_filter(X, (0, 0, 1.5, 1.5))


def centers(X):
    return np.array([ndimage.center_of_mass(image[0]) for image in X])


def test_shifts_fill_their_range_on_both_axes():
    X = dots((1, 40, 60), (20, 30))
    moved = centers(shift_and_rotate(X, max_shift=0.1, max_rotation=0)) - centers(X)
    limits = np.array([4, 6])
    assert np.all(np.abs(moved) <= limits + 0.05)
    assert np.all(moved.max(axis=0) > 0.9 * limits) and np.all(moved.min(axis=0) < -0.9 * limits)


def test_rotations_keep_the_distance_from_the_center_of_images_that_are_not_square():
    X = dots((1, 40, 60), (20, 42))
    arms = centers(shift_and_rotate(X, max_shift=0, max_rotation=30)) - (19.5, 29.5)
    assert_allclose(np.hypot(*arms.T), np.hypot(0.5, 12.5), atol=0.1)
    angles = np.rad2deg(np.arctan2(arms[:, 0], arms[:, 1]) - np.arctan2(0.5, 12.5))
    assert -30.5 < angles.min() < -27 and 27 < angles.max() < 30.5


def test_augmentation_follows_its_seed_and_the_shape_of_flat_images(digits):
    X = digits[0][:5].reshape(5, -1)
    first, again, other = (shift_and_rotate(X, random_state=seed) for seed in (0, 0, 1))
    assert_array_equal(first, again)
    assert np.any(first != other)
    assert np.any(shift_and_rotate(X, image_shape=(1, 4, 16)) != first)


@pytest.mark.parametrize("option", [{"max_shift": 2}, {"max_rotation": -1}])
def test_parameters_out_of_range_are_refused(option, digits):
    with pytest.raises(ValueError, match=next(iter(option))):
        shift_and_rotate(digits[0], **option)
