"""A sampler as CONTRIBUTING.md shows it; the tests treat it like those of the package."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

from sklearn.neighbors import NearestNeighbors
from sklearn.utils._param_validation import Interval

from latentgen.base import BaseSampler


class InterpolatingSampler(BaseSampler):
    """Points between a code and one of its nearest neighbors (SMOTE, Chawla et al. 2002)."""

    _parameter_constraints: dict = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "min_novelty": [Interval(Real, 0, None, closed="left")],
    }
    _min_samples = 2

    def __init__(self, n_neighbors=5, *, min_novelty=0.0):
        self.n_neighbors = n_neighbors
        self.min_novelty = min_novelty

    def _fit(self, Z, y, rng):
        n_neighbors = min(self.n_neighbors, len(Z) - 1)
        index = NearestNeighbors(n_neighbors=n_neighbors).fit(Z)
        # A copy: codes_ must not change with what the caller does to Z.
        self.codes_, self.neighbors_ = Z.copy(), index.kneighbors(return_distance=False)

    def _sample(self, n_samples, rng, y=None):
        row = rng.randint(len(self.codes_), size=n_samples)
        other = self.neighbors_[row, rng.randint(self.neighbors_.shape[1], size=n_samples)]
        step = rng.random_sample((n_samples, 1))
        return self.codes_[row] + step * (self.codes_[other] - self.codes_[row]), {"row": row}
