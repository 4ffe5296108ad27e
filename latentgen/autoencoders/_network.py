"""An autoencoder from two torch modules of the user's own."""

# SPDX-License-Identifier: BSD-3-Clause

from copy import deepcopy

from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from torch import nn

from latentgen.autoencoders._reconstruction import ReconstructionAutoencoder
from latentgen.networks._pair import EncoderDecoderNet


def _is_trainable(autoencoder):
    return autoencoder.trainable


class NetworkAutoencoder(ReconstructionAutoencoder):
    """Two torch modules of your own, trained or as they are.

    It turns a pair of networks into an autoencoder of the toolkit: one that was trained elsewhere
    (``trainable=False``), or one whose architecture you have written and ``fit`` trains. Samplers,
    pipelines, searches and metrics then work as with `ConvAutoencoder`.

    Read more in the :ref:`User Guide <training>`.

    Parameters
    ----------
    encoder : torch.nn.Module or callable
        Turns images (B, C, H, W) with pixels in [0, 1] into codes: vectors (B, latent_dim), maps
        (B, channels, h, w) or any tensor (B, ...). A function gets the ``image_shape`` (C, H, W)
        and gives a module, with initial weights that `random_state` decides.
    decoder : torch.nn.Module or callable
        Turns what the encoder gives into images of the shape that came in, or rows of as many
        values. A function gets the ``image_shape`` too.
    trainable : bool, default=True
        Whether ``fit`` trains the modules, copies of them. Otherwise it only looks at the shapes.
    output : {'logits', 'pixels'}, default='logits'
        What the decoder gives: logits, of which the pixels are the sigmoid, or pixels in [0, 1].
    image_shape : tuple of int, default=None
        (C, H, W). Needed for flat images; left out, they are read as square with one channel where
        their number of pixels allows no three channels.
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
    lr : float, default=0.004
        Learning rate, the highest one where a schedule changes it.
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
        The trained net; ``net_.module_.encoder`` and ``net_.module_.decoder`` are copies of the
        modules.
    history_ : list of dict
        One row per epoch, as of `ConvAutoencoder`; empty if not trainable.
    n_iter_ : int
        Number of epochs in ``history_``.
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
    ConvAutoencoder : Brings its own network.

    Notes
    -----
    Layers that draw random numbers, such as dropout, take them from a generator of the training,
    so that `random_state` decides them and torch's global ones are left alone. The copies of
    the modules compute in float32, and parameters that both share are learned apart. `save_model`
    keeps modules of torch's own layers; to open a file with classes of your own, name them to
    `load_model` as ``trusted``.

    Examples
    --------
    >>> from torch import nn
    >>> from latentgen import NetworkAutoencoder
    >>> from latentgen.datasets import load_digits_images
    >>> X, _ = load_digits_images(return_X_y=True)
    >>> encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))
    >>> decoder = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64))
    >>> autoencoder = NetworkAutoencoder(encoder, decoder, max_epochs=1, random_state=0)
    >>> autoencoder.fit(X).reconstruct(X[:5]).shape
    (5, 1, 8, 8)
    """

    _parameter_constraints: dict = {
        "encoder": [nn.Module, callable],
        "decoder": [nn.Module, callable],
        "trainable": ["boolean"],
        "output": [StrOptions({"logits", "pixels"})],
        **ReconstructionAutoencoder._parameter_constraints,
    }

    def __init__(
        self,
        encoder,
        decoder,
        *,
        trainable=True,
        output="logits",
        image_shape=None,
        loss="auto",
        flip=None,
        max_epochs=20,
        batch_size="auto",
        lr=0.004,
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
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.encoder = encoder
        self.decoder = decoder
        self.trainable = trainable
        self.output = output
        self.image_shape = image_shape
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
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _fit_images(self, X, y, layout):
        if self.trainable:
            super()._fit_images(X, y, layout)
            return
        self._adopt_network(design=self._settle_design(layout))
        self.code_shape_ = self.net_.module_.code_shape

    @available_if(_is_trainable)
    def _partial_fit_images(self, X, y, layout):
        super()._partial_fit_images(X, y, layout)

    def _settle_design(self, layout):
        return {"image_shape": layout.image_shape}

    def _make_module(self, image_shape):
        pair = [
            # The user's own stay as they are.
            deepcopy(part) if isinstance(part, nn.Module) else part(image_shape)
            for part in (self.encoder, self.decoder)
        ]
        parameters = [p for part in pair for p in part.parameters()]
        if self.trainable and not any(p.requires_grad for p in parameters):
            raise ValueError(
                "Expected modules with parameters that learn, got "
                f"{len(parameters)} parameters without 'requires_grad'. Set trainable=False to "
                "use the modules as they are."
            )
        return EncoderDecoderNet(
            *(part.cpu().float() for part in pair),
            image_shape,
            output=self.output,
            loss=self.loss,
            flip=self.flip,
        )
