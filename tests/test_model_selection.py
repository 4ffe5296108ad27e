"""Choosing without copying, named sweeps, and tables of search results."""

# SPDX-License-Identifier: BSD-3-Clause

import functools
import inspect

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
)
from sklearn.pipeline import Pipeline

import latentgen
from latentgen import ConvAutoencoder, EnsembleSampler, FastHVRTSampler, make_latent_pipeline
from latentgen.metrics import FIDScorer
from latentgen.model_selection import (
    MOST_NEAR_COPIES,
    best_without_copying,
    compare_candidates,
    search_table,
    sweeps,
)

X = np.arange(12.0).reshape(6, 2)


class Scored(BaseEstimator):
    """Scores ``value``, plus the fold's first pixel so that folds differ."""

    def __init__(self, value=0.0, kind="a"):
        self.value = value
        self.kind = kind

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X

    def score(self, X, y=None):
        return self.value + X[0, 0]


def both(estimator, X, y=None):
    value = estimator.value
    copies = {"narrow": 0.9, "wide": 0.0}.get(estimator.kind, 0.01)
    return {"neg_frechet_distance": -value - X[0, 0], "near_copies": copies}


def search(grid, scoring=None, estimator=None, **options):
    estimator = estimator or Scored()
    return GridSearchCV(estimator, grid, scoring=scoring, cv=2, **options).fit(X)


def results(fid, copies):
    return {
        "mean_test_neg_frechet_distance": -np.array(fid, dtype=float),
        "mean_test_near_copies": np.array(copies, dtype=float),
    }


# best_without_copying


def test_lowest_fid_among_those_that_do_not_copy_is_chosen():
    assert best_without_copying(results([1, 3, 2], [0.9, 0, MOST_NEAR_COPIES])) == 2


def test_candidate_without_a_score_is_not_chosen():
    assert best_without_copying(results([np.nan, 3, 2], [0, 0, np.nan])) == 1


def test_nothing_qualifies_is_said_and_the_fewest_copies_are_taken():
    with pytest.warns(UserWarning, match=r"expected at most 5\.0% near-copies, got 6\.0% or more"):
        assert best_without_copying(results([1, 9, 3, 2], [0.9, 0.06, 0.06, np.nan])) == 2


def test_a_copier_without_a_fid_does_not_qualify():
    assert best_without_copying(results([np.nan, 9], [0.9, 0])) == 1
    with pytest.warns(UserWarning, match="No candidate qualifies"):
        assert best_without_copying(results([np.nan, np.nan], [0.9, 0.8])) == 1


def test_most_near_copies_is_the_limit():
    choose = functools.partial(best_without_copying, most_near_copies=0.5)
    assert choose(results([1, 3, 2], [0.9, 0, 0.4])) == 2
    assert best_without_copying(results([1, 3, 2], [0.9, 0, 0.4])) == 1


