"""A training in a process of its own: fit, then write the result; tests kill it and go on."""

# SPDX-License-Identifier: BSD-3-Clause

import sys

import numpy as np
import torch

from latentgen import ConvAutoencoder, DiffusionSampler, NormalizingFlowSampler
from latentgen.datasets import load_digits_images


def main(kind, checkpoint, result):
    torch.set_num_threads(1)
    X, _ = load_digits_images(return_X_y=True)
    settings = {"checkpoint": checkpoint, "random_state": 0, "device": "cpu"}
    if kind == "autoencoder":
        estimator = ConvAutoencoder(
            8, channels=(16,), max_epochs=8, beta=0.1, ema_decay=0.99, validation_fraction=0.2,
            flip="horizontal", **settings,
        )  # fmt: skip
        out = estimator.fit(X).transform(X)
    else:
        Z = X.reshape(len(X), 64)[:, 10:26] + 0.1 * np.random.RandomState(0).randn(len(X), 16)
        if kind == "flow":
            estimator = NormalizingFlowSampler(
                n_transforms=2, hidden_features=(32,), max_epochs=8, **settings
            )
        else:
            estimator = DiffusionSampler(width=64, n_blocks=2, max_epochs=30, dropout=0.1, **settings)
        out = estimator.fit(Z).sample(500, random_state=0)
    np.save(result, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
