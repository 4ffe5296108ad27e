import numpy as np
import pytest
from scipy.stats import gaussian_kde, kstest, norm

from latentgen.samplers import _kernels

SIZES = np.array([7, 40, 1, 152])


@pytest.fixture(scope="module")
def Z():
    rng = np.random.RandomState(0)
    return np.exp(rng.standard_normal((200, 3)) * 0.5) + np.repeat(np.arange(4), SIZES)[:, None]


def cells_of(Z):
    return np.split(Z, np.cumsum(SIZES)[:-1])


def generator(seed=0):
    return _kernels.make_generator(np.random.RandomState(seed))


def test_cell_means_and_stds_match_numpy(Z):
    means = [cell.mean(axis=0) for cell in cells_of(Z)]
    stds = [np.maximum(cell.std(axis=0), 0.01) for cell in cells_of(Z)]
    np.testing.assert_allclose(_kernels.cell_means(Z, SIZES), means, rtol=1e-12)
    np.testing.assert_allclose(_kernels.cell_stds(Z, SIZES), stds, rtol=1e-6)


def test_covariance_factors_reproduce_the_covariances(Z):
    for cell, factor in zip(cells_of(Z), _kernels.covariance_factors(Z, SIZES), strict=True):
        expected = np.cov(cell, rowvar=False, ddof=0) if len(cell) > 1 else np.zeros((3, 3))
        np.testing.assert_allclose(factor @ factor.T, expected, atol=1e-5)


def test_copula_factors_reproduce_the_rank_correlations(Z):
    cell, factor = cells_of(Z)[3], _kernels.copula_factors(Z, SIZES)[3]
    scores = norm.ppf((cell.argsort(axis=0).argsort(axis=0) + 1) / (len(cell) + 1))
    np.testing.assert_allclose(factor @ factor.T, np.corrcoef(scores.T), atol=1e-4)


def test_copula_factor_of_a_tiny_cell_is_the_identity(Z):
    np.testing.assert_array_equal(_kernels.copula_factors(Z, SIZES)[2], np.eye(3))


def test_copula_factors_exist_when_features_repeat():
    Z = np.repeat(np.random.RandomState(0).standard_normal((6, 1)), 10, axis=1)
    assert np.isfinite(_kernels.copula_factors(Z, np.array([6]))).all()


@pytest.mark.parametrize("bandwidth", [None, 0.1])
@pytest.mark.parametrize("cell", [0, 1, 3])
def test_quantile_tables_follow_the_kernel_density_estimate(Z, cell, bandwidth):
    tables = _kernels.quantile_tables(Z, SIZES, bandwidth)
    values = cells_of(Z)[cell][:, 1]
    reference = gaussian_kde(values, bandwidth)
    # 1 000 even normal scores through the table, through the exact distribution function.
    probabilities = (np.arange(1000) + 0.5) / 1000
    scores = np.tile(norm.ppf(probabilities)[:, None], (1, 3)).astype(np.float32)
    _kernels.transform_scores(scores, np.full(1000, cell), tables)
    reached = [reference.integrate_box_1d(-np.inf, x) for x in scores[:, 1].astype(float)]
    # 0.01 is a third of a step of the table at the median.
    np.testing.assert_allclose(reached, probabilities, atol=0.01)


def test_quantile_table_of_one_code_is_narrow(Z):
    table = _kernels.quantile_tables(Z, SIZES)[2]
    np.testing.assert_allclose(table, cells_of(Z)[2].T @ np.ones((1, table.shape[1])), atol=0.05)


def test_quantile_tables_do_not_depend_on_blocks(Z, monkeypatch):
    whole = _kernels.quantile_tables(Z, SIZES)
    monkeypatch.setattr(_kernels, "_GRID_VALUES", 1)
    np.testing.assert_allclose(_kernels.quantile_tables(Z, SIZES), whole, rtol=1e-5)


def test_epanechnikov_noise_has_its_distribution():
    noise = np.empty((20_001, 3), dtype=np.float32)
    _kernels.epanechnikov_noise(generator(), noise)
    result = kstest(noise[:, 1].astype(float), lambda u: 0.5 + 0.75 * u - 0.25 * u**3)
    assert result.pvalue > 0.01


def test_epanechnikov_noise_is_independent_and_fine():
    noise = np.empty((20_000, 3), dtype=np.float32)
    _kernels.epanechnikov_noise(generator(), noise)
    # Five standard errors of a correlation.
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 5 / np.sqrt(20_000)
    # One of 2^16 values each would give about 50 000 different ones.
    assert len(np.unique(noise)) > 59_000


def test_correlate_uses_the_factor_of_each_cell():
    factors = np.array([np.eye(2), [[2, 0], [1, 3]]], dtype=np.float32)
    noise = np.ones((3, 2), dtype=np.float32)
    _kernels.correlate(noise, np.array([0, 1, 1]), factors)
    np.testing.assert_array_equal(noise, [[1, 1], [2, 4], [2, 4]])


def kernel_mixture(X, centers, log_kernel):
    return [np.logaddexp.reduce([log_kernel(x, i) for i in range(len(centers))]) for x in X]


@pytest.mark.parametrize("blocks", [2**21, 1])
def test_normal_log_density_matches_a_loop(Z, blocks, monkeypatch):
    monkeypatch.setattr(_kernels, "_BLOCK_VALUES", blocks)
    factors = _kernels.covariance_factors(Z, SIZES) + 0.1 * np.eye(3, dtype=np.float32)
    cells = np.repeat(np.arange(4), SIZES)
    X = Z[::40] + 0.1

    def log_kernel(x, i):
        factor = factors[cells[i]].astype(float)
        u = np.linalg.solve(factor, x - Z[i])
        return norm.logpdf(u).sum() - np.log(np.diag(factor)).sum() - np.log(200)

    expected = kernel_mixture(X, Z, log_kernel)
    np.testing.assert_allclose(
        _kernels.normal_log_density(X, Z, SIZES, factors), expected, rtol=1e-6
    )


def test_normal_log_density_of_widths_is_that_of_diagonal_factors(Z):
    widths = _kernels.cell_stds(Z, SIZES)
    factors = widths[:, :, None] * np.eye(3)
    np.testing.assert_allclose(
        _kernels.normal_log_density(Z[:9], Z, SIZES, widths),
        _kernels.normal_log_density(Z[:9], Z, SIZES, factors),
        rtol=1e-9,
    )


@pytest.mark.parametrize("blocks", [2**21, 1])
def test_epanechnikov_log_density_matches_a_loop(Z, blocks, monkeypatch):
    monkeypatch.setattr(_kernels, "_BLOCK_VALUES", blocks)
    widths = _kernels.cell_stds(Z, SIZES)
    cells = np.repeat(np.arange(4), SIZES)
    X = Z[::40] + 0.1

    def log_kernel(x, i):
        u = (x - Z[i]) / widths[cells[i]]
        if np.any(np.abs(u) >= 1):
            return -np.inf
        return np.log(0.75 / widths[cells[i]] * (1 - u**2)).sum() - np.log(200)

    expected = kernel_mixture(X, Z, log_kernel)
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(
        _kernels.epanechnikov_log_density(X, Z, SIZES, widths), expected, rtol=1e-6
    )
