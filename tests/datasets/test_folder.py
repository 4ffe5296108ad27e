"""Image folders: classes, sizes, modes, damaged files, memory-mapped targets."""

# SPDX-License-Identifier: BSD-3-Clause

import os
import sys
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from latentgen.datasets import _folder, load_image_folder

Image = pytest.importorskip("PIL.Image")


def save(path, pixels, dtype=np.uint8, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype)).save(path, **options)


def gray(value, size=(5, 7)):
    return np.full(size, value)


@pytest.fixture
def folder(tmp_path):
    """Two classes, nested and upper-case files, and files that are not images."""
    path = tmp_path / "images"
    save(path / "dogs" / "b.PNG", gray(20))
    save(path / "dogs" / "a.png", gray(10))
    save(path / "cats" / "deep" / "c.Bmp", gray(40))
    save(path / "cats" / "d.png", gray(30))
    (path / "cats" / "notes.txt").write_text("no image")
    (path / "cats" / "._d.png").write_text("what a desktop leaves behind")
    (path / "empty").mkdir()
    (path / ".hidden").mkdir()
    save(path / ".hidden" / "e.png", gray(50))
    return path


@pytest.fixture
def damaged(folder):
    """The same with two unreadable images: no image at all, and one cut short."""
    (folder / "cats" / "bad.jpg").write_text("no image")
    whole = (folder / "dogs" / "a.png").read_bytes()
    (folder / "dogs" / "cut.png").write_bytes(whole[:-30])
    return folder


def test_subfolders_are_classes_in_sorted_order(folder):
    images = load_image_folder(folder, mode="L")
    assert images.data.shape == (4, 1, 5, 7) and images.data.dtype == np.uint8
    assert_array_equal(images.data[:, 0, 4, 6], [30, 40, 10, 20])
    assert_array_equal(images.target, [0, 0, 1, 1])
    assert images.target_names == ["cats", "dogs"]
    names = ["cats/d.png", "cats/deep/c.Bmp", "dogs/a.png", "dogs/b.PNG"]
    assert images.filenames == [str(folder / name) for name in names]


def test_flat_folder_has_no_labels(tmp_path):
    save(tmp_path / "b.png", gray(2))
    save(tmp_path / "a.JPEG", gray(1))
    X, y = load_image_folder(str(tmp_path), mode="L", return_X_y=True)
    assert_array_equal(X[:, 0, 0, 0], [1, 2])
    assert y is None


def test_images_beside_class_folders_are_reported(folder):
    save(folder / "stray.png", gray(0))
    with pytest.warns(UserWarning, match=r"1 images beside them are left out.*'stray.png'") as seen:
        assert len(load_image_folder(folder).data) == 4
    assert seen[0].filename == __file__


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".bmp"])
@pytest.mark.parametrize("mode, n_channels", [("RGB", 3), ("L", 1)])
def test_mode_sets_the_channels(tmp_path, mode, n_channels, suffix):
    rgb = np.zeros((3, 4, 3))
    rgb[..., 0], rgb[0, 0, 2] = 200, 90
    save(tmp_path / f"a{suffix}", rgb)
    X = load_image_folder(tmp_path, mode=mode).data
    assert X.shape == (1, n_channels, 3, 4) and X.flags.c_contiguous and X.flags.writeable
    expected = rgb.transpose(2, 0, 1) if mode == "RGB" else rgb @ [[0.299], [0.587], [0.114]]
    assert_allclose(X[0], expected.reshape(X[0].shape), atol=0.6)


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    save(tmp_path / "a.png", [[0, 257, 65535]], dtype=np.uint16)
    assert_array_equal(load_image_folder(tmp_path, mode="L").data[0, 0], [[0, 1, 255]])


def test_transparent_pixels_become_white(tmp_path):
    save(tmp_path / "a.png", [[[9, 9, 9, 0], [9, 9, 9, 255]]])
    assert_array_equal(load_image_folder(tmp_path).data[0, 0], [[255, 9]])


