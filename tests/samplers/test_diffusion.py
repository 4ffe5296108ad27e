import copy
import math
import pickle

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture
from torch import nn

from latentgen import ConvAutoencoder, make_latent_pipeline
from latentgen.networks._denoisers import MLPDenoiser, TimeEmbedding, UNetDenoiser, _Attention
from latentgen.networks._diffusion import VariationalDiffusion
from latentgen.samplers import DiffusionSampler, KernelDensitySampler

SPREAD, N_FEATURES = 0.5, 8


class ExactDenoiser(nn.Module):
    """The best denoiser of u ~ N(0, SPREAD**2 I): the posterior mean of the noise."""

    def forward(self, u_t, t):
        gamma = torch.as_tensor(-6 + 13 * t)[:, None]
        alpha, sigma = torch.sigmoid(-gamma).sqrt(), torch.sigmoid(gamma).sqrt()
        noise = sigma * u_t / ((alpha * SPREAD) ** 2 + sigma**2)
        return (noise - sigma * u_t) / alpha


@pytest.fixture(scope="module")
def exact():
    return VariationalDiffusion(ExactDenoiser(), gamma_min=-6, gamma_max=7)


@pytest.fixture(scope="module")
def toy():
    return torch.from_numpy(SPREAD * noise_of(0, 8000))


def noise_of(seed, n):
    return np.random.RandomState(seed).standard_normal((n, N_FEATURES)).astype(np.float32)


def bound_of(process, u, n_steps):
    noises = [torch.from_numpy(noise_of(step, len(u))) for step in range(1, n_steps + 1)]
    return process.bound(u, noises).double().mean().item()


def exact_cross_entropy(u):
    variance = SPREAD**2
    return 0.5 * (u.double().square() / variance + math.log(2 * math.pi * variance)).sum(1).mean()


# ------------------------------------------------------------------ the process


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_forward_marginal_has_its_moments(exact, t):
    noise, u = torch.from_numpy(noise_of(0, 20_000)), torch.full((20_000, N_FEATURES), 2.0)
    u_t = exact.diffuse(u, torch.full((20_000,), t), noise)
    signal, variance = 1 / (1 + math.exp(-6 + 13 * t)), 1 / (1 + math.exp(6 - 13 * t))
    n = u_t.numel()
    assert abs(u_t.mean() - 2 * signal**0.5) < 5 * math.sqrt(variance / n)
    assert abs(u_t.var() - variance) < 5 * variance * math.sqrt(2 / n)


