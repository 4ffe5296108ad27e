"""Variational diffusion in continuous time."""

# SPDX-License-Identifier: BSD-3-Clause

import math

import torch
from torch import nn


class VariationalDiffusion(nn.Module):
    """Gaussian diffusion with a linear schedule.

    D. P. Kingma, T. Salimans, B. Poole, J. Ho. "Variational Diffusion Models". NeurIPS 2021,
    https://arxiv.org/abs/2107.00630; the sections below are those of this paper.

    ``gamma(t) = gamma_min + (gamma_max - gamma_min) t`` for t in [0, 1] is minus the logarithm of
    the signal-to-noise ratio, and ``u_t = alpha_t u + sigma_t noise`` with
    ``alpha_t**2 = sigmoid(-gamma)`` and ``sigma_t**2 = sigmoid(gamma)``.

    The noise is predicted as ``sigma_t u_t + alpha_t f(u_t, t)``. The first term is the best
    prediction for u ~ N(0, I), which is where a network f that starts at zero begins.

    Parameters
    ----------
    denoiser : torch.nn.Module
        f; takes codes (B, n_features) of about unit variance and times (B,).
    gamma_min, gamma_max : float
        Range of gamma.
    """

    def __init__(self, denoiser, gamma_min, gamma_max):
        super().__init__()
        # Redirecting the draws of layers costs a little for each call of torch.
        self.draws_by_itself = any(
            isinstance(layer, nn.Dropout) and layer.p > 0 for layer in denoiser.modules()
        )
        self.denoiser = denoiser
        self.gamma_min = gamma_min
        self.gamma_max = gamma_max

    def gamma(self, t):
        """Minus the log signal-to-noise ratio at times t."""
        return self.gamma_min + (self.gamma_max - self.gamma_min) * t

    def alpha_sigma(self, t):
        """Scale of signal and of noise at times t (B,), as columns (B, 1)."""
        gamma = self.gamma(t)[:, None]
        return torch.sigmoid(-gamma).sqrt(), torch.sigmoid(gamma).sqrt()

    def diffuse(self, u, t, noise):
        """Draw u_t given u (section 3.1)."""
        alpha, sigma = self.alpha_sigma(t)
        return alpha * u + sigma * noise

    def predict_noise(self, u_t, t):
        """Predict the noise in u_t, (B, n_features)."""
        alpha, sigma = self.alpha_sigma(t)
        return sigma * u_t + alpha * self.denoiser(u_t, t)

    def loss(self, batch, *, progress, generator, stage):
        """Mean of `continuous_bound` over a batch."""
        return self.continuous_bound(batch[0], generator).mean(), {}

    def continuous_bound(self, u, generator):
        """Bound on -log p(u) of each row in nats, by one time per row (section 5).

        The times are stratified over the batch, for a smaller variance.
        """
        n, device = len(u), u.device
        # In random order, because that of the rows may have a meaning.
        steps = torch.randperm(n, generator=generator, device=device) / n
        t = (torch.rand(1, generator=generator, device=device) + steps) % 1
        noise = torch.randn(u.shape, generator=generator, device=device)
        error = (noise - self.predict_noise(self.diffuse(u, t, noise), t)).square().sum(dim=1)
        return 0.5 * (self.gamma_max - self.gamma_min) * error + self._ends(u)

    def bound(self, u, noises):
        """Bound on -log p(u) of each row with discrete steps (section 4).

        Parameters
        ----------
        u : tensor of shape (B, n_features)
        noises : sequence of n_steps tensors of shape (B, n_features)
            Standard normal noise, one for each step.

        Returns
        -------
        bound : tensor of shape (B,)
            In nats. Averaged over noise, it falls as there are more steps.
        """
        n_steps, total = len(noises), self._ends(u)
        # With a linear gamma all steps have one weight.
        weight = 0.5 * math.expm1((self.gamma_max - self.gamma_min) / n_steps)
        for step, noise in enumerate(noises, start=1):
            t = torch.full((len(u),), step / n_steps, device=u.device)
            error = noise - self.predict_noise(self.diffuse(u, t, noise), t)
            total = total + weight * error.square().sum(dim=1)
        return total

    def chain_log_weight(self, u, noises):
        """Log importance weight of one chain of noisy codes for each row.

        The chain u_1, ..., u_0 is drawn from q given u; the weight is p(chain, u) / q(chain | u),
        with p the ancestral steps of the first order, unclipped. Its mean is p(u), the mean of
        its logarithm minus `bound` with as many steps.

        Parameters
        ----------
        u : tensor of shape (B, n_features)
        noises : sequence of n_steps + 1 tensors of shape (B, n_features)
            Standard normal noise.

        Returns
        -------
        log_weight : tensor of shape (B,)
            In nats.
        """
        first, *noises = noises
        n_steps = len(noises)
        ones = torch.ones(len(u), device=u.device)
        u_t = self.diffuse(u, ones, first)
        # N(u_1; 0, I) over q(u_1 | u).
        _, sigma = self.alpha_sigma(ones)
        total = (0.5 * (first.square() - u_t.square()) + sigma.log()).sum(dim=1)
        for step, noise in zip(range(n_steps, 0, -1), noises, strict=True):
            t = ones * step / n_steps
            alpha_t, sigma_t = self.alpha_sigma(t)
            alpha_s, sigma_s = self.alpha_sigma(t - 1 / n_steps)
            estimate = (u_t - sigma_t * self.predict_noise(u_t, t)) / alpha_t
            # sigma_{t|s}^2 / sigma_t^2 in the notation of section 3.3.
            fraction = -math.expm1((self.gamma_min - self.gamma_max) / n_steps)
            deviation = sigma_s * math.sqrt(fraction)
            # p and q differ in their means only, here in units of their deviation.
            shift = alpha_s * fraction * (u - estimate) / deviation
            total = total - (noise * shift + 0.5 * shift.square()).sum(dim=1)
            u_t = alpha_s * ((1 - fraction) / alpha_t * u_t + fraction * u) + deviation * noise
        alpha, _ = self.alpha_sigma(torch.zeros(1, device=u.device))
        error = (u - u_t / alpha).square() * math.exp(-self.gamma_min)
        return total - 0.5 * (error + self.gamma_min + math.log(2 * math.pi)).sum(dim=1)

    def _ends(self, u):
        """L_0 + L_1: the Gaussian decoder of u_0, in expectation, and the KL of u_1."""
        reconstruction = 0.5 * u.shape[1] * (1 + self.gamma_min + math.log(2 * math.pi))
        alpha, sigma = self.alpha_sigma(torch.ones(1, device=u.device))
        prior = (alpha * u).square() + sigma.square() - 2 * sigma.log() - 1
        return reconstruction + 0.5 * prior.sum(dim=1)

    def draw(self, u, n_steps, limit, noise, start_time=1.0):
        """Denoise what was drawn at a time, 1 being N(0, I), in equal steps of gamma.

        Each step is ancestral, from q(u_s | u_t, estimate), with the estimate of u extrapolated
        from the last two to the middle of the step: SDE-DPM-Solver++(2M) of C. Lu et al.
        (2022), https://arxiv.org/abs/2211.01095. Without that, 25 steps lose a fifth of the
        variance. The last step ends at the estimate.

        Parameters
        ----------
        u : tensor of shape (B, n_features)
        n_steps : int
        limit : tensor of shape (n_features,)
            Largest magnitude of a code; estimates are clipped to it.
        noise : callable
            Gives the noise to add in a step, a tensor like `u`.
        start_time : float, default=1.0
            In (0, 1].

        Returns
        -------
        u : tensor of shape (B, n_features)
        """
        previous = None
        for step in range(n_steps, 0, -1):
            t = torch.full((len(u),), start_time * step / n_steps, device=u.device)
            alpha_t, sigma_t = self.alpha_sigma(t)
            estimate = (u - sigma_t * self.predict_noise(u, t)) / alpha_t
            estimate = torch.clamp(estimate, -limit, limit)
            if step == 1:
                return estimate
            ahead = estimate if previous is None else 1.5 * estimate - 0.5 * previous
            ahead, previous = torch.clamp(ahead, -limit, limit), estimate
            s = t - start_time / n_steps
            alpha_s, sigma_s = self.alpha_sigma(s)
            # sigma_{t|s}^2 / sigma_t^2 in the notation of section 3.3.
            fraction = -torch.expm1(self.gamma(s) - self.gamma(t))[:, None]
            mean = alpha_s * ((1 - fraction) / alpha_t * u + fraction * ahead)
            u = mean + sigma_s * fraction.sqrt() * noise()
