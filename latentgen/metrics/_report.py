"""All measures of one set of generated images, with what makes them comparable."""

# SPDX-License-Identifier: BSD-3-Clause

import json
import platform
import warnings
from html import escape
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import column_or_1d

from latentgen._version import __version__
from latentgen.metrics._classes import measure_classes
from latentgen.metrics._features import (
    PIXELS,
    ClassifierFeatures,
    check_extractor,
    describe_extractor,
    digest_images,
    find_rows,
    in_form_of,
)
from latentgen.metrics._judged import DECODER, Images, Judged, draw_like, halves, have_classes_of
from latentgen.metrics._latent import warn_of_seen
from latentgen.metrics._measures import MEASURES
from latentgen.metrics._page import as_page, as_text, judge_all, make_rows
from latentgen.metrics._pictures import (
    N_SEARCHED,
    Pictures,
    as_pixels,
    choose_pairs,
    choose_shown,
    find_shape,
)
from latentgen.metrics._utility import check_common_labels
from latentgen.utils._files import atomic_path
from latentgen.utils._images import as_images
from latentgen.utils._neighbors import NeighborIndex
from latentgen.utils._warnings import warn_user

# Images in a set or a half of one, which precision needs.
_FEWEST = 6
_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")


class GenerationReport(dict):
    """What `generation_report` measured: numbers by name, and how to show them.

    It is a dict of plain numbers and strings. Printed, it is a table; in a notebook, the page.

    Parameters
    ----------
    numbers : dict
        What a report holds, for example what was read from its JSON.
    pictures : object, default=None
        What its page shows beside numbers; None makes a page without pictures.

    See Also
    --------
    generation_report : Makes it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from latentgen.metrics import generation_report
    >>> X = load_digits().data / 16
    >>> report = generation_report(X[:800], X[800:1500], X_train=X[800:])
    >>> report.verdict
    'a copy'
    >>> report.save("report.html")  # doctest: +SKIP
    """

    def __init__(self, numbers, pictures=None):
        super().__init__(numbers)
        self._pictures = pictures

    @property
    def verdict(self):
        """Worst of the leading numbers: 'good', 'acceptable', 'poor', 'a copy', or None."""
        return judge_all(make_rows(self)).word

    @property
    def verdicts(self):
        """Verdict of each number by its name: a word, and the rule that gave it."""
        return {row.name: row.verdict for row in make_rows(self)}

    def to_html(self, *, title="Generation report"):
        """Make one page that needs nothing else.

        Parameters
        ----------
        title : str, default='Generation report'
            Heading of the page.

        Returns
        -------
        html : str
            The page, with pictures and plots inside; without matplotlib there are no plots.
        """
        return as_page(self, self._pictures, title)

    def to_json(self):
        """Make JSON of the numbers.

        Returns
        -------
        json : str
            As one object, what is not finite as null.
        """
        return json.dumps(self, indent=2, allow_nan=False) + "\n"

    def save(self, path):
        """Write the report.

        Parameters
        ----------
        path : str or path-like
            The ending decides: ``.html`` for the page, ``.json`` for the numbers, ``.txt`` for the
            table.

        Raises
        ------
        ValueError
            If the path has another ending.
        OSError
            If the file cannot be written.
        """
        makers = {".html": self.to_html, ".json": self.to_json, ".txt": lambda: f"{self}\n"}
        suffix = Path(path).suffix.lower()
        if suffix not in makers:
            raise ValueError(f"A report is written to .html, .json or .txt, got '{path}'.")
        text = makers[suffix]()
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def __str__(self):
        return as_text(self)

    def _repr_html_(self):
        style = "width: 100%; height: 40rem; border: 0"
        return f'<iframe style="{style}" title="Report" srcdoc="{escape(self.to_html())}"></iframe>'


