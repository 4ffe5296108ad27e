"""Every density against an exact one, or its integral, in 1, 2 and 64 dimensions."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import trapezoid
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.base import clone

from latentgen import (
    ConditionalSampler,
    DiffusionSampler,
    EnsembleSampler,
    FastHVRTSampler,
    GaussianMixtureSampler,
    GaussianSampler,
    KernelDensitySampler,
    LocalGaussianSampler,
    NormalizingFlowSampler,
)

pytestmark = pytest.mark.filterwarnings("ignore:.* near-copies")
all_dimensions = pytest.mark.parametrize("d", [1, 2, 64])

# Each dial is away from its default in one of them.
HVRT = FastHVRTSampler(min_samples_leaf=40, n_partitions=3, random_state=0)
SAMPLERS = [
    GaussianSampler(),
    GaussianSampler(covariance="diag", temperature=0.5),
    GaussianSampler(shrinkage=0.4, temperature=2.0),
    GaussianSampler(covariance="identity", temperature=3.0),
    GaussianMixtureSampler(3, temperature=0.5, random_state=0),
    GaussianMixtureSampler(3, covariance_type="tied", reg_covar=0.1, random_state=0),
    GaussianMixtureSampler(3, covariance_type="diag", bayesian=True, random_state=0),
    GaussianMixtureSampler(3, covariance_type="spherical", temperature=2.0, random_state=0),
    KernelDensitySampler(temperature=2.0),
    KernelDensitySampler("silverman", min_novelty=0.1),
    KernelDensitySampler("cv", random_state=1),
    LocalGaussianSampler(3, random_state=0),
    LocalGaussianSampler(3, bandwidth=0.5, shrinkage=0.7, temperature=0.5, random_state=0),
    LocalGaussianSampler(2, bandwidth=1.0, shrinkage="auto", min_novelty=0.1, random_state=0),
    clone(HVRT).set_params(strategy="multivariate_kde", temperature=2.0),
    clone(HVRT).set_params(strategy="multivariate_kde", bandwidth=0.7, tree_splitter="random"),
    clone(HVRT).set_params(strategy="bootstrap_noise", bandwidth=0.5, partition="fast"),
    clone(HVRT).set_params(strategy="bootstrap_noise", max_depth=1),
    clone(HVRT).set_params(strategy="local_gaussian", bandwidth=0.6, partition="local"),
    ConditionalSampler(GaussianSampler(shrinkage=0.3)),
    EnsembleSampler(GaussianSampler(temperature=2.0), n_estimators=2, random_state=0),
]


def make_codes(d):
    """Three clusters with correlations, 240 codes far from zero, and their labels."""
    rng = np.random.RandomState(0)
    y = np.arange(240) % 3
    mixing = np.eye(d) + 0.3 * rng.standard_normal((d, d)) / np.sqrt(d)
    return 50 + 3 * y[:, None] + rng.standard_normal((240, d)) @ mixing, y


def normal_parts(sampler, Z, y):
    """Weights, means and covariances of the mixture of normal distributions that it is."""
    n, d = Z.shape
    if isinstance(sampler, GaussianSampler):
        return [1.0], [sampler.mean_], [sampler.factor_ @ sampler.factor_.T]
    if isinstance(sampler, GaussianMixtureSampler):
        fitted, k = sampler.mixture_, sampler.n_components
        whole = {
            "full": lambda c: c,
            "tied": lambda c: [c] * k,
            "diag": lambda c: [np.diag(variances) for variances in c],
            "spherical": lambda c: [variance * np.eye(d) for variance in c],
        }[sampler.covariance_type]
        return fitted.weights_, fitted.means_, whole(fitted.covariances_)
    if isinstance(sampler, KernelDensitySampler):
        return np.full(n, 1 / n), Z, [sampler.bandwidth_**2 * np.eye(d)] * n
    if isinstance(sampler, ConditionalSampler | EnsembleSampler):
        members = getattr(sampler, "samplers_", None) or sampler.estimators_
        weights = getattr(sampler, "class_prior_", np.full(len(members), 1 / len(members)))
        means = [member.mean_ for member in members]
        return weights, means, [member.factor_ @ member.factor_.T for member in members]
    # What is left moves training codes; a draw without noise shows where to, and its cell.
    still = sampler.set_params(temperature=0.0, min_novelty=0.0)
    X_new, source = still.sample(20 * n, random_state=0, return_source=True)
    rows, first = np.unique(source.row, return_index=True)
    assert_array_equal(rows, np.arange(n))
    cells = source.get("cell", source.get("partition"))[first]
    if isinstance(sampler, LocalGaussianSampler):
        factors = sampler.bandwidth * sampler.cell_factors_.astype(np.float64)
        return np.full(n, 1 / n), X_new[first], [factors[c] @ factors[c].T for c in cells]
    covariances = []
    for cell in range(sampler.n_partitions_):
        members = Z[cells == cell] / sampler.scale_
        covariance = np.atleast_2d(np.cov(members.T, ddof=0)) + 1e-8 * np.eye(d)
        width = sampler.bandwidth or len(members) ** (-1 / (d + 4))
        if sampler.strategy == "bootstrap_noise":
            covariance, width = np.diag(np.diagonal(covariance)), sampler.bandwidth or 0.1
        covariances.append(width**2 * covariance * np.outer(sampler.scale_, sampler.scale_))
    return np.full(n, 1 / n), X_new[first], [covariances[c] for c in cells]


def name_of(sampler):
    return str(sampler).replace("\n", "").replace(" ", "")


@all_dimensions
@pytest.mark.parametrize("unfitted", SAMPLERS, ids=name_of)
def test_density_is_that_of_its_normal_distributions(unfitted, d):
    Z, y = make_codes(d)
    sampler = clone(unfitted).fit(Z, y)
    rng = np.random.RandomState(1)
    X = np.concatenate([Z[:4], Z[4:8] + 0.3 * rng.standard_normal((4, d)), Z[8:10] + 5])
    found = sampler.score_samples(X)
    parts = zip(*normal_parts(sampler, Z, y), strict=True)
    expected = logsumexp(
        [
            np.log(weight) + multivariate_normal(mean, covariance, allow_singular=True).logpdf(X)
            for weight, mean, covariance in parts
        ],
        axis=0,
    )
    # Where shrunk codes lie is read from draws in float32.
    assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


@all_dimensions
@pytest.mark.parametrize("partition", ["hvrt", "fast", "local"])
def test_density_of_epanechnikov_kernels_is_the_mean_of_their_products(partition, d):
    Z = make_codes(d)[0]
    # Wide enough to reach other codes in 64 dimensions.
    sampler = clone(HVRT).set_params(partition=partition, bandwidth=6.0).fit(Z)
    cells = sampler.apply(Z)
    assert_array_equal(np.bincount(cells), sampler.partition_sizes_)
    spreads = [(Z[cells == cell] / sampler.scale_).std(axis=0) for cell in np.unique(cells)]
    widths = 6 * np.array(spreads)[cells] * sampler.scale_
    X = Z[:10] + 0.1
    u = (X[:, None] - Z) / widths
    with np.errstate(divide="ignore"):
        kernels = np.log(np.maximum(0.75 * (1 - u**2) / widths, 0)).sum(axis=2)
    expected = logsumexp(kernels, axis=1) - np.log(len(Z))
    assert np.isfinite(expected).all()
    assert_allclose(sampler.score_samples(X), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("flow", ["maf", "nsf"])
def test_density_of_a_flow_integrates_to_one(flow, d):
    Z = make_codes(d)[0]
    sampler = NormalizingFlowSampler(
        flow, n_transforms=2, hidden_features=(8,), max_epochs=1, temperature=2.0, random_state=0
    ).fit(Z)
    # A wide grid, and a finer one where the codes are.
    grid = np.union1d(np.linspace(0, 110, 60), np.linspace(43, 64, 80))
    points = np.stack(np.meshgrid(*[grid] * d, indexing="ij"), axis=-1).reshape(-1, d)
    density = np.exp(sampler.score_samples(points)).reshape([len(grid)] * d)
    for _ in range(d):
        density = trapezoid(density, grid)
    assert density == pytest.approx(1, abs=0.02)


def test_density_of_a_flow_in_64_dimensions_is_that_of_its_map():
    """Log-determinant by automatic differentiation, one code at a time."""
    torch = pytest.importorskip("torch")
    Z = make_codes(64)[0]
    sampler = NormalizingFlowSampler(
        n_transforms=2, hidden_features=(8,), max_epochs=1, random_state=0
    ).fit(Z)
    module = sampler.net_.module_.double()
    standardized = torch.from_numpy((Z[:3] - sampler.mean_) / sampler.scale_)
    expected = []
    for z in standardized:
        noise = module.flow().transform(z)
        jacobian = torch.autograd.functional.jacobian(lambda v: module.flow().transform(v), z)
        log_density = -0.5 * (noise**2).sum() - 32 * np.log(2 * np.pi)
        expected.append((log_density + torch.linalg.slogdet(jacobian)[1]).item())
    expected = np.array(expected) - np.log(sampler.scale_).sum()
    module.float()
    assert_allclose(sampler.score_samples(Z[:3]), expected, rtol=1e-4)


def test_changed_temperature_leaves_the_density():
    Z, y = make_codes(2)
    small = {"max_epochs": 1, "random_state": 0}
    networks = [
        NormalizingFlowSampler(n_transforms=1, hidden_features=(8,), **small),
        DiffusionSampler(width=8, n_blocks=1, n_steps=3, n_importance=2, **small),
    ]
    for unfitted in SAMPLERS + networks:
        if "temperature" in unfitted.get_params():
            sampler = clone(unfitted).fit(Z, y)
            before = sampler.score_samples(Z[:5])
            assert_array_equal(sampler.set_params(temperature=7.0).score_samples(Z[:5]), before)
