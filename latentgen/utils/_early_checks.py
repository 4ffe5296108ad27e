"""What would end a fit after its longest part, found out before."""

# SPDX-License-Identifier: BSD-3-Clause

from sklearn.base import clone

from latentgen.utils._files import check_can_write


def check_before_fit(steps, X, y):
    """Check the parameters of the steps of a pipeline, nested ones too, and its labels.

    The sampler is fitted last, when the autoencoder has been trained, perhaps for hours.

    Parameters
    ----------
    steps : list of (str, estimator) tuples
        The last one is the sampler.
    X : array-like of shape (n_samples, ...)
        Images.
    y : array-like of shape (n_samples,) or None
        Labels.

    Raises
    ------
    ValueError
        If a parameter has a value that it must not have, or labels are missing, not finite or
        not classes.
    OSError
        If a checkpoint cannot be written.
    """
    for _, step in steps:
        if not hasattr(step, "get_params"):
            continue
        for part in (step, *step.get_params().values()):
            if hasattr(part, "_parameter_constraints") and not isinstance(part, type):
                part._validate_params()
            if getattr(part, "checkpoint", None) is not None and hasattr(part, "get_params"):
                check_can_write(part.checkpoint)
    sampler = steps[-1][1]
    if hasattr(sampler, "_learn_labels"):
        # On a copy, because it learns them.
        clone(sampler)._learn_labels(X, y)
