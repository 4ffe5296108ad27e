"""MNIST: an autoencoder with FastHVRT per class, against a VAE sampled from N(0, I).

Trains on the 60 000 images and judges 10 000 generated ones against the 10 000 test images: one
row per model, sampler and seed, beside the real-data floors. Fitted models are kept in
``--cache``, and rows of other models and seeds in the results file stay, so that the table can be
made piece by piece.

The two VAE rows differ in the convention of the bound and are never mixed: ``vae_sum`` is the
standard bound (reconstruction summed over pixels, beta = 1), ``vae_mean`` averages the
reconstruction over pixels and leaves beta = 1, which is beta = 784 in latentgen's terms.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from _judge import Judge, cached
from _record import RESULTS, environment, print_rows, update_rows

from latentgen import (
    ConditionalSampler,
    ConvAutoencoder,
    FastHVRTSampler,
    GaussianSampler,
)
from latentgen.datasets import fetch_mnist
from latentgen.inspection import SampleGridDisplay
from latentgen.metrics import (
    ClassifierFeatures,
    latent_ks_statistic,
    novelty,
)

BETAS = {"autoencoder": 0.0, "vae_sum": 1.0, "vae_mean": 28.0 * 28.0}
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "mnist_samples.png"


def rows_of_model(name, autoencoder, judge, seed):
    """Judge one autoencoder with the samplers that belong to it."""
    Z, Z_test = autoencoder.transform(judge.X_train), autoencoder.transform(judge.X_test)
    prior = GaussianSampler(covariance="identity").fit(Z)
    samplers = {"N(0, I)": prior}
    if name == "autoencoder":
        leaf = {"min_samples_leaf": 5, "random_state": seed}
        conditional = ConditionalSampler(FastHVRTSampler(**leaf))
        local = ConditionalSampler(FastHVRTSampler("local_gaussian", **leaf))
        samplers["FastHVRT epanechnikov per class"] = conditional.fit(Z, judge.y_train)
        samplers["FastHVRT epanechnikov"] = FastHVRTSampler(**leaf).fit(Z)
        samplers["FastHVRT local_gaussian per class"] = local.fit(Z, judge.y_train)
    about = {"model": name, "test_mse": -autoencoder.score(judge.X_test)}
    rows = judge.rows_of_training_images(seed)
    draws = {
        "a copy of training codes": (Z[rows], judge.y_train[rows], None),
        "the codes of the test images": (Z_test, None, None),
    }
    for label, sampler in samplers.items():
        # Classes as frequent as in a draw of real images.
        y_new = judge.y_train[rows] if hasattr(sampler, "classes_") else None
        Z_new = sampler.sample(len(rows), y=y_new, random_state=seed)
        draws[label] = Z_new, y_new, getattr(sampler, "n_partitions_", None)
    for label, (Z_new, y_new, n_partitions) in draws.items():
        X_new = autoencoder.inverse_transform(Z_new)
        distances = novelty(Z, Z_test, Z_new)
        yield {
            **about,
            "sampler": label,
            **judge.images(X_new),
            "latent_ks": latent_ks_statistic(Z, Z_new),
            "novelty": distances.novelty,
            "near_copies": distances.near_copies,
            "tstr": None if y_new is None else judge.tstr(X_new, y_new, seed),
            "n_partitions": n_partitions,
        }


def save_picture(autoencoder, judge, seed):
    Z = autoencoder.transform(judge.X_train)
    sampler = ConditionalSampler(FastHVRTSampler(min_samples_leaf=5, random_state=seed))
    sampler.fit(Z, judge.y_train)
    y_new = np.repeat(sampler.classes_, 10)
    X_new = autoencoder.inverse_transform(sampler.sample(100, y=y_new, random_state=seed))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    display = SampleGridDisplay.from_images(X_new, y_new, n_columns=10)
    display.figure_.savefig(PICTURE, dpi=200, bbox_inches="tight")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, nothing is written")
    parser.add_argument("--data-home", help="folder with the MNIST files")
    parser.add_argument(
        "--cache",
        default=Path(__file__).parent / ".cache",
        help="folder of fitted models; empty it when the code that fits them has changed",
    )
    parser.add_argument("--results", default=RESULTS, help="folder of the results file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=20)
    models = ["real", *BETAS]
    parser.add_argument("--models", nargs="+", choices=models, default=models)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    smoke = arguments.smoke
    try:
        data = [
            fetch_mnist(
                subset=subset,
                data_home=arguments.data_home,
                download_if_missing=not smoke,
                return_X_y=True,
            )
            for subset in ("train", "test")
        ]
    except OSError as error:
        print(f"mnist_core: skipped, {error}" if smoke else error)
        sys.exit(0 if smoke else 2)
    if smoke:
        data = [(X[:1500], y[:1500]) for X, y in data]
    (X_train, y_train), (X_test, y_test) = data
    n_generated = 500 if smoke else 10_000
    cache = Path(tempfile.mkdtemp() if smoke else arguments.cache)
    features = cached(
        cache / "mnist-features.latentgen",
        lambda: ClassifierFeatures(random_state=0).fit(X_train, y_train),
    )
    judge = Judge(X_train, y_train, X_test, y_test, n_generated, features)
    seeds, epochs = ([0], 1) if smoke else (arguments.seeds, arguments.epochs)
    rows = []
    for seed in seeds:
        shared = {
            "seed": seed,
            "epochs": epochs,
            "n_generated": n_generated,
            "n_real": len(X_test),
            "extractor": f"ClassifierFeatures fitted on {judge.features.fitted_on_}",
            **environment(),
        }
        for name in arguments.models:
            if name == "real":
                new = judge.floors(seed)
            else:
                autoencoder = ConvAutoencoder(
                    64, beta=BETAS[name], max_epochs=epochs, random_state=seed, verbose=1
                )
                path = cache / f"mnist-{name}-{epochs}-epochs-{seed}.latentgen"
                autoencoder = cached(path, partial(autoencoder.fit, X_train))
                new = rows_of_model(name, autoencoder, judge, seed)
            for row in new:
                rows.append(row | shared)
                print_rows([rows[-1]], ["model", "sampler", "fid", "novelty", "tstr"])
            if name == "autoencoder" and seed == 0 and not smoke:
                save_picture(autoencoder, judge, seed)
            if not smoke:
                # After every model, so that a long run leaves what it has.
                update_rows("mnist_core", rows, ("model", "seed"), arguments.results)
    columns = ["model", "sampler", "seed", "test_mse", "fid", "kid", "latent_ks", "novelty"]
    print_rows(rows, [*columns, "near_copies", "tstr", "n_partitions"])


if __name__ == "__main__":
    main()
