"""What ConvAutoencoder does beyond the contract of every autoencoder."""

# SPDX-License-Identifier: BSD-3-Clause

import pickle
import warnings

import numpy as np
import pytest
import torch
from _estimators import CONV
from numpy.testing import assert_allclose, assert_array_equal, assert_array_less
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback

from latentgen import ConvAutoencoder, LatentGenerativePipeline, load_model, save_model
from latentgen.metrics import kl_from_prior


def conv(**params):
    return clone(CONV).set_params(**params)


@pytest.fixture(scope="module")
def repeated(digits):
    """One image forty times: whatever the split, every part has the same loss."""
    return np.repeat(digits[0][:1], 40, axis=0)


@pytest.fixture(scope="module")
def fitted_vae(digits):
    return conv(beta=1.0).fit(digits[0])


# ------------------------------------------------------------------ correctness


def test_reconstruction_improves_on_the_mean_image(fitted_conv, digits):
    X, _ = digits
    mean_image_error = np.mean((X - X.mean(axis=0)) ** 2)
    assert -fitted_conv.score(X) < 0.5 * mean_image_error


def test_score_is_minus_the_mean_squared_error(fitted_conv, digits):
    X, _ = digits
    error = np.mean((fitted_conv.reconstruct(X) - X) ** 2)
    assert_allclose(fitted_conv.score(X), -error, rtol=1e-5)


def test_score_reads_bytes_on_the_unit_scale(fitted_conv, digits):
    X = np.rint(digits[0] * 255).astype(np.uint8)
    as_floats = (X / np.float32(255)).astype(np.float32)
    assert_allclose(fitted_conv.score(X), fitted_conv.score(as_floats), rtol=1e-5)


@pytest.mark.parametrize("beta", [0.5, 3.0])
def test_vae_loss_is_the_bound_over_the_number_of_pixels(digits, beta):
    # One image many times: 300 of them are draws of one loss.
    vae = conv(beta=beta, max_epochs=10, validation_fraction=0.75)
    vae.fit(np.repeat(digits[0][:1], 400, axis=0))
    x = digits[0][0].astype(np.float64)
    with torch.no_grad():
        mean, log_variance = vae.net_.module_.encode(torch.tensor(digits[0][:1]))
    mean, log_variance = mean.double().numpy(), log_variance.double().numpy()
    noise = np.random.default_rng(0).standard_normal((4000, mean.shape[1]))
    x_hat = vae.inverse_transform(mean + np.exp(0.5 * log_variance) * noise)
    reconstruction = -np.sum(x * np.log(x_hat) + (1 - x) * np.log(1 - x_hat), axis=(1, 2, 3))
    kl = 0.5 * np.sum(np.exp(log_variance) + mean**2 - 1 - log_variance)
    row, loss = vae.history_[-1], (reconstruction + beta * kl) / 64
    assert_allclose(row["valid_kl"], kl, rtol=1e-4)
    tolerance = 5 * loss.std() / np.sqrt(300)
    assert row["valid_loss"] == pytest.approx(loss.mean(), abs=tolerance)
    error = np.mean((x_hat - x) ** 2, axis=(1, 2, 3))
    tolerance = 5 * error.std() / np.sqrt(300)
    assert row["valid_mse"] == pytest.approx(error.mean(), abs=tolerance)


@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_history_has_the_squared_error_whatever_the_loss(repeated, loss):
    model = conv(loss=loss, validation_fraction=0.25, max_epochs=2).fit(repeated)
    assert_allclose(model.history_[-1]["valid_mse"], -model.score(repeated), rtol=1e-4)
    errors = [row["train_mse"] for row in model.history_]
    assert errors[0] > errors[1] > 0
    if loss == "mse":
        assert errors == pytest.approx([row["train_loss"] for row in model.history_])


def test_mse_loss_is_the_squared_error_per_pixel(repeated):
    model = conv(loss="mse", validation_fraction=0.25).fit(repeated)
    assert_allclose(model.history_[0]["valid_loss"], -model.score(repeated), rtol=1e-4)


