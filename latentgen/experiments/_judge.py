"""Judging images by every measure of the table, with features that are computed once."""

# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np

from latentgen.metrics import inception_score, latent_ks_statistic
from latentgen.metrics._features import describe_extractor
from latentgen.metrics._imagenet import ImageNetFeatures, find_weights
from latentgen.metrics._judged import Images, Judged, halves
from latentgen.metrics._measures import MEASURES

# Real and generated images whose nearest ones among all images of the fit are searched.
_MOST_COMPARED = 2000
# Columns that experiments make themselves: training a classifier takes long, and codes are compared
# as they were drawn, not as those of the decoded images.
_LEFT_OUT = {"tstr", "latent_ks"}


class Judge:
    """All measures of generated images, in the features of a classifier and in public ones.

    Parameters
    ----------
    parts : Parts
    fit_extractor : callable
        ``fit_extractor(seed)`` gives the classifier, fitted to the part of the judge.
    imagenet : bool, default=True
        Judge in public features too, where they are installed.
    """

    def __init__(self, parts, fit_extractor, *, imagenet=True):
        self.parts, self._fit_extractor = parts, fit_extractor
        self._extractors = {}
        self._real = Images(parts.X_test, parts.y_test)
        self._train = Images(parts.X_fit)
        self._public = _public_features() if imagenet else None

    def extractors(self, seed):
        """Fitted extractors by the suffix of their columns."""
        if seed not in self._extractors:
            self._extractors[seed] = {"": self._fit_extractor(seed)}
            if self._public is not None:
                self._extractors[seed]["_imagenet"] = self._public
        return self._extractors[seed]

    def describe(self, seed):
        """Columns that name the extractors, with what they were fitted to."""
        described = {"extractor": None, "extractor_imagenet": None}
        for suffix, extractor in self.extractors(seed).items():
            described[f"extractor{suffix}"] = describe_extractor(extractor)
        return described

    def generated(self, X_new, y_new=None, Z_new=None, *, coded=None, seed=0):
        """Judge images.

        Parameters
        ----------
        X_new : ndarray
        y_new : ndarray of shape (n_new,), default=None
            Labels that they were drawn for.
        Z_new : ndarray of shape (n_new, latent_dim), default=None
            Codes that they were decoded from.
        coded : Coded, default=None
            The autoencoder that decoded them, None for real images of the fit.
        seed : int, default=0
            Which classifier judges.

        Returns
        -------
        columns : dict
            ``n_real``, and what each measure of the table gives, under its key; ``_imagenet``
            stands at the end of what is measured in public features. ``latent_ks`` compares the
            codes as they were drawn with those of the test images. ``inception_score`` is that of
            the classifier that judges. Measures that compare with the images of the fit compare
            2 000 generated and 2 000 test images with all of them.
        """
        judged = {"encoder": None if coded is None else coded.autoencoder, "random_state": seed}
        train = None if coded is None else self._train
        new = Images(X_new, y_new, drawn=coded is not None)
        columns = {"n_real": len(self._real)}
        columns |= self._measure(self._real, new, seed, train=train, **judged)
        if Z_new is not None:
            columns["latent_ks"] = latent_ks_statistic(coded.Z_test, Z_new)
        return columns

    def perfect(self, coded, *, seed=0):
        """Judge the decoded codes of one half of the test images by the other half."""
        rows = halves(self._real)
        encoder = coded.autoencoder
        real, new = self._real.take(rows[0]), self._real.decoded(encoder).take(rows[1])
        return {
            "n_real": len(real),
            **self._measure(real, new, seed, train=self._train, encoder=encoder, random_state=seed),
            "latent_ks": latent_ks_statistic(coded.Z_test[rows[0]], coded.Z_test[rows[1]]),
        }

    def _measure(self, real, new, seed, **judged):
        """Columns of all measures."""
        columns = {}
        for number, (suffix, extractor) in enumerate(self.extractors(seed).items()):
            images = Judged(
                *(real, new),
                feature_extractor=extractor,
                most_compared=_MOST_COMPARED,
                # The parts are disjoint.
                own=np.full(len(real), -1),
                **judged,
            )
            for measure in MEASURES:
                # What no features are needed for is the same for every extractor.
                if measure.key in _LEFT_OUT or (number and not measure.in_features):
                    continue
                with warnings.catch_warnings():
                    # Rows have the number of images, and the floors beside them have as many.
                    warnings.filterwarnings("ignore", "The covariance of .* features")
                    entries = measure.entries(images)
                columns |= {
                    f"{key}{suffix if measure.in_features else ''}": value
                    for key, value in entries.items()
                    if value is not None
                }
        classifier = self.extractors(seed).get("")
        if classifier is not None:
            score, error = inception_score(classifier.predict_proba(new.X))
            columns |= {"inception_score": score, "inception_score_std": error}
        return columns


def _public_features():
    """`ImageNetFeatures`, or None where their weights are not installed."""
    return None if find_weights() is None else ImageNetFeatures()
