"""Scorers inside scikit-learn's searches."""

# SPDX-License-Identifier: BSD-3-Clause

import pickle
import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import check_random_state

from latentgen.exceptions import NearCopyWarning
from latentgen.metrics import (
    FIDScorer,
    GenerationScorer,
    KIDScorer,
    TSTRScorer,
    frechet_distance,
    generation_report,
    kernel_distance,
    novelty,
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
GRID = {"noise": [0.5, 0.2]}


def pixels(X):
    return np.asarray(X).reshape(len(X), -1)


@pytest.fixture(scope="module")
def made(digits):
    """Make a scorer of pixels that knows all images and judges copiers too."""

    def make(scorer, extractor="pixels", **options):
        options = {"X_train": digits[0], "most_near_copies": 1, **options}
        if scorer is TSTRScorer:
            return scorer(CHEAP, **options)
        if scorer is GenerationScorer:
            options.setdefault("classifier", CHEAP)
        return scorer(extractor, **options)

    return make


FEATURE_SCORERS = [FIDScorer, KIDScorer, GenerationScorer]
SCORERS = [*FEATURE_SCORERS, TSTRScorer]


@pytest.mark.parametrize(
    "scorer, function",
    [
        (FIDScorer, lambda X, Y: frechet_distance(X, Y)),
        (KIDScorer, lambda X, Y: kernel_distance(X, Y)[0]),
    ],
)
def test_distance_scorers_give_the_negative_distance(scorer, function, copier, digits, made):
    X = digits[0][120:]
    X_new = copier.sample(80, random_state=0)
    expected = -function(pixels(X), pixels(X_new))
    assert_allclose(made(scorer)(copier, X), expected, rtol=1e-6)


def test_feature_extractor_is_used(copier, digits, made):
    X = digits[0][120:]
    pca = PCA(2).fit(pixels(digits[0][:120]))
    for scorer in (FIDScorer, KIDScorer):
        assert made(scorer, pca)(copier, X) != pytest.approx(made(scorer)(copier, X))


@pytest.mark.parametrize("n_samples, expected", [(None, 80), (33, 33)])
def test_n_samples_are_drawn(n_samples, expected, copier, digits, made):
    sizes = []
    extractor = lambda X: sizes.append(len(X)) or pixels(X)  # noqa: E731
    made(KIDScorer, extractor, n_samples=n_samples)(copier, digits[0][120:])
    assert sizes == [80, expected]


def test_random_state_decides_the_draw(copier, digits, made):
    X = digits[0][120:]
    scores = [made(KIDScorer, random_state=seed)(copier, X) for seed in (0, 0, 1)]
    assert scores[0] == scores[1] != scores[2]


@pytest.mark.parametrize("seed", [None, np.random.RandomState(0)], ids=["None", "RandomState"])
@pytest.mark.parametrize("scorer", SCORERS)
def test_equal_candidates_get_equal_scores_whatever_the_random_state(scorer, seed, digits, made):
    X, y = digits
    candidates = [Copier(0.2).fit(X[:120], y[:120]) for _ in range(2)]
    scorer = made(scorer, random_state=seed)
    first, second = (scorer(candidate, X[120:], y[120:]) for candidate in candidates)
    assert first == second


def test_scorers_without_a_random_state_differ_from_each_other(copier, digits, made):
    first, second = (made(KIDScorer, random_state=None) for _ in range(2))
    assert first(copier, digits[0][120:]) != second(copier, digits[0][120:])


@pytest.mark.parametrize("n_samples", [None, 40, 160])
def test_conditional_estimators_draw_the_class_frequencies_of_y(n_samples, digits, made):
    asked = []

    class Recorder(Copier):
        def sample(self, n_samples=1, *, y=None, random_state=None):
            asked.append(y)
            return super().sample(n_samples, y=y, random_state=random_state)

    y = np.repeat([0, 1, 2, 3], [40, 20, 10, 10])
    X = digits[0][:80]
    made(KIDScorer, n_samples=n_samples)(Recorder().fit(X, y), X, np.roll(y, 7))
    assert_array_equal(np.bincount(asked[0]) * 80, np.bincount(y) * (n_samples or 80))


def test_unconditional_estimators_are_not_asked_for_classes(digits, made):
    X, y = digits[0][:80], digits[1][:80]
    plain, scorer = Copier(conditional=False).fit(X, y), made(FIDScorer)
    assert scorer(plain, X, y) == scorer(plain, X)


def test_tstr_scorer_trains_on_draws_only(copier, digits, made):
    X, y = digits[0][120:], digits[1][120:]
    labels = np.sort(y)
    X_new = copier.sample(80, y=labels, random_state=0)
    expected = CHEAP.fit(pixels(X_new), labels).score(pixels(X), y)
    assert made(TSTRScorer)(copier, X, y) == pytest.approx(expected)


@pytest.mark.parametrize("scorer", [FIDScorer, KIDScorer, TSTRScorer])
def test_scorers_choose_the_better_candidate_in_parallel(scorer, digits, made):
    options = {"scoring": made(scorer), "cv": 2, "n_jobs": 2, "error_score": "raise"}
    assert GridSearchCV(Copier(), GRID, **options).fit(*digits).best_params_ == {"noise": 0.2}


def test_generation_scorer_gives_all_scores_in_a_search(digits, made):
    X, y = digits
    search = GridSearchCV(
        *(Copier(), {"noise": [0.5, 0.0]}),
        scoring=made(GenerationScorer),
        refit="tstr",
        cv=2,
        n_jobs=2,
        error_score="raise",
    ).fit(X, y)
    results = search.cv_results_
    for name in ("neg_frechet_distance", "neg_kernel_distance", "tstr"):
        assert results[f"mean_test_{name}"][1] > results[f"mean_test_{name}"][0]
    # What copies the training fold is found out, although the judged fold is in X_train too.
    assert_array_equal(results["mean_test_novelty"][1], 0)
    assert_array_equal(results["mean_test_near_copies"][1], 1)
    assert results["mean_test_novelty"][0] > 1


@pytest.mark.parametrize("scorer", SCORERS)
def test_a_copier_gets_no_score_of_quality_and_a_warning(scorer, copier, digits, made):
    X, y = digits[0][120:], digits[1][120:]
    with pytest.warns(NearCopyWarning, match=r"100\.0% of the images that Copier draws.*at most 5"):
        scores = made(scorer, most_near_copies=0.05)(copier, X, y)
    if scorer is GenerationScorer:
        assert (scores.pop("novelty"), scores.pop("near_copies")) == (0, 1)
    else:
        scores = {"score": scores}
    assert np.isnan([*scores.values()]).all()


@pytest.mark.parametrize("limit, is_scored", [(0.29, False), (0.3, True)])
def test_most_near_copies_is_the_limit(limit, is_scored, digits, made):
    X = digits[0]

    class Mixed(Copier):
        def sample(self, n_samples=1, *, y=None, random_state=None):
            return np.concatenate([X[:30], 1 - X[:70]])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NearCopyWarning)
        score = made(FIDScorer, most_near_copies=limit)(Mixed().fit(X[:100]), X[100:])
    assert np.isfinite(score) == is_scored


