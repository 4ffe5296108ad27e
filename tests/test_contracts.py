"""The contracts of latentgen, for every autoencoder, sampler and pipeline in the list."""

# SPDX-License-Identifier: BSD-3-Clause

import copy
import pickle
import random
import tracemalloc
import warnings

import joblib
import numpy as np
import pytest
import torch
from _estimators import AUTOENCODERS, CLUSTER_MEANS, ESTIMATORS, NEWCOMERS, PIPELINES, SAMPLERS
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.utils import get_tags

from latentgen import (
    ConditionalSampler,
    DiffusionSampler,
    GaussianSampler,
    LatentGenerativePipeline,
    load_model,
    save_model,
)
from latentgen.exceptions import NearCopyWarning
from latentgen.samplers import PriorSampler
from latentgen.training._net import TrainingNet

LAYOUTS = {"flat": (64,), "gray": (8, 8), "channels": (1, 8, 8)}
DTYPES = ["uint8", "float32", "float64"]
# White of those dtypes that are read in their own way.
OTHER_DTYPES = {"bool": 1, "uint16": 65535, "int64": 255, "float16": 1}


def name_of(estimator):
    """The constructor call on one line, for the names of the tests."""
    return "".join(repr(estimator).split())[:90]


def as_images(digits, layout="channels", dtype="float32"):
    """The digits in another layout and dtype, read-only."""
    X = digits[0]
    X = np.rint(X * 255).astype(dtype) if dtype == "uint8" else X.astype(dtype)
    X = X.reshape(len(X), *LAYOUTS[layout])
    X.setflags(write=False)
    return X


def random_states():
    return np.random.get_state()[1:], torch.get_rng_state().tolist(), random.getstate()  # noqa: NPY002


def assert_same_states(before, after):
    assert_array_equal(before[0][0], after[0][0])
    assert before[0][1:] == after[0][1:] and before[1:] == after[1:]


@pytest.fixture(scope="module", params=AUTOENCODERS, ids=name_of)
def autoencoder(request, digits):
    return clone(request.param).fit(digits[0])


@pytest.fixture(scope="module", params=SAMPLERS, ids=name_of)
def sampler(request, codes):
    return clone(request.param).fit(*codes)


@pytest.fixture(scope="module", params=PIPELINES, ids=name_of)
def pipeline(request, digits):
    return clone(request.param).fit(*digits)


@pytest.fixture(scope="module", params=SAMPLERS + PIPELINES, ids=name_of)
def generator(request, codes, digits):
    """Everything that can be sampled, fitted."""
    return clone(request.param).fit(*(digits if request.param in PIPELINES else codes))


def by_pickle(model, path):
    return pickle.loads(pickle.dumps(model))


def by_deepcopy(model, path):
    return copy.deepcopy(model)


def by_file(model, path):
    save_model(model, path / "model.latentgen")
    return load_model(path / "model.latentgen", trusted=NEWCOMERS)


def with_known(estimator, **parameters):
    """A clone with those of the parameters that it has."""
    known = estimator.get_params()
    return clone(estimator).set_params(**{k: v for k, v in parameters.items() if k in known})


all_autoencoders = pytest.mark.parametrize("unfitted", AUTOENCODERS, ids=name_of)
all_samplers = pytest.mark.parametrize("unfitted", SAMPLERS, ids=name_of)
all_pipelines = pytest.mark.parametrize("unfitted", PIPELINES, ids=name_of)
all_estimators = pytest.mark.parametrize("unfitted", ESTIMATORS, ids=name_of)
all_layouts = pytest.mark.parametrize("layout", LAYOUTS)
all_dtypes = pytest.mark.parametrize("dtype", DTYPES)


# ------------------------------------------------------------------ images in, images out


def assert_same_kind_of_images(X_new, X, n):
    assert X_new.shape == (n, *X.shape[1:]) and X_new.dtype == X.dtype
    assert X_new.min() >= 0 and X_new.max() <= (255 if X.dtype == np.uint8 else 1)
    # Bytes that were taken for unit floats would all be 0 or 1.
    assert np.median(np.ptp(X_new.reshape(n, -1).astype(float), axis=1)) > 0.1 * np.ptp(X)


