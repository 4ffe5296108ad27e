import numpy as np
import pytest
from scipy.stats import gaussian_kde, norm

from latentgen.samplers import _copula

SIZES = np.array([7, 40, 1, 152])


@pytest.fixture(scope="module")
def Z():
    rng = np.random.RandomState(0)
    return np.exp(rng.standard_normal((200, 3)) * 0.5) + np.repeat(np.arange(4), SIZES)[:, None]


def cells_of(Z):
    return np.split(Z, np.cumsum(SIZES)[:-1])


def test_copula_factors_reproduce_the_rank_correlations(Z):
    cell, factor = cells_of(Z)[3], _copula.copula_factors(Z, SIZES)[3]
    scores = norm.ppf((cell.argsort(axis=0).argsort(axis=0) + 1) / (len(cell) + 1))
    np.testing.assert_allclose(factor @ factor.T, np.corrcoef(scores.T), atol=1e-4)


def test_copula_factor_of_a_tiny_cell_is_the_identity(Z):
    np.testing.assert_array_equal(_copula.copula_factors(Z, SIZES)[2], np.eye(3))


def test_copula_factors_exist_when_features_repeat():
    Z = np.repeat(np.random.RandomState(0).standard_normal((6, 1)), 10, axis=1)
    assert np.isfinite(_copula.copula_factors(Z, np.array([6]))).all()


def quantiles(scores, cell, tables):
    """Quantiles of one cell, the same scores for all features."""
    scores = np.tile(np.asarray(scores, dtype=np.float32)[:, None], (1, 3))
    _copula.transform_scores(scores, np.full(len(scores), cell), tables)
    return scores.astype(np.float64)


@pytest.mark.parametrize("bandwidth", [None, 0.1])
@pytest.mark.parametrize("cell", [0, 1, 3])
def test_quantiles_follow_the_kernel_density_estimate(Z, cell, bandwidth):
    tables = _copula.score_tables(Z, SIZES, bandwidth)
    reference = gaussian_kde(cells_of(Z)[cell][:, 1], bandwidth)
    # Even probabilities through the tables, and back through the exact distribution function.
    probabilities = np.concatenate([[1e-4], (np.arange(1000) + 0.5) / 1000, [1 - 1e-4]])
    found = quantiles(norm.ppf(probabilities), cell, tables)[:, 1]
    reached = [reference.integrate_box_1d(-np.inf, x) for x in found]
    np.testing.assert_allclose(reached, probabilities, atol=0.005)
    np.testing.assert_allclose(reached[::1001], probabilities[::1001], atol=5e-5)


def test_gaps_of_a_marginal_stay_empty():
    """A table of quantiles bridged them: 2 % of the draws, where 0.02 % belong."""
    rng = np.random.RandomState(1)
    Z = rng.choice([-1, 1], (300, 3)) + 0.2 * rng.standard_normal((300, 3))
    edges = np.abs(Z).min(axis=0)
    scores = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    found = quantiles(scores, 0, _copula.score_tables(Z, np.array([300]), 0.05))
    for feature, edge in enumerate(edges):
        exact = gaussian_kde(Z[:, feature], 0.05).integrate_box_1d(-edge, edge)
        assert np.mean(np.abs(found[:, feature]) < edge) == pytest.approx(exact, abs=1e-3)


def test_quantiles_of_one_code_are_narrow(Z):
    found = quantiles(np.linspace(-6, 6, 50), 2, _copula.score_tables(Z, SIZES))
    np.testing.assert_allclose(found, np.tile(cells_of(Z)[2], (50, 1)), atol=0.05)


def test_quantiles_do_not_depend_on_blocks(Z, monkeypatch):
    scores = np.linspace(-6, 6, 50)
    whole = quantiles(scores, 3, _copula.score_tables(Z, SIZES))
    monkeypatch.setattr(_copula, "_GRID_VALUES", 1)
    monkeypatch.setattr(_copula, "_CACHE_VALUES", 1)
    parts = quantiles(scores, 3, _copula.score_tables(Z, SIZES))
    np.testing.assert_allclose(parts, whole, rtol=1e-5)
