"""Kernel density estimate with one kernel and one bandwidth everywhere."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import factorial, gammaln
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval, StrOptions

from latentgen.base import BaseSampler
from latentgen.samplers._moments import scott_factors
from latentgen.utils._random import draw_seed, make_generator

_KERNELS = ("gaussian", "tophat", "epanechnikov", "exponential", "linear", "cosine")
_CACHE_VALUES = 2**17
# Queries and codes whose distances are held at a time.
_BLOCK_QUERIES, _BLOCK_CODES = 512, 2048

# To choose a bandwidth: fewest codes that are held out, distances from them if there are more, and
# bandwidths as fractions of the standard deviation.
_CV_CODES, _CV_DISTANCES = 500, 2**24
_CV_FRACTIONS = np.geomspace(0.01, 2, 20)

# A matrix product rounds squared distances by up to this fraction of the squared norms.
_ROUNDING = 1e2 * np.finfo(np.float64).eps
# Largest such error in squared bandwidths, and in squared distances.
_ERROR_OF_BANDWIDTH, _ERROR_OF_DISTANCE = 1e-7, 1e-4


def _cosine_moment(power):
    """Integral of r^power cos(pi r / 2) from 0 to 1, by the power series of the cosine."""
    k = np.arange(20)
    return ((-1.0) ** k * (np.pi / 2) ** (2 * k) / factorial(2 * k) / (power + 2 * k + 1)).sum()


def _log_volume(kernel, n_features):
    """Logarithm of the integral over all space of a kernel of bandwidth 1 that is 1 at its center.

    That of scikit-learn 1.9 holds for the cosine kernel in few, odd dimensions only.
    """
    d = n_features
    if kernel == "gaussian":
        return d / 2 * np.log(2 * np.pi)
    # The area of the sphere times the integral of r^(d - 1) K(r).
    log_radial = {
        "tophat": -np.log(d),
        "epanechnikov": np.log(2) - np.log(d) - np.log(d + 2),
        "exponential": gammaln(d),
        "linear": -np.log(d) - np.log(d + 1),
        "cosine": np.log(_cosine_moment(d - 1)),
    }[kernel]
    return np.log(2) + d / 2 * np.log(np.pi) - gammaln(d / 2) + log_radial


def _squared_distances(X, codes, bandwidth):
    """Squared distances of queries to codes, block of codes by block of codes.

    Parameters
    ----------
    X : ndarray of shape (n_queries, n_features)
    codes : ndarray of shape (n_samples, n_features)
    bandwidth : float
        Differences much smaller than it do not matter.

    Yields
    ------
    squared : ndarray of shape (n_queries, n_block), dtype float64
        0 for equal codes.
    """
    # From a point among the queries, because a product cancels digits of what lies far from zero.
    origin = X.mean(axis=0, dtype=np.float64)
    X = X - origin
    norms = np.einsum("ij,ij->i", X, X)
    for block in gen_batches(len(codes), _BLOCK_CODES):
        Y = codes[block] - origin
        error = norms[:, None] + np.einsum("ij,ij->i", Y, Y)
        if _ROUNDING * error.max() > _ERROR_OF_BANDWIDTH * bandwidth**2:
            yield cdist(X, Y, "sqeuclidean")
            continue
        squared = X @ Y.T
        squared *= -2
        squared += error
        error *= _ROUNDING / _ERROR_OF_DISTANCE
        near = squared < error
        for query in np.flatnonzero(near.any(axis=1)):
            gaps = X[query] - Y[near[query]]
            squared[query, near[query]] = np.einsum("ij,ij->i", gaps, gaps)
        yield squared


def _log_kernel_sums(squared, bandwidth, kernel):
    """Logarithm of the sum over each row of the kernel at squared distances."""
    if kernel in ("gaussian", "exponential"):
        if kernel == "gaussian":
            exponent = squared * (-0.5 / bandwidth**2)
        else:
            exponent = np.sqrt(squared) / -bandwidth
        top = exponent.max(axis=1)
        exponent -= np.where(top == -np.inf, 0, top)[:, None]
        sums = np.exp(exponent, out=exponent).sum(axis=1)
    else:
        top = 0
        values = squared / bandwidth**2
        inside = values < 1
        if kernel == "tophat":
            sums = inside.sum(axis=1)
        elif kernel == "epanechnikov":
            sums = (1 - values).sum(axis=1, where=inside)
        else:
            values = np.sqrt(np.minimum(values, 1, out=values), out=values)
            values = 1 - values if kernel == "linear" else np.cos(np.pi / 2 * values)
            sums = values.sum(axis=1, where=inside)
    with np.errstate(divide="ignore"):
        return np.log(sums) + top


def _kernel_std(kernel, n_features):
    """Standard deviation of one feature under a kernel of bandwidth 1.

    It is sqrt(E[r^2] / d) with the radial laws of `_draw_radii`.
    """
    d = n_features
    variance = {
        "gaussian": 1,
        "tophat": 1 / (d + 2),
        "epanechnikov": 1 / (d + 4),
        "exponential": d + 1,
        "linear": (d + 1) / ((d + 2) * (d + 3)),
        "cosine": _cosine_moment(d + 1) / _cosine_moment(d - 1) / d,
    }[kernel]
    return np.sqrt(variance)


def _draw_radii(kernel, generator, n_samples, n_features):
    """Draw distances from the center, with densities r^(d - 1) K(r), for bandwidth 1."""
    if kernel == "tophat":
        return generator.random(n_samples) ** (1 / n_features)
    if kernel == "epanechnikov":
        return np.sqrt(generator.beta(n_features / 2, 2, n_samples))
    if kernel == "exponential":
        return generator.standard_gamma(n_features, n_samples)
    # r^(d - 1) (1 - r) is that of the linear kernel and an envelope of that of the cosine.
    radii = generator.beta(n_features, 2, n_samples)
    if kernel == "cosine":
        left = np.arange(n_samples)
        while len(left):
            # cos(pi r / 2) in units of pi (1 - r) / 2 is above 2 / pi.
            accepted = generator.random(len(left)) < np.sinc((1 - radii[left]) / 2)
            left = left[~accepted]
            radii[left] = generator.beta(n_features, 2, len(left))
    return radii


def _kernel_noise(kernel, generator, n_samples, n_features):
    """Draw from a kernel of bandwidth 1, shape (n_samples, n_features), dtype float32."""
    noise = generator.standard_normal((n_samples, n_features), dtype=np.float32)
    if kernel == "gaussian":
        return noise
    # A normal vector has no preferred direction; its length is replaced.
    lengths = np.maximum(np.linalg.norm(noise, axis=1), np.finfo(np.float32).tiny)
    radii = _draw_radii(kernel, generator, n_samples, n_features)
    noise *= (radii / lengths)[:, None].astype(np.float32)
    return noise


class KernelDensitySampler(BaseSampler):
    """Training codes moved by the same noise everywhere: a kernel density estimate.

    The density has the kernels of scikit-learn's `KernelDensity`, and each can be drawn from. It
    is the baseline for kernels that follow the data: one bandwidth fits all codes and all
    directions.

    Read more in the :ref:`User Guide <samplers>`.

    Parameters
    ----------
    bandwidth : float or {'scott', 'silverman', 'cv'}, default='scott'
        Width of the kernel. A number is in the units of the codes and means the same as in
        scikit-learn. The other choices make the standard deviation of the noise in a feature a
        fraction of that of the codes, the root of the mean variance of the features:

        - ``'scott'``: the fraction ``n ** (-1 / (d + 4))`` [1]_.
        - ``'silverman'``: the fraction ``(n * (d + 2) / 4) ** (-1 / (d + 4))`` [2]_.
        - ``'cv'``: the fraction under which held-out codes are most likely.

        The first two are made for a single normal distribution and are too wide for most others.
    kernel : {'gaussian', 'tophat', 'epanechnikov', 'exponential', 'linear', 'cosine'}, \
            default='gaussian'
        Shape of the kernel, a function of the distance alone.
    temperature : float, default=1.0
        The standard deviation of the noise of draws is multiplied by it; 0 gives draws without
        noise. ``score_samples`` is that of temperature 1.
    min_novelty : float, default=0.0
        Least distance of draws from the nearest training code, divided by the distance of that code
        to its own nearest neighbor. Nearer draws are drawn again; what stays too near is counted
        and warned of. Above 0 the sampler keeps the training codes.
    random_state : int, RandomState instance or None, default=None
        Seed of ``fit``. Draws are seeded by ``sample(random_state=...)``.

    Attributes
    ----------
    bandwidth_ : float
        Bandwidth in the units of the codes.
    novelty_ : float
        Median over 200 draws of the distance to the nearest training code, divided by the
        distance of that code to its own nearest neighbor: 0 for copies, about 1 for a density
        like that of the codes. nan if all codes are equal.
    novelty_error_ : float
        Standard error of ``novelty_``.
    near_copies_ : float
        Fraction of these draws with a ratio below 0.3.
    near_copies_error_ : float
        Standard error of ``near_copies_``.
    too_near_ : float
        Fraction of these draws with a ratio below `min_novelty`: what drawing again did not
        solve.
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features seen during ``fit``, when all are strings.

    See Also
    --------
    LocalGaussianSampler : Noise with the covariance of the neighborhood.
    FastHVRTSampler : Noise with the spread of a cell.

    Notes
    -----
    Kernels of one bandwidth differ in spread: in 64 dimensions the standard deviation of the
    noise is 8 times smaller with ``'tophat'`` than with ``'gaussian'``, and 8 times larger with
    ``'exponential'``. The rules set the spread, so that kernels can be compared.

    ``'cv'`` compares 20 fractions, even on a log scale from 0.01 to 2, by the mean log-density of
    held-out codes, each under the kernels of all codes that differ from it. One set of distances
    serves all fractions. Up to 4096 codes each is held out once; of more, as many as make
    ``2 ** 24`` distances, at least 500. That takes 2 s, with 60 000 codes of 64 numbers 4 s, and
    time in proportion to the number of codes beyond. A fit with any other bandwidth takes no
    time.

    ``score_samples`` computes all distances, in blocks, and sums in float64. That is exact in
    any number of dimensions, where the tree of scikit-learn 1.9 loses all digits above about 16,
    and its constant for ``'cosine'`` is wrong in even dimensions. The log-density is ``-inf``
    where no bounded kernel reaches. On one thread 100 000 codes of 64 numbers under as many
    kernels take 80 s, and 30 MB of memory.

    A fitted sampler holds the training codes in the precision that they came in. Sources of
    draws have one array, ``row``.

    The direction of the noise is uniform, and its length follows ``r ** (d - 1) * K(r)``: in
    units of the bandwidth a power of a uniform variable for ``'tophat'``, the root of a
    Beta(d / 2, 2) for ``'epanechnikov'``, a Gamma(d) for ``'exponential'`` and a Beta(d, 2)
    for ``'linear'``, from which ``'cosine'`` is drawn by rejection.

    References
    ----------
    .. [1] D. W. Scott, "Multivariate Density Estimation", Wiley, 1992, equation 6.42.
    .. [2] B. W. Silverman, "Density Estimation for Statistics and Data Analysis", Chapman and
       Hall, 1986, section 4.3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen import KernelDensitySampler
    >>> Z = np.random.RandomState(0).standard_normal((500, 2))
    >>> sampler = KernelDensitySampler(0.1, kernel="epanechnikov").fit(Z)
    >>> X_new = sampler.sample(100, random_state=0)
    >>> bool(np.isfinite(sampler.score_samples(X_new)).all())
    True
    """

    _parameter_constraints: dict = {
        "bandwidth": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"scott", "silverman", "cv"}),
        ],
        "kernel": [StrOptions(set(_KERNELS))],
        "temperature": [Interval(Real, 0, None, closed="left")],
        "min_novelty": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    _min_samples = 2
    _read_at_draws = ("temperature", "min_novelty")

    def __init__(
        self,
        bandwidth="scott",
        *,
        kernel="gaussian",
        temperature=1.0,
        min_novelty=0.0,
        random_state=None,
    ):
        self.bandwidth = bandwidth
        self.kernel = kernel
        self.temperature = temperature
        self.min_novelty = min_novelty
        self.random_state = random_state

    def _fit(self, Z, y, rng):
        self._fitted_kernel = self.kernel
        # In their own precision, because far from zero float32 would move them.
        self._codes = np.array(Z)
        # Kept, so that `_partial_fit` chooses as one fit to all codes would.
        self._held_out_seed = draw_seed(rng) if self.bandwidth == "cv" else 0
        self.bandwidth_ = float(self._choose_bandwidth())

    def _partial_fit(self, Z, y, rng):
        """Append codes; the bandwidth is chosen from all of them."""
        self._fitted_kernel = self.kernel
        self._codes = np.concatenate([self._codes, Z])
        self.bandwidth_ = float(self._choose_bandwidth())

    def _choose_bandwidth(self):
        if not isinstance(self.bandwidth, str):
            return self.bandwidth
        n_samples, n_features = self._codes.shape
        # Equal codes have no spread, but a kernel needs a width.
        spread = max(np.sqrt(self._codes.var(axis=0, dtype=np.float64).mean()), 1e-6)
        unit = spread / _kernel_std(self._fitted_kernel, n_features)
        if self.bandwidth == "cv":
            return self._cross_validate(unit)
        if self.bandwidth == "silverman":
            n_samples = n_samples * (n_features + 2) / 4
        return unit * scott_factors(n_samples, n_features)

    def _cross_validate(self, unit):
        """Find the bandwidth under which held-out codes are most likely."""
        n_samples, n_features = self._codes.shape
        rows = np.random.RandomState(self._held_out_seed).permutation(n_samples)
        held_out = self._codes[rows[: max(_CV_CODES, _CV_DISTANCES // n_samples)]]
        bandwidths = unit * _CV_FRACTIONS
        log_sums = np.full((len(bandwidths), len(held_out)), -np.inf)
        judged = np.zeros(len(held_out), dtype=bool)
        for batch in gen_batches(len(held_out), _BLOCK_QUERIES):
            for squared in _squared_distances(held_out[batch], self._codes, unit / 10):
                # Not by the code itself, nor by a copy of it.
                squared[squared == 0] = np.inf
                judged[batch] |= np.isfinite(squared).any(axis=1)
                for sums, bandwidth in zip(log_sums[:, batch], bandwidths, strict=True):
                    part = _log_kernel_sums(squared, bandwidth, self._fitted_kernel)
                    np.logaddexp(sums, part, out=sums)
        if not judged.any():
            return bandwidths[0]  # All codes are equal.
        scores = log_sums[:, judged].mean(axis=1)
        scores -= n_features * np.log(bandwidths)
        if not np.isfinite(scores.max()):
            raise ValueError(
                f"With kernel={self._fitted_kernel!r} no bandwidth up to {bandwidths[-1]:g} "
                "reaches all held-out codes, so that bandwidth='cv' cannot choose. "
                "Use kernel='gaussian' or 'exponential', or give a number."
            )
        return bandwidths[scores.argmax()]

    def _sample(self, n_samples, rng, y=None):
        generator = make_generator(rng)
        n_features = self._codes.shape[1]
        rows = generator.integers(len(self._codes), size=n_samples)
        X_new = np.empty((n_samples, n_features), dtype=np.float32)
        width = np.float32(self.bandwidth_ * self.temperature)
        for batch in gen_batches(n_samples, max(1, _CACHE_VALUES // n_features)):
            size = batch.stop - batch.start
            noise = _kernel_noise(self._fitted_kernel, generator, size, n_features)
            noise *= width
            X_new[batch] = self._codes[rows[batch]] + noise
        return X_new, {"row": rows}

    def _log_density(self, Z):
        log_sums = np.full(len(Z), -np.inf)
        for batch in gen_batches(len(Z), _BLOCK_QUERIES):
            for squared in _squared_distances(Z[batch], self._codes, self.bandwidth_):
                part = _log_kernel_sums(squared, self.bandwidth_, self._fitted_kernel)
                np.logaddexp(log_sums[batch], part, out=log_sums[batch])
        n_samples, n_features = self._codes.shape
        log_volume = _log_volume(self._fitted_kernel, n_features)
        return log_sums - np.log(n_samples) - log_volume - n_features * np.log(self.bandwidth_)
