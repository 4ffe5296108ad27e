"""All measures of one set of generated images, with what makes them comparable."""

# SPDX-License-Identifier: BSD-3-Clause

from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import column_or_1d

from latentgen.metrics._distances import frechet_distance, kernel_distance
from latentgen.metrics._features import (
    ClassifierFeatures,
    as_generated,
    as_images,
    check_extractor,
    describe_extractor,
    extract_features,
)
from latentgen.metrics._latent import latent_ks_statistic, novelty
from latentgen.metrics._utility import tstr_score


def generation_report(
    X_test,
    X_generated,
    *,
    y_test=None,
    y_generated=None,
    X_train=None,
    y_train=None,
    feature_extractor=None,
    encoder=None,
    classifier=None,
    random_state=0,
):
    """Measure generated images, and real ones beside them.

    Every value comes with its *floor*: what the same number of real training images reach in
    place of the generated ones. A floor is no bound; a generator that copies its training set
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
    feature_extractor : None, fitted transformer or callable, default=None
        What the distances compare, as for `FIDScorer`; None compares pixels.
    encoder : None, fitted transformer or callable, default=None
        Turns images into the codes on which novelty and the latent statistic are measured, for
        example ``pipeline[:-1]``. Where it has ``inverse_transform``, real images are decoded
        and encoded again, as generated ones are, so that the decoder's errors do not count as
        novelty. None measures novelty on pixels.
    classifier : classifier, default=None
        As for `tstr_score`.
    random_state : int, RandomState instance or None, default=0
        Decides which training images the floors are measured on, and seeds the classifier.

    Returns
    -------
    report : dict
        Plain numbers and strings, None where an input for them is missing:

        - ``frechet_distance``, ``frechet_distance_floor``;
        - ``kernel_distance``, ``kernel_distance_error``, ``kernel_distance_floor``,
          ``kernel_distance_floor_error``, the errors being standard errors;
        - ``tstr``, ``tstr_floor``;
        - ``novelty``, ``near_copies``, whose values for unseen real images are 1 and near 0;
        - ``latent_ks``, ``latent_ks_floor``;
        - ``n_real``, ``n_generated``, ``n_train``, ``n_floor``;
        - ``feature_extractor``, ``novelty_space``, ``classifier``, ``reference``: what was
          compared, in words.

    Raises
    ------
    ValueError
        If images and labels do not fit together.
    NotFittedError
        If `feature_extractor` or `encoder` is not fitted.

    See Also
    --------
    GenerationScorer : The same measures inside a search.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from latentgen.metrics import generation_report
    >>> X = load_digits().data / 16
    >>> report = generation_report(X[:500], X[500:1000], X_train=X[500:])
    >>> report["near_copies"], report["n_floor"]
    (1.0, 500)
    """
    check_extractor(feature_extractor)
    check_extractor(encoder, "encoder")
    X_test = as_images(X_test, "X_test")
    X_generated = as_images(X_generated, "X_generated")
    y_test, y_generated, y_train = (
        None if y is None else column_or_1d(y) for y in (y_test, y_generated, y_train)
    )
    check_consistent_length(X_test, y_test)
    check_consistent_length(X_generated, y_generated)
    floor, y_floor, n_train = None, None, None
    if X_train is not None:
        X_train = as_images(X_train, "X_train")
        check_consistent_length(X_train, y_train)
        n_train = len(X_train)
        rows = check_random_state(random_state).permutation(n_train)[: len(X_generated)]
        floor, y_floor = X_train[rows], None if y_train is None else y_train[rows]

    described = classifier if classifier is not None else ClassifierFeatures()
    n_floor = None if floor is None else len(floor)
    drawn = "no floor" if floor is None else f"floor from {n_floor} of {n_train} training images"
    tested = [X_test, y_test, classifier, random_state]
    return {
        **_distances(feature_extractor, X_test, X_generated, floor),
        "tstr": _tstr(X_generated, y_generated, *tested),
        "tstr_floor": _tstr(floor, y_floor, *tested) if y_generated is not None else None,
        **_latent_measures(encoder, X_train, X_test, X_generated, floor),
        "n_real": len(X_test),
        "n_generated": len(X_generated),
        "n_train": n_train,
        "n_floor": n_floor,
        "feature_extractor": describe_extractor(feature_extractor),
        "novelty_space": describe_extractor(encoder),
        "classifier": " ".join(repr(described).split()),
        "reference": f"{len(X_test)} real test images; {drawn}",
    }


def _distances(feature_extractor, X_test, X_generated, floor):
    """Distances of generated images and of the floor from the test images."""
    real = extract_features(feature_extractor, X_test)
    measured = {}
    for suffix, images in (("", X_generated), ("_floor", floor)):
        frechet, kernel, error = None, None, None
        if images is not None:
            features = extract_features(feature_extractor, images)
            frechet = frechet_distance(real, features)
            kernel, error = kernel_distance(real, features)
        measured[f"frechet_distance{suffix}"] = frechet
        measured[f"kernel_distance{suffix}"] = kernel
        measured[f"kernel_distance{suffix}_error"] = error
    return measured


def _tstr(X, y, X_test, y_test, classifier, random_state):
    """TSTR of one set of images, None when something is missing."""
    if y is None or y_test is None:
        return None
    return tstr_score(X_test, y_test, X, y, classifier=classifier, random_state=random_state)


def _latent_measures(encoder, X_train, X_test, X_generated, floor):
    """Novelty and, where there is an encoder, the fit of the marginals of the codes."""
    measured = dict.fromkeys(["novelty", "near_copies", "latent_ks", "latent_ks_floor"])
    if X_train is None and encoder is None:
        return measured
    real_encoder = as_generated(encoder)
    test = extract_features(real_encoder, X_test)
    generated = extract_features(encoder, X_generated)
    if X_train is not None:
        result = novelty(extract_features(real_encoder, X_train), test, generated)
        measured["novelty"] = result.novelty
        measured["near_copies"] = result.near_copies
    if encoder is not None:
        measured["latent_ks"] = latent_ks_statistic(test, generated)
        if floor is not None:
            floor = extract_features(real_encoder, floor)
            measured["latent_ks_floor"] = latent_ks_statistic(test, floor)
    return measured
