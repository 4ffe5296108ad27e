"""ClassifierFeatures, and the ways to name what images are compared in."""

# SPDX-License-Identifier: BSD-3-Clause

import copy
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from latentgen.metrics import ClassifierFeatures
from latentgen.metrics._features import (
    describe_extractor,
    extract_features,
    find_rows,
    in_form_of,
)


@pytest.fixture(scope="module")
def all_digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32).reshape(-1, 1, 8, 8), y


@pytest.fixture(scope="module")
def fitted(all_digits):
    X, y = all_digits
    return ClassifierFeatures().fit(X[:1200], y[:1200])


@pytest.mark.filterwarnings("ignore:Float pixels", "ignore:X has")
@parametrize_with_checks([ClassifierFeatures(max_epochs=1)])
def test_classifier_features_pass_the_common_checks(estimator, check):
    check(estimator)


def test_the_classifier_learns_the_digits(fitted, all_digits):
    X, y = all_digits
    assert fitted.score(X[1200:], y[1200:]) > 0.95


def test_features_separate_classes_better_than_pixels(fitted, all_digits):
    X, y = all_digits[0][1200:], all_digits[1][1200:]

    def between_fraction(Z):
        means = np.array([Z[y == label].mean(axis=0) for label in range(10)])
        return means[y].var(axis=0).sum() / Z.var(axis=0).sum()

    assert between_fraction(fitted.transform(X)) > 1.5 * between_fraction(X.reshape(len(X), -1))


def test_features_have_shape_and_dtype(fitted, all_digits):
    Z = fitted.transform(all_digits[0][:7])
    assert Z.shape == (7, 128) and Z.dtype == np.float32
    assert len(fitted.get_feature_names_out()) == 128


def test_layouts_and_dtypes_give_the_same_features(fitted, all_digits):
    X = np.rint(all_digits[0][:9] * 255).astype(np.uint8)
    expected = fitted.transform(X)
    assert_allclose(fitted.transform(X[:, 0]), expected, rtol=1e-6)
    assert_allclose(fitted.transform(X.reshape(9, -1) / np.float32(255)), expected, rtol=1e-5)


def test_features_do_not_depend_on_the_other_rows(fitted, all_digits):
    X = all_digits[0][:600]
    assert_allclose(fitted.transform(X)[550:], fitted.transform(X[550:]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 37), (3, 33, 31), (1, 28, 20), (1, 1, 1), (1, 70, 70)])
def test_any_image_size(shape):
    X = np.random.default_rng(0).random((6, *shape), dtype=np.float32)
    extractor = ClassifierFeatures(max_epochs=1).fit(X, [0, 1] * 3)
    assert extractor.transform(X).shape == (6, 128)
    assert extractor.image_shape_ == shape


def test_same_seed_same_features_and_other_seed_others(all_digits):
    X, y = all_digits[0][:100], all_digits[1][:100]
    first, again, other = (
        ClassifierFeatures(max_epochs=1, random_state=seed).fit(X, y).transform(X)
        for seed in (0, 0, 1)
    )
    assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_fit_leaves_the_global_random_states_alone(all_digits):
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    copy.deepcopy(ClassifierFeatures(max_epochs=1).fit(all_digits[0][:50], all_digits[1][:50]))
    assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize(
    "params",
    [
        {"max_epochs": 2},
        {"batch_size": 20},
        {"lr": 0.02},
        {"ema_decay": 0.9},
        {"grad_clip": 0.01},
        {"net_params": {"optimizer__weight_decay": 10.0}},
    ],
)
def test_each_parameter_of_training_counts(all_digits, params):
    X, y = all_digits[0][:100], all_digits[1][:100]
    base, changed = (
        ClassifierFeatures(**{"max_epochs": 1, "batch_size": 32, **extra}).fit(X, y).transform(X)
        for extra in ({}, params)
    )
    assert not np.allclose(base, changed)


def test_recipe_is_adamw_with_a_cycled_momentum(fitted):
    assert isinstance(fitted.net_.optimizer_, torch.optim.AdamW)
    # One cycle ends with the largest momentum.
    assert fitted.net_.optimizer_.param_groups[0]["betas"][0] == pytest.approx(0.95, abs=1e-3)


def test_max_seconds_ends_the_training(all_digits):
    X, y = all_digits[0][:200], all_digits[1][:200]
    extractor = ClassifierFeatures(max_seconds=1e-6).fit(X, y)
    # One step is taken, however little time there is.
    assert extractor.n_iter_ == 1 and len(extractor.net_.history[-1, "batches"]) == 1


def test_history_has_a_row_for_each_epoch(fitted):
    assert fitted.n_iter_ == len(fitted.history_) == 8
    assert fitted.history_[-1]["train_loss"] < 0.5 * fitted.history_[0]["train_loss"]


