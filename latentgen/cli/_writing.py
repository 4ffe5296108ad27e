"""Files that the commands write: pictures, images, tables and JSON."""

# SPDX-License-Identifier: BSD-3-Clause

import csv
import json
import math
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from latentgen.inspection import SampleGridDisplay
from latentgen.utils._files import atomic_path
from latentgen.utils._images import as_images, to_unit_floats
from latentgen.utils._optional import import_optional


def check_folder_of(path):
    """Fail before the work, and not after it, if the result cannot be written."""
    parent = Path(path).parent
    if not parent.is_dir():
        raise FileNotFoundError(f"cannot write '{path}': there is no folder '{parent}'.")


def use_file_backend(needed_by):
    """Make matplotlib draw into files, which also works on a machine without a screen."""
    import_optional("matplotlib", extra="plot", needed_by=needed_by).use("Agg")


def check_picture_name(path):
    """Fail before the work, and not after it, if matplotlib does not write such a file."""
    backends = import_optional("matplotlib.backend_bases", extra="plot", needed_by="a picture")
    known = backends.FigureCanvasBase.get_supported_filetypes()
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


def save_figure(display, path):
    """Write the figure of a display."""
    with atomic_path(path) as temporary:
        display.figure_.savefig(temporary, dpi=150)


def save_json(content, path):
    """Write plain values as JSON; what is not finite becomes null."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")


def save_results(results, path):
    """Write the candidates of a search as CSV, one row per candidate."""
    keys = [key for key in results if key.startswith(("param_", "mean_", "std_"))]
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
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
    save_figure(display, path)


@contextmanager
def image_writer(path, n_samples, image_shape):
    """Yield a function that writes a batch of images to a .npy file, a folder or nowhere."""
    if path is None:
        yield lambda batch: None
    elif Path(path).suffix == ".npy":
        with atomic_path(path) as temporary:
            yield _NpyWriter(temporary, n_samples)
    else:
        Path(path).mkdir(exist_ok=True)
        yield _PngWriter(Path(path), n_samples, image_shape)


class _NpyWriter:
    """Fills a .npy file batch by batch, so that memory does not grow with the number of images."""

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
            unit = to_unit_floats(as_images(batch, drawn=True))
            batch = np.rint(unit * 255).astype(np.uint8)
        for pixels in batch.reshape(-1, *self.image_shape).transpose(0, 2, 3, 1):
            picture = self.image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            with atomic_path(self.folder / f"{self.done:0{self.digits}d}.png") as temporary:
                picture.save(temporary)
            self.done += 1
