"""What samplers of samplers share: the fit of a member, and draws from it."""

# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
from sklearn.base import clone

from latentgen.base import BaseSampler
from latentgen.exceptions import NearCopyWarning
from latentgen.utils._hand_over import named_in
from latentgen.utils._novelty import warn_of_too_near
from latentgen.utils._sampling import draw


def fit_member(member, method, data, handed):
    """Fit a member, which leaves the warning of near-copies to the outer sampler."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NearCopyWarning)
        fit = getattr(member, method)
        return fit(*data, **named_in(fit, handed))


def clone_with(sampler, seeds):
    """Clone a sampler and set the seeds in it; `seeds` gives one for a parameter's name."""
    parameters = sampler.get_params()
    for name, value in parameters.items():
        if name.rpartition("__")[2] == "checkpoint" and value is not None:
            raise ValueError(
                f"Expected a sampler without a checkpoint, got {name!r}={str(value)!r}: the "
                "trainings of all members would share that file. Set it to None."
            )
    names = [name for name in sorted(parameters) if is_seed(name)]
    seeds = {name: seeds(name) for name in names}
    return clone(sampler).set_params(**{k: v for k, v in seeds.items() if v is not None})


def is_seed(name):
    """Whether a parameter, nested or not, is a ``random_state``."""
    return name.rpartition("__")[2] == "random_state"


def view(member, template):
    """Fitted member that reads what it reads at draws from `template`; itself is left alone.

    A shallow twin that shares all that was fitted. A foreign member, or one of another class
    than the template, which may have been set since the fit, is returned as it is.
    """
    if not isinstance(member, BaseSampler) or type(template) is not type(member):
        return member
    twin = object.__new__(type(member))
    # Not through __getstate__, which would rebuild a network.
    vars(twin).update(vars(member))
    for name in template._read_at_draws:
        setattr(twin, name, getattr(template, name))
    return twin


def any_member(sampler):
    """One of the members of a fitted sampler of samplers, or else what they are cloned from."""
    fitted = getattr(sampler, "samplers_", None) or getattr(sampler, "estimators_", None)
    return fitted[0] if fitted else sampler._inner()


def fill(X_new, source, rows, member, y, rng, training_rows):
    """Fill rows of `X_new` and of the arrays in `source` with draws from a member.

    Parameters
    ----------
    X_new : ndarray of shape (n_samples, n_features)
    source : dict of ndarray of shape (n_samples,)
    rows : ndarray of shape (n_rows,)
        Which rows are filled.
    member : estimator
    y : ndarray of shape (n_rows,) or None
        Wanted labels.
    rng : RandomState
    training_rows : ndarray
        Row of the outer fit of each code that the member has seen.
    """
    if not isinstance(member, BaseSampler):
        X_new[rows] = draw(member, len(rows), y=y, random_state=rng)
        return
    X_new[rows], found, n_near = member._draw_codes(len(rows), y, rng)
    warn_of_too_near(member, n_near, len(rows))
    found.pop("label", None)  # The outer sampler knows it.
    for name, values in found.items():
        if name == "row":
            values = np.where(values < 0, -1, training_rows[values])
        source.setdefault(name, np.full(len(X_new), -1, dtype=values.dtype))[rows] = values
