import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import chisquare, multivariate_normal
from sklearn.cluster import KMeans

from latentgen.samplers import LocalGaussianSampler

COVARIANCES = np.array([[[2.0, 0.9], [0.9, 0.5]], [[0.3, -0.2], [-0.2, 0.4]]])
MEANS = np.array([[0.0, 0.0], [20.0, 5.0]])


@pytest.fixture(scope="module")
def Z():
    """Two clusters far apart with covariances of their own, 600 and 200 rows."""
    rng = np.random.RandomState(0)
    parts = [
        rng.multivariate_normal(mean, covariance, size)
        for mean, covariance, size in zip(MEANS, COVARIANCES, [600, 200], strict=True)
    ]
    return rng.permutation(np.concatenate(parts))


@pytest.fixture(scope="module")
def sampler(Z):
    return LocalGaussianSampler(2, shrinkage=0, random_state=0).fit(Z)


def part_of(Z, cluster):
    return Z[(Z[:, 0] > 10) == cluster]


@pytest.mark.parametrize("cluster", [0, 1])
@pytest.mark.parametrize("bandwidth", [0.3, 0.8, 1.0])
def test_draws_keep_the_mean_and_covariance_of_every_cell(Z, bandwidth, cluster):
    sampler = LocalGaussianSampler(2, bandwidth=bandwidth, shrinkage=0, random_state=0).fit(Z)
    X_new, rows = part_of(sampler.sample(40_000, random_state=0), cluster), part_of(Z, cluster)
    covariance = np.cov(rows.T, ddof=0)
    deviations = np.sqrt(np.diag(covariance))
    # Five standard errors; the fourth moment of draws is at most that of a normal or of the rows.
    error = 5 / np.sqrt(len(X_new))
    assert np.all(np.abs(X_new.mean(axis=0) - rows.mean(axis=0)) < error * deviations)
    gap = np.abs(np.cov(X_new.T) - covariance) / np.outer(deviations, deviations)
    assert np.all(gap < 1.6 * error)


def test_cells_are_drawn_in_proportion_to_their_sizes(sampler):
    fraction = np.mean(sampler.sample(40_000, random_state=0)[:, 0] > 10)
    assert abs(fraction - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 40_000)


