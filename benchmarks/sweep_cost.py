"""What a grid over sampler parameters costs with and without ``memory=``.

A grid of 4 strategies x 4 leaf sizes x 3 folds on the digits. With ``memory``, each fold's
autoencoder is fitted once; what else the search must do is fitting 48 samplers and scoring them.
The bar compares the search with just that, measured alone in the same run: once without scoring
on either side (the three autoencoder fits plus the samplers' fits), once with it.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import tempfile
import time

from _record import RESULTS, environment, print_rows, write_rows
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, ParameterGrid

from latentgen import ConvAutoencoder, FastHVRTSampler, make_latent_pipeline
from latentgen.datasets import load_digits_images
from latentgen.metrics import FIDScorer

BAR = 1.3
GRID = {
    "sampler__strategy": [
        "epanechnikov",
        "bootstrap_noise",
        "multivariate_kde",
        "univariate_kde_copula",
    ],
    "sampler__min_samples_leaf": [5, 10, 20, 40],
}


class Stopwatch:
    """A scorer that adds up the time it takes."""

    def __init__(self, scorer):
        self.scorer = scorer
        self.seconds = 0.0

    def __call__(self, estimator, X, y=None):
        start = time.perf_counter()
        score = self.scorer(estimator, X, y)
        self.seconds += time.perf_counter() - start
        return score


def time_search(pipeline, grid, folds, X):
    scorer = Stopwatch(FIDScorer("pixels", X_train=X, random_state=0))
    search = GridSearchCV(pipeline, grid, scoring=scorer, cv=folds, refit=False)
    start = time.perf_counter()
    search.fit(X)
    return time.perf_counter() - start, scorer.seconds


def time_parts(pipeline, grid, folds, X):
    """Seconds of the autoencoder fits, the sampler fits and the scoring, without a search."""
    autoencoder, sampler = pipeline.named_steps["autoencoder"], pipeline.named_steps["sampler"]
    scorer = Stopwatch(FIDScorer("pixels", X_train=X, random_state=0))
    autoencoder_seconds = sampler_seconds = 0.0
    for train, test in folds.split(X):
        start = time.perf_counter()
        fitted = clone(autoencoder).fit(X[train])
        autoencoder_seconds += time.perf_counter() - start
        Z = fitted.transform(X[train])
        for parameters in ParameterGrid(grid):
            parameters = {name.removeprefix("sampler__"): v for name, v in parameters.items()}
            candidate = clone(sampler).set_params(**parameters)
            start = time.perf_counter()
            candidate.fit(Z)
            sampler_seconds += time.perf_counter() - start
            scorer(make_latent_pipeline(fitted, candidate), X[test])
    return autoencoder_seconds, sampler_seconds, scorer.seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, nothing is written")
    parser.add_argument("--results", default=RESULTS, help="folder of the results file")
    arguments = parser.parse_args()
    smoke = arguments.smoke
    X, _ = load_digits_images(return_X_y=True)
    X = X[:300] if smoke else X
    grid = {name: values[: 2 if smoke else 4] for name, values in GRID.items()}
    autoencoder = ConvAutoencoder(
        32, max_epochs=1 if smoke else 20, batch_size=64, device="cpu", random_state=0
    )
    folds = KFold(3, shuffle=True, random_state=0)
    pipeline = make_latent_pipeline(autoencoder, FastHVRTSampler(random_state=0))
    clone(pipeline).fit(X[:60])  # imports and thread pools are not part of the comparison

    autoencoders, samplers, scoring = time_parts(pipeline, grid, folds, X)
    with tempfile.TemporaryDirectory() as folder:
        cached = clone(pipeline).set_params(memory=folder)
        with_memory = time_search(cached, grid, folds, X)
        again = time_search(cached, grid, folds, X)
    without = time_search(pipeline, grid, folds, X)
    row = {
        "n_images": len(X),
        "n_fits": 3 * len(ParameterGrid(grid)),
        "autoencoder_fits_s": autoencoders,
        "sampler_fits_s": samplers,
        "scoring_s": scoring,
    }
    for name, (total, scored) in {
        "with_memory": with_memory,
        "again_with_memory": again,
        "without_memory": without,
    }.items():
        row[f"{name}_s"] = total
        row[f"{name}_ratio"] = (total - scored) / (autoencoders + samplers)
        row[f"{name}_ratio_scored"] = total / (autoencoders + samplers + scoring)
    row |= {
        "bar": BAR,
        "seed": 0,
    } | environment()
    for name in ("_s", "_ratio", "_ratio_scored"):
        print_rows([row], [key for key in row if key.endswith(name)])
    if not smoke:
        print(write_rows("sweep_cost", [row], arguments.results))


if __name__ == "__main__":
    main()
