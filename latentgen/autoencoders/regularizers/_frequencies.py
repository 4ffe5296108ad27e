"""Code maps that hold little in their high frequencies."""

# SPDX-License-Identifier: BSD-3-Clause

import math

import torch

from latentgen.autoencoders.regularizers._base import FRACTION, LatentRegularizer


def dct_matrix(n):
    """Orthonormal DCT-II matrix (n, n), a frequency per row (Ahmed et al. 1974)."""
    k, i = torch.arange(n)[:, None], torch.arange(n)[None]
    matrix = math.sqrt(2 / n) * torch.cos(math.pi * (2 * i + 1) * k / (2 * n))
    matrix[0] /= math.sqrt(2)
    return matrix


def low_pass(x, fraction):
    """Keep a fraction of the DCT coefficients of maps (B, C, h, w), lowest frequencies first."""
    height, width = x.shape[2:]
    rows, columns = dct_matrix(height).to(x), dct_matrix(width).to(x)
    frequency = torch.arange(height)[:, None] / height + torch.arange(width)[None] / width
    n_kept = max(1, round(fraction * height * width))
    kept = torch.zeros(height * width)
    kept[frequency.flatten().argsort(stable=True)[:n_kept]] = 1
    spectrum = rows @ x @ columns.T * kept.view(height, width).to(x)
    return rows.T @ spectrum @ columns


class HighFrequencyCut(LatentRegularizer):
    """Decode maps without their highest frequencies to images without theirs.

    The spectral variant of `ScaleEquivarianceRegularizer`: a random tail of the discrete cosine
    transform of the code map is set to zero. Needs ``spatial_latent=True``.

    Read more in the :ref:`User Guide <regularizers>`.

    Parameters
    ----------
    min_kept : float, default=0.25
        Smallest fraction of the frequencies that is kept; it is drawn anew in each step,
        uniformly from here to 1.
    start : float, default=0.0
        Fraction of the training after which it begins.
    end : float, default=1.0
        Fraction of the training after which it ends.
    weight : float or 'adaptive', default=0.25
        Weight of the loss. ``'adaptive'`` is 0.25 times the ratio of the gradients of
        reconstruction and regularizer.

    See Also
    --------
    ScaleEquivarianceRegularizer : The published form.
    latentgen.metrics.high_frequency_fraction : Measures the effect.

    Notes
    -----
    The image is compared with itself after the same fraction of its own frequencies was kept, and
    cut off at 0 and 1. A step costs about 1.6 times as much.

    References
    ----------
    .. [1] I. Skorokhodov et al. "Improving the Diffusability of Autoencoders". 2025, section 3.
       https://arxiv.org/abs/2502.14831

    Examples
    --------
    >>> from latentgen import ConvAutoencoder
    >>> from latentgen.autoencoders import HighFrequencyCut
    >>> from latentgen.datasets import load_digits_images
    >>> X, _ = load_digits_images(return_X_y=True)
    >>> autoencoder = ConvAutoencoder(
    ...     16, spatial_latent=True, regularizers=[HighFrequencyCut()], max_epochs=1
    ... )
    >>> autoencoder.fit(X[:200]).transform(X[:5]).shape
    (5, 16)
    """

    draws_by_itself = False
    needs_map = True
    needs = ("decode_map",)
    _published_weight = 0.25
    _parameter_constraints: dict = {
        "min_kept": FRACTION,
        **LatentRegularizer._parameter_constraints,
    }

    def __init__(self, *, min_kept=0.25, start=0.0, end=1.0, weight=0.25):
        self.min_kept = min_kept
        self.start = start
        self.end = end
        self.weight = weight

    def _penalty(self, step):
        """Reconstruction loss of the low-passed image from the low-passed codes."""
        kept = step.uniform(self.min_kept, 1.0)
        target = low_pass(step.module.pad(step.x), kept).clamp(0, 1)
        with step.fixed_statistics():
            logits = step.module.decode_map(low_pass(step.z, kept))
        return step.reconstruction(target, logits)
