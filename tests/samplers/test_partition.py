"""Cuts of codes into cells, and what becomes of them when codes are added."""

# SPDX-License-Identifier: BSD-3-Clause

import warnings
from copy import deepcopy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

from latentgen import FastHVRTSampler
from latentgen.samplers._neighborhoods import find_neighborhoods, fit_cells_to_density
from latentgen.samplers._trees import find_leaves, graft, grow_tree

PARTITIONS = ["hvrt", "fast", "local"]
STRATEGIES = ["epanechnikov", "local_gaussian", "univariate_kde_copula"]


def make_codes(n_samples, seed=0, n_features=6):
    rng = np.random.RandomState(seed)
    return rng.standard_normal((n_samples, n_features)) * np.linspace(3, 0.5, n_features)


@pytest.fixture(scope="module")
def Z():
    return make_codes(1200)


def scatter_inside(Z, cells):
    """Fraction of the total scatter that is left inside cells."""
    inside = sum(np.square(Z[cells == c] - Z[cells == c].mean(axis=0)).sum() for c in set(cells))
    return inside / np.square(Z - Z.mean(axis=0)).sum()


# ------------------------------------------------------------------ trees


@pytest.mark.parametrize("thorough", [False, True])
def test_leaves_of_training_rows_are_found_again(Z, thorough):
    tree, leaves = grow_tree(Z, 40, 5, np.random.RandomState(0), thorough=thorough)
    assert_array_equal(find_leaves(Z, tree), leaves)
    assert len(np.unique(leaves)) == 40 and np.bincount(leaves)[np.unique(leaves)].min() >= 5


def test_a_thorough_tree_separates_the_sums_of_z_scores_better(Z):
    def left_over(thorough):
        _, leaves = grow_tree(Z, 40, 5, np.random.RandomState(0), thorough=thorough)
        return scatter_inside(Z.sum(axis=1, keepdims=True), leaves)

    assert left_over(thorough=True) < left_over(thorough=False) < 0.5


def test_depth_is_limited(Z):
    _, leaves = grow_tree(Z, 40, 5, np.random.RandomState(0), max_depth=2)
    assert len(np.unique(leaves)) <= 4


def test_a_graft_cuts_one_leaf_and_leaves_the_others(Z):
    rng = np.random.RandomState(0)
    tree, leaves = grow_tree(Z, 8, 5, rng)
    cut = leaves[0]
    rows = leaves == cut
    branch, inner = grow_tree(Z[rows], 3, 5, rng)
    found = find_leaves(Z, graft(tree, cut, branch))
    assert_array_equal(found[~rows], leaves[~rows])
    assert_array_equal(found[rows], len(tree["feature"]) + inner)


# ------------------------------------------------------------------ neighborhoods


def test_neighborhoods_are_compact(Z):
    _, cells = find_neighborhoods(Z, 40, 5, np.random.RandomState(0))
    _, leaves = grow_tree(Z, 40, 5, np.random.RandomState(0), thorough=True)
    assert scatter_inside(Z, cells) < 0.9 * scatter_inside(Z, leaves)


def test_every_row_is_in_the_cell_of_the_nearest_mean(Z):
    means, cells = find_neighborhoods(Z, 40, 5, np.random.RandomState(0))
    assert_array_equal(cells, cdist(Z, means).argmin(axis=1))


@pytest.mark.parametrize("min_samples_leaf", [1, 20, 500])
def test_no_neighborhood_is_smaller_than_asked_for(Z, min_samples_leaf):
    means, cells = find_neighborhoods(Z, 60, min_samples_leaf, np.random.RandomState(0))
    assert np.bincount(cells, minlength=len(means)).min() >= min_samples_leaf


@pytest.mark.parametrize(
    "Z, n_cells",
    [(np.ones((20, 3)), 1), (np.repeat(np.eye(3), 9, axis=0), 3), (np.zeros((1, 2)), 1)],
    ids=["equal", "three points", "one row"],
)
def test_equal_codes_make_fewer_neighborhoods(Z, n_cells):
    _, cells = find_neighborhoods(Z, 10, 1, np.random.RandomState(0))
    assert len(np.unique(cells)) == n_cells


def test_far_offsets_cancel_no_digits():
    Z = make_codes(300)
    rng = np.random.RandomState
    expected = find_neighborhoods(Z, 10, 1, rng(0))[1]
    assert_array_equal(find_neighborhoods(Z + 1e6, 10, 1, rng(0))[1], expected)


