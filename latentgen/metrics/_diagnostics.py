"""Diagnostics of a latent space: frequencies, equivariance, classes, decoder, posterior."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from numbers import Integral, Real

import numpy as np
from scipy.fft import dctn
from sklearn.utils import check_array, check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted

from latentgen.utils._images import as_images, to_unit_floats


def latent_spectrum(Z, *, code_shape=None):
    """Mean magnitude of the frequencies of code maps.

    Parameters
    ----------
    Z : array-like of shape (n_samples, channels, h, w) or (n_samples, latent_dim)
        Codes of an autoencoder with ``spatial_latent=True``.
    code_shape : tuple of int, default=None
        Shape (channels, h, w) of flat codes.

    Returns
    -------
    spectrum : ndarray of shape (channels, h * w)
        Mean absolute coefficients of the orthonormal discrete cosine transform, from the lowest
        frequency to the highest, the first being the constant part; divided by their mean in each
        channel. White noise gives ones, a channel of zeros gives zeros.

    Raises
    ------
    ValueError
        If the codes are not maps.

    See Also
    --------
    high_frequency_fraction : The same as one number.

    References
    ----------
    .. [1] I. Skorokhodov et al. "Improving the Diffusability of Autoencoders". 2025, section 3.
       https://arxiv.org/abs/2502.14831

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.metrics import latent_spectrum
    >>> Z = np.random.RandomState(0).standard_normal((5000, 1, 2, 2))
    >>> latent_spectrum(Z).round(1)
    array([[1., 1., 1., 1.]])
    """
    magnitudes = np.abs(_sorted_coefficients(_as_maps(Z, code_shape))).mean(axis=0)
    # Not by the constant part as in [1], which is 0 in maps of zero mean.
    means = magnitudes.mean(axis=1, keepdims=True)
    return magnitudes / np.where(means > 0, means, 1)


def high_frequency_fraction(Z, cutoff=0.5, *, code_shape=None):
    """Fraction of the energy of code maps that is in high frequencies.

    Lower is easier for a sampler that works from coarse to fine.

    Parameters
    ----------
    Z : array-like of shape (n_samples, channels, h, w) or (n_samples, latent_dim)
        Codes of an autoencoder with ``spatial_latent=True``.
    cutoff : float, default=0.5
        Fraction of the frequencies, from the lowest on, that do not count as high.
    code_shape : tuple of int, default=None
        Shape (channels, h, w) of flat codes.

    Returns
    -------
    fraction : float
        In [0, 1]; for white noise about ``1 - cutoff``. The constant part of each map is left
        out, since it says where codes lie and not how rough they are.

    Raises
    ------
    ValueError
        If the codes are not maps.

    See Also
    --------
    latent_spectrum : All frequencies.

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.metrics import high_frequency_fraction
    >>> checkerboard = np.indices((4, 4)).sum(axis=0) % 2
    >>> round(high_frequency_fraction(checkerboard[None, None]), 2)
    0.98
    """
    check_scalar(cutoff, "cutoff", Real, min_val=0, max_val=1)
    energy = np.square(_sorted_coefficients(_as_maps(Z, code_shape))).sum(axis=(0, 1))
    first_high = max(1, round(cutoff * len(energy)))
    total = energy[1:].sum()
    return float(energy[first_high:].sum() / total) if total > 0 else 0.0


def equivariance_error(autoencoder, X, transforms=None):
    """How far codes are from moving with the image.

    Parameters
    ----------
    autoencoder : fitted autoencoder
        With `transform` and codes that are maps (``spatial_latent=True``).
    X : array-like of shape (n_samples, n_features), (n_samples, H, W) or (n_samples, C, H, W)
        Images.
    transforms : list of callable, default=None
        Functions of arrays (n_samples, channels, height, width), each applied to images and to
        codes. None takes the three quarter turns, which need square images.

    Returns
    -------
    error : float
        Mean of ``|E(t(x)) - t(E(x))| / |E(t(x))|`` over images x and transforms t, with the
        encoder E. At least 0, which is perfect equivariance; lower is better.

    Raises
    ------
    ValueError
        If the codes are not maps.

    References
    ----------
    .. [1] T. Kouzelis et al. "EQ-VAE: Equivariance Regularized Latent Space for Improved
       Generative Image Modeling". 2025. https://arxiv.org/abs/2502.09509

    Examples
    --------
    >>> from latentgen import ConvAutoencoder
    >>> from latentgen.datasets import load_digits_images
    >>> from latentgen.metrics import equivariance_error
    >>> X, _ = load_digits_images(return_X_y=True)
    >>> autoencoder = ConvAutoencoder(16, spatial_latent=True, max_epochs=1, random_state=0)
    >>> equivariance_error(autoencoder.fit(X[:200]), X[:200]) > 0.1
    True
    """
    X = _as_maps_of_pixels(autoencoder, X)
    code_shape = _map_shape(autoencoder)
    if transforms is None:
        transforms = [lambda a, k=k: np.rot90(a, k, (2, 3)) for k in (1, 2, 3)]
    Z = autoencoder.transform(X).reshape(-1, *code_shape)
    errors = []
    for transform in transforms:
        moved = autoencoder.transform(np.ascontiguousarray(transform(X)))
        expected = transform(Z).reshape(len(Z), -1)
        norms = np.linalg.norm(moved, axis=1)
        distances = np.linalg.norm(moved - expected, axis=1)
        # A code of zeros that stays one has no error.
        errors.append(distances / np.where(norms > 0, norms, 1))
    return float(np.mean(errors))


def scale_equivariance_error(autoencoder, X, *, factor=2):
    """Squared error between scaled-down images and what scaled-down codes decode to.

    Parameters
    ----------
    autoencoder : fitted ConvAutoencoder
        With ``spatial_latent=True``.
    X : array-like of shape (n_samples, n_features), (n_samples, H, W) or (n_samples, C, H, W)
        Images whose sides are multiples of the autoencoder's stride.
    factor : int, default=2
        Sides of the maps are divided by this and rounded up.

    Returns
    -------
    error : float
        Mean squared error per pixel, pixels in [0, 1]; lower is better.

    Raises
    ------
    ValueError
        If the codes are not maps, or sides of images are not multiples of the stride.

    References
    ----------
    .. [1] I. Skorokhodov et al. "Improving the Diffusability of Autoencoders". 2025, section 3.
       https://arxiv.org/abs/2502.14831

    Examples
    --------
    >>> from latentgen import ConvAutoencoder
    >>> from latentgen.datasets import load_digits_images
    >>> from latentgen.metrics import scale_equivariance_error
    >>> X, _ = load_digits_images(return_X_y=True)
    >>> autoencoder = ConvAutoencoder(16, spatial_latent=True, max_epochs=1, random_state=0)
    >>> scale_equivariance_error(autoencoder.fit(X[:200]), X[:200]) < 1
    True
    """
    check_scalar(factor, "factor", Integral, min_val=1)
    X = _as_maps_of_pixels(autoencoder, X)
    shape = _map_shape(autoencoder)
    Z = autoencoder.transform(X).reshape(-1, *shape)
    small = autoencoder.decode_map(_bilinear(Z, [-(-side // factor) for side in shape[1:]]))
    stride = small.shape[2] // -(-shape[1] // factor)
    if X.shape[2:] != (shape[1] * stride, shape[2] * stride):
        raise ValueError(
            f"Expected images whose sides are multiples of the stride {stride}, got {X.shape[2:]}."
        )
    target = _bilinear(to_unit_floats(X), small.shape[2:])
    return float(np.square(small - target, dtype=np.float64).mean())


def linear_probe(Z, y, *, cv=3):
    """Accuracy of a linear classifier on codes.

    Parameters
    ----------
    Z : array-like of shape (n_samples, latent_dim)
        Codes.
    y : array-like of shape (n_samples,)
        Class labels.
    cv : int, default=3
        Number of stratified folds.

    Returns
    -------
    accuracy : float
        Mean accuracy on the folds that were left out, in [0, 1], of a logistic regression on
        standardized codes. Higher says that classes lie further apart.

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.metrics import linear_probe
    >>> y = np.repeat([0, 1], 50)
    >>> Z = np.random.RandomState(0).standard_normal((100, 2)) + 10 * y[:, np.newaxis]
    >>> linear_probe(Z, y)
    1.0
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Accuracy settles long before the last digits of the coefficients do.
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, tol=1e-3))
    return float(cross_val_score(classifier, Z, y, cv=cv).mean())


