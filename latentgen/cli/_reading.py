"""Images and labels from what the user named: a data set, a folder or a file."""

# SPDX-License-Identifier: BSD-3-Clause

from pathlib import Path
from pkgutil import resolve_name

import numpy as np
from sklearn.model_selection import train_test_split

from latentgen.cli._datasets import DATASETS
from latentgen.datasets import load_image_folder
from latentgen.utils._files import check_regular_file


def load_data(source, labels, args):
    """Images and their labels, or None, from what the user named."""
    name, _, part = source.partition(":")
    known = {dataset.name: dataset for dataset in DATASETS}
    if name in known:
        X, y = _load_named(known[name], part)
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
            f"there is no '{source}'. Expected a folder, a .npy or .npz file, or one of "
            f"{', '.join(known)}."
        )
    if X.ndim < 2:
        raise ValueError(
            "expected images of shape (n, H, W), (n, C, H, W) or (n, features), got an array of "
            f"shape {X.shape} in '{source}'."
        )
    if X.dtype.kind not in "buif":
        raise ValueError(f"expected images of numbers, got dtype {X.dtype} in '{source}'.")
    if labels:
        y = np.array(_load_array(labels))
    if y is not None and y.shape != X.shape[:1]:
        raise ValueError(
            f"expected one label per image, got labels of shape {y.shape} for {len(X)} images."
        )
    if args.unconditional or y is None:
        return X, None
    if y.dtype.kind not in "buifU":
        raise ValueError(
            f"expected labels of integers or text, got dtype {y.dtype}. Convert them, for example "
            "with y.astype(str)."
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(
            f"expected a label for each image, got {np.sum(~np.isfinite(y))} that are not finite. "
            "Leave these images out."
        )
    return X, y


def _load_named(dataset, part):
    known = dataset.parts or ("train", "test")
    if part not in ("", *known):
        wanted = " or ".join(f"{dataset.name}:{name}" for name in known)
        raise ValueError(f"expected {wanted}, got '{dataset.name}:{part}'.")
    load = resolve_name(dataset.loader)
    if dataset.parts:
        return load(subset=part or dataset.parts[0], return_X_y=True)
    X, y = load(return_X_y=True)
    if not part:
        return X, y
    # The data has no parts of its own; these are the same in every call.
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=1 / 3, stratify=y, random_state=0
    )
    return (X_train, y_train) if part == "train" else (X_test, y_test)


def _load_folder(folder, args):
    try:
        images = load_image_folder(
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
    check_regular_file(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if name:
            with array as archive:
                array = archive[name] if name in archive else None
    except OSError:
        raise
    except Exception as error:  # NumPy and zipfile raise nearly anything on damaged files.
        raise _unreadable(path, name) from error
    # An archive where an array was expected, or a member of one that is not an array.
    if not isinstance(array, np.ndarray | None):
        raise _unreadable(path, name)
    return array


def _unreadable(path, name):
    return ValueError(
        f"'{path}' is not a {'.npz' if name else '.npy'} file of numbers or text: it is damaged, "
        "of another format or holds Python objects."
    )
