"""All regularizers of an autoencoder: what they share, how they travel, and those of one's own."""

# SPDX-License-Identifier: BSD-3-Clause

import pickle
import warnings

import numpy as np
import pytest
import torch
from _estimators import CONV
from _regularized import (
    ALL,
    ANYWHERE,
    NEARLY_ALWAYS,
    ON_MAPS,
    maps,
    name,
    trained,
    weights,
)
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from latentgen import (
    GaussianSampler,
    NetworkAutoencoder,
    autoencoders,
    load_model,
    make_latent_pipeline,
    save_model,
)
from latentgen.autoencoders import (
    EquivarianceRegularizer,
    FeatureAlignmentRegularizer,
    HighFrequencyCut,
    LatentPerceptualLoss,
    LatentRegularizer,
    MaskedAutoencodingObjective,
    NoiseAugmentedDecoding,
    ScaleEquivarianceRegularizer,
)
from latentgen.networks._classifier import ConvClassifierNet
from latentgen.networks._reconstruction import _weigh

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
def test_each_regularizer_changes_what_is_learned(regularizer, digits):
    model = maps(regularizer).fit(digits[0])
    change = model.reconstruct(digits[0]) - maps().fit(digits[0]).reconstruct(digits[0])
    assert np.abs(change).max() > 1e-4
    report = model.history_[0]["regularizers"]
    assert len(report) == 1 and report[0]["weight"] > 0 and np.isfinite(report[0]["loss"])
    assert 0 < report[0]["gradient_fraction"] <= 1


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


@pytest.mark.parametrize(
    "regularizer",
    [
        NoiseAugmentedDecoding(p=0.9),
        EquivarianceRegularizer(p_eq=0.9, min_scale=None),
        EquivarianceRegularizer(p_eq=0.0, p_low=0.9),
    ],
    ids=name,
)
def test_statistics_of_batch_normalization_are_learned_from_what_is_left(regularizer, digits):
    model = trained(regularizer, max_epochs=16).fit(digits[0])
    layers = [m for m in model.net_.module_.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(layer.running_mean.abs().max() > 0 for layer in layers)
    error = np.mean((model.reconstruct(digits[0]) - digits[0]) ** 2)
    assert error < 0.5 * digits[0].var()


@pytest.fixture(scope="module")
def learned():
    """Weights by regularizer, each learned once."""
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
def test_each_parameter_is_used(regularizer, other, digits, learned):
    X, y = digits[0][:48], digits[1][:48]
    for r in (regularizer, changed := clone(regularizer).set_params(**other)):
        if repr(r) not in learned:
            learned[repr(r)] = weights(maps(r, max_epochs=4, batch_size=16).fit(X, y))
    assert not np.array_equal(learned[repr(regularizer)], learned[repr(changed)])


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
    weight, fraction = _weigh(Toy(weight="adaptive"), theta, *losses, measured=False)
    assert type(weight) is float  # Nothing flows back through it.
    assert_allclose(weight, expected)
    assert_allclose(fraction, expected * slope / (3 + expected * slope))
    fixed = _weigh(Toy(weight=0.7), theta, *losses, measured=True)
    assert_allclose(fixed, (0.7, 0.7 * slope / (3 + 0.7 * slope)))
    assert _weigh(Toy(weight=0.7), theta, *losses, measured=False) == (0.7, None)


def test_gradients_are_measured_at_every_50th_step(digits):
    # 20 steps in an epoch: the steps 0, 50 and 100 are in the epochs 1, 3 and 6.
    model = maps(HighFrequencyCut(), max_epochs=6, batch_size=10).fit(digits[0])
    fractions = [row["regularizers"][0]["gradient_fraction"] for row in model.history_]
    assert np.isfinite(fractions).tolist() == [True, False, True, False, False, True]


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
    """The regularizer was on before, and the last epoch without it is one of the second fit."""
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


# ------------------------------------------------------------------ regularizers of one's own


class SmallCodes(LatentRegularizer):
    """A penalty, and all else as it is without parameters."""

    def _penalty(self, step):
        return step.z.square().mean()


class DarkImages(LatentRegularizer):
    """Steps of its own: darker images are encoded, and the images are decoded."""

    def __init__(self, *, weight=1.0):
        self.weight = weight

    def _replace(self, step):
        whole = step.x
        step.encode(0.25 * whole)
        step.target, step.logits = whole, step.decode(step.z)
        return True


class PredictBrightness(LatentRegularizer):
    """A network that is trained along."""

    def _prepare(self, X, y, module, device, seeds):
        super()._prepare(X, y, module, device, seeds)
        self.heads_ = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

    def _penalty(self, step):
        brightness = step.x.mean(dim=(2, 3))
        return 100 * (self.heads_(step.z) - brightness).square().mean()


def own(*regularizers, **params):
    return clone(CONV).set_params(regularizers=list(regularizers) or None, **params)


def test_a_penalty_of_ones_own_is_added(digits):
    X, params = digits[0], {"max_epochs": 5, "batch_size": 16}
    model = own(SmallCodes(), **params).fit(X)
    assert [row["regularizers"][0]["weight"] for row in model.history_] == [1.0] * 5
    plain = own(**params).fit(X)
    assert np.square(model.transform(X)).mean() < 0.5 * np.square(plain.transform(X)).mean()


def test_steps_of_ones_own_take_the_place_of_the_ordinary_ones(digits):
    X, params = digits[0], {"max_epochs": 20, "batch_size": 16, "lr": 0.02}
    model, plain = own(DarkImages(), **params).fit(X), own(**params).fit(X)
    report = model.history_[-1]["regularizers"][0]
    assert report["gradient_fraction"] == 1 and report["loss"] == model.history_[-1]["train_loss"]
    errors = [
        np.mean((m.inverse_transform(m.transform(0.25 * X)) - X) ** 2) for m in (model, plain)
    ]
    assert errors[0] < 0.8 * errors[1]


def test_heads_are_trained_along_and_dropped(digits):
    params = {"max_epochs": 10, "batch_size": 16, "lr": 0.02}
    model = own(PredictBrightness(), **params).fit(digits[0])
    losses = [row["regularizers"][0]["loss"] for row in model.history_]
    assert losses[-1] < 0.5 * losses[0]
    state, plain = (m.net_.module_.state_dict() for m in (model, own(**params).fit(digits[0])))
    assert list(state) == list(plain)


class Noisy(LatentRegularizer):
    """Draws in ways that know nothing of the generator of the training."""

    def _prepare(self, X, y, module, device, seeds):
        super()._prepare(X, y, module, device, seeds)
        self.heads_ = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 1))

    def _penalty(self, step):
        return self.heads_(step.z + torch.randn_like(step.z)).square().mean()


