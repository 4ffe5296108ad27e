"""Which side `ImageNetFeatures` should resize to: seconds, classes of CIFAR-10, damaged MNIST.

``python benchmarks/feature_sides.py --data-home FOLDER`` prints a line for each side.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import sys
import time
from functools import partial

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from latentgen.datasets import fetch_cifar10, fetch_mnist
from latentgen.metrics import ImageNetFeatures, kernel_distance


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="few images, skipped without data")
    parser.add_argument("--data-home")
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 48, 64, 80, 96])
    parser.add_argument("--images", type=int, default=5000, help="of CIFAR-10 to learn from")
    args = parser.parse_args()
    torch.set_num_threads(1)
    fetch = partial(fetch_cifar10, data_home=args.data_home, return_X_y=True)
    if args.smoke:
        args.sides, args.images = args.sides[:1], 100
        try:
            fetch()
        except OSError as error:
            sys.exit(print(f"feature_sides: skipped, {error}"))
    X, y = fetch()
    rows = np.random.default_rng(0).permutation(len(X))[: args.images]
    X, y = np.asarray(X)[rows], y[rows]
    n_test = 2 * args.images // 5
    X_test, y_test = fetch_cifar10(subset="test", data_home=args.data_home, return_X_y=True)
    X_test, y_test = np.asarray(X_test)[:n_test], y_test[:n_test]
    digits, _ = fetch_mnist(subset="test", data_home=args.data_home, return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(digits))[: 2 * args.images // 5]
    real, others = np.split(digits[rows] / np.float32(255), 2)
    noise = np.random.default_rng(1).standard_normal(others.shape).astype(np.float32)
    damaged = {
        "none": others,
        "blur 0.5": gaussian_filter(others, (0, 0, 0.5, 0.5)),
        "blur 1": gaussian_filter(others, (0, 0, 1, 1)),
        "noise 0.02": np.clip(others + 0.02 * noise, 0, 1),
        "noise 0.2": np.clip(others + 0.2 * noise, 0, 1),
    }
    for side in args.sides:
        extractor = ImageNetFeatures(side=side, image_shape=(3, 32, 32), device="cpu")
        began = time.process_time()
        Z = extractor.transform(X)
        seconds = (time.process_time() - began) / len(X) * 1e4
        Z_test = extractor.transform(X_test)
        linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.003))
        print(
            f"side {side}: {seconds:.1f} s of one core for 10000 images, CIFAR-10 "
            f"10-NN {KNeighborsClassifier(10).fit(Z, y).score(Z_test, y_test):.1%}, cosine "
            f"{KNeighborsClassifier(10, metric='cosine').fit(Z, y).score(Z_test, y_test):.1%}, "
            f"linear {linear.fit(Z, y).score(Z_test, y_test):.1%}"
        )
        extractor = ImageNetFeatures(side=side, device="cpu")
        Z = extractor.transform(real)
        for name, images in damaged.items():
            value, error = kernel_distance(Z, extractor.transform(images))
            print(f"  MNIST, {name}: KID {value:.4f}, {value / error:.1f} standard errors")


if __name__ == "__main__":
    main()