def decoder_sensitivity(autoencoder, X, *, sigma=0.1, random_state=0):
    """How much decoded images change when their codes are moved a little.

    Parameters
    ----------
    autoencoder : fitted autoencoder
        With `transform` and `inverse_transform`.
    X : array-like of shape (n_samples, n_features), (n_samples, H, W) or (n_samples, C, H, W)
        Images; a few hundred are enough.
    sigma : float, default=0.1
        Standard deviation of the noise, in units of the standard deviation of each code value,
        so that the scale of the codes does not matter.
    random_state : int, RandomState instance or None, default=0
        Seed of the noise.

    Returns
    -------
    sensitivity : float
        Mean squared change per pixel, pixels in [0, 1], divided by ``sigma ** 2``. Lower is
        smoother. Images are decoded to floats, also by an autoencoder of bytes.

    Raises
    ------
    TypeError
        If an autoencoder that is not one of latentgen decodes to integers, which hide small
        changes.

    Examples
    --------
    >>> from latentgen import ConvAutoencoder
    >>> from latentgen.datasets import load_digits_images
    >>> from latentgen.metrics import decoder_sensitivity
    >>> X, _ = load_digits_images(return_X_y=True)
    >>> autoencoder = ConvAutoencoder(8, max_epochs=1, random_state=0).fit(X[:200])
    >>> decoder_sensitivity(autoencoder, X[:200]) > 0
    True
    """
    check_scalar(sigma, "sigma", Real, min_val=0, include_boundaries="neither")
    Z = np.asarray(autoencoder.transform(X))
    noise = check_random_state(random_state).standard_normal(Z.shape) * Z.std(axis=0)
    still, moved = (_decode_floats(autoencoder, codes) for codes in (Z, Z + sigma * noise))
    return float(np.square(moved - still, dtype=np.float64).mean() / sigma**2)


