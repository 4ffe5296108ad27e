"""hvrt's own dials, and the three partitions of FastHVRTSampler, on the codes of MNIST.

`variance_weighted` and `y_weight` are arguments of ``hvrt.FastHVRT``, and its ``reduce`` picks rows
that stand for the others. None is offered by `FastHVRTSampler`; here hvrt itself draws with them,
and the sampler is fitted to what ``reduce`` has left, beside as many rows picked at random. The
rows of partitions have the seconds of ``fit`` of the sampler, comparison with the codes included.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from hvrt import FastHVRT

from latentgen import ConditionalSampler, FastHVRTSampler
from latentgen.experiments import Table, Workbench, environment
from latentgen.metrics import (
    frechet_distance,
    latent_ks_statistic,
    novelty,
    precision_recall_density_coverage,
)

# Real and generated images whose nearest training images are searched.
N_COMPARED = 2000
LICENSES = {"hvrt": "AGPL-3.0-or-later", "fast": "BSD-3-Clause", "local": "BSD-3-Clause"}


def expand(Z, y, seed, *, y_weight=0.0, **how):
    """Draw with hvrt itself."""
    model = FastHVRT(min_samples_leaf=5, y_weight=y_weight, random_state=seed)
    model.fit(Z.astype(np.float64), y if y_weight else None)

    def draw(n_samples, seed):
        model.random_state = seed
        return model.expand(n_samples, generation_strategy="epanechnikov", **how)

    return draw


def reduced(Z, y, seed, *, method, fraction=0.2, **how):
    """Draw with the sampler fitted to rows that hvrt has picked, or to as many at random."""
    if method == "random":
        rows = np.random.default_rng(seed).permutation(len(Z))[: int(fraction * len(Z))]
    else:
        model = FastHVRT(random_state=seed).fit(Z.astype(np.float64))
        rows = model.reduce(ratio=fraction, method=method, return_indices=True, **how)[1]
    return sampled(Z[rows], y, seed, min_samples_leaf=5)


def sampled(Z, y, seed, **params):
    sampler = FastHVRTSampler(**params, random_state=seed).fit(Z)
    return lambda n_samples, seed: sampler.sample(n_samples, random_state=seed)


def per_class(Z, y, seed, **params):
    """Draw with one sampler per class, which is what labels are good for."""
    sampler = ConditionalSampler(FastHVRTSampler(**params, random_state=seed)).fit(Z, y)
    return lambda n_samples, seed: sampler.sample(n_samples, random_state=seed)


def settings():
    """Names of the rows, with the function that fits and its arguments."""
    yield "hvrt itself", expand, {}
    yield "variance_weighted=True", expand, {"variance_weighted": True}
    for weight in (0.1, 0.5, 1.0):
        yield f"y_weight={weight}", expand, {"y_weight": weight}
    yield "one sampler per class", per_class, {"min_samples_leaf": 5}
    for method in ("random", "stratified", "fps"):
        how = {} if method == "random" else {"variance_weighted": False}
        yield f"reduce to 20 %, {method}", reduced, {"method": method, **how}
    fps = {"method": "fps", "variance_weighted": True}
    yield "reduce to 20 %, fps, variance_weighted=True", reduced, fps
    for partition in LICENSES:
        for strategy in ("epanechnikov", "local_gaussian"):
            params = {"strategy": strategy, "partition": partition}
            params |= {"min_samples_leaf": None if partition == "local" else 5}
            yield f"partition={partition}, {strategy}", sampled, params


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, nothing is written")
    parser.add_argument("--data-home", help="folder with the MNIST files")
    parser.add_argument("--cache", default=Path(__file__).parent / ".cache")
    parser.add_argument("--results", default=Path(__file__).parent / "results")
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--settings", nargs="+", default=[""], help="texts in names of rows")
    arguments = parser.parse_args()
    options = {"data_home": arguments.data_home, "cache": arguments.cache, "seeds": arguments.seeds}
    if arguments.smoke:
        bench = Workbench("digits", quick=True)
    else:
        bench = Workbench("mnist", n_samples=arguments.samples, imagenet=False, **options)
    table = Table(arguments.results, "hvrt_dials") if not arguments.smoke else None
    X_test = bench.parts.X_test
    for seed in bench.seeds:
        coded = bench.autoencoder(64, seed=seed)
        features = bench.judge.extractors(seed)[""]
        decoded = coded.autoencoder.inverse_transform(coded.Z_test)
        real, unseen = features.transform(X_test), features.transform(decoded)
        # Real images go through the decoder too, or a copy of a training code would look new.
        train = flat(coded.autoencoder.inverse_transform(coded.Z_fit))
        test = flat(decoded[:N_COMPARED])
        for setting, fit, params in settings():
            if not any(text in setting for text in arguments.settings):
                continue
            start = time.process_time()
            draw_codes = None
            for draw in range(1 if arguments.smoke else arguments.draws):
                keys = bench.keys(setting, latent_dim=64, beta=0.0, epochs=20,
                                  sampler=fit.__name__, seed=seed, draw=draw)  # fmt: skip
                if table is not None and table.find(keys):
                    continue
                if draw_codes is None:
                    draw_codes = fit(coded.Z_fit, bench.parts.y_fit, seed, **params)
                    fit_seconds = time.process_time() - start
                start = time.process_time()
                Z_new = draw_codes(bench.n_samples, 1000 * seed + draw).astype(np.float32)
                sample_seconds = time.process_time() - start
                X_new = coded.autoencoder.inverse_transform(Z_new)
                new = features.transform(X_new)
                distances = novelty(train, test, flat(X_new)[:N_COMPARED])
                n = min(len(new), len(unseen))
                prdc = precision_recall_density_coverage(unseen[:n], new[:n])
                row = {
                    **keys,
                    "frechet_distance": frechet_distance(real, new),
                    "frechet_distance_codes": frechet_distance(unseen, new),
                    "novelty": distances.novelty,
                    "near_copies": distances.near_copies,
                    **{f"{name}_codes": value for name, value in prdc._asdict().items()},
                    "latent_ks": latent_ks_statistic(coded.Z_test, Z_new),
                    "sampler_fit_seconds": fit_seconds,
                    "sample_seconds": sample_seconds,
                    "n_real": len(X_test),
                    "license": LICENSES.get(params.get("partition", "hvrt")),
                    **environment(),
                    "command": "python benchmarks/hvrt_dials.py",
                }
                shown = ("frechet_distance", "frechet_distance_codes", "novelty")
                numbers = [f"{name} {row[name]:.3g}" for name in shown]
                print(f"{setting}: {', '.join(numbers)}, fit {fit_seconds:.2f} s", flush=True)
                if table is not None:
                    table.add(row)


def flat(X):
    """Pixels as rows of floats in [0, 1]."""
    X = np.asarray(X).reshape(len(X), -1)
    return X.astype(np.float32) / (255 if X.dtype == np.uint8 else 1)


if __name__ == "__main__":
    sys.exit(main())
