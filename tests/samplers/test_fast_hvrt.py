import pickle
import re
import tracemalloc

import hvrt
import numpy as np
import pytest
from hvrt.generation_strategies import get_generation_strategy
from scipy.stats import chisquare, ks_2samp, kstest

from latentgen.samplers import FastHVRTSampler

WITH_DENSITY = ["epanechnikov", "bootstrap_noise", "multivariate_kde", "local_gaussian"]
PUBLISHED = ["epanechnikov", "bootstrap_noise", "multivariate_kde", "univariate_kde_copula"]
STRATEGIES = [*WITH_DENSITY, "univariate_kde_copula"]


class Echo:
    """A user's own strategy: the mean of the cell, once per row."""

    def prepare(self, X_z, partition_ids, unique_partitions):
        return np.array([X_z[partition_ids == p].mean(axis=0) for p in unique_partitions])

    def generate(self, context, budgets, random_state):
        return np.repeat(context, budgets, axis=0)


class TooFew(Echo):
    def generate(self, context, budgets, random_state):
        return context[:1, :1]


@pytest.fixture(scope="module")
def Z():
    rng = np.random.RandomState(0)
    Z = rng.standard_normal((1500, 3)) * [1, 10, 0.1] + [0, 100, -5]
    Z[:, 1] += 5 * Z[:, 0] + 3 * Z[:, 0] ** 2
    return Z


@pytest.fixture(scope="module", params=STRATEGIES)
def sampler(request, Z):
    return FastHVRTSampler(request.param, min_samples_leaf=20, random_state=0).fit(Z)


def chi_square_of_small_draws(sample, apply, sizes):
    """p-value of the partitions hit by 1 000 draws of 10 rows, against their sizes."""
    hits = np.bincount(
        np.concatenate([apply(sample(seed)) for seed in range(1000)]), minlength=len(sizes)
    )
    return chisquare(hits, sizes / sizes.sum() * hits.sum()).pvalue


@pytest.fixture(scope="module")
def fair_data():
    return np.random.RandomState(1).standard_normal((1000, 2))


def test_small_draws_hit_partitions_in_proportion(fair_data):
    sampler = FastHVRTSampler(min_samples_leaf=10, random_state=0).fit(fair_data)
    assert sampler.n_partitions_ > 50
    p_value = chi_square_of_small_draws(
        lambda seed: sampler.sample(10, random_state=seed, return_source=True)[1].partition,
        lambda partition: partition,
        sampler.partition_sizes_,
    )
    assert p_value > 0.01


def test_small_draws_of_hvrt_itself_are_unfair(fair_data):
    model = hvrt.FastHVRT(min_samples_leaf=10, random_state=0).fit(fair_data)
    sampler = FastHVRTSampler("bootstrap_noise", min_samples_leaf=10, random_state=0)
    sampler.fit(fair_data)

    def expand(seed):
        model.random_state = seed
        return model.expand(10, generation_strategy="bootstrap_noise")

    assert chi_square_of_small_draws(expand, sampler.apply, sampler.partition_sizes_) < 1e-100


def test_rows_are_drawn_uniformly(sampler, Z):
    row = sampler.sample(30_000, random_state=0, return_source=True)[1].row
    if sampler.strategy == "univariate_kde_copula":
        assert np.all(row == -1)
    else:
        assert chisquare(np.bincount(row, minlength=len(Z))).pvalue > 0.01


def test_small_leaves_give_fine_partitions():
    # hvrt 2.12 stops at 16 partitions whatever is asked for.
    Z = np.random.RandomState(0).standard_normal((6000, 8))
    sampler = FastHVRTSampler(min_samples_leaf=5, random_state=0).fit(Z)
    assert sampler.n_partitions_ > 700
    assert sampler.partition_sizes_.min() >= 5
    assert sampler.partition_sizes_.sum() == 6000


@pytest.mark.parametrize("strategy", PUBLISHED)
def test_draws_agree_with_the_strategies_of_hvrt(strategy, Z):
    sampler = FastHVRTSampler(strategy, min_samples_leaf=100, random_state=0).fit(Z)
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    model = hvrt.FastHVRT(min_samples_leaf=100, random_state=seed).fit(Z)
    published = get_generation_strategy(strategy)
    context = published.prepare(model.X_z_, model.partition_ids_, model.unique_partitions_)
    expected = published.generate(context, 10 * sampler.partition_sizes_, 0)
    expected = model.scaler_.inverse_transform(expected)
    drawn = sampler.sample(len(expected), random_state=0)
    for feature in range(3):
        assert ks_2samp(expected[:, feature], drawn[:, feature]).statistic < 0.02
    # Five standard errors of a difference.
    tolerance = 5 * np.sqrt(2 / len(drawn))
    np.testing.assert_allclose(np.corrcoef(drawn.T), np.corrcoef(expected.T), atol=tolerance)


