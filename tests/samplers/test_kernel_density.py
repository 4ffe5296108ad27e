import tracemalloc

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid, trapezoid
from scipy.special import gammaln, logsumexp
from scipy.stats import kstest
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KernelDensity

from latentgen.samplers import KernelDensitySampler, _kernel_density
from latentgen.samplers._kernel_density import _kernel_std

KERNELS = ["gaussian", "tophat", "epanechnikov", "exponential", "linear", "cosine"]
BOUNDED = ["tophat", "epanechnikov", "linear", "cosine"]
BANDWIDTH = 0.7

pytestmark = pytest.mark.filterwarnings("ignore:.* near-copies")
all_kernels = pytest.mark.parametrize("kernel", KERNELS)
all_dimensions = pytest.mark.parametrize("d", [1, 2, 3, 16])


@pytest.fixture(scope="module")
def Z():
    """Two clusters, 300 rows in 3 dimensions."""
    rng = np.random.RandomState(0)
    return rng.standard_normal((300, 3)) + 6 * rng.randint(2, size=(300, 1))


def radial_density(sampler, d):
    """Radii and the density of the distance from the one center, from ``score_samples``."""
    reach = 1 if sampler.kernel in BOUNDED else d + 12 * np.sqrt(d)
    # Just inside the edge, which belongs to the support in some kernels and not in others.
    radii = np.linspace(0, reach * BANDWIDTH * (1 - 1e-12), 4001)
    points = np.zeros((len(radii), d))
    points[:, 0] = radii
    log_area = np.log(2) + d / 2 * np.log(np.pi) - gammaln(d / 2)
    with np.errstate(divide="ignore"):
        log_radial = (d - 1) * np.log(radii) if d > 1 else np.zeros(len(radii))
        return radii, np.exp(log_area + log_radial + sampler.score_samples(points))


def one_kernel(kernel, d):
    """A sampler with all its codes at the origin."""
    return KernelDensitySampler(BANDWIDTH, kernel=kernel).fit(np.zeros((2, d)))


@all_dimensions
@all_kernels
def test_lengths_of_draws_follow_the_density(kernel, d):
    sampler = one_kernel(kernel, d)
    radii, density = radial_density(sampler, d)
    distribution = cumulative_trapezoid(density, radii, initial=0)
    assert distribution[-1] == pytest.approx(1, abs=1e-3)
    lengths = np.linalg.norm(sampler.sample(10_000, random_state=0).astype(float), axis=1)
    assert kstest(lengths, lambda r: np.interp(r, radii, distribution)).pvalue > 0.01


@all_dimensions
@all_kernels
def test_moments_of_each_feature_follow_the_density(kernel, d):
    sampler = one_kernel(kernel, d)
    radii, density = radial_density(sampler, d)
    variance = trapezoid(density * radii**2, radii) / d
    # E[x^4] = 3 E[r^4] / (d (d + 2)) on the sphere.
    fourth = 3 * trapezoid(density * radii**4, radii) / (d * (d + 2))
    X_new = sampler.sample(20_000, random_state=1).astype(float)
    error = 5 / np.sqrt(len(X_new))
    assert np.all(np.abs(X_new.mean(axis=0)) < error * np.sqrt(variance))
    covariance = X_new.T @ X_new / len(X_new)
    assert np.all(np.abs(np.diag(covariance) - variance) < error * np.sqrt(fourth - variance**2))
    off = covariance - np.diag(np.diag(covariance))
    assert np.all(np.abs(off) < error * np.sqrt(fourth / 3))
    assert _kernel_std(kernel, d) * BANDWIDTH == pytest.approx(np.sqrt(variance), rel=1e-3)


@all_kernels
def test_density_integrates_to_one(kernel, Z):
    sampler = KernelDensitySampler(0.3, kernel=kernel).fit(Z[:, :1])
    grid = np.linspace(-12, 18, 20_001)
    assert trapezoid(np.exp(sampler.score_samples(grid[:, None])), grid) == pytest.approx(1, 1e-3)


