"""What the samplers with a network have in common."""

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from latentgen.samplers import DiffusionSampler, NormalizingFlowSampler

# Small enough for many fits.
FLOW = NormalizingFlowSampler(
    "nsf", n_transforms=2, hidden_features=(16,), max_epochs=3, batch_size=64, random_state=0
)
DIFFUSION = DiffusionSampler(
    width=16, n_blocks=1, n_steps=4, max_epochs=3, batch_size=64, random_state=0
)


@pytest.fixture(scope="module")
def Z():
    mixing = np.array([[2.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.5]])
    return np.random.RandomState(0).standard_normal((256, 3)) @ mixing.T + [1, 2, 3]


@pytest.fixture(scope="module", params=[FLOW, DIFFUSION], ids=["flow", "diffusion"])
def unfitted(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(unfitted, Z):
    return clone(unfitted).fit(Z)


def draws(sampler):
    return sampler.sample(50, random_state=0)


@pytest.fixture(scope="module")
def line():
    """Codes near a line, which training finds out quickly."""
    rng = np.random.RandomState(0)
    return rng.standard_normal((400, 1)) * [1, 2, 3] + 0.1 * rng.standard_normal((400, 3))


def test_a_rate_that_leads_nowhere_earns_a_warning(Z):
    sampler = clone(FLOW).set_params(lr=100.0, max_epochs=13, batch_size=16)
    message = r"has learned nothing: .* Lower 'lr' \(now 100\), or set 'grad_clip'"
    # Draws of such a network may be not finite, and that is refused.
    with pytest.warns(ConvergenceWarning, match=message), suppress(ValueError):
        sampler.fit(Z)


def test_a_healthy_training_earns_none(unfitted, Z):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        clone(unfitted).set_params(max_epochs=13, batch_size=16).fit(Z)


def test_codes_are_standardized_inside(fitted, Z):
    np.testing.assert_allclose(fitted.mean_, Z.mean(axis=0))
    np.testing.assert_allclose(fitted.scale_, Z.std(axis=0))


def test_scale_and_offset_of_codes_only_move_the_density(fitted, unfitted, Z):
    # A power of two keeps all bits of the standardized codes.
    moved = clone(unfitted).fit(8 * Z)
    np.testing.assert_allclose(draws(moved), 8 * draws(fitted), rtol=1e-6)
    np.testing.assert_allclose(
        moved.score_samples(8 * Z), fitted.score_samples(Z) - 3 * np.log(8), rtol=1e-6
    )


def test_training_improves_the_density(unfitted, line):
    short = clone(unfitted).fit(line)
    longer = clone(unfitted).set_params(max_epochs=20, lr=0.01).fit(line)
    assert longer.score_samples(line).mean() > short.score_samples(line).mean() + 1
    losses = [row["train_loss"] for row in longer.history_]
    # One epoch of a bound with noise is a rough estimate.
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.5


def test_history_has_a_row_for_each_epoch(fitted):
    assert fitted.n_iter_ == len(fitted.history_) == 3
    assert [row["epoch"] for row in fitted.history_] == [1, 2, 3]
    assert all(np.isfinite(row["train_loss"]) and row["dur"] >= 0 for row in fitted.history_)


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_epochs": 4},
        {"batch_size": 32},
        {"lr": 0.1},
        {"ema_decay": 0.5},
        {"grad_clip": 0.01},
        {"net_params": {"optimizer__weight_decay": 10.0}},
        {"random_state": 1},
    ],
)
def test_parameters_of_the_training_count(fitted, unfitted, Z, parameters):
    other = clone(unfitted).set_params(**parameters).fit(Z)
    assert not np.allclose(draws(other), draws(fitted), atol=1e-5)


@pytest.mark.parametrize(
    "batch_size, n_samples, expected",
    [(64, 256, 4), (100, 256, 2), (1000, 256, 1), ("auto", 256, 16), ("auto", 1600, 50)],
)
def test_batches_of_an_epoch(unfitted, batch_size, n_samples, expected):
    codes = np.random.RandomState(0).standard_normal((n_samples, 2))
    sampler = clone(unfitted).set_params(batch_size=batch_size, max_epochs=1).fit(codes)
    assert len(sampler.net_.history[-1, "batches"]) == expected


def test_max_seconds_ends_the_training(unfitted, Z):
    sampler = clone(unfitted).set_params(max_seconds=1e-6).fit(Z)
    # One step is taken, however little time there is.
    assert sampler.n_iter_ == 1 and len(sampler.net_.history[-1, "batches"]) == 1


def test_interrupted_fit_goes_on_from_its_checkpoint(fitted, unfitted, Z, tmp_path, monkeypatch):
    sampler = clone(unfitted).set_params(checkpoint=tmp_path / "training.pt")
    module, n_steps = type(fitted.net_.module_), []
    loss = module.loss

    def counted(self, *args, **kwargs):
        n_steps.append(1)
        if len(n_steps) == 6:
            raise RuntimeError("no power")
        return loss(self, *args, **kwargs)

    monkeypatch.setattr(module, "loss", counted)
    with pytest.raises(RuntimeError, match="no power"):
        sampler.fit(Z)
    # The file knows the first of three epochs of 4 steps each.
    sampler.set_params(temperature=0.9).fit(Z).set_params(temperature=1.0)
    assert len(n_steps) == 6 + 8
    np.testing.assert_array_equal(draws(sampler), draws(fitted))
    assert [row["epoch"] for row in sampler.history_] == [1, 2, 3]


