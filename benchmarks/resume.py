"""Kill trainings at random points and go on: the same bytes as without interruption, or not.

For an autoencoder, a flow and a diffusion a process trains and writes what its model gives. The
same again is killed (SIGKILL) after a random part of that time, and started anew with the same
checkpoint.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _record import RESULTS, environment, print_rows, update_rows

from latentgen import ConvAutoencoder, DiffusionSampler, NormalizingFlowSampler
from latentgen.datasets import load_digits_images

KINDS = ["autoencoder", "flow", "diffusion"]


def train(kind, checkpoint, result):
    """Train a model with all that has a state, and write what it gives."""
    torch.set_num_threads(1)
    X, _ = load_digits_images(return_X_y=True)
    settings = {"checkpoint": checkpoint, "random_state": 0, "device": "cpu"}
    if kind == "autoencoder":
        estimator = ConvAutoencoder(
            8, channels=(16,), max_epochs=10, beta=0.1, ema_decay=0.99, validation_fraction=0.2,
            flip="horizontal", **settings,
        )  # fmt: skip
        values = estimator.fit(X).transform(X)
    else:
        noise = np.random.RandomState(0).standard_normal((len(X), 16))
        Z = X.reshape(len(X), 64)[:, 10:26] + 0.1 * noise
        if kind == "flow":
            estimator = NormalizingFlowSampler(
                n_transforms=2, hidden_features=(32,), max_epochs=10, ema_decay=0.9, **settings
            )
        else:
            estimator = DiffusionSampler(
                width=64, n_blocks=2, max_epochs=30, dropout=0.1, **settings
            )
        values = estimator.fit(Z).sample(500, random_state=0)
    np.save(result, values)


def start(kind, folder, name):
    command = [sys.executable, __file__, "--train", kind, folder / f"{name}.pt", folder / name]
    return subprocess.Popen(command)


def kill_and_go_on(kind, n_trainings, seed):
    """Count how often a training that was killed ends with the bytes of one that was not."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        began = time.perf_counter()
        assert start(kind, folder, "whole").wait() == 0
        seconds = time.perf_counter() - began
        expected = np.load(folder / "whole.npy")
        n_equal = n_killed = 0
        for number in range(n_trainings):
            process = start(kind, folder, f"broken{number}")
            try:
                process.wait(timeout=rng.uniform() * seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                n_killed += 1
                assert start(kind, folder, f"broken{number}").wait() == 0
            n_equal += np.array_equal(np.load(folder / f"broken{number}.npy"), expected)
    return {
        "benchmark": "resume",
        "model": kind,
        "trainings": n_trainings,
        "killed": n_killed,
        "same_bytes": n_equal,
        "seconds_whole": seconds,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="one kill each, nothing is written")
    parser.add_argument("--trainings", type=int, default=20)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--results", default=RESULTS, help="folder of the results file")
    parser.add_argument("--train", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train(*arguments.train)
        return
    rows = []
    for kind in arguments.kinds:
        row = kill_and_go_on(kind, 1 if arguments.smoke else arguments.trainings, seed=0)
        rows.append(row | {"seed": 0} | environment())
        print_rows(rows[-1:], ["model", "trainings", "killed", "same_bytes", "seconds_whole"])
        if not arguments.smoke:
            print(update_rows("resume", rows, ("model",), arguments.results))
    if any(row["same_bytes"] < row["trainings"] for row in rows):
        sys.exit("A training that was killed did not end with the same bytes.")


if __name__ == "__main__":
    main()
