"""Random numbers of torch from generators of our own, so that no global one is touched."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_FILLING = {"bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_", "normal_"}
_MAKING = {"bernoulli", "multinomial", "normal", "poisson", "rand", "randint", "randn", "randperm"}
# torch's own functions of the same names, and not for example a transform of the user.
_TAKE_A_GENERATOR = {
    *(getattr(torch.Tensor, name) for name in (*_FILLING, "random_", "uniform_")),
    *(getattr(torch, name) for name in _MAKING),
    *(
        getattr(torch.nn.init, name)
        for name in (
            *("kaiming_normal_", "kaiming_uniform_", "normal_", "orthogonal_", "sparse_"),
            *("trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_"),
        )
    ),
}
_LIKE = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}
# Axes that share their fate: all of them, or those of samples and channels.
_DROPOUTS = {F.dropout: None, F.dropout1d: 2, F.dropout2d: 2, F.dropout3d: 2}


def make_generator(device, *seeds):
    """Make a torch generator whose stream is that of some integers, on a device."""
    # With their number, since NumPy does not count zeros at the end.
    state = np.random.SeedSequence((len(seeds), *seeds)).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state) & (2**63 - 1))


class DrawFrom(TorchFunctionMode):
    """Let torch's functions draw from one generator inside the block, in this thread only.

    For layers that draw without being handed a generator: initial weights, permutations, dropout.
    A generator that is passed stays; draws inside compound functions that take none, such as the
    dropout of attention, stay with the global generator.

    Parameters
    ----------
    generator : torch.Generator
    """

    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in _DROPOUTS:
            return self._drop(_DROPOUTS[func], *args, **kwargs)
        if func in _LIKE:
            like, kwargs = args[0], dict(kwargs)
            kwargs.pop("memory_format", None)
            kwargs = {"dtype": like.dtype, "device": like.device, **kwargs}
            return _LIKE[func](like.shape, generator=self.generator, **kwargs)
        if func in _TAKE_A_GENERATOR and kwargs.get("generator") is None:
            kwargs = {**kwargs, "generator": self.generator}
        return func(*args, **kwargs)

    def _drop(self, n_axes, input, p=0.5, training=True, inplace=False):
        """Set values, or whole channels, to zero with probability p, and scale up the others."""
        if not training or p == 0:
            return input
        shape = input.shape if n_axes is None else input.shape[:n_axes] + (1,) * (input.ndim - 2)
        kept = torch.empty(shape, dtype=input.dtype, device=input.device)
        kept.bernoulli_(1 - p, generator=self.generator)
        if p < 1:
            kept /= 1 - p
        return input.mul_(kept) if inplace else input * kept