def test_interrupted_fit_goes_on_from_its_checkpoint(all_digits, tmp_path, monkeypatch):
    X, y = all_digits[0][:128], all_digits[1][:128]
    expected = ClassifierFeatures(max_epochs=2).fit(X, y)
    module, n_steps = type(expected.net_.module_), []
    loss = module.loss

    def counted(self, *args, **kwargs):
        n_steps.append(1)
        if len(n_steps) == 4:
            raise RuntimeError("no power")
        return loss(self, *args, **kwargs)

    monkeypatch.setattr(module, "loss", counted)
    extractor = ClassifierFeatures(max_epochs=2, checkpoint=tmp_path / "training.pt")
    with pytest.raises(RuntimeError, match="no power"):
        extractor.fit(X, y)
    # The file knows the first of two epochs of 2 steps each.
    assert_array_equal(extractor.fit(X, y).transform(X), expected.transform(X))
    assert len(n_steps) == 4 + 2


def test_image_shape_is_used_for_flat_images():
    X = np.random.default_rng(0).random((6, 12))
    extractor = ClassifierFeatures(image_shape=(3, 2, 2), max_epochs=1).fit(X, [0, 1] * 3)
    assert extractor.image_shape_ == (3, 2, 2)


def test_device_is_recorded_and_checked(all_digits):
    X, y = all_digits[0][:20], all_digits[1][:20]
    assert ClassifierFeatures(max_epochs=1, device="cpu").fit(X, y).device_ == "cpu"
    with pytest.raises(ValueError, match="'device'='nowhere' is not a torch device"):
        ClassifierFeatures(device="nowhere").fit(X, y)


def test_fitted_on_says_what_and_changes_with_the_data(all_digits):
    X, y = all_digits[0][:100], all_digits[1][:100]
    texts = [
        ClassifierFeatures(max_epochs=1).fit(*data).fitted_on_
        for data in ((X, y), (X, y), (X[::-1], y), (X, y[::-1]))
    ]
    assert texts[0].startswith("100 images of shape (1, 8, 8), 10 classes, sha256 ")
    assert texts[0] == texts[1] and len(set(texts)) == 3


def test_pickling_keeps_the_features(fitted, all_digits):
    X = all_digits[0][:20]
    opened = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(opened.transform(X), fitted.transform(X))


def test_memory_mapped_bytes_are_read(tmp_path, all_digits):
    X = np.rint(all_digits[0][:60] * 255).astype(np.uint8)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    extractor = ClassifierFeatures(max_epochs=1)
    expected = extractor.fit(X, all_digits[1][:60]).transform(X)
    assert_array_equal(extractor.fit(mapped, all_digits[1][:60]).transform(mapped), expected)


def test_labels_may_be_strings(all_digits):
    X, y = all_digits[0][:60], np.where(all_digits[1][:60] > 4, "high", "low")
    assert set(ClassifierFeatures(max_epochs=1).fit(X, y).predict(X)) <= {"high", "low"}


def test_probabilities_are_those_of_the_classes(fitted, all_digits):
    X = all_digits[0][:60]
    probabilities = fitted.predict_proba(X)
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert_array_equal(fitted.classes_[probabilities.argmax(axis=1)], fitted.predict(X))


def test_failed_fit_leaves_the_old_classifier(all_digits):
    X, y = all_digits[0][:60], all_digits[1][:60]
    extractor = ClassifierFeatures(max_epochs=1).fit(X, y)
    expected = extractor.transform(X)
    with pytest.raises(ValueError, match="Training diverged"):
        extractor.set_params(lr=1e30, max_epochs=4).fit(X[:, :, :4], y > 4)
    assert_array_equal(extractor.transform(X), expected)
    assert len(extractor.classes_) == 10


def test_another_image_shape_is_rejected(fitted):
    with pytest.raises(ValueError, match=r"Expected images of shape \(1, 8, 8\) as seen in fit"):
        fitted.transform(np.zeros((2, 1, 4, 16)))


