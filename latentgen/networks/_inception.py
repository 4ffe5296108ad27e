"""The Inception network of 2015 in whose features papers compare generated images."""

# SPDX-License-Identifier: BSD-3-Clause

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

_SIDE = 299
_N_FEATURES, _N_CLASSES = 2048, 1008


class _Conv(nn.Module):
    """Convolution without bias, batch normalization, rectifier.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    kernel_size : int or tuple of int
    stride : int, default=1
    padding : {'same', 'valid'}, default='same'
    """

    def __init__(self, n_in, n_out, kernel_size, stride=1, padding="same"):
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, kernel_size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(n_out, eps=1e-3)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)), inplace=True)

    def fuse(self):
        """Put the batch normalization into the convolution."""
        self.conv, self.bn = fuse_conv_bn_eval(self.conv, self.bn), nn.Identity()


def _mean_pool(x):
    # TensorFlow leaves the padding out of the mean.
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def _max_pool(x):
    return F.max_pool2d(x, 3, 1, 1)


def _halving_pool(x):
    return F.max_pool2d(x, 3, 2)


class _Mixed(nn.Module):
    """Chains of convolutions side by side, and a pooled copy of the input.

    Parameters
    ----------
    n_in : int
        Channels.
    chains : list of list
        Each chain has rows (name, channels out, kernel size[, stride]), applied one after the
        other; a list of rows stands for convolutions of the same input, side by side.
    pool : callable
    n_pool : int, default=None
        Channels that the pooled input is reduced to; None keeps them.
    """

    def __init__(self, n_in, chains, pool, n_pool=None):
        super().__init__()
        self.pool, self.chains = pool, []
        for chain in chains:
            n_channels, names = n_in, []
            for step in chain:
                rows = step if isinstance(step, list) else [step]
                for name, n_out, kernel_size, *stride in rows:
                    padding = "valid" if stride else "same"
                    conv = _Conv(n_channels, n_out, kernel_size, *stride, padding=padding)
                    self.add_module(name, conv)
                n_channels = sum(row[1] for row in rows)
                names.append([row[0] for row in rows])
            self.chains.append(names)
        self.branch_pool = _Conv(n_in, n_pool, 1) if n_pool else nn.Identity()

    def forward(self, x):
        outputs = []
        for chain in self.chains:
            y = x
            for names in chain:
                y = torch.cat([getattr(self, name)(y) for name in names], 1)
            outputs.append(y)
        return torch.cat([*outputs, self.branch_pool(self.pool(x))], 1)


def _mixed_a(n_in, n_pool):
    chains = [
        [("branch1x1", 64, 1)],
        [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)],
        [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)],
    ]
    return _Mixed(n_in, chains, _mean_pool, n_pool)


def _mixed_b(n_in):
    chains = [
        [("branch3x3", 384, 3, 2)],
        [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3, 2)],
    ]
    return _Mixed(n_in, chains, _halving_pool)


def _mixed_c(n_in, n_inside):
    row, column = (1, 7), (7, 1)
    chains = [
        [("branch1x1", 192, 1)],
        [
            ("branch7x7_1", n_inside, 1),
            ("branch7x7_2", n_inside, row),
            ("branch7x7_3", 192, column),
        ],
        [
            ("branch7x7dbl_1", n_inside, 1),
            ("branch7x7dbl_2", n_inside, column),
            ("branch7x7dbl_3", n_inside, row),
            ("branch7x7dbl_4", n_inside, column),
            ("branch7x7dbl_5", 192, row),
        ],
    ]
    return _Mixed(n_in, chains, _mean_pool, 192)


def _mixed_d(n_in):
    chains = [
        [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2)],
        [
            ("branch7x7x3_1", 192, 1),
            ("branch7x7x3_2", 192, (1, 7)),
            ("branch7x7x3_3", 192, (7, 1)),
            ("branch7x7x3_4", 192, 3, 2),
        ],
    ]
    return _Mixed(n_in, chains, _halving_pool)


