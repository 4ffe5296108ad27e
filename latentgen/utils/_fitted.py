"""The fitted state of an estimator while it is fitted anew."""

# SPDX-License-Identifier: BSD-3-Clause

from contextlib import contextmanager


@contextmanager
def keep_fitted_state_on_error(estimator):
    """Give the estimator its old attributes back when the block fails.

    A fit that fails, or is interrupted, thus leaves the model of an earlier fit usable.

    Parameters
    ----------
    estimator : estimator
        Its attributes are put back; what they refer to must be replaced and not changed.

    Yields
    ------
    None
        The block to run.
    """
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