def kl_from_prior(mean, variance):
    """Mean Kullback-Leibler divergence of normal posteriors from the prior N(0, I).

    It is how much the codes of a variational autoencoder say about their images, and the term
    that `beta` multiplies.

    Parameters
    ----------
    mean, variance : array-like of shape (n_samples, latent_dim)
        Moments of the posterior of each image, as ``ConvAutoencoder.posterior`` gives them.

    Returns
    -------
    divergence : float
        In nats per image, summed over the values of a code; at least 0, which is a posterior that
        ignores its image. Neither direction is better: less is nearer to the prior, more is
        nearer to the image.

    Raises
    ------
    ValueError
        If the shapes differ, or a variance is not positive.

    See Also
    --------
    active_units : How many values carry it.

    References
    ----------
    .. [1] D. P. Kingma, M. Welling. "Auto-Encoding Variational Bayes". ICLR 2014, appendix B.
       https://arxiv.org/abs/1312.6114

    Examples
    --------
    >>> from latentgen.metrics import kl_from_prior
    >>> kl_from_prior([[0.0, 2.0]], [[1.0, 1.0]])
    2.0
    """
    mean, variance = _check_moments(mean, variance)
    return float(0.5 * (mean**2 + variance - 1 - np.log(variance)).sum(axis=1).mean())


