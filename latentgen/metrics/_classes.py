"""Measures of each class of generated images."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from latentgen.metrics._distances import SAMPLES_PER_FEATURE, frechet_distance, kernel_distance
from latentgen.metrics._judged import LABELS, TRAINING_IMAGES
from latentgen.metrics._uncertainty import fraction_interval
from latentgen.utils._warnings import warn_user

# What kernel_distance needs.
_FEWEST = 4


def measure_classes(judged):
    """Measure each class by itself.

    Classifiers, features and nearest training images are those of all classes together, so this
    trains and searches nothing anew.

    Parameters
    ----------
    judged : Judged

    Returns
    -------
    classes : list of dict or None
        One for each label of real or generated images, in their order; None without labels. Keys
        are those of a report, and ``label``. A value is None where it lacks images or training
        images, and ``frechet_distance`` below ten images per feature, where it is mostly bias.
    """
    if LABELS not in judged.available:
        return None
    real, generated = judged.real, judged.generated
    options = judged.classifier, judged.random_state
    correct = generated.classify(real, *options) == real.y
    recognized = real.classify(generated, *options) == generated.y
    labels = np.unique(np.concatenate([real.y, generated.y]))
    for images, kind in ((generated, "generated"), (real, "real test")):
        missing = labels[~np.isin(labels, images.y)].tolist()
        if missing:
            warn_user(
                f"There are no {kind} images of the classes {missing}, so these are not measured "
                "by class, and the measures of all images count them as wrong or not at all. "
                "Draw with 'y' for exact numbers of each class."
            )
    return [
        {
            "label": label.item() if isinstance(label, np.generic) else label,
            "n_real": int(np.sum(real.y == label)),
            "n_generated": int(np.sum(generated.y == label)),
            **_distances(judged, real.y == label, generated.y == label),
            **_fraction("tstr", correct[real.y == label]),
            **_fraction("trts", recognized[generated.y == label]),
            **_copying(judged, label),
        }
        for label in labels
    ]


def _distances(judged, of_real, of_generated):
    """Distances of the features of one class, as far as there are enough images."""
    X_real, X_generated = (
        features[rows]
        for features, rows in zip(judged.features, (of_real, of_generated), strict=True)
    )
    fewest = min(len(X_real), len(X_generated))
    found = dict.fromkeys(("frechet_distance", "kernel_distance", "kernel_distance_error"))
    if fewest >= _FEWEST:
        found["kernel_distance"], found["kernel_distance_error"] = kernel_distance(
            X_real, X_generated
        )
    if fewest >= max(2, SAMPLES_PER_FEATURE * X_real.shape[1]):
        found["frechet_distance"] = frechet_distance(X_real, X_generated)
    return found


def _fraction(key, is_true):
    """A fraction and its interval, by their names in a report."""
    values = fraction_interval(is_true) if len(is_true) else (None, None, None)
    return dict(zip((key, f"{key}_low", f"{key}_high"), values, strict=True))


def _copying(judged, label):
    """Novelty and near-copies of one class."""
    found = {"novelty": None, **_fraction("near_copies", ())}
    if TRAINING_IMAGES not in judged.available:
        return found
    of_real, of_generated = (
        images.y[judged.compared(images)] == label for images in (judged.real, judged.generated)
    )
    near = judged.neighbors
    if of_generated.any():
        found |= _fraction("near_copies", near.near[of_generated])
        unseen = near.test_distances[of_real]
        if unseen.any():
            found["novelty"] = float(near.distances[of_generated].mean() / unseen.mean())
    return found
