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
    """Base of what changes training steps of an autoencoder; derive your own from it.

    An autoencoder takes a list of them as ``regularizers`` and uses copies. Each step of the
    training, while ``start <= progress < end``, calls two hooks with a `TrainingStep` (below); an
    implementer writes one of them or both:

    - ``_penalty(step)`` gives a loss to add, a tensor of shape (), or None.
    - ``_replace(step)`` takes the place of the ordinary pass: it calls ``step.encode`` and sets
      ``step.target`` and ``step.logits``, and gives True; or it leaves the step alone and gives
      None.

    ``_prepare(X, y, module, device, seeds)`` is called once before the training, with the flat
    training images, their labels or None, and the network; it calls ``super()._prepare`` and may
    check that the network has what it needs. Networks that are to be trained along, and dropped
    afterwards, go into ``heads_``, a torch module.

    Attributes
    ----------
    start, end : float
        Fractions of the training after which it begins and ends; parameters.
    weight : float or 'adaptive'
        Weight of the penalty, or of the reconstruction loss in steps that are replaced; a
        parameter. ``'adaptive'`` is ``_published_weight`` times the ratio of the gradients of
        reconstruction and penalty with respect to the weights of ``_anchor(module)``.
    heads_ : torch.nn.Module or None
        Networks to be trained along.

    See Also
    --------
    NoiseAugmentedDecoding : A short one to start from.

    Notes
    -----
    A step has the images ``x`` (B, C, H, W) in [0, 1], their codes ``z``, which are vectors
    (B, latent_dim) or maps (B, channels, h, w), ``progress`` in [0, 1), and the network
    ``module``. ``step.decode(z)`` gives pixel logits, ``step.reconstruction(target, logits)`` the
    loss of the autoencoder, ``step.fixed_statistics()`` is a context in which passes leave the
    running statistics of batch normalization alone, and ``step.uniform``, ``step.choice``,
    ``step.normal_like`` and ``step.random_order`` draw random numbers that the ``random_state``
    of the autoencoder decides.

    Every network has ``image_shape``, ``code_shape``, ``encode`` and ``decode``. Those of
    `ConvAutoencoder` also have ``code_layer``, ``decoder_stages`` and ``decoder_features(z)``,
    and with ``spatial_latent=True`` ``stride``, ``pad(x)`` and ``decode_map(z)``.

    Examples
    --------
    >>> from latentgen import ConvAutoencoder
    >>> from latentgen.autoencoders import LatentRegularizer
    >>> from latentgen.datasets import load_digits_images
    >>> class SmallCodes(LatentRegularizer):
    ...     def __init__(self, *, start=0.0, end=1.0, weight=0.01):
    ...         self.start, self.end, self.weight = start, end, weight
    ...
    ...     def _penalty(self, step):
    ...         return step.z.square().mean()
    >>> X, _ = load_digits_images(return_X_y=True)
    >>> autoencoder = ConvAutoencoder(8, regularizers=[SmallCodes()], max_epochs=1)
    >>> autoencoder.fit(X[:200]).history_[0]["regularizers"][0]["weight"]
    0.01
    """

    # Whether codes must be maps, and whether the encoder must know of hidden patches.
    needs_map = False
    masks_images = False

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
        """Weight before any adaption."""
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
        """Weights at which gradients are measured: those of the encoder's last layer."""
        layer = getattr(module, "code_layer", None)
        if layer is None:
            # A network of the user's own: the last weights of its encoder.
            return [p for p in module.encoder.parameters() if p.requires_grad and p.ndim > 1][-1]
        return layer.weight

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
        name = type(item).__name__
        if item.needs_map and not (len(module.code_shape) == 3 and module.stride):
            raise ValueError(
                f"{name} needs a network whose codes are maps, with 'stride' and 'decode_map', got "
                f"codes of shape {module.code_shape}. Use ConvAutoencoder(spatial_latent=True)."
            )
        if item.masks_images and not getattr(module, "masked", False):
            raise ValueError(
                f"{name} needs an encoder that is told where patches are hidden. Use "
                "ConvAutoencoder."
            )
    replacing = [item for item in regularizers if item.replaces_steps]
    if len(replacing) > 1 and any(item.masks_images for item in replacing):
        raise ValueError(
            "MaskedAutoencodingObjective takes every step, so that no other regularizer which "
            f"does can act beside it, got {[type(item).__name__ for item in replacing]}. Leave one "
            "out."
        )


def prepare_regularizers(regularizers, X, y, module, device, seeds):
    """Copies of regularizers, checked and ready for a training.

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
