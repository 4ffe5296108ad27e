"""One encoded image to an array of bytes, channels first."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from latentgen.utils._optional import import_optional


def decode_image(file, *, mode, image_size=None, needed_by):
    """Decode one image, upright, opaque and with 8 bits per channel.

    Parameters
    ----------
    file : path or binary file
    mode : {'RGB', 'L'}
    image_size : tuple of int or None
        (H, W) to resize to; None keeps the size.
    needed_by : str
        Name of the public function, for the message when Pillow is missing.

    Returns
    -------
    pixels : ndarray of shape (C, H, W), dtype uint8
    """
    Image = import_optional("PIL.Image", extra="images", needed_by=needed_by)
    ImageOps = import_optional("PIL.ImageOps", extra="images", needed_by=needed_by)
    with Image.open(file) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode == "F":
            raise ValueError("floating point pixels have no known range")
        if image.mode.startswith("I"):
            # Pillow's own conversion of 16 bits clips at 255 instead of scaling.
            image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        image = image.convert(mode)
        if image_size is not None:
            # Pillow widens the filter when it shrinks an image, which is the antialiasing.
            image = image.resize(image_size[::-1], Image.Resampling.LANCZOS)
        pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
