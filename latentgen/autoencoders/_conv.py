"""A convolutional autoencoder without KL penalty, or with one."""

# SPDX-License-Identifier: BSD-3-Clause

import math
import warnings
from copy import deepcopy
from functools import partial
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.utils import check_array, check_random_state, gen_batches
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from skorch.callbacks import LRScheduler, PassthroughScoring, ProgressBar
from skorch.dataset import ValidSplit
from skorch.utils import noop
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from latentgen.autoencoders._regularizers import check_regularizers
from latentgen.autoencoders._training import (
    EarlyStopping,
    PixelLoss,
    PixelRows,
    RegularizedLoss,
    RegularizedNet,
    WatchLoss,
    already_collated,
    epoch_rows,
    warn_degradation,
)
from latentgen.base import BaseAutoencoder, keep_fitted_state_on_error
from latentgen.networks._conv import (
    ConvAutoencoderNet,
    code_map_shape,
    default_channels,
    unit_images,
)
from latentgen.utils._images import to_unit_floats
from latentgen.utils._torch import (
    apply_in_batches,
    draw_seed,
    resolve_device,
    seed_scope,
)
from latentgen.utils._weights import WeightsMixin

# What batch_size='auto' aims at, and its limits.
_STEPS_PER_EPOCH, _MIN_BATCH, _MAX_BATCH = 50, 16, 128
# Without gradients, a batch has at most so many images, and at most so many pixels.
_INFERENCE_BATCH = 512
_INFERENCE_PIXELS = 2**23
_OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
}


