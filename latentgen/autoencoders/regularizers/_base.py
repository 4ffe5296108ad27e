"""The contract of regularizers, and what brings them into a training."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

from sklearn.base import BaseEstimator, clone
from sklearn.utils._param_validation import Interval, StrOptions
from torch.nn import functional as F

FRACTION = [Interval(Real, 0, 1, closed="both")]
# Ordinary steps must be left over: batch normalization learns its statistics from them.
FRACTION_OF_STEPS = [Interval(Real, 0, 1, closed="left")]
FIXED_WEIGHT = [Interval(Real, 0, None, closed="left")]


class LatentRegularizer(BaseEstimator):
    """Base of what changes the training steps of an autoencoder; derive your own from it.

    An autoencoder takes a list of them as ``regularizers``, and uses copies. While
    ``start <= progress < end``, each training step calls two hooks, of which an implementer writes
    one or both:

    - ``_penalty(step)`` gives a loss to add, a tensor of shape (), or None.
    - ``_replace(step)`` takes the place of the ordinary pass: it calls ``step.encode``, sets
      ``step.target`` and ``step.logits``, and gives True. Or it leaves the step alone and gives
      None. In each step one regularizer at most does so, the first in the list.

    `start`, `end` and `weight` may be parameters, and are 0, 1 and 1 where they are not.

    Read more in the :ref:`User Guide <regularizers>`.

    Attributes
    ----------
    start : float
        Fraction of the training after which it begins.
    end : float
        Fraction of the training after which it ends.
    weight : float or 'adaptive'
        Weight of the penalty, or of the reconstruction loss in steps that are replaced.
        ``'adaptive'`` is the ratio of the gradients of reconstruction and penalty.
    heads_ : torch.nn.Module or None
        Networks that are trained along, and dropped afterwards.
    needs : tuple of str
        Names of what the network must have beside the things that all have, see Notes. An
        attribute of the class, as are the next three.
    needs_map : bool
        Whether codes must be maps.
    masks_images : bool
        Whether the encoder must be told where patches are hidden.
    draws_by_itself : bool
        Whether hooks or heads draw random numbers in other ways than by those of the step, such as
        by dropout. These are then redirected, which costs a little time.

    See Also
    --------
    NoiseAugmentedDecoding : A short one that replaces steps.
    ScaleEquivarianceRegularizer : A short one with a penalty.

    Notes
    -----
    A step has the images ``x`` (B, C, H, W) in [0, 1], their codes ``z``, vectors
    (B, latent_dim) or maps (B, channels, h, w), the ``progress`` of the training in [0, 1), and
    the network ``module``. ``step.decode(z)`` gives pixel logits,
    ``step.reconstruction(target, logits)`` the loss of the autoencoder, and
    ``step.fixed_statistics()`` is a context in which passes leave the running statistics of batch
    normalization alone. ``step.uniform``, ``step.choice``, ``step.normal_like`` and
    ``step.random_order`` draw random numbers, which ``random_state`` of the autoencoder decides.

    Before the training, ``_prepare(X, y, module, device, seeds)`` is called once with the flat
    training images, their labels or None, the network, and a tuple of integers as seeds. It calls
    ``super()._prepare(X, y, module, device, seeds)`` first, and may set ``heads_`` then; weights
    that it makes are drawn by ``random_state`` too.

    Every network has ``image_shape``, ``code_shape``, ``encode``, ``decode`` and ``pad``. What
    regularizers may need beside these:

    ============================ ===========================================================
    ``stride``                   pixels for each position of codes that are maps
    ``decode_map(z)``            logits of maps of any sides, ``stride`` times those
    ``decoder_features(z)``      outputs of the decoder's stages, the coarsest first
    ``first_layer``              first layer of the decoder, with ``weight``
    ``code_layer``               last layer of the encoder, with ``weight``
    ============================ ===========================================================

    Gradients are measured with respect to the weights of the ``code_layer``, or the last ones in
    ``module.encoder`` where a network has no such layer; ``_anchor(module)`` gives others.

    Examples
    --------
    >>> from latentgen import ConvAutoencoder
    >>> from latentgen.autoencoders import LatentRegularizer
    >>> from latentgen.datasets import load_digits_images
    >>> class SmallCodes(LatentRegularizer):
    ...     def __init__(self, *, weight=0.01):
    ...         self.weight = weight
    ...
    ...     def _penalty(self, step):
    ...         return step.z.square().mean()
    >>> X, _ = load_digits_images(return_X_y=True)
    >>> autoencoder = ConvAutoencoder(8, regularizers=[SmallCodes()], max_epochs=1)
    >>> autoencoder.fit(X[:200]).history_[0]["regularizers"][0]["loss"] > 0
    True
    """

    start = 0.0
    end = 1.0
    weight = 1.0

    needs = ()
    needs_map = False
    masks_images = False
    draws_by_itself = True

    # What the ratio of gradients is multiplied by with weight='adaptive'.
    _published_weight = 1.0

    _parameter_constraints: dict = {
        "start": FRACTION,
        "end": FRACTION,
        "weight": [*FIXED_WEIGHT, StrOptions({"adaptive"})],
    }

    @property
    def replaces_steps(self):
        """Whether some steps are the regularizer's own."""
        return type(self)._replace is not LatentRegularizer._replace

    @property
    def _base_weight(self):
        """Weight before any adaptation."""
        return self._published_weight if self.weight == "adaptive" else self.weight

    def _is_active(self, progress):
        """Whether the regularizer acts when `progress`, in [0, 1), of the training is done."""
        return self.start <= progress < self.end and self._base_weight > 0

    def _prepare(self, X, y, module, device, seeds):
        """Check parameters and set attributes, such as ``heads_``, before training."""
        self._validate_params()
        if self.start >= self.end:
            raise ValueError(
                f"'start' must be less than 'end' in {type(self).__name__}, got {self.start} and "
                f"{self.end}."
            )
        self.heads_ = None

    def _anchor(self, module):
        """Weights at which gradients are measured: those of the encoder's last layer, or None."""
        if getattr(module, "code_layer", None) is not None:
            return module.code_layer.weight
        # A network of the user's own, in which nothing has a name.
        encoder = getattr(module, "encoder", None)
        parameters = [] if encoder is None else encoder.parameters()
        weights = [p for p in parameters if p.requires_grad and p.ndim > 1]
        return weights[-1] if weights else None

    def _replace(self, step):
        """Set ``x``, ``z``, ``target``, ``logits`` and so on of a step, or give None."""

    def _penalty(self, step):
        """Give the loss to add, or None."""


