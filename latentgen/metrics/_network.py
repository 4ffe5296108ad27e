"""A small convolutional classifier: the default judge of generated images."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import LRScheduler
from torch import nn

from latentgen.utils._images import to_unit_floats
from latentgen.utils._torch import seed_scope

N_FEATURES = 128
_INFERENCE_BATCH = 512


class SmallCNN(nn.Module):
    """Two convolutional blocks and one hidden layer, for images (B, C * H * W) of any size.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W).
    n_classes : int
    """

    def __init__(self, image_shape, n_classes):
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
            nn.Linear(channels * height * width, N_FEATURES),
            nn.ReLU(),
        ]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(0.25), nn.Linear(N_FEATURES, n_classes))
        # A third faster than the default on a CPU.
        self.to(memory_format=torch.channels_last)

    def forward(self, X):
        return self.head(self.features(X))


class _ShuffledBatches:
    """Whole batches of a skorch dataset, never smaller than `batch_size` unless the data is."""

    def __init__(self, dataset, batch_size):
        self.X, self.y = dataset.X, dataset.y
        self.n_batches = count_batches(len(dataset), batch_size)

    def __iter__(self):
        order = torch.randperm(len(self.X)).numpy()
        for rows in np.array_split(order, self.n_batches):
            # A sorted read is kinder to a memory-mapped file, and the order within does not count.
            rows.sort()
            yield torch.from_numpy(to_unit_floats(self.X[rows])), torch.from_numpy(self.y[rows])


def count_batches(n_samples, batch_size):
    """Number of batches per epoch; batch normalisation does not like a last batch of one."""
    return max(1, n_samples // batch_size)


def train_classifier(X, y, image_shape, n_classes, *, max_epochs, batch_size, lr, device, seed):
    """Train a `SmallCNN` on flat images and class numbers; gives a fitted skorch net."""
    total_steps = max_epochs * count_batches(len(X), batch_size)
    net = NeuralNet(
        SmallCNN,
        module__image_shape=image_shape,
        module__n_classes=n_classes,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=lr,
        max_epochs=max_epochs,
        batch_size=batch_size,
        iterator_train=_ShuffledBatches,
        train_split=None,
        callbacks=[
            (
                "lr_scheduler",
                LRScheduler(
                    torch.optim.lr_scheduler.OneCycleLR,
                    max_lr=lr,
                    total_steps=total_steps,
                    step_every="batch",
                ),
            )
        ],
        device=device,
        verbose=0,
    )
    with seed_scope(seed, device):
        net.fit(X, y)
    net.module_.eval()
    return net


def make_classifier(image_shape, n_classes, device):
    """A skorch net around an untrained `SmallCNN`."""
    module = SmallCNN(image_shape, n_classes)
    return NeuralNet(module, nn.CrossEntropyLoss, device=device).initialize()


def apply_network(function, X, n_outputs, device):
    """Rows of ``function(batch)`` for flat images, the same whatever the rows around them.

    Every batch is filled up to one size, because the last bits of a convolution depend on it.
    """
    out = np.empty((len(X), n_outputs), dtype=np.float32)
    batch = np.zeros((min(_INFERENCE_BATCH, max(len(X), 32)), X.shape[1]), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(X), len(batch)):
            rows = out[start : start + len(batch)]
            batch[: len(rows)] = to_unit_floats(X[start : start + len(batch)])
            values = function(torch.from_numpy(batch).to(device))
            rows[:] = values[: len(rows)].cpu().numpy()
    return out
