"""What LatentGenerativePipeline adds to a scikit-learn Pipeline."""

# SPDX-License-Identifier: BSD-3-Clause

import tracemalloc
from copy import deepcopy

import numpy as np
import pytest
from _estimators import CONV
from joblib import Memory
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import Normalizer, StandardScaler

from latentgen import (
    ConditionalSampler,
    ConvAutoencoder,
    EnsembleSampler,
    FastHVRTSampler,
    GaussianSampler,
    LatentGenerativePipeline,
    NormalizingFlowSampler,
    load_model,
    make_latent_pipeline,
    save_model,
)
from latentgen.exceptions import NearCopyWarning, NoSourceError
from latentgen.metrics import generation_report

# Of classes 0, 1 and 2.
CLASS_SIZES = [6, 10, 4]


def chain(*between, sampler=None, **params):
    """An unfitted pipeline around a cheap autoencoder."""
    sampler = GaussianSampler() if sampler is None else sampler
    return make_latent_pipeline(clone(CONV), *between, sampler, **params)


@pytest.fixture(scope="module")
def fitted(digits):
    return chain().fit(digits[0])


@pytest.fixture(scope="module")
def fitted_by_class(digits):
    return chain(sampler=ConditionalSampler(GaussianSampler())).fit(*digits)


@pytest.fixture(scope="module")
def unbalanced(digits):
    """20 images of three classes of different size."""
    X, y = digits
    rows = [np.flatnonzero(y == label)[:size] for label, size in enumerate(CLASS_SIZES)]
    rows = np.random.RandomState(0).permutation(np.concatenate(rows))
    return X[rows], y[rows]


# ------------------------------------------------------------------ sample


def test_sample_decodes_draws_of_the_sampler(fitted):
    Z = fitted[-1].sample(6, random_state=0)
    assert_allclose(fitted.sample(6, random_state=0), fitted[0].inverse_transform(Z), rtol=1e-6)


def test_sample_goes_back_through_every_step(digits):
    X, _ = digits
    pipeline = chain(StandardScaler(), PCA(2)).fit(X)
    Z = pipeline[-1].sample(6, random_state=0)
    assert Z.shape == (6, 2)
    for _, step in reversed(pipeline.steps[:-1]):
        Z = step.inverse_transform(Z)
    assert_allclose(pipeline.sample(6, random_state=0), Z, rtol=1e-6)


@pytest.mark.parametrize("n_refinements", [1, 2])
def test_refinements_encode_and_decode_draws_once_more(n_refinements, fitted, digits):
    X_new = fitted.sample(6, random_state=0)
    for _ in range(n_refinements):
        X_new = fitted.reconstruct(X_new)
    refined = chain(n_refinements=n_refinements).fit(digits[0])
    assert_allclose(refined.sample(6, random_state=0), X_new, atol=1e-6)
    batches = np.concatenate(list(refined.iter_sample(6, 6, random_state=0)))
    assert_allclose(batches, X_new, atol=1e-6)


def test_refinements_may_change_after_fit_and_stay_in_slices(fitted):
    refined = deepcopy(fitted).set_params(n_refinements=1)
    X_new = fitted.reconstruct(fitted.sample(4, random_state=0))
    assert_allclose(refined.sample(4, random_state=0), X_new, atol=1e-6)
    assert_allclose(refined[:].sample(4, random_state=0), X_new, atol=1e-6)


def test_refinements_are_refused_below_0(fitted, digits):
    with pytest.raises(ValueError, match="n_refinements"):
        chain(n_refinements=-1).fit(digits[0])


def test_sample_hands_labels_to_the_sampler(fitted_by_class):
    y = np.array([3, 1, 1, 7])
    Z = fitted_by_class[-1].sample(4, y=y, random_state=0)
    assert_allclose(
        fitted_by_class.sample(4, y=y, random_state=0),
        fitted_by_class[0].inverse_transform(Z),
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    "y, message",
    [
        (11, "Unknown label 11 in 'y'"),
        ([1, 2, 3], r"'y' asks for 3 codes, one per label, got n_samples=4"),
    ],
)
def test_sample_refuses_labels_that_do_not_fit(fitted_by_class, y, message):
    with pytest.raises(ValueError, match=message):
        fitted_by_class.sample(4, y=y)


def test_sample_refuses_labels_without_classes(fitted):
    with pytest.raises(ValueError, match="GaussianSampler has no classes, got y=1"):
        fitted.sample(4, y=1)


# ------------------------------------------------------------------ iter_sample


@pytest.mark.parametrize("n_samples, sizes", [(10, [4, 4, 2]), (8, [4, 4]), (3, [3])])
def test_iter_sample_gives_all_images_in_batches(fitted, n_samples, sizes):
    batches = list(fitted.iter_sample(n_samples, batch_size=4, random_state=0))
    assert [len(batch) for batch in batches] == sizes
    images = np.concatenate(batches)
    assert images.shape == (n_samples, 1, 8, 8)
    assert len(np.unique(images.reshape(n_samples, -1), axis=0)) == n_samples


def test_iter_sample_same_seed_same_images(fitted):
    first, second, other = (
        np.concatenate(list(fitted.iter_sample(10, 4, random_state=seed))) for seed in (0, 0, 1)
    )
    assert_array_equal(first, second)
    assert not np.allclose(first, other)


