import sys

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.datasets import make_moons

from latentgen.samplers import GaussianSampler, NormalizingFlowSampler

FLOWS = ["nsf", "maf"]


@pytest.fixture(scope="module")
def moons():
    return make_moons(1000, noise=0.1, random_state=0)[0]


@pytest.fixture(scope="module", params=FLOWS)
def fitted(request, moons):
    # Three layers each: enough to bend a plane, few enough to be fast.
    epochs = 14 if request.param == "nsf" else 40
    return NormalizingFlowSampler(
        request.param,
        n_transforms=3,
        hidden_features=(32, 32),
        max_epochs=epochs,
        batch_size=100,
        lr=0.02,
        random_state=0,
    ).fit(moons)


@pytest.fixture(scope="module")
def masses(fitted):
    """Cells of a grid around the moons, and the probability of each by integration."""
    x, y = np.linspace(-3, 4, 200), np.linspace(-3, 3.5, 200)
    cells = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return cells, np.exp(fitted.score_samples(cells)) * (x[1] - x[0]) * (y[1] - y[0])


def test_density_integrates_to_one(masses):
    assert masses[1].sum() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("direction", [(1, 0), (0, 1), (1, 1), (1, -1)])
def test_draws_follow_the_density(fitted, masses, direction):
    cells, mass = masses
    X_new, direction = fitted.sample(10_000, random_state=0), np.array(direction)
    for cut in (-0.5, 0.0, 0.5, 1.0):
        expected = mass[cells @ direction < cut].sum()
        # Five standard errors of a fraction, and the width of a cell.
        assert (X_new @ direction < cut).mean() == pytest.approx(expected, abs=0.025 + 0.025)


def test_flow_fits_moons_better_than_a_gaussian(fitted):
    X_test = make_moons(1000, noise=0.1, random_state=1)[0]
    moons = make_moons(1000, noise=0.1, random_state=0)[0]
    gaussian = GaussianSampler().fit(moons).score_samples(X_test).mean()
    assert fitted.score_samples(X_test).mean() > gaussian + 0.3


@pytest.mark.parametrize("flow", FLOWS)
def test_draws_recover_a_correlated_gaussian(flow):
    mean, covariance = np.array([1.0, -2.0]), np.array([[2.0, 0.9], [0.9, 0.5]])
    Z = np.random.RandomState(0).multivariate_normal(mean, covariance, size=4000)
    sampler = NormalizingFlowSampler(
        flow,
        n_transforms=2,
        hidden_features=(32,),
        max_epochs=6,
        batch_size=200,
        lr=0.02,
        random_state=0,
    ).fit(Z)
    X_new = sampler.sample(20_000, random_state=0)
    scale = np.sqrt(np.diag(covariance))
    # Five standard errors of 4 000 codes, and as much again for a network trained for a second.
    tolerance = 10 / np.sqrt(4000)
    assert np.all(np.abs(X_new.mean(axis=0) - mean) < tolerance * scale)
    assert np.all(np.abs(np.cov(X_new.T) - covariance) < 1.5 * tolerance * np.outer(scale, scale))
    exact = multivariate_normal(mean, covariance).logpdf(Z).mean()
    assert sampler.score_samples(Z).mean() == pytest.approx(exact, abs=0.05)


def small(**parameters):
    settings = {"n_transforms": 2, "hidden_features": (8,), "max_epochs": 1, "random_state": 0}
    return NormalizingFlowSampler(**(settings | parameters))


@pytest.mark.parametrize("flow, passes", [("nsf", 2), ("maf", 6)])
def test_flow_decides_the_passes_of_a_draw(flow, passes):
    sampler = small(flow=flow).fit(np.random.RandomState(0).standard_normal((60, 6)))
    layers = sampler.net_.module_.flow.transform.transforms
    assert [layer.passes for layer in layers] == [passes, passes]


def test_features_are_permuted_between_layers():
    sampler = small(n_transforms=8).fit(np.random.RandomState(0).standard_normal((60, 6)))
    layers = sampler.net_.module_.flow.transform.transforms
    assert len({tuple(layer.order.tolist()) for layer in layers}) > 2


def test_n_transforms_and_hidden_features_shape_the_network():
    Z = np.random.RandomState(0).standard_normal((60, 4))
    flow = small(n_transforms=3, hidden_features=[8, 12]).fit(Z).net_.module_.flow
    assert len(flow.transform.transforms) == 3
    hyper = flow.transform.transforms[0].hyper
    assert (hyper[0].out_features, hyper[2].out_features) == (8, 12)


def test_temperature_is_the_standard_deviation_of_the_noise(fitted):
    # Without noise, the draw is what the flow maps 0 to.
    fitted.set_params(temperature=0.0)
    try:
        X_new = fitted.sample(10, random_state=0)
    finally:
        fitted.set_params(temperature=1.0)
    np.testing.assert_allclose(X_new, np.tile(X_new[:1], (10, 1)), atol=1e-5)


def test_missing_zuko_is_named(monkeypatch, moons):
    monkeypatch.setitem(sys.modules, "zuko", None)
    monkeypatch.setitem(sys.modules, "zuko.flows", None)
    message = r"NormalizingFlowSampler needs zuko\. .* pip install latentgen\[flow\]"
    with pytest.raises(ImportError, match=message):
        small().fit(moons)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"flow": "glow"}, "'flow' parameter of NormalizingFlowSampler must be"),
        ({"n_transforms": 0}, "'n_transforms' parameter of"),
        ({"hidden_features": (8, 0)}, r"'hidden_features' must be positive .* got \(8, 0\)"),
    ],
)
def test_fit_refuses(moons, parameters, message):
    with pytest.raises(ValueError, match=message):
        small(**parameters).fit(moons)
