import joblib
import numpy as np
import pytest
from joblib import parallel_config
from scipy.special import logsumexp
from scipy.stats import chisquare
from sklearn.base import BaseEstimator, clone
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity

from latentgen.samplers import (
    ConditionalSampler,
    EnsembleSampler,
    FastHVRTSampler,
    GaussianSampler,
    KernelDensitySampler,
    NormalizingFlowSampler,
)

LABELS = np.array(["ant", "bee", "cat"])


@pytest.fixture(scope="module")
def data():
    """Three clusters at 0, 10 and 20 with 60, 30 and 10 rows, shuffled."""
    rng = np.random.RandomState(0)
    codes = rng.permutation(np.repeat([0, 1, 2], [60, 30, 10]))
    return rng.standard_normal((100, 2)) + 10 * codes[:, None], LABELS[codes]


@pytest.fixture(scope="module")
def sampler(data):
    return ConditionalSampler(GaussianSampler(shrinkage=0.1)).fit(*data)


def labels_of(Z):
    return LABELS[np.clip(np.rint(Z.mean(axis=1) / 10), 0, 2).astype(int)]


def test_fit_learns_classes_and_their_shares(sampler):
    np.testing.assert_array_equal(sampler.classes_, LABELS)
    np.testing.assert_allclose(sampler.class_prior_, [0.6, 0.3, 0.1])
    assert len(sampler.samplers_) == 3


def test_array_of_labels_gives_one_row_per_label_in_order(sampler):
    y = np.random.RandomState(1).choice(LABELS, 50)
    X_new = sampler.sample(y=y, random_state=0)
    assert X_new.dtype == np.float32
    np.testing.assert_array_equal(labels_of(X_new), y)
    assert len(sampler.sample(50, y=list(y))) == 50


def test_one_label_gives_all_rows_of_its_class(sampler):
    X_new = sampler.sample(20, y="cat", random_state=0)
    assert X_new.shape == (20, 2) and set(labels_of(X_new)) == {"cat"}


def test_no_label_gives_the_training_shares(sampler):
    y = labels_of(sampler.sample(5000, random_state=0))
    hits = np.unique(y, return_counts=True)[1]
    assert chisquare(hits, 5000 * sampler.class_prior_).pvalue > 0.01
    assert np.mean(y[1:] != y[:-1]) > 0.4


def test_same_seed_same_bytes(sampler):
    draws = [sampler.sample(9, random_state=5).tobytes() for _ in range(2)]
    assert draws[0] == draws[1] != sampler.sample(9).tobytes()


@pytest.mark.parametrize(
    "inner",
    [
        None,
        FastHVRTSampler("local_gaussian"),
        GaussianMixture(2),
        KernelDensity(bandwidth=0.5),
    ],
)
def test_any_density_can_be_conditional(inner, data):
    y = np.repeat(LABELS, 5)
    X_new = ConditionalSampler(inner).fit(*data).sample(y=y, random_state=0)
    np.testing.assert_array_equal(labels_of(X_new), y)


def test_default_is_the_fast_hvrt_sampler(data):
    samplers = ConditionalSampler().fit(*data).samplers_
    assert all(isinstance(inner, FastHVRTSampler) for inner in samplers)


def test_integer_labels_come_as_python_or_numpy_integers(data):
    X, y = data
    sampler = ConditionalSampler(GaussianSampler()).fit(X, np.searchsorted(LABELS, y))
    for label in (2, np.int8(2), 2.0):
        assert sampler.sample(y=label, random_state=0).mean() > 15


def test_classes_get_seeds_of_their_own_derived_from_the_inner_one(data):
    def seeds(random_state, n_jobs=None):
        sampler = ConditionalSampler(GaussianMixture(random_state=random_state), n_jobs=n_jobs)
        return [inner.random_state for inner in sampler.fit(*data).samplers_]

    with parallel_config(backend="threading"):
        assert seeds(0) == seeds(0, n_jobs=2)
    assert seeds(0) == seeds(np.random.RandomState(0))
    assert len({*seeds(0), *seeds(1)}) == 6
    assert seeds(None) == [None] * 3


def test_fit_leaves_the_inner_sampler_alone(data):
    inner = GaussianSampler()
    ConditionalSampler(inner).fit(*data)
    assert not hasattr(inner, "mean_")


def test_nested_parameters_reach_the_classes(data):
    sampler = ConditionalSampler(FastHVRTSampler()).set_params(sampler__strategy="bootstrap_noise")
    assert clone(sampler).fit(*data).samplers_[2].strategy == "bootstrap_noise"


def test_grid_search_over_the_inner_sampler(data):
    search = GridSearchCV(
        ConditionalSampler(GaussianSampler()),
        {"sampler__shrinkage": [0.1, 1.0]},
        scoring=lambda sampler, X, y=None: sampler.score_samples(X).mean(),
        cv=2,
    ).fit(*data)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_score_samples_is_the_mixture_of_the_classes(sampler, data):
    X = data[0][:10]
    parts = [inner.score_samples(X) for inner in sampler.samplers_]
    expected = logsumexp(parts, axis=0, b=sampler.class_prior_[:, None])
    np.testing.assert_allclose(sampler.score_samples(X), expected)


