"""Inception score of generated images, from the class probabilities of a classifier."""

# SPDX-License-Identifier: BSD-3-Clause

from itertools import pairwise
from numbers import Integral

import numpy as np
from scipy.special import xlogy
from sklearn.utils import check_array, check_scalar


def inception_score(probabilities, *, n_splits=10):
    """Exponential of the information that a classifier's output has about which image it saw.

    Greater is better, from 1 to the number of classes. Images of one class each, of all classes
    equally often, have the number of classes; images that the classifier cannot tell apart have 1.
    Real images are not looked at, so copies have a good score, and so has one sharp image of each
    class: read it only beside published scores, and beside the score of real images, which is what
    identical distributions reach. On probabilities of the Inception network it is the published
    score; on those of another classifier its values are others.

    Parameters
    ----------
    probabilities : array-like of shape (n_generated, n_classes)
        Probabilities of the classes for each image, in [0, 1] with sums of 1, for example of
        ``predict_proba``, in random order: the parts below are of successive images.
    n_splits : int, default=10
        Number of parts in which the score is computed.

    Returns
    -------
    score : float
        Mean over the parts. It grows with the number of images in a part.
    standard_deviation : float
        Standard deviation over the parts (divided by their number), as it is published beside
        scores. It is not a standard error of the score.

    Raises
    ------
    ValueError
        If rows are not probabilities, or if there are fewer rows than parts.

    See Also
    --------
    frechet_distance : Compares with real images.

    Notes
    -----
    With the distribution of classes p(y | x) for an image and p(y), its mean over a part, the score
    of the part is :math:`\\exp(E_x\\,\\mathrm{KL}(p(y | x) \\,\\|\\, p(y)))` [1]_, section 4.

    References
    ----------
    .. [1] Salimans, Goodfellow, Zaremba, Cheung, Radford, Chen (2016). Improved Techniques for
       Training GANs. https://arxiv.org/abs/1606.03498

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.metrics import inception_score
    >>> inception_score(np.tile(np.eye(4), (50, 1)), n_splits=10)
    (4.0, 0.0)
    """
    check_scalar(n_splits, "n_splits", Integral, min_val=1)
    P = check_array(
        probabilities,
        dtype=np.float64,
        ensure_min_samples=n_splits,
        input_name="probabilities",
        estimator="inception_score",
    )
    sums = P.sum(axis=1)
    if P.min() < 0 or not np.allclose(sums, 1, atol=1e-4):
        raise ValueError(
            "Expected rows of probabilities, at least 0 and with sums of 1, got values from "
            f"{P.min():.3g} and sums from {sums.min():.3g} to {sums.max():.3g}. Pass the output of "
            "'predict_proba', or the softmax of logits."
        )
    bounds = np.arange(n_splits + 1) * len(P) // n_splits
    scores = [_score(P[start:stop]) for start, stop in pairwise(bounds)]
    return float(np.mean(scores)), float(np.std(scores))


def _score(P):
    # The mean divergence is the entropy of the mean minus the mean of the entropies.
    mean = P.mean(axis=0)
    return np.exp(xlogy(P, P).sum(axis=1).mean() - xlogy(mean, mean).sum())
