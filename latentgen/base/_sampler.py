"""The contract of samplers: codes to new codes."""

# SPDX-License-Identifier: BSD-3-Clause

from abc import ABCMeta, abstractmethod
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import Bunch, check_random_state, check_scalar
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from latentgen.exceptions import NearCopyWarning
from latentgen.utils._available import has
from latentgen.utils._fitted import keep_fitted_state_on_error
from latentgen.utils._hand_over import named_in, names_in
from latentgen.utils._labels import as_wanted_labels, check_labels, count_labels
from latentgen.utils._neighbors import NeighborIndex
from latentgen.utils._novelty import (
    check_min_novelty,
    describe_near_copies,
    describe_too_near,
    distance_ratios,
    draw_again,
    novelty_estimates,
    warn_of_too_near,
)
from latentgen.utils._random import batch_random_state
from latentgen.utils._sampling import no_source
from latentgen.utils._spacing import SpacedIndex
from latentgen.utils._warnings import warn_user

# Draws that a fit compares: the standard error of a fraction is then 3.5 points at most.
_N_COMPARED = 200


class BaseSampler(BaseEstimator, metaclass=ABCMeta):
    """A density over latent codes that can be sampled.

    An implementer writes ``_fit(Z, y, rng)`` and ``_sample(n_samples, rng, y=None)``; `rng` is a
    `numpy.random.RandomState`. ``_sample`` returns an array of shape (n_samples, n_features), or
    the pair of it and a dict with where each draw comes from: ``"row"``, the index of a training
    code, -1 for none, and any arrays beside. Draws are independent from row to row, so that any
    slice of them is a fair sample.

    What can take in new codes writes ``_partial_fit(Z, y, rng)``, which replaces fitted
    attributes and does not change the arrays in them. What knows its density writes
    ``_log_density(Z)``, in nats; `Z` is float64. ``_fit`` and ``_partial_fit`` may name
    `code_shape`, `quantizer` or `decoder` as further arguments, which are then what a pipeline
    hands over from its autoencoder, or None.

    Checks, labels, seeds, dtypes and the distance from the training codes are done here, once.
    No implementer overrides ``fit``, ``partial_fit``, ``sample``, ``score_samples`` or ``score``.

    Attributes
    ----------
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
    """

    _min_samples = 1
    # Parameters that are read when codes are drawn or scored, so that they may change after fit.
    _read_at_draws = ("min_novelty",)
    # Whether labels are used: False, True (then they are required) or "optional".
    _uses_labels = False
    # Samplers make it a parameter.
    min_novelty = 0.0
    # The pipeline hands these over; they are not metadata of the user.
    __metadata_request__fit = {"code_shape": UNUSED, "quantizer": UNUSED, "decoder": UNUSED}
    __metadata_request__partial_fit = __metadata_request__fit

    @abstractmethod
    def _fit(self, Z, y, rng): ...

    @abstractmethod
    def _sample(self, n_samples, rng, y=None): ...

    # A sampler of samplers hands on parameters that nobody has checked yet.
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, *, code_shape=None, quantizer=None, decoder=None):
        """Fit the density to latent codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Latent codes.
        y : array-like of shape (n_samples,), default=None
            Class labels; only class-conditional samplers use them.
        code_shape : tuple of int, default=None
            Shape of a code before it was flattened. A pipeline hands over this and the following
            two where a sampler asks for them; the others ignore them.
        quantizer : object, default=None
            Fitted quantizer of the autoencoder.
        decoder : object, default=None
            Fitted autoencoder.

        Returns
        -------
        self : object
            Fitted sampler.

        Raises
        ------
        ValueError
            If the codes are not a finite two-dimensional array with enough rows, or labels are
            missing or are not classes.

        Warns
        -----
        NearCopyWarning
            If most draws are near-copies of training codes, or some are nearer than
            `min_novelty` allows.
        """
        handed = {"code_shape": code_shape, "quantizer": quantizer, "decoder": decoder}
        with keep_fitted_state_on_error(self):
            Z = validate_data(
                self, X, dtype=[np.float64, np.float32], ensure_min_samples=self._min_samples
            )
            for name in ("classes_", "class_prior_", "_class_counts", "novelty_"):
                vars(self).pop(name, None)
            y = self._learn_labels(Z, y)
            self._n_batches, self._n_codes_seen = 1, 0
            rng = check_random_state(getattr(self, "random_state", None))
            self._fit(Z, y, rng, **named_in(self._fit, handed))
            self._n_codes_seen = len(Z)
            self._compare_with(Z)
        self._warn_of_copies()
        return self

    @available_if(has("_partial_fit"))
    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X, y=None, *, code_shape=None, quantizer=None, decoder=None):
        """Take in new codes without a full refit; the first call is ``fit``.

        ``novelty_`` and ``near_copies_`` stay those of the first call, unless `min_novelty`
        made the sampler keep its training codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            New latent codes.
        y : array-like of shape (n_samples,), default=None
            Class labels; only class-conditional samplers use them.
        code_shape, quantizer, decoder : default=None
            As in ``fit``.

        Returns
        -------
        self : object
            Fitted sampler.

        Raises
        ------
        ValueError
            If the codes are not finite or do not have as many columns as before.
        """
        handed = {"code_shape": code_shape, "quantizer": quantizer, "decoder": decoder}
        if not hasattr(self, "novelty_"):
            return self.fit(X, y, **handed)
        # scikit-learn leaves that out for what is fitted.
        self._validate_params()
        with keep_fitted_state_on_error(self):
            Z = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
            y = self._learn_labels(Z, y)
            self._n_batches += 1
            rng = batch_random_state(getattr(self, "random_state", None), self._n_batches)
            self._partial_fit(Z, y, rng, **named_in(self._partial_fit, handed))
            self._n_codes_seen += len(Z)
            if self._training_codes is not None:
                self._compare_with(Z, self._training_codes, self._code_of_row)
                self._warn_of_copies()
        return self

    def _asks_for(self):
        """Names of what ``fit`` wants to be handed over."""
        return names_in(self._fit)

    def _learn_labels(self, Z, y):
        """Check labels and count their classes; None where labels are not used."""
        name, uses_labels = type(self).__name__, self._uses_labels
        fitted = getattr(self, "_class_counts", None)
        if not uses_labels:
            return None
        if y is None:
            if uses_labels == "optional" and not fitted:
                return None
            raise ValueError(
                f"{name} needs class labels: it requires y to be passed, but the target y is "
                "None. Use fit(X, y)."
            )
        if fitted is None and hasattr(self, "novelty_"):
            raise ValueError(
                f"{name} was fitted without labels, got y={y!r}. Use fit with all codes."
            )
        y = check_labels(y, Z)
        known = (self.classes_, fitted) if fitted else ()
        self.classes_, self._class_counts = count_labels(y, *known)
        n_codes = np.array(list(self._class_counts.values()))
        self.class_prior_ = n_codes / n_codes.sum()
        return y

    def _compare_with(self, Z, earlier=None, code_of_row=None):
        """Measure how near draws stay to the training codes, and keep these if need be.

        `earlier` are different codes and `code_of_row` the number among them of each row that was
        seen before `Z`.
        """
        codes = Z if earlier is None else np.concatenate([earlier, Z])
        # A sampler that needs no codes holds none, so that its file gives none away.
        self._training_codes = self._code_of_row = self._spacings = self._neighbors = None
        if self.min_novelty == 0:
            index = NeighborIndex(codes)
        else:
            # In their own precision, so that the distance holds from what was passed.
            codes, numbers = np.unique(codes, axis=0, return_inverse=True)
            numbers = numbers.reshape(-1)
            if earlier is not None:
                numbers = np.append(numbers[code_of_row], numbers[len(earlier) :])
            self._training_codes, self._code_of_row = codes, numbers
            self._neighbors = index = SpacedIndex(codes)
            self._spacings = index.known
        # No seed that the codes themselves may have been made with.
        rng = np.random.RandomState([*b"novelty", len(Z)])
        draws, _, _ = self._draw_codes(_N_COMPARED, None, rng)
        _, ratios = distance_ratios(index, draws)
        vars(self).update(novelty_estimates(ratios, self.min_novelty))

    def _warn_of_copies(self):
        if message := self._describe_copies():
            warn_user(message, NearCopyWarning)

    def _describe_copies(self):
        """What ``fit`` warns of, if anything."""
        name = type(self).__name__
        if self.too_near_ > 0:
            return describe_too_near(name, f"{100 * self.too_near_:g} %", self.min_novelty)
        if self.near_copies_ > 0.5:
            return describe_near_copies(name, self.near_copies_)
        return ""

    def sample(
        self,
        n_samples=1,
        *,
        y=None,
        random_state=None,
        return_source=False,
        return_labels=False,
    ):
        """Draw new codes.

        Parameters
        ----------
        n_samples : int, default=1
            Number of codes to draw, at least 1. Left at 1 or equal to ``len(y)`` when `y` is an
            array.
        y : label or array-like of shape (n_samples,), default=None
            For class-conditional samplers. A label: all codes are of this class. An array: one
            code per label, in its order. None: labels are drawn with the probabilities
            ``class_prior_``.
        random_state : int, RandomState instance or None, default=None
            The same integer gives the same codes; None gives new ones in every call.
        return_source : bool, default=False
            Whether to return where each code comes from.
        return_labels : bool, default=False
            Whether to return the class of each code, for class-conditional samplers.

        Returns
        -------
        X_new : ndarray of shape (n_samples, latent_dim), dtype float32
            New codes in random order.
        y_new : ndarray of shape (n_samples,)
            Only if `return_labels`: the class of each code.
        source : Bunch
            Only if `return_source`: ``row``, ndarray of shape (n_samples,), index of the training
            code that a draw started from, in the order of all codes seen in ``fit`` and
            ``partial_fit``, -1 for none; ``label`` for class-conditional samplers; and what the
            sampler adds.

        Raises
        ------
        ValueError
            If `n_samples` is below 1 or contradicts `y`, labels are unknown or the sampler has
            no classes, or `min_novelty` was 0 during ``fit`` and no longer is.
        NoSourceError
            If sources are asked of a sampler that has none.

        Warns
        -----
        NearCopyWarning
            If some codes stay nearer to training codes than `min_novelty` allows. They are
            returned as drawn.
        """
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        if not hasattr(self, "classes_"):
            if y is not None:
                raise ValueError(self._describe_missing_classes(f"{y=!r}"))
            if return_labels:
                raise ValueError(self._describe_missing_classes(f"{return_labels=}"))
        if y is not None:
            y = as_wanted_labels(y, n_samples, self.classes_)
            n_samples = len(y)
        rng = check_random_state(random_state)
        X_new, source, n_near = self._draw_codes(int(n_samples), y, rng)
        if return_source and "row" not in source:
            raise no_source(type(self).__name__)
        warn_of_too_near(self, n_near, n_samples)
        labels = [source["label"]] if return_labels else []
        sources = [Bunch(**source)] if return_source else []
        return (X_new, *labels, *sources) if labels or sources else X_new

    def _describe_missing_classes(self, got):
        name = type(self).__name__
        way = "Fit it with y" if self._uses_labels else f"Wrap it: ConditionalSampler({name}())"
        return f"{name} has no classes, got {got}. {way}."

    def _draw_codes(self, n_samples, y, rng):
        """Draw codes; also give a dict of their sources, and how many are too near.

        `y` are known labels, one for each code, or None.
        """
        # Some parameters are read here and may have been changed since the fit.
        self._validate_params()
        if y is None and hasattr(self, "classes_"):
            labels = rng.choice(len(self.classes_), size=n_samples, p=self.class_prior_)
            y = self.classes_[labels]
        Z, source = self._draw_once(n_samples, y, rng)
        if self.min_novelty == 0:
            return Z, source, 0
        check_min_novelty(self, self._training_codes)

        def are_near(rows):
            starts = source["row"][rows] if "row" in source else None
            if starts is not None:
                # Where there is none, any code will do: it only has to be near to be of use.
                starts = np.take(self._code_of_row, starts, mode="clip")
            return self._neighbors.are_nearer(Z[rows], self.min_novelty, starts)

        def redraw(rows):
            Z[rows], new = self._draw_once(len(rows), None if y is None else y[rows], rng)
            for name, values in new.items():
                source[name][rows] = values

        return Z, source, draw_again(are_near, redraw)

    def _draw_once(self, n_samples, y, rng):
        drawn = self._sample(n_samples, rng) if y is None else self._sample(n_samples, rng, y)
        Z, source = drawn if isinstance(drawn, tuple) else (drawn, {})
        source = {name: np.asarray(values) for name, values in source.items()}
        if y is not None:
            source["label"] = y
        return np.asarray(Z, dtype=np.float32), source

    @available_if(has("_log_density"))
    def score_samples(self, X):
        """Compute the log-density.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Codes.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats, with respect to the units of the codes.

        Raises
        ------
        ValueError
            If the codes are not finite or do not have as many columns as those of ``fit``.
        """
        check_is_fitted(self)
        self._validate_params()
        return self._log_density(validate_data(self, X, dtype=np.float64, reset=False))

    @available_if(has("score_samples"))
    def score(self, X, y=None):
        """Compute the mean log-density, so that a sampler can be searched by `GridSearchCV`.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Codes, preferably unseen during ``fit``.
        y : Ignored
            Not used, present here for API consistency by convention.

        Returns
        -------
        score : float
            In nats per code; higher is better.
        """
        return float(np.mean(self.score_samples(X)))

    def __getstate__(self):
        state = super().__getstate__().copy()
        # It is made of the training codes.
        state.pop("_neighbors", None)
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if (codes := getattr(self, "_training_codes", None)) is not None:
            self._neighbors = SpacedIndex(codes, self._spacings)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self._uses_labels is True
        return tags
