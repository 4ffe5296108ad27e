"""Kernels on the cells of a tree, that of the hvrt package or a faster one."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from latentgen.base import BaseSampler
from latentgen.samplers._kernels import KERNELS, StrategyKernel
from latentgen.samplers._moments import feature_scales, find_origin, move_to
from latentgen.samplers._partitions import NeighborhoodPartition, TreePartition
from latentgen.samplers._trees import tree_arrays
from latentgen.utils._random import draw_seed


class _HVRTPartition(TreePartition):
    """Leaves of the tree of hvrt, which compares all cuts."""

    @property
    def thorough(self):
        return self.tree_splitter == "best"

    def _fit(self, codes, scale, rng):
        try:
            # Here and not above: the import is slow, and only this class needs the package.
            from hvrt import FastHVRT
        except ImportError as error:
            raise ImportError(
                "FastHVRTSampler needs hvrt. Install it with: pip install 'hvrt>=2.7,<2.12'."
            ) from error
        model = FastHVRT(
            n_partitions=self.n_cells,
            min_samples_leaf=self.min_samples_leaf,
            max_depth=self.max_depth,
            tree_splitter=self.tree_splitter,
            random_state=draw_seed(rng),
        ).fit(codes.astype(np.float64))
        fitted = {"tree": tree_arrays(model.tree_)}
        # Its own z-scores, because rounding would send codes to the other side of a threshold.
        fitted |= {"mean": model.scaler_.mean_, "scale": model.scaler_.scale_}
        return fitted, model.partition_ids_


_PARTITIONS = {"hvrt": _HVRTPartition, "fast": TreePartition, "local": NeighborhoodPartition}


def _kernel_of(strategy):
    """Kernel of a name or of a user's own strategy."""
    return KERNELS[strategy] if isinstance(strategy, str) else StrategyKernel(strategy)


def _has_density(sampler):
    """Say whether the density of the strategy is known in closed form."""
    strategy = getattr(sampler, "_fitted_strategy", sampler.strategy)
    if not hasattr(_kernel_of(strategy), "log_density"):
        name = strategy if isinstance(strategy, str) else type(strategy).__name__
        known = [name for name, kernel in KERNELS.items() if hasattr(kernel, "log_density")]
        raise AttributeError(
            f"The log-density of strategy={name!r} is not known in closed form. "
            f"Strategies that have one: {', '.join(known)}."
        )
    return True


