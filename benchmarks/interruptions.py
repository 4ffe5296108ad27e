"""Interrupt long calls at random moments, fill their disks, and count how often nothing is lost.

Each trial is a process of its own. Ctrl-C (SIGINT) must be raised and leave the old model as it
was; a command must end with 130 and leave the old files as they were, with 143 after SIGTERM, and
after SIGKILL leave nothing that is taken for a whole file. A full disk and a read-only folder must
be a clear error that leaves the old files. These two mount a file system of 1 MB, which takes the
rights of the superuser.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from _record import RESULTS, environment, print_rows, update_rows
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from latentgen import (
    ConditionalSampler,
    ConvAutoencoder,
    DiffusionSampler,
    EnsembleSampler,
    FastHVRTSampler,
    LocalGaussianSampler,
    NormalizingFlowSampler,
    load_model,
    make_latent_pipeline,
    save_model,
)
from latentgen.cli import _demo, main
from latentgen.datasets import load_digits_images, load_image_folder
from latentgen.metrics import GenerationScorer

warnings.simplefilter("ignore")
QUICK = {"channels": (8,), "batch_size": 32, "random_state": 0, "device": "cpu"}
# How a child says how its call ended; what a command ends with is below.
AS_EXPECTED, WRONG, FINISHED = 200, 201, 202
WAIT = 20


def digits(n=300):
    X, y = load_digits_images(return_X_y=True)
    return X[:n], y[:n] % 3


def codes(n=600):
    return np.random.RandomState(0).standard_normal((n, 8)).astype(np.float32)


# Calls of Python: each gives an old model, the long call, and what of the model must stay.


def draws(model):
    return model.sample(20, random_state=0).tobytes()


def autoencoder_fit(folder):
    X, _ = digits()
    model = ConvAutoencoder(4, max_epochs=1, **QUICK).fit(X)
    model.set_params(max_epochs=8)
    return lambda: model.fit(X[::-1]), lambda: model.reconstruct(X[:20]).tobytes()


def autoencoder_partial_fit(folder):
    X, _ = digits(1797)
    model = ConvAutoencoder(4, max_epochs=1, **QUICK).fit(X[:300])
    model.set_params(batch_size=8)
    return lambda: model.partial_fit(X), lambda: model.reconstruct(X[:20]).tobytes()


def flow_fit(folder):
    settings = {"n_transforms": 2, "hidden_features": (16,), "device": "cpu", "random_state": 0}
    model = NormalizingFlowSampler(max_epochs=1, **settings).fit(codes())
    model.set_params(max_epochs=3)
    return lambda: model.fit(-codes()), lambda: draws(model)


def diffusion_fit(folder):
    settings = {"width": 32, "n_blocks": 1, "device": "cpu", "random_state": 0}
    model = DiffusionSampler(max_epochs=1, **settings).fit(codes())
    model.set_params(max_epochs=3)
    return lambda: model.fit(-codes()), lambda: draws(model)


def _pipeline(**arguments):
    autoencoder = ConvAutoencoder(4, max_epochs=1, **QUICK)
    sampler = ConditionalSampler(FastHVRTSampler(random_state=0))
    return make_latent_pipeline(autoencoder, sampler, **arguments)


def _of_pipeline(pipeline, X):
    return lambda: draws(pipeline) + pipeline.reconstruct(X[:20]).tobytes()


def pipeline_fit(folder):
    X, y = digits()
    pipeline = _pipeline().fit(X, y)
    pipeline.set_params(autoencoder__max_epochs=8)
    return lambda: pipeline.fit(X[::-1], y[::-1]), _of_pipeline(pipeline, X)


def pipeline_fit_with_memory(folder):
    X, y = digits()
    pipeline = _pipeline(memory=str(folder / "cache")).fit(X, y)
    pipeline.set_params(autoencoder__max_epochs=8)
    old = _of_pipeline(pipeline, X)

    def cached():
        return len(list(folder.rglob("output.pkl")))

    n_cached = cached()

    def state():
        shown = old()
        if cached() == n_cached:
            return shown
        # The autoencoder was complete: what is cached must be what a whole training gives.
        fitted = clone(pipeline).fit(X[::-1], y[::-1])
        anew = clone(pipeline).set_params(memory=None).fit(X[::-1], y[::-1])
        return shown if draws(fitted) == draws(anew) else None

    return lambda: pipeline.fit(X[::-1], y[::-1]), state


def pipeline_partial_fit(folder):
    X, y = digits()
    pipeline = _pipeline().fit(X, y)
    X_new, y_new = np.tile(X, (5, 1, 1, 1)), np.tile(y, 5)
    return lambda: pipeline.partial_fit(X_new, y_new, retrain=True), _of_pipeline(pipeline, X)


def search(folder):
    X, y = digits()
    grid = {"sampler__sampler__min_samples_leaf": [5, 20]}
    pipeline = _pipeline(memory=str(folder / "cache"))
    scorer = GenerationScorer("pixels", X_train=X, random_state=0)
    model = GridSearchCV(pipeline, grid, scoring=scorer, refit="neg_frechet_distance", cv=2)
    model.fit(X, y)
    pipeline.set_params(autoencoder__max_epochs=3)
    return lambda: model.fit(X[::-1], y[::-1]), _of_pipeline(model.best_estimator_, X)


def ensemble_fit(folder):
    model = EnsembleSampler(LocalGaussianSampler(), 5, random_state=0).fit(codes())
    return lambda: model.fit(-codes(6000)), lambda: draws(model)


def ensemble_partial_fit(folder):
    model = EnsembleSampler(LocalGaussianSampler(), 5, random_state=0).fit(codes())
    return lambda: model.partial_fit(-codes(6000)), lambda: draws(model)


def conditional_fit(folder):
    y = np.arange(6000) % 5
    model = ConditionalSampler(LocalGaussianSampler(random_state=0)).fit(codes(), y[:600])
    return lambda: model.fit(-codes(6000), y), lambda: draws(model)


def conditional_partial_fit(folder):
    y = np.arange(6000) % 5
    model = ConditionalSampler(LocalGaussianSampler(random_state=0)).fit(codes(), y[:600])
    return lambda: model.partial_fit(-codes(6000), y), lambda: draws(model)


CALLS = [
    autoencoder_fit,
    autoencoder_partial_fit,
    flow_fit,
    diffusion_fit,
    pipeline_fit,
    pipeline_fit_with_memory,
    pipeline_partial_fit,
    search,
    ensemble_fit,
    ensemble_partial_fit,
    conditional_fit,
    conditional_partial_fit,
]

# Commands and the old files that they would replace.
QUICK_COMMAND = "--epochs 2 --batch-size 32 --latent-dim 4"
COMMANDS = {
    "latentgen fit": (f"fit ../both.npz -o m {QUICK_COMMAND}", ["m"]),
    "latentgen sample": ("sample ../m -n 4000 --output X.npy --grid g.png", ["X.npy", "g.png"]),
    "latentgen sample, PNG": ("sample ../m -n 200 --output png", ["png/0000.png"]),
    "latentgen evaluate": (
        "evaluate ../m --data ../test.npz --train-data ../both.npz --json r.json",
        ["r.json"],
    ),
    "latentgen sweep": (
        "sweep ../both.npz --param latent_dim=4 --cv 2 --epochs 1 --batch-size 32 -o .",
        ["results.csv", "sweep.png", "model.latentgen"],
    ),
    "latentgen demo": (
        "demo --output .",
        ["samples.png", "sweep.png", "report.json", "model.latentgen"],
    ),
}


def short_demo(args):
    grid = {"autoencoder__latent_dim": [4], "sampler__sampler__strategy": ["epanechnikov"]}
    _demo.run_demo(args.output, grid=grid, max_epochs=1, n_images=400)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


def put_old_files(folder, names):
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"older " + name.encode())
    return contents(folder)


def run_command(arguments, folder, log):
    """Run a command in this process, which is a child, with what it prints in a file."""
    for number in (1, 2):
        os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
    os.chdir(folder)
    _demo.demo = short_demo
    try:
        return main(arguments.split())
    except SystemExit as error:
        return error.code


@contextmanager
def child(function):
    """Fork a process that calls ``function(ready)``; give its number and a pipe it writes to."""
    read, write = os.pipe()
    number = os.fork()
    if number == 0:
        code = WRONG
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            code = function(lambda: os.write(write, b"r"))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(write)
    try:
        yield number, read
    finally:
        os.close(read)


def call_in_child(call, state):
    """What a child does that makes a call of Python."""

    def work(ready):
        before = state()
        try:
            ready()
            call()
            ready()
            time.sleep(WAIT)
        except KeyboardInterrupt:
            return AS_EXPECTED if state() == before else WRONG
        return WRONG

    return work


def command_in_child(arguments, folder):
    def work(ready):
        ready()
        code = run_command(arguments, folder, folder.with_suffix(".log"))
        try:
            if code == 0:
                ready()
                time.sleep(WAIT)
                return WRONG
        except KeyboardInterrupt:
            return FINISHED
        return code

    return work


def wait_for(read, seconds):
    """Whether the child says something in this time."""
    return bool(select.select([read], [], [], seconds)[0]) and bool(os.read(read, 1))


def run_and_signal(work, moment, number):
    """How a child ends that gets a signal at a moment after its start; None if it was done before.

    With no signal, the seconds that it takes.
    """
    with child(work) as (process, read):
        if not wait_for(read, 600):
            os.waitpid(process, 0)
            return WRONG
        began = time.perf_counter()
        if number is None:
            wait_for(read, 600)
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return time.perf_counter() - began
        done = wait_for(read, moment)
        os.kill(process, signal.SIGKILL if done else number)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        # It may have ended when the signal came; one that goes on after it waits, and is wrong.
        ended = done or code == FINISHED or (wait_for(read, 0) and code != WRONG)
        return None if ended else code


def interrupt_call(prepare, n, rng):
    n_right = n_done = 0
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        folder, copy = Path(folder), Path(other) / "copy"
        work = call_in_child(*prepare(folder))
        shutil.copytree(folder, copy)

        def once(moment, number):
            code = run_and_signal(work, moment, number)
            # Each child finds the cache that the first call has left.
            shutil.rmtree(folder)
            shutil.copytree(copy, folder)
            return code

        seconds = once(None, None)
        while n_done < n:
            code = once(rng.uniform(0.01, 0.95) * seconds, signal.SIGINT)
            if code is not None:
                n_done, n_right = n_done + 1, n_right + (code == AS_EXPECTED)
        folder.mkdir(exist_ok=True)
    return {"seconds": seconds, "n": n, "n_right": n_right}


def looks_whole(path):
    """Whether somebody may take a file for a whole one."""
    if path.suffix != ".part" and not any(part.endswith(".part") for part in path.parts):
        return True
    if ".png." in path.name or path.suffix == ".png":
        return False  # Its name says it; a picture is whole as soon as it is written.
    for load in (load_model, np.load):
        try:
            load(path)
        except Exception:
            continue
        return True
    return False


def interrupt_command(name, number, n, rng, data):
    arguments, old_names = COMMANDS[name]

    def once(moment, number):
        folder = Path(tempfile.mkdtemp(dir=data))
        old = put_old_files(folder, old_names)
        code = run_and_signal(command_in_child(arguments, folder), moment, number)
        left = contents(folder)
        error = folder.with_suffix(".log").read_text()
        shutil.rmtree(folder)
        if number is None or code is None:
            return code
        new = [Path(name) for name in left.keys() - old.keys()]
        kept = all(left.get(name) == content for name, content in old.items())
        if number == signal.SIGKILL:
            return kept and code == -number and not any(map(looks_whole, new))
        right = kept and not new and code == 128 + number and "Traceback" not in error
        if not right:
            print(name, code, new, kept, error, sep="\n", file=sys.stderr)
        return right

    seconds = once(None, None)
    n_right = n_done = 0
    while n_done < n:
        right = once(rng.uniform(0.01, 0.95) * seconds, number)
        if right is not None:
            n_done, n_right = n_done + 1, n_right + right
    return {"seconds": seconds, "n": n, "n_right": n_right}


# Disks


@contextmanager
def small_disk():
    """Mount 1 MB in memory."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder]
        if os.name == "nt" or subprocess.run(mount, capture_output=True).returncode:
            yield None
            return
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def disk_save(folder, data):
    save_model(load_model(data / "m"), folder / "m")


