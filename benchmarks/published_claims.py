"""Claims of the published AE + FastHVRT system that no experiment of latentgen measures.

Five parts, chosen by ``--parts``:

* ``partitions``: cells of the published tree on the codes of all 60 000 training images.
* ``marginals``: the latent KS statistic of every strategy, beside unseen codes and a normal law.
* ``bandwidth``: hvrt's own `bandwidth` argument with the Epanechnikov kernel, and ours, turned.
* ``growth``: processor seconds of fits over numbers of codes and of values, and the slopes of
  their logarithms.
* ``draws``: seconds for 5 000 images, from codes drawn by several samplers. `DiffusionSampler`
  stands in for a diffusion; it works on codes, where the published comparison works on pixels.

Autoencoder and features are fitted on the parts of the images that the protocol gives them, and
kept in ``--cache``. Rows of parts that do not run stay in the results file.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from _judge import cached
from _record import RESULTS, environment, median_times, print_rows, update_rows

from latentgen import (
    ConvAutoencoder,
    DiffusionSampler,
    FastHVRTSampler,
    GaussianSampler,
    LocalGaussianSampler,
)
from latentgen.datasets import fetch_mnist
from latentgen.metrics import ClassifierFeatures, frechet_distance, latent_ks_statistic, novelty

EPOCHS = 20
N_HELD_OUT, N_JUDGE = 10_000, 5_000
N_IMAGES = 5_000  # As in the published comparison of times.
STRATEGIES = ("epanechnikov", "bootstrap_noise", "multivariate_kde", "univariate_kde_copula")
BANDWIDTHS = (0.1, 0.25, 0.5, 1.0, 1.5)


class Setting:
    """Images in their parts, an autoencoder fitted on the first, and features of the second."""

    def __init__(self, arguments, latent_dim):
        smoke = arguments.smoke
        fetch = partial(fetch_mnist, download_if_missing=not smoke, return_X_y=True)
        X, y = fetch(subset="train", data_home=arguments.data_home)
        self.X_test, _ = fetch(subset="test", data_home=arguments.data_home)
        order = np.random.default_rng(0).permutation(len(X))
        held_out, epochs = N_HELD_OUT, EPOCHS
        if smoke:
            order, self.X_test, held_out, epochs = order[:2000], self.X_test[:500], 1000, 1
        fit, judge = order[:-held_out], order[-held_out:][:N_JUDGE]
        self.X, self.latent_dim, self.epochs = X[fit], latent_dim, epochs
        cache = Path(tempfile.mkdtemp() if smoke else arguments.cache)
        name = f"mnist-{len(fit)}-{latent_dim}d-beta0-{epochs}epochs-seed0.latentgen"
        autoencoder = ConvAutoencoder(latent_dim, max_epochs=epochs, random_state=0)
        self.autoencoder = cached(cache / name, partial(autoencoder.fit, self.X))
        self.features = cached(
            cache / "mnist-features-judge.latentgen",
            lambda: ClassifierFeatures(random_state=0).fit(X[judge], y[judge]),
        )
        self.n_generated = min(10_000, len(self.X_test))
        self.Z = self.autoencoder.transform(self.X)
        self.X_all = X[order]

    def about(self):
        return {
            "data": "mnist",
            "n_fit": len(self.X),
            "latent_dim": self.latent_dim,
            "epochs": self.epochs,
            "seed": 0,
        }


def partitions(setting):
    """Number of cells with the automatic leaf and with 5 codes at least."""
    Z = setting.autoencoder.transform(setting.X_all)
    for name, leaf in {"automatic leaf": None, "leaf 5": 5}.items():
        sampler = FastHVRTSampler(min_samples_leaf=leaf, random_state=0).fit(Z)
        yield {"sampler": name, "n": len(Z), "n_partitions": sampler.n_partitions_}


def marginals(setting):
    """Latent KS of draws against the codes that the samplers were fitted to."""
    size = setting.n_generated
    unseen = setting.autoencoder.transform(setting.X_test)[:size]
    leaf = {"min_samples_leaf": 5, "random_state": 0}
    samplers = {name: FastHVRTSampler(name, **leaf) for name in STRATEGIES}
    samplers["epanechnikov, automatic leaf"] = FastHVRTSampler(random_state=0)
    samplers["LocalGaussian"] = LocalGaussianSampler(random_state=0)
    samplers["Gaussian"] = GaussianSampler()
    samplers["N(0, I)"] = GaussianSampler(covariance="identity")
    drawn = {"unseen codes": unseen}
    drawn |= {
        name: sampler.fit(setting.Z).sample(size, random_state=0)
        for name, sampler in samplers.items()
    }
    for name, Z_new in drawn.items():
        yield {"sampler": name, "n": size, "latent_ks": latent_ks_statistic(setting.Z, Z_new)}


def bandwidth(setting):
    """Both widths: the argument of hvrt, and the dial of FastHVRTSampler."""
    from hvrt import FastHVRT

    size = setting.n_generated
    codes = setting.Z[:10_000].astype(float)
    draws = [
        FastHVRT(min_samples_leaf=5, bandwidth=width, random_state=0)
        .fit(codes)
        .expand(n=size, generation_strategy="epanechnikov")
        for width in (0.1, 1.0)
    ]
    for width, Z_new in zip((0.1, 1.0), draws, strict=True):
        difference = float(np.abs(Z_new - draws[0]).max())
        yield {"sampler": "hvrt", "value": width, "n": size, "largest_difference": difference}
    real = setting.features.transform(setting.X_test)
    for width in (None, *BANDWIDTHS):
        sampler = FastHVRTSampler(min_samples_leaf=5, bandwidth=width, random_state=0)
        Z_new = sampler.fit(setting.Z).sample(size, random_state=0)
        X_new = setting.autoencoder.inverse_transform(Z_new)
        # Unseen and generated images are searched in part, the training images all. The first
        # test images of MNIST were written by other people than the last ones.
        far = novelty(_flat(setting.X), _flat(setting.X_test[::10]), _flat(X_new[::4]))
        yield {
            "sampler": "FastHVRT epanechnikov",
            "value": "published" if width is None else width,
            "n": size,
            "fid": frechet_distance(real, setting.features.transform(X_new)),
            "novelty": far.novelty,
            "latent_ks": latent_ks_statistic(setting.Z, Z_new),
        }


def growth(setting, smoke):
    """Fits of hvrt's tree and of ours: more codes, then more values of a code."""
    rng = np.random.default_rng(0)
    sizes = (500, 1000) if smoke else (6_250, 12_500, 25_000, 50_000)
    widths = (8, 16) if smoke else (16, 32, 64, 128)
    wide = rng.standard_normal((sizes[-2], widths[-1])).astype(np.float32)
    samplers = {
        "FastHVRT": FastHVRTSampler(min_samples_leaf=5, random_state=0),
        "FastHVRT, fast": FastHVRTSampler(partition="fast", min_samples_leaf=5, random_state=0),
        "LocalGaussian": LocalGaussianSampler(random_state=0),
    }
    measured = [("codes", n, setting.Z[:n]) for n in sizes]
    measured += [("values", d, np.ascontiguousarray(wide[:, :d])) for d in widths]
    for sampler in samplers.values():
        sampler.fit(wide[:200])  # Imports come before the measurement.
    for name, sampler in samplers.items():
        for axis in ("codes", "values"):
            points = [
                (size, _cpu_time(sampler.fit, Z)) for kind, size, Z in measured if kind == axis
            ]
            slope = float(np.polyfit(*np.log(points).T, 1)[0])
            for size, fit_seconds in points:
                yield {
                    "sampler": name,
                    "axis": axis,
                    "n": size,
                    "fit_seconds": fit_seconds,
                    "slope": slope,
                }


