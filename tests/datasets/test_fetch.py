"""Standard data sets: what is read, what is refused, what a download leaves behind."""

# SPDX-License-Identifier: BSD-3-Clause

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits

from latentgen.datasets import _fetch, fetch_cifar10, fetch_mnist, load_digits_images

IMAGES = np.arange(3 * 28 * 28).reshape(3, 28, 28).astype(np.uint8)
LABELS = np.array([7, 0, 9], np.uint8)


def idx_bytes(array):
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def tiny_mnist(monkeypatch):
    """Three images and labels in place of MNIST, by file name."""
    packed, digests = {}, {}
    for name, array in zip(_fetch._MNIST_FILES["test"], (IMAGES, LABELS), strict=True):
        content = idx_bytes(array)
        packed[name] = gzip.compress(content)
        digests[name] = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(_fetch._MNIST_FILES, "test", digests)
    return packed


def serve(monkeypatch, answer):
    """Answer every request with what ``answer(url)`` returns or raises; list the requests."""
    urls = []

    def urlopen(url, timeout):
        urls.append(url)
        return io.BytesIO(answer(url))

    monkeypatch.setattr(_fetch, "urlopen", urlopen)
    return urls


def refuse(url):
    raise URLError("no route to host")


def test_digits_are_unit_float_images():
    digits = load_digits_images()
    assert digits.data.shape == (1797, 1, 8, 8) and digits.data.dtype == np.float32
    assert_array_equal(digits.data[:, 0] * 16, load_digits().images)
    assert_array_equal(digits.target, load_digits().target)
    assert digits.target_names == [str(digit) for digit in range(10)]


def test_digits_return_X_y():
    X, y = load_digits_images(return_X_y=True)
    assert X.shape == (1797, 1, 8, 8) and y.shape == (1797,)


@pytest.mark.parametrize("folder", ["", "mnist"])
def test_mnist_reads_both_places(tiny_mnist, tmp_path, monkeypatch, folder):
    urls = serve(monkeypatch, refuse)
    (tmp_path / folder).mkdir(exist_ok=True)
    for name, packed in tiny_mnist.items():
        (tmp_path / folder / name).write_bytes(packed)
    mnist = fetch_mnist(subset="test", data_home=tmp_path)
    assert_array_equal(mnist.data[:, 0], IMAGES)
    assert_array_equal(mnist.target, LABELS)
    assert mnist.data.flags.writeable and mnist.target.dtype == np.int64 and not urls


def test_mnist_downloads_once(tiny_mnist, tmp_path, monkeypatch):
    urls = serve(monkeypatch, lambda url: tiny_mnist[url.rpartition("/")[2]])
    for _ in range(2):
        X, y = fetch_mnist(subset="test", data_home=tmp_path / "new", return_X_y=True)
        assert_array_equal(X[:, 0], IMAGES)
        assert_array_equal(y, LABELS)
    assert len(urls) == 2
    assert sorted(p.name for p in (tmp_path / "new" / "mnist").iterdir()) == sorted(tiny_mnist)


def test_mnist_tries_the_next_mirror(tiny_mnist, tmp_path, monkeypatch):
    def answer(url):
        if url.startswith(_fetch._MNIST_MIRRORS[0]):
            refuse(url)
        return tiny_mnist[url.rpartition("/")[2]]

    serve(monkeypatch, answer)
    assert len(fetch_mnist(subset="test", data_home=tmp_path).data) == 3


def test_mnist_wrong_checksum_leaves_no_file(tiny_mnist, tmp_path, monkeypatch):
    serve(monkeypatch, lambda url: gzip.compress(b"something else"))
    with pytest.raises(OSError, match="not the expected file: the SHA-256"):
        fetch_mnist(subset="test", data_home=tmp_path)
    assert not list(tmp_path.rglob("*.gz"))


@pytest.mark.parametrize("answer", [refuse, lambda url: b"<html>moved</html>"])
def test_mnist_failed_download_says_where_to_put_files(tiny_mnist, tmp_path, monkeypatch, answer):
    urls = serve(monkeypatch, answer)
    with pytest.raises(OSError, match="LATENTGEN_DATA") as error:
        fetch_mnist(subset="test", data_home=tmp_path)
    assert str(tmp_path / "mnist") in str(error.value)
    assert all(url in str(error.value) for url in urls) and len(urls) == len(_fetch._MNIST_MIRRORS)


def test_mnist_can_be_told_not_to_download(tmp_path, monkeypatch):
    urls = serve(monkeypatch, refuse)
    with pytest.raises(OSError, match="download_if_missing=False"):
        fetch_mnist(data_home=tmp_path, download_if_missing=False)
    assert not urls