def test_fitted_moments_are_those_of_the_cells(sampler, Z):
    order = np.argsort(sampler.cell_means_[:, 0])
    for cluster, cell in enumerate(order):
        rows, factor = part_of(Z, cluster), sampler.cell_factors_[cell].astype(np.float64)
        assert sampler.cell_sizes_[cell] == len(rows)
        np.testing.assert_allclose(sampler.cell_means_[cell], rows.mean(axis=0), atol=1e-5)
        expected = np.cov(rows.T, ddof=0)
        np.testing.assert_allclose(factor @ factor.T, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bandwidth", [0.5, 1.0])
def test_score_samples_is_the_mixture_of_kernels_on_shrunk_codes(Z, bandwidth):
    sampler = LocalGaussianSampler(2, bandwidth=bandwidth, random_state=0).fit(Z)
    X = np.concatenate([Z[:5], [[5.0, 5.0]]])
    parts = []
    for mean, factor in zip(sampler.cell_means_, sampler.cell_factors_, strict=True):
        for z in part_of(Z, mean[0] > 10):
            center = mean + np.sqrt(1 - bandwidth**2) * (z - mean)
            covariance = bandwidth**2 * factor.astype(np.float64) @ factor.T
            parts.append(multivariate_normal(center, covariance).logpdf(X))
    expected = logsumexp(parts, axis=0) - np.log(len(Z))
    np.testing.assert_allclose(sampler.score_samples(X), expected, rtol=1e-4)


def test_temperature_scales_the_noise_alone(Z, sampler):
    cold = LocalGaussianSampler(2, temperature=0, random_state=0).fit(Z)
    # What is left are the codes, shrunk towards the means of their cells.
    means = np.array([part_of(Z, cluster).mean(axis=0) for cluster in (0, 1)])
    means = means[(Z[:, 0] > 10).astype(int)]
    gaps = cold.sample(100, random_state=0)[:, None] - (means + 0.6 * (Z - means))
    assert np.abs(gaps).max(axis=2).min(axis=1).max() < 1e-4
    hot = LocalGaussianSampler(2, shrinkage=0, temperature=2, random_state=0).fit(Z)
    # The noise makes 0.64 of the variance, and four times that at temperature 2.
    ratio = part_of(hot.sample(40_000, random_state=0), 0).var(axis=0) / part_of(Z, 0).var(axis=0)
    np.testing.assert_allclose(ratio, 0.36 + 4 * 0.64, rtol=0.06)
    np.testing.assert_allclose(hot.score_samples(Z[:5]), sampler.score_samples(Z[:5]))


def test_cells_are_a_thousand_at_most():
    Z = np.random.RandomState(0).standard_normal((70_000, 1))
    assert 900 < LocalGaussianSampler(random_state=0).fit(Z).n_cells_ <= 1000


@pytest.mark.parametrize("n, d, expected", [(50, 64, 1), (600, 3, 10), (1000, 100, 10)])
def test_number_of_cells_follows_the_number_of_codes(n, d, expected):
    Z = np.random.RandomState(0).standard_normal((n, d))
    assert LocalGaussianSampler(random_state=0).fit(Z).n_cells_ == expected


def test_random_state_chooses_the_cells(Z):
    first, again, other = (
        LocalGaussianSampler(20, random_state=seed).fit(Z).cell_means_ for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.allclose(first, other)


def test_cells_take_the_shape_of_the_data():
    """Long clusters in random directions, judged by the density of unseen codes."""
    rng = np.random.RandomState(0)
    cluster = rng.randint(6, size=3000)
    shapes = rng.standard_normal((6, 8, 8)) * np.geomspace(3, 0.1, 8)
    noise = np.einsum("nij,nj->ni", shapes[cluster], rng.standard_normal((3000, 8)))
    codes = 2 * rng.standard_normal((6, 8))[cluster] + noise

    sampler = LocalGaussianSampler(6, bandwidth=1.0, random_state=0).fit(codes[:2000])
    kmeans = KMeans(6, init="random", n_init=1, max_iter=3, random_state=0).fit(codes[:2000])
    of_kmeans = [
        np.log(np.mean(kmeans.labels_ == cell))
        + multivariate_normal(
            codes[:2000][kmeans.labels_ == cell].mean(axis=0),
            np.cov(codes[:2000][kmeans.labels_ == cell].T),
        ).logpdf(codes[2000:])
        for cell in range(6)
    ]
    assert sampler.score(codes[2000:]) > logsumexp(of_kmeans, axis=0).mean() + 0.5


def test_draws_start_from_their_source(Z):
    sampler = LocalGaussianSampler(4, temperature=0, random_state=0).fit(Z[:500])
    sampler.partial_fit(Z[500:])
    X_new, source = sampler.sample(300, random_state=0, return_source=True)
    means = sampler.cell_means_[source.cell]
    np.testing.assert_allclose(X_new, means + 0.6 * (Z[source.row] - means), atol=1e-4)
    assert source.row.max() >= 500
    row = sampler.sample(40_000, random_state=1, return_source=True)[1].row
    assert chisquare(np.bincount(row, minlength=800)).pvalue > 0.01


# ------------------------------------------------------------------ shrinkage


def covariances_of(factors):
    return factors.astype(np.float64) @ np.swapaxes(factors, 1, 2)


def test_full_shrinkage_gives_all_cells_one_shape(Z):
    sampler = LocalGaussianSampler(2, shrinkage=1, random_state=0).fit(Z)
    first, second = covariances_of(sampler.cell_factors_)
    ratio = first / second
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-4)
    assert not 0.9 < ratio[0, 0] < 1.1


def test_half_shrinkage_is_half_way(Z):
    none, half, full = (
        covariances_of(LocalGaussianSampler(2, shrinkage=s, random_state=0).fit(Z).cell_factors_)
        for s in (0, 0.5, 1)
    )
    np.testing.assert_allclose(half, (none + full) / 2, rtol=1e-4, atol=1e-5)


def test_estimated_shrinkage_raises_the_likelihood_of_unseen_codes():
    """Curved clusters in 20 dimensions, with 60 codes in a cell."""
    rng = np.random.RandomState(0)
    t, A, B = rng.standard_normal((3000, 4)), *rng.standard_normal((2, 4, 20))
    codes = t @ A + 2 * np.sin(2 * t) @ B + 0.3 * rng.standard_normal((3000, 20))
    scores = [
        LocalGaussianSampler(shrinkage=s, random_state=0).fit(codes[:2700])
        .score_samples(codes[2700:]).mean()
        for s in ("auto", 0)
    ]  # fmt: skip
    assert scores[0] > scores[1] + 1


# ------------------------------------------------------------------ new codes


def test_partial_fit_cuts_cells_that_have_outgrown_the_others(Z):
    sampler = LocalGaussianSampler(4, random_state=0).fit(Z)
    sampler.partial_fit(np.random.RandomState(1).standard_normal((3000, 2)) + [40, 40])
    assert sampler.cell_sizes_.sum() == 3800 and sampler.cell_sizes_.max() <= 2 * 3800 / 4
    X_new = sampler.sample(4000, random_state=0)
    assert abs(np.mean(X_new[:, 1] > 20) - 3000 / 3800) < 0.05


def test_partial_fit_recomputes_the_moments_of_cells(Z):
    whole = LocalGaussianSampler(1, random_state=0).fit(Z)
    parts = LocalGaussianSampler(1, random_state=0).fit(Z[:500]).partial_fit(Z[500:])
    assert parts.n_cells_ == 1
    np.testing.assert_allclose(parts.cell_means_, whole.cell_means_, rtol=1e-5)
    np.testing.assert_allclose(parts.cell_factors_, whole.cell_factors_, rtol=1e-4, atol=1e-5)


def test_partial_fit_leaves_equal_codes_together():
    sampler = LocalGaussianSampler(1).fit(np.arange(8.0).reshape(4, 2))
    sampler.partial_fit(np.ones((100, 2)))
    assert sampler.cell_sizes_.max() >= 100


# ------------------------------------------------------------------ edges


@pytest.mark.filterwarnings("ignore:.* near-copies")
@pytest.mark.parametrize("shrinkage", ["auto", 0, 1])
@pytest.mark.parametrize(
    "codes",
    [
        np.ones((5, 3)),
        np.random.RandomState(0).standard_normal((50, 64)),
        np.random.RandomState(0).standard_normal((3, 20)),
        np.arange(200.0)[:, None],
        np.repeat(np.arange(5.0), 40)[:, None],
        [[1.0, 2.0]],
    ],
    ids=["constant", "wide", "three", "one-feature", "five values", "one code"],
)
def test_unusual_codes(shrinkage, codes):
    codes = np.asarray(codes)
    n_cells = min(len(codes), 5)
    for n in ("auto", n_cells):
        sampler = LocalGaussianSampler(n, shrinkage=shrinkage, random_state=0).fit(codes)
        X_new = sampler.sample(50, random_state=0)
        assert np.isfinite(X_new).all() and np.isfinite(sampler.score_samples(codes)).all()
        assert np.abs(X_new - codes.mean(axis=0)).max() < 10 * codes.std() + 0.01


@pytest.mark.parametrize("shrinkage", [0, "auto"])
def test_a_code_alone_in_its_cell_is_not_copied(shrinkage):
    Z = np.random.RandomState(0).standard_normal((300, 2))
    Z[0] = 50
    sampler = LocalGaussianSampler(6, shrinkage=shrinkage, random_state=0).fit(Z)
    assert sampler.cell_sizes_.min() == 1
    X_new = sampler.sample(20_000, random_state=0)
    assert X_new[X_new[:, 0] > 25].std(axis=0).min() > 0.1


def test_offset_costs_no_digits(Z):
    near = LocalGaussianSampler(2, random_state=0).fit(Z).cell_factors_
    far = LocalGaussianSampler(2, random_state=0).fit(Z + 1e6).cell_factors_
    np.testing.assert_allclose(far, near, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"n_cells": 0}, "'n_cells' parameter of LocalGaussianSampler must be"),
        ({"n_cells": 900}, "'n_cells'=900 needs at least as many codes, got n_samples = 800"),
        ({"bandwidth": 0}, r"'bandwidth' parameter .* in the range \(0\.0, 1\.0\]"),
        ({"bandwidth": 1.1}, r"'bandwidth' parameter .* in the range \(0\.0, 1\.0\]"),
        ({"shrinkage": "oas"}, "'shrinkage' parameter of LocalGaussianSampler must be"),
        ({"temperature": -1}, "'temperature' parameter of LocalGaussianSampler must be"),
    ],
)
def test_fit_refuses(Z, parameters, message):
    with pytest.raises(ValueError, match=message):
        LocalGaussianSampler(**parameters).fit(Z)


@pytest.mark.parametrize("first", [1, 2, 20])
def test_small_first_batches_make_no_small_cells(first):
    Z = np.random.RandomState(0).standard_normal((160, 4))
    sampler = LocalGaussianSampler(random_state=0).fit(Z[:first]).partial_fit(Z[first:])
    assert sampler.n_cells_ <= 2
    gaps = np.linalg.norm(sampler.sample(200, random_state=0)[:, None] - Z, axis=2).min(axis=1)
    assert np.median(gaps) > 0.3


def test_partial_fit_keeps_to_the_limit_of_cells():
    Z = np.random.RandomState(0).standard_normal((4000, 2))
    few = LocalGaussianSampler(20, random_state=0).fit(Z[:400]).partial_fit(Z[400:])
    assert 15 <= few.n_cells_ <= 40
    # As many as one fit to all would make; the size of cells is what stays.
    auto = LocalGaussianSampler(random_state=0).fit(Z[:400]).partial_fit(Z[400:])
    assert 40 <= auto.n_cells_ <= 80
