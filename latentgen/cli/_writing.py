"""Files that the commands write: pictures, images, tables and JSON."""

# SPDX-License-Identifier: BSD-3-Clause

import csv
import errno
import io
import json
import math
import os
import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np

from latentgen import save_model
from latentgen.inspection import SampleGridDisplay
from latentgen.utils._files import atomic_path, check_can_write
from latentgen.utils._images import as_images, to_unit_floats
from latentgen.utils._optional import import_optional


def check_output(path):
    """Fail before the work if images cannot be written to a .npy file or a folder of this name."""
    path = Path(path)
    if path.is_dir():
        check_can_write(path / "0000.png")
    elif path.suffix != ".npy" and path.exists():
        raise FileExistsError(f"'{path}' is a file. Name a folder for PNG files, or a .npy file.")
    else:
        check_can_write(path)


def check_folder(folder, names):
    """Make a folder, and fail before the work if files of these names cannot be written there."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        check_can_write(folder / name)


@contextmanager
def files_in(folder, names):
    """Give temporary files that take the place of these together, when all are complete."""
    with ExitStack() as stack:
        yield [stack.enter_context(atomic_path(Path(folder) / name)) for name in names]


def save_trained(estimator, path):
    """Save a model; where that fails, save it elsewhere, since its training has taken long."""
    try:
        save_model(estimator, path)
    except OSError as error:
        elsewhere = Path(tempfile.mkdtemp()) / Path(path).name
        try:
            save_model(estimator, elsewhere)
        except OSError:
            elsewhere.parent.rmdir()
            raise error from None
        raise OSError(
            f"cannot write '{path}': {error.strerror or error}. The model was saved to "
            f"'{elsewhere}' instead; move it to where it shall stay."
        ) from error


def use_file_backend(needed_by):
    """Make matplotlib draw into files, which also works on a machine without a screen."""
    import_optional("matplotlib", extra="plot", needed_by=needed_by).use("Agg")


def check_picture_name(path):
    """Fail before the work, and not after it, if matplotlib does not write such a file."""
    backends = import_optional("matplotlib.backend_bases", extra="plot", needed_by="a picture")
    known = backends.FigureCanvasBase.get_supported_filetypes()
    known = known.keys() - {"pgf"}  # That needs a TeX system.
    if Path(path).suffix[1:].lower() not in known:
        raise ValueError(
            f"'{path}' is not the name of a picture. Use a suffix such as .png or .pdf."
        )


def check_channels(image_shape, args):
    as_pictures = args.grid or (args.output and Path(args.output).suffix != ".npy")
    if as_pictures and image_shape[0] not in (1, 3, 4):
        raise ValueError(
            f"pictures have 1, 3 or 4 channels, but the model makes images of shape {image_shape}. "
            "Write an array: --output NAME.npy."
        )


def write_figure(display, file, suffix=".png"):
    """Write the figure of a display."""
    display.figure_.savefig(file, dpi=150, format=suffix[1:].lower())


def write_json(content, file):
    """Write plain values as JSON; what is not finite becomes null."""
    file.write_text(json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")


def write_results(results, file):
    """Write the candidates of a search as CSV, one row per candidate."""
    keys = [key for key in results if key.startswith(("param_", "mean_", "std_"))]
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(keys)
        writer.writerows(zip(*(results[key] for key in keys), strict=True))


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def save_grid(X, image_shape, path):
    n_columns = math.ceil(math.sqrt(len(X)))
    display = SampleGridDisplay.from_images(
        X, n_rows=math.ceil(len(X) / n_columns), n_columns=n_columns, image_shape=image_shape
    )
    with atomic_path(path) as temporary:
        write_figure(display, temporary, Path(path).suffix)


@contextmanager
def image_writer(path, n_samples, image_shape):
    """Yield a function that writes a batch of images to a .npy file, a folder or nowhere.

    What was there before stays until all images are written.
    """
    if path is None:
        yield lambda batch: None
    elif Path(path).suffix == ".npy":
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            yield _NpyWriter(file, n_samples)
    else:
        with _filled_folder(Path(path)) as temporary:
            yield _PngWriter(temporary, n_samples, image_shape)


@contextmanager
def _filled_folder(folder):
    """Give a temporary folder whose files go to `folder` if the block succeeds."""
    made = not folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".", suffix=".part") as temporary:
            yield Path(temporary)
            _move_all(Path(temporary), folder)
    except BaseException:
        if made:
            with suppress(OSError):
                folder.rmdir()
        raise


def _move_all(source, folder):
    """Move all files to a folder, or none of them."""
    moved, names = [], sorted(path.name for path in source.iterdir())
    older = source / "older"
    older.mkdir()
    try:
        for name in names:
            moved.append(name)
            if (folder / name).exists():
                (folder / name).replace(older / name)
            (source / name).replace(folder / name)
    except BaseException:
        for name in moved:
            if not (source / name).exists():
                (folder / name).replace(source / name)
            if (older / name).exists():
                (older / name).replace(folder / name)
        raise


class _NpyWriter:
    """Fills a .npy file batch by batch, so that memory does not grow with the number of images."""

    def __init__(self, file, n_samples):
        self.file, self.n_samples, self.done = file, n_samples, 0

    def __call__(self, batch):
        if self.done == 0:
            self.header = _npy_header(batch.dtype, (self.n_samples, *batch.shape[1:]))
            _reserve(self.file, len(self.header) + batch[0].nbytes * self.n_samples)
            # The header comes last, so that half a file is not an array.
            self.file.write(bytes(len(self.header)))
        self.file.write(np.ascontiguousarray(batch).data)
        self.done += len(batch)
        if self.done == self.n_samples:
            self.file.seek(0)
            self.file.write(self.header)


def _npy_header(dtype, shape):
    header = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(
        header, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return header.getvalue()


def _reserve(file, n_bytes):
    """Find out now, and not when it is nearly full, that the disk has no room for a file.

    Written memory that is mapped to a file would end the process then, by a signal.
    """
    if n_bytes > sys.maxsize:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        except OSError as error:
            # Not every file system can do that; then writing finds out.
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise


class _PngWriter:
    """Writes one PNG file per image."""

    def __init__(self, folder, n_samples, image_shape):
        self.image = import_optional("PIL.Image", extra="images", needed_by="latentgen sample")
        self.folder, self.image_shape, self.done = folder, image_shape, 0
        self.digits = max(4, len(str(n_samples - 1)))

    def __call__(self, batch):
        if batch.dtype != np.uint8:
            unit = to_unit_floats(as_images(batch, drawn=True))
            batch = np.rint(unit * 255).astype(np.uint8)
        for pixels in batch.reshape(-1, *self.image_shape).transpose(0, 2, 3, 1):
            picture = self.image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            picture.save(self.folder / f"{self.done:0{self.digits}d}.png")
            self.done += 1
