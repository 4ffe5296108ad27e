"""What the commands of the command line do."""

# SPDX-License-Identifier: BSD-3-Clause

import ast
import math
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from latentgen import (
    ConditionalSampler,
    ConvAutoencoder,
    FastHVRTSampler,
    LatentGenerativePipeline,
    datasets,
    load_model,
    make_latent_pipeline,
    save_model,
)
from latentgen._console import (
    ReportingGridSearch,
    best_without_copying,
    check_picture_name,
    describe_params,
    print_aligned,
    print_table,
    save_figure,
    save_json,
    save_results,
    scores_of,
    use_file_backend,
)
from latentgen._demo import run_demo
from latentgen.inspection import SampleGridDisplay, SweepDisplay
from latentgen.metrics import ClassifierFeatures, GenerationScorer, generation_report
from latentgen.utils._files import atomic_path
from latentgen.utils._optional import import_optional

_IMAGES_SHOWN = 400


def demo(args):
    """Run the demonstration."""
    run_demo(args.output, seed=args.seed, n_jobs=args.n_jobs)


def fit(args):
    """Fit a generator to images and save it."""
    _check_folder_of(args.output)
    X, y = _load_data(args.data, args.labels, args)
    pipeline = _make_pipeline(args, X, y)
    pipeline.set_params(
        autoencoder__latent_dim=args.latent_dim,
        autoencoder__verbose=int(sys.stderr.isatty()),
        **_sampler_params(pipeline, strategy=args.strategy, min_samples_leaf=args.min_samples_leaf),
    )
    classes = "without classes" if y is None else f"of {len(np.unique(y))} classes"
    print(f"Fitting to {len(X)} images of shape {X.shape[1:]}, {classes} ...", flush=True)
    pipeline.fit(X, y)
    last = pipeline["autoencoder"].history_[-1]
    save_model(pipeline, args.output)
    print(
        f"Trained for {last['epoch']} epochs on {pipeline['autoencoder'].device_}, last loss "
        f"{last['train_loss']:.4f} per pixel. Saved to '{args.output}'."
    )


def sample(args):
    """Draw images from a saved model."""
    if not (args.grid or args.output):
        raise ValueError("nothing to write: pass --grid PICTURE, --output PATH or both.")
    for path in filter(None, [args.grid, args.output]):
        _check_folder_of(path)
    if args.grid:
        use_file_backend("latentgen sample --grid")
        check_picture_name(args.grid)
    model = _load_generator(args)
    _check_channels(model.image_shape_, args)
    label = _find_label(model, args.label)
    batches = model.iter_sample(args.n_samples, y=label, random_state=args.seed)
    shown, n_shown = [], 0
    with _image_writer(args.output, args.n_samples, model.image_shape_) as write:
        for batch in batches:
            write(batch)
            if n_shown < _IMAGES_SHOWN:
                shown.append(batch[: _IMAGES_SHOWN - n_shown])
                n_shown += len(shown[-1])
    if args.grid:
        _save_grid(np.concatenate(shown), model.image_shape_, args.grid)
    written = " and ".join(f"'{path}'" for path in (args.output, args.grid) if path)
    print(f"Drew {args.n_samples} images; wrote {written}.")


