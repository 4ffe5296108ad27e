"""How a network of any estimator is trained: one net, one set of callbacks, stages, resume.

The protocol: a module computes its own loss,
``module.loss(batch, *, progress, generator, stage) -> (loss, terms)``.

batch : tuple of Tensor
    Rows of the data and their labels, on the device; the labels are empty where there are none.
progress : float
    Fraction of the training that is done, in [0, 1): by steps, or by time with `max_seconds`.
generator : torch.Generator
    On the device; what the loss draws comes from it.
stage : str
    Name of the stage, empty in a training without stages.
loss : Tensor of shape ()
    What is minimized; in validation (``module.training`` is False) what is compared.
terms : dict of {str: Tensor or float}
    Parts of the loss to log; ``history_`` has their mean as ``train_<name>``, ``valid_<name>``.
"""

# SPDX-License-Identifier: BSD-3-Clause
# Loads on first use: estimators can be imported without torch.

from importlib import import_module

from latentgen.training._mixin import NetworkMixin

_WITH_TORCH = {"Stage": "_clock", "apply_in_batches": "_inference"}

__all__ = ["NetworkMixin", "Stage", "apply_in_batches"]


def __getattr__(name):
    if name in _WITH_TORCH:
        return getattr(import_module(f"latentgen.training.{_WITH_TORCH[name]}"), name)
    raise AttributeError(f"module 'latentgen.training' has no attribute {name!r}")


def __dir__():
    return __all__
