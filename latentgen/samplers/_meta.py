"""Samplers made of samplers."""

# SPDX-License-Identifier: BSD-3-Clause

import warnings
from copy import copy
from numbers import Integral, Real

import numpy as np
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.utils import (
    check_array,
    check_consistent_length,
    check_random_state,
    check_scalar,
    get_tags,
)
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from latentgen.base import BaseSampler
from latentgen.samplers._fast_hvrt import FastHVRTSampler
from latentgen.utils._neighbors import NEAR_COPY
from latentgen.utils._sampling import draw

_LABELS_SHOWN = 20
# Parameters that samplers read when they draw.
_READ_AT_DRAWS = ("temperature", "n_steps", "n_importance")


def _fit_inner(sampler, method, *data):
    """Fit an inner sampler, which leaves the warning of near-copies to the outer one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*near-copies of training codes")
        return getattr(sampler, method)(*data)


def _fit_class(sampler, Z, label, method="fit"):
    """Fit a sampler to one class; name the class when that fails."""
    try:
        return _fit_inner(sampler, method, Z)
    except ValueError as error:
        raise ValueError(
            f"Class {label!r} with n_samples = {len(Z)} cannot be fitted: {error} "
            "Leave the class out, add samples, or choose another sampler."
        ) from error


def _reseeded_clones(sampler, n_clones):
    """Clone a sampler; each clone gets its own seed for every ``random_state`` that is set."""
    rngs = {
        name: check_random_state(value)
        for name, value in sorted(sampler.get_params().items())
        if name.rpartition("__")[2] == "random_state" and value is not None
    }
    largest = np.iinfo(np.int32).max
    return [
        clone(sampler).set_params(**{name: rng.randint(largest) for name, rng in rngs.items()})
        for _ in range(n_clones)
    ]


def _update(members, sampler):
    """Hand fitted clones of a sampler what they read when drawing, which may have been changed."""
    changed = {
        name: value
        for name, value in sampler.get_params().items()
        if name.rpartition("__")[2] in _READ_AT_DRAWS
    }
    if changed:
        for member in members:
            # A sampler of another kind may have been set since the fit.
            known = member.get_params()
            member.set_params(**{name: changed[name] for name in changed if name in known})
    return members


def _bootstrap_rows(n_samples, groups, rng):
    """Draw row numbers with replacement; groups keep their sizes."""
    if groups is None:
        return rng.randint(n_samples, size=n_samples)
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    return np.concatenate([rows[rng.randint(len(rows), size=len(rows))] for rows in members])


def _seeded_clone(sampler, rng):
    """Clone a sampler and give every ``random_state`` in it a seed of its own."""
    names = sorted(sampler.get_params())
    names = [name for name in names if name.rpartition("__")[2] == "random_state"]
    return clone(sampler).set_params(
        **{name: rng.randint(np.iinfo(np.int32).max) for name in names}
    )


def _hold_text(labels):
    """Which of text and numbers are among some labels, whatever the dtype they come in."""
    return {isinstance(label, str) for label in labels.tolist()}


def _wanted_labels(y, n_samples):
    """Make one label per code from what `sample` was asked for."""
    if np.ndim(y) == 0:
        y = np.full(n_samples, y)
    y = np.asarray(y)
    if y.ndim != 1 or len(y) == 0:
        raise ValueError(
            f"'y' must be a label or an array of shape (n_samples,), got shape {y.shape}."
        )
    if n_samples not in (1, len(y)):
        raise ValueError(
            f"'y' asks for {len(y)} codes, one per label, got n_samples={n_samples}. "
            "Leave 'n_samples' out, or pass a single label."
        )
    return y


def _inner_has(method):
    """Check that the inner sampler has `method`."""

    def check(self):
        fitted = getattr(self, "samplers_", None) or getattr(self, "estimators_", None)
        inner = fitted[0] if fitted else self._inner()
        getattr(inner, method)
        return True

    return check


class ConditionalSampler(BaseSampler):
    """One sampler per class, so that new codes can be drawn by label.

    Class counts are exact, nothing is drawn and thrown away, and any sampler becomes
    class-conditional, scikit-learn's `GaussianMixture` and `KernelDensity` included.

    Read more in the :ref:`User Guide <classes>`.

    Parameters
    ----------
    sampler : estimator, default=None
        Sampler that is cloned for each class; None means ``FastHVRTSampler()``. A
        ``random_state`` that is set gives each class its own seed derived from it.
    min_novelty : float, default=0.0
        Least distance of draws from every training code of any class, in units of the median
        distance between neighbours among these. Nearer draws are drawn again and in the end
        pushed away. Above 0 the sampler keeps the training codes.
    n_jobs : int, default=None
        Number of classes fitted at the same time by ``fit``, see the scikit-learn glossary.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    class_prior_ : ndarray of shape (n_classes,)
        Shares of the classes among the training codes.
    samplers_ : list of estimators
        Fitted samplers in the order of ``classes_``.
    novelty_ : float
        Mean distance of 200 draws to their nearest training code, divided by that of training
        codes to their nearest neighbour: 0 for copies, about 1 for a density like that of the
        codes.
    near_copies_ : float
        Share of these draws that are nearer to a training code than 0.3 of the median distance
        between neighbours.
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features seen during ``fit``, when all are strings.

    See Also
    --------
    FastHVRTSampler : The default sampler.
    EnsembleSampler : Several samplers of the same codes.

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen import ConditionalSampler, GaussianSampler
    >>> rng = np.random.RandomState(0)
    >>> y = np.repeat([0, 9], 100)
    >>> Z = y[:, None] + rng.standard_normal((200, 2))
    >>> sampler = ConditionalSampler(GaussianSampler()).fit(Z, y)
    >>> sampler.sample(y=[9, 0, 9], random_state=0).mean(axis=1) > 4.5
    array([ True, False,  True])
    """

    _parameter_constraints: dict = {
        "sampler": [HasMethods(["fit", "sample", "get_params"]), None],
        "min_novelty": [Interval(Real, 0, None, closed="left")],
        "n_jobs": [Integral, None],
    }

    def __init__(self, sampler=None, *, min_novelty=0.0, n_jobs=None):
        self.sampler = sampler
        self.min_novelty = min_novelty
        self.n_jobs = n_jobs

    def _inner(self):
        return FastHVRTSampler() if self.sampler is None else self.sampler

    def _fit(self, Z, y, rng):
        y = self._check_labels(Z, y)
        self.classes_, codes, self._counts = np.unique(y, return_inverse=True, return_counts=True)
        self.class_prior_ = self._counts / len(y)
        # The seeds are derived here, in order, so that they do not depend on 'n_jobs'.
        clones = _reseeded_clones(self._inner(), len(self.classes_))
        self.samplers_ = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_class)(sampler, Z[codes == code], label)
            for code, (sampler, label) in enumerate(
                zip(clones, self.classes_.tolist(), strict=True)
            )
        )

    def _describe_copies(self):
        if self.near_copies_ > 0.5:
            return super()._describe_copies()
        copied = [
            label
            for label, count, inner in zip(
                self.classes_.tolist(), self._counts, self.samplers_, strict=True
            )
            if count == 1 or getattr(inner, "near_copies_", 0) > 0.5
        ]
        if not copied:
            return ""
        return (
            "Most draws of these classes are near-copies of training codes: "
            f"{copied[:_LABELS_SHOWN]}. Add images to them, leave them out, or set "
            f"'min_novelty', for example to {NEAR_COPY}."
        )

    @available_if(_inner_has("partial_fit"))
    def _partial_fit(self, Z, y, rng):
        """Hand new codes to the samplers of their classes; a new class gets its own."""
        y = self._check_labels(Z, y)
        if _hold_text(self.classes_) != _hold_text(y):
            raise ValueError(
                f"'y' must hold labels of the type seen in fit, {self.classes_.dtype}, got "
                f"{y.dtype}. Known classes: {self.classes_[:_LABELS_SHOWN].tolist()}."
            )
        classes = np.union1d(self.classes_, y)
        labels = classes.tolist()
        n_known = len(self.classes_)
        # Copies, because one class may fail after another has been changed.
        samplers = dict(zip(self.classes_.tolist(), map(copy, self.samplers_), strict=True))
        # Seeds come in the order in which classes came, so that no two classes share one.
        clones = _reseeded_clones(self._inner(), len(labels))[n_known:]
        new = [label for label in labels if label not in samplers]
        samplers |= zip(new, clones, strict=True)
        counts = dict.fromkeys(labels, 0)
        counts |= zip(self.classes_.tolist(), self._counts.tolist(), strict=True)
        for label in np.unique(y).tolist():
            rows = Z[y == label]
            _fit_class(samplers[label], rows, label, method="partial_fit")
            counts[label] += len(rows)
        self.classes_ = classes
        self.samplers_ = [samplers[label] for label in labels]
        self._counts = np.array([counts[label] for label in labels])
        self.class_prior_ = self._counts / self._counts.sum()

    def _check_labels(self, Z, y):
        if y is None:
            raise ValueError(
                "ConditionalSampler needs class labels: it requires y to be passed, but the "
                "target y is None. Use fit(X, y), or the inner sampler alone."
            )
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        y = column_or_1d(y, warn=True)
        check_consistent_length(Z, y)
        check_classification_targets(y)
        return y

    def sample(self, n_samples=1, *, y=None, random_state=None):
        """Draw new codes, by label or in the class proportions of the training codes.

        Parameters
        ----------
        n_samples : int, default=1
            Number of codes to draw, at least 1. Left at 1 or equal to ``len(y)`` when `y` is an
            array.
        y : label or array-like of shape (n_samples,), default=None
            A label: all codes are of this class. An array: one code per label, in its order.
            None: labels are drawn with the probabilities ``class_prior_``.
        random_state : int, RandomState instance or None, default=None
            The same integer gives the same codes; None gives new ones in every call.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_in_), dtype float32
            New codes.

        Raises
        ------
        ValueError
            If a label was not seen during ``fit`` or `n_samples` contradicts `y`.
        """
        check_is_fitted(self)
        self._validate_params()
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        rng = check_random_state(random_state)
        if y is None:
            codes = rng.choice(len(self.classes_), size=n_samples, p=self.class_prior_)
        else:
            codes = self._encode_labels(y, n_samples)
        X_new = self._sample_codes(codes, rng)
        return self._keep_distance(X_new, lambda rows: self._sample_codes(codes[rows], rng), rng)

    def _sample_codes(self, codes, rng):
        """Draw one code for each index into ``classes_``."""
        X_new = np.empty((len(codes), self.n_features_in_), dtype=np.float32)
        samplers = _update(self.samplers_, self._inner())
        for code in np.unique(codes):
            rows = codes == code
            X_new[rows] = draw(samplers[code], int(rows.sum()), random_state=rng)
        return X_new

    def _encode_labels(self, y, n_samples):
        """Turn the wanted labels into indices into ``classes_``."""
        y = _wanted_labels(y, n_samples)
        wanted, inverse = np.unique(y, return_inverse=True)
        index = {label: code for code, label in enumerate(self.classes_.tolist())}
        unknown = [label for label in wanted.tolist() if label not in index]
        if unknown:
            known = ", ".join(repr(label) for label in list(index)[:_LABELS_SHOWN])
            more = ", ..." if len(index) > _LABELS_SHOWN else ""
            raise ValueError(f"Unknown label {unknown[0]!r} in 'y'. Known classes: {known}{more}.")
        return np.array([index[label] for label in wanted.tolist()])[inverse]

    def _sample(self, n_samples, rng):
        return self.sample(n_samples, random_state=rng)

    @available_if(_inner_has("score_samples"))
    def score_samples(self, X):
        """Compute the log-density of the mixture of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in_)
            Codes.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats; each class counts with its ``class_prior_``. Only available if the inner
            sampler has ``score_samples``.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        samplers = _update(self.samplers_, self._inner())
        by_class = [sampler.score_samples(X) for sampler in samplers]
        return logsumexp(np.array(by_class) + np.log(self.class_prior_)[:, None], axis=0)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


