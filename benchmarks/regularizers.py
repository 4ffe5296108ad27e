"""MNIST: what regularizers do to the codes of an autoencoder, and to three samplers of them.

Reduced setting: 20 000 training images, 10 epochs, maps of 2 x 7 x 7 values as codes. Each model is
sampled with the codes as they are and with standardized ones, and 5 000 generated images are
compared with the 10 000 test images, beside the floors: real images, and decoded training codes.
Fitted autoencoders are kept in ``--cache``; the results file is written after each of them.

The weights of the KL term that the literature gives for averaged reconstructions, 1e-6 to 1e-2,
are times 784 in latentgen's terms. Standardization divides each code value by its deviation.
FastHVRT standardizes codes by itself, so that its two rows differ by rounding only. A full
covariance follows every scaling, but the k-means start of the mixture and the cells of
LocalGaussian do not. ``--cost`` measures instead what a regularizer adds to the time of an epoch,
without the feature model that alignment trains before, and writes ``regularizers_cost.csv``.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import statistics
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from _judge import Judge, cached
from _record import (
    RESULTS,
    environment,
    print_rows,
    update_rows,
    write_rows,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import resample

from latentgen import (
    ConvAutoencoder,
    FastHVRTSampler,
    LocalGaussianSampler,
)
from latentgen.autoencoders import (
    EquivarianceRegularizer,
    FeatureAlignmentRegularizer,
    HighFrequencyCut,
    LatentPerceptualLoss,
    MaskedAutoencodingObjective,
    NoiseAugmentedDecoding,
    ScaleEquivarianceRegularizer,
)
from latentgen.datasets import fetch_mnist
from latentgen.metrics import (
    ClassifierFeatures,
    decoder_sensitivity,
    equivariance_error,
    high_frequency_fraction,
    linear_probe,
    novelty,
    scale_equivariance_error,
)

N_TRAINING, N_GENERATED, EPOCHS = 20_000, 5000, 10
# The network of masked autoencoding without masks: what its different normalization does.
UNMASKED = MaskedAutoencodingObjective(
    mask_ratio=(0, 0), masked_weight=0, targets=(), decoder_only=0
)
MODELS = {
    "none": {},
    "scale equivariance": {"regularizers": [ScaleEquivarianceRegularizer()]},
    "equivariance": {"regularizers": [EquivarianceRegularizer()]},
    "equivariance, turns only": {"regularizers": [EquivarianceRegularizer(min_scale=None)]},
    "high-frequency cut": {"regularizers": [HighFrequencyCut()]},
    "masked": {"regularizers": [MaskedAutoencodingObjective()]},
    "masked, network only": {"regularizers": [UNMASKED]},
    "alignment, dae": {"regularizers": [FeatureAlignmentRegularizer()]},
    "alignment, classifier": {
        "regularizers": [FeatureAlignmentRegularizer(feature_model="classifier")]
    },
    "decoder smoothness": {"regularizers": [LatentPerceptualLoss()]},
    "noise 0.1": {"regularizers": [NoiseAugmentedDecoding(sigma=0.1)]},
    "noise 0.3": {"regularizers": [NoiseAugmentedDecoding(sigma=0.3)]},
    "KL 1e-6": {"beta": 784e-6},
    "KL 1e-4": {"beta": 784e-4},
    "KL 1e-2": {"beta": 784e-2},
}
SMOKE_MODELS = ["real", "none", "equivariance", "masked", "alignment, dae"]


def samplers(seed):
    return {
        "FastHVRT": FastHVRTSampler(min_samples_leaf=5, random_state=seed),
        # At the default tolerance it takes longer than the autoencoder.
        "GaussianMixture": GaussianMixture(10, tol=1e-2, random_state=seed),
        "LocalGaussian": LocalGaussianSampler(random_state=seed),
    }


def draw(sampler, n_samples, seed):
    """New codes from a sampler of latentgen or scikit-learn."""
    if isinstance(sampler, GaussianMixture):
        return sampler.set_params(random_state=seed).sample(n_samples)[0].astype(np.float32)
    return sampler.sample(n_samples, random_state=seed)


def diagnostics(autoencoder, Z_test, judge):
    """Reconstruction and diagnostics on the test images."""
    some = judge.X_test[:1000]
    return {
        "test_mse": -autoencoder.score(judge.X_test),
        "high_frequency_fraction": high_frequency_fraction(
            Z_test, code_shape=autoencoder.code_shape_
        ),
        "equivariance_error": equivariance_error(autoencoder, some),
        "scale_error": scale_equivariance_error(autoencoder, some),
        "sensitivity": decoder_sensitivity(autoencoder, some),
        "linear_probe": linear_probe(Z_test, judge.y_test),
    }


def rows_of_model(autoencoder, X_train, judge, seed, names):
    """Judge one autoencoder with the named samplers, standardized or not."""
    Z, Z_test = autoencoder.transform(X_train), autoencoder.transform(judge.X_test)
    about = diagnostics(autoencoder, Z_test, judge)

    def row(label, standardized, Z_new):
        distances = novelty(Z, Z_test, Z_new)
        return {
            **about,
            "sampler": label,
            "standardized": standardized,
            **judge.images(autoencoder.inverse_transform(Z_new)),
            "novelty": distances.novelty,
            "near_copies": distances.near_copies,
        }

    copies = resample(Z, replace=False, n_samples=judge.n_generated, random_state=seed)
    yield row("a copy of training codes", False, copies)
    for standardized, scaler in ((False, FunctionTransformer()), (True, StandardScaler())):
        scaled = scaler.fit_transform(Z.astype(np.float64))
        for label in names:
            sampler = samplers(seed)[label]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                sampler.fit(scaled)
            Z_new = scaler.inverse_transform(draw(sampler, judge.n_generated, seed))
            yield row(label, standardized, Z_new)


def rows_of_cost(X, y, repeats):
    """Median time of an epoch with each regularizer, in turns with one without."""
    times = {name: [] for name in MODELS if not name.startswith("KL")}
    for _ in range(repeats + 1):
        for name, seconds in times.items():
            autoencoder = ConvAutoencoder(98, spatial_latent=True, max_epochs=1, random_state=0)
            autoencoder.set_params(**MODELS[name]).fit(X, y)
            seconds.append(autoencoder.history_[0]["dur"])
    # The first round warms up.
    medians = {name: statistics.median(seconds[1:]) for name, seconds in times.items()}
    for name, seconds in medians.items():
        yield {
            "model": name,
            "epoch_s": seconds,
            "times_as_long": seconds / medians["none"],
            "n_training": len(X),
            "repeats": repeats,
        }


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
    models = ["real", *MODELS]
    parser.add_argument("--cost", action="store_true", help="only measure the time they take")
    parser.add_argument("--models", nargs="+", choices=models, default=models)
    every = list(samplers(0))
    parser.add_argument("--samplers", nargs="+", choices=every, default=every)
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
        print(f"regularizers: skipped, {error}" if smoke else error)
        sys.exit(0 if smoke else 2)
    (X_all, y_all), (X_test, y_test) = data
    cache = Path(tempfile.mkdtemp() if smoke else arguments.cache)
    epochs, n_generated, n_training = EPOCHS, N_GENERATED, N_TRAINING
    if smoke:
        epochs, n_generated, n_training = 1, 200, 1000
        X_all, y_all, X_test, y_test = X_all[:1000], y_all[:1000], X_test[:500], y_test[:500]
    features = cached(
        cache / "mnist-features.latentgen",
        lambda: ClassifierFeatures(random_state=0).fit(X_all, y_all),
    )
    if arguments.cost:
        n_images, repeats = (100, 1) if smoke else (2000, 5)
        rows = [
            row | environment() for row in rows_of_cost(X_all[:n_images], y_all[:n_images], repeats)
        ]
        print_rows(rows, ["model", "epoch_s", "times_as_long"])
        return None if smoke else write_rows("regularizers_cost", rows, arguments.results)
    judge = Judge(X_all, y_all, X_test, y_test, n_generated, features)
    rows = []
    for seed in [0] if smoke else arguments.seeds:
        X_train, y_train = resample(
            X_all, y_all, replace=False, n_samples=n_training, stratify=y_all, random_state=seed
        )
        shared = {
            "seed": seed,
            "epochs": epochs,
            "n_training": n_training,
            "n_generated": n_generated,
            "n_real": len(X_test),
            "extractor": f"ClassifierFeatures fitted on {features.fitted_on_}",
            **environment(),
        }
        for name in SMOKE_MODELS if smoke else arguments.models:
            if name == "real":
                new = [
                    {"sampler": "real training images", "standardized": ""}
                    | judge.images(X_train[:n_generated])
                ]
            else:
                autoencoder = ConvAutoencoder(
                    98,
                    spatial_latent=True,
                    max_epochs=epochs,
                    device="cpu",
                    random_state=seed,
                    **MODELS[name],
                )
                path = cache / f"regularizers-{name.replace(' ', '-')}-{seed}.latentgen"
                autoencoder = cached(path, partial(autoencoder.fit, X_train, y_train))
                new = rows_of_model(autoencoder, X_train, judge, seed, arguments.samplers)
            for row in new:
                rows.append({"model": name} | row | shared)
                columns = ["model", "sampler", "standardized", "fid", "novelty", "test_mse"]
                print_rows([rows[-1]], columns)
            if not smoke:
                # After every model, so that a long run leaves what it has.
                keys = ("model", "sampler", "standardized", "seed")
                update_rows("regularizers", rows, keys, arguments.results)
    print_rows(rows, ["model", "sampler", "standardized", "seed", "fid", "kid", "novelty"])


if __name__ == "__main__":
    main()