def check_regularizers(regularizers, module):
    """Refuse what is not a regularizer, and what does not go with the network or the others."""
    for item in regularizers:
        if not isinstance(item, LatentRegularizer):
            raise TypeError(
                "'regularizers' must be a list of regularizers of latentgen.autoencoders, got "
                f"{item!r} in it. Use for example [ScaleEquivarianceRegularizer()]."
            )
        name, network = type(item).__name__, type(module).__name__
        if item.needs_map and len(module.code_shape) != 3:
            raise ValueError(
                f"{name} needs codes that are maps, got codes of shape {module.code_shape}. Use "
                "an autoencoder with such codes, as ConvAutoencoder(spatial_latent=True)."
            )
        needs = [*item.needs, *(["masked"] if item.masks_images else [])]
        # None and False stand for what a network of this kind could have, but this one has not.
        missing = [need for need in needs if not _has(module, need)]
        if missing:
            raise ValueError(
                f"{name} needs a network with {' and '.join(map(repr, missing))}, which "
                f"{network} does not have. Use ConvAutoencoder, or give it what is missing, see "
                "LatentRegularizer."
            )
        if item.weight == "adaptive" and item._anchor(module) is None:
            raise ValueError(
                f"{name} needs a network with 'code_layer', or with weights that learn in "
                f"'encoder', to adapt its weight, and {network} has neither. Set a number as "
                "'weight'."
            )
    replacing = [item for item in regularizers if item.replaces_steps]
    if len(replacing) > 1 and any(item.masks_images for item in replacing):
        raise ValueError(
            "MaskedAutoencodingObjective takes every step, so that no other regularizer which "
            f"does can act beside it, got {[type(item).__name__ for item in replacing]}. Leave one "
            "out."
        )


def _has(module, name):
    value = getattr(module, name, None)
    return value is not None and value is not False


def prepare_regularizers(regularizers, X, y, module, device, seeds):
    """Copy regularizers, check them, and make them ready for a training.

    Parameters
    ----------
    regularizers : list of LatentRegularizer
    X : ndarray of shape (n_samples, n_features)
        Training images.
    y : array-like of shape (n_samples,) or None
        Their labels.
    module : ReconstructionModule
        Network that is to be trained.
    device : str
    seeds : tuple of int
        For what they draw before the training.

    Returns
    -------
    prepared : list of LatentRegularizer
    """
    check_regularizers(regularizers, module)
    prepared = [clone(item) for item in regularizers]
    for number, item in enumerate(prepared):
        item._prepare(X, y, module, device, (*seeds, number))
    return prepared


def resize(x, sides, antialias=False):
    """Images or maps (B, C, h, w) with other sides, bilinear."""
    if tuple(x.shape[2:]) == tuple(sides):
        return x
    return F.interpolate(x, tuple(sides), mode="bilinear", antialias=antialias)
