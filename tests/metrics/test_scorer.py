"""Scorers inside scikit-learn's searches, and the report."""

# SPDX-License-Identifier: BSD-3-Clause

import json
import pickle

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import check_random_state

from latentgen.metrics import (
    FIDScorer,
    GenerationScorer,
    KIDScorer,
    TSTRScorer,
    frechet_distance,
    generation_report,
    get_scorer,
    get_scorer_names,
    kernel_distance,
    latent_ks_statistic,
    tstr_score,
)

pytestmark = pytest.mark.filterwarnings("ignore:The covariance of 64 features")


class Copier(BaseEstimator):
    """Draws training images with noise; with `conditional`, of a wanted class."""

    def __init__(self, noise=0.0, conditional=True):
        self.noise = noise
        self.conditional = conditional

    def fit(self, X, y=None, sample_weight=None):
        self.X_ = np.asarray(X)
        if self.conditional and y is not None:
            self.y_, self.classes_ = np.asarray(y), np.unique(y)
        return self

    def sample(self, n_samples=1, *, y=None, random_state=None):
        rng = check_random_state(random_state)
        if y is None:
            rows = rng.randint(len(self.X_), size=n_samples)
        else:
            rows = np.array([rng.choice(np.flatnonzero(self.y_ == label)) for label in y])
        X_new = self.X_[rows] + self.noise * rng.normal(size=(n_samples, *self.X_.shape[1:]))
        return np.clip(X_new, 0, 1).astype(self.X_.dtype)


class CopierPipeline(Pipeline):
    """Codes in, codes out, so that a pipeline has `sample`."""

    def sample(self, n_samples=1, *, y=None, random_state=None):
        codes = self[-1].sample(n_samples, y=y, random_state=random_state)
        return np.clip(self[:-1].inverse_transform(codes), 0, 1)


