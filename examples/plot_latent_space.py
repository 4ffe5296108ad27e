"""
Look into a latent space
========================

Does a sampler fill the places where codes lie, and only those? A projection and a walk between
images show it. Then: what a regularizer changes in the codes, and whether that helps.
"""

# SPDX-License-Identifier: BSD-3-Clause

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from latentgen import ConvAutoencoder, GaussianSampler, LocalGaussianSampler, make_latent_pipeline
from latentgen.autoencoders import HighFrequencyCut
from latentgen.datasets import load_digits_images
from latentgen.inspection import SampleGridDisplay
from latentgen.metrics import (
    ClassifierFeatures,
    decoder_sensitivity,
    equivariance_error,
    frechet_distance,
    high_frequency_fraction,
    linear_probe,
)

X, y = load_digits_images(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=0)
plain = ConvAutoencoder(32, spatial_latent=True, random_state=0)
generator = make_latent_pipeline(plain, LocalGaussianSampler(random_state=0)).fit(X_train)

# %%
# Codes, and draws of two samplers
# --------------------------------
#
# One Gaussian has the right spread and puts many draws where no code is; noise that follows the
# neighborhood stays inside. What overlaps in two principal components of 32 may be far apart.

Z = plain.transform(X_train)
pca = PCA(2).fit(Z)
draws = {
    "one Gaussian": GaussianSampler().fit(Z).sample(len(Z), random_state=0),
    "local Gaussian": generator.named_steps["sampler"].sample(len(Z), random_state=0),
}
figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), sharex=True, sharey=True, layout="constrained")
codes = axes[0].scatter(*pca.transform(Z).T, c=y_train, s=6, cmap="tab10")
axes[0].set_title("codes of training images")
axes[0].set_xlabel(f"two components, {pca.explained_variance_ratio_.sum():.0%} of the variance")
for ax, (name, Z_new) in zip(axes[1:], draws.items(), strict=True):
    ax.scatter(*pca.transform(Z).T, c="0.85", s=6)
    ax.scatter(*pca.transform(Z_new).T, c="k", s=2)
    ax.set(title=f"draws of {name}", xlabel="black: draws, gray: codes")
figure.legend(*codes.legend_elements(), loc="outside lower center", ncols=10, frameon=False)

# %%
# Between images
# --------------
#
# A straight line between two codes, decoded. The ends are images of the test set, reconstructed;
# where the middle is not a digit, the line crosses an empty place.

first = np.unique(y_test, return_index=True)[1]
X_between = generator.interpolate(X_test[first[:5]], X_test[first[5:]], n_steps=12)
SampleGridDisplay.from_images(X_between.reshape(-1, *X.shape[1:]), n_columns=12)

# %%
# Does a regularizer help?
# ------------------------
#
# `HighFrequencyCut` asks that codes without high frequencies decode to images without them. It does
# what it is made for, and draws are worse: a diagnostic is not an aim. But this is one seed only.


def measure(autoencoder):
    codes, shape = autoencoder.transform(X_test), autoencoder.code_shape_
    yield "energy in high frequencies", high_frequency_fraction(codes, code_shape=shape)
    yield "equivariance error", equivariance_error(autoencoder, X_test)
    yield "decoder sensitivity", decoder_sensitivity(autoencoder, X_test)
    yield "error of a linear probe", 1 - linear_probe(codes, y_test)
    yield "reconstruction error", -autoencoder.score(X_test)
    codes = autoencoder.transform(X_train)
    for sampler in [LocalGaussianSampler(random_state=0), GaussianSampler()]:
        X_new = autoencoder.inverse_transform(sampler.fit(codes).sample(1000, random_state=0))
        fid = frechet_distance(features.transform(X_train), features.transform(X_new))
        yield f"FID with {type(sampler).__name__}", fid


features = ClassifierFeatures(random_state=0).fit(X_test, y_test)
regularized = ConvAutoencoder(**plain.get_params()).set_params(regularizers=[HighFrequencyCut()])
before, after = dict(measure(plain)), dict(measure(regularized.fit(X_train)))
figure, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
bars = ax.barh(list(before), [after[name] / before[name] for name in before])
labels = [f"{before[name]:.2g} to {after[name]:.2g}" for name in before]
ax.bar_label(bars, labels, label_type="center", color="w")
ax.axvline(1, color="k", linewidth=0.8, zorder=0)
ax.invert_yaxis()
ax.set_xlabel("with regularizer, divided by without (lower is better)")
plt.show()