class EnsembleSampler(BaseSampler):
    """Several samplers, each fitted to a bootstrap sample of the codes, drawn from alike.

    Averaging the densities of partitions that were cut differently smooths their edges: what
    bagging is to classifiers [1]_.

    Read more in the :ref:`User Guide <samplers>`.

    Parameters
    ----------
    sampler : estimator, default=None
        Sampler that is cloned for each member; None means ``FastHVRTSampler()``. Every
        ``random_state`` in it is replaced by a seed of the member.
    n_estimators : int, default=5
        Number of members.
    min_novelty : float, default=0.0
        Least distance of draws from every training code, in units of the median distance
        between neighbours among these. Nearer draws are drawn again and in the end pushed away.
        Above 0 the sampler keeps the training codes.
    n_jobs : int, default=None
        Number of members fitted at the same time, see the scikit-learn glossary.
    random_state : int, RandomState instance or None, default=None
        Seed of the bootstrap samples and of the members in ``fit``. Draws are seeded by
        ``sample(random_state=...)``.

    Attributes
    ----------
    estimators_ : list of estimators
        Fitted members.
    novelty_ : float
        Mean distance of 200 draws to their nearest training code, divided by that of training
        codes to their nearest neighbour: 0 for copies, about 1 for a density like that of the
        codes.
    near_copies_ : float
        Share of these draws that are nearer to a training code than 0.3 of the median distance
        between neighbours.
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features seen during ``fit``, when all are strings.

    See Also
    --------
    ConditionalSampler : One sampler per class.
    FastHVRTSampler : The default sampler.

    Notes
    -----
    A bootstrap sample has as many rows as there are codes, drawn with replacement. For a
    sampler that requires labels it is drawn inside each class, so that no class is lost.
    ``partial_fit`` gives each member a bootstrap sample of the new codes; it exists if the inner
    sampler has it.

    References
    ----------
    .. [1] L. Breiman, "Bagging predictors", Machine Learning 24 (1996), 123-140.

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen import EnsembleSampler, LocalGaussianSampler
    >>> Z = np.random.RandomState(0).standard_normal((500, 4))
    >>> sampler = EnsembleSampler(LocalGaussianSampler(), n_estimators=3, random_state=0).fit(Z)
    >>> len(sampler.estimators_)
    3
    >>> sampler.sample(2, random_state=0).shape
    (2, 4)
    """

    _parameter_constraints: dict = {
        "sampler": [HasMethods(["fit", "sample", "get_params"]), None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "min_novelty": [Interval(Real, 0, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self, sampler=None, n_estimators=5, *, min_novelty=0.0, n_jobs=None, random_state=None
    ):
        self.sampler = sampler
        self.n_estimators = n_estimators
        self.min_novelty = min_novelty
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _inner(self):
        return FastHVRTSampler() if self.sampler is None else self.sampler

    @property
    def classes_(self):
        """Labels, sorted, if the sampler is class-conditional."""
        return self.estimators_[0].classes_

    def _fit(self, Z, y, rng):
        # All is drawn here, in order, so that it does not depend on 'n_jobs'.
        members = [_seeded_clone(self._inner(), rng) for _ in range(self.n_estimators)]
        self._fit_members(members, Z, y, rng, "fit")

    @available_if(_inner_has("partial_fit"))
    def _partial_fit(self, Z, y, rng):
        """Give each member a bootstrap sample of the new codes."""
        # Copies, because one member may fail after another has been changed.
        self._fit_members(map(copy, self.estimators_), Z, y, rng, "partial_fit")

    def _fit_members(self, members, Z, y, rng, method):
        groups = None
        if y is not None:
            y = np.asarray(y)
            check_consistent_length(Z, y)
            if get_tags(self._inner()).target_tags.required:
                groups = np.unique(column_or_1d(y), return_inverse=True)[1]
        samples = [(member, _bootstrap_rows(len(Z), groups, rng)) for member in members]
        self.estimators_ = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_inner)(member, method, Z[rows], *([] if y is None else [y[rows]]))
            for member, rows in samples
        )

    def sample(self, n_samples=1, *, y=None, random_state=None):
        """Draw new codes; each comes from a member chosen at random.

        Parameters
        ----------
        n_samples : int, default=1
            Number of codes to draw, at least 1. Left at 1 or equal to ``len(y)`` when `y` is an
            array.
        y : label or array-like of shape (n_samples,), default=None
            Wanted labels, for a class-conditional sampler, see `ConditionalSampler`.
        random_state : int, RandomState instance or None, default=None
            The same integer gives the same codes; None gives new ones in every call.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_in_), dtype float32
            New codes.

        Raises
        ------
        ValueError
            If a label was not seen during ``fit``, `n_samples` contradicts `y`, or the sampler
            has no classes.
        """
        check_is_fitted(self)
        if y is None or not hasattr(self, "classes_"):
            return super().sample(n_samples, y=y, random_state=random_state)
        self._validate_params()
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        y = _wanted_labels(y, n_samples)
        rng = check_random_state(random_state)
        X_new = self._sample(len(y), rng, y)
        return self._keep_distance(X_new, lambda rows: self._sample(len(rows), rng, y[rows]), rng)

    def _sample(self, n_samples, rng, y=None):
        X_new = np.empty((n_samples, self.n_features_in_), dtype=np.float32)
        estimators = _update(self.estimators_, self._inner())
        members = rng.randint(len(estimators), size=n_samples)
        for member in np.unique(members):
            rows = members == member
            labels = None if y is None else y[rows]
            X_new[rows] = draw(estimators[member], int(rows.sum()), y=labels, random_state=rng)
        return X_new

    @available_if(_inner_has("score_samples"))
    def score_samples(self, X):
        """Compute the log of the mean density of the members.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in_)
            Codes.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats. Only available if the inner sampler has ``score_samples``.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        members = _update(self.estimators_, self._inner())
        by_member = [member.score_samples(X) for member in members]
        return logsumexp(by_member, axis=0) - np.log(len(by_member))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = get_tags(self._inner()).target_tags.required
        return tags