@pytest.mark.parametrize("strategy", ["epanechnikov", "bootstrap_noise", "multivariate_kde"])
def test_kernel_has_the_published_width(strategy, Z):
    sampler = FastHVRTSampler(strategy, min_samples_leaf=20, random_state=0).fit(Z)
    X_new, source = sampler.sample(40_000, random_state=0, return_source=True)
    cell = sampler.apply(Z)
    largest = np.argmax(sampler.partition_sizes_)
    here = source.partition == largest
    size = sampler.partition_sizes_[largest]
    # The variance of Epanechnikov's kernel on [-1, 1] is 1 / 5.
    factor = {"epanechnikov": 0.2**0.5, "multivariate_kde": 1.0}.get(strategy)
    width = 0.1 if factor is None else factor * size ** (-1 / 7)
    moved = (X_new - Z[source.row])[here]
    expected = width * Z[cell == largest].std(axis=0)
    np.testing.assert_allclose(moved.std(axis=0), expected, rtol=5 / np.sqrt(2 * here.sum()))


def test_epanechnikov_noise_is_bounded(Z):
    sampler = FastHVRTSampler(n_partitions=2, bandwidth=0.5, random_state=0).fit(Z)
    X_new, source = sampler.sample(5000, random_state=0, return_source=True)
    cell = sampler.apply(Z)
    stds = np.array([Z[cell == p].std(axis=0) for p in range(2)])
    reach = np.abs(X_new - Z[source.row]) / stds[source.partition]
    assert 0.49 < reach.max() < 0.5001


def test_local_gaussian_keeps_mean_and_covariance_of_a_partition(Z):
    sampler = FastHVRTSampler("local_gaussian", n_partitions=2, random_state=0).fit(Z)
    X_new, source = sampler.sample(60_000, random_state=0, return_source=True)
    cell = sampler.apply(Z)
    for partition in range(2):
        old, new = Z[cell == partition], X_new[source.partition == partition]
        error = old.std(axis=0) / np.sqrt(len(new))
        assert np.all(np.abs(new.mean(axis=0) - old.mean(axis=0)) < 5 * error)
        ratio = np.cov(new.T) / np.cov(old.T, ddof=0)
        np.testing.assert_allclose(np.diag(ratio), 1, atol=0.05)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_bandwidth_sets_the_width(strategy, Z):
    def spread(bandwidth):
        sampler = FastHVRTSampler(strategy, n_partitions=2, bandwidth=bandwidth, random_state=0)
        X_new, source = sampler.fit(Z).sample(5000, random_state=0, return_source=True)
        if strategy == "univariate_kde_copula":
            return X_new[:, 2].std() - Z[:, 2].std()
        return (X_new - Z[source.row])[:, 2].std()

    assert spread(0.9) > 3 * abs(spread(0.1))


@pytest.mark.parametrize(
    "parameters",
    [
        {"min_samples_leaf": 100},
        {"n_partitions": 4},
        {"max_depth": 2},
        {"tree_splitter": "random"},
        {"strategy": "bootstrap_noise"},
    ],
)
def test_parameters_change_the_draws(parameters, Z):
    plain = FastHVRTSampler(random_state=0).fit(Z)
    changed = FastHVRTSampler(random_state=0, **parameters).fit(Z)
    assert not np.allclose(plain.sample(20, random_state=0), changed.sample(20, random_state=0))


def test_tree_parameters_bound_the_partitions(Z):
    assert FastHVRTSampler(n_partitions=4).fit(Z).n_partitions_ == 4
    assert FastHVRTSampler(max_depth=2).fit(Z).n_partitions_ <= 4
    assert FastHVRTSampler(min_samples_leaf=300).fit(Z).partition_sizes_.min() >= 300


def test_random_state_seeds_the_tree(Z):
    def sizes(seed):
        sampler = FastHVRTSampler(tree_splitter="random", random_state=seed).fit(Z)
        return sampler.partition_sizes_.tolist()

    assert sizes(0) == sizes(0)
    assert sizes(0) != sizes(1)


def test_same_seed_same_bytes(sampler):
    first = sampler.sample(100, random_state=3)
    assert first.tobytes() == sampler.sample(100, random_state=3).tobytes()


def test_calls_without_a_seed_differ(sampler):
    assert not np.allclose(sampler.sample(5), sampler.sample(5))


def test_order_of_rows_is_random(sampler):
    partition = sampler.sample(2000, random_state=0, return_source=True)[1].partition
    # Rank correlation of position and partition, five standard errors.
    assert abs(np.corrcoef(np.arange(2000), partition)[0, 1]) < 5 / np.sqrt(2000)


