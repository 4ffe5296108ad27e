"""Choosing a generator that does not copy, named sweeps, tables and tests of search results."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from latentgen.metrics._measures import SCORES
from latentgen.metrics._scorer import MOST_NEAR_COPIES as _MOST_NEAR_COPIES
from latentgen.metrics._uncertainty import t_interval
from latentgen.utils._warnings import warn_user

__all__ = [
    "MOST_NEAR_COPIES",
    "best_without_copying",
    "compare_candidates",
    "search_table",
    "sweeps",
]

#: Largest fraction of near-copies with which `best_without_copying` still chooses a candidate, and
#: with which scorers still score one.
MOST_NEAR_COPIES = _MOST_NEAR_COPIES

#: Named grids for `GridSearchCV`, by what they vary.
#:
#: They are the sweeps published for autoencoders with FastHVRT, for
#: ``make_latent_pipeline(ConvAutoencoder(), FastHVRTSampler())``. ``sweeps["ensemble"]`` is for
#: ``make_latent_pipeline(ConvAutoencoder(), EnsembleSampler(FastHVRTSampler()))``. Where
#: `ConditionalSampler` wraps the sampler, ``sampler__`` becomes ``sampler__sampler__``.
sweeps = {
    "strategy": {
        "sampler__strategy": [
            "epanechnikov",
            "multivariate_kde",
            "bootstrap_noise",
            "univariate_kde_copula",
        ]
    },
    # The published numbers up to 0.2, whose unit is not stated; and those up to 8, in that of
    # ConvAutoencoder, where 1 is the evidence lower bound.
    "beta": {"autoencoder__beta": [0.0, 0.01, 0.025, 0.05, 0.2, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0]},
    "latent_dim": {"autoencoder__latent_dim": [8, 16, 32, 64]},
    "ensemble": {"sampler__n_estimators": [1, 3, 5, 7]},
    # None lets hvrt choose. The published bandwidths had no effect and are left out.
    "tree": {
        "sampler__max_depth": [5, 10, 15, None],
        "sampler__min_samples_leaf": [None, 20, 5],
    },
}

_MEAN, _STD = "mean_test_", "std_test_"
_LONGEST_VALUE = 48


def best_without_copying(results, *, most_near_copies=MOST_NEAR_COPIES):
    """Choose the candidate of the lowest FID among those that do not copy.

    Pass it as ``refit`` to a search whose ``scoring`` is a `GenerationScorer`. A sampler that
    copies its training images has an excellent FID, so the lowest FID alone is not a choice.

    Parameters
    ----------
    results : dict
        ``cv_results_`` of a search.
    most_near_copies : float, default=0.05
        Largest fraction of near-copies of a candidate that qualifies, in [0, 1]. To set it, pass
        ``functools.partial(best_without_copying, most_near_copies=0.01)`` as ``refit``. For a
        larger one, set `most_near_copies` of the scorer too, which gives copiers no FID.

    Returns
    -------
    best_index : int
        Row of ``cv_results_``. If no candidate qualifies, the one with the fewest near-copies.

    Raises
    ------
    ValueError
        If the results lack one of the scores, or if none is finite.

    Warns
    -----
    UserWarning
        If no candidate qualifies, which is an answer: ``best_estimator_`` copies. The search keeps
        its results, which an error would throw away.

    See Also
    --------
    latentgen.metrics.GenerationScorer : Gives the scores.
    search_table : The scores of all candidates.

    Notes
    -----
    Even independent draws from the density of the training codes lie near one of them now and then,
    more often in few dimensions: the probability of a near-copy is ``0.3 ** d`` where the density
    hardly changes between neighbors, 30 % for d = 1, 9 % for 2, 3 % for 3. Raise
    `most_near_copies` for codes of one or two dimensions.

    Examples
    --------
    >>> from latentgen.model_selection import best_without_copying
    >>> best_without_copying({
    ...     "mean_test_neg_frechet_distance": [-1.0, -3.0, -2.0],
    ...     "mean_test_near_copies": [0.9, 0.0, 0.01],
    ... })
    2
    """
    check_scalar(most_near_copies, "most_near_copies", Real, min_val=0, max_val=1)
    missing = [
        name for name in ("neg_frechet_distance", "near_copies") if _MEAN + name not in results
    ]
    failed = ValueError(
        "No candidate has a finite score: every fit or scoring failed. Run the search with "
        "error_score='raise' to see why."
    )
    if np.isnan(results.get(_MEAN + "score", 0)).all():
        # What a search has in place of all scores where every scorer raised.
        raise failed
    if missing:
        raise ValueError(
            f"best_without_copying needs the scores {' and '.join(missing)}, which the search "
            "does not have. Use scoring=GenerationScorer(features, X_train=X) with all images of "
            "the search."
        )
    fid = -np.asarray(results[_MEAN + "neg_frechet_distance"], dtype=float)
    copies = np.asarray(results[_MEAN + "near_copies"], dtype=float)
    if not np.isfinite([fid, copies]).any():
        raise failed
    # Without a FID a candidate failed, or its scorer found that it copies.
    qualified = np.isfinite(fid) & (copies <= most_near_copies)
    if qualified.any():
        return int(np.argmin(np.where(qualified, fid, np.inf)))
    # A fraction that is not finite counts as the worst one.
    copies = np.nan_to_num(copies, nan=1.0)
    fewest = int(np.lexsort((fid, copies))[0])
    # Not a NearCopyWarning: who silences those of single fits still wants this answer.
    warn_user(
        f"No candidate qualifies: expected at most {most_near_copies:.1%} near-copies, got "
        f"{copies[fewest]:.1%} or more. The candidate with the fewest is taken. Search smoother "
        "samplers, for example with 'min_novelty' or another 'strategy'.",
    )
    return fewest


def compare_candidates(search, i, j, score=None, *, test_fraction=None, confidence=0.95):
    """Test whether one candidate of a search is better than another over the folds.

    Folds share most of their training images, so their scores differ less than those of independent
    images would, and the usual paired t-test claims too much. The corrected resampled t-test [1]_
    widens the interval for that.

    Parameters
    ----------
    search : GridSearchCV, RandomizedSearchCV or similar
        Fitted, with ``cv_results_``.
    i, j : int
        Rows of ``cv_results_``; ``search.best_index_`` is that of the best candidate.
    score : str, default=None
        Name of a score, such as ``'neg_frechet_distance'``. None takes the only one.
    test_fraction : float, default=None
        Fraction of the images that each fold tests on, between 0 and 1. None reads it from the
        ``cv`` of the search, if that cuts the images into folds.
    confidence : float, default=0.95
        Probability that the interval holds the expected difference, between 0 and 1.

    Returns
    -------
    difference : float
        Mean score of candidate `i` minus that of candidate `j`. Of scores greater is better, so it
        is above 0 if `i` is better.
    low, high : float
        Interval by Student's t distribution with one degree of freedom less than there are folds.
    p_value : float
        Probability, if 0 were expected, of differences at least this large for their spread.

    Raises
    ------
    ValueError
        If there are fewer than 2 folds, if `score` is not one of the search, if a candidate has a
        fold without a finite score, or if the fraction of test images cannot be told.

    See Also
    --------
    latentgen.metrics.paired_difference : For independent pairs, such as seeds.
    search_table : The scores of all candidates.

    Notes
    -----
    With differences of variance :math:`s^2` in k folds and a fraction f of test images, their mean
    is taken to have the variance :math:`(1/k + f / (1 - f))\\,s^2` in place of :math:`s^2 / k`
    [1]_: in five folds the interval is 1.5 times as wide. It was proposed for random splits; with
    the folds of a cross-validation it is used as an approximation.

    A pair that was chosen by its scores, such as the best and the second of many, looks more
    different than it is. Fix the pair before, or judge the two on images of their own.

    References
    ----------
    .. [1] Nadeau, Bengio (2003). Inference for the Generalization Error.
       https://doi.org/10.1023/A:1024068626366

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.model_selection import GridSearchCV
    >>> from latentgen.model_selection import compare_candidates
    >>> X, _ = load_digits(return_X_y=True)
    >>> search = GridSearchCV(PCA(random_state=0), {"n_components": [2, 8]}, cv=5).fit(X)
    >>> result = compare_candidates(search, 1, 0)
    >>> result.low > 0
    True
    """
    check_is_fitted(search, "cv_results_")
    results, n_splits = search.cv_results_, search.n_splits_
    names = score_names(results)
    if score is None and len(names) == 1:
        score = names[0]
    if score not in names:
        raise ValueError(f"'score' must be among {', '.join(map(repr, names))}, got {score!r}.")
    if n_splits < 2:
        raise ValueError(f"Expected a search with at least 2 folds, got {n_splits}. Pass more cv.")
    f = _test_fraction(search) if test_fraction is None else test_fraction
    check_scalar(f, "test_fraction", Real, min_val=0, max_val=1, include_boundaries="neither")
    scores = np.array([results[f"split{k}_test_{score}"] for k in range(n_splits)], dtype=float)
    for candidate in (i, j):
        if not np.isfinite(scores[:, candidate]).all():
            raise ValueError(
                f"Expected a finite {score!r} of candidate {candidate} in each fold, got "
                f"{scores[:, candidate].tolist()}. It failed or copies its training images there, "
                "which decides without a test."
            )
    return t_interval(scores[:, i] - scores[:, j], 1 / n_splits + f / (1 - f), confidence)


def _test_fraction(search):
    """Fraction of the images that each fold of a search tests on."""
    cv = search.cv
    if cv is None or isinstance(
        cv, (Integral, KFold, StratifiedKFold, GroupKFold, StratifiedGroupKFold)
    ):
        return 1 / search.n_splits_
    if isinstance(cv, list | tuple):
        return float(np.mean([len(test) / (len(test) + len(train)) for train, test in cv]))
    raise ValueError(
        "The 'cv' of the search does not tell the fraction of images that a fold tests on, got "
        f"{cv!r}. Pass test_fraction, for example 0.2."
    )


def search_table(search, *, varying_only=True):
    """Describe and score each candidate of a fitted search.

    Parameters
    ----------
    search : GridSearchCV, RandomizedSearchCV or similar
        Fitted, with ``cv_results_``.
    varying_only : bool, default=True
        Leave out the parameters that are equal in all candidates, unless all are.

    Returns
    -------
    table : list of dict
        One row per candidate, in the order of ``cv_results_``:

        - ``'candidate'``: its parameters as text, by names without the steps that they belong
          to, as far as they stay different; empty text for a parameter that other candidates
          have;
        - ``'scores'``: means over the folds by heading, such as ``'FID'``. Scores that were
          negated for the search are positive again, so FID is lower for better candidates;
        - ``'stds'``: standard deviations over the folds, by the same headings.

    See Also
    --------
    latentgen.inspection.SweepDisplay : Draws the table.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.model_selection import GridSearchCV
    >>> from latentgen.model_selection import search_table
    >>> X, _ = load_digits(return_X_y=True)
    >>> search = GridSearchCV(PCA(random_state=0), {"n_components": [2, 8]}, cv=3).fit(X)
    >>> [row["candidate"] for row in search_table(search)]
    [{'n_components': '2'}, {'n_components': '8'}]
    >>> list(search_table(search)[0]["scores"])
    ['score']
    """
    check_is_fitted(search, "cv_results_")
    results = search.cv_results_
    scoring = getattr(search, "scoring", None)
    candidates = describe_candidates(results["params"], varying_only=varying_only)
    return [
        {
            "candidate": candidate,
            "scores": mean_scores(results, index, scoring),
            "stds": {
                score_heading(name, scoring)[0]: float(results[_STD + name][index])
                for name in score_names(results)
            },
        }
        for index, candidate in enumerate(candidates)
    ]


def score_names(results):
    """Names of the scores in the results of a search."""
    return [key.removeprefix(_MEAN) for key in results if key.startswith(_MEAN)]


def score_heading(name, scoring=None):
    """Say what a score measures and which way is better.

    Parameters
    ----------
    name : str
        Name of the score, as in the results of a search.
    scoring : str, callable or None, default=None
        ``scoring`` of the search, which names the one score that is called 'score', and whose
        feature extractor decides what a distance is called.

    Returns
    -------
    heading : str
        Heading of the measure; the words of the name if no measure has it.
    greater_is_better : bool or None
        Direction of the value under this heading; None where neither is better.
    sign : int
        What a score is multiplied with to get the value: -1 if it was negated for the search.
    """
    if name == "score":
        name = scoring if isinstance(scoring, str) else getattr(scoring, "score_name", name)
    measure, sign = SCORES.get(name), -1 if name.startswith("neg_") else 1
    if measure is None:
        return name.removeprefix("neg_").replace("_", " "), sign > 0, sign
    heading = measure.heading_in(getattr(scoring, "feature_extractor", None))
    return heading, measure.greater_is_better, sign


def values_by_heading(scores, scoring=None):
    """Turn scores by name, as a scorer gives them, into values by heading."""
    values = {}
    for name, score in scores.items():
        heading, _, sign = score_heading(name, scoring)
        values[heading] = sign * float(score)
    return values


def mean_scores(results, index, scoring=None):
    """Means over the folds of one candidate, by heading."""
    scores = {name: results[_MEAN + name][index] for name in score_names(results)}
    return values_by_heading(scores, scoring)


def describe_candidates(params, *, varying_only=True):
    """Parameters of candidates as text, by short names, as in `search_table`."""
    short = short_names(params)
    absent = object()
    shown = [name for name in short if len({repr(p.get(name, absent)) for p in params}) > 1]
    if not (varying_only and shown):
        shown = list(short)
    return [
        {short[name]: describe_value(p[name]) if name in p else "" for name in shown}
        for p in params
    ]


def short_names(params):
    """Names of the parameters without their steps, as far as they stay different, by full name."""
    names = sorted(set().union(*params))
    short = {}
    for name in names:
        parts = name.split("__")
        endings = ["__".join(parts[start:]) for start in reversed(range(len(parts)))]
        others = [other for other in names if other != name]
        short[name] = next(
            ending
            for ending in endings
            if ending == name
            or not any(other == ending or other.endswith(f"__{ending}") for other in others)
        )
    return short


def describe_value(value):
    """One short line for the value of a parameter."""
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else " ".join(repr(value).split())
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
