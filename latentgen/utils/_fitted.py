"""Whether an estimator is fitted, and its fitted state while it is fitted anew."""

# SPDX-License-Identifier: BSD-3-Clause

from contextlib import contextmanager

from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted


def is_known_to_be_fitted(estimator):
    """Whether an estimator says that it is fitted; objects that are none of scikit-learn's cannot.

    Nor can those that learn nothing, unless their tag ``requires_fit`` says so.
    """
    try:
        check_is_fitted(estimator)
    except (NotFittedError, AttributeError, TypeError):
        return False
    return True


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
