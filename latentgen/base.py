"""The two contracts: autoencoders turn images into codes and back, samplers draw new codes."""

# SPDX-License-Identifier: BSD-3-Clause

import math
import warnings
from abc import ABCMeta, abstractmethod
from contextlib import contextmanager
from numbers import Integral

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import check_array, check_random_state, check_scalar, gen_batches
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from latentgen.utils._images import (
    flatten_images,
    infer_layout,
    to_unit_floats,
    warn_unusual_range,
)
from latentgen.utils._neighbors import (
    N_COMPARED,
    NEAR_COPY,
    NeighborIndex,
    keep_distance,
    neighbor_distances,
)

__all__ = ["BaseAutoencoder", "BaseSampler"]

# Pixels that are scored at a time.
_SCORE_VALUES = 2**22


@contextmanager
def keep_fitted_state_on_error(estimator):
    """Give the estimator its old attributes back when the block fails.

    A fit that fails, or is interrupted, thus leaves the model of an earlier fit usable.

    Parameters
    ----------
    estimator : estimator
        Its attributes are put back; what they refer to must be replaced and not changed.

    Yields
    ------
    None
        The block to run.
    """
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def _learns_on(autoencoder):
    return hasattr(autoencoder, "_partial_fit_images")


class BaseAutoencoder(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, metaclass=ABCMeta
):
    """Images to latent codes and back.

    An implementer writes three hooks: ``_fit_images(X, y, layout)`` learns from flat images and
    sets ``code_shape_``, ``_encode(X)`` gives codes of flat images, one row each, and
    ``_decode(Z, out)`` fills `out`, flat pixels, which are bytes or floats in [0, 1] as
    ``out.dtype`` says. What can go on learning writes ``_partial_fit_images(X, y, layout)`` too.
    Layouts, dtypes and checks are done here, once. A parameter `image_shape` is read where there
    is one.

    What an autoencoder knows and a sampler may need, the pipeline hands over: ``code_shape_``, and
    ``quantizer_`` where it has one. An autoencoder with a prior of its own has ``prior_``, an
    object that draws codes by ``sample(n_samples, random_state=...)``.

    Attributes
    ----------
    layout_ : ImageLayout
        Layout and dtype of the images seen during ``fit``.
    image_shape_ : tuple of int
        (C, H, W).
    code_shape_ : tuple of int
        Shape of a code before flattening: (latent_dim,), or (channels, height, width).
    latent_dim_ : int
        Number of values in a code.
    """

    image_shape = None

    @abstractmethod
    def _fit_images(self, X, y, layout): ...

    @abstractmethod
    def _encode(self, X): ...

    @abstractmethod
    def _decode(self, Z, out): ...

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Train on images.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Unsigned bytes in [0, 255] or floats in [0, 1]. A `numpy.memmap` is read batch by
            batch.
        y : array-like of shape (n_samples,), default=None
            Class labels; few autoencoders use them.

        Returns
        -------
        self : object
            Fitted autoencoder.

        Raises
        ------
        ValueError
            If the images cannot be read as such, or if training diverges.
        """
        with keep_fitted_state_on_error(self):
            X, layout = self._check_images(X)
            self._learn(self._fit_images, X, y, layout)
        return self

    @available_if(_learns_on)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Go on learning from more images; the first call is ``fit`` with one pass.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Images like those seen before.
        y : array-like of shape (n_samples,), default=None
            Class labels; few autoencoders use them.

        Returns
        -------
        self : object
            Fitted autoencoder.

        Raises
        ------
        ValueError
            If the images have another shape than before, a parameter that the learned state
            depends on was changed, or training diverges.
        """
        with keep_fitted_state_on_error(self):
            if hasattr(self, "layout_"):
                X, layout = self._check_images(X, reset=False), self.layout_
            else:
                X, layout = self._check_images(X)
            self._learn(self._partial_fit_images, X, y, layout)
        return self

    def _learn(self, hook, X, y, layout):
        hook(X, y, layout)
        self.layout_, self.image_shape_ = layout, layout.image_shape
        self.code_shape_ = tuple(int(side) for side in self.code_shape_)
        self.latent_dim_ = math.prod(self.code_shape_)

    def transform(self, X):
        """Encode images.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Images like those seen during ``fit``, in any layout.

        Returns
        -------
        Z : ndarray of shape (n_samples, latent_dim), dtype float32
            Latent codes.

        Raises
        ------
        ValueError
            If the images have another shape than those seen during ``fit``.
        """
        check_is_fitted(self)
        Z = self._encode(self._check_images(X, reset=False))
        return np.asarray(Z, dtype=np.float32).reshape(len(Z), self.latent_dim_)

    def inverse_transform(self, X):
        """Decode latent codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Latent codes.

        Returns
        -------
        X_images : ndarray
            Images in the layout, dtype and range of those seen during ``fit``.

        Raises
        ------
        ValueError
            If the codes do not have ``latent_dim`` columns.
        """
        check_is_fitted(self)
        Z = check_array(X, dtype=np.float32, estimator=self, input_name="X")
        if Z.shape[1] != self.latent_dim_:
            raise ValueError(
                f"Expected codes of shape (n_samples, {self.latent_dim_}), got {Z.shape}. "
                "Pass what 'transform' or a sampler fitted on it returns."
            )
        out = np.empty((len(Z), self.n_features_in_), dtype=self.layout_.dtype)
        self._decode(Z, out)
        return out.reshape(len(Z), *self.layout_.shape)

    def reconstruct(self, X):
        """Encode images and decode the codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Images.

        Returns
        -------
        X_images : ndarray
            Reconstructions in the layout, dtype and range of the images seen during ``fit``.
        """
        return self.inverse_transform(self.transform(X))

    def score(self, X, y=None):
        """Give the negative reconstruction error.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Images.
        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        score : float
            Minus the mean squared error per pixel, pixels in [0, 1]. At most 0, which is a
            perfect reconstruction.
        """
        check_is_fitted(self)
        X = self._check_images(X, reset=False)
        squared_error = 0.0
        for rows in gen_batches(len(X), max(32, _SCORE_VALUES // X.shape[1])):
            batch = np.asarray(X[rows])
            decoded = np.empty(batch.shape, dtype=np.float32)
            self._decode(np.asarray(self._encode(batch), dtype=np.float32), decoded)
            squared_error += np.square(decoded - to_unit_floats(batch), dtype=np.float64).sum()
        return -float(squared_error / X.size)

    def _check_images(self, X, *, reset=True):
        """Flatten and check images; with `reset`, settle their layout too."""
        X, shape, ndim = flatten_images(X)
        if not reset and shape not in (None, self.image_shape_):
            raise ValueError(
                f"Expected images of shape {self.image_shape_} as seen in fit, got {shape}."
            )
        X = validate_data(
            self,
            X,
            reset=reset,
            dtype=[np.float64, np.float32, np.uint8],
            ensure_min_samples=2 if reset else 1,
        )
        warn_unusual_range(X)
        return (X, infer_layout(X, shape, ndim, self.image_shape)) if reset else X

    @property
    def _n_features_out(self):
        return self.latent_dim_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Codes are float32 whatever the dtype of the pixels.
        tags.transformer_tags.preserves_dtype = []
        return tags


def _takes_in_codes(sampler):
    return hasattr(sampler, "_partial_fit")


class BaseSampler(BaseEstimator, metaclass=ABCMeta):
    """A density over latent codes that can be sampled.

    An implementer writes ``_fit(Z, y, rng)`` and ``_sample(n_samples, rng)``; `rng` is a
    `numpy.random.RandomState`. What can take in new codes writes ``_partial_fit(Z, y, rng)``,
    which replaces fitted attributes and does not change the arrays in them. Checks, seeds,
    dtypes and the distance from the training codes are done here, once. What is drawn is
    independent from row to row, so that any slice of a draw is a fair sample.

    Attributes
    ----------
    novelty_ : float
        Mean distance of 200 draws to their nearest training code, divided by that of training
        codes to their nearest neighbour: 0 for copies, about 1 for a density like that of the
        codes. nan if all codes are equal.
    near_copies_ : float
        Share of these draws that are nearer to a training code than 0.3 of the median distance
        between neighbours.
    """

    _min_samples = 1
    # Samplers make it a parameter.
    min_novelty = 0.0

    @abstractmethod
    def _fit(self, Z, y, rng): ...

    @abstractmethod
    def _sample(self, n_samples, rng): ...

    # A sampler of samplers hands on parameters that nobody has checked yet.
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Fit the density to latent codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Latent codes.
        y : array-like of shape (n_samples,), default=None
            Class labels; only class-conditional samplers use them.

        Returns
        -------
        self : object
            Fitted sampler.

        Raises
        ------
        ValueError
            If the codes are not a finite two-dimensional array with enough rows.

        Warns
        -----
        UserWarning
            If most draws are near-copies of training codes.
        """
        with keep_fitted_state_on_error(self):
            Z = validate_data(
                self, X, dtype=[np.float64, np.float32], ensure_min_samples=self._min_samples
            )
            self._n_batches = 1
            self._fit(Z, y, check_random_state(getattr(self, "random_state", None)))
            self._compare_with(Z)
        if message := self._describe_copies():
            warnings.warn(message, stacklevel=3)
        return self

    @available_if(_takes_in_codes)
    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X, y=None):
        """Take in new codes without a full refit; the first call is ``fit``.

        ``novelty_`` and ``near_copies_`` stay those of the first call, unless `min_novelty`
        made the sampler keep its training codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            New latent codes.
        y : array-like of shape (n_samples,), default=None
            Class labels; only class-conditional samplers use them.

        Returns
        -------
        self : object
            Fitted sampler.

        Raises
        ------
        ValueError
            If the codes are not finite or do not have as many columns as before.
        """
        if not hasattr(self, "novelty_"):
            return self.fit(X, y)
        # scikit-learn leaves that out for what is fitted.
        self._validate_params()
        with keep_fitted_state_on_error(self):
            Z = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
            self._n_batches += 1
            self._partial_fit(Z, y, self._batch_generator())
            if self._training_codes is not None:
                self._compare_with(np.concatenate([self._training_codes, Z]))
                if message := self._describe_copies():
                    warnings.warn(message, stacklevel=3)
        return self

    def _batch_generator(self):
        """Random numbers of this batch, so that no two are treated by the same ones."""
        rng = check_random_state(getattr(self, "random_state", None))
        if not isinstance(getattr(self, "random_state", None), Integral):
            return rng  # It goes on from batch to batch by itself.
        return np.random.RandomState([rng.randint(np.iinfo(np.int32).max), self._n_batches])

    def _compare_with(self, Z):
        """Measure how near draws stay to the training codes, and keep these if need be."""
        # A sampler that needs no codes holds none, so that its file gives none away.
        # In their own precision, so that the distance holds from what was passed.
        self._training_codes = Z.copy() if self.min_novelty > 0 else None
        index = NeighborIndex(Z)
        real = neighbor_distances(index)
        self._spacing = float(np.median(real)) if len(real) else np.nan
        # No seed that the codes themselves may have been made with.
        rng = np.random.RandomState([*b"novelty", len(Z)])
        distances, _ = index.query(self.sample(N_COMPARED, random_state=rng))
        self.novelty_ = float(distances.mean() / real.mean()) if len(real) else np.nan
        near = distances < NEAR_COPY * self._spacing
        self.near_copies_ = float(near.mean()) if len(real) else np.nan

    def _describe_copies(self):
        """What to warn of, if anything."""
        if not self.near_copies_ > 0.5:
            return ""
        return (
            f"{100 * self.near_copies_:.0f} % of the draws of {type(self).__name__} are "
            f"near-copies of training codes: nearer than {NEAR_COPY} of the median distance "
            f"between neighbours. Set 'min_novelty', for example to {NEAR_COPY}, or choose "
            "a smoother density."
        )

    def sample(self, n_samples=1, *, y=None, random_state=None):
        """Draw new codes.

        Parameters
        ----------
        n_samples : int, default=1
            Number of codes to draw, at least 1.
        y : None
            Only class-conditional samplers take labels, see `ConditionalSampler`.
        random_state : int, RandomState instance or None, default=None
            The same integer gives the same codes; None gives new ones in every call.

        Returns
        -------
        X_new : ndarray of shape (n_samples, latent_dim), dtype float32
            New codes in random order.

        Raises
        ------
        ValueError
            If `n_samples` is below 1, labels are passed to a sampler without classes, or
            `min_novelty` was 0 during ``fit`` and is not any more.
        """
        check_is_fitted(self)
        # Some parameters are read here and may have been changed since the fit.
        self._validate_params()
        if y is not None:
            raise ValueError(
                f"{type(self).__name__} has no classes, got y={y!r}. "
                f"Wrap it: ConditionalSampler({type(self).__name__}())."
            )
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        rng = check_random_state(random_state)
        Z = np.asarray(self._sample(int(n_samples), rng), dtype=np.float32)
        return self._keep_distance(Z, lambda rows: self._sample(len(rows), rng), rng)

    def _keep_distance(self, Z, redraw, rng):
        """Replace, in place, what is nearer to a training code than `min_novelty` allows.

        ``redraw(rows)`` gives new draws for these rows of `Z`.
        """
        if self.min_novelty == 0:
            return Z
        if self._training_codes is None:
            raise ValueError(
                f"'min_novelty'={self.min_novelty} needs the training codes, which "
                f"{type(self).__name__} keeps only if 'min_novelty' is above 0 during fit. "
                "Fit it again."
            )
        if np.isnan(self._spacing):
            raise ValueError(
                f"'min_novelty'={self.min_novelty} is in units of the distance between "
                "neighbours, which needs at least 2 different codes. Use min_novelty=0."
            )
        distance = self.min_novelty * self._spacing
        keep_distance(Z, self._training_codes, distance, redraw, rng)
        return Z
