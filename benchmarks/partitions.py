"""Ways to cut codes into cells, judged by what the same kernel makes of them.

Every partition of the MNIST codes gets the same smoothed bootstrap: a code is shrunk towards the
mean of its cell and moved by normal noise with the covariance of the cell. And every tree on the
sum of z-scores gets the published epanechnikov kernel. `FastHVRTSampler` has the cuts that give
most for their time as ``partition='local'`` and ``partition='fast'``; the seconds of its rows are
those of a whole fit, kernels and comparison with the codes included. `LocalGaussianSampler` has
k-means with cells that then follow the density.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from _judge import Judge, cached
from _record import RESULTS, environment, print_rows, update_rows
from sklearn.base import clone
from sklearn.cluster import BisectingKMeans, KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.tree import DecisionTreeRegressor

from latentgen import ConvAutoencoder, FastHVRTSampler, LocalGaussianSampler
from latentgen.datasets import fetch_mnist
from latentgen.metrics import ClassifierFeatures, novelty

BANDWIDTHS = (0.6, 0.8, 1.0)


def k_means(Z, n_cells, seed, **params):
    params = {"n_clusters": n_cells, "n_init": 1, "random_state": seed} | params
    return KMeans(**params).fit(Z).labels_


def principal_cuts(Z, n_cells, seed):
    """Cut the cell of the largest scatter at the mean of its leading principal component."""
    cells = [np.arange(len(Z))]
    scatters = [np.inf]
    while len(cells) < n_cells:
        rows = cells.pop(widest := int(np.argmax(scatters)))
        scatters.pop(widest)
        component = PCA(1, svd_solver="covariance_eigh").fit_transform(Z[rows])[:, 0]
        for side in (component <= 0, component > 0):
            cells.append(rows[side])
            scatters.append(len(rows[side]) * Z[rows[side]].var(axis=0).sum())
    labels = np.empty(len(Z), dtype=int)
    for cell, rows in enumerate(cells):
        labels[rows] = cell
    return labels


def principal_cuts_and_k_means(Z, n_cells, seed, n_steps):
    labels = principal_cuts(Z, n_cells, seed)
    means = np.array([Z[labels == cell].mean(axis=0) for cell in range(n_cells)])
    return k_means(Z, n_cells, seed, init=means, max_iter=n_steps)


def tree_on_components(Z, n_cells, seed):
    """A tree on principal components, with the first eight of them as targets."""
    components = PCA(16, random_state=seed).fit_transform(Z)
    tree = DecisionTreeRegressor(
        max_leaf_nodes=n_cells, min_samples_leaf=5, max_features=4, random_state=seed
    )
    return tree.fit(components, components[:, :8]).apply(components)


def tree_on_sum(Z, n_cells, seed, **params):
    """A tree with hvrt's target."""
    Z = ((Z - Z.mean(axis=0)) / Z.std(axis=0)).astype(np.float32)
    tree = DecisionTreeRegressor(
        max_leaf_nodes=n_cells, min_samples_leaf=5, random_state=seed, **params
    )
    return tree.fit(Z, Z.sum(axis=1)).apply(Z)


def histogram_tree_on_sum(Z, n_cells, seed):
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    tree = HistGradientBoostingRegressor(
        max_iter=1,
        learning_rate=1,
        max_leaf_nodes=n_cells,
        min_samples_leaf=5,
        early_stopping=False,
    )
    # Leaves by their values, which are all that the public interface shows.
    return tree.fit(Z, Z.sum(axis=1)).predict(Z)


def of_sampler(Z, n_cells, seed, **params):
    sampler = FastHVRTSampler(n_partitions=n_cells, random_state=seed, **params)
    return sampler.fit(Z).apply(Z)


LOCAL = {
    "k-means, 20 steps": partial(k_means, max_iter=20),
    "k-means, 5 steps": partial(k_means, init="random", max_iter=5),
    "k-means, 3 steps": partial(k_means, init="random", max_iter=3),
    "k-means, 3 steps, then density": lambda Z, n_cells, seed: LocalGaussianSampler(
        n_cells, random_state=seed
    ).fit(Z),
    "mini-batch k-means": lambda Z, n_cells, seed: (
        MiniBatchKMeans(n_cells, n_init=1, batch_size=4096, max_iter=20, random_state=seed)
        .fit(Z)
        .labels_
    ),
    "bisecting k-means": lambda Z, n_cells, seed: (
        BisectingKMeans(n_cells, max_iter=10, random_state=seed).fit(Z).labels_
    ),
    "principal cuts": principal_cuts,
    "principal cuts, 1 step of k-means": partial(principal_cuts_and_k_means, n_steps=1),
    "principal cuts, 3 steps of k-means": partial(principal_cuts_and_k_means, n_steps=3),
    "tree on principal components": tree_on_components,
    "FastHVRT, local": partial(of_sampler, partition="local"),
    "FastHVRT, hvrt": partial(of_sampler, min_samples_leaf=5),
}
TREES = {
    "FastHVRT, hvrt": partial(of_sampler, min_samples_leaf=5),
    "FastHVRT, hvrt, random": partial(of_sampler, min_samples_leaf=5, tree_splitter="random"),
    "FastHVRT, fast": partial(of_sampler, min_samples_leaf=5, partition="fast"),
    "histogram tree": histogram_tree_on_sum,
    "best cuts of 8 random features": partial(tree_on_sum, max_features=8),
}


