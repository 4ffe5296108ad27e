"""
Networks of your own
====================

How do I use an encoder and a decoder that exist already, trained elsewhere or written by me?

:class:`~latentgen.NetworkAutoencoder` takes an encoder and a decoder. Samplers, pipelines, searches
and metrics then work as with the networks of latentgen.
"""

# %%
# A pair that was trained elsewhere
# ---------------------------------
# It stands for a download: two modules of plain torch, trained by a loop of plain torch on the
# digits 0 to 4. They know nothing of latentgen.

# SPDX-License-Identifier: BSD-3-Clause

import torch
from torch import nn

from latentgen.datasets import load_digits_images

X, y = load_digits_images(return_X_y=True)
torch.manual_seed(0)
encoder = nn.Sequential(
    nn.Conv2d(1, 16, 4, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 16)
)
decoder = nn.Sequential(
    nn.Linear(16, 256), nn.Unflatten(1, (16, 4, 4)), nn.ReLU(),
    nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1), nn.Sigmoid(),
)  # fmt: skip
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.005)
images = torch.tensor(X[y < 5], dtype=torch.float32)
for _ in range(30):
    for batch in images[torch.randperm(len(images))].split(32):
        loss = nn.functional.mse_loss(decoder(encoder(batch)), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

# %%
# As it is
# --------
# With ``trainable=False`` the autoencoder learns nothing but the shapes, in no time. The decoder
# ends with a sigmoid, so it gives pixels and not logits. The pipeline draws new digits from 0 to 4
# at once, and fails on the others, which the networks have never seen.

from latentgen import (
    ConditionalSampler,
    LocalGaussianSampler,
    NetworkAutoencoder,
    make_latent_pipeline,
)
from latentgen.inspection import SampleGridDisplay

frozen = NetworkAutoencoder(encoder, decoder, trainable=False, output="pixels")
sampler = ConditionalSampler(LocalGaussianSampler(random_state=0))
pipeline = make_latent_pipeline(frozen, sampler).fit(X, y)
SampleGridDisplay.from_estimator(pipeline, X, y)

# %%
# Trained further
# ---------------
# With ``trainable=True``, ``fit`` starts from these weights and learns all ten digits, with
# everything that the training of :class:`~latentgen.ConvAutoencoder` has: schedules, early
# stopping, an average of the weights, a limit in seconds, a checkpoint. The modules that were
# passed stay as they are.

tuned = NetworkAutoencoder(encoder, decoder, output="pixels", max_epochs=15, random_state=0)
pipeline = make_latent_pipeline(tuned, sampler).fit(X, y)
SampleGridDisplay.from_estimator(pipeline, X, y)

# %%
# The mean squared error of reconstructions per pixel, before and after:

for name, autoencoder in [("as it is", frozen), ("trained further", tuned)]:
    print(f"{name:16} 0 to 4: {-autoencoder.score(X[y < 5]):.4f}   5 to 9: "
          f"{-autoencoder.score(X[y >= 5]):.4f}")  # fmt: skip

# %%
# Written anew
# ------------
# A function of the image shape makes a network for images of any size, with initial weights that
# ``random_state`` decides. So the same estimator goes into a search over other images.

import math

import matplotlib.pyplot as plt


def make_encoder(image_shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(image_shape), 64), nn.ReLU(),
                         nn.Linear(64, 16))  # fmt: skip


def make_decoder(image_shape):
    return nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, math.prod(image_shape)))


dense = NetworkAutoencoder(make_encoder, make_decoder, lr=0.01, random_state=0)
pipeline = make_latent_pipeline(dense, sampler).fit(X, y)
SampleGridDisplay.from_estimator(pipeline, X, y)
plt.show()