def test_iter_sample_gives_each_batch_its_labels(fitted_by_class):
    labels = np.repeat([0, 5], 6)
    for y, of_batch in ((labels, lambda i: labels[i : i + 4]), (5, lambda i: 5)):
        rng = np.random.RandomState(0)
        expected = [fitted_by_class.sample(4, y=of_batch(i), random_state=rng) for i in (0, 4, 8)]
        images = np.concatenate(list(fitted_by_class.iter_sample(12, 4, y=y, random_state=0)))
        assert_array_equal(images, np.concatenate(expected))


def test_iter_sample_needs_memory_for_one_batch_only(fitted):
    peaks = []
    for n_samples in (200, 2000):
        tracemalloc.start()
        assert sum(len(batch) for batch in fitted.iter_sample(n_samples, 100)) == n_samples
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # All 2 000 images would be 512 kB.
    assert peaks[1] < peaks[0] + 50e3


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"n_samples": 0}, "n_samples == 0, must be >= 1"),
        ({"n_samples": 5, "batch_size": 0}, "batch_size == 0, must be >= 1"),
        ({"n_samples": 5, "y": [1, 2]}, "got 2 labels for n_samples=5"),
    ],
)
def test_iter_sample_checks_before_the_first_batch(fitted_by_class, arguments, message):
    with pytest.raises(ValueError, match=message):
        fitted_by_class.iter_sample(**arguments)


# ------------------------------------------------------------------ reconstruct, interpolate


def test_reconstruct_is_the_way_there_and_back(fitted, digits):
    X, _ = digits
    assert_array_equal(fitted.reconstruct(X), fitted[0].reconstruct(X))


def test_reconstruct_goes_through_every_step(digits):
    X, _ = digits
    pipeline = chain(PCA(1)).fit(X)
    # One component is left of three: less comes back than from the autoencoder alone.
    assert not np.allclose(pipeline.reconstruct(X), pipeline[0].reconstruct(X), atol=1e-4)


def test_sample_posterior_goes_through_every_step(digits):
    X = digits[0][:60]
    autoencoder = clone(CONV).set_params(beta=1.0, latent_dim=4)
    steps = [("autoencoder", autoencoder), ("pca", PCA(2)), ("sampler", GaussianSampler())]
    pipeline = LatentGenerativePipeline(steps).fit(X)
    Z = pipeline[0].sample_posterior(X, random_state=0)
    projected = pipeline["pca"].inverse_transform(pipeline["pca"].transform(Z))
    expected = pipeline[0].inverse_transform(projected)
    assert_array_equal(pipeline.sample_posterior(X, random_state=0), expected)


def test_interpolate_starts_and_ends_at_the_reconstructions(fitted, digits):
    X_start, X_end = digits[0][:3], digits[0][3:6]
    images = fitted.interpolate(X_start, X_end, n_steps=5)
    assert images.shape == (3, 5, 1, 8, 8)
    assert_allclose(images[:, 0], fitted.reconstruct(X_start), atol=1e-6)
    assert_allclose(images[:, -1], fitted.reconstruct(X_end), atol=1e-6)


def test_interpolate_walks_straight_through_the_codes(fitted, digits):
    X, _ = digits
    middle = fitted[0].transform(X[:2]).mean(axis=0, keepdims=True)
    images = fitted.interpolate(X[:1], X[1:2], n_steps=3)
    assert_allclose(images[0, 1], fitted[0].inverse_transform(middle)[0], atol=1e-6)


@pytest.mark.parametrize(
    "n_end, n_steps, message",
    [(2, 8, "inconsistent numbers of samples"), (3, 1, "n_steps == 1, must be >= 2")],
)
def test_interpolate_refuses_what_does_not_fit(fitted, digits, n_end, n_steps, message):
    with pytest.raises(ValueError, match=message):
        fitted.interpolate(digits[0][:3], digits[0][:n_end], n_steps=n_steps)


# ------------------------------------------------------------------ fit_resample


@pytest.mark.parametrize(
    "strategy, sizes",
    [
        ("auto", [10, 10, 10]),
        ("not majority", [10, 10, 10]),
        ("minority", [6, 10, 10]),
        ("not minority", [10, 10, 4]),
        ("all", [10, 10, 10]),
        ({2: 7, 1: 11}, [6, 11, 7]),
        ({}, CLASS_SIZES),
    ],
)
def test_fit_resample_fills_up_the_classes(unbalanced, strategy, sizes):
    X, y = unbalanced
    pipeline = chain(sampler=ConditionalSampler(GaussianSampler()))
    X_new, y_new = pipeline.fit_resample(X, y, sampling_strategy=strategy, random_state=0)
    assert_array_equal(np.bincount(y_new), sizes)
    assert X_new.shape == (sum(sizes), 1, 8, 8) and X_new.dtype == X.dtype
    assert y_new.dtype == y.dtype
    # The images passed in come first and are marked as real.
    assert_array_equal(X_new[:20], X)
    assert_array_equal(y_new[:20], y)
    assert_array_equal(pipeline.is_synthetic_, np.arange(sum(sizes)) >= 20)


def test_fit_resample_takes_a_ratio_of_two_classes(unbalanced):
    X, y = (part[unbalanced[1] < 2] for part in unbalanced)
    pipeline = chain(sampler=ConditionalSampler(GaussianSampler()))
    _, y_new = pipeline.fit_resample(X, y, sampling_strategy=0.8)
    assert_array_equal(np.bincount(y_new), [8, 10])


