"""What the commands print: the progress of a search and tables of measures."""

# SPDX-License-Identifier: BSD-3-Clause

import math
import time

from sklearn.model_selection import GridSearchCV, ParameterGrid

from latentgen.metrics._measures import MEASURES
from latentgen.model_selection import (
    describe_candidates,
    mean_scores,
    score_heading,
    search_table,
)
from latentgen.utils._text import align


class ReportingGridSearch(GridSearchCV):
    """`GridSearchCV` that prints a line for each candidate when it is done."""

    def _run_search(self, evaluate_candidates):
        grid = list(ParameterGrid(self.param_grid))
        candidates = describe_candidates(grid, varying_only=False)
        heading = fid_heading(self)
        for number, (params, candidate) in enumerate(zip(grid, candidates, strict=True), start=1):
            start = time.perf_counter()
            scores = mean_scores(evaluate_candidates([params]), -1, self.scoring)
            print(
                f"  [{number}/{len(grid)}] {join_params(candidate)}: {heading} "
                f"{format_value(scores, heading)}, {time.perf_counter() - start:.1f} s",
                flush=True,
            )


def fid_heading(search):
    """What the Fréchet distance of a search is called."""
    return score_heading("neg_frechet_distance", search.scoring)[0]


def join_params(candidate):
    """One line for the parameters of a candidate."""
    return ", ".join(f"{name}={value}" for name, value in candidate.items())


def candidate_rows(search):
    """Name and values by heading of each candidate of a search."""
    return [
        (join_params(row["candidate"]), row["scores"])
        for row in search_table(search, varying_only=False)
    ]


def format_value(row, heading):
    """A value as text, a dash where there is none."""
    value = row.get(heading)
    if value is None or not math.isfinite(value):
        return "-"
    return format(value, _formats()[heading])


def _formats():
    """Format of the values by heading, in the order of the columns."""
    return {
        heading: measure.format
        for measure in MEASURES
        for heading in filter(None, [measure.heading, measure.pixel_heading])
    }


def print_table(rows, *, first="candidate"):
    """Print rows of (name, values by heading) with one column per measure that any row has."""
    headings = [heading for heading in _formats() if any(heading in row for _, row in rows)]
    lines = [[first, *headings]]
    lines += [[name, *(format_value(row, heading) for heading in headings)] for name, row in rows]
    print(*align(lines), sep="\n")
