"""Random numbers: from the seeds of scikit-learn to the fast generators of NumPy."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state


def draw_seed(rng):
    """Draw one integer seed from a `numpy.random.RandomState`."""
    return int(rng.randint(np.iinfo(np.int32).max))


def batch_random_state(random_state, n_batches):
    """Make the `RandomState` of a batch, so that no two are treated by the same numbers."""
    rng = check_random_state(random_state)
    if not isinstance(random_state, Integral):
        return rng  # It goes on from batch to batch by itself.
    return np.random.RandomState([draw_seed(rng), n_batches])


def make_generator(rng):
    """Make a fast `numpy.random.Generator` from a `numpy.random.RandomState`."""
    entropy = rng.randint(2**32, size=4, dtype=np.uint64)
    return np.random.Generator(np.random.SFC64([int(word) for word in entropy]))
