"""A diffusion model over the latent codes."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from copy import copy
from numbers import Integral, Real
from zlib import crc32

import numpy as np
import torch
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from latentgen.networks._denoisers import MLPDenoiser, UNetDenoiser
from latentgen.networks._diffusion import VariationalDiffusion
from latentgen.samplers._members import clone_with, fill, fit_member, view
from latentgen.samplers._network_sampler import INFERENCE_BATCH, NetworkSampler
from latentgen.utils._random import draw_seed, make_generator

# Widths in use with width=None.
_MLP_WIDTH, _UNET_WIDTH = 384, 32
# Draws are clipped to so many times the range of the codes.
_ROOM = 1.5
# Rows of noise that score_samples chooses from.
_NOISE_ROWS = 4096


class DiffusionSampler(NetworkSampler):
    """A diffusion model over the latent codes.

    A network learns to tell codes from noise at every noise level; a draw starts from noise and
    is denoised in a few steps. Slow to fit and to draw from beside the closed forms, but not
    tied to a shape of density. With `start` it moves the draws of another sampler to where codes
    are dense instead. The training is skorch's.

    Read more in the :ref:`User Guide <samplers>`.

    Parameters
    ----------
    code_shape : tuple of int, 'auto' or None, default=None
        (C, h, w) of codes that are flattened maps, such as ``code_shape_`` of a `ConvAutoencoder`
        with ``spatial_latent=True``. The network is then a residual U-Net of one resolution with
        attention; None means a network of dense residual blocks. ``'auto'`` takes the shape that
        a pipeline hands over from its autoencoder; without one, with codes that are vectors, and
        with steps in between that change the number of features, it means dense blocks too.
    width : int, default=None
        Width of the network; for the U-Net a multiple of 16. None is 384 for dense blocks and 32
        for the U-Net.
    n_blocks : int, default=3
        Number of residual blocks; the U-Net has this number on the way down, one more on the way
        up and two between.
    dropout : float, default=0.0
        Fraction of the activations set to zero in each block during training.
    gamma_min : float, default=-5.0
        Minus the log signal-to-noise ratio at the end of denoising. What is finer than
        ``exp(gamma_min / 2)`` standard deviations of a feature is not modeled.
    gamma_max : float, default=6.0
        The same at the start of denoising; high enough that nothing of the codes can be seen.
    n_steps : int, default=25
        Denoising steps of a draw, best 10 or more (with 5, draws lose a quarter to a half of
        their variance), and terms in the bound of ``score_samples``. Read when these are called,
        so that it may be changed after ``fit``.
    start : sampler, default=None
        Draws of a clone of it, fitted to the same codes, are given the noise of `start_time` and
        denoised from there [5]_, instead of pure noise from time 1. It must not need labels.
    start_time : float, default=0.5
        Time in (0, 1] to which draws of `start` are moved: near 0 they stay as they are, at 1
        nothing is left of them. Read at draws; without effect where `start` is None.
    n_importance : int, default=1
        Chains of noisy codes that ``score_samples`` averages for each code, read when it is
        called. 1 gives the bound with `n_steps` terms; with more it is tighter [4]_.
    max_epochs : int, default=35
        Passes over the codes.
    batch_size : int or 'auto', default='auto'
        Codes per step. ``'auto'`` is 512, and less for fewer than 25 600 codes, so that an epoch
        has about 50 steps; 16 at least. The last, incomplete batch of an epoch is left out; codes
        are shuffled anew in each.
    lr : float, default=0.004
        Highest learning rate of the one-cycle schedule.
    ema_decay : float, default=0.999
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
        The standard deviation of the noise that a draw starts from, and of that added in each
        step, is multiplied by this; ``score_samples`` is that of temperature 1.
    min_novelty : float, default=0.0
        Least distance of draws from the nearest training code, divided by the distance of that code
        to its own nearest neighbor. Nearer draws are drawn again; what stays too near is counted
        and warned of. Above 0 the sampler keeps the training codes.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, shuffling and noise. None draws it from NumPy's global generator, as in
        scikit-learn; no other global generator is used or changed.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the diffusion model of standardized codes, with the
        moving average of its weights.
    history_ : list of dict
        One row per epoch: ``epoch``, ``train_loss`` (the bound on minus the mean log-density of
        standardized codes, in nats, with weights of the moment) and ``dur`` (seconds).
    n_iter_ : int
        Number of epochs in ``history_``.
    mean_ : ndarray of shape (n_features_in_,)
        Mean of the codes.
    scale_ : ndarray of shape (n_features_in_,)
        Their standard deviation; constant features have 1e-4 of the least of the others.
    code_shape_ : tuple of int or None
        (C, h, w) of the maps that the U-Net sees; None with dense blocks.
    limit_ : ndarray of shape (n_features_in_,)
        1.5 times the largest distance of a code from the mean in each feature, in standard
        deviations. Draws stay within it.
    start_ : estimator or None
        Fitted `start`.
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
    NormalizingFlowSampler : A network with an exact density.
    LocalGaussianSampler : No network; fitted in seconds.

    Notes
    -----
    Variational diffusion in continuous time with a linear schedule [1]_. Draws are ancestral,
    with a correction of second order [3]_. Without the correction, 25 steps from 7 to -6 keep
    0.78 of the variance of a normal distribution; with it, 1.00 to 1.02. Each estimate of the code
    is clipped to 1.5 times the range of the training codes: unseen codes leave the range itself
    (5 % of them with 1300 codes of 64 numbers), and draws clipped to it would lie on its border.

    The codes are standardized, and not scaled to [-1, 1] as in [2]_: the extremes of 60 000
    codes lie 4 to 5 standard deviations out, so the noise that is left at ``gamma_min=-6``, the
    value there, would be 0.2 instead of 0.05 standard deviations. The defaults of `gamma_min` and
    `gamma_max` spend less of the training on noise that hides nothing or everything.

    ``score_samples`` is a *lower bound* on the log-density, with one draw of noise for each step;
    it rises with `n_steps`. What is missing for want of steps falls in proportion to
    ``1 / n_steps``: on codes of 64 numbers, with gamma from -6 to 7, it is 28 nats with 25 steps
    and 2 with 400. With `n_importance` above 1 it is the log of the mean importance
    weight of that many chains, in expectation a bound too, and one that rises with their number;
    the weights are those of the densities at the chains, without clipping. The noise depends on
    nothing but the values of the code, so that equal codes have equal scores.

    With `start`, draws have its sources, and ``score_samples`` stays that of draws from noise.

    A fit costs one pass of the network forward and backward for each code and epoch, a draw
    `n_steps` passes forward: on one thread 4 minutes for 60 000 codes of 64 numbers, and
    8 seconds for 10 000 draws.

    References
    ----------
    .. [1] D. P. Kingma, T. Salimans, B. Poole, J. Ho. "Variational Diffusion Models". NeurIPS
       2021, sections 3 to 5. https://arxiv.org/abs/2107.00630
    .. [2] A. Kuzina, J. M. Tomczak. "Hierarchical VAE with a Diffusion-based VampPrior". TMLR
       2024: the schedule, the U-Net and the number of steps. https://arxiv.org/abs/2412.01373
    .. [3] C. Lu, Y. Zhou, F. Bao, J. Chen, C. Li, J. Zhu. "DPM-Solver++: Fast Solver for Guided
       Sampling of Diffusion Probabilistic Models". 2022: SDE-DPM-Solver++(2M).
       https://arxiv.org/abs/2211.01095
    .. [4] Y. Burda, R. Grosse, R. Salakhutdinov. "Importance Weighted Autoencoders". ICLR 2016,
       theorem 1; here the noisy codes are what is averaged over.
       https://arxiv.org/abs/1509.00519
    .. [5] C. Meng, Y. He, Y. Song, J. Song, J. Wu, J.-Y. Zhu, S. Ermon. "SDEdit: Guided Image
       Synthesis and Editing with Stochastic Differential Equations". ICLR 2022, section 3.
       https://arxiv.org/abs/2108.01073

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen import DiffusionSampler
    >>> Z = 5 + np.random.RandomState(0).standard_normal((500, 2))
    >>> sampler = DiffusionSampler(width=16, n_blocks=1, max_epochs=5, random_state=0).fit(Z)
    >>> sampler.set_params(n_steps=10).sample(3, random_state=0).shape
    (3, 2)
    """

    _read_at_draws = (
        "temperature",
        "n_steps",
        "start",
        "start_time",
        "n_importance",
        "min_novelty",
    )

    _parameter_constraints: dict = {
        "code_shape": ["array-like", StrOptions({"auto"}), None],
        "width": [Interval(Integral, 1, None, closed="left"), None],
        "n_blocks": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "gamma_min": [Interval(Real, -20, 20, closed="both")],
        "gamma_max": [Interval(Real, -20, 20, closed="both")],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "start": [HasMethods(["fit", "sample", "get_params"]), None],
        "start_time": [Interval(Real, 0, 1, closed="right")],
        "n_importance": [Interval(Integral, 1, None, closed="left")],
        **NetworkSampler._parameter_constraints,
    }

    def __init__(
        self,
        code_shape=None,
        *,
        width=None,
        n_blocks=3,
        dropout=0.0,
        gamma_min=-5.0,
        gamma_max=6.0,
        n_steps=25,
        start=None,
        start_time=0.5,
        n_importance=1,
        max_epochs=35,
        batch_size="auto",
        lr=0.004,
        ema_decay=0.999,
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
        self.code_shape = code_shape
        self.width = width
        self.n_blocks = n_blocks
        self.dropout = dropout
        self.gamma_min = gamma_min
        self.gamma_max = gamma_max
        self.n_steps = n_steps
        self.start = start
        self.start_time = start_time
        self.n_importance = n_importance
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

    def _fit(self, Z, y, rng, code_shape=None):
        self._set_scale(Z)
        self.limit_ = 0.0
        self._train_on(Z, rng, code_shape)
        self.start_ = None
        if self.start is not None:
            start = clone_with(self.start, lambda name: draw_seed(rng))
            self.start_ = fit_member(start, "fit", (Z,), {})

    def _partial_fit(self, Z, y, rng, code_shape=None):
        if self.start_ is not None and not hasattr(self.start_, "partial_fit"):
            raise ValueError(
                "partial_fit needs a 'start' with 'partial_fit', got "
                f"{type(self.start_).__name__}. Use fit with all codes."
            )
        # One epoch from the weights of the last one, with a new optimizer.
        self._train_on(Z, rng, code_shape or self.code_shape_, n_epochs=1, go_on=True)
        if self.start_ is not None:
            self.start_ = fit_member(copy(self.start_), "partial_fit", (Z,), {})

    def _train_on(self, Z, rng, code_shape, **how):
        design = self._settle_design(Z.shape[1], code_shape)
        Z = self._standardize(Z)
        self._train_network(Z, design=design, rng=rng, **how)
        self.code_shape_ = design["code_shape"]
        self.limit_ = np.maximum(self.limit_, _ROOM * np.abs(Z).max(axis=0))

    def _settle_design(self, n_features, handed):
        """Settle the arguments of the network, or say what is wrong with them.

        `handed` is the shape of the codes that a pipeline knows, or None.
        """
        if self.gamma_min >= self.gamma_max:
            raise ValueError(
                f"'gamma_min' must be less than 'gamma_max', got {self.gamma_min} and "
                f"{self.gamma_max}."
            )
        code_shape, width = self._settle_code_shape(n_features, handed), self.width
        if width is None:
            width = _MLP_WIDTH if code_shape is None else _UNET_WIDTH
        if code_shape is not None and width % 16:
            raise ValueError(
                f"'width' must be a multiple of 16 where codes are maps, here {code_shape}, got "
                f"{self.width}."
            )
        return {
            "n_features": n_features,
            "code_shape": code_shape,
            "width": int(width),
            "n_blocks": int(self.n_blocks),
            "dropout": float(self.dropout),
            "gamma_min": float(self.gamma_min),
            "gamma_max": float(self.gamma_max),
        }

    def _settle_code_shape(self, n_features, handed):
        if self.code_shape is None:
            return None
        if isinstance(self.code_shape, str):
            # Vectors, and codes that another step has made of the maps.
            is_map = handed is not None and len(handed) == 3 and math.prod(handed) == n_features
            return tuple(handed) if is_map else None
        code_shape = tuple(int(side) for side in self.code_shape)
        if len(code_shape) != 3 or math.prod(code_shape) != n_features:
            raise ValueError(
                f"Expected 'code_shape' (C, h, w) with C * h * w = {n_features}, the number "
                f"of features, got {self.code_shape!r}."
            )
        return code_shape

    def _make_module(self, n_features, code_shape, gamma_min, gamma_max, **sizes):
        if code_shape is None:
            denoiser = MLPDenoiser(n_features, **sizes)
        else:
            denoiser = UNetDenoiser(code_shape, **sizes)
        return VariationalDiffusion(denoiser, gamma_min, gamma_max)

    def _sample(self, n_samples, rng, y=None):
        if self.start_ is None:
            return super()._sample(n_samples, rng)
        X_new, source = np.empty((n_samples, len(self.mean_)), dtype=np.float32), {}
        start, training_rows = view(self.start_, self.start), np.arange(self._n_codes_seen)
        generator = make_generator(rng)
        # In batches throughout, so that a large draw needs little memory beside its result.
        for batch in gen_batches(n_samples, INFERENCE_BATCH):
            rows = np.arange(batch.start, batch.stop)
            fill(X_new, source, rows, start, None, rng, training_rows)
            Z = self._add_noise(self._standardize(X_new[batch]), generator)
            Z = self._denoise(Z, self.start_time, generator)
            X_new[batch] = self.mean_ + self.scale_ * Z
        return X_new, source

    def _draw_standardized(self, n_samples, generator):
        noise = self._draw_noise((n_samples, len(self.mean_)), generator)
        return self._denoise(noise, 1.0, generator)

    def _add_noise(self, Z, generator):
        """Give codes the noise of `start_time`."""
        alpha, sigma = self.net_.module_.alpha_sigma(torch.tensor([float(self.start_time)]))
        return alpha.item() * Z + sigma.item() * self._draw_noise(Z.shape, generator)

    def _draw_noise(self, shape, generator):
        noise = generator.standard_normal(shape, dtype=np.float32)
        noise *= np.float32(self.temperature)
        return noise

    def _denoise(self, Z, start_time, generator):
        """Denoise noisy codes of a time, in place."""
        module = self.net_.module_
        limit = torch.from_numpy(self.limit_).to(self.device_)

        def denoise(u):
            def noise():
                return torch.from_numpy(self._draw_noise(tuple(u.shape), generator)).to(u.device)

            return module.draw(u, self.n_steps, limit, noise, start_time)

        return self._apply(denoise, Z, out=Z)

    def _standardized_log_density(self, Z):
        # Chosen by the values of a code, so that a score does not depend on the rows around it,
        # while the noise of different codes is nearly independent.
        choice = np.array([crc32(np.ascontiguousarray(row)) % _NOISE_ROWS for row in Z])
        # A chain has a start and its steps; no two of a code share noise.
        per_chain = self.n_steps + (self.n_importance > 1)
        n_rows = max(_NOISE_ROWS, self.n_importance * per_chain)
        table = np.random.RandomState(0).standard_normal((n_rows, Z.shape[1]))
        # With exact moments, their sampling error does not add up over the steps.
        table = (table - table.mean(axis=0)) / table.std(axis=0)
        table = torch.from_numpy(table.astype(np.float32)).to(self.device_)

        module = self.net_.module_

        def score(u, choice):
            def noises(chain):
                first = choice + chain * per_chain
                return [table[(first + step) % n_rows] for step in range(per_chain)]

            if self.n_importance == 1:
                return -module.bound(u, noises(0))
            weights = [module.chain_log_weight(u, noises(k)) for k in range(self.n_importance)]
            return torch.logsumexp(torch.stack(weights), dim=0) - math.log(len(weights))

        return self._apply(score, Z, choice, out=np.empty(len(Z)))