def generation_report(
    X_test,
    X_generated,
    *,
    y_test=None,
    y_generated=None,
    X_train=None,
    y_train=None,
    feature_extractor=PIXELS,
    other_extractors=None,
    encoder=None,
    classifier=None,
    image_shape=None,
    random_state=0,
):
    """Measure generated images, and real ones beside them.

    Distances have two reference sets. Against *real test images* they hold the decoder's error and
    the sampler's, which may offset each other; against *decoded codes of the test images* they hold
    what the sampler is responsible for.

    Every value comes with its *floor*: what as many real training images of the same classes reach
    in place of the generated ones. A floor is not a bound: a generator that copies its training set
    reaches it, which is why novelty stands beside it. The *perfect sampler* draws codes of unseen
    images: one half of the test images, encoded and decoded, against the other half. As distances
    depend on the number of images, as many generated ones are measured against the same half.

    Parameters
    ----------
    X_test : array-like of shape (n_test, n_features), (n_test, H, W) or (n_test, C, H, W)
        Real images that neither the generator nor the feature extractor was fitted on.
    X_generated : array-like of shape (n_generated, n_features), (n_generated, H, W) or \
            (n_generated, C, H, W)
        Generated images.
    y_test : array-like of shape (n_test,), default=None
        Labels of the test images, for TSTR.
    y_generated : array-like of shape (n_generated,), default=None
        Labels that the images were drawn for, for TSTR.
    X_train : array-like, default=None
        All images that the generator was fitted on, for floors and novelty.
    y_train : array-like of shape (n_train,), default=None
        Their labels, for the floor of TSTR.
    feature_extractor : 'pixels', fitted transformer or callable, default='pixels'
        What the distances compare, as for `FIDScorer`.
    other_extractors : dict, default=None
        Further extractors by name, in which the distances are measured too.
    encoder : None, fitted transformer or callable, default=None
        Turns images into codes for the latent statistic, for example ``pipeline[:-1]``. Where it
        has ``inverse_transform``, real images are encoded and decoded, as generated ones are,
        before codes and novelty are measured, so that the decoder's errors count as neither.
    classifier : classifier, default=None
        As for `tstr_score`.
    image_shape : tuple of int, default=None
        Shape (C, H, W) of flat images, for the pictures of the page. None shows flat images that
        can be square with one channel.
    random_state : int, RandomState instance or None, default=0
        Decides which training images the floors are measured on and which test images are in which
        half, and seeds the classifier.

    Returns
    -------
    report : GenerationReport
        A dict of plain numbers and strings, None where an input for them is missing, that prints
        as a table and is saved as a page:

        - one value for each measure, among them ``frechet_distance``, ``kernel_distance``,
          ``tstr``, ``latent_ks``, ``novelty`` and ``near_copies``; the last two are 1 and near 0
          for unseen real images; with an ``encoder`` that decodes also
          ``frechet_distance_codes`` and ``kernel_distance_codes``, against decoded codes;
        - ``<measure>_floor`` for each but those that are measured against the training images;
        - ``<measure>_perfect`` and ``<measure>_half`` for those that train nothing: the perfect
          sampler, and as many generated images, both against one half of the test images;
        - ``<measure>_error``, the standard error of ``kernel_distance``, with the same endings:
          ``kernel_distance_floor_error``;
        - ``<measure>_<name>`` for those that compare features, with all these endings, for each of
          `other_extractors`;
        - ``classes``, for each label a dict of the same measures of this class alone:
          ``label``, ``n_real``, ``n_generated``, ``kernel_distance``, ``frechet_distance`` (None
          below ten images per feature, where it is mostly bias), ``tstr``, which is the recall of
          the class, ``trts``, ``novelty`` and ``near_copies``, with errors and intervals;
        - ``n_real``, ``n_generated``, ``n_train``, ``n_floor``, ``n_half``;
        - ``feature_extractor``, ``novelty_space``, ``classifier``, ``reference``: what was
          compared, in words. Novelty is measured on pixels, whose distances mean the same with
          every autoencoder.

    Raises
    ------
    ValueError
        If images and labels do not fit together, if there are fewer than 6 test or generated
        images, or if all test images are training images.
    NotFittedError
        If `feature_extractor` or `encoder` is not fitted.

    Warns
    -----
    UserWarning
        If test images are training images, if a floor is measured on fewer images than were
        generated, or on none because there are fewer than 6, or if a class has no generated or no
        test images.

    See Also
    --------
    GenerationScorer : The same measures inside a search.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from latentgen.metrics import generation_report
    >>> X = load_digits().data / 16
    >>> report = generation_report(X[:800], X[800:1500], X_train=X[800:])
    >>> report["near_copies"], report["n_floor"]
    (1.0, 700)
    """
    check_extractor(feature_extractor)
    if encoder is not None:
        check_extractor(encoder, "encoder")
    X_test = as_images(X_test, "X_test")
    X_generated = as_images(X_generated, "X_generated")
    y_test, y_generated, y_train = (
        None if y is None else column_or_1d(y) for y in (y_test, y_generated, y_train)
    )
    check_consistent_length(X_test, y_test)
    check_consistent_length(X_generated, y_generated)
    for name, X in {"X_test": X_test, "X_generated": X_generated}.items():
        if len(X) < _FEWEST:
            raise ValueError(
                f"Expected at least {_FEWEST} images in '{name}', got {len(X)}. Pass more; numbers "
                "of a few hundred are rough, and those of thousands compare."
            )
    if y_test is not None:
        for name, y in {"y_generated": y_generated, "y_train": y_train}.items():
            if y is not None:
                check_common_labels(y_test, y, ("y_test", name))

    judging = {"encoder": encoder, "classifier": classifier, "random_state": random_state}
    real, generated = Images(X_test, y_test), Images(X_generated, y_generated, drawn=True)
    train = own = floor = n_train = n_floor = None
    drawn = "no floor"
    if X_train is not None:
        X_train = in_form_of(as_images(X_train, "X_train"), X_test)
        check_consistent_length(X_train, y_train)
        first, own = find_rows(X_train, X_test)
        if (own >= 0).all():
            raise ValueError(
                f"All {len(X_test)} images of 'X_test' are images of 'X_train', by which no "
                "generator can be told from a copier. Pass real images that were not trained on."
            )
        if (own >= 0).any():
            warn_of_seen((own >= 0).sum(), len(own))
        train = Images(X_train[first], None if y_train is None else y_train[first])
        n_train = len(X_train)
        floor = draw_like(train, generated, random_state)
        n_floor = len(floor)
        if n_floor < _FEWEST:
            warn_user(
                f"There is no floor: {n_floor} training images of the classes of the generated "
                f"ones, in their frequencies, are less than {_FEWEST}. Pass more training images "
                "of rare classes, or leave out 'y_train'."
            )
            floor = n_floor = None
        else:
            drawn = f"floor from {n_floor} of {n_train} training images"
            if have_classes_of(train, generated):
                drawn += " of the same classes"
        if floor is not None and n_floor < len(X_generated):
            warn_user(
                f"The floor is measured on {n_floor} training images, but {len(X_generated)} were "
                "generated. Distances are larger with fewer images, so judge as many generated "
                "images as there are training images, or fewer."
            )

    report, neighbors = {}, None
    extractors = {"": feature_extractor} | {
        f"_{name}": extractor for name, extractor in (other_extractors or {}).items()
    }
    for ending, extractor in extractors.items():
        options = judging | {"feature_extractor": extractor}
        judged = Judged(real, generated, train, own=own, **options)
        # Copies are looked for in pixels, once.
        neighbors = judged.neighbors if train is not None and not ending else neighbors
        measures = [row for row in MEASURES if row.in_features or not ending]
        for measure in measures:
            report |= measure.entries(judged, f"{measure.key}{ending}")
        if not ending:
            report["classes"] = measure_classes(judged)
        floor_judged = None if floor is None else Judged(real, floor, **options)
        for measure in measures:
            if measure.has_floor:
                report |= measure.entries(floor_judged, f"{measure.key}{ending}_floor")
        perfect, beside = _judge_halves(judged, options)
        with warnings.catch_warnings():
            # Said of the whole already, and these are compared with each other.
            warnings.filterwarnings("ignore", "The covariance of ")
            for measure in measures:
                if measure.has_perfect:
                    report |= measure.entries(perfect, f"{measure.key}{ending}_perfect")
                    report |= measure.entries(beside, f"{measure.key}{ending}_half")
    decoded = ", real images decoded" if hasattr(encoder, "inverse_transform") else ""
    described = classifier if classifier is not None else ClassifierFeatures()
    main = Judged(real, generated, train, **judging)
    shape = find_shape(X_test, image_shape)
    nearest, pictures = _find_nearest(main, None if train is None else first, shape, neighbors)
    digests = {"real": X_test, "generated": X_generated, "training": X_train}
    report |= {
        "n_real": len(X_test),
        "n_generated": len(X_generated),
        "n_train": n_train,
        "n_floor": n_floor,
        "n_half": None if perfect is None else len(perfect.real),
        **{
            f"feature_extractor{ending}": describe_extractor(extractor)
            for ending, extractor in extractors.items()
        },
        "novelty_space": describe_extractor(PIXELS) + decoded,
        "classifier": " ".join(repr(described).split()),
        "reference": f"{len(X_test)} real test images; {drawn}",
        "nearest": nearest,
        "digests": {name: digest_images(X) for name, X in digests.items() if X is not None},
        "versions": {"latentgen": __version__, "python": platform.python_version()}
        | {name: version(name) for name in _LIBRARIES},
    }
    unknown = {name for name, value in report.items() if _is_not_finite(value)}
    return GenerationReport(report | dict.fromkeys(unknown), pictures)