@pytest.mark.parametrize(
    "params, kind",
    [
        ({"loss": "bce"}, "bce"),
        ({"loss": "mae"}, "mae"),
        ({"loss": "mae_bce"}, "mae_bce"),
        ({}, "mae_bce"),
        ({"beta": 1e-9}, "bce"),
    ],
)
def test_loss_is_the_one_asked_for(repeated, params, kind):
    model = conv(validation_fraction=0.25, max_epochs=2, **params).fit(repeated)
    x, p = (X.astype(np.float64) for X in (repeated, model.reconstruct(repeated)))
    absolute = np.mean(np.abs(x - p))
    entropy = -np.mean(x * np.log(p) + (1 - x) * np.log(1 - p))
    expected = {"bce": entropy, "mae": absolute, "mae_bce": absolute + 0.1 * entropy}[kind]
    # The posterior of a variational one is drawn from.
    rtol = 0.05 if "beta" in params else 1e-4
    assert_allclose(model.history_[-1]["valid_loss"], expected, rtol=rtol)


def test_pixels_that_are_wrong_and_saturated_go_on_learning():
    # Strokes of ink on black, where a network has first learned that all is black.
    target = torch.ones(1, 1, 2, 2)
    logits = torch.full((1, 1, 2, 2), -20.0, requires_grad=True)
    module = conv().fit(np.eye(64, dtype=np.float32)[:20]).net_.module_
    (gradient,) = torch.autograd.grad(module.reconstruction(target, logits), logits)
    assert gradient.sum() < -0.09


def test_transform_of_a_vae_is_the_mean_without_noise(fitted_vae, digits):
    X, _ = digits
    with torch.no_grad():
        mean, _ = fitted_vae.net_.module_.encode(torch.tensor(X))
    assert_allclose(fitted_vae.transform(X), mean.numpy(), atol=1e-5)


def test_training_and_validation_of_a_vae_draw_noise(fitted_vae, digits):
    module = pickle.loads(pickle.dumps(fitted_vae)).net_.module_
    batch = (torch.tensor(digits[0][:8]), None)
    losses = []
    for training, seed in [(True, 0), (True, 1), (False, 0), (False, 1)]:
        generator = torch.Generator().manual_seed(seed)
        module.train(training)
        with torch.no_grad():
            loss, _ = module.loss(batch, progress=0.0, generator=generator, stage="")
        losses.append(float(loss))
    assert len(set(losses)) == 4


def test_bytes_and_floats_give_the_same_codes(digits):
    X = np.rint(digits[0] * 255).astype(np.uint8)
    as_floats = X.astype(np.float32) / np.float32(255)
    from_bytes, from_floats = conv().fit(X), conv().fit(as_floats)
    assert_allclose(from_bytes.transform(X), from_floats.transform(as_floats), atol=1e-6)
    assert_allclose(from_bytes.transform(as_floats), from_bytes.transform(X), atol=1e-6)


# ------------------------------------------------------------------ each parameter


def test_latent_dim_is_the_width_of_the_codes(digits):
    model = conv(latent_dim=5).fit(digits[0])
    assert model.transform(digits[0][:2]).shape == (2, 5)
    assert model.latent_dim_ == 5 and model.code_shape_ == (5,)


def test_image_shape_folds_flat_pixels(digits):
    X = digits[0].reshape(200, 64)
    assert conv(image_shape=(4, 4, 4)).fit(X).image_shape_ == (4, 4, 4)
    assert conv().fit(X).image_shape_ == (1, 8, 8)


def test_beta_zero_is_a_plain_autoencoder(digits, fitted_vae):
    assert "train_kl" not in conv(beta=0).fit(digits[0]).history_[0]
    assert fitted_vae.history_[0]["train_kl"] > 0


def test_posterior_draws_have_the_moments_that_the_network_gives(digits, fitted_vae):
    n_draws = 4000
    Z = fitted_vae.sample_posterior(np.repeat(digits[0][:2], n_draws, axis=0), random_state=0)
    with torch.no_grad():
        mean, log_variance = fitted_vae.net_.module_.encode(torch.tensor(digits[0][:2]))
    std = np.exp(0.5 * log_variance.numpy())
    Z = Z.reshape(2, n_draws, -1)
    assert_array_less(abs(Z.mean(axis=1) - mean.numpy()), 5 * std / np.sqrt(n_draws))
    assert_allclose(Z.std(axis=1), std, rtol=0.06)