@all_kernels
def test_score_samples_is_that_of_scikit_learn(kernel, Z):
    Z = Z.astype(np.float32)
    sampler = KernelDensitySampler(1.5, kernel=kernel).fit(Z)
    expected = KernelDensity(bandwidth=1.5, kernel=kernel).fit(Z).score_samples(Z[:50])
    np.testing.assert_allclose(sampler.score_samples(Z[:50]), expected, rtol=1e-9)


@all_kernels
def test_draws_start_from_all_codes_alike(kernel):
    sampler = KernelDensitySampler(0.01, kernel=kernel).fit(np.arange(8.0)[:, None])
    counts = np.bincount(np.rint(sampler.sample(8000, random_state=0)[:, 0]).astype(int))
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)


def test_draws_start_from_their_source(Z):
    sampler = KernelDensitySampler(0.5, kernel="tophat").fit(Z[:200]).partial_fit(Z[200:])
    X_new, source = sampler.sample(500, random_state=0, return_source=True)
    assert np.linalg.norm(X_new - Z[source.row], axis=1).max() == pytest.approx(0.5, abs=0.01)
    assert source.row.max() >= 200


def test_temperature_scales_the_bandwidth_of_draws(Z):
    cold, warm = (
        KernelDensitySampler(0.5, kernel="tophat", temperature=t).fit(Z) for t in (0.0, 3.0)
    )
    gaps = np.abs(cold.sample(50, random_state=0)[:, None] - Z.astype(np.float32)).max(axis=2)
    assert gaps.min(axis=1).max() == 0
    assert warm.bandwidth_ == 0.5
    np.testing.assert_allclose(warm.score_samples(Z[:5]), cold.score_samples(Z[:5]))
    one = KernelDensitySampler(0.5, kernel="tophat", temperature=3).fit(np.zeros((2, 3)))
    assert np.linalg.norm(one.sample(5000, random_state=0), axis=1).max() == pytest.approx(
        1.5, 0.01
    )


def kernel_at(kernel, distance):
    """Kernel of bandwidth 1 without its constant."""
    values = {
        "gaussian": np.exp(-0.5 * distance**2),
        "tophat": 1.0 * (distance < 1),
        "epanechnikov": 1 - distance**2,
        "exponential": np.exp(-distance),
        "linear": 1 - distance,
        "cosine": np.cos(np.pi / 2 * distance),
    }[kernel]
    return np.where(distance < 1, values, 0) if kernel in BOUNDED else values


@pytest.mark.parametrize("bandwidth", [0.05, 2.0, 40.0])
@pytest.mark.parametrize("d", [1, 2, 64])
@all_kernels
def test_density_is_the_sum_of_all_kernels(kernel, d, bandwidth, monkeypatch):
    """scikit-learn's tree gave -95.9 in 64 dimensions where this is -162.3."""
    monkeypatch.setattr(_kernel_density, "_BLOCK_CODES", 30)
    rng = np.random.RandomState(0)
    codes, X = rng.standard_normal((100, d)), rng.standard_normal((20, d))
    X[:3] = codes[:3]
    values = kernel_at(kernel, np.linalg.norm(X[:, None] - codes, axis=2) / bandwidth)
    reach = 1 - 1e-12 if kernel in BOUNDED else d + 20 * np.sqrt(d)
    radii = np.linspace(0, reach, 20_001)
    volume = np.log(trapezoid(kernel_at(kernel, radii) * radii ** (d - 1), radii))
    volume += np.log(2) + d / 2 * np.log(np.pi) - gammaln(d / 2) + d * np.log(bandwidth)
    with np.errstate(divide="ignore"):
        expected = np.log(values.mean(axis=1)) - volume
    scores = KernelDensitySampler(bandwidth, kernel=kernel).fit(codes).score_samples(X)
    # The integral is that good.
    seen = np.isfinite(expected) & (values.max(axis=1) > 1e-300)
    np.testing.assert_allclose(scores[seen], expected[seen], rtol=1e-5, atol=1e-5)
    if kernel in BOUNDED:
        np.testing.assert_array_equal(scores == -np.inf, expected == -np.inf)


