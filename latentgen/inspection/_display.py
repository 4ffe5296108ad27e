"""Pictures of what a generator draws and of what an autoencoder keeps."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state, check_scalar, column_or_1d
from sklearn.utils.validation import check_consistent_length

from latentgen.exceptions import NoSourceError
from latentgen.inspection._tiles import as_image_batch, choose_rows, draw_blocks, take_rows
from latentgen.utils._neighbors import NeighborIndex
from latentgen.utils._novelty import distance_ratios
from latentgen.utils._random import draw_seed
from latentgen.utils._sampling import draw


def _choose_real(X, y, classes, n_images, n_columns, random_state):
    """Choose rows of real images at random: in all, or per class when there are classes."""
    if classes is None:
        return choose_rows(len(X), n_images, random_state)
    y = column_or_1d(y)
    check_consistent_length(X, y)
    rng = check_random_state(random_state)
    members = [np.flatnonzero(y == label) for label in classes]
    return np.concatenate([rows[choose_rows(len(rows), n_columns, rng)] for rows in members])


def _grid(X, y, classes, n_rows, n_columns, image_shape):
    """Arrange images in rows, one per class if there are classes, with NaN in empty places."""
    if classes is None:
        rows = [np.arange(len(X))[i * n_columns : (i + 1) * n_columns] for i in range(n_rows)]
    else:
        y = column_or_1d(y)
        check_consistent_length(X, y)
        rows = [np.flatnonzero(y == label)[:n_columns] for label in classes]
    images = as_image_batch(take_rows(X, np.concatenate(rows)), image_shape)
    grid = np.full((n_rows, n_columns, *images.shape[1:]), np.nan, np.float32)
    start = 0
    for row, members in enumerate(rows):
        grid[row, : len(members)] = images[start : start + len(members)]
        start += len(members)
    return grid


class SampleGridDisplay:
    """Grid of generated images, beside real ones if there are any.

    Make it with `from_estimator` or `from_images`; the constructor takes what they computed.

    Parameters
    ----------
    images : ndarray of shape (n_rows, n_columns, C, H, W)
        Images with pixels in [0, 1]; NaN marks an empty place.
    labels : list of str, default=None
        One label per row, usually the class.
    real_images : ndarray of shape (n_rows, n_real_columns, C, H, W), default=None
        Real images to show beside them.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure with the grid.
    axes_ : matplotlib Axes
        Axes with the grid.

    See Also
    --------
    ReconstructionDisplay : Originals above their reconstructions.

    Examples
    --------
    >>> from latentgen.datasets import load_digits_images
    >>> from latentgen.inspection import SampleGridDisplay
    >>> X, y = load_digits_images(return_X_y=True)
    >>> display = SampleGridDisplay.from_images(X, y, n_columns=5)
    >>> display.images.shape
    (10, 5, 1, 8, 8)
    """

    def __init__(self, images, labels=None, real_images=None):
        self.images = images
        self.labels = labels
        self.real_images = real_images

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X=None,
        y=None,
        *,
        n_rows=None,
        n_columns=8,
        random_state=0,
        image_shape=None,
        ax=None,
        cmap="gray",
    ):
        """Draw images from a fitted generator and show them.

        Parameters
        ----------
        estimator : object
            Fitted, with ``sample`` giving images. It is class-conditional if it has
            ``classes_``.
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W), default=None
            Real images; a random choice of them is shown beside the generated ones.
        y : array-like of shape (n_samples,), default=None
            Labels of `X`, or without `X` the classes to show. Gives one row per class. Ignored
            if the estimator is not class-conditional.
        n_rows : int, default=None
            Number of rows. If None, all classes in `y`, or 4 without classes.
        n_columns : int, default=8
            Images per row, of either kind.
        random_state : int, RandomState instance or None, default=0
            Seed of the generated images and of the choice of real ones.
        image_shape : tuple of int, default=None
            (C, H, W) of flat images. If None, the estimator's ``image_shape_``, else square
            images of one channel.
        ax : matplotlib Axes, default=None
            Where to draw. If None, a new figure of fitting size.
        cmap : str or Colormap, default='gray'
            Colors of images with one channel.

        Returns
        -------
        display : SampleGridDisplay
            The display, already plotted.

        Raises
        ------
        ValueError
            If a number is below 1, or `X` and `y` differ in length.
        TypeError
            If the estimator has no ``sample``.
        """
        if not hasattr(estimator, "sample"):
            raise TypeError(
                f"Expected an estimator with 'sample', got {type(estimator).__name__}. Use a "
                "LatentGenerativePipeline, or from_images for images that exist already."
            )
        if image_shape is None:
            image_shape = getattr(estimator, "image_shape_", None)
        classes = np.unique(y) if y is not None and hasattr(estimator, "classes_") else None
        if n_rows is None:
            n_rows = 4 if classes is None else len(classes)
        check_scalar(n_rows, "n_rows", Integral, min_val=1)
        check_scalar(n_columns, "n_columns", Integral, min_val=1)
        if classes is not None:
            classes = classes[:n_rows]
            y_new = np.repeat(classes, n_columns)
            X_new = estimator.sample(len(y_new), y=y_new, random_state=random_state)
        else:
            y = y_new = None
            X_new = estimator.sample(n_rows * n_columns, random_state=random_state)
        X_real = y_real = None
        if X is not None:
            rows = _choose_real(X, y, classes, n_rows * n_columns, n_columns, random_state)
            X_real = as_image_batch(take_rows(X, rows), image_shape, drawn=True)
            y_real = None if y is None else np.asarray(y)[rows]
        return cls.from_images(
            as_image_batch(X_new, image_shape, drawn=True),
            y_new,
            X_real=X_real,
            y_real=y_real,
            n_columns=n_columns,
            ax=ax,
            cmap=cmap,
        )

    @classmethod
    def from_images(
        cls,
        X,
        y=None,
        *,
        X_real=None,
        y_real=None,
        n_rows=None,
        n_columns=8,
        image_shape=None,
        ax=None,
        cmap="gray",
    ):
        """Show images that exist already.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Images; the first ones are shown (of each class, if there are labels).
        y : array-like of shape (n_samples,), default=None
            Labels of `X`. Gives one row per class.
        X_real : array-like, default=None
            Real images to show beside them, in any layout.
        y_real : array-like, default=None
            Labels of `X_real`; needed if `y` is given.
        n_rows : int, default=None
            Number of rows. If None, as many as there are classes or, without labels, as it
            takes to show all of `X`, at most 10.
        n_columns : int, default=8
            Images per row, of either kind.
        image_shape : tuple of int, default=None
            (C, H, W) of flat images. If None, square images of one channel.
        ax : matplotlib Axes, default=None
            Where to draw. If None, a new figure of fitting size.
        cmap : str or Colormap, default='gray'
            Colors of images with one channel.

        Returns
        -------
        display : SampleGridDisplay
            The display, already plotted.

        Raises
        ------
        ValueError
            If a number is below 1, lengths differ, or only one of `y` and `y_real` is given.
        """
        check_scalar(n_columns, "n_columns", Integral, min_val=1)
        if n_rows is not None:
            check_scalar(n_rows, "n_rows", Integral, min_val=1)
        if X_real is not None and (y is None) != (y_real is None):
            raise ValueError(
                "Expected labels of both the images and the real images or of neither, got only "
                f"{'y_real' if y is None else 'y'}."
            )
        if y is None:
            classes = None
            n_rows = n_rows or min(10, -(-len(X) // n_columns))
        else:
            classes = np.unique(y)[:n_rows]
            n_rows = len(classes)
        images = _grid(X, y, classes, n_rows, n_columns, image_shape)
        real_images = None
        if X_real is not None:
            real_images = _grid(X_real, y_real, classes, n_rows, n_columns, images.shape[2:])
        labels = None if classes is None else [str(label) for label in classes]
        return cls(images, labels, real_images).plot(ax, cmap=cmap)

    def plot(self, ax=None, *, cmap="gray"):
        """Draw the grid.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. If None, a new figure of fitting size.
        cmap : str or Colormap, default='gray'
            Colors of images with one channel.

        Returns
        -------
        SampleGridDisplay
            The display itself.
        """
        blocks = [self.images] + ([] if self.real_images is None else [self.real_images])
        self.axes_ = draw_blocks(
            blocks,
            headings=["generated", "real"] if len(blocks) == 2 else None,
            row_labels=self.labels,
            captions=None,
            ax=ax,
            cmap=cmap,
            needed_by=type(self).__name__,
        )
        self.figure_ = self.axes_.figure
        return self


class ReconstructionDisplay:
    """Images above what an autoencoder makes of them.

    Make it with `from_estimator`; the constructor takes what that computed.

    Parameters
    ----------
    images : ndarray of shape (n_images, C, H, W)
        Originals with pixels in [0, 1].
    reconstructions : ndarray of shape (n_images, C, H, W)
        Their reconstructions with pixels in [0, 1].

    Attributes
    ----------
    mse : ndarray of shape (n_images,)
        Mean squared error of each image, over all its pixels; lower is better, 0 is perfect.
    figure_ : matplotlib Figure
        Figure with the images.
    axes_ : matplotlib Axes
        Axes with the images.

    See Also
    --------
    SampleGridDisplay : Generated images beside real ones.

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.datasets import load_digits_images
    >>> from latentgen.inspection import ReconstructionDisplay
    >>> X = load_digits_images().data[:4]
    >>> display = ReconstructionDisplay(X, np.round(X)).plot(show_mse=True)
    >>> display.mse.shape
    (4,)
    """

    def __init__(self, images, reconstructions):
        self.images = images
        self.reconstructions = reconstructions

    @property
    def mse(self):
        """Mean squared error of each image."""
        return ((self.images - self.reconstructions) ** 2).mean(axis=(1, 2, 3))

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        n_images=10,
        random_state=0,
        image_shape=None,
        show_error=True,
        show_mse=False,
        ax=None,
        cmap="gray",
    ):
        """Reconstruct images and show them.

        Parameters
        ----------
        estimator : object
            Fitted, with ``reconstruct``: an autoencoder or a pipeline.
        X : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            Images, preferably unseen during ``fit``.
        n_images : int, default=10
            How many of them to show, chosen at random and shown in the order of `X`.
        random_state : int, RandomState instance or None, default=0
            Seed of the choice.
        image_shape : tuple of int, default=None
            (C, H, W) of flat images. If None, the estimator's ``image_shape_``, else square
            images of one channel.
        show_error : bool, default=True
            Add a row with the absolute error, averaged over channels, from 0 (black) to the
            largest one (white).
        show_mse : bool, default=False
            Write the mean squared error under each image.
        ax : matplotlib Axes, default=None
            Where to draw. If None, a new figure of fitting size.
        cmap : str or Colormap, default='gray'
            Colors of images with one channel.

        Returns
        -------
        display : ReconstructionDisplay
            The display, already plotted.

        Raises
        ------
        ValueError
            If `n_images` is below 1.
        TypeError
            If the estimator has no ``reconstruct``.
        """
        if not hasattr(estimator, "reconstruct"):
            raise TypeError(
                f"Expected an estimator with 'reconstruct', got {type(estimator).__name__}. Use "
                "an autoencoder or a LatentGenerativePipeline."
            )
        check_scalar(n_images, "n_images", Integral, min_val=1)
        if image_shape is None:
            image_shape = getattr(estimator, "image_shape_", None)
        chosen = take_rows(X, choose_rows(len(X), n_images, random_state))
        images = as_image_batch(chosen, image_shape, drawn=True)
        reconstructions = as_image_batch(
            estimator.reconstruct(chosen), images.shape[1:], drawn=True
        )
        return cls(images, reconstructions).plot(
            ax, show_error=show_error, show_mse=show_mse, cmap=cmap
        )

    def plot(self, ax=None, *, show_error=True, show_mse=False, cmap="gray"):
        """Draw the rows of images.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. If None, a new figure of fitting size.
        show_error : bool, default=True
            Add a row with the absolute error.
        show_mse : bool, default=False
            Write the mean squared error under each image.
        cmap : str or Colormap, default='gray'
            Colors of images with one channel.

        Returns
        -------
        ReconstructionDisplay
            The display itself.
        """
        rows, labels = [self.images, self.reconstructions], ["original", "reconstructed"]
        if show_error:
            error = np.abs(self.images - self.reconstructions).mean(axis=1, keepdims=True)
            largest = error.max()
            scaled = error / largest if largest > 0 else error
            rows.append(np.broadcast_to(scaled, self.images.shape))
            labels.append(f"error\n(up to {largest:.2g})")
        self.axes_ = draw_blocks(
            [np.stack(rows)],
            headings=None,
            row_labels=labels,
            captions=["MSE", *(f"{value:.4f}" for value in self.mse)] if show_mse else None,
            ax=ax,
            cmap=cmap,
            needed_by=type(self).__name__,
        )
        self.figure_ = self.axes_.figure
        return self


class SourceDisplay:
    """New images beside the training images they came from and beside their nearest ones.

    It shows at a glance whether a generator copies: a copy looks like its nearest training image,
    and a draw that started from a training code should differ from its source.

    Make it with `from_estimator`; the constructor takes what that computed.

    Parameters
    ----------
    images : ndarray of shape (n_images, C, H, W)
        New images with pixels in [0, 1].
    nearest : ndarray of shape (n_images, C, H, W)
        The training image nearest to each.
    sources : ndarray of shape (n_images, C, H, W), default=None
        The training image whose code each started from; NaN where there is none.
    distances : ndarray of shape (n_images,), default=None
        Distance of each new code to its nearest training code, divided by the distance of the
        latter to its own nearest neighbor.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure with the images.
    axes_ : matplotlib Axes
        Axes with the images.

    See Also
    --------
    SampleGridDisplay : Generated images beside real ones.
    latentgen.metrics.novelty : The same as a number.

    Examples
    --------
    >>> from latentgen.datasets import load_digits_images
    >>> from latentgen.inspection import SourceDisplay
    >>> X = load_digits_images().data
    >>> display = SourceDisplay(X[:4], X[4:8]).plot()
    >>> display.sources is None
    True
    """

    def __init__(self, images, nearest, sources=None, distances=None):
        self.images = images
        self.nearest = nearest
        self.sources = sources
        self.distances = distances

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X_train,
        *,
        y=None,
        n_images=8,
        random_state=0,
        image_shape=None,
        show_distances=True,
        ax=None,
        cmap="gray",
    ):
        """Draw images and find their sources and their nearest training images.

        Parameters
        ----------
        estimator : LatentGenerativePipeline
            Fitted to `X_train`. Nearest means nearest in the space of the codes that the sampler
            draws. Where the sampler's draws do not start from training codes, no sources are
            shown.
        X_train : array-like of shape (n_samples, n_features), (n_samples, H, W) or \
                (n_samples, C, H, W)
            The **whole** training set, in the order of ``fit``.
        y : label or array-like of shape (n_images,), default=None
            Wanted classes, for a class-conditional sampler.
        n_images : int, default=8
            How many images to draw, at least 1; left at that or equal to ``len(y)`` when `y` is
            an array.
        random_state : int, RandomState instance or None, default=0
            Seed of the images.
        image_shape : tuple of int, default=None
            (C, H, W) of flat images. If None, the estimator's ``image_shape_``, else square
            images of one channel.
        show_distances : bool, default=True
            Write under each image the distance of its code to its nearest training code,
            divided by the distance of the latter to its own nearest neighbor: 0 is a copy.
        ax : matplotlib Axes, default=None
            Where to draw. If None, a new figure of fitting size.
        cmap : str or Colormap, default='gray'
            Colors of images with one channel.

        Returns
        -------
        display : SourceDisplay
            The display, already plotted.

        Raises
        ------
        ValueError
            If `n_images` is below 1, a source is not a row of `X_train`, or labels are unknown.
        TypeError
            If the estimator is not a pipeline with a sampler.
        """
        if not (hasattr(estimator, "sampler_") and hasattr(estimator, "sample")):
            raise TypeError(
                f"Expected a fitted LatentGenerativePipeline, got {type(estimator).__name__}. "
                "Chain an autoencoder and a sampler with make_latent_pipeline, and fit it."
            )
        n_images = len(y) if np.ndim(y) else n_images
        check_scalar(n_images, "n_images", Integral, min_val=1)
        if image_shape is None:
            image_shape = getattr(estimator, "image_shape_", None)
        seed = draw_seed(check_random_state(random_state))
        arguments = {"y": y, "random_state": seed}
        try:
            X_new, source = estimator.sample(n_images, **arguments, return_source=True)
        except NoSourceError:
            X_new, source = estimator.sample(n_images, **arguments), None
        # The codes of these images as they were drawn: encoding them again would move them.
        codes = draw(estimator.sampler_, n_images, **arguments)
        index = NeighborIndex(np.asarray(estimator[:-1].transform(X_train)))
        rows, ratios = distance_ratios(index, codes)
        images = as_image_batch(X_new, image_shape, drawn=True)

        def training_images(rows):
            if rows.max() >= len(X_train):
                raise ValueError(
                    f"An image came from training row {rows.max()}, but 'X_train' has "
                    f"{len(X_train)} rows. Pass the images of 'fit', and those of 'partial_fit' "
                    "after them."
                )
            found = take_rows(X_train, np.maximum(rows, 0))
            found = as_image_batch(found, images.shape[1:], drawn=True)
            return np.where((rows < 0)[:, None, None, None], np.float32(np.nan), found)

        sources = None if source is None else training_images(source.row)
        display = cls(images, training_images(rows), sources, ratios)
        return display.plot(ax, show_distances=show_distances, cmap=cmap)

    def plot(self, ax=None, *, show_distances=True, cmap="gray"):
        """Draw the rows of images.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. If None, a new figure of fitting size.
        show_distances : bool, default=True
            Write the distances, if there are any, under the images.
        cmap : str or Colormap, default='gray'
            Colors of images with one channel.

        Returns
        -------
        SourceDisplay
            The display itself.
        """
        rows, labels = [self.images, self.nearest], ["new", "nearest"]
        if self.sources is not None:
            rows.insert(1, self.sources)
            labels.insert(1, "source")
        captions = None
        if show_distances and self.distances is not None:
            captions = ["novelty", *(f"{value:.2f}" for value in self.distances)]
        self.axes_ = draw_blocks(
            [np.stack(rows)],
            headings=None,
            row_labels=labels,
            captions=captions,
            ax=ax,
            cmap=cmap,
            needed_by=type(self).__name__,
        )
        self.figure_ = self.axes_.figure
        return self
