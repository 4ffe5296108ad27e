"""A normalizing flow that computes its own loss."""

# SPDX-License-Identifier: BSD-3-Clause

from torch import nn


class NormalizingFlow(nn.Module):
    """An invertible map of vectors to standard normal noise.

    Parameters
    ----------
    flow : torch.nn.Module
        Called without arguments it gives a distribution with ``log_prob``, and with
        ``transform``, whose ``inv`` maps noise to vectors, as zuko's flows do.
    """

    draws_by_itself = False

    def __init__(self, flow):
        super().__init__()
        self.flow = flow

    def loss(self, batch, *, progress, generator, stage):
        """Minus the mean log-density of a batch, in nats."""
        return -self.log_density(batch[0]).mean(), {}

    def log_density(self, X):
        """Log-density of each row, in nats."""
        return self.flow().log_prob(X)

    def invert(self, noise):
        """Map rows of noise to vectors."""
        return self.flow().transform.inv(noise)
