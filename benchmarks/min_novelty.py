"""What ``min_novelty`` costs: draws that keep their distance against draws that need not.

10 000 draws from samplers fitted to 60 000 codes of 64 values, Gaussian ones and those of an
autoencoder of MNIST, in seconds of processor time, medians of draws that take turns. The fit is
given too, because it finds the spacings of the codes when `min_novelty` is set.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from _judge import cached
from _record import RESULTS, environment, print_rows, update_rows

from latentgen import (
    ConvAutoencoder,
    FastHVRTSampler,
    GaussianSampler,
    KernelDensitySampler,
    LocalGaussianSampler,
)
from latentgen.datasets import fetch_mnist

LIMITS = (0.0, 0.3, 0.5)
KEYS = ("codes", "sampler", "min_novelty")


def samplers(Z):
    spread = float(np.sqrt(Z.var(axis=0).mean()))
    leaf = {"min_samples_leaf": 5, "random_state": 0}
    return {
        "FastHVRT epanechnikov": FastHVRTSampler(**leaf),
        "FastHVRT epanechnikov, fast": FastHVRTSampler(partition="fast", **leaf),
        "KDE 0.3 std": KernelDensitySampler(0.3 * spread),
        "KDE scott": KernelDensitySampler("scott"),
        "LocalGaussian": LocalGaussianSampler(random_state=0),
        "Gaussian": GaussianSampler(),
    }


def mnist_codes(data_home, cache):
    X, _ = fetch_mnist(data_home=data_home, return_X_y=True)
    # A model that another run has left, if there is one.
    path = Path(cache) / "mnist-autoencoder-20-epochs-0.latentgen"
    autoencoder = cached(path, lambda: ConvAutoencoder(64, random_state=0).fit(X))
    return autoencoder.transform(X)


def processor_seconds(function, *args, **kwargs):
    start = time.process_time()
    function(*args, **kwargs)
    return time.process_time() - start


def rows_of_sampler(sampler, Z, n_draws, repeats):
    fits, times = {}, {limit: [] for limit in LIMITS}
    for limit in LIMITS:
        fits[limit] = processor_seconds(sampler.set_params(min_novelty=limit).fit, Z)
    for seed in range(repeats + 1):
        for limit in LIMITS:
            draw = sampler.set_params(min_novelty=limit).sample
            times[limit].append(processor_seconds(draw, n_draws, random_state=seed))
    # The first draw prepares the search.
    medians = {limit: statistics.median(times[limit][1:]) for limit in LIMITS}
    return [
        {
            "min_novelty": limit,
            "fit_cpu_s": fits[limit],
            "draw_cpu_s": medians[limit],
            "times_as_long": medians[limit] / medians[0.0],
            "n": len(Z),
            "n_features": Z.shape[1],
            "n_draws": n_draws,
            "repeats": repeats,
        }
        for limit in LIMITS
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, nothing is written")
    parser.add_argument("--data-home", help="folder with the files of MNIST")
    parser.add_argument("--cache", default=Path(__file__).parent / ".cache", help="of models")
    parser.add_argument("--results", default=RESULTS, help="folder of the results file")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--codes", nargs="+", choices=["gaussian", "mnist"])
    arguments = parser.parse_args()
    kinds = arguments.codes or (["gaussian"] if arguments.smoke else ["gaussian", "mnist"])
    # Members that lie nearer than they may are what is measured here.
    warnings.simplefilter("ignore")
    for kind in kinds:
        if kind == "gaussian":
            n = 2000 if arguments.smoke else 60_000
            Z = np.random.default_rng(0).standard_normal((n, 64)).astype(np.float32)
        else:
            try:
                Z = mnist_codes(arguments.data_home, arguments.cache)
            except OSError as error:
                sys.exit(str(error))
        n_draws, repeats = (200, 1) if arguments.smoke else (10_000, arguments.repeats)
        for name, sampler in samplers(Z).items():
            rows = [
                {"codes": kind, "sampler": name, **row, "seed": 0, **environment()}
                for row in rows_of_sampler(sampler, Z, n_draws, repeats)
            ]
            print_rows(rows, [*KEYS, "fit_cpu_s", "draw_cpu_s", "times_as_long"])
            sys.stdout.flush()
            if not arguments.smoke:
                update_rows("min_novelty", rows, KEYS, arguments.results)


if __name__ == "__main__":
    main()
