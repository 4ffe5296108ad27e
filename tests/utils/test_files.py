"""Files that are written whole or not at all."""

# SPDX-License-Identifier: BSD-3-Clause

import os
import stat

import pytest

from latentgen.utils._files import atomic_path, check_can_write, check_regular_file, printable

on_posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")


def write(path, text="new"):
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def test_a_failing_block_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("new")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_the_umask_of_the_process_is_left_alone(tmp_path, monkeypatch):
    # Two threads that read it by setting it could leave the process without any.
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("touched"))
    with atomic_path(tmp_path / "file.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "file.txt").read_text() == "new"


@on_posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_permissions_of_the_old_file_stay(mode, tmp_path):
    path = tmp_path / "file.txt"
    path.touch()
    path.chmod(mode)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode and path.read_text() == "new"


@on_posix
def test_nobody_looks_into_the_temporary_file_of_a_private_one(tmp_path):
    (tmp_path / "file.txt").touch(mode=0o600)
    with atomic_path(tmp_path / "file.txt") as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600


@on_posix
def test_the_target_of_a_symbolic_link_is_written(tmp_path):
    (tmp_path / "folder").mkdir()
    link, target = tmp_path / "link.txt", tmp_path / "folder" / "target.txt"
    link.symlink_to(target)
    for text in ("first", "second"):  # A link to nothing, and to a file.
        write(link, text)
        assert link.is_symlink() and target.read_text() == text
    assert os.listdir(tmp_path / "folder") == ["target.txt"]


@on_posix
@pytest.mark.parametrize("check", [write, check_can_write])
def test_devices_and_pipes_are_refused(check, tmp_path):
    # They used to be replaced by files, /dev/null too.
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/full")
    for name in ("pipe", "device"):
        with pytest.raises(OSError, match=f"{name}': it is a device or a pipe"):
            check(tmp_path / name)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


@pytest.mark.parametrize("check", [write, check_can_write])
def test_what_is_no_place_for_a_file_is_refused(check, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder '.*nowhere'"):
        check(tmp_path / "nowhere" / "file.txt")
    for folder in (tmp_path, f"{tmp_path}/file/"):
        with pytest.raises(IsADirectoryError, match=r"it is a folder\. Name a file"):
            check(folder)


@on_posix
@pytest.mark.parametrize("check", [write, check_can_write])
@pytest.mark.parametrize("protected", ["folder", "file"])
def test_what_is_protected_is_refused(check, protected, without_rights):
    path = without_rights / "file.txt"
    path.write_text("old")
    (path if protected == "file" else without_rights).chmod(0o555)
    with pytest.raises(PermissionError, match=r"file\.txt"):
        check(path)
    assert path.read_text() == "old"


def test_a_check_leaves_nothing_behind(tmp_path):
    check_can_write(tmp_path / "file.txt")
    assert os.listdir(tmp_path) == []


def test_a_temporary_file_is_not_taken_for_a_whole_one(tmp_path):
    with atomic_path(tmp_path / f"{'long' * 60}.npy") as temporary:
        assert temporary.name.startswith(".long") and temporary.name.endswith(".part")
        assert temporary.parent == tmp_path
    assert os.listdir(tmp_path) == [f"{'long' * 60}.npy"]


def test_what_has_an_end_may_be_read(tmp_path):
    write(tmp_path / "file.txt")
    check_regular_file(tmp_path / "file.txt")
    with pytest.raises(IsADirectoryError, match=r"Expected a file, got .* a folder"):
        check_regular_file(tmp_path)
    with pytest.raises(FileNotFoundError):
        check_regular_file(tmp_path / "nothing")


@pytest.mark.parametrize(
    "text, shown",
    [("grün", "grün"), ("\x1b[31m", r"\x1b[31m"), ("a\nb", r"a\nb"), ("\u202egpj", r"\u202egpj")],
)
def test_control_characters_are_shown(text, shown):
    assert printable(text) == shown