def test_fit_resample_generates_each_image_of_its_class(unbalanced):
    X, y = unbalanced
    pipeline = chain(sampler=ConditionalSampler(GaussianSampler()))
    X_new, y_new = pipeline.fit_resample(X, y, random_state=0)
    expected = pipeline.sample(10, y=y_new[20:], random_state=0)
    assert_array_equal(X_new[20:], expected)


def test_fit_resample_without_work_gives_copies(digits):
    X, y = digits[0][:20], np.arange(20) % 2
    pipeline = chain(sampler=ConditionalSampler(GaussianSampler()))
    X_new, y_new = pipeline.fit_resample(X, y)
    assert_array_equal(X_new, X)
    assert not np.shares_memory(X_new, X) and not np.shares_memory(y_new, y)
    assert not pipeline.is_synthetic_.any()


@pytest.mark.parametrize("labels", [["cat", "dog", "eel"], [-1.0, 0.0, 2.0]])
def test_fit_resample_keeps_labels_of_any_type(unbalanced, labels):
    X, y = unbalanced
    y = np.array(labels)[y]
    _, y_new = chain(sampler=ConditionalSampler(GaussianSampler())).fit_resample(X, y)
    assert y_new.dtype == y.dtype
    assert_array_equal(np.unique(y_new, return_counts=True)[1], [10, 10, 10])


@pytest.mark.parametrize("layout", [(64,), (8, 8)])
def test_fit_resample_keeps_layout_and_dtype(unbalanced, layout):
    X = np.rint(unbalanced[0] * 255).astype(np.uint8).reshape(20, *layout)
    pipeline = chain(sampler=ConditionalSampler(GaussianSampler()))
    X_new, _ = pipeline.fit_resample(X, unbalanced[1])
    assert X_new.shape == (30, *layout) and X_new.dtype == np.uint8


@pytest.mark.parametrize(
    "strategy, message",
    [
        ("most", r"must be a dict, a float or one of \['all', .*\], got 'most'"),
        (None, r"must be a dict, a float or one of .*, got None"),
        (True, r"must be a dict, a float or one of .*, got True"),
        (0.5, "is for two classes, got 3 classes. Use a dict of class sizes"),
        ({7: 20}, r"names class 7, but the classes in y are \[0, 1, 2\]"),
        ({0: 3}, "asks for 3 images of class 0, which has 6 already. Images are only added"),
    ],
)
def test_fit_resample_refuses_a_strategy_that_does_not_fit(unbalanced, strategy, message):
    pipeline = chain(sampler=ConditionalSampler(GaussianSampler()))
    with pytest.raises(ValueError, match=message):
        pipeline.fit_resample(*unbalanced, sampling_strategy=strategy)
    assert not hasattr(pipeline[0], "net_")  # It is refused before the training.


@pytest.mark.parametrize(
    "ratio, message",
    [(1.5, r"must be in \(0, 1\], got 1.5"), (0.3, "asks for 3 images of class 0")],
)
def test_fit_resample_refuses_a_ratio_that_does_not_fit(unbalanced, ratio, message):
    X, y = (part[unbalanced[1] < 2] for part in unbalanced)
    with pytest.raises(ValueError, match=message):
        chain(sampler=ConditionalSampler()).fit_resample(X, y, sampling_strategy=ratio)


def test_fit_resample_needs_a_sampler_with_classes(unbalanced):
    message = r"class-conditional sampler .* got GaussianSampler. Wrap it: ConditionalSampler\("
    with pytest.raises(ValueError, match=message):
        chain().fit_resample(*unbalanced)


# ------------------------------------------------------------------ sources


def test_sources_are_rows_of_the_images(digits):
    sampler = FastHVRTSampler(partition="fast", random_state=0)
    pipeline = chain(sampler=sampler).fit(digits[0])
    images, source = pipeline.sample(30, random_state=0, return_source=True)
    expected = pipeline[-1].sample(30, random_state=0, return_source=True)[1]
    assert_array_equal(source.row, expected.row)
    assert_array_equal(images, pipeline.sample(30, random_state=0))


def test_sources_are_of_the_class_asked_for(digits):
    X, y = digits
    inner = FastHVRTSampler(partition="fast", random_state=0)
    pipeline = chain(sampler=ConditionalSampler(inner)).fit(X, y)
    _, source = pipeline.sample(40, random_state=0, return_source=True)
    assert_array_equal(y[source.row], source.label)


def test_labels_of_images_are_returned_on_request(digits):
    X, y = digits
    inner = FastHVRTSampler(partition="fast", random_state=0)
    pipeline = chain(sampler=ConditionalSampler(inner)).fit(X, y)
    arguments = {"random_state": 0, "return_labels": True}
    images, labels = pipeline.sample(40, **arguments)
    assert_array_equal(images, pipeline.sample(40, random_state=0))
    _, again, source = pipeline.sample(40, **arguments, return_source=True)
    assert_array_equal(labels, again)
    assert_array_equal(labels, y[source.row])
    assert_array_equal(pipeline.sample(y=[7, 3], return_labels=True)[1], [7, 3])


@pytest.mark.parametrize("sampler", [GaussianSampler(), KernelDensity()])
def test_labels_of_samplers_without_are_refused(sampler, digits):
    pipeline = chain(sampler=sampler).fit(digits[0])
    with pytest.raises(ValueError, match="no classes, got return_labels=True"):
        pipeline.sample(2, return_labels=True)


@pytest.mark.parametrize("sampler", [GaussianSampler(), KernelDensity()])
def test_sources_of_samplers_without_are_refused(sampler, digits):
    pipeline = chain(sampler=sampler).fit(digits[0])
    with pytest.raises(NoSourceError, match="Samplers that have one: FastHVRTSampler"):
        pipeline.sample(2, return_source=True)


