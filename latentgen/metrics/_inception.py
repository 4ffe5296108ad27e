"""Features of the network that papers use, from a file of its weights."""

# SPDX-License-Identifier: BSD-3-Clause

from functools import lru_cache
from os import PathLike, fspath, stat

from latentgen.metrics._fixed_features import FixedFeatures, digest_of, load_network
from latentgen.utils._warnings import warn_user

_N_FEATURES, _N_CLASSES = 2048, 1008
_BATCH_SIZE = 16
# Of the file that torch-fidelity 0.4.0 and pytorch-fid 0.3.0 download.
_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


# Weights take 95 MB, and who reads a second file has done with the first. Time and size tell
# whether the file is still the one that was read.
@lru_cache(maxsize=1)
def _network(path, changed, n_bytes, device):
    """The network, which all extractors of one file and device share."""
    import torch

    from latentgen.networks._inception import InceptionV3

    digest = digest_of(path)
    if digest != _SHA256:
        warn_user(
            f"The weights in '{path}' are not the published ones: their SHA-256 begins with "
            f"{digest[:16]}, and not with {_SHA256[:16]}. Values do not compare with papers."
        )
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        return load_network(InceptionV3, weights, device)
    except Exception as error:  # What is no file of torch fails in many ways.
        raise ValueError(
            f"Expected weights of the Inception network of 2015 in '{path}', such as "
            f"latentgen.datasets.fetch_inception_weights gets: {error}"
        ) from error


class InceptionFeatures(FixedFeatures):
    """Features of the Inception network of 2015, in which papers state FID.

    2048 values of the network that TensorFlow published in December 2015, as pytorch-fid and
    torch-fidelity compute them. Take them for numbers that stand beside those of papers, and
    `ImageNetFeatures` for all others: this network takes a hundred times as long, and its weights
    must be downloaded once.

    Parameters
    ----------
    path : str or path-like
        File of the weights, as :func:`~latentgen.datasets.fetch_inception_weights` gets them, or
        as pytorch-fid and torch-fidelity keep them.
    image_shape : tuple of int, default=None
        Shape (C, H, W) of flat images, of 1 or 3 channels. None reads it from images with more
        dimensions, and takes flat ones as square with one channel where their number of pixels
        allows no three.
    batch_size : int, default=16
        Images in the network at once. It decides about speed and memory alone.
    device : str, default='auto'
        A torch device. ``'auto'`` takes CUDA, then MPS, then the CPU.

    Attributes
    ----------
    fitted_on_ : str
        What the network was trained on, by others: ImageNet, and the digest of the weights.
    layout_ : ImageLayout
        Layout and dtype of the images seen during ``fit``.
    n_features_in_ : int
        Number of pixels, C * H * W.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, when the images came as a data frame.

    See Also
    --------
    ImageNetFeatures : Much faster, with weights from a package.
    inception_score : What ``predict_proba`` is for.

    Notes
    -----
    Images become bytes, as in the files that papers compare; grey ones are repeated in three
    channels. They are resized to 299 x 299 as TensorFlow 1 did it, which does not average where
    images shrink, and scaled by (x - 128) / 128. Features are the mean over the 8 x 8 places of
    the last block, `pool3` [1]_. With equal weights and images they differ from those of
    torch-fidelity [2]_ by less than 1e-4.

    On one core of a CPU 10 000 images take more than 20 minutes, and a batch of 16 half a gigabyte.
    The network is kept in memory once, 95 MB, and not in the extractor: copies, pickles and saved
    models hold the path alone.

    References
    ----------
    .. [1] Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter (2017). GANs Trained by a Two
       Time-Scale Update Rule Converge to a Local Nash Equilibrium.
       https://arxiv.org/abs/1706.08500
    .. [2] https://github.com/toshas/torch-fidelity
    .. [3] Salimans, Goodfellow, Zaremba, Cheung, Radford, Chen (2016). Improved Techniques for
       Training GANs. https://arxiv.org/abs/1606.03498

    Examples
    --------
    >>> from latentgen.datasets import fetch_inception_weights, load_digits_images
    >>> from latentgen.metrics import InceptionFeatures
    >>> extractor = InceptionFeatures(fetch_inception_weights())  # doctest: +SKIP
    >>> extractor.transform(load_digits_images()[:4]).shape  # doctest: +SKIP
    (4, 2048)
    """

    _parameter_constraints: dict = {
        "path": [str, PathLike],
        **FixedFeatures._parameter_constraints,
    }

    def __init__(self, path, *, image_shape=None, batch_size=_BATCH_SIZE, device="auto"):
        self.path = path
        self.image_shape = image_shape
        self.batch_size = batch_size
        self.device = device

    def predict_proba(self, X):
        """Compute probabilities of the classes, for `inception_score`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Unsigned bytes in [0, 255] or floats in [0, 1], of any size.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, 1008), dtype float32
            Softmax of the outputs without the bias of the last layer, as in the program of the
            inception score. The 1008 outputs are those of 2015, eight of which mean nothing.

        Raises
        ------
        OSError
            If the weights cannot be read.
        ValueError
            If the images cannot be read as such, if they have neither 1 nor 3 channels, or if the
            weights are not those of the network.
        """
        return self._apply("probabilities", X, _N_CLASSES)

    def _load(self, device):
        status = stat(self.path)
        return _network(fspath(self.path), status.st_mtime_ns, status.st_size, device)

    def _prepare(self, x):
        return (x.clamp(0, 1) * 255).round() if x.is_floating_point() else x.float()

    @property
    def _n_features_out(self):
        return _N_FEATURES

    @property
    def fitted_on_(self):
        """What the network was trained on, and what makes its features comparable."""
        return f"ImageNet in 2015, weights sha256 {digest_of(self.path)[:16]}"

    def __getstate__(self):
        state = super().__getstate__().copy()
        # A path of one system is none of another.
        state["path"] = fspath(self.path)
        return state
