"""A small convolutional classifier: the default judge of generated images."""

# SPDX-License-Identifier: BSD-3-Clause

import torch
from torch import nn
from torch.nn import functional as F


class ConvClassifierNet(nn.Module):
    """Two convolutional blocks and one hidden layer, for images (B, C * H * W) of any size.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W).
    n_classes : int
    n_hidden : int
        Width of the hidden layer.
    """

    def __init__(self, image_shape, n_classes, n_hidden):
        super().__init__()
        channels, height, width = image_shape
        layers = [nn.Unflatten(1, tuple(image_shape))]
        for n_filters in (16, 32):
            # A side of one pixel is not halved.
            window = (min(2, height), min(2, width))
            height, width = height // window[0], width // window[1]
            layers += [
                nn.Conv2d(channels, n_filters, 3, padding=1, bias=False),
                # Pooling first leaves a quarter of the work to the two after it.
                nn.MaxPool2d(window),
                nn.BatchNorm2d(n_filters),
                nn.ReLU(),
            ]
            channels = n_filters
        if max(height, width) > 8:
            # Keeps the hidden layer small for large images.
            height, width = min(height, 8), min(width, 8)
            layers.append(nn.AdaptiveAvgPool2d((height, width)))
        layers += [
            nn.Flatten(),
            nn.Dropout(0.25),
            nn.Linear(channels * height * width, n_hidden),
            nn.ReLU(),
        ]
        self.hidden_layers = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(0.25), nn.Linear(n_hidden, n_classes))
        # A third faster than the default on a CPU.
        self.to(memory_format=torch.channels_last)

    def forward(self, X):
        """Scores of the classes, (B, n_classes), of flat bytes or floats in [0, 1]."""
        return self.head(self.features(X))

    def features(self, X):
        """Activations of the hidden layer, (B, n_hidden)."""
        X = X.float() / 255 if X.dtype == torch.uint8 else X.float().clamp(0, 1)
        return self.hidden_layers(X)

    def loss(self, batch, *, progress, generator, stage):
        """Mean cross-entropy of a batch, in nats."""
        X, y = batch
        return F.cross_entropy(self(X), y), {}
