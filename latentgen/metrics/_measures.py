"""The table of measures that report, scorers, experiments, displays and command line read."""

# SPDX-License-Identifier: BSD-3-Clause

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from latentgen.metrics._copying import compare_cells, fraction_of
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
from latentgen.metrics._manifold import precision_recall_density_coverage
from latentgen.metrics._uncertainty import fraction_interval
from latentgen.metrics._utility import train_classifier
from latentgen.metrics._verdicts import (
    PERFECT,
    above_null,
    at_least,
    errors,
    few,
    near_one,
    times,
)
from latentgen.utils._images import as_images

# What a measure may need beside real and generated images. An encoder is a decoder too if it has
# `inverse_transform`.
LABELS, TRAINING_IMAGES, ENCODER, DECODER = "labels", "training images", "encoder", "decoder"
# What a measure is about; a report has a section of each, in this order.
FIDELITY, COVERAGE, COPYING, USEFULNESS = "fidelity", "coverage", "copying", "usefulness"


class Images:
    """Images whose features, codes and decoded codes are computed once, when they are first read.

    Keep an object as long as its images are judged by: an experiment that judges many sets against
    the same test images makes one `Images` of them.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), (n, H, W) or (n, C, H, W)
    y : ndarray of shape (n,), default=None
        Labels.
    drawn : bool, default=False
        Whether they came out of a decoder.
    """

    def __init__(self, X, y=None, *, drawn=False):
        self.X, self.y, self.drawn = X, y, drawn
        self._whole = self._rows = None
        # Extractors are few and live long. Of encoders an experiment has one after another, and
        # decoded images are large, so only those of the last one are kept.
        self._features = []
        self._decoded = self._codes = None, None
        self._trained = None, None, None

    def __len__(self):
        return len(self.X)

    def take(self, rows):
        """Some of the images, with what has been computed of the whole.

        Parameters
        ----------
        rows : ndarray of int

        Returns
        -------
        images : Images
        """
        part = Images(self.X[rows], None if self.y is None else self.y[rows], drawn=self.drawn)
        part._whole, part._rows = self, rows
        return part

    def features(self, extractor):
        """What distances compare.

        Parameters
        ----------
        extractor : 'pixels', callable or fitted transformer
            As for `extract_features`.

        Returns
        -------
        features : ndarray of shape (n, n_features_out)
        """
        known = self._known_features(extractor)
        if known is None:
            X = as_images(self.X, drawn=True) if self.drawn else self.X
            known = extract_features(extractor, X)
            self._features.append((extractor, known))
        return known

    def decoded(self, encoder):
        """The images after a journey through an autoencoder; themselves if they come out of one.

        Where only generated images made that journey, a sampler of training codes would look far
        from the training images.

        Parameters
        ----------
        encoder : None, callable or fitted transformer
            One without ``inverse_transform`` leaves images as they are.

        Returns
        -------
        images : Images
        """
        if self.drawn or not hasattr(encoder, "inverse_transform"):
            return self
        if self._decoded[0] is not encoder:
            if self._whole is not None and self._whole._decoded[0] is encoder:
                decoded = self._whole.decoded(encoder).take(self._rows)
            else:
                blocks = (as_fitted(encoder, block) for block in image_blocks(self.X))
                blocks = [
                    np.asarray(encoder.inverse_transform(encoder.transform(X))) for X in blocks
                ]
                decoded = Images(np.concatenate(blocks), self.y, drawn=True)
            self._decoded = encoder, decoded
        return self._decoded[1]

    def codes(self, encoder):
        """Codes of the decoded images, of shape (n, latent_dim)."""
        if self._codes[0] is not encoder:
            self._codes = encoder, extract_features(encoder, self.decoded(encoder).X)
        return self._codes[1]

    def classify(self, others, classifier=None, random_state=0):
        """Classes that a classifier trained on the images gives to others.

        Parameters
        ----------
        others : Images
        classifier, random_state
            As for `tstr_score`. The last classifier is kept.

        Returns
        -------
        y : ndarray of shape (n_others,)
        """
        known, seed, _ = self._trained
        if known is not classifier or seed is not random_state or self._trained[2] is None:
            options = {"classifier": classifier, "random_state": random_state}
            predict = train_classifier(self.X, self.y, **options)
            self._trained = classifier, random_state, predict
        return self._trained[2](others.X)

    @cached_property
    def pixels(self):
        """Rows of pixels as float32 in [0, 1], of shape (n, n_pixels)."""
        return flat_unit_floats(as_images(self.X, drawn=True) if self.drawn else self.X)

    def _known_features(self, extractor):
        known = next((known for of, known in self._features if of is extractor), None)
        if known is None and self._whole is not None:
            whole = self._whole._known_features(extractor)
            known = None if whole is None else whole[self._rows]
        return known