@all_dtypes
@all_layouts
@all_autoencoders
def test_autoencoder_gives_images_as_they_came(unfitted, layout, dtype, digits):
    X = as_images(digits, layout, dtype)
    model = with_known(unfitted, max_epochs=3, lr=0.02).fit(X)
    Z = model.transform(X)
    assert_same_kind_of_images(model.inverse_transform(Z[:7]), X, 7)
    assert_same_kind_of_images(model.reconstruct(X[:7]), X, 7)


@pytest.mark.parametrize(("dtype", "white"), OTHER_DTYPES.items())
@pytest.mark.parametrize("unfitted", [AUTOENCODERS[0], AUTOENCODERS[-1]], ids=name_of)
def test_other_dtypes_mean_what_they_say_and_come_back(unfitted, dtype, white, digits):
    X = np.rint(digits[0] * white) if white > 1 else digits[0] > 0.5
    model, reference = (clone(unfitted).fit(images) for images in (X.astype(dtype), X / white))
    Z = reference.transform(X / white)
    assert_allclose(model.transform(X.astype(dtype)), Z, rtol=1e-3, atol=1e-4)
    decoded = model.inverse_transform(Z)
    assert decoded.dtype == dtype
    error = np.abs(decoded.astype(float) / white - reference.inverse_transform(Z))
    assert np.median(error) < (0.5 if dtype == "bool" else 2 / 255)


@all_dtypes
@all_layouts
@all_pipelines
def test_pipeline_gives_images_as_they_came(unfitted, layout, dtype, digits):
    X = as_images(digits, layout, dtype)
    model = clone(unfitted).set_params(autoencoder__max_epochs=3, autoencoder__lr=0.02)
    model.fit(X, digits[1])
    assert_same_kind_of_images(model.sample(7, random_state=0), X, 7)
    assert_same_kind_of_images(model.reconstruct(X[:7]), X, 7)


@pytest.mark.parametrize("shape", [(28, 20), (1, 37), (3, 33, 31), (2, 5, 9)])
@pytest.mark.parametrize("unfitted", AUTOENCODERS + PIPELINES, ids=name_of)
def test_images_of_any_size_come_back(unfitted, shape):
    X = np.random.RandomState(0).randint(256, size=(30, *shape)).astype(np.uint8)
    model = clone(unfitted).fit(X, np.arange(30) % 3)
    assert model.reconstruct(X).shape == X.shape
    assert model.image_shape_ == (shape if len(shape) == 3 else (1, *shape))


@all_layouts
def test_autoencoder_encodes_every_layout_alike(autoencoder, layout, digits):
    assert_array_equal(
        autoencoder.transform(as_images(digits, layout)), autoencoder.transform(digits[0])
    )


@all_dtypes
def test_codes_are_finite_float32_of_two_dimensions(autoencoder, dtype, digits):
    Z = autoencoder.transform(as_images(digits, dtype=dtype))
    assert Z.dtype == np.float32 and Z.shape == (200, autoencoder.latent_dim_)
    assert np.isfinite(Z).all()


def test_autoencoder_knows_its_images(autoencoder):
    assert autoencoder.image_shape_ == (1, 8, 8) and autoencoder.n_features_in_ == 64


STORED = {
    "floats": ("float32", "C", None),
    "channels last": ("uint8", "C", (0, 3, 1, 2)),
    "Fortran order": ("uint8", "F", None),
    "half floats": ("float16", "C", None),
    "big-endian": (">f4", "C", None),
}


def memory_mapped(path, n, kind):
    dtype, order, axes = STORED[kind]
    X = np.random.RandomState(0).randint(2, size=(n, 32, 16, 2)).astype(dtype)
    np.save(path, np.asarray(255 * X if dtype == "uint8" else X, order=order))
    mapped = np.load(path, mmap_mode="r")
    assert mapped.dtype == dtype and mapped.flags[f"{order}_CONTIGUOUS"]
    return mapped.transpose(axes or (0, 1, 2, 3))


