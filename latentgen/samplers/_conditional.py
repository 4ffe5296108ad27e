"""One sampler per class."""

# SPDX-License-Identifier: BSD-3-Clause

from copy import copy
from numbers import Integral, Real

import numpy as np
from scipy.special import logsumexp
from sklearn.utils import check_random_state
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
    is_seed,
    view,
)
from latentgen.utils._available import has
from latentgen.utils._hand_over import asks_for
from latentgen.utils._random import draw_seed

_LABELS_SHOWN = 20


def _fit_class(sampler, method, Z, label, handed):
    """Fit a sampler to one class; name the class when that fails."""
    try:
        return fit_member(sampler, method, (Z,), handed)
    except ValueError as error:
        raise ValueError(
            f"Class {label!r} with n_samples = {len(Z)} cannot be fitted: {error} "
            "Leave the class out, add samples, or choose another sampler."
        ) from error


def _reseeded_clones(sampler, n_clones):
    """Clone a sampler; each clone gets its own seed for every ``random_state`` that is set."""
    rngs = {
        name: None if value is None else check_random_state(value)
        for name, value in sorted(sampler.get_params().items())
        if is_seed(name)
    }

    def seed_of(name):
        return None if rngs[name] is None else draw_seed(rngs[name])

    return [clone_with(sampler, seed_of) for _ in range(n_clones)]


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
        Least distance of draws from the nearest training code, divided by the distance of that code
        to its own nearest neighbor. Nearer draws are drawn again; what stays too near is counted
        and warned of. Above 0 the sampler keeps the training codes.
    n_jobs : int, default=None
        Number of classes fitted at the same time by ``fit``, see the scikit-learn glossary.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted, if the sampler is class-conditional.
    class_prior_ : ndarray of shape (n_classes,)
        Fractions of the classes among the training codes.
    samplers_ : list of estimators
        Fitted samplers in the order of ``classes_``.
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

    _uses_labels = True
    _read_at_draws = ("sampler", "min_novelty")

    def __init__(self, sampler=None, *, min_novelty=0.0, n_jobs=None):
        self.sampler = sampler
        self.min_novelty = min_novelty
        self.n_jobs = n_jobs

    def _inner(self):
        return FastHVRTSampler() if self.sampler is None else self.sampler

    def _asks_for(self):
        return asks_for(self._inner())

    def _fit(self, Z, y, rng, code_shape=None, quantizer=None, decoder=None):
        handed = {"code_shape": code_shape, "quantizer": quantizer, "decoder": decoder}
        # The seeds are derived here, in order, so that they do not depend on 'n_jobs'.
        clones = _reseeded_clones(self._inner(), len(self.classes_))
        self._class_rows = [np.flatnonzero(y == label) for label in self.classes_]
        self.samplers_ = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_class)(sampler, "fit", Z[rows], label, handed)
            for sampler, rows, label in zip(
                clones, self._class_rows, self.classes_.tolist(), strict=True
            )
        )

    def _describe_copies(self):
        if self.near_copies_ > 0.5:
            return super()._describe_copies()
        copied = [
            label
            for label, rows, inner in zip(
                self.classes_.tolist(), self._class_rows, self.samplers_, strict=True
            )
            if len(rows) == 1 or getattr(inner, "near_copies_", 0) > 0.5
        ]
        if not copied:
            return super()._describe_copies()
        return (
            "Most draws of these classes are near-copies of training codes: "
            f"{copied[:_LABELS_SHOWN]}. Add images to them, leave them out, or set "
            "'min_novelty', for example to 0.3."
        )

    @available_if(has("partial_fit", of=any_member))
    def _partial_fit(self, Z, y, rng, code_shape=None, quantizer=None, decoder=None):
        """Hand new codes to the samplers of their classes; a new class gets its own."""
        handed = {"code_shape": code_shape, "quantizer": quantizer, "decoder": decoder}
        labels = self.classes_.tolist()
        new, counts = np.unique(y, return_counts=True)
        n_new = dict(zip(new.tolist(), counts.tolist(), strict=True))
        known = [one for one in labels if self._class_counts[one] > n_new.get(one, 0)]
        # Copies, because one class may fail after another has been changed.
        samplers = dict(zip(known, map(copy, self.samplers_), strict=True))
        class_rows = dict(zip(known, self._class_rows, strict=True))
        # Seeds come in the order in which classes came, so that no two classes share one.
        clones = _reseeded_clones(self._inner(), len(labels))[len(known) :]
        samplers |= zip([one for one in labels if one not in samplers], clones, strict=True)
        for label in n_new:
            rows = np.flatnonzero(y == label)
            _fit_class(samplers[label], "partial_fit", Z[rows], label, handed)
            earlier = class_rows.get(label, np.empty(0, dtype=np.int64))
            class_rows[label] = np.append(earlier, self._n_codes_seen + rows)
        self.samplers_ = [samplers[label] for label in labels]
        self._class_rows = [class_rows[label] for label in labels]

    def _sample(self, n_samples, rng, y):
        X_new, source = np.empty((n_samples, self.n_features_in_), dtype=np.float32), {}
        for code, label in enumerate(self.classes_):
            rows = np.flatnonzero(y == label)
            if len(rows):
                member = view(self.samplers_[code], self._inner())
                fill(X_new, source, rows, member, None, rng, self._class_rows[code])
        return X_new, source

    @available_if(has("score_samples", of=any_member))
    def _log_density(self, Z):
        """Log-density of the mixture of the classes, each with its ``class_prior_``."""
        samplers = [view(sampler, self._inner()) for sampler in self.samplers_]
        by_class = [sampler.score_samples(Z) for sampler in samplers]
        return logsumexp(np.array(by_class) + np.log(self.class_prior_)[:, None], axis=0)
