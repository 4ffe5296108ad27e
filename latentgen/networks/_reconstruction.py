"""What networks that give images back share: their loss, and how regularizers see a step of it."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

# The fraction of the gradient that a regularizer has is measured once in so many steps.
_STEPS_PER_MEASUREMENT = 50
# Weight of the cross-entropy in 'mae_bce'. The absolute error alone has no gradient left where
# pixels are wrong and saturated, and leaves images with little ink black.
_BCE_WEIGHT = 0.1
# Axes of (B, C, H, W) that an image may be mirrored along.
_FLIPS = {"horizontal": (3,), "vertical": (2,), "both": (2, 3)}


class Code(NamedTuple):
    """Mean and log-variance of codes, (B, latent_dim) each; no log-variance without a KL term."""

    mean: torch.Tensor
    log_variance: torch.Tensor | None = None


def unit_images(X, image_shape):
    """Turn flat bytes or floats into float32 images in [0, 1]."""
    X = X.float() / 255 if X.dtype == torch.uint8 else X.float().clamp(0, 1)
    return X.view(-1, *image_shape).contiguous(memory_format=torch.channels_last)


def kl_divergence(mean, log_variance):
    """KL(N(mean, variance) || N(0, I)) of each row in nats (Kingma and Welling 2014, app. B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


class ReconstructionModule(nn.Module):
    """Base of networks that are trained to give images back, with or without regularizers.

    A subclass calls ``super().__init__`` and writes ``encode(x, mask=None)``, images (B, C, H, W)
    in [0, 1] to a `Code`, and ``decode(z)``, codes (B, latent_dim) to pixel logits (B, C, H, W).
    Regularizers may ask for more, and say so when it is not there:

    code_layer : torch.nn.Module
        The last layer of the encoder, with ``weight``.
    decoder_stages : torch.nn.ModuleList
        Stages of the decoder, and ``decoder_features(z)``, their outputs.
    stride : int
        Pixels for each position of codes that are maps, and ``decode_map(z)``, maps of any sides
        to logits of sides ``stride`` times that, and ``pad(x)``.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W).
    code_shape : tuple of int
        (latent_dim,) or (channels, h, w).
    loss : {'auto', 'bce', 'mse', 'mae', 'mae_bce'}
        Reconstruction loss per pixel: binary cross-entropy, squared or absolute error, or the
        absolute error plus 0.1 times the cross-entropy. ``'auto'`` is ``'bce'`` with a KL term,
        and ``'mae_bce'`` without.
    beta : float
        Weight of the KL term; 0 where `encode` gives no log-variance.
    flip : {'horizontal', 'vertical', 'both'} or None
        Mirror half of the training images.
    """

    stride = None
    # Whether layers draw without being handed a generator, as dropout does. A network whose layers
    # do not may say so, which saves some microseconds in each call of torch.
    layers_draw = True

    def __init__(self, image_shape, code_shape, *, loss="auto", beta=0.0, flip=None):
        super().__init__()
        self.image_shape, self.code_shape = tuple(image_shape), tuple(code_shape)
        if loss == "auto":
            loss = "bce" if beta > 0 else "mae_bce"
        self.kind, self.beta, self.flip = loss, beta, flip
        self.regularization = None

    @property
    def draws_by_itself(self):
        """Whether layers or regularizers draw without being handed a generator."""
        regularized = self.regularization is not None and self.regularization.draws_by_itself
        return self.layers_draw or regularized

    def forward(self, X):
        """Reconstruct flat bytes or floats: pixels (B, C, H, W) in [0, 1]."""
        code = self.encode(unit_images(X, self.image_shape))
        return torch.sigmoid(self.decode(code.mean).float())

    def pad(self, x):
        """Fill up images to whole strides; here they are."""
        return x

    def loss(self, batch, *, progress, generator, stage):
        """(reconstruction + beta * KL) / n_pixels, averaged over the batch, and its terms."""
        x = unit_images(batch[0], self.image_shape)
        if self.training and self.flip is not None:
            x = random_flips(x, _FLIPS[self.flip], generator)
        step = TrainingStep(self, x, progress, generator)
        if self.training and self.regularization is not None:
            return self.regularization.loss(step)
        step.reconstruct()
        return step.plain_loss()

    def reconstruction(self, target, logits, weight=None):
        """Loss of logits per pixel, averaged with weights where they are given."""
        # Without weights in one pass, which takes half the time.
        losses = self._losses(logits.float(), target, "mean" if weight is None else "none")
        if weight is None:
            return losses
        weight = weight.expand_as(losses)
        return (weight * losses).sum() / weight.sum().clamp(min=1)

    def _losses(self, logits, target, reduction):
        if self.kind == "bce":
            return F.binary_cross_entropy_with_logits(logits, target, reduction=reduction)
        pixels = torch.sigmoid(logits)
        if self.kind == "mse":
            return F.mse_loss(pixels, target, reduction=reduction)
        losses = F.l1_loss(pixels, target, reduction=reduction)
        if self.kind == "mae_bce":
            entropies = F.binary_cross_entropy_with_logits(logits, target, reduction=reduction)
            losses = losses + _BCE_WEIGHT * entropies
        return losses

    def draw_code(self, code, generator):
        """Draw a code from the posterior if there is one (Kingma and Welling 2014, section 2.4).

        In validation too, or the loss would be no bound.
        """
        if code.log_variance is None:
            return code.mean
        noise = torch.randn(
            code.mean.shape, generator=generator, device=generator.device, dtype=code.mean.dtype
        )
        return code.mean + torch.exp(0.5 * code.log_variance) * noise


def random_flips(x, axes, generator):
    """Mirror each image (B, C, H, W) along each axis with probability 1/2."""
    for axis in axes:
        drawn = torch.rand(len(x), 1, 1, 1, generator=generator, device=generator.device)
        x = torch.where(drawn < 0.5, x.flip(axis), x)
    return x


class TrainingStep:
    """One batch on its way through the network, as regularizers see and change it.

    Attributes
    ----------
    module : ReconstructionModule
        The network.
    progress : float
        Fraction of the training that is done, in [0, 1).
    x : Tensor of shape (B, C, H, W)
        Images in [0, 1].
    z : Tensor of shape (B, latent_dim) or (B, channels, h, w)
        Codes of `x`, drawn from the posterior if there is one.
    code : Code
        What the KL is computed from.
    target, logits : Tensor of shape (B, C, H, W)
        What the reconstruction loss is computed from.
    """

    def __init__(self, module, x, progress, generator):
        self.module, self.x, self.progress, self._generator = module, x, progress, generator

    def encode(self, x, mask=None):
        """Set the images and their codes."""
        self.code = self.module.encode(x) if mask is None else self.module.encode(x, mask)
        self.x, self.z = x, self.module.draw_code(self.code, self._generator)
        shape = self.module.code_shape
        if len(shape) == 3:
            sides = shape[1:]
            if x.shape[2:] != self.module.image_shape[1:]:
                sides = [math.ceil(side / self.module.stride) for side in x.shape[2:]]
            self.z = self.z.unflatten(1, (shape[0], *sides))

    def decode(self, z):
        """Logits of codes in the form of `z`."""
        return self.module.decode(z.flatten(1))

    def reconstruct(self):
        """The ordinary pass: whole images, and the codes as they are."""
        self.encode(self.x)
        self.target, self.logits = self.x, self.decode(self.z)

    def plain_loss(self, reconstruction=None):
        """Loss of the step, and its terms, without penalties."""
        if reconstruction is None:
            reconstruction = self.reconstruction(self.target, self.logits)
        terms = {"mse": self.squared_error()}
        if self.code.log_variance is None:
            return reconstruction, terms
        kl = kl_divergence(self.code.mean.float(), self.code.log_variance.float()).mean()
        # Per pixel of the images that were encoded, which may be smaller ones.
        return reconstruction + self.module.beta * kl / self.x[0].numel(), {**terms, "kl": kl}

    def squared_error(self):
        """Mean squared error per pixel, to be read and not to be learned from."""
        # In place: memory for one more batch of pixels takes longer than the sums.
        errors = torch.sigmoid(self.logits.detach().float()).sub_(self.target)
        return errors.square_().mean()

    def reconstruction(self, target, logits, weight=None):
        """Reconstruction loss of the network."""
        return self.module.reconstruction(target, logits, weight)

    @contextmanager
    def fixed_statistics(self):
        """Keep this pass out of the running statistics of batch normalization.

        Those are for whole images and their codes, and not for what regularizers make of them.
        """
        layers = [m for m in self.module.modules() if isinstance(m, _BatchNorm)]
        momenta = [layer.momentum for layer in layers]
        try:
            for layer in layers:
                layer.momentum = 0.0
            yield
        finally:
            for layer, momentum in zip(layers, momenta, strict=True):
                layer.momentum = momentum

    def uniform(self, low=0.0, high=1.0):
        """Draw a float."""
        return low + (high - low) * self._rand(()).item()

    def choice(self, items):
        """Draw one of some items."""
        # Never the number of items, whatever the rounding.
        return items[min(int(self.uniform(0, len(items))), len(items) - 1)]

    def normal_like(self, tensor):
        """Draw standard normal noise."""
        device = self._generator.device
        return torch.randn(tensor.shape, generator=self._generator, device=device).to(tensor)

    def random_order(self, n_rows, n_columns):
        """Draw a permutation in each row."""
        return self._rand((n_rows, n_columns)).argsort(dim=1)

    def _rand(self, shape):
        return torch.rand(shape, generator=self._generator, device=self._generator.device)


class Regularization(nn.Module):
    """Regularizers at work, and the networks that are trained along with them.

    Parameters
    ----------
    regularizers : list of LatentRegularizer
        Prepared ones.
    """

    def __init__(self, regularizers):
        super().__init__()
        self.regularizers = regularizers
        self.heads = nn.ModuleList(r.heads_ for r in regularizers if r.heads_ is not None)
        self.draws_by_itself = any(r.draws_by_itself for r in regularizers)
        # In the state, so that a training that is resumed goes on counting.
        self.register_buffer("n_steps", torch.tensor(0))

    def loss(self, step):
        """Loss of a training step, with what each regularizer adds or puts in place."""
        measured = int(self.n_steps) % _STEPS_PER_MEASUREMENT == 0
        self.n_steps += 1
        active = [i for i, r in enumerate(self.regularizers) if r._is_active(step.progress)]
        # One of them at most takes the place of the ordinary pass.
        acted = next((i for i in active if self.regularizers[i]._replace(step)), None)
        if acted is None:
            step.reconstruct()
        reconstruction = step.reconstruction(step.target, step.logits)
        loss, terms = step.plain_loss(reconstruction)
        for i in active:
            regularizer, term = self.regularizers[i], None
            penalty = regularizer._penalty(step)
            if penalty is not None:
                weight, fraction = _weigh(
                    regularizer, step.module, reconstruction, penalty, measured
                )
                loss, term = loss + weight * penalty, (penalty, weight, fraction)
            elif i == acted:
                weight = regularizer._base_weight
                loss = loss + (weight - 1) * reconstruction
                term = (reconstruction, weight, 1.0)
            if term is not None:
                for name, value in zip(("loss", "weight", "gradient_fraction"), term, strict=True):
                    if value is not None:
                        terms[f"regularizer_{i}_{name}"] = value
        return loss, terms


def _weigh(regularizer, module, reconstruction, penalty, measured):
    """Weight of a penalty, and its fraction of the gradient where that is measured."""
    adaptive = regularizer.weight == "adaptive"
    weights = regularizer._anchor(module) if adaptive or measured else None
    if weights is None:
        return regularizer._base_weight, None
    norms = [gradient_norm(loss, weights) for loss in (reconstruction, penalty)]
    weight = regularizer._base_weight
    if adaptive:
        weight *= min(norms[0] / (norms[1] + 1e-4), 1e4)
    total = norms[0] + weight * norms[1]
    return weight, weight * norms[1] / total if total else 0.0


def gradient_norm(loss, weights):
    """Norm of the gradient of a loss with respect to some weights, as a float."""
    if not (loss.requires_grad and weights.requires_grad):
        return 0.0
    (gradient,) = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    return 0.0 if gradient is None else float(gradient.norm())