def test_exif_orientation_is_applied(tmp_path):
    pixels = np.zeros((8, 16))
    pixels[:, 8:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, to be turned a quarter clockwise
    save(tmp_path / "a.jpg", pixels, exif=exif)
    X = load_image_folder(tmp_path, mode="L").data
    assert_allclose(X[0, 0], np.rot90(pixels, -1), atol=3)


def test_image_size_resizes_with_antialiasing(tmp_path):
    stripes = np.tile([0, 255], (24, 20))
    save(tmp_path / "a.png", stripes)
    save(tmp_path / "b.png", gray(128, (9, 3)))
    X = load_image_folder(tmp_path, mode="L", image_size=(6, 5)).data
    assert X.shape == (2, 1, 6, 5)
    assert np.abs(X.astype(int) - 128).max() < 12


def test_different_sizes_name_two_files(tmp_path):
    save(tmp_path / "a.png", gray(1, (5, 7)))
    save(tmp_path / "b.png", gray(1, (7, 5)))
    message = r"\(5, 7\) in '.*a.png' and \(7, 5\) in '.*b.png'. Pass image_size"
    with pytest.raises(ValueError, match=message):
        load_image_folder(tmp_path)


@pytest.mark.parametrize("file, keyword", [("bad.jpg", "cats"), ("cut.png", "dogs")])
def test_unreadable_image_raises_with_its_name(damaged, file, keyword):
    other = {"bad.jpg": "dogs/cut.png", "cut.png": "cats/bad.jpg"}[file]
    (damaged / other).unlink()
    with pytest.raises(OSError, match=f"Cannot read the image '.*{keyword}.{file}'.*errors='warn'"):
        load_image_folder(damaged)


@pytest.mark.parametrize("to_file", [False, True])
def test_unreadable_images_are_skipped_with_a_warning(damaged, tmp_path, to_file):
    memmap_path = tmp_path / "x.npy" if to_file else None
    with pytest.warns(UserWarning, match=r"Skipped 2 of 6 images.*bad.jpg.*cut.png") as seen:
        images = load_image_folder(damaged, mode="L", errors="warn", memmap_path=memmap_path)
    assert_array_equal(images.data[:, 0, 0, 0], [30, 40, 10, 20])
    assert_array_equal(images.target, [0, 0, 1, 1])
    assert len(images.filenames) == 4 and seen[0].filename == __file__


@pytest.fixture
def locked(without_rights):
    """Three classes: one that cannot be read, one with a folder that cannot, and one that can."""
    for name in ("cats", "dogs/deep", "dogs", "mice"):
        save(without_rights / name / "a.png", gray(10))
    folders = [without_rights / "cats", without_rights / "dogs" / "deep"]
    for folder in folders:
        folder.chmod(0o000)
    yield without_rights
    for folder in folders:
        folder.chmod(0o700)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_unreadable_folder_is_an_error(locked):
    # It used to vanish, and its class with it.
    message = r"Cannot read 2 folders: '.*cats' \(Permission denied\), '.*deep' .*errors='warn'"
    with pytest.raises(OSError, match=message):
        load_image_folder(locked)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_unreadable_folder_is_left_out_with_a_warning(locked):
    with pytest.warns(UserWarning, match=r"Left out 2 folders .*cats.*deep") as seen:
        images = load_image_folder(locked, errors="warn")
    assert images.target_names == ["dogs", "mice"] and seen[0].filename == __file__


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes of this kind")
def test_links_to_nothing_and_pipes_are_unreadable_images(folder):
    (folder / "cats" / "gone.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "dogs" / "pipe.png")
    with pytest.warns(UserWarning, match=r"Skipped 2 of 6 images.*gone.png.*pipe.png"):
        load_image_folder(folder, errors="warn")


def test_half_a_file_is_not_an_array(folder, tmp_path, monkeypatch):
    # It used to begin with the header of an empty one.
    def decode(*args, **kwargs):
        part = next(tmp_path.glob(".x.npy.*.part"))
        if part.stat().st_size:
            with pytest.raises(ValueError, match="pickle"):
                np.load(part)
            raise KeyboardInterrupt
        return np.zeros((3, 100, 100), dtype=np.uint8)

    monkeypatch.setattr(_folder, "decode_image", decode)
    with pytest.raises(KeyboardInterrupt):
        load_image_folder(folder, memmap_path=tmp_path / "x.npy")
    assert list(tmp_path.glob("*x.npy*")) == []


def test_only_unreadable_images(tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    with pytest.raises(OSError, match=r"None of the 1 images can be read.*bad.png"):
        load_image_folder(tmp_path, errors="warn")


def test_memmap_is_read_only_and_equal(folder, tmp_path):
    path = tmp_path / "out" / "x.npy"
    path.parent.mkdir()
    path.write_text("an older file")
    X, y = load_image_folder(folder, memmap_path=path, return_X_y=True)
    assert isinstance(X, np.memmap) and not X.flags.writeable
    assert_array_equal(X, load_image_folder(folder).data)
    assert_array_equal(np.load(path), X)
    assert len(y) == 4 and [p.name for p in path.parent.iterdir()] == ["x.npy"]


def test_failure_leaves_the_old_file(damaged, tmp_path):
    path = tmp_path / "out" / "x.npy"
    path.parent.mkdir()
    path.write_text("an older file")
    with pytest.raises(OSError, match="Cannot read"):
        load_image_folder(damaged, memmap_path=path)
    assert path.read_text() == "an older file"
    assert [p.name for p in path.parent.iterdir()] == ["x.npy"]


@given(st.lists(st.integers(0, 2**40), max_size=4))
def test_npy_header_has_one_length(shape):
    header = _folder._npy_header(shape)
    assert len(header) == _folder._HEADER_BYTES and header.endswith(b"\n")


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["L", "RGB"]), st.integers(0, 99))
def test_any_size_comes_back_exactly(tmp_path, height, width, mode, seed):
    shape = (height, width) if mode == "L" else (height, width, 3)
    pixels = np.random.RandomState(seed).randint(0, 256, shape)
    save(tmp_path / "a.png", pixels)
    X = load_image_folder(tmp_path, mode=mode, memmap_path=tmp_path / "x.npy").data
    assert_array_equal(X[0], pixels[None] if mode == "L" else pixels.transpose(2, 0, 1))


def test_empty_folder(tmp_path):
    (tmp_path / "a.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"No images in .* or its subfolders.*\.jpeg"):
        load_image_folder(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected a folder of images, got .*nowhere"):
        load_image_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("image_size", [(4,), (4, 0), (4, 5.0), (1, 4, 5)])
def test_image_size_must_be_two_integers(folder, image_size):
    with pytest.raises(ValueError, match="'image_size' must be two positive integers"):
        load_image_folder(folder, image_size=image_size)


@pytest.mark.parametrize(
    "keyword", [{"mode": "RGBA"}, {"errors": "ignore"}, {"image_size": 8}, {"memmap_path": 1}]
)
def test_parameters_are_checked(folder, keyword):
    with pytest.raises(ValueError, match=f"The '{next(iter(keyword))}' parameter"):
        load_image_folder(folder, **keyword)


def test_missing_pillow_names_the_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"load_image_folder needs PIL.*latentgen\[images\]"):
        load_image_folder(folder, errors="warn")


def test_good_folder_gives_no_warning(folder):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_image_folder(folder)
    assert caught == []
