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
    masked : bool
        Make the encoder ready for images with hidden patches: one more input channel says where
        they are, and group normalisation takes the place of batch normalisation, whose statistics
        of masked images would not be those of whole ones.
    """

    def __init__(
        self,
        image_shape,
        latent_dim,
        channels,
        spatial_latent,
        variational,
        amp=False,
        masked=False,
    ):
        super().__init__()
        self.image_shape = tuple(image_shape)
        self.spatial_latent = spatial_latent
        self.variational = variational
        self.amp = amp
        self.masked = masked
        height, width = code_map_shape(image_shape, channels)
        factor = self.stride = 2 ** len(channels)
        self.padding = (0, width * factor - image_shape[2], 0, height * factor - image_shape[1])
        n_outputs = latent_dim * (2 if variational else 1)

        widths = (image_shape[0] + masked, *channels)
        norm = _group_norm if masked else nn.BatchNorm2d
        down = [_stage(nn.Conv2d, *pair, norm) for pair in zip(widths, channels, strict=False)]
        up = [
            _stage(nn.ConvTranspose2d, *pair)
            for pair in zip(channels[:0:-1], channels[-2::-1], strict=True)
        ]
        last = channels[-1]
        if spatial_latent:
            area = height * width
            self.code_shape = (latent_dim // area, height, width)
            to_code = [nn.Conv2d(last, n_outputs // area, 1), nn.Flatten()]
            from_code = [
                nn.Unflatten(1, (latent_dim // area, height, width)),
                nn.Conv2d(latent_dim // area, last, 1),
            ]
        else:
            self.code_shape = (latent_dim,)
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

    def pad(self, X):
        """Repeat the border of whole images until the sides are multiples of the stride.

        Other images pass as they are.
        """
        whole = X.shape[2:] == self.image_shape[1:]
        return F.pad(X, self.padding, mode="replicate") if whole and any(self.padding) else X

    def encode(self, X, mask=None):
        """Map pixels in [0, 1] to the code's mean and log-variance or None, (B, latent_dim).

        `X` is (B, C, H, W); with `spatial_latent` any other sides that are multiples of the
        stride are possible too. `mask`, (B, 1, H, W), is 1 where pixels are hidden.
        """
        X = self.pad(X)
        if self.masked:
            mask = torch.zeros_like(X[:, :1]) if mask is None else self.pad(mask)
            X = torch.cat([X, mask], dim=1)
        with self._autocast(X):
            output = self.encoder(X)
        return output.chunk(2, dim=1) if self.variational else (output, None)

    def draw_code(self, mean, log_variance):
        """Draw a code in training (Kingma and Welling 2014, section 2.4), else give the mean."""
        if log_variance is None or not self.training:
            return mean
        return mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)

    def decode(self, Z):
        """Map codes (B, latent_dim) to pixel logits (B, C, H, W)."""
        with self._autocast(Z):
            logits = self.decoder(Z)
        return logits[..., : self.image_shape[1], : self.image_shape[2]]

    def decode_map(self, Z):
        """Map code maps (B, channels, h, w) of any sides to logits of sides ``stride`` times that.

        Nothing is cropped.
        """
        with self._autocast(Z):
            return self.decoder[1:](Z)

    def decoder_features(self, Z):
        """Outputs of the decoder's stages for codes (B, latent_dim), the coarsest first."""
        features = []
        with self._autocast(Z):
            for layer in self.decoder[:-2]:
                Z = layer(Z)
                # The first stage ends with its ReLU, each other is one layer of its own.
                if isinstance(layer, nn.ReLU | nn.Sequential):
                    features.append(Z)
        return features

    def forward(self, X):
        """Reconstruct flat bytes or floats; gives target, logits, mean, log-variance."""
        X = unit_images(X, self.image_shape)
        mean, log_variance = self.encode(X)
        return X, self.decode(self.draw_code(mean, log_variance)), mean, log_variance

    def _autocast(self, X):
        return torch.autocast(X.device.type, torch.bfloat16, enabled=self.amp)


def unit_images(X, image_shape):
    """Turn flat bytes or floats into float32 images in [0, 1]."""
    X = X.float() / 255 if X.dtype == torch.uint8 else X.float().clamp(0, 1)
    return X.view(-1, *image_shape).contiguous(memory_format=torch.channels_last)


def _stage(convolution, n_in, n_out, norm=nn.BatchNorm2d):
    return nn.Sequential(
        convolution(n_in, n_out, 4, stride=2, padding=1, bias=False),
        norm(n_out),
        nn.ReLU(),
    )


def _group_norm(n_channels):
    return nn.GroupNorm(math.gcd(4, n_channels), n_channels)
