"""
Tune a generator
================

Which strategy, which code size? A grid search tells, with a scorer that draws images and compares
them with the left-out fold, and their novelty beside it: copies have an excellent distance.
"""

# SPDX-License-Identifier: BSD-3-Clause

import warnings
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit, train_test_split

from latentgen import ConditionalSampler, ConvAutoencoder, FastHVRTSampler, make_latent_pipeline
from latentgen.datasets import load_digits_images
from latentgen.exceptions import NearCopyWarning
from latentgen.inspection import SweepDisplay
from latentgen.metrics import ClassifierFeatures, GenerationScorer, generation_report
from latentgen.model_selection import best_without_copying, search_table

X, y = load_digits_images(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=0)
X_train, X_judge, y_train, y_judge = train_test_split(
    X_train, y_train, test_size=0.25, stratify=y_train, random_state=0
)

# %%
# The scorer and the choice
# -------------------------
#
# Images are compared in the features of a small classifier, fitted once on real images that nothing
# else sees. `GenerationScorer` draws once per candidate and fold and gives all scores of that draw:
# Fréchet distance (FID), kernel distance (KID), the accuracy on real images of a classifier trained
# on generated ones (TSTR), and novelty among all training images. Copiers get no score of quality
# unless `most_near_copies=1` asks for it, as here, where they are shown.

features = ClassifierFeatures(max_epochs=30, random_state=0).fit(X_judge, y_judge)
classifier = LogisticRegression(max_iter=300)
judges = {"feature_extractor": features, "classifier": classifier, "X_train": X_train}
scorer = GenerationScorer(**judges, most_near_copies=1, random_state=0)

# %%
# The search
# ----------
#
# `refit` may be a function of the results. `best_without_copying` takes the smallest FID among the
# candidates that hardly copy. A near-copy is much closer to a training image than unseen real
# images are.
#
# With `memory` and a seed, the strategies share one fitted autoencoder per fold and code size.

grid = {
    "autoencoder__latent_dim": [8, 16],
    "sampler__sampler__strategy": ["epanechnikov", "bootstrap_noise", "local_gaussian"],
}
warnings.simplefilter("ignore", NearCopyWarning)  # The search scores copies.
warnings.filterwarnings("ignore", "The covariance of")  # All candidates draw equally few images.
with TemporaryDirectory() as cache:
    generator = make_latent_pipeline(
        ConvAutoencoder(random_state=0),
        ConditionalSampler(FastHVRTSampler(min_samples_leaf=5, random_state=0)),
        memory=cache,
    )
    folds = StratifiedShuffleSplit(2, test_size=0.25, random_state=0)
    search = GridSearchCV(generator, grid, scoring=scorer, refit=best_without_copying, cv=folds)
    search.fit(X_train, y_train)

SweepDisplay.from_search(search, metric=("neg_frechet_distance", "novelty"), group_by="strategy")

# %%
# The same as a table, the smallest FID first. `bootstrap_noise` hardly moves its training codes:
# its FID is small and most of its images are near-copies. The chosen candidate, with the circle,
# does not copy.

table = search_table(search)
chosen = table[search.best_index_]
for row in sorted(table, key=lambda row: row["scores"]["FID"]):
    described = ", ".join(row["candidate"].values())
    fid, copies = row["scores"]["FID"], row["scores"]["near-copies"]
    mark = "  chosen" if row is chosen else ""
    print(f"{described:20} FID {fid:5.1f}, {copies:4.0%} near-copies{mark}")

# %%
# The verdict
# -----------
#
# What counts is measured once, on images that the search has not seen, beside the *floor*: the
# value that as many real training images reach. Inside the search, autoencoders had fewer
# images, and FID of fewer images is larger, so its values are worse than these.

best = search.best_estimator_
X_new = best.sample(len(X_test), y=y_test, random_state=1)
labels = {"y_test": y_test, "y_generated": y_test, "y_train": y_train}
report = generation_report(X_test, X_new, **labels, encoder=best[:-1], **judges)
# With pictures and plots: report.save("report.html")
print(report)
plt.show()