def peak_of_fit_and_transform(model, X):
    model.fit(X[:50])  # Imports and caches come before the measurement.
    tracemalloc.start()
    model.fit(X)
    model.transform(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("kind", ["floats", "channels last"])
@pytest.mark.parametrize("unfitted", AUTOENCODERS + PIPELINES[:1], ids=name_of)
def test_memory_mapped_images_are_never_copied_whole(unfitted, kind, tmp_path):
    X = memory_mapped(tmp_path / "images.npy", 3000, kind)
    model = with_known(unfitted, batch_size=256)
    if unfitted in PIPELINES:
        model = model[:-1]  # The sampler sees codes and no images.
    # A batch of inference has 512 images, and is held more than once.
    assert peak_of_fit_and_transform(model, X) < 0.7 * X.nbytes + 3e5


@pytest.mark.parametrize("kind", ["Fortran order", "half floats", "big-endian"])
def test_however_images_are_stored_they_are_never_copied_whole(kind, tmp_path):
    X = memory_mapped(tmp_path / "images.npy", 8000, kind)
    model = with_known(AUTOENCODERS[0], batch_size=512)
    assert peak_of_fit_and_transform(model, X) < 0.7 * X.nbytes


# ------------------------------------------------------------------ samples


@pytest.mark.parametrize("n_samples", [1, 2, 1000])
def test_sample_is_one_array_of_the_size_asked_for(generator, n_samples):
    X_new = generator.sample(n_samples)
    assert type(X_new) is np.ndarray and len(X_new) == n_samples
    assert X_new.dtype == np.float32 and np.isfinite(X_new).all()


def test_sample_draws_one_by_default(generator):
    assert len(generator.sample()) == 1


def test_sampler_draws_many(sampler):
    assert sampler.sample(100_001, random_state=0).shape == (100_001, 3)


def test_same_random_state_same_bytes(generator):
    first = generator.sample(20, random_state=3)
    assert_array_equal(generator.sample(20, random_state=3), first)
    assert not np.allclose(generator.sample(20, random_state=4), first)


def test_random_state_may_be_a_generator_that_moves_on(generator):
    rng = np.random.RandomState(3)
    first, second = generator.sample(20, random_state=rng), generator.sample(20, random_state=rng)
    assert_array_equal(first, generator.sample(20, random_state=np.random.RandomState(3)))
    assert not np.allclose(first, second)


def test_calls_without_random_state_differ(generator):
    assert not np.allclose(generator.sample(20), generator.sample(20))


def test_sample_does_not_change_the_fitted_object(generator):
    before = joblib.hash(generator)
    generator.sample(20)
    generator.sample(5, random_state=0)
    assert joblib.hash(generator) == before


@pytest.mark.parametrize("part", [slice(300), slice(-300, None), slice(None, None, 10)])
def test_any_slice_of_a_draw_is_fair(sampler, part):
    def clusters(X_new):
        return np.argmin(((X_new[:, None] - CLUSTER_MEANS) ** 2).sum(axis=2), axis=1)

    X_new = sampler.sample(3000, random_state=0)[part]
    X_many = sampler.sample(30_000, random_state=1)
    error = X_new.std(axis=0) * np.sqrt(1 / 300 + 1 / 30_000)
    assert np.all(np.abs(X_new.mean(axis=0) - X_many.mean(axis=0)) < 5 * error)
    frequent = np.bincount(clusters(X_many), minlength=3) > 1500
    assert np.all(np.bincount(clusters(X_new), minlength=3)[frequent] > 0)


@pytest.mark.parametrize(
    "n_samples, error, message",
    [
        (0, ValueError, r"n_samples == 0, must be >= 1"),
        (-3, ValueError, r"n_samples == -3, must be >= 1"),
        (2.5, TypeError, r"n_samples must be an instance of int, not float"),
        ("7", TypeError, r"n_samples must be an instance of int, not str"),
    ],
)
def test_a_bad_number_of_samples_is_refused(generator, n_samples, error, message):
    with pytest.raises(error, match=message):
        generator.sample(n_samples)


def test_labels_without_classes_are_refused(sampler):
    if hasattr(sampler, "classes_"):
        pytest.skip("has classes")
    name = type(sampler).__name__
    message = rf"{name} has no classes, got y='a'. Wrap it: ConditionalSampler\({name}\(\)\)"
    with pytest.raises(ValueError, match=message):
        sampler.sample(2, y="a")


def test_training_data_is_not_kept_alive_through_the_caller(sampler, codes):
    Z = np.array(codes[0])
    model = clone(sampler).fit(Z, codes[1])
    before = model.sample(50, random_state=0)
    Z += 100
    assert_array_equal(model.sample(50, random_state=0), before)


# ------------------------------------------------------------------ randomness


@all_estimators
def test_global_random_states_are_left_alone(unfitted, digits, codes):
    model = clone(unfitted)
    X, y = codes if unfitted in SAMPLERS else digits
    before = random_states()
    model.fit(X, y)
    if hasattr(model, "partial_fit"):
        model.partial_fit(X, y)
    if hasattr(model, "sample"):
        model.sample(5, random_state=0)
    if hasattr(model, "transform"):
        model.transform(X)
    assert_same_states(before, random_states())


@all_estimators
def test_torch_is_left_alone_without_a_seed_too(unfitted, digits, codes):
    model = clone(unfitted)
    unseeded = {name: None for name in model.get_params() if name.endswith("random_state")}
    before = torch.get_rng_state()
    model.set_params(**unseeded).fit(*(codes if unfitted in SAMPLERS else digits))
    if hasattr(model, "sample"):
        model.sample(5)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("unfitted", [AUTOENCODERS[0], SAMPLERS[2], PIPELINES[0]], ids=name_of)
def test_without_a_seed_numpys_global_generator_decides_as_in_scikit_learn(unfitted, digits, codes):
    data = codes if unfitted in SAMPLERS else digits

    def results():
        model = clone(unfitted)
        model.set_params(**{n: None for n in model.get_params() if n.endswith("random_state")})
        model.fit(*data)
        return model.sample(5) if hasattr(model, "sample") else model.transform(data[0])

    before = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(0)  # noqa: NPY002
        first, second = results(), results()
        np.random.seed(0)  # noqa: NPY002
        assert_array_equal(results(), first)
        assert not np.allclose(first, second)
    finally:
        np.random.set_state(before)  # noqa: NPY002


@pytest.mark.parametrize("way", [by_pickle, by_deepcopy, by_file])
@all_estimators
def test_copying_leaves_the_global_random_states_alone(unfitted, way, digits, codes, tmp_path):
    model = clone(unfitted).fit(*(codes if unfitted in SAMPLERS else digits))
    before = random_states()
    way(model, tmp_path)
    assert_same_states(before, random_states())


@all_autoencoders
def test_same_seed_same_codes(unfitted, digits):
    X, _ = digits
    torch.manual_seed(1)
    first = clone(unfitted).fit(X).transform(X)
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    assert_array_equal(clone(unfitted).fit(X).transform(X), first)


@pytest.mark.parametrize("unfitted", SAMPLERS + PIPELINES, ids=name_of)
def test_same_seed_same_samples_after_another_fit(unfitted, digits, codes):
    data = codes if unfitted in SAMPLERS else digits
    first, second = (clone(unfitted).fit(*data).sample(20, random_state=0) for _ in range(2))
    assert_array_equal(first, second)


# ------------------------------------------------------------------ copies


def output(model, X):
    """What shows whether two fitted models are the same."""
    return model.sample(10, random_state=0) if hasattr(model, "sample") else model.transform(X)


@pytest.mark.parametrize("way", [by_pickle, by_deepcopy, by_file])
@all_estimators
def test_copies_of_a_fitted_model_do_the_same(unfitted, way, digits, codes, tmp_path):
    X, y = codes if unfitted in SAMPLERS else digits
    model = clone(unfitted).fit(X, y)
    twin = way(model, tmp_path)
    assert twin is not model and type(twin) is type(model)
    assert_array_equal(output(twin, X), output(model, X))
    assert repr(twin) == repr(model)


def assert_not_fitted(model, X):
    """What learns nothing needs no fit, and says so."""
    if get_tags(model).requires_fit:
        with pytest.raises(NotFittedError):
            output(model, X)


@all_estimators
def test_copies_of_an_unfitted_model_can_be_fitted(unfitted, digits, codes, tmp_path):
    data = codes if unfitted in SAMPLERS else digits
    for way in (by_pickle, by_deepcopy, by_file):
        twin = way(clone(unfitted), tmp_path)
        assert_not_fitted(twin, data[0])
        twin.fit(*data)


@all_estimators
def test_clone_takes_the_parameters_and_nothing_else(unfitted, digits, codes):
    model = clone(unfitted).fit(*(codes if unfitted in SAMPLERS else digits))
    twin = clone(model)
    assert repr(twin) == repr(unfitted)
    assert_not_fitted(twin, digits[0])


def test_reading_a_copy_leaves_the_original_alone(autoencoder, digits):
    X, _ = digits
    before = autoencoder.transform(X)
    twin = copy.deepcopy(autoencoder)
    getattr(twin, "partial_fit", twin.fit)(X[::-1])
    assert_array_equal(autoencoder.transform(X), before)


# ------------------------------------------------------------------ caches and checkpoints


@pytest.mark.parametrize("unfitted", AUTOENCODERS, ids=name_of)
def test_a_cache_gives_the_fitted_model_back(unfitted, digits, tmp_path, monkeypatch):
    X, _ = digits
    steps = [("autoencoder", clone(unfitted)), ("sampler", GaussianSampler())]
    pipeline = LatentGenerativePipeline(steps, memory=str(tmp_path))
    first = clone(pipeline).fit(X).sample(5, random_state=0)
    monkeypatch.setattr(type(unfitted), "_fit_images", fail)
    assert_array_equal(clone(pipeline).fit(X).sample(5, random_state=0), first)


resumable = pytest.mark.parametrize(
    "unfitted", [one for one in ESTIMATORS if "checkpoint" in one.get_params(False)], ids=name_of
)


@resumable
def test_a_broken_training_goes_on_to_the_same_bytes(unfitted, digits, codes, tmp_path):
    X, y = codes if unfitted in SAMPLERS else digits
    model = with_known(unfitted, max_epochs=4)
    whole = output(clone(model).fit(X, y), X)
    model.set_params(checkpoint=tmp_path / "checkpoint.pt")
    step, n_steps = TrainingNet.train_step, []

    def break_off(net, batch, **kwargs):
        n_steps.append(1)
        if len(net.history) == 3 and len(n_steps) % 2:
            raise Boom
        return step(net, batch, **kwargs)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Boom):
        patch.setattr(TrainingNet, "train_step", break_off)
        clone(model).fit(X, y)
    resumed = clone(model).fit(X, y)
    assert_array_equal(output(resumed, X), whole)
    assert resumed.n_iter_ == 4