def _is_not_finite(value):
    return isinstance(value, float) and not np.isfinite(value)


def _find_nearest(judged, first, shape, neighbors):
    """Training images nearest to some draws, as entries of a report, and its pictures."""
    real, generated, train = judged.real, judged.generated, judged.train
    grids = [None, None]
    if shape is not None:
        grids = [choose_shown(images, shape) for images in (generated, real)]
    if train is None:
        return None, Pictures(*grids, [], 0, None, None)
    pixels = train.decoded(judged.encoder).pixels
    searched = np.arange(n := min(N_SEARCHED, len(generated))) * len(generated) // n
    rows = neighbors.neighbors[searched]
    spacings = NeighborIndex(pixels).spacings(rows)
    ratios = neighbors.distances[searched] / spacings
    chosen = choose_pairs(ratios)
    nearest = [
        {
            "generated": int(searched[i]),
            "train": int(first[rows[i]]),
            "distance": float(neighbors.distances[searched[i]]),
            # Not known where all training images are equal.
            "ratio": float(ratios[i]) if np.isfinite(ratios[i]) else None,
        }
        for i in chosen
    ]
    pairs = []
    if shape is not None:
        drawn = as_pixels(generated.X[searched[chosen]], shape)
        pairs = list(zip(drawn, as_pixels(pixels[rows[chosen]], shape), strict=True))
    parts = neighbors.distances, neighbors.test_distances
    return nearest, Pictures(*grids, pairs, n, *parts)


def _judge_halves(judged, options):
    """A perfect sampler and the generator, both against one half of the real images.

    The perfect sampler draws the codes of the other half.
    """
    real, generated = judged.real, judged.generated
    first, second = halves(real, judged.random_state)
    if DECODER not in judged.available or not _FEWEST <= len(first) <= len(generated):
        return None, None
    # The whole has been decoded and put into features, of which these are rows.
    decoded = real.decoded(judged.encoder).take(second)
    rows = draw_like(generated, decoded, judged.random_state)
    return Judged(real.take(first), decoded, **options), Judged(real.take(first), rows, **options)
