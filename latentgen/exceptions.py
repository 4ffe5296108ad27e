"""Warnings and errors that a caller may want to tell apart from others."""

# SPDX-License-Identifier: BSD-3-Clause

__all__ = ["NearCopyWarning", "NoSourceError"]


class NearCopyWarning(UserWarning):
    """Draws of a sampler lie nearer to training codes than they should.

    Examples
    --------
    >>> import warnings
    >>> from latentgen.exceptions import NearCopyWarning
    >>> warnings.simplefilter("error", NearCopyWarning)  # stop where draws are copies
    >>> warnings.simplefilter("default", NearCopyWarning)
    """


class NoSourceError(ValueError):
    """Sources are asked of a sampler whose draws start from no training code.

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen import GaussianSampler
    >>> from latentgen.exceptions import NoSourceError
    >>> sampler = GaussianSampler().fit(np.eye(3))
    >>> try:
    ...     sampler.sample(2, return_source=True)
    ... except NoSourceError:
    ...     print("no sources")
    no sources
    """
