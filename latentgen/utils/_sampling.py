"""Drawing from any fitted density estimator, latentgen's or scikit-learn's, in one way."""

# SPDX-License-Identifier: BSD-3-Clause

import copy
from inspect import signature

import numpy as np
from sklearn.utils import check_random_state

from latentgen.exceptions import NoSourceError
from latentgen.utils._random import draw_seed


def no_source(name):
    """Make the error for a class whose draws have no source."""
    return NoSourceError(
        f"Draws of {name} have no source: no training code is known that they start from. "
        "Samplers that have one: FastHVRTSampler, KernelDensitySampler, LocalGaussianSampler."
    )


def _no_classes(name, got):
    return ValueError(f"{name} has no classes, got {got}. Wrap it: ConditionalSampler({name}()).")


def draw(
    estimator, n_samples, *, y=None, random_state=None, return_source=False, return_labels=False
):
    """Draw rows from a fitted estimator that has a method ``sample``.

    scikit-learn's density estimators differ from latentgen's samplers: they take no labels,
    `GaussianMixture` draws from the seed of its constructor and returns its rows sorted by
    component together with the components. Here all behave like a sampler; the estimator itself
    is left as it is.

    Parameters
    ----------
    estimator : object
        A fitted sampler of latentgen, or any fitted estimator with ``sample(n_samples)``.
    n_samples : int
        Number of rows.
    y : scalar or array-like, default=None
        Handed on to an estimator whose ``sample`` takes labels.
    random_state : int, RandomState instance or None, default=None
        The same integer gives the same rows.
    return_source : bool, default=False
        Handed on to an estimator whose ``sample`` takes it.
    return_labels : bool, default=False
        The same.

    Returns
    -------
    X_new : ndarray of shape (n_samples, n_features), dtype float32
    y_new : ndarray of shape (n_samples,)
        Only if `return_labels`.
    source : Bunch
        Only if `return_source`.

    Raises
    ------
    TypeError
        If the estimator has no method ``sample``.
    ValueError
        If labels are passed to, or asked of, an estimator that has none.
    NoSourceError
        If sources are asked of an estimator that has none.
    """
    name = type(estimator).__name__
    if not hasattr(estimator, "sample"):
        raise TypeError(
            f"Expected an estimator with a 'sample' method, got {name}. "
            "Use a sampler, for example FastHVRTSampler()."
        )
    parameters = signature(estimator.sample).parameters
    if return_source and "return_source" not in parameters:
        raise no_source(name)
    if return_labels and "return_labels" not in parameters:
        raise _no_classes(name, f"{return_labels=}")
    if return_source or return_labels:
        wanted = {"return_source": return_source, "return_labels": return_labels}
        wanted = {name: value for name, value in wanted.items() if value}
        X_new, *more = estimator.sample(n_samples, y=y, random_state=random_state, **wanted)
        return np.asarray(X_new, dtype=np.float32), *more
    if "y" in parameters:
        return np.asarray(
            estimator.sample(n_samples, y=y, random_state=random_state), dtype=np.float32
        )
    if y is not None:
        raise _no_classes(name, f"{y=!r}")
    rng = check_random_state(random_state)
    seed = draw_seed(rng)
    if "random_state" in parameters:
        X_new = estimator.sample(n_samples, random_state=seed)
    else:
        # A shallow copy, because sample() reads the constructor's random_state.
        estimator = copy.copy(estimator)
        estimator.random_state = seed
        X_new = estimator.sample(n_samples)
    if isinstance(X_new, tuple):
        X_new = X_new[0]
    return np.asarray(X_new, dtype=np.float32)[rng.permutation(len(X_new))]
