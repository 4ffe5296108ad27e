"""The prior that an autoencoder brings along, as a sampler of codes."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval
from sklearn.utils.metaestimators import available_if

from latentgen.base import BaseSampler
from latentgen.samplers._gaussian import GaussianSampler
from latentgen.utils._available import has
from latentgen.utils._sampling import draw


class PriorSampler(BaseSampler):
    """The prior of the autoencoder that the codes come from.

    `LatentGenerativePipeline` takes it where its last step is ``"prior"``. Nothing is fitted:
    draws are those of ``prior_`` of the autoencoder, and only their distance from the training
    codes is measured. Without an autoencoder the prior is N(0, I), that of variational
    autoencoders.

    Read more in the :ref:`User Guide <samplers>`.

    Parameters
    ----------
    min_novelty : float, default=0.0
        Least distance of draws from the nearest training code, divided by the distance of that code
        to its own nearest neighbor. Nearer draws are drawn again; what stays too near is counted
        and warned of. Above 0 the sampler keeps the training codes.

    Attributes
    ----------
    prior_ : object
        Fitted prior of the autoencoder, shared with it.
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
    GaussianSampler : N(0, I) on its own, with ``covariance='identity'``.

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen import ConvAutoencoder, LatentGenerativePipeline
    >>> pipeline = LatentGenerativePipeline(
    ...     [("autoencoder", ConvAutoencoder(beta=1.0)), ("sampler", "prior")]
    ... )
    >>> from latentgen.samplers import PriorSampler
    >>> Z = np.random.RandomState(0).standard_normal((500, 2))
    >>> PriorSampler().fit(Z).sample(3, random_state=0).shape
    (3, 2)
    """

    _parameter_constraints: dict = {"min_novelty": [Interval(Real, 0, None, closed="left")]}
    _min_samples = 2

    def __init__(self, *, min_novelty=0.0):
        self.min_novelty = min_novelty

    def _fit(self, Z, y, rng, decoder=None):
        if decoder is None:
            self.prior_ = GaussianSampler(covariance="identity").fit(Z)
        else:
            self.prior_ = _prior_of(decoder)
        # Labels are those that the prior knows.
        if hasattr(self.prior_, "classes_"):
            self.classes_ = self.prior_.classes_
            n_classes = len(self.classes_)
            even = np.full(n_classes, 1 / n_classes)
            self.class_prior_ = getattr(self.prior_, "class_prior_", even)

    def _sample(self, n_samples, rng, y=None):
        if isinstance(self.prior_, BaseSampler):
            return self.prior_._draw_codes(n_samples, y, rng)[:2]
        return draw(self.prior_, n_samples, y=y, random_state=rng)

    @available_if(has("score_samples", of=lambda sampler: sampler.prior_))
    def _log_density(self, Z):
        return self.prior_.score_samples(Z)


def _prior_of(autoencoder):
    if not hasattr(autoencoder, "prior_"):
        name = type(autoencoder).__name__
        raise ValueError(
            f"sampler='prior' needs an autoencoder with a fitted 'prior_', and this {name} has "
            "none. Pass a sampler, for example FastHVRTSampler()."
        )
    return autoencoder.prior_
