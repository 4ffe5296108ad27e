"""Smoothed bootstrap with the local covariance of neighborhoods."""

# SPDX-License-Identifier: BSD-3-Clause

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions

from latentgen.base import BaseSampler
from latentgen.samplers._kernels import LocalGaussianKernel
from latentgen.samplers._moments import cell_means, find_origin, move_to, shrunk_factors
from latentgen.samplers._neighborhoods import fit_cells_to_density
from latentgen.utils._neighbors import NeighborIndex
from latentgen.utils._random import draw_seed

_KERNEL = LocalGaussianKernel()
_CODES_PER_CELL = 60
_MAX_CELLS = 1000
_MAX_ITER = 3


def _find_cells(Z, n_cells, rng):
    """Cut codes into at most `n_cells` k-means cells; give the cell of each code."""
    if n_cells == 1:
        return np.zeros(len(Z), dtype=np.intp)
    kmeans = KMeans(
        n_cells,
        init="random",
        n_init=1,
        max_iter=_MAX_ITER,
        random_state=draw_seed(rng),
    )
    with warnings.catch_warnings():
        # Equal codes make fewer cells, which is what is wanted.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = kmeans.fit_predict(Z)
    return np.unique(labels, return_inverse=True)[1]


def _split_cells(Z, cells, usual, rng):
    """Cut every cell with more than twice the usual number of codes into cells of that."""
    for cell in np.flatnonzero(np.bincount(cells) > 2 * usual):
        rows = np.flatnonzero(cells == cell)
        parts = _find_cells(Z[rows], int(len(rows) / usual), rng)
        # The first part keeps the number of the cell.
        cells[rows[parts > 0]] = cells.max() + parts[parts > 0]
    return cells


