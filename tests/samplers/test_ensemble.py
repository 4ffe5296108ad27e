import numpy as np
import pytest
from joblib import parallel_config
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import chisquare
from sklearn.base import BaseEstimator
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV

from latentgen.samplers import (
    ConditionalSampler,
    EnsembleSampler,
    FastHVRTSampler,
    GaussianSampler,
    KernelDensitySampler,
    LocalGaussianSampler,
)

# Little data, on which small inner samplers do copy.
pytestmark = pytest.mark.filterwarnings("ignore:.* near-copies")


@pytest.fixture(scope="module")
def Z():
    return np.random.RandomState(0).standard_normal((200, 2))


@pytest.fixture(scope="module")
def data():
    """Two clusters at 0 and 10; the second class has 3 of 60 rows."""
    y = np.random.RandomState(0).permutation(np.repeat(["many", "rare"], [57, 3]))
    noise = np.random.RandomState(1).standard_normal((60, 2))
    return noise + 10 * (y == "rare")[:, None], y


class Recorder(BaseEstimator):
    """Keeps every array that it is given."""

    def fit(self, X, y=None):
        self.seen_ = [X]
        return self

    def partial_fit(self, X, y=None):
        self.seen_ = [*self.seen_, X]
        return self

    def sample(self, n_samples=1):
        return np.zeros((n_samples, 1))


class Constant(BaseEstimator):
    """Draws the mean of the row numbers that it was fitted to, so that members can be told."""

    def fit(self, X, y=None):
        self.rows_ = X[:, 0]
        return self

    def sample(self, n_samples=1):
        return np.full((n_samples, 1), self.rows_.mean())


@pytest.mark.parametrize("n_estimators", [1, 2, 3])
def test_draws_come_from_all_members_alike(n_estimators):
    numbered = np.arange(100.0)[:, None]
    sampler = EnsembleSampler(Constant(), n_estimators, random_state=0).fit(numbered)
    assert len(sampler.estimators_) == n_estimators
    means = np.float32([member.rows_.mean() for member in sampler.estimators_])
    drawn, counts = np.unique(sampler.sample(6000, random_state=0), return_counts=True)
    np.testing.assert_array_equal(drawn, np.sort(means))
    assert n_estimators == 1 or chisquare(counts).pvalue > 0.01


def test_members_see_bootstrap_samples_of_their_own():
    numbered = np.arange(1000.0)[:, None]
    first, second = EnsembleSampler(Constant(), 2, random_state=0).fit(numbered).estimators_
    for member in (first, second):
        # A fraction of 1 / e of the rows is missing, with a standard deviation of 0.0098.
        assert len(member.rows_) == 1000
        assert abs(len(np.unique(member.rows_)) / 1000 - (1 - np.exp(-1))) < 0.05
    assert not np.array_equal(np.sort(first.rows_), np.sort(second.rows_))


@pytest.mark.parametrize("inner_state", [None, 0])
def test_members_get_seeds_of_their_own(Z, inner_state):
    inner = ConditionalSampler(GaussianMixture(random_state=inner_state))
    y = np.arange(200) % 2

    def seeds(random_state, n_jobs=None):
        sampler = EnsembleSampler(inner, 3, n_jobs=n_jobs, random_state=random_state).fit(Z, y)
        return [member.sampler.random_state for member in sampler.estimators_]

    with parallel_config(backend="threading"):
        assert seeds(0) == seeds(0, n_jobs=2)
    assert len({*seeds(0), *seeds(1)}) == 6