def test_output_is_float32_of_any_length(sampler):
    for n_samples in (1, 7, 3001):
        X_new = sampler.sample(n_samples, random_state=0)
        assert X_new.shape == (n_samples, 3) and X_new.dtype == np.float32
        assert np.isfinite(X_new).all()


def test_large_draws_need_little_beside_their_result(sampler):
    tracemalloc.start()
    X_new = sampler.sample(1_000_000, random_state=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 24 bytes per row of indices, and the buffers of one chunk.
    assert peak < X_new.nbytes + 24e6 + 10e6


def test_return_source_leaves_the_draw_unchanged(sampler):
    X_new, source = sampler.sample(50, random_state=1, return_source=True)
    np.testing.assert_array_equal(X_new, sampler.sample(50, random_state=1))
    assert source.row.shape == source.partition.shape == (50,)


def test_source_partition_is_that_of_the_row(sampler, Z):
    if sampler.strategy != "univariate_kde_copula":
        source = sampler.sample(500, random_state=1, return_source=True)[1]
        np.testing.assert_array_equal(sampler.apply(Z)[source.row], source.partition)


def test_apply_counts_the_training_codes(sampler, Z):
    np.testing.assert_array_equal(np.bincount(sampler.apply(Z)), sampler.partition_sizes_)


def test_apply_follows_the_tree_to_new_codes(Z):
    sampler = FastHVRTSampler(min_samples_leaf=5, random_state=0).fit(Z)
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    model = hvrt.FastHVRT(min_samples_leaf=5, random_state=seed).fit(Z)
    new = sampler.sample(2000, random_state=0)
    leaves = model.unique_partitions_[sampler.apply(new)]
    np.testing.assert_array_equal(leaves, model.apply_raw(new))


@pytest.mark.parametrize("bandwidth", [None, 0.5])
@pytest.mark.parametrize("strategy", WITH_DENSITY)
def test_density_integrates_to_one(strategy, bandwidth):
    Z = np.random.RandomState(0).standard_normal((40, 2)) * [1, 3]
    sampler = FastHVRTSampler(strategy, n_partitions=3, bandwidth=bandwidth, random_state=0)
    sampler.fit(Z)
    x, y = np.linspace(-6, 6, 201), np.linspace(-18, 18, 201)
    grid = np.array(np.meshgrid(x, y)).reshape(2, -1).T
    mass = np.exp(sampler.score_samples(grid)).sum() * (x[1] - x[0]) * (y[1] - y[0])
    assert mass == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("strategy", WITH_DENSITY)
def test_density_is_that_of_the_draws(strategy):
    Z = np.random.RandomState(0).standard_normal((60, 1)) ** 2
    sampler = FastHVRTSampler(strategy, n_partitions=2, random_state=0).fit(Z)
    grid = np.linspace(-4, 12, 4001)
    cumulative = np.cumsum(np.exp(sampler.score_samples(grid[:, None]))) * (grid[1] - grid[0])
    drawn = sampler.sample(5000, random_state=0)[:, 0].astype(float)
    assert kstest(drawn, lambda x: np.interp(x, grid, cumulative)).statistic < 0.03


def test_density_is_zero_out_of_reach(Z):
    sampler = FastHVRTSampler(random_state=0).fit(Z)
    assert sampler.score_samples(Z[:1] + 1000)[0] == -np.inf
    assert np.isfinite(sampler.score_samples(sampler.sample(50, random_state=0))).all()


def test_own_strategy_is_fair_shuffled_and_scaled_back(Z):
    sampler = FastHVRTSampler(Echo(), n_partitions=3, random_state=0).fit(Z)
    X_new, source = sampler.sample(3000, random_state=0, return_source=True)
    cell = sampler.apply(Z)
    means = np.array([Z[cell == p].mean(axis=0) for p in range(3)])
    np.testing.assert_allclose(X_new, means[source.partition], rtol=1e-5)
    hits = np.bincount(source.partition, minlength=3)
    assert chisquare(hits, sampler.partition_sizes_ * 2).pvalue > 0.01
    assert np.all(source.row == -1)
    assert np.mean(np.diff(source.partition) != 0) > 0.3


def test_own_strategy_may_come_from_hvrt(Z):
    own = FastHVRTSampler("bootstrap_noise", n_partitions=3, random_state=0).fit(Z)
    foreign = FastHVRTSampler(get_generation_strategy("bootstrap_noise"), n_partitions=3)
    drawn = foreign.fit(Z).sample(5000, random_state=0)
    assert ks_2samp(drawn[:, 1], own.sample(5000, random_state=0)[:, 1]).statistic < 0.04


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "codes",
    [
        [[1.0, 2.0]],
        [[1.0, 2.0], [3.0, 5.0]],
        np.zeros((20, 2)),
        np.repeat([[1.0, 2.0], [3.0, 4.0]], 10, axis=0),
        np.random.RandomState(0).standard_normal((5, 30)),
        np.random.RandomState(0).standard_normal((50, 1)),
        1e6 + np.random.RandomState(0).standard_normal((50, 2)),
        np.random.RandomState(0).standard_normal((50, 2)).astype(np.float32),
    ],
    ids=["row", "two", "constant", "repeated", "wide", "one-feature", "offset", "float32"],
)
def test_unusual_codes(strategy, codes):
    codes = np.asarray(codes)
    sampler = FastHVRTSampler(strategy, min_samples_leaf=1, random_state=0).fit(codes)
    X_new = sampler.sample(200, random_state=0)
    assert X_new.dtype == np.float32 and np.isfinite(X_new).all()
    reach = 6 * codes.std(axis=0) + 0.2
    assert np.all(np.abs(X_new - codes.mean(axis=0)) < 3 * reach)


