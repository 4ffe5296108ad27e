"""Samplers against each other on the codes of shared autoencoders.

Five tables, chosen by ``--parts``: ``all`` fits each sampler to all codes, ``classes`` fits one
per class and trains a classifier on the images, ``dials`` turns one knob of each sampler for the
plane of FID and novelty, ``warm_start`` gives FastHVRTSampler its codes in two halves, and
``low_data`` starts from few images and asks whether generated ones help a classifier. Rows of
other parts, spaces and seeds in the results file stay, so that the table can be made piece by
piece; fitted models are kept in ``--cache``.

Fit and draw are given in seconds of processor time, which other work on the machine changes
little; ``--plot`` draws the plane from the results file.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import csv
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from _judge import Judge, cached
from _record import RESULTS, environment, print_rows, update_rows
from sklearn.base import clone
from sklearn.model_selection import train_test_split

from latentgen import (
    ConditionalSampler,
    ConvAutoencoder,
    DiffusionSampler,
    EnsembleSampler,
    FastHVRTSampler,
    GaussianMixtureSampler,
    GaussianSampler,
    KernelDensitySampler,
    LocalGaussianSampler,
    NormalizingFlowSampler,
)
from latentgen.datasets import fetch_cifar10, fetch_mnist
from latentgen.metrics import ClassifierFeatures, latent_ks_statistic, novelty

# Data, size of the code, and the name of the fitted model, which mnist_core.py shares.
SPACES = {
    "mnist-16": ("mnist", 16, "mnist-16"),
    "mnist-64": ("mnist", 64, "mnist-autoencoder"),
    "cifar10-128": ("cifar10", 128, "cifar10-128"),
}
EPOCHS = 20
# Test codes that say what novelty 1 is; the first ones, which lie 2 to 3 % farther out than all.
N_NOVELTY = 2500
LOW_DATA = (500, 1000, 5000)
LOW_DATA_EPOCHS = 40
WORST_SHOWN = 60
PLANE = Path(__file__).parents[1] / "docs" / "images" / "samplers_plane.png"
NEURAL = ("normalizing flow", "diffusion, 25 steps")
# Left out of the tables of few images, where they add little to the others.
COSTLY = (
    "KDE cross-validated",
    "FastHVRT multivariate_kde",
    "FastHVRT univariate_kde_copula",
    "FastHVRT epanechnikov, fast",
    "FastHVRT epanechnikov, local",
)


def spread(Z):
    """Root of the mean variance of the features."""
    return float(np.sqrt(Z.var(axis=0).mean()))


def samplers(Z, seed):
    """The samplers of the tables."""
    leaf = {"min_samples_leaf": 5, "random_state": seed}
    local = {"partition": "local", "random_state": seed}
    return {
        "N(0, I)": GaussianSampler(covariance="identity"),
        "Gaussian": GaussianSampler(),
        "GMM 10": GaussianMixtureSampler(10, random_state=seed),
        "GMM 100": GaussianMixtureSampler(100, random_state=seed),
        "KDE cross-validated": KernelDensitySampler("cv", random_state=seed),
        "KDE 0.3 std": KernelDensitySampler(0.3 * spread(Z)),
        "FastHVRT bootstrap_noise": FastHVRTSampler("bootstrap_noise", **leaf),
        "FastHVRT epanechnikov": FastHVRTSampler(**leaf),
        "FastHVRT multivariate_kde": FastHVRTSampler("multivariate_kde", **leaf),
        "FastHVRT univariate_kde_copula": FastHVRTSampler("univariate_kde_copula", **leaf),
        "FastHVRT epanechnikov, fast": FastHVRTSampler(partition="fast", **leaf),
        "FastHVRT epanechnikov, local": FastHVRTSampler(**local),
        "FastHVRT local_gaussian, local": FastHVRTSampler("local_gaussian", **local),
        "LocalGaussian": LocalGaussianSampler(random_state=seed),
        "normalizing flow": NormalizingFlowSampler(random_state=seed),
        "diffusion, 25 steps": DiffusionSampler(random_state=seed),
    }


def dials(Z, seed):
    """Sampler, the knob that is turned, and its values."""
    chosen = samplers(Z, seed)
    std = spread(Z)
    temperatures = (0.7, 0.85, 1.0)
    bandwidths = (0.4, 0.6, 0.8, 0.9, 1.0)
    epanechnikov = chosen["FastHVRT epanechnikov"]
    hvrt_local = clone(chosen["FastHVRT epanechnikov"]).set_params(strategy="local_gaussian")
    # With bandwidth 1 temperature does to cells what it does to components of a mixture.
    forgetful = clone(chosen["FastHVRT local_gaussian, local"]).set_params(bandwidth=1.0)
    lines = {
        "Gaussian": ("Gaussian", "temperature", (0.5, 0.75, 1.0)),
        "GMM 10": ("GMM 10", "temperature", temperatures),
        "GMM 100": ("GMM 100", "temperature", temperatures),
        "KDE": (
            "KDE 0.3 std",
            "bandwidth",
            [fraction * std for fraction in (0.1, 0.2, 0.3, 0.4, 0.6)],
        ),
        "FastHVRT epanechnikov": (epanechnikov, "temperature", (0.3, 0.6, 1.0, 1.4, 1.8)),
        "FastHVRT local_gaussian": (hvrt_local, "bandwidth", (0.2, 0.4, 0.6, 0.8)),
        "FastHVRT epanechnikov, local": (
            "FastHVRT epanechnikov, local",
            "temperature",
            (0.5, 1.0, 1.5, 2.0, 2.5),
        ),
        "FastHVRT local_gaussian, local": (
            "FastHVRT local_gaussian, local",
            "bandwidth",
            bandwidths,
        ),
        "FastHVRT local_gaussian, local, bandwidth 1": (
            forgetful,
            "temperature",
            (0.7, 0.8, 0.9, 1.0),
        ),
        "LocalGaussian, 500 cells, bandwidth 1": (
            clone(chosen["LocalGaussian"]).set_params(n_cells=500, bandwidth=1.0),
            "temperature",
            (0.7, 0.8, 0.9, 1.0),
        ),
        "LocalGaussian": ("LocalGaussian", "bandwidth", bandwidths),
        "LocalGaussian, estimated shrinkage": (
            clone(chosen["LocalGaussian"]).set_params(shrinkage="auto"),
            "bandwidth",
            (0.4, 0.6, 0.8),
        ),
        "FastHVRT epanechnikov, min_novelty": (epanechnikov, "min_novelty", (0.3, 0.6, 0.9, 1.1)),
        "normalizing flow": ("normalizing flow", "temperature", temperatures),
        "diffusion, 25 steps": ("diffusion, 25 steps", "temperature", (0.85, 1.0, 1.1)),
    }
    return {
        line: (chosen[one] if isinstance(one, str) else one, knob, values)
        for line, (one, knob, values) in lines.items()
    }


def cpu_time(function):
    """Result and seconds of processor time of a call."""
    start = time.process_time()
    result = function()
    return result, time.process_time() - start


class Space:
    """Codes of one autoencoder and everything to judge draws by."""

    def __init__(self, autoencoder, judge, seed):
        self.autoencoder, self.judge, self.seed = autoencoder, judge, seed
        self.Z, self.Z_test = (
            autoencoder.transform(judge.X_train),
            autoencoder.transform(judge.X_test),
        )
        self.y = judge.y_train
        self.rows = judge.rows_of_training_images(seed)

    def measure(self, Z_new, y_new=None):
        """Every number about codes and the images that they decode to."""
        X_new = self.autoencoder.inverse_transform(Z_new)
        distances = novelty(self.Z, self.Z_test[:N_NOVELTY], Z_new)
        return {
            **self.judge.images(X_new),
            "n_generated": len(X_new),
            "latent_ks": latent_ks_statistic(self.Z, Z_new),
            "novelty": distances.novelty,
            "near_copies": distances.near_copies,
            "tstr": None if y_new is None else self.judge.tstr(X_new, y_new, self.seed),
        }

    def timed(self, sampler, y=None):
        """Fit to all codes, or per class, draw and measure."""
        sampler, fit_s = cpu_time(lambda: sampler.fit(self.Z, y))
        y_new = None if y is None else y[self.rows]
        size = len(self.rows)
        Z_new, draw_s = cpu_time(lambda: sampler.sample(size, y=y_new, random_state=self.seed))
        return {"fit_cpu_s": fit_s, "draw_cpu_s": draw_s, **self.measure(Z_new, y_new)}

    def references(self):
        """A copy, the reconstruction and real images: what the rows are to be read against."""
        n = len(self.rows)
        X, y = self.judge.X_train[self.rows], self.y[self.rows]
        about = {"n_generated": n, "tstr": self.judge.tstr(X, y, self.seed)}
        yield "real training images", self.judge.images(X) | about
        yield "a copy of training codes", self.measure(self.Z[self.rows], self.y[self.rows])
        yield "the codes of the test images", self.measure(self.Z_test[:n])


def part_all(space, names):
    if "references" in names:
        yield from space.references()
    for name, sampler in samplers(space.Z, space.seed).items():
        if name not in names:
            continue
        yield name, space.timed(sampler)
        if name.startswith("diffusion"):
            few = sampler.set_params(n_steps=5)
            Z_new, draw_s = cpu_time(partial(few.sample, len(space.rows), random_state=space.seed))
            yield "diffusion, 5 steps", {"draw_cpu_s": draw_s, **space.measure(Z_new)}
    if "ensemble" in names:
        for size in (1, 3, 5, 7):
            member = FastHVRTSampler(partition="fast", min_samples_leaf=5)
            sampler = EnsembleSampler(member, size, random_state=space.seed)
            yield f"ensemble of {size} FastHVRT, fast", space.timed(sampler)


def part_classes(space, names):
    for name, sampler in samplers(space.Z, space.seed).items():
        if name in names and name != "N(0, I)":
            if name == "GMM 100":
                sampler = clone(sampler).set_params(n_components=10)
                name = "GMM 10 per class"
            elif name == "GMM 10":
                continue
            yield name, space.timed(ConditionalSampler(sampler), space.y)


def part_dials(space, names):
    for line, (sampler, knob, values) in dials(space.Z, space.seed).items():
        if line not in names:
            continue
        fitted = None
        for value in values:
            if fitted is None or knob != "temperature":
                fitted = clone(sampler).set_params(**{knob: value}).fit(space.Z)
            Z_new = fitted.set_params(**{knob: value}).sample(
                len(space.rows), random_state=space.seed
            )
            fraction = value / spread(space.Z) if line == "KDE" else value
            yield line, {"knob": knob, "value": fraction, **space.measure(Z_new)}


def part_warm_start(space, names):
    """Half of the codes, then the other half by partial_fit, against one fit to all."""
    half = len(space.Z) // 2
    for name in ("epanechnikov", "epanechnikov, fast", "local_gaussian, local"):
        name = f"FastHVRT {name}"
        if name in names:
            sampler = samplers(space.Z, space.seed)[name]
            yield f"{name}: one fit", space.timed(clone(sampler))
            sampler.fit(space.Z[:half])
            _, seconds = cpu_time(partial(sampler.partial_fit, space.Z[half:]))
            Z_new = sampler.sample(len(space.rows), random_state=space.seed)
            yield (
                f"{name}: second half by partial_fit",
                {"fit_cpu_s": seconds, **space.measure(Z_new)},
            )


def part_low_data(judge, names, n_training, seed, smoke):
    """From few images: autoencoder, samplers per class, and classifiers."""
    rows, _ = train_test_split(
        np.arange(len(judge.X_train)),
        train_size=n_training,
        stratify=judge.y_train,
        random_state=seed,
    )
    few = Judge(
        judge.X_train[rows],
        judge.y_train[rows],
        judge.X_test,
        judge.y_test,
        n_training,
        judge.features,
    )
    epochs = 1 if smoke else LOW_DATA_EPOCHS
    autoencoder = ConvAutoencoder(64, max_epochs=epochs, random_state=seed).fit(few.X_train)
    space = Space(autoencoder, few, seed)
    n_new = min(10 * n_training, 10_000)
    y_new = np.resize(few.y_train, n_new)

    def accuracy(X, y):
        return judge.tstr(X, y, seed)

    # As many steps of training as with the generated images.
    again = np.resize(np.arange(n_training), n_training + n_new)
    alone = accuracy(few.X_train[again], few.y_train[again])
    yield "real images alone", {"real_and_new": alone, "n_generated": 0}
    # As many draws as from samplers, because FID depends on their number.
    again = np.resize(np.arange(n_training), n_new)
    X_copy = autoencoder.inverse_transform(space.Z[again])
    yield (
        "a copy of training codes",
        {
            **space.measure(space.Z[again]),
            "real_and_new": accuracy(
                np.concatenate([few.X_train, X_copy]), np.append(few.y_train, y_new)
            ),
        },
    )
    for name, sampler in samplers(space.Z, seed).items():
        if name in ("N(0, I)", *NEURAL, *COSTLY) or name not in names:
            continue
        # What 5 000 images can carry, per class.
        if name.startswith("GMM"):
            n_components = max(1, sampler.n_components * n_training // 50_000)
            sampler.set_params(n_components=n_components)
            name = f"{name.split()[0]} {n_components} per class"
        sampler = ConditionalSampler(sampler).fit(space.Z, few.y_train)
        Z_new = sampler.sample(y=y_new, random_state=seed)
        X_new = autoencoder.inverse_transform(Z_new)
        yield (
            name,
            {
                **space.measure(Z_new),
                "tstr": accuracy(X_new, y_new),
                "real_and_new": accuracy(
                    np.concatenate([few.X_train, X_new]), np.append(few.y_train, y_new)
                ),
            },
        )


def load(data, data_home, smoke):
    """Training and test images and labels."""
    if data == "cifar10":
        fetch = fetch_cifar10
    else:
        fetch = partial(fetch_mnist, download_if_missing=not smoke)
    both = [
        fetch(subset=subset, data_home=data_home, return_X_y=True) for subset in ("train", "test")
    ]
    return [(X[:1500], y[:1500]) for X, y in both] if smoke else both


def plot_plane(folder):
    """FID over novelty: a curve for each dial, and a point where none was turned."""
    import matplotlib.pyplot as plt

    with open(Path(folder) / "samplers.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["seed"] == "0" and row["novelty"]]
    points = {}
    for row in sorted(rows, key=lambda row: float(row["value"] or 0)):
        if row["part"] == "dials":
            line = points.setdefault(row["space"], {}).setdefault(row["sampler"], [])
            line.append((float(row["novelty"]), float(row["fid"])))
    for row in rows:
        alone = ("GMM 100", "normalizing flow", "diffusion, 25 steps", "diffusion, 5 steps")
        lines = points.get(row["space"])
        if lines and row["part"] == "all" and row["sampler"] in alone:
            lines.setdefault(row["sampler"], [(float(row["novelty"]), float(row["fid"]))])
        if lines and row["part"] == "all" and row["sampler"] == "the codes of the test images":
            lines["reconstructed test images"] = [(float(row["novelty"]), float(row["fid"]))]
    # What lies above would press the rest together.
    points = {
        space: {name: line for name, line in lines.items() if line[0][1] < WORST_SHOWN}
        for space, lines in points.items()
    }
    names = sorted({name for lines in points.values() for name in lines})
    styles = {
        name: {"color": f"C{number % 10}", "marker": "osD^vPX*<>phd8H"[number % 15]}
        | {"linestyle": "-" if number < 10 else "--", "markersize": 5, "label": name}
        for number, name in enumerate(names)
    }
    # One panel for the legend.
    n_rows = (len(points) + 2) // 2
    fig, axes = plt.subplots(n_rows, 2, figsize=(11, 5 * n_rows))
    for ax in axes.flat[len(points) :]:
        ax.axis("off")
    for ax, (space, lines) in zip(axes.flat, points.items(), strict=False):
        for name, line in lines.items():
            ax.plot(*zip(*line, strict=True), **styles[name])
        ax.axvline(1, color="0.7", lw=1, zorder=0)
        ax.set(title=space, xlabel="novelty (1: as far from training codes as unseen ones)")
        ax.set(yscale="log", xlim=(0, 1.3), ylabel="FID (lower is better)")
        ax.yaxis.set_major_formatter("{x:g}")
        low, high = ax.get_ylim()
        ax.yaxis.set_minor_formatter("{x:g}" if high < 10 * low else "")
        ax.grid(alpha=0.25, which="both")
    shown = {
        label: handle
        for ax in axes.flat
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    ordered = [(shown[name], name) for name in names]
    axes.flat[-1].legend(*zip(*ordered, strict=True), loc="center", frameon=False)
    fig.tight_layout()
    PLANE.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(PLANE, dpi=150)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, nothing is written")
    parser.add_argument("--data-home", help="folder with the image files")
    parser.add_argument("--cache", default=Path(__file__).parent / ".cache")
    parser.add_argument("--results", default=RESULTS, help="folder of the results file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=list(SPACES))
    parts = ["all", "classes", "dials", "warm_start", "low_data"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    every = ["references", *samplers(np.eye(2), 0), "ensemble"]
    every += [name for name in dials(np.eye(2), 0) if name not in every]
    parser.add_argument("--samplers", nargs="+", choices=every, default=every)
    parser.add_argument("--without", nargs="+", choices=every, default=[])
    parser.add_argument("--sizes", type=int, nargs="+", default=LOW_DATA, help="of low_data")
    parser.add_argument("--plot", action="store_true", help="only draw the plane")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    if arguments.plot:
        return plot_plane(arguments.results)
    # Near-copies have a column of their own here.
    warnings.filterwarnings("ignore", message=".*near-copies of training codes")
    smoke = arguments.smoke
    cache = Path(tempfile.mkdtemp() if smoke else arguments.cache)
    names = arguments.samplers
    names = [name for name in names if name not in arguments.without]
    if smoke:
        names = ["references", "Gaussian", "FastHVRT epanechnikov, fast", "LocalGaussian"]
        arguments.parts = ["all", "classes", "low_data"]
    for space_name in ["mnist-16"] if smoke else arguments.spaces:
        data, latent_dim, model = SPACES[space_name]
        try:
            (X_train, y_train), (X_test, y_test) = load(data, arguments.data_home, smoke)
        except OSError as error:
            print(f"samplers: skipped, {error}" if smoke else error)
            sys.exit(0 if smoke else 2)
        features = cached(
            cache / f"{data}-features.latentgen",
            lambda X=X_train, y=y_train: ClassifierFeatures(random_state=0).fit(X, y),
        )
        judge = Judge(X_train, y_train, X_test, y_test, 500 if smoke else 10_000, features)
        for seed in [0] if smoke else arguments.seeds:
            epochs = 1 if smoke else EPOCHS
            autoencoder = ConvAutoencoder(latent_dim, max_epochs=epochs, random_state=seed)
            path = cache / f"{model}-{epochs}-epochs-{seed}.latentgen"
            space = Space(cached(path, partial(autoencoder.fit, X_train)), judge, seed)
            parts = {
                "all": lambda: part_all(space, names),  # noqa: B023
                "classes": lambda: part_classes(space, names),  # noqa: B023
                "dials": lambda: part_dials(space, names),  # noqa: B023
                "warm start": lambda: part_warm_start(space, names),  # noqa: B023
            }
            for n_training in (200,) if smoke else arguments.sizes:
                if "low_data" in arguments.parts and space_name != "cifar10-128":
                    parts[f"low data, {n_training}"] = partial(
                        part_low_data, judge, names, n_training, seed, smoke
                    )
            for part, rows_of in parts.items():
                if part.split(",")[0].replace(" ", "_") not in arguments.parts:
                    continue
                for name, values in rows_of():
                    row = {"space": space_name, "part": part, "sampler": name, "seed": seed}
                    row |= {"knob": "", "value": "", **values}
                    row |= {
                        "n_training": int(part.split()[-1]) if "low" in part else len(X_train),
                        "epochs": LOW_DATA_EPOCHS if "low" in part and not smoke else epochs,
                        "n_real": len(X_test),
                        "extractor": f"ClassifierFeatures fitted on {features.fitted_on_}",
                        **environment(),
                    }
                    columns = ["space", "part", "sampler", "value", "fid", "novelty", "tstr"]
                    print_rows([row], [*columns, "real_and_new", "fit_cpu_s"])
                    sys.stdout.flush()
                    if not smoke:
                        keys = ("space", "part", "sampler", "seed", "knob", "value")
                        update_rows("samplers", [row], keys, arguments.results)


if __name__ == "__main__":
    main()
