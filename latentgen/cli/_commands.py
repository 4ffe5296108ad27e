"""What the commands of the command line do."""

# SPDX-License-Identifier: BSD-3-Clause

import ast
import math
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import KFold, ParameterGrid, StratifiedKFold, train_test_split

from latentgen import (
    ConditionalSampler,
    ConvAutoencoder,
    FastHVRTSampler,
    LatentGenerativePipeline,
    load_model,
    make_latent_pipeline,
    save_model,
)
from latentgen.cli._console import (
    ReportingGridSearch,
    candidate_rows,
    fid_heading,
    print_table,
)
from latentgen.cli._reading import load_data
from latentgen.cli._writing import (
    check_channels,
    check_folder,
    check_output,
    check_picture_name,
    files_in,
    image_writer,
    save_grid,
    save_trained,
    use_file_backend,
    write_figure,
    write_results,
)
from latentgen.inspection import SweepDisplay
from latentgen.metrics import ClassifierFeatures, GenerationScorer, generation_report
from latentgen.metrics._features import default_extractor
from latentgen.metrics._scorer import labels_like
from latentgen.model_selection import MOST_NEAR_COPIES, best_without_copying
from latentgen.utils._early_checks import check_before_fit
from latentgen.utils._files import atomic_path, check_can_write
from latentgen.utils._images import settle_shape

_IMAGES_SHOWN = 400
_JUDGE_IMAGES = 5000
_SWEEP_FILES = ("results.csv", "sweep.png", "model.latentgen")
# Parameters that take objects, which a command line has none of.
_OF_OBJECTS = ("callbacks", "regularizers", "steps", "net_params")


def fit(args):
    """Fit a generator to images and save it."""
    check_can_write(args.output)
    X, y = load_data(args.data, args.labels, args)
    pipeline = _make_pipeline(args, X, y)
    pipeline.set_params(
        autoencoder__latent_dim=args.latent_dim,
        # Without a terminal, or with the output closed, nobody sees the bar.
        autoencoder__verbose=int(sys.stderr is not None and sys.stderr.isatty()),
        **_sampler_params(pipeline, strategy=args.strategy, min_samples_leaf=args.min_samples_leaf),
    )
    classes = "without classes" if y is None else f"of {len(np.unique(y))} classes"
    print(f"Fitting to {len(X)} images of shape {X.shape[1:]}, {classes} ...", flush=True)
    pipeline.fit(X, y)
    last = pipeline["autoencoder"].history_[-1]
    save_trained(pipeline, args.output)
    print(
        f"Trained for {last['epoch']} epochs on {pipeline['autoencoder'].device_}, last squared "
        f"error {last['train_mse']:.4f} per pixel. Saved to '{args.output}'."
    )


def sample(args):
    """Draw images from a saved model."""
    if not (args.grid or args.output):
        raise ValueError("nothing to write: pass --grid PICTURE, --output PATH or both.")
    if args.output:
        check_output(args.output)
    if args.grid:
        check_can_write(args.grid)
        use_file_backend("latentgen sample --grid")
        check_picture_name(args.grid)
    model = _load_generator(args)
    check_channels(model.image_shape_, args)
    label = _find_label(model, args.label)
    batches = model.iter_sample(args.n_samples, y=label, random_state=args.seed)
    shown, n_shown = [], 0
    with image_writer(args.output, args.n_samples, model.image_shape_) as write:
        for batch in batches:
            write(batch)
            if n_shown < _IMAGES_SHOWN:
                shown.append(batch[: _IMAGES_SHOWN - n_shown])
                n_shown += len(shown[-1])
        if args.grid:
            save_grid(np.concatenate(shown), model.image_shape_, args.grid)
    written = " and ".join(f"'{path}'" for path in (args.output, args.grid) if path)
    print(f"Drew {args.n_samples} images; wrote {written}.")