class ConvAutoencoder(WeightsMixin, BaseAutoencoder):
    """Convolutional autoencoder, plain or variational.

    With ``beta=0`` nothing pulls the codes towards a normal distribution: the decoder stays
    sharp, and a sampler fitted to the codes takes the place of the prior. With ``beta > 0`` it
    is a variational autoencoder. Training is done by skorch.

    Read more in the :ref:`User Guide <autoencoder>`.

    Parameters
    ----------
    latent_dim : int, default=32
        Number of values in a code. More than there are pixels only earns a warning.
    image_shape : tuple of int, default=None
        (C, H, W). Needed for flat images that are not square with one channel.
    beta : float, default=0.0
        Weight of the KL term. 0 is a plain autoencoder, 1 the standard evidence lower bound
        (Kingma and Welling 2014), other values the beta-VAE of Higgins et al. (2017). See Notes
        for what is summed and what is averaged.
    spatial_latent : bool, default=False
        Make the code a map, flattened, instead of a vector. `latent_dim` must then be a multiple
        of the map's area, which is 7 x 7 for 28 x 28 images.
    channels : tuple of int, default=None
        Width of each encoder stage; each halves the sides of the image. None doubles the width
        from 16 (one channel) or 32 until the longer side is at most 8: (16, 32) for 28 x 28,
        (32, 64) for 3 x 32 x 32.
    loss : {'bce', 'mse'}, default='bce'
        Reconstruction loss: binary cross-entropy or squared error.
    max_epochs : int, default=20
        Passes over the data.
    batch_size : int or 'auto', default='auto'
        Images per step. ``'auto'`` is 128, and less for fewer than 6 400 images, so that an
        epoch has about 50 steps; 16 at least. The last, incomplete batch of an epoch is left
        out; images are shuffled anew in each.
    lr : float, default=0.004
        Learning rate, the highest one where a schedule changes it.
    optimizer : {'adam', 'adamw', 'sgd'} or torch optimizer class, default='adam'
        ``'sgd'`` has a Nesterov momentum of 0.9.
    lr_schedule : {'one_cycle', 'cosine', 'constant'}, default='one_cycle'
        Course of the learning rate over all steps of one ``fit``; ``'one_cycle'`` is the
        default of torch's ``OneCycleLR`` (Smith and Topin 2018).
    validation_fraction : float, default=0.0
        Share of the images set aside to stop early. 0 trains on all images to the end.
    n_iter_no_change : int, default=5
        Epochs without a lower validation loss before training stops. The weights of the best
        epoch are restored. Used with ``validation_fraction > 0``.
    regularizers : list of regularizers, default=None
        Objects of `latentgen.autoencoders` that make the codes easier to sample, such as
        ``[ScaleEquivarianceRegularizer()]``; ``fit`` uses copies. See :ref:`regularizers`.
    max_rec_degradation : float, default=0.1
        Share by which the validation loss may rise above that of the last epoch without
        regularizers before ``fit`` warns. Used with ``validation_fraction > 0`` when an earlier
        epoch without them exists: because of their ``start``, or by `warm_start`.
    callbacks : list of skorch callbacks, default=None
        Further callbacks, given to the net as copies.
    device : str, default='auto'
        A torch device. ``'auto'`` takes CUDA, then MPS, then the CPU, and ``device_`` says which.
    amp : bool, default=False
        Run the network in bfloat16 (automatic mixed precision).
    warm_start : bool, default=False
        Let ``fit`` start from the weights of the last ``fit``, with a new optimizer. Parameters
        of the network must be the same.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, shuffling, validation split and noise. The global generators are left
        alone.
    verbose : int, default=0
        1 shows a progress bar per epoch and the device, 2 also a line per epoch.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module.
    history_ : list of dict
        One row per epoch: ``epoch``, ``train_loss``, ``dur`` (seconds), and where they exist
        ``valid_loss``, ``train_kl`` and ``valid_kl`` (nats per image). Losses are per pixel.
        With `regularizers`, ``train_loss`` includes them and ``valid_loss`` does not, and
        ``regularizers`` is a list with one dict each: mean ``loss`` and ``weight`` of the steps
        in which it acted, and its ``gradient_share``, in [0, 1]: that of the first step of the
        epoch, of all steps with ``weight='adaptive'``, 1 where it takes the place of the ordinary
        pass, nan where it was not measured.
    n_iter_ : int
        Number of epochs in ``history_``.
    channels_ : tuple of int
        Widths in use.
    code_shape_ : tuple of int
        Shape of a code before flattening: (latent_dim,), or (channels, height, width).
    device_ : str
        Device in use.
    image_shape_ : tuple of int
        (C, H, W).
    layout_ : ImageLayout
        Layout and dtype of the images seen during ``fit``.
    latent_dim_ : int
        Number of values in a code.
    n_features_in_ : int
        Number of pixels, C * H * W.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, when the images came as a data frame.

    See Also
    --------
    latentgen.FastHVRTSampler : Draws new codes.
    latentgen.LatentGenerativePipeline : Chains both.

    Notes
    -----
    One image with D pixels costs ``(R + beta * KL) / D``. R is the reconstruction term *summed*
    over pixels: the cross-entropy in nats, or the squared error, which is the negative
    log-likelihood of a normal distribution with variance 1/2 up to a constant. KL is summed over
    the code, in nats. So ``beta=1`` is the exact bound; the division by D only keeps `lr`
    independent of the image size. Programs that *average* R over pixels and sum the KL use, in
    these terms, ``beta = D * their beta``: their ``beta=1`` is ``beta=784`` on 28 x 28 images.

    ``transform`` gives the mean of a variational code, without noise. Fitting takes time in
    proportion to ``n_samples * n_features``; apart from the images memory does not grow with
    ``n_samples``. Pickling keeps weights, not the optimizer's state.

    References
    ----------
    .. [1] D. P. Kingma, M. Welling. "Auto-Encoding Variational Bayes". ICLR 2014.
       https://arxiv.org/abs/1312.6114
    .. [2] I. Higgins et al. "beta-VAE". ICLR 2017, equation 4.
    .. [3] A. Radford, L. Metz, S. Chintala. "Unsupervised Representation Learning with Deep
       Convolutional Generative Adversarial Networks". ICLR 2016. https://arxiv.org/abs/1511.06434
    .. [4] W. Shi et al. "Real-Time Single Image and Video Super-Resolution Using an Efficient
       Sub-Pixel Convolutional Neural Network". CVPR 2016. https://arxiv.org/abs/1609.05158

    Examples
    --------
    >>> from latentgen import ConvAutoencoder
    >>> from latentgen.datasets import load_digits_images
    >>> X, _ = load_digits_images(return_X_y=True)
    >>> autoencoder = ConvAutoencoder(latent_dim=8, max_epochs=1, random_state=0).fit(X)
    >>> autoencoder.transform(X[:5]).shape
    (5, 8)
    """

    _parameter_constraints: dict = {
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "image_shape": ["array-like", None],
        "beta": [Interval(Real, 0, None, closed="left")],
        "spatial_latent": ["boolean"],
        "channels": ["array-like", None],
        "loss": [StrOptions({"bce", "mse"})],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "optimizer": [StrOptions(set(_OPTIMIZERS)), callable],
        "lr_schedule": [StrOptions({"one_cycle", "cosine", "constant"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "regularizers": [list, tuple, None],
        "max_rec_degradation": [Interval(Real, 0, None, closed="left")],
        "callbacks": [list, tuple, None],
        "device": [str],
        "amp": ["boolean"],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        latent_dim=32,
        *,
        image_shape=None,
        beta=0.0,
        spatial_latent=False,
        channels=None,
        loss="bce",
        max_epochs=20,
        batch_size="auto",
        lr=0.004,
        optimizer="adam",
        lr_schedule="one_cycle",
        validation_fraction=0.0,
        n_iter_no_change=5,
        regularizers=None,
        max_rec_degradation=0.1,
        callbacks=None,
        device="auto",
        amp=False,
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.latent_dim = latent_dim
        self.image_shape = image_shape
        self.beta = beta
        self.spatial_latent = spatial_latent
        self.channels = channels
        self.loss = loss
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.optimizer = optimizer
        self.lr_schedule = lr_schedule
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.regularizers = regularizers
        self.max_rec_degradation = max_rec_degradation
        self.callbacks = callbacks
        self.device = device
        self.amp = amp
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Continue training with one pass over `X`, or start it.

        The pass starts from the weights of the last one, with a new optimizer and the whole
        course of `lr_schedule` within the pass.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Images like those seen before.
        y : array-like of shape (n_samples,), default=None
            Class labels; only `FeatureAlignmentRegularizer` with ``'classifier'`` uses them.

        Returns
        -------
        self : object
            Fitted autoencoder.

        Raises
        ------
        ValueError
            If the images have another shape than before, a parameter of the network was
            changed, or training diverges.
        """
        first = not hasattr(self, "net_")
        with keep_fitted_state_on_error(self):
            if first:
                X, self.layout_ = self._check_images(X)
                self.image_shape_ = self.layout_.image_shape
            else:
                X = self._check_images(X, reset=False)
            self._train(X, y, self.layout_, n_epochs=1, resume=not first)
        return self

    def score(self, X, y=None):
        """Give the negative reconstruction error.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Images.
        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        score : float
            Minus the mean squared error per pixel, pixels in [0, 1]. At most 0, which is a
            perfect reconstruction.
        """
        check_is_fitted(self)
        X = self._check_images(X, reset=False)
        squared_error = 0.0
        for rows in gen_batches(len(X), self._inference_batch()):
            batch = np.asarray(X[rows])
            decoded = np.empty(batch.shape, dtype=np.float32)
            self._decode(self._encode(batch), decoded)
            squared_error += np.square(decoded - to_unit_floats(batch), dtype=np.float64).sum()
        return -float(squared_error / X.size)

    def decode_map(self, Z):
        """Decode maps of codes of any sides.

        Parameters
        ----------
        Z : array-like of shape (n_samples, channels, h, w)
            Maps of codes; with h and w of ``code_shape_`` this is ``inverse_transform``.

        Returns
        -------
        X_images : ndarray of shape (n_samples, C, h * stride, w * stride), dtype float32
            Images with pixels in [0, 1], where the stride is ``2 ** len(channels_)``. Borders
            that fill up the last stride are not cut off.

        Raises
        ------
        ValueError
            If the codes are no maps, or maps with another number of channels.
        """
        check_is_fitted(self)
        Z = check_array(Z, dtype=np.float32, allow_nd=True, ensure_2d=False, estimator=self)
        if len(self.code_shape_) != 3 or Z.ndim != 4 or Z.shape[1] != self.code_shape_[0]:
            raise ValueError(
                f"Expected maps of codes of shape (n_samples, {self.code_shape_[0]}, h, w) of an "
                f"autoencoder with spatial_latent=True, got {Z.shape} and codes of shape "
                f"{self.code_shape_}."
            )
        module, stride = self.net_.module_, self.net_.module_.stride
        out = np.empty(
            (len(Z), self.image_shape_[0], Z.shape[2] * stride, Z.shape[3] * stride), np.float32
        )
        return apply_in_batches(
            lambda batch: torch.sigmoid(module.decode_map(batch).float()),
            Z,
            out=out,
            batch_size=self._inference_batch(),
            device=self.device_,
        )

    def _fit_images(self, X, y, layout):
        resume = self.warm_start and hasattr(self, "net_")
        self._train(X, y, layout, n_epochs=self.max_epochs, resume=resume)

    def _train(self, X, y, layout, *, n_epochs, resume):
        """Train a copy of the network for some epochs, then adopt it."""
        rng = check_random_state(self.random_state)
        device = resolve_device(self.device)
        if self.verbose:
            print(f"[ConvAutoencoder] device={device!r}")
        regularizers = check_regularizers(self.regularizers)
        architecture = self._design(layout.image_shape, regularizers)
        history = self.history_ if resume else []
        if resume and architecture != self._architecture:
            # 'masked' is there only for a network of masked autoencoding.
            old, new = {"masked": False} | self._architecture, {"masked": False} | architecture
            before = {k: v for k, v in old.items() if v != new[k]}
            raise ValueError(
                f"Training can only go on with the network of the last fit, which has {before}, "
                f"got { ({k: new[k] for k in before}) }. Set the old values, or use "
                "warm_start=False and fit to start anew."
            )
        # With the number of epochs in it, images are shuffled anew when training goes on.
        with seed_scope(draw_seed(rng) + len(history), device):
            module = ConvAutoencoderNet(**architecture, amp=self.amp)
            if resume:
                module.load_state_dict(self.net_.module_.state_dict())
            split_seed = draw_seed(rng)
            seed = draw_seed(rng) if regularizers else None
            for regularizer in regularizers:
                with seed_scope(seed, device):
                    regularizer._prepare(X, y, module, device)
            net = self._build_net(module, device, n_epochs, len(X), split_seed, regularizers, seed)
            net.partial_fit(PixelRows(X))
        reports = net.criterion_.report() if regularizers else ()
        # What was trained for the regularisers alone is not needed any more.
        net.criterion = net.criterion_ = PixelLoss(self.loss, self.beta)
        net.module_.eval()
        self.net_ = net
        self._architecture = architecture
        self.latent_dim_ = architecture["latent_dim"]
        self.channels_ = architecture["channels"]
        self.code_shape_ = self._code_shape()
        self.device_ = device
        self.history_ = history + epoch_rows(net.history, len(history) + 1, reports)
        self.n_iter_ = len(self.history_)
        warn_degradation(self.history_, len(history), self.max_rec_degradation)

    def _design(self, image_shape, regularizers):
        """Settle the arguments of the network, or say why they do not fit the images."""
        channels = default_channels(image_shape) if self.channels is None else self.channels
        channels = tuple(int(width) for width in channels)
        if not channels or min(channels) < 1:
            raise ValueError(f"'channels' must be positive integers, got {self.channels!r}.")
        n_pixels = math.prod(image_shape)
        if self.latent_dim > n_pixels:
            warnings.warn(
                f"'latent_dim'={self.latent_dim} is larger than the {n_pixels} pixels of an "
                "image, so the codes compress nothing. Use a smaller 'latent_dim'.",
                stacklevel=5,
            )
        area = math.prod(code_map_shape(image_shape, channels))
        if self.spatial_latent and self.latent_dim % area:
            nearest = max(1, round(self.latent_dim / area)) * area
            raise ValueError(
                f"spatial_latent=True needs 'latent_dim' to be a multiple of the code map's area "
                f"{area}, got {self.latent_dim}. Use for example latent_dim={nearest}."
            )
        for regularizer in regularizers:
            if regularizer.needs_map and not self.spatial_latent:
                raise ValueError(
                    f"{type(regularizer).__name__} needs codes that are maps, got "
                    "spatial_latent=False. Use spatial_latent=True and for example "
                    f"latent_dim={max(1, round(self.latent_dim / area)) * area}."
                )
        replacing = [r for r in regularizers if r.replaces_steps]
        if len(replacing) > 1 and any(r.masks_images for r in replacing):
            raise ValueError(
                "MaskedAutoencodingObjective takes every step, so that no other regularizer which "
                f"does can act beside it, got {[type(r).__name__ for r in replacing]}. Leave one "
                "out."
            )
        # Only where it is needed, so that models saved without it still match.
        masked = {"masked": True} if any(r.masks_images for r in regularizers) else {}
        return {
            "image_shape": image_shape,
            "latent_dim": int(self.latent_dim),
            "channels": channels,
            "spatial_latent": bool(self.spatial_latent),
            "variational": self.beta > 0,
            **masked,
        }

    def _build_net(
        self, module, device, n_epochs, n_samples, split_seed, regularizers, regularizer_seed
    ):
        """Set up skorch; the schedule needs to know the number of steps ahead."""
        n_valid = math.ceil(self.validation_fraction * n_samples)
        n_train = n_samples - n_valid
        if n_train < 2:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} leaves {n_train} of {n_samples} "
                "images for training, at least 2 are needed."
            )
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = min(max(_MIN_BATCH, n_train // _STEPS_PER_EPOCH), _MAX_BATCH)
        drop_last = n_train > batch_size
        n_batches = n_train // batch_size if drop_last else 1
        optimizer = self.optimizer
        criterion, cls = PixelLoss(self.loss, self.beta), NeuralNet
        if regularizers:
            steps = regularizers, n_epochs, n_batches, regularizer_seed
            criterion, cls = RegularizedLoss(self.loss, self.beta, *steps), RegularizedNet
        start = max((regularizer.start for regularizer in regularizers), default=0)
        return cls(
            module.to(memory_format=torch.channels_last),
            criterion,
            optimizer=_OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer,
            lr=self.lr,
            max_epochs=n_epochs,
            batch_size=batch_size,
            iterator_train__shuffle=True,
            iterator_train__drop_last=drop_last,
            iterator_train__collate_fn=already_collated,
            iterator_valid__collate_fn=already_collated,
            train_split=(
                ValidSplit(self.validation_fraction, random_state=split_seed) if n_valid else None
            ),
            callbacks=self._build_callbacks(
                n_epochs * n_batches,
                bool(n_valid),
                first_epoch=math.ceil(start * n_epochs - 1e-9) + 1,
            ),
            device=device,
            verbose=max(0, int(self.verbose) - 1),
        ).initialize()

    def _build_callbacks(self, n_steps, validates, first_epoch):
        callbacks = [("watch_loss", WatchLoss())]
        if self.beta > 0:
            callbacks.append(("train_kl", PassthroughScoring("train_kl", on_train=True)))
            if validates:
                callbacks.append(("valid_kl", PassthroughScoring("valid_kl")))
        # One cycle ends at a rate of nearly 0, and with one step it also begins there.
        if self.lr_schedule == "one_cycle" and n_steps >= 4:
            # Not every optimizer has a momentum to cycle.
            schedule = {"max_lr": self.lr, "total_steps": n_steps, "cycle_momentum": False}
            callback = LRScheduler(OneCycleLR, step_every="batch", **schedule)
            callbacks.append(("lr_schedule", callback))
        elif self.lr_schedule == "cosine":
            callback = LRScheduler(CosineAnnealingLR, step_every="batch", T_max=n_steps)
            callbacks.append(("lr_schedule", callback))
        if validates:
            stopping = {"patience": self.n_iter_no_change, "load_best": True, "first": first_epoch}
            sink = print if self.verbose > 1 else noop
            callbacks.append(("early_stopping", EarlyStopping(**stopping, sink=sink)))
        if self.verbose:
            callbacks.append(("progress_bar", ProgressBar()))
        # Copies, since a callback changes while it runs.
        return callbacks + deepcopy(list(self.callbacks or []))

    def _code_shape(self):
        if not self._architecture["spatial_latent"]:
            return (self.latent_dim_,)
        height, width = code_map_shape(self._architecture["image_shape"], self.channels_)
        return (self.latent_dim_ // (height * width), height, width)

    def _inference_batch(self):
        n_pixels = math.prod(self._architecture["image_shape"])
        return max(1, min(_INFERENCE_BATCH, _INFERENCE_PIXELS // n_pixels))

    def _encode(self, X):
        module = self.net_.module_

        def codes(batch):
            return module.encode(unit_images(batch, module.image_shape))[0].float()

        Z = np.empty((len(X), self.latent_dim_), dtype=np.float32)
        return apply_in_batches(
            codes, X, out=Z, batch_size=self._inference_batch(), device=self.device_
        )

    def _decode(self, Z, out):
        module = self.net_.module_
        as_bytes = out.dtype == np.uint8

        def pixels(batch):
            X = torch.sigmoid(module.decode(batch).float()).flatten(1)
            return X.mul_(255).round_().to(torch.uint8) if as_bytes else X

        return apply_in_batches(
            pixels, Z, out=out, batch_size=self._inference_batch(), device=self.device_
        )

    def _make_net(self):
        module = ConvAutoencoderNet(**self._architecture, amp=self.amp)
        # The layout decides the last bits of a convolution, and must be that of training.
        module.to(memory_format=torch.channels_last)
        loss = PixelLoss(self.loss, self.beta)
        return NeuralNet(module, loss, device=self.device_).initialize()
