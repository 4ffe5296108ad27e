import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from latentgen.samplers import GaussianMixtureSampler

TYPES = ["full", "tied", "diag", "spherical"]
all_types = pytest.mark.parametrize("covariance_type", TYPES)
both = pytest.mark.parametrize("bayesian", [False, True])


@pytest.fixture(scope="module")
def Z():
    """Two clusters with 500 and 200 rows and covariances of their own."""
    rng = np.random.RandomState(0)
    first = rng.multivariate_normal([0, 0, 0], np.diag([2, 1, 0.5]) + 0.4, 500)
    second = rng.multivariate_normal([12, 0, 4], 0.3 * np.eye(3) + 0.1, 200)
    return rng.permutation(np.concatenate([first, second]))


def covariances_of(mixture):
    """The covariances as matrices, whatever their type."""
    covariances, n_features = mixture.covariances_, mixture.means_.shape[1]
    if mixture.covariance_type == "tied":
        covariances = np.tile(covariances, (len(mixture.means_), 1, 1))
    if mixture.covariance_type == "spherical":
        covariances = np.repeat(covariances[:, None], n_features, axis=1)
    return covariances if covariances.ndim == 3 else np.array([np.diag(c) for c in covariances])


@both
@all_types
def test_draws_of_each_component_have_its_moments(Z, covariance_type, bayesian):
    sampler = GaussianMixtureSampler(
        2, covariance_type=covariance_type, bayesian=bayesian, random_state=0
    ).fit(Z)
    X_new = sampler.sample(40_000, random_state=0)
    mixture = sampler.mixture_
    component = (X_new[:, 0] > 6) == (mixture.means_[1, 0] > 6)
    for k, covariance in enumerate(covariances_of(mixture)):
        rows = X_new[component == k]
        fraction = mixture.weights_[k]
        assert abs(len(rows) / 40_000 - fraction) < 5 * np.sqrt(fraction * (1 - fraction) / 40_000)
        error, deviations = 5 / np.sqrt(len(rows)), np.sqrt(np.diag(covariance))
        assert np.all(np.abs(rows.mean(axis=0) - mixture.means_[k]) < error * deviations)
        gap = np.abs(np.cov(rows.T) - covariance) / np.outer(deviations, deviations)
        assert np.all(gap < 1.5 * error)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@both
@all_types
def test_score_samples_is_the_log_density_of_the_mixture(Z, covariance_type, bayesian):
    sampler = GaussianMixtureSampler(
        3, covariance_type=covariance_type, bayesian=bayesian, random_state=0
    ).fit(Z)
    mixture = sampler.mixture_
    parts = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(Z[:50])
        for weight, mean, covariance in zip(
            mixture.weights_, mixture.means_, covariances_of(mixture), strict=True
        )
    ]
    np.testing.assert_allclose(sampler.score_samples(Z[:50]), logsumexp(parts, axis=0), rtol=1e-6)


@both
def test_parameters_reach_the_mixture(Z, bayesian):
    parameters = {
        "n_components": 3,
        "covariance_type": "diag",
        "max_iter": 7,
        "tol": 0.5,
        "reg_covar": 0.01,
        "n_init": 2,
        "init_params": "random_from_data",
    }
    sampler = GaussianMixtureSampler(**parameters, bayesian=bayesian, random_state=0).fit(Z)
    assert type(sampler.mixture_) is (BayesianGaussianMixture if bayesian else GaussianMixture)
    assert parameters.items() <= sampler.mixture_.get_params().items()


def test_the_fit_is_that_of_scikit_learn(Z):
    """Also from float32 codes, which scikit-learn would fit in float32."""
    mixture = GaussianMixtureSampler(2, random_state=0).fit(Z.astype(np.float32)).mixture_
    expected = GaussianMixture(2, random_state=mixture.random_state)
    expected.fit(Z.astype(np.float32).astype(np.float64))
    np.testing.assert_allclose(mixture.covariances_, expected.covariances_)
    assert mixture.covariances_.dtype == np.float64


def test_random_state_chooses_the_start(Z):
    first, again, other = (
        GaussianMixtureSampler(8, init_params="random_from_data", random_state=seed)
        .fit(Z)
        .mixture_.means_
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


@pytest.mark.filterwarnings("ignore:.* near-copies")
@all_types
def test_temperature_scales_the_noise_of_components(Z, covariance_type):
    cold, hot, plain = (
        GaussianMixtureSampler(
            2, covariance_type=covariance_type, temperature=t, random_state=0
        ).fit(Z)
        for t in (0.0, 2.0, 1.0)
    )
    means = np.float32(cold.mixture_.means_)
    np.testing.assert_array_equal(
        np.unique(cold.sample(500, random_state=0), axis=0), np.unique(means, axis=0)
    )
    # The same seed gives the same components and the same noise.
    centers = cold.sample(500, random_state=0)
    np.testing.assert_allclose(
        hot.sample(500, random_state=0) - centers,
        2 * (plain.sample(500, random_state=0) - centers),
        atol=1e-5,
    )
    np.testing.assert_array_equal(hot.score_samples(Z[:5]), plain.score_samples(Z[:5]))


def test_rows_come_in_random_order(Z):
    far = GaussianMixtureSampler(2, random_state=0).fit(Z).sample(1000, random_state=0)[:, 0] > 6
    fraction = far.mean()
    assert abs(np.mean(far[1:] != far[:-1]) - 2 * fraction * (1 - fraction)) < 0.07


# ------------------------------------------------------------------ edges


@both
@all_types
@pytest.mark.parametrize(
    "codes",
    [np.ones((5, 3)), np.random.RandomState(0).standard_normal((4, 20)), np.arange(6.0)[:, None]],
    ids=["constant", "wide", "one-feature"],
)
@pytest.mark.filterwarnings("ignore:.* near-copies")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_unusual_codes(covariance_type, bayesian, codes):
    sampler = GaussianMixtureSampler(
        2, covariance_type=covariance_type, bayesian=bayesian, random_state=0
    ).fit(codes)
    assert np.isfinite(sampler.sample(50, random_state=0)).all()
    assert np.isfinite(sampler.score_samples(codes)).all()


def test_a_fit_that_is_cut_short_warns(Z):
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        GaussianMixtureSampler(5, max_iter=1, tol=0.0, random_state=0).fit(Z)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"n_components": 701}, "'n_components'=701 needs at least as many codes, got n_samples"),
        ({"n_components": 0}, "'n_components' parameter of GaussianMixtureSampler must be"),
        ({"covariance_type": "half"}, "'covariance_type' parameter of GaussianMixtureSampler must"),
        ({"bayesian": "yes"}, "'bayesian' parameter of GaussianMixtureSampler must be"),
        ({"reg_covar": -1}, "'reg_covar' parameter of GaussianMixtureSampler must be"),
        ({"init_params": "best"}, "'init_params' parameter of GaussianMixtureSampler must be"),
        ({"temperature": -1}, "'temperature' parameter of GaussianMixtureSampler must be"),
    ],
)
def test_fit_refuses(Z, parameters, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixtureSampler(**parameters).fit(Z)


def test_one_sample_is_refused():
    with pytest.raises(ValueError, match="minimum of 2 is required by GaussianMixtureSampler"):
        GaussianMixtureSampler(1).fit([[1.0, 2.0]])


def test_draws_have_no_source(Z):
    with pytest.raises(ValueError, match="have no source"):
        GaussianMixtureSampler(2).fit(Z).sample(return_source=True)