def test_density_far_from_the_codes_is_no_underflow():
    Z = np.random.RandomState(0).standard_normal((50, 2))
    scores = KernelDensitySampler(0.1).fit(Z).score_samples([[1e3, 0.0]])
    nearest = ((Z - [1e3, 0.0]) ** 2).sum(axis=1).min()
    assert scores[0] == pytest.approx(-0.5 * nearest / 0.01, rel=1e-3)


@pytest.mark.parametrize("distance", [1e2, 1e8])
def test_density_of_clusters_far_apart_loses_no_digits(distance):
    Z = np.random.RandomState(0).standard_normal((60, 3))
    Z[30:] += distance
    scores = KernelDensitySampler(0.3).fit(Z).score_samples(Z[:5])
    near = KernelDensitySampler(0.3).fit(Z[:30]).score_samples(Z[:5])
    np.testing.assert_allclose(scores, near - np.log(2), rtol=1e-9)


def test_score_samples_needs_little_memory():
    Z = np.random.RandomState(0).standard_normal((20_000, 2)).astype(np.float32)
    sampler = KernelDensitySampler(0.3).fit(Z)
    tracemalloc.start()
    sampler.score_samples(Z[:1000])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All distances at once would be 160 MB.
    assert peak < 60e6


# ------------------------------------------------------------------ bandwidths


@pytest.mark.parametrize("rule", ["scott", "silverman"])
def test_rules_are_those_of_scikit_learn_for_unit_variance(rule, Z):
    Z = Z / np.sqrt(Z.var(axis=0).mean())
    expected = KernelDensity(bandwidth=rule).fit(Z).bandwidth_
    assert KernelDensitySampler(rule).fit(Z).bandwidth_ == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("rule", ["scott", "silverman", "cv"])
def test_rules_follow_the_unit_of_the_codes(rule, Z):
    here, there = (
        KernelDensitySampler(rule, random_state=0).fit(scale * Z).bandwidth_ for scale in (1, 50)
    )
    assert there == pytest.approx(50 * here, rel=1e-4)


@all_kernels
def test_rules_give_every_kernel_the_same_spread(kernel, Z):
    sampler = KernelDensitySampler("silverman", kernel=kernel).fit(Z)
    expected = KernelDensitySampler("silverman").fit(Z).bandwidth_
    assert sampler.bandwidth_ * _kernel_std(kernel, 3) == pytest.approx(expected)


@pytest.mark.parametrize("kernel", ["gaussian", "epanechnikov"])
def test_cross_validation_finds_a_likely_bandwidth(kernel, Z):
    best = KernelDensitySampler("cv", kernel=kernel, random_state=0).fit(Z).bandwidth_

    def likelihood(bandwidth):
        estimator = KernelDensity(bandwidth=bandwidth, kernel=kernel)
        return cross_val_score(estimator, Z[np.random.RandomState(1).permutation(300)]).mean()

    assert likelihood(best) > max(likelihood(best / 2), likelihood(best * 2))


def test_cross_validated_bandwidth_shrinks_with_the_number_of_codes():
    Z = np.random.RandomState(0).standard_normal((2000, 1))
    few, many = (KernelDensitySampler("cv", random_state=0).fit(Z[:n]) for n in (50, 2000))
    assert many.bandwidth_ == pytest.approx(few.bandwidth_ * 40 ** (-1 / 5), rel=0.4)


def test_bandwidth_is_judged_by_held_out_codes_under_all_others():
    """The best of 20 in 64 dimensions, where scikit-learn's tree chose by rounding errors."""
    Z = np.random.RandomState(0).standard_normal((300, 64)) * np.geomspace(2, 0.1, 64)
    best = KernelDensitySampler("cv", random_state=0).fit(Z).bandwidth_
    distances = np.linalg.norm(Z[:, None] - Z, axis=2)
    np.fill_diagonal(distances, np.inf)
    fractions = np.geomspace(0.01, 2, 20)
    bandwidths = np.sqrt(Z.var(axis=0).mean()) * fractions
    scores = [
        logsumexp(-0.5 * (distances / h) ** 2, axis=1).mean() - 64 * np.log(h) for h in bandwidths
    ]
    assert best == pytest.approx(bandwidths[np.argmax(scores)])