@pytest.mark.parametrize(
    "cv_results, options, message",
    [
        ({"mean_test_score": [1.0]}, {}, "needs the scores neg_frechet_distance and near_copies"),
        ({"mean_test_neg_frechet_distance": [1.0]}, {}, r"needs the scores near_copies.*X_train=X"),
        (results([np.nan], [np.nan]), {}, "No candidate has a finite score"),
        ({"mean_test_score": np.array([np.nan])}, {}, "No candidate has a finite score"),
        (results([1], [0]), {"most_near_copies": 2}, "most_near_copies == 2, must be <= 1"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(cv_results, options, message):
    with pytest.raises(ValueError, match=message):
        best_without_copying(cv_results, **options)


def test_it_is_a_refit_of_a_search():
    grid = [{"value": [1, 2], "kind": ["narrow"]}, {"value": [4, 3], "kind": ["wide"]}]
    found = search(grid, both, refit=best_without_copying)
    assert found.best_params_ == {"value": 3, "kind": "wide"}


def test_a_search_in_which_all_copy_keeps_its_results():
    with pytest.warns(UserWarning, match="No candidate qualifies"):
        found = search({"kind": ["narrow"], "value": [2, 1]}, both, refit=best_without_copying)
    assert found.best_params_["value"] == 1 and len(found.cv_results_["params"]) == 2


# compare_candidates


class Searched(Scored):
    """Two candidates with made-up scores in each fold."""

    def __init__(self, first, second, cv=None):
        folds = enumerate(zip(first, second, strict=True))
        self.cv_results_ = {f"split{k}_test_score": pair for k, pair in folds}
        self.cv_results_["mean_test_score"] = [np.mean(first), np.mean(second)]
        self.n_splits_, self.cv = len(first), cv


FIRST, SECOND = [3.0, 4.0, 2.5, 5.0], [2.0, 3.5, 2.7, 3.0]


@pytest.mark.parametrize(
    "options, ratio",
    [
        ({"cv": None}, 1 / 3),
        ({"cv": 4}, 1 / 3),
        ({"cv": KFold(4)}, 1 / 3),
        ({"cv": StratifiedKFold(4)}, 1 / 3),
        ({"cv": [(range(6), range(6, 8))] * 4}, 2 / 6),
        ({"cv": ShuffleSplit(4), "test_fraction": 0.1}, 1 / 9),
        ({"cv": 4, "confidence": 0.5}, 1 / 3),
    ],
)
def test_candidates_are_compared_by_the_corrected_resampled_t_test(options, ratio):
    options = dict(options)
    found = Searched(FIRST, SECOND, options.pop("cv"))
    result = compare_candidates(found, 0, 1, **options)
    # The plain test and its interval, with the standard error of the corrected one.
    plain = stats.ttest_rel(FIRST, SECOND)
    wider = np.sqrt(1 + 4 * ratio)
    p_value = stats.t.sf(plain.statistic / wider, 3) * 2
    plain_high = plain.confidence_interval(options.get("confidence", 0.95)).high
    assert result.difference == pytest.approx(0.825)
    assert result.p_value == pytest.approx(p_value, rel=1e-10)
    half = wider * (plain_high - 0.825)
    assert_allclose((result.low, result.high), (0.825 - half, 0.825 + half), rtol=1e-10)


def test_order_of_candidates_gives_the_sign():
    assert compare_candidates(Searched(FIRST, SECOND), 1, 0).difference == pytest.approx(-0.825)


def test_candidates_of_a_search_are_compared_by_the_named_score():
    found = search({"value": [1.0, 3.0]}, both, refit=False)
    result = compare_candidates(found, 0, 1, "neg_frechet_distance")
    assert tuple(result) == (2, 2, 2, 0)
    with pytest.raises(ValueError, match="among 'neg_frechet_distance', 'near_copies', got None"):
        compare_candidates(found, 0, 1)


@pytest.mark.parametrize(
    "found, options, message",
    [
        (Searched(FIRST, SECOND, RepeatedKFold()), {}, "Pass test_fraction"),
        (Searched(FIRST, [1, 2, np.nan, 3]), {}, "candidate 1 in each fold.*copies"),
        (Searched(FIRST[:1], SECOND[:1]), {}, "at least 2 folds, got 1"),
        (Searched(FIRST, SECOND), {"test_fraction": 1}, "test_fraction == 1"),
        (Searched(FIRST, SECOND), {"score": "tstr"}, "must be among 'score', got 'tstr'"),
    ],
)
def test_candidates_that_cannot_be_compared_are_refused(found, options, message):
    with pytest.raises(ValueError, match=message):
        compare_candidates(found, 0, 1, **options)


# sweeps


def pipelines():
    autoencoder = ConvAutoencoder(2, channels=(4,), max_epochs=1, batch_size=16, random_state=0)
    sampler = FastHVRTSampler(random_state=0)
    wrapped = {"ensemble": EnsembleSampler(sampler)}
    return {name: make_latent_pipeline(autoencoder, wrapped.get(name, sampler)) for name in sweeps}


def test_named_sweeps_are_those_of_the_published_results():
    assert list(sweeps) == ["strategy", "beta", "latent_dim", "ensemble", "tree"]


@pytest.mark.filterwarnings("ignore::latentgen.exceptions.NearCopyWarning")
@pytest.mark.parametrize("name", sweeps)
def test_sweep_runs_on_its_pipeline(name, digits):
    def scoring(estimator, X, y=None):
        return np.mean(estimator.sample(5, random_state=0))

    found = GridSearchCV(
        pipelines()[name], sweeps[name], scoring=scoring, cv=[(range(60), range(60, 80))]
    ).fit(digits[0][:80])
    scores = found.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all() and len(scores) >= 4


# search_table


def test_table_has_scores_by_heading_in_their_own_sign():
    row = search_table(search({"value": [1, 5]}, both, refit=False))[1]
    assert row["candidate"] == {"value": "5"}
    assert row["scores"] == {"FID": 8, "near-copies": 0.01}
    assert row["stds"] == {"FID": 3, "near-copies": 0}


@pytest.mark.parametrize(
    "scoring, heading, value",
    [
        (None, "score", 7),
        ("neg_mean_squared_error", "mean squared error", 16),
        (FIDScorer(np.sum, X_train=X), "FID", -1),
        (FIDScorer("pixels", X_train=X), "pixel distance", -1),
        (lambda estimator, X, y: {"neg_pixel_error": 1.0}, "pixel error", -1),
    ],
)
def test_heading_is_that_of_the_measure_or_its_own_name(scoring, heading, value, monkeypatch):
    class Regressor(Scored):
        def predict(self, X):
            return np.full(len(X), self.value)

    monkeypatch.setattr(FIDScorer, "__call__", lambda self, estimator, X, y=None: 1.0)
    found = GridSearchCV(Regressor(), {"value": [4]}, scoring=scoring, cv=2, refit=False)
    row = search_table(found.fit(X, np.zeros(6)))[0]
    assert row["scores"] == {heading: value}


def test_only_varying_parameters_are_described():
    found = search({"value": [1, 2], "kind": ["b"]})
    assert search_table(found)[0]["candidate"] == {"value": "1"}
    assert search_table(found, varying_only=False)[0]["candidate"] == {"kind": "b", "value": "1"}


def test_parameters_are_described_when_none_varies():
    assert search_table(search({"value": [1]}))[0]["candidate"] == {"value": "1"}


def test_absent_parameters_are_empty():
    table = search_table(search([{"value": [1]}, {"kind": ["b"]}]))
    assert [row["candidate"] for row in table] == [
        {"kind": "", "value": "1"},
        {"kind": "b", "value": ""},
    ]


class Nested(Pipeline):
    def score(self, X, y=None):
        return 0.0


@pytest.mark.parametrize(
    "names, short",
    [
        (["first__value"], ["value"]),
        (["first__value", "last__kind"], ["value", "kind"]),
        (["first__value", "last__value"], ["first__value", "last__value"]),
        (["first__value", "last__value", "last__kind"], ["first__value", "last__value", "kind"]),
        (["first__first__value", "last__value"], ["first__value", "last__value"]),
    ],
)
def test_names_lose_their_steps_where_they_stay_different(names, short):
    inner = Nested([("first", Scored()), ("last", Scored())])
    estimator = Nested([("first", inner), ("last", Scored())])
    if "first__first__value" not in names:
        estimator = inner
    found = search({name: [1, 2] for name in names}, estimator=estimator)
    assert set(search_table(found)[0]["candidate"]) == set(short)


@pytest.mark.parametrize(
    "value, text",
    [
        (0.1 + 0.2, "0.3"),
        (1e-5, "1e-05"),
        (3, "3"),
        (None, "None"),
        ("a b", "a b"),
        ((1, 2), "(1, 2)"),
        (Scored(value="x" * 99), "Scored(value='" + "x" * 33 + "…"),
    ],
)
def test_values_are_one_short_line(value, text):
    assert search_table(search({"kind": [value]}))[0]["candidate"] == {"kind": text}


def test_table_follows_the_order_of_the_results():
    found = search({"value": [3, 1, 2]})
    scores = [row["scores"]["score"] for row in search_table(found)]
    assert_allclose(scores, found.cv_results_["mean_test_score"])


def test_unfitted_search_is_refused():
    with pytest.raises(NotFittedError):
        search_table(GridSearchCV(Scored(), {"value": [1]}))


def test_module_is_reached_from_the_package():
    assert latentgen.model_selection.sweeps is sweeps
    assert inspect.ismodule(latentgen.model_selection)