def evaluate(args):
    """Measure a saved model against real images."""
    for path in filter(None, (args.json, args.html)):
        check_can_write(path)
    model = _load_generator(args)
    X, y = load_data(args.data, args.labels, args)
    X_train, y_train = None, None
    if args.train_data:
        X_train, y_train = load_data(args.train_data, args.train_labels, args)
    for name, images in [("--data", X), ("--train-data", X_train)]:
        if images is not None and np.prod(images.shape[1:]) != np.prod(model.image_shape_):
            channels, height, width = model.image_shape_
            gray = " --gray" if channels == 1 else ""
            raise ValueError(
                f"{name} has images of shape {images.shape[1:]}, but the model makes images of "
                f"shape {model.image_shape_}. A folder is read as such images with "
                f"--image-size {height} {width}{gray}."
            )
    if y is not None:
        X, y, X_judge, y_judge = _set_judge_apart(X, y, args.seed, fraction=1 / 3)
        features = ClassifierFeatures(image_shape=model.image_shape_).fit(X_judge, y_judge)
    else:
        features, advice = default_extractor(X, model.image_shape_)
        if advice:
            print(advice)
    n_samples = args.n_samples or len(X)
    labels = None
    if y is not None and hasattr(model, "classes_"):
        labels = labels_like(y, n_samples)
    X_new = model.sample(n_samples, y=labels, random_state=args.seed)
    try:
        report = generation_report(
            X,
            X_new,
            y_test=y,
            y_generated=labels,
            X_train=X_train,
            y_train=y_train,
            feature_extractor=features,
            encoder=model[:-1],
            image_shape=model.image_shape_,
            random_state=args.seed,
        )
    except ValueError as error:
        # What was typed, in place of the names of parameters.
        text = str(error).replace("'X_test'", "--data").replace("'X_train'", "--train-data")
        raise ValueError(text) from error
    print(report)
    for path, make in ((args.json, report.to_json), (args.html, report.to_html)):
        if path:
            text = make()
            with atomic_path(path) as temporary:
                temporary.write_text(text, encoding="utf-8")


def sweep(args):
    """Search parameters by cross-validation and save the best model."""
    use_file_backend("latentgen sweep")
    output = Path(args.output)
    check_folder(output, _SWEEP_FILES)
    X, y = load_data(args.data, args.labels, args)
    pipeline = _make_pipeline(args, X, y)
    grid = _parse_grid(args.param, pipeline)
    # Shuffled, because the images of a folder come class by class.
    folds = KFold if y is None else StratifiedKFold
    folds = folds(args.cv, shuffle=True, random_state=args.seed)
    for candidate in ParameterGrid(grid):
        check_before_fit(clone(pipeline).set_params(**candidate).steps, X, y)
    features, compared = "pixels", "pixels"
    if y is not None:
        X, y, X_judge, y_judge = _set_judge_apart(X, y, args.seed)
        features = ClassifierFeatures(image_shape=_image_shape(args, X)).fit(X_judge, y_judge)
        compared = f"features of a classifier trained on {len(X_judge)} other images"
    print(f"Searching on {len(X)} images of shape {X.shape[1:]}; distances compare {compared}.")
    with tempfile.TemporaryDirectory() as cache, warnings.catch_warnings():
        # Said below, where no model is written.
        warnings.filterwarnings("ignore", "No candidate qualifies")
        search = ReportingGridSearch(
            pipeline.set_params(memory=cache),
            grid,
            # The table shows the distance of copiers beside their near-copies.
            scoring=GenerationScorer(
                features, X_train=X, most_near_copies=1, random_state=args.seed
            ),
            refit=best_without_copying,
            cv=folds,
            n_jobs=args.n_jobs,
            error_score="raise",
        ).fit(X, y)
    rows, heading = candidate_rows(search), fid_heading(search)
    chosen, scores = rows[search.best_index_]
    print(f"\nMeans over the folds, the lowest {heading} first:\n")
    print_table(sorted(rows, key=lambda row: row[1][heading]))
    figure = SweepDisplay.from_search(search, metric="neg_frechet_distance")
    qualifies = scores["near-copies"] <= MOST_NEAR_COPIES
    with files_in(output, _SWEEP_FILES if qualifies else _SWEEP_FILES[:2]) as files:
        write_results(search.cv_results_, files[0])
        write_figure(figure, files[1])
        if qualifies:
            save_model(search.best_estimator_, files[2])
    if not qualifies:
        raise ValueError(
            f"no candidate qualifies, so no model was written: expected at most "
            f"{MOST_NEAR_COPIES:.1%} near-copies, got {scores['near-copies']:.1%} or more. Search "
            "smoother samplers, for example with min_novelty or another strategy. In "
            f"'{output}': results.csv, sweep.png."
        )
    print(
        f"\nBest without copying: {chosen}. In '{output}': results.csv, sweep.png, model.latentgen."
    )


