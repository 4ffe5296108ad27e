"""The demonstration: a real search on the digits that come with scikit-learn."""

# SPDX-License-Identifier: BSD-3-Clause

import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid, StratifiedKFold, train_test_split
from threadpoolctl import threadpool_limits

from latentgen import (
    ConditionalSampler,
    ConvAutoencoder,
    FastHVRTSampler,
    GaussianSampler,
    __version__,
    make_latent_pipeline,
    save_model,
)
from latentgen.cli._console import (
    ReportingGridSearch,
    candidate_rows,
    print_table,
)
from latentgen.cli._writing import (
    check_folder,
    files_in,
    use_file_backend,
    write_figure,
    write_json,
)
from latentgen.datasets import load_digits_images
from latentgen.exceptions import NearCopyWarning
from latentgen.inspection import SampleGridDisplay, SweepDisplay
from latentgen.metrics import ClassifierFeatures, GenerationScorer, generation_report
from latentgen.metrics._measures import MEASURES
from latentgen.model_selection import MOST_NEAR_COPIES, best_without_copying

GRID = {
    "autoencoder__latent_dim": [8, 16],
    "sampler__sampler__min_samples_leaf": [5, 20],
    "sampler__sampler__strategy": ["epanechnikov", "local_gaussian", "bootstrap_noise"],
}
_FILES = ("samples.png", "sweep.png", "report.json", "report.html", "model.latentgen")


def demo(args):
    """Run the demonstration."""
    run_demo(args.output, seed=args.seed, n_jobs=args.n_jobs)


