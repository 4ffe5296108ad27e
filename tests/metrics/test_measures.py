"""The table of measures, and that everything reads it."""

# SPDX-License-Identifier: BSD-3-Clause

import inspect

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV

from latentgen import metrics
from latentgen.cli import _console
from latentgen.inspection import SweepDisplay
from latentgen.metrics import (
    GenerationScorer,
    _judged,
    _measures,
    _page,
    _report,
    generation_report,
)
from latentgen.metrics._judged import LABELS, TRAINING_IMAGES, Images, Judged, draw_like, halves
from latentgen.metrics._measures import MEASURES, SCORES, Measure
from latentgen.model_selection import search_table

pytestmark = pytest.mark.filterwarnings("ignore:The covariance of 64 features")


class Brightened(BaseEstimator):
    """Draws training images that are brighter."""

    def __init__(self, amount=0.0):
        self.amount = amount

    def fit(self, X, y=None):
        self.X_ = X
        return self

    def sample(self, n_samples=1, *, random_state=None):
        rows = np.random.RandomState(random_state).randint(len(self.X_), size=n_samples)
        return np.clip(self.X_[rows] + self.amount, 0, 1)


def brightness_error(judged):
    return abs(float(judged.generated.X.mean() - judged.real.X.mean()))


# What takes more than the images that a report judges.
WITHOUT_ROW = {generation_report, metrics.utility_of_added_images}


@pytest.fixture
def add_row(monkeypatch):
    """Add a measure to the table, as a newcomer would."""

    def add(needs=()):
        row = Measure("brightness_error", "brightness", ".3f", False, set(needs), brightness_error)
        for module in (_measures, _report, _page, _console):
            monkeypatch.setattr(module, "MEASURES", [*MEASURES, row])
        monkeypatch.setitem(SCORES, row.score_name, row)

    return add


# Rows whose functions take what other rows have computed.
ROWS = {
    metrics.copied_fraction: "near_copies",
    metrics.data_copying_test: "data_copying",
    metrics.tstr_score: "tstr",
    metrics.trts_score: "trts",
}

# Too slow for every report.
ON_REQUEST = {
    metrics.classifier_two_sample_test,
    metrics.energy_distance,
    metrics.frechet_distance_infinity,
}


def test_every_measure_of_generated_images_has_a_row():
    used = {id(thing) for module in (_judged, _measures) for thing in vars(module).values()}
    missing = [
        name
        for name in metrics.__all__
        if inspect.isfunction(function := getattr(metrics, name))
        and any(p.endswith("_generated") for p in inspect.signature(function).parameters)
        and function not in WITHOUT_ROW
        and id(function) not in used
        and function not in {*ROWS, *ON_REQUEST}
    ]
    assert missing == []
    assert set(ROWS.values()) <= {measure.key for measure in MEASURES}


@pytest.mark.parametrize("field", ["key", "heading", "score_name"])
def test_rows_have_names_of_their_own(field):
    names = [getattr(measure, field) for measure in MEASURES]
    assert len(set(names)) == len(names)


def test_scorers_of_one_measure_are_of_the_table():
    scorers = {metrics.FIDScorer, metrics.KIDScorer, metrics.TSTRScorer}
    assert {scorer.score_name for scorer in scorers} <= set(SCORES)


def test_only_distances_of_features_are_called_fid_and_kid():
    named = {measure.heading: measure.heading_in("pixels") for measure in MEASURES}
    assert (named["FID"], named["KID"]) == ("pixel distance", "pixel kernel distance")
    assert named["TSTR"] == "TSTR"
    assert MEASURES[0].heading_in(lambda X: X) == "FID"


def test_a_row_is_reported_with_its_floor(add_row, digits):
    add_row()
    X = digits[0]
    report = generation_report(X[:60], X[60:100] / 2, X_train=X[100:])
    value, floor = report["brightness_error"], report["brightness_error_floor"]
    assert value == pytest.approx(abs(X[60:100].mean() / 2 - X[:60].mean())) and floor < value
    line = next(line.split() for line in str(report).splitlines() if "brightness" in line)
    assert line == ["brightness", f"{value:.3f}", f"{floor:.3f}", "poor"]


def test_a_row_is_a_score_a_column_and_an_axis(add_row, digits, capsys):
    figure = pytest.importorskip("matplotlib.figure")
    add_row()
    grid = {"amount": [0.0, 0.3]}
    scoring = GenerationScorer("pixels", X_train=digits[0], most_near_copies=1)
    search = GridSearchCV(Brightened(), grid, scoring=scoring, refit=False, cv=2).fit(digits[0])
    assert search.cv_results_["mean_test_neg_brightness_error"].argmax() == 0
    rows = [("candidate", row["scores"]) for row in search_table(search)]
    assert rows[0][1]["brightness"] < rows[1][1]["brightness"]
    _console.print_table(rows)
    assert capsys.readouterr().out.splitlines()[0].split()[-1] == "brightness"
    ax = figure.Figure().add_subplot()
    SweepDisplay.from_search(search, metric="neg_brightness_error", ax=ax)
    assert ax.get_xlabel() == "brightness (lower is better)"


