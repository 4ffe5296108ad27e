"""Files that are written whole or not at all."""

# SPDX-License-Identifier: BSD-3-Clause

import os

import pytest

from latentgen.utils._files import atomic_path


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