# ------------------------------------------------------------------ hand-over


class Knowing(ConvAutoencoder):
    """Knows a quantizer and a prior, as a larger autoencoder does."""

    def _fit_images(self, X, y, layout):
        super()._fit_images(X, y, layout)
        self.quantizer_ = ("of", len(X))
        Z = self.transform_for_prior(X)
        self.prior_ = ConditionalSampler(GaussianSampler()).fit(Z, np.arange(len(X)) % 3)

    def transform_for_prior(self, X):
        return self._encode(X)


class Without(ConvAutoencoder):
    """Has no prior, whatever others have."""

    @property
    def prior_(self):
        raise AttributeError("prior_")


class Asking(GaussianSampler):
    """Asks for all that an autoencoder knows."""

    def _fit(self, Z, y, rng, code_shape=None, quantizer=None, decoder=None):
        self.handed_ = code_shape, quantizer, decoder
        super()._fit(Z, y, rng)


class AskingStranger(BaseEstimator):
    """No sampler of latentgen; asks for one thing."""

    def fit(self, X, y=None, code_shape=None):
        self.handed_ = (code_shape,)
        self.width_ = X.shape[1]
        return self

    def sample(self, n_samples=1):
        return np.zeros((n_samples, self.width_))


@pytest.fixture
def knowing():
    return Knowing(**CONV.get_params())


def test_a_sampler_gets_what_it_asks_for(knowing, digits):
    pipeline = make_latent_pipeline(knowing, Asking()).fit(digits[0])
    assert pipeline[-1].handed_ == ((3,), ("of", 200), knowing)
    pipeline = make_latent_pipeline(knowing, AskingStranger()).fit(digits[0])
    assert pipeline[-1].handed_ == ((3,),)


@pytest.mark.parametrize("outer", [ConditionalSampler, EnsembleSampler])
def test_samplers_of_samplers_pass_it_on(outer, knowing, digits):
    pipeline = make_latent_pipeline(knowing, outer(Asking(shrinkage=0.1))).fit(*digits)
    members = getattr(pipeline[-1], "samplers_", None) or pipeline[-1].estimators_
    assert {member.handed_ for member in members} == {((3,), ("of", 200), knowing)}


@pytest.mark.parametrize("step, shape", [(StandardScaler(), (3,)), (PCA(2), None)])
def test_code_shape_is_handed_over_if_it_still_fits(step, shape, knowing, digits):
    pipeline = make_latent_pipeline(knowing, step, Asking()).fit(digits[0])
    assert pipeline[-1].handed_[0] == shape


def test_partial_fit_hands_over_too(knowing, digits):
    pipeline = make_latent_pipeline(knowing, Asking()).fit(digits[0])
    pipeline[-1].handed_ = None
    pipeline.partial_fit(digits[0], retrain=True)
    assert pipeline[-1].handed_[0] == (3,)


@pytest.mark.parametrize("cached", [False, True])
def test_code_shape_follows_a_search_over_autoencoders(cached, knowing, digits, tmp_path):
    pipeline = make_latent_pipeline(knowing, Asking(), memory=str(tmp_path) if cached else None)

    def known(pipeline, X, y=None):
        return float(pipeline[-1].handed_[0] == (pipeline[0].latent_dim,))

    grid = {"autoencoder__latent_dim": [2, 4]}
    search = GridSearchCV(pipeline, grid, scoring=known, cv=2).fit(digits[0])
    assert_array_equal(search.cv_results_["mean_test_score"], 1.0)


# ------------------------------------------------------------------ the autoencoder's own prior


@pytest.fixture(scope="module")
def with_prior(digits):
    steps = [("autoencoder", Knowing(**CONV.get_params())), ("sampler", "prior")]
    return LatentGenerativePipeline(steps).fit(*digits)


def test_prior_of_the_autoencoder_is_the_sampler(with_prior, digits):
    X, _ = digits
    prior = with_prior[0].prior_
    assert with_prior.sampler_.prior_ is prior and with_prior[-1] is with_prior.sampler_
    assert with_prior.sampler_.novelty_ > 0.1
    assert with_prior.sample(6, random_state=0).shape == (6, 1, 8, 8)
    assert len(np.concatenate(list(with_prior.iter_sample(6, 4)))) == 6
    Z = with_prior[0].transform(X)
    assert_allclose(with_prior.score_samples(X), prior.score_samples(Z))
    assert_allclose(with_prior.score(X), prior.score(Z))


def test_prior_draws_by_its_own_labels(with_prior):
    assert_array_equal(with_prior.classes_, [0, 1, 2])
    assert with_prior.sample(4, y=2).shape == (4, 1, 8, 8)
    with pytest.raises(ValueError, match="Unknown label 7"):
        with_prior.sample(4, y=7)


def test_prior_fills_up_classes(unbalanced):
    X, y = unbalanced
    pipeline = LatentGenerativePipeline(
        [("autoencoder", Knowing(**CONV.get_params())), ("sampler", "prior")]
    )
    _, y_new = pipeline.fit_resample(X, y, random_state=0)
    assert_array_equal(np.bincount(y_new), [10, 10, 10])


