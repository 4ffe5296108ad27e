"""What the command line and the demonstration share: searches, tables and files."""

# SPDX-License-Identifier: BSD-3-Clause

import csv
import json
import math
import time
from pathlib import Path

import numpy as np
from sklearn.model_selection import GridSearchCV, ParameterGrid

from latentgen.utils._files import atomic_path
from latentgen.utils._optional import import_optional

# Candidates with a larger share of near-copies are not chosen, however good their FID.
MOST_NEAR_COPIES = 0.05

# (key of a score, heading, format of a value, factor)
COLUMNS = [
    ("neg_frechet_distance", "FID", ".2f", -1),
    ("neg_kernel_distance", "KID", ".4f", -1),
    ("tstr", "TSTR", ".1%", 1),
    ("novelty", "novelty", ".2f", 1),
    ("near_copies", "near-copies", ".1%", 1),
]


class ReportingGridSearch(GridSearchCV):
    """`GridSearchCV` that tells of each candidate when it is done."""

    def _run_search(self, evaluate_candidates):
        candidates = ParameterGrid(self.param_grid)
        for number, params in enumerate(candidates, start=1):
            start = time.perf_counter()
            results = evaluate_candidates([params])
            row = scores_of(results, -1)
            print(
                f"  [{number}/{len(candidates)}] {describe_params(params)}: "
                f"FID {format_score(row, 'FID')}, {time.perf_counter() - start:.1f} s",
                flush=True,
            )


def best_without_copying(results):
    """Index of the lowest FID among the candidates that do not copy, for ``refit``."""
    fid = -np.asarray(results["mean_test_neg_frechet_distance"])
    fid = np.where(np.isnan(fid), np.inf, fid)
    original = np.asarray(results["mean_test_near_copies"]) <= MOST_NEAR_COPIES
    return int(np.argmin(np.where(original, fid, np.inf) if original.any() else fid))


def scores_of(results, index):
    """Mean scores of one candidate of a search, by heading."""
    return {
        heading: factor * float(results[f"mean_test_{key}"][index])
        for key, heading, _, factor in COLUMNS
        if f"mean_test_{key}" in results
    }


def named_scores(scores):
    """Scores of a `GenerationScorer` by heading."""
    return {
        heading: factor * float(scores[key]) for key, heading, _, factor in COLUMNS if key in scores
    }


def describe_params(params):
    """One line for the parameters of a candidate, without the steps they belong to."""
    return ", ".join(f"{name.rpartition('__')[2]}={value}" for name, value in params.items())


def format_score(row, heading):
    """A score as text, a dash where there is none."""
    value = row.get(heading)
    if value is None or not math.isfinite(value):
        return "-"
    return format(value, {name: style for _, name, style, _ in COLUMNS}[heading])


def print_table(rows, *, first="candidate"):
    """Print rows of (name, scores by heading) with one column per score that any row has."""
    headings = [name for _, name, _, _ in COLUMNS if any(name in row for _, row in rows)]
    lines = [[first, *headings]]
    lines += [[name, *(format_score(row, heading) for heading in headings)] for name, row in rows]
    print_aligned(lines)


def print_aligned(lines):
    """Print lines of cells in columns, the first one left and the others right aligned."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  " + "  ".join(cells).rstrip())
        if number == 0:
            print("  " + "-" * (sum(widths) + 2 * len(widths) - 2))


def use_file_backend(needed_by):
    """Make matplotlib draw into files, which also works on a machine without a screen."""
    import_optional("matplotlib", extra="plot", needed_by=needed_by).use("Agg")


def check_picture_name(path):
    """Find out before the work, and not after it, that matplotlib writes no such file."""
    backends = import_optional("matplotlib.backend_bases", extra="plot", needed_by="a picture")
    known = backends.FigureCanvasBase.get_supported_filetypes()
    if Path(path).suffix[1:].lower() not in known:
        raise ValueError(f"'{path}' is no name of a picture. Use a suffix such as .png or .pdf.")


def save_figure(display, path):
    """Write the figure of a display."""
    with atomic_path(path) as temporary:
        display.figure_.savefig(temporary, dpi=150)


def save_json(content, path):
    """Write plain values as JSON; what is no finite number becomes null."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")


def save_results(results, path):
    """Write the candidates of a search as CSV, one row per candidate."""
    keys = [key for key in results if key.startswith(("param_", "mean_", "std_"))]
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(keys)
        writer.writerows(zip(*(results[key] for key in keys), strict=True))


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
