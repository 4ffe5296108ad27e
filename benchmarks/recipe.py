"""How the autoencoder is trained: schedules, rates, losses, averages, weight decay, and epochs.

Trains `ConvAutoencoder` with each setting and judges what users get: reconstructions of images
that it has not seen, and images decoded from codes that `LocalGaussianSampler` draws. The images
are in disjoint parts: one to fit, one for the extractor of the features, one to choose by. Test
images are not touched unless ``--part test`` asks for them.

Rows of other settings in the results file stay, and those that are there are not made again
unless ``--anew`` is given, so that the table can be made piece by piece.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import csv
import itertools
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from _judge import cached
from _record import RESULTS, environment, print_rows, update_rows
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import LambdaLR

from latentgen import ConvAutoencoder, LocalGaussianSampler
from latentgen.datasets import fetch_cifar10, fetch_mnist, load_digits_images
from latentgen.metrics import ClassifierFeatures, frechet_distance, novelty
from latentgen.networks import _reconstruction

# Data, size of the code, images to fit, to train the extractor, and to choose by. There are few
# digits: the two latter parts share the rest by halves.
SPACES = {
    "digits-8": ("digits", 8, 1000, 400),
    "mnist-16": ("mnist", 16, 20_000, 5000),
    "mnist-64": ("mnist", 64, 20_000, 5000),
    "cifar10-jpeg-128": ("cifar10", 128, 20_000, 5000),
}
# The defaults of before, and what they are now.
OLD, NEW = "one_cycle 0.004 loss=bce", "one_cycle auto loss=mae_bce"
# Judged by novelty, which compares each with all images of the fit.
N_NOVELTY = 2000
N_NEIGHBORS = 5
BCE_WEIGHT = _reconstruction._BCE_WEIGHT
KEYS = ("space", "part", "epochs", "setting", "seed")


class TrapezoidRate:
    """Rate that rises, stays and falls linearly, as multiples of the largest one.

    Parameters
    ----------
    n_steps : int
    rise, fall : float
        Fractions of the steps.
    """

    def __init__(self, n_steps, rise, fall):
        self.n_steps, self.rise, self.fall = n_steps, rise, fall

    def __call__(self, step):
        progress = (step + 0.5) / self.n_steps
        rising = progress / self.rise if self.rise else 1.0
        falling = (1 - progress) / self.fall if self.fall else 1.0
        return max(min(rising, falling, 1.0), 0.0)


def parse_setting(name, n_steps):
    """Parameters of the autoencoder for a name such as ``one_cycle 0.02 loss=mse ema=0.99``.

    ``trapezoid:0.1:0.3`` rises in the first tenth and falls in the last three of ten.
    """
    schedule, lr, *others = name.split()
    parameters = {"lr": lr if lr == "auto" else float(lr), "net_params": {}}
    if schedule.startswith("trapezoid"):
        rise, fall = map(float, schedule.split(":")[1:])
        rate = LRScheduler(
            LambdaLR, step_every="batch", lr_lambda=TrapezoidRate(n_steps, rise, fall)
        )
        parameters |= {"lr_schedule": "constant", "callbacks": [("trapezoid", rate)]}
    else:
        parameters["lr_schedule"] = schedule
    _reconstruction._BCE_WEIGHT = BCE_WEIGHT
    for item in others:
        key, value = item.split("=")
        if key in ("loss", "optimizer"):
            parameters[key] = value
        elif key == "bce":
            # The weight inside of 'mae_bce', which is not a parameter.
            _reconstruction._BCE_WEIGHT = float(value)
        elif key == "eps":
            parameters["net_params"]["optimizer__eps"] = float(value)
        elif key == "beta2":
            parameters["net_params"]["optimizer__betas"] = (0.9, float(value))
        else:
            parameters[{"ema": "ema_decay", "decay": "weight_decay"}[key]] = float(value)
    return parameters


def flat_floats(X):
    """Images as rows in [0, 1]."""
    return X.reshape(len(X), -1) / np.float32(255 if X.dtype == np.uint8 else 1)


class Space:
    """The parts of a data set, and what every row of it shares."""

    def __init__(self, name, data_home, cache, part, smoke):
        data, self.latent_dim, n_fit, n_judge = SPACES[name]
        load = {
            "digits": load_digits_images,
            "mnist": partial(fetch_mnist, subset="train", data_home=data_home),
            "cifar10": partial(fetch_cifar10, subset="train", data_home=data_home),
        }[data]
        X, y = load(return_X_y=True)
        split = partial(train_test_split, random_state=0)
        X, X_judge, y, y_judge = split(X, y, test_size=n_judge, stratify=y)
        if data == "digits":
            # There are no test images: each row is judged by the images to choose by.
            self.X_real = X[n_fit:]
        elif part == "test":
            load.keywords["subset"] = "test"
            self.X_real = load(return_X_y=True)[0]
        else:
            X, self.X_real, y, _ = split(X, y, test_size=n_judge, stratify=y)
        self.X_fit = X[:n_fit]
        if smoke:
            self.X_fit, self.X_real = self.X_fit[:500], self.X_real[:200]
            X_judge, y_judge = X_judge[:500], y_judge[:500]
        self.extractor = cached(
            Path(cache) / f"recipe-features-{data}{'-smoke' if smoke else ''}.latentgen",
            lambda: ClassifierFeatures(random_state=0).fit(X_judge, y_judge),
        )
        self.real = self.extractor.transform(self.X_real)
        search = NearestNeighbors(n_neighbors=N_NEIGHBORS + 1).fit(self.real)
        self.radii = search.kneighbors(self.real)[0][:, -1]

    def coverage(self, features):
        """Fraction of real images with a generated one within their 5 nearest real ones.

        Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models",
        equation 7.
        """
        nearest = NearestNeighbors(n_neighbors=1).fit(features).kneighbors(self.real)[0][:, 0]
        return float((nearest <= self.radii).mean())

    def judge(self, X_new):
        features = self.extractor.transform(X_new)
        return features, frechet_distance(self.real, features)

    def floor(self):
        """As many images of the fit as are generated."""
        features, fid = self.judge(self.X_fit[: len(self.X_real)])
        return {"setting": "real images", "fid_samples": fid, "coverage": self.coverage(features)}

    def row(self, setting, epochs, seed):
        """Train with a setting, and judge."""
        batch = min(max(16, len(self.X_fit) // 50), 128)
        parameters = parse_setting(setting, epochs * (len(self.X_fit) // batch))
        start = time.process_time()
        autoencoder = ConvAutoencoder(
            self.latent_dim,
            image_shape=self.X_fit.shape[1:],
            max_epochs=epochs,
            random_state=seed,
            **parameters,
        ).fit(self.X_fit)
        seconds = time.process_time() - start
        Z = autoencoder.transform(self.X_fit)
        X_reconstructed = autoencoder.inverse_transform(autoencoder.transform(self.X_real))
        errors = flat_floats(X_reconstructed) - flat_floats(self.X_real)
        sampler = LocalGaussianSampler(random_state=seed).fit(Z)
        X_new = autoencoder.inverse_transform(sampler.sample(len(self.X_real), random_state=seed))
        reconstructed, fid_reconstructions = self.judge(X_reconstructed)
        generated, fid = self.judge(X_new)
        flat = [flat_floats(X) for X in (self.X_fit, self.X_real, X_new)]
        return {
            "mse": float(np.square(errors).mean()),
            "fid_reconstructions": fid_reconstructions,
            "fid_samples": fid,
            "fid_codes": frechet_distance(reconstructed, generated),
            "coverage": self.coverage(generated),
            "novelty": novelty(flat[0], flat[1][:N_NOVELTY], flat[2][:N_NOVELTY]).novelty,
            "processor_seconds": seconds,
        }


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, nothing is written")
    parser.add_argument("--data-home", help="folder with the files of MNIST and CIFAR-10")
    parser.add_argument("--cache", default=Path(__file__).parent / ".cache", help="of extractors")
    parser.add_argument("--results", default=RESULTS, help="folder of the results file")
    parser.add_argument("--spaces", nargs="+", choices=list(SPACES), default=list(SPACES))
    parser.add_argument("--settings", nargs="+", default=[OLD, NEW])
    parser.add_argument("--epochs", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--part", choices=["choose", "test"], default="choose")
    parser.add_argument("--anew", action="store_true", help="make rows again that are there")
    return parser.parse_args()


def rows_there(folder):
    path = Path(folder) / "recipe.csv"
    if not path.exists():
        return set()
    with open(path, newline="") as file:
        return {tuple(row[key] for key in KEYS) for row in csv.DictReader(file)}


def main():
    arguments = parse_arguments()
    if arguments.smoke:
        arguments.spaces, arguments.epochs = ["digits-8"], [1]
    there = set() if arguments.anew or arguments.smoke else rows_there(arguments.results)
    for name in arguments.spaces:
        try:
            space = Space(
                name, arguments.data_home, arguments.cache, arguments.part, arguments.smoke
            )
        except OSError as error:
            sys.exit(str(error))
        wanted = itertools.product(arguments.epochs, arguments.seeds, arguments.settings)
        rows = [(0, 0, "real images"), *wanted]
        for epochs, seed, setting in rows:
            key = (name, arguments.part, str(epochs), setting, str(seed))
            if key in there:
                continue
            row = space.floor() if setting == "real images" else space.row(setting, epochs, seed)
            row = dict(zip(KEYS, (name, arguments.part, epochs, setting, seed), strict=True)) | row
            row |= {
                "n_fit": len(space.X_fit),
                "n_real": len(space.X_real),
                "n_generated": len(space.X_real),
                "extractor": f"ClassifierFeatures fitted on {space.extractor.fitted_on_}",
                **environment(),
            }
            print_rows(
                [row],
                [*KEYS, "mse", "fid_reconstructions", "fid_samples", "coverage", "novelty"],
            )
            sys.stdout.flush()
            if not arguments.smoke:
                update_rows("recipe", [row], KEYS, arguments.results)


if __name__ == "__main__":
    main()
