"""Standard image data sets: embedded, found on disk, or downloaded on request."""

# SPDX-License-Identifier: BSD-3-Clause

import gzip
import hashlib
import lzma
import os
import tarfile
import zlib
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from sklearn.datasets import load_digits
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions, validate_params

from latentgen.datasets._decode import decode_image
from latentgen.utils._files import atomic_path
from latentgen.utils._warnings import warn_user

_MNIST_MIRRORS = [
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
]
# SHA-256 of the unpacked files: copies around the world differ in their gzip wrapping.
_MNIST_FILES = {
    "train": {
        "train-images-idx3-ubyte.gz": (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte.gz": (
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
    },
    "test": {
        "t10k-images-idx3-ubyte.gz": (
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    },
}
# The largest unpacked file has 47 040 016 bytes; a damaged or hostile one may unpack to any size.
_MNIST_MAX_BYTES = 50_000_000
_MNIST_DESCR = """MNIST handwritten digits

60 000 training and 10 000 test images of 28 x 28 gray pixels, bytes in [0, 255], ten classes.
Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE 86(11), 1998. License: CC BY-SA 3.0.
"""

_CIFAR10_BINARY = "cifar-10-binary.tar.gz"
_CIFAR10_JPEG = "cifar10_jpeg.tar.xz"
_CIFAR10_NAMES = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]
_CIFAR10_DESCR = """CIFAR-10 tiny images

50 000 training and 10 000 test images of 3 x 32 x 32 pixels, bytes in [0, 255], ten classes.
A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""
_CIFAR10_JPEG_NOTE = """
This copy was re-encoded as JPEG: its pixels are NOT exactly those of the original. Say so beside
any number that is computed on it.
"""


@validate_params({"return_X_y": ["boolean"]}, prefer_skip_nested_validation=True)
def load_digits_images(*, return_X_y=False):
    """Load the 1 797 handwritten digits that come with scikit-learn, as images.

    They need no download and train in seconds: the place to start.

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    digits : :class:`~sklearn.utils.Bunch`
        With these attributes:

        data : ndarray of shape (1797, 1, 8, 8), dtype float32
            Images with pixels in [0, 1].
        target : ndarray of shape (1797,), dtype int64
            Digits.
        target_names : list of str
            Names of the classes.
        DESCR : str
            Description.
    (data, target) : tuple if ``return_X_y=True``
        The images and their labels.

    Examples
    --------
    >>> from latentgen.datasets import load_digits_images
    >>> X, y = load_digits_images(return_X_y=True)
    >>> X.shape, y.shape
    ((1797, 1, 8, 8), (1797,))
    """
    digits = load_digits()
    data = (digits.images[:, None] / 16).astype(np.float32)
    target = digits.target.astype(np.int64)
    if return_X_y:
        return data, target
    names = [str(name) for name in digits.target_names]
    return Bunch(data=data, target=target, target_names=names, DESCR=digits.DESCR)


def resolve_data_home(data_home):
    """Folder of the data: the argument, else $LATENTGEN_DATA, else ``~/latentgen_data``."""
    given = data_home or os.environ.get("LATENTGEN_DATA") or "~/latentgen_data"
    return Path(given).expanduser()


def find(name, home, folder):
    """Path of a data file in `home` or `home`/`folder`, or None."""
    return next((p for p in (home / folder / name, home / name) if p.is_file()), None)


def _unpack(packed, name, digest):
    """Unpack a gzip file and compare its SHA-256.

    Raises
    ------
    OSError
        If the file is damaged or not the expected one.
    """
    try:
        with gzip.open(BytesIO(packed)) as file:
            content = file.read(_MNIST_MAX_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise OSError(f"'{name}' is truncated or no gzip file: {error}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise OSError(
            f"'{name}' is not the expected file: the SHA-256 of its content is {found}, "
            f"expected {digest}"
        )
    return content


def _download(name, digest, folder):
    """Download one MNIST file into `folder` and return its unpacked content."""
    failures = []
    for mirror in _MNIST_MIRRORS:
        try:
            with urlopen(mirror + name, timeout=30) as response:
                packed = response.read(_MNIST_MAX_BYTES)
            content = _unpack(packed, name, digest)
        except (OSError, HTTPException) as error:
            failures.append(f"{mirror}{name}: {error}")
            continue
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(packed)
        return content
    raise OSError(
        f"Cannot download '{name}' ({'; '.join(failures)}). Get the four MNIST files elsewhere and "
        f"put them into '{folder}', or pass data_home= or set the environment variable "
        "LATENTGEN_DATA to the folder that holds them."
    )


def _parse_idx(content, name, n_dimensions):
    """Read the IDX format: two zero bytes, type, number of dimensions, sizes, values.

    Format: Y. LeCun, C. Cortes and C. Burges, "The MNIST database", section "file formats".
    """
    magic = bytes([0, 0, 8, n_dimensions])
    if content[:4] != magic:
        raise ValueError(
            f"'{name}' is not an IDX file of {n_dimensions}-dimensional bytes: expected it to "
            f"start with {magic.hex()}, got {content[:4].hex()}."
        )
    offset = 4 + 4 * n_dimensions
    shape = tuple(int(size) for size in np.frombuffer(content[4:offset], ">u4"))
    expected = int(np.prod(shape, dtype=object)) if len(shape) == n_dimensions else offset
    if len(content) != offset + expected:
        raise ValueError(
            f"'{name}' is truncated or damaged: expected {offset + expected} bytes for the shape "
            f"{shape}, got {len(content)}. Delete the file and fetch it again."
        )
    # A copy, because a view of the file's bytes could not be written to.
    return np.frombuffer(content, np.uint8, offset=offset).reshape(shape).copy()


@validate_params(
    {
        "subset": [StrOptions({"train", "test"})],
        "data_home": [str, os.PathLike, None],
        "download_if_missing": ["boolean"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def fetch_mnist(*, subset="train", data_home=None, download_if_missing=True, return_X_y=False):
    """Load the MNIST handwritten digits, downloading them if needed (about 12 MB).

    Parameters
    ----------
    subset : {'train', 'test'}, default='train'
        The 60 000 training or the 10 000 test images.
    data_home : str or path-like, default=None
        Folder that holds the four original ``.gz`` files, itself or in its subfolder ``mnist``,
        where downloads go. If None, the environment variable ``LATENTGEN_DATA``, and without it
        ``~/latentgen_data``.
    download_if_missing : bool, default=True
        If False, raise an error instead of downloading.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    mnist : :class:`~sklearn.utils.Bunch`
        With these attributes:

        data : ndarray of shape (n_samples, 1, 28, 28), dtype uint8
            Images, white on black.
        target : ndarray of shape (n_samples,), dtype int64
            Digits.
        target_names : list of str
            Names of the classes.
        DESCR : str
            Description.
    (data, target) : tuple if ``return_X_y=True``
        The images and their labels.

    Raises
    ------
    OSError
        If the files are missing and cannot be downloaded, are damaged, or are not MNIST: the
        SHA-256 of the content is compared in every call.

    Examples
    --------
    >>> from latentgen.datasets import fetch_mnist
    >>> X, y = fetch_mnist(return_X_y=True)  # doctest: +SKIP
    >>> X.shape  # doctest: +SKIP
    (60000, 1, 28, 28)
    """
    home = resolve_data_home(data_home)
    arrays = []
    for (name, digest), n_dimensions in zip(_MNIST_FILES[subset].items(), (3, 1), strict=True):
        path = find(name, home, "mnist")
        if path is not None:
            content = _unpack(path.read_bytes(), path, digest)
        elif download_if_missing:
            content = _download(name, digest, home / "mnist")
        else:
            raise OSError(
                f"'{name}' is neither in '{home}' nor in '{home / 'mnist'}', and "
                "download_if_missing=False. Put the MNIST files there, pass data_home= or set "
                "the environment variable LATENTGEN_DATA."
            )
        arrays.append(_parse_idx(content, path or name, n_dimensions))
    data, target = arrays[0][:, None], arrays[1].astype(np.int64)
    if return_X_y:
        return data, target
    names = [str(digit) for digit in range(10)]
    return Bunch(data=data, target=target, target_names=names, DESCR=_MNIST_DESCR)


def _read_cifar10_binary(path, subset):
    """Read the binary version: each record is one label and 3 x 32 x 32 pixels."""
    wanted = (
        [f"data_batch_{i}.bin" for i in range(1, 6)] if subset == "train" else ["test_batch.bin"]
    )
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = Path(member.name).name
            if member.isfile() and name in wanted:
                found[name] = np.frombuffer(archive.extractfile(member).read(), np.uint8)
    missing = [name for name in wanted if name not in found or found[name].size % 3073]
    if missing:
        raise OSError(f"'{path}' lacks a complete {missing[0]}. Delete it and get it again.")
    records = np.concatenate([found[name] for name in wanted]).reshape(-1, 3073)
    return np.ascontiguousarray(records[:, 1:]).reshape(-1, 3, 32, 32), records[:, 0]


def _read_cifar10_jpeg(path, subset):
    """Decode the JPEG version, in a fixed random order as the original is."""
    pixels, names = bytearray(), []
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and member.name.startswith(f"{subset}/"):
                file = BytesIO(archive.extractfile(member).read())
                pixels += decode_image(file, mode="RGB", needed_by="fetch_cifar10").data
                names.append(member.name)
    data = np.frombuffer(pixels, np.uint8).reshape(-1, 3, 32, 32)
    order = np.argsort(names)[np.random.RandomState(0).permutation(len(names))]
    labels = np.array([_CIFAR10_NAMES.index(name.split("/")[1]) for name in names], np.uint8)
    return data[order], labels[order]


def _cached_cifar10_jpeg(path, subset):
    """Decode the JPEG version once, and keep it in the user's own data home."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    file = Path("~/latentgen_data/cifar10").expanduser() / f"jpeg_{subset}_{digest}.npz"
    if file.is_file():
        try:
            # The archive has a checksum of each array, which is compared when it is read.
            with np.load(file) as arrays:
                return arrays["X"], arrays["y"]
        except Exception as error:  # NumPy and zipfile raise nearly anything on damaged files.
            warn_user(
                f"The decoded images in '{file}' are damaged ({error}), so they are decoded again."
            )
    X, y = _read_cifar10_jpeg(path, subset)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as temporary, temporary.open("wb") as opened:
            np.savez(opened, X=X, y=y)
    except OSError as error:
        warn_user(f"The decoded images cannot be cached: {error}.")
    return X, y


@validate_params(
    {
        "subset": [StrOptions({"train", "test"})],
        "data_home": [str, os.PathLike, None],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def fetch_cifar10(*, subset="train", data_home=None, return_X_y=False):
    """Load the CIFAR-10 images from an archive on disk.

    Parameters
    ----------
    subset : {'train', 'test'}, default='train'
        The 50 000 training or the 10 000 test images.
    data_home : str or path-like, default=None
        Folder that holds, itself or in its subfolder ``cifar10``, either the original
        ``cifar-10-binary.tar.gz`` or ``cifar10_jpeg.tar.xz`` (see Notes); the original is
        preferred. If None, the environment variable ``LATENTGEN_DATA``, and without it
        ``~/latentgen_data``.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    cifar10 : :class:`~sklearn.utils.Bunch`
        With these attributes:

        data : ndarray of shape (n_samples, 3, 32, 32), dtype uint8
            Images.
        target : ndarray of shape (n_samples,), dtype int64
            Index into `target_names`.
        target_names : list of str
            Names of the classes.
        filename : str
            The archive that was read.
        DESCR : str
            Description, with the version of the images.
    (data, target) : tuple if ``return_X_y=True``
        The images and their labels.

    Raises
    ------
    OSError
        If neither archive is found, or if it is damaged.
    ImportError
        If Pillow is missing, which the JPEG version needs.

    Notes
    -----
    ``cifar10_jpeg.tar.xz`` has one folder per class under ``train`` and ``test`` and holds images
    that were *re-encoded as JPEG*: its pixels are not exactly those of the original, and numbers
    computed on it are not comparable with published ones to the last digit. It is decoded once and
    cached with a checksum in ``~/latentgen_data/cifar10``, because `data_home` may be read-only;
    its images come in a fixed random order, as those of the original do. The ``python`` version of
    CIFAR-10 is a pickle, which can run any code, and is therefore not read.

    Examples
    --------
    >>> from latentgen.datasets import fetch_cifar10
    >>> X, y = fetch_cifar10(subset="test", return_X_y=True)  # doctest: +SKIP
    >>> X.shape  # doctest: +SKIP
    (10000, 3, 32, 32)
    """
    home = resolve_data_home(data_home)
    binary = find(_CIFAR10_BINARY, home, "cifar10")
    path = binary or find(_CIFAR10_JPEG, home, "cifar10")
    if path is None:
        raise OSError(
            f"Neither '{_CIFAR10_BINARY}' nor '{_CIFAR10_JPEG}' is in '{home}' or "
            f"'{home / 'cifar10'}'. Get the binary version from "
            "https://www.cs.toronto.edu/~kriz/cifar.html and put it there, pass data_home= or set "
            "the environment variable LATENTGEN_DATA."
        )
    read = _read_cifar10_binary if binary else _cached_cifar10_jpeg
    try:
        data, target = read(path, subset)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise OSError(f"'{path}' is damaged: {error}. Delete it and get it again.") from error
    target = target.astype(np.int64)
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        target_names=list(_CIFAR10_NAMES),
        filename=str(path),
        DESCR=_CIFAR10_DESCR + ("" if binary else _CIFAR10_JPEG_NOTE),
    )
