"""fetch_inception_weights: found, downloaded, checked. No test goes online."""

# SPDX-License-Identifier: BSD-3-Clause

import hashlib
import io
from urllib.error import URLError

import pytest

from latentgen.datasets import _weights, fetch_inception_weights

CONTENT = b"weights"
NAMES = [*_weights._INCEPTION_MIRRORS]


@pytest.fixture(autouse=True)
def published(monkeypatch):
    """A small file in place of the published one."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setattr(_weights, "_INCEPTION_SHA256", digest)


def serve(monkeypatch, *answers):
    """Answer the requests one after the other; list their addresses."""
    answers, urls = iter(answers), []

    def urlopen(url, timeout):
        urls.append(url)
        answer = next(answers)
        if answer is None:
            raise URLError("no route to host")
        return io.BytesIO(answer)

    monkeypatch.setattr(_weights, "urlopen", urlopen)
    return urls


@pytest.mark.parametrize("folder", ["", "inception"])
@pytest.mark.parametrize("name", NAMES)
def test_file_is_found_by_either_name(tmp_path, monkeypatch, folder, name):
    urls = serve(monkeypatch)
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / name).write_bytes(CONTENT)
    assert fetch_inception_weights(data_home=tmp_path) == str(tmp_path / folder / name)
    assert urls == []


def test_missing_file_is_downloaded_once(tmp_path, monkeypatch):
    urls = serve(monkeypatch, CONTENT)
    paths = [fetch_inception_weights(data_home=tmp_path / "new") for _ in range(2)]
    assert paths == [str(tmp_path / "new" / "inception" / NAMES[0])] * 2
    assert urls == [_weights._INCEPTION_MIRRORS[NAMES[0]] + NAMES[0]]


@pytest.mark.parametrize("first", [None, b"something else"])
def test_second_address_is_tried(tmp_path, monkeypatch, first):
    serve(monkeypatch, first, CONTENT)
    path = fetch_inception_weights(data_home=tmp_path)
    assert path == str(tmp_path / "inception" / NAMES[1])


def test_failed_download_names_what_was_tried(tmp_path, monkeypatch):
    serve(monkeypatch, None, b"something else")
    with pytest.raises(OSError, match=r"(?s)no route to host.*not the expected file.*data_home="):
        fetch_inception_weights(data_home=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_download_can_be_forbidden(tmp_path, monkeypatch):
    urls = serve(monkeypatch)
    with pytest.raises(OSError, match="download_if_missing=False"):
        fetch_inception_weights(data_home=tmp_path, download_if_missing=False)
    assert urls == []


def test_wrong_file_is_refused(tmp_path):
    (tmp_path / NAMES[0]).write_bytes(b"something else")
    with pytest.raises(OSError, match=r"not the expected file: its SHA-256 is [0-9a-f]{64}"):
        fetch_inception_weights(data_home=tmp_path)
