"""Denoising networks of a diffusion: dense blocks, or a U-Net over maps."""

# SPDX-License-Identifier: BSD-3-Clause

import math

import torch
from torch import nn
from torch.nn import functional as F

# Length of the time embedding of the dense network.
_TIME_FEATURES = 64


class TimeEmbedding(nn.Sequential):
    """Times in [0, 1] to features: sinusoids of 1000 t and two dense layers."""

    def __init__(self, n_features):
        super().__init__(
            nn.Linear(n_features, n_features), nn.SiLU(), nn.Linear(n_features, n_features)
        )
        half = n_features // 2
        frequencies = torch.exp(-math.log(10_000) * torch.arange(half) / half)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, t):
        angles = 1000 * t[:, None] * self.frequencies
        return super().forward(torch.cat([angles.sin(), angles.cos()], dim=1))


class MLPDenoiser(nn.Module):
    """Dense residual blocks with scale and shift from the time, for codes without a shape.

    Parameters
    ----------
    n_features : int
    width : int
    n_blocks : int
    dropout : float
    """

    def __init__(self, n_features, width, n_blocks, dropout):
        super().__init__()
        self.time = TimeEmbedding(_TIME_FEATURES)
        self.first = nn.Linear(n_features, width)
        self.blocks = nn.ModuleList(_DenseBlock(width, dropout) for _ in range(n_blocks))
        self.last = nn.Sequential(
            nn.LayerNorm(width), nn.SiLU(), _start_at_zero(nn.Linear(width, n_features))
        )

    def forward(self, u_t, t):
        time, h = self.time(t), self.first(u_t)
        for block in self.blocks:
            h = block(h, time)
        return self.last(h)


class _DenseBlock(nn.Module):
    def __init__(self, width, dropout):
        super().__init__()
        self.film = nn.Sequential(nn.SiLU(), nn.Linear(_TIME_FEATURES, 2 * width))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.layers = nn.Sequential(
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Dropout(dropout),
            _start_at_zero(nn.Linear(width, width)),
        )

    def forward(self, h, time):
        scale, shift = self.film(time).chunk(2, dim=1)
        return h + self.layers(self.norm(h) * (1 + scale) + shift)


class UNetDenoiser(nn.Module):
    """Residual U-Net of one resolution, for codes that are maps.

    Blocks down, a middle with self-attention, and blocks up on concatenated skips, as in
    Kingma et al. (2021), appendix B, where also no map is made smaller.

    Parameters
    ----------
    code_shape : tuple of int
        (C, h, w); codes come flattened.
    width : int
        Number of channels, a multiple of the 16 groups of the normalization.
    n_blocks : int
        Residual blocks on the way down; one more on the way up.
    dropout : float
    """

    def __init__(self, code_shape, width, n_blocks, dropout):
        super().__init__()
        self.code_shape = tuple(code_shape)
        self.time = TimeEmbedding(width)
        self.first = nn.Conv2d(code_shape[0], width, 3, padding=1)
        self.down = nn.ModuleList(_ConvBlock(width, width, dropout) for _ in range(n_blocks))
        self.middle = nn.ModuleList(_ConvBlock(width, width, dropout) for _ in range(2))
        self.attention = _Attention(width)
        self.up = nn.ModuleList(_ConvBlock(2 * width, width, dropout) for _ in range(n_blocks + 1))
        self.last = nn.Sequential(
            _group_norm(width),
            nn.SiLU(),
            _start_at_zero(nn.Conv2d(width, code_shape[0], 3, padding=1)),
        )

    def forward(self, u_t, t):
        time, h = self.time(t), self.first(u_t.unflatten(1, self.code_shape))
        skips = [h]
        for block in self.down:
            h = block(h, time)
            skips.append(h)
        h = self.middle[1](self.attention(self.middle[0](h, time)), time)
        for block in self.up:
            h = block(torch.cat([h, skips.pop()], dim=1), time)
        return self.last(h).flatten(1)


class _ConvBlock(nn.Module):
    def __init__(self, n_in, n_out, dropout):
        super().__init__()
        self.first = nn.Sequential(
            _group_norm(n_in), nn.SiLU(), nn.Conv2d(n_in, n_out, 3, padding=1)
        )
        self.film = nn.Sequential(nn.SiLU(), nn.Linear(n_out, 2 * n_out))
        self.norm = _group_norm(n_out)
        self.last = nn.Sequential(
            nn.SiLU(),
            nn.Dropout(dropout),
            _start_at_zero(nn.Conv2d(n_out, n_out, 3, padding=1)),
        )
        self.skip = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1)

    def forward(self, h, time):
        scale, shift = self.film(time)[:, :, None, None].chunk(2, dim=1)
        return self.skip(h) + self.last(self.norm(self.first(h)) * (1 + scale) + shift)


class _Attention(nn.Module):
    """Self-attention with one head over the positions of a map."""

    def __init__(self, width):
        super().__init__()
        self.qkv = nn.Sequential(_group_norm(width), nn.Conv2d(width, 3 * width, 1))
        self.projection = _start_at_zero(nn.Conv2d(width, width, 1))

    def forward(self, h):
        # (B, width, h, w) to (B, positions, width)
        query, key, value = (x.flatten(2).mT for x in self.qkv(h).chunk(3, dim=1))
        attended = F.scaled_dot_product_attention(query, key, value)
        return h + self.projection(attended.mT.unflatten(2, h.shape[2:]))


def _group_norm(width):
    return nn.GroupNorm(16, width)


def _start_at_zero(layer):
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
