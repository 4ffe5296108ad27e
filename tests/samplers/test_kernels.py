"""What every kernel draws, against its log-density and against slow references."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import cumulative_trapezoid
from scipy.stats import chisquare, kstest, multivariate_normal
from sklearn.utils import Bunch

from latentgen.samplers import _kernels, _log_density
from latentgen.samplers._kernels import KERNELS, correlated_noise, epanechnikov_noise
from latentgen.utils._random import make_generator

SIZES = np.array([20, 40, 1, 139])
CELLS = np.repeat(np.arange(4), SIZES)
WITH_DENSITY = ["epanechnikov", "bootstrap_noise", "multivariate_kde", "local_gaussian"]

all_kernels = pytest.mark.parametrize("name", KERNELS)
with_density = pytest.mark.parametrize("name", WITH_DENSITY)


@pytest.fixture(scope="module")
def codes():
    rng = np.random.RandomState(0)
    codes = np.exp(rng.standard_normal((200, 3)) * 0.5) * [1, 3, 0.5]
    return (codes + CELLS[:, None]).astype(np.float32)


def fit(name, codes, sizes=SIZES, bandwidth=None):
    """What `draw` and `log_density` take."""
    scale = codes.std(axis=0, dtype=np.float64)
    fitted = KERNELS[name].fit(codes, sizes, scale, bandwidth)
    return Bunch(codes=codes, sizes=sizes, **fitted)


def draw(name, fitted, n_samples=5000, seed=0, temperature=1.0):
    return KERNELS[name].draw(fitted, n_samples, np.random.RandomState(seed), temperature)


def reference(name, codes, bandwidth):
    """Center and covariance of the kernel on each code, one after the other."""
    codes = codes.astype(np.float64)
    centers, covariances = [], []
    for code, cell in zip(codes, CELLS, strict=True):
        members = codes[cell == CELLS]
        scott = len(members) ** (-1 / (3 + 4))
        covariance = np.cov(members.T, ddof=0) if len(members) > 1 else np.zeros((3, 3))
        z_variance = np.maximum(np.diag(covariance), (0.01 * codes.std(axis=0)) ** 2)
        if name == "epanechnikov":
            # The variance of the kernel on [-1, 1] is 1 / 5.
            covariance = np.diag(z_variance) / 5 * (bandwidth or scott) ** 2
        elif name == "bootstrap_noise":
            covariance = np.diag(z_variance) * (bandwidth or 0.1) ** 2
        else:
            covariance = covariance + 1e-8 * np.diag(codes.var(axis=0))
            width = bandwidth or (0.8 if name == "local_gaussian" else scott)
            covariance = covariance * width**2
        if name == "local_gaussian":
            mean = members.mean(axis=0)
            code = mean + np.sqrt(1 - width**2) * (code - mean)
        centers.append(code)
        covariances.append(covariance)
    return np.array(centers), np.array(covariances)


def log_density_of(name, x, center, covariance):
    if name != "epanechnikov":
        return multivariate_normal(center, covariance).logpdf(x)
    widths = np.sqrt(5 * np.diag(covariance))
    u = (x - center) / widths
    with np.errstate(divide="ignore"):
        return np.log(0.75 / widths * np.maximum(1 - u**2, 0)).sum()


@pytest.mark.parametrize("block", [2**21, 1])
@pytest.mark.parametrize("bandwidth", [None, 0.5])
@with_density
def test_log_density_matches_a_loop(name, bandwidth, block, codes, monkeypatch):
    monkeypatch.setattr(_log_density, "_BLOCK_VALUES", block)
    kernels = list(zip(*reference(name, codes, bandwidth), strict=True))
    X = codes[::40].astype(np.float64) + 0.05
    expected = [
        np.logaddexp.reduce([log_density_of(name, x, *kernel) for kernel in kernels]) for x in X
    ]
    assert np.isfinite(expected).any()
    found = KERNELS[name].log_density(fit(name, codes, bandwidth=bandwidth), X)
    assert_allclose(found, np.array(expected) - np.log(len(codes)), rtol=1e-4)


@with_density
def test_draws_follow_the_log_density(name):
    codes = (np.random.RandomState(0).standard_normal((60, 1)) ** 2).astype(np.float32)
    fitted = fit(name, codes, sizes=np.array([25, 35]))
    grid = np.linspace(-4, 12, 4001)
    density = np.exp(KERNELS[name].log_density(fitted, grid[:, None]))
    distribution = cumulative_trapezoid(density, grid, initial=0)
    assert distribution[-1] == pytest.approx(1, abs=1e-3)
    drawn = draw(name, fitted)[0][:, 0].astype(np.float64)
    assert kstest(drawn, lambda x: np.interp(x, grid, distribution)).pvalue > 0.01


@pytest.mark.parametrize("bandwidth", [None, 0.5])
@with_density
def test_noise_has_the_covariance_of_the_cell(name, bandwidth, codes):
    centers, covariances = reference(name, codes, bandwidth)
    X_new, rows, cells = draw(name, fit(name, codes, bandwidth=bandwidth), 30_000)
    noise = (X_new - centers[rows])[cells == 3]
    deviations = np.sqrt(np.diag(covariances[-1]))
    # Five standard errors of a correlation, and of a variance under normal noise.
    gap = (noise.T @ noise / len(noise) - covariances[-1]) / np.outer(deviations, deviations)
    assert np.abs(gap).max() < 5 * np.sqrt(2 / len(noise))


@all_kernels
def test_cells_and_rows_are_drawn_uniformly(name, codes):
    _, rows, cells = draw(name, fit(name, codes), 20_000)
    assert chisquare(np.bincount(cells), 100 * SIZES).pvalue > 0.01
    if name == "univariate_kde_copula":
        assert rows is None
        return
    assert_array_equal(CELLS[rows], cells)
    assert chisquare(np.bincount(rows, minlength=200)).pvalue > 0.01


@with_density
def test_temperature_multiplies_the_noise(name, codes):
    fitted = fit(name, codes)
    cold, plain, hot = (draw(name, fitted, 500, temperature=t)[0] for t in (0, 1, 2))
    assert_allclose(hot - cold, 2 * (plain - cold), atol=1e-5)
    assert not np.allclose(plain, cold, atol=1e-3)


def test_temperature_of_the_copula_narrows_its_normal_scores(codes):
    fitted = fit("univariate_kde_copula", codes)
    cold, plain = (draw("univariate_kde_copula", fitted, temperature=t) for t in (0, 1))
    assert len(np.unique(cold[0][cold[2] == 3], axis=0)) == 1
    # A draw at a score of 0 is the median of the cell, feature by feature.
    medians = np.median(plain[0][plain[2] == 3], axis=0)
    assert_allclose(cold[0][cold[2] == 3][0], medians, atol=0.1)


@all_kernels
def test_bandwidth_widens_the_draws(name, codes):
    def spread(bandwidth):
        fitted = fit(name, codes, bandwidth=bandwidth)
        X_new, rows, cells = draw(name, fitted)
        start = codes[rows] if rows is not None else codes[CELLS == 3].mean(axis=0)
        return (X_new - start)[cells == 3].std(axis=0)

    # Shrunk codes and marginals keep a spread of their own.
    factor = {"local_gaussian": 1.5, "univariate_kde_copula": 1.1}.get(name, 4)
    assert np.all(spread(0.9) > factor * spread(0.1))


@all_kernels
def test_chunks_do_not_show(name, codes, monkeypatch):
    fitted = fit(name, codes)
    whole = draw(name, fitted, 20_000)[0].astype(np.float64)
    monkeypatch.setattr(_kernels, "_CACHE_VALUES", 300)
    monkeypatch.setattr(_kernels, "_FACTOR_VALUES", 64 * 100)
    parts = draw(name, fitted, 20_000)[0].astype(np.float64)
    error = 5 * whole.std(axis=0) * np.sqrt(2 / 20_000)
    assert np.all(np.abs(parts.mean(axis=0) - whole.mean(axis=0)) < error)
    assert_allclose(parts.std(axis=0), whole.std(axis=0), rtol=0.05)


@all_kernels
def test_fit_gives_plain_arrays(name, codes):
    """Saved files must name no kernel."""
    assert all(isinstance(value, np.ndarray | Real) for value in fit(name, codes).values())


def test_epanechnikov_noise_has_its_distribution():
    noise = np.empty((20_001, 3), dtype=np.float32)
    epanechnikov_noise(make_generator(np.random.RandomState(0)), noise)
    result = kstest(noise[:, 1].astype(float), lambda u: 0.5 + 0.75 * u - 0.25 * u**3)
    assert result.pvalue > 0.01
    assert 0.99 < np.abs(noise).max() <= 1


def test_epanechnikov_noise_is_independent_and_fine():
    noise = np.empty((20_000, 3), dtype=np.float32)
    epanechnikov_noise(make_generator(np.random.RandomState(0)), noise)
    # Five standard errors of a correlation.
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 5 / np.sqrt(20_000)
    # One of 2^16 values each would give about 50 000 different ones.
    assert len(np.unique(noise)) > 59_000


def test_correlated_noise_has_the_factor_of_each_row(monkeypatch):
    factors = np.array([np.eye(2), [[2, 0], [1, 3]]], dtype=np.float32)
    cells = np.random.RandomState(0).randint(2, size=40_000)
    monkeypatch.setattr(_kernels, "_FACTOR_VALUES", 64 * 1000)
    noise = np.full((len(cells), 2), np.nan)
    generator = make_generator(np.random.RandomState(0))
    for rows, block in correlated_noise(generator, cells, factors, scale=0.5):
        noise[rows] = block
    for cell, factor in enumerate(factors):
        expected = 0.25 * factor @ factor.T
        deviations = np.sqrt(np.diag(expected))
        gap = (np.cov(noise[cells == cell].T) - expected) / np.outer(deviations, deviations)
        # Five standard errors of a variance of normal noise.
        assert np.abs(gap).max() < 5 * np.sqrt(2 / 19_000)