def test_prior_that_copies_is_warned_of(digits):
    class Copying(Knowing):
        def _fit_images(self, X, y, layout):
            super()._fit_images(X, y, layout)
            sampler = FastHVRTSampler("bootstrap_noise", bandwidth=1e-3, partition="fast")
            self.prior_ = sampler.fit(self._encode(X))

    pipeline = make_latent_pipeline(Copying(**CONV.get_params()), GaussianSampler())
    pipeline.set_params(sampler="prior")
    with pytest.warns(NearCopyWarning, match="PriorSampler are near-copies"):
        pipeline.fit(digits[0])
    assert pipeline.sample(3, return_source=True)[1].row.min() >= 0


def test_prior_survives_copies_and_other_parameters(with_prior, digits):
    expected = with_prior.sample(5, random_state=0)
    twin = clone(with_prior)
    assert twin.steps[-1] == ("sampler", "prior")
    with pytest.raises(NotFittedError):
        twin.sample()
    assert_array_equal(twin.fit(*digits).sample(5, random_state=0), expected)
    assert_array_equal(deepcopy(with_prior).sample(5, random_state=0), expected)
    twin.set_params(autoencoder__latent_dim=2).fit(*digits)
    assert twin.sampler_.n_features_in_ == 2
    other = twin.set_params(sampler=GaussianSampler()).fit(digits[0])
    assert not hasattr(other, "classes_")


def test_prior_is_shown_as_a_step(with_prior):
    assert "<div>prior</div>" in with_prior._repr_html_()
    assert "'prior'" in repr(with_prior)


@pytest.mark.filterwarnings("ignore:The model holds types")
def test_prior_is_saved_and_loaded(with_prior, tmp_path):
    save_model(with_prior, tmp_path / "model.latentgen")
    loaded = load_model(tmp_path / "model.latentgen", trusted=[Knowing])
    assert_array_equal(loaded.sample(3, random_state=0), with_prior.sample(3, random_state=0))
    assert loaded.sampler_.novelty_ == with_prior.sampler_.novelty_


def test_autoencoder_without_a_prior_is_refused(digits):
    pipeline = LatentGenerativePipeline(
        [("autoencoder", Without(**CONV.get_params())), ("sampler", "prior")]
    )
    message = "needs an autoencoder with a fitted 'prior_', and this Without has none"
    with pytest.raises(ValueError, match=message):
        pipeline.fit(digits[0])


def test_steps_before_a_prior_are_refused_before_the_training(knowing, digits):
    pipeline = make_latent_pipeline(knowing, StandardScaler(), GaussianSampler())
    pipeline.set_params(sampler="prior")
    with pytest.raises(ValueError, match=r"step 'standardscaler' \(StandardScaler\) stands"):
        pipeline.fit(digits[0])
    assert not hasattr(knowing, "net_")


def test_prior_cannot_take_in_images(with_prior, digits):
    with pytest.raises(AttributeError, match="PriorSampler has none"):
        with_prior.partial_fit(digits[0])


# ------------------------------------------------------------------ a failing fit


@pytest.mark.parametrize("cached", [False, True])
def test_a_failing_sampler_leaves_the_whole_pipeline(cached, digits, tmp_path, monkeypatch):
    X, _ = digits
    pipeline = chain(StandardScaler(), memory=str(tmp_path) if cached else None).fit(X)
    images, codes = pipeline.sample(5, random_state=0), pipeline[:-1].transform(X)
    pipeline.set_params(autoencoder__random_state=7)

    def fail(self, *args, **kwargs):
        raise ValueError("too few codes")

    with monkeypatch.context() as patch:
        patch.setattr(GaussianSampler, "_fit", fail)
        with pytest.raises(ValueError, match="too few codes"):
            pipeline.fit(X[:50])
    assert_array_equal(pipeline[:-1].transform(X), codes)
    assert_array_equal(pipeline.sample(5, random_state=0), images)


@pytest.mark.parametrize(
    "sampler, y, message",
    [
        (GaussianSampler(shrinkage=2.0), None, "'shrinkage' parameter of GaussianSampler"),
        (ConditionalSampler(FastHVRTSampler("none")), np.arange(200) % 2, "'strategy' parameter"),
        (EnsembleSampler(GaussianSampler(shrinkage=2.0)), None, "'shrinkage' parameter"),
        (ConditionalSampler(GaussianSampler()), None, "needs class labels"),
        (ConditionalSampler(GaussianSampler()), np.r_[np.nan, np.ones(199)], "y contains NaN"),
        (ConditionalSampler(GaussianSampler()), np.ones(9), "inconsistent numbers of samples"),
        (NormalizingFlowSampler(checkpoint="nowhere/c.pt"), None, "there is no folder '.*nowhere'"),
    ],
)
def test_what_would_end_the_fit_is_found_before_the_training(sampler, y, message, digits, counted):
    # A wrong strategy or a missing label used to cost a whole training.
    pipeline = make_latent_pipeline(counted, sampler)
    with pytest.raises((ValueError, OSError), match=message):
        pipeline.fit(digits[0], y)
    assert CountedAutoencoder.fits == 0


# ------------------------------------------------------------------ memory


class CountedAutoencoder(ConvAutoencoder):
    """Counts its fits, in whatever copy."""

    fits = 0

    def _fit_images(self, X, y, layout):
        type(self).fits += 1
        super()._fit_images(X, y, layout)


@pytest.fixture
def counted(monkeypatch):
    monkeypatch.setattr(CountedAutoencoder, "fits", 0)
    return CountedAutoencoder(**CONV.get_params())


