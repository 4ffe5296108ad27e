"""Sweep displays: order, names, directions and labels of the candidates."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline

from latentgen.inspection import SweepDisplay

Figure = pytest.importorskip("matplotlib.figure").Figure


class Scored(BaseEstimator):
    """Scores ``value``, plus the fold's first pixel so that folds differ."""

    def __init__(self, value=0.0, other=None, kind="a"):
        self.value = value
        self.other = other
        self.kind = kind

    def fit(self, X, y=None):
        if self.value == "broken":
            raise ValueError("broken on purpose")
        self.fitted_ = True
        return self

    def transform(self, X):
        return X

    def score(self, X, y=None):
        return self.value + X[0, 0]


def both(estimator, X, y=None):
    return {"neg_frechet_distance": -estimator.score(X) - 10, "novelty": -(estimator.score(X) ** 2)}


X = np.arange(12.0).reshape(6, 2)


@pytest.fixture
def ax():
    return Figure().add_subplot()


def search(grid, scoring=None, estimator=None, **options):
    estimator = estimator or Scored()
    return GridSearchCV(estimator, grid, scoring=scoring, cv=2, refit=False, **options).fit(X)


def values(display, name):
    return [candidate[name] for candidate in display.candidates]


def test_candidates_are_sorted_best_first(ax):
    display = SweepDisplay.from_search(search({"value": [1, 5, 3]}), ax=ax)
    assert values(display, "value") == ["5", "3", "1"]
    assert_allclose(display.means, [[8], [6], [4]])
    assert_allclose(display.stds, np.full((3, 1), 3))
    assert ax.get_xlabel() == "score (higher is better)"
    assert [text.get_text() for text in ax.get_yticklabels()] == ["5    ", "3    ", "1    "]
    assert [text.get_text() for text in ax.texts] == ["value"]
    assert display.axes_ is ax and display.figure_ is ax.figure


def test_negated_scores_are_shown_positive(ax):
    fitted = search({"value": [1, 5, 3]}, both)
    display = SweepDisplay.from_search(fitted, metric="neg_frechet_distance", ax=ax)
    assert values(display, "value") == ["1", "3", "5"]
    assert_allclose(display.means, [[14], [16], [18]])
    assert display.metrics == ["FID"] and display.greater_is_better == [False]
    assert ax.get_xlabel() == "FID (lower is better)"


def test_single_metric_is_named_by_its_scorer(ax):
    class Regressor(Scored):
        def predict(self, X):
            return np.full(len(X), self.value)

    fitted = GridSearchCV(
        Regressor(), {"value": [1, 2]}, scoring="neg_mean_squared_error", cv=2
    ).fit(X, np.ones(6))
    display = SweepDisplay.from_search(fitted, ax=ax)
    assert ax.get_xlabel() == "mean squared error (lower is better)"
    assert_allclose(display.means, [[0], [1]])


def test_metric_without_a_row_in_the_table_has_its_own_name(ax):
    def scoring(estimator, X, y=None):
        return {"neg_pixel_error": -estimator.score(X)}

    fitted = search({"value": [1, 2]}, scoring)
    SweepDisplay.from_search(fitted, ax=ax)
    assert ax.get_xlabel() == "pixel error (lower is better)"


def test_group_by_may_name_a_constant_parameter(ax):
    fitted = search({"value": [1, 2], "kind": ["a"]})
    assert SweepDisplay.from_search(fitted, group_by="kind", ax=ax).groups == ["a", "a"]


def test_default_metric_is_the_one_that_refits(ax):
    fitted = GridSearchCV(Scored(), {"value": [1, 2]}, scoring=both, cv=2, refit="novelty").fit(X)
    assert SweepDisplay.from_search(fitted, ax=ax).metrics == ["novelty"]
    assert SweepDisplay.from_search(search({"value": [1]}, both), ax=ax).metrics == ["FID"]


def test_best_candidate_is_the_one_that_a_rule_chose(ax):
    fitted = GridSearchCV(
        Scored(), {"value": [1, 5, 3]}, scoring=both, cv=2, refit=lambda results: 2
    ).fit(X)
    display = SweepDisplay.from_search(fitted, metric="neg_frechet_distance", ax=ax)
    assert values(display, "value") == ["3", "1", "5"]


def test_two_metrics_span_a_plane(ax):
    fitted = search({"value": [1, 5, 3]}, both)
    display = SweepDisplay.from_search(fitted, metric=("neg_frechet_distance", "novelty"), ax=ax)
    assert display.means.shape == (3, 2) and display.greater_is_better == [False, None]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("FID (lower is better)", "novelty")
    assert ax.get_title(loc="left") == "best: value=1"
    best = ax.lines[-1].get_xydata()
    assert_allclose(best, [[14, np.mean([-1, -49])]])


