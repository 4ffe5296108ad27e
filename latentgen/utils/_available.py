"""Methods that are there only if something else has them."""

# SPDX-License-Identifier: BSD-3-Clause


def has(method, of=lambda estimator: estimator):
    """Make a condition for `available_if`: a part of the estimator has a method.

    Parameters
    ----------
    method : str
        Its name. The error of what lacks it is the one that a caller sees.
    of : callable, default=the estimator itself
        Gives the part of an estimator.

    Returns
    -------
    check : callable
    """

    def check(estimator):
        getattr(of(estimator), method)
        return True

    return check
