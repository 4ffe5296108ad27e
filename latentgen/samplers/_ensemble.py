"""Several samplers of the same codes."""

# SPDX-License-Identifier: BSD-3-Clause

from copy import copy
from inspect import signature
from numbers import Integral, Real

import numpy as np
from scipy.special import logsumexp
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import Parallel, delayed

from latentgen.base import BaseSampler
from latentgen.samplers._fast_hvrt import FastHVRTSampler
from latentgen.samplers._members import (
    any_member,
    clone_with,
    fill,
    fit_member,
    view,
)
from latentgen.utils._available import has
from latentgen.utils._hand_over import asks_for
from latentgen.utils._random import draw_seed


def _bootstrap_rows(n_samples, groups, rng):
    """Draw row numbers with replacement; groups keep their sizes."""
    if groups is None:
        return rng.randint(n_samples, size=n_samples)
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    return np.concatenate([rows[rng.randint(len(rows), size=len(rows))] for rows in members])


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
        Least distance of draws from the nearest training code, divided by the distance of that code
        to its own nearest neighbor. Nearer draws are drawn again; what stays too near is counted
        and warned of. Above 0 the sampler keeps the training codes.
    n_jobs : int, default=None
        Number of members fitted at the same time, see the scikit-learn glossary.
    random_state : int, RandomState instance or None, default=None
        Seed of the bootstrap samples and of the members in ``fit``. Draws are seeded by
        ``sample(random_state=...)``.

    Attributes
    ----------
    estimators_ : list of estimators
        Fitted members.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted, if the sampler is class-conditional.
    class_prior_ : ndarray of shape (n_classes,)
        Fractions of the classes among the training codes.
    novelty_ : float
        Median over 200 draws of the distance to the nearest training code, divided by the
        distance of that code to its own nearest neighbor: 0 for copies, about 1 for a density
        like that of the codes. nan if all codes are equal.
    novelty_error_ : float
        Standard error of ``novelty_``.
    near_copies_ : float
        Fraction of these draws with a ratio below 0.3.
    near_copies_error_ : float
        Standard error of ``near_copies_``.
    too_near_ : float
        Fraction of these draws with a ratio below `min_novelty`: what drawing again did not
        solve.
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

    _read_at_draws = ("sampler", "min_novelty")

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
    def _uses_labels(self):
        """As the inner sampler; one that is not latentgen's may take them in ``sample``."""
        inner = self._inner()
        if isinstance(inner, BaseSampler):
            return inner._uses_labels
        if get_tags(inner).target_tags.required:
            return True
        return "optional" if "y" in signature(inner.sample).parameters else False

    def _asks_for(self):
        return asks_for(self._inner())

    def _fit(self, Z, y, rng, code_shape=None, quantizer=None, decoder=None):
        # All is drawn here, in order, so that it does not depend on 'n_jobs'.
        members = [
            clone_with(self._inner(), lambda name: draw_seed(rng)) for _ in range(self.n_estimators)
        ]
        self._member_rows = [np.empty(0, dtype=np.int64)] * len(members)
        handed = {"code_shape": code_shape, "quantizer": quantizer, "decoder": decoder}
        self._fit_members("fit", members, Z, y, rng, handed)

    @available_if(has("partial_fit", of=any_member))
    def _partial_fit(self, Z, y, rng, code_shape=None, quantizer=None, decoder=None):
        """Give each member a bootstrap sample of the new codes."""
        handed = {"code_shape": code_shape, "quantizer": quantizer, "decoder": decoder}
        # Copies, because one member may fail after another has been changed.
        members = [copy(member) for member in self.estimators_]
        self._fit_members("partial_fit", members, Z, y, rng, handed)

    def _fit_members(self, method, members, Z, y, rng, handed):
        # Inside each class, so that no class is lost.
        groups = None if y is None else np.unique(y, return_inverse=True)[1]
        samples = [_bootstrap_rows(len(Z), groups, rng) for _ in members]
        self._member_rows = [
            np.append(earlier, self._n_codes_seen + rows)
            for earlier, rows in zip(self._member_rows, samples, strict=True)
        ]
        self.estimators_ = Parallel(n_jobs=self.n_jobs)(
            delayed(fit_member)(
                member, method, (Z[rows], *([] if y is None else [y[rows]])), handed
            )
            for member, rows in zip(members, samples, strict=True)
        )

    def _sample(self, n_samples, rng, y=None):
        X_new, source = np.empty((n_samples, self.n_features_in_), dtype=np.float32), {}
        chosen = rng.randint(len(self.estimators_), size=n_samples)
        for number in np.unique(chosen):
            rows = np.flatnonzero(chosen == number)
            member = view(self.estimators_[number], self._inner())
            labels = None if y is None else y[rows]
            fill(X_new, source, rows, member, labels, rng, self._member_rows[number])
        return X_new, source | {"estimator": chosen}

    @available_if(has("score_samples", of=any_member))
    def _log_density(self, Z):
        """Log of the mean density of the members."""
        members = [view(member, self._inner()) for member in self.estimators_]
        by_member = [member.score_samples(Z) for member in members]
        return logsumexp(by_member, axis=0) - np.log(len(by_member))
