"""All measures of one set of generated images, with what makes them comparable."""

# SPDX-License-Identifier: BSD-3-Clause

from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import column_or_1d

from latentgen.metrics._features import (
    PIXELS,
    ClassifierFeatures,
    check_extractor,
    describe_extractor,
    find_rows,
    in_form_of,
)
from latentgen.metrics._latent import warn_of_seen
from latentgen.metrics._measures import MEASURES, Images, Judged
from latentgen.utils._images import as_images
from latentgen.utils._warnings import warn_user


def generation_report(
    X_test,
    X_generated,
    *,
    y_test=None,
    y_generated=None,
    X_train=None,
    y_train=None,
    feature_extractor=PIXELS,
    encoder=None,
    classifier=None,
    random_state=0,
):
    """Measure generated images, and real ones beside them.

    Every value comes with its *floor*: what the same number of real training images reach in
    place of the generated ones. A floor is not a bound: a generator that copies its training set
    reaches it, which is why novelty stands beside it.

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
    encoder : None, fitted transformer or callable, default=None
        Turns images into codes for the latent statistic, for example ``pipeline[:-1]``. Where it
        has ``inverse_transform``, real images are encoded and decoded, as generated ones are,
        before codes and novelty are measured, so that the decoder's errors count as neither.
    classifier : classifier, default=None
        As for `tstr_score`.
    random_state : int, RandomState instance or None, default=0
        Decides which training images the floors are measured on, and seeds the classifier.

    Returns
    -------
    report : dict
        Plain numbers and strings, None where an input for them is missing:

        - one value for each measure, among them ``frechet_distance``, ``kernel_distance``,
          ``tstr``, ``latent_ks``, ``novelty`` and ``near_copies``; the last two are 1 and near 0
          for unseen real images;
        - ``<measure>_floor`` for each but those two, which are measured against the training
          images;
        - ``kernel_distance_error`` and ``kernel_distance_floor_error``, standard errors;
        - ``n_real``, ``n_generated``, ``n_train``, ``n_floor``;
        - ``feature_extractor``, ``novelty_space``, ``classifier``, ``reference``: what was
          compared, in words. Novelty is measured on pixels, whose distances mean the same with
          every autoencoder.

    Raises
    ------
    ValueError
        If images and labels do not fit together, or if all test images are training images.
    NotFittedError
        If `feature_extractor` or `encoder` is not fitted.

    Warns
    -----
    UserWarning
        If test images are training images, or if a floor is measured on fewer images than were
        generated.

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

    compared = {"feature_extractor": feature_extractor, "encoder": encoder}
    judging = {"classifier": classifier, "random_state": random_state}
    real = Images(X_test, y_test, **compared)
    generated = Images(X_generated, y_generated, **compared, generated=True)
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
        train = Images(X_train[first], **compared)
        n_train = len(X_train)
        rows = check_random_state(random_state).permutation(n_train)[: len(X_generated)]
        n_floor = len(rows)
        drawn = f"floor from {n_floor} of {n_train} training images"
        if n_floor < len(X_generated):
            warn_user(
                f"The floor is measured on {n_floor} training images, but {len(X_generated)} were "
                "generated. Distances are larger with fewer images, so judge as many generated "
                "images as there are training images, or fewer."
            )
        # Only a value that is measured of the generated images gets a floor.
        y_floor = None if y_train is None or y_generated is None else y_train[rows]
        floor = Judged(real, Images(X_train[rows], y_floor, **compared), **judging)

    judged = Judged(real, generated, train, own=own, **judging)
    report = {}
    for measure in MEASURES:
        report |= _entries(measure, measure.key, judged)
        if measure.has_floor:
            report |= _entries(measure, f"{measure.key}_floor", floor)
    decoded = ", real images decoded" if hasattr(encoder, "inverse_transform") else ""
    described = classifier if classifier is not None else ClassifierFeatures()
    return report | {
        "n_real": len(X_test),
        "n_generated": len(X_generated),
        "n_train": n_train,
        "n_floor": n_floor,
        "feature_extractor": describe_extractor(feature_extractor),
        "novelty_space": describe_extractor(PIXELS) + decoded,
        "classifier": " ".join(repr(described).split()),
        "reference": f"{len(X_test)} real test images; {drawn}",
    }


def _entries(measure, key, judged):
    """What a report holds of one measure."""
    value, error = measure.evaluate(judged)
    return {key: value, f"{key}_error": error} if measure.has_error else {key: value}