def test_constant_features_have_the_least_scale_of_the_others():
    """The rounding error of a standard deviation was once taken for that."""
    Z = np.random.RandomState(0).standard_normal((1000, 4)) * [1, 0, 2, 0] + [0, 0.1, 0, 1e5 + 0.1]
    sampler = FastHVRTSampler(random_state=0).fit(Z)
    np.testing.assert_allclose(sampler.scale_[[1, 3]], Z[:, 0].std(), rtol=1e-6)
    assert np.isfinite(sampler.score_samples(Z)).all()


def test_fitted_sampler_holds_its_codes_once_and_in_float32():
    Z = np.random.RandomState(0).standard_normal((2000, 50))
    size = len(pickle.dumps(FastHVRTSampler(random_state=0).fit(Z)))
    # Beside the codes, the row of each and some arrays for each partition.
    assert 4 * Z.size < size < 1.3 * 4 * Z.size


def test_pickled_sampler_draws_the_same(sampler):
    copy = pickle.loads(pickle.dumps(sampler))
    np.testing.assert_array_equal(copy.sample(9, random_state=0), sampler.sample(9, random_state=0))


def test_skops_file_needs_trust_in_nothing_but_the_class(sampler):
    io = pytest.importorskip("skops.io")
    data = io.dumps(sampler)
    trusted = io.get_untrusted_types(data=data)
    assert trusted == ["latentgen.samplers._fast_hvrt.FastHVRTSampler"]
    copy = io.loads(data, trusted=trusted)
    np.testing.assert_array_equal(copy.sample(9, random_state=0), sampler.sample(9, random_state=0))


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"strategy": "kde"}, "'strategy' parameter of FastHVRTSampler must be"),
        ({"strategy": 3}, "'prepare' and 'generate'"),
        ({"n_partitions": 1}, r"'n_partitions' parameter .* in the range \[2, inf\)"),
        ({"bandwidth": 0.0}, "'bandwidth' parameter"),
        ({"strategy": "local_gaussian", "bandwidth": 1.5}, r"must be in \(0, 1\] .* got 1.5"),
        ({"strategy": Echo(), "bandwidth": 0.5}, "no effect on a strategy of your own, got Echo"),
    ],
)
def test_fit_refuses(parameters, message, Z):
    with pytest.raises(ValueError, match=message):
        FastHVRTSampler(**parameters).fit(Z)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda s: s.sample(0), "n_samples == 0, must be >= 1"),
        (lambda s: s.sample(0, return_source=True), "n_samples == 0, must be >= 1"),
        (lambda s: s.sample(2, y=1, return_source=True), "has no classes, got y=1"),
        (lambda s: s.apply([[1.0, 2.0]]), "X has 2 features, but FastHVRTSampler is expecting 3"),
    ],
)
def test_calls_refuse(call, message, sampler):
    with pytest.raises(ValueError, match=message):
        call(sampler)


@pytest.mark.parametrize("strategy, name", [("univariate_kde_copula",) * 2, (Echo(), "Echo")])
def test_score_samples_names_the_strategies_with_a_density(strategy, name, Z):
    sampler = FastHVRTSampler(strategy, n_partitions=3).fit(Z)
    with pytest.raises(AttributeError, match="no attribute 'score_samples'") as error:
        sampler.score_samples(Z)
    reason = error.value
    while reason.__cause__ is not None:
        reason = reason.__cause__
    assert re.search(f"{name}' is not known .* epanechnikov, bootstrap_noise", str(reason))


def test_score_samples_refuses_codes_of_another_width(Z):
    sampler = FastHVRTSampler().fit(Z)
    with pytest.raises(ValueError, match="X has 1 features"):
        sampler.score_samples([[1.0]])


def test_own_strategy_of_wrong_shape_is_refused(Z):
    sampler = FastHVRTSampler(TooFew(), n_partitions=3)
    with pytest.raises(ValueError, match=r"TooFew.generate .* shape \(200, 3\).* got \(1, 1\)"):
        sampler.fit(Z)
