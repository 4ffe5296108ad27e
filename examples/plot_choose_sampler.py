"""
Choose a sampler
================

Which density fits the codes best? One search over the last step of the pipeline compares them, in
the plane of Fréchet distance (FID) and novelty: copies have an excellent distance and novelty 0.
"""

# SPDX-License-Identifier: BSD-3-Clause

import warnings
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, ShuffleSplit, train_test_split

import latentgen as lg
from latentgen.datasets import load_digits_images
from latentgen.exceptions import NearCopyWarning
from latentgen.inspection import SampleGridDisplay
from latentgen.metrics import ClassifierFeatures, GenerationScorer, frechet_distance

X, y = load_digits_images(return_X_y=True)
X, X_judge, _, y_judge = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
features = ClassifierFeatures(random_state=0).fit(X_judge, y_judge)
floor = frechet_distance(features.transform(X[::2]), features.transform(X[1::2]))

# %%
# The search
# ----------
#
# The first sampler copies; the second comes again with three values of `min_novelty`. With
# `memory`, the autoencoder is fitted once per fold. Samplers with a network would need more images
# and time, and with labels each sampler would be wrapped in `ConditionalSampler`.

copier = lg.FastHVRTSampler("bootstrap_noise", min_samples_leaf=5, random_state=0)
bounded = lg.FastHVRTSampler(min_samples_leaf=5, random_state=0)
samplers = {
    "FastHVRT, bootstrap": copier,
    "FastHVRT": bounded,
    "FastHVRT, local": lg.FastHVRTSampler("local_gaussian", partition="local", random_state=0),
    "local Gaussian": lg.LocalGaussianSampler(random_state=0),
    "mixture of 30": lg.GaussianMixtureSampler(30, random_state=0),
    "kernel density": lg.KernelDensitySampler(),
    "one Gaussian": lg.GaussianSampler(),
}
dial = [0.4, 0.6, 0.8]
grid = [{"sampler": [*samplers.values()]}, {"sampler": [bounded], "sampler__min_novelty": dial}]


def best_of_the_new(results):
    new = results["mean_test_novelty"] > 0.9
    return int(np.argmax(np.where(new, results["mean_test_neg_frechet_distance"], -np.inf)))


warnings.simplefilter("ignore", NearCopyWarning)  # fit warns of what is wanted here
scorer = GenerationScorer(features, X_train=X, n_samples=2000, most_near_copies=1)
folds = ShuffleSplit(2, test_size=0.3, random_state=0)
with TemporaryDirectory() as cache:
    autoencoder = lg.ConvAutoencoder(16, random_state=0)
    generator = lg.make_latent_pipeline(autoencoder, copier, memory=cache)
    search = GridSearchCV(generator, grid, scoring=scorer, refit=best_of_the_new, cv=folds).fit(X)
    fits = (generator.set_params(sampler=sampler).fit(X) for sampler in samplers.values())
    images = [X[:8], *(fitted.sample(8, random_state=1) for fitted in fits)]

# %%
# Images beside the plane
# -----------------------
#
# Left of novelty 1 draws come near to copies, right of it they leave the real images behind. The
# circle is the choice: the smallest FID among what is nearly as new as unseen images.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
SampleGridDisplay.from_images(np.concatenate(images), np.repeat(range(len(images)), 8), ax=left)
left.set_yticks(left.get_yticks(), ["real", *samplers])
results = search.cv_results_
plane = np.transpose([results["mean_test_novelty"], -results["mean_test_neg_frechet_distance"]])
places = [(-5, -16), (-5, -16), (9, 3), (9, -9), (12, -13), (9, -4), (-92, -4)]
for name, point, place in zip(samplers, plane, places, strict=False):
    (marker,) = right.plot(*point, "o")
    right.annotate(name, point, place, textcoords="offset points", color=marker.get_color())
right.plot(*plane[search.best_index_], "ko", markersize=13, fillstyle="none")
curve = [1, *range(len(samplers), len(plane))]
right.plot(*plane[curve].T, "C1.--", zorder=0, label="with min_novelty")
right.axhline(floor, color="gray", linestyle=":", label="real images")
right.axvline(1, color="gray", linewidth=0.8, label="as new as unseen images")
right.set(yscale="log", xlim=(0, 1.95), xlabel="novelty", ylabel="FID (lower is better)")
right.set_yticks([2, 5, 10, 20, 50], [2, 5, 10, 20, 50])
right.minorticks_off()
right.legend(loc="upper left", frameon=False, fontsize=9)

# %%
# What distance costs
# -------------------
#
# `min_novelty` draws again what is too near a training code. It helps where some draws are far
# enough, and costs FID; a sampler whose draws are all near, as the first one here, needs a wider
# kernel instead. Its unit is the distance between neighboring training codes; near-copies are
# counted in that of unseen images.

for value, row in zip([0, *dial], curve, strict=True):
    copies = results["mean_test_near_copies"][row]
    print(f"min_novelty={value}: FID {plane[row, 1]:.1f}, near-copies {copies:.0%}")
plt.show()
