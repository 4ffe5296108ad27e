"""Ctrl-C: a real signal to a real process."""

# SPDX-License-Identifier: BSD-3-Clause

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")

FOREVER = ["--epochs", "1000000"]


def interrupt(arguments, started, folder, patience=60, number=signal.SIGINT):
    """Run a command, send it a signal when `started` says so, and give what it left behind."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "latentgen", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        # A shell that runs the tests in the background may have told its children to ignore it.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        started(process)
        assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate(timeout=patience)
    finally:
        process.kill()
    return process.returncode, err


def printed(text):
    """Wait until the command prints `text`, and a moment longer."""

    def wait(process):
        while text not in process.stdout.readline():
            assert process.poll() is None, process.stderr.read()
        time.sleep(0.5)

    return wait


def appeared(folder, pattern):
    """Wait until the command has made a file."""

    def wait(process):
        while not list(folder.glob(pattern)):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)

    return wait


def check(code, err, folder, older, number=signal.SIGINT):
    # Python itself ends with the signal if it struck an import in C; shells call that 130 too.
    assert code in (128 + number, -number)
    word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    assert f"latentgen: {word}" in err and "Traceback" not in err
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == older


def test_fit_keeps_the_older_model(data, tmp_path):
    (tmp_path / "m.latentgen").write_bytes(b"older")
    arguments = ["fit", data / "both.npz", "-o", "m.latentgen", *FOREVER]
    code, err = interrupt(arguments, printed("Fitting to"), tmp_path)
    check(code, err, tmp_path, {"m.latentgen": b"older"})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sample_keeps_the_older_images(number, model, tmp_path):
    (tmp_path / "X.npy").write_bytes(b"older")
    arguments = ["sample", model, "-n", 1_000_000, "--output", "X.npy"]
    started = appeared(tmp_path, ".X.npy.*.part")
    code, err = interrupt(arguments, started, tmp_path, number=number)
    check(code, err, tmp_path, {"X.npy": b"older"}, number)


def test_sweep_keeps_the_older_results(data, tmp_path):
    older = {name: b"older" for name in ("results.csv", "sweep.png", "model.latentgen")}
    for name, content in older.items():
        (tmp_path / name).write_bytes(content)
    arguments = ["sweep", data / "both.npz", "--param", "latent_dim=2", "-o", ".", *FOREVER]
    code, err = interrupt(arguments, printed("Searching on"), tmp_path)
    check(code, err, tmp_path, older)