@pytest.mark.parametrize("need", [TRAINING_IMAGES, LABELS])
def test_a_row_without_its_input_is_empty_in_reports(need, add_row, digits):
    add_row([need])
    report = generation_report(digits[0][:60], digits[0][60:100])
    assert report["brightness_error"] is None


def test_a_row_without_its_input_is_no_score(add_row, digits):
    add_row([LABELS])
    scorer = GenerationScorer("pixels", X_train=digits[0], most_near_copies=1)
    scores = scorer(Brightened().fit(digits[0][60:]), digits[0][:60])
    assert "neg_brightness_error" not in scores


def test_what_is_measured_against_the_training_images_has_no_floor(add_row, digits):
    add_row([TRAINING_IMAGES])
    report = generation_report(digits[0][:60], digits[0][60:100], X_train=digits[0][100:])
    assert report["brightness_error"] > 0 and "brightness_error_floor" not in report


@pytest.fixture
def counting():
    """A feature extractor that keeps how many images it got."""

    def extractor(X):
        extractor.calls.append(len(X))
        return X.reshape(len(X), -1)

    extractor.calls = []
    return extractor


def test_what_is_compared_is_computed_once(digits, counting):
    X = digits[0]
    pca = PCA(3).fit(X.reshape(len(X), -1))
    parts = {"X_train": X[100:], "feature_extractor": counting}
    generation_report(X[:60], X[60:100], **parts)
    # Real, generated, floor.
    assert counting.calls == [60, 40, 40]
    counting.calls.clear()
    generation_report(X[:60], X[60:100], **parts, encoder=pca)
    assert counting.calls == [60, 40, 60, 40, 40]


def test_images_serve_many_sets_and_extractors(digits, counting):
    X, pca = digits[0], PCA(3).fit(digits[0].reshape(200, -1))
    real = Images(X[:60])
    options = {"feature_extractor": counting, "encoder": pca}
    for start in (60, 100, 140):
        drawn = Images(X[start : start + 40], drawn=True)
        for extractor in (counting, "pixels"):
            judged = Judged(real, drawn, **(options | {"feature_extractor": extractor}))
            assert judged.features[0].shape == judged.decoded_features[0].shape == (60, 64)
    assert counting.calls == [60, 40, 60, 40, 40]


def test_images_forget_the_last_autoencoder(digits):
    X = digits[0].reshape(200, -1)
    images, encoders = Images(X[:20]), [PCA(n).fit(X) for n in (2, 5)]
    shapes = [images.codes(encoder).shape for encoder in encoders]
    errors = [np.mean((images.decoded(encoder).X - X[:20]) ** 2) for encoder in encoders]
    assert shapes == [(20, 2), (20, 5)] and errors[1] < errors[0]


def test_parts_of_images_use_what_is_known_of_the_whole(digits, counting):
    X = digits[0]
    pca = PCA(3).fit(X.reshape(200, -1))
    whole, rows = Images(X, digits[1]), np.array([5, 3])
    expected = whole.features(counting)[rows], whole.decoded(pca).features(counting)[rows]
    part = whole.take(rows)
    assert_array_equal(part.X, X[rows])
    assert_array_equal(part.y, digits[1][rows])
    assert_array_equal(part.features(counting), expected[0])
    assert_array_equal(part.decoded(pca).features(counting), expected[1])
    assert counting.calls == [200, 200]


def test_drawn_images_are_not_decoded_again(digits):
    drawn = Images(digits[0], drawn=True)
    assert drawn.decoded(PCA(3).fit(digits[0].reshape(200, -1))) is drawn


@pytest.mark.parametrize("wanted", [[2, 0, 3], [40, 0, 10]])
def test_draw_like_takes_as_many_of_each_class(wanted):
    images = Images(np.arange(60.0)[:, None], np.repeat([0, 1, 2], 20))
    others = Images(np.zeros((sum(wanted), 1)), np.repeat([0, 1, 2], wanted))
    drawn = draw_like(images, others)
    # Of 20 images there are not 40: half of all classes.
    fraction = min(1, 20 / max(wanted))
    assert_array_equal(np.bincount(drawn.y, minlength=3), np.multiply(wanted, fraction))
    assert len(np.unique(drawn.X)) == len(drawn) and (drawn.y == drawn.X[:, 0] // 20).all()


@pytest.mark.parametrize("labels", [None, [7] * 5])
def test_draw_like_ignores_classes_that_are_not_there(labels):
    images = Images(np.arange(60.0)[:, None], np.repeat([0, 1, 2], 20))
    others = Images(np.zeros((5, 1)), None if labels is None else np.array(labels))
    first, again, other = (draw_like(images, others, seed).X for seed in (0, 0, 1))
    assert_array_equal(first, again)
    assert len(np.unique(first)) == 5 and not np.array_equal(first, other)


def test_halves_are_disjoint_and_of_the_same_classes():
    y = np.repeat([0, 1, 2], [20, 6, 4])
    images = Images(np.zeros((30, 1)), y)
    first, second = halves(images)
    assert len(np.union1d(first, second)) == 30
    assert_array_equal(np.bincount(y[first]), [10, 3, 2])
    assert not np.array_equal(first, halves(images, 1)[0])
