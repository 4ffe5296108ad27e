"""The one list of tested estimators: a new estimator is one more row here."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from latentgen.autoencoders import ConvAutoencoder

# Cheap enough to be fitted hundreds of times.
CONV = ConvAutoencoder(latent_dim=3, channels=(4,), max_epochs=1, batch_size=32, random_state=0)


def make_codes():
    rng = np.random.RandomState(0)
    y = np.repeat(["a", "b", "c"], [75, 50, 25])
    centres = np.repeat([[0, 0, 0], [6, 0, 0], [0, 6, 0]], [75, 50, 25], axis=0)
    Z = (centres + rng.standard_normal((150, 3))).astype(np.float32)
    order = rng.permutation(150)
    return Z[order], y[order]