def evaluate(args):
    """Measure a saved model against real images."""
    if args.json:
        _check_folder_of(args.json)
    model = _load_generator(args)
    X, y = _load_data(args.data, args.labels, args)
    X_train, y_train = None, None
    if args.train_data:
        X_train, y_train = _load_data(args.train_data, args.train_labels, args)
    for name, images in [("--data", X), ("--train-data", X_train)]:
        if images is not None and np.prod(images.shape[1:]) != np.prod(model.image_shape_):
            raise ValueError(
                f"{name} has images of shape {images.shape[1:]}, but the model makes images of "
                f"shape {model.image_shape_}."
            )
    features = None
    if y_train is not None:
        features = ClassifierFeatures(image_shape=model.image_shape_).fit(X_train, y_train)
    n_samples = args.n_samples or len(X)
    labels = None
    if y is not None and hasattr(model, "classes_"):
        # The class frequencies of the real images, whatever the number of images drawn.
        labels = np.sort(y)[(2 * np.arange(n_samples) + 1) * len(y) // (2 * n_samples)]
    report = generation_report(
        X,
        model.sample(n_samples, y=labels, random_state=args.seed),
        y_test=y,
        y_generated=labels,
        X_train=X_train,
        y_train=y_train,
        feature_extractor=features,
        encoder=model[:-1],
        random_state=args.seed,
    )
    print_aligned([["", "generated", "real (floor)"], *_report_lines(report)])
    print(f"\nDrawn: {report['n_generated']} images. Reference: {report['reference']}.")
    print(
        f"FID and KID compare {report['feature_extractor']}. Novelty: 1 is unseen real, 0 a copy."
    )
    if args.json:
        save_json(report, args.json)


def sweep(args):
    """Search parameters by cross-validation and save the best model."""
    use_file_backend("latentgen sweep")
    X, y = _load_data(args.data, args.labels, args)
    pipeline = _make_pipeline(args, X, y)
    grid = _parse_grid(args.param, pipeline)
    # Shuffled, because the images of a folder come class by class.
    folds = KFold if y is None else StratifiedKFold
    folds = folds(args.cv, shuffle=True, random_state=args.seed)
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    features = None if y is None else ClassifierFeatures(image_shape=_image_shape(args, X))
    if features is not None:
        features.fit(X, y)
    compared = "pixels" if y is None else "features of a classifier trained on these images"
    print(f"Searching on {len(X)} images of shape {X.shape[1:]}; FID and KID compare {compared}.")
    with tempfile.TemporaryDirectory() as cache:
        search = ReportingGridSearch(
            pipeline.set_params(memory=cache),
            grid,
            scoring=GenerationScorer(features, X_train=X, random_state=args.seed),
            refit=best_without_copying,
            cv=folds,
            n_jobs=args.n_jobs,
            error_score="raise",
        ).fit(X, y)
    results = search.cv_results_
    rows = [
        (describe_params(params), scores_of(results, index))
        for index, params in enumerate(results["params"])
    ]
    print("\nMeans over the folds, the lowest FID first:\n")
    print_table(sorted(rows, key=lambda row: row[1]["FID"]))
    save_results(results, output / "results.csv")
    save_figure(
        SweepDisplay.from_search(search, metric="neg_frechet_distance"), output / "sweep.png"
    )
    save_model(search.best_estimator_, output / "model.latentgen")
    print(
        f"\nBest without copying: {describe_params(search.best_params_)}. In '{output}': "
        "results.csv, sweep.png, model.latentgen."
    )


def _load_generator(args):
    model = load_model(args.model, trusted=args.trust)
    if not isinstance(model, LatentGenerativePipeline):
        raise ValueError(
            f"'{args.model}' holds a {type(model).__name__}, but only a whole "
            "LatentGenerativePipeline makes images. Use load_model in Python."
        )
    if not hasattr(model, "image_shape_"):
        raise ValueError(
            f"'{args.model}' makes no images: its first step must be a fitted autoencoder, got "
            f"{type(model.steps[0][1]).__name__}."
        )
    return model


def _load_data(source, labels, args):
    """Images and their labels, or None, from what the user named."""
    name, _, part = source.partition(":")
    if name in ("digits", "mnist", "cifar10"):
        X, y = _load_named(name, part)
    elif Path(source).is_dir():
        X, y = _load_folder(source, args)
    elif Path(source).suffix == ".npz":
        X, y = _load_array(source, "X"), _load_array(source, "y")
        if X is None:
            with np.load(source) as archive:
                names = ", ".join(archive) or "nothing"
            raise ValueError(f"'{source}' has no array 'X', only {names}.")
    elif Path(source).suffix == ".npy":
        X, y = _load_array(source), None
    elif Path(source).exists():
        raise ValueError(f"'{source}' is neither a folder nor a .npy or .npz file.")
    else:
        raise ValueError(
            f"there is no '{source}'. Expected a folder, a .npy or .npz file, or one of digits, "
            "mnist and cifar10."
        )
    if X.ndim < 2:
        raise ValueError(
            "expected images of shape (n, H, W), (n, C, H, W) or (n, features), got an array of "
            f"shape {X.shape} in '{source}'."
        )
    if labels:
        y = np.array(_load_array(labels))
    if y is not None and y.shape != X.shape[:1]:
        raise ValueError(
            f"expected one label per image, got labels of shape {y.shape} for {len(X)} images."
        )
    return X, None if args.unconditional else y


def _load_named(name, part):
    if part not in ("", "train", "test"):
        raise ValueError(f"expected {name}:train or {name}:test, got '{name}:{part}'.")
    if name != "digits":
        fetch = {"mnist": datasets.fetch_mnist, "cifar10": datasets.fetch_cifar10}[name]
        return fetch(subset=part or "train", return_X_y=True)
    X, y = datasets.load_digits_images(return_X_y=True)
    if not part:
        return X, y
    # The data has no parts of its own; these are the same in every call.
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=1 / 3, stratify=y, random_state=0
    )
    return (X_train, y_train) if part == "train" else (X_test, y_test)


def _load_folder(folder, args):
    try:
        images = datasets.load_image_folder(
            folder,
            image_size=args.image_size,
            mode="L" if args.gray else "RGB",
            errors="warn",
        )
    except ValueError as error:
        raise ValueError(str(error).replace("image_size=(H, W)", "--image-size H W")) from error
    if images.target is None:
        return images.data, None
    return images.data, np.asarray(images.target_names)[images.target]


