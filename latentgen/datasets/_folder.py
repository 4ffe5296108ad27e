"""Images in folders, as large as they come."""

# SPDX-License-Identifier: BSD-3-Clause

import io
import os
from numbers import Integral
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions, validate_params

from latentgen.datasets._decode import decode_image
from latentgen.utils._files import atomic_path, check_regular_file
from latentgen.utils._warnings import warn_user

_EXTENSIONS = frozenset(
    [".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"]
)
_HEADER_BYTES = 128
_NAMES_IN_WARNING = 10


def _images_in(folder, names):
    """Image files of some names in `folder`, without hidden ones; links to nothing among them."""
    paths = (folder / name for name in names if not name.startswith("."))
    return [
        path for path in paths if path.suffix.lower() in _EXTENSIONS and not os.path.isdir(path)
    ]


def _images_below(folder, on_error):
    """Image files in `folder` and below, sorted by path, without hidden files and folders."""
    found = []
    for root, folders, names in os.walk(folder, onerror=on_error):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += _images_in(Path(root), names)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _list_images(folder, errors):
    """Return the image files, their class numbers (None without class folders) and class names."""
    unread = []
    subfolders = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    by_class = {sub.name: _images_below(sub, unread.append) for sub in subfolders}
    if unread:
        named = ", ".join(
            f"'{error.filename}' ({error.strerror})" for error in unread[:_NAMES_IN_WARNING]
        )
        if errors == "raise":
            raise OSError(
                f"Cannot read {len(unread)} folders: {named}. Change their permissions, or pass "
                "errors='warn' to leave them out."
            )
        warn_user(f"Left out {len(unread)} folders that cannot be read: {named}.")
    by_class = {name: paths for name, paths in by_class.items() if paths}
    loose = sorted(_images_in(folder, os.listdir(folder)))
    if not by_class:
        if not loose:
            raise ValueError(
                f"No images in '{folder}' or its subfolders. Files with these extensions are "
                f"read: {', '.join(sorted(_EXTENSIONS))}."
            )
        return loose, None, []
    if loose:
        warn_user(
            f"'{folder}' holds class folders, so {len(loose)} images beside them are left out, "
            f"for example '{loose[0].name}'. Move them into a class folder.",
        )
    paths = [path for paths in by_class.values() for path in paths]
    target = np.repeat(np.arange(len(by_class)), [len(paths) for paths in by_class.values()])
    return paths, target, list(by_class)


def _npy_header(shape):
    """Header of a .npy file of bytes, of the same length whatever the shape.

    Format 1.0 of https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
    """
    text = repr({"descr": "|u1", "fortran_order": False, "shape": tuple(shape)})
    prefix = b"\x93NUMPY\x01\x00" + (_HEADER_BYTES - 10).to_bytes(2, "little")
    return prefix + text.ljust(_HEADER_BYTES - 11).encode("latin1") + b"\n"


def _write_images(paths, file, *, mode, image_size, errors):
    """Append the pixels of all readable images to `file`.

    Returns
    -------
    shape : tuple of int
        (n, C, H, W) of what was written.
    kept : ndarray of shape (n,)
        Rows of `paths` that were readable.
    """
    shape, kept, bad = None, [], []
    for row, path in enumerate(paths):
        try:
            check_regular_file(path)
            pixels = decode_image(
                path, mode=mode, image_size=image_size, needed_by="load_image_folder"
            )
        except ImportError:
            raise
        except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file.
            if errors == "raise":
                raise OSError(
                    f"Cannot read the image '{path}': {error}. Remove the file, or pass "
                    "errors='warn' to skip unreadable images."
                ) from error
            bad.append(f"'{path}' ({error})")
            continue
        if shape is None:
            shape, first = pixels.shape, path
        if pixels.shape != shape:
            raise ValueError(
                "Expected images of one size, got (H, W) = "
                f"{shape[1:]} in '{first}' and {pixels.shape[1:]} in '{path}'. Pass "
                "image_size=(H, W) to resize them."
            )
        file.write(pixels.data)
        kept.append(row)
    if not kept:
        raise OSError(f"None of the {len(paths)} images can be read, the first is {bad[0]}.")
    if bad:
        more = f" and {len(bad) - _NAMES_IN_WARNING} more" if len(bad) > _NAMES_IN_WARNING else ""
        warn_user(
            f"Skipped {len(bad)} of {len(paths)} images that cannot be read: "
            f"{', '.join(bad[:_NAMES_IN_WARNING])}{more}.",
        )
    return (len(kept), *shape), np.array(kept)


