"""Loss, data set and net that train an autoencoder, with regularisers or without."""

# SPDX-License-Identifier: BSD-3-Clause

import math
import warnings
from contextlib import contextmanager

import torch
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNet, callbacks
from skorch.dataset import unpack_data
from skorch.utils import to_device
from torch import nn
from torch.nn import functional as F

from latentgen.networks._conv import unit_images
from latentgen.utils._torch import pixels_to_tensor


def kl_divergence(mean, log_variance):
    """KL(N(mean, variance) || N(0, I)) of each row in nats (Kingma and Welling 2014, app. B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


class PixelLoss(nn.Module):
    """(reconstruction + beta * KL) / n_pixels, averaged over the batch."""

    def __init__(self, loss, beta):
        super().__init__()
        self.loss = loss
        self.beta = beta

    def forward(self, y_pred, y_true):
        target, logits, mean, log_variance = y_pred
        loss = self.reconstruction(target, logits)
        if log_variance is not None:
            loss = loss + self.divergence(mean, log_variance, target[0].numel())
        return loss

    def reconstruction(self, target, logits, weight=None):
        """Distance of pixels and logits per pixel, averaged with weights where they are given."""
        if self.loss == "bce":
            losses = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
        else:
            losses = F.mse_loss(torch.sigmoid(logits.float()), target, reduction="none")
        if weight is None:
            return losses.mean()
        weight = weight.expand_as(losses)
        return (weight * losses).sum() / weight.sum().clamp(min=1)

    def divergence(self, mean, log_variance, n_pixels):
        """Weighted KL per pixel."""
        return self.beta * kl_divergence(mean.float(), log_variance.float()).mean() / n_pixels


class PixelRows(torch.utils.data.Dataset):
    """Rows of pixels, fetched a batch at a time; the second item stands in for a target."""

    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return pixels_to_tensor(self.X[index]), 0

    def __getitems__(self, indices):
        batch = pixels_to_tensor(self.X[indices])
        return batch, batch[:, :0]


def already_collated(batch):
    return batch


class WatchLoss(callbacks.Callback):
    """Record the KL of each batch and stop when the loss is no number any more."""

    def on_batch_end(self, net, training=False, y_pred=None, **kwargs):
        prefix = "train" if training else "valid"
        loss = net.history[-1, "batches", -1, f"{prefix}_loss"]
        if not math.isfinite(loss):
            raise ValueError(
                f"Training diverged in epoch {len(net.history)}: expected a finite loss, got "
                f"{loss}. Lower 'lr' (now {net.lr:g}) or use optimizer='adam'."
            )
        _, _, mean, log_variance = y_pred
        if log_variance is not None:
            kl = kl_divergence(mean.detach().float(), log_variance.detach().float()).mean()
            net.history.record_batch(f"{prefix}_kl", kl.item())


class EarlyStopping(callbacks.EarlyStopping):
    """Early stopping that counts epochs from `first` on, when all regularisers are at work.

    Otherwise the best epoch could be one without them, and restoring it would undo them.
    """

    def __init__(self, first=1, **kwargs):
        super().__init__(**kwargs)
        self.first = first

    def on_epoch_end(self, net, **kwargs):
        if net.history[-1, "epoch"] >= self.first:
            super().on_epoch_end(net, **kwargs)


class TrainingStep:
    """One batch on its way through the network, as regularisers see and change it.

    Attributes
    ----------
    module : ConvAutoencoderNet
    criterion : PixelLoss
    progress : float
        Share of the training that is done, in [0, 1).
    x : Tensor of shape (B, C, H, W)
        Images in [0, 1].
    z : Tensor of shape (B, latent_dim) or (B, channels, h, w)
        Codes of `x`, drawn from the posterior if there is one.
    target, logits, mean, log_variance : Tensor
        What the reconstruction loss and the KL are computed from.
    """

    def __init__(self, module, criterion, x, progress):
        self.module, self.criterion = module, criterion
        self.x, self.progress = x, progress

    def encode(self, x, mask=None):
        """Set the images and their codes."""
        self.mean, self.log_variance = self.module.encode(x, mask)
        self.x, self.z = x, self.module.draw_code(self.mean, self.log_variance)
        if self.module.spatial_latent:
            sides = [math.ceil(side / self.module.stride) for side in x.shape[2:]]
            self.z = self.z.unflatten(1, (self.module.code_shape[0], *sides))

    def decode(self, z):
        """Logits of codes in the form of `z`, cropped to the images."""
        return self.module.decode(z.flatten(1))

    @contextmanager
    def fixed_statistics(self):
        """Keep this pass out of the running statistics of batch normalisation.

        Those are for whole images and their codes, and not for what regularisers make of them.
        """
        layers = [m for m in self.module.modules() if isinstance(m, nn.BatchNorm2d)]
        momenta = [layer.momentum for layer in layers]
        try:
            for layer in layers:
                layer.momentum = 0.0
            yield
        finally:
            for layer, momentum in zip(layers, momenta, strict=True):
                layer.momentum = momentum

    # Draws have a generator of their own, so that regularisers leave the order of images alone.

    def uniform(self, low=0.0, high=1.0):
        """Draw a float."""
        return low + (high - low) * torch.rand((), generator=self.criterion.generator).item()

    def choice(self, items):
        """Draw one of some items."""
        index = torch.randint(len(items), (), generator=self.criterion.generator).item()
        return items[index]

    def normal_like(self, tensor):
        """Draw standard normal noise."""
        noise = torch.randn(tensor.shape, generator=self.criterion.generator)
        return noise.to(tensor)

    def random_order(self, n_rows, n_columns):
        """Draw a permutation in each row."""
        keys = torch.rand(n_rows, n_columns, generator=self.criterion.generator)
        return keys.argsort(dim=1)


class RegularizedLoss(PixelLoss):
    """The loss of a training step with regularisers; validation sees the plain loss.

    Parameters
    ----------
    loss, beta
        As in `PixelLoss`.
    regularizers : list of LatentRegularizer
        Prepared ones.
    n_epochs, n_batches : int
        Length of the training.
    seed : int
    """

    def __init__(self, loss, beta, regularizers, n_epochs, n_batches, seed):
        super().__init__(loss, beta)
        self.regularizers = regularizers
        # Here, and not in the module, so that they are trained and not kept.
        self.heads = nn.ModuleList(r.heads_ for r in regularizers if r.heads_ is not None)
        self.n_batches, self.n_steps = n_batches, n_epochs * n_batches
        self.n_done = 0
        self.generator = torch.Generator().manual_seed(seed)
        self.logs = []

    def step(self, module, X):
        """Loss of one batch of pixels; gives the output for the callbacks and the loss."""
        progress = self.n_done / self.n_steps
        first = self.n_done % self.n_batches == 0
        self.n_done += 1
        if first:
            self.logs.append([[] for _ in self.regularizers])
        step = TrainingStep(module, self, unit_images(X, module.image_shape), progress)
        active = [i for i, r in enumerate(self.regularizers) if r._is_active(progress)]
        # One of them at most takes the place of the ordinary pass.
        acted = next((i for i in active if self.regularizers[i]._replace(step)), None)
        if acted is None:
            step.encode(step.x)
            step.target, step.logits = step.x, step.decode(step.z)
        reconstruction = self.reconstruction(step.target, step.logits)
        loss = reconstruction
        for i in active:
            regularizer = self.regularizers[i]
            penalty = regularizer._penalty(step)
            if penalty is not None:
                weight, share = self._weigh(regularizer, module, reconstruction, penalty, first)
                loss = loss + weight * penalty
                self._log(i, penalty, weight, share)
            elif i == acted:
                weight = regularizer._base_weight
                loss = loss + (weight - 1) * reconstruction
                self._log(i, reconstruction, weight, 1.0)
        if step.log_variance is not None:
            # Of the images that were encoded, which may be smaller ones.
            n_pixels = step.x[0].numel()
            loss = loss + self.divergence(step.mean, step.log_variance, n_pixels)
        return (step.target, step.logits, step.mean, step.log_variance), loss

    def _weigh(self, regularizer, module, reconstruction, penalty, first):
        """Weight of a penalty, and its share of the gradient where that is measured."""
        adaptive = regularizer.weight == "adaptive"
        if not (adaptive or first):
            return regularizer._base_weight, None
        weights = regularizer._anchor(module)
        norms = [gradient_norm(loss, weights) for loss in (reconstruction, penalty)]
        weight = regularizer._base_weight
        if adaptive:
            weight *= min(norms[0] / (norms[1] + 1e-4), 1e4)
        total = norms[0] + weight * norms[1]
        return weight, weight * norms[1] / total if total else 0.0

    def _log(self, i, loss, weight, share):
        self.logs[-1][i].append((loss.detach(), weight, share))

    def report(self):
        """For each epoch, a list with one dict of means for each regulariser."""
        return [[_means(entries) for entries in epoch] for epoch in self.logs]


def gradient_norm(loss, weights):
    """Norm of the gradient of a loss with respect to some weights, as a float."""
    if not loss.requires_grad:
        return 0.0
    (gradient,) = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    return 0.0 if gradient is None else float(gradient.norm())


def _means(entries):
    """Means over the steps in which a regulariser acted."""
    if not entries:
        return {"loss": math.nan, "weight": 0.0, "gradient_share": 0.0}
    losses, weights, shares = zip(*entries, strict=True)
    shares = [share for share in shares if share is not None] or [math.nan]
    return {
        "loss": float(torch.stack(losses).mean()),
        "weight": sum(weights) / len(weights),
        "gradient_share": sum(shares) / len(shares),
    }


class RegularizedNet(NeuralNet):
    """A skorch net whose training steps are those of a `RegularizedLoss`."""

    def train_step_single(self, batch, **fit_params):
        """Take the loss of a batch and its gradients."""
        self._set_training(True)
        X, _ = unpack_data(batch)
        y_pred, loss = self.criterion_.step(self.module_, to_device(X, self.device))
        loss.backward()
        return {"loss": loss, "y_pred": y_pred}


def epoch_rows(history, first, reports=()):
    """Epochs of a skorch history as plain rows, numbered from `first`."""
    keys = ("train_loss", "valid_loss", "train_kl", "valid_kl", "dur")
    rows = [
        {"epoch": epoch} | {key: float(row[key]) for key in keys if key in row}
        for epoch, row in enumerate(history, start=first)
    ]
    for row, report in zip(rows, reports, strict=False):
        row["regularizers"] = report
    return rows


def warn_degradation(history, n_before, limit):
    """Compare the validation loss with that of the last epoch without regularisers.

    The first `n_before` of the rows in `history` are of an earlier ``fit``.
    """
    losses = [row.get("valid_loss") for row in history]
    regularized = [any(r["weight"] for r in row.get("regularizers", ())) for row in history]
    if True not in regularized[n_before:]:
        return
    first = regularized.index(True, n_before)
    if first == 0 or None in losses[first - 1 :]:
        return
    rise = min(losses[first:]) / losses[first - 1] - 1
    if rise > limit:
        warnings.warn(
            f"The validation loss rose by {rise:.0%} under the regularizers, expected at most "
            f"'max_rec_degradation'={limit:g}. Lower their weights, or start them later.",
            ConvergenceWarning,
            stacklevel=6,
        )