def _set_judge_apart(X, y, seed, *, fraction=0.2):
    """Images to search on or to judge by, and a fraction of each class for the features."""
    X, X_judge, y, y_judge = train_test_split(
        X, y, test_size=min(fraction, _JUDGE_IMAGES / len(X)), stratify=y, random_state=seed
    )
    return X, y, X_judge, y_judge


def _load_generator(args):
    model = load_model(args.model, trusted=args.trust)
    if not isinstance(model, LatentGenerativePipeline):
        raise ValueError(
            f"'{args.model}' holds a {type(model).__name__}, but only a whole "
            "LatentGenerativePipeline makes images. Use load_model in Python."
        )
    if not hasattr(model, "image_shape_"):
        raise ValueError(
            f"'{args.model}' cannot make images: its first step must be a fitted autoencoder, got "
            f"{type(model.steps[0][1]).__name__}."
        )
    return model


def _image_shape(args, X):
    """The ``image_shape`` parameter: only flat images need one."""
    if X.ndim != 2:
        return None
    if args.image_size:
        return (max(1, X.shape[1] // math.prod(args.image_size)), *args.image_size)
    try:
        return settle_shape(X.shape[1], None, None)
    except ValueError as error:
        there = "image_shape=(C, H, W), for example"
        raise ValueError(
            str(error).replace(there, "--image-size H W, where (C, H, W) is")
        ) from error


def _make_pipeline(args, X, y):
    sampler = FastHVRTSampler(random_state=args.seed)
    return make_latent_pipeline(
        ConvAutoencoder(
            image_shape=_image_shape(args, X),
            max_epochs=args.epochs,
            batch_size=args.batch_size or "auto",
            device=args.device,
            random_state=args.seed,
        ),
        sampler if y is None else ConditionalSampler(sampler),
    )


def _sampler_params(pipeline, **params):
    return {_find_param(pipeline, name): value for name, value in params.items()}


def _find_param(pipeline, name):
    """Full name of a parameter from its full name or from the end of it."""
    known = [
        full
        for full, value in pipeline.get_params().items()
        if "__" in full
        and not isinstance(value, BaseEstimator)
        and full.rpartition("__")[2] not in _OF_OBJECTS
    ]
    found = [full for full in known if full == name] or [
        full for full in known if full.endswith(f"__{name}")
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"parameter '{name}' may be {' or '.join(found)}. Give the full name.")
    raise ValueError(f"there is no parameter '{name}'. Known are {', '.join(sorted(known))}.")


def _parse_grid(texts, pipeline):
    """Turn NAME=V1,V2 into a parameter grid."""
    grid = {}
    for text in texts:
        name, sign, values = text.partition("=")
        if not (name and sign and values):
            raise ValueError(f"expected --param NAME=V1,V2, got '{text}'.")
        name = _find_param(pipeline, name)
        if name in grid:
            raise ValueError(f"--param names '{name}' twice. Give all its values at once.")
        grid[name] = [_parse_value(value) for value in values.split(",")]
    return grid


def _parse_value(text):
    """A Python number, boolean or None if the text reads as one, else the text."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text.strip()


def _find_label(model, text):
    """The label of the model that the user's text means."""
    if text is None:
        return None
    if not hasattr(model, "classes_"):
        raise ValueError("the model was fitted without labels, so it takes no --label.")
    labels = {str(label): label for label in model.classes_}
    if text not in labels:
        raise ValueError(
            f"'{text}' is not a label of the model. Its labels are {', '.join(labels)}."
        )
    return labels[text]
