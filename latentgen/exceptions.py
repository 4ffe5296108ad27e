"""Warnings that a caller may want to tell apart from others."""

# SPDX-License-Identifier: BSD-3-Clause

__all__ = ["NearCopyWarning"]


class NearCopyWarning(UserWarning):
    """Draws of a sampler lie nearer to training codes than they should.

    Examples
    --------
    >>> import warnings
    >>> from latentgen.exceptions import NearCopyWarning
    >>> warnings.simplefilter("error", NearCopyWarning)  # stop where draws are copies
    >>> warnings.simplefilter("default", NearCopyWarning)
    """