def test_rows_go_to_the_cell_of_the_highest_density():
    """A wide cell takes what lies between it and a narrow one, though that one's mean is nearer."""
    rng = np.random.RandomState(0)
    Z = np.concatenate([10 * rng.standard_normal((1000, 2)), 0.1 * rng.standard_normal((500, 2))])
    Z[1000:] += [12, 0]
    cells = fit_cells_to_density(Z, (np.abs(Z - [12, 0]).max(axis=1) < 4).astype(int))
    assert np.mean(cells[1000:] == 1) > 0.99
    assert (np.abs(Z[cells == 1] - [12, 0]) < 1).all()


def test_rows_leave_a_wrong_cell_also_in_many_dimensions():
    """Two clusters of few rows, where each cell begins with a tenth of the other."""
    rng = np.random.RandomState(0)
    truth = np.repeat([0, 1], 60)
    Z = rng.standard_normal((120, 50)) + truth[:, None]
    wrong = np.where(np.arange(120) % 10 == 0, 1 - truth, truth)
    assert_array_equal(fit_cells_to_density(Z, wrong), truth)


def test_no_row_joins_a_cell_of_twice_the_mean_size():
    """Six cells of one distribution, the first of which would take nearly all by its size."""
    start = np.repeat(np.arange(6), [300, 20, 20, 20, 20, 20])
    cells = fit_cells_to_density(np.random.RandomState(0).standard_normal((400, 3)), start)
    assert len(np.unique(cells)) == 6
    assert (start[cells == 0] == 0).all()


def test_density_of_cells_bears_offsets_and_single_rows():
    Z = np.append(make_codes(300), [[1e3] * make_codes(1).shape[1]], axis=0)
    start = np.append(find_neighborhoods(Z[:-1], 10, 1, np.random.RandomState(0))[1], 10)
    cells = fit_cells_to_density(Z, start)
    assert np.sum(cells == cells[-1]) == 1
    assert_array_equal(fit_cells_to_density(Z + 1e6, start), cells)
    assert_array_equal(fit_cells_to_density(Z, np.zeros(301, dtype=int)), 0)


# ------------------------------------------------------------------ FastHVRTSampler


@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_partition_works_with_every_kernel(Z, partition, strategy):
    sampler = FastHVRTSampler(strategy, partition=partition, min_samples_leaf=5, random_state=0)
    X_new = sampler.fit(Z).sample(4000, random_state=0)
    error = 5 * Z.std(axis=0) * np.sqrt(1 / 4000 + 1 / len(Z))
    assert np.all(np.abs(X_new.mean(axis=0) - Z.mean(axis=0)) < error)
    assert_array_equal(np.bincount(sampler.apply(Z)), sampler.partition_sizes_)


def test_partitions_differ_in_what_they_keep_together(Z):
    def left_over(partition):
        sampler = FastHVRTSampler(
            partition=partition, n_partitions=40, min_samples_leaf=5, random_state=0
        )
        return scatter_inside(Z, sampler.fit(Z).apply(Z))

    assert left_over("local") < 0.6 * min(left_over("hvrt"), left_over("fast"))


def test_fast_cuts_as_many_partitions_as_hvrt(Z):
    sizes = [
        FastHVRTSampler(partition=partition, min_samples_leaf=5, random_state=0)
        .fit(Z)
        .n_partitions_
        for partition in ("hvrt", "fast")
    ]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.3)


def test_local_partitions_hold_about_sixty_codes(Z):
    assert FastHVRTSampler(partition="local", random_state=0).fit(Z).n_partitions_ == 20


def test_the_seed_decides_the_cuts(Z):
    first, again, other = (
        FastHVRTSampler(partition="fast", random_state=seed).fit(Z).apply(Z) for seed in (0, 0, 1)
    )
    assert_array_equal(first, again)
    assert (first != other).any()


# ------------------------------------------------------------------ new codes


@pytest.fixture(params=PARTITIONS)
def fitted(request, Z):
    sampler = FastHVRTSampler(
        partition=request.param, n_partitions=30, min_samples_leaf=5, random_state=0
    )
    return sampler.fit(Z)


def test_codes_of_the_same_kind_cut_nothing(fitted):
    grown = deepcopy(fitted).partial_fit(make_codes(1200, seed=1))
    assert grown.n_partitions_ <= fitted.n_partitions_ + 2
    assert grown.partition_sizes_.sum() == 2400