def test_copies_of_a_held_out_code_do_not_judge_it(Z):
    once = KernelDensitySampler("cv", random_state=0).fit(Z)
    twice = KernelDensitySampler("cv", random_state=0).fit(np.repeat(Z, 2, axis=0))
    assert twice.bandwidth_ == pytest.approx(once.bandwidth_)


def test_random_state_chooses_the_held_out_codes(monkeypatch):
    monkeypatch.setattr(_kernel_density, "_CV_CODES", 10)
    monkeypatch.setattr(_kernel_density, "_CV_DISTANCES", 0)
    Z = np.random.RandomState(0).standard_t(2, (100, 1))
    fits = [KernelDensitySampler("cv", random_state=seed).fit(Z).bandwidth_ for seed in range(4)]
    assert len(set(fits)) > 1
    assert KernelDensitySampler("cv", random_state=0).fit(Z).bandwidth_ == fits[0]


@pytest.mark.parametrize("bandwidth", [0.4, "scott", "cv"])
def test_partial_fit_is_a_fit_to_all_codes(bandwidth, Z):
    whole = KernelDensitySampler(bandwidth, random_state=0).fit(Z)
    parts = KernelDensitySampler(bandwidth, random_state=0).fit(Z[:100]).partial_fit(Z[100:])
    assert parts.bandwidth_ == whole.bandwidth_
    np.testing.assert_array_equal(
        parts.sample(50, random_state=0), whole.sample(50, random_state=0)
    )


def test_bandwidth_is_chosen_by_the_same_codes_batch_by_batch(monkeypatch):
    monkeypatch.setattr(_kernel_density, "_CV_CODES", 10)
    monkeypatch.setattr(_kernel_density, "_CV_DISTANCES", 0)
    Z = np.random.RandomState(0).standard_t(2, (150, 1))
    for seed in range(4):
        whole = KernelDensitySampler("cv", random_state=seed).fit(Z)
        parts = KernelDensitySampler("cv", random_state=seed).fit(Z[:120]).partial_fit(Z[120:])
        assert parts.bandwidth_ == whole.bandwidth_


# ------------------------------------------------------------------ edges


@all_kernels
@pytest.mark.parametrize("bandwidth", ["scott", "cv"])
@pytest.mark.parametrize(
    "codes",
    [np.ones((5, 3)), np.random.RandomState(0).standard_normal((10, 30)), np.arange(6.0)[:, None]],
    ids=["constant", "wide", "one-feature"],
)
def test_unusual_codes(bandwidth, kernel, codes):
    sampler = KernelDensitySampler(bandwidth, kernel=kernel, random_state=0).fit(codes)
    X_new = sampler.sample(50, random_state=0)
    assert np.isfinite(X_new).all() and np.isfinite(sampler.score_samples(codes)).all()


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"bandwidth": 0}, "'bandwidth' parameter of KernelDensitySampler must be"),
        ({"bandwidth": "iqr"}, "'bandwidth' parameter of KernelDensitySampler must be"),
        ({"kernel": "box"}, "'kernel' parameter of KernelDensitySampler must be"),
        ({"temperature": -1}, "'temperature' parameter of KernelDensitySampler must be"),
    ],
)
def test_fit_refuses(Z, parameters, message):
    with pytest.raises(ValueError, match=message):
        KernelDensitySampler(**parameters).fit(Z)


def test_cross_validation_says_when_no_bandwidth_reaches_unseen_codes():
    Z = np.append(np.zeros(500), 1e3)[:, None]
    with pytest.raises(ValueError, match=r"kernel='tophat' no bandwidth up to .* Use kernel='gau"):
        KernelDensitySampler("cv", kernel="tophat").fit(Z)


def test_one_sample_is_refused():
    with pytest.raises(ValueError, match="minimum of 2 is required by KernelDensitySampler"):
        KernelDensitySampler().fit([[1.0, 2.0]])