def test_fits_in_threads_are_those_in_a_row(unfitted, Z):
    settings = [{"random_state": seed, "max_epochs": 1} for seed in range(8)]
    samplers = [with_dropout(clone(unfitted).set_params(**params)) for params in settings]
    expected = [draws(clone(sampler).fit(Z)) for sampler in samplers]
    with ThreadPoolExecutor(8) as pool:
        fits = list(pool.map(lambda sampler: sampler.fit(Z), samplers))
    np.testing.assert_array_equal([draws(sampler) for sampler in fits], expected)


def test_global_generator_of_torch_is_left_alone(unfitted, Z):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    sampler = copy.deepcopy(with_dropout(clone(unfitted)).fit(Z))
    sampler.partial_fit(Z).sample(5)
    assert torch.equal(torch.get_rng_state(), before)


def with_dropout(sampler):
    return sampler.set_params(dropout=0.5) if "dropout" in sampler.get_params() else sampler


def test_automatic_batches_are_512_at_most(unfitted):
    codes = np.random.RandomState(0).standard_normal((30_000, 2))
    sampler = clone(unfitted).set_params(batch_size="auto", max_seconds=1e-6).fit(codes)
    assert sampler.net_.batch_size == 512


def test_recipe_is_adamw_with_a_cycled_momentum(fitted):
    assert isinstance(fitted.net_.optimizer_, torch.optim.AdamW)
    # One cycle ends with the largest momentum.
    assert fitted.net_.optimizer_.param_groups[0]["betas"][0] == pytest.approx(0.95, abs=1e-3)


def test_device_is_checked_and_reported(fitted, unfitted, Z):
    assert torch.device(fitted.device_).type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="'device'='abacus' is not a torch device"):
        clone(unfitted).set_params(device="abacus").fit(Z)


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_verbose_shows_a_bar_and_then_lines_of_epochs(unfitted, Z, capsys, verbose):
    clone(unfitted).set_params(verbose=verbose).fit(Z)
    shown = capsys.readouterr()
    assert ("%|" in shown.err) == (verbose >= 1)
    assert ("train_loss" in shown.out) == (verbose == 2)


def test_temperature_scales_the_noise(fitted):
    spreads = [
        clone_of(fitted, temperature=value).sample(500, random_state=0).std(axis=0).mean()
        for value in (0.0, 0.5, 1.0)
    ]
    assert spreads[0] < 1e-4 < 0.3 < spreads[1] < 0.8 * spreads[2]


def clone_of(fitted, **parameters):
    """A fitted sampler with other parameters, leaving the fixture alone."""
    return copy.deepcopy(fitted).set_params(**parameters)


def test_temperature_leaves_the_density(fitted, Z):
    np.testing.assert_array_equal(
        clone_of(fitted, temperature=0.3).score_samples(Z), fitted.score_samples(Z)
    )


@pytest.mark.filterwarnings("ignore::latentgen.exceptions.NearCopyWarning")
def test_min_novelty_keeps_draws_from_the_training_codes(unfitted):
    # Draws of 1-d codes are near some code.
    codes = np.linspace(0, 1, 60)[:, None]
    # The flow of one feature starts far off.
    settings, near = {"lr": 0.1}, []
    for min_novelty in (0.0, 0.2):
        sampler = clone(unfitted).set_params(min_novelty=min_novelty, **settings).fit(codes)
        distance = np.abs(sampler.sample(200, random_state=0) - codes.T).min(axis=1)
        near.append(np.mean(distance < 0.19 / 59))
    assert near[1] <= 0.01 < 0.05 < near[0]


def test_score_does_not_depend_on_the_other_rows(fitted, Z):
    scores = fitted.score_samples(Z[:20])
    np.testing.assert_allclose(fitted.score_samples(Z[19::-1]), scores[::-1], rtol=1e-7)
    np.testing.assert_allclose(fitted.score_samples(Z[7:8]), scores[7:8], rtol=1e-7)


def test_more_rows_than_one_batch_of_inference(fitted):
    many = fitted.sample(2500, random_state=0)
    assert len(np.unique(many, axis=0)) == 2500
    np.testing.assert_allclose(
        fitted.score_samples(many)[2490:], fitted.score_samples(many[2490:]), rtol=1e-4
    )


def test_partial_fit_trains_on_from_the_weights(unfitted, line):
    sampler = clone(unfitted).partial_fit(line)
    before = sampler.score_samples(line).mean()
    for _ in range(8):
        sampler.partial_fit(line)
    assert sampler.n_iter_ == 11 and sampler.history_[-1]["epoch"] == 11
    assert sampler.score_samples(line).mean() > before + 0.5


