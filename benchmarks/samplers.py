"""Samplers against each other on the codes of the same autoencoders, as the protocol asks.

Autoencoder and samplers are fitted to the fit part of the images, features to the judge part, and
the rows are measured on test images. Samplers keep their defaults; those of mixtures and of the
kernel density were not tuned. Rows that are there are not made again; models are kept in
``--cache``.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import csv
import sys
import tempfile
import time
import warnings
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from _judge import cached
from _record import RESULTS, environment, print_rows, update_rows

from latentgen import (
    ConditionalSampler,
    ConvAutoencoder,
    FastHVRTSampler,
    GaussianMixtureSampler,
    GaussianSampler,
    KernelDensitySampler,
    LocalGaussianSampler,
)
from latentgen.datasets import fetch_cifar10, fetch_mnist
from latentgen.metrics import (
    ClassifierFeatures,
    copied_fraction,
    data_copying_test,
    frechet_distance,
    latent_ks_statistic,
    novelty,
    precision_recall_density_coverage,
)

EPOCHS = 20
N_HELD_OUT, N_JUDGE = 10_000, 5_000
# Unseen and generated images whose nearest ones among all images of the fit are searched.
N_COMPARED = {"mnist": 1_000, "cifar10": 400}


def samplers(seed):
    """Samplers by the name of their rows."""
    leaf = {"min_samples_leaf": 5, "random_state": seed}
    local = {"partition": "local", "random_state": seed}
    return {
        "LocalGaussian": LocalGaussianSampler(random_state=seed),
        "FastHVRT local_gaussian, local": FastHVRTSampler("local_gaussian", **local),
        "FastHVRT epanechnikov, leaf 5": FastHVRTSampler(**leaf),
        "FastHVRT epanechnikov": FastHVRTSampler(random_state=seed),
        "FastHVRT epanechnikov, fast": FastHVRTSampler(partition="fast", **leaf),
        "FastHVRT multivariate_kde, leaf 5": FastHVRTSampler("multivariate_kde", **leaf),
        "FastHVRT bootstrap_noise, leaf 5": FastHVRTSampler("bootstrap_noise", **leaf),
        "KDE, Scott": KernelDensitySampler("scott", random_state=seed),
        "GMM 10": GaussianMixtureSampler(10, random_state=seed),
        "Gaussian": GaussianSampler(),
    }


PER_CLASS = (
    "LocalGaussian",
    "FastHVRT local_gaussian, local",
    "FastHVRT epanechnikov, leaf 5",
    "GMM 10",
)
REFERENCES = ("real images of the fit", "perfect sampler", "copy of training codes")
SETTINGS = (*REFERENCES, *(f"{name}, per class" for name in PER_CLASS), *samplers(0))


class Space:
    """Codes of one autoencoder, and everything that draws are judged by."""

    def __init__(self, data, latent_dim, seed, arguments):
        smoke = arguments.smoke
        fetch = partial(fetch_mnist, download_if_missing=not smoke)
        fetch = fetch_cifar10 if data == "cifar10" else fetch
        (X, y), (X_test, _) = (
            fetch(subset=subset, data_home=arguments.data_home, return_X_y=True)
            for subset in ("train", "test")
        )
        order = np.random.default_rng(0).permutation(len(X))
        held_out, epochs = (1000, 1) if smoke else (N_HELD_OUT, EPOCHS)
        # The first half of the test images of MNIST was written by other people than the second.
        X_test = X_test[np.random.default_rng(0).permutation(len(X_test))]
        if smoke:
            order, X_test = order[:2000], X_test[:500]
        fit, judge = order[:-held_out], order[-held_out:][:N_JUDGE]
        self.X, self.y, self.X_test, self.seed, self.epochs = X[fit], y[fit], X_test, seed, epochs
        self.n_draws, self.n_compared = min(10_000, len(X_test)), N_COMPARED[data]
        name = f"{data}-{len(fit)}-{latent_dim}d-beta0-{epochs}epochs-seed{seed}"
        cache, self._last = Path(arguments.cache), (None,)
        autoencoder = ConvAutoencoder(latent_dim, max_epochs=epochs, random_state=seed)
        self.autoencoder = cached(cache / f"{name}.latentgen", partial(autoencoder.fit, self.X))
        self.features = cached(
            cache / f"{data}-features-judge.latentgen",
            lambda: ClassifierFeatures(random_state=0).fit(X[judge], y[judge]),
        )
        self.Z, self.Z_test = map(self.autoencoder.transform, (self.X, self.X_test))
        self.decoded_test = self.autoencoder.inverse_transform(self.Z_test)
        self.real, self.real_codes = map(self.features.transform, (self.X_test, self.decoded_test))
        self.about = {
            "data": "cifar10-jpeg" if data == "cifar10" else data,
            "n_fit": len(fit),
            "beta": 0.0,
            "epochs": epochs,
            "seed": seed,
            "extractor": f"ClassifierFeatures fitted on {self.features.fitted_on_}",
            "latent_dim": latent_dim,
        }

    @cached_property
    def decoded(self):
        """Decoded codes of the images of the fit, as rows of pixels."""
        return _flat(self.autoencoder.inverse_transform(self.Z))

    def fitted(self, setting):
        """Sampler fitted to all codes or per class, and the processor seconds that took."""
        if self._last[0] != setting:
            name = setting.removesuffix(", per class")
            sampler, y = samplers(self.seed)[name], None
            if name != setting:
                sampler, y = ConditionalSampler(sampler), self.y
            start = time.process_time()
            sampler.fit(self.Z, y)
            self._last = setting, sampler, time.process_time() - start
        return self._last[1:]

    def draw(self, setting, draw):
        """Codes of one draw, and processor seconds of fit and draw."""
        sampler, seconds = self.fitted(setting)
        arguments = {}
        if isinstance(sampler, ConditionalSampler):
            # Classes as often as among the images of the fit.
            arguments["y"] = self.y[self.rows(draw)]
        start = time.process_time()
        Z_new = sampler.sample(self.n_draws, random_state=draw, **arguments)
        return Z_new, {"fit_seconds": seconds, "sample_seconds": time.process_time() - start}

    def rows(self, draw):
        rng = np.random.default_rng((self.seed, draw))
        return rng.permutation(len(self.X))[: self.n_draws]

    def measure(self, setting, draw):
        """All columns of a row."""
        if setting == "real images of the fit":
            return self.judge(self.X[self.rows(draw)])
        if setting == "perfect sampler":
            # Never the same images on both sides.
            half = len(self.X_test) // 2
            return self.judge(self.decoded_test[:half], self.Z_test[:half], slice(half, None))
        if setting == "copy of training codes":
            Z_new, about = self.Z[self.rows(draw)], {}
        else:
            Z_new, about = self.draw(setting, draw)
        return about | self.judge(self.autoencoder.inverse_transform(Z_new), Z_new)

    def judge(self, X_new, Z_new=None, real=slice(None)):
        features = self.features.transform(X_new)
        manifold = precision_recall_density_coverage(self.real[real], features)
        measured = {
            "fid": frechet_distance(self.real[real], features),
            "coverage": manifold.coverage,
            "recall": manifold.recall,
            "n_generated": len(X_new),
            "n_real": len(self.real[real]),
        }
        if Z_new is None:
            return measured
        # Training and unseen images go through the autoencoder too, as generated ones did.
        train, unseen, new = self.decoded, _flat(self.decoded_test[real]), _flat(X_new)
        unseen, new = unseen[: self.n_compared], new[: self.n_compared]
        copied = copied_fraction(train, new)
        c_t = data_copying_test(train, unseen, new, n_cells=len(new) // 100).statistic
        return measured | {
            "fid_codes": frechet_distance(self.real_codes[real], features),
            "latent_ks": latent_ks_statistic(self.Z, Z_new),
            "novelty": novelty(train, unseen, new).novelty,
            "near_copies": copied.fraction,
            "near_copies_low": copied.low,
            "near_copies_high": copied.high,
            "data_copying": c_t,
        }


def _flat(X):
    X = X.reshape(len(X), -1)
    return X / np.float32(255) if X.dtype == np.uint8 else X


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, nothing is written")
    parser.add_argument("--data-home", help="folder with the image files")
    parser.add_argument("--cache", default=Path(__file__).parent / ".cache")
    parser.add_argument("--results", default=RESULTS, help="folder of the results file")
    parser.add_argument("--data", choices=["mnist", "cifar10"], default="mnist")
    parser.add_argument("--latent-dim", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=SETTINGS)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    # Copies have columns of their own here.
    warnings.filterwarnings("ignore", message=".*near-copies of training codes")
    if arguments.smoke:
        warnings.filterwarnings("ignore", message="The covariance of")
        arguments.cache = tempfile.mkdtemp()
        arguments.seeds, arguments.draws = [0], [0]
        arguments.settings = [*REFERENCES, "LocalGaussian, per class", "LocalGaussian"]
    table, keys = Path(arguments.results) / "samplers.csv", ("data", "latent_dim", "seed")
    keys = (*keys, "setting", "draw")
    for seed in arguments.seeds:
        try:
            space = Space(arguments.data, arguments.latent_dim, seed, arguments)
        except OSError as error:
            print(f"samplers: skipped, {error}" if arguments.smoke else error)
            sys.exit(0 if arguments.smoke else 2)
        for setting in arguments.settings:
            # There is only one perfect sampler of each autoencoder.
            for draw in arguments.draws[:1] if setting == "perfect sampler" else arguments.draws:
                row = {"experiment": "samplers", "setting": setting, **space.about, "draw": draw}
                if not arguments.smoke and _is_there(table, row, keys):
                    continue
                row |= space.measure(setting, draw) | environment()
                print_rows([row], [*keys, "fid", "fid_codes", "novelty", "coverage"])
                sys.stdout.flush()
                if not arguments.smoke:
                    update_rows("samplers", [row], keys, arguments.results)


def _is_there(table, row, keys):
    if not table.exists():
        return False
    with open(table, newline="") as file:
        return any(all(old[key] == str(row[key]) for key in keys) for old in csv.DictReader(file))


if __name__ == "__main__":
    main()
