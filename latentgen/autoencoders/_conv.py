"""A convolutional autoencoder without KL penalty, or with one."""

# SPDX-License-Identifier: BSD-3-Clause

import math
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from latentgen.autoencoders._prior import NormalPrior
from latentgen.autoencoders._reconstruction import ReconstructionAutoencoder
from latentgen.networks._conv import ConvAutoencoderNet, code_map_shape, default_channels
from latentgen.networks._reconstruction import unit_images
from latentgen.training import apply_in_batches
from latentgen.utils._warnings import warn_user

# The rate of lr='auto', and the width up to which it is this one.
_LARGEST_RATE, _NARROW = 0.04, 32


class ConvAutoencoder(ReconstructionAutoencoder):
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
        (C, H, W). Needed for flat images; left out, they are read as square with one channel where
        their number of pixels allows no three channels.
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
        (32, 64) for 3 x 32 x 32. At most as many as make the longer side 1: 3 for 8 x 8.
    loss : {'auto', 'bce', 'mse', 'mae', 'mae_bce'}, default='auto'
        Reconstruction loss: binary cross-entropy, squared error, absolute error, or the absolute
        error plus 0.1 times the cross-entropy. ``'auto'`` is ``'mae_bce'`` without a KL term, for
        sharp images, and ``'bce'`` with one, for the standard bound.
    flip : {'horizontal', 'vertical', 'both'}, default=None
        Mirror each training image with probability 1/2, along one axis or each of both, anew in
        every epoch.
    max_epochs : int, default=20
        Passes over the data.
    batch_size : int or 'auto', default='auto'
        Images per step. ``'auto'`` is 128, and less for fewer than 6 400 images, so that an
        epoch has about 50 steps; 16 at least. The last, incomplete batch of an epoch is left
        out; images are shuffled anew in each.
    lr : float or 'auto', default='auto'
        Learning rate, the highest one where a schedule changes it. ``'auto'`` is 0.04 with up to
        32 channels, and 0.04 * 32 / (channels of the widest stage) with more, since the best rate
        of Adam falls with the width of a network (Yang et al. 2021, table 3): 0.04 for 28 x 28,
        0.02 for 3 x 32 x 32. Where training goes on, by ``partial_fit`` or `warm_start`, it is a
        tenth of that.
    optimizer : {'adam', 'adamw', 'sgd'} or torch optimizer class, default='adam'
        ``'sgd'`` has a Nesterov momentum of 0.9.
    lr_schedule : {'one_cycle', 'cosine', 'constant'}, default='one_cycle'
        Course of the learning rate over all steps of one ``fit``; ``'one_cycle'`` is the
        default of torch's ``OneCycleLR`` (Smith and Topin 2018).
    weight_decay : float, default=0.0
        Weight decay of the optimizer; decoupled from the loss with ``'adamw'``.
    ema_decay : float, default=0.0
        Largest decay of an exponential moving average of the weights, below 1, which the fitted
        network has; it grows with the number of steps n as (1 + n) / (10 + n). 0 takes no average.
    grad_clip : float, default=None
        Largest norm of the gradient; a longer one is scaled down. None does not limit it.
    validation_fraction : float, default=0.0
        Fraction of the images set aside to stop early. 0 trains on all images to the end.
    n_iter_no_change : int, default=5
        Epochs without a lower validation loss before training stops. The weights of the best
        epoch are restored. Used with ``validation_fraction > 0``.
    regularizers : list of regularizers, default=None
        Objects of `latentgen.autoencoders` that make the codes easier to sample, such as
        ``[ScaleEquivarianceRegularizer()]``; ``fit`` uses copies. See :ref:`regularizers`.
    max_rec_degradation : float, default=0.1
        Fraction by which the validation loss may rise above that of the last epoch without
        regularizers before ``fit`` warns. Used with ``validation_fraction > 0`` when an earlier
        epoch without them exists: because of their ``start``, or by `warm_start`.
    max_seconds : float, default=None
        Time for training, in seconds: no step begins after it, and the schedule of the learning
        rate ends with it. `max_epochs` remains the limit if it is reached before.
    checkpoint : str or path-like, default=None
        File for the state of the training, written after each epoch. A ``fit`` to the same images
        with the same parameters that finds it goes on from there, and on the CPU ends with the
        same weights as one that was not interrupted.
    callbacks : list of skorch callbacks, default=None
        Further callbacks, or pairs of name and callback; a name of a callback that is there, such
        as ``'lr_schedule'`` or ``'progress_bar'``, replaces it. The net gets copies, but loggers
        with a connection as they are.
    net_params : dict, default=None
        Further parameters of the skorch net, such as ``{"iterator_train__num_workers": 2}``.
    device : str, default='auto'
        A torch device. ``'auto'`` takes CUDA, then MPS, then the CPU, and ``device_`` says which.
    amp : bool, default=False
        Train in bfloat16 (automatic mixed precision). Validation, codes and images are computed in
        float32 all the same.
    warm_start : bool, default=False
        Let ``fit`` start from the weights of the last ``fit``, with a new optimizer. Parameters
        of the network must be the same.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, shuffling, validation split and noise. None draws it from NumPy's global
        generator, as in scikit-learn; no other global generator is used or changed.
    verbose : int, default=0
        1 shows a progress bar per epoch and the device, 2 also a line per epoch.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module.
    history_ : list of dict
        One row per epoch: ``epoch``, ``train_loss``, ``train_mse``, ``dur`` (seconds), and where
        they exist ``valid_loss``, ``valid_mse``, ``train_kl`` and ``valid_kl`` (nats per image).
        Losses are per pixel; ``mse`` is the mean squared error per pixel, pixels in [0, 1],
        whatever the `loss`. With ``beta > 0`` both are of codes that are drawn, in validation
        with the same noise in every epoch, so that ``valid_loss`` is the bound itself; `score` is
        of the mean of the code.
        With `regularizers`, ``train_loss`` includes them and ``valid_loss`` does not;
        ``train_mse`` is of the images and codes that the regularizers have put in the place of
        the ordinary ones, where they do; and
        ``regularizers`` is a list with one dict each: mean ``loss`` and ``weight`` of the steps
        in which it acted, and ``gradient_fraction``, the fraction of the gradient that comes from
        it, in [0, 1]. That is measured at every 50th step of a ``fit``, the first one included,
        and at every step with ``weight='adaptive'``; it is 1 where the regularizer takes the
        place of the ordinary pass, and nan in epochs without a measurement.
    n_iter_ : int
        Number of epochs in ``history_``.
    channels_ : tuple of int
        Widths in use.
    code_shape_ : tuple of int
        Shape of a code before flattening: (latent_dim,), or (channels, height, width).
    prior_ : NormalPrior
        N(0, I) over codes, only with ``beta > 0``.
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
    over pixels: the cross-entropy in nats, or the squared or absolute error, which are, up to a
    constant, the negative log-likelihoods of a normal distribution with variance 1/2 and of a
    Laplace distribution with scale 1. KL is summed over the code, in nats. So ``beta=1`` is the
    exact bound, except with ``'mae_bce'``, which is no log-likelihood; the division by D only keeps
    `lr` independent of the image size. Programs that *average* R over pixels and sum the KL use, in
    these terms, ``beta = D * their beta``: their ``beta=1`` is ``beta=784`` on 28 x 28 images.

    ``fit`` ends with a `ConvergenceWarning` if, after 200 steps or more, the codes have collapsed
    or the reconstructions are no better than the mean image.

    ``transform`` gives the mean of a variational code, without noise, and ``sample_posterior`` a
    draw with it. Fitting takes time in
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
    .. [5] G. Yang et al. "Tensor Programs V: Tuning Large Neural Networks via Zero-Shot
       Hyperparameter Transfer". NeurIPS 2021. https://arxiv.org/abs/2203.03466

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
        **ReconstructionAutoencoder._parameter_constraints,
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "spatial_latent": ["boolean"],
        "channels": ["array-like", None],
        "lr": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "amp": ["boolean"],
    }

    def __init__(
        self,
        latent_dim=32,
        *,
        image_shape=None,
        beta=0.0,
        spatial_latent=False,
        channels=None,
        loss="auto",
        flip=None,
        max_epochs=20,
        batch_size="auto",
        lr="auto",
        optimizer="adam",
        lr_schedule="one_cycle",
        weight_decay=0.0,
        ema_decay=0.0,
        grad_clip=None,
        validation_fraction=0.0,
        n_iter_no_change=5,
        regularizers=None,
        max_rec_degradation=0.1,
        max_seconds=None,
        checkpoint=None,
        callbacks=None,
        net_params=None,
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
        self.flip = flip
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.optimizer = optimizer
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.ema_decay = ema_decay
        self.grad_clip = grad_clip
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.regularizers = regularizers
        self.max_rec_degradation = max_rec_degradation
        self.max_seconds = max_seconds
        self.checkpoint = checkpoint
        self.callbacks = callbacks
        self.net_params = net_params
        self.device = device
        self.amp = amp
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def posterior(self, X):
        """Encode images to normal distributions over codes; only with ``beta > 0``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Images like those seen during ``fit``, in any layout.

        Returns
        -------
        mean : ndarray of shape (n_samples, latent_dim), dtype float32
            What ``transform`` gives.
        variance : ndarray of shape (n_samples, latent_dim), dtype float32
            Variance of each value, where that of the prior is 1.

        Raises
        ------
        ValueError
            If the autoencoder was fitted with ``beta=0``, or the images have another shape than
            those seen during ``fit``.

        See Also
        --------
        sample_posterior : Draws of them.
        latentgen.metrics.kl_from_prior : How much a code says about its image.
        latentgen.metrics.active_units : How many values of a code say anything.
        """
        check_is_fitted(self)
        if not hasattr(self, "prior_"):
            raise ValueError(
                "Expected a variational autoencoder, got one fitted with beta=0, which has no "
                "posterior. Fit it with 'beta' above 0, or use 'transform'."
            )
        X, module = self._check_images(X), self.net_.module_

        def moments(batch):
            code = module.encode(unit_images(batch, module.image_shape))
            return torch.stack([code.mean, code.log_variance.exp()], dim=1).float()

        out = np.empty((len(X), 2, self.latent_dim_), dtype=np.float32)
        size = self._inference_batch()
        apply_in_batches(moments, X, out=out, batch_size=size, device=self.device_)
        return out[:, 0], out[:, 1]

    def sample_posterior(self, X, *, random_state=None):
        """Draw a code of each image from the posterior that a variational encoder gives.

        These are the codes that the decoder was trained on (the reparameterization of Kingma and
        Welling 2014, section 2.4): ``mean + standard deviation * noise``, where ``transform`` gives
        the mean. Each draw starts from its image, so decoded draws from the posteriors of training
        images resemble these and are not new images as those of a sampler are.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Images like those seen during ``fit``, in any layout.
        random_state : int, RandomState instance or None, default=None
            The same integer gives the same codes; None gives new ones in every call.

        Returns
        -------
        Z : ndarray of shape (n_samples, latent_dim), dtype float32
            One code per image.

        Raises
        ------
        ValueError
            If the autoencoder is not variational, that is ``beta`` was 0 in ``fit``, or if the
            images have another shape than those seen during ``fit``.
        """
        mean, variance = self.posterior(X)
        noise = check_random_state(random_state).standard_normal(mean.shape)
        return mean + np.sqrt(variance) * noise.astype(np.float32)

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
            If the codes are not maps, or are maps with another number of channels.
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

    @property
    def channels_(self):
        """Widths in use."""
        check_is_fitted(self)
        return self._network_design["channels"]

    def _train_on_images(self, X, y, layout, **how):
        super()._train_on_images(X, y, layout, **how)
        vars(self).pop("prior_", None)
        if self.beta > 0:
            self.prior_ = NormalPrior(int(self.latent_dim))

    def _make_module(self, **design):
        module = ConvAutoencoderNet(
            **design, amp=self.amp, loss=self.loss, beta=self.beta, flip=self.flip
        )
        # A third faster on a CPU; and the layout decides the last bits of a convolution.
        return module.to(memory_format=torch.channels_last)

    def _learning_rate(self, module, go_on):
        if self.lr != "auto":
            return self.lr
        # The full rate would forget what was learned from images that are not seen again.
        rate = _LARGEST_RATE * min(1, _NARROW / max(module.channels))
        return 0.1 * rate if go_on else rate

    def _settle_design(self, layout):
        """Settle the arguments of the network, or say why they do not fit the images."""
        image_shape = layout.image_shape
        channels = default_channels(image_shape) if self.channels is None else self.channels
        channels = tuple(int(width) for width in channels)
        if not channels or min(channels) < 1:
            raise ValueError(f"'channels' must be positive integers, got {self.channels!r}.")
        most = max(1, math.ceil(math.log2(max(image_shape[1:]))))
        if len(channels) > most:
            padded = [side * 2 ** len(channels) for side in code_map_shape(image_shape, channels)]
            raise ValueError(
                f"'channels' has {len(channels)} stages, each of which halves the sides, and would "
                f"pad images of {image_shape[1]} x {image_shape[2]} pixels to {padded[0]} x "
                f"{padded[1]}. Use at most {most} stages."
            )
        n_pixels = math.prod(image_shape)
        if self.latent_dim > n_pixels:
            warn_user(
                f"'latent_dim'={self.latent_dim} is larger than the {n_pixels} pixels of an "
                "image, so the codes compress nothing. Use a smaller 'latent_dim'.",
            )
        area = math.prod(code_map_shape(image_shape, channels))
        nearest = max(1, round(self.latent_dim / area)) * area
        if self.spatial_latent and self.latent_dim % area:
            raise ValueError(
                f"spatial_latent=True needs 'latent_dim' to be a multiple of the code map's area "
                f"{area}, got {self.latent_dim}. Use for example latent_dim={nearest}."
            )
        return {
            "image_shape": image_shape,
            "latent_dim": int(self.latent_dim),
            "channels": channels,
            "spatial_latent": bool(self.spatial_latent),
            "variational": self.beta > 0,
            "masked": any(getattr(r, "masks_images", False) for r in self.regularizers or ()),
        }