class FastHVRTSampler(BaseSampler):
    """Training codes moved by kernels that follow the partition of a FastHVRT tree.

    `hvrt.FastHVRT` cuts the codes into cells with a regression tree on the sum of their z-scores;
    two other partitions are faster or more local. A draw takes a training code uniformly at
    random and moves it with the kernel of its cell, so that every cell is hit in proportion to
    its size and every row is independent of the others. It is the sampler to start with: fast to
    fit, fast to draw.

    Read more in the :ref:`User Guide <fast_hvrt>`.

    Parameters
    ----------
    strategy : {'epanechnikov', 'bootstrap_noise', 'multivariate_kde', 'univariate_kde_copula', \
            'local_gaussian'} or object, default='epanechnikov'
        What happens inside a cell.

        - ``'epanechnikov'``: bounded noise, independent in each feature [2]_.
        - ``'bootstrap_noise'``: little normal noise, independent in each feature. Close to a
          copy of the training codes.
        - ``'multivariate_kde'``: normal noise with the covariance of the cell.
        - ``'univariate_kde_copula'``: kernel density estimates of the single features, joined
          by a Gaussian copula [3]_.
        - ``'local_gaussian'``: the code is shrunk towards the mean of its cell before normal
          noise is added, so that mean and covariance of the cell are kept [4]_.
        - an object with the strategy protocol of hvrt,
          ``prepare(X_z, partition_ids, unique_partitions) -> context`` and
          ``generate(context, budgets, random_state) -> X_z_new``, rows grouped by cell.

    partition : {'hvrt', 'fast', 'local'}, default='hvrt'
        How the codes are cut.

        - ``'hvrt'``: the published tree. It needs most of the time of ``fit``.
        - ``'fast'``: a tree with the same target that compares 16 random cuts of each node [5]_.
        - ``'local'``: cuts along the leading principal component of each cell [6]_ and one step
          of k-means, so that a cell is a neighborhood. With ``'local_gaussian'`` it gives the
          best images far from the training set; see the benchmarks.

    min_samples_leaf : int, default=None
        Least number of training codes in a cell. None is hvrt's choice,
        ``max(n_features + 2, sqrt(n_samples))``, and 5 for ``partition='local'``; 5 gives a fine
        partition.
    n_partitions : int, default=None
        Largest number of cells, at least 2. None is hvrt's choice,
        ``1.5 * n_samples / min_samples_leaf`` within 30 and 1500, and for ``partition='local'``
        one for every 60 codes, 1000 at most.
    max_depth : int, default=None
        Largest depth of the tree that ``fit`` grows; None means no limit. Has no effect on
        ``partition='local'``.
    tree_splitter : {'best', 'random'}, default='best'
        For ``partition='hvrt'``: ``'random'`` fits faster and cuts less precisely.
    bandwidth : float, default=None
        Width of the kernel in standard deviations of its cell. None is the published width:
        Scott's factor ``n_c ** (-1 / (n_features + 4))`` of a cell with ``n_c`` codes for
        ``'epanechnikov'`` (half the length of the support) and ``'multivariate_kde'`` [1]_, its
        one-dimensional form ``n_c ** (-1 / 5)`` for ``'univariate_kde_copula'``, 0.1 for
        ``'bootstrap_noise'``, and 0.8 for ``'local_gaussian'``, where it is at most 1: codes are
        shrunk by ``sqrt(1 - bandwidth ** 2)``, and 1 forgets the code and keeps only its cell. A
        strategy of your own takes none.
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
    n_partitions_ : int
        Number of cells.
    partition_sizes_ : ndarray of shape (n_partitions_,)
        Number of training codes in each cell.
    mean_, scale_ : ndarray of shape (n_features_in_,)
        Mean and standard deviation of the training codes; constant features have the least
        standard deviation of the others.
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
    LocalGaussianSampler : The same ``'local_gaussian'`` on cells that follow the density.
    ConditionalSampler : One sampler per class.

    Notes
    -----
    Inside a cell z-scores have standard deviations of at least 0.01 and covariances with
    eigenvalues of at least 1e-8, so that constant features and cells with fewer codes than
    features have a kernel; constant features come back with that little noise. The mathematics
    of the four published strategies is that of hvrt 2.11; the code is independent of it.
    `temperature` has no effect on a strategy of your own.

    The density is a mixture with one kernel on each training code, so that the time of
    ``score_samples`` is proportional to its number of codes times that of ``fit``. It is
    ``-inf`` where no kernel reaches, which with ``'epanechnikov'`` in many dimensions is nearly
    everywhere. The copula and strategies of your own have no ``score_samples``.

    Sources of draws have two arrays: ``row``, -1 for the copula and for strategies of your own,
    which start from no code, and ``partition``, the cell.

    A fitted sampler holds the training codes in float32, seen from their mean, so that offsets
    cost no digits. With ``p`` cells and ``d`` features the strategies with a covariance or a
    copula add ``4 p d^2`` bytes, and the copula ``1024 p d`` bytes more. The time of ``fit`` is
    that of the tree. ``sample`` needs 24 bytes per row and some megabytes beside its result.

    hvrt is licensed under AGPL-3.0-or-later and is imported by ``fit`` alone, with
    ``partition='hvrt'``.

    References
    ----------
    .. [1] D. W. Scott, "Multivariate Density Estimation", Wiley, 1992, section 6.3: the
       bandwidth factor.
    .. [2] V. A. Epanechnikov, "Non-parametric estimation of a multivariate probability
       density", Theory of Probability and its Applications 14 (1969), 153-158: the kernel of
       ``'epanechnikov'``.
    .. [3] B. W. Silverman, "Kernel density estimation using the fast Fourier transform",
       Applied Statistics 31 (1982), 93-99: the marginals of the copula.
    .. [4] B. W. Silverman and G. A. Young, "The bootstrap: to smooth or not to smooth?",
       Biometrika 74 (1987), 469-479: the shrunk smoothed bootstrap of ``'local_gaussian'``.
    .. [5] P. Geurts, D. Ernst and L. Wehenkel, "Extremely randomized trees", Machine Learning
       63 (2006), 3-42, section 2.
    .. [6] D. Boley, "Principal direction divisive partitioning", Data Mining and Knowledge
       Discovery 2 (1998), 325-344.

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen import FastHVRTSampler
    >>> Z = np.random.RandomState(0).standard_normal((500, 4))
    >>> sampler = FastHVRTSampler(min_samples_leaf=5, random_state=0).fit(Z)
    >>> sampler.sample(3, random_state=0).shape
    (3, 4)
    >>> X_new, source = sampler.sample(3, random_state=0, return_source=True)
    >>> bool(np.all(sampler.apply(Z[source.row]) == source.partition))
    True
    """

    _parameter_constraints: dict = {
        "strategy": [StrOptions(set(KERNELS)), HasMethods(["prepare", "generate"])],
        "partition": [StrOptions(set(_PARTITIONS))],
        "min_samples_leaf": [Interval(Integral, 1, None, closed="left"), None],
        "n_partitions": [Interval(Integral, 2, None, closed="left"), None],
        "max_depth": [Interval(Integral, 1, None, closed="left"), None],
        "tree_splitter": [StrOptions({"best", "random"})],
        "bandwidth": [Interval(Real, 0, None, closed="neither"), None],
        "temperature": [Interval(Real, 0, None, closed="left")],
        "min_novelty": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    _read_at_draws = ("temperature", "min_novelty")

    def __init__(
        self,
        strategy="epanechnikov",
        *,
        partition="hvrt",
        min_samples_leaf=None,
        n_partitions=None,
        max_depth=None,
        tree_splitter="best",
        bandwidth=None,
        temperature=1.0,
        min_novelty=0.0,
        random_state=None,
    ):
        self.strategy = strategy
        self.partition = partition
        self.min_samples_leaf = min_samples_leaf
        self.n_partitions = n_partitions
        self.max_depth = max_depth
        self.tree_splitter = tree_splitter
        self.bandwidth = bandwidth
        self.temperature = temperature
        self.min_novelty = min_novelty
        self.random_state = random_state

    def _fit(self, Z, y, rng):
        _kernel_of(self.strategy).check_bandwidth(self.bandwidth)
        self._fitted_strategy, self._fitted_partition = self.strategy, self.partition
        self._origin = find_origin(Z)
        codes = move_to(Z, self._origin)
        self.mean_ = Z.mean(axis=0, dtype=np.float64)
        # Of float32 codes near zero, whose sums in float64 make no error: constants have 0.
        self.scale_ = feature_scales(self.mean_, codes.std(axis=0, dtype=np.float64))
        self._partition_arrays, ids = self._make_partition().fit(codes, self.scale_, rng)
        self._adopt(codes, ids, np.arange(len(Z)))

    def _make_partition(self):
        return _PARTITIONS[self._fitted_partition](
            self.n_partitions, self.min_samples_leaf, self.max_depth, self.tree_splitter
        )

    def _adopt(self, codes, ids, rows):
        """Take over codes with the id of the cell and the row in the training data of each."""
        self._ids, cells = np.unique(ids, return_inverse=True)
        order = np.argsort(cells, kind="stable")
        self._codes, self._rows = codes[order], rows[order]
        self.n_partitions_ = len(self._ids)
        self.partition_sizes_ = np.bincount(cells)
        kernel = _kernel_of(self._fitted_strategy)
        self._kernel_arrays = kernel.fit(
            self._codes, self.partition_sizes_, self.scale_, self.bandwidth
        )

    def _partial_fit(self, Z, y, rng):
        """Send new codes to their cells, and cut cells that have outgrown the others."""
        if self._fitted_partition != self.partition:
            raise ValueError(
                f"'partition' was {self._fitted_partition!r} in fit, got {self.partition!r}. "
                "Set the old value, or use fit with all codes."
            )
        _kernel_of(self.strategy).check_bandwidth(self.bandwidth)
        self._fitted_strategy = self.strategy
        partition, fitted = self._make_partition(), self._partition_arrays
        Z = move_to(Z, self._origin)
        old = np.repeat(self._ids, self.partition_sizes_)
        ids = np.append(old, partition.find(fitted, Z))
        codes = np.concatenate([self._codes, Z])
        rows = np.append(self._rows, len(self._rows) + np.arange(len(Z)))
        self._partition_arrays, ids = partition.update(fitted, codes, ids, rng)
        self._adopt(codes, ids, rows)

    def _fitted_kernel(self):
        """The kernel and the arrays that it was fitted to."""
        arrays = Bunch(codes=self._codes, sizes=self.partition_sizes_, **self._kernel_arrays)
        return _kernel_of(self._fitted_strategy), arrays

    def _sample(self, n_samples, rng, y=None):
        kernel, arrays = self._fitted_kernel()
        X_new, rows, cells = kernel.draw(arrays, n_samples, rng, self.temperature)
        X_new += self._origin
        rows = np.full(n_samples, -1) if rows is None else self._rows[rows]
        return X_new, {"row": rows, "partition": cells}

    @available_if(_has_density)
    def _log_density(self, Z):
        kernel, arrays = self._fitted_kernel()
        return kernel.log_density(arrays, Z - self._origin)

    def apply(self, X):
        """Find the cell of each code.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in_)
            Codes.

        Returns
        -------
        partition : ndarray of shape (n_samples,)
            Integers from 0 to ``n_partitions_ - 1``.
        """
        check_is_fitted(self)
        return self._find(validate_data(self, X, dtype=np.float64, reset=False))

    def _find(self, Z):
        """Cell of each code."""
        ids = self._make_partition().find(self._partition_arrays, move_to(Z, self._origin))
        return np.searchsorted(self._ids, ids)