class NoDensity(BaseEstimator):
    def fit(self, X, y=None):
        return self

    def sample(self, n_samples=1):
        return np.zeros((n_samples, 2))


def test_score_samples_is_there_if_the_inner_one_has_it():
    assert hasattr(ConditionalSampler(GaussianSampler()), "score_samples")
    assert not hasattr(ConditionalSampler(NoDensity()), "score_samples")


def test_class_with_a_single_row_works_with_fast_hvrt():
    sampler = ConditionalSampler().fit([[0.0, 0.0], [0.1, 0.1], [5.0, 5.0]], [0, 0, 1])
    np.testing.assert_allclose(sampler.sample(9, y=1, random_state=0), 5, atol=0.1)


def test_class_that_is_too_small_is_named():
    message = r"Class 'b' with n_samples = 1 cannot be fitted: .* a minimum of 2 is required"
    with pytest.raises(ValueError, match=message):
        ConditionalSampler(GaussianSampler()).fit([[0.0], [1.0], [2.0]], ["a", "a", "b"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"y": "dog"}, r"Unknown label 'dog' in 'y'. Known classes: 'ant', 'bee', 'cat'\."),
        ({"y": 1}, "Unknown label 1 in 'y'"),
        ({"y": ["ant", "cow"]}, "Unknown label 'cow'"),
        ({"n_samples": 3, "y": ["ant", "bee"]}, "asks for 2 codes, .* got n_samples=3"),
        ({"y": []}, r"shape \(0,\)"),
        ({"y": [["ant", "ant"]]}, r"shape \(1, 2\)"),
        ({"n_samples": 0}, "n_samples == 0, must be >= 1"),
    ],
)
def test_sample_refuses(sampler, arguments, message):
    with pytest.raises(ValueError, match=message):
        sampler.sample(**arguments)


def test_fit_needs_labels(data):
    with pytest.raises(ValueError, match="ConditionalSampler needs class labels"):
        ConditionalSampler().fit(data[0])


def test_fit_needs_as_many_labels_as_rows(data):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ConditionalSampler().fit(data[0], data[1][:-1])


def test_fit_needs_classes(data):
    with pytest.raises(ValueError, match="Unknown label type"):
        ConditionalSampler().fit(data[0], data[0][:, 0])


def test_inner_sampler_must_sample(data):
    with pytest.raises(ValueError, match="'sampler' parameter of ConditionalSampler"):
        ConditionalSampler("gaussian").fit(*data)


def test_near_copies_are_warned_of_once():
    y = np.repeat([0, 1], 50)
    Z = y[:, None] + np.random.RandomState(0).standard_normal((100, 8))
    copier = FastHVRTSampler("bootstrap_noise", bandwidth=1e-3, random_state=0)
    with pytest.warns(UserWarning, match="near-copies") as caught:
        ConditionalSampler(copier).fit(Z, y)
    assert ["ConditionalSampler" in str(one.message) for one in caught] == [True]


def test_new_labels_of_another_type_are_refused():
    Z, y = np.random.RandomState(0).standard_normal((20, 2)), np.repeat([0, 1], 10)
    sampler = ConditionalSampler(GaussianSampler()).fit(Z, y)
    with pytest.raises(ValueError, match=r"Known classes: \[0, 1\]"):
        sampler.partial_fit(Z, y.astype(str))
    assert sampler.sample(3, y=1, random_state=0).shape == (3, 2)


def test_new_classes_get_seeds_of_their_own():
    Z = np.random.RandomState(0).standard_normal((20, 2))
    sampler = ConditionalSampler(FastHVRTSampler(random_state=0)).fit(Z, np.repeat([0, 5], 10))
    for label in (3, 1):
        sampler.partial_fit(Z[:10], np.repeat(label, 10))
    seeds = [inner.random_state for inner in sampler.samplers_]
    assert len(set(seeds)) == 4
    at_once = ConditionalSampler(FastHVRTSampler(random_state=0)).fit(
        Z.repeat(2, axis=0), np.repeat([0, 1, 2, 3], 10)
    )
    # Classes that came as third and fourth, as if they had been there from the start.
    by_arrival = [seeds[i] for i in (0, 3, 2, 1)]
    assert by_arrival == [inner.random_state for inner in at_once.samplers_]


def test_text_is_text_whatever_its_dtype():
    Z, y = np.random.RandomState(0).standard_normal((20, 2)), np.repeat(["a", "b"], 10)
    sampler = ConditionalSampler(GaussianSampler()).fit(Z, y.astype(object))
    sampler.partial_fit(Z[:10], y[:10].tolist())
    np.testing.assert_allclose(sampler.class_prior_, [2 / 3, 1 / 3])
    with pytest.raises(ValueError, match="labels of the type seen in fit"):
        sampler.partial_fit(Z, np.repeat([0, 1], 10))