def draws(setting, smoke):
    """Seconds from nothing to decoded images, all in one process and taking turns."""
    size = 200 if smoke else N_IMAGES
    diffusion = DiffusionSampler(max_epochs=1, random_state=0)
    samplers = {
        "decoder alone": None,
        "N(0, I)": GaussianSampler(covariance="identity"),
        "FastHVRT": FastHVRTSampler(min_samples_leaf=5, random_state=0),
        "LocalGaussian": LocalGaussianSampler(random_state=0),
        # One epoch: what a draw costs does not depend on what was learned.
        f"DiffusionSampler, {diffusion.n_steps} steps": diffusion,
    }
    codes = setting.Z[:size]

    def draw(sampler):
        Z_new = codes if sampler is None else sampler.sample(size, random_state=0)
        setting.autoencoder.inverse_transform(Z_new)

    for sampler in samplers.values():
        if sampler is not None:
            sampler.fit(setting.Z)
    times = median_times({name: partial(draw, one) for name, one in samplers.items()}, 3)
    for name, seconds in times.items():
        ratio = seconds / times["FastHVRT"]
        yield {"sampler": name, "n": size, "sample_seconds": seconds, "times_as_long": ratio}


def _cpu_time(function, *arguments):
    """Least processor time of three calls, which other work on the machine changes little."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        function(*arguments)
        seconds.append(time.process_time() - start)
    return min(seconds)


def _flat(X):
    return X.reshape(len(X), -1) / 255 if X.dtype == np.uint8 else X.reshape(len(X), -1)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, nothing is written")
    parser.add_argument("--data-home", help="folder with the image files")
    parser.add_argument("--cache", default=Path(__file__).parent / ".cache")
    parser.add_argument("--results", default=RESULTS, help="folder of the results file")
    parts = ["partitions", "marginals", "bandwidth", "growth", "draws"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--latent-dims", type=int, nargs="+", default=[64])
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    warnings.filterwarnings("ignore", message=".*near-copies of training codes")
    for latent_dim in arguments.latent_dims:
        try:
            setting = Setting(arguments, latent_dim)
        except OSError as error:
            print(f"published_claims: skipped, {error}" if arguments.smoke else error)
            sys.exit(0 if arguments.smoke else 2)
        parts = {
            "partitions": lambda: partitions(setting),  # noqa: B023
            "marginals": lambda: marginals(setting),  # noqa: B023
            "bandwidth": lambda: bandwidth(setting),  # noqa: B023
            "growth": lambda: growth(setting, arguments.smoke),  # noqa: B023
            "draws": lambda: draws(setting, arguments.smoke),  # noqa: B023
        }
        for part in arguments.parts:
            about = {"part": part, **setting.about(), "axis": "", "value": ""}
            for row in parts[part]():
                row = about | row
                print_rows([row], list(row))
                sys.stdout.flush()
                if not arguments.smoke:
                    keys = ("part", "latent_dim", "sampler", "axis", "n", "value")
                    update_rows("published_claims", [row | environment()], keys, arguments.results)


if __name__ == "__main__":
    main()