def test_novelty_of_many_images_is_estimated_on_some_of_all_kinds(digits, made, monkeypatch):
    X = digits[0]
    compared = []

    def counted(*parts, **options):
        compared.append([len(part) for part in parts])
        return novelty(*parts, **options)

    class Half(Copier):
        def sample(self, n_samples=1, *, y=None, random_state=None):
            return np.concatenate([X[:50], 1 - X[:50]])

    monkeypatch.setattr("latentgen.metrics._judged.novelty", counted)
    monkeypatch.setattr("latentgen.metrics._scorer._MOST_COMPARED", 20)
    scores = made(GenerationScorer)(Half().fit(X[:100]), X[100:])
    assert compared == [[200, 20, 20]] and scores["near_copies"] == 0.5


def test_real_unseen_images_are_not_taken_for_copies(digits, made):
    X = digits[0]
    unseen = Copier().fit(X[100:150])
    # What is drawn is in neither half of X_train.
    known = np.concatenate([X[:100], X[150:]])
    scores = made(GenerationScorer, X_train=known)(unseen, X[150:])
    assert 0.8 < scores["novelty"] < 1.2 and scores["near_copies"] < 0.05


def test_novelty_of_a_pipeline_is_that_of_the_report(digits, made):
    X, y = pixels(digits[0]), digits[1]
    pipeline = CopierPipeline([("pca", PCA(3)), ("sampler", Copier(0.5))])
    encoder = pipeline.fit(X[:100], y[:100])[:-1]
    drawn = pipeline.sample(100, random_state=0)
    report = generation_report(X[100:], drawn, X_train=X[:100], encoder=encoder)
    # Without the judged images in X_train, which are near some that are drawn.
    parts = [encoder.inverse_transform(encoder.transform(part)) for part in (X[:100], X[100:])]
    direct = novelty(*(part.clip(0, 1) for part in parts), drawn)
    assert_allclose(report["novelty"], direct.novelty, rtol=1e-5)
    scores = made(GenerationScorer, X_train=X)(pipeline, X[100:])
    assert_allclose(scores["novelty"], report["novelty"], rtol=0.2)