# ------------------------------------------------------------------ a failing fit


class Boom(Exception):
    pass


def fail(*args, **kwargs):
    raise Boom


@all_autoencoders
def test_a_failing_fit_leaves_the_old_autoencoder(unfitted, digits, monkeypatch):
    X, _ = digits
    model = clone(unfitted).fit(X)
    before = model.transform(X)
    monkeypatch.setattr(type(model), "_fit_images", fail)
    with pytest.raises(Boom):
        model.fit(X[:, :, :4, :4])
    assert_array_equal(model.transform(X), before)


@pytest.mark.parametrize(
    "unfitted", [one for one in AUTOENCODERS if "max_epochs" in one.get_params(False)], ids=name_of
)
def test_an_interrupted_training_leaves_the_old_autoencoder(unfitted, digits, monkeypatch):
    X, _ = digits
    model = clone(unfitted).fit(X)
    before = model.transform(X)
    monkeypatch.setattr(torch.nn.Module, "__call__", fail)
    for name in ("fit", "partial_fit"):
        if hasattr(model, name):
            with pytest.raises(Boom):
                getattr(model, name)(X)
    monkeypatch.undo()
    assert_array_equal(model.transform(X), before)


@all_samplers
def test_a_failing_fit_leaves_the_old_sampler(unfitted, codes, monkeypatch):
    Z, y = codes
    model = clone(unfitted).fit(Z, y)
    before = model.sample(5, random_state=0)
    monkeypatch.setattr(type(model), "_fit", fail)
    with pytest.raises(Boom):
        model.fit(np.ones((10, 7)), np.arange(10) % 2)
    assert_array_equal(model.sample(5, random_state=0), before)


