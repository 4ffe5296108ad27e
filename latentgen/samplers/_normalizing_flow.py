"""A normalizing flow over the latent codes."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from latentgen.networks._flow import NormalizingFlow
from latentgen.samplers._network_sampler import NetworkSampler
from latentgen.utils._optional import import_optional


class NormalizingFlowSampler(NetworkSampler):
    """A normalizing flow over the latent codes.

    An invertible network maps the codes to normal noise, so that the density is known exactly
    and a draw is one pass back. The network is zuko's, the training skorch's. It needs the
    extra ``flow``.

    Read more in the :ref:`User Guide <samplers>`.

    Parameters
    ----------
    flow : {'maf', 'nsf'}, default='maf'
        ``'maf'`` is affine and fully autoregressive [1]_: drawing costs as many passes per layer
        as there are features. ``'nsf'`` couples one half of the features with the other by
        rational-quadratic splines [2]_: drawing costs two passes per layer, training many times
        as much as with ``'maf'``.
    n_transforms : int, default=6
        Number of layers; features are permuted at random between them.
    hidden_features : tuple of int, default=(256, 256)
        Widths of the hidden layers of the network in each of them.
    max_epochs : int, default=25
        Passes over the codes.
    batch_size : int or 'auto', default='auto'
        Codes per step. ``'auto'`` is 512, and less for fewer than 25 600 codes, so that an epoch
        has about 50 steps; 16 at least. The last, incomplete batch of an epoch is left out; codes
        are shuffled anew in each.
    lr : float, default=0.002
        Highest learning rate of the one-cycle schedule.
    ema_decay : float, default=0.0
        Largest decay of an exponential moving average of the weights, below 1, which the fitted
        network has; it grows with the number of steps n as (1 + n) / (10 + n). 0 takes no average.
    grad_clip : float, default=None
        Largest norm of the gradient; a longer one is scaled down. None does not limit it.
    max_seconds : float, default=None
        Time for training, in seconds: no step begins after it, and the schedule of the learning
        rate ends with it. `max_epochs` remains the limit if it is reached before.
    checkpoint : str or path-like, default=None
        File for the state of the training, written after each epoch. A ``fit`` to the same codes
        with the same parameters that finds it goes on from there, and on the CPU ends with the
        same weights as one that was not interrupted.
    net_params : dict, default=None
        Further parameters of the skorch net, such as ``{"iterator_train__num_workers": 2}``.
    device : str, default='auto'
        A torch device. ``'auto'`` takes CUDA, then MPS, then the CPU, and ``device_`` says which.
    verbose : int, default=0
        1 shows a progress bar per epoch and the device, 2 also a line per epoch.
    temperature : float, default=1.0
        Standard deviation of the noise that is mapped back to codes; ``score_samples`` is that
        of temperature 1.
    min_novelty : float, default=0.0
        Least distance of draws from the nearest training code, divided by the distance of that code
        to its own nearest neighbor. Nearer draws are drawn again; what stays too near is counted
        and warned of. Above 0 the sampler keeps the training codes.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, permutations and shuffling. None draws it from NumPy's global generator,
        as in scikit-learn; no other global generator is used or changed.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_.flow`` is the zuko flow of standardized codes.
    history_ : list of dict
        One row per epoch: ``epoch``, ``train_loss`` (minus the mean log-density of standardized
        codes, in nats) and ``dur`` (seconds).
    n_iter_ : int
        Number of epochs in ``history_``.
    mean_ : ndarray of shape (n_features_in_,)
        Mean of the codes.
    scale_ : ndarray of shape (n_features_in_,)
        Their standard deviation; constant features have 1e-4 of the least of the others.
    device_ : str
        Device in use.
    novelty_ : float
        Median over 200 draws of the distance to the nearest training code, divided by the
        distance of that code to its own nearest neighbor: 0 for copies, about 1 for a density
        like that of the codes. nan if all codes are equal.
    novelty_error_ : float
        Standard error of ``novelty_``.
    near_copies_ : float
        Fraction of these draws with a ratio below 0.3.
    near_copies_error_ : float
        Standard error of ``near_copies_``.
    too_near_ : float
        Fraction of these draws with a ratio below `min_novelty`: what drawing again did not
        solve.
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features seen during ``fit``, when all are strings.

    See Also
    --------
    DiffusionSampler : Another network, whose density is only bounded.
    GaussianMixtureSampler : An exact density without a network.

    Notes
    -----
    One feature has nothing to be coupled with or conditioned on; the flow is then a fixed
    monotonic function of it. ``partial_fit`` is one more epoch, over the new codes alone, from
    the weights of the last one. Splines reach to 5 standard deviations; beyond, they are the
    identity.

    On 60 000 codes of 64 numbers and one thread, the defaults take 2.4 minutes, and 10 000 draws
    14 seconds. Six epochs of ``'nsf'`` with 4 layers of width 128 take 2.6 minutes, for a lower
    test density (-114 nats, against -100) and worse images; 10 000 draws take 5 seconds.

    References
    ----------
    .. [1] G. Papamakarios, T. Pavlakou, I. Murray. "Masked Autoregressive Flow for Density
       Estimation". NeurIPS 2017, section 3. https://arxiv.org/abs/1705.07057
    .. [2] C. Durkan, A. Bekasov, I. Murray, G. Papamakarios. "Neural Spline Flows". NeurIPS
       2019, section 3. https://arxiv.org/abs/1906.04032

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen import NormalizingFlowSampler
    >>> Z = 5 + np.random.RandomState(0).standard_normal((500, 2))
    >>> sampler = NormalizingFlowSampler(n_transforms=2, max_epochs=2, random_state=0).fit(Z)
    >>> sampler.sample(3, random_state=0).shape
    (3, 2)
    """

    _parameter_constraints: dict = {
        "flow": [StrOptions({"maf", "nsf"})],
        "n_transforms": [Interval(Integral, 1, None, closed="left")],
        "hidden_features": ["array-like"],
        **NetworkSampler._parameter_constraints,
    }

    def __init__(
        self,
        flow="maf",
        *,
        n_transforms=6,
        hidden_features=(256, 256),
        max_epochs=25,
        batch_size="auto",
        lr=0.002,
        ema_decay=0.0,
        grad_clip=None,
        max_seconds=None,
        checkpoint=None,
        net_params=None,
        device="auto",
        verbose=0,
        temperature=1.0,
        min_novelty=0.0,
        random_state=None,
    ):
        self.flow = flow
        self.n_transforms = n_transforms
        self.hidden_features = hidden_features
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.ema_decay = ema_decay
        self.grad_clip = grad_clip
        self.max_seconds = max_seconds
        self.checkpoint = checkpoint
        self.net_params = net_params
        self.device = device
        self.verbose = verbose
        self.temperature = temperature
        self.min_novelty = min_novelty
        self.random_state = random_state

    def _fit(self, Z, y, rng):
        self._set_scale(Z)
        self._train_on(Z, rng)

    def _partial_fit(self, Z, y, rng):
        # One epoch from the weights of the last one, with a new optimizer.
        self._train_on(Z, rng, n_epochs=1, go_on=True)

    def _train_on(self, Z, rng, **how):
        design = self._settle_design(Z.shape[1])
        self._train_network(self._standardize(Z), design=design, rng=rng, **how)

    def _settle_design(self, n_features):
        """Settle the arguments of the network, or say what is wrong with them."""
        hidden_features = [int(width) for width in self.hidden_features]
        if any(width < 1 for width in hidden_features):
            raise ValueError(
                f"'hidden_features' must be positive integers, got {self.hidden_features!r}."
            )
        return {
            "flow": self.flow,
            "features": n_features,
            "transforms": int(self.n_transforms),
            "hidden_features": hidden_features,
        }

    def _make_module(self, flow, **design):
        flows = import_optional("zuko.flows", extra="flow", needed_by="NormalizingFlowSampler")
        if flow == "nsf":
            return NormalizingFlow(flows.NSF(**design, passes=2, randperm=True))
        return NormalizingFlow(flows.MAF(**design, randperm=True))

    def _draw_standardized(self, n_samples, generator):
        noise = generator.standard_normal((n_samples, len(self.mean_)))
        noise *= self.temperature
        return self._apply(self.net_.module_.invert, noise, out=np.empty_like(noise))

    def _standardized_log_density(self, Z):
        return self._apply(self.net_.module_.log_density, Z, out=np.empty(len(Z)))
