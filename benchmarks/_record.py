"""What every benchmark notes beside its numbers, and how it writes them."""

# SPDX-License-Identifier: BSD-3-Clause

import csv
import os
import shlex
import statistics
import sys
import time
from pathlib import Path

from latentgen.experiments import environment

__all__ = [
    "RESULTS",
    "environment",
    "median_times",
    "print_rows",
    "typed_command",
    "update_rows",
    "write_rows",
]

RESULTS = Path(__file__).parent / "results"
# Options that name folders of this machine.
_OF_FOLDERS = ("--data-home", "--cache", "--results")


def typed_command():
    """What the user typed, without the folders of this machine."""
    words = []
    arguments = iter(sys.argv[1:])
    for word in arguments:
        if word in _OF_FOLDERS:
            next(arguments, None)
        elif not word.startswith(tuple(f"{option}=" for option in _OF_FOLDERS)):
            words.append(word)
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])


def write_rows(name, rows, folder=RESULTS):
    """Write rows to ``<folder>/<name>.csv``, replacing the file at once."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    path, draft = folder / f"{name}.csv", folder / f"{name}.csv.part"
    with open(draft, "w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({key: _rounded(value) for key, value in row.items()} for row in rows)
    os.replace(draft, path)
    return path


def update_rows(name, rows, keys, folder=RESULTS):
    """Write rows, and keep those of an older file that differ from all of them in `keys`."""
    path = Path(folder) / f"{name}.csv"
    old = []
    if path.exists():
        with open(path, newline="") as file:
            old = list(csv.DictReader(file))
    new = {tuple(str(row[key]) for key in keys) for row in rows}
    kept = [row for row in old if tuple(row[key] for key in keys) not in new]
    rows = sorted([*kept, *rows], key=lambda row: [str(row[key]) for key in reversed(keys)])
    return write_rows(name, rows, folder)


def print_rows(rows, columns):
    """Print some columns as an aligned table."""
    table = [columns, *([str(_rounded(row.get(key, ""))) for key in columns] for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def median_times(functions, repeats, setup=None):
    """Median seconds of each function, their runs taking turns so that drift hits all alike.

    One round before the first is not counted.
    """
    times = {name: [] for name in functions}
    for _ in range(repeats + 1):
        for name, function in functions.items():
            if setup is not None:
                setup()
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}


def _rounded(value):
    return float(f"{value:.5g}") if isinstance(value, float) else value
