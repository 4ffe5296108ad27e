"""Rows of results as a few numbers: the mean over seeds, an interval, a paired difference.

Draws of one seed are averaged first, because they share a model. Intervals are of 95 percent, by
Student's t over seeds; a single seed has none.
"""

# SPDX-License-Identifier: BSD-3-Clause

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

RESULTS = Path(__file__).parent / "results"


class NotRun(LookupError):
    """The rows that something is read from are not there."""


class Mean(NamedTuple):
    """Mean over seeds, its interval (nan with one seed), and how many seeds there are."""

    value: float
    low: float
    high: float
    n_seeds: int


def read(name):
    """Read all rows of ``results/<name>.csv``."""
    path = RESULTS / f"{name}.csv"
    if not path.exists():
        raise NotRun(f"{name}.csv")
    return _read(path, path.stat().st_mtime_ns)


@cache
def _read(path, _written):
    # Short names, as people say them.
    names = {"frechet_distance": "fid", "kernel_distance": "kid"}
    rows = pd.read_csv(path)
    for long, short in names.items():
        rows.columns = rows.columns.str.replace(long, short)
    return rows


def select(rows, **conditions):
    """Keep rows with these values; a condition that is a function is asked for each value."""
    for column, wanted in conditions.items():
        if column not in rows:
            raise NotRun(f"no column {column!r}")
        holds = wanted if callable(wanted) else _equals(wanted)
        rows = rows[rows[column].map(holds).astype(bool)]
    if rows.empty:
        raise NotRun(", ".join(f"{column}={_said(value)}" for column, value in conditions.items()))
    return rows


def _said(wanted):
    """A condition in words."""
    return getattr(wanted, "text", "...") if callable(wanted) else wanted


def _equals(wanted):
    # Prose writes 64 where a column of a file reads 64.0.
    return lambda value: str(value).removesuffix(".0") == str(wanted).removesuffix(".0")


def per_seed(rows, column):
    """Mean over the draws of each seed."""
    values = rows[column] if column in rows else pd.Series(dtype=float)
    if values.notna().sum() == 0:
        raise NotRun(f"no values of {column!r}")
    seeds = rows["seed"] if "seed" in rows else pd.Series(0, index=rows.index)
    return values.groupby(seeds).mean().dropna()


def mean(rows, column):
    """Mean over seeds with its interval."""
    values = per_seed(rows, column)
    return _mean(values)


def difference(rows, others, column):
    """Mean of the difference of two settings, paired by seed, with its interval."""
    pairs = pd.concat([per_seed(rows, column), per_seed(others, column)], axis=1).dropna()
    if pairs.empty:
        raise NotRun(f"no common seed for {column!r}")
    return _mean(pairs.iloc[:, 0] - pairs.iloc[:, 1])


def _mean(values):
    low = high = np.nan
    if len(values) > 1:
        low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    return Mean(float(values.mean()), float(low), float(high), len(values))
