"""Files that are written whole or not at all."""

# SPDX-License-Identifier: BSD-3-Clause

import os
import secrets
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path):
    """Give the name of a temporary file that takes the place of `path` if the block succeeds.

    The temporary file lies in the same folder and has the same suffix. When the block fails, it
    is deleted, and an older file at `path` stays as it was.

    Parameters
    ----------
    path : str or path-like
        File to write.

    Yields
    ------
    temporary : Path
        File to write to.

    Raises
    ------
    FileNotFoundError
        If the folder of `path` does not exist.
    IsADirectoryError
        If `path` is a folder.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"Cannot write '{path}': there is no folder '{path.parent}'.")
    if path.is_dir():
        raise IsADirectoryError(f"Cannot write '{path}': it is a folder.")
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}{path.suffix}")
    try:
        # With the permissions of any new file, which those of the module tempfile do not have.
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