def test_mnist_interrupted_write_leaves_nothing(tiny_mnist, tmp_path, monkeypatch):
    serve(monkeypatch, lambda url: tiny_mnist[url.rpartition("/")[2]])

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        fetch_mnist(subset="test", data_home=tmp_path)
    assert not list((tmp_path / "mnist").iterdir())


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda packed: packed[:-20], "truncated or no gzip file"),
        (lambda packed: b"PK" + packed, "truncated or no gzip file"),
        (lambda packed: gzip.compress(b"other"), "not the expected file"),
    ],
)
def test_mnist_damaged_file_is_named(tiny_mnist, tmp_path, spoil, message):
    for name, packed in tiny_mnist.items():
        (tmp_path / name).write_bytes(spoil(packed))
    with pytest.raises(OSError, match=message) as error:
        fetch_mnist(subset="test", data_home=tmp_path)
    assert str(tmp_path / "t10k-images-idx3-ubyte.gz") in str(error.value)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.integers(0, 2**31))
def test_idx_round_trip(shape, seed):
    array = np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)
    assert_array_equal(_fetch._parse_idx(idx_bytes(array), "f.gz", array.ndim), array)


@pytest.mark.parametrize(
    "content, message",
    [
        (idx_bytes(LABELS), r"'f.gz' is not an IDX file .* to start with 00000803, got 0"),
        (b"", "'f.gz' is not an IDX file"),
        (idx_bytes(IMAGES)[:-1], r"'f.gz' is truncated or damaged: expected 2368 bytes"),
        (idx_bytes(IMAGES) + b"0", r"'f.gz' is truncated or damaged: .* got 2369"),
        (idx_bytes(IMAGES)[:12], r"'f.gz' is truncated or damaged"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, r"'f.gz' is truncated or damaged"),
    ],
)
def test_idx_errors_name_the_file(content, message):
    with pytest.raises(ValueError, match=message):
        _fetch._parse_idx(content, "f.gz", 3)


def test_data_home_prefers_the_argument_then_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("LATENTGEN_DATA", raising=False)
    assert _fetch.resolve_data_home(None) == tmp_path / "latentgen_data"
    monkeypatch.setenv("LATENTGEN_DATA", "~/elsewhere")
    assert _fetch.resolve_data_home(None) == tmp_path / "elsewhere"
    assert _fetch.resolve_data_home("given") == Path("given")


@pytest.mark.parametrize(
    "fetch, keyword",
    [
        (fetch_mnist, {"subset": "valid"}),
        (fetch_cifar10, {"subset": 1}),
        (fetch_mnist, {"data_home": 3}),
    ],
)
def test_parameters_are_checked(fetch, keyword):
    with pytest.raises(ValueError, match=f"The '{next(iter(keyword))}' parameter"):
        fetch(**keyword)


@pytest.mark.parametrize("subset, n, first", [("train", 60_000, 5), ("test", 10_000, 7)])
def test_real_mnist(subset, n, first):
    home = _fetch.resolve_data_home(None)
    if _fetch.find("train-images-idx3-ubyte.gz", home, "mnist") is None:
        pytest.skip("no MNIST files at hand; set LATENTGEN_DATA to the folder that holds them")
    X, y = fetch_mnist(subset=subset, download_if_missing=False, return_X_y=True)
    assert X.shape == (n, 1, 28, 28) and X.dtype == np.uint8
    assert y.shape == (n,) and y[0] == first