@pytest.mark.parametrize("regularizer", [*ALL, Noisy()], ids=name)
def test_random_state_decides_everything(regularizer, digits):
    model = own(regularizer) if isinstance(regularizer, Noisy) else maps(regularizer)
    codes = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        codes.append(clone(model).fit(digits[0]).transform(digits[0]))
        assert torch.equal(torch.get_rng_state(), before)
    assert_array_equal(*codes)


class Needy(LatentRegularizer):
    needs = ("encode", "tea", "coffee")


# ------------------------------------------------------------------ other networks


def network(spatial, **params):
    """An autoencoder of modules in which nothing has a name."""
    if spatial:
        encoder = nn.Sequential(nn.Conv2d(1, 8, 2, stride=2), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1))
        decoder = nn.Sequential(nn.ConvTranspose2d(2, 4, 2, stride=2), nn.Conv2d(4, 1, 1))
    else:
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
        decoder = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 64))
    fixed = {"max_epochs": 2, "batch_size": 16, "random_state": 0}
    return NetworkAutoencoder(encoder, decoder, **fixed | params)


@pytest.mark.parametrize(
    "spatial, regularizer",
    [(False, NoiseAugmentedDecoding()), (False, SmallCodes()), *((True, r) for r in ON_MAPS)],
    ids=name,
)
def test_regularizers_work_on_networks_of_ones_own(spatial, regularizer, digits):
    model, plain = (
        network(spatial, regularizers=one).fit(digits[0]) for one in ([regularizer], None)
    )
    report = model.history_[0]["regularizers"][0]
    assert np.isfinite(report["loss"]) and 0 < report["gradient_fraction"] <= 1
    assert not np.array_equal(weights(model), weights(plain))


