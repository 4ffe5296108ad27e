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


@pytest.mark.parametrize("bandwidth", [None, 0.1])
@pytest.mark.parametrize("cell", [0, 1, 3])
def test_quantile_tables_follow_the_kernel_density_estimate(Z, cell, bandwidth):
    tables = _copula.quantile_tables(Z, SIZES, bandwidth)
    values = cells_of(Z)[cell][:, 1]
    reference = gaussian_kde(values, bandwidth)
    # 1 000 even normal scores through the table, through the exact distribution function.
    probabilities = (np.arange(1000) + 0.5) / 1000
    scores = np.tile(norm.ppf(probabilities)[:, None], (1, 3)).astype(np.float32)
    _copula.transform_scores(scores, np.full(1000, cell), tables)
    reached = [reference.integrate_box_1d(-np.inf, x) for x in scores[:, 1].astype(float)]
    # 0.01 is a third of a step of the table at the median.
    np.testing.assert_allclose(reached, probabilities, atol=0.01)


def test_quantile_table_of_one_code_is_narrow(Z):
    table = _copula.quantile_tables(Z, SIZES)[2]
    np.testing.assert_allclose(table, cells_of(Z)[2].T @ np.ones((1, table.shape[1])), atol=0.05)


def test_quantile_tables_do_not_depend_on_blocks(Z, monkeypatch):
    whole = _copula.quantile_tables(Z, SIZES)
    monkeypatch.setattr(_copula, "_GRID_VALUES", 1)
    np.testing.assert_allclose(_copula.quantile_tables(Z, SIZES), whole, rtol=1e-5)
