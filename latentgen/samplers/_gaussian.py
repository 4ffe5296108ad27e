"""One normal distribution over the latent codes."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import numpy as np
from scipy.linalg import solve_triangular
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval, StrOptions

from latentgen.base import BaseSampler
from latentgen.samplers._moments import CONSTANT_WIDTH, VARIANCE_FLOOR, feature_scales
from latentgen.utils._random import make_generator

# Values that are in float64 at a time.
_BLOCK_VALUES = 2**18


class GaussianSampler(BaseSampler):
    """One normal distribution over the latent codes.

    The baseline of every comparison: ``'identity'`` is the prior N(0, I) that a variational
    autoencoder is trained towards, ``'full'`` the best that one Gaussian can do.

    Read more in the :ref:`User Guide <samplers>`.

    Parameters
    ----------
    covariance : {'full', 'diag', 'identity'}, default='full'
        ``'full'`` estimates mean and covariance, ``'diag'`` mean and variances, and
        ``'identity'`` is N(0, I) whatever the codes are.
    shrinkage : float, default=0.0
        Pull of the estimated covariance towards the sphere with the same mean variance, from 0
        to 1 [1]_. Has no effect on ``'identity'``.
    temperature : float, default=1.0
        The standard deviation of the noise of draws is multiplied by it; 0 gives draws without
        noise. ``score_samples`` is that of temperature 1.
    min_novelty : float, default=0.0
        Least distance of draws from the nearest training code, divided by the distance of that code
        to its own nearest neighbor. Nearer draws are drawn again; what stays too near is counted
        and warned of. Above 0 the sampler keeps the training codes.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features_in_,)
        Mean of the distribution.
    factor_ : ndarray of shape (n_features_in_, n_features_in_)
        Lower triangular factor of its covariance.
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
    FastHVRTSampler : Kernels on the training codes.

    Notes
    -----
    The diagonal of the estimated correlations is raised by 1e-8, so that a factor exists for fewer
    codes than features, whatever their units. Constant features are given 1e-4 of the least
    standard deviation of the others, or of 1 if all are constant.

    References
    ----------
    .. [1] O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance
       matrices", Journal of Multivariate Analysis 88 (2004), 365-411: the form of the
       shrinkage.

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen import GaussianSampler
    >>> Z = 5 + np.random.RandomState(0).standard_normal((500, 2))
    >>> sampler = GaussianSampler().fit(Z)
    >>> sampler.sample(10_000, random_state=0).mean(axis=0).round()
    array([5., 5.], dtype=float32)
    """

    _parameter_constraints: dict = {
        "covariance": [StrOptions({"full", "diag", "identity"})],
        "shrinkage": [Interval(Real, 0, 1, closed="both")],
        "temperature": [Interval(Real, 0, None, closed="left")],
        "min_novelty": [Interval(Real, 0, None, closed="left")],
    }

    _min_samples = 2
    _read_at_draws = ("temperature", "min_novelty")

    def __init__(self, *, covariance="full", shrinkage=0.0, temperature=1.0, min_novelty=0.0):
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.temperature = temperature
        self.min_novelty = min_novelty

    def _fit(self, Z, y, rng):
        self._n_seen, self._sums, self._products = 0, 0.0, 0.0
        self._origin = Z.mean(axis=0, dtype=np.float64)
        self._partial_fit(Z, y, rng)

    def _partial_fit(self, Z, y, rng):
        """Update the moments, which are those of all codes at once."""
        # From a fixed origin near the mean, so that large offsets cancel no digits.
        n_features = Z.shape[1]
        for batch in gen_batches(len(Z), max(1, _BLOCK_VALUES // n_features)):
            rows = Z[batch] - self._origin
            self._n_seen = self._n_seen + len(rows)
            self._sums = self._sums + rows.sum(axis=0)
            self._products = self._products + rows.T @ rows
        if self.covariance == "identity":
            self.mean_, self.factor_ = np.zeros(n_features), np.eye(n_features)
            return
        mean = self._sums / self._n_seen
        covariance = self._products - self._n_seen * np.outer(mean, mean)
        covariance /= self._n_seen - 1
        if self.covariance == "diag":
            covariance = np.diag(np.diagonal(covariance))
        variance = np.trace(covariance) / n_features
        identity = np.eye(n_features)
        covariance = covariance + self.shrinkage * (variance * identity - covariance)
        self.mean_ = self._origin + mean
        std = np.sqrt(np.maximum(np.diagonal(covariance), 0))
        scale = feature_scales(self.mean_, std, CONSTANT_WIDTH)
        correlation = covariance / np.outer(scale, scale)
        np.fill_diagonal(correlation, 1 + VARIANCE_FLOOR)
        self.factor_ = scale[:, None] * np.linalg.cholesky(correlation)

    def _sample(self, n_samples, rng, y=None):
        generator = make_generator(rng)
        n_features = len(self.mean_)
        factor = self.temperature * self.factor_.T
        X_new = np.empty((n_samples, n_features), dtype=np.float32)
        for batch in gen_batches(n_samples, max(1, _BLOCK_VALUES // n_features)):
            noise = generator.standard_normal((batch.stop - batch.start, n_features))
            X_new[batch] = self.mean_ + noise @ factor
        return X_new

    def _log_density(self, Z):
        scores = solve_triangular(self.factor_, (Z - self.mean_).T, lower=True)
        log_norm = np.log(np.diagonal(self.factor_)).sum() + 0.5 * len(scores) * np.log(2 * np.pi)
        return -0.5 * (scores**2).sum(axis=0) - log_norm
