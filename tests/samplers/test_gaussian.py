import tracemalloc

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from latentgen.samplers import GaussianSampler

MEAN, COVARIANCE = np.array([1.0, -2.0]), np.array([[2.0, 0.9], [0.9, 0.5]])


@pytest.fixture(scope="module")
def Z():
    return np.random.RandomState(0).multivariate_normal(MEAN, COVARIANCE, size=20_000)


@pytest.mark.parametrize(
    "covariance, mean, expected",
    [
        ("full", MEAN, COVARIANCE),
        ("diag", MEAN, np.diag(np.diag(COVARIANCE))),
        ("identity", np.zeros(2), np.eye(2)),
    ],
)
def test_draws_have_the_mean_and_covariance(Z, covariance, mean, expected):
    X_new = GaussianSampler(covariance=covariance).fit(Z).sample(20_000, random_state=0)
    # Data and draws both err: five standard errors of a difference.
    tolerance = 5 * np.sqrt(2 / 20_000)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.all(np.abs(X_new.mean(axis=0) - mean) < tolerance * np.sqrt(np.diag(expected)))
    assert np.all(np.abs(np.cov(X_new.T) - expected) < 1.5 * tolerance * scale)


@pytest.mark.parametrize("covariance", ["full", "diag", "identity"])
def test_score_samples_is_the_normal_log_density(Z, covariance):
    sampler = GaussianSampler(covariance=covariance).fit(Z)
    reference = multivariate_normal(sampler.mean_, sampler.factor_ @ sampler.factor_.T)
    np.testing.assert_allclose(sampler.score_samples(Z[:50]), reference.logpdf(Z[:50]), rtol=1e-9)


def test_full_shrinkage_gives_a_sphere(Z):
    factor = GaussianSampler(shrinkage=1.0).fit(Z).factor_
    np.testing.assert_allclose(factor @ factor.T, np.trace(np.cov(Z.T)) / 2 * np.eye(2), rtol=1e-6)


def test_half_shrinkage_halves_the_covariance(Z):
    factor = GaussianSampler(shrinkage=0.5).fit(Z).factor_
    assert (factor @ factor.T)[0, 1] == pytest.approx(np.cov(Z.T)[0, 1] / 2)


@pytest.mark.parametrize("covariance", ["full", "diag", "identity"])
def test_temperature_multiplies_the_distance_from_the_mean(Z, covariance):
    cold, hot, plain = (
        GaussianSampler(covariance=covariance, temperature=t).fit(Z) for t in (0.0, 3.0, 1.0)
    )
    mean = cold.sample(5, random_state=0)
    np.testing.assert_allclose(mean, np.tile(cold.mean_, (5, 1)), rtol=1e-6)
    draws = plain.sample(5, random_state=0), hot.sample(5, random_state=0)
    np.testing.assert_allclose(draws[1] - mean, 3 * (draws[0] - mean), rtol=1e-4)
    np.testing.assert_allclose(hot.score_samples(Z[:5]), plain.score_samples(Z[:5]))


@pytest.mark.parametrize("covariance", ["full", "diag", "identity"])
def test_partial_fit_is_a_fit_to_all_codes(Z, covariance):
    whole = GaussianSampler(covariance=covariance).fit(Z)
    parts = GaussianSampler(covariance=covariance).fit(Z[:100]).partial_fit(Z[100:])
    np.testing.assert_allclose(parts.mean_, whole.mean_, atol=1e-9)
    np.testing.assert_allclose(parts.factor_, whole.factor_, atol=1e-9)


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_mapped_codes_are_read_in_blocks(order, tmp_path):
    shape, path = (200_000, 16), tmp_path / "codes.npy"
    Z = np.lib.format.open_memmap(path, "w+", np.float32, shape, fortran_order=order == "F")
    Z[:] = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    sampler = GaussianSampler().fit(Z[:100])
    tracemalloc.start()
    sampler.partial_fit(Z)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.6 * Z.nbytes


@pytest.mark.parametrize("covariance", ["full", "diag", "identity"])
@pytest.mark.parametrize(
    "codes",
    [np.ones((5, 3)), np.random.RandomState(0).standard_normal((3, 20)), np.arange(6.0)[:, None]],
    ids=["constant", "wide", "one-feature"],
)
def test_unusual_codes(covariance, codes):
    sampler = GaussianSampler(covariance=covariance).fit(codes)
    assert np.isfinite(sampler.sample(50, random_state=0)).all()
    assert np.isfinite(sampler.score_samples(codes)).all()


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_features_of_very_different_units_keep_their_covariance(covariance):
    """A ridge in units of the mean variance made narrow features a million times too wide."""
    unit = np.array([1e-6, 1.0, 1e6])
    Z = np.random.RandomState(0).standard_normal((500, 3)) @ [[1, 0.5, 0.2], [0, 1, 0.5], [0, 0, 1]]
    plain = GaussianSampler(covariance=covariance).fit(Z)
    scaled = GaussianSampler(covariance=covariance).fit(Z * unit)
    np.testing.assert_allclose(scaled.factor_, unit[:, None] * plain.factor_, rtol=1e-6)
    draws = scaled.sample(50, random_state=0)
    np.testing.assert_allclose(draws / unit, plain.sample(50, random_state=0), rtol=1e-4)
    scores = scaled.score_samples(Z * unit) + np.log(unit).sum()
    np.testing.assert_allclose(scores, plain.score_samples(Z), rtol=1e-6)


def test_constant_features_stay_constant():
    Z = np.random.RandomState(0).standard_normal((200, 3)) * [1e3, 0.0, 1e-3] + [0, 7, 0]
    sampler = GaussianSampler().fit(Z)
    np.testing.assert_allclose(sampler.sample(50, random_state=0)[:, 1], 7, atol=1e-6)
    assert sampler.factor_[1, 1] == pytest.approx(1e-4 * Z[:, 2].std(ddof=1))


def test_draws_of_float32_codes_are_float32(Z):
    assert GaussianSampler().fit(Z.astype(np.float32)).sample(3).dtype == np.float32


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"covariance": "tied"}, "'covariance' parameter of GaussianSampler must be"),
        ({"shrinkage": 1.5}, r"'shrinkage' parameter .* in the range \[0\.0, 1\.0\]"),
    ],
)
def test_fit_refuses(Z, parameters, message):
    with pytest.raises(ValueError, match=message):
        GaussianSampler(**parameters).fit(Z)


def test_one_sample_is_refused():
    with pytest.raises(ValueError, match=r"1 sample.* minimum of 2 is required by GaussianSampler"):
        GaussianSampler().fit([[1.0, 2.0]])


@pytest.mark.parametrize("seed", [0, 1])
def test_novelty_does_not_depend_on_the_seed_of_the_codes(seed):
    Z = 5 + np.random.RandomState(seed).standard_normal((500, 8))
    sampler = GaussianSampler().fit(Z)
    assert sampler.novelty_ > 0.8 and sampler.near_copies_ < 0.05
    # Nor do draws follow the codes when they get the same seed.
    assert np.linalg.norm(sampler.sample(500, random_state=seed) - Z, axis=1).min() > 0.1


def test_draws_have_no_source(Z):
    with pytest.raises(ValueError, match="have no source"):
        GaussianSampler().fit(Z).sample(return_source=True)
