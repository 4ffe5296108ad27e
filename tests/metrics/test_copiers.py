"""A copier of its training images, in many disguises, against every score of a search."""

# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import check_random_state

from latentgen.exceptions import NearCopyWarning
from latentgen.metrics import FIDScorer, GenerationScorer, KIDScorer, TSTRScorer
from latentgen.model_selection import best_without_copying

pytestmark = pytest.mark.filterwarnings(
    "ignore:The covariance of", "ignore:One or more of the test scores are non-finite"
)


class Generator(BaseEstimator):
    """Draws training rows, or with `honest` from one normal distribution per class.

    With `near` it adds a little to what it copies, with `fraction` below 1 the other draws are
    gray, and with `as_bytes` it gives images in bytes.
    """

    def __init__(self, honest=False, near=0.0, fraction=1.0, as_bytes=False):
        self.honest = honest
        self.near = near
        self.fraction = fraction
        self.as_bytes = as_bytes

    def fit(self, X, y):
        self.X_, self.y_, self.classes_ = np.asarray(X), np.asarray(y), np.unique(y)
        return self

    def sample(self, n_samples=1, *, y=None, random_state=None):
        rng = check_random_state(random_state)
        y = rng.choice(self.y_, n_samples) if y is None else np.asarray(y)
        X_new = np.empty((n_samples, *self.X_.shape[1:]), self.X_.dtype)
        for label in self.classes_:
            X_new[y == label] = self._draw(self.X_[self.y_ == label], np.sum(y == label), rng)
        return np.rint(255 * X_new).astype(np.uint8) if self.as_bytes else X_new

    def _draw(self, X, n_samples, rng):
        white = 255 if X.dtype == np.uint8 else 1
        if self.honest:
            flat = X.reshape(len(X), -1).astype(np.float64)
            weights = rng.normal(size=(n_samples, len(X))) / np.sqrt(len(X) - 1)
            drawn = flat.mean(axis=0) + weights @ (flat - flat.mean(axis=0))
            drawn = drawn.clip(0, white) if X.ndim > 2 else drawn
            return drawn.reshape(n_samples, *X.shape[1:])
        copies = X[rng.randint(len(X), size=n_samples)]
        copies = copies + self.near * np.where(copies > white / 2, -1, 1)
        copies[rng.uniform(size=n_samples) >= self.fraction] = white / 2
        return copies


class Chain(Pipeline):
    """Codes in, codes out, so that a pipeline has `sample`."""

    @property
    def classes_(self):
        return self[-1].classes_

    def sample(self, n_samples=1, *, y=None, random_state=None):
        codes = self[-1].sample(n_samples, y=y, random_state=random_state)
        return np.clip(self[:-1].inverse_transform(codes), 0, 1)


def chain(transform, inverse):
    decoder = FunctionTransformer(transform, inverse, check_inverse=False)
    return Chain([("autoencoder", decoder), ("sampler", COPIER)])


def half_as_bright(X):
    return X / 2


def far_away(X):
    return np.asarray(X, dtype=np.float64) + 1e6


def back(Z):
    return Z - 1e6


def unchanged(X):
    return X


COPIER = Generator()
BYTES = np.rint(load_digits().images[:200, None] * (255 / 16)).astype(np.uint8)
FLOATS, LABELS = (BYTES / 255).astype(np.float32), load_digits().target[:200]
TWICE, FLAT = np.concatenate([FLOATS, FLOATS]), FLOATS.reshape(200, 64)

# Images of the search, 'X_train', and what copies.
DISGUISES = {
    "none": (FLOATS, FLOATS, COPIER),
    "every image twice": (TWICE, TWICE, COPIER),
    "every image twice, once in X_train": (TWICE, FLOATS, COPIER),
    "X_train in bytes": (FLOATS, BYTES, COPIER),
    "X_train in float64": (FLOATS, BYTES / 255, COPIER),
    "search in bytes": (BYTES, FLOATS, COPIER),
    "X_train up to 255": (FLOATS, BYTES.astype(np.float32), COPIER),
    "half of the data as X_train": (FLOATS, FLOATS[::2], COPIER),
    "more than the data as X_train": (FLOATS[:120], FLOATS, COPIER),
    "X_train in another order": (FLOATS, FLOATS[::-1], COPIER),
    "X_train flat": (FLOATS, FLAT, COPIER),
    "X_train a little brighter": (FLOATS, FLOATS * 0.98 + 0.02, COPIER),
    "copies with an offset": (FLOATS, FLOATS, Generator(near=0.02)),
    "copies in bytes": (FLOATS, FLOATS, Generator(as_bytes=True)),
    "half copies, half far away": (FLOATS, FLOATS, Generator(fraction=0.5)),
    "codes far from zero": (FLAT, FLAT, chain(far_away, back)),
    "a lossy decoder": (FLAT, FLAT, chain(unchanged, half_as_bright)),
}
REFUSED = {"X_train up to 255", "half of the data as X_train", "X_train a little brighter"}


def features(images):
    return PCA16.transform(np.asarray(images, dtype=np.float64).reshape(len(images), -1))


PCA16 = PCA(16, random_state=0).fit(load_digits().data[200:] / 16)
CLASSIFIER = GaussianNB(var_smoothing=0.05)


def scorers(X_train):
    """Each scorer that a search can use."""
    known = {"X_train": X_train, "n_samples": 100}
    several = {**known, "classifier": CLASSIFIER}
    return [
        FIDScorer(features, **known),
        KIDScorer(features, **known),
        TSTRScorer(CLASSIFIER, **known),
        GenerationScorer(features, **several),
        GenerationScorer(features, **several, most_near_copies=1),
    ]


@pytest.mark.filterwarnings("ignore:Float pixels")
@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_copier_is_refused_or_ranked_last(disguise):
    X, X_train, copier = DISGUISES[disguise]
    y = np.resize(LABELS, len(X))
    step = "sampler__" if isinstance(copier, Chain) else ""
    # The copier comes first, so that it wins a tie.
    grid = {f"{step}honest": [False, True]}
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    options = {"cv": folds, "refit": False, "error_score": "raise"}
    for scoring in scorers(X_train):
        search = GridSearchCV(copier, grid, scoring=scoring, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NearCopyWarning)
            if disguise in REFUSED:
                with pytest.raises(
                    ValueError,
                    match=r"judged images are not among|got values from 0.00 to 255.00 in X_train",
                ):
                    search.fit(X, y)
                continue
            results = search.fit(X, y).cv_results_
        if isinstance(scoring, GenerationScorer):
            assert best_without_copying(results) == 1
            assert np.diff(results["mean_test_near_copies"]) < -0.4
        if isinstance(scoring, GenerationScorer) and scoring.most_near_copies == 1:
            continue  # It shows what copiers would get, for the rule above to choose.
        qualities = [name for name in results if name.startswith("rank_test_")]
        for name in set(qualities) - {"rank_test_novelty", "rank_test_near_copies"}:
            assert results[name].tolist() == [2, 1], (scoring, name)