@pytest.mark.parametrize("kind", ["dae", "classifier"])
def test_feature_models_suit_networks_of_ones_own(kind, digits):
    regularizer = FeatureAlignmentRegularizer(feature_model=kind)
    report = network(True, regularizers=[regularizer]).fit(*digits).history_[0]["regularizers"]
    assert 0 < report[0]["gradient_fraction"] <= 1


def test_regularizers_leave_statistics_of_any_normalization_alone(digits):
    noisy = NoiseAugmentedDecoding(sigma=1e3, p=NEARLY_ALWAYS)
    normalized = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 64))
    model = network(False, regularizers=[noisy]).set_params(decoder=normalized).fit(digits[0])
    assert (model.net_.module_.decoder[0].running_mean == 0).all()


@pytest.mark.parametrize(
    "regularizer, message",
    [
        (LatentPerceptualLoss(), "needs .* 'first_layer' and 'decoder_features', which Encoder"),
        (MaskedAutoencodingObjective(), "'stride' and 'masked', which EncoderDecoderNet does not"),
        (ScaleEquivarianceRegularizer(), r"needs codes that are maps, got codes of shape \(3,\)"),
        (
            Needy(),
            "Needy needs a network with 'tea' and 'coffee', which .* does not have. Use Conv",
        ),
    ],
    ids=name,
)
def test_what_a_network_does_not_have_is_named(regularizer, message, digits):
    with pytest.raises(ValueError, match=message):
        network(False, regularizers=[regularizer]).fit(digits[0])


def test_a_weight_needs_something_to_adapt_to(digits):
    class Adaptive(SmallCodes):
        weight = "adaptive"

    model = network(False, regularizers=[Adaptive()]).set_params(encoder=nn.Flatten())
    model.set_params(decoder=nn.Linear(64, 64))
    with pytest.raises(ValueError, match=r"Adaptive needs a network with 'code_layer'.* 'weight'"):
        model.fit(digits[0])
    fixed = model.set_params(regularizers=[SmallCodes()]).fit(digits[0])
    assert np.isnan(fixed.history_[0]["regularizers"][0]["gradient_fraction"])


# ------------------------------------------------------------------ resume


class BreakOff(Callback):
    """Ends a training in the middle of its second epoch."""

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == 2 and len(net.history[-1, "batches"]) == 3:
            raise RuntimeError("The power is gone.")


@pytest.mark.parametrize(
    "regularizers",
    [
        [NoiseAugmentedDecoding(), EquivarianceRegularizer(), HighFrequencyCut(weight="adaptive")],
        [
            MaskedAutoencodingObjective(),
            FeatureAlignmentRegularizer(feature_model="dae"),
            LatentPerceptualLoss(),
        ],
    ],
    ids=["pixels", "features"],
)
def test_a_resumed_training_ends_with_the_same_bytes(regularizers, digits, tmp_path):
    params = {"max_epochs": 4, "batch_size": 6, "validation_fraction": 0.2}
    whole = maps(*regularizers, **params).fit(digits[0])
    model = maps(*regularizers, **params, checkpoint=tmp_path / "state", callbacks=[BreakOff()])
    with pytest.raises(RuntimeError, match="power"):
        model.fit(digits[0])
    model.set_params(callbacks=None).fit(digits[0])
    assert_array_equal(weights(model), weights(whole))
    without_time = [[{**row, "dur": 0} for row in m.history_] for m in (model, whole)]
    assert_equal(*without_time)


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
            (
                [r],
                {"spatial_latent": False},
                f"{name(r)} needs codes that are maps, got .* \\(32,\\). Use",
            )
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
            [
                FeatureAlignmentRegularizer(
                    feature_model=nn.Sequential(ConvClassifierNet((1, 8, 8), 10, 16))
                )
            ],
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
    regularizers = {cls for cls in public if issubclass(cls, LatentRegularizer)}
    tested = {type(regularizer) for regularizer in ALL}
    assert regularizers == {LatentRegularizer, *tested}