# ------------------------------------------------------------------ model selection


@all_pipelines
def test_pipeline_goes_into_a_parallel_grid_search(unfitted, digits):
    X, y = digits

    def closeness(pipeline, X, y=None):
        X_new = pipeline.sample(50, random_state=0)
        return -np.mean((X_new.mean(axis=0) - X.mean(axis=0)) ** 2)

    grid = {"autoencoder__latent_dim": [2, 4]}
    search = GridSearchCV(unfitted, grid, scoring=closeness, cv=2, n_jobs=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.sample(3).shape == (3, 1, 8, 8)


def test_densities_do_not_depend_on_the_batch(pipeline, digits):
    X, _ = digits
    together = pipeline.score_samples(X[:20])
    one_by_one = np.concatenate([pipeline.score_samples(X[i : i + 1]) for i in range(20)])
    assert_allclose(one_by_one, together, rtol=1e-3, atol=1e-3)


# ------------------------------------------------------------------ rejected input


def broken(value):
    X = np.full((6, 64), 0.5)
    X[2, 3] = value
    return X


BAD_ROWS = [
    (broken(np.nan), "Input X contains NaN"),
    (broken(np.inf), "Input X contains infinity"),
    (np.zeros(64), "Expected 2D array, got 1D array instead"),
    (np.zeros((0, 64)), r"Found array with 0 sample\(s\)"),
    (np.zeros((6, 0)), r"0 feature\(s\) \(shape=\(6, 0\)\) while a minimum of 1 is required"),
    (csr_array(np.eye(6)), "Sparse data was passed"),
    (np.eye(6) * 1j, "Complex data not supported"),
    (np.full((6, 64), "a"), "could not convert string to float|dtype='numeric'"),
]


@pytest.mark.parametrize("X, message", BAD_ROWS)
@all_estimators
def test_rows_that_are_no_numbers_are_refused(unfitted, X, message):
    with pytest.raises((ValueError, TypeError), match=message):
        clone(unfitted).fit(X, np.arange(X.shape[0]) % 2)


@all_autoencoders
def test_one_image_is_refused(unfitted, digits):
    name = type(unfitted).__name__
    message = rf"1 sample\(s\) .* minimum of 2 is required by {name}"
    with pytest.raises(ValueError, match=message):
        clone(unfitted).fit(digits[0][:1])


@pytest.mark.parametrize(
    "method, shape, message",
    [
        ("transform", (5, 60), r"X has 60 features, but \w+ is expecting 64 features"),
        (
            "transform",
            (5, 1, 4, 16),
            r"images of shape \(1, 8, 8\) as seen in fit, got \(1, 4, 16\)",
        ),
        ("transform", (5, 8, 8, 3), r"channels first, got \(5, 8, 8, 3\)"),
        ("score", (5, 60), r"X has 60 features, but \w+ is expecting 64 features"),
        ("reconstruct", (5, 60), r"X has 60 features, but \w+ is expecting 64 features"),
        ("partial_fit", (5, 60), r"X has 60 features, but \w+ is expecting 64 features"),
        ("inverse_transform", (5, 99), r"codes of shape \(n_samples, \d+\), got \(5, 99\)"),
        ("inverse_transform", (3,), "Expected 2D array, got 1D array instead"),
        ("inverse_transform", (0, 3), r"Found array with 0 sample\(s\)"),
    ],
)
def test_autoencoder_says_which_shape_it_wants(autoencoder, method, shape, message):
    if not hasattr(autoencoder, method):
        pytest.skip(f"no {method}")
    with pytest.raises(ValueError, match=message):
        getattr(autoencoder, method)(np.zeros(shape))


def test_codes_that_are_no_numbers_are_not_decoded(autoencoder):
    with pytest.raises(ValueError, match="Input X contains NaN"):
        autoencoder.inverse_transform(np.full((2, 3), np.nan))


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "score", "reconstruct"])
@all_autoencoders
def test_unfitted_autoencoder_says_so(unfitted, method):
    with pytest.raises(NotFittedError, match=f"{type(unfitted).__name__} instance is not fitted"):
        getattr(clone(unfitted), method)(np.zeros((2, 64)))