class Cells:
    """Codes sorted by cell, with the moments of the cells."""

    def __init__(self, Z, labels):
        order = np.argsort(labels, kind="stable")
        self.Z = Z[order].astype(np.float64)
        _, self.starts, self.cells, sizes = np.unique(
            labels[order], return_index=True, return_inverse=True, return_counts=True
        )
        self.means = np.add.reduceat(self.Z, self.starts) / sizes[:, None]
        self.stops = self.starts + sizes
        self.sizes = sizes

    def local_gaussian(self, n_samples, bandwidth, seed):
        rng = np.random.default_rng(seed)
        rows = rng.integers(len(self.Z), size=n_samples)
        cells = self.cells[rows]
        keep = np.sqrt(1 - bandwidth**2)
        Z_new = keep * self.Z[rows] + (1 - keep) * self.means[cells]
        for cell in np.unique(cells):
            centered = self.Z[self.starts[cell] : self.stops[cell]] - self.means[cell]
            drawn = np.flatnonzero(cells == cell)
            # A sum of the cell's rows with normal weights has the covariance of the cell.
            weights = rng.standard_normal((len(drawn), len(centered)))
            Z_new[drawn] += bandwidth * weights @ centered / np.sqrt(len(centered))
        return Z_new.astype(np.float32)

    def epanechnikov(self, n_samples, seed):
        rng = np.random.default_rng(seed)
        rows = rng.integers(len(self.Z), size=n_samples)
        variances = np.add.reduceat(self.Z**2, self.starts) / self.sizes[:, None] - self.means**2
        n_features = self.Z.shape[1]
        widths = np.sqrt(variances) * self.sizes[:, None] ** (-1 / (n_features + 4))
        # The median of three uniforms has the density 3 / 4 (1 - u^2).
        noise = np.median(rng.uniform(-1, 1, (3, n_samples, n_features)), axis=0)
        return (self.Z[rows] + widths[self.cells[rows]] * noise).astype(np.float32)


class SamplerCells:
    """The cells of a fitted `LocalGaussianSampler`, which draws from them itself."""

    def __init__(self, Z, sampler):
        self.Z, self.sampler, self.sizes = Z, sampler, sampler.cell_sizes_

    def local_gaussian(self, n_samples, bandwidth, seed):
        sampler = clone(self.sampler).set_params(bandwidth=bandwidth).fit(self.Z)
        return sampler.sample(n_samples, random_state=seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, nothing is written")
    parser.add_argument("--data-home", help="folder with the MNIST files")
    parser.add_argument("--cache", default=Path(__file__).parent / ".cache")
    parser.add_argument("--results", default=RESULTS, help="folder of the results file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    every = [*LOCAL, *TREES]
    parser.add_argument("--partitions", nargs="+", choices=every, default=every)
    arguments = parser.parse_args()
    smoke = arguments.smoke
    try:
        (X, y), (X_test, y_test) = (
            fetch_mnist(
                subset=subset,
                data_home=arguments.data_home,
                download_if_missing=not smoke,
                return_X_y=True,
            )
            for subset in ("train", "test")
        )
    except OSError as error:
        print(f"partitions: skipped, {error}" if smoke else error)
        sys.exit(0 if smoke else 2)
    n_generated, epochs, n_local, n_leaves = 10_000, 20, 1000, 1500
    cache = Path(tempfile.mkdtemp() if smoke else arguments.cache)
    if smoke:
        X, y, X_test, y_test = X[:1500], y[:1500], X_test[:500], y_test[:500]
        n_generated, epochs, n_local, n_leaves = 300, 1, 20, 30
    features = cached(
        cache / "mnist-features.latentgen", lambda: ClassifierFeatures(random_state=0).fit(X, y)
    )
    judge = Judge(X, y, X_test, y_test, n_generated, features)
    for seed in arguments.seeds:
        autoencoder = ConvAutoencoder(64, max_epochs=epochs, random_state=seed)
        path = cache / f"mnist-autoencoder-{epochs}-epochs-{seed}.latentgen"
        autoencoder = cached(path, partial(autoencoder.fit, X))
        Z, Z_test = autoencoder.transform(X), autoencoder.transform(X_test)[:2500]
        for kernel, ways in (("local_gaussian", LOCAL), ("epanechnikov", TREES)):
            for name, cut in ways.items():
                if name not in arguments.partitions:
                    continue
                start = time.process_time()
                found = cut(Z, n_local if ways is LOCAL else n_leaves, seed)
                seconds = time.process_time() - start
                of_sampler = isinstance(found, LocalGaussianSampler)
                cells = SamplerCells(Z, found) if of_sampler else Cells(Z, found)
                for bandwidth in BANDWIDTHS if kernel == "local_gaussian" else ("",):
                    if kernel == "local_gaussian":
                        Z_new = cells.local_gaussian(n_generated, bandwidth, seed)
                    else:
                        Z_new = cells.epanechnikov(n_generated, seed)
                    distances = novelty(Z, Z_test, Z_new)
                    row = {
                        "kernel": kernel,
                        "partition": name,
                        "bandwidth": bandwidth,
                        "seed": seed,
                        "n_cells": len(cells.sizes),
                        "cut_cpu_s": seconds,
                        **judge.images(autoencoder.inverse_transform(Z_new)),
                        "novelty": distances.novelty,
                        "near_copies": distances.near_copies,
                        "n_generated": n_generated,
                        "n_real": len(X_test),
                        "extractor": f"ClassifierFeatures fitted on {features.fitted_on_}",
                        **environment(),
                    }
                    print_rows(
                        [row], ["kernel", "partition", "bandwidth", "cut_cpu_s", "fid", "novelty"]
                    )
                    sys.stdout.flush()
                    if not smoke:
                        keys = ("kernel", "partition", "bandwidth", "seed")
                        update_rows("partitions", [row], keys, arguments.results)


if __name__ == "__main__":
    main()