def search(autoencoder, memory, X):
    pipeline = make_latent_pipeline(autoencoder, GaussianSampler(), memory=memory)
    grid = {"sampler__shrinkage": [0.0, 0.2, 0.4]}

    def score(pipeline, X, y=None):
        return -np.mean((pipeline.sample(50, random_state=0).mean(0) - X.mean(0)) ** 2)

    return GridSearchCV(pipeline, grid, cv=2, scoring=score).fit(X)


def test_memory_fits_each_autoencoder_once_per_fold(counted, digits, tmp_path):
    found = search(counted, str(tmp_path), digits[0])
    assert CountedAutoencoder.fits == 3  # Two folds and the refit.
    assert found.best_estimator_.sample(2).shape == (2, 1, 8, 8)


def test_without_memory_every_candidate_fits(counted, digits):
    search(counted, None, digits[0])
    assert CountedAutoencoder.fits == 7


def test_memory_survives_the_search(counted, digits, tmp_path):
    first = search(counted, Memory(tmp_path, verbose=0), digits[0])
    CountedAutoencoder.fits = 0
    again = search(clone(counted), Memory(tmp_path, verbose=0), np.array(digits[0]))
    assert CountedAutoencoder.fits == 0
    assert_array_equal(again.cv_results_["mean_test_score"], first.cv_results_["mean_test_score"])


def test_memory_notices_other_parameters_and_images(counted, digits, tmp_path):
    X, _ = digits
    pipeline = make_latent_pipeline(counted, GaussianSampler(), memory=str(tmp_path))
    pipeline.fit(X)
    clone(pipeline).set_params(autoencoder__latent_dim=2).fit(X)
    clone(pipeline).fit(X[:100])
    assert CountedAutoencoder.fits == 3
    clone(pipeline).fit(X)
    assert CountedAutoencoder.fits == 3


def test_memory_does_not_change_what_is_fitted(digits, tmp_path):
    X, _ = digits
    plain = chain().fit(X).sample(5, random_state=0)
    for _ in range(2):
        cached = chain(memory=str(tmp_path)).fit(X)
        assert_array_equal(cached.sample(5, random_state=0), plain)


# ------------------------------------------------------------------ steps


@pytest.mark.parametrize("nothing", ["passthrough", None])
def test_steps_may_be_passed_through(nothing, digits):
    X, _ = digits
    pipeline = LatentGenerativePipeline(
        [("autoencoder", clone(CONV)), ("scaler", nothing), ("sampler", GaussianSampler())]
    ).fit(X)
    assert_array_equal(pipeline.sample(5, random_state=0), chain().fit(X).sample(5, random_state=0))
    assert_array_equal(pipeline.reconstruct(X), pipeline[0].reconstruct(X))


def test_codes_can_be_standardized_before_the_sampler(digits):
    X, _ = digits
    pipeline = chain(StandardScaler()).fit(X)
    Z = pipeline[:-1].transform(X)
    assert_allclose(Z.mean(axis=0), 0, atol=1e-3)
    assert_allclose(pipeline[-1].mean_, 0, atol=1e-3)


@pytest.mark.parametrize(
    "estimator", [GaussianMixture(2, random_state=0), KernelDensity(bandwidth=0.1)]
)
def test_density_estimators_of_scikit_learn_are_samplers(estimator, digits):
    pipeline = chain(sampler=estimator).fit(digits[0])
    X_new = pipeline.sample(6)
    assert X_new.shape == (6, 1, 8, 8) and X_new.dtype == np.float32
    assert not np.allclose(pipeline.sample(6), X_new)
    assert_array_equal(pipeline.sample(6, random_state=0), pipeline.sample(6, random_state=0))


@pytest.mark.parametrize("density", [GaussianMixture(random_state=0), KernelDensity()])
def test_score_is_a_mean_whatever_the_sampler(density, digits):
    """That of `KernelDensity` is a sum."""
    X, _ = digits
    pipeline = chain(sampler=density).fit(X)
    assert pipeline.score(X) == pytest.approx(pipeline.score_samples(X).mean())


def test_parameters_are_reached_by_the_names_of_the_steps():
    pipeline = chain(StandardScaler())
    pipeline.set_params(autoencoder__latent_dim=7, sampler__shrinkage=0.5, standardscaler=PCA())
    assert pipeline["autoencoder"].latent_dim == 7
    assert pipeline.named_steps.sampler.shrinkage == 0.5
    assert isinstance(pipeline[1], PCA)


def test_slices_are_pipelines_too(digits):
    X, _ = digits
    pipeline = chain(StandardScaler()).fit(X)
    assert_allclose(
        pipeline[:-1].transform(X), pipeline[1].transform(pipeline[0].transform(X)), rtol=1e-6
    )


def test_a_slice_without_the_sampler_can_be_fitted(digits):
    X, _ = digits
    assert chain(StandardScaler())[:-1].fit(X).transform(X[:2]).shape[0] == 2


def test_a_slice_of_all_steps_keeps_the_prior(with_prior):
    expected = with_prior.sample(3, random_state=0)
    assert_array_equal(with_prior[:].sample(3, random_state=0), expected)


def test_make_latent_pipeline_numbers_steps_of_one_class():
    pipeline = make_latent_pipeline(
        ConvAutoencoder(), StandardScaler(), StandardScaler(), GaussianSampler()
    )
    names = ["autoencoder", "standardscaler-1", "standardscaler-2", "sampler"]
    assert list(pipeline.named_steps) == names


