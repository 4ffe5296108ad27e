"""Do generated images help a classifier that has few real ones, more than ordinary augmentation?

From 50, 100 or 500 images per class, an autoencoder and one sampler per class are fitted on these
few images only: as they are, or on 5 000 augmented ones made of them. Then the same classifier is
trained, with as many optimizer steps, on the real images, on augmented real ones, on new ones,
on both (half of each batch, on average), and on both augmented; it is judged on the test images. A
seed decides everything: which images there are, autoencoder, sampler and classifier. Settings were
fixed before the test images were looked at.

One row for each classifier; rows that are there are not made again unless ``--anew`` is given. At
the end, and with ``--summary`` only, differences from the augmented real images are printed, paired
by seed, with their 95 % intervals.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import csv
import hashlib
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from _record import RESULTS, environment, print_rows, update_rows

from latentgen import ConditionalSampler, ConvAutoencoder, FastHVRTSampler, LocalGaussianSampler
from latentgen.datasets import fetch_cifar10, fetch_mnist, load_digits_images
from latentgen.metrics import paired_difference, shift_and_rotate, utility_of_added_images

KEYS = ("data", "images_per_class", "seed", "sampler", "training")
FETCH = {"mnist": fetch_mnist, "cifar10-jpeg": fetch_cifar10}
LATENT_DIM = {"mnist": 16, "cifar10-jpeg": 64, "digits": 8}
# About 1000 steps of the autoencoder at each size.
EPOCHS = {50: 40, 100: 30, 500: 20, 5: 1}
N_AUGMENTED, EPOCHS_AUGMENTED = 5000, 20
ON_AUGMENTED = ", on augmented"
# 250 steps of 64.
IMAGES_PER_EPOCH, N_GENERATED = 16_000, 10_000
AUGMENT = {
    "mnist": partial(shift_and_rotate, max_shift=0.08, max_rotation=10),
    # The usual one for these images: four pixels, and flips.
    "cifar10-jpeg": partial(shift_and_rotate, max_shift=0.125, max_rotation=0, flip=True),
    "digits": partial(shift_and_rotate, max_shift=0.08, max_rotation=10),
}
WITHOUT_SAMPLER = ("real", "real_augmented")
WITH_SAMPLER = ("generated", "real_generated", "real_augmented_generated")
BASELINE = "real_augmented"


def samplers(seed):
    return {
        "FastHVRT epanechnikov": FastHVRTSampler("epanechnikov", random_state=seed),
        "LocalGaussian shrinkage=auto": LocalGaussianSampler(shrinkage="auto", random_state=seed),
    }


def parts(data, data_home):
    """Images to fit, without those that judge and choose, and the test images."""
    if data == "digits":
        X, y = load_digits_images(return_X_y=True)
        return (X[:1000], y[:1000]), (X[1000:], y[1000:])
    X, y = FETCH[data](subset="train", data_home=data_home, return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(X))[:-10_000]
    test = FETCH[data](subset="test", data_home=data_home, return_X_y=True)
    return (X[rows], y[rows]), test


def take_few(X, y, images_per_class, seed):
    """The same number of random images of each class."""
    order = np.random.default_rng(seed).permutation(len(X))
    rows = [order[y[order] == label][:images_per_class] for label in np.unique(y)]
    return X[np.concatenate(rows)], y[np.concatenate(rows)]


def rows_of(data, fit, test, images_per_class, seed, there):
    """Rows of one seed that are not there, each as soon as it is made."""
    X, y = take_few(*fit, images_per_class, seed)
    shared = {
        "experiment": "added_images",
        "data": data,
        "images_per_class": images_per_class,
        "seed": seed,
        "data_digest": hashlib.sha256(X.tobytes()).hexdigest()[:16],
        "fit_part": "of the training file without its judge and choose parts",
        "test_part": "test file",
        "latent_dim": LATENT_DIM[data],
        "beta": 0,
    }

    def missing(sampler, trainings):
        keys = {name: (data, str(images_per_class), str(seed), sampler, name) for name in trainings}
        return [name for name, key in keys.items() if key not in there]

    def judge(sampler, trainings, X_new, y_new, **about):
        for training in trainings:
            start = time.process_time()
            result = utility_of_added_images(
                *(*test, X, y, X_new, y_new),
                images_per_epoch=IMAGES_PER_EPOCH if images_per_class > 5 else 640,
                augment=AUGMENT[data],
                trainings=[training],
                random_state=seed,
            )
            accuracy = result.pop(training)
            if training in WITHOUT_SAMPLER:
                result["n_generated"] = 0
            augmentation = AUGMENT[data].keywords if "augmented" in training else {}
            yield (
                shared
                | about
                | {
                    "sampler": sampler,
                    "training": training,
                    "accuracy": accuracy,
                    "n_fit": len(X),
                    **result,
                    "steps": result["images_per_epoch"] // 64,
                    "augmentation": " ".join(
                        f"{name}={value}" for name, value in augmentation.items()
                    ),
                    "classifier_seconds": time.process_time() - start,
                    **environment(),
                    "command": f"python benchmarks/added_images.py --data {data} --sizes "
                    f"{images_per_class} --seeds {seed}",
                }
            )

    yield from judge("", missing("", WITHOUT_SAMPLER), X, y)
    for ending in ("", ON_AUGMENTED):
        wanted = {label: missing(label + ending, WITH_SAMPLER) for label in samplers(seed)}
        if not any(wanted.values()):
            continue
        X_fit, y_fit, epochs = X, y, EPOCHS[images_per_class]
        if ending:
            again = np.resize(np.arange(len(X)), N_AUGMENTED if images_per_class > 5 else 100)
            X_fit, y_fit = AUGMENT[data](X[again], random_state=seed), y[again]
            epochs = min(epochs, EPOCHS_AUGMENTED)
        start = time.process_time()
        autoencoder = ConvAutoencoder(LATENT_DIM[data], max_epochs=epochs, random_state=seed)
        autoencoder.fit(X_fit)
        about = {
            "epochs": epochs,
            "fit_seconds": time.process_time() - start,
            "test_mse": -autoencoder.score(test[0]),
        }
        Z = autoencoder.transform(X_fit)
        y_new = np.resize(np.unique(y), N_GENERATED)
        for label, trainings in wanted.items():
            start = time.process_time()
            sampler = ConditionalSampler(samplers(seed)[label]).fit(Z, y_fit)
            Z_new = sampler.sample(len(y_new), y=y_new, random_state=seed)
            X_new = autoencoder.inverse_transform(Z_new)
            about["sample_seconds"] = time.process_time() - start
            yield from judge(label + ending, trainings, X_new, y_new, **about)


def read_rows(folder):
    path = Path(folder) / "added_images.csv"
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def summarize(rows):
    """Mean accuracies, and differences from the augmented real images, paired by seed."""
    accuracies = {}
    for row in rows:
        setting = row["data"], int(row["images_per_class"]), row["sampler"], row["training"]
        accuracies.setdefault(setting, {})[int(row["seed"])] = float(row["accuracy"])
    table = []
    for (data, size, sampler, training), own in sorted(accuracies.items()):
        baseline = accuracies.get((data, size, "", BASELINE), {})
        seeds = sorted(own.keys() & baseline.keys())
        line = {
            "data": data,
            "images_per_class": size,
            "training": training,
            "sampler": sampler,
            "seeds": len(own),
            "accuracy": f"{100 * np.mean(list(own.values())):.2f}",
        }
        if training != BASELINE and len(seeds) > 1:
            a, b = ([100 * values[seed] for seed in seeds] for values in (own, baseline))
            result = paired_difference(a, b)
            line["minus augmented"] = (
                f"{result.difference:+.2f} ({result.low:+.2f} to {result.high:+.2f})"
            )
        table.append(line)
    return table


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="digits, nothing is written")
    parser.add_argument("--summary", action="store_true", help="only print what the rows say")
    parser.add_argument("--data-home", help="folder with the files of MNIST and CIFAR-10")
    parser.add_argument("--results", default=RESULTS, help="folder of the results file")
    parser.add_argument("--data", nargs="+", choices=list(FETCH), default=list(FETCH))
    parser.add_argument("--sizes", nargs="+", type=int, choices=[50, 100, 500])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--anew", action="store_true", help="make rows again that are there")
    arguments = parser.parse_args()
    arguments.sizes = arguments.sizes or [50, 100, 500]
    if arguments.smoke:
        arguments.data, arguments.sizes, arguments.seeds = ["digits"], [5], [0, 1]
    return arguments


def main():
    arguments = parse_arguments()
    smoke = arguments.smoke
    rows = [] if smoke else read_rows(arguments.results)
    there = set() if arguments.anew else {tuple(row[key] for key in KEYS) for row in rows}
    for data in [] if arguments.summary else arguments.data:
        try:
            fit, test = parts(data, arguments.data_home)
        except OSError as error:
            sys.exit(str(error))
        for size in arguments.sizes:
            for seed in arguments.seeds:
                for row in rows_of(data, fit, test, size, seed, there):
                    print_rows([row], [*KEYS, "accuracy", "classifier_seconds"])
                    sys.stdout.flush()
                    rows.append(row)
                    if not smoke:
                        update_rows("added_images", [row], KEYS, arguments.results)
    rows = rows if smoke else read_rows(arguments.results)
    names = ["data", "images_per_class", "training", "sampler", "seeds", "accuracy"]
    print_rows(summarize(rows), [*names, "minus augmented"])


if __name__ == "__main__":
    main()
