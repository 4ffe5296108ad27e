"""What the features of networks that others have trained have in common."""

# SPDX-License-Identifier: BSD-3-Clause

import hashlib
from abc import abstractmethod
from numbers import Integral

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils._param_validation import Interval

from latentgen.utils._images import as_images, as_rows, check_images, settle_shape


class FixedFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Features of images in a network with published weights, which needs no fit.

    An implementer has the parameters ``image_shape``, ``batch_size`` and ``device``, and writes
    `_load` and `_prepare`. The network is shared and not kept in the extractor, so that copies,
    pickles and saved models hold the parameters alone.
    """

    _parameter_constraints: dict = {
        "image_shape": ["array-like", None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
    }

    @abstractmethod
    def _load(self, device):
        """Give the network for inference on a device, an ``nn.Module`` that has ``features``."""

    @abstractmethod
    def _prepare(self, x):
        """Turn pixels (B, C, H, W) into what the network takes, (B, C, height, width)."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check parameters and remember the shape of the images; nothing is learned.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Unsigned bytes in [0, 255] or floats in [0, 1].
        y : Ignored
            Not used, present for API consistency.

        Returns
        -------
        self : object
            The extractor, which from now on takes images of this shape alone.

        Raises
        ------
        ValueError
            If the images cannot be read as such.
        """
        _, layout = check_images(self, X, image_shape=self.image_shape)
        _check_channels(layout.image_shape)
        self.layout_ = layout
        return self

    def transform(self, X):
        """Compute features of images.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Unsigned bytes in [0, 255] or floats in [0, 1], of any size.

        Returns
        -------
        X_features : ndarray of shape (n_samples, n_features_out), dtype float32
            Features, at least 0.

        Raises
        ------
        ImportError
            If the weights come in a package that is not installed.
        OSError
            If the weights cannot be read.
        ValueError
            If the images cannot be read as such, if they have neither 1 nor 3 channels, or if the
            weights are not those of the network.
        """
        return self._apply("features", X, self._n_features_out)

    def _apply(self, part, X, n_outputs):
        """Run a part of the network over images."""
        from latentgen.training import apply_in_batches
        from latentgen.training._inference import resolve_device

        self._validate_params()
        X, image_shape = self._rows(X)
        device = resolve_device(self.device)
        function = getattr(self._load(device), part)

        def from_rows(rows):
            x = self._prepare(rows.reshape(-1, *image_shape)).expand(-1, 3, -1, -1)
            # As the weights are, which is faster on a CPU.
            return function(x.contiguous(memory_format=channels_last()))

        out = np.empty((len(X), n_outputs), dtype=np.float32)
        return apply_in_batches(from_rows, X, out=out, batch_size=self.batch_size, device=device)

    def _rows(self, X):
        """Images as flat rows, and their (C, H, W)."""
        if hasattr(self, "layout_"):
            return check_images(self, X, layout=self.layout_), self.layout_.image_shape
        # A few dark images say nothing about the scale of bytes, which have one anyway.
        X = as_images(X, drawn=getattr(X, "dtype", None) == np.uint8)
        rows = as_rows(X, X.dtype.name if X.dtype.kind in "bu" else "float")
        return rows, shape_of(X, self.image_shape)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        # Features are float32 whatever the dtype of the pixels.
        tags.transformer_tags.preserves_dtype = []
        return tags


def shape_of(X, image_shape=None):
    """Settle the (C, H, W) of images that a network for colored ones can read.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), (n, H, W) or (n, C, H, W)
    image_shape : tuple of int, default=None
        The parameter of the extractor.

    Returns
    -------
    shape : tuple of int

    Raises
    ------
    ValueError
        If rows do not tell their shape, or if there are neither 1 nor 3 channels.
    """
    with_sides = {2: None, 3: (1, *X.shape[1:]), 4: X.shape[1:]}[X.ndim]
    shape = settle_shape(int(np.prod(X.shape[1:])), with_sides, image_shape)
    _check_channels(shape)
    return shape


def load_network(make_module, weights, device):
    """Make a network with weights, ready for inference.

    Parameters
    ----------
    make_module : callable
        Gives a module that has ``fuse``.
    weights : dict of {str: Tensor}
    device : str
    """
    import torch

    # Without memory of its own the network draws no initial weights.
    with torch.device("meta"):
        net = make_module()
    net.load_state_dict(weights, assign=True)
    return net.fuse().to(device, memory_format=channels_last())


def channels_last():
    """Order of the values in memory in which a CPU convolves fastest."""
    import torch

    return torch.channels_last


def digest_of(path):
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_channels(image_shape):
    if image_shape[0] not in (1, 3):
        raise ValueError(
            f"Expected images with 1 or 3 channels, got {image_shape[0]} in the shape "
            f"{tuple(image_shape)}. Pass the three colors alone, for example X[:, :3]."
        )