def test_posterior_draws_are_decided_by_the_seed(digits, fitted_vae):
    draws = [fitted_vae.sample_posterior(digits[0][:3], random_state=seed) for seed in (0, 0, 1)]
    assert_array_equal(draws[0], draws[1])
    assert np.all(draws[0] != draws[2])


def test_posterior_draws_need_a_variational_autoencoder(digits, fitted_conv):
    with pytest.raises(ValueError, match="fitted with beta=0, which has no posterior"):
        fitted_conv.sample_posterior(digits[0])


def test_larger_beta_lowers_the_kl(digits):
    kl = [conv(beta=b, max_epochs=5).fit(digits[0]).history_[-1]["train_kl"] for b in (0.1, 100)]
    assert kl[1] < 0.5 * kl[0]


def test_spatial_latent_makes_the_code_a_map(digits):
    model = conv(spatial_latent=True, latent_dim=32).fit(digits[0])
    assert model.code_shape_ == (2, 4, 4)
    assert model.transform(digits[0][:2]).shape == (2, 32)
    # Local codes: a pixel in one corner does not reach the code of the opposite one.
    X = np.zeros((2, 1, 8, 8), dtype=np.float32)
    X[1, 0, 0, 0] = 1
    change = np.ptp(model.transform(X), axis=0).reshape(2, 4, 4)
    assert change[:, 0, 0].max() > 0 and change[:, 3, 3].max() == 0


def test_channels_are_the_widths_of_the_stages(digits):
    model = conv(channels=[4, 6]).fit(digits[0])
    assert model.channels_ == (4, 6)
    widths = [stage[0].out_channels for stage in model.net_.module_.encoder_stages]
    assert widths == [4, 6]


@pytest.mark.parametrize(
    "shape, channels",
    [
        ((1, 28, 28), (16, 32)),
        ((3, 32, 32), (32, 64)),
        ((1, 8, 8), (16,)),
        ((1, 1, 37), (16, 32, 64)),
    ],
)
def test_default_channels_follow_the_image_size(shape, channels):
    X = np.random.RandomState(0).rand(4, *shape).astype(np.float32)
    assert ConvAutoencoder(2, max_epochs=1, random_state=0).fit(X).channels_ == channels


def test_max_epochs_is_the_number_of_passes(digits):
    model = conv(max_epochs=3).fit(digits[0])
    assert model.n_iter_ == 3
    assert [row["epoch"] for row in model.history_] == [1, 2, 3]


@pytest.mark.parametrize("n_images, expected", [(10, 10), (900, 18), (6400, 128), (9000, 128)])
def test_batch_size_auto_gives_small_data_enough_steps(n_images, expected):
    X = np.zeros((n_images, 4), dtype=np.uint8)
    model = conv(batch_size="auto", latent_dim=2, channels=(2,)).fit(X)
    assert model.net_.history[0, "batches", 0, "train_batch_size"] == expected


@pytest.mark.parametrize("batch_size, n_batches", [(20, 10), (60, 3), (500, 1)])
def test_batch_size_leaves_out_an_incomplete_last_batch(digits, batch_size, n_batches):
    model = conv(batch_size=batch_size).fit(digits[0])
    assert len(model.net_.history[0, "batches"]) == n_batches


@pytest.mark.parametrize(
    "channels, expected", [((4,), 0.04), ((8, 32), 0.04), ((8, 64), 0.02), ((64, 8), 0.02)]
)
def test_lr_auto_falls_with_the_widest_stage(digits, channels, expected):
    X = digits[0][:50]
    assert conv(lr="auto", channels=channels).fit(X).net_.lr == pytest.approx(expected)


def test_lr_auto_is_a_tenth_where_training_goes_on(digits):
    X = digits[0][:50]
    model = conv(lr="auto", channels=(64,)).fit(X)
    assert model.partial_fit(X).net_.lr == pytest.approx(0.002)
    assert model.set_params(warm_start=True).fit(X).net_.lr == pytest.approx(0.002)
    assert model.set_params(warm_start=False).fit(X).net_.lr == pytest.approx(0.02)
    assert model.set_params(lr=0.3).partial_fit(X).net_.lr == 0.3


