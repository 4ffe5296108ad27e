"""Fitted models that are kept in a folder, so that no run trains what another one has trained."""

# SPDX-License-Identifier: BSD-3-Clause

from pathlib import Path

from latentgen.persistence import load_model, save_model

# What a fitted model does not depend on.
_NOT_COMPARED = {"callbacks", "checkpoint", "device", "verbose", "warm_start"}


def fitted(estimator, folder, name, fit):
    """Load a fitted estimator from ``<folder>/<name>.latentgen``, or fit it and save it there.

    Parameters
    ----------
    estimator : estimator
        Not fitted; its parameters are compared with those of a model that is loaded.
    folder : Path or None
        Where models are kept; None keeps none.
    name : str
        Everything that tells this model from others.
    fit : callable
        ``fit(estimator)`` fits it.

    Returns
    -------
    estimator : estimator
        Fitted.

    Raises
    ------
    ValueError
        If the file holds a model with other parameters.
    """
    if folder is None:
        return fit(estimator)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.latentgen"
    if path.exists():
        model = load_model(path)
        _check_parameters(model, estimator, path)
        return model
    # A training that is killed goes on from its last epoch.
    checkpoint = folder / f"{name}.checkpoint"
    fit(estimator.set_params(checkpoint=checkpoint))
    save_model(estimator.set_params(checkpoint=None), path)
    checkpoint.unlink(missing_ok=True)
    return estimator


def _check_parameters(model, wanted, path):
    found, wanted = model.get_params(), wanted.get_params()
    other = [
        f"{name}={found.get(name)!r} and not {value!r}"
        for name, value in wanted.items()
        if name not in _NOT_COMPARED and not _equal(found.get(name), value)
    ]
    if other:
        raise ValueError(
            f"'{path}' holds a model with other parameters: {', '.join(other)}. Delete it, or "
            "name another folder of models."
        )


def _equal(one, other):
    # Estimators in estimators have their own parameters in the list.
    if hasattr(one, "get_params"):
        return type(one) is type(other)
    # A tuple comes back as a list from some files.
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return list(one) == list(other)
    return one == other
