"""Scorers: the metrics as ``scoring`` of scikit-learn's model selection."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length, check_scalar
from sklearn.utils.validation import column_or_1d

from latentgen.metrics._features import (
    as_generated,
    as_images,
    check_extractor,
    describe_extractor,
    flat_unit_floats,
)
from latentgen.metrics._measures import LABELS, SCORES, TRAINING_IMAGES, Images, Judged


class _SampleScorer:
    """Draws images from an estimator and judges them; a subclass writes ``_judge``.

    Not a `BaseEstimator`: `clone` would make an unfitted copy of the feature extractor.
    """

    def __call__(self, estimator, X, y=None):
        """Judge what an estimator draws against real images.

        Parameters
        ----------
        estimator : object
            Fitted, with ``sample(n_samples, random_state=...)``; one with ``classes_`` also
            takes ``y=labels`` there.
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Real images that the estimator was not fitted on.
        y : array-like of shape (n_samples,), default=None
            Their labels.

        Returns
        -------
        score : float or dict of float
            Greater is better, unless the class says otherwise.
        """
        if not hasattr(estimator, "sample"):
            raise TypeError(
                f"{type(self).__name__} needs an estimator with a 'sample' method; "
                f"{type(estimator).__name__} has none. Use a LatentGenerativePipeline."
            )
        X = as_images(X)
        n_samples = len(X) if self.n_samples is None else self.n_samples
        labels = None
        if y is not None:
            y = column_or_1d(y)
            check_consistent_length(X, y)
            if getattr(estimator, "classes_", None) is not None:
                labels = labels_like(y, n_samples)
        wanted = {} if labels is None else {"y": labels}
        X_generated = estimator.sample(n_samples, random_state=self.random_state, **wanted)
        X_generated = as_images(X_generated, "X_generated")
        return self._judge(estimator, X, y, X_generated, labels)

    def _judged(self, X, y, X_generated, labels, *, train=None, encoder=None):
        """Collect what this scorer measures images with."""
        extractor = getattr(self, "feature_extractor", None)
        return Judged(
            Images(X, y, feature_extractor=extractor, encoder=as_generated(encoder)),
            Images(X_generated, labels, feature_extractor=extractor, encoder=encoder),
            train,
            classifier=getattr(self, "classifier", None),
            random_state=self.random_state,
        )

    def __repr__(self):
        params = dict(vars(self))
        if "feature_extractor" in params:
            params["feature_extractor"] = f"<{describe_extractor(self.feature_extractor)}>"
        if params.get("X_train") is not None:
            params["X_train"] = f"<array of shape {np.shape(self.X_train)}>"
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in params.items())})"

    def _accept_sample_weight(self):
        """Tell a search with several scorers that none of these takes weights."""
        return False


def labels_like(y, n_samples):
    """`n_samples` sorted labels with the class frequencies of `y`, as exactly as they can be."""
    # Evenly spaced rows of the sorted labels.
    return np.sort(y)[(2 * np.arange(n_samples) + 1) * len(y) // (2 * n_samples)]


def _check_n_samples(n_samples):
    if n_samples is not None:
        check_scalar(n_samples, "n_samples", Integral, min_val=2)


class _FeatureScorer(_SampleScorer):
    """The score of a distance between features; a subclass says which one."""

    def __init__(self, feature_extractor=None, *, n_samples=None, random_state=0):
        check_extractor(feature_extractor)
        _check_n_samples(n_samples)
        self.feature_extractor = feature_extractor
        self.n_samples = n_samples
        self.random_state = random_state

    def _judge(self, estimator, X, y, X_generated, labels):
        return SCORES[self.score_name].score(self._judged(X, y, X_generated, labels))


class FIDScorer(_FeatureScorer):
    """Negative Fréchet distance between real and generated images.

    Greater is better, at most 0. Scores are comparable only with the same extractor, the same
    number of real and of generated images, and the same reference images.

    Parameters
    ----------
    feature_extractor : None, fitted transformer or callable, default=None
        What images are compared in. None compares pixels; a transformer, for example a
        `ClassifierFeatures`, gets flat float pixels; a callable gets float images in their
        layout and gives an array of shape (n_samples, n_features). The scorer never fits it:
        fit it beforehand, on real images that the search does not see.
    n_samples : int, default=None
        Number of images to draw; None draws as many as are judged against.
    random_state : int, RandomState instance or None, default=0
        Handed to ``sample``. With an integer all candidates of a search are judged on the same
        random numbers.

    See Also
    --------
    frechet_distance : The distance itself.
    KIDScorer : Unbiased for few images.
    GenerationScorer : Several scores from one draw.

    Notes
    -----
    An estimator with ``classes_`` is asked for the classes of the real images, in the same
    proportions, if labels are at hand; any other draws its own mixture.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from latentgen import ConvAutoencoder, FastHVRTSampler, make_latent_pipeline
    >>> from latentgen.metrics import FIDScorer
    >>> pipeline = make_latent_pipeline(ConvAutoencoder(), FastHVRTSampler())
    >>> grid = {"sampler__min_samples_leaf": [5, 20]}
    >>> search = GridSearchCV(pipeline, grid, scoring=FIDScorer())
    """

    score_name = "neg_frechet_distance"


class KIDScorer(_FeatureScorer):
    """Negative kernel distance between real and generated images.

    Greater is better; the expected score of a perfect generator is 0, however few images there
    are.

    Parameters
    ----------
    feature_extractor : None, fitted transformer or callable, default=None
        What images are compared in, as for `FIDScorer`.
    n_samples : int, default=None
        Number of images to draw; None draws as many as are judged against.
    random_state : int, RandomState instance or None, default=0
        Handed to ``sample``.

    See Also
    --------
    kernel_distance : The distance itself, with its standard error.
    FIDScorer : The more common distance.

    Examples
    --------
    >>> from latentgen.metrics import KIDScorer
    >>> KIDScorer(n_samples=1000)
    KIDScorer(feature_extractor=<pixels in [0, 1]>, n_samples=1000, random_state=0)
    """

    score_name = "neg_kernel_distance"


class TSTRScorer(_SampleScorer):
    """Accuracy on real images of a classifier trained on the estimator's images.

    Greater is better, in [0, 1]. The estimator must be able to draw a wanted class: it has
    ``classes_`` and its ``sample`` takes ``y``. It is asked for the classes of the judged
    images, in the same proportions.

    Parameters
    ----------
    classifier : classifier, default=None
        As for `tstr_score`; None trains a small convolutional network.
    n_samples : int, default=None
        Number of images to draw; None draws as many as are judged against.
    random_state : int, RandomState instance or None, default=0
        Handed to ``sample`` and to the classifier.

    See Also
    --------
    tstr_score : The score itself.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from latentgen.metrics import TSTRScorer
    >>> TSTRScorer(LogisticRegression())
    TSTRScorer(classifier=LogisticRegression(), n_samples=None, random_state=0)
    """

    score_name = "tstr"

    def __init__(self, classifier=None, *, n_samples=None, random_state=0):
        _check_n_samples(n_samples)
        self.classifier = classifier
        self.n_samples = n_samples
        self.random_state = random_state

    def _judge(self, estimator, X, y, X_generated, labels):
        if y is None:
            raise ValueError(
                "TSTRScorer needs the labels of the real images, got y=None. Pass y to the "
                "search, or judge with FIDScorer or KIDScorer."
            )
        if labels is None:
            raise ValueError(
                "TSTRScorer needs an estimator that draws images of a wanted class; "
                f"{type(estimator).__name__} has no 'classes_'. Wrap its sampler, for example "
                "ConditionalSampler(FastHVRTSampler()), and fit it with labels."
            )
        return SCORES[self.score_name].score(self._judged(X, y, X_generated, labels))


class GenerationScorer(_SampleScorer):
    """Several scores from one draw, for a search that shows fidelity beside novelty.

    Gives a dict, so a search needs the name of one score as ``refit``, for example
    ``GridSearchCV(pipeline, grid, scoring=GenerationScorer(), refit='neg_frechet_distance')``.

    Parameters
    ----------
    feature_extractor : None, fitted transformer or callable, default=None
        What images are compared in, as for `FIDScorer`.
    classifier : classifier, default=None
        As for `TSTRScorer`.
    X_train : array-like, default=None
        The images that are passed to the search, all of them; adds ``'novelty'`` and
        ``'near_copies'``.
    n_samples : int, default=None
        Number of images to draw; None draws as many as are judged against.
    random_state : int, RandomState instance or None, default=0
        Handed to ``sample`` and to the classifier.

    See Also
    --------
    generation_report : The same for one set of images, with what real images reach.

    Notes
    -----
    The scores are ``'neg_frechet_distance'`` and ``'neg_kernel_distance'``; with labels ``'tstr'``,
    which is NaN for an estimator that has no classes; with `X_train` ``'novelty'`` and
    ``'near_copies'``, for which greater is *not* better: 1 and 0 are what unseen real images
    reach. They are those measures of `generation_report` that can be compared between candidates.

    A scorer does not see what the estimator was fitted on, and the judged fold is part of
    `X_train`, at distance 0 from itself. Novelty is therefore measured against the rows of
    `X_train` that are not among the judged images, pixel by pixel: in cross-validation these are
    the training fold. Scores on the training fold (``return_train_score=True``) have no
    meaningful novelty.

    Novelty is measured on codes when the estimator is a pipeline, that is after its steps before
    the last one, and otherwise on pixels. Real images are encoded, decoded and encoded again, as
    generated ones are: otherwise the decoder's errors would count as novelty.

    Examples
    --------
    >>> from latentgen.metrics import GenerationScorer
    >>> scorer = GenerationScorer(n_samples=500)
    >>> scorer.n_samples
    500
    """

    score_name = "generation"

    def __init__(
        self,
        feature_extractor=None,
        *,
        classifier=None,
        X_train=None,
        n_samples=None,
        random_state=0,
    ):
        check_extractor(feature_extractor)
        _check_n_samples(n_samples)
        self.feature_extractor = feature_extractor
        self.classifier = classifier
        self.X_train = X_train
        self.n_samples = n_samples
        self.random_state = random_state

    def _judge(self, estimator, X, y, X_generated, labels):
        encoder = estimator[:-1] if isinstance(estimator, Pipeline) else None
        train = None
        if self.X_train is not None:
            seen = _rows_not_in(as_images(self.X_train, "X_train"), X)
            train = Images(seen, encoder=as_generated(encoder))
        judged = self._judged(X, y, X_generated, labels, train=train, encoder=encoder)
        # Every estimator gets the same scores, NaN where it lacks what a measure needs.
        missing = {LABELS} if y is None else set()
        if train is None:
            missing.add(TRAINING_IMAGES)
        return {
            name: measure.score(judged)
            for name, measure in SCORES.items()
            if not measure.needs & missing
        }


def _rows_not_in(X_train, X):
    """Images of `X_train` that are not, pixel by pixel, among those of `X`."""
    judged = {hash(row.tobytes()) for row in flat_unit_floats(X)}
    unseen = np.zeros(len(X_train), dtype=bool)
    for start in range(0, len(X_train), 4096):
        rows = flat_unit_floats(X_train[start : start + 4096])
        unseen[start : start + 4096] = [hash(row.tobytes()) not in judged for row in rows]
    if not unseen.any():
        raise ValueError(
            f"All {len(X_train)} images of 'X_train' are among the judged ones. Pass as 'X_train' "
            "the images that the estimator was fitted on."
        )
    return X_train[unseen]


_SCORERS = {
    scorer.score_name: scorer for scorer in (GenerationScorer, FIDScorer, KIDScorer, TSTRScorer)
}


def get_scorer_names():
    """List the names that `get_scorer` knows.

    Returns
    -------
    names : list of str
        Sorted names.

    Examples
    --------
    >>> from latentgen.metrics import get_scorer_names
    >>> get_scorer_names()
    ['generation', 'neg_frechet_distance', 'neg_kernel_distance', 'tstr']
    """
    return sorted(_SCORERS)


def get_scorer(scoring):
    """Build a scorer with default settings, by name.

    Parameters
    ----------
    scoring : str
        One of `get_scorer_names`.

    Returns
    -------
    scorer : callable
        Called as ``scorer(estimator, X, y)``. Compares pixels; build the class itself to pass a
        feature extractor.

    Raises
    ------
    ValueError
        If there is no scorer of that name.

    Examples
    --------
    >>> from latentgen.metrics import get_scorer
    >>> get_scorer("neg_frechet_distance")
    FIDScorer(feature_extractor=<pixels in [0, 1]>, n_samples=None, random_state=0)
    """
    if scoring not in get_scorer_names():
        raise ValueError(f"'scoring' must be one of {get_scorer_names()}, got {scoring!r}.")
    return _SCORERS[scoring]()