def test_generation_scorer_finds_copied_codes_behind_a_lossy_decoder(digits, made):
    X = pixels(digits[0])
    pipeline = CopierPipeline([("fading", Fading()), ("sampler", Copier())])
    scores = made(GenerationScorer)(pipeline.fit(X[:100]), X[100:])
    assert (scores["novelty"], scores["near_copies"]) == (0, 1)


def test_generation_scorer_leaves_out_what_does_not_apply(copier, digits, made):
    X, y = digits[0][120:], digits[1][120:]
    scorer, plain = made(GenerationScorer), Copier(conditional=False).fit(X)
    assert "tstr" in scorer(copier, X, y)
    assert "tstr" not in scorer(copier, X)
    assert "tstr" not in scorer(plain, X, y)


@pytest.mark.parametrize("conditional", [[False], [False, True]])
def test_a_search_without_classes_has_finite_scores(conditional, digits, made):
    grid = {"noise": [0.3], "conditional": conditional}
    options = {"scoring": made(GenerationScorer), "refit": False, "cv": 2, "error_score": "raise"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "The covariance of 64 features")
        search = GridSearchCV(Copier(), grid, **options).fit(*digits)
    assert not any("tstr" in key for key in search.cv_results_)


def test_candidates_without_classes_may_follow_one_with_classes(digits, made):
    grid = {"conditional": [True, False]}
    options = {"scoring": made(GenerationScorer), "refit": False, "cv": 2, "error_score": "raise"}
    with pytest.warns(UserWarning, match="non-finite"):
        search = GridSearchCV(Copier(0.3), grid, **options).fit(*digits)
    assert_array_equal(np.isnan(search.cv_results_["mean_test_tstr"]), [False, True])


def test_generation_scorer_draws_once(digits, made):
    X, y = digits
    drawn = []

    class Recorder(Copier):
        def sample(self, *args, **kwargs):
            drawn.append(args)
            return super().sample(*args, **kwargs)

    made(GenerationScorer)(Recorder().fit(X, y), X[100:], y[100:])
    assert len(drawn) == 1


def test_scorers_work_with_metadata_routing(digits, made):
    X, y = digits
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = Copier().set_fit_request(sample_weight=True)
        search = GridSearchCV(
            estimator,
            GRID,
            scoring={"fid": made(FIDScorer), "tstr": made(TSTRScorer)},
            refit="fid",
            cv=2,
            error_score="raise",
        )
        assert search.fit(X, y, sample_weight=np.ones(len(y))).best_params_ == {"noise": 0.2}
        single = GridSearchCV(estimator, GRID, scoring=made(KIDScorer), cv=2, error_score="raise")
        assert single.fit(X, y, sample_weight=np.ones(len(y))).best_params_ == {"noise": 0.2}


