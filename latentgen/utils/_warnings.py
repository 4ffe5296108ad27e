"""Warnings that point at the line of the user, however deep inside of a call they arise."""

# SPDX-License-Identifier: BSD-3-Clause

import sys
import warnings

# Calls go through these on their way from the user's line; a search enters by scikit-learn.
_LIBRARIES = {"concurrent", "contextlib", "joblib", "latentgen", "sklearn", "skorch", "torch"}


def warn_user(message, category=UserWarning):
    """Warn, as of the nearest line that is not in latentgen or in a library it works in.

    Parameters
    ----------
    message : str
    category : type of Warning, default=UserWarning
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _is_of_a_library(frame):
        level, frame = level + 1, frame.f_back
    # The level of the caller is 2 inside of this function.
    warnings.warn(message, category, stacklevel=level)


def _is_of_a_library(frame):
    return frame.f_globals.get("__name__", "").partition(".")[0] in _LIBRARIES