@pytest.mark.parametrize("unfitted", SAMPLERS + PIPELINES, ids=name_of)
def test_unfitted_generator_says_so(unfitted):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        clone(unfitted).sample()


def distance_ratios(X_new, Z):
    """Distances to the nearest training code, divided by that code's own to its nearest."""
    Z = Z.astype(np.float64)
    between, to_codes = cdist(Z, Z), cdist(X_new, Z)
    between[between == 0] = np.inf
    return to_codes.min(axis=1) / between.min(axis=1)[to_codes.argmin(axis=1)]


@pytest.fixture(scope="module", params=SAMPLERS, ids=name_of)
def careful_sampler(request, codes):
    return clone(request.param).set_params(min_novelty=0.5).fit(*codes)


def test_draws_keep_their_distance_or_are_counted(careful_sampler, codes):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        X_new = careful_sampler.sample(300, random_state=0)
    n_near = np.sum(distance_ratios(X_new, codes[0]) < 0.5 * (1 - 1e-6))
    assert n_near <= 15
    caught = [str(one.message) for one in caught if one.category is NearCopyWarning]
    assert sum(int(message.split()[0]) for message in caught) == n_near


def test_distance_holds_from_codes_of_double_precision():
    # Rounded to single precision, these codes move by up to a twentieth of their distances.
    Z = 1 + 2e-5 * np.random.RandomState(0).standard_normal((200, 2))
    X_new = GaussianSampler(min_novelty=0.5).fit(Z).sample(500, random_state=0)
    assert distance_ratios(X_new, Z).min() >= 0.5 * (1 - 1e-6)


