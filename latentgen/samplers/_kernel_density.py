"""Kernel density estimate with one kernel and one bandwidth everywhere."""

# SPDX-License-Identifier: BSD-3-Clause

import warnings
from numbers import Real

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import factorial, gammaln
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval, StrOptions

from latentgen.base import BaseSampler
from latentgen.samplers._moments import scott_factors
from latentgen.utils._random import draw_seed, make_generator

_KERNELS = ("gaussian", "tophat", "epanechnikov", "exponential", "linear", "cosine")
_CACHE_VALUES = 2**17
_BLOCK_VALUES = 2**21

# Cross-validation: codes, folds, and bandwidths as fractions of the standard deviation.
_CV_CODES = 1000
_CV_FOLDS = 3
_CV_FRACTIONS = np.geomspace(0.01, 2, 20)


def _cosine_moment(power):
    """Integral of r^power cos(pi r / 2) from 0 to 1, by the power series of the cosine."""
    k = np.arange(20)
    return ((-1.0) ** k * (np.pi / 2) ** (2 * k) / factorial(2 * k) / (power + 2 * k + 1)).sum()


class _Density(KernelDensity):
    """`KernelDensity` with a constant of the cosine kernel that holds in every dimension.

    That of scikit-learn 1.9 holds in odd dimensions only, and its terms cancel in many.
    """

    def score_samples(self, X):
        """Compute the log-density."""
        if self.kernel != "cosine":
            return super().score_samples(X)
        codes = np.asarray(self.tree_.data)
        n_features = codes.shape[1]
        sums = np.empty(len(X))
        for batch in gen_batches(len(X), max(1, _BLOCK_VALUES // len(codes))):
            distances = np.minimum(cdist(X[batch], codes) / self.bandwidth_, 1)
            sums[batch] = np.cos(np.pi / 2 * distances).sum(axis=1, where=distances < 1)
        log_area = np.log(2) + n_features / 2 * np.log(np.pi) - gammaln(n_features / 2)
        log_volume = log_area + np.log(_cosine_moment(n_features - 1))
        with np.errstate(divide="ignore"):
            log_sums = np.log(sums)
        return log_sums - np.log(len(codes)) - log_volume - n_features * np.log(self.bandwidth_)


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

    The density is that of scikit-learn's `KernelDensity`, and each of its kernels can be drawn
    from. It is the baseline for kernels that follow the data: one bandwidth fits all codes and
    all directions.

    Read more in the :ref:`User Guide <samplers>`.

    Parameters
    ----------
    bandwidth : float or {'scott', 'silverman', 'cv'}, default='scott'
        Width of the kernel. A number is in the units of the codes and means the same as in
        scikit-learn. The other choices make the standard deviation of the noise in a feature a
        fraction of that of the codes, the root of the mean variance of the features:

        - ``'scott'``: the fraction ``n ** (-1 / (d + 4))`` [1]_.
        - ``'silverman'``: the fraction ``(n * (d + 2) / 4) ** (-1 / (d + 4))`` [2]_.
        - ``'cv'``: the fraction with the highest likelihood in 3-fold cross-validation.

        The first two are made for a single normal distribution and are too wide for most others.
    kernel : {'gaussian', 'tophat', 'epanechnikov', 'exponential', 'linear', 'cosine'}, \
            default='gaussian'
        Shape of the kernel, a function of the distance alone.
    temperature : float, default=1.0
        The standard deviation of the noise of draws is multiplied by it; 0 gives draws without
        noise. ``score_samples`` is that of temperature 1.
    min_novelty : float, default=0.0
        Least distance of draws from every training code, divided by the distance of that code to
        its own nearest neighbor. Nearer draws are drawn again; what stays too near is counted and
        warned of. Above 0 the sampler keeps the training codes.
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

    ``'cv'`` compares 20 fractions, even on a log scale from 0.01 to 2, on at most 1000 codes. The
    result is carried over to all n codes by ``n ** (-1 / (d + 4))``, the rate of the best
    bandwidth [1]_. It takes about 3 s in 64 dimensions. A fit with any other bandwidth takes no
    time, because the tree of `KernelDensity` is built by ``score_samples``, in every call.

    The log-density is that of scikit-learn, except for ``'cosine'`` in even dimensions, where
    the constant of scikit-learn 1.9 is wrong. It is ``-inf`` where no bounded kernel reaches.
    Sources of draws have one array, ``row``.

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
        self._codes = Z.astype(np.float32)
        # Kept, so that `_partial_fit` chooses as one fit to all codes would.
        self._fold_seed = draw_seed(rng) if self.bandwidth == "cv" else 0
        self.bandwidth_ = float(self._choose_bandwidth())

    def _partial_fit(self, Z, y, rng):
        """Append codes; the bandwidth is chosen from all of them."""
        self._fitted_kernel = self.kernel
        self._codes = np.concatenate([self._codes, Z]).astype(np.float32, copy=False)
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
        """Find the bandwidth under which unseen codes are most likely."""
        n_samples, n_features = self._codes.shape
        rows = np.random.RandomState(self._fold_seed).permutation(n_samples)[:_CV_CODES]
        # A code that is there twice would be judged by its own copy.
        different = np.sort(np.unique(self._codes[rows], axis=0, return_index=True)[1])
        rows = rows[different] if len(different) > 1 else rows
        folds = KFold(min(_CV_FOLDS, len(rows)))
        search = GridSearchCV(
            _Density(kernel=self._fitted_kernel),
            {"bandwidth": unit * _CV_FRACTIONS},
            cv=folds,
            refit=False,
        )
        # A narrow bounded kernel does not reach unseen codes: a likelihood of zero.
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            warnings.filterwarnings("ignore", "One or more of the test scores are non-finite")
            search.fit(self._codes[rows])
        if not np.isfinite(search.best_score_):
            raise ValueError(
                f"With kernel={self._fitted_kernel!r} no bandwidth up to "
                f"{unit * _CV_FRACTIONS[-1]:g} reaches all unseen codes, so that bandwidth='cv' "
                "cannot choose. "
                "Use kernel='gaussian' or 'exponential', or give a number."
            )
        n_fitted = len(rows) * (1 - 1 / folds.n_splits)
        rate = scott_factors(n_samples / n_fitted, n_features)
        return rate * search.best_params_["bandwidth"]

    def _sample(self, n_samples, rng, y=None):
        generator = make_generator(rng)
        n_features = self._codes.shape[1]
        rows = generator.integers(len(self._codes), size=n_samples)
        X_new = self._codes[rows]
        width = np.float32(self.bandwidth_ * self.temperature)
        for batch in gen_batches(n_samples, max(1, _CACHE_VALUES // n_features)):
            size = batch.stop - batch.start
            X_new[batch] += width * _kernel_noise(self._fitted_kernel, generator, size, n_features)
        return X_new, {"row": rows}

    def _log_density(self, Z):
        density = _Density(bandwidth=self.bandwidth_, kernel=self._fitted_kernel)
        return density.fit(self._codes).score_samples(Z)