class Judged:
    """Generated images and everything that they may be measured with.

    Parameters
    ----------
    real : Images
        Real images that the generator was not fitted on.
    generated : Images
        Images to judge, drawn by a generator; or others, to measure what these would reach.
    train : Images, default=None
        All images that the generator was fitted on, each once; others may be among them.
    feature_extractor : 'pixels', callable or fitted transformer, default='pixels'
        What distances compare.
    encoder : None, callable or fitted transformer, default=None
        Gives codes, as for `generation_report`. The same object in all that share `Images`, for by
        this the images know what they have computed.
    own : ndarray of shape (n_real,), default=None
        Which of the training images a real image itself is, -1 for none.
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
        feature_extractor=PIXELS,
        encoder=None,
        own=None,
        most_compared=None,
        classifier=None,
        random_state=0,
    ):
        self.real, self.generated, self.train, self.own = real, generated, train, own
        self.feature_extractor, self.encoder = feature_extractor, encoder
        self.most_compared = most_compared
        self.classifier, self.random_state = classifier, random_state

    @property
    def available(self):
        """Which of the things that a measure may need are there."""
        present = {
            LABELS: self.real.y is not None and self.generated.y is not None,
            TRAINING_IMAGES: self.train is not None,
            ENCODER: self.encoder is not None,
            DECODER: hasattr(self.encoder, "inverse_transform"),
        }
        return {name for name, there in present.items() if there}

    @property
    def features(self):
        """Features of the real and of the generated images."""
        return [part.features(self.feature_extractor) for part in (self.real, self.generated)]

    @property
    def decoded_features(self):
        """Features of the decoded codes of the real images, and of the generated ones."""
        parts = self.real.decoded(self.encoder), self.generated.decoded(self.encoder)
        return [part.features(self.feature_extractor) for part in parts]

    @property
    def codes(self):
        """Codes of the real and of the generated images."""
        return [part.codes(self.encoder) for part in (self.real, self.generated)]

    @cached_property
    def manifold(self):
        """Precision, recall, density and coverage, which are computed together."""
        return precision_recall_density_coverage(*self.features)

    @cached_property
    def compared_pixels(self):
        """Pixels of the training images, and of those whose nearest training image is searched."""
        train, real, generated = (
            part.decoded(self.encoder).pixels for part in (self.train, self.real, self.generated)
        )
        return train, real[self.compared(self.real)], generated[self.compared(self.generated)]

    @cached_property
    def neighbors(self):
        """Nearest training images, which more than one measure reads."""
        own = None if self.own is None else self.own[self.compared(self.real)]
        return novelty(*self.compared_pixels, test_rows=own)

    def compared(self, images):
        """Rows of images whose nearest training images are searched."""
        n_compared = min(len(images), self.most_compared or len(images))
        return np.arange(n_compared) * len(images) // n_compared


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
        Which of `LABELS`, `TRAINING_IMAGES`, `ENCODER` and `DECODER` it needs.
    function : callable
        ``function(judged)`` gives the value, or with `extras` the value and these.
    extras : tuple of str, default=()
        What comes with the value: 'error' for its standard error, 'low' and 'high' for an
        interval, 'p_value', 'null' for what unseen real images reach. Reports have them as
        ``<key>_error``.
    in_features : bool, default=False
        Whether it depends on the feature extractor.
    scored : bool, default=True
        Whether `GenerationScorer` computes it, that is whether its values can be compared between
        the candidates of a search.
    pixel_heading : str, default=None
        Name where it compares pixels and not features, if that is another one.
    aspect : {FIDELITY, COVERAGE, COPYING, USEFULNESS}, default=FIDELITY
        Section of a report.
    says : str, default=''
        One sentence for people about what it measures.
    rule : callable, default=None
        Gives the verdict in a report, see `latentgen.metrics._verdicts`; None takes that of its
        direction.
    leads : bool, default=False
        Whether its verdict counts for the one on top of a report.
    """

    key: str
    heading: str
    format: str
    greater_is_better: bool | None
    needs: set
    function: Callable
    extras: tuple = ()
    in_features: bool = False
    scored: bool = True
    pixel_heading: str | None = None
    aspect: str = FIDELITY
    says: str = ""
    rule: Callable | None = None
    leads: bool = False

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

    @property
    def has_perfect(self):
        """Whether the decoded codes of unseen images are measured; a training is too dear."""
        return not self.needs & {TRAINING_IMAGES, LABELS}

    def evaluate(self, judged):
        """Value and `extras` by name, '' for the value; None where an input is missing."""
        names = ("", *self.extras)
        if judged is None or not self.needs <= judged.available:
            return dict.fromkeys(names)
        values = self.function(judged)
        return dict(zip(names, values if self.extras else [values], strict=True))

    def score(self, judged):
        """Value as a score."""
        value = self.evaluate(judged)[""]
        return -value if self.greater_is_better is False else value

    def entries(self, judged, name=None):
        """What reports and rows of experiments hold: ``<name>``, ``<name>_error`` and so on.

        Parameters
        ----------
        judged : Judged or None
        name : str, default=None
            None for the key.

        Returns
        -------
        entries : dict of float or None
        """
        name = name or self.key
        values = self.evaluate(judged)
        return {f"{name}_{extra}" if extra else name: value for extra, value in values.items()}


