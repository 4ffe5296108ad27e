"""The training of every network: parameters, stages, callbacks, time, interruption, threads."""

# SPDX-License-Identifier: BSD-3-Clause

import builtins
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
import types
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from threading import Lock

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import cross_val_score
from skorch.callbacks import Callback, EarlyStopping, LRScheduler, TensorBoard
from torch import nn

from latentgen import ConvAutoencoder
from latentgen.training import NetworkMixin, Stage


class LineNet(nn.Module):
    """y = slope * x + offset, with dropout that draws by itself."""

    def __init__(self, dropout):
        super().__init__()
        self.slope, self.offset = nn.Linear(1, 1, bias=False), nn.Linear(1, 1)
        self.dropout = nn.Dropout(dropout)
        self.seen = []

    def loss(self, batch, *, progress, generator, stage):
        X, y = batch
        self.seen.append((self.training, progress, stage, len(X)))
        noise = torch.rand(len(X), generator=generator)
        x = self.dropout(X)
        error = self.slope(x)[:, 0] + self.offset(torch.zeros_like(x))[:, 0] - y + 0.01 * noise
        loss = error.square().mean()
        return loss, {"bias": error.mean(), "rows": len(X)}


class Line(NetworkMixin, BaseEstimator):
    """Fits `LineNet`; each parameter that a test names is one."""

    max_epochs = 3
    batch_size = 10
    random_state = 0
    device = "cpu"

    def __init__(self, dropout=0.0, stages=(), **settings):
        self.dropout, self.stages = dropout, stages
        vars(self).update(settings)

    def get_params(self, deep=True):
        return dict(vars(self))

    def _make_module(self, dropout):
        return LineNet(dropout)

    def fit(self, X, y):
        self._train_network(X, y, design={"dropout": self.dropout}, stages=self.stages)
        return self

    @property
    def module(self):
        return self.net_.module_


@pytest.fixture(scope="module")
def points():
    X = np.linspace(-1, 1, 100, dtype=np.float32)[:, None]
    return X, 3 * X[:, 0] + 1


def weights(estimator):
    return np.concatenate([p.detach().numpy().ravel() for p in estimator.module.parameters()])


def rates(estimator):
    return np.concatenate(estimator.net_.history[:, "batches", :, "event_lr"])


# ------------------------------------------------------------------ the protocol


def test_the_loss_sees_progress_and_whole_batches(points):
    seen = Line(max_epochs=2).fit(*points).module.seen
    assert [progress for _, progress, _, _ in seen] == [i / 20 for i in range(20)]
    assert {(training, stage, n) for training, _, stage, n in seen} == {(True, "", 10)}


def test_terms_are_logged_as_means_of_the_epoch(points):
    row = Line(validation_fraction=0.25, max_epochs=1).fit(*points).history_[0]
    assert row["epoch"] == 1 and {"train_loss", "valid_loss", "dur", "train_bias"} <= set(row)
    assert row["train_rows"] == 10 and row["valid_rows"] == pytest.approx(25 / 3)


def test_validation_sees_the_same_noise_in_every_epoch(points):
    still = Line(validation_fraction=0.5, lr=1e-12, max_epochs=3).fit(*points)
    losses = [row["valid_loss"] for row in still.history_]
    assert losses[0] == pytest.approx(losses[1], abs=1e-9) == pytest.approx(losses[2], abs=1e-9)


def test_validation_takes_nothing_from_the_training(points):
    seen = []
    for batch_size in (-1, 7):
        params = {"iterator_valid__batch_size": batch_size}
        model = Line(validation_fraction=0.5, net_params=params, dropout=0.2).fit(*points)
        seen.append(weights(model))
    assert_array_equal(*seen)


# ------------------------------------------------------------------ parameters


def test_training_learns(points):
    model = Line(max_epochs=60, lr=0.1).fit(*points)
    assert_allclose(weights(model)[[0, 2]], [3, 1], atol=0.05)


@pytest.mark.parametrize(
    "name, value",
    [
        ("max_epochs", 4),
        ("batch_size", 20),
        ("lr", 0.01),
        ("lr_schedule", "cosine"),
        ("optimizer", "sgd"),
        ("weight_decay", 0.5),
        ("ema_decay", 0.9),
        ("grad_clip", 1e-3),
        ("validation_fraction", 0.2),
        ("random_state", 1),
        ("net_params", {"optimizer__eps": 0.1}),
        ("callbacks", [("lr_schedule", LRScheduler("StepLR", step_size=1))]),
    ],
)
def test_each_parameter_changes_the_result(points, name, value):
    plain, changed = Line().fit(*points), Line(**{name: value}).fit(*points)
    assert not np.array_equal(weights(plain), weights(changed))


