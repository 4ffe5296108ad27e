"""The table of measures that the report, the scorers, displays and the command line read."""

# SPDX-License-Identifier: BSD-3-Clause

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from latentgen.metrics._distances import frechet_distance, kernel_distance
from latentgen.metrics._features import (
    PIXELS,
    are_pixels,
    as_fitted,
    extract_features,
    flat_unit_floats,
    image_blocks,
)
from latentgen.metrics._latent import latent_ks_statistic, novelty
from latentgen.metrics._utility import tstr_score
from latentgen.utils._images import as_images

# What a measure may need beside real and generated images.
LABELS, TRAINING_IMAGES, ENCODER = "labels", "training images", "encoder"


class Images:
    """Images with their features and codes, which are computed once, when a measure asks.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), (n, H, W) or (n, C, H, W)
    y : ndarray of shape (n,), default=None
        Labels.
    feature_extractor : 'pixels', callable or fitted transformer, default='pixels'
        As for `extract_features`.
    encoder : None, callable or fitted transformer, default=None
        Gives codes, as for `generation_report`.
    generated : bool, default=False
        Whether they came out of the decoder of `encoder`.
    """

    def __init__(self, X, y=None, *, feature_extractor=PIXELS, encoder=None, generated=False):
        self.X, self.y = X, y
        self.feature_extractor, self.encoder = feature_extractor, encoder
        self._is_decoded = generated or not hasattr(encoder, "inverse_transform")

    @cached_property
    def features(self):
        """What distances compare, of shape (n, n_features_out)."""
        return extract_features(self.feature_extractor, self.X)

    @cached_property
    def pixels(self):
        """What novelty is measured on, of shape (n, n_features): what the decoder gives.

        Real images go through the decoder too. Where only generated images made that journey, a
        sampler of training codes would look far from the training images.
        """
        return flat_unit_floats(as_images(self._decoded, drawn=True))

    @cached_property
    def codes(self):
        """Codes of what the decoder gives, of shape (n, latent_dim)."""
        return extract_features(self.encoder, self._decoded)

    @cached_property
    def _decoded(self):
        """What the decoder gives, in the layout and dtype it gives it in."""
        if self._is_decoded:
            return self.X
        blocks = (as_fitted(self.encoder, block) for block in image_blocks(self.X))
        decoded = (self.encoder.inverse_transform(self.encoder.transform(X)) for X in blocks)
        return np.concatenate([np.asarray(block) for block in decoded])


class Judged:
    """Generated images and everything that they may be measured with.

    Parameters
    ----------
    real : Images
        Real images that the generator was not fitted on.
    generated : Images
        Images to judge.
    train : Images, default=None
        All images that the generator was fitted on, each once; others may be among them.
    own : ndarray of shape (n_real,), default=None
        Which of them a real image itself is, -1 for none.
    most_compared : int, default=None
        Most real and most generated images whose nearest training images are searched, evenly
        spaced ones; None takes all.
    classifier : classifier, default=None
        As for `tstr_score`.
    random_state : int, RandomState instance or None, default=0
        Seed of the classifier.
    """

    def __init__(
        self,
        real,
        generated,
        train=None,
        *,
        own=None,
        most_compared=None,
        classifier=None,
        random_state=0,
    ):
        self.real, self.generated, self.train, self.own = real, generated, train, own
        self.most_compared = most_compared
        self.classifier, self.random_state = classifier, random_state

    @property
    def available(self):
        """Which of the things that a measure may need are there."""
        present = {
            LABELS: self.real.y is not None and self.generated.y is not None,
            TRAINING_IMAGES: self.train is not None,
            ENCODER: self.generated.encoder is not None,
        }
        return {name for name, there in present.items() if there}

    @cached_property
    def neighbors(self):
        """Nearest training images, which more than one measure reads."""
        real, generated = self._compared(self.real), self._compared(self.generated)
        own = None if self.own is None else self.own[real]
        parts = self.train.pixels, self.real.pixels[real], self.generated.pixels[generated]
        return novelty(*parts, test_rows=own)

    def _compared(self, images):
        """Rows of images whose nearest training images are searched."""
        n_images = len(images.X)
        n_compared = min(n_images, self.most_compared or n_images)
        return np.arange(n_compared) * n_images // n_compared


