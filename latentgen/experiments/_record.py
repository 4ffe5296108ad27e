"""What every row notes beside its numbers, and files of rows that grow row by row."""

# SPDX-License-Identifier: BSD-3-Clause

import csv
import json
import math
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from latentgen.utils._files import atomic_path

_PACKAGES = ("latentgen", "torch", "scikit-learn", "hvrt", "numpy", "scipy", "skorch")


def environment():
    """Versions and machine, without anything that names a host or a user.

    Returns
    -------
    environment : dict of str
        ``date``, ``python``, ``versions`` and ``machine``.

    Examples
    --------
    >>> from latentgen.experiments import environment
    >>> list(environment())
    ['date', 'python', 'versions', 'machine']
    """
    versions = " ".join(f"{name}={version(name)}" for name in _PACKAGES)
    machine = f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads"
    if torch.cuda.is_available():
        machine += f", {torch.cuda.get_device_name()}"
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "versions": versions,
        "machine": machine,
    }


class Table:
    """Rows in ``<folder>/<experiment>.json``, and the same ones as CSV for people.

    Both files are put in place whole after every row, so that a process that is killed leaves what
    it has made. The rows of the JSON file are read back, with their types.

    Parameters
    ----------
    folder : str or path-like
        Made if it does not exist.
    experiment : str
        Name of the files.

    Raises
    ------
    ValueError
        If there is a CSV file without its JSON file.

    Examples
    --------
    >>> import tempfile
    >>> from latentgen.experiments import Table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Table(folder, "lengths").add({"seed": 0, "length": 2.5})
    ...     Table(folder, "lengths").find({"seed": 0})
    {'seed': 0, 'length': 2.5}
    """

    def __init__(self, folder, experiment):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.json, self.csv = folder / f"{experiment}.json", folder / f"{experiment}.csv"
        if self.json.exists():
            # A process that was killed between the two files left the CSV file without a row.
            self._write_csv(self.rows())
        elif self.csv.exists():
            raise ValueError(
                f"expected '{self.json}' beside '{self.csv}', whose rows would be lost. Copy it "
                "there, or name another folder."
            )

    def rows(self):
        """Read all rows.

        Returns
        -------
        rows : list of dict
            In the order in which they were added; a value that was not finite is None.
        """
        if not self.json.exists():
            return []
        try:
            return json.loads(self.json.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(
                f"'{self.json}' is not a file of rows: {error}. Delete it, or name another folder."
            ) from error

    def find(self, keys):
        """Find the first row with these values.

        Parameters
        ----------
        keys : dict
            Columns and values.

        Returns
        -------
        row : dict or None
            None if there is no such row.
        """
        keys = _plain(keys)
        for row in self.rows():
            if all(key in row and row[key] == value for key, value in keys.items()):
                return row
        return None

    def add(self, row):
        """Write one more row.

        Parameters
        ----------
        row : dict
            Strings and numbers by column.
        """
        # Read anew, since another process may have added rows of other settings.
        rows = [*self.rows(), _plain(row)]
        with atomic_path(self.json) as temporary:
            lines = ",\n".join(json.dumps(one, allow_nan=False) for one in rows)
            temporary.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        self._write_csv(rows)

    def _write_csv(self, rows):
        columns = list(dict.fromkeys(key for row in rows for key in row))
        with (
            atomic_path(self.csv) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def _plain(row):
    """Values as JSON and CSV hold them: six digits are more than any measure has."""
    plain = {}
    for key, value in row.items():
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, float):
            value = float(f"{value:.6g}") if math.isfinite(value) else None
        plain[key] = value
    return plain


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
