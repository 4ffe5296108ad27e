"""What estimators with a network share: parameters, training, weights in copies and files."""

# SPDX-License-Identifier: BSD-3-Clause

from abc import abstractmethod
from numbers import Integral, Real
from os import PathLike, fspath

from sklearn.utils._param_validation import Interval, StrOptions


class NetworkMixin:
    """Train a network in ``fit``, and keep its weights in a copy, a pickle or a file.

    An implementer writes ``_make_module(**design)``, which builds the network from the plain
    values that it gives to `_train_network` as `design`. The module computes its own loss, see
    `latentgen.training`. The parameters below are read where the estimator has them, with
    ``_training_constraints`` for their values; the values here hold where it does not.

    torch is imported when a network is trained or read, and not before.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module.
    history_ : list of dict
        One row per epoch.
    n_iter_ : int
        Number of epochs in ``history_``.
    device_ : str
        Device in use.
    """

    max_epochs = 20
    batch_size = "auto"
    lr = 0.004
    lr_schedule = "one_cycle"
    optimizer = "adam"
    weight_decay = None  # torch's default
    validation_fraction = 0.0
    n_iter_no_change = 5
    max_seconds = None
    checkpoint = None
    ema_decay = 0.0
    grad_clip = None
    callbacks = None
    net_params = None
    device = "auto"
    random_state = None
    verbose = 0

    # The most that batch_size='auto' chooses.
    _largest_batch = 128
    # Whether the one-cycle schedule changes the momentum too, as torch's does by default.
    _cycle_momentum = False

    _training_constraints: dict = {
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "max_seconds": [Interval(Real, 0, None, closed="neither"), None],
        "checkpoint": [str, PathLike, None],
        "ema_decay": [Interval(Real, 0, 1, closed="left")],
        "grad_clip": [Interval(Real, 0, None, closed="neither"), None],
        "net_params": [dict, None],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def _make_module(self, **design): ...

    def _prepare_module(self, module, X, y, device, seeds):
        """Attach to the module what only its training needs; `seeds` are a tuple of integers."""

    def _learning_rate(self, module, go_on):
        """Learning rate for a network, which may go on from the weights of the last training."""
        return self.lr

    def _strip_module(self, module):
        """Take away what only its training needed."""

    def _train_network(
        self,
        X,
        y=None,
        *,
        design,
        rng=None,
        n_epochs=None,
        go_on=False,
        stages=(),
        first_epoch=1,
        depends_on=None,
    ):
        """Train a network on rows, then adopt it.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
        y : ndarray of shape (n_samples,), default=None
            Numbers of classes.
        design : dict
            Arguments of ``_make_module``.
        rng : RandomState, default=None
            None makes one from ``random_state``.
        n_epochs : int, default=None
            None takes ``max_epochs``; with a number there is no checkpoint.
        go_on : bool, default=False
            Start from the weights of the last training, with a new optimizer.
        stages : sequence of Stage, default=()
        first_epoch : int, default=1
            First epoch that counts for early stopping.
        depends_on : dict, default=None
            What decides the result beside parameters, `X` and `y`, by name: a checkpoint of
            other values is refused.
        """
        from latentgen.training._train import train_network

        if go_on:
            self._check_design(design)
        train_network(
            self,
            X,
            y,
            design=design,
            rng=rng,
            n_epochs=n_epochs,
            go_on=go_on,
            stages=stages,
            first_epoch=first_epoch,
            depends_on=depends_on or {},
        )
        self._network_design = design

    def _adopt_network(self, *, design):
        """Take a network as it is made, without training."""
        from latentgen.training._train import adopt_network

        adopt_network(self, design)
        self._network_design = design

    def _check_design(self, design):
        """Refuse to go on with a network of another form."""
        old = self._network_design
        before = {name: value for name, value in old.items() if value != design.get(name)}
        if before:
            now = {name: design.get(name) for name in before}
            raise ValueError(
                f"Training can only go on with the network of the last fit, which has {before}, "
                f"got {now}. Set the old values, or fit anew from the start."
            )

    def __sklearn_clone__(self):
        """Clone, with loggers as they are: a connection cannot be copied."""
        if not self.callbacks:
            return super().__sklearn_clone__()
        from latentgen.training._callbacks import own_copies

        without = type(self).__new__(type(self))
        vars(without).update(vars(self), callbacks=None)
        cloned = super(NetworkMixin, without).__sklearn_clone__()
        cloned.callbacks = own_copies(self.callbacks)
        return cloned

    def __getstate__(self):
        state = super().__getstate__().copy()
        if isinstance(self.checkpoint, PathLike):
            # A path of one system is none of another.
            state["checkpoint"] = fspath(self.checkpoint)
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
        if weights is not None:
            from latentgen.training._train import restore_net

            self.net_ = restore_net(self, weights)