def test_interpolate_takes_steps_that_give_data_frames(digits):
    pandas = pytest.importorskip("pandas")
    X, _ = digits
    scaler = StandardScaler().set_output(transform="pandas")
    pipeline = chain(scaler).fit(X)
    assert isinstance(pipeline[:-1].transform(X[:2]), pandas.DataFrame)
    assert pipeline.interpolate(X[:2], X[2:4], n_steps=3).shape[:2] == (2, 3)


def test_the_autoencoder_alone_is_the_first_step(fitted, digits):
    assert_array_equal(fitted[0].transform(digits[0]), fitted[:-1].transform(digits[0]))


def test_html_shows_the_steps(fitted):
    html = fitted._repr_html_()
    assert "ConvAutoencoder" in html and "GaussianSampler" in html


def test_verbose_prints_the_time_of_each_step(digits, capsys):
    chain(verbose=True).fit(digits[0])
    printed = capsys.readouterr().out
    assert "Processing autoencoder" in printed and "Processing sampler" in printed


def test_fitted_attributes_come_from_the_steps(fitted_by_class, fitted):
    assert_array_equal(fitted_by_class.classes_, np.arange(10))
    assert fitted.image_shape_ == (1, 8, 8) and fitted.n_features_in_ == 64
    assert not hasattr(fitted, "classes_")


def test_unfitted_pipeline_says_so():
    for call in (chain().sample, lambda: chain().iter_sample(5)):
        with pytest.raises(NotFittedError, match=r"LatentGenerativePipeline .* not fitted yet"):
            call()


@pytest.mark.parametrize(
    "steps, message",
    [
        (
            [CONV, Normalizer(), GaussianSampler()],
            r"must have 'inverse_transform', but step 'normalizer' \(Normalizer\) has none",
        ),
        (
            [CONV, StandardScaler()],
            r"must have 'sample', but step 'sampler' \(StandardScaler\) has none. Use a sampler",
        ),
        (
            [CONV, LogisticRegression()],
            r"must have 'sample', but step 'sampler' \(LogisticRegression\) has none",
        ),
    ],
)
def test_steps_that_cannot_do_their_part_are_refused(steps, message, digits):
    names = ["autoencoder", *(type(step).__name__.lower() for step in steps[1:-1]), "sampler"]
    pipeline = LatentGenerativePipeline(list(zip(names, steps, strict=True)))
    with pytest.raises(TypeError, match=message):
        pipeline.fit(*digits)


# ------------------------------------------------------------------ metadata routing


class WeightKeeper(BaseEstimator):
    """A sampler that remembers the weights it was fitted with."""

    def __init__(self, shift=0.0):
        self.shift = shift

    def fit(self, X, y=None, sample_weight=None):
        self.X_, self.sample_weight_ = X, sample_weight
        return self

    def sample(self, n_samples=1):
        return self.X_[:n_samples] + self.shift, None


def test_search_routes_sample_weight_to_the_sampler(digits):
    X, y = digits
    weight = np.arange(1.0, len(X) + 1)
    folds = KFold(2)
    with config_context(enable_metadata_routing=True):
        generator = chain(sampler=WeightKeeper().set_fit_request(sample_weight=True))
        search = GridSearchCV(
            generator,
            {"sampler__shift": [0.0]},
            scoring=lambda generator, X, y=None: generator[-1].sample_weight_.sum(),
            cv=folds,
        ).fit(X, y, sample_weight=weight)
    assert_array_equal(search.best_estimator_[-1].sample_weight_, weight)
    for i, (train, _) in enumerate(folds.split(X)):
        assert search.cv_results_[f"split{i}_test_score"] == weight[train].sum()


# ------------------------------------------------------------------ make_latent_pipeline


@pytest.mark.parametrize(
    "steps, types",
    [
        ([], [ConvAutoencoder, FastHVRTSampler]),
        ([CONV], [ConvAutoencoder, FastHVRTSampler]),
        ([GaussianSampler()], [ConvAutoencoder, GaussianSampler]),
        ([CONV, GaussianMixture()], [ConvAutoencoder, GaussianMixture]),
        ([CONV, PCA()], [ConvAutoencoder, PCA, FastHVRTSampler]),
        ([PCA(), GaussianSampler()], [PCA, GaussianSampler]),
    ],
)
def test_make_latent_pipeline_fills_in_what_is_left_out(steps, types):
    pipeline = make_latent_pipeline(*steps)
    assert [type(step) for _, step in pipeline.steps] == types
    assert pipeline.steps[0][0] == "autoencoder" and pipeline.steps[-1][0] == "sampler"


def test_make_latent_pipeline_uses_what_it_is_given():
    steps = [ConvAutoencoder(), StandardScaler(), PCA(), GaussianSampler()]
    pipeline = make_latent_pipeline(*steps, memory="folder", verbose=True)
    assert list(pipeline.named_steps) == ["autoencoder", "standardscaler", "pca", "sampler"]
    assert all(used is given for (_, used), given in zip(pipeline.steps, steps, strict=True))
    assert pipeline.memory == "folder" and pipeline.verbose is True


# ------------------------------------------------------------------ new images


def test_partial_fit_begins_like_fit(digits):
    expected = chain().fit(digits[0]).sample(5, random_state=0)
    assert_array_equal(chain().partial_fit(digits[0]).sample(5, random_state=0), expected)


