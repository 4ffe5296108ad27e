"""How far draws are from the rows they were learned from, in units of the distance there.

The distance ratio of a draw is its distance to the nearest row, divided by the distance of that row
to its own nearest different row.
"""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from latentgen.exceptions import NearCopyWarning
from latentgen.utils._warnings import warn_user

#: Below this ratio a draw is a near-copy.
NEAR_COPY = 0.3
_MOST_ROUNDS = 10


def distance_ratios(index, Z):
    """Nearest rows of draws, and their distance ratios; nan if all rows of the index are equal."""
    distances, rows = index.query(Z)
    return rows, distances / index.spacings(rows)


def novelty_estimates(ratios, min_novelty):
    """Estimate median and fraction of near-copies from some draws, with standard errors.

    Parameters
    ----------
    ratios : ndarray of shape (n_draws,)
        Distance ratios.
    min_novelty : float
        Least ratio that was asked for.

    Returns
    -------
    estimates : dict of float
        ``novelty_``, ``near_copies_`` and ``too_near_``, and ``novelty_error_`` and
        ``near_copies_error_``, the standard errors.
    """
    ratios, n_draws = np.sort(ratios), len(ratios)
    median = float(np.median(ratios))
    # Order statistics one standard deviation of a binomial count beside the median.
    low = int(np.floor(0.5 * (n_draws - np.sqrt(n_draws))))
    high = int(np.ceil(0.5 * (n_draws + np.sqrt(n_draws))))
    n_near = np.nan if np.isnan(median) else np.sum(ratios < NEAR_COPY)
    # Two of each added, so that none of 200 is not taken for certainty [Agresti, Coull 1998].
    near = (n_near + 2) / (n_draws + 4)
    return {
        "novelty_": median,
        "novelty_error_": float(ratios[high] - ratios[low]) / 2,
        "near_copies_": float(n_near / n_draws),
        "near_copies_error_": float(np.sqrt(near * (1 - near) / (n_draws + 4))),
        "too_near_": float(np.mean(ratios < min_novelty)),
    }


def describe_near_copies(name, fraction):
    """What to say of a sampler most of whose draws are near-copies."""
    return (
        f"{100 * fraction:.0f} % of the draws of {name} are near-copies of training codes: nearer "
        f"than {NEAR_COPY} of the distance between codes there. Choose a smoother density, for "
        "example a larger bandwidth; 'min_novelty' helps where only some draws are near."
    )


def describe_too_near(name, amount, min_novelty):
    """What to say where drawing again did not help."""
    return (
        f"{amount} of the draws of {name} stay nearer to training codes than "
        f"'min_novelty'={min_novelty} allows, also after drawing again. Lower it, or choose a "
        "smoother density."
    )


def warn_of_too_near(sampler, n_near, n_samples):
    """Warn of draws that drawing again did not help, if there are any."""
    if n_near:
        name, amount = type(sampler).__name__, f"{n_near} of {n_samples}"
        message = describe_too_near(name, amount, sampler.min_novelty)
        warn_user(message, NearCopyWarning)


def check_min_novelty(sampler, codes):
    """Refuse a distance where the training codes are not known or are all equal.

    Parameters
    ----------
    sampler : estimator
        Has a `min_novelty` above 0.
    codes : ndarray of shape (n_samples, n_features) or None
        Different training codes.
    """
    if codes is None:
        raise ValueError(
            f"'min_novelty'={sampler.min_novelty} needs the training codes, which "
            f"{type(sampler).__name__} keeps only if 'min_novelty' is above 0 during fit. Fit it "
            "again."
        )
    if len(codes) < 2:
        raise ValueError(
            f"'min_novelty'={sampler.min_novelty} is in units of the distance between neighbors, "
            "which needs at least 2 different codes. Use min_novelty=0."
        )


def draw_again(are_near, redraw):
    """Replace draws that are too near, in ten rounds at most.

    Parameters
    ----------
    are_near : callable
        Which of the draws, by indices or a slice, are too near.
    redraw : callable
        Replaces the draws with these indices.

    Returns
    -------
    n_near : int
        How many are still too near; these stay as drawn.
    """
    near = np.flatnonzero(are_near(slice(None)))
    for _ in range(_MOST_ROUNDS):
        if not len(near):
            break
        redraw(near)
        near = near[are_near(near)]
    return len(near)