@pytest.mark.filterwarnings("ignore:The scoring")
def test_scorers_work_beside_sample_weight_without_routing(digits, made):
    X, y = digits
    scoring = {"fid": made(FIDScorer), "kid": made(KIDScorer)}
    search = GridSearchCV(Copier(), GRID, scoring=scoring, refit="fid", cv=2, error_score="raise")
    assert search.fit(X, y, sample_weight=np.ones(len(y))).best_params_ == {"noise": 0.2}


def test_cloning_a_search_keeps_the_extractor_fitted(digits, made):
    X, y = digits
    pca = PCA(2).fit(pixels(X))
    search = clone(GridSearchCV(Copier(), GRID, scoring=made(FIDScorer, pca), cv=2))
    assert search.fit(X, y).best_params_ == {"noise": 0.2}


def test_scorers_pickle(copier, digits, made):
    X, y = digits[0][120:], digits[1][120:]
    scorer = made(GenerationScorer, PCA(2).fit(pixels(X)))
    assert pickle.loads(pickle.dumps(scorer))(copier, X, y) == scorer(copier, X, y)


def test_repr_says_what_the_extractor_is():
    assert repr(FIDScorer("pixels", X_train=np.zeros((3, 4)))) == (
        "FIDScorer(feature_extractor=<pixels in [0, 1]>, X_train=<array of shape (3, 4)>, "
        "most_near_copies=0.05, n_samples=None, random_state=0)"
    )


@pytest.mark.parametrize("scorer", FEATURE_SCORERS)
def test_unfitted_extractor_is_refused_at_once(scorer, made):
    with pytest.raises(NotFittedError, match="'feature_extractor' must be fitted before it judges"):
        made(scorer, PCA())


@pytest.mark.parametrize("scorer", FEATURE_SCORERS)
@pytest.mark.parametrize("extractor", [None, "pixel"])
def test_pixels_are_compared_only_if_that_is_said(scorer, extractor, made):
    with pytest.raises(TypeError, match=r"a callable or 'pixels', got .*Fit ClassifierFeatures"):
        made(scorer, extractor)


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"n_samples": 1}, ValueError, "n_samples == 1, must be >= 2"),
        ({"most_near_copies": 2}, ValueError, "most_near_copies == 2, must be <= 1"),
        ({"X_train": None}, TypeError, "needs 'X_train', all images that are passed to the search"),
    ],
)
def test_parameters_are_checked_at_once(scorer, options, error, message, made):
    with pytest.raises(error, match=message):
        made(scorer, **options)


def test_estimators_that_cannot_be_judged_are_refused(copier, digits, made):
    X, y = digits
    with pytest.raises(TypeError, match="FIDScorer needs an estimator with a 'sample' method; PCA"):
        made(FIDScorer)(PCA(), X)
    with pytest.raises(ValueError, match="TSTRScorer needs the labels of the real images"):
        made(TSTRScorer)(copier, X[120:])
    with pytest.raises(ValueError, match="Copier has no 'classes_'"):
        made(TSTRScorer)(Copier(conditional=False).fit(X, y), X[120:], y[120:])


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda X: X[60:], "60 of 120 judged images are not among the 140 of 'X_train'"),
        (lambda X: X[:120], "All 120 images of 'X_train' are among the judged ones"),
        (lambda X: X[:, :, 1:], "must have one size"),
    ],
    ids=["part", "judged", "size"],
)
def test_images_among_which_copies_cannot_be_told_are_refused(change, message, digits, made):
    X = digits[0]
    with pytest.raises(ValueError, match=message):
        made(FIDScorer, X_train=change(X))(Copier().fit(X[120:]), X[:120])


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
