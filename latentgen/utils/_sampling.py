"""Drawing from any fitted density estimator, latentgen's or scikit-learn's, in one way."""

# SPDX-License-Identifier: BSD-3-Clause

import copy
from inspect import signature

import numpy as np
from sklearn.utils import check_random_state

# What an autoencoder knows and a sampler may ask for.
HANDED_OVER = ("code_shape", "quantizer", "decoder")


def asks_for(sampler):
    """Names of what the ``fit`` of a sampler wants to be handed over by its pipeline."""
    if hasattr(sampler, "_asks_for"):
        return sampler._asks_for()
    return tuple(named_in(sampler.fit, dict.fromkeys(HANDED_OVER)))


def named_in(function, handed):
    """Those of some keyword arguments that a function names in its signature."""
    names = signature(function).parameters
    return {name: value for name, value in handed.items() if name in names}


def as_wanted_labels(y, n_samples, classes, n_shown=20):
    """Check what `sample` was asked for and make one known label per code of it.

    Parameters
    ----------
    y : label or array-like
    n_samples : int
        1 or the length of `y`, where that is no label alone.
    classes : ndarray of shape (n_classes,)

    Returns
    -------
    y : ndarray of shape (n_samples,), with the dtype of `classes`
    """
    if np.ndim(y) == 0:
        y = np.full(n_samples, y)
    y = np.asarray(y)
    if y.ndim != 1 or len(y) == 0:
        raise ValueError(
            f"'y' must be a label or an array of shape (n_samples,), got shape {y.shape}."
        )
    if n_samples not in (1, len(y)):
        raise ValueError(
            f"'y' asks for {len(y)} codes, one per label, got n_samples={n_samples}. "
            "Leave 'n_samples' out, or pass a single label."
        )
    wanted, inverse = np.unique(y, return_inverse=True)
    index = {label: code for code, label in enumerate(classes.tolist())}
    unknown = [label for label in wanted.tolist() if label not in index]
    if unknown:
        known = ", ".join(repr(label) for label in list(index)[:n_shown])
        more = ", ..." if len(index) > n_shown else ""
        raise ValueError(f"Unknown label {unknown[0]!r} in 'y'. Known classes: {known}{more}.")
    return classes[np.array([index[label] for label in wanted.tolist()])[inverse]]


def draw(estimator, n_samples, *, y=None, random_state=None, return_source=False):
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

    Returns
    -------
    X_new : ndarray of shape (n_samples, n_features), dtype float32
    source : Bunch
        Only if `return_source`.

    Raises
    ------
    TypeError
        If the estimator has no method ``sample``.
    ValueError
        If labels are passed to an estimator that takes none, or sources are asked of one that
        has none.
    """
    name = type(estimator).__name__
    if not hasattr(estimator, "sample"):
        raise TypeError(
            f"Expected an estimator with a 'sample' method, got {name}. "
            "Use a sampler, for example FastHVRTSampler()."
        )
    parameters = signature(estimator.sample).parameters
    if return_source:
        if "return_source" not in parameters:
            raise ValueError(
                f"Draws of {name} have no source. Samplers that have one: FastHVRTSampler, "
                "KernelDensitySampler, LocalGaussianSampler."
            )
        X_new, source = estimator.sample(
            n_samples, y=y, random_state=random_state, return_source=True
        )
        return np.asarray(X_new, dtype=np.float32), source
    if "y" in parameters:
        return np.asarray(
            estimator.sample(n_samples, y=y, random_state=random_state), dtype=np.float32
        )
    if y is not None:
        raise ValueError(
            f"{name} has no classes, got y={y!r}. Wrap it: ConditionalSampler({name}())."
        )
    rng = check_random_state(random_state)
    seed = rng.randint(np.iinfo(np.int32).max)
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
