"""The contract of autoencoders: images to codes and back."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from abc import ABCMeta, abstractmethod

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import check_array, gen_batches
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from latentgen.utils._available import has
from latentgen.utils._fitted import keep_fitted_state_on_error
from latentgen.utils._images import check_images, to_unit_floats

# Pixels that are scored, or converted to other dtypes, at a time.
_BLOCK_VALUES = 2**22


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

    Of the flat images, bytes or floats as ``X.dtype`` says, only ``len(X)``, ``X.shape`` and rows
    may be asked for, ``X[rows]`` with a slice or indices: an array gives these, and so does what
    reads images that are too large, or of another layout, batch by batch.

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
            Bytes in [0, 255], floats in [0, 1], 16 bits in [0, 65535] or booleans; other
            integers are read as what their values say. A `numpy.memmap` is read batch by batch.
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
            X, layout = self._check_new_images(X)
            self._learn(self._fit_images, X, y, layout)
        return self

    @available_if(has("_partial_fit_images"))
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
                X, layout = self._check_images(X), self.layout_
            else:
                X, layout = self._check_new_images(X)
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
        Z = self._encode(self._check_images(X))
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
        layout = self.layout_
        out = np.empty((len(Z), self.n_features_in_), dtype=layout.dtype)
        if out.dtype == np.uint8 or out.dtype.kind == "f":
            self._decode(Z, out)
        else:
            for rows in gen_batches(len(Z), _block_size(out.shape[1])):
                block = np.empty(out[rows].shape, np.uint8 if layout.white == 255 else np.float32)
                self._decode(Z[rows], block)
                out[rows] = block if layout.white == 255 else np.rint(block * layout.white)
        return out.reshape(len(Z), *layout.shape)

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
        X = self._check_images(X)
        squared_error = 0.0
        for rows in gen_batches(len(X), _block_size(X.shape[1])):
            batch = np.asarray(X[rows])
            decoded = np.empty(batch.shape, dtype=np.float32)
            self._decode(np.asarray(self._encode(batch), dtype=np.float32), decoded)
            squared_error += np.square(decoded - to_unit_floats(batch), dtype=np.float64).sum()
        return -float(squared_error / X.size)

    def _check_images(self, X):
        return check_images(self, X, layout=self.layout_)

    def _check_new_images(self, X):
        return check_images(self, X, image_shape=self.image_shape, ensure_min_samples=2)

    @property
    def _n_features_out(self):
        return self.latent_dim_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Codes are float32 whatever the dtype of the pixels.
        tags.transformer_tags.preserves_dtype = []
        return tags


def _block_size(n_pixels):
    return max(32, _BLOCK_VALUES // n_pixels)
