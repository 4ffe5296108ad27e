"""Files of rows."""

# SPDX-License-Identifier: BSD-3-Clause

import csv
import json

import numpy as np
import pytest

from latentgen.experiments import Table, environment


def test_rows_come_back_with_their_types(tmp_path):
    row = {"seed": 0, "beta": 0.5, "name": "a, b", "note": None}
    Table(tmp_path, "t").add(row)
    assert Table(tmp_path, "t").rows() == [row]


def test_numbers_are_plain(tmp_path):
    table = Table(tmp_path, "t")
    table.add({"n": np.int64(3), "x": np.float32(1 / 3), "lost": float("nan")})
    assert table.rows() == [{"n": 3, "x": 0.333333, "lost": None}]


def test_csv_has_a_column_for_whatever_a_row_has(tmp_path):
    table = Table(tmp_path / "new" / "folder", "t")
    table.add({"a": 1})
    table.add({"a": 2, "b": 3.5})
    with open(table.csv, newline="") as file:
        assert list(csv.DictReader(file)) == [{"a": "1", "b": ""}, {"a": "2", "b": "3.5"}]


def test_find_compares_all_keys(tmp_path):
    table = Table(tmp_path, "t")
    table.add({"a": 1, "b": 1 / 3, "x": 5})
    assert table.find({"a": 1, "b": 1 / 3})["x"] == 5
    assert table.find({"a": 1, "b": 0.3}) is None
    assert table.find({"a": 1, "c": None}) is None


def test_rows_of_another_process_stay(tmp_path):
    first, second = Table(tmp_path, "t"), Table(tmp_path, "t")
    first.add({"a": 1})
    second.add({"a": 2})
    assert [row["a"] for row in first.rows()] == [1, 2]


def test_csv_is_made_again_after_a_kill_between_the_files(tmp_path):
    table = Table(tmp_path, "t")
    table.add({"a": 1})
    table.json.write_text(json.dumps([{"a": 1}, {"a": 2}]))
    assert Table(tmp_path, "t").csv.read_text().split() == ["a", "1", "2"]


def test_a_csv_file_alone_is_not_written_over(tmp_path):
    Table(tmp_path, "t").add({"a": 1})
    (tmp_path / "t.json").unlink()
    with pytest.raises(ValueError, match=r"t\.json' beside .*t\.csv', whose rows would be lost"):
        Table(tmp_path, "t")
    assert (tmp_path / "t.csv").read_text().split() == ["a", "1"]


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "t.json").write_text("[{")
    with pytest.raises(ValueError, match=r"t\.json' is not a file of rows: .* Delete it"):
        Table(tmp_path, "t")


def test_environment_names_versions_and_machine():
    found = environment()
    assert set(found) == {"date", "python", "versions", "machine"}
    assert "torch=" in found["versions"] and "cores" in found["machine"]