def active_units(mean, *, threshold=0.01):
    """Number of values of a code that depend on the image.

    Parameters
    ----------
    mean : array-like of shape (n_samples, latent_dim)
        Mean of the posterior of each image, what ``transform`` of a variational autoencoder gives.
    threshold : float, default=0.01
        Variance of the mean over images above which a value is active, where the variance of the
        prior is 1; that of [1]_.

    Returns
    -------
    n_active : int
        From 0, a posterior that has collapsed, to latent_dim. Higher is a code that is used.

    Raises
    ------
    ValueError
        If there are fewer than two images.

    See Also
    --------
    kl_from_prior : How much all values together say.

    Notes
    -----
    The codes of an autoencoder without a KL term have no unit in which the threshold would mean
    anything.

    References
    ----------
    .. [1] Y. Burda, R. Grosse, R. Salakhutdinov. "Importance Weighted Autoencoders". ICLR 2016,
       section 5.2. https://arxiv.org/abs/1509.00519

    Examples
    --------
    >>> from latentgen.metrics import active_units
    >>> active_units([[0.0, -1.0], [0.0, 1.0]])
    1
    """
    check_scalar(threshold, "threshold", Real, min_val=0)
    mean = check_array(mean, dtype=np.float64, ensure_min_samples=2, input_name="mean")
    return int(np.sum(mean.var(axis=0) > threshold))


def _check_moments(mean, variance):
    mean = check_array(mean, dtype=np.float64, input_name="mean")
    variance = check_array(variance, dtype=np.float64, input_name="variance")
    if mean.shape != variance.shape or not np.all(variance > 0):
        raise ValueError(
            f"Expected a positive variance for each mean, got means {mean.shape} and variances "
            f"{variance.shape} from {variance.min():.3g}. Pass what 'posterior' returns."
        )
    return mean, variance


def _decode_floats(autoencoder, Z):
    """Decoded images as rows of floats in [0, 1], not rounded to bytes."""
    if hasattr(autoencoder, "_decode"):
        # The hook of autoencoders fills floats as well as bytes.
        out = np.empty((len(Z), autoencoder.n_features_in_), dtype=np.float32)
        autoencoder._decode(Z.astype(np.float32), out)
        return out
    images = np.asarray(autoencoder.inverse_transform(Z))
    if images.dtype.kind != "f":
        raise TypeError(
            f"Expected an autoencoder that decodes to floats, got {images.dtype} from "
            f"{type(autoencoder).__name__}: rounding hides small changes. Fit it to floats in "
            "[0, 1]."
        )
    return to_unit_floats(images.reshape(len(images), -1))


def _as_maps(Z, code_shape):
    """Codes as a float array (n_samples, channels, h, w)."""
    Z = check_array(Z, dtype=[np.float64, np.float32], allow_nd=True, input_name="Z")
    if code_shape is not None and len(code_shape) == 3 and Z[0].size == math.prod(code_shape):
        Z = Z.reshape(len(Z), *code_shape)
    if Z.ndim != 4:
        raise ValueError(
            f"Expected maps of codes of shape (n_samples, channels, h, w), got {Z.shape} and "
            f"code_shape={code_shape}. Use spatial_latent=True and pass its 'code_shape_'."
        )
    return Z


def _sorted_coefficients(Z):
    """Cosine transform of maps as (n_samples, channels, h * w), lowest frequencies first."""
    height, width = Z.shape[2:]
    frequency = np.arange(height)[:, np.newaxis] / height + np.arange(width) / width
    order = np.argsort(frequency.ravel(), kind="stable")
    return dctn(Z, axes=(2, 3), norm="ortho").reshape(*Z.shape[:2], -1)[..., order]


def _as_maps_of_pixels(autoencoder, X):
    """Images as (n_samples, C, H, W)."""
    if not hasattr(autoencoder, "image_shape_"):
        check_is_fitted(autoencoder)
        raise TypeError(
            f"Expected a fitted autoencoder, got {type(autoencoder).__name__}. Pass the "
            "autoencoder alone, for example the first step of a pipeline."
        )
    return as_images(X).reshape(-1, *autoencoder.image_shape_)


def _map_shape(autoencoder):
    shape = getattr(autoencoder, "code_shape_", ())
    if len(shape) != 3:
        raise ValueError(
            f"Expected an autoencoder whose codes are maps, got codes of shape {shape}. Use "
            "spatial_latent=True."
        )
    return shape


def _bilinear(a, sides):
    """Arrays (n, C, H, W) with other sides, as the regularizers scale them."""
    import torch

    a = torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32))
    return torch.nn.functional.interpolate(a, tuple(sides), mode="bilinear").numpy()