def _load_array(path, name=None):
    """The array of a .npy file, or the one of this name in a .npz file, None where it has none."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if name:
            with array as archive:
                array = archive[name] if name in archive else None
    except OSError:
        raise
    except Exception as error:  # NumPy and zipfile raise nearly anything on damaged files.
        raise _unreadable(path, name) from error
    # An archive without a name asked for, or a member of it that is no array.
    if not isinstance(array, np.ndarray | None):
        raise _unreadable(path, name)
    return array


def _unreadable(path, name):
    return ValueError(
        f"'{path}' is no {'.npz' if name else '.npy'} file of numbers or text: it is damaged, of "
        "another format or holds Python objects."
    )


def _image_shape(args, X):
    """The ``image_shape`` parameter: only flat images need one."""
    return (1, *args.image_size) if args.image_size and X.ndim == 2 else None


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
    known = [full for full in pipeline.get_params() if "__" in full]
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
        grid[_find_param(pipeline, name)] = [_parse_value(value) for value in values.split(",")]
    return grid


def _parse_value(text):
    """A Python number, boolean or None where it reads as one, else the text."""
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
        raise ValueError(f"the model knows no label '{text}', only {', '.join(labels)}.")
    return labels[text]


def _report_lines(report):
    def number(key, style):
        value = report[key]
        return "-" if value is None else format(value, style)

    kid = [
        f"{number(key, '.4f')} ± {number(f'{key}_error', '.4f')}"
        if report[key] is not None
        else "-"
        for key in ("kernel_distance", "kernel_distance_floor")
    ]
    return [
        ["FID", *(number(f"frechet_distance{end}", ".2f") for end in ("", "_floor"))],
        ["KID", *kid],
        ["TSTR", *(number(f"tstr{end}", ".1%") for end in ("", "_floor"))],
        ["latent KS", *(number(f"latent_ks{end}", ".3f") for end in ("", "_floor"))],
        ["novelty", number("novelty", ".2f"), ""],
        ["near-copies", number("near_copies", ".1%"), ""],
    ]


def _check_folder_of(path):
    """Find out before the work, and not after it, that the result cannot be written."""
    parent = Path(path).parent
    if not parent.is_dir():
        raise FileNotFoundError(f"cannot write '{path}': there is no folder '{parent}'.")


def _check_channels(image_shape, args):
    as_pictures = args.grid or (args.output and Path(args.output).suffix != ".npy")
    if as_pictures and image_shape[0] not in (1, 3, 4):
        raise ValueError(
            f"pictures have 1, 3 or 4 channels, but the model makes images of shape {image_shape}. "
            "Write an array: --output NAME.npy."
        )


def _save_grid(X, image_shape, path):
    n_columns = math.ceil(math.sqrt(len(X)))
    display = SampleGridDisplay.from_images(
        X, n_rows=math.ceil(len(X) / n_columns), n_columns=n_columns, image_shape=image_shape
    )
    save_figure(display, path)


@contextmanager
def _image_writer(path, n_samples, image_shape):
    """Give a function that writes a batch of images to a .npy file, a folder or nowhere."""
    if path is None:
        yield lambda batch: None
    elif Path(path).suffix == ".npy":
        with atomic_path(path) as temporary:
            yield _NpyWriter(temporary, n_samples)
    else:
        Path(path).mkdir(exist_ok=True)
        yield _PngWriter(Path(path), n_samples, image_shape)


class _NpyWriter:
    """Fills a .npy file batch by batch, so that memory does not grow with their number."""

    def __init__(self, path, n_samples):
        self.path, self.n_samples, self.done = path, n_samples, 0
        self.array = None

    def __call__(self, batch):
        if self.array is None:
            shape = (self.n_samples, *batch.shape[1:])
            self.array = np.lib.format.open_memmap(self.path, "w+", batch.dtype, shape)
        self.array[self.done : self.done + len(batch)] = batch
        self.done += len(batch)
        if self.done == self.n_samples:
            self.array.flush()


class _PngWriter:
    """Writes one PNG file per image."""

    def __init__(self, folder, n_samples, image_shape):
        self.image = import_optional("PIL.Image", extra="images", needed_by="latentgen sample")
        self.folder, self.image_shape, self.done = folder, image_shape, 0
        self.digits = max(4, len(str(n_samples - 1)))

    def __call__(self, batch):
        if batch.dtype != np.uint8:
            batch = np.rint(np.clip(batch, 0, 1) * 255).astype(np.uint8)
        for pixels in batch.reshape(-1, *self.image_shape).transpose(0, 2, 3, 1):
            picture = self.image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            with atomic_path(self.folder / f"{self.done:0{self.digits}d}.png") as temporary:
                picture.save(temporary)
            self.done += 1