def test_distance_can_be_changed_after_fit(careful_sampler, codes):
    changed = copy.copy(careful_sampler).set_params(min_novelty=0.1)
    near = [
        np.mean(distance_ratios(one.sample(300, random_state=0), codes[0]) < 0.5)
        for one in (careful_sampler, changed)
    ]
    assert near[0] < near[1]


def test_distance_cannot_be_begun_after_fit(sampler):
    with pytest.raises(ValueError, match="Fit it again"):
        copy.copy(sampler).set_params(min_novelty=0.5).sample()


@pytest.mark.parametrize("parameter", ["temperature", "min_novelty"])
def test_what_was_changed_after_fit_is_checked(parameter, sampler):
    if parameter not in sampler.get_params():
        pytest.skip("a sampler of samplers has no temperature")
    changed = copy.copy(sampler).set_params(**{parameter: "hot"})
    with pytest.raises(ValueError, match=f"'{parameter}' parameter of .* Got 'hot'"):
        changed.sample()


def test_novelty_is_that_of_many_draws(sampler, codes):
    ratios = distance_ratios(sampler.sample(3000, random_state=0), codes[0])
    assert abs(sampler.novelty_ - np.median(ratios)) < 4 * sampler.novelty_error_
    error = abs(sampler.near_copies_ - np.mean(ratios < 0.3))
    assert error < 4 * sampler.near_copies_error_


def test_score_is_the_mean_log_density(sampler, codes):
    assert hasattr(sampler, "score") == hasattr(sampler, "score_samples")
    if hasattr(sampler, "score"):
        assert_allclose(sampler.score(codes[0]), sampler.score_samples(codes[0]).mean())


def test_sources_are_training_codes_that_are_near_or_refused(sampler, codes):
    try:
        X_new, source = sampler.sample(300, random_state=0, return_source=True)
    except ValueError as error:
        assert "Samplers that have one" in str(error)
        return
    assert_array_equal(X_new, sampler.sample(300, random_state=0))
    moved = source.row >= 0
    if moved.any():
        distances = np.linalg.norm(X_new[moved] - codes[0][source.row[moved]], axis=1)
        others = np.linalg.norm(X_new[moved] - codes[0][source.row[moved][::-1]], axis=1)
        assert distances.mean() < 0.7 * others.mean()


@pytest.fixture(
    params=[one for one in SAMPLERS if "temperature" in one.get_params(deep=False)], ids=name_of
)
def tempered(request):
    return clone(request.param)


def test_temperature_scales_the_spread_of_draws(tempered, codes):
    spreads = [
        tempered.set_params(temperature=t).fit(*codes).sample(2000, random_state=0).std()
        for t in (0.3, 1.0, 1.7)
    ]
    assert spreads[0] < spreads[1] < spreads[2]


FITTED_TO_CODES = [
    one
    for one in SAMPLERS
    # Neither the one that draws from N(0, I) nor scikit-learn's own.
    if not isinstance(one, PriorSampler)
    and not isinstance(getattr(one, "sampler", None), GaussianMixture)
]


