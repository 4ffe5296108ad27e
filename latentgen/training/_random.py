"""Random numbers of torch from generators of our own, so that no global one is changed."""

# SPDX-License-Identifier: BSD-3-Clause

from threading import Lock

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
# They draw inside and take no generator, so they borrow the global one, one thread at a time.
_DRAW_INSIDE = {
    *(F.alpha_dropout, F.feature_alpha_dropout, F.gumbel_softmax, F.rrelu),
    *(F.multi_head_attention_forward, F.scaled_dot_product_attention),
    *(torch.gru, torch.lstm, torch.rnn_relu, torch.rnn_tanh),
}
_BORROWING = Lock()


def make_generator(device, *seeds):
    """Make a torch generator whose stream is that of some integers, on a device."""
    # With their number, since NumPy does not count zeros at the end.
    state = np.random.SeedSequence((len(seeds), *seeds)).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state) & (2**63 - 1))


class DrawFrom(TorchFunctionMode):
    """Let torch's functions draw from one generator inside the block, in this thread only.

    For layers that draw without being handed a generator: initial weights, permutations, dropout.
    A generator that is passed stays. Functions that draw inside, such as attention with dropout,
    draw from the global generator, which is seeded by ours for them and put back.

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
        if func in _DRAW_INSIDE:
            return self._borrow(func, args, kwargs)
        return func(*args, **kwargs)

    def _borrow(self, func, args, kwargs):
        """Call a function with the global generator in a state that ours decides."""
        device = self.generator.device
        seed = torch.randint(2**31, (), generator=self.generator, device=device).item()
        module = torch if device.type == "cpu" else getattr(torch, device.type)
        on_device = () if device.type == "cpu" else (device,)
        with _BORROWING:
            before = module.get_rng_state(*on_device)
            try:
                state = torch.Generator(device).manual_seed(seed).get_state()
                module.set_rng_state(state, *on_device)
                return func(*args, **kwargs)
            finally:
                module.set_rng_state(before, *on_device)

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