def test_grad_clip_limits_the_step_of_plain_descent(points):
    class Norms(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            total = sum(float(p.grad.square().sum()) for _, p in named_parameters) ** 0.5
            net.history.record_batch("norm", total)

    clipped = Line(grad_clip=0.5, callbacks=[Norms()]).fit(*points)
    norms = np.concatenate(clipped.net_.history[:, "batches", :, "norm"])
    assert norms.max() <= 0.5 * (1 + 1e-5) and norms.max() > 0.4


def test_average_of_weights_is_that_of_the_steps(points):
    seen = []

    class Watch(Callback):
        def on_batch_end(self, net, training=False, **kwargs):
            if training:
                seen.append(net.module_.slope.weight.item())

    watch = Watch()
    # Loggers are handed on as they are, copies see no list of ours.
    model = Line(ema_decay=0.8, max_epochs=2, callbacks=[watch]).fit(*points)
    average = seen[0]
    for n, value in enumerate(seen[1:], start=1):
        decay = min(0.8, (1 + n) / (10 + n))
        average = decay * average + (1 - decay) * value
    assert_allclose(model.module.slope.weight.item(), average, rtol=1e-5)


def test_validation_sees_the_average():
    # One point many times: whatever the split, every part has the same loss.
    X, y = np.ones((100, 1), np.float32), np.full(100, 2, np.float32)
    settings = {"validation_fraction": 0.3, "max_epochs": 4, "lr": 0.05, "n_iter_no_change": 9}
    model = Line(ema_decay=0.95, **settings).fit(X, y)
    raw = Line(**settings).fit(X, y).history_[-1]["valid_loss"]
    batch, generator = (torch.tensor(X), torch.tensor(y)), torch.Generator()
    with torch.no_grad():
        loss, _ = model.module.loss(batch, progress=0, generator=generator, stage="")
    last = model.history_[-1]["valid_loss"]
    assert float(loss) == pytest.approx(last, rel=0.05) != pytest.approx(raw, rel=0.2)


def test_max_seconds_ends_the_training_and_its_schedule(points):
    Line().fit(*points)  # What torch loads at the first step comes before the measurement.
    start = time.perf_counter()
    model = Line(max_seconds=0.4, max_epochs=100_000).fit(*points)
    assert 0.35 < time.perf_counter() - start < 3
    seen = rates(model)
    assert 1 < model.n_iter_ < 100_000
    # The one cycle: up for 0.3 of the time, then down to nearly 0.
    assert 0.1 < np.argmax(seen) / len(seen) < 0.6
    assert seen.max() > 0.95 * Line.lr and seen[-1] < 0.05 * Line.lr


def test_a_training_that_is_shorter_than_max_seconds_is_the_same(points):
    assert_array_equal(weights(Line(max_seconds=1000).fit(*points)), weights(Line().fit(*points)))


def test_workers_give_the_same_batches(points):
    one = Line().fit(*points)
    two = Line(net_params={"iterator_train__num_workers": 2}).fit(*points)
    assert_array_equal(weights(one), weights(two))


@pytest.mark.parametrize("size", [-1, 1000])
@pytest.mark.parametrize("name", ["batch_size", "iterator_train__batch_size"])
def test_batches_of_all_rows_are_one_step(points, name, size):
    model = Line(net_params={name: size}, max_epochs=2).fit(*points)
    assert [n for *_, n in model.module.seen] == [100, 100]


def test_batches_that_leave_out_all_rows_are_refused(points):
    params = {"iterator_train__batch_size": 1000, "iterator_train__drop_last": True}
    with pytest.raises(ValueError, match="leave out all 100 rows for training"):
        Line(net_params=params).fit(*points)


@pytest.mark.parametrize(
    "name, parameter",
    [("callbacks", "callbacks"), ("device", "device"), ("train_split", "validation_fraction")],
)
def test_net_params_do_not_set_what_parameters_decide(points, name, parameter):
    with pytest.raises(ValueError, match=f"'net_params' sets '{name}'.* Set '{parameter}'"):
        Line(net_params={name: None}).fit(*points)


class Sleep(Callback):
    """Let the time run out between two epochs."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 3:
            time.sleep(0.5)


@pytest.mark.parametrize("settings", [{}, {"validation_fraction": 0.2, "ema_decay": 0.9}])
def test_an_epoch_without_time_for_a_step_does_not_count(points, settings):
    Line().fit(*points)
    model = Line(max_epochs=10, max_seconds=0.5, callbacks=[Sleep()], **settings).fit(*points)
    assert model.n_iter_ == 2 and all("train_loss" in row for row in model.history_)


class SetAside(Callback):
    """Log which rows are set aside."""

    def on_epoch_end(self, net, dataset_valid=None, **kwargs):
        rows = np.sort(dataset_valid.indices)
        net.history.record("aside", float(rows @ np.sqrt(np.arange(len(rows)) + 2)))


def test_further_training_sets_the_same_images_aside(digits):
    X, _ = digits
    settings = {"validation_fraction": 0.2, "warm_start": True, "callbacks": [SetAside()]}
    model = ConvAutoencoder(3, channels=(4,), max_epochs=1, random_state=None, **settings)
    model = pickle.loads(pickle.dumps(model.fit(X))).fit(X).partial_fit(X)
    aside = [row["aside"] for row in model.history_]
    assert len(aside) == 3 and len(set(aside)) == 1


def test_stages_freeze_what_does_not_learn(points):
    stages = [Stage("slope", 0.5, ("slope",)), Stage("all", 0.5)]

    class Watch(Callback):
        def on_batch_end(self, net, training=False, **kwargs):
            net.history.record_batch("offset", net.module_.offset.bias.item())

    model = Line(stages=stages, callbacks=[Watch()], max_epochs=2, lr_schedule="constant").fit(
        *points
    )
    offsets = np.concatenate(model.net_.history[:, "batches", :, "offset"])
    assert len(set(offsets[:10])) == 1 and len(set(offsets)) == 11
    assert [stage for *_, stage, _ in model.module.seen] == ["slope"] * 10 + ["all"] * 10
    assert all(p.requires_grad for p in model.module.parameters())


# ------------------------------------------------------------------ callbacks


def test_a_callback_of_skorch_may_end_the_training(points):
    stopping = EarlyStopping(monitor="train_loss", patience=2, threshold=1e9, sink=lambda _: None)
    assert Line(callbacks=[stopping], max_epochs=50).fit(*points).n_iter_ < 10


def test_a_callback_takes_the_place_of_one_of_its_name(points):
    model = Line(callbacks=[("lr_schedule", LRScheduler("StepLR", step_size=1))]).fit(*points)
    assert [row["event_lr"] for row in model.history_] == pytest.approx([4e-3, 4e-4, 4e-5])


@pytest.mark.parametrize("name", [(), ("warm_up",)])
def test_a_second_schedule_is_refused(points, name):
    schedule = LRScheduler("StepLR", step_size=1)
    callbacks = [(*name, schedule) if name else schedule]
    with pytest.raises(ValueError, match=r"Name it, as in callbacks=\[\('lr_schedule'"):
        Line(callbacks=callbacks).fit(*points)
    # Two of one's own are no accident.
    own = ("lr_schedule", LRScheduler("StepLR", step_size=1))
    assert Line(callbacks=[*callbacks, own]).fit(*points).n_iter_ == 3


def test_a_notebook_without_widgets_has_a_bar_of_text(points, monkeypatch, capsys):
    class ZMQInteractiveShell:
        """How skorch knows a notebook."""

    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    monkeypatch.setattr("tqdm.notebook.IProgress", None, raising=False)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    Line(verbose=1).fit(*points)
    assert "it/s" in capsys.readouterr().err


def test_a_notebook_with_widgets_has_its_own_bar(points, monkeypatch):
    module = types.ModuleType("ipywidgets")
    module.__spec__ = ModuleSpec("ipywidgets", None)
    monkeypatch.setitem(sys.modules, "ipywidgets", module)
    bar = dict(Line(verbose=1).fit(*points).net_.callbacks_)["progress_bar"]
    assert bar.detect_notebook


def test_a_callback_that_cannot_be_copied_is_used_as_it_is(points, tmp_path):
    class Logger(Callback):
        def __init__(self, file):
            self.file = file

        def on_epoch_end(self, net, **kwargs):
            self.file.write(f"{net.history[-1, 'train_loss']}\n")

    with open(tmp_path / "log.txt", "w") as file:
        Line(callbacks=[Logger(file)]).fit(*points)
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 3


class Logger(TensorBoard):
    """Log the numbers of the epochs into a list, with a lock as connections have."""

    def on_train_begin(self, net, **kwargs):
        self.lock = Lock()

    def on_epoch_end(self, net, **kwargs):
        self.writer.append(len(net.history))


def test_a_logger_of_a_class_of_the_user_is_used_as_it_is(points):
    lines = []
    Line(callbacks=[Logger(lines, close_after_train=False)]).fit(*points)
    assert lines == [1, 2, 3]


def test_clones_log_into_the_same_logger(digits):
    X, _ = digits
    lines, other = [], EarlyStopping(monitor="train_loss")
    callbacks = [Logger(lines, close_after_train=False), ("own", other)]
    model = ConvAutoencoder(3, channels=(4,), max_epochs=1, callbacks=callbacks).fit(X[:50])
    cross_val_score(model, X[:50], cv=2, error_score="raise")
    assert lines == [1, 1, 1]
    kept, (name, copied) = clone(model).callbacks
    assert kept is callbacks[0] and name == "own" and copied is not other
    assert not hasattr(clone(model), "net_")


def test_a_callback_that_stops_within_an_epoch_leaves_the_average(points):
    class Stop(Callback):
        def on_batch_end(self, net, training=False, **kwargs):
            self.steps = [*getattr(self, "steps", []), net.module_.slope.weight.item()]
            if len(self.steps) == 4:
                raise KeyboardInterrupt

    stopped = Line(ema_decay=0.9, lr=0.1, callbacks=[Stop()], lr_schedule="constant").fit(*points)
    raw = Line(lr=0.1, callbacks=[Stop()], lr_schedule="constant").fit(*points)
    assert stopped.n_iter_ == 1 and not np.array_equal(weights(stopped), weights(raw))


class Handle(Callback):
    """Send the process a signal in an epoch, whose handler raises KeyboardInterrupt."""

    def on_epoch_end(self, net, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_handler_of_signals_does_not_end_the_training_in_silence(points):
    def handle(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, handle)
    try:
        with pytest.raises(KeyboardInterrupt):
            Line(callbacks=[Handle()]).fit(*points)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_loss_that_is_not_finite_is_an_error(points):
    X, y = points
    with pytest.raises(ValueError, match="Training diverged in epoch 1: expected a finite loss"):
        Line().fit(X, y + np.inf)


# ------------------------------------------------------------------ threads


def test_fits_in_threads_equal_fits_in_a_row(digits):
    X, _ = digits
    models = [
        ConvAutoencoder(4, channels=(8,), max_epochs=2, beta=0.1, random_state=seed % 4)
        for seed in range(8)
    ]
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads())  # noqa: NPY002
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda model: model.fit(X).transform(X), models))
    in_a_row = [model.fit(X).transform(X) for model in models]
    for first, second in zip(together, in_a_row, strict=True):
        assert_array_equal(first, second)
    assert torch.equal(before[0], torch.get_rng_state())
    assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert torch.get_num_threads() == before[2] and torch.is_grad_enabled()


# ------------------------------------------------------------------ interruption

SCRIPT = """
import sys, time
import numpy as np
from latentgen import ConvAutoencoder
from latentgen.datasets import load_digits_images
X, _ = load_digits_images(return_X_y=True)
model = ConvAutoencoder(8, max_epochs=1, random_state=0).fit(X)
before = model.transform(X)
model.set_params(max_epochs=100_000, checkpoint=sys.argv[1])
print("ready", flush=True)
try:
    model.fit(X)
except KeyboardInterrupt:
    print("interrupted", np.array_equal(model.transform(X), before), flush=True)
else:
    print("swallowed", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_is_raised_and_leaves_the_old_model_and_the_checkpoint(tmp_path):
    path = tmp_path / "checkpoint.pt"
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdout.readline().strip() == "ready"
    while not path.exists():
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert printed.strip() == "interrupted True"
    saved = torch.load(path, weights_only=True)
    assert saved["n_done"] > 0 and not saved["finished"]
