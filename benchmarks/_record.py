"""What every benchmark notes beside its numbers, and how it writes them."""

# SPDX-License-Identifier: BSD-3-Clause

import csv
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


def environment():
    """Versions and machine, without anything that names a host or a user."""
    packages = ("latentgen", "torch", "scikit-learn", "hvrt", "numpy", "scipy", "skorch")
    versions = " ".join(f"{name}={version(name)}" for name in packages)
    machine = f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads"
    if torch.cuda.is_available():
        machine += f", {torch.cuda.get_device_name()}"
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "versions": versions,
        "machine": machine,
    }


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


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