class Fading(TransformerMixin, BaseEstimator):
    """An autoencoder whose decoder loses half of the brightness."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X

    def inverse_transform(self, X):
        return X / 2


@pytest.fixture(scope="module")
def copier(digits):
    return Copier().fit(digits[0][:120], digits[1][:120])


CHEAP = GaussianNB(var_smoothing=0.05)
GRID = {"noise": [0.5, 0.0]}


def pixels(X):
    return np.asarray(X).reshape(len(X), -1)


@pytest.mark.parametrize(
    "scorer, function",
    [
        (FIDScorer(), lambda X, Y: frechet_distance(X, Y)),
        (KIDScorer(), lambda X, Y: kernel_distance(X, Y)[0]),
    ],
)
def test_distance_scorers_give_the_negative_distance(scorer, function, copier, digits):
    X = digits[0][120:]
    X_new = copier.sample(80, random_state=0)
    assert_allclose(scorer(copier, X), -function(pixels(X), pixels(X_new)), rtol=1e-6)


def test_feature_extractor_is_used(copier, digits):
    X = digits[0][120:]
    pca = PCA(2).fit(pixels(digits[0][:120]))
    assert FIDScorer(pca)(copier, X) != pytest.approx(FIDScorer()(copier, X))
    assert KIDScorer(pca)(copier, X) != pytest.approx(KIDScorer()(copier, X))


@pytest.mark.parametrize("n_samples, expected", [(None, 80), (33, 33)])
def test_n_samples_are_drawn(n_samples, expected, copier, digits):
    sizes = []
    scorer = KIDScorer(lambda X: sizes.append(len(X)) or pixels(X), n_samples=n_samples)
    scorer(copier, digits[0][120:])
    assert sizes == [80, expected]


def test_random_state_decides_the_draw(copier, digits):
    X = digits[0][120:]
    scores = [KIDScorer(random_state=seed)(copier, X) for seed in (0, 0, 1)]
    assert scores[0] == scores[1] != scores[2]


@pytest.mark.parametrize("n_samples", [None, 40, 160])
def test_conditional_estimators_draw_the_class_frequencies_of_y(n_samples, digits):
    asked = []

    class Recorder(Copier):
        def sample(self, n_samples=1, *, y=None, random_state=None):
            asked.append(y)
            return super().sample(n_samples, y=y, random_state=random_state)

    y = np.repeat([0, 1, 2, 3], [40, 20, 10, 10])
    X = digits[0][:80]
    KIDScorer(n_samples=n_samples)(Recorder().fit(X, y), X, np.roll(y, 7))
    assert_array_equal(np.bincount(asked[0]) * 80, np.bincount(y) * (n_samples or 80))


def test_unconditional_estimators_are_not_asked_for_classes(digits):
    X, y = digits[0][:80], digits[1][:80]
    plain = Copier(conditional=False).fit(X, y)
    assert FIDScorer()(plain, X, y) == FIDScorer()(plain, X)


def test_tstr_scorer_trains_on_draws_only(copier, digits):
    X, y = digits[0][120:], digits[1][120:]
    labels = np.sort(y)
    X_new = copier.sample(80, y=labels, random_state=0)
    expected = CHEAP.fit(pixels(X_new), labels).score(pixels(X), y)
    assert TSTRScorer(CHEAP)(copier, X, y) == pytest.approx(expected)


@pytest.mark.parametrize(
    "scorer", [FIDScorer(), KIDScorer(), TSTRScorer(CHEAP)], ids=lambda s: type(s).__name__
)
def test_scorers_choose_the_better_candidate_in_parallel(scorer, digits):
    search = GridSearchCV(Copier(), GRID, scoring=scorer, cv=2, n_jobs=2, error_score="raise")
    assert search.fit(*digits).best_params_ == {"noise": 0.0}


def test_generation_scorer_gives_all_scores_in_a_search(digits):
    X, y = digits
    scorer = GenerationScorer(classifier=CHEAP, X_train=X)
    search = GridSearchCV(
        Copier(), GRID, scoring=scorer, refit="tstr", cv=2, n_jobs=2, error_score="raise"
    ).fit(X, y)
    results = search.cv_results_
    for name in ("neg_frechet_distance", "neg_kernel_distance", "tstr"):
        assert results[f"mean_test_{name}"][1] > results[f"mean_test_{name}"][0]
    # What copies the training fold is found out, although the judged fold is in X_train too.
    assert_array_equal(results["mean_test_novelty"][1], 0)
    assert_array_equal(results["mean_test_near_copies"][1], 1)
    assert results["mean_test_novelty"][0] > 1


def test_generation_scorer_measures_novelty_against_the_training_fold(digits):
    X, y = digits
    fresh = Copier().fit(X[:60], y[:60])
    # The estimator copies what X_train holds outside the judged images, or is copied there.
    judged = GenerationScorer(X_train=X[60:])(fresh, X[130:])
    same = GenerationScorer(X_train=X[60:130])(fresh, X[130:])
    assert judged == same
    assert judged["novelty"] > 0.5


def test_generation_scorer_measures_novelty_on_codes_of_a_pipeline(digits):
    X, y = pixels(digits[0]), digits[1]
    pipeline = CopierPipeline([("pca", PCA(3)), ("sampler", Copier())])
    encoder = pipeline.fit(X[:100], y[:100])[:-1]
    scorer = GenerationScorer(classifier=CHEAP, X_train=X[:100])
    report = generation_report(
        X[100:], pipeline.sample(100, random_state=0), X_train=X[:100], encoder=encoder
    )
    assert_allclose(scorer(pipeline, X[100:])["novelty"], report["novelty"], rtol=1e-5)


def test_generation_scorer_finds_copied_codes_behind_a_lossy_decoder(digits):
    X = pixels(digits[0])
    pipeline = CopierPipeline([("fading", Fading()), ("sampler", Copier())])
    pipeline.fit(X[:100])
    scores = GenerationScorer(X_train=X[:100])(pipeline, X[100:])
    assert (scores["novelty"], scores["near_copies"]) == (0, 1)


def test_generation_scorer_has_the_same_keys_for_every_estimator(copier, digits):
    X, y = digits[0][120:], digits[1][120:]
    scorer = GenerationScorer(classifier=CHEAP)
    plain = Copier(conditional=False).fit(X)
    assert scorer(plain, X, y).keys() == scorer(copier, X, y).keys()
    assert np.isnan(scorer(plain, X, y)["tstr"])
    assert "tstr" not in scorer(copier, X)


def test_generation_scorer_draws_once(digits):
    X, y = digits
    drawn = []

    class Recorder(Copier):
        def sample(self, *args, **kwargs):
            drawn.append(args)
            return super().sample(*args, **kwargs)

    GenerationScorer(classifier=CHEAP)(Recorder().fit(X, y), X, y)
    assert len(drawn) == 1


def test_scorers_work_with_metadata_routing(digits):
    X, y = digits
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = Copier().set_fit_request(sample_weight=True)
        search = GridSearchCV(
            estimator,
            GRID,
            scoring={"fid": FIDScorer(), "tstr": TSTRScorer(CHEAP)},
            refit="fid",
            cv=2,
            error_score="raise",
        )
        assert search.fit(X, y, sample_weight=np.ones(len(y))).best_params_ == {"noise": 0.0}
        single = GridSearchCV(estimator, GRID, scoring=KIDScorer(), cv=2, error_score="raise")
        assert single.fit(X, y, sample_weight=np.ones(len(y))).best_params_ == {"noise": 0.0}


@pytest.mark.filterwarnings("ignore:The scoring")
def test_scorers_work_beside_sample_weight_without_routing(digits):
    X, y = digits
    scoring = {"fid": FIDScorer(), "kid": KIDScorer()}
    search = GridSearchCV(Copier(), GRID, scoring=scoring, refit="fid", cv=2, error_score="raise")
    assert search.fit(X, y, sample_weight=np.ones(len(y))).best_params_ == {"noise": 0.0}


def test_cloning_a_search_keeps_the_extractor_fitted(digits):
    X, y = digits
    pca = PCA(2).fit(pixels(X))
    search = clone(GridSearchCV(Copier(), GRID, scoring=FIDScorer(pca), cv=2))
    assert search.fit(X, y).best_params_ == {"noise": 0.0}


def test_scorers_pickle(copier, digits):
    X, y = digits[0][120:], digits[1][120:]
    scorer = GenerationScorer(PCA(2).fit(pixels(X)), classifier=CHEAP, X_train=digits[0])
    assert pickle.loads(pickle.dumps(scorer))(copier, X, y) == scorer(copier, X, y)


def test_repr_says_what_the_extractor_is():
    assert repr(FIDScorer()) == (
        "FIDScorer(feature_extractor=<pixels in [0, 1]>, n_samples=None, random_state=0)"
    )
    assert "<array of shape (3, 4)>" in repr(GenerationScorer(X_train=np.zeros((3, 4))))


@pytest.mark.parametrize("scorer", [FIDScorer, KIDScorer, GenerationScorer])
def test_unfitted_extractor_is_refused_at_once(scorer):
    with pytest.raises(NotFittedError, match="'feature_extractor' must be fitted before it judges"):
        scorer(PCA())


@pytest.mark.parametrize("scorer", [FIDScorer, KIDScorer, TSTRScorer, GenerationScorer])
def test_n_samples_is_checked(scorer):
    with pytest.raises(ValueError, match="n_samples == 1, must be >= 2"):
        scorer(n_samples=1)


def test_estimators_that_cannot_be_judged_are_refused(copier, digits):
    X, y = digits
    with pytest.raises(TypeError, match="FIDScorer needs an estimator with a 'sample' method; PCA"):
        FIDScorer()(PCA(), X)
    with pytest.raises(ValueError, match="TSTRScorer needs the labels of the real images"):
        TSTRScorer()(copier, X)
    with pytest.raises(ValueError, match="Copier has no 'classes_'"):
        TSTRScorer()(Copier(conditional=False).fit(X, y), X, y)
    with pytest.raises(ValueError, match="All 200 images of 'X_train' are among the judged ones"):
        GenerationScorer(X_train=X)(copier, X)


@pytest.mark.parametrize("name", get_scorer_names())
def test_scorers_by_name_run(name, digits):
    scores = cross_validate(Copier(), *digits, scoring=get_scorer(name), cv=2, error_score="raise")
    assert all(np.isfinite(values).all() for values in scores.values())


def test_unknown_scorer_names_the_known_ones():
    with pytest.raises(ValueError, match=r"one of \['generation', 'neg_frechet.*got 'fid'"):
        get_scorer("fid")


# tstr_score


def test_tstr_of_real_images_is_high_and_of_shuffled_labels_at_chance(digits):
    X, y = digits
    good = tstr_score(X[150:], y[150:], X[:150], y[:150], classifier=LogisticRegression())
    bad = tstr_score(X[150:], y[150:], X[:150], np.roll(y[:150], 3), classifier=CHEAP)
    assert good > 0.8 and bad < 0.4


def test_tstr_of_the_network_is_deterministic_and_follows_its_seed(digits):
    X, y = digits
    parts = X[150:], y[150:], X[:150], y[:150]
    scores = [tstr_score(*parts, random_state=seed) for seed in (0, 0, 1, 2, 3)]
    assert scores[0] == scores[1] and len(set(scores)) > 1
    assert min(scores) > 0.6


def test_tstr_reads_any_layout_and_dtype(digits):
    X, y = digits
    as_bytes = np.rint(X * 255).astype(np.uint8)
    expected = tstr_score(X[150:], y[150:], X[:150], y[:150], classifier=CHEAP)
    mixed = tstr_score(X[150:, 0], y[150:], pixels(as_bytes[:150]), y[:150], classifier=CHEAP)
    assert mixed == pytest.approx(expected, abs=0.021)


def test_tstr_seeds_a_classifier_without_seed_and_leaves_it_alone(digits):
    from sklearn.ensemble import RandomForestClassifier

    X, y = digits
    parts = X[100:], y[100:], X[:100], y[:100]
    forest = make_pipeline(RandomForestClassifier(n_estimators=3))
    first, again, other = (
        tstr_score(*parts, classifier=forest, random_state=seed) for seed in (0, 0, 5)
    )
    assert first == again != other
    assert forest[-1].random_state is None and not hasattr(forest[-1], "estimators_")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"y_test": np.zeros(3)}, "inconsistent numbers of samples"),
        ({"y_generated": np.zeros(3)}, "inconsistent numbers of samples"),
        ({"X_generated": np.zeros((5, 10))}, "must hold images of one size"),
    ],
)
def test_tstr_rejects(change, message):
    arguments = {
        "X_test": np.zeros((4, 9)),
        "y_test": [0, 1, 0, 1],
        "X_generated": np.zeros((5, 9)),
        "y_generated": [0, 1, 0, 1, 0],
        **change,
    }
    with pytest.raises(ValueError, match=message):
        tstr_score(**arguments, classifier=CHEAP)


# generation_report


@pytest.fixture(scope="module")
def report(digits):
    X, y = digits
    copier = Copier(0.1).fit(X[:100], y[:100])
    X_new = copier.sample(50, y=y[:50], random_state=0)
    encoder = PCA(3).fit(pixels(X[:100]))
    return generation_report(
        X[100:],
        X_new,
        y_test=y[100:],
        y_generated=y[:50],
        X_train=X[:100],
        y_train=y[:100],
        encoder=encoder,
        classifier=CHEAP,
    )


def test_report_is_plain_json_with_everything_filled_in(report):
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert None not in report.values()


def test_report_says_what_was_compared(report):
    assert (report["n_real"], report["n_generated"]) == (100, 50)
    assert (report["n_train"], report["n_floor"]) == (100, 50)
    assert report["feature_extractor"] == "pixels in [0, 1]"
    assert report["novelty_space"] == "PCA(n_components=3)"
    assert report["classifier"] == "GaussianNB(var_smoothing=0.05)"
    assert report["reference"] == "100 real test images; floor from 50 of 100 training images"


def test_report_floors_are_those_of_equally_many_training_images(report, digits):
    X, y = digits
    rows = np.random.RandomState(0).permutation(100)[:50]
    floor = frechet_distance(pixels(X[100:]), pixels(X[rows]))
    assert_allclose(report["frechet_distance_floor"], floor, rtol=1e-6)
    tstr = tstr_score(X[100:], y[100:], X[rows], y[rows], classifier=CHEAP)
    assert report["tstr_floor"] == tstr


def test_report_leaves_out_what_has_no_input(digits):
    report = generation_report(digits[0][:100], digits[0][100:])
    missing = {name for name, value in report.items() if value is None}
    assert {"tstr", "tstr_floor", "novelty", "n_floor", "frechet_distance_floor"} <= missing
    assert report["frechet_distance"] > 0 and report["reference"].endswith("no floor")


def test_report_random_state_decides_the_floor(digits):
    X = digits[0]
    reports = [
        generation_report(X[:50], X[50:80], X_train=X[80:], random_state=seed) for seed in (0, 0, 1)
    ]
    floors = [report["kernel_distance_floor"] for report in reports]
    assert floors[0] == floors[1] != floors[2]


def test_report_uses_the_feature_extractor(digits):
    X = digits[0]
    pca = PCA(2).fit(pixels(X[100:]))
    report = generation_report(X[:50], X[50:100], feature_extractor=pca)
    expected = frechet_distance(*(pca.transform(pixels(part)) for part in (X[:50], X[50:100])))
    assert_allclose(report["frechet_distance"], expected, rtol=1e-4)


def test_report_finds_copied_codes_behind_a_lossy_decoder(digits):
    X = digits[0]
    report = generation_report(X[:50], X[50:100] / 2, X_train=X[50:], encoder=Fading().fit(X))
    assert (report["novelty"], report["near_copies"]) == (0, 1)
    expected = latent_ks_statistic(pixels(X[:50]), pixels(X[50:100]))
    assert_allclose(report["latent_ks"], expected)


@pytest.mark.parametrize("name", ["feature_extractor", "encoder"])
def test_report_refuses_what_is_not_fitted(name, digits):
    with pytest.raises(NotFittedError, match=f"'{name}' must be fitted before it judges"):
        generation_report(digits[0][:50], digits[0][50:], **{name: PCA()})
