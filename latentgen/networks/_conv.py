"""Convolutional autoencoder network for images of any size."""

# SPDX-License-Identifier: BSD-3-Clause

import math

import torch
from torch import nn
from torch.nn import functional as F

from latentgen.networks._reconstruction import Code, ReconstructionModule


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


class ConvAutoencoderNet(ReconstructionModule):
    """Strided convolutions down to a code and back up to pixel logits.

    Each encoder stage is a 4 x 4 convolution of stride 2, batch normalization and ReLU, each
    decoder stage its transpose as in DCGAN (Radford et al. 2016, section 3). The last one is a
    3 x 3 convolution with a pixel shuffle (Shi et al. 2016, section 2.2), which is faster than
    a transposed convolution to few channels. Sides that are not multiples of ``2 **
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
    masked : bool
        Make the encoder ready for images with hidden patches: one more input channel says where
        they are, and group normalization takes the place of batch normalization, whose statistics
        of masked images would not be those of whole ones.
    amp : bool
        Train in bfloat16 where that is safe; codes and images are computed in float32.
    **objective : dict
        ``loss``, ``beta`` and ``flip`` of `ReconstructionModule`.
    """

    layers_draw = False

    def __init__(
        self,
        image_shape,
        latent_dim,
        channels,
        spatial_latent=False,
        variational=False,
        masked=False,
        *,
        amp=False,
        **objective,
    ):
        height, width = code_map_shape(image_shape, channels)
        area = height * width
        code_shape = (latent_dim // area, height, width) if spatial_latent else (latent_dim,)
        super().__init__(image_shape, code_shape, **objective)
        self.channels = tuple(channels)
        self.variational = variational
        self.masked = masked
        self.amp = amp
        factor = self.stride = 2 ** len(channels)
        self.padding = (0, width * factor - image_shape[2], 0, height * factor - image_shape[1])

        widths = (image_shape[0] + masked, *channels)
        norm = _group_norm if masked else nn.BatchNorm2d
        self.encoder_stages = nn.Sequential(
            *(_stage(nn.Conv2d, *pair, norm) for pair in zip(widths, channels, strict=False))
        )
        last, n_outputs = channels[-1], latent_dim * (2 if variational else 1)
        if spatial_latent:
            self.code_layer = nn.Conv2d(last, n_outputs // area, 1)
            self.first_layer = nn.Conv2d(code_shape[0], last, 1)
        else:
            self.code_layer = nn.Linear(last * area, n_outputs)
            self.first_layer = nn.Linear(latent_dim, last * area)
        self.first_map = (last, height, width)
        up = zip(channels[:0:-1], channels[-2::-1], strict=True)
        self.decoder_stages = nn.ModuleList(
            [
                nn.Sequential(nn.BatchNorm2d(last), nn.ReLU()),
                *(_stage(nn.ConvTranspose2d, *pair) for pair in up),
            ]
        )
        self.output_layer = nn.Sequential(
            nn.Conv2d(channels[0], 4 * image_shape[0], 3, padding=1), nn.PixelShuffle(2)
        )

    def pad(self, x):
        """Repeat the border of whole images until the sides are multiples of the stride.

        Other images pass as they are.
        """
        whole = x.shape[2:] == self.image_shape[1:]
        return F.pad(x, self.padding, mode="replicate") if whole and any(self.padding) else x

    def encode(self, x, mask=None):
        """Map pixels in [0, 1] to the code's mean and log-variance or None, (B, latent_dim).

        `x` is (B, C, H, W); with codes that are maps any other sides that are multiples of the
        stride are possible too. `mask`, (B, 1, H, W), is 1 where pixels are hidden.
        """
        x = self.pad(x)
        if self.masked:
            mask = torch.zeros_like(x[:, :1]) if mask is None else self.pad(mask)
            x = torch.cat([x, mask], dim=1)
        with self._autocast(x):
            h = self.encoder_stages(x)
            output = self.code_layer(h if len(self.code_shape) == 3 else h.flatten(1)).flatten(1)
        return Code(*output.chunk(2, dim=1)) if self.variational else Code(output)

    def decode(self, z):
        """Map codes (B, latent_dim) to pixel logits (B, C, H, W)."""
        logits = self._decode_stages(z.unflatten(1, self.code_shape))
        return logits[..., : self.image_shape[1], : self.image_shape[2]]

    def decode_map(self, z):
        """Map code maps (B, channels, h, w) of any sides to logits of sides ``stride`` times that.

        Nothing is cropped.
        """
        return self._decode_stages(z)

    def decoder_features(self, z):
        """Outputs of the decoder's stages for codes (B, latent_dim), the coarsest first."""
        features = []
        self._decode_stages(z.unflatten(1, self.code_shape), features)
        return features

    def _decode_stages(self, z, features=None):
        with self._autocast(z):
            h = self.first_layer(z)
            if len(self.code_shape) == 1:
                h = h.unflatten(1, self.first_map)
            for stage in self.decoder_stages:
                h = stage(h)
                if features is not None:
                    features.append(h)
            return self.output_layer(h)

    def _autocast(self, x):
        # Training forgives 8 bits; codes and images that are kept would show them.
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.amp and self.training)


def _stage(convolution, n_in, n_out, norm=nn.BatchNorm2d):
    return nn.Sequential(
        convolution(n_in, n_out, 4, stride=2, padding=1, bias=False),
        norm(n_out),
        nn.ReLU(),
    )


def _group_norm(n_channels):
    return nn.GroupNorm(math.gcd(4, n_channels), n_channels)
