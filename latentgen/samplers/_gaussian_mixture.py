"""Mixture of normal distributions over the latent codes."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval, StrOptions

from latentgen.base import BaseSampler
from latentgen.samplers._kernels import correlated_noise
from latentgen.samplers._moments import find_origin
from latentgen.utils._random import draw_seed, make_generator

# Values of noise that are drawn at a time.
_BLOCK_VALUES = 2**18


class GaussianMixtureSampler(BaseSampler):
    """Mixture of normal distributions, fitted by scikit-learn.

    The density that most published comparisons start from. It keeps no training codes and draws
    fast; its fit takes long where the components are many and their covariances full.

    Read more in the :ref:`User Guide <samplers>`.

    Parameters
    ----------
    n_components : int, default=10
        Number of components, at most the number of codes; with `bayesian` the largest number.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}, default='full'
        ``'full'``: each component has its covariance; ``'tied'``: all share one; ``'diag'``:
        each has its variances; ``'spherical'``: each has one variance.
    bayesian : bool, default=False
        Whether to fit `BayesianGaussianMixture`, which gives components that are not needed
        next to no weight, instead of `GaussianMixture`.
    max_iter : int, default=100
        Largest number of iterations of expectation maximization.
    tol : float, default=0.001
        The fit ends when the lower bound of the log-likelihood per code, in nats, rises by less.
    reg_covar : float, default=1e-06
        Added to the variances, in squared units of the codes.
    n_init : int, default=1
        Number of fits from different starts, of which the best is kept.
    init_params : {'kmeans', 'k-means++', 'random', 'random_from_data'}, default='kmeans'
        How the first components are found.
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
    mixture_ : GaussianMixture or BayesianGaussianMixture
        The fitted mixture of scikit-learn.
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
    GaussianSampler : A single component.
    LocalGaussianSampler : As local as many components, and much faster to fit.

    Notes
    -----
    Time of one iteration is proportional to ``n_samples * n_components * n_features ** 2`` with
    full covariances. A Bayesian mixture has a distribution over its parameters [1]_; draws and
    ``score_samples`` are those of the mean weights, means and covariances, which
    ``mixture_.sample`` uses as well, while ``mixture_.score_samples`` is not a density.

    References
    ----------
    .. [1] C. M. Bishop, "Pattern Recognition and Machine Learning", Springer, 2006, sections
       9.2 and 10.2.

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen import GaussianMixtureSampler
    >>> rng = np.random.RandomState(0)
    >>> Z = rng.standard_normal((500, 2)) + 9 * rng.randint(1, 3, size=(500, 1))
    >>> sampler = GaussianMixtureSampler(2, random_state=0).fit(Z)
    >>> np.sort(sampler.mixture_.means_[:, 0]).round()
    array([ 9., 18.])
    >>> sampler.sample(3, random_state=0).shape
    (3, 2)
    """

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions({"full", "tied", "diag", "spherical"})],
        "bayesian": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "reg_covar": [Interval(Real, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions({"kmeans", "k-means++", "random", "random_from_data"})],
        "temperature": [Interval(Real, 0, None, closed="left")],
        "min_novelty": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    _min_samples = 2
    _read_at_draws = ("temperature", "min_novelty")

    def __init__(
        self,
        n_components=10,
        *,
        covariance_type="full",
        bayesian=False,
        max_iter=100,
        tol=1e-3,
        reg_covar=1e-6,
        n_init=1,
        init_params="kmeans",
        temperature=1.0,
        min_novelty=0.0,
        random_state=None,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.bayesian = bayesian
        self.max_iter = max_iter
        self.tol = tol
        self.reg_covar = reg_covar
        self.n_init = n_init
        self.init_params = init_params
        self.temperature = temperature
        self.min_novelty = min_novelty
        self.random_state = random_state

    def _fit(self, Z, y, rng):
        if self.n_components > len(Z):
            raise ValueError(
                f"'n_components'={self.n_components} needs at least as many codes, got "
                f"n_samples = {len(Z)}. Use n_components={len(Z)} or fewer."
            )
        mixture = BayesianGaussianMixture if self.bayesian else GaussianMixture
        # From near the mean, because scikit-learn takes differences of squares; and in float64,
        # because a covariance in float32 easily loses an eigenvalue.
        self._origin = find_origin(Z)
        self.mixture_ = mixture(
            n_components=self.n_components,
            covariance_type=self.covariance_type,
            max_iter=self.max_iter,
            tol=self.tol,
            reg_covar=self.reg_covar,
            n_init=self.n_init,
            init_params=self.init_params,
            random_state=draw_seed(rng),
        ).fit(Z - self._origin.astype(np.float64))
        self.mixture_.means_ += self._origin
        covariances = self.mixture_.covariances_
        if self.covariance_type == "tied":
            covariances = covariances[None]
        correlated = covariances.ndim == 3
        factors = np.linalg.cholesky(covariances) if correlated else np.sqrt(covariances)
        self._factors = factors.astype(np.float32)

    def _sample(self, n_samples, rng, y=None):
        generator = make_generator(rng)
        weights = self.mixture_.weights_
        component = generator.choice(len(weights), size=n_samples, p=weights / weights.sum())
        means = self.mixture_.means_
        X_new = np.empty((n_samples, means.shape[1]), dtype=np.float32)
        # A tied covariance has one factor.
        cells = component if len(self._factors) > 1 else np.zeros_like(component)
        if self._factors.ndim == 3:
            for rows, noise in correlated_noise(generator, cells, self._factors, self.temperature):
                X_new[rows] = means[component[rows]] + noise
            return X_new
        factors = np.float32(self.temperature) * self._factors.reshape(len(self._factors), -1)
        for batch in gen_batches(n_samples, max(1, _BLOCK_VALUES // means.shape[1])):
            noise = generator.standard_normal(X_new[batch].shape, dtype=np.float32)
            noise *= factors[cells[batch]]
            X_new[batch] = means[component[batch]] + noise
        return X_new

    def _log_density(self, Z):
        # A Bayesian mixture would average the logarithms of the parameters.
        fitted = self.mixture_
        density = GaussianMixture(fitted.n_components, covariance_type=fitted.covariance_type)
        density.weights_, density.means_ = fitted.weights_, fitted.means_ - self._origin
        density.precisions_cholesky_ = fitted.precisions_cholesky_
        return density.score_samples(Z - self._origin)
