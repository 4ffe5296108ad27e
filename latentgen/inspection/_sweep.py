"""Pictures of a parameter search."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral

import numpy as np
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from latentgen.model_selection import (
    MOST_NEAR_COPIES,
    score_heading,
    score_names,
    search_table,
    short_names,
)
from latentgen.utils._optional import import_optional

_BEST_COLOR = "C3"
_NEAR_COPIES = "mean_test_near_copies"
_FONT_SIZE = 9
_LETTER_WIDTH = 0.076  # inches, in a font of fixed width


def _metric_keys(results, refit, metric):
    """Names of the wanted metrics as they are in ``cv_results_``."""
    known = score_names(results)
    if metric is None:
        return [refit if refit in known else known[0]]
    keys = [metric] if isinstance(metric, str) else list(metric)
    if not 1 <= len(keys) <= 2 or not set(keys) <= set(known):
        raise ValueError(f"'metric' must be one or two of {known}, got {metric!r}.")
    return keys


def _full_name(name, known):
    """Full name of a parameter that is given by it or by its last part."""
    matches = [full for full in known if full == name or full.endswith(f"__{name}")]
    if name in known:
        return name
    if len(matches) != 1:
        raise ValueError(f"'group_by' must name one of {sorted(known)}, got {name!r}.")
    return matches[0]


def _are_copiers(search):
    """Which candidates have too many near-copies, where the search scores them."""
    results = search.cv_results_
    if _NEAR_COPIES not in results:
        return np.zeros(len(results["params"]), dtype=bool)
    # The limit of a partial best_without_copying.
    options = getattr(getattr(search, "refit", None), "keywords", {})
    return np.asarray(results[_NEAR_COPIES]) > options.get("most_near_copies", MOST_NEAR_COPIES)


class SweepDisplay:
    """Scores of the candidates of a parameter search.

    With one metric, a table of the candidates with the mean and the standard deviation of each,
    the best on top; with two, one point per candidate in the plane of both. A circle marks the
    best. Make it with `from_search`; the constructor takes what that computed.

    Parameters
    ----------
    means : ndarray of shape (n_candidates, n_metrics)
        Mean over the folds, the best candidate first; one or two metrics.
    stds : ndarray of shape (n_candidates, n_metrics)
        Standard deviation over the folds.
    candidates : list of dict of str to str
        The varying parameters of each candidate, all with the same keys.
    metrics : list of str
        Headings of the metrics, such as ``'FID'``.
    greater_is_better : list of bool or None
        Direction of each metric; None where neither is better.
    groups : list of str, default=None
        Group of each candidate, drawn in one color.
    group_name : str, default=None
        Title of the legend of the groups.
    n_candidates : int, default=None
        Number of candidates in the whole search, if not all are shown.
    has_best : bool, default=True
        Whether the first candidate is marked as the best.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure with the scores.
    axes_ : matplotlib Axes
        Axes with the scores.

    See Also
    --------
    SampleGridDisplay : What the best candidate draws.
    latentgen.model_selection.search_table : The same as a table.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.model_selection import GridSearchCV
    >>> from latentgen.inspection import SweepDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> search = GridSearchCV(PCA(random_state=0), {"n_components": [2, 8, 32]}, cv=3).fit(X)
    >>> SweepDisplay.from_search(search).candidates[0]
    {'n_components': '32'}
    """

    def __init__(
        self,
        means,
        stds,
        candidates,
        *,
        metrics,
        greater_is_better,
        groups=None,
        group_name=None,
        n_candidates=None,
        has_best=True,
    ):
        self.means = means
        self.stds = stds
        self.candidates = candidates
        self.metrics = metrics
        self.greater_is_better = greater_is_better
        self.groups = groups
        self.group_name = group_name
        self.n_candidates = n_candidates
        self.has_best = has_best

    @classmethod
    def from_search(cls, search, *, metric=None, group_by=None, max_candidates=30, ax=None):
        """Show the results of a fitted search.

        Where near-copies were scored, candidates with more of them than
        :func:`~latentgen.model_selection.best_without_copying` allows come last, and none of them
        is marked as the best.

        Parameters
        ----------
        search : GridSearchCV, RandomizedSearchCV or similar
            Fitted, with ``cv_results_``.
        metric : str or pair of str, default=None
            Name of the metric in ``cv_results_``, or two names for the horizontal and the
            vertical axis; the first one ranks the candidates, except that the one chosen by a
            callable ``refit`` is the best. If None, the metric that chose the best candidate
            (``refit``), else the first one. Scores that were negated for the search are shown
            under the heading of their measure, with its sign and direction: those named
            ``neg_frechet_distance`` as FID, lower being better.
        group_by : str, default=None
            Parameter whose values get one color each, by its full name or by the part after
            the last double underscore.
        max_candidates : int, default=30
            Number of candidates to show, the best ones.
        ax : matplotlib Axes, default=None
            Where to draw. If None, a new figure of fitting size.

        Returns
        -------
        display : SweepDisplay
            The display, already plotted.

        Raises
        ------
        ValueError
            If a metric or the parameter is unknown, or if no candidate has a score.
        """
        check_is_fitted(search, "cv_results_")
        check_scalar(max_candidates, "max_candidates", Integral, min_val=1)
        results = search.cv_results_
        keys = _metric_keys(results, getattr(search, "refit", None), metric)
        headings, greater, signs = zip(
            *(score_heading(key, getattr(search, "scoring", None)) for key in keys), strict=True
        )
        table = search_table(search, varying_only=False)
        means, stds = (
            np.array([[row[kind][heading] for heading in headings] for row in table])
            for kind in ("scores", "stds")
        )
        scored = np.flatnonzero(np.isfinite(means).all(axis=1))
        if not len(scored):
            raise ValueError(
                f"No candidate has a finite score for {' and '.join(keys)}: every fit or scoring "
                "failed. Run the search with error_score='raise' to see why."
            )
        # The sign makes a value the score that the search ranked.
        copies = _are_copiers(search)
        order = scored[np.lexsort((-signs[0] * means[scored, 0], copies[scored]))]
        if callable(getattr(search, "refit", None)) and search.best_index_ in scored:
            # Its own rule chose the best candidate, which need not be first in any metric.
            order = np.append(search.best_index_, order[order != search.best_index_])
        order = order[:max_candidates]
        groups = group_name = None
        if group_by is not None:
            short = short_names(results["params"])
            group_name = short[_full_name(group_by, short)]
            groups = [table[row]["candidate"][group_name] for row in order]
        varying = [row["candidate"] for row in search_table(search)]
        return cls(
            means[order],
            stds[order],
            [varying[row] for row in order],
            metrics=list(headings),
            greater_is_better=list(greater),
            groups=groups,
            group_name=group_name,
            n_candidates=len(table),
            has_best=not copies[order[0]],
        ).plot(ax)

    def plot(self, ax=None):
        """Draw the scores.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. If None, a new figure of fitting size.

        Returns
        -------
        SweepDisplay
            The display itself.
        """
        two = len(self.metrics) == 2
        header, rows = self._table()
        if ax is None:
            plt = import_optional("matplotlib.pyplot", extra="plot", needed_by="SweepDisplay")
            size = (3.6 + _LETTER_WIDTH * len(header), 0.9 + 0.24 * len(rows))
            size = (6.4, 4.8) if two else size
            figure = plt.figure(figsize=size, layout="constrained")
            figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
            ax = figure.add_subplot()
        self.axes_, self.figure_ = ax, ax.figure
        if two:
            self._plot_plane(ax)
        else:
            self._plot_ranking(ax, header, rows)
        ax.spines[["top", "right"]].set_visible(False)
        return self

    def _table(self):
        """Header and rows of the parameters, padded for a font of fixed width."""
        names = list(self.candidates[0])
        lines = [names, *([row[name] for name in names] for row in self.candidates)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        header, *rows = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            for line in lines
        ]
        return header, rows

    def _plot_ranking(self, ax, header, rows):
        for color, members, group in self._colored_groups():
            ax.errorbar(
                self.means[members, 0],
                members,
                xerr=self.stds[members, 0],
                fmt="o",
                markersize=5,
                capsize=2,
                linewidth=1,
                color=color,
                label=group,
            )
        if self.has_best:
            ax.plot(self.means[0, 0], 0, "o", markersize=11, fillstyle="none", color=_BEST_COLOR)
        font = {"fontfamily": "monospace", "fontsize": _FONT_SIZE}
        ax.set_yticks(range(len(rows)), rows, **font)
        ax.tick_params(axis="y", length=0)
        ax.annotate(
            header,
            (0, 1),
            xytext=(-3.5, 2),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            fontweight="bold",
            annotation_clip=False,
            **font,
        )
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.grid(axis="x", alpha=0.3)
        ax.set_xlabel(self._axis_label(0))
        if shown := self._shown():
            ax.set_title(shown, fontsize=_FONT_SIZE, loc="right")

    def _plot_plane(self, ax):
        colors = import_optional("matplotlib.colors", extra="plot", needed_by="SweepDisplay")
        for color, members, group in self._colored_groups():
            ax.errorbar(
                self.means[members, 0],
                self.means[members, 1],
                xerr=self.stds[members, 0],
                yerr=self.stds[members, 1],
                fmt="o",
                markersize=5,
                linewidth=1,
                ecolor=colors.to_rgba(color, 0.35),
                color=color,
                label=group,
            )
        best = "no candidate qualifies"
        if self.has_best:
            ax.plot(*self.means[0], "o", markersize=13, fillstyle="none", color=_BEST_COLOR)
            values = (f"{name}={value}" for name, value in self.candidates[0].items() if value)
            best = f"best: {', '.join(values)}"
        title = "\n".join(filter(None, [self._shown(), best]))
        ax.set_title(title, fontsize=_FONT_SIZE, color=_BEST_COLOR, loc="left", wrap=True)
        ax.grid(alpha=0.3)
        ax.set_xlabel(self._axis_label(0))
        ax.set_ylabel(self._axis_label(1))
        if self.groups is not None:
            ax.legend(title=self.group_name, fontsize=_FONT_SIZE)

    def _shown(self):
        """Say so when candidates are left out."""
        if self.n_candidates is None or self.n_candidates == len(self.means):
            return ""
        return f"{len(self.means)} best of {self.n_candidates} candidates"

    def _colored_groups(self):
        """Yield color, candidates and name of each group, in order of the best member."""
        if self.groups is None:
            yield "C0", np.arange(len(self.means)), None
            return
        groups = np.array(self.groups)
        for i, group in enumerate(dict.fromkeys(self.groups)):
            yield f"C{i % 10}", np.flatnonzero(groups == group), group

    def _axis_label(self, i):
        better = {True: " (higher is better)", False: " (lower is better)", None: ""}
        return self.metrics[i] + better[self.greater_is_better[i]]
