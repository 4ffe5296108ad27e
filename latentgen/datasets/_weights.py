"""Weights of public networks, found on disk or downloaded on request."""

# SPDX-License-Identifier: BSD-3-Clause

import hashlib
import os
from http.client import HTTPException
from urllib.request import urlopen

from sklearn.utils._param_validation import validate_params

from latentgen.datasets._fetch import find, resolve_data_home
from latentgen.utils._files import atomic_path

# One file, by the names and addresses in pytorch-fid 0.3.0 and torch-fidelity 0.4.0.
_INCEPTION_MIRRORS = {
    "pt_inception-2015-12-05-6726825d.pth": (
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    ),
    "weights-inception-2015-12-05-6726825d.pth": (
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    ),
}
_INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
# The file has 95 628 359 bytes; a hostile server may send any number.
_INCEPTION_MAX_BYTES = 100_000_000


@validate_params(
    {"data_home": [str, os.PathLike, None], "download_if_missing": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def fetch_inception_weights(*, data_home=None, download_if_missing=True):
    """Find the weights of `InceptionFeatures`, downloading them if needed (96 MB).

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder that holds the file, itself or in its subfolder ``inception``, where downloads go.
        If None, the environment variable ``LATENTGEN_DATA``, and without it ``~/latentgen_data``.
    download_if_missing : bool, default=True
        If False, raise an error instead of downloading.

    Returns
    -------
    path : str
        The file, for `InceptionFeatures`.

    Raises
    ------
    OSError
        If the file is missing and cannot be downloaded, or is not the published one: its SHA-256
        is compared in every call.

    See Also
    --------
    latentgen.metrics.InceptionFeatures : What the weights are for.

    Notes
    -----
    The weights are those of TensorFlow's network of December 2015 (Apache-2.0), as pytorch-fid [1]_
    and torch-fidelity [2]_ converted and published them. A file that either of them has downloaded
    is taken as well: name its folder.

    References
    ----------
    .. [1] https://github.com/mseitzer/pytorch-fid
    .. [2] https://github.com/toshas/torch-fidelity

    Examples
    --------
    >>> from latentgen.datasets import fetch_inception_weights
    >>> path = fetch_inception_weights()  # doctest: +SKIP
    """
    home = resolve_data_home(data_home)
    paths = [find(name, home, "inception") for name in _INCEPTION_MIRRORS]
    path = next(filter(None, paths), None)
    if path is not None:
        _check(path.read_bytes(), path)
        return str(path)
    folder, failures = home / "inception", []
    for name, address in _INCEPTION_MIRRORS.items() if download_if_missing else ():
        try:
            with urlopen(address + name, timeout=30) as response:
                content = response.read(_INCEPTION_MAX_BYTES)
            _check(content, name)
        except (OSError, HTTPException) as error:
            failures.append(f"{address}{name}: {error}")
            continue
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(content)
        return str(folder / name)
    reason = "; ".join(failures) or "download_if_missing=False"
    raise OSError(
        f"'{next(iter(_INCEPTION_MIRRORS))}' is neither in '{home}' nor in '{folder}' ({reason}). "
        "Put it there, or pass data_home= or set the environment variable LATENTGEN_DATA to its "
        "folder."
    )


def _check(content, name):
    """Raise OSError unless the content is the published one."""
    found = hashlib.sha256(content).hexdigest()
    if found != _INCEPTION_SHA256:
        raise OSError(
            f"'{name}' is not the expected file: its SHA-256 is {found}, expected "
            f"{_INCEPTION_SHA256}. Delete it and fetch it again."
        )