def draw_like(images, others, random_state=0):
    """Some of the images, as many as others and of the same classes.

    Of training images it makes what a floor is measured on.

    Parameters
    ----------
    images : Images
        What to draw from.
    others : Images
        What to be like.
    random_state : int, RandomState instance or None, default=0

    Returns
    -------
    drawn : Images
        Different images: as many as `others`, or as many as there are. If both have labels, the
        classes are as frequent as in `others`, unless one of these is not among the images.
    """
    order = check_random_state(random_state).permutation(len(images))
    if not have_classes_of(images, others):
        return images.take(order[: len(others)])
    classes, wanted = np.unique(others.y, return_counts=True)
    rows = [order[images.y[order] == label] for label in classes]
    # Where there are too few of one class, fewer of all are drawn.
    fraction = min(1, *(len(own) / n for own, n in zip(rows, wanted, strict=True)))
    rows = [own[: int(fraction * n)] for own, n in zip(rows, wanted, strict=True)]
    return images.take(np.concatenate(rows))


def have_classes_of(images, others):
    """Whether labels are known, and there are images of all classes of others."""
    if images.y is None or others.y is None:
        return False
    return bool(np.isin(np.unique(others.y), images.y).all())


def halves(images, random_state=0):
    """Rows of two random halves of images, with the same class frequencies if there are labels.

    Parameters
    ----------
    images : Images
    random_state : int, RandomState instance or None, default=0

    Returns
    -------
    first, second : ndarray of shape (n // 2,)
    """
    order = check_random_state(random_state).permutation(len(images))
    if images.y is not None:
        order = order[np.argsort(images.y[order], kind="stable")]
    even = len(order) // 2 * 2
    return order[0:even:2], order[1:even:2]


def _frechet(judged):
    return frechet_distance(*judged.features)


def _frechet_codes(judged):
    return frechet_distance(*judged.decoded_features)


def _kernel(judged):
    return kernel_distance(*judged.features)


def _kernel_codes(judged):
    return kernel_distance(*judged.decoded_features)


def _tstr(judged):
    real, generated = judged.real, judged.generated
    predicted = generated.classify(real, judged.classifier, judged.random_state)
    return fraction_interval(predicted == real.y)


def _trts(judged):
    real, generated = judged.real, judged.generated
    predicted = real.classify(generated, judged.classifier, judged.random_state)
    return fraction_interval(predicted == generated.y)


def _latent_ks(judged):
    return latent_ks_statistic(*judged.codes)


def _novelty(judged):
    return judged.neighbors.novelty


def _near_copies(judged):
    return fraction_of(judged.neighbors.near)


def _data_copying(judged):
    found = judged.neighbors
    distances = found.test_distances, found.distances
    return compare_cells(*judged.compared_pixels, *distances, random_state=judged.random_state)


