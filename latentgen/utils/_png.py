"""PNG files of small pictures, without a library for images."""

# SPDX-License-Identifier: BSD-3-Clause

import struct
import zlib

import numpy as np

# Color types of PNG, by number of channels (PNG specification, third edition, table 11.1).
_COLOR_TYPES = {1: 0, 3: 2, 4: 6}


def encode_png(pixels):
    """Bytes of a PNG file.

    Parameters
    ----------
    pixels : ndarray of shape (H, W, channels), dtype uint8
        With 1 (gray), 3 (RGB) or 4 (RGBA) channels.

    Returns
    -------
    png : bytes
    """
    height, width, channels = pixels.shape
    header = struct.pack(">2I5B", width, height, 8, _COLOR_TYPES[channels], 0, 0, 0)
    # Each row begins with the number of its filter; 0 is none.
    rows = np.pad(pixels.reshape(height, width * channels), ((0, 0), (1, 0)))
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