def test_bound_falls_with_the_steps_to_the_cross_entropy(exact, toy):
    # The distance falls with 1 / n_steps; 0.7 % are the Gaussian decoder of u_0.
    toy = toy[:250]
    expected = exact_cross_entropy(toy).item()
    bounds = [bound_of(exact, toy, n_steps) for n_steps in (3, 10, 50, 2500)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > 2 * expected and bounds[2] > 1.1 * expected
    assert bounds[-1] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("d", [1, 2, 64])
def test_bound_is_exact_in_the_limit_in_any_number_of_dimensions(exact, d):
    rng, n_steps = np.random.RandomState(0), 800
    noise = rng.standard_normal((n_steps, 256 // d, d)).astype(np.float32)
    u = torch.from_numpy(SPREAD * rng.standard_normal((256 // d, d)).astype(np.float32))
    bound = exact.bound(u, torch.from_numpy(noise)).double().mean().item()
    # In units of one dimension: what is missing for want of steps, and the decoder of u_0.
    assert bound / d == pytest.approx(exact_cross_entropy(u).item() / d, abs=0.05)


def test_chains_weigh_the_density_of_the_model(exact, toy):
    # The exact denoiser makes every step linear, so that the density of the model is normal.
    n_steps, n_chains = 8, 4000
    variance = 1.0
    for step in range(n_steps, 0, -1):
        gamma_t, gamma_s = (-6 + 13 * i / n_steps for i in (step, step - 1))
        signal_t, signal_s = (1 / (1 + math.exp(gamma)) for gamma in (gamma_t, gamma_s))
        fraction = 1 - math.exp(gamma_s - gamma_t)
        estimate = math.sqrt(signal_t) * SPREAD**2 / (signal_t * SPREAD**2 + 1 - signal_t)
        factor = math.sqrt(signal_s) * ((1 - fraction) / math.sqrt(signal_t) + fraction * estimate)
        variance = factor**2 * variance + (1 - signal_s) * fraction
    variance = variance * (1 + math.exp(-6)) + math.exp(-6)
    u = toy[:6, :2]
    expected = multivariate_normal(np.zeros(2), variance * np.eye(2)).logpdf(u.numpy())
    rows = u.repeat(n_chains, 1)
    noises = [torch.from_numpy(noise_of(step, len(rows))[:, :2]) for step in range(n_steps + 1)]
    weights = exact.chain_log_weight(rows, noises).double().reshape(n_chains, len(u)).exp()
    error = weights.std(dim=0) / weights.mean(dim=0) / math.sqrt(n_chains)
    np.testing.assert_array_less(
        np.abs(weights.mean(dim=0).log().numpy() - expected), 5 * error.numpy()
    )
    assert error.max() < 0.1


def test_mean_log_weight_of_a_chain_is_the_bound(exact, toy):
    noises = [torch.from_numpy(noise_of(step, len(toy))) for step in range(11)]
    weights, bounds = exact.chain_log_weight(toy, noises), -exact.bound(toy, noises[1:])
    error = math.sqrt((weights.var() + bounds.var()).item() / len(toy))
    assert weights.mean().item() == pytest.approx(bounds.mean().item(), abs=5 * error)


def test_training_loss_is_the_bound_of_infinitely_many_steps(exact, toy):
    generator = torch.Generator().manual_seed(0)
    rows = torch.cat([exact.continuous_bound(toy, generator) for _ in range(5)]).double()
    error = rows.std().item() / math.sqrt(len(rows))
    expected = exact_cross_entropy(toy).item()
    assert rows.mean().item() == pytest.approx(expected, abs=5 * error + 0.007 * expected)


def test_loss_is_the_mean_bound_of_the_batch(exact, toy):
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    loss, terms = exact.loss((toy, toy[:, :0]), progress=0.5, generator=generators[0], stage="")
    torch.testing.assert_close(loss, exact.continuous_bound(toy, generators[1]).mean())
    assert terms == {}


class Recorder(nn.Module):
    def forward(self, u_t, t):
        self.t = t
        return torch.zeros_like(u_t)


def test_times_of_a_batch_are_stratified_in_any_order(toy):
    recorder = Recorder()
    process = VariationalDiffusion(recorder, gamma_min=-6, gamma_max=7)
    process.continuous_bound(toy[:100], torch.Generator().manual_seed(0))
    np.testing.assert_allclose(np.diff(np.sort(recorder.t)), 0.01, atol=1e-6)
    assert abs(np.corrcoef(recorder.t, np.arange(100))[0, 1]) < 0.5


@pytest.mark.parametrize("n_steps, allowed", [(100, 0.01), (25, 0.01), (10, 0.06)])
def test_draws_of_the_exact_denoiser_have_the_variance(exact, n_steps, allowed):
    # Ancestral steps of the first order would give 0.93, 0.77 and 0.55 of it.
    seeds = iter(range(1000))

    def noise():
        return torch.from_numpy(noise_of(next(seeds), 8000))

    u = exact.draw(noise(), n_steps, torch.full((N_FEATURES,), 10.0), noise)
    error = 5 * math.sqrt(2 / u.numel())
    assert u.var().item() == pytest.approx(SPREAD**2, rel=allowed + error)
    assert abs(u.mean().item()) < 5 * SPREAD / math.sqrt(u.numel())


def test_five_steps_are_too_few(exact):
    seeds = iter(range(1000))

    def noise():
        return torch.from_numpy(noise_of(next(seeds), 8000))

    u = exact.draw(noise(), 5, torch.full((N_FEATURES,), 10.0), noise)
    assert 0.4 < u.var().item() / SPREAD**2 < 0.7


@pytest.mark.parametrize("start_time, allowed", [(0.2, 0.02), (0.6, 0.12)])
def test_noisy_codes_are_denoised_in_few_steps(exact, toy, start_time, allowed):
    seeds = iter(range(1, 1000))

    def noise():
        return torch.from_numpy(noise_of(next(seeds), 8000))

    u = exact.diffuse(toy, torch.full((8000,), start_time), noise())
    u = exact.draw(u, 5, torch.full((N_FEATURES,), 10.0), noise, start_time)
    error = 5 * math.sqrt(2 / u.numel())
    assert u.var().item() == pytest.approx(SPREAD**2, rel=allowed + error)


def test_first_step_is_the_posterior_given_the_estimate(exact):
    # q(u_s | u_t, u) written out, from t = 1 to s = 1 / 2, and then the estimate at s.
    start, noise = torch.from_numpy(noise_of(1, 4)), torch.from_numpy(noise_of(2, 4))
    limit = torch.full((N_FEATURES,), 0.2)

    def estimate(u, t):
        t = torch.full((4,), t)
        alpha, sigma = exact.alpha_sigma(t)
        return ((u - sigma * exact.predict_noise(u, t)) / alpha).clamp(-limit, limit)

    alpha_t, sigma_t = exact.alpha_sigma(torch.ones(4))
    alpha_s, sigma_s = exact.alpha_sigma(torch.full((4,), 0.5))
    ratio = alpha_t / alpha_s
    variance = sigma_t**2 - ratio**2 * sigma_s**2
    mean = ratio * sigma_s**2 * start + alpha_s * variance * estimate(start, 1.0)
    middle = mean / sigma_t**2 + (variance * sigma_s**2 / sigma_t**2).sqrt() * noise
    expected = estimate(middle, 0.5)
    torch.testing.assert_close(exact.draw(start, 2, limit, lambda: noise), expected)
    assert (expected.abs() == 0.2).any() and (expected.abs() < 0.2).any()


# ------------------------------------------------------------------ the networks


def networks():
    return [MLPDenoiser(18, 16, 2, 0.0), UNetDenoiser((2, 3, 3), 16, 1, 0.0)]


@pytest.mark.parametrize("index", [0, 1], ids=["mlp", "unet"])
def test_network_starts_at_zero_and_reads_the_time(index):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = networks()[index]
        u = torch.randn(5, 18)
        assert torch.all(network(u, torch.rand(5)) == 0)
        for weights in network.parameters():
            nn.init.normal_(weights, std=0.2)
    early, late = network(u, torch.full((5,), 0.1)), network(u, torch.full((5,), 0.9))
    assert early.shape == (5, 18) and (early - late).abs().mean() > 0.01


def test_time_embedding_tells_near_times_apart():
    times = TimeEmbedding(16)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        embedded = TimeEmbedding(16)(torch.tensor([0.5, 0.501]))
    assert times.frequencies[0] == 1
    assert (embedded[0] - embedded[1]).abs().max() > 0.01


def test_attention_is_a_softmax_over_positions():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        attention = _Attention(16)
        nn.init.normal_(attention.projection.weight)
        h = torch.randn(2, 16, 3, 4)
    query, key, value = attention.qkv(h).flatten(2).chunk(3, dim=1)
    weights = torch.softmax(torch.einsum("bci,bcj->bij", query, key) / 4, dim=2)
    attended = torch.einsum("bij,bcj->bci", weights, value).view(2, 16, 3, 4)
    torch.testing.assert_close(attention(h), h + attention.projection(attended))


# ------------------------------------------------------------------ the sampler


def small(**parameters):
    settings = {"width": 16, "n_blocks": 1, "max_epochs": 2, "n_steps": 5, "random_state": 0}
    return DiffusionSampler(**(settings | parameters))


MEAN, COVARIANCE = np.array([1.0, -2.0]), np.array([[2.0, 0.9], [0.9, 0.5]])


@pytest.fixture(scope="module")
def correlated():
    return np.random.RandomState(0).multivariate_normal(MEAN, COVARIANCE, size=4000)


@pytest.fixture(scope="module")
def fitted(correlated):
    return DiffusionSampler(
        width=32, n_blocks=1, max_epochs=25, batch_size=400, lr=0.02, random_state=0
    ).fit(correlated)


def with_steps(fitted, n_steps):
    return copy.deepcopy(fitted).set_params(n_steps=n_steps)


@pytest.mark.parametrize("n_steps", [10, 25, 100])
def test_draws_recover_a_correlated_gaussian(fitted, n_steps):
    X_new = with_steps(fitted, n_steps).sample(5000, random_state=0)
    scale = np.sqrt(np.diag(COVARIANCE))
    # Five standard errors of codes and draws, and 0.1 for a network trained for seconds.
    error = 5 * np.sqrt(1 / 4000 + 1 / 5000)
    assert np.all(np.abs(X_new.mean(axis=0) - MEAN) < (error + 0.1) * scale)
    difference = np.abs(np.cov(X_new.T) - COVARIANCE) / np.outer(scale, scale)
    assert np.all(difference < 1.5 * error + 0.1)


def test_draws_start_from_another_sampler(correlated):
    start = KernelDensitySampler(0.1)
    sampler = small(start=start, start_time=0.05).fit(correlated)
    assert not hasattr(start, "n_features_in_")
    X_new, source = sampler.sample(500, random_state=0, return_source=True)
    assert np.abs(X_new - correlated[source.row]).mean() < 0.2
    # At time 1 nothing is left of the start.
    far = sampler.set_params(start_time=1.0).sample(500, random_state=0)
    assert np.abs(far - correlated[source.row]).mean() > 0.5


def test_what_start_reads_at_draws_may_be_changed(correlated):
    sampler = small(start=KernelDensitySampler(0.1), start_time=0.05).fit(correlated)
    spread = sampler.sample(2000, random_state=0).std()
    sampler.set_params(start__temperature=30.0)
    assert sampler.sample(2000, random_state=0).std() > 1.5 * spread


def test_partial_fit_takes_new_codes_into_the_start(correlated):
    sampler = small(start=KernelDensitySampler(0.1), start_time=0.05).fit(correlated)
    before = pickle.dumps(sampler.start_)
    grown = copy.deepcopy(sampler).partial_fit(correlated + 1)
    _, source = grown.sample(500, random_state=0, return_source=True)
    assert source.row.max() > 4000
    assert pickle.dumps(sampler.start_) == before


def test_start_may_be_of_scikit_learn_and_then_cannot_grow(correlated):
    sampler = small(start=GaussianMixture(), start_time=0.05).fit(correlated)
    X_new = sampler.sample(3000, random_state=0)
    np.testing.assert_allclose(X_new.mean(axis=0), MEAN, atol=0.2)
    with pytest.raises(ValueError, match="'start' with 'partial_fit', got GaussianMixture"):
        sampler.partial_fit(correlated)


def test_score_is_a_lower_bound_that_rises_with_the_steps(fitted, correlated):
    codes = correlated[:1000]
    exact = multivariate_normal(MEAN, COVARIANCE).logpdf(codes).mean()
    scores = [with_steps(fitted, n).score_samples(codes).mean() for n in (5, 25, 200)]
    assert scores == sorted(scores)
    # 0.12 are the 200 steps, the rest is the network's.
    assert exact - 0.3 < scores[-1] < exact + 0.02


def test_score_is_the_bound_of_the_standardized_codes(fitted, correlated):
    Z = (correlated - fitted.mean_) / fitted.scale_
    with torch.inference_mode():
        bound = np.mean(
            [
                fitted.net_.module_.bound(
                    torch.from_numpy(Z).float(), torch.randn(25, *Z.shape, generator=generator)
                )
                .mean()
                .item()
                for generator in [torch.Generator().manual_seed(seed) for seed in range(5)]
            ]
        )
    expected = -bound - np.log(fitted.scale_).sum()
    assert fitted.score_samples(correlated).mean() == pytest.approx(expected, abs=0.1)


def test_more_chains_make_the_score_tighter(fitted, correlated):
    codes = correlated[:1000]
    exact = multivariate_normal(MEAN, COVARIANCE).logpdf(codes).mean()
    few_steps = with_steps(fitted, 10)
    scores = [few_steps.set_params(n_importance=n).score_samples(codes).mean() for n in (1, 4, 200)]
    assert scores == sorted(scores) and scores[-1] - scores[0] > 0.1
    assert scores[-1] < exact + 0.02


def test_noise_of_different_codes_is_nearly_independent(fitted):
    # One noise for all codes would make scores of close codes almost equal.
    codes = MEAN + 1e-3 * np.random.RandomState(0).standard_normal((500, 2))
    assert fitted.score_samples(codes).std() > 0.3


def test_draws_stay_within_the_limit(fitted, correlated):
    largest = np.abs((correlated - fitted.mean_) / fitted.scale_).max(axis=0)
    np.testing.assert_allclose(fitted.limit_, 1.5 * largest, rtol=1e-5)
    hot = copy.deepcopy(fitted).set_params(temperature=20.0).sample(1000, random_state=0)
    reached = np.abs((hot - fitted.mean_) / fitted.scale_).max(axis=0)
    np.testing.assert_allclose(reached, fitted.limit_, rtol=1e-3)


def test_draws_do_not_pile_up_on_a_border():
    """With few codes of many features, one draw in ten was clipped to the range of the codes."""
    Z = np.random.RandomState(0).standard_normal((100, 8))
    sampler = DiffusionSampler(width=32, n_blocks=1, max_epochs=12, lr=0.02, random_state=0).fit(Z)
    X_new = np.abs((sampler.sample(2000, random_state=0) - sampler.mean_) / sampler.scale_)
    beyond = X_new > np.abs((Z - sampler.mean_) / sampler.scale_).max(axis=0) * (1 + 1e-4)
    # A new code of this distribution is the largest in one of 8 features with 8 / 101.
    assert 0.01 < beyond.any(axis=1).mean() < 0.2
    assert np.mean((X_new > sampler.limit_ * (1 - 1e-4)).any(axis=1)) < 0.005


def test_partial_fit_widens_the_range(correlated):
    sampler = small().fit(correlated[:200])
    before = sampler.limit_
    sampler.partial_fit(np.vstack([correlated[:50], MEAN + 30]))
    assert np.all(sampler.limit_ > 2 * before)


def test_two_clusters_stay_apart():
    rng = np.random.RandomState(0)
    Z = rng.standard_normal((1000, 2)) * 0.3 + 3 * rng.choice([-1, 1], size=(1000, 1))
    sampler = DiffusionSampler(
        width=32, n_blocks=2, max_epochs=20, batch_size=100, lr=0.02, random_state=0
    )
    X_new = sampler.fit(Z).sample(500, random_state=0)
    assert (np.abs(X_new.mean(axis=1)) < 1.5).mean() < 0.02
    assert (X_new[:, 0] > 0).mean() == pytest.approx((Z[:, 0] > 0).mean(), abs=0.1)


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_steps": 6},
        {"n_blocks": 2},
        {"width": 32},
        {"dropout": 0.5},
        {"gamma_min": -3.0},
        {"gamma_max": 4.0},
        {"ema_decay": 0.0},
        {"code_shape": (2, 3, 3)},
    ],
)
def test_every_parameter_changes_the_draws(parameters):
    Z = np.random.RandomState(0).standard_normal((100, 18))
    first, second = small().fit(Z), small(**parameters).fit(Z)
    # After two epochs the network is still near zero, where dropout does little.
    difference = second.sample(50, random_state=0) - first.sample(50, random_state=0)
    assert np.abs(difference).max() > 1e-5


def test_parameters_of_the_network_are_those_asked_for():
    Z = np.random.RandomState(0).standard_normal((100, 18))
    dense = small(n_blocks=3, width=24, dropout=0.3).fit(Z).net_.module_.denoiser
    assert isinstance(dense, MLPDenoiser)
    assert len(dense.blocks) == 3 and dense.first.out_features == 24
    assert [m.p for m in dense.modules() if isinstance(m, nn.Dropout)] == [0.3] * 3
    maps = small(n_blocks=2, width=32, code_shape=[2, 3, 3]).fit(Z).net_.module_.denoiser
    assert isinstance(maps, UNetDenoiser)
    assert len(maps.down) == 2 and len(maps.up) == 3 and maps.first.out_channels == 32


@pytest.mark.parametrize("code_shape, expected", [(None, 384), ((2, 3, 3), 32)])
def test_default_width_depends_on_the_shape(code_shape, expected):
    Z = np.random.RandomState(0).standard_normal((40, 18))
    sampler = small(width=None, code_shape=code_shape, max_epochs=1).fit(Z)
    first = sampler.net_.module_.denoiser.first
    assert first.weight.shape[0] == expected


@pytest.mark.parametrize(
    "code_shape, handed, expected",
    [
        (None, (2, 3, 3), None),
        ("auto", (2, 3, 3), (2, 3, 3)),
        ("auto", None, None),
        ("auto", (18,), None),
        # Another step has made 18 features of maps.
        ("auto", (3, 3, 3), None),
        ((1, 3, 6), (2, 3, 3), (1, 3, 6)),
    ],
)
def test_code_shape_auto_takes_what_is_handed_over(code_shape, handed, expected):
    Z = np.random.RandomState(0).standard_normal((40, 18))
    sampler = small(code_shape=code_shape, max_epochs=1).fit(Z, code_shape=handed)
    assert sampler.code_shape_ == expected
    assert isinstance(sampler.net_.module_.denoiser, UNetDenoiser) == (expected is not None)
    assert sampler.partial_fit(Z).code_shape_ == expected


@pytest.mark.parametrize(
    "code_shape, expected", [("auto", (2, 2, 2)), (None, None), ((8, 1, 1), (8, 1, 1))]
)
def test_pipeline_hands_over_the_shape_of_maps(digits, code_shape, expected):
    autoencoder = ConvAutoencoder(8, spatial_latent=True, channels=(4, 4), max_epochs=1)
    model = make_latent_pipeline(autoencoder, small(code_shape=code_shape, max_epochs=1))
    assert model.fit(digits[0][:40])[-1].code_shape_ == expected


def test_maps_are_learned_as_maps():
    # Neighbors in the map are equal: flat rows of 16 with a strong structure.
    coarse = np.random.RandomState(0).standard_normal((200, 1, 2, 2))
    Z = coarse.repeat(2, axis=2).repeat(2, axis=3).reshape(200, 16)
    sampler = small(code_shape=(1, 4, 4), max_epochs=9, batch_size=25, lr=0.02).fit(Z)
    maps = sampler.sample(200, random_state=0).reshape(-1, 4, 4)
    within = np.mean((maps[:, 0, 0] - maps[:, 1, 1]) ** 2)
    across = np.mean((maps[:, 1, 1] - maps[:, 2, 2]) ** 2)
    # Noise would give 1.
    assert within < 0.5 * across


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"width": 0}, "'width' parameter of DiffusionSampler must be"),
        ({"n_blocks": 0}, "'n_blocks' parameter of"),
        ({"dropout": 1.0}, "'dropout' parameter of"),
        ({"n_steps": 0}, "'n_steps' parameter of"),
        ({"gamma_min": 3, "gamma_max": 2}, "'gamma_min' must be less than 'gamma_max', got 3 and"),
        ({"code_shape": (2, 9)}, r"'code_shape' \(C, h, w\) with C \* h \* w = 18.* got \(2, 9\)"),
        ({"code_shape": (2, 3, 4)}, r"= 18, the number of features, got \(2, 3, 4\)"),
        ({"code_shape": (2, 3, 3), "width": 24}, "'width' must be a multiple of 16 .* got 24"),
        ({"code_shape": "maps"}, "'code_shape' parameter of"),
    ],
)
def test_fit_refuses(parameters, message):
    Z = np.random.RandomState(0).standard_normal((40, 18))
    with pytest.raises(ValueError, match=message):
        small(**parameters).fit(Z)