# Threads cost more than they save on images of 8 x 8 pixels, on a busy machine many times over.
@threadpool_limits.wrap(limits=1)
def run_demo(output, *, seed=0, n_jobs=None, grid=GRID, max_epochs=30, n_images=None):
    """Search, judge, draw and save a generator of digits.

    Parameters
    ----------
    output : str or path-like
        Folder for ``samples.png``, ``sweep.png``, ``report.json``, ``report.html`` and
        ``model.latentgen``.
    seed : int, default=0
        Seed of the split, of training and of the images drawn.
    n_jobs : int, default=None
        Number of folds at the same time.
    grid : dict, default=GRID
        Parameters to search.
    max_epochs : int, default=30
        Passes of the autoencoder over the images.
    n_images : int, default=None
        Use the first images only.

    Returns
    -------
    report : dict
        What ``report.json`` holds.
    """
    start = time.perf_counter()
    use_file_backend("latentgen demo")
    output = Path(output)
    check_folder(output, _FILES)

    X, y = load_digits_images(return_X_y=True)
    X, y = X[:n_images], y[:n_images]
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=1 / 3, stratify=y, random_state=seed
    )
    X_train, X_judge, y_train, y_judge = train_test_split(
        X_train, y_train, test_size=1 / 4, stratify=y_train, random_state=seed
    )
    print(
        f"latentgen {__version__} on {len(X)} digits of 8 x 8 pixels, embedded in scikit-learn: "
        f"{len(X_train)} for training,\n{len(X_judge)} for the features that judge, "
        f"{len(X_test)} held out for the final numbers."
    )
    features = ClassifierFeatures(max_epochs=30, random_state=0).fit(X_judge, y_judge)
    accuracy = np.mean(features.predict(X_test) == y_test)
    print(
        "FID and KID are measured in the features of a small classifier that has seen neither part"
        f"\n(accuracy on the held-out images: {accuracy:.1%}). FID of so few images is biased: "
        "read it beside the floor."
    )

    with tempfile.TemporaryDirectory() as cache, warnings.catch_warnings():
        # The table has a column of near-copies, and what is said above and below once is enough.
        warnings.simplefilter("ignore", NearCopyWarning)
        warnings.filterwarnings("ignore", "The covariance of 128 features")
        warnings.filterwarnings("ignore", "No candidate qualifies")
        pipeline = make_latent_pipeline(
            # Settings for small images: many small steps, large enough to learn from each.
            ConvAutoencoder(
                channels=(32,), max_epochs=max_epochs, batch_size=64, random_state=seed
            ),
            ConditionalSampler(FastHVRTSampler(random_state=seed)),
            memory=cache,
        )
        # The table shows the distance of copiers beside their near-copies.
        scorer = GenerationScorer(features, X_train=X_train, most_near_copies=1, random_state=seed)
        search = _search(pipeline, grid, scorer, seed, n_jobs).fit(X_train, y_train)
        validated = candidate_rows(search)

        def judge(generator, **labels):
            drawn = generator.sample(len(X_test), random_state=seed, y=labels.get("y_generated"))
            return generation_report(
                X_test,
                drawn,
                y_test=y_test,
                X_train=X_train,
                feature_extractor=features,
                encoder=generator[:-1],
                random_state=seed,
                **labels,
            )

        rows = []
        labels = np.sort(y_test)
        for params, (name, _) in zip(search.cv_results_["params"], validated, strict=True):
            candidate = clone(search.estimator).set_params(**params).fit(X_train, y_train)
            rows.append((name, _values(judge(candidate, y_generated=labels))))
        rows.sort(key=lambda row: row[1]["FID"])
        prior = clone(search.best_estimator_)
        prior.set_params(sampler=GaussianSampler(covariance="identity")).fit(X_train)
        rows.append(("N(0, I) in its latent space", _values(judge(prior))))
        best = search.best_estimator_.set_params(memory=None)
        judged = judge(best, y_generated=labels, y_train=y_train)

    rows.insert(0, ("real training images (floor)", _values(judged, "_floor")))
    chosen, scores = validated[search.best_index_]
    qualifies = scores["near-copies"] <= MOST_NEAR_COPIES
    if qualifies:
        rule = (
            f"chosen: the lowest cross-validated FID with at most {MOST_NEAR_COPIES:.0%} "
            "near-copies"
        )
    else:
        rule = (
            f"no candidate qualifies, all have more than {MOST_NEAR_COPIES:.0%} near-copies; "
            "this one has the fewest"
        )
    print(f"\nOn the {len(X_test)} held-out images (FID, KID: lower is better):\n")
    print_table([(f"{name} *" if name == chosen else name, row) for name, row in rows])
    print(
        f"\n* {rule}. Novelty is the distance to the\n  training images, 1 for unseen real "
        "images and 0 for copies. TSTR is the accuracy on real images of a\n  classifier trained "
        "on generated ones; coverage is the fraction of real images that have a generated\n  one "
        "near by."
    )

    report = {
        "latentgen": __version__,
        "seed": seed,
        "n_train": len(X_train),
        "n_judge": len(X_judge),
        "n_test": len(X_test),
        "chosen": search.best_params_,
        "qualifies": bool(qualifies),
        "report": judged,
        "held_out": [{"candidate": name, **row} for name, row in rows],
        "cross_validated": [
            {**params, **row}
            for params, (_, row) in zip(search.cv_results_["params"], validated, strict=True)
        ],
        "seconds": round(time.perf_counter() - start, 1),
    }
    samples = SampleGridDisplay.from_estimator(
        best, X_test, y_test, n_columns=10, random_state=seed
    )
    sweep = SweepDisplay.from_search(
        search, metric=("neg_frechet_distance", "novelty"), group_by="strategy"
    )
    page = judged.to_html(title="Digits drawn by latentgen demo")
    with files_in(output, _FILES) as (samples_file, sweep_file, report_file, page_file, model_file):
        write_figure(samples, samples_file)
        write_figure(sweep, sweep_file)
        write_json(report, report_file)
        page_file.write_text(page, encoding="utf-8")
        save_model(best, model_file)
    print(
        f"\nDone in {time.perf_counter() - start:.0f} s. In '{output}': samples.png (generated "
        "beside real digits), sweep.png, report.json,\nreport.html (a verdict of every number), "
        "model.latentgen. Next:\n"
        f"  latentgen sample {output / 'model.latentgen'} -n 25 --label 3 --grid threes.png"
    )
    return report


def _search(pipeline, grid, scorer, seed, n_jobs):
    n_candidates = len(ParameterGrid(grid))
    print(
        f"\nGridSearchCV: {n_candidates} candidates, 3 folds; each autoencoder is fitted once per "
        "fold and reused:"
    )
    return ReportingGridSearch(
        pipeline,
        grid,
        scoring=scorer,
        refit=best_without_copying,
        cv=StratifiedKFold(3, shuffle=True, random_state=seed),
        n_jobs=n_jobs,
        error_score="raise",
    )


def _values(report, ending=""):
    """Values of a report by heading, or with the ending ``'_floor'`` those of real images."""
    values = {
        measure.heading: report[f"{measure.key}{ending}"]
        for measure in MEASURES
        # The rest is in the report of the chosen one.
        if (measure.scored or measure.leads) and (measure.has_floor or not ending)
    }
    if ending:
        # They are the training images, so they are copies.
        values |= {"novelty": 0.0, "near-copies": 1.0}
    return {heading: value for heading, value in values.items() if value is not None}
