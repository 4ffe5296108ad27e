"""What the metrics give where the answer is known: unseen real images, and draws of one source.

``python benchmarks/metric_checks.py`` prints what is in "Metrics where the answer is known" in
docs/design.md. It takes some minutes on one core.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import time
import warnings

import numpy as np
from sklearn.datasets import load_digits

from latentgen import datasets
from latentgen.metrics import (
    classifier_two_sample_test,
    copied_fraction,
    data_copying_test,
    frechet_distance,
    frechet_distance_infinity,
    novelty,
    precision_recall_density_coverage,
)

N_FEATURES = 128
N_QUERIES = 500


def random_features(X):
    """Rectified random projections of pixels."""
    weights = np.random.default_rng(0).standard_normal((X.shape[1], N_FEATURES))
    return np.maximum(X @ (weights / np.sqrt(X.shape[1])).astype(np.float32), 0)


def check_infinity(X, X_test):
    """FID of disjoint real images at several numbers of them, and its extrapolation."""
    print("Fréchet distance of real training and test images, 128 random features, by n")
    mixed = np.random.default_rng(0).permutation(len(X) + len(X_test))
    F = random_features(np.concatenate([X, X_test])[mixed[:20_000]])
    for n in (1000, 2000, 5000, 10_000):
        pair = F[:n], F[10_000 : 10_000 + n]
        value, error = frechet_distance_infinity(*pair)
        print(f"  same source, n={n}: {frechet_distance(*pair):.4f}, {value:.4f} +/- {error:.4f}")
    # A generator whose images are fainter.
    G = random_features(0.9 * np.concatenate([X, X_test])[mixed[20_000:30_000]])
    for n in (1000, 2000, 5000, 10_000):
        pair = F[:n], G[:n]
        value, error = frechet_distance_infinity(*pair)
        print(f"  fainter, n={n}: {frechet_distance(*pair):.4f}, {value:.4f} +/- {error:.4f}")


def check_normals():
    """Extrapolation where the distance is known and there are few rows for each feature."""
    rng = np.random.default_rng(0)
    print("Fréchet distance of 64 independent normal features, 16.64 at infinite n")
    for n in (320, 640, 2000):
        draws = [rng.normal(size=(2, n, 64)) * 5 for _ in range(10)]
        pairs = [(X, 1.1 * Y + 0.1) for X, Y in draws]
        at_n = np.mean([frechet_distance(*pair) for pair in pairs])
        found = np.array([frechet_distance_infinity(*pair)[0] for pair in pairs])
        print(f"  n={n}: {at_n:.1f}, {found.mean():.1f} (standard deviation {found.std():.1f})")


def check_copies(name, X, X_test):
    """Near-copies and C_T of unseen real images, and what the search takes."""
    start = time.process_time()
    found = copied_fraction(X, X_test[:N_QUERIES])
    unseen = time.process_time() - start
    start = time.process_time()
    copies = copied_fraction(X, X[:N_QUERIES])
    copied = time.process_time() - start
    halves = X_test[: len(X_test) // 2], X_test[len(X_test) // 2 :]
    result = novelty(X, halves[0][:N_QUERIES], halves[1][:N_QUERIES])
    print(f"{name}: {len(X)} training images, {min(len(X_test), N_QUERIES)} unseen ones")
    print(f"  copied: {found.fraction:.2%} ({found.low:.2%} to {found.high:.2%}), {unseen:.1f} s")
    print(f"  of training images: {copies.fraction:.1%}, {copied:.1f} s")
    print(f"  novelty of one half beside the other: {result.novelty:.3f}")
    few = halves[0][:N_QUERIES], halves[1][:N_QUERIES]
    print("  C_T and null:", data_copying_test(X, *few))


def check_size(n_repeats=100, n_rows=200):
    """How often the classifier's test rejects draws of one distribution at the level of 5 %."""
    rng = np.random.default_rng(0)
    tests = [classifier_two_sample_test(*rng.normal(size=(2, n_rows, 8))) for _ in range(n_repeats)]
    accuracy, p_value = np.transpose(tests)
    print(f"Classifier test of {n_rows} rows, {n_repeats} times on one distribution")
    print(f"  rejected at the level of 5 %: {np.mean(p_value < 0.05):.1%}")
    print(f"  mean accuracy {accuracy.mean():.4f} +/- {accuracy.std() / np.sqrt(n_repeats):.4f}")


def check_manifold(X, X_test, n=5000):
    """Precision, recall, density and coverage of real images in random features."""
    start = time.process_time()
    found = precision_recall_density_coverage(random_features(X[:n]), random_features(X_test[:n]))
    print(f"Real images, n={n}: {found}, {time.process_time() - start:.1f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="only the copies among the digits")
    parser.add_argument("--data-home")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", "The covariance of ")
    digits = (load_digits().data / 16).astype(np.float32)
    digits = digits[np.random.default_rng(0).permutation(len(digits))]
    check_copies("digits", digits[:1200], digits[1200:])
    if args.smoke:
        return
    check_normals()
    check_size()
    X, X_test = (
        datasets.fetch_mnist(subset=subset, data_home=args.data_home, return_X_y=True)[0]
        for subset in ("train", "test")
    )
    X, X_test = (part.reshape(-1, 784).astype(np.float32) / 255 for part in (X, X_test))
    # The first half of the test file is easier than the second one.
    X_test = X_test[np.random.default_rng(0).permutation(len(X_test))]
    check_infinity(X, X_test)
    check_manifold(X, X_test)
    check_copies("MNIST", X, X_test)


if __name__ == "__main__":
    main()
