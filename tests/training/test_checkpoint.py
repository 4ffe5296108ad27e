"""Resume: a training that was broken off ends with the bytes of one that was not."""

# SPDX-License-Identifier: BSD-3-Clause

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from skorch.callbacks import Callback, EarlyStopping, LRScheduler

from latentgen import ConvAutoencoder, load_model, save_model
from latentgen.autoencoders import FeatureAlignmentRegularizer

RESUME = Path(__file__).parents[2] / "benchmarks" / "resume.py"


class Boom(Exception):
    pass


class StopIn(Callback):
    """Break off in an epoch, after some steps of it."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, training=False, **kwargs):
        if training and net.history[-1, "epoch"] == self.epoch:
            raise Boom


STEPS = [("lr_schedule", LRScheduler("StepLR", step_size=2))]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.pt"


@pytest.fixture
def autoencoder(path):
    return ConvAutoencoder(
        3, channels=(4,), max_epochs=5, batch_size=32, checkpoint=path, random_state=0
    )


def break_off(autoencoder, X, epoch=3):
    with pytest.raises(Boom):
        callbacks = [*(autoencoder.callbacks or ()), StopIn(epoch)]
        clone(autoencoder).set_params(callbacks=callbacks).fit(X)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"beta": 1.0, "flip": "both"},
        {"ema_decay": 0.9, "validation_fraction": 0.25},
        {"optimizer": "sgd", "lr_schedule": "cosine", "grad_clip": 0.1},
        {"validation_fraction": 0.25, "n_iter_no_change": 1, "lr": 0.5},
        {
            "lr_schedule": "constant",
            "callbacks": STEPS,
        },
        {"random_state": None},
    ],
)
@pytest.mark.parametrize("epoch", [2, 4])
def test_a_broken_training_goes_on_to_the_same_bytes(autoencoder, digits, path, settings, epoch):
    X, _ = digits
    autoencoder.set_params(**settings)
    if settings.get("n_iter_no_change") != 1:
        break_off(autoencoder, X, epoch)
    else:
        break_off(autoencoder, X, 1 + (epoch > 2))
    resumed = clone(autoencoder).fit(X)
    if settings.get("random_state", 0) is None:
        assert resumed.n_iter_ == 5
        return
    whole = clone(autoencoder).set_params(checkpoint=None).fit(X)
    assert_array_equal(resumed.transform(X), whole.transform(X))
    assert resumed.n_iter_ == whole.n_iter_
    for first, second in zip(resumed.history_, whole.history_, strict=True):
        assert {**first, "dur": 0} == {**second, "dur": 0}


def test_early_stopping_of_the_user_goes_on_counting(autoencoder, digits):
    def stopping():
        return ("early_stopping", EarlyStopping(patience=3, threshold=9, sink=lambda _: None))

    autoencoder.set_params(max_epochs=20, validation_fraction=0.25, callbacks=[stopping()])
    break_off(autoencoder, digits[0], epoch=3)
    assert clone(autoencoder).set_params(callbacks=[stopping()]).fit(digits[0]).n_iter_ == 4


class Record(Callback):
    """Log what a file without code cannot hold."""

    def on_epoch_end(self, net, **kwargs):
        net.history.record("matrix", np.eye(2))
        net.history.record("exact", np.float64(0.5))


def test_whatever_callbacks_log_does_not_spoil_the_file(autoencoder, digits):
    autoencoder.set_params(callbacks=[Record()])
    break_off(autoencoder, digits[0])
    resumed = clone(autoencoder).set_params(callbacks=[]).fit(digits[0])
    assert [row.get("exact") for row in resumed.history_] == [0.5, 0.5, None, None, None]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ema_decay": 0.9},
        {"ema_decay": 0.9, "validation_fraction": 0.25, "n_iter_no_change": 1},
    ],
)
def test_a_finished_training_is_taken_as_it_is(autoencoder, digits, settings):
    X, _ = digits
    autoencoder.set_params(**settings)
    first = clone(autoencoder).fit(X)
    again = clone(autoencoder).set_params(callbacks=[StopIn(1)]).fit(X)
    assert_array_equal(first.transform(X), again.transform(X))
    assert again.history_ == first.history_


@pytest.mark.parametrize("settings", [{}, {"validation_fraction": 0.25}])
def test_what_is_killed_after_its_last_epoch_is_finished(autoencoder, digits, settings):
    X, _ = digits
    autoencoder.set_params(ema_decay=0.9, **settings)
    whole = clone(autoencoder).set_params(checkpoint=None).fit(X)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Boom):
        patch.setattr("latentgen.training._checkpoint.Checkpoint.on_train_end", break_now)
        clone(autoencoder).fit(X)
    assert_array_equal(clone(autoencoder).fit(X).transform(X), whole.transform(X))


def break_now(*args, **kwargs):
    raise Boom


class Rest(Callback):
    """Make the first epoch take a while."""

    def on_epoch_begin(self, net, **kwargs):
        if net.history[-1, "epoch"] == 1:
            time.sleep(1.0)


def test_time_that_was_used_before_counts(autoencoder, digits):
    clone(autoencoder).set_params(checkpoint=None).fit(digits[0])  # What torch loads comes before.
    autoencoder.set_params(max_epochs=10_000, max_seconds=2.0)
    slow = clone(autoencoder).set_params(callbacks=[Rest(), StopIn(2)])
    with pytest.raises(Boom):
        slow.fit(digits[0])
    start = time.perf_counter()
    resumed = clone(autoencoder).fit(digits[0])
    here = time.perf_counter() - start
    assert resumed.net_.clock.seconds >= 2.0
    assert resumed.net_.clock.seconds - here > 0.3


@pytest.mark.parametrize(
    "change, named",
    [
        ({"lr": 0.1}, "lr differs"),
        ({"latent_dim": 4, "max_epochs": 9}, "latent_dim, max_epochs differ"),
        ({"random_state": 1}, "random_state differs"),
        ({"regularizers": []}, "regularizers differs"),
    ],
)
def test_other_parameters_are_refused(autoencoder, digits, change, named):
    break_off(autoencoder, digits[0])
    message = f"belongs to another training: {named}. Delete it"
    with pytest.raises(ValueError, match=message):
        clone(autoencoder).set_params(**change).fit(digits[0])


def test_other_images_are_refused(autoencoder, digits):
    X = np.array(digits[0])
    break_off(autoencoder, X)
    X[7, 0, 3, 3] += 0.01
    with pytest.raises(ValueError, match="belongs to another training: X differs"):
        clone(autoencoder).fit(X)


def test_other_labels_are_refused_where_regularizers_see_them(autoencoder, digits):
    X, y = digits
    regularizer = FeatureAlignmentRegularizer(feature_model="classifier")
    autoencoder.set_params(latent_dim=16, spatial_latent=True, regularizers=[regularizer])
    with pytest.raises(Boom):
        clone(autoencoder).set_params(callbacks=[StopIn(2)]).fit(X, y)
    with pytest.raises(ValueError, match="belongs to another training: y differs"):
        clone(autoencoder).fit(X, (y + 1) % 3)


NETWORKS = """
import sys
import torch
from torch import nn
from skorch.callbacks import Callback
from latentgen import NetworkAutoencoder
from latentgen.datasets import load_digits_images

