"""Convolutional autoencoder network for images of any size."""

# SPDX-License-Identifier: BSD-3-Clause

import math

import torch
from torch import nn
from torch.nn import functional as F


def default_channels(image_shape):
    """Widths of the encoder stages, doubling until the longer side is at most 8 pixels.

    One stage at least; 16 channels first for single-channel images, else 32.
    """
    n_stages = max(1, math.ceil(math.log2(max(image_shape[1:]) / 8)))
    width = 16 if image_shape[0] == 1 else 32
    return tuple(min(width * 2**stage, 256) for stage in range(n_stages))


def code_map_shape(image_shape, channels):
    """(height, width) of the last encoder map."""
    factor = 2 ** len(channels)
    return math.ceil(image_shape[1] / factor), math.ceil(image_shape[2] / factor)


class ConvAutoencoderNet(nn.Module):
    """Strided convolutions down to a code and back up to pixel logits.

    Each encoder stage is a 4 x 4 convolution of stride 2, batch normalisation and ReLU, each
    decoder stage its transpose as in DCGAN (Radford et al. 2016, section 3). The last one is a
    3 x 3 convolution with a pixel shuffle (Shi et al. 2016, section 2.2), which is faster than
    a transposed convolution to few channels. Sides that are no multiple of ``2 **
    len(channels)`` are padded by repeating the border and cropped again.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W).
    latent_dim : int
        Size of the code; with `spatial_latent` a multiple of the last map's area.
    channels : tuple of int
        Width of each encoder stage.
    spatial_latent : bool
        Make the code a map by 1 x 1 convolutions instead of a vector by dense layers.
    variational : bool
        Give mean and log-variance of the code.
    amp : bool
        Compute in bfloat16 where that is safe.
    """

    def __init__(self, image_shape, latent_dim, channels, spatial_latent, variational, amp=False):
        super().__init__()
        self.image_shape = image_shape
        self.variational = variational
        self.amp = amp
        height, width = code_map_shape(image_shape, channels)
        factor = 2 ** len(channels)
        self.padding = (0, width * factor - image_shape[2], 0, height * factor - image_shape[1])
        n_outputs = latent_dim * (2 if variational else 1)

        widths = (image_shape[0], *channels)
        down = [_stage(nn.Conv2d, *pair) for pair in zip(widths, channels, strict=False)]
        up = [
            _stage(nn.ConvTranspose2d, *pair)
            for pair in zip(channels[:0:-1], channels[-2::-1], strict=True)
        ]
        last = channels[-1]
        if spatial_latent:
            area = height * width
            to_code = [nn.Conv2d(last, n_outputs // area, 1), nn.Flatten()]
            from_code = [
                nn.Unflatten(1, (latent_dim // area, height, width)),
                nn.Conv2d(latent_dim // area, last, 1),
            ]
        else:
            to_code = [nn.Flatten(), nn.Linear(last * height * width, n_outputs)]
            from_code = [
                nn.Linear(latent_dim, last * height * width),
                nn.Unflatten(1, (last, height, width)),
            ]
        self.encoder = nn.Sequential(*down, *to_code)
        self.decoder = nn.Sequential(
            *from_code,
            nn.BatchNorm2d(last),
            nn.ReLU(),
            *up,
            nn.Conv2d(channels[0], 4 * image_shape[0], 3, padding=1),
            nn.PixelShuffle(2),
        )

    def encode(self, X):
        """Map pixels in [0, 1], (B, C, H, W), to the code's mean and log-variance or None."""
        if any(self.padding):
            X = F.pad(X, self.padding, mode="replicate")
        with self._autocast(X):
            output = self.encoder(X)
        return output.chunk(2, dim=1) if self.variational else (output, None)

    def decode(self, Z):
        """Map codes (B, latent_dim) to pixel logits (B, C, H, W)."""
        with self._autocast(Z):
            logits = self.decoder(Z)
        return logits[..., : self.image_shape[1], : self.image_shape[2]]

    def forward(self, X):
        """Reconstruct flat bytes or floats; gives target, logits, mean, log-variance."""
        X = unit_images(X, self.image_shape)
        mean, log_variance = self.encode(X)
        Z = mean
        if log_variance is not None and self.training:
            Z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return X, self.decode(Z), mean, log_variance

    def _autocast(self, X):
        return torch.autocast(X.device.type, torch.bfloat16, enabled=self.amp)


def unit_images(X, image_shape):
    """Turn flat bytes or floats into float32 images in [0, 1]."""
    X = X.float() / 255 if X.dtype == torch.uint8 else X.float().clamp(0, 1)
    return X.view(-1, *image_shape).contiguous(memory_format=torch.channels_last)


def _stage(convolution, n_in, n_out):
    return nn.Sequential(
        convolution(n_in, n_out, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    )
