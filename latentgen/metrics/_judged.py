"""Images with what has been computed of them, and all that generated ones are judged with."""

# SPDX-License-Identifier: BSD-3-Clause

from functools import cached_property

import numpy as np
from sklearn.utils import check_random_state

from latentgen.metrics._features import (
    PIXELS,
    as_fitted,
    extract_features,
    flat_unit_floats,
    image_blocks,
)
from latentgen.metrics._latent import novelty
from latentgen.metrics._manifold import precision_recall_density_coverage
from latentgen.metrics._utility import train_classifier
from latentgen.utils._images import as_images

# What a measure may need beside real and generated images. An encoder is a decoder too if it has
# `inverse_transform`.
LABELS, TRAINING_IMAGES, ENCODER, DECODER = "labels", "training images", "encoder", "decoder"


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