def test_random_state_chooses_the_bootstrap_samples(Z):
    first, again, other = (
        EnsembleSampler(GaussianSampler(), 2, random_state=seed).fit(Z).estimators_[1].mean_
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


@pytest.mark.parametrize("n_estimators", [1, 3])
def test_score_samples_is_the_mean_density_of_the_members(Z, n_estimators):
    sampler = EnsembleSampler(KernelDensitySampler(), n_estimators, random_state=0).fit(Z)
    parts = [member.score_samples(Z[:9]) for member in sampler.estimators_]
    expected = np.log(np.mean(np.exp(parts), axis=0))
    np.testing.assert_allclose(sampler.score_samples(Z[:9]), expected)
    assert n_estimators == 1 or np.ptp(parts, axis=0).max() > 0.01


def test_score_samples_is_there_if_the_inner_one_has_it(Z):
    assert hasattr(EnsembleSampler(GaussianSampler()), "score_samples")
    assert not hasattr(EnsembleSampler(Constant()), "score_samples")
    assert not hasattr(EnsembleSampler(Constant()).fit(Z[:, :1]), "score_samples")


def test_draws_follow_the_density(Z):
    sampler = EnsembleSampler(LocalGaussianSampler(4), 3, random_state=0).fit(Z)
    X_new = sampler.sample(4000, random_state=0)
    # The mean of q / p over draws from p is 1, for every density q.
    ratio = np.exp(GaussianSampler().fit(Z).score_samples(X_new) - sampler.score_samples(X_new))
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / np.sqrt(4000)


def test_default_is_the_fast_hvrt_sampler(Z):
    members = EnsembleSampler(n_estimators=2, random_state=0).fit(Z).estimators_
    assert [type(member) for member in members] == [FastHVRTSampler] * 2
    assert EnsembleSampler().n_estimators == 5


@pytest.mark.parametrize("seed", range(5))
def test_every_class_keeps_its_size_in_every_member(data, seed):
    Z, y = data
    sampler = EnsembleSampler(ConditionalSampler(GaussianSampler()), 3, random_state=seed)
    sampler.fit(Z, y)
    np.testing.assert_array_equal(sampler.classes_, ["many", "rare"])
    for member in sampler.estimators_:
        np.testing.assert_allclose(member.class_prior_, [0.95, 0.05])
    # The rows inside a class differ all the same.
    assert len({member.samplers_[0].mean_[0] for member in sampler.estimators_}) == 3


def test_labels_reach_the_members(data):
    inner = ConditionalSampler(GaussianSampler(shrinkage=1.0))
    sampler = EnsembleSampler(inner, 2, random_state=0).fit(*data)
    y = np.array(["rare", "many", "many", "rare"])
    X_new = sampler.sample(y=y, random_state=0)
    np.testing.assert_array_equal(X_new.mean(axis=1) > 5, y == "rare")
    assert sampler.sample(30, y="rare", random_state=0).mean() > 5
    assert sampler.sample(2000, random_state=0).mean() == pytest.approx(0.5, abs=0.2)


def test_draws_by_label_keep_their_distance(data):
    inner = ConditionalSampler(GaussianSampler(shrinkage=1.0))
    sampler = EnsembleSampler(inner, 2, min_novelty=0.8, random_state=0).fit(*data)
    X_new = sampler.sample(200, y="many", random_state=0)
    to_codes, between = cdist(X_new, data[0]), cdist(data[0], data[0])
    np.fill_diagonal(between, np.inf)
    usual = between.min(axis=1)[to_codes.argmin(axis=1)]
    assert np.all(to_codes.min(axis=1) >= 0.8 * usual)


def test_only_class_conditional_samplers_have_classes(data):
    assert not hasattr(EnsembleSampler(GaussianSampler()).fit(*data), "classes_")
    assert not hasattr(EnsembleSampler(ConditionalSampler()), "classes_")


def test_one_sampler_per_class_can_be_an_ensemble(data):
    members = EnsembleSampler(GaussianSampler(shrinkage=1.0), 2, random_state=0)
    sampler = ConditionalSampler(members).fit(*data)
    assert sampler.sample(20, y="rare", random_state=0).mean() > 5
    parts = [inner.score_samples(data[0]) for inner in sampler.samplers_]
    expected = logsumexp(parts, axis=0, b=sampler.class_prior_[:, None])
    np.testing.assert_allclose(sampler.score_samples(data[0]), expected)


def test_fit_leaves_the_inner_sampler_alone(Z):
    inner = KernelDensitySampler(random_state=7)
    EnsembleSampler(inner, 2, random_state=0).fit(Z)
    assert inner.random_state == 7 and not hasattr(inner, "bandwidth_")


def test_partial_fit_gives_members_bootstrap_samples_of_the_new_codes(Z):
    sampler = EnsembleSampler(GaussianSampler(), 2, random_state=0).fit(Z)
    before = [member.mean_ for member in sampler.estimators_]
    sampler.partial_fit(Z + 10)
    for member, mean in zip(sampler.estimators_, before, strict=True):
        assert np.all(np.abs(member.mean_ - mean - 5) < 0.5)
    first, second = (member.mean_ for member in sampler.estimators_)
    assert not np.allclose(first, second)


def test_bootstrap_samples_of_new_codes_are_as_large_as_these():
    codes = np.arange(90.0)[:, None]
    sampler = EnsembleSampler(Recorder(), 2).fit(codes[:40]).partial_fit(codes[40:])
    for member in sampler.estimators_:
        assert [len(seen) for seen in member.seen_] == [40, 50]
        assert member.seen_[1].min() >= 40


def test_batches_of_one_size_get_other_bootstrap_samples():
    rows = np.arange(50.0)[:, None]
    sampler = EnsembleSampler(Recorder(), 1, random_state=0).fit(rows)
    for _ in range(2):
        sampler.partial_fit(rows)
    (seen,) = (member.seen_ for member in sampler.estimators_)
    assert len(seen) == 3
    assert not any(np.array_equal(seen[i], seen[j]) for i, j in [(0, 1), (0, 2), (1, 2)])


def test_partial_fit_is_there_if_the_inner_one_has_it():
    assert hasattr(EnsembleSampler(GaussianSampler()), "partial_fit")
    assert not hasattr(EnsembleSampler(Constant()), "partial_fit")


def test_partial_fit_takes_in_a_new_class(data):
    sampler = EnsembleSampler(ConditionalSampler(GaussianSampler(shrinkage=1.0)), 2).fit(*data)
    sampler.partial_fit(data[0][:9] + 40, ["new"] * 9)
    np.testing.assert_array_equal(sampler.classes_, ["many", "new", "rare"])
    assert sampler.sample(20, y="new", random_state=0).min() > 25


def test_grid_search_over_members_and_inner_parameters(Z):
    search = GridSearchCV(
        EnsembleSampler(GaussianSampler(), random_state=0),
        {"n_estimators": [1, 2], "sampler__shrinkage": [0.1, 1.0]},
        scoring=lambda sampler, X, y=None: sampler.score_samples(X).mean(),
        cv=2,
    ).fit(Z)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"y": "dog"}, "Unknown label 'dog' in 'y'. Known classes: 'many', 'rare'"),
        ({"n_samples": 3, "y": ["many", "rare"]}, "asks for 2 codes, .* got n_samples=3"),
        ({"y": []}, r"shape \(0,\)"),
        ({"n_samples": 0}, "n_samples == 0, must be >= 1"),
        ({"n_samples": 0, "y": "rare"}, "n_samples == 0, must be >= 1"),
    ],
)
def test_sample_refuses(data, arguments, message):
    sampler = EnsembleSampler(ConditionalSampler(GaussianSampler(shrinkage=1.0)), 2).fit(*data)
    with pytest.raises(ValueError, match=message):
        sampler.sample(**arguments)


@pytest.mark.parametrize(
    "sampler, message",
    [
        (EnsembleSampler("gaussian"), "'sampler' parameter of EnsembleSampler must be"),
        (EnsembleSampler(n_estimators=0), "'n_estimators' parameter of EnsembleSampler must be"),
        (EnsembleSampler(ConditionalSampler()), "EnsembleSampler needs class labels"),
        (EnsembleSampler(GaussianSampler(shrinkage=2)), "'shrinkage' parameter of Gaussian"),
    ],
)
def test_fit_refuses(Z, sampler, message):
    with pytest.raises(ValueError, match=message):
        sampler.fit(Z)


def test_fit_needs_as_many_labels_as_rows(data):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        EnsembleSampler(ConditionalSampler()).fit(data[0], data[1][:-1])
