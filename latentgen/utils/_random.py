"""Random numbers: from the seeds of scikit-learn to the fast generators of NumPy."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np


def make_generator(rng):
    """Make a fast `numpy.random.Generator` from a `numpy.random.RandomState`."""
    entropy = rng.randint(2**32, size=4, dtype=np.uint64)
    return np.random.Generator(np.random.SFC64([int(word) for word in entropy]))
