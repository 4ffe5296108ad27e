"""Scorers: the metrics as ``scoring`` of scikit-learn's model selection."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from numbers import Integral, Real

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length, check_random_state, check_scalar
from sklearn.utils.validation import column_or_1d

from latentgen.exceptions import NearCopyWarning
from latentgen.metrics._features import (
    PIXELS,
    check_extractor,
    describe_extractor,
    find_rows,
    in_form_of,
)
from latentgen.metrics._judged import Images, Judged
from latentgen.metrics._measures import SCORES
from latentgen.utils._images import as_images
from latentgen.utils._warnings import warn_user

#: Largest fraction of near-copies of a candidate that is not taken for a copier.
MOST_NEAR_COPIES = 0.05
# The search among all training images, for each candidate and fold, is what a scorer takes longest
# for. With so many, a fraction of near-copies of 5 % has a standard error of 0.5 %.
_MOST_COMPARED = 2000


class _SampleScorer:
    """Draws images from an estimator and judges them; a subclass writes ``_scores``.

    Not a `BaseEstimator`: `clone` would make an unfitted copy of the feature extractor.
    """

    def _set(self, X_train, most_near_copies, n_samples, random_state):
        """Check and keep what every scorer takes."""
        if X_train is None:
            raise TypeError(
                f"{type(self).__name__} needs 'X_train', all images that are passed to the search, "
                "got None: without them a copier of its training images has the best score."
            )
        check_scalar(most_near_copies, "most_near_copies", Real, min_val=0, max_val=1)
        if n_samples is not None:
            check_scalar(n_samples, "n_samples", Integral, min_val=2)
        if not isinstance(random_state, Integral):
            # Once, so that all candidates of a search are judged on the same random numbers.
            random_state = int(check_random_state(random_state).randint(2**31 - 1))
        self.X_train = X_train
        self.most_near_copies = most_near_copies
        self.n_samples = n_samples
        self.random_state = random_state

    def __call__(self, estimator, X, y=None):
        """Judge what an estimator draws against real images.

        Parameters
        ----------
        estimator : object
            Fitted, with ``sample(n_samples, random_state=...)``; one with ``classes_`` also
            takes ``y=labels`` there.
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Real images that the estimator was not fitted on, all of them among `X_train`.
        y : array-like of shape (n_samples,), default=None
            Their labels.

        Returns
        -------
        score : float or dict of float
            Greater is better, unless the class says otherwise; NaN for a copier.
        """
        if not hasattr(estimator, "sample"):
            raise TypeError(
                f"{type(self).__name__} needs an estimator with a 'sample' method; "
                f"{type(estimator).__name__} has none. Use a LatentGenerativePipeline."
            )
        X = as_images(X)
        X_train, own = self._find_judged(X)
        n_samples = len(X) if self.n_samples is None else self.n_samples
        labels = None
        if y is not None:
            y = column_or_1d(y)
            check_consistent_length(X, y)
            if getattr(estimator, "classes_", None) is not None:
                labels = labels_like(y, n_samples)
        self._check_labels(estimator, y, labels)
        wanted = {} if labels is None else {"y": labels}
        X_generated = estimator.sample(n_samples, random_state=self.random_state, **wanted)
        X_generated = as_images(X_generated, "X_generated", drawn=True)
        judged = Judged(
            Images(X, y),
            Images(X_generated, labels, drawn=True),
            Images(X_train),
            feature_extractor=getattr(self, "feature_extractor", PIXELS),
            encoder=estimator[:-1] if isinstance(estimator, Pipeline) else None,
            own=own,
            most_compared=_MOST_COMPARED,
            classifier=getattr(self, "classifier", None),
            random_state=self.random_state,
        )
        copies = judged.neighbors.near_copies > self.most_near_copies
        if copies:
            warn_user(
                f"{type(self).__name__} gives no score for quality: "
                f"{judged.neighbors.near_copies:.1%} of the images that {type(estimator).__name__} "
                "draws are near-copies of training images, and at most "
                f"{self.most_near_copies:.1%} may be.",
                NearCopyWarning,
            )
        return self._scores(judged, copies)

    def _find_judged(self, X):
        """Different images of `X_train`, and which of them those of `X` are."""
        X_train = in_form_of(as_images(self.X_train, "X_train"), X)
        first, own = find_rows(X_train, X)
        if (own < 0).any():
            raise ValueError(
                f"{np.sum(own < 0)} of {len(X)} judged images are not among the {len(X_train)} of "
                "'X_train', so that copies cannot be told from new images. Pass all images of the "
                "search as 'X_train', in the same range; for images outside of a search, those "
                "that the estimator was fitted on and those to judge."
            )
        if len(np.unique(own)) == len(first):
            raise ValueError(
                f"All {len(X_train)} images of 'X_train' are among the judged ones, so that copies "
                "cannot be told from new images. Pass all images of the search as 'X_train'."
            )
        return X_train[first], own

    def _check_labels(self, estimator, y, labels):
        """Raise where labels are needed and there are none."""

    def _scores(self, judged, copies):
        return math.nan if copies else SCORES[self.score_name].score(judged)

    def __repr__(self):
        params = dict(vars(self))
        if "feature_extractor" in params:
            params["feature_extractor"] = f"<{describe_extractor(self.feature_extractor)}>"
        params["X_train"] = f"<array of shape {np.shape(self.X_train)}>"
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in params.items())})"

    def _accept_sample_weight(self):
        """Tell a search with several scorers that none of these takes weights."""
        return False


def labels_like(y, n_samples):
    """`n_samples` sorted labels with the class frequencies of `y`, as exactly as they can be."""
    # Evenly spaced rows of the sorted labels.
    return np.sort(y)[(2 * np.arange(n_samples) + 1) * len(y) // (2 * n_samples)]


class _FeatureScorer(_SampleScorer):
    """The score of a distance between features; a subclass says which one."""

    def __init__(
        self,
        feature_extractor,
        *,
        X_train,
        most_near_copies=MOST_NEAR_COPIES,
        n_samples=None,
        random_state=0,
    ):
        check_extractor(feature_extractor)
        self.feature_extractor = feature_extractor
        self._set(X_train, most_near_copies, n_samples, random_state)


class FIDScorer(_FeatureScorer):
    """Negative Fréchet distance between real and generated images.

    Greater is better, at most 0; a copier of training images gets NaN, which searches rank last.
    Scores are comparable only with the same extractor, the same number of real and of generated
    images, and the same reference images.

    Parameters
    ----------
    feature_extractor : fitted transformer, callable or 'pixels'
        What images are compared in. A transformer, for example a `ClassifierFeatures`, gets
        images as they are passed to the search, or as flat rows if it was fitted on such; a
        callable gets floats in [0, 1] in their layout and gives an array of shape (n_samples,
        n_features). The scorer never fits it: fit it beforehand, on real images that the search
        does not see. ``'pixels'`` compares images as they are. It sees little of what
        people see, and tables call it a pixel distance, not FID.
    X_train : array-like of shape (n_train, n_features), (n_train, H, W) or (n_train, C, H, W)
        All images that are passed to the search, in any order, layout and dtype; more do no harm.
        By them copies are found.
    most_near_copies : float, default=0.05
        Largest fraction of near-copies among the images drawn, in [0, 1]. With more, scores of
        quality are NaN, and there is a warning. 1 scores copiers too.
    n_samples : int, default=None
        Number of images to draw; None draws as many as are judged against.
    random_state : int, RandomState instance or None, default=0
        Handed to ``sample``, so that all candidates of a search are judged on the same random
        numbers. Of None or a RandomState the scorer draws an integer once, when it is made.

    See Also
    --------
    frechet_distance : The distance itself.
    KIDScorer : Unbiased for few images.
    GenerationScorer : Several scores from one draw.

    Notes
    -----
    An estimator with ``classes_`` is asked for the classes of the real images, in the same
    proportions, if labels are at hand; any other draws its own mixture.

    If every candidate of a search gets NaN, scikit-learn takes the first one: no candidate
    qualifies if ``best_score_`` is NaN.

    A copier of its training images has the best distance of all. A scorer is not told what the
    estimator was fitted on, and need not know: a generated image is a near-copy if it is near any
    image of `X_train`, near in units of the distance of a judged image to the nearest *other* image
    of `X_train`. So a training image that occurs again in the judged fold makes no difference.
    Images are compared as float32 in [0, 1], and judged ones that are not in `X_train` are an
    error. See `novelty` for the measure and `GenerationScorer` for the space.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV, train_test_split
    >>> from latentgen import ConvAutoencoder, FastHVRTSampler, make_latent_pipeline
    >>> from latentgen.datasets import load_digits_images
    >>> from latentgen.metrics import ClassifierFeatures, FIDScorer
    >>> X, y = load_digits_images(return_X_y=True)
    >>> X_search, X_judge, _, y_judge = train_test_split(X, y, test_size=0.3, random_state=0)
    >>> features = ClassifierFeatures(max_epochs=1).fit(X_judge, y_judge)
    >>> pipeline = make_latent_pipeline(ConvAutoencoder(), FastHVRTSampler())
    >>> grid = {"sampler__min_samples_leaf": [5, 20]}
    >>> search = GridSearchCV(pipeline, grid, scoring=FIDScorer(features, X_train=X_search))
    """

    score_name = "neg_frechet_distance"


class KIDScorer(_FeatureScorer):
    """Negative kernel distance between real and generated images.

    Greater is better; the expected score of a perfect generator is 0, however few images there
    are. A copier of training images gets NaN, which searches rank last.

    Parameters
    ----------
    feature_extractor : fitted transformer, callable or 'pixels'
        What images are compared in, as for `FIDScorer`.
    X_train : array-like of shape (n_train, n_features), (n_train, H, W) or (n_train, C, H, W)
        All images that are passed to the search, in any order, layout and dtype; more do no harm.
        By them copies are found.
    most_near_copies : float, default=0.05
        Largest fraction of near-copies among the images drawn, in [0, 1]. With more, scores of
        quality are NaN, and there is a warning. 1 scores copiers too.
    n_samples : int, default=None
        Number of images to draw; None draws as many as are judged against.
    random_state : int, RandomState instance or None, default=0
        Handed to ``sample``, as for `FIDScorer`.

    See Also
    --------
    kernel_distance : The distance itself, with its standard error.
    FIDScorer : The more common distance.

    Examples
    --------
    >>> from latentgen.datasets import load_digits_images
    >>> from latentgen.metrics import KIDScorer
    >>> KIDScorer("pixels", X_train=load_digits_images()).most_near_copies
    0.05
    """

    score_name = "neg_kernel_distance"


class TSTRScorer(_SampleScorer):
    """Accuracy on real images of a classifier trained on the estimator's images.

    Greater is better, in [0, 1]; a copier of training images gets NaN, which searches rank last.
    The estimator must be able to draw a wanted class: it has ``classes_`` and its ``sample`` takes
    ``y``. It is asked for the classes of the judged images, in the same proportions.

    Parameters
    ----------
    classifier : classifier, default=None
        As for `tstr_score`; None trains a small convolutional network.
    X_train : array-like of shape (n_train, n_features), (n_train, H, W) or (n_train, C, H, W)
        All images that are passed to the search, in any order, layout and dtype; more do no harm.
        By them copies are found.
    most_near_copies : float, default=0.05
        Largest fraction of near-copies among the images drawn, in [0, 1]. With more, scores of
        quality are NaN, and there is a warning. 1 scores copiers too.
    n_samples : int, default=None
        Number of images to draw; None draws as many as are judged against.
    random_state : int, RandomState instance or None, default=0
        Handed to ``sample`` and to the classifier, as for `FIDScorer`.

    See Also
    --------
    tstr_score : The score itself.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from latentgen.datasets import load_digits_images
    >>> from latentgen.metrics import TSTRScorer
    >>> TSTRScorer(LogisticRegression(), X_train=load_digits_images()).classifier
    LogisticRegression()
    """

    score_name = "tstr"

    def __init__(
        self,
        classifier=None,
        *,
        X_train,
        most_near_copies=MOST_NEAR_COPIES,
        n_samples=None,
        random_state=0,
    ):
        self.classifier = classifier
        self._set(X_train, most_near_copies, n_samples, random_state)

    def _check_labels(self, estimator, y, labels):
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


class GenerationScorer(_SampleScorer):
    """Several scores from one draw, for a search that shows fidelity beside novelty.

    Gives a dict, so a search needs the name of one score as ``refit``, or a function that chooses,
    for example ``GridSearchCV(pipeline, grid, scoring=scorer, refit='neg_kernel_distance')``.

    Parameters
    ----------
    feature_extractor : fitted transformer, callable or 'pixels'
        What images are compared in, as for `FIDScorer`.
    X_train : array-like of shape (n_train, n_features), (n_train, H, W) or (n_train, C, H, W)
        All images that are passed to the search, in any order, layout and dtype; more do no harm.
        By them copies are found.
    classifier : classifier, default=None
        As for `TSTRScorer`.
    most_near_copies : float, default=0.05
        Largest fraction of near-copies among the images drawn, in [0, 1]. With more, scores of
        quality are NaN, and there is a warning. 1 scores copiers too.
    n_samples : int, default=None
        Number of images to draw; None draws as many as are judged against.
    random_state : int, RandomState instance or None, default=0
        Handed to ``sample`` and to the classifier, as for `FIDScorer`.

    See Also
    --------
    generation_report : The same for one set of images, with what real images reach.

    Notes
    -----
    The scores are ``'neg_frechet_distance'``, ``'neg_kernel_distance'``, ``'novelty'`` and
    ``'near_copies'``, and with labels and an estimator that has ``classes_`` also ``'tstr'``. For
    novelty and near-copies greater is *not* better: 1 and 0 are what unseen real images reach. They
    are those measures of `generation_report` that can be compared between candidates. With
    ``most_near_copies=1``, which shows the distances of copiers too, leave the choice to
    :func:`~latentgen.model_selection.best_without_copying`. In a search
    over estimators with and without classes, ``'tstr'`` is left out, or NaN for those without if
    the first candidate has them.

    Novelty is measured on pixels, whose distances mean the same with every autoencoder; codes are
    another space in each candidate. When the estimator is a pipeline, real images are encoded and
    decoded by its steps before the last one, as generated ones are: otherwise the decoder's errors
    would count as novelty, and hide copies. At most 2000 judged and 2000 generated images, evenly
    spaced, are compared, but always with all of `X_train`.

    Examples
    --------
    >>> from latentgen.datasets import load_digits_images
    >>> from latentgen.metrics import GenerationScorer
    >>> scorer = GenerationScorer("pixels", X_train=load_digits_images(), n_samples=500)
    >>> scorer.n_samples
    500
    """

    score_name = "generation"

    def __init__(
        self,
        feature_extractor,
        *,
        X_train,
        classifier=None,
        most_near_copies=MOST_NEAR_COPIES,
        n_samples=None,
        random_state=0,
    ):
        check_extractor(feature_extractor)
        self.feature_extractor = feature_extractor
        self.classifier = classifier
        self._set(X_train, most_near_copies, n_samples, random_state)

    def _scores(self, judged, copies):
        return _Scores(
            {
                name: math.nan if copies and measure.is_quality else measure.score(judged)
                for name, measure in SCORES.items()
                if measure.needs <= judged.available
            }
        )


class _Scores(dict):
    """Scores in which one that only other candidates of a search have is NaN.

    A search reads the names of the first candidate from all of them.
    """

    def __missing__(self, name):
        return math.nan
