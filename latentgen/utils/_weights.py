"""Fitted networks in the state of an estimator: as plain arrays."""

# SPDX-License-Identifier: BSD-3-Clause


class WeightsMixin:
    """Keep the weights of ``net_`` in a copy, a pickle or a file, and nothing else of it.

    An implementer has a parameter ``device`` and writes ``_make_net()``: an initialized skorch
    net on ``device_`` with the network of the last fit and any weights. The optimizer's state is
    lost. torch is imported when a fitted estimator is read, and not before.
    """

    def __getstate__(self):
        state = super().__getstate__().copy()
        net = state.pop("net_", None)
        if net is not None:
            # Plain arrays, so that a model made on a GPU opens without one and needs no pickle.
            weights = net.module_.state_dict()
            state["_weights"] = {name: value.cpu().numpy() for name, value in weights.items()}
        return state

    def __setstate__(self, state):
        state = dict(state)
        weights = state.pop("_weights", None)
        super().__setstate__(state)
        if weights is None:
            return
        import torch

        from latentgen.utils._torch import resolve_device, seed_scope

        try:
            self.device_ = resolve_device(self.device)
        except ValueError:
            self.device_ = "cpu"
        with seed_scope(0):  # Initial weights are drawn, and thrown away.
            self.net_ = self._make_net()
        module = self.net_.module_
        # A copy, since a safetensors file may hand out read-only memory.
        module.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
        module.eval()