def test_partial_fit_keeps_the_encoder_and_adds_codes_to_the_sampler(digits):
    X = digits[0]
    pipeline = chain(StandardScaler()).fit(X[:80])
    encoder = pipeline[:-1]
    codes = encoder.transform(X)
    pipeline.partial_fit(X[80:])
    assert_array_equal(encoder.transform(X), codes)
    assert_allclose(pipeline["sampler"].mean_, codes.mean(axis=0), atol=1e-5)


def test_partial_fit_with_retrain_trains_the_encoder_and_fits_the_rest_anew(digits):
    X = digits[0]
    pipeline = chain(StandardScaler()).fit(X[:80])
    pipeline.partial_fit(X[80:], retrain=True)
    assert pipeline["autoencoder"].n_iter_ == 2
    assert pipeline["standardscaler"].n_samples_seen_ == len(X) - 80
    codes = pipeline[:-1].transform(X[80:])
    assert_allclose(pipeline["sampler"].mean_, codes.mean(axis=0), atol=1e-5)


class Own:
    """A sampler that knows nothing of scikit-learn."""

    def fit(self, X, y=None):
        self.codes = X
        return self

    def sample(self, n_samples):
        return self.codes[:n_samples]


class Halfway(Own):
    """Fails, from the second fit on, when it has changed already."""

    def fit(self, X, y=None):
        again = hasattr(self, "codes")
        super().fit(X)
        if again:
            raise KeyboardInterrupt
        return self


def test_partial_fit_with_retrain_that_is_interrupted_changes_nothing(digits):
    X = digits[0]
    pipeline = chain(sampler=Halfway()).fit(X[:80])
    before = pipeline.sample(2, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        pipeline.partial_fit(X[80:], retrain=True)
    assert_array_equal(pipeline.sample(2, random_state=0), before)


def test_partial_fit_takes_labels(fitted_by_class, digits):
    pipeline = deepcopy(fitted_by_class)
    new = pipeline.partial_fit(digits[0][:9], np.full(9, 77))
    assert 77 in new.classes_ and new.sample(3, y=77).shape == (3, 1, 8, 8)


def test_an_autoencoder_that_cannot_be_trained_further_is_named_and_nothing_changes(digits):
    X = digits[0].reshape(len(digits[0]), -1)
    pipeline = LatentGenerativePipeline([("pca", PCA(2)), ("sampler", GaussianSampler())]).fit(X)
    before = pipeline.sample(5, random_state=0)
    with pytest.raises(AttributeError, match=r"in step 'pca', but PCA has none"):
        pipeline.partial_fit(X, retrain=True)
    assert_array_equal(pipeline.sample(5, random_state=0), before)


def test_partial_fit_names_the_step_that_lacks_it(digits):
    pipeline = chain(sampler=GaussianMixture(random_state=0)).fit(digits[0])
    with pytest.raises(AttributeError, match="retrain=False needs 'partial_fit' in step"):
        pipeline.partial_fit(digits[0])
    pipeline.partial_fit(digits[0], retrain=True)
    assert len(pipeline.sample(2)) == 2


def test_any_object_with_fit_and_sample_is_a_sampler(digits):
    pipeline = chain(sampler=Own())
    with pytest.raises(NotFittedError):
        pipeline.sample(2)
    assert pipeline.fit(digits[0]).sample(2).shape == (2, *digits[0].shape[1:])


# ------------------------------------------------------------------ steps of one's own


class Halving:
    """Every second column of bytes; learns nothing, and cannot tell whether it is fitted."""

    def fit(self, X, y=None):
        return self

    def fit_transform(self, X, y=None):
        return self.transform(X)

    def transform(self, X):
        assert X.ndim == 3 and X.dtype == np.uint8
        return X[:, :, ::2].reshape(len(X), -1).astype(np.float32)

    def inverse_transform(self, Z):
        columns = np.rint(Z).clip(0, 255).astype(np.uint8).reshape(-1, 8, 4)
        return np.repeat(columns, 2, axis=2)


class HalvingEstimator(Halving, BaseEstimator):
    """The same as an estimator."""


@pytest.mark.parametrize("step", [Halving(), HalvingEstimator()], ids=["object", "estimator"])
def test_a_step_of_ones_own_gets_images_as_they_came_from_every_caller(step, digits, tmp_path):
    X = np.rint(digits[0][:, 0] * 255).astype(np.uint8)
    pipeline = LatentGenerativePipeline([("own", step), ("sampler", GaussianSampler())])
    with pytest.raises(NotFittedError):
        pipeline.sample()
    X_new = pipeline.fit(X[:150]).sample(50, random_state=0)
    assert X_new.shape == (50, 8, 8) and X_new.dtype == np.uint8
    assert_array_equal(pipeline.reconstruct(X)[:, :, ::2], X[:, :, ::2])
    encoder = pipeline[:-1]
    assert encoder.inverse_transform(encoder.transform(X[:3])).shape == (3, 8, 8)
    report = generation_report(X[150:], X_new, X_train=X[:150], encoder=encoder)
    assert 0.5 < report["novelty"] < 2
    with pytest.warns(UserWarning, match="trusted"):
        save_model(pipeline, tmp_path / "model.latentgen")
    copy = load_model(tmp_path / "model.latentgen", trusted=[type(step)])
    assert_array_equal(copy.sample(50, random_state=0), X_new)


def test_a_failed_fit_does_not_count_as_one(digits):
    pipeline = LatentGenerativePipeline([("own", Halving()), ("sampler", GaussianSampler())])
    with pytest.raises(AssertionError):
        pipeline.fit(digits[0])
    with pytest.raises(NotFittedError):
        pipeline.reconstruct(digits[0])