class LocalGaussianSampler(BaseSampler):
    """Training codes moved by normal noise that follows the shape of their neighborhood.

    Codes are cut into cells, by k-means first and then by the normal density of each cell. A
    draw takes a training code uniformly at random, shrinks it towards the mean of its cell and
    adds normal noise with the covariance of the cell, so that mean and covariance of every cell
    are kept [1]_. It is fast to fit, and in many dimensions few densities are as close to the
    codes.

    Read more in the :ref:`User Guide <samplers>`.

    Parameters
    ----------
    n_cells : int or 'auto', default='auto'
        Number of cells. ``'auto'`` is one for every 60 codes, or for every
        ``n_features`` codes if these are more, within 1 and 1000.
    bandwidth : float, default=0.8
        Standard deviation of the noise in units of that of the cell, above 0 and at most 1.
        Codes are shrunk by ``sqrt(1 - bandwidth ** 2)``: near 0 draws are copies, 1 forgets
        the code and keeps only its cell.
    shrinkage : float or 'auto', default=0.0
        Pull of a cell's covariance towards the pooled covariance inside cells, scaled to the
        volume of the cell, from 0 to 1. ``'auto'`` estimates it for each cell from its codes
        [2]_: the fewer codes and the more alike the cells, the stronger the pull. Only with 0
        is the covariance of every cell kept exactly. A code alone in its cell always gets the
        pooled covariance, because otherwise it would be copied.
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
    n_cells_ : int
        Number of cells; fewer than asked for if codes are equal.
    cell_sizes_ : ndarray of shape (n_cells_,)
        Number of training codes in each cell.
    cell_means_ : ndarray of shape (n_cells_, n_features_in_)
        Means of the cells.
    cell_factors_ : ndarray of shape (n_cells_, n_features_in_, n_features_in_), dtype float32
        Lower triangular factors of the covariances of the cells, after shrinkage.
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
    FastHVRTSampler : The same kernel on other cells with ``strategy='local_gaussian'``.
    KernelDensitySampler : One kernel everywhere.
    GaussianMixtureSampler : Gaussians alone, with no training codes.

    Notes
    -----
    With a code z in a cell with mean m and factor L the draw is
    ``m + sqrt(1 - a ** 2) * (z - m) + a * L @ noise``, where a is `bandwidth`. Cells are found
    on the codes as they are, because whitening hides which directions matter for distances; a
    few iterations of Lloyd's algorithm from random codes are enough for neighborhoods, which need
    not be clusters. Three rounds of the classification EM algorithm [3]_ then move codes to the
    neighboring cell with the highest density, so that cells become as long and as narrow as the
    data; cells with twice the mean number of codes take no more. With ``bandwidth=1`` and a
    `temperature` below 1 draws are more typical and less varied, as those of a mixture are.

    The density is a mixture with one kernel on each training code, so that the time of
    ``score_samples`` is proportional to its number of codes times that of ``fit``. Sources of
    draws have two arrays, ``row`` and ``cell``.

    ``partial_fit`` gives new codes to the cells with the nearest mean and computes means and
    covariances anew. Cells with more than twice as many codes as the average cell had in the
    first fit, or has among `n_cells` (1000 with ``'auto'``), are cut by k-means into cells of
    that size.

    A fitted sampler holds the training codes in float32, seen from their mean, and
    ``4 * n_cells_ * n_features_in_ ** 2`` bytes of factors.

    References
    ----------
    .. [1] B. W. Silverman and G. A. Young, "The bootstrap: to smooth or not to smooth?",
       Biometrika 74 (1987), 469-479, section 2: the shrunk smoothed bootstrap, here in each
       cell.
    .. [2] Y. Chen, A. Wiesel, Y. C. Eldar and A. O. Hero, "Shrinkage algorithms for MMSE
       covariance estimation", IEEE Transactions on Signal Processing 58 (2010), 5016-5029,
       equation 23, https://arxiv.org/abs/0907.4698; here after whitening by the pooled
       covariance.
    .. [3] G. Celeux and G. Govaert, "A classification EM algorithm for clustering and two
       stochastic versions", Computational Statistics & Data Analysis 14 (1992), 315-332.

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen import LocalGaussianSampler
    >>> angle = np.random.RandomState(0).uniform(0, 2 * np.pi, 2000)
    >>> circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    >>> sampler = LocalGaussianSampler(random_state=0).fit(circle)
    >>> radius = np.linalg.norm(sampler.sample(1000, random_state=0), axis=1)
    >>> bool(np.abs(radius - 1).max() < 0.05)
    True
    """

    _parameter_constraints: dict = {
        "n_cells": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "bandwidth": [Interval(Real, 0, 1, closed="right")],
        "shrinkage": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"})],
        "temperature": [Interval(Real, 0, None, closed="left")],
        "min_novelty": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    _read_at_draws = ("temperature", "min_novelty")

    def __init__(
        self,
        n_cells="auto",
        *,
        bandwidth=0.8,
        shrinkage=0.0,
        temperature=1.0,
        min_novelty=0.0,
        random_state=None,
    ):
        self.n_cells = n_cells
        self.bandwidth = bandwidth
        self.shrinkage = shrinkage
        self.temperature = temperature
        self.min_novelty = min_novelty
        self.random_state = random_state

    def _fit(self, Z, y, rng):
        n_cells = self.n_cells
        if n_cells == "auto":
            n_cells = len(Z) // max(_CODES_PER_CELL, Z.shape[1])
            n_cells = min(max(n_cells, 1), _MAX_CELLS)
        elif n_cells > len(Z):
            raise ValueError(
                f"'n_cells'={n_cells} needs at least as many codes, got n_samples = {len(Z)}. "
                "Use fewer cells, or n_cells='auto'."
            )
        self._origin = find_origin(Z)
        Z = move_to(Z, self._origin)
        cells = fit_cells_to_density(Z, _find_cells(Z, n_cells, rng))
        self._usual_size = len(Z) / (cells.max() + 1)
        self._fit_cells(Z, cells, np.arange(len(Z)))

    def _partial_fit(self, Z, y, rng):
        """Give new codes to their nearest cells, and cut cells that have outgrown the others."""
        old = np.repeat(np.arange(self.n_cells_), self.cell_sizes_)
        cells = np.append(old, NeighborIndex(self.cell_means_).query(Z)[1])
        Z = np.concatenate([self._codes, move_to(Z, self._origin)])
        # A limited number of cells lets each grow with the codes.
        auto = self.n_cells == "auto"
        usual = max(self._usual_size, len(Z) / (_MAX_CELLS if auto else self.n_cells))
        if auto:
            # The first codes may have been too few for a cell.
            usual = max(usual, _CODES_PER_CELL, Z.shape[1])
        rows = np.append(self._rows, np.arange(len(self._rows), len(Z)))
        self._fit_cells(Z, _split_cells(Z, cells, usual, rng), rows)

    def _fit_cells(self, Z, cells, rows):
        """Set what draws need, from codes, their cells and their rows in the training data."""
        order = np.argsort(cells, kind="stable")
        self._codes, self._rows = Z[order], rows[order]
        self.cell_sizes_ = np.bincount(cells)
        self.n_cells_ = len(self.cell_sizes_)
        self.cell_means_ = self._origin + cell_means(self._codes, self.cell_sizes_).astype(float)
        shrinkage = None if self.shrinkage == "auto" else self.shrinkage
        self.cell_factors_ = shrunk_factors(self._codes, self.cell_sizes_, shrinkage)
        self._fitted_bandwidth = self.bandwidth

    def _fitted_arrays(self):
        """What the kernel draws from."""
        return Bunch(
            codes=self._codes,
            sizes=self.cell_sizes_,
            means=self.cell_means_ - self._origin,
            factors=self.cell_factors_,
            bandwidth=self._fitted_bandwidth,
        )

    def _sample(self, n_samples, rng, y=None):
        arrays = self._fitted_arrays()
        X_new, rows, cells = _KERNEL.draw(arrays, n_samples, rng, self.temperature)
        X_new += self._origin
        return X_new, {"row": self._rows[rows], "cell": cells}

    def _log_density(self, Z):
        return _KERNEL.log_density(self._fitted_arrays(), Z - self._origin)