def test_partial_fit_refuses_another_network(unfitted, Z):
    sampler = clone(unfitted).fit(Z)
    name = "width" if "width" in sampler.get_params() else "n_transforms"
    with pytest.raises(ValueError, match="only go on with the network of the last fit"):
        sampler.set_params(**{name: 3}).partial_fit(Z)


def test_partial_fit_shuffles_anew_and_keeps_the_scaling(fitted, Z, monkeypatch):
    module, seen = type(fitted.net_.module_), []

    def loss(self, batch, *, original=module.loss, **kwargs):
        seen.append(batch[0].clone())
        return original(self, batch, **kwargs)

    sampler = clone_of(fitted)
    with monkeypatch.context() as patch:
        patch.setattr(module, "loss", loss)
        sampler.partial_fit(Z + 1)
        n_first = len(seen)
        sampler.partial_fit(Z + 1)
    assert len(seen) == 2 * n_first and not np.allclose(seen[0], seen[n_first])
    np.testing.assert_array_equal(sampler.mean_, fitted.mean_)


def test_interrupted_partial_fit_leaves_the_old_weights(fitted, Z, monkeypatch):
    sampler, before = clone_of(fitted), draws(fitted)

    def fail(*args, **kwargs):
        raise RuntimeError("no power")

    with monkeypatch.context() as patch:
        patch.setattr(type(fitted.net_.module_), "loss", fail)
        with pytest.raises(RuntimeError, match="no power"):
            sampler.partial_fit(Z)
    np.testing.assert_array_equal(draws(sampler), before)


@pytest.mark.parametrize("n_samples, n_features", [(2, 3), (50, 20), (50, 1), (50, 2)])
def test_few_codes_and_few_features(unfitted, n_samples, n_features):
    codes = np.random.RandomState(0).standard_normal((n_samples, n_features))
    sampler = clone(unfitted).fit(codes)
    X_new = sampler.sample(20, random_state=0)
    assert X_new.shape == (20, n_features) and np.isfinite(X_new).all()
    assert np.isfinite(sampler.score_samples(codes)).all()


def test_constant_features_stay_constant(unfitted):
    codes = np.random.RandomState(0).standard_normal((60, 3))
    codes[:, 1] = 7
    sampler = clone(unfitted).fit(codes)
    X_new = sampler.sample(100, random_state=0)
    np.testing.assert_allclose(X_new[:, 1], 7, atol=1e-3)
    assert np.isfinite(sampler.score_samples(codes)).all()
    assert X_new[:, 0].std() > 0.3


def test_constant_features_far_from_zero_do_not_set_the_scale(unfitted):
    """The rounding error of a standard deviation was once taken for the least of all."""
    codes = np.random.RandomState(0).standard_normal((1000, 3))
    codes[:, 1] = 0.1
    std = codes.std(axis=0)
    std[1] = 1e-4 * min(std[0], std[2])
    np.testing.assert_allclose(clone(unfitted).fit(codes).scale_, std)


def test_all_codes_equal(unfitted):
    X_new = clone(unfitted).fit(np.full((10, 2), 3.0)).sample(5, random_state=0)
    np.testing.assert_allclose(X_new, 3, atol=1e-3)


def test_model_of_a_missing_device_opens_on_the_cpu(fitted, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    moved = copy.deepcopy(clone_of(fitted, device="cuda"))
    assert moved.device_ == "cpu" and moved.device == "cuda"
    np.testing.assert_array_equal(draws(moved), draws(fitted))


def test_divergence_is_an_error_that_names_the_learning_rate(unfitted, Z):
    with pytest.raises(ValueError, match=r"diverged in epoch .* got (nan|inf)\. Lower 'lr'"):
        clone(unfitted).set_params(lr=1e10).fit(Z)


def test_one_code_is_refused(unfitted):
    with pytest.raises(ValueError, match=r"1 sample.* minimum of 2 is required"):
        clone(unfitted).fit([[1.0, 2.0]])


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"max_epochs": 0}, "'max_epochs' parameter of"),
        ({"batch_size": "all"}, "'batch_size' parameter of .* in the range .* or a str"),
        ({"lr": 0}, "'lr' parameter of"),
        ({"ema_decay": 1.0}, "'ema_decay' parameter of"),
        ({"grad_clip": 0}, "'grad_clip' parameter of"),
        ({"max_seconds": 0}, "'max_seconds' parameter of"),
        ({"checkpoint": 3}, "'checkpoint' parameter of"),
        ({"net_params": []}, "'net_params' parameter of"),
        ({"device": 3}, "'device' parameter of .* instance of 'str'"),
        ({"temperature": -1}, "'temperature' parameter of"),
        ({"min_novelty": -1}, "'min_novelty' parameter of"),
    ],
)
def test_fit_refuses(unfitted, Z, parameters, message):
    with pytest.raises(ValueError, match=message):
        clone(unfitted).set_params(**parameters).fit(Z)
