"""An autoencoder as a newcomer would write it after reading CONTRIBUTING.md."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from numbers import Integral

from sklearn.utils._param_validation import Interval
from torch import nn

from latentgen.autoencoders._reconstruction import ReconstructionAutoencoder
from latentgen.networks._reconstruction import Code, ReconstructionModule


class DenseNet(ReconstructionModule):
    def __init__(self, image_shape, latent_dim):
        super().__init__(image_shape, (latent_dim,))
        n_pixels = math.prod(image_shape)
        self.encoder = nn.Sequential(nn.Linear(n_pixels, 32), nn.ReLU(), nn.Linear(32, latent_dim))
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, 32), nn.Dropout(0.05), nn.ReLU(), nn.Linear(32, n_pixels)
        )

    def encode(self, x):
        return Code(self.encoder(x.flatten(1)))

    def decode(self, z):
        return self.decoder(z).view(-1, *self.image_shape)


class DenseAutoencoder(ReconstructionAutoencoder):
    """Two dense layers each way."""

    _parameter_constraints: dict = {
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        **ReconstructionAutoencoder._parameter_constraints,
    }

    def __init__(self, latent_dim=8, *, max_epochs=20, lr=0.01, checkpoint=None, random_state=None):
        self.latent_dim = latent_dim
        self.max_epochs = max_epochs
        self.lr = lr
        self.checkpoint = checkpoint
        self.random_state = random_state

    def _settle_design(self, layout):
        return {"image_shape": layout.image_shape, "latent_dim": self.latent_dim}

    def _make_module(self, **design):
        return DenseNet(**design)