def test_randomized_search_is_read_too(ax):
    fitted = RandomizedSearchCV(Scored(), {"value": [1, 2, 3]}, n_iter=2, cv=2, random_state=0).fit(
        X
    )
    assert len(SweepDisplay.from_search(fitted, ax=ax).candidates) == 2


def test_only_varying_parameters_are_shown(ax):
    grid = {"value": [1, 2], "other": [None], "kind": ["b"]}
    assert SweepDisplay.from_search(search(grid), ax=ax).candidates[0] == {"value": "2"}
    single = SweepDisplay.from_search(search({"value": [1], "kind": ["b"]}), ax=ax)
    assert single.candidates == [{"kind": "b", "value": "1"}]


def test_parameters_missing_from_a_candidate_are_empty(ax):
    grid = [{"value": [1], "kind": ["a", "b"]}, {"value": [2], "other": [(3, 4)]}]
    display = SweepDisplay.from_search(search(grid), ax=ax)
    assert display.candidates[0] == {"kind": "", "other": "(3, 4)", "value": "2"}
    assert {frozenset(c) for c in display.candidates} == {frozenset(["kind", "other", "value"])}


def test_step_prefixes_go_where_names_stay_different(ax):
    pipeline = Pipeline([("first", Scored()), ("last", Scored())])
    grid = {"first__value": [0, 1], "last__value": [1, 2], "last__kind": ["a", "b"]}
    display = SweepDisplay.from_search(search(grid, estimator=pipeline), ax=ax)
    assert set(display.candidates[0]) == {"first__value", "last__value", "kind"}


def test_group_by_colors_one_group_each(ax):
    pipeline = Pipeline([("first", Scored()), ("last", Scored())])
    grid = {"last__value": [1, 2, 3], "last__kind": ["a", "b"]}
    fitted = search(grid, estimator=pipeline)
    display = SweepDisplay.from_search(fitted, group_by="kind", ax=ax)
    assert display.groups == ["a", "b"] * 3 and display.group_name == "kind"
    colors = {line.get_color() for line in ax.lines if len(line.get_xdata()) == 3}
    assert colors == {"C0", "C1"}
    assert SweepDisplay.from_search(fitted, group_by="last__kind", ax=ax).groups == ["a", "b"] * 3


def test_group_by_gives_the_plane_a_legend(ax):
    fitted = search({"value": [1, 2], "kind": ["a", "b"]}, both)
    SweepDisplay.from_search(
        fitted, metric=["neg_frechet_distance", "novelty"], group_by="kind", ax=ax
    )
    legend = ax.get_legend()
    assert legend.get_title().get_text() == "kind"
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]


def test_max_candidates_keeps_the_best_and_says_so(ax):
    fitted = search({"value": [1, 5, 3, 4]})
    display = SweepDisplay.from_search(fitted, max_candidates=2, ax=ax)
    assert values(display, "value") == ["5", "4"]
    assert ax.get_title(loc="right") == "2 best of 4 candidates"


@pytest.mark.filterwarnings("ignore")
def test_failed_candidates_are_left_out(ax):
    fitted = search({"value": [1, "broken", 3]})
    display = SweepDisplay.from_search(fitted, ax=ax)
    assert values(display, "value") == ["3", "1"]
    assert ax.get_title(loc="right") == "2 best of 3 candidates"


def test_no_finite_score():
    def nan(estimator, X, y=None):
        return np.nan

    with pytest.warns(UserWarning), pytest.raises(ValueError, match="No candidate has a finite"):
        SweepDisplay.from_search(search({"value": [1]}, nan))


@pytest.mark.parametrize(
    "keyword, message",
    [
        ({"metric": "fid"}, r"one or two of \['neg_frechet_distance', 'novelty'\], got 'fid'"),
        ({"metric": ("novelty",) * 3}, "'metric' must be one or two"),
        ({"metric": ()}, "'metric' must be one or two"),
        ({"group_by": "leaf"}, r"'group_by' must name one of \['value'\], got 'leaf'"),
        ({"max_candidates": 0}, "max_candidates == 0"),
    ],
)
def test_bad_calls(keyword, message):
    with pytest.raises(ValueError, match=message):
        SweepDisplay.from_search(search({"value": [1, 2]}, both), **keyword)


def test_unfitted_search():
    with pytest.raises(NotFittedError):
        SweepDisplay.from_search(GridSearchCV(Scored(), {"value": [1]}))


def test_new_figure_fits_its_table():
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    display = SweepDisplay.from_search(search({"value": range(20), "kind": ["x" * 40]}))
    assert display.figure_.get_figheight() > 5
    display.figure_.canvas.draw()
    table = [text.get_window_extent() for text in display.axes_.get_yticklabels()]
    assert min(box.x0 for box in table) >= 0
    plt.close(display.figure_)
