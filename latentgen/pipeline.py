"""An autoencoder and a sampler chained into one generator of images."""

# SPDX-License-Identifier: BSD-3-Clause

from contextlib import ExitStack
from copy import deepcopy
from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import check_random_state, check_scalar, column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from latentgen.utils._available import has
from latentgen.utils._class_sizes import missing_per_class
from latentgen.utils._early_checks import check_before_fit
from latentgen.utils._fitted import is_known_to_be_fitted, keep_fitted_state_on_error
from latentgen.utils._hand_over import HandOver, named_in, what_is_known
from latentgen.utils._sampling import draw


def _takes_in_images(pipeline):
    """Check that the sampler has ``partial_fit``, or for `retrain` the autoencoder."""
    ends = pipeline.steps[0][1], pipeline._final_estimator
    return any(hasattr(end, "partial_fit") for end in ends)


def _first_step(pipeline):
    return pipeline.steps[0][1]


def _last_step(pipeline):
    return pipeline._final_estimator


def _is_step(step):
    return step is not None and step != "passthrough"


def _is_prior(step):
    return isinstance(step, str) and step == "prior"


class _FittedPipeline(Pipeline):
    """Steps of a pipeline that was fitted, one of which cannot tell that it is."""

    def __sklearn_is_fitted__(self):
        return True


