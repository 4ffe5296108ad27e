"""Fréchet distance extrapolated to infinitely many samples, with a standard error."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.utils import check_random_state

from latentgen.metrics._distances import check_pair, frechet_of

# Eight distances in all; the last ones give the standard error.
_N_BLOCKS = (1, 2, 5)


def frechet_distance_infinity(X_real, X_generated, *, random_state=0):
    """Squared Fréchet distance that infinitely many samples would have, and its standard error.

    `frechet_distance` is biased upwards, the more so the fewer samples there are. This value hardly
    depends on their number, so it serves where tables of different numbers meet. Lower is better;
    0 is expected for identical distributions, so that a single value may be slightly negative.

    Parameters
    ----------
    X_real : array-like of shape (n_real, n_features)
        Features of real images.
    X_generated : array-like of shape (n_generated, n_features)
        Features of generated images.
    random_state : int, RandomState instance or None, default=0
        For the parts of the sets.

    Returns
    -------
    distance : float
        Squared distance at infinitely many samples of both sets, in squared units of the features.
    standard_error : float
        Standard error of `distance` over fresh draws of both sets, from the spread over five parts
        of the sets. It is itself known to about a third, and errs to the safe side where there are
        less than ten samples per feature.

    Raises
    ------
    ValueError
        If a set has fewer than 10 rows, or if the numbers of columns differ.

    See Also
    --------
    frechet_distance : At the number of samples there is.
    kernel_distance : Unbiased without extrapolation.

    Notes
    -----
    The leading term of the bias is linear in the inverse numbers of samples [1]_, section 3. Both
    sets are split at random into 1, 2 and 5 parts, in which the bias is 1, 2 and 5 times as large;
    a line through the mean distances is extrapolated to 0. The authors keep the real set as it is
    and so the bias that comes from it, and average over overlapping parts, from which no standard
    error follows. The line is too straight where samples are few for each direction of large
    variance: for 64 independent normal features at a distance of 16.6, `frechet_distance` was 110
    at 10 samples per feature and 47 at 31, and this value 12.9 and 16.6, in means of 10 draws.

    References
    ----------
    .. [1] Chong, Forsyth (2020). Effectively Unbiased FID and Inception Score and where to find
       them. https://arxiv.org/abs/1911.07023

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.metrics import frechet_distance, frechet_distance_infinity
    >>> X_real, X_generated = np.random.default_rng(0).normal(size=(2, 1000, 8))
    >>> value, standard_error = frechet_distance_infinity(X_real, X_generated)
    >>> abs(value) < 0.02 < frechet_distance(X_real, X_generated)
    True
    """
    X_real, X_generated = check_pair(
        X_real,
        X_generated,
        min_samples=2 * _N_BLOCKS[-1],
        needed_by="frechet_distance_infinity",
    )
    rng = check_random_state(random_state)
    X, Y = (part[rng.permutation(len(part))] for part in (X_real, X_generated))
    means = []
    for n_blocks in _N_BLOCKS:
        blocks = zip(np.array_split(X, n_blocks), np.array_split(Y, n_blocks), strict=True)
        distances = [frechet_of(*pair) for pair in blocks]
        means.append(np.mean(distances))
    _, intercept = np.polyfit(_N_BLOCKS, means, 1)
    return float(intercept), float(np.std(distances, ddof=1) / np.sqrt(n_blocks))