@validate_params(
    {
        "path": [str, os.PathLike],
        "image_size": [tuple, list, None],
        "mode": [StrOptions({"RGB", "L"})],
        "errors": [StrOptions({"raise", "warn"})],
        "memmap_path": [str, os.PathLike, None],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_image_folder(
    path, *, image_size=None, mode="RGB", errors="raise", memmap_path=None, return_X_y=False
):
    """Load the images of a folder, with its subfolders as classes.

    ``path/cats/1.jpg`` and ``path/dogs/2.png`` are images of the classes ``cats`` and ``dogs``;
    images deeper down belong to the same class. A folder without class folders gives images
    without labels. Files are taken in sorted order of class and path; hidden files, files with
    other extensions and class folders without images are left out.

    Parameters
    ----------
    path : str or path-like
        Folder to read.
    image_size : tuple of int, default=None
        (H, W) that every image is resized to, with Pillow's Lanczos filter (antialiased) and
        without regard to the aspect ratio. If None, all images must have one size.
    mode : {'RGB', 'L'}, default='RGB'
        Three channels, or one channel of luminance (ITU-R 601-2).
    errors : {'raise', 'warn'}, default='raise'
        What to do with an image or a class folder that cannot be read: raise, or skip it and name
        it in a warning.
    memmap_path : str or path-like, default=None
        If given, images are written one by one to this ``.npy`` file, which takes its name only
        when complete and replaces an older one, and come back as a read-only `numpy.memmap`.
        With it the data may be larger than memory.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    images : :class:`~sklearn.utils.Bunch`
        With these attributes:

        data : ndarray or memmap of shape (n_samples, C, H, W), dtype uint8
            Images, upright (EXIF orientation applied), transparent parts on white.
        target : ndarray of shape (n_samples,), dtype int64, or None
            Index into `target_names`; None without class folders.
        target_names : list of str
            Names of the class folders.
        filenames : list of str
            Where each image came from.
        DESCR : str
            Description.
    (data, target) : tuple if ``return_X_y=True``
        The images and their labels.

    Raises
    ------
    FileNotFoundError
        If `path` is not a folder, or there is no folder for `memmap_path`.
    ValueError
        If there are no images, or if they differ in size and `image_size` is None.
    OSError
        If an image or a folder cannot be read and ``errors='raise'``, or if no image can be read.
    ImportError
        If Pillow is missing.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from PIL import Image
    >>> from latentgen.datasets import load_image_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ["cats", "dogs"]:
    ...         Path(folder, name).mkdir()
    ...         Image.fromarray(np.zeros((20, 28), np.uint8)).save(Path(folder, name, "1.png"))
    ...     images = load_image_folder(folder, mode="L")
    >>> images.data.shape, images.target, images.target_names
    ((2, 1, 20, 28), array([0, 1]), ['cats', 'dogs'])
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"Expected a folder of images, got '{folder}', not a folder.")
    if image_size is not None and not (
        len(image_size) == 2 and all(isinstance(s, Integral) and s > 0 for s in image_size)
    ):
        raise ValueError(f"'image_size' must be two positive integers (H, W), got {image_size!r}.")
    paths, target, target_names = _list_images(folder, errors)
    how = {"mode": mode, "image_size": image_size and tuple(image_size), "errors": errors}
    if memmap_path is None:
        file = io.BytesIO()
        shape, kept = _write_images(paths, file, **how)
        data = np.frombuffer(file.getbuffer(), np.uint8).reshape(shape)
    else:
        with atomic_path(memmap_path) as temporary, temporary.open("wb") as file:
            # The header comes last, so that half a file is not an array.
            file.write(bytes(_HEADER_BYTES))
            shape, kept = _write_images(paths, file, **how)
            file.seek(0)
            file.write(_npy_header(shape))
        data = np.load(memmap_path, mmap_mode="r")
    target = None if target is None else target[kept]
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        target_names=target_names,
        filenames=[str(paths[row]) for row in kept],
        DESCR=f"{len(data)} images of shape {data.shape[1:]} from '{folder}'.",
    )