def add(archive, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def cifar10_home(tmp_path, monkeypatch):
    """Two archives of a few images: labels of the binary one are 1..5 for train and 6 for test."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "user"))
    (tmp_path / "cifar10").mkdir()
    with tarfile.open(tmp_path / "cifar10" / "cifar-10-binary.tar.gz", "w:gz") as archive:
        names = [f"data_batch_{i}" for i in (2, 1, 3, 4, 5)] + ["test_batch"]
        for label, name in zip((2, 1, 3, 4, 5, 6), names, strict=True):
            pixels = np.repeat(np.arange(3), 1024) + 10 * label
            record = bytes([label]) + pixels.astype(np.uint8).tobytes()
            add(archive, f"cifar-10-batches-bin/{name}.bin", record)
    return tmp_path


def write_jpeg_archive(home, size=(32, 32), class_name=None):
    Image = pytest.importorskip("PIL.Image")
    with tarfile.open(home / "cifar10" / "cifar10_jpeg.tar.xz", "w:xz", preset=0) as archive:
        for subset, n in (("train", 3), ("test", 1)):
            for label, name in enumerate(_fetch._CIFAR10_NAMES[:4]):
                for i in range(n):
                    file = io.BytesIO()
                    Image.new("RGB", size, (60 * label, 0, 10 * i)).save(file, "jpeg", quality=95)
                    add(archive, f"{subset}/{class_name or name}/{i}.jpg", file.getvalue())


def test_cifar10_reads_the_binary_version(cifar10_home):
    write_jpeg_archive(cifar10_home)
    cifar10 = fetch_cifar10(data_home=cifar10_home)
    assert cifar10.data.shape == (5, 3, 32, 32) and cifar10.data.dtype == np.uint8
    assert_array_equal(cifar10.target, [1, 2, 3, 4, 5])
    assert_array_equal(cifar10.data[3, :, 31, 0], [40, 41, 42])
    assert cifar10.target_names[9] == "truck" and "JPEG" not in cifar10.DESCR


def test_cifar10_subset(cifar10_home):
    X, y = fetch_cifar10(subset="test", data_home=cifar10_home, return_X_y=True)
    assert X.shape == (1, 3, 32, 32) and y.tolist() == [6]


@pytest.fixture
def jpeg_home(cifar10_home):
    (cifar10_home / "cifar10" / "cifar-10-binary.tar.gz").unlink()
    write_jpeg_archive(cifar10_home)
    return cifar10_home


def test_cifar10_jpeg_matches_labels_and_says_so(jpeg_home):
    cifar10 = fetch_cifar10(data_home=jpeg_home)
    assert cifar10.data.shape == (12, 3, 32, 32)
    assert_array_equal(np.bincount(cifar10.target), [3, 3, 3, 3])
    assert np.abs(cifar10.data[:, 0, 0, 0] / 60 - cifar10.target).max() < 0.1
    assert (np.diff(cifar10.target) < 0).any()
    assert "NOT exactly those of the original" in cifar10.DESCR


def test_cifar10_jpeg_is_decoded_once(jpeg_home, monkeypatch):
    first = fetch_cifar10(data_home=jpeg_home)
    monkeypatch.setattr(_fetch, "decode_image", None)
    again = fetch_cifar10(data_home=jpeg_home)
    assert_array_equal(first.data, again.data)
    assert_array_equal(first.target, again.target)
    assert [p.name for p in (jpeg_home / "cifar10").iterdir()] == ["cifar10_jpeg.tar.xz"]


@pytest.mark.parametrize("where", [0.2, 0.9])
def test_cifar10_damaged_cache_is_decoded_again(where, jpeg_home):
    # One changed pixel used to pass.
    first = fetch_cifar10(data_home=jpeg_home)
    (cache,) = (jpeg_home / "user" / "latentgen_data" / "cifar10").iterdir()
    content = bytearray(cache.read_bytes())
    content[int(where * len(content))] ^= 1
    cache.write_bytes(content)
    with pytest.warns(UserWarning, match=r"decoded images in '.*npz' are damaged"):
        again = fetch_cifar10(data_home=jpeg_home)
    assert_array_equal(again.data, first.data)
    assert_array_equal(fetch_cifar10(data_home=jpeg_home).data, first.data)


def test_cifar10_jpeg_cache_follows_the_archive(jpeg_home):
    assert len(fetch_cifar10(subset="test", data_home=jpeg_home).data) == 4
    with tarfile.open(jpeg_home / "cifar10" / "cifar10_jpeg.tar.xz") as archive:
        content = archive.extractfile("test/cat/0.jpg").read()
    with tarfile.open(jpeg_home / "cifar10" / "cifar10_jpeg.tar.xz", "w:xz") as archive:
        add(archive, "test/cat/0.jpg", content)
    assert fetch_cifar10(subset="test", data_home=jpeg_home).target.tolist() == [3]


def test_cifar10_works_without_a_place_for_the_cache(jpeg_home):
    (jpeg_home / "user").write_text("a file where a folder is needed")
    with pytest.warns(UserWarning, match="cannot be cached"):
        assert len(fetch_cifar10(data_home=jpeg_home).data) == 12


@pytest.mark.parametrize("fault", [{"size": (31, 32)}, {"class_name": "unicorn"}])
def test_cifar10_refuses_other_images(jpeg_home, fault):
    write_jpeg_archive(jpeg_home, **fault)
    with pytest.raises(OSError, match=r"cifar10_jpeg.tar.xz' is damaged"):
        fetch_cifar10(data_home=jpeg_home)


@pytest.mark.parametrize("n_bytes", [0, 60, -40])
def test_cifar10_truncated_archive_is_named(cifar10_home, n_bytes):
    path = cifar10_home / "cifar10" / "cifar-10-binary.tar.gz"
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(OSError, match=r"cifar-10-binary.tar.gz' (is damaged|lacks a complete)"):
        fetch_cifar10(data_home=cifar10_home)


def test_cifar10_missing_says_where_to_put_it(tmp_path):
    with pytest.raises(OSError, match="binary version") as error:
        fetch_cifar10(data_home=tmp_path)
    assert str(tmp_path / "cifar10") in str(error.value)
