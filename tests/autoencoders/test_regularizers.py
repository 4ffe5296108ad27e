"""Regularisers of ConvAutoencoder: their losses, their effect, and how they travel."""

# SPDX-License-Identifier: BSD-3-Clause

import pickle
import warnings

import numpy as np
import pytest
import torch
from _estimators import CONV
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional as F

from latentgen import GaussianSampler, autoencoders, load_model, make_latent_pipeline, save_model
from latentgen.autoencoders import (
    EquivarianceRegularizer,
    FeatureAlignmentRegularizer,
    HighFrequencyCut,
    LatentPerceptualLoss,
    MaskedAutoencodingObjective,
    NoiseAugmentedDecoding,
    ScaleEquivarianceRegularizer,
)
from latentgen.autoencoders._feature_regularizers import alignment_losses, perceptual_distance
from latentgen.autoencoders._features import HOG, LocalMoments
from latentgen.autoencoders._regularizers import low_pass, resize
from latentgen.autoencoders._training import RegularizedLoss, TrainingStep

ON_MAPS = [
    EquivarianceRegularizer(),
    ScaleEquivarianceRegularizer(),
    HighFrequencyCut(),
    FeatureAlignmentRegularizer(feature_model="hog"),
]
ANYWHERE = [NoiseAugmentedDecoding(), MaskedAutoencodingObjective(), LatentPerceptualLoss()]
ALL = ON_MAPS + ANYWHERE
NEARLY_ALWAYS = 1 - 1e-12


def name(value):
    return type(value).__name__ if hasattr(value, "get_params") else str(value)


def maps(*regularizers, **params):
    """A tiny autoencoder whose codes are maps of 2 x 4 x 4."""
    regularizers = list(regularizers) or None
    fixed = {"latent_dim": 32, "spatial_latent": True, "regularizers": regularizers}
    return clone(CONV).set_params(**fixed | params)


def trained(*regularizers, **params):
    """The same with 4 x 4 x 4 values, trained as long as its properties take to show."""
    fixed = {"latent_dim": 64, "max_epochs": 8, "batch_size": 16, "lr": 0.02, "channels": (8,)}
    return maps(*regularizers, **fixed | params)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.net_.module_.parameters()]).numpy()


class Pooling(nn.Module):
    """A linear autoencoder: means of 2 x 2 pixels, repeated. It commutes with quarter turns."""

    stride, spatial_latent, image_shape, code_shape = 2, True, (1, 8, 8), (1, 4, 4)

    def __init__(self):
        super().__init__()
        # Nothing that counts; gradients are measured at its weights.
        self.encoder = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten())

    def pad(self, x):
        return x

    def encode(self, x, mask=None):
        return F.avg_pool2d(x, 2).flatten(1), None

    def draw_code(self, mean, log_variance):
        return mean

    def decode_map(self, z):
        return torch.logit(z.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))

    def decode(self, z):
        return self.decode_map(z.unflatten(1, self.code_shape))


def criterion(*regularizers, module=None):
    for regularizer in regularizers:
        regularizer._prepare(None, None, module or Pooling(), "cpu")
    return RegularizedLoss("mse", 0.0, list(regularizers), 1, 1, seed=0)


@pytest.fixture
def x():
    return 0.1 + 0.8 * torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


# ------------------------------------------------------------------ training


