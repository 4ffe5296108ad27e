"""Files that are written whole or not at all, and what is a file to read."""

# SPDX-License-Identifier: BSD-3-Clause

import errno
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from pathlib import Path

# Of the 255 bytes that most systems allow for a name, the rest is for the ending.
_NAME_SHOWN = 60
# The disk, the quota or the largest size of a file.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _check_target(path):
    """Find the file that will be written, the target of a symbolic link, or raise an OSError."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"Cannot write '{path}': there is no folder '{target.parent}'.")
    if target.is_dir() or str(path).endswith(("/", os.sep)):
        raise IsADirectoryError(f"Cannot write '{path}': it is a folder. Name a file.")
    if target.exists():
        if not target.is_file():
            raise OSError(
                f"Cannot write '{path}': it is a device or a pipe. Only regular files are written, "
                "because they are put in place when complete."
            )
        try:
            os.close(os.open(target, os.O_WRONLY))
        except OSError as error:
            raise type(error)(error.errno, error.strerror, str(path)) from error
    return target


@contextmanager
def _temporary_beside(target, path):
    """Make an empty file beside the target."""
    shown = target.name.encode()[:_NAME_SHOWN].decode(errors="ignore")
    temporary = target.with_name(f".{shown}.{secrets.token_hex(8)}.part")
    # A new file gets the permissions of any new file. Into one that takes the place of a private
    # file nobody may look before it is complete.
    mode = 0o600 if target.exists() else 0o666
    try:
        try:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        except OSError as error:
            raise type(error)(error.errno, error.strerror, str(path)) from error
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _hand_on_permissions(old, temporary):
    """Give the new file the owner, the group and the mode of the old one."""
    if hasattr(os, "chown") and (old.st_uid, old.st_gid) != (os.getuid(), os.getgid()):
        # Only the superuser gives files away.
        with suppress(PermissionError):
            os.chown(temporary, old.st_uid, old.st_gid)
    os.chmod(temporary, stat.S_IMODE(old.st_mode))


def check_can_write(path):
    """Find out before the work, and not after it, that a file cannot be written.

    Parameters
    ----------
    path : str or path-like
        File to write by `atomic_path`.

    Raises
    ------
    OSError
        As `atomic_path`, among others if its folder cannot be written to.
    """
    with _temporary_beside(_check_target(path), path):
        pass


@contextmanager
def atomic_path(path):
    """Give the name of a temporary file that takes the place of `path` if the block succeeds.

    The temporary file lies in the same folder, is hidden and ends in ``.part``, so that what a
    killed process leaves behind is not taken for a whole file. When the block fails, it is
    deleted, and an older file at `path` stays as it was. An older file that is replaced hands on
    its permissions; of a symbolic link the target is written.

    Parameters
    ----------
    path : str or path-like
        File to write.

    Yields
    ------
    temporary : Path
        File to write to. It exists and is empty.

    Raises
    ------
    FileNotFoundError
        If the folder of `path` does not exist.
    IsADirectoryError
        If `path` is a folder.
    PermissionError
        If `path` is a write-protected file, or nothing can be written in its folder.
    OSError
        If `path` is a device or a pipe, or the system cannot write: with its number and `path`
        where there is no room.
    """
    target = _check_target(path)
    with _temporary_beside(target, path) as temporary:
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            raise OSError(error.errno, error.strerror, str(path)) from error
        if target.exists():
            _hand_on_permissions(os.stat(target), temporary)
        temporary.replace(target)


def check_regular_file(path):
    """Refuse what is not a file with an end before anything is read from it.

    A pipe is waited for, and a device such as ``/dev/zero`` is read forever.

    Parameters
    ----------
    path : str or path-like

    Raises
    ------
    ValueError
        If `path` is a device, a pipe or a socket.
    OSError
        If there is no such file, or it is a folder.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"Expected a file, got '{path}', which is a folder.")
    if not stat.S_ISREG(mode):
        raise ValueError(f"Expected a regular file, got '{path}', which is a device or a pipe.")


def printable(text):
    """Text with escape sequences and other control characters shown and not obeyed.

    What stands in a file of somebody else must not move the cursor of a terminal or change its
    title.

    Parameters
    ----------
    text : object
        Anything with ``str``.

    Returns
    -------
    text : str
    """
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in str(text))
