"""Distances between two sets of feature vectors: Fréchet (FID) and kernel (KID)."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import linalg
from sklearn.utils import check_array

from latentgen.utils._warnings import warn_user

_BLOCK_VALUES = 2**22
# With fewer, FID is mostly bias: measured in docs/design.md.
SAMPLES_PER_FEATURE = 10


def check_pair(
    X_real, X_generated, *, min_samples=1, names=("X_real", "X_generated"), needed_by=None
):
    """Check two sets of rows that must have equally many columns."""
    checked = [
        check_array(
            X,
            dtype=[np.float64, np.float32],
            ensure_min_samples=min_samples,
            input_name=name,
            estimator=needed_by,
        )
        for X, name in zip((X_real, X_generated), names, strict=True)
    ]
    if checked[0].shape[1] != checked[1].shape[1]:
        raise ValueError(
            f"'{names[0]}' and '{names[1]}' must have equally many columns, got "
            f"{checked[0].shape} and {checked[1].shape}. Use the same features for both."
        )
    return checked


def _mean_and_factor(X):
    """Mean (d,) and a factor R (at most max(d, one block) rows) with R.T @ R = covariance."""
    n_samples, n_features = X.shape
    mean = X.mean(axis=0, dtype=np.float64)
    step = max(4 * n_features, _BLOCK_VALUES // n_features)
    factor = np.empty((0, n_features))
    for start in range(0, n_samples, step):
        factor = np.vstack([factor, X[start : start + step] - mean])
        if len(factor) > n_features:
            factor = linalg.qr(factor, mode="r", overwrite_a=True, check_finite=False)[0]
            factor = factor[:n_features]
    return mean, factor / np.sqrt(n_samples - 1)


def frechet_distance(X_real, X_generated):
    """Squared Fréchet distance between normal distributions fitted to two sets of features.

    On Inception features this is the Fréchet inception distance (FID). Lower is better; the
    value for equal means and covariances is 0. The estimate is biased upwards, the more so the
    fewer samples there are, so compare values only at equal sample counts and beside the value
    that real images reach (see `generation_report`).

    Parameters
    ----------
    X_real : array-like of shape (n_real, n_features)
        Features of real images.
    X_generated : array-like of shape (n_generated, n_features)
        Features of generated images.

    Returns
    -------
    distance : float
        Squared distance, at least 0, in squared units of the features.

    Raises
    ------
    ValueError
        If a set has fewer than 2 rows, or if the numbers of columns differ.

    Warns
    -----
    UserWarning
        If a set has fewer rows than ten times the columns. The bias falls with the number of rows:
        in the 128 features of a classifier of MNIST, disjoint sets of real images have the distance
        76 at 1 row per column, 25 at 3, 7.0 at 10, and 0.7 at 100, where generators are between 3
        and 30.

    See Also
    --------
    kernel_distance : Unbiased at any number of samples.
    frechet_distance_infinity : What it would be with infinitely many samples.
    FIDScorer : The same as a scorer for model selection.

    Notes
    -----
    With means :math:`\\mu` and covariances :math:`\\Sigma` [1]_,

    .. math:: |\\mu_r - \\mu_g|^2 + \\mathrm{tr}(\\Sigma_r) + \\mathrm{tr}(\\Sigma_g)
              - 2\\,\\mathrm{tr}((\\Sigma_r \\Sigma_g)^{1/2}).

    With factors :math:`\\Sigma = R^T R` the last trace is the sum of the singular values of
    :math:`R_r R_g^T`, so that no square root of a nearly singular product is taken. The factors
    come from QR decompositions of the centered rows, block by block, or are the centered rows
    themselves where there are fewer rows than columns. The time is
    O(n d min(n, d) + min(n, d)^3).

    References
    ----------
    .. [1] Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter (2017). GANs Trained by a Two
       Time-Scale Update Rule Converge to a Local Nash Equilibrium, equation 6.
       https://arxiv.org/abs/1706.08500

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.metrics import frechet_distance
    >>> rng = np.random.default_rng(0)
    >>> X_real = rng.normal(size=(1000, 8))
    >>> round(frechet_distance(X_real, X_real + 1), 6)
    8.0
    """
    X_real, X_generated = check_pair(
        X_real, X_generated, min_samples=2, needed_by="frechet_distance"
    )
    n_samples, n_features = min(len(X_real), len(X_generated)), X_real.shape[1]
    if n_samples < SAMPLES_PER_FEATURE * n_features:
        warn_user(
            f"The covariance of {n_features} features was estimated from {n_samples} samples; FID "
            f"is biased upwards below {SAMPLES_PER_FEATURE * n_features}. Use kernel_distance, or "
            "more samples; else compare only with the FID of equally many real images."
        )
    return frechet_of(X_real, X_generated)


def frechet_of(X_real, X_generated):
    """`frechet_distance` of checked rows, without a warning."""
    mean_real, factor_real = _mean_and_factor(X_real)
    mean_generated, factor_generated = _mean_and_factor(X_generated)
    singular_values = linalg.svdvals(factor_real @ factor_generated.T, overwrite_a=True)
    distance = (
        np.sum((mean_real - mean_generated) ** 2)
        + np.sum(factor_real**2)
        + np.sum(factor_generated**2)
        - 2 * singular_values.sum()
    )
    return max(float(distance), 0.0)


def _kernel_blocks(X, Y):
    """Yield (rows, block) of the kernel matrix (x . y / d + 1) ** 3."""
    step = max(1, _BLOCK_VALUES // len(Y))
    Y = Y.T / X.shape[1]
    for start in range(0, len(X), step):
        rows = slice(start, start + step)
        block = X[rows] @ Y
        block += 1
        # Two products are many times faster than a power.
        yield rows, block * block * block


def _within_sums(X):
    """Row sums and sum of squares of the kernel matrix of `X` without its diagonal."""
    row_sums, squares = np.empty(len(X)), 0.0
    for rows, block in _kernel_blocks(X, X):
        index = np.arange(rows.start, rows.start + len(block))
        block[index - rows.start, index] = 0
        row_sums[rows] = block.sum(axis=1)
        squares += np.vdot(block, block)
    return row_sums, squares


def _between_sums(X, Y):
    """Row sums, column sums and sum of squares of the kernel matrix of `X` and `Y`."""
    row_sums, column_sums, squares = np.empty(len(X)), np.zeros(len(Y)), 0.0
    for rows, block in _kernel_blocks(X, Y):
        row_sums[rows] = block.sum(axis=1)
        column_sums += block.sum(axis=0)
        squares += np.vdot(block, block)
    return row_sums, column_sums, squares


def kernel_distance(X_real, X_generated):
    """Unbiased squared maximum mean discrepancy with a cubic kernel, and its standard error.

    On Inception features this is the kernel inception distance (KID). Lower is better; the
    expected value for equal distributions is 0 at any number of samples, so that a single
    value may be slightly negative.

    Parameters
    ----------
    X_real : array-like of shape (n_real, n_features)
        Features of real images, at least 4 rows.
    X_generated : array-like of shape (n_generated, n_features)
        Features of generated images, at least 4 rows.

    Returns
    -------
    distance : float
        Squared discrepancy under the kernel :math:`(x \\cdot y / d + 1)^3`.
    standard_error : float
        Standard error of `distance` over fresh draws of both sets.

    Raises
    ------
    ValueError
        If a set has fewer than 4 rows, or if the numbers of columns differ.

    See Also
    --------
    frechet_distance : The more common distance, biased for few samples.
    KIDScorer : The same as a scorer for model selection.

    Notes
    -----
    The distance is the two-sample U-statistic of all pairs [1]_ [2]_. By its Hoeffding
    decomposition the variance for n real and m generated rows is

    .. math:: \\frac{4}{n} V_r + \\frac{4}{m} V_g + \\frac{2}{n(n-1)} A + \\frac{2}{m(m-1)} B
              + \\frac{4}{nm} C,

    where V are the variances of the witness function over each distribution and A, B, C the mean
    squares of the doubly centered kernel within and between the two. Each of the five is replaced
    by its unbiased estimate from the same kernel values (A and B as in [3]_, equation 5); the
    part of the witness function is set to 0 where its estimate is negative, which makes the
    error too large, never too small, when the distributions are nearly equal (by 1.2 to 1.5 times
    in simulations). [4]_ gives the case n = m. Unlike the spread over random subsets that is often
    printed beside KID, this is the error of the value itself.

    The time is O((n + m)^2 d); the memory does not grow with the number of pairs.

    References
    ----------
    .. [1] Binkowski, Sutherland, Arbel, Gretton (2018). Demystifying MMD GANs, section 4.
       https://arxiv.org/abs/1801.01401
    .. [2] Gretton, Borgwardt, Rasch, Schölkopf, Smola (2012). A Kernel Two-Sample Test,
       equation 3. https://jmlr.org/papers/v13/gretton12a.html
    .. [3] Song, Smola, Gretton, Bedo, Borgwardt (2012). Feature Selection via Dependence
       Maximization. https://jmlr.org/papers/v13/song12a.html
    .. [4] Sutherland, Tung, Strathmann, De, Ramdas, Smola, Gretton (2017). Generative Models and
       Model Criticism via Optimized Maximum Mean Discrepancy. https://arxiv.org/abs/1611.04488

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.metrics import kernel_distance
    >>> rng = np.random.default_rng(0)
    >>> X_real, X_generated = rng.normal(size=(2, 500, 8))
    >>> distance, standard_error = kernel_distance(X_real, X_generated)
    >>> abs(distance) < 3 * standard_error
    True
    """
    X_real, X_generated = check_pair(
        X_real, X_generated, min_samples=4, needed_by="kernel_distance"
    )
    X, Y = X_real.astype(np.float64), X_generated.astype(np.float64)
    n, m = len(X), len(Y)
    x_sums, x_squares = _within_sums(X)
    y_sums, y_squares = _within_sums(Y)
    xy_sums, yx_sums, xy_squares = _between_sums(X, Y)
    distance = (
        x_sums.sum() / (n * (n - 1)) + y_sums.sum() / (m * (m - 1)) - 2 * xy_sums.sum() / (n * m)
    )

    centered_x = _centered_mean_square(x_sums, x_squares)
    centered_y = _centered_mean_square(y_sums, y_squares)
    centered_xy = xy_squares - xy_sums @ xy_sums / m - yx_sums @ yx_sums / n
    centered_xy = max((centered_xy + xy_sums.sum() ** 2 / (n * m)) / ((n - 1) * (m - 1)), 0)
    # Dividing by n - 2 makes a row's own part of its mean exactly one; what the finite sums
    # add to the variance of the witness function is then known and taken off.
    witness_x = np.var(x_sums / (n - 2) - xy_sums / m, ddof=1)
    witness_x -= centered_x / (n - 2) + centered_xy / m
    witness_y = np.var(y_sums / (m - 2) - yx_sums / n, ddof=1)
    witness_y -= centered_y / (m - 2) + centered_xy / n
    variance = (
        max(4 * witness_x / n + 4 * witness_y / m, 0)
        + 2 * centered_x / (n * (n - 1))
        + 2 * centered_y / (m * (m - 1))
        + 4 * centered_xy / (n * m)
    )
    return float(distance), float(np.sqrt(variance))


def _centered_mean_square(row_sums, squares):
    """Unbiased mean square of the doubly centered kernel, at least 0."""
    n, total = len(row_sums), row_sums.sum()
    value = squares + total**2 / ((n - 1) * (n - 2)) - 2 * row_sums @ row_sums / (n - 2)
    return max(value / (n * (n - 3)), 0)