class Stop(Callback):
    def on_epoch_begin(self, net, **kwargs):
        sys.exit(f"epoch {net.history[-1, 'epoch']}") if len(net.history) > 2 else None

X, _ = load_digits_images(return_X_y=True)
torch.manual_seed(0)
encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.LazyLinear(4))
model = NetworkAutoencoder(encoder, lambda shape: nn.Linear(4, 64), random_state=0, max_epochs=3)
model.set_params(checkpoint=sys.argv[1], callbacks=[Stop()] if len(sys.argv) > 2 else None)
sys.exit(f"resumed {model.fit(X[:100]).n_iter_}")
"""


def test_networks_of_the_user_are_the_same_in_another_process(path):
    def run(*arguments):
        command = [sys.executable, "-c", NETWORKS, path, *arguments]
        return subprocess.run(command, capture_output=True, text=True).stderr.splitlines()[-1]

    assert run("stop") == "epoch 3"
    assert run() == "resumed 3"


@pytest.mark.parametrize("change", [{"verbose": 0}, {"callbacks": []}, {"device": "cpu"}])
def test_what_does_not_decide_the_result_may_change(autoencoder, digits, change):
    break_off(autoencoder, digits[0])
    assert clone(autoencoder).set_params(**change).fit(digits[0]).n_iter_ == 5


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_file_of_another_kind_is_refused_and_kept(autoencoder, digits, path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a checkpoint of latentgen, or is damaged"):
        autoencoder.fit(digits[0])
    assert path.read_bytes() == content


def test_a_folder_that_is_not_there_is_found_out_before_the_training(autoencoder, digits, tmp_path):
    autoencoder.set_params(checkpoint=tmp_path / "nowhere" / "file.pt", callbacks=[StopIn(1)])
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        autoencoder.fit(digits[0])


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that not even root writes to")
def test_a_folder_that_cannot_be_written_to_is_found_out_before_the_training(autoencoder, digits):
    autoencoder.set_params(checkpoint="/proc/checkpoint.pt", callbacks=[StopIn(1)])
    with pytest.raises(OSError, match="Name a 'checkpoint' in a folder that can be written to"):
        autoencoder.fit(digits[0])


def test_a_folder_as_a_checkpoint_is_refused(autoencoder, digits, tmp_path):
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        autoencoder.set_params(checkpoint=tmp_path).fit(digits[0])


FULL_DISK = """
import resource, signal, sys
import numpy as np
from latentgen import ConvAutoencoder
X = np.zeros((20, 64), dtype=np.uint8)
model = ConvAutoencoder(3, channels=(4,), max_epochs=2, checkpoint=sys.argv[1], random_state=0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
model.fit(X)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_is_a_clear_error_and_leaves_no_half_a_file(path):
    command = [sys.executable, "-c", FULL_DISK, path, "8000"]
    error = subprocess.run(command, capture_output=True, text=True).stderr.splitlines()[-1]
    assert error.startswith(f"OSError: Cannot write the checkpoint '{path}' of epoch 1: ")
    assert list(path.parent.iterdir()) == []


def test_a_path_object_goes_into_a_model_file_as_text(autoencoder, digits, path, tmp_path):
    save_model(autoencoder.fit(digits[0]), tmp_path / "model.latentgen")
    assert autoencoder.checkpoint is path
    assert load_model(tmp_path / "model.latentgen").checkpoint == str(path)


def test_partial_fit_leaves_the_checkpoint_alone(autoencoder, digits, path):
    autoencoder.fit(digits[0])
    before = path.read_bytes()
    autoencoder.partial_fit(digits[0])
    assert path.read_bytes() == before


def test_warm_start_has_a_checkpoint_of_its_own(autoencoder, digits):
    X, _ = digits
    autoencoder.set_params(warm_start=True).fit(X)
    with pytest.raises(ValueError, match="belongs to another training: weights differs"):
        autoencoder.fit(X)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("kind", ["autoencoder", "flow", "diffusion"])
def test_a_killed_process_goes_on_to_the_same_bytes(kind, tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def start(name):
        arguments = [kind, tmp_path / f"{name}.pt", tmp_path / name]
        return subprocess.Popen([sys.executable, RESUME, "--train", *arguments], env=environment)

    whole, broken = start("whole"), start("broken")
    while not (tmp_path / "broken.pt").exists():
        assert broken.poll() is None
        time.sleep(0.005)
    broken.kill()
    broken.wait()
    assert start("broken").wait() == 0 and whole.wait() == 0
    assert_array_equal(np.load(tmp_path / "broken.npy"), np.load(tmp_path / "whole.npy"))