def disk_checkpoint(folder, data):
    checkpoint = folder / "c.pt"
    ConvAutoencoder(4, max_epochs=2, **QUICK, checkpoint=checkpoint).fit(digits()[0])


def disk_folder(folder, data):
    load_image_folder(data / "images", memmap_path=folder / "images.npy")


# Blocks of 4 kB that are left on a full disk, at most; 3, but for what needs no more.
_LEFT = {"latentgen evaluate": 0}
WRITERS = {
    "save_model": (disk_save, ["m"]),
    "checkpoint": (disk_checkpoint, ["other.pt"]),
    "load_image_folder": (disk_folder, ["images.npy"]),
    **{name: command for name, command in COMMANDS.items() if name != "latentgen demo"},
}


def write_in_child(writer, folder, data):
    """What a child does that writes to a disk where it cannot."""

    def work(ready):
        if isinstance(writer, str):
            return run_command(writer, folder, data / "disk.log")
        try:
            writer(folder, data)
        except OSError as error:
            clear = any(words in str(error) for words in ("No space left", "Read-only"))
            return 2 if clear else WRONG
        return 0

    return work


def try_disk(name, event, n, rng, data):
    writer, old_names = WRITERS[name]
    n_right = n_done = 0
    began = time.perf_counter()
    for _ in range(n):
        with small_disk() as disk:
            if disk is None:
                break
            folder = disk / "out"
            folder.mkdir()
            for path in data.iterdir():
                (disk / path.name).symlink_to(path)
            old = put_old_files(folder, old_names)
            if event == "full disk":
                left = 4096 * int(rng.integers(_LEFT.get(name, 3) + 1))
                (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - left))
            else:
                subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            with child(write_in_child(writer, folder, data)) as (process, _):
                code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            right = code == 2 and contents(folder) == old
            n_done, n_right = n_done + 1, n_right + right
            if not right:
                print(name, event, code, sorted(contents(folder)), file=sys.stderr)
    seconds = (time.perf_counter() - began) / max(1, n_done)
    return {"seconds": seconds, "n": n_done, "n_right": n_right}