@pytest.mark.parametrize("beta", [0, 1])
@pytest.mark.parametrize("same", [[], [ScaleEquivarianceRegularizer(weight=0)]], ids=["none", "0"])
def test_without_regularizers_training_is_bitwise_the_same(same, beta, digits):
    params = {"max_epochs": 2, "beta": beta, "validation_fraction": 0.2}
    plain, other = maps(**params).fit(digits[0]), maps(**params)
    other.set_params(regularizers=same).fit(digits[0])
    assert_array_equal(weights(plain), weights(other))
    assert_array_equal(plain.transform(digits[0]), other.transform(digits[0]))
    losses = [[row["train_loss"] for row in model.history_] for model in (plain, other)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("regularizer", ALL, ids=name)
def test_each_regularizer_changes_what_is_learnt(regularizer, digits):
    model = maps(regularizer).fit(digits[0])
    change = model.reconstruct(digits[0]) - maps().fit(digits[0]).reconstruct(digits[0])
    assert np.abs(change).max() > 1e-4
    report = model.history_[0]["regularizers"]
    assert len(report) == 1 and report[0]["weight"] > 0 and np.isfinite(report[0]["loss"])
    assert 0 < report[0]["gradient_share"] <= 1


@pytest.mark.parametrize("regularizer", ANYWHERE, ids=name)
def test_some_regularizers_work_on_vectors(regularizer, digits):
    model = clone(CONV).set_params(regularizers=[regularizer])
    assert model.fit(digits[0]).transform(digits[0]).shape == (200, 3)


@pytest.mark.parametrize("regularizer", ALL, ids=name)
def test_odd_sides_and_a_kl_term_are_no_obstacle(regularizer):
    X = np.random.RandomState(0).rand(40, 2, 13, 18).astype(np.float32)
    # Maps of 4 x 5.
    model = maps(regularizer, latent_dim=40, channels=(4, 4), beta=1.0, max_epochs=2).fit(X)
    assert model.code_shape_ == (2, 4, 5) and np.isfinite(model.transform(X)).all()


@pytest.mark.parametrize("regularizer", ALL, ids=name)
def test_half_precision_is_no_obstacle(regularizer, digits):
    model = maps(regularizer, amp=True).fit(digits[0])
    assert np.isfinite(model.history_[0]["regularizers"][0]["loss"])


@pytest.mark.parametrize("other", [ScaleEquivarianceRegularizer(), HighFrequencyCut()], ids=name)
def test_small_images_of_odd_sides_stay_aligned(other):
    X = np.random.RandomState(0).rand(40, 2, 13, 18).astype(np.float32)
    module = maps(latent_dim=40, channels=(4, 4)).fit(X).net_.module_
    small = torch.rand(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    assert module.pad(small) is small and module.pad(torch.tensor(X)).shape[2:] == (16, 20)
    pair = [EquivarianceRegularizer(p_eq=0.0, p_low=NEARLY_ALWAYS, min_scale=0.5), other]
    report = maps(*pair, latent_dim=40, channels=(4, 4)).fit(X).history_[0]["regularizers"]
    assert all(entry["weight"] > 0 and np.isfinite(entry["loss"]) for entry in report)


def test_kl_of_small_images_is_shared_by_their_pixels(x):
    # Codes of unit variance and mean: 1 / 2 nat for each of 4 values, over 16 pixels.
    class Variational(Pooling):
        def encode(self, x, mask=None):
            mean = torch.ones_like(super().encode(x)[0])
            return mean, torch.zeros_like(mean)

    regularizer = EquivarianceRegularizer(p_eq=0.0, p_low=NEARLY_ALWAYS)
    for one in ([], [regularizer]):
        loss = criterion(*one)
        loss.beta = 1.0
        (target, logits, *_), total = loss.step(Variational(), x.flatten(1))
        assert_allclose(total - loss.reconstruction(target, logits), 0.5 / 4, rtol=1e-5)


@pytest.mark.parametrize(
    "regularizer",
    [
        NoiseAugmentedDecoding(p=0.9),
        EquivarianceRegularizer(p_eq=0.9, min_scale=None),
        EquivarianceRegularizer(p_eq=0.0, p_low=0.9),
    ],
    ids=name,
)
def test_statistics_of_batch_normalisation_are_learnt_from_what_is_left(regularizer, digits):
    model = trained(regularizer).fit(digits[0])
    layers = [m for m in model.net_.module_.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(layer.running_mean.abs().max() > 0 for layer in layers)
    error = np.mean((model.reconstruct(digits[0]) - digits[0]) ** 2)
    assert error < 0.5 * digits[0].var()


@pytest.fixture(scope="module")
def learnt():
    """Weights by regulariser, each learnt once."""
    return {}


@pytest.mark.parametrize(
    "regularizer, other",
    [
        (EquivarianceRegularizer(), {"p_eq": 0.9}),
        (EquivarianceRegularizer(p_eq=0.0), {"p_low": 0.9}),
        (EquivarianceRegularizer(), {"min_scale": None}),
        (EquivarianceRegularizer(p_eq=NEARLY_ALWAYS, min_scale=0.9), {"min_scale": 0.5}),
        (EquivarianceRegularizer(), {"rotations": (2,)}),
        (EquivarianceRegularizer(), {"flips": True}),
        (EquivarianceRegularizer(), {"antialias": True}),
        (EquivarianceRegularizer(), {"weight": 0.5}),
        (EquivarianceRegularizer(), {"start": 0.5}),
        (EquivarianceRegularizer(), {"end": 0.5}),
        (ScaleEquivarianceRegularizer(), {"weight": 0.5}),
        (ScaleEquivarianceRegularizer(), {"weight": "adaptive"}),
        (ScaleEquivarianceRegularizer(), {"start": 0.5}),
        (ScaleEquivarianceRegularizer(), {"end": 0.5}),
        (HighFrequencyCut(), {"min_kept": 0.8}),
        (HighFrequencyCut(), {"weight": 0.5}),
        (HighFrequencyCut(), {"start": 0.5}),
        (HighFrequencyCut(), {"end": 0.5}),
        (NoiseAugmentedDecoding(), {"sigma": 0.5}),
        (NoiseAugmentedDecoding(), {"p": 0.9}),
        (NoiseAugmentedDecoding(), {"weight": 0.5}),
        (NoiseAugmentedDecoding(), {"start": 0.5}),
        (NoiseAugmentedDecoding(p=0.9), {"end": 0.5}),
        (MaskedAutoencodingObjective(), {"mask_ratio": (0.1, 0.2)}),
        (MaskedAutoencodingObjective(), {"patch_size": 4}),
        (MaskedAutoencodingObjective(), {"masked_weight": 0}),
        (MaskedAutoencodingObjective(), {"targets": ("hog",)}),
        (MaskedAutoencodingObjective(), {"target_weight": 2}),
        (MaskedAutoencodingObjective(), {"decoder_only": 0.6}),
        (MaskedAutoencodingObjective(), {"weight": 0.5}),
        (MaskedAutoencodingObjective(), {"start": 0.5}),
        (MaskedAutoencodingObjective(), {"end": 0.5}),
        (FeatureAlignmentRegularizer(feature_model="hog"), {"feature_model": "dae"}),
        (FeatureAlignmentRegularizer(feature_model="dae"), {"feature_model": "classifier"}),
        (FeatureAlignmentRegularizer(feature_model="hog"), {"margin_cosine": 1.9}),
        (FeatureAlignmentRegularizer(feature_model="hog"), {"margin_distance": 0.1}),
        (FeatureAlignmentRegularizer(feature_model="hog"), {"weight": 0.5}),
        (FeatureAlignmentRegularizer(feature_model="hog"), {"start": 0.5}),
        (FeatureAlignmentRegularizer(feature_model="hog"), {"end": 0.5}),
        (LatentPerceptualLoss(), {"sigma": 0.5}),
        (LatentPerceptualLoss(), {"outliers": 0.2}),
        (LatentPerceptualLoss(), {"weight": 0.5}),
        (LatentPerceptualLoss(), {"start": 0.5}),
        (LatentPerceptualLoss(), {"end": 0.5}),
    ],
    ids=name,
)
def test_each_parameter_is_used(regularizer, other, digits, learnt):
    X, y = digits[0][:48], digits[1][:48]
    for r in (regularizer, changed := clone(regularizer).set_params(**other)):
        if repr(r) not in learnt:
            learnt[repr(r)] = weights(maps(r, max_epochs=4, batch_size=16).fit(X, y))
    assert not np.array_equal(learnt[repr(regularizer)], learnt[repr(changed)])


def test_regularizers_start_and_end(digits):
    model = maps(ScaleEquivarianceRegularizer(start=0.25, end=0.75), max_epochs=4).fit(digits[0])
    acted = [row["regularizers"][0]["weight"] for row in model.history_]
    assert_allclose(acted, [0, 0.25, 0.25, 0])


def test_one_replacing_regularizer_acts_per_step(digits):
    pair = [NoiseAugmentedDecoding(p=NEARLY_ALWAYS), EquivarianceRegularizer(p_eq=NEARLY_ALWAYS)]
    report = maps(*pair).fit(digits[0]).history_[0]["regularizers"]
    assert [entry["weight"] for entry in report] == [1, 0]


def test_a_trained_model_is_fine_tuned_by_a_warm_start(digits):
    model = maps(warm_start=True, max_epochs=2).fit(digits[0])
    model.set_params(regularizers=[ScaleEquivarianceRegularizer()]).fit(digits[0])
    assert ["regularizers" in row for row in model.history_] == [False, False, True, True]


# ------------------------------------------------------------------ adaptive weight, degradation


class Toy(ScaleEquivarianceRegularizer):
    """Measures gradients at a parameter of its own."""

    def _anchor(self, module):
        return module


@pytest.mark.parametrize("slope, expected", [(4.0, 0.25 * 3 / 4.0001), (0.0, 0.25 * 1e4)])
def test_adaptive_weight_is_the_ratio_of_gradient_norms(slope, expected):
    theta = nn.Parameter(torch.ones(2))
    losses = 3 * theta[0], slope * theta[1]
    weigh = RegularizedLoss("mse", 0.0, [], 1, 1, seed=0)._weigh
    weight, share = weigh(Toy(weight="adaptive"), theta, *losses, first=True)
    assert type(weight) is float  # Nothing flows back through it.
    assert_allclose(weight, expected)
    assert_allclose(share, expected * slope / (3 + expected * slope))
    fixed = weigh(Toy(weight=0.7), theta, *losses, first=True)
    assert_allclose(fixed, (0.7, 0.7 * slope / (3 + 0.7 * slope)))


def test_weight_of_noisy_decoding_is_that_of_its_reconstruction(x):
    losses = [
        criterion(NoiseAugmentedDecoding(p=NEARLY_ALWAYS, weight=weight))
        .step(Pooling(), x.flatten(1))[1]
        .item()
        for weight in (1, 3)
    ]
    assert_allclose(losses[1], 3 * losses[0], rtol=1e-6)


@pytest.mark.parametrize("limit, warned", [(0.1, True), (1e6, False)])
def test_a_lost_reconstruction_earns_a_warning(limit, warned, digits):
    model = maps(
        ScaleEquivarianceRegularizer(weight=1e4, start=0.5),
        max_epochs=8, batch_size=8, lr=0.02, lr_schedule="constant", validation_fraction=0.2,
        max_rec_degradation=limit,
    )  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(digits[0])
    messages = [str(w.message) for w in caught if w.category is ConvergenceWarning]
    assert len(messages) == warned
    if warned:
        assert "validation loss rose by" in messages[0] and "Lower their weights" in messages[0]


def test_a_reconstruction_lost_by_warm_start_earns_a_warning(digits):
    """The regulariser was on before, and the last epoch without it is one of the second fit."""
    model = maps(
        ScaleEquivarianceRegularizer(weight=1e4),
        max_epochs=1, batch_size=8, validation_fraction=0.2, warm_start=True,
    ).fit(digits[0])  # fmt: skip
    model.set_params(regularizers=None, max_epochs=6, lr=0.02).fit(digits[0])
    model.set_params(regularizers=[ScaleEquivarianceRegularizer(weight=1e4)], max_epochs=2)
    with pytest.warns(ConvergenceWarning, match="validation loss rose by"):
        model.fit(digits[0])


def test_early_stopping_does_not_undo_the_regularizers(digits):
    model = maps(
        ScaleEquivarianceRegularizer(weight=1e4, start=0.5),
        max_epochs=8, batch_size=8, lr=0.02, lr_schedule="constant", validation_fraction=0.2,
        max_rec_degradation=1e6, n_iter_no_change=2,
    ).fit(digits[0])  # fmt: skip
    losses = [row["valid_loss"] for row in model.history_]
    assert np.argmin(losses) < 4
    stopping = dict(model.net_.callbacks_)["early_stopping"]
    assert stopping.best_epoch_ == 5 + np.argmin(losses[4:])


# ------------------------------------------------------------------ equivariance


def test_equivariance_costs_an_equivariant_autoencoder_nothing(x):
    plain = criterion().step(Pooling(), x.flatten(1))[1]
    regularizer = EquivarianceRegularizer(p_eq=NEARLY_ALWAYS, min_scale=None, flips=True)
    turned = criterion(regularizer).step(Pooling(), x.flatten(1))[1]
    assert plain > 0.01
    assert_allclose(turned, plain, rtol=1e-5)


def test_equivariance_turns_and_scales_code_and_image_alike(x):
    regularizer = EquivarianceRegularizer(p_eq=NEARLY_ALWAYS, min_scale=0.5)
    loss = criterion(regularizer)
    step = TrainingStep(Pooling(), loss, x, progress=0.0)
    seen = set()
    for _ in range(30):
        regularizer._replace(step)
        expected = Pooling().decode_map(F.avg_pool2d(step.target, 2))
        assert step.target.shape == step.logits.shape
        if step.target.shape[2] == 4:  # Exact for half the side, whose weights are 1/2.
            assert_allclose(step.logits, expected, atol=1e-4)
        seen.add(step.target.shape[2])
    assert seen == {4, 6, 8}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equivariance_error_falls_by_a_fifth(seed, digits):
    X = digits[0]
    control = trained(random_state=seed).fit(X)
    model = trained(EquivarianceRegularizer(min_scale=None), random_state=seed).fit(X)
    assert equivariance_error(model, X) < 0.8 * equivariance_error(control, X)


# ------------------------------------------------------------------ frequencies


def test_scale_equivariance_has_the_exact_value_on_a_linear_autoencoder(x):
    regularizer = ScaleEquivarianceRegularizer()
    loss = criterion(regularizer)
    step = TrainingStep(Pooling(), loss, x, progress=0.0)
    step.encode(x)
    images = x.numpy().astype(np.float64)
    small = images.reshape(5, 1, 4, 2, 4, 2).mean(axis=(3, 5))
    codes = images.reshape(5, 1, 2, 4, 2, 4).mean(axis=(3, 5))
    expected = np.mean((small - codes.repeat(2, axis=2).repeat(2, axis=3)) ** 2)
    assert_allclose(regularizer._penalty(step), expected, rtol=1e-5)
    total = loss.step(Pooling(), x.flatten(1))[1]
    plain = criterion().step(Pooling(), x.flatten(1))[1]
    assert_allclose(total - plain, 0.25 * expected, rtol=1e-4)


def test_high_frequencies_get_less(digits):
    X, shares = digits[0], []
    for regularizers in ([], [ScaleEquivarianceRegularizer()], [HighFrequencyCut()]):
        models = [trained(*regularizers, random_state=seed).fit(X) for seed in (0, 1, 2)]
        codes = [model.transform(X) for model in models]
        share = [high_frequency_fraction(Z, code_shape=models[0].code_shape_) for Z in codes]
        shares.append(np.mean(share))
    assert max(shares[1:]) < 0.95 * shares[0]


def test_low_pass_keeps_the_lowest_frequencies(x):
    assert_allclose(low_pass(x, 1.0), x, atol=1e-6)
    mean = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
    assert_allclose(low_pass(x, 1 / 64), mean, atol=1e-6)
    half = low_pass(x, 0.5)
    assert_allclose(low_pass(half, 0.5), half, atol=1e-6)


# ------------------------------------------------------------------ noise


def test_noise_makes_noisy_codes_decodable(digits):
    X, errors = digits[0], []
    for regularizers in ([], [NoiseAugmentedDecoding(sigma=1.0, p=0.9)]):
        model = trained(*regularizers).fit(X)
        Z = model.transform(X)
        noise = np.random.RandomState(0).standard_normal(Z.shape) * Z.std(axis=0)
        errors.append(np.mean((model.inverse_transform(Z + noise) - X) ** 2))
    assert errors[1] < 0.9 * errors[0]


def test_noise_has_the_scale_of_the_codes(x):
    regularizer = NoiseAugmentedDecoding(sigma=0.3, p=NEARLY_ALWAYS)
    step = TrainingStep(Pooling(), criterion(regularizer), x.repeat(200, 1, 1, 1), progress=0.0)
    regularizer._replace(step)
    noise = torch.sigmoid(step.logits)[..., ::2, ::2].nan_to_num(0) - step.z
    inside = (noise + step.z > 0.01) & (noise + step.z < 0.99)
    assert_allclose(noise[inside].std() / step.z.std(), 0.3, rtol=0.1)


# ------------------------------------------------------------------ masks


def masked_model(digits, **params):
    objective = MaskedAutoencodingObjective(**params)
    return maps(objective, batch_size=20, max_epochs=5).fit(digits[0])


def test_mask_hides_the_given_share_of_whole_patches(x):
    objective, shares = MaskedAutoencodingObjective(patch_size=2), set()
    step = TrainingStep(Pooling(), criterion(objective), x, progress=0.0)
    for _ in range(40):
        mask = objective._draw_mask(step)
        assert mask.shape == (5, 1, 8, 8)
        patches = mask.reshape(5, 4, 2, 4, 2)
        assert (patches == patches[:, :, :1, :, :1]).all()
        shares.update(mask.mean(dim=(1, 2, 3)).tolist())
    assert shares == {7 / 16, 8 / 16, 9 / 16}
    assert not (mask[0] == mask[1]).all()


def test_one_patch_is_never_hidden(x):
    objective = MaskedAutoencodingObjective(patch_size=8)
    step = TrainingStep(Pooling(), criterion(objective), x, progress=0.0)
    assert objective._draw_mask(step).max() == 0


def test_share_of_hidden_patches_goes_to_zero_at_the_end(x):
    objective = MaskedAutoencodingObjective(patch_size=1)
    loss = criterion(objective)
    shares = [
        objective._draw_mask(TrainingStep(Pooling(), loss, x, progress)).mean().item()
        for progress in (0.8, 0.9, 0.999)
    ]
    assert_allclose(shares, [0.6, 0.3, 0], atol=0.01)


def test_the_encoder_cannot_see_hidden_pixels(digits):
    module = masked_model(digits).net_.module_
    objective = MaskedAutoencodingObjective()
    loss = criterion(objective, module=module)
    codes = []
    X = torch.tensor(digits[0][:5])
    for change in (0.0, 0.5):
        step = TrainingStep(module, loss, X, progress=0.0)
        loss.generator.manual_seed(0)
        mask = objective._draw_mask(step)
        loss.generator.manual_seed(0)
        step.x = X + change * mask
        objective._replace(step)
        codes.append(step.z.detach())
    assert_array_equal(*codes)
    loss.generator.manual_seed(0)
    step.x = X + 0.5
    objective._replace(step)
    assert not np.allclose(codes[0], step.z.detach())


def test_transform_says_that_nothing_is_hidden(digits):
    model = masked_model(digits)
    X = torch.tensor(digits[0])
    with torch.no_grad():
        whole, _ = model.net_.module_.encode(X, torch.zeros_like(X))
        hidden, _ = model.net_.module_.encode(X, torch.ones_like(X))
    assert_allclose(model.transform(digits[0]), whole, atol=1e-6)
    assert not np.allclose(whole, hidden, atol=1e-2)


class Snapshots(Callback):
    """Keep the weights of each epoch."""

    taken = []

    def on_train_begin(self, net, **kwargs):
        self.taken.clear()

    def on_epoch_end(self, net, **kwargs):
        state = net.module_.state_dict()
        self.taken.append({name: value.clone() for name, value in state.items()})


def test_the_encoder_is_frozen_in_the_second_phase(digits):
    maps(MaskedAutoencodingObjective(decoder_only=0.4), max_epochs=5, callbacks=[Snapshots()]).fit(
        digits[0]
    )
    *_, before, third, _, last = Snapshots.taken
    encoder = [name for name in last if name.startswith("encoder")]
    assert all(torch.equal(third[name], last[name]) for name in encoder)
    assert not any(torch.equal(before[name], third[name]) for name in encoder)
    assert not torch.equal(third["decoder.1.weight"], last["decoder.1.weight"])


def test_masked_weight_is_the_loss_of_hidden_pixels_alone(x):
    objective = MaskedAutoencodingObjective(targets=(), decoder_only=0.0)
    loss = criterion(objective)
    step = TrainingStep(Pooling(), loss, x, progress=0.0)
    step.encode(x)
    step.target, step.logits = x, step.decode(step.z)
    objective.mask_ = mask = objective._draw_mask(step)
    errors = (torch.sigmoid(step.logits) - x).square()
    assert_allclose(objective._penalty(step), errors[mask.bool()].mean(), rtol=1e-5)


def test_features_are_predicted_where_patches_are_hidden(x):
    objective = MaskedAutoencodingObjective(targets=("moments",), decoder_only=0.0)
    loss = criterion(objective)
    step = TrainingStep(Pooling(), loss, x, progress=0.0)
    step.encode(x)
    step.target, step.logits = x, step.decode(step.z)
    mask = torch.zeros_like(x[:, :1])
    mask[..., :4, :4] = 1
    objective.mask_ = mask
    penalty = objective._penalty(step)
    pixels = objective.masked_weight * loss.reconstruction(x, step.logits, mask)
    prediction = objective.heads_["predict"][0](step.z)
    target = resize(objective.features_[0](x), prediction.shape[2:])
    hidden = F.adaptive_avg_pool2d(mask, prediction.shape[2:])[0, 0] == 1
    errors = (prediction - target).square().mean(dim=1)[:, hidden]
    assert 0 < hidden.float().mean() < 0.5
    expected = objective.target_weight * errors.mean()
    assert_allclose((penalty - pixels).item(), expected.item(), rtol=1e-5)


# ------------------------------------------------------------------ features


def test_hog_tells_the_direction_of_an_edge():
    stripes = torch.zeros(1, 1, 16, 16)
    stripes[..., ::4] = stripes[..., 1::4] = 1
    both = HOG(8)(torch.cat([stripes, stripes.transpose(2, 3)]))
    assert both.shape == (2, 8, 2, 2)
    # Gradients along the rows are at angle 0 or pi, those along columns at pi / 2.
    assert (both[0].argmax(dim=0) == 0).all() and (both[1].argmax(dim=0) == 4).all()
    assert_allclose(both.norm(dim=1), np.ones((2, 2, 2)), atol=0.01)
    assert HOG(8)(torch.zeros(1, 1, 16, 16)).abs().max() == 0


def test_local_moments_are_those_of_each_cell(x):
    cells = x.numpy().reshape(5, 2, 4, 2, 4)
    expected = np.stack([cells.mean(axis=(2, 4)), cells.std(axis=(2, 4))], axis=1)
    assert_allclose(LocalMoments(4)(x), expected, atol=1e-4)


# ------------------------------------------------------------------ alignment


def test_alignment_compares_a_limited_number_of_positions(x, monkeypatch):
    module = "latentgen.autoencoders._feature_regularizers"
    shapes = []

    def losses(projected, features, *margins):
        shapes.append((projected.shape, features.shape[2]))
        return (projected.sum(),)

    monkeypatch.setattr(f"{module}._POSITIONS", 5)
    monkeypatch.setattr(f"{module}.alignment_losses", losses)
    criterion(FeatureAlignmentRegularizer(feature_model="hog")).step(Pooling(), x.flatten(1))
    assert shapes[0][0][2] == shapes[0][1] == 5


def test_alignment_costs_nothing_where_codes_are_the_features(x):
    features = torch.randn(3, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    for loss in alignment_losses(5 * features, features, 0.0, 0.0):
        assert_allclose(loss, 0, atol=1e-6)


@pytest.mark.parametrize("margins, expected", [((0, 0), (0.2, 0.4)), ((0.15, 0.1), (0.125, 0.35))])
def test_alignment_margins_are_honoured(margins, expected):
    # Two positions: one code agrees with its feature, the other has a cosine of 0.6 to it.
    features = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]).view(1, 2, 1, 2)
    projected = torch.tensor([[[1.0, 0.8], [0.0, 0.6]]]).view(1, 2, 1, 2)
    # The mean over positions of 1 - 0.6 - margin, and over pairs of 0.8 - margin.
    assert_allclose(alignment_losses(projected, features, *margins), expected, atol=1e-6)


class Spied(nn.Conv2d):
    """Remembers the modes in which it was called."""

    modes = []

    def forward(self, x):
        self.modes.append((self.training, torch.is_grad_enabled(), self.weight.requires_grad))
        return super().forward(x)


def test_the_feature_model_is_frozen_and_the_projection_is_dropped(digits):
    network = Spied(1, 6, 2, stride=2).train()
    Spied.modes.clear()
    model = maps(FeatureAlignmentRegularizer(feature_model=network, weight=1.0)).fit(digits[0])
    assert set(Spied.modes) == {(False, False, False)} and len(Spied.modes) > 5
    assert network.training and network.weight.requires_grad  # The user's own is as it was.
    shapes = [tuple(value.shape) for value in model.__getstate__()["_weights"].values()]
    plain = maps().fit(digits[0]).__getstate__()["_weights"].values()
    assert shapes == [tuple(value.shape) for value in plain]
    for loss in (model.net_.criterion, model.net_.criterion_):
        assert not isinstance(loss, RegularizedLoss)


def test_alignment_learns_a_projection(digits):
    losses = [
        row["regularizers"][0]["loss"]
        for row in trained(FeatureAlignmentRegularizer(feature_model="hog", weight=1.0))
        .fit(digits[0])
        .history_
    ]
    assert losses[-1] < 0.7 * losses[0]


# ------------------------------------------------------------------ smooth decoder


def feature_maps(seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(4, c, s, s, generator=generator) for c, s in ((3, 4), (2, 8))]


def test_perceptual_distance_of_equal_features_is_zero():
    assert perceptual_distance(feature_maps(0), feature_maps(0), 0.02) == 0


def test_perceptual_distance_does_not_see_scale_and_offset_of_channels():
    first, second = feature_maps(0), feature_maps(1)
    scaled = [
        [f * torch.arange(1.0, f.shape[1] + 1).view(-1, 1, 1) * 7 + 3 for f in features]
        for features in (first, second)
    ]
    expected = perceptual_distance(first, second, 0.02)
    assert expected > 0.5
    assert_allclose(perceptual_distance(*scaled, 0.02), expected, rtol=1e-4)


def test_perceptual_distance_halves_later_stages():
    first, second = feature_maps(0), feature_maps(1)
    coarse, fine = (perceptual_distance([a], [b], 0.0) for a, b in zip(first, second, strict=True))
    assert_allclose(perceptual_distance(first, second, 0.0), coarse + fine / 2, rtol=1e-5)


def test_perceptual_distance_leaves_out_both_ends_of_each_channel():
    x, x_hat = (f[0].transpose(0, 1).flatten(1).numpy() for f in (feature_maps(0), feature_maps(1)))
    # 64 values in each of three channels, of which 10 % are 6.
    low, high = np.sort(x_hat, axis=1)[:, [6, -7]].T[..., np.newaxis]
    kept = (x_hat >= low) & (x_hat <= high)
    expected = np.mean(kept * (x - x_hat) ** 2 / x_hat.var(axis=1, keepdims=True))
    assert kept.sum() == 3 * 52
    found = perceptual_distance(feature_maps(0)[:1], feature_maps(1)[:1], 0.1)
    assert_allclose(found, expected, rtol=1e-5)


def test_decoder_smoothness_gives_the_encoder_no_gradient(digits):
    module = maps().fit(digits[0]).net_.module_.train()
    regularizer = LatentPerceptualLoss()
    step = TrainingStep(module, criterion(regularizer, module=module), torch.tensor(digits[0]), 0)
    step.encode(step.x)
    module.zero_grad()
    regularizer._penalty(step).backward()
    assert all(p.grad is None for p in module.encoder.parameters())
    assert module.decoder[1].weight.grad.abs().max() > 0


# ------------------------------------------------------------------ composition


@pytest.mark.parametrize("regularizer", ALL, ids=name)
def test_regularizers_survive_clone_and_pickle_and_are_not_changed_by_fit(regularizer, digits):
    given = clone(regularizer)
    model = maps(given)
    assert clone(model).get_params()["regularizers"][0].get_params() == given.get_params()
    before = dict(vars(given))
    model.fit(digits[0])
    assert vars(given) == before and model.regularizers[0] is given
    copy = pickle.loads(pickle.dumps(model))
    assert_array_equal(copy.transform(digits[0]), model.transform(digits[0]))
    assert copy.partial_fit(digits[0]).n_iter_ == 2


@pytest.mark.parametrize("regularizer", ALL, ids=name)
def test_regularizers_survive_saving(regularizer, digits, tmp_path):
    pytest.importorskip("skops")
    model = maps(regularizer).fit(digits[0])
    save_model(model, tmp_path / "model.latentgen")
    loaded = load_model(tmp_path / "model.latentgen")
    assert loaded.regularizers[0].get_params() == regularizer.get_params()
    assert_array_equal(loaded.transform(digits[0]), model.transform(digits[0]))
    assert loaded.history_ == model.history_


def test_grid_search_over_regularizers(digits):
    grid = {"autoencoder__regularizers": [None, [ScaleEquivarianceRegularizer()]]}
    pipeline = make_latent_pipeline(maps(), GaussianSampler())
    search = GridSearchCV(pipeline, grid, cv=2, scoring=lambda model, X, y=None: 1.0)
    search.fit(digits[0])
    assert len(search.cv_results_["params"]) == 2
    search.set_params(estimator__autoencoder__regularizers=[HighFrequencyCut()])
    assert search.best_estimator_.sample(2).shape == (2, 1, 8, 8)


def test_the_same_seed_gives_the_same_codes(digits):
    X, y = digits
    regularizers = [*ON_MAPS[1:], *ANYWHERE[:1]]
    first, second = (maps(*regularizers, random_state=3).fit(X, y).transform(X) for _ in range(2))
    assert_array_equal(first, second)


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    "regularizers, params, message",
    [
        ([1], {}, "must be a list of regularizers of latentgen.autoencoders, got 1 in it"),
        (["scale"], {}, "got 'scale' in it. Use for example"),
        *(
            ([r], {"spatial_latent": False}, f"{name(r)} needs codes that are maps, got .*dim=32")
            for r in ON_MAPS
        ),
        ([EquivarianceRegularizer(p_eq=1.0)], {}, "'p_eq' parameter .* Got 1.0"),
        ([EquivarianceRegularizer(p_low=1.0)], {}, "'p_low' parameter .* Got 1.0"),
        ([NoiseAugmentedDecoding(p=1.0)], {}, "'p' parameter .* Got 1.0"),
        ([EquivarianceRegularizer(rotations=(0.5,))], {}, r"whole quarter turns, got \(0.5,\)"),
        ([HighFrequencyCut(start=0.5, end=0.5)], {}, "'start' must be less than 'end' in High"),
        (
            [NoiseAugmentedDecoding(), MaskedAutoencodingObjective()],
            {},
            r"got \['NoiseAugmentedDecoding', 'MaskedAutoencodingObjective'\]. Leave one out",
        ),
        ([EquivarianceRegularizer(weight="adaptive")], {}, "'weight' parameter .* Got 'adaptive'"),
        ([ScaleEquivarianceRegularizer(start=-1)], {}, "'start' parameter .* Got -1"),
        ([EquivarianceRegularizer(min_scale=None, rotations=())], {}, "nothing to do with"),
        ([EquivarianceRegularizer()], {"channels": (4, 4, 4)}, "at least 2 x 2, got 1 x 1"),
        ([ScaleEquivarianceRegularizer()], {"channels": (4, 4)}, "at least 3 x 3, got 2 x 2"),
        ([MaskedAutoencodingObjective(mask_ratio=(1, 0))], {}, r"increasing numbers .* \(1, 0\)"),
        ([MaskedAutoencodingObjective(targets=("x",))], {}, "'targets' must be .* got 'x'"),
        ([FeatureAlignmentRegularizer(feature_model="vit")], {}, "'feature_model' parameter"),
        (
            [FeatureAlignmentRegularizer(feature_model="classifier")],
            {},
            "needs class labels, got y=None. Pass them to 'fit'",
        ),
        (
            [FeatureAlignmentRegularizer(feature_model=ConvClassifierNet((1, 8, 8), 10, 128))],
            {},
            "holds ConvClassifierNet, a network of latentgen that judges",
        ),
        (
            [FeatureAlignmentRegularizer(feature_model=nn.Flatten())],
            {},
            r"must turn images \(2, 1, 8, 8\) into maps \(2, F, h, w\), got shape \(2, 64\)",
        ),
    ],
    ids=name,
)
def test_what_cannot_be_done_is_explained(regularizers, params, message, digits):
    with pytest.raises((ValueError, TypeError), match=message):
        maps(*regularizers, **params).fit(digits[0])


@pytest.mark.parametrize(
    "y, message",
    [
        (np.zeros(3), "inconsistent numbers of samples"),
        (np.linspace(0, 1, 150), "Unknown label type: continuous"),
        (np.where(np.arange(150) < 3, np.nan, 1), "contains NaN"),
    ],
    ids=["too short", "continuous", "nan"],
)
def test_labels_of_the_classifier_are_checked(digits, y, message):
    model = maps(FeatureAlignmentRegularizer(feature_model="classifier"))
    with pytest.raises(ValueError, match=message):
        model.fit(digits[0], np.resize(y, len(digits[0])) if len(y) > 3 else y)


@pytest.mark.parametrize("before", [False, True])
def test_masks_need_a_network_of_their_own(digits, before):
    masks = [MaskedAutoencodingObjective()]
    model = maps(*(masks if before else []), warm_start=True).fit(digits[0])
    model.set_params(regularizers=None if before else masks)
    message = f"which has {{'masked': {before}}}, got {{'masked': {not before}}}"
    with pytest.raises(ValueError, match=message):
        model.fit(digits[0])


def test_decode_map_is_inverse_transform_on_whole_maps(digits):
    model = maps().fit(digits[0])
    Z = model.transform(digits[0])
    X = model.decode_map(Z.reshape(-1, *model.code_shape_))
    assert_allclose(X, model.inverse_transform(Z), atol=1e-6)
    assert model.decode_map(np.zeros((3, 2, 2, 5))).shape == (3, 1, 4, 10)


@pytest.mark.parametrize("spatial, shape", [(True, (3, 32)), (True, (3, 1, 4, 4)), (False, (3, 3))])
def test_decode_map_needs_maps(spatial, shape, digits):
    model = maps() if spatial else clone(CONV)
    with pytest.raises(ValueError, match="Expected maps of codes of shape"):
        model.fit(digits[0]).decode_map(np.zeros(shape))


def test_every_public_regularizer_is_in_the_list():
    public = {getattr(autoencoders, name) for name in autoencoders.__all__}
    regularizers = {cls for cls in public if not hasattr(cls, "fit")}
    assert regularizers == {type(regularizer) for regularizer in ALL}