def test_classes_that_are_copied_are_named():
    Z = np.random.RandomState(0).standard_normal((41, 8))
    y = np.array(["many"] * 40 + ["single"])
    inner = FastHVRTSampler("local_gaussian", partition="local", random_state=0)
    with pytest.warns(UserWarning, match=r"these classes are near-copies .*: \['single'\]. Add"):
        ConditionalSampler(inner).fit(Z, y)


def test_inner_sampler_must_be_one_that_can_be_cloned(data):
    class Own:
        def fit(self, X):
            return self

        def sample(self, n_samples):
            return np.zeros((n_samples, 2))

    with pytest.raises(ValueError, match=r"'sampler' parameter .* 'get_params'"):
        ConditionalSampler(Own()).fit(*data)


@pytest.mark.parametrize("outer", [ConditionalSampler, EnsembleSampler])
def test_what_is_read_at_draws_may_change_after_fit(outer):
    rng = np.random.RandomState(0)
    Z, y = rng.standard_normal((200, 2)), np.arange(200) % 2
    sampler = outer(GaussianSampler()).fit(Z, y)
    assert sampler.set_params(sampler__temperature=0.0).sample(200).std() < 0.5
    nested = ConditionalSampler(EnsembleSampler(GaussianSampler(), 2, random_state=0)).fit(Z, y)
    nested.set_params(sampler__sampler__temperature=0.0)
    assert len(np.unique(nested.sample(50, random_state=0), axis=0)) <= 4


def test_another_sampler_counts_from_the_next_fit(data):
    sampler = ConditionalSampler(GaussianMixture(random_state=0)).fit(*data)
    before = sampler.sample(5, random_state=0)
    sampler.set_params(sampler=GaussianSampler(temperature=0.5))
    np.testing.assert_array_equal(sampler.sample(5, random_state=0), before)


def test_warnings_of_copies_name_the_line_of_the_user():
    Z, y = np.random.RandomState(0).standard_normal((40, 2)), np.arange(40) % 2
    for sampler in (KernelDensitySampler(1e-6), ConditionalSampler(KernelDensitySampler(1e-6))):
        with pytest.warns(UserWarning, match="near-copies") as caught:
            sampler.fit(Z, y)
        assert caught[0].filename == __file__


@pytest.mark.parametrize("outer", [ConditionalSampler, EnsembleSampler])
def test_a_distance_inside_may_change_after_fit(outer):
    rng = np.random.RandomState(0)
    Z, y = rng.standard_normal((200, 2)), np.arange(200) % 2
    sampler = outer(GaussianSampler(min_novelty=0.01)).fit(Z, y)
    member = (getattr(sampler, "samplers_", None) or sampler.estimators_)[0]
    free = sampler.sample(300, random_state=0)
    careful = sampler.set_params(sampler__min_novelty=0.5).sample(300, random_state=0)
    assert not np.allclose(free, careful)
    assert member.min_novelty == 0.01


@pytest.mark.parametrize("outer", [ConditionalSampler, EnsembleSampler])
def test_sample_leaves_members_alone(outer):
    rng = np.random.RandomState(0)
    Z, y = rng.standard_normal((200, 2)), np.arange(200) % 2
    sampler = (
        outer(ConditionalSampler(GaussianSampler()))
        if outer is EnsembleSampler
        else outer(GaussianSampler())
    )
    sampler.fit(Z, y)
    inner = "sampler__" * (2 if outer is EnsembleSampler else 1)
    sampler.set_params(**{f"{inner}temperature": 0.0})
    before = joblib.hash(sampler)
    assert len(np.unique(sampler.sample(50, random_state=0), axis=0)) <= 10
    assert joblib.hash(sampler) == before


@pytest.mark.parametrize("outer", [ConditionalSampler, EnsembleSampler])
def test_sources_are_rows_of_the_outer_fit(outer):
    rng = np.random.RandomState(0)
    Z, y = 100 * rng.standard_normal((60, 2)), rng.randint(2, size=60)
    sampler = outer(KernelDensitySampler(0.01)).fit(Z[:40], y[:40])
    sampler.partial_fit(Z[40:], y[40:])
    X_new, source = sampler.sample(300, random_state=0, return_source=True)
    np.testing.assert_allclose(X_new, Z[source.row], atol=0.1)
    assert source.row.max() >= 40
    if outer is ConditionalSampler:
        np.testing.assert_array_equal(source.label, y[source.row])
    else:
        assert set(source.estimator) == set(range(5))


def test_sources_of_members_without_are_refused(sampler):
    with pytest.raises(ValueError, match="Draws of ConditionalSampler have no source"):
        sampler.sample(3, return_source=True)


@pytest.mark.parametrize("meta", [ConditionalSampler, EnsembleSampler])
def test_a_checkpoint_that_all_members_would_share_is_refused(meta, data):
    member = NormalizingFlowSampler(max_epochs=1, checkpoint="flow.pt")
    with pytest.raises(ValueError, match="without a checkpoint, got 'checkpoint'='flow"):
        meta(member).fit(*data)
