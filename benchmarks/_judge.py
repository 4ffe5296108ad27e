"""What the benchmarks on image data share: judging images, and keeping fitted models."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from latentgen import load_model, save_model
from latentgen.metrics import frechet_distance, kernel_distance, tstr_score


class Judge:
    """The test images, the features and the floors that every row shares."""

    def __init__(self, X_train, y_train, X_test, y_test, n_generated, features):
        self.X_train, self.y_train = X_train, y_train
        self.X_test, self.y_test = X_test, y_test
        self.n_generated = n_generated
        self.features = features
        self.features_test = self.features.transform(X_test)

    def images(self, X_new):
        """FID and KID of images against the test images."""
        features = self.features.transform(X_new)
        distance, error = kernel_distance(self.features_test, features)
        return {
            "fid": frechet_distance(self.features_test, features),
            "kid": distance,
            "kid_se": error,
        }

    def tstr(self, X_new, y_new, seed):
        return tstr_score(self.X_test, self.y_test, X_new, y_new, random_state=seed)

    def rows_of_training_images(self, seed):
        """As many training images as are generated."""
        return np.random.default_rng(seed).permutation(len(self.X_train))[: self.n_generated]

    def floors(self, seed):
        """What real training images get: as many as are generated, and all of them."""
        rows = self.rows_of_training_images(seed)
        some = {
            "model": f"{len(rows)} real training images",
            **self.images(self.X_train[rows]),
            "tstr": self.tstr(self.X_train[rows], self.y_train[rows], seed),
        }
        return [some, {"model": "all real training images", **self.images(self.X_train)}]


def cached(path, fit):
    """Load a fitted estimator, or fit and save it."""
    if path.exists():
        return load_model(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    estimator = fit()
    save_model(estimator, path)
    return estimator