def half(X):
    return X.reshape(len(X), -1)[:, : X[0].size // 2]


def test_pixels_of_any_dtype_are_compared():
    X = np.full((3, 1, 2, 2), 51, dtype=np.uint8)
    assert_allclose(extract_features("pixels", X), np.full((3, 4), 0.2))


def test_a_callable_sees_the_layout_and_a_transformer_fitted_on_rows_rows(all_digits):
    X = all_digits[0][:30]
    seen = []
    extract_features(lambda images: seen.append(images.shape) or half(images), X)
    assert seen == [(30, 1, 8, 8)]
    pca = PCA(3).fit(X.reshape(30, -1))
    assert_allclose(extract_features(pca, X), pca.transform(X.reshape(30, -1)), rtol=1e-5)


class Strict(TransformerMixin, BaseEstimator):
    """Features that take images of one layout and dtype only."""

    def fit(self, X, y=None):
        self.seen_ = (X.shape[1:], X.dtype)
        return self

    def transform(self, X):
        assert (X.shape[1:], X.dtype) == self.seen_
        return X.reshape(len(X), -1).astype(np.float32)


@pytest.mark.parametrize("layout", [(64,), (8, 8), (1, 8, 8)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_a_transformer_of_ones_own_gets_images_as_they_came(layout, dtype, all_digits):
    X = (255 * all_digits[0][:20]).astype(dtype).reshape(20, *layout)
    Z = extract_features(Strict().fit(X), X)
    assert_array_equal(Z, X.reshape(20, -1))


def test_features_are_taken_block_by_block(monkeypatch, all_digits):
    monkeypatch.setattr("latentgen.metrics._features._BLOCK_VALUES", 64 * 7)
    sizes = []
    Z = extract_features(lambda X: sizes.append(len(X)) or half(X), all_digits[0][:30])
    assert sizes == [7, 7, 7, 7, 2] and Z.shape == (30, 32)


def test_descriptions_name_what_is_used(fitted):
    assert describe_extractor("pixels") == "pixels in [0, 1]"
    assert describe_extractor(half).endswith("test_features.half")
    assert describe_extractor(PCA(3)) == "PCA(n_components=3)"
    assert describe_extractor(fitted).startswith("ClassifierFeatures fitted on 1200 images")


def test_equal_rows_are_found_in_every_layout_and_dtype():
    X = np.random.default_rng(0).integers(0, 256, (6, 1, 3, 3)).astype(np.uint8)
    floats = (X[[4, 0, 4]] / 255).reshape(3, 9)
    unknown = floats[:1] + 1e-3
    first, own = find_rows(np.concatenate([X, X[:2]]), np.concatenate([floats, unknown]))
    assert (first.tolist(), own.tolist()) == ([0, 1, 2, 3, 4, 5], [4, 0, 4, -1])
    assert find_rows(floats.astype(np.float32), X)[1].tolist() == [1, -1, -1, -1, 0, -1]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_images_come_in_the_form_of_others(dtype):
    X = np.random.default_rng(0).integers(0, 256, (6, 1, 3, 3)).astype(np.uint8)
    like = np.zeros((2, 9), dtype=dtype)
    for given in (X, X / 255):
        formed = in_form_of(given, like)
        assert formed.shape == (6, 9) and (formed.dtype == np.uint8) == (dtype == np.uint8)
        assert_allclose(formed / (255 if dtype == np.uint8 else 1), X.reshape(6, 9) / 255)


def test_extractors_that_cannot_be_used_are_rejected(all_digits):
    X = all_digits[0][:5]
    with pytest.raises(
        NotFittedError, match="must be fitted before it judges, got an unfitted PCA"
    ):
        extract_features(PCA(), X)
    with pytest.raises(
        TypeError, match="must be a fitted transformer, a callable or 'pixels', got 3"
    ):
        extract_features(3, X)
    with pytest.raises(ValueError, match=r"one row per image, got features of shape \(5,\)"):
        extract_features(lambda X: X.sum(axis=(1, 2, 3)), X)


# ------------------------------------------------------------------ networks of other packages


def test_network_of_the_user_guide_is_called_as_it_wants(monkeypatch):
    guide = Path(__file__).parents[2] / "docs" / "user_guide" / "quality.md"
    code = next(part for part in guide.read_text().split("```") if "import timm" in part)
    seen = []

    class Network(torch.nn.Module):
        def forward(self, x):
            seen.append((*x.shape, self.training))
            return x.mean((2, 3)).repeat(1, 128)

    stub = SimpleNamespace(create_model=lambda name, **options: Network())
    monkeypatch.setitem(sys.modules, "timm", stub)
    rng = np.random.default_rng(0)
    names = {
        "X_test": rng.random((65, 1, 8, 8), dtype=np.float32),
        "X_new": rng.integers(0, 256, (70, 3, 8, 8), dtype=np.uint8),
        "generation_report": lambda X, X_new, feature_extractor: [
            extract_features(feature_extractor, images) for images in (X, X_new)
        ],
    }
    exec(code.removeprefix("python"), names)
    assert [Z.shape for Z in names["report"]] == [(65, 384), (70, 384)]
    assert seen[:2] == [(64, 3, 224, 224, False), (1, 3, 224, 224, False)]
    # ImageNet's mean of the first color, in its standard deviations.
    x = np.full((1, 1, 8, 8), 0.5, dtype=np.float32)
    assert names["dino_features"](x)[0, 0] == pytest.approx((0.5 - 0.485) / 0.229, abs=1e-3)
