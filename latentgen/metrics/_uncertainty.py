"""How sure a number is: intervals of one, and of the difference of two."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from scipy import stats
from sklearn.utils import check_random_state, check_scalar

from latentgen.metrics._distances import frechet_distance, kernel_distance

_BLOCK_VALUES = 2**22


class PairedDifference(NamedTuple):
    """Mean of paired differences, its interval, and the p-value of no difference."""

    difference: float
    low: float
    high: float
    p_value: float


class BootstrapInterval(NamedTuple):
    """A statistic and its interval."""

    value: float
    low: float
    high: float


def paired_difference(a, b, *, confidence=0.95):
    """Mean difference of paired values, such as one distance of two models over seeds.

    Pairs are made with the same seed, images and extractor, so that what these do to both leaves
    the difference alone. The sign is that of `a` minus `b`. Claim a difference only if the interval
    leaves out 0.

    Parameters
    ----------
    a : array-like of shape (n,)
        Values of one model, at least 2.
    b : array-like of shape (n,) or float
        Values of the other in the same order, or a number to compare with: 0 gives the interval of
        the mean of `a`, for example of a Fréchet distance over redraws.
    confidence : float, default=0.95
        Probability that the interval holds the expected difference, between 0 and 1.

    Returns
    -------
    difference : float
        Mean of `a` minus `b`.
    low, high : float
        Interval by Student's t distribution with n - 1 degrees of freedom. Three seeds have 2,
        where it reaches 4.3 standard errors to each side.
    p_value : float
        Probability, if 0 were expected, of differences at least this large for their spread. Equal
        differences have 0, or 1 if they are 0.

    Raises
    ------
    ValueError
        If there are fewer than 2 pairs, if they are not equally many, or if one is not finite.

    See Also
    --------
    latentgen.model_selection.compare_candidates : For the folds of a search, which share images.
    scipy.stats.ttest_rel : The same test.

    References
    ----------
    .. [1] Student (1908). The Probable Error of a Mean. https://doi.org/10.1093/biomet/6.1.1

    Examples
    --------
    >>> from latentgen.metrics import paired_difference
    >>> fid_of_one, fid_of_other = [5.2, 4.8, 3.9], [6.0, 5.9, 4.8]
    >>> result = paired_difference(fid_of_one, fid_of_other)
    >>> f"{result.difference:.2f} ({result.low:.2f} to {result.high:.2f})"
    '-0.93 (-1.31 to -0.55)'
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.ndim != 1 or len(a) < 2 or b.shape not in ((), a.shape):
        raise ValueError(
            "Expected equally many values in 'a' and 'b', at least 2, got shapes "
            f"{a.shape} and {b.shape}. Pass one value for each seed."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError(
            "Expected finite values in 'a' and 'b', got NaN or infinity. Leave out both values of "
            "such a pair, and say so."
        )
    return t_interval(a - b, 1 / len(a), confidence)


def t_interval(differences, spread, confidence):
    """`PairedDifference` where the mean has `spread` times the variance of a difference."""
    check_scalar(confidence, "confidence", Real, min_val=0, max_val=1, include_boundaries="neither")
    mean, freedom = float(differences.mean()), len(differences) - 1
    error = math.sqrt(spread * differences.var(ddof=1))
    if error == 0:
        return PairedDifference(mean, mean, mean, float(mean == 0))
    width = error * float(stats.t.ppf((1 + confidence) / 2, freedom))
    p_value = 2 * float(stats.t.sf(abs(mean) / error, freedom))
    return PairedDifference(mean, mean - width, mean + width, p_value)


def bootstrap_interval(*samples, statistic=None, confidence=0.95, n_resamples=999, random_state=0):
    """Interval of a statistic of independent rows, by resampling them.

    For means, medians, ratios and the like: of distances from the training set, or of which test
    images a classifier gets right. Not for `frechet_distance` and `kernel_distance`, see Notes.

    Parameters
    ----------
    *samples : array-like of shape (n,)
        One value for each image, such as ``novelty(...).distances``. Several samples are resampled
        independently of each other.
    statistic : callable, default=None
        ``statistic(*samples)`` gives a number. None takes the mean.
    confidence : float, default=0.95
        Probability that the interval holds the value of the distribution, between 0 and 1.
    n_resamples : int, default=999
        Number of resamples.
    random_state : int, RandomState instance or None, default=0
        Seed of the resamples.

    Returns
    -------
    value : float
        The statistic of the samples.
    low, high : float
        Bias-corrected and accelerated interval [1]_, by `scipy.stats.bootstrap`.

    Raises
    ------
    ValueError
        If all values are equal, from which no interval can be made, if a value is not finite, if a
        sample is empty, or if `statistic` is a distance of feature distributions.

    See Also
    --------
    paired_difference : The interval of a value that is measured once for each seed.
    frechet_distance_infinity : A Fréchet distance with its standard error.

    Notes
    -----
    A resample of n rows has only about 63 % of them, and the others twice or more. Its covariance
    is thus one of fewer images, and its Fréchet distance has about twice the bias: two sets of 2000
    rows from one normal distribution of 64 dimensions have the distance 1.1, their resamples
    2.2, so an interval of these leaves the value out. Duplicates also turn the zeros that
    `kernel_distance` leaves out of its kernel into large values. For the first, draw images anew
    with other seeds and use `paired_difference`; the second has a standard error of its own.

    The interval says how far the value moves with other images of the same models. It knows nothing
    of other training seeds, which usually move it more.

    References
    ----------
    .. [1] Efron (1987). Better Bootstrap Confidence Intervals.
       https://doi.org/10.1080/01621459.1987.10478410

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.metrics import bootstrap_interval
    >>> correct = np.repeat([1.0, 0.0], [950, 50])
    >>> value, low, high = bootstrap_interval(correct)
    >>> f"{value:.2f} ({low:.2f} to {high:.2f})"
    '0.95 (0.94 to 0.96)'
    """
    check_scalar(confidence, "confidence", Real, min_val=0, max_val=1, include_boundaries="neither")
    check_scalar(n_resamples, "n_resamples", Integral, min_val=1)
    if statistic in (frechet_distance, kernel_distance):
        raise ValueError(
            f"Expected a statistic that duplicates do not bias, got {statistic.__name__}. Draw "
            "images anew with several seeds and pass the distances to paired_difference."
        )
    statistic = np.mean if statistic is None else statistic
    samples = [np.asarray(sample, dtype=float) for sample in samples]
    for sample in samples:
        if sample.ndim != 1 or not len(sample) or not np.isfinite(sample).all():
            raise ValueError(
                "Expected samples of one finite value for each image, at least one, got one of "
                f"shape {sample.shape} with {np.sum(~np.isfinite(sample))} that are not finite. "
                "Leave these out of the sample, and say so."
            )
    if not samples:
        raise ValueError("Expected at least one sample, got none. Pass an array of values.")
    value = float(statistic(*samples))
    if all(np.all(sample == sample[0]) for sample in samples):
        raise ValueError(
            f"Expected values that differ, got {len(samples[0])} equal ones: all resamples have "
            "the same value. For a fraction take "
            "scipy.stats.binomtest(k, n).proportion_ci(method='wilson')."
        )
    found = stats.bootstrap(
        samples,
        statistic,
        n_resamples=n_resamples,
        confidence_level=confidence,
        method="BCa",
        vectorized=False,
        # All at once, what is left out one by one would take the square of their number.
        batch=max(1, _BLOCK_VALUES // max(map(len, samples))),
        random_state=check_random_state(random_state),
    ).confidence_interval
    return BootstrapInterval(value, float(found.low), float(found.high))


def fraction_interval(is_true):
    """Fraction of True in an array, and its Wilson interval at 95 %."""
    interval = stats.binomtest(int(is_true.sum()), len(is_true)).proportion_ci(method="wilson")
    return float(is_true.mean()), float(interval.low), float(interval.high)