def _precision(judged):
    return judged.manifold.precision


def _recall(judged):
    return judged.manifold.recall


def _density(judged):
    return judged.manifold.density


def _coverage(judged):
    return judged.manifold.coverage


MEASURES = [
    Measure(
        *("frechet_distance", "FID", ".2f", False, set(), _frechet),
        in_features=True,
        pixel_heading="pixel distance",
        says="How far the images are from real ones: decoder and sampler together.",
        leads=True,
    ),
    Measure(
        *("frechet_distance_codes", "FID of codes", ".2f", False, {DECODER}, _frechet_codes),
        in_features=True,
        # Candidates with another autoencoder have another reference.
        scored=False,
        pixel_heading="pixel distance of codes",
        says="How far they are from decoded codes of unseen images: the sampler alone.",
        rule=times(reference=PERFECT),
    ),
    Measure(
        *("kernel_distance", "KID", ".4f", False, set(), _kernel),
        extras=("error",),
        in_features=True,
        pixel_heading="pixel kernel distance",
        says="A distance from real images without bias at few images, around 0 for equal ones.",
    ),
    Measure(
        *("kernel_distance_codes", "KID of codes", ".4f", False, {DECODER}, _kernel_codes),
        extras=("error",),
        in_features=True,
        scored=False,
        pixel_heading="pixel kernel distance of codes",
        says="The same from decoded codes of unseen images.",
        rule=times(reference=PERFECT),
    ),
    Measure(
        *("precision", "precision", ".3f", True, set(), _precision),
        in_features=True,
        # Not what a search compares, and slow in many features; so are the next three.
        scored=False,
        says="Fraction of images that lie among real ones.",
    ),
    Measure(
        *("density", "density", ".3f", True, set(), _density),
        in_features=True,
        scored=False,
        says="How densely real images lie around them, in units of that around real ones.",
        rule=at_least(),
    ),
    Measure(
        *("recall", "recall", ".3f", True, set(), _recall),
        in_features=True,
        scored=False,
        aspect=COVERAGE,
        says="Fraction of real images that lie among the generated ones.",
    ),
    Measure(
        *("coverage", "coverage", ".3f", True, set(), _coverage),
        in_features=True,
        scored=False,
        aspect=COVERAGE,
        says="Fraction of real images that have a generated one near by.",
        leads=True,
    ),
    Measure(
        *("tstr", "TSTR", ".1%", True, {LABELS}, _tstr),
        extras=("low", "high"),
        aspect=USEFULNESS,
        says="Accuracy on real images of a classifier that was trained on generated ones only.",
        rule=errors(),
        leads=True,
    ),
    Measure(
        *("trts", "TRTS", ".1%", True, {LABELS}, _trts),
        extras=("low", "high"),
        # A classifier of real images for each fold, and what it sees is seen by FID.
        scored=False,
        aspect=USEFULNESS,
        says="Fraction of images that a classifier of unseen real ones takes for their class.",
    ),
    Measure(
        *("latent_ks", "latent KS", ".3f", False, {ENCODER}, _latent_ks),
        # Measured in each candidate's own codes, which differ between autoencoders.
        scored=False,
        says="Largest difference of the distribution functions of a code value, on average.",
        rule=times(reference=PERFECT),
    ),
    Measure(
        *("novelty", "novelty", ".2f", None, {TRAINING_IMAGES}, _novelty),
        aspect=COPYING,
        says="Distance to the nearest training image, in units of that of unseen real images.",
        rule=near_one,
        leads=True,
    ),
    Measure(
        *("near_copies", "near-copies", ".1%", None, {TRAINING_IMAGES}, _near_copies),
        extras=("low", "high"),
        aspect=COPYING,
        says="Fraction of images that are nearly a training image.",
        rule=few(),
        leads=True,
    ),
    Measure(
        *("data_copying", "C_T", ".1f", None, {TRAINING_IMAGES}, _data_copying),
        extras=("null",),
        scored=False,
        aspect=COPYING,
        says="Whether they are nearer to training images than unseen real ones: far below 0.",
        rule=above_null,
    ),
]
# Those that the candidates of a search are compared by, by the name of the score.
SCORES = {measure.score_name: measure for measure in MEASURES if measure.scored}