def make_data(folder):
    X, y = digits(450)
    np.savez(folder / "both.npz", X=X[:300], y=y[:300])
    np.savez(folder / "test.npz", X=X[300:], y=y[300:])
    save_model(_pipeline().fit(X[:300], y[:300]), folder / "m")
    (folder / "images").mkdir()
    for number in range(30):
        pixels = np.random.RandomState(number).randint(0, 256, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")


def run(event, name, n, rng, data):
    if event in ("full disk", "read-only folder"):
        return try_disk(name, event, max(1, n // 2), rng, data)
    if name in COMMANDS:
        # The signal that people send is tried most.
        n = n if event == "SIGINT" else max(1, n // 2)
        return interrupt_command(name, signal.Signals[event], n, rng, data)
    return interrupt_call({call.__name__: call for call in CALLS}[name], n, rng)


def main_benchmark():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="one of each, nothing is written")
    parser.add_argument("--n", type=int, default=20, help="interruptions of each call (20)")
    parser.add_argument("--only", nargs="+", help="names of calls")
    parser.add_argument("--events", nargs="+", help="SIGINT, SIGTERM, ...")
    parser.add_argument("--results", default=RESULTS, help="folder of the results file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    events = [("SIGINT", call.__name__) for call in CALLS]
    events += [(event, name) for name in COMMANDS for event in ("SIGINT", "SIGTERM", "SIGKILL")]
    events += [(event, name) for name in WRITERS for event in ("full disk", "read-only folder")]
    rng, failed = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as data:
        make_data(Path(data))
        for event, name in events:
            if arguments.only and name not in arguments.only:
                continue
            if arguments.events and event not in arguments.events:
                continue
            found = run(event, name, 1 if arguments.smoke else arguments.n, rng, Path(data))
            row = {"benchmark": "interruptions", "call": name, "event": event, **found, "seed": 0}
            print_rows([row], ["call", "event", "n", "n_right", "seconds"])
            sys.stdout.flush()
            failed += [name] * (found["n_right"] < found["n"])
            if not arguments.smoke:
                rows = [row | environment()]
                update_rows("interruptions", rows, ("call", "event"), arguments.results)
    if failed:
        sys.exit(f"Something was lost: {', '.join(failed)}.")


if __name__ == "__main__":
    main_benchmark()
