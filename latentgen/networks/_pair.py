"""An encoder and a decoder of the user's own as one network."""

# SPDX-License-Identifier: BSD-3-Clause

import math

import torch

from latentgen.networks._reconstruction import Code, ReconstructionModule

# Keeps the logit of a pixel that is 0 or 1 finite.
_EPSILON = 1e-6


class EncoderDecoderNet(ReconstructionModule):
    """Two modules that know nothing of each other.

    Parameters
    ----------
    encoder : torch.nn.Module
        Images (B, C, H, W) in [0, 1] to codes (B, ...).
    decoder : torch.nn.Module
        What the encoder gives to images, or rows of as many values.
    image_shape : tuple of int
        (C, H, W).
    output : {'logits', 'pixels'}
        What the decoder gives.
    **objective : dict
        ``loss`` and ``flip`` of `ReconstructionModule`.
    """

    def __init__(self, encoder, decoder, image_shape, *, output, **objective):
        super().__init__(image_shape, (), **objective)
        self.encoder, self.decoder, self.output = encoder, decoder, output
        was_training = self.training
        # One image through both tells the shapes, and gives lazy layers theirs.
        with torch.no_grad():
            image = torch.zeros(1, *self.image_shape)
            code = self.eval().encoder(image)
            if not isinstance(code, torch.Tensor) or code.ndim < 2 or len(code) != 1:
                got = tuple(code.shape) if isinstance(code, torch.Tensor) else type(code).__name__
                raise ValueError(
                    f"Expected an encoder that turns images {tuple(image.shape)} into a tensor of "
                    f"codes (1, ...), got {got}. Wrap it in a module that returns the codes alone."
                )
            self.code_shape = tuple(code.shape[1:])
            pixels = self.decoder(code)
        if not isinstance(pixels, torch.Tensor) or pixels.numel() != image.numel():
            got = tuple(pixels.shape) if isinstance(pixels, torch.Tensor) else type(pixels).__name__
            raise ValueError(
                f"Expected a decoder that turns codes {tuple(code.shape)} into images "
                f"{tuple(image.shape)}, got {got}. Add the layers that are missing."
            )
        self.train(was_training)
        if len(self.code_shape) == 3:
            strides = {
                whole / side
                for whole, side in zip(image_shape[1:], self.code_shape[1:], strict=True)
            }
            if len(strides) == 1 and strides == {math.floor(max(strides))}:
                self.stride = int(strides.pop())

    def encode(self, x):
        """Map pixels in [0, 1], (B, C, H, W), to codes (B, latent_dim)."""
        return Code(self.encoder(x).flatten(1))

    def decode(self, z):
        """Map codes (B, latent_dim) to pixel logits (B, C, H, W)."""
        return self._as_logits(self.decoder(z.unflatten(1, self.code_shape))).view(
            -1, *self.image_shape
        )

    def decode_map(self, z):
        """Map code maps (B, channels, h, w) of any sides to logits, where the decoder can."""
        return self._as_logits(self.decoder(z))

    def _as_logits(self, decoded):
        if self.output == "logits":
            return decoded
        return torch.logit(decoded.float(), eps=_EPSILON)