def _mixed_e(n_in, pool):
    row, column = (1, 3), (3, 1)
    chains = [
        [("branch1x1", 320, 1)],
        [
            ("branch3x3_1", 384, 1),
            [("branch3x3_2a", 384, row), ("branch3x3_2b", 384, column)],
        ],
        [
            ("branch3x3dbl_1", 448, 1),
            ("branch3x3dbl_2", 384, 3),
            [("branch3x3dbl_3a", 384, row), ("branch3x3dbl_3b", 384, column)],
        ],
    ]
    return _Mixed(n_in, chains, pool, 192)


class InceptionV3(nn.Module):
    """Inception V3 [1]_ as TensorFlow published it in December 2015, with 1008 outputs.

    It differs from later ones in the means of its pooling, which leave the padding out, in the
    last block, which takes a maximum in place of a mean, and in how images are resized. Layers
    have the names of the weights that pytorch-fid [2]_ and torch-fidelity converted.

    References
    ----------
    .. [1] Szegedy, Vanhoucke, Ioffe, Shlens, Wojna (2016). Rethinking the Inception Architecture
       for Computer Vision. https://arxiv.org/abs/1512.00567
    .. [2] https://github.com/mseitzer/pytorch-fid
    """

    def __init__(self):
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, 2, padding="valid")
        self.Conv2d_2a_3x3 = _Conv(32, 32, 3, padding="valid")
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = _Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = _Conv(80, 192, 3, padding="valid")
        self.Mixed_5b = _mixed_a(192, 32)
        self.Mixed_5c = _mixed_a(256, 64)
        self.Mixed_5d = _mixed_a(288, 64)
        self.Mixed_6a = _mixed_b(288)
        self.Mixed_6b = _mixed_c(768, 128)
        self.Mixed_6c = _mixed_c(768, 160)
        self.Mixed_6d = _mixed_c(768, 160)
        self.Mixed_6e = _mixed_c(768, 192)
        self.Mixed_7a = _mixed_d(768)
        self.Mixed_7b = _mixed_e(1280, _mean_pool)
        self.Mixed_7c = _mixed_e(2048, _max_pool)
        self.fc = nn.Linear(_N_FEATURES, _N_CLASSES)

    def fuse(self):
        """Put batch normalization into the convolutions, for inference alone."""
        self.eval()
        for module in self.modules():
            if isinstance(module, _Conv):
                module.fuse()
        return self

    def features(self, x):
        """Mean over the places of the last block, (B, 2048), of images (B, 3, H, W) in bytes."""
        x = (resize_as_tensorflow(x.float(), _SIDE) - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(_halving_pool(x)))
        x = _halving_pool(x)
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                x = block(x)
        return x.mean((2, 3))

    def forward(self, x):
        """Logits of the classes, (B, 1008)."""
        return self.fc(self.features(x))

    def probabilities(self, x):
        """Softmax of the logits without the bias, (B, 1008), as the inception score has it."""
        return F.linear(self.features(x), self.fc.weight).softmax(1)


def resize_as_tensorflow(x, side):
    """Bilinear interpolation as TensorFlow 1 had it: corners, not centers, of pixels in a grid.

    It does not average where images shrink. Source: `resize_bilinear_op.cc` of TensorFlow 1, with
    ``align_corners=False``.

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W)
    side : int

    Returns
    -------
    x : Tensor of shape (B, C, side, side)
    """
    for axis in (3, 2):
        size = x.shape[axis]
        places = torch.arange(side, device=x.device) * torch.tensor(size / side)
        low = places.long()
        high = (low + 1).clamp(max=size - 1)
        fraction = (places - low).reshape(-1, *[1] * (3 - axis))
        start = x.index_select(axis, low)
        x = start + (x.index_select(axis, high) - start) * fraction
    return x