class Measure(NamedTuple):
    """One row of the table of measures.

    Parameters
    ----------
    key : str
        Name in reports.
    heading : str
        Name in tables and figures; see `heading_in`.
    format : str
        Format of a value for people, as for `format`.
    greater_is_better : bool or None
        Direction; None where neither is better.
    needs : set of str
        Which of `LABELS`, `TRAINING_IMAGES` and `ENCODER` it needs.
    function : callable
        ``function(judged)`` gives the value, or with `has_error` the value and its standard error.
    has_error : bool, default=False
        Whether the value has a standard error.
    scored : bool, default=True
        Whether `GenerationScorer` computes it, that is whether its values can be compared between
        the candidates of a search.
    pixel_heading : str, default=None
        Name where it compares pixels and not features, if that is another one.
    """

    key: str
    heading: str
    format: str
    greater_is_better: bool | None
    needs: set
    function: Callable
    has_error: bool = False
    scored: bool = True
    pixel_heading: str | None = None

    def heading_in(self, feature_extractor):
        """Heading of what is measured with an extractor: FID and KID are distances of features."""
        return (are_pixels(feature_extractor) and self.pixel_heading) or self.heading

    @property
    def score_name(self):
        """Name as a score, of which scikit-learn's searches take greater for better."""
        return f"neg_{self.key}" if self.greater_is_better is False else self.key

    @property
    def is_quality(self):
        """Whether it is a reason to prefer one generator to another."""
        return self.greater_is_better is not None

    @property
    def has_floor(self):
        """Whether real training images can be measured in place of generated ones."""
        return TRAINING_IMAGES not in self.needs

    def evaluate(self, judged):
        """Value and standard error, None where an input is missing or there is no error."""
        if judged is None or not self.needs <= judged.available:
            return None, None
        return self.function(judged) if self.has_error else (self.function(judged), None)

    def score(self, judged):
        """Value as a score."""
        value, _ = self.evaluate(judged)
        return -value if self.greater_is_better is False else value


def _frechet(judged):
    return frechet_distance(judged.real.features, judged.generated.features)


def _kernel(judged):
    return kernel_distance(judged.real.features, judged.generated.features)


def _tstr(judged):
    real, generated = judged.real, judged.generated
    options = {"classifier": judged.classifier, "random_state": judged.random_state}
    return tstr_score(real.X, real.y, generated.X, generated.y, **options)


def _latent_ks(judged):
    return latent_ks_statistic(judged.real.codes, judged.generated.codes)


def _novelty(judged):
    return judged.neighbors.novelty


def _near_copies(judged):
    return judged.neighbors.near_copies


MEASURES = [
    Measure(
        *("frechet_distance", "FID", ".2f", False, set(), _frechet),
        pixel_heading="pixel distance",
    ),
    Measure(
        *("kernel_distance", "KID", ".4f", False, set(), _kernel),
        has_error=True,
        pixel_heading="pixel kernel distance",
    ),
    Measure("tstr", "TSTR", ".1%", True, {LABELS}, _tstr),
    # Measured in each candidate's own codes, which differ between autoencoders.
    Measure("latent_ks", "latent KS", ".3f", False, {ENCODER}, _latent_ks, scored=False),
    Measure("novelty", "novelty", ".2f", None, {TRAINING_IMAGES}, _novelty),
    Measure("near_copies", "near-copies", ".1%", None, {TRAINING_IMAGES}, _near_copies),
]
# Those that the candidates of a search are compared by, by the name of the score.
SCORES = {measure.score_name: measure for measure in MEASURES if measure.scored}