def test_lr_reaches_the_optimizer(digits):
    model = conv(lr=0.0123, lr_schedule="constant").fit(digits[0])
    assert model.net_.optimizer_.param_groups[0]["lr"] == pytest.approx(0.0123)


@pytest.mark.parametrize(
    "optimizer, kind, settings",
    [
        ("adam", torch.optim.Adam, {}),
        ("adamw", torch.optim.AdamW, {}),
        ("sgd", torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        (torch.optim.RMSprop, torch.optim.RMSprop, {}),
    ],
)
def test_optimizer_is_the_one_asked_for(digits, optimizer, kind, settings):
    used = conv(optimizer=optimizer).fit(digits[0]).net_.optimizer_
    assert type(used) is kind
    assert used.param_groups[0] | settings == used.param_groups[0]


def test_lr_schedule_shapes_the_learning_rate(digits):
    rates = {}
    for schedule in ("one_cycle", "cosine"):
        model = conv(lr_schedule=schedule, max_epochs=3, lr=0.01).fit(digits[0])
        batches = model.net_.history[:, "batches", :, "event_lr"]
        rates[schedule] = np.concatenate(batches)
    assert np.argmax(rates["one_cycle"]) not in (0, 17)
    assert_allclose(rates["one_cycle"].max(), 0.01, rtol=0.02)
    assert_allclose(rates["cosine"], 0.005 * (1 + np.cos(np.pi * np.arange(18) / 18)))
    constant = conv(lr_schedule="constant", lr=0.01).fit(digits[0]).net_
    assert constant.optimizer_.param_groups[0]["lr"] == 0.01


def test_validation_fraction_sets_images_aside(digits):
    model = conv(validation_fraction=0.4, batch_size=20).fit(digits[0])
    trained_on = [b for b in model.net_.history[0, "batches"] if "train_loss" in b]
    assert sum(batch["train_batch_size"] for batch in trained_on) == 120
    assert "valid_loss" in model.history_[0]
    assert "valid_loss" not in conv().fit(digits[0]).history_[0]


@pytest.mark.parametrize("patience", [2, 4])
def test_n_iter_no_change_stops_and_restores_the_best_weights(repeated, patience):
    model = conv(
        max_epochs=30, lr=0.8, lr_schedule="constant", batch_size=10, loss="mse",
        validation_fraction=0.25, n_iter_no_change=patience, random_state=2,
    ).fit(repeated)  # fmt: skip
    losses = [row["valid_loss"] for row in model.history_]
    best = int(np.argmin(losses))
    assert model.n_iter_ == best + 1 + patience < 30
    assert_allclose(-model.score(repeated), losses[best], rtol=1e-4)


class CountEpochs(Callback):
    def __init__(self):
        self.epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1
        net.history.record("epochs_seen", self.epochs)


def test_callbacks_run_as_copies(digits):
    callback = CountEpochs()
    model = conv(callbacks=[callback], max_epochs=2).fit(digits[0])
    assert model.net_.history[:, "epochs_seen"] == [1, 2]
    assert callback.epochs == 0 and model.callbacks == [callback]


def test_device_auto_says_what_it_chose(digits, fitted_conv):
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    if torch.backends.mps.is_available():
        expected = "mps"
    assert fitted_conv.device == "auto" and fitted_conv.device_ == expected
    assert conv(device="cpu").fit(digits[0]).device_ == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_device_cuda_agrees_with_the_cpu(digits):
    model = conv(device="cuda").fit(digits[0])
    on_gpu = model.transform(digits[0])
    model.device = "cpu"
    on_cpu = pickle.loads(pickle.dumps(model)).transform(digits[0])
    assert_allclose(on_gpu, on_cpu, atol=1e-2)


def test_amp_trains_in_bfloat16(digits):
    X, _ = digits
    exact, mixed = (conv(amp=amp).fit(X).transform(X) for amp in (False, True))
    # bfloat16 keeps 8 bits: the codes are near, and not the same.
    assert 1e-4 < np.abs(exact - mixed).max() < 0.5


def test_amp_keeps_codes_and_images_in_float32(digits):
    X, _ = digits
    model = conv(amp=True).fit(X)
    plain = pickle.loads(pickle.dumps(model.set_params(amp=False)))
    Z = model.transform(X)
    assert_array_equal(Z, plain.transform(X))
    assert_array_equal(model.inverse_transform(Z), plain.inverse_transform(Z))
    # The last 16 bits of a bfloat16 are zero.
    assert np.mean(Z.view(np.uint32) & 0xFFFF == 0) < 0.1


def test_amp_validates_in_float32(repeated):
    model = conv(amp=True, loss="mse", validation_fraction=0.25).fit(repeated)
    assert_allclose(model.history_[0]["valid_loss"], -model.score(repeated), rtol=1e-6)


def test_warm_start_continues_from_the_weights(digits):
    X, _ = digits
    cold, warm = conv(), conv(warm_start=True)
    for model in (cold, warm):
        model.fit(X)
        first = model.score(X)
        model.fit(X)
        model.gain = model.score(X) - first
    assert len(warm.history_) == 2 and len(cold.history_) == 1
    assert warm.gain > 0 and cold.gain == 0


def test_random_state_decides_the_weights(digits):
    X, _ = digits
    first, second, other = (conv(random_state=s).fit(X).transform(X) for s in (0, 0, 1))
    assert_array_equal(first, second)
    assert not np.allclose(first, other)


def test_verbose_shows_device_then_epochs(digits, capsys):
    printed = []
    for verbose in (0, 1, 2):
        conv(verbose=verbose).fit(digits[0])
        captured = capsys.readouterr()
        printed.append(captured.out + captured.err)
    assert printed[0] == ""
    assert "[ConvAutoencoder] device=" in printed[1] and "it/s" in printed[1]
    assert all(name in printed[2] and name not in printed[1] for name in ("train_mse", "dur"))


# ------------------------------------------------------------------ partial_fit


def test_first_partial_fit_is_a_fit_of_one_epoch(digits):
    X, _ = digits
    assert_array_equal(conv().partial_fit(X).transform(X), conv().fit(X).transform(X))


def test_partial_fit_continues_and_improves(digits):
    X, _ = digits
    model = conv(max_epochs=7).partial_fit(X)
    scores = [model.score(X)]
    for _ in range(3):
        scores.append(model.partial_fit(X).score(X))
    assert scores == sorted(scores)
    assert [row["epoch"] for row in model.history_] == [1, 2, 3, 4]


def test_partial_fit_takes_up_a_fitted_model(digits):
    X, _ = digits
    model = conv(max_epochs=4).fit(X)
    before = model.score(X)
    assert model.partial_fit(X).score(X) > before
    assert model.n_iter_ == 5


# ------------------------------------------------------------------ edges


def test_constant_images_are_learnt():
    X = np.full((20, 1, 8, 8), 0.25, dtype=np.float32)
    model = conv(max_epochs=40, lr=0.02, batch_size=5).fit(X)
    assert np.isfinite(model.transform(X)).all()
    assert -model.score(X) < 1e-3


def test_two_images_are_enough(digits):
    assert conv().fit(digits[0][:2]).transform(digits[0][:1]).shape == (1, 3)


def test_a_code_larger_than_the_image_earns_a_warning(digits):
    message = r"'latent_dim'=65 is larger than the 64 pixels of an image"
    with pytest.warns(UserWarning, match=message):
        conv(latent_dim=65).fit(digits[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        conv(latent_dim=64).fit(digits[0])


def test_codes_that_have_collapsed_earn_a_warning(digits):
    X, _ = digits
    model = conv(beta=100.0, max_epochs=17, batch_size=16, lr=0.02)
    message = r"3 of their 3 values, as encoded, is below 0.1 of .* Lower 'beta' \(now 100\)"
    with pytest.warns(ConvergenceWarning, match=message) as caught:
        model.fit(X)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "params", [{"lr": 50.0}, {"lr": 50.0, "loss": "mse"}, {"lr": 1e-6, "optimizer": "sgd"}]
)
def test_a_rate_that_leads_nowhere_earns_a_warning(digits, params):
    model = conv(max_epochs=17, batch_size=16, **params)
    message = rf"After 204 steps .* no better than the mean image.*\(now {params['lr']:g}\)"
    with pytest.warns(ConvergenceWarning, match=message):
        model.fit(digits[0])


@pytest.mark.parametrize(
    "params",
    [
        {"max_epochs": 1, "batch_size": 100},
        {"max_epochs": 1, "batch_size": 16},
        {"max_epochs": 17, "batch_size": 16},
        {"max_epochs": 17, "batch_size": 16, "beta": 1.0},
    ],
)
def test_a_healthy_training_earns_none(digits, params):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        conv(**params).fit(digits[0])


def test_equal_images_earn_none(repeated):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        conv(beta=1.0, max_epochs=102, batch_size=20).fit(repeated)


def test_parts_of_a_training_are_judged_together(digits):
    model = conv(lr=50.0, batch_size=16)
    with pytest.warns(ConvergenceWarning, match="After 204 steps"):
        for _ in range(17):
            model.partial_fit(digits[0])


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    "params, message",
    [
        ({"latent_dim": 0}, "'latent_dim' parameter .* Got 0"),
        (
            {"channels": (4,) * 9},
            r"'channels' has 9 stages, .* pad images of 8 x 8 pixels to 512 x 512. Use at most 3",
        ),
        ({"beta": -1}, "'beta' parameter .* Got -1"),
        ({"loss": "l1"}, "'loss' parameter .* Got 'l1'"),
        ({"lr": "fast"}, "'lr' parameter .* Got 'fast'"),
        ({"batch_size": 1}, "'batch_size' parameter .* Got 1"),
        ({"optimizer": "lbfgs"}, "'optimizer' parameter .* Got 'lbfgs'"),
        ({"lr_schedule": "step"}, "'lr_schedule' parameter .* Got 'step'"),
        ({"validation_fraction": 1.0}, "'validation_fraction' parameter .* Got 1.0"),
        ({"n_iter_no_change": 0}, "'n_iter_no_change' parameter .* Got 0"),
        ({"channels": ()}, r"'channels' must be positive integers, got \(\)"),
        ({"channels": (4, 0)}, r"'channels' must be positive integers, got \(4, 0\)"),
        ({"image_shape": (8, 8)}, r"must be three positive integers \(C, H, W\), got \(8, 8\)"),
        ({"image_shape": (1, 9, 8)}, r"'image_shape'=\(1, 9, 8\) needs 72 features, but X has 64"),
        ({"image_shape": (4, 4, 4)}, r"does not match the images in X, which are \(1, 8, 8\)"),
        (
            {"spatial_latent": True, "latent_dim": 30},
            "multiple of the code map's area 16, got 30. Use for example latent_dim=32",
        ),
        ({"validation_fraction": 0.999}, "leaves 0 of 200 images for training, at least 2"),
        ({"device": "abacus"}, "'device'='abacus' is not a torch device"),
    ],
)
def test_bad_parameters_are_named(digits, params, message):
    with pytest.raises(ValueError, match=message):
        conv(**params).fit(digits[0])


def test_a_device_that_is_not_there_is_refused(digits, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = "'device'='cuda:1' is not available on this machine. Use device='auto' or 'cpu'"
    with pytest.raises(ValueError, match=message):
        conv(device="cuda:1").fit(digits[0])


@pytest.mark.parametrize(
    "shape, message",
    [
        ((1, 1, 8, 8), "minimum of 2 is required"),
        ((6, 8, 8, 3), r"channels first, got \(6, 8, 8, 3\). Use X.transpose\(0, 3, 1, 2\)"),
        ((6, 1, 1, 8, 8), r"Expected images of shape .* got \(6, 1, 1, 8, 8\)"),
    ],
)
def test_wrong_shapes_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        conv().fit(np.zeros(shape, dtype=np.float32))


def test_a_diverging_loss_stops_the_training(digits):
    model = conv(optimizer="sgd", lr=1e30, lr_schedule="constant", max_epochs=3)
    message = (
        r"Training diverged in epoch 1: expected a finite loss, got .* Lower 'lr' \(now 1e\+30\)"
    )
    with pytest.raises(ValueError, match=message):
        model.fit(digits[0])


def test_warm_start_refuses_another_image_shape(digits):
    X, _ = digits
    model = conv(warm_start=True).fit(X)
    with pytest.raises(
        ValueError, match=r"go on .*'image_shape': \(1, 8, 8\)}, got {'image_shape': \(1, 4, 4\)"
    ):
        model.fit(X[:, :, :4, :4])


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_training_on_refuses_another_network(method, digits):
    X, _ = digits
    model = conv(warm_start=True, latent_dim=4).fit(X).set_params(latent_dim=5)
    with pytest.raises(ValueError, match=r"has {'latent_dim': 4}, got {'latent_dim': 5}"):
        getattr(model, method)(X)
    assert model.transform(X[:1]).shape == (1, 4)


def test_partial_fit_shuffles_anew_in_each_call(digits):
    X, _ = digits
    first_batches = []

    class Spy(Callback):
        def on_batch_begin(self, net, batch=None, **kwargs):
            if len(net.history[-1, "batches"]) == 1:
                first_batches.append(batch[0].clone())

    model = conv(callbacks=[Spy()], random_state=0)
    for _ in range(3):
        model.partial_fit(X)
    assert len(first_batches) == 3
    assert not any((first_batches[0] == later).all() for later in first_batches[1:])


# ------------------------------------------------------------------ pickling


def test_a_model_of_integer_images_reloads(digits):
    X = np.rint(digits[0][:40] * 255).astype(np.int64)
    model = conv().fit(X)
    copy = pickle.loads(pickle.dumps(model))
    assert_array_equal(copy.reconstruct(X), model.reconstruct(X))
    assert copy.reconstruct(X).dtype == np.int64


def test_a_pickle_holds_no_torch_object(fitted_conv):
    weights = fitted_conv.__getstate__()["_weights"]
    assert weights and all(type(value) is np.ndarray for value in weights.values())


def test_a_model_of_a_missing_device_opens_on_the_cpu(fitted_conv, digits, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    state = fitted_conv.__getstate__() | {"device": "cuda", "device_": "cuda"}
    model = ConvAutoencoder.__new__(ConvAutoencoder)
    model.__setstate__(state)
    assert model.device_ == "cpu"
    assert_array_equal(model.transform(digits[0]), fitted_conv.transform(digits[0]))


def test_a_reloaded_model_continues_training(digits):
    X, _ = digits
    model = pickle.loads(pickle.dumps(conv(max_epochs=3).fit(X)))
    before = model.score(X)
    assert model.partial_fit(X).score(X) > before


# ------------------------------------------------------------------ prior


def test_posterior_has_the_mean_of_transform_and_the_kl_of_training(digits, fitted_vae):
    X = digits[0]
    mean, variance = fitted_vae.posterior(X)
    assert np.array_equal(mean, fitted_vae.transform(X))
    batch = torch.from_numpy(X.copy())
    terms = fitted_vae.net_.module_.loss(
        (batch,), progress=0.0, generator=torch.Generator(), stage=None
    )[1]
    assert_allclose(kl_from_prior(mean, variance), terms["kl"].item(), rtol=1e-4)


def test_posterior_needs_a_kl_term(digits, fitted_conv):
    with pytest.raises(ValueError, match="got one fitted with beta=0, which has no posterior"):
        fitted_conv.posterior(digits[0])


def test_a_variational_autoencoder_has_the_prior_it_is_trained_towards(fitted_vae):
    Z = fitted_vae.prior_.sample(20_000, random_state=0)
    assert_allclose(Z.mean(axis=0), 0, atol=5 / np.sqrt(20_000))
    assert_allclose(np.cov(Z.T), np.eye(3), atol=0.05)
    expected = multivariate_normal(np.zeros(3)).logpdf(Z[:50])
    assert_allclose(fitted_vae.prior_.score_samples(Z[:50]), expected, rtol=1e-5)


def test_a_plain_autoencoder_has_none(fitted_conv):
    assert not hasattr(fitted_conv, "prior_")


def test_the_prior_is_the_last_step_of_a_pipeline(digits, tmp_path):
    steps = [("autoencoder", conv(beta=1.0)), ("sampler", "prior")]
    pipeline = LatentGenerativePipeline(steps).fit(digits[0])
    save_model(pipeline, tmp_path / "vae.latentgen")
    X_new = pipeline.sample(5, random_state=0)
    assert X_new.shape == (5, 1, 8, 8) and pipeline.sampler_.novelty_ > 0
    loaded = load_model(tmp_path / "vae.latentgen")
    assert_array_equal(loaded.sample(5, random_state=0), X_new)
