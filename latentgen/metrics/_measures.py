"""The table of measures that report, scorers, experiments, displays and command line read."""

# SPDX-License-Identifier: BSD-3-Clause

from collections.abc import Callable
from typing import NamedTuple

from latentgen.metrics._copying import compare_cells, fraction_of
from latentgen.metrics._distances import frechet_distance, kernel_distance
from latentgen.metrics._features import (
    are_pixels,
)
from latentgen.metrics._judged import (
    DECODER,
    ENCODER,
    LABELS,
    TRAINING_IMAGES,
)
from latentgen.metrics._latent import latent_ks_statistic
from latentgen.metrics._uncertainty import fraction_interval
from latentgen.metrics._verdicts import (
    PERFECT,
    above_null,
    at_least,
    errors,
    few,
    near_one,
    times,
)

# What a measure is about; a report has a section of each, in this order.
FIDELITY, COVERAGE, COPYING, USEFULNESS = "fidelity", "coverage", "copying", "usefulness"


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
