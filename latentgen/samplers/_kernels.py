"""Kernels: what happens to a training code inside its cell when it becomes a draw.

A kernel holds no data. ``fit`` returns a dict of arrays, which the sampler keeps beside its codes,
so that a saved sampler names no class of this module; ``draw`` and ``log_density`` take all of it
back as one Bunch. Codes are sorted by cell: the first ``sizes[0]`` rows belong to cell 0, the next
``sizes[1]`` to cell 1, and so on.
"""

# SPDX-License-Identifier: BSD-3-Clause

from abc import ABC, abstractmethod

import numpy as np
from sklearn.utils import gen_batches

from latentgen.samplers._copula import copula_factors, score_tables, transform_scores
from latentgen.samplers._log_density import epanechnikov_log_density, normal_log_density
from latentgen.samplers._moments import (
    cell_means,
    cell_stds,
    covariance_factors,
    scott_factors,
)
from latentgen.utils._random import draw_seed, make_generator

# Values per chunk: few calls, but buffers about the size of the L2 cache, for independent noise;
# many rows of each cell for noise that is multiplied by the factors of cells.
_CACHE_VALUES = 2**17
_FACTOR_VALUES = 2**21
_STRATEGY_VALUES = 2**19


def epanechnikov_noise(generator, out):
    """Fill `out`, shape (n_rows, n_features), with Epanechnikov noise.

    The density is 3 / 4 (1 - u^2) on [-1, 1]. With u = 2 sin(t), its distribution function
    1 / 2 + 3 u / 4 - u^3 / 4 becomes 1 / 2 + sin(3 t) / 2, hence the inverse
    2 sin(asin(2 p - 1) / 3).
    """
    # Two uniform integers from each word of the generator, faster than its own float32.
    words = generator.bit_generator.random_raw(-(-out.size // 2))
    out[...] = words.view(np.int32)[: out.size].reshape(out.shape)
    out *= np.float32(2**-31)
    np.arcsin(out, out=out)
    out *= np.float32(1 / 3)
    np.sin(out, out=out)
    out *= 2


def normal_noise(generator, out):
    """Fill `out` with standard normal noise."""
    generator.standard_normal(dtype=np.float32, out=out)


def correlated_noise(generator, cells, factors, scale=1.0):
    """Draw normal noise that is multiplied by the factor of each row's cell, block by block.

    Parameters
    ----------
    generator : Generator
    cells : ndarray of shape (n_rows,)
        Cell of each row, in any order.
    factors : ndarray of shape (n_cells, n_features, n_features), dtype float32
        Lower factors of the covariances.
    scale : float, default=1.0
        The noise is multiplied by it.

    Yields
    ------
    rows : ndarray of shape (n_block,)
        Rows of a block, sorted by cell.
    noise : ndarray of shape (n_block, n_features), dtype float32
        Noise for these rows; the next block reuses the memory.
    """
    n_features = factors.shape[-1]
    step = max(1, _FACTOR_VALUES // max(64, n_features))
    buffer = np.empty((min(step, len(cells)), n_features), dtype=np.float32)
    for block in gen_batches(len(cells), step):
        # Sorting brings equal factors together.
        rows = block.start + np.argsort(cells[block], kind="stable")
        noise = buffer[: len(rows)]
        normal_noise(generator, noise)
        if scale != 1:
            noise *= np.float32(scale)
        present, starts = np.unique(cells[rows], return_index=True)
        stops = np.append(starts[1:], len(rows))
        for cell, start, stop in zip(present, starts, stops, strict=True):
            noise[start:stop] = noise[start:stop] @ factors[cell].T
        yield rows, noise


class Kernel(ABC):
    """What happens to the codes of a cell; has ``log_density`` too if that is in closed form."""

    def check_bandwidth(self, bandwidth):  # noqa: B027 (most take any)
        """Refuse a bandwidth that the kernel has no meaning for."""

    @abstractmethod
    def fit(self, codes, sizes, scale, bandwidth=None):
        """Fit the kernel to codes sorted by cell.

        Parameters
        ----------
        codes : ndarray of shape (n_samples, n_features), dtype float32
            Seen from about their mean.
        sizes : ndarray of shape (n_cells,)
        scale : ndarray of shape (n_features,)
            Of the z-scores, whose units the floors of standard deviations have.
        bandwidth : float, default=None
            None is the published width.

        Returns
        -------
        fitted : dict of ndarray
            In the units of the codes, so that draws need no scaling.
        """

    @abstractmethod
    def draw(self, fitted, n_samples, rng, temperature=1.0):
        """Draw codes, independent from row to row.

        Parameters
        ----------
        fitted : Bunch
            ``codes``, ``sizes`` and what ``fit`` returned.
        n_samples : int
        rng : RandomState
        temperature : float, default=1.0
            The standard deviation of the noise is multiplied by it.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features), dtype float32
        rows : ndarray of shape (n_samples,) or None
            Row of the code that each draw starts from; None if draws start from no code.
        cells : ndarray of shape (n_samples,)
        """


class MovingKernel(Kernel):
    """Codes that are drawn with equal probability and moved by noise."""

    def draw(self, fitted, n_samples, rng, temperature=1.0):
        """Draw codes and move them."""
        generator = make_generator(rng)
        rows = generator.integers(len(fitted.codes), size=n_samples)
        cells = np.repeat(np.arange(len(fitted.sizes)), fitted.sizes)[rows]
        X_new = np.empty((n_samples, fitted.codes.shape[1]), dtype=np.float32)
        self._move(fitted, X_new, rows, cells, generator, temperature)
        return X_new, rows, cells

    @abstractmethod
    def _move(self, fitted, out, rows, cells, generator, temperature):
        """Fill `out` with the codes in these rows, moved by noise."""


class IndependentKernel(MovingKernel):
    """Noise that is independent in each feature, with the standard deviations of the cell."""

    def fit(self, codes, sizes, scale, bandwidth=None):
        """Fit the standard deviations of the noise in each cell."""
        if bandwidth is None:
            bandwidth = scott_factors(sizes, codes.shape[1])[:, None]
        spread = bandwidth * cell_stds(codes / scale, sizes) * scale
        return {"spread": spread.astype(np.float32)}

    def _move(self, fitted, out, rows, cells, generator, temperature):
        chunk = max(1, _CACHE_VALUES // out.shape[1])
        noise, spread = np.empty((2, min(chunk, len(out)), out.shape[1]), dtype=np.float32)
        for batch in gen_batches(len(out), chunk):
            size = batch.stop - batch.start
            self._noise(generator, noise[:size])
            # mode='clip' lets take write into its target without a buffer.
            np.take(fitted.spread, cells[batch], axis=0, out=spread[:size], mode="clip")
            np.take(fitted.codes, rows[batch], axis=0, out=out[batch], mode="clip")
            if temperature != 1:
                spread[:size] *= np.float32(temperature)
            spread[:size] *= noise[:size]
            out[batch] += spread[:size]


class EpanechnikovKernel(IndependentKernel):
    """Bounded noise; the bandwidth is half the length of its support."""

    _noise = staticmethod(epanechnikov_noise)

    def log_density(self, fitted, X):
        """Log-density in nats; ``-inf`` where no kernel reaches."""
        return epanechnikov_log_density(X, fitted.codes, fitted.sizes, fitted.spread)


class BootstrapNoiseKernel(IndependentKernel):
    """Little normal noise."""

    _noise = staticmethod(normal_noise)

    def fit(self, codes, sizes, scale, bandwidth=None):
        """Fit the standard deviations of the noise in each cell."""
        return super().fit(codes, sizes, scale, 0.1 if bandwidth is None else bandwidth)

    def log_density(self, fitted, X):
        """Log-density in nats."""
        return normal_log_density(X, fitted.codes, fitted.sizes, fitted.spread)


class MultivariateKDEKernel(MovingKernel):
    """Normal noise with the covariance of the cell."""

    def fit(self, codes, sizes, scale, bandwidth=None):
        """Fit the factors of the covariances of the noise in each cell."""
        if bandwidth is None:
            bandwidth = scott_factors(sizes, codes.shape[1])[:, None]
        factors = covariance_factors(codes / scale, sizes)
        factors *= np.asarray(bandwidth * scale, dtype=np.float32)[..., None]
        return {"factors": factors}

    def _move(self, fitted, out, rows, cells, generator, temperature):
        for block, noise in correlated_noise(generator, cells, fitted.factors, temperature):
            noise += fitted.codes[rows[block]]
            out[block] = noise

    def log_density(self, fitted, X):
        """Log-density in nats."""
        return normal_log_density(X, fitted.codes, fitted.sizes, fitted.factors)


class LocalGaussianKernel(MovingKernel):
    """Codes shrunk towards the mean of their cell, and normal noise with its covariance.

    With a bandwidth a, a code z and the mean m and factor L of its cell, a draw is
    ``m + sqrt(1 - a ** 2) * (z - m) + a * L @ noise``: mean and covariance of the cell are kept.
    """

    def check_bandwidth(self, bandwidth):
        """Refuse more than 1, for which there is no such shrinkage."""
        if bandwidth is not None and bandwidth > 1:
            raise ValueError(
                f"'bandwidth' must be in (0, 1] for strategy='local_gaussian', got {bandwidth}. "
                "With 1 a draw keeps nothing of a code but its cell."
            )

    def fit(self, codes, sizes, scale, bandwidth=None):
        """Fit the means and the factors of the covariances of cells."""
        Z = codes / scale
        factors = covariance_factors(Z, sizes)
        factors *= scale.astype(np.float32)[:, None]
        return {
            "means": cell_means(Z, sizes) * scale,
            "factors": factors,
            "bandwidth": 0.8 if bandwidth is None else bandwidth,
        }

    def _move(self, fitted, out, rows, cells, generator, temperature):
        keep, shift = self._shrinkage(fitted)
        scale = fitted.bandwidth * temperature
        for block, noise in correlated_noise(generator, cells, fitted.factors, scale):
            codes = fitted.codes[rows[block]]
            codes *= keep
            noise += codes
            noise += shift[cells[block]]
            out[block] = noise

    def log_density(self, fitted, X):
        """Log-density in nats."""
        keep, shift = self._shrinkage(fitted)
        centers = keep * fitted.codes + np.repeat(shift, fitted.sizes, axis=0)
        factors = np.float32(fitted.bandwidth) * fitted.factors
        return normal_log_density(X, centers, fitted.sizes, factors)

    def _shrinkage(self, fitted):
        """What a code keeps of itself, and what the mean of its cell adds; float32."""
        keep = np.float32(np.sqrt(1 - fitted.bandwidth**2))
        return keep, ((1 - keep) * fitted.means).astype(np.float32)


class CopulaKernel(MovingKernel):
    """Kernel density estimates of the single features of a cell, joined by a Gaussian copula."""

    def fit(self, codes, sizes, scale, bandwidth=None):
        """Fit the correlations of normal scores and the scores of marginals."""
        Z = codes / scale
        tables = score_tables(Z, sizes, bandwidth)
        grids = {name: (scale * tables[name]).astype(np.float32) for name in ("lows", "steps")}
        return {"factors": copula_factors(Z, sizes), **tables, **grids}

    def draw(self, fitted, n_samples, rng, temperature=1.0):
        """Draw from the cells; no draw starts from a code."""
        X_new, _, cells = super().draw(fitted, n_samples, rng, temperature)
        return X_new, None, cells

    def _move(self, fitted, out, rows, cells, generator, temperature):
        for block, scores in correlated_noise(generator, cells, fitted.factors, temperature):
            transform_scores(scores, cells[block], fitted)
            out[block] = scores


class StrategyKernel(Kernel):
    """A user's own strategy with the protocol of hvrt.

    Parameters
    ----------
    strategy : object
        Has ``prepare(X_z, partition_ids, unique_partitions) -> context`` and
        ``generate(context, budgets, random_state) -> X_z_new``, rows grouped by partition.
    """

    def __init__(self, strategy):
        self.strategy = strategy

    def check_bandwidth(self, bandwidth):
        """Refuse any: the strategy has its own."""
        if bandwidth is not None:
            raise ValueError(
                f"'bandwidth'={bandwidth} has no effect on a strategy of your own, got "
                f"{type(self.strategy).__name__}. Set the width there, and bandwidth=None here."
            )

    def fit(self, codes, sizes, scale, bandwidth=None):
        """Let the strategy prepare."""
        present = np.arange(len(sizes))
        Z = codes / scale
        context = self.strategy.prepare(Z, np.repeat(present, sizes), present)
        return {"context": context, "scale": scale}

    def draw(self, fitted, n_samples, rng, temperature=1.0):
        """Draw with fair budgets, in random order and in the units of the codes."""
        n_features = len(fitted.scale)
        X_new = np.empty((n_samples, n_features), dtype=np.float32)
        cells = np.empty(n_samples, dtype=np.intp)
        fractions = fitted.sizes / fitted.sizes.sum()
        for batch in gen_batches(n_samples, max(1, _STRATEGY_VALUES // n_features)):
            budgets = rng.multinomial(batch.stop - batch.start, fractions)
            seed = draw_seed(rng)
            Z = np.asarray(self.strategy.generate(fitted.context, budgets, seed))
            if Z.shape != X_new[batch].shape:
                raise ValueError(
                    f"{type(self.strategy).__name__}.generate must return an array of shape "
                    f"{X_new[batch].shape}, one row per unit of 'budgets', got {Z.shape}."
                )
            # The strategy groups its rows by partition.
            order = rng.permutation(len(Z))
            X_new[batch] = (Z * fitted.scale)[order]
            cells[batch] = np.repeat(np.arange(len(budgets)), budgets)[order]
        return X_new, None, cells


KERNELS = {
    "epanechnikov": EpanechnikovKernel(),
    "bootstrap_noise": BootstrapNoiseKernel(),
    "multivariate_kde": MultivariateKDEKernel(),
    "local_gaussian": LocalGaussianKernel(),
    "univariate_kde_copula": CopulaKernel(),
}
