"""What an autoencoder knows and hands over to a sampler that asks for it."""

# SPDX-License-Identifier: BSD-3-Clause

from inspect import signature

import numpy as np
from sklearn.base import BaseEstimator

_NAMES = ("code_shape", "quantizer", "decoder")


def named_in(function, handed):
    """Those of some keyword arguments that a function names in its signature."""
    names = signature(function).parameters
    return {name: value for name, value in handed.items() if name in names}


def names_in(function):
    """Names of what a function wants to be handed over."""
    return tuple(named_in(function, dict.fromkeys(_NAMES)))


def asks_for(sampler):
    """Names of what the ``fit`` of a sampler wants to be handed over by its pipeline."""
    return sampler._asks_for() if hasattr(sampler, "_asks_for") else names_in(sampler.fit)


def what_is_known(autoencoder, sampler, codes):
    """What a fitted autoencoder knows and the ``fit`` of a sampler asks for, by name."""
    shape = getattr(autoencoder, "code_shape_", None)
    if shape is not None and np.prod(shape) != codes.shape[1]:
        shape = None  # A step between, such as PCA, has changed the codes.
    known = {
        "code_shape": shape,
        "quantizer": getattr(autoencoder, "quantizer_", None),
        "decoder": autoencoder,
    }
    return {name: known[name] for name in asks_for(sampler)}


class HandOver(BaseEstimator):
    """Last step of a pipeline while it is fitted: the fit of the sampler, with what is known.

    Parameters
    ----------
    sampler : estimator
    pipeline : Pipeline
        The one that this is the last step of, set when it is made.
    """

    def __init__(self, sampler, pipeline=None):
        self.sampler = sampler
        self.pipeline = pipeline

    def fit(self, X, y=None, **params):
        """Fit the sampler."""
        handed = what_is_known(self.pipeline.steps[0][1], self.sampler, X)
        self.sampler.fit(X, y, **handed, **params)
        return self

    def get_metadata_routing(self):
        """That of the sampler."""
        return self.sampler.get_metadata_routing()