@pytest.mark.parametrize(
    "unfitted", [one for one in FITTED_TO_CODES if type(one) not in NEWCOMERS], ids=name_of
)
def test_large_draws_need_little_beside_their_result(unfitted):
    """A draw took 4 times its size in GaussianSampler, 12 times in the flow."""
    is_network = hasattr(unfitted, "max_epochs")
    shape, n_samples = ((300, 8), 20_000) if is_network else ((300, 32), 150_000)
    Z = np.random.RandomState(0).standard_normal(shape).astype(np.float32)
    sampler = clone(unfitted).fit(Z, np.arange(300) % 3)
    tracemalloc.start()
    X_new = sampler.sample(n_samples, random_state=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * X_new.nbytes


def has_exact_density(sampler):
    """The noise in the bound of a diffusion depends on every bit of a code."""
    return hasattr(sampler, "score_samples") and not isinstance(sampler, DiffusionSampler)


@pytest.mark.parametrize("dtype, offset", [(np.float32, 2.0**13), (np.float64, 2.0**20)])
@pytest.mark.parametrize("unfitted", FITTED_TO_CODES, ids=name_of)
def test_an_offset_of_the_codes_moves_the_draws_and_nothing_else(unfitted, dtype, offset, codes):
    # The same differences in both places; float64 has digits there that float32 has not.
    far = (codes[0] + offset).astype(dtype).astype(np.float64)
    here, there = (clone(unfitted).fit(Z.astype(dtype), codes[1]) for Z in (far - offset, far))
    X_new, moved = (one.sample(200, random_state=0).astype(np.float64) for one in (here, there))
    # Draws are float32.
    assert_allclose(moved - offset, X_new, atol=1.1 * np.finfo(np.float32).eps * offset)
    if has_exact_density(here):
        scores = here.score_samples(far - offset), there.score_samples(far)
        assert_allclose(scores[1], scores[0], rtol=1e-3, atol=1e-3)
    if hasattr(here, "apply"):
        assert_array_equal(there.apply(far), here.apply(far - offset))


@pytest.mark.parametrize("unit", [2.0**-17, 2.0**17])
@pytest.mark.parametrize("unfitted", FITTED_TO_CODES, ids=name_of)
def test_the_unit_of_the_codes_is_that_of_the_draws(unfitted, unit, codes):
    Z, y = codes
    scaled = clone(unfitted)
    # The one parameter in squared units of the codes.
    ridges = {name: 1e-6 * unit**2 for name in scaled.get_params() if name.endswith("reg_covar")}
    scaled.set_params(**ridges).fit(unit * Z, y)
    plain = clone(unfitted).fit(Z, y)
    X_new = plain.sample(200, random_state=0)
    assert_allclose(scaled.sample(200, random_state=0) / unit, X_new, atol=2e-3)
    if has_exact_density(plain):
        scores = scaled.score_samples(unit * Z) + Z.shape[1] * np.log(unit)
        assert_allclose(scores, plain.score_samples(Z), rtol=1e-3, atol=1e-3)


@pytest.fixture(params=[one for one in SAMPLERS if hasattr(one, "partial_fit")], ids=name_of)
def growing(request):
    return clone(request.param)


def test_partial_fit_begins_like_fit(growing, codes):
    expected = clone(growing).fit(*codes).sample(20, random_state=0)
    assert_array_equal(growing.partial_fit(*codes).sample(20, random_state=0), expected)


def test_partial_fit_takes_in_new_codes(growing, codes):
    """Codes of another region are drawn afterwards, as often as there are of them."""
    if "max_epochs" in growing.get_params(deep=False):
        pytest.skip("one epoch moves the density of a network only a little")
    Z, y = codes
    growing.fit(Z, y)
    before = growing.sample(20, random_state=0)
    far = Z + np.float32(40)
    untouched = copy.deepcopy(growing)
    growing.partial_fit(far, y)
    X_new = growing.sample(2000, random_state=0)
    assert abs(np.mean(X_new.mean(axis=1) > 20) - 0.5) < 0.1
    assert_array_equal(untouched.sample(20, random_state=0), before)


def test_partial_fit_refuses_another_number_of_columns(growing, codes):
    Z, y = codes
    growing.fit(Z, y)
    before = growing.sample(20, random_state=0)
    with pytest.raises(ValueError, match="features"):
        growing.partial_fit(np.hstack([Z, Z]), y)
    assert_array_equal(growing.sample(20, random_state=0), before)


def test_meta_samplers_hand_temperature_to_the_inner_one(codes):
    cold = ConditionalSampler(GaussianSampler(temperature=0.0)).fit(*codes)
    assert len(np.unique(cold.sample(50, random_state=0), axis=0)) == 3


@pytest.mark.parametrize(
    "growing_network", [one for one in SAMPLERS if "max_epochs" in one.get_params()], ids=name_of
)
def test_one_batch_trains_a_network_too(growing_network, codes):
    """A one-cycle schedule of a single step has a rate of nearly 0."""
    Z = codes[0]
    sampler = clone(growing_network).fit(Z)
    before = sampler.net_.module_.state_dict()
    sampler.partial_fit(Z[:10])
    after = sampler.net_.module_.state_dict()
    assert (
        max(float((after[name].float() - before[name].float()).abs().max()) for name in before)
        > 1e-5
    )