class LatentGenerativePipeline(Pipeline):
    """Chain of an autoencoder, any invertible transformers and a sampler.

    ``fit`` encodes the images step by step and fits the sampler to the codes; ``sample`` draws
    codes and decodes them in one pass, or in a few with `n_refinements`. It is a scikit-learn
    `Pipeline`: parameters are reached as ``autoencoder__latent_dim``, steps can be sliced, and it
    goes into `GridSearchCV` with a scorer of `latentgen.metrics`.

    Read more in the :ref:`User Guide <pipeline>`.

    Parameters
    ----------
    steps : list of (str, estimator) tuples
        The autoencoder first, then transformers with ``inverse_transform`` such as
        `StandardScaler` or `PCA`, and last a sampler: any estimator with ``sample``, also
        scikit-learn's `GaussianMixture` and `KernelDensity`. ``"prior"`` as the last step is the
        prior of an autoencoder that has one, with nothing between the two. A transformer of your
        own as the first step gets images as you pass them, in ``fit`` and from scorers alike.
    transform_input : list of str, default=None
        As in `sklearn.pipeline.Pipeline`.
    memory : str or object with the joblib.Memory interface, default=None
        Cache of fitted transformers. A search over sampler parameters then fits each
        autoencoder once per fold, and not once per candidate. Autoencoders with
        ``random_state=None`` are cached too, so give them a seed.
    n_refinements : int, default=0
        Number of times that the drawn images are encoded and decoded once more, at least 0. Codes
        that are drawn lie a little beside those that the encoder gives, and each refinement moves
        them there [1]_. It takes one pass of encoder and decoder each. May be changed after
        ``fit``. See :ref:`refinements` for what it does to quality and novelty.
    verbose : bool, default=False
        Print the time that each step took.

    Attributes
    ----------
    named_steps : Bunch
        The steps by name.
    sampler_ : estimator
        The fitted sampler: the last step, or a `PriorSampler` where that is ``"prior"``.
    classes_ : ndarray of shape (n_classes,)
        Known labels, when the sampler is class-conditional.
    image_shape_ : tuple of int
        (C, H, W), when the first step knows it.
    is_synthetic_ : ndarray of shape (n_samples_resampled,), dtype bool
        Which rows of the last ``fit_resample`` are generated.
    n_features_in_ : int
        Number of pixels, C * H * W.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, when the images came as a data frame.

    See Also
    --------
    make_latent_pipeline : Shorthand that names the steps.
    latentgen.ConditionalSampler : Makes any sampler class-conditional.

    Notes
    -----
    With ``memory``, fitted copies of the transformers replace those passed in, as in
    scikit-learn. Without, the steps are fitted in place. A ``fit`` that fails, in whichever step,
    leaves all steps as they were before.

    What the autoencoder knows is handed over to a sampler whose ``fit`` names it: its
    ``code_shape_`` (None if the steps between change the number of columns) as `code_shape`, its
    ``quantizer_`` as `quantizer`, and itself as `decoder`.

    ``score`` and ``score_samples`` are log-densities of codes. They compare samplers on the codes
    of one autoencoder, and not autoencoders: for these use the scorers of `latentgen.metrics`.

    A refinement changes images a little, so that dials of the sampler such as ``min_novelty`` hold
    for the codes before it.

    References
    ----------
    .. [1] Y. Bengio, L. Yao, G. Alain and P. Vincent, "Generalized Denoising Auto-Encoders as
       Generative Models", NeurIPS 2013, section 3: a chain of encoding and decoding whose samples
       approach the distribution of the training data. https://arxiv.org/abs/1305.6663

    Examples
    --------
    >>> from latentgen import ConvAutoencoder, GaussianSampler, LatentGenerativePipeline
    >>> from latentgen.datasets import load_digits_images
    >>> X, y = load_digits_images(return_X_y=True)
    >>> autoencoder = ConvAutoencoder(latent_dim=8, max_epochs=1, random_state=0)
    >>> pipeline = LatentGenerativePipeline(
    ...     [("autoencoder", autoencoder), ("sampler", GaussianSampler())]
    ... )
    >>> pipeline.fit(X).sample(3, random_state=0).shape
    (3, 1, 8, 8)
    """

    def __init__(self, steps, *, transform_input=None, memory=None, n_refinements=0, verbose=False):
        super().__init__(steps, transform_input=transform_input, memory=memory, verbose=verbose)
        self.n_refinements = n_refinements

    def fit(self, X, y=None, **params):
        """Fit the autoencoder, the transformers and the sampler, one after the other.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Images.
        y : array-like of shape (n_samples,), default=None
            Class labels; only class-conditional samplers and few autoencoders use them.
        **params : dict
            As in `sklearn.pipeline.Pipeline`.

        Returns
        -------
        self : object
            Fitted pipeline.

        Raises
        ------
        TypeError
            If the steps are not an autoencoder, invertible transformers and a sampler.
        ValueError
            If a step cannot be fitted, or the last step is ``"prior"`` and the autoencoder has
            none.
        """
        self._validate_steps()
        self._check_n_refinements()
        check_before_fit(self.steps, X, y)
        with ExitStack() as stack:
            for one in (self, *(step for _, step in self.steps if hasattr(step, "__dict__"))):
                stack.enter_context(keep_fitted_state_on_error(one))
            name, sampler = self.steps[-1]
            if _is_prior(sampler):
                sampler = _make_prior_sampler()
            # A plain pipeline of the same steps: its last one knows the fitted autoencoder.
            hand_over = HandOver(sampler)
            hand_over.pipeline = Pipeline(
                [*self.steps[:-1], (name, hand_over)],
                transform_input=self.transform_input,
                memory=self.memory,
                verbose=self.verbose,
            )
            hand_over.pipeline.fit(X, y, **params)
            # Fitted copies, with 'memory'.
            self.steps = [*hand_over.pipeline.steps[:-1], self.steps[-1]]
            self._prior_sampler = sampler if sampler is not self.steps[-1][1] else None
            self._was_fitted = True
        return self

    @available_if(_takes_in_images)
    def partial_fit(self, X, y=None, *, retrain=False):
        """Take in new images without a full refit; the first call is ``fit``.

        The autoencoder and the transformers stay as they are, so that codes taken in earlier
        keep their meaning, and the sampler takes in the codes of the new images. With `retrain`
        the autoencoder is trained further instead, by its own ``partial_fit``. Every earlier
        code is then out of date, so the other steps are fitted anew, to the codes of `X` alone:
        pass all images that they shall know.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            New images.
        y : array-like of shape (n_samples,), default=None
            Class labels; only class-conditional samplers use them.
        retrain : bool, default=False
            Train the autoencoder further.

        Returns
        -------
        self : object
            Fitted pipeline.

        Raises
        ------
        AttributeError
            If the sampler, or with `retrain` the autoencoder, has no ``partial_fit``.
        ValueError
            If the images have another shape than before.
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(X, y)
        name, step = self.steps[0 if retrain else -1]
        step = step if retrain else self._final_estimator
        if not hasattr(step, "partial_fit"):
            raise AttributeError(
                f"retrain={retrain} needs 'partial_fit' in step {name!r}, but "
                f"{type(step).__name__} has none. Use retrain={not retrain}, or fit with all "
                "images."
            )
        sampler = self._final_estimator
        if not retrain:
            codes = self[:-1].transform(X)
            handed = what_is_known(self.steps[0][1], sampler, codes)
            step.partial_fit(codes, y, **named_in(step.partial_fit, handed))
            return self
        # On copies, so that a failure leaves the steps in accord.
        name, autoencoder = self.steps[0]
        autoencoder = deepcopy(autoencoder).partial_fit(X, y)
        trained, codes = [(name, autoencoder)], autoencoder.transform(X)
        for name, step in self.steps[1:-1]:
            if _is_step(step):
                step = clone(step)
                codes = step.fit_transform(codes, y)
            trained.append((name, step))
        with keep_fitted_state_on_error(self), keep_fitted_state_on_error(sampler):
            sampler.fit(codes, y, **what_is_known(autoencoder, sampler, codes))
            self.steps = [*trained, self.steps[-1]]
        return self

    def __sklearn_is_fitted__(self):
        """Remember ``fit``, since steps may be any objects, or ask the autoencoder."""
        return getattr(self, "_was_fitted", False) or is_known_to_be_fitted(self.steps[0][1])

    def sample(
        self,
        n_samples=1,
        *,
        y=None,
        random_state=None,
        return_source=False,
        return_labels=False,
    ):
        """Draw new images.

        Parameters
        ----------
        n_samples : int, default=1
            Number of images, at least 1.
        y : label or array-like of shape (n_samples,), default=None
            Wanted class of all images, or of each. Needs a class-conditional sampler; None
            draws classes as frequently as they were in ``fit``.
        random_state : int, RandomState instance or None, default=None
            The same integer gives the same images; None gives new ones in every call.
        return_source : bool, default=False
            Whether to return where each image comes from.
        return_labels : bool, default=False
            Whether to return the class of each image. Needs a class-conditional sampler.

        Returns
        -------
        X_new : ndarray
            Images in the layout, dtype and range of those seen during ``fit``.
        y_new : ndarray of shape (n_samples,)
            Only if `return_labels`: the class of each image.
        source : Bunch
            Only if `return_source`: ``row``, ndarray of shape (n_samples,), index of the training
            image whose code a draw started from, in the order of all images seen in ``fit`` and
            ``partial_fit``, -1 for none; and what the sampler adds.

        Raises
        ------
        ValueError
            If `n_samples` is below 1, or labels are unknown or cannot be used.
        NoSourceError
            If sources are asked of a sampler that has none.
        """
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        self._check_n_refinements()
        arguments = {"y": y, "random_state": random_state}
        if return_source or return_labels:
            arguments |= {"return_source": return_source, "return_labels": return_labels}
            codes, *more = draw(self.sampler_, n_samples, **arguments)
            return self._decode_draws(codes), *more
        return self._decode_draws(draw(self.sampler_, n_samples, **arguments))

    def _decode_draws(self, codes):
        X_new = self._decode(codes)
        for _ in range(self.n_refinements):
            X_new = self.reconstruct(X_new)
        return X_new

    def iter_sample(self, n_samples, batch_size=512, *, y=None, random_state=None):
        """Draw new images batch by batch, in memory that does not grow with their number.

        Parameters
        ----------
        n_samples : int
            Number of images in all.
        batch_size : int, default=512
            Images per batch; the last batch may be smaller.
        y : label or array-like of shape (n_samples,), default=None
            As in ``sample``.
        random_state : int, RandomState instance or None, default=None
            The same integer gives the same images for the same `batch_size`.

        Returns
        -------
        batches : iterator of ndarray
            Images as ``sample`` gives them.

        Raises
        ------
        ValueError
            If a number is below 1, or `y` is an array of another length than `n_samples`.
        """
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        check_scalar(batch_size, "batch_size", Integral, min_val=1)
        if np.ndim(y):
            y = column_or_1d(y)
            if len(y) != n_samples:
                raise ValueError(
                    f"Expected one label per image, got {len(y)} labels for n_samples={n_samples}."
                )
        rng = check_random_state(random_state)
        return self._batches(n_samples, batch_size, y, rng)

    def _batches(self, n_samples, batch_size, y, rng):
        for start in range(0, n_samples, batch_size):
            size = min(batch_size, n_samples - start)
            labels = y[start : start + size] if np.ndim(y) else y
            yield self.sample(size, y=labels, random_state=rng)

    @available_if(has("score_samples", of=_last_step))
    def score_samples(self, X):
        """Compute the log-density of the codes of images.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Images.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats, with respect to the units of the codes.
        """
        check_is_fitted(self)
        return self.sampler_.score_samples(self[:-1].transform(X))

    @available_if(has("score_samples", of=_last_step))
    def score(self, X, y=None):
        """Compute the mean log-density of the codes of images.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Images, preferably unseen during ``fit``.
        y : Ignored
            Not used, present here for API consistency by convention.

        Returns
        -------
        score : float
            In nats per code; higher is better. Depends on the units of the codes, so it does not
            compare autoencoders.
        """
        # Not by a method of the sampler: that of scikit-learn's KernelDensity gives the sum.
        return float(np.mean(self.score_samples(X)))

    def reconstruct(self, X):
        """Encode images with all steps before the sampler and decode the codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Images.

        Returns
        -------
        X_images : ndarray
            Reconstructions in the layout, dtype and range of the images seen during ``fit``.
        """
        check_is_fitted(self)
        return self._decode(self[:-1].transform(X))

    @available_if(has("sample_posterior", of=_first_step))
    def sample_posterior(self, X, *, random_state=None):
        """Draw a code of each image from the posterior of a variational autoencoder, and decode it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Images.
        random_state : int, RandomState instance or None, default=None
            The same integer gives the same images; None gives new ones in every call.

        Returns
        -------
        X_images : ndarray
            One image per image, which resembles it, in the layout, dtype and range of those seen
            during ``fit``.

        Raises
        ------
        ValueError
            If the autoencoder is not variational.
        """
        check_is_fitted(self)
        codes = self.steps[0][1].sample_posterior(X, random_state=random_state)
        for _, step in self.steps[1:-1]:
            if _is_step(step):
                codes = step.transform(codes)
        return self._decode(codes)

    def interpolate(self, X_start, X_end, *, n_steps=8):
        """Decode the straight lines between the codes of two sets of images.

        Parameters
        ----------
        X_start, X_end : array-like of shape (n_pairs, n_features), (n_pairs, H, W) or \
                (n_pairs, C, H, W)
            Images to start from and to arrive at, pair by pair.
        n_steps : int, default=8
            Images per pair, both reconstructed ends included; at least 2.

        Returns
        -------
        X_between : ndarray of shape (n_pairs, n_steps, ...)
            Images in the layout, dtype and range of those seen during ``fit``.

        Raises
        ------
        ValueError
            If the two sets differ in length or `n_steps` is below 2.
        """
        check_is_fitted(self)
        check_scalar(n_steps, "n_steps", Integral, min_val=2)
        check_consistent_length(X_start, X_end)
        encoder = self[:-1]
        Z_start, Z_end = (np.asarray(encoder.transform(X)) for X in (X_start, X_end))
        weights = np.linspace(0, 1, n_steps, dtype=np.float32)[:, None]
        Z = Z_start[:, None] * (1 - weights) + Z_end[:, None] * weights
        images = self._decode(Z.reshape(-1, Z.shape[2]))
        return images.reshape(len(Z), n_steps, *images.shape[1:])

    def fit_resample(self, X, y, *, sampling_strategy="auto", random_state=None):
        """Fit, then add generated images until the classes are balanced.

        Named and shaped as in imbalanced-learn: the images passed in come first, unchanged, the
        generated ones after them. Both come back as arrays, data frames too.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Images.
        y : array-like of shape (n_samples,)
            Class labels.
        sampling_strategy : {'auto', 'not majority', 'minority', 'not minority', 'all'}, \
                float or dict, default='auto'
            Which classes are filled up to the size of the largest one; ``'auto'`` is ``'not
            majority'``. A float is the wanted ratio of the smaller to the larger of two
            classes, in (0, 1]. A dict gives the wanted size of each class it names.
        random_state : int, RandomState instance or None, default=None
            Seed of the generated images.

        Returns
        -------
        X_resampled : ndarray of shape (n_samples_resampled, ...)
            Images in the layout of `X`.
        y_resampled : ndarray of shape (n_samples_resampled,)
            Their labels; ``is_synthetic_`` says which are generated.

        Raises
        ------
        ValueError
            If the strategy does not fit the labels, or the sampler is not class-conditional.
        """
        y = column_or_1d(y)
        check_consistent_length(X, y)
        missing = missing_per_class(y, sampling_strategy)
        self.fit(X, y)
        if not hasattr(self.sampler_, "classes_"):
            name = type(self.sampler_).__name__
            raise ValueError(
                "fit_resample needs a class-conditional sampler as the last step, got "
                f"{name}. Wrap it: ConditionalSampler({name}())."
            )
        wanted = np.repeat(list(missing), list(missing.values())).astype(y.dtype)
        self.is_synthetic_ = np.arange(len(y) + len(wanted)) >= len(y)
        if not len(wanted):
            return np.array(X), y.copy()
        X_new = self.sample(len(wanted), y=wanted, random_state=random_state)
        return np.concatenate([np.asarray(X), X_new]), np.concatenate([y, wanted])

    @property
    def sampler_(self):
        """Fitted sampler: the last step, or the prior of the autoencoder."""
        sampler = self._final_estimator
        if _is_prior(sampler):
            raise NotFittedError(
                "The prior of the autoencoder is known after 'fit'. Fit the pipeline first."
            )
        return sampler

    @property
    def _final_estimator(self):
        # scikit-learn asks this property for what a pipeline can do.
        last = super()._final_estimator
        return getattr(self, "_prior_sampler", None) or last if _is_prior(last) else last

    @property
    def classes_(self):
        """Known labels, when the sampler is class-conditional."""
        return self._final_estimator.classes_

    @property
    def image_shape_(self):
        """(C, H, W) of the images seen during ``fit``."""
        return self.steps[0][1].image_shape_

    def __getitem__(self, ind):
        part = super().__getitem__(ind)
        if not isinstance(ind, slice):
            return self._final_estimator if _is_prior(part) else part
        part.n_refinements = self.n_refinements
        last = part.steps[-1][1] if part.steps else None
        if _is_prior(last):
            part._prior_sampler = getattr(self, "_prior_sampler", None)
        elif part.steps and not hasattr(last, "sample"):
            # Without a sampler it is a transformer, and can be fitted as one.
            part = Pipeline(part.steps, verbose=self.verbose)
            if getattr(self, "_was_fitted", False) and not is_known_to_be_fitted(part):
                return _FittedPipeline(part.steps, verbose=self.verbose)
        return part

    def _decode(self, codes):
        for _, step in reversed(self.steps[:-1]):
            if _is_step(step):
                codes = step.inverse_transform(codes)
        return codes

    def _check_n_refinements(self):
        check_scalar(self.n_refinements, "n_refinements", Integral, min_val=0)

    def _validate_steps(self):
        between = [(name, step) for name, step in self.steps[1:-1] if _is_step(step)]
        if self.steps and _is_prior(self.steps[-1][1]):
            if between:
                name, step = between[0]
                raise ValueError(
                    "sampler='prior' draws codes of the autoencoder, but step "
                    f"{name!r} ({type(step).__name__}) stands between the two. Leave it out, or "
                    "pass a sampler."
                )
            # Without its last step, which scikit-learn would take for no estimator.
            Pipeline([*self.steps[:-1], (self.steps[-1][0], None)])._validate_steps()
        else:
            super()._validate_steps()
        for name, step in self.steps[:-1]:
            if _is_step(step) and not hasattr(step, "inverse_transform"):
                raise TypeError(
                    "All steps before the sampler must have 'inverse_transform', but step "
                    f"{name!r} ({type(step).__name__}) has none."
                )
        name, sampler = self.steps[-1]
        if not (hasattr(sampler, "sample") or _is_prior(sampler)):
            raise TypeError(
                f"The last step must have 'sample', but step {name!r} "
                f"({type(sampler).__name__}) has none. Use a sampler, for example "
                "FastHVRTSampler()."
            )


def _make_prior_sampler():
    from latentgen.samplers import PriorSampler

    return PriorSampler()


def make_latent_pipeline(*steps, memory=None, n_refinements=0, verbose=False):
    """Build a `LatentGenerativePipeline` without naming the steps.

    Parameters
    ----------
    *steps : estimators
        The autoencoder, then any transformers, then the sampler. What is left out is filled in:
        `ConvAutoencoder()` comes first unless the first step has ``inverse_transform``, and
        `FastHVRTSampler()` last unless the last step has ``sample``.
    memory : str or object with the joblib.Memory interface, default=None
        Cache of fitted transformers.
    n_refinements : int, default=0
        Number of times that the drawn images are encoded and decoded once more, as in
        `LatentGenerativePipeline`.
    verbose : bool, default=False
        Print the time that each step took.

    Returns
    -------
    pipeline : LatentGenerativePipeline
        Its steps are named ``autoencoder`` and ``sampler``, those between after their class in
        lower case as by `sklearn.pipeline.make_pipeline`.

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> from latentgen import ConvAutoencoder, GaussianSampler, make_latent_pipeline
    >>> pipeline = make_latent_pipeline(ConvAutoencoder(), StandardScaler(), GaussianSampler())
    >>> list(pipeline.named_steps)
    ['autoencoder', 'standardscaler', 'sampler']
    """
    steps = list(steps)
    if not steps or not hasattr(steps[0], "inverse_transform"):
        from latentgen.autoencoders import ConvAutoencoder

        steps.insert(0, ConvAutoencoder())
    if len(steps) == 1 or not hasattr(steps[-1], "sample"):
        from latentgen.samplers import FastHVRTSampler

        steps.append(FastHVRTSampler())
    between = make_pipeline(*steps[1:-1]).steps if steps[1:-1] else []
    named = [("autoencoder", steps[0]), *between, ("sampler", steps[-1])]
    return LatentGenerativePipeline(
        named, memory=memory, n_refinements=n_refinements, verbose=verbose
    )
