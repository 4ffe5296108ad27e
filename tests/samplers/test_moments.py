import numpy as np
import pytest
from sklearn.covariance import oas

from latentgen.samplers import _moments

SIZES = np.array([7, 40, 1, 152])


@pytest.fixture(scope="module")
def Z():
    rng = np.random.RandomState(0)
    return np.exp(rng.standard_normal((200, 3)) * 0.5) + np.repeat(np.arange(4), SIZES)[:, None]


def cells_of(Z):
    return np.split(Z, np.cumsum(SIZES)[:-1])


def test_cell_means_and_stds_match_numpy(Z):
    means = [cell.mean(axis=0) for cell in cells_of(Z)]
    stds = [np.maximum(cell.std(axis=0), 0.01) for cell in cells_of(Z)]
    np.testing.assert_allclose(_moments.cell_means(Z, SIZES), means, rtol=1e-12)
    np.testing.assert_allclose(_moments.cell_stds(Z, SIZES), stds, rtol=1e-6)


def test_covariance_factors_reproduce_the_covariances(Z):
    for cell, factor in zip(cells_of(Z), _moments.covariance_factors(Z, SIZES), strict=True):
        expected = np.cov(cell, rowvar=False, ddof=0) if len(cell) > 1 else np.zeros((3, 3))
        np.testing.assert_allclose(factor @ factor.T, expected, atol=1e-5)


def test_shrinkage_of_one_cell_to_the_sphere_is_that_of_the_reference():
    """On whitened codes it is scikit-learn's, but for the terms 2 / d that this one leaves out."""
    rows = np.random.RandomState(0).standard_normal((30, 200)) * np.linspace(1, 3, 200)
    covariance = rows.T @ rows / 30
    expected = oas(rows, assume_centered=True)[1]
    assert _moments._oracle_shrinkage(covariance, 30) == pytest.approx(expected, rel=0.01)


def covariances_of(factors):
    return factors.astype(np.float64) @ np.swapaxes(factors, 1, 2)


def test_estimated_shrinkage_falls_with_the_number_of_codes():
    rng = np.random.RandomState(0)

    def error(n, shrinkage):
        """Mean error of the covariances of four cells that share theirs."""
        sizes, d = np.full(4, n), 10
        variances = np.linspace(1, 5, d)
        covariance = 0.5 * np.sqrt(np.outer(variances, variances)) + 0.5 * np.diag(variances)
        Z = rng.standard_normal((4 * n, d)) @ np.linalg.cholesky(covariance).T
        factors = _moments.shrunk_factors(Z, sizes, shrinkage)
        return np.abs(covariances_of(factors) - covariance).mean()

    assert error(15, None) < 0.7 * error(15, 0)
    assert error(3000, None) == pytest.approx(error(3000, 0), rel=0.5)


@pytest.mark.parametrize("shrinkage", [None, 0.3])
@pytest.mark.parametrize("sizes", [SIZES, np.full(50, 4)], ids=["cells", "small cells"])
def test_shrunk_factors_follow_the_unit_of_each_feature(Z, sizes, shrinkage):
    """A ridge in units of the mean variance used to swallow narrow features."""
    unit = np.array([1e-6, 1.0, 1e6])
    expected = _moments.shrunk_factors(Z, sizes, shrinkage) * unit[:, None]
    found = _moments.shrunk_factors(Z * unit, sizes, shrinkage)
    np.testing.assert_allclose(found / unit[:, None], expected / unit[:, None], atol=1e-5)


def test_scales_of_constant_features_are_a_fraction_of_the_least_other():
    mean, std = np.array([0.0, 3.0, 1e6, 5.0]), np.array([2.0, 0.5, 1e-10, 0.0])
    np.testing.assert_allclose(_moments.feature_scales(mean, std, 0.1), [2, 0.5, 0.05, 0.05])
    np.testing.assert_allclose(_moments.feature_scales(mean, np.zeros(4), 0.1), 0.1)