def test_many_codes_in_one_place_cut_its_partition(fitted, Z):
    crowd = Z[:1] + 0.3 * make_codes(1500, seed=1)
    grown = deepcopy(fitted).partial_fit(crowd)
    assert grown.n_partitions_ > fitted.n_partitions_ + 2
    assert grown.partition_sizes_.max() < 700
    both = np.concatenate([Z, crowd])
    assert_array_equal(np.bincount(grown.apply(both)), grown.partition_sizes_)
    source = grown.sample(5000, random_state=0, return_source=True)[1]
    assert_array_equal(grown.apply(both[source.row]), source.partition)


def test_routing_comes_close_to_a_full_refit(fitted, Z):
    """Draws after two batches have the moments of draws after one fit to all."""
    crowd = Z[:1] + 0.3 * make_codes(1500, seed=1)
    both = np.concatenate([Z, crowd])
    grown = deepcopy(fitted).partial_fit(crowd).sample(20_000, random_state=0)
    anew = deepcopy(fitted).fit(both).sample(20_000, random_state=0)
    error = 6 * both.std(axis=0) * np.sqrt(2 / 20_000)
    assert np.all(np.abs(grown.mean(axis=0) - anew.mean(axis=0)) < error)
    assert_allclose(grown.std(axis=0), anew.std(axis=0), rtol=0.06)


def test_rows_are_numbered_on(fitted, Z):
    new = make_codes(300, seed=1)
    grown = deepcopy(fitted).partial_fit(new).set_params(temperature=0.0)
    X_new, source = grown.sample(50, random_state=0, return_source=True)
    assert_allclose(X_new, np.concatenate([Z, new])[source.row], rtol=1e-5)


def test_a_changed_partition_is_refused(fitted):
    others = [partition for partition in PARTITIONS if partition != fitted.partition]
    with pytest.raises(ValueError, match="Set the old value, or use fit"):
        deepcopy(fitted).set_params(partition=others[0]).partial_fit(make_codes(50))


def test_a_changed_strategy_holds_from_the_next_codes_on(Z):
    sampler = FastHVRTSampler(partition="fast", n_partitions=30, random_state=0).fit(Z[:1000])
    sampler.set_params(strategy="bootstrap_noise")
    source = sampler.sample(500, random_state=0, return_source=True)
    assert np.all((source[0] - Z[source[1].row]).std(axis=0) > 0.12 * Z.std(axis=0))
    X_new, source = sampler.partial_fit(Z[1000:]).sample(500, random_state=0, return_source=True)
    # A tenth of the standard deviation of the cell; the default kernel moves codes further.
    assert np.all((X_new - Z[source.row]).std(axis=0) < 0.12 * Z.std(axis=0))


@pytest.mark.parametrize("partition", ["hvrt", "fast"])
def test_depth_bounds_the_partitions(Z, partition):
    sampler = FastHVRTSampler(partition=partition, min_samples_leaf=5, max_depth=2, random_state=0)
    assert 2 <= sampler.fit(Z).n_partitions_ <= 4


@pytest.mark.parametrize("partition", ["hvrt", "fast", "local"])
def test_partitions_hold_as_many_codes_as_asked_for(Z, partition):
    sampler = FastHVRTSampler(partition=partition, n_partitions=60, min_samples_leaf=40)
    assert sampler.fit(Z).partition_sizes_.min() >= 40


def test_splitter_is_that_of_later_cuts_too(Z):
    first, second = (FastHVRTSampler(n_partitions=10, random_state=0).fit(Z) for _ in range(2))
    second.set_params(tree_splitter="random")
    rows = first.apply(Z) == 0
    new = np.concatenate([Z[rows] + shift for shift in np.linspace(0, 0.1, 8)])
    for sampler in (first, second):
        sampler.partial_fit(new)
        assert sampler.n_partitions_ > 10
    assert not np.array_equal(first.apply(Z), second.apply(Z))


def test_partial_fit_takes_data_frames():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(make_codes(300)).add_prefix("z")
    sampler = FastHVRTSampler(partition="fast", min_samples_leaf=5, random_state=0).fit(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler.partial_fit(frame)
    assert sampler.partition_sizes_.sum() == 600


def test_parameters_are_checked_before_draws_with_a_source(Z):
    sampler = FastHVRTSampler(partition="fast", random_state=0).fit(Z).set_params(temperature=-1.0)
    with pytest.raises(ValueError, match="'temperature' parameter"):
        sampler.sample(3, return_source=True)
