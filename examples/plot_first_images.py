"""
From images to new images
=========================

How do I get my first images? The 1 797 digits of scikit-learn, 8 x 8 pixels each, are encoded,
a sampler is fitted to the codes of each class, and new digits are drawn and decoded.
"""

# SPDX-License-Identifier: BSD-3-Clause

import matplotlib.pyplot as plt
from sklearn.model_selection import train_test_split

from latentgen import ConditionalSampler, ConvAutoencoder, FastHVRTSampler, make_latent_pipeline
from latentgen.datasets import load_digits_images
from latentgen.inspection import ReconstructionDisplay, SampleGridDisplay

X, y = load_digits_images(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0)
print(f"{len(X_train)} images of shape {X.shape[1:]}, pixels from {X.min():.0f} to {X.max():.0f}")

# %%
# Fit
# ---
#
# The autoencoder learns codes of 16 numbers. One sampler is then fitted to the codes of each
# digit.

autoencoder = ConvAutoencoder(latent_dim=16, random_state=0)
sampler = ConditionalSampler(FastHVRTSampler(min_samples_leaf=5, random_state=0))
generator = make_latent_pipeline(autoencoder, sampler)
generator.fit(X_train, y_train)

# %%
# Is the autoencoder good enough?
# -------------------------------
#
# No generated image can be sharper than a reconstruction, so look at images that it has not seen
# first. If these are blurred, raise `latent_dim` or `max_epochs` before anything else.

ReconstructionDisplay.from_estimator(generator, X_test, n_images=12)
autoencoder = generator.named_steps["autoencoder"]
print(f"squared error per pixel on unseen images: {-autoencoder.score(X_test):.4f}")

# %%
# Draw
# ----
#
# One row per digit. `y` may also be a single label or a list of labels, and without it the classes
# are as frequent as in the training images.

SampleGridDisplay.from_estimator(generator, X_test, y_test, n_columns=8, random_state=0)
print(generator.sample(4, y=[0, 1, 1, 7], random_state=0).shape)

# %%
# Between two images
# ------------------
#
# A straight line between the codes of two images, decoded step by step. Where the middle looks
# like a digit, there are digits between the two in the code space too; where it does not, the
# line crosses an empty place, which is why a sampler should not wander far from the codes it has
# seen.

X_between = generator.interpolate(X_test[:4], X_test[4:8], n_steps=10)
SampleGridDisplay.from_images(X_between.reshape(-1, *X.shape[1:]), n_columns=10)
plt.show()
