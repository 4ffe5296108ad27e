"""Usefulness of generated images: what a classifier learns from them."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_consistent_length, check_random_state, check_scalar
from sklearn.utils.validation import column_or_1d

from latentgen.metrics._augment import shift_and_rotate
from latentgen.metrics._features import ClassifierFeatures, flat_unit_floats, in_form_of
from latentgen.utils._images import as_images
from latentgen.utils._random import draw_seed

# What the classifier is trained on: which images, and whether they are augmented.
_TRAININGS = {
    "real": ("real", False),
    "real_augmented": ("real", True),
    "generated": ("generated", False),
    "real_generated": ("both", False),
    "real_augmented_generated": ("both", True),
}


def tstr_score(
    X_test,
    y_test,
    X_generated,
    y_generated,
    *,
    classifier=None,
    images_per_epoch=None,
    random_state=0,
):
    """Accuracy on real images of a classifier trained on generated images only.

    Train on synthetic, test on real (TSTR) [1]_: it says whether generated images carry what tells
    the classes apart. Higher is better, in [0, 1]; chance level is the fraction of the largest
    class. Compare with `trtr_score` of equally many real images, as `generation_report` does.

    Parameters
    ----------
    X_test : array-like of shape (n_test, n_features), (n_test, H, W) or (n_test, C, H, W)
        Real images to test on; neither the generator nor the classifier has seen them.
    y_test : array-like of shape (n_test,)
        Their labels.
    X_generated : array-like of shape (n_generated, n_features), (n_generated, H, W) or \
            (n_generated, C, H, W)
        Generated images to train on.
    y_generated : array-like of shape (n_generated,)
        The labels they were drawn for.
    classifier : classifier, default=None
        Is cloned, trained on flat float pixels in [0, 1] and asked to ``predict``. None takes
        the small convolutional network of `ClassifierFeatures`; pass
        ``ClassifierFeatures(image_shape=(C, H, W))`` for flat images that are not square with
        one channel.
    images_per_epoch : int, default=None
        Number of images that the classifier is passed. Fewer are repeated, each as often as any
        other or once more; of more, a random part is taken. A network that trains for a number of
        epochs thus makes as many optimizer steps whatever the number of images. None passes the
        images as they are.
    random_state : int, RandomState instance or None, default=0
        Seed of the network, and of every ``random_state`` of `classifier` that is None; decides
        which images are repeated.

    Returns
    -------
    accuracy : float
        Fraction of real images that are classified correctly.

    Raises
    ------
    ValueError
        If images or labels do not fit together.

    See Also
    --------
    TSTRScorer : The same as a scorer for model selection.
    trts_score : Trains on real images and tests on generated ones.
    utility_of_added_images : Whether generated images help beside real ones.

    References
    ----------
    .. [1] Esteban, Hyland, Rätsch (2017). Real-valued (Medical) Time Series Generation with
       Recurrent Conditional GANs, section 4.3. https://arxiv.org/abs/1706.02633

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.svm import SVC
    >>> from latentgen.metrics import tstr_score
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X / 16
    >>> noisy = (X[:900] + 0.1).clip(0, 1)  # stands for what a generator drew
    >>> accuracy = tstr_score(X[900:], y[900:], noisy, y[:900], classifier=SVC())
    >>> accuracy > 0.9
    True
    """
    X_test, y_test = _check_labeled(X_test, y_test, "test")
    X_generated, y_generated = _check_labeled(X_generated, y_generated, "generated")
    check_common_labels(y_test, y_generated, ("y_test", "y_generated"))
    predicted = fit_and_predict(
        *(X_generated, y_generated, X_test),
        names=("X_generated", "X_test"),
        classifier=classifier,
        images_per_epoch=images_per_epoch,
        random_state=random_state,
    )
    return float(np.mean(predicted == y_test))


def trts_score(
    X_real,
    y_real,
    X_generated,
    y_generated,
    *,
    classifier=None,
    images_per_epoch=None,
    random_state=0,
):
    """Accuracy on generated images of a classifier trained on real images.

    Train on real, test on synthetic (TRTS) [1]_: it says whether generated images look like the
    class they were drawn for. Higher is better, in [0, 1]. It does not see what is missing: a
    generator that draws one clear image of each class has 1, so read it beside `tstr_score`.
    Generated like real images have the accuracy of the classifier on real ones, `trtr_score`, and
    those drawn from the middle of each class have more.

    Parameters
    ----------
    X_real : array-like of shape (n_real, n_features), (n_real, H, W) or (n_real, C, H, W)
        Real images to train on. The generator should not have seen them: else the classifier
        knows the images that a copier returns.
    y_real : array-like of shape (n_real,)
        Their labels.
    X_generated : array-like of shape (n_generated, n_features), (n_generated, H, W) or \
            (n_generated, C, H, W)
        Generated images to test on.
    y_generated : array-like of shape (n_generated,)
        The labels they were drawn for.
    classifier : classifier, default=None
        As for `tstr_score`.
    images_per_epoch : int, default=None
        As for `tstr_score`.
    random_state : int, RandomState instance or None, default=0
        As for `tstr_score`.

    Returns
    -------
    accuracy : float
        Fraction of generated images that are taken for the class they were drawn for.

    Raises
    ------
    ValueError
        If images or labels do not fit together.

    See Also
    --------
    tstr_score : Trains on generated images and tests on real ones.

    References
    ----------
    .. [1] Esteban, Hyland, Rätsch (2017). Real-valued (Medical) Time Series Generation with
       Recurrent Conditional GANs, section 4.3. https://arxiv.org/abs/1706.02633

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.svm import SVC
    >>> from latentgen.metrics import trts_score
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X / 16
    >>> noisy = (X[:900] + 0.1).clip(0, 1)  # stands for what a generator drew
    >>> trts_score(X[900:], y[900:], noisy, y[:900], classifier=SVC()) > 0.9
    True
    """
    X_real, y_real = _check_labeled(X_real, y_real, "real")
    X_generated, y_generated = _check_labeled(X_generated, y_generated, "generated")
    check_common_labels(y_real, y_generated, ("y_real", "y_generated"))
    predicted = fit_and_predict(
        *(X_real, y_real, X_generated),
        names=("X_real", "X_generated"),
        classifier=classifier,
        images_per_epoch=images_per_epoch,
        random_state=random_state,
    )
    return float(np.mean(predicted == y_generated))


def trtr_score(
    X_test, y_test, X_real, y_real, *, classifier=None, images_per_epoch=None, random_state=0
):
    """Accuracy on real images of a classifier trained on other real images.

    Train on real, test on real (TRTR): what `tstr_score` and `trts_score` are read beside. Higher
    is better, in [0, 1]. Pass as many real images as generated ones, or one `images_per_epoch`, so
    that the classifier makes as many steps. In a `generation_report` it is the floor of TSTR.

    Parameters
    ----------
    X_test : array-like of shape (n_test, n_features), (n_test, H, W) or (n_test, C, H, W)
        Real images to test on.
    y_test : array-like of shape (n_test,)
        Their labels.
    X_real : array-like of shape (n_real, n_features), (n_real, H, W) or (n_real, C, H, W)
        Other real images to train on.
    y_real : array-like of shape (n_real,)
        Their labels.
    classifier : classifier, default=None
        As for `tstr_score`.
    images_per_epoch : int, default=None
        As for `tstr_score`.
    random_state : int, RandomState instance or None, default=0
        As for `tstr_score`.

    Returns
    -------
    accuracy : float
        Fraction of the test images that are classified correctly.

    Raises
    ------
    ValueError
        If images or labels do not fit together.

    See Also
    --------
    tstr_score : The same with generated images to train on.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.svm import SVC
    >>> from latentgen.metrics import trtr_score
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X / 16
    >>> trtr_score(X[900:], y[900:], X[:900], y[:900], classifier=SVC()) > 0.9
    True
    """
    X_test, y_test = _check_labeled(X_test, y_test, "test")
    X_real, y_real = _check_labeled(X_real, y_real, "real")
    check_common_labels(y_test, y_real, ("y_test", "y_real"))
    predicted = fit_and_predict(
        *(X_real, y_real, X_test),
        names=("X_real", "X_test"),
        classifier=classifier,
        images_per_epoch=images_per_epoch,
        random_state=random_state,
    )
    return float(np.mean(predicted == y_test))


def utility_of_added_images(
    X_test,
    y_test,
    X_real,
    y_real,
    X_generated,
    y_generated,
    *,
    images_per_epoch=32_000,
    classifier=None,
    augment=None,
    trainings=None,
    random_state=0,
):
    """Accuracy on real images of classifiers trained with and without generated images.

    Ordinary augmentation is what generated images compete with, so it stands beside them. Every
    classifier is trained on as many images for as many epochs, that is with as many optimizer
    steps: few real images are repeated, which alone makes a classifier better, and each repetition
    is augmented anew. Higher is better, in [0, 1]. One call is one seed: repeat it over seeds, and
    claim a difference by `paired_difference`.

    Parameters
    ----------
    X_test : array-like of shape (n_test, n_features), (n_test, H, W) or (n_test, C, H, W)
        Real images to test on; neither the generator nor a classifier has seen them.
    y_test : array-like of shape (n_test,)
        Their labels.
    X_real : array-like of shape (n_real, n_features), (n_real, H, W) or (n_real, C, H, W)
        The real images that there are to train on, which the generator was fitted on.
    y_real : array-like of shape (n_real,)
        Their labels.
    X_generated : array-like of shape (n_generated, n_features), (n_generated, H, W) or \
            (n_generated, C, H, W)
        Generated images. The more the better: they are repeated too if they are fewer than
        `images_per_epoch`.
    y_generated : array-like of shape (n_generated,)
        The labels they were drawn for.
    images_per_epoch : int, default=32000
        Number of images that each classifier is passed: with the default classifier 500 steps of
        64. Where real and generated images are mixed, half of them are generated.
    classifier : classifier, default=None
        As for `tstr_score`; None takes ``ClassifierFeatures(max_epochs=1)``, so that it sees no
        augmented image twice.
    augment : callable, default=None
        ``augment(X, random_state=seed)`` gives as many images in the same form. None takes
        `shift_and_rotate`. For photographs ``functools.partial(shift_and_rotate, flip=True)`` is
        the usual one; a flipped digit is another digit or none.
    trainings : sequence of str, default=None
        What classifiers are trained on, one each: ``'real'``, ``'real_augmented'``,
        ``'generated'``, ``'real_generated'`` and ``'real_augmented_generated'``, in which generated
        images are augmented too. None takes all.
    random_state : int, RandomState instance or None, default=0
        Seed of classifiers, repetitions and augmentation.

    Returns
    -------
    result : dict
        The accuracy of each of `trainings` by its name, and what makes them comparable: ``n_real``,
        ``n_generated``, ``n_test``, ``images_per_epoch`` and ``classifier``.

    Raises
    ------
    ValueError
        If images or labels do not fit together, or if a training is not known.

    See Also
    --------
    tstr_score : Trains on generated images only.
    paired_difference : The interval of a difference over seeds.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.svm import SVC
    >>> from latentgen.metrics import utility_of_added_images
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X.reshape(-1, 8, 8) / 16
    >>> X_new, y_new = X[100:500], y[100:500]  # stands for what a generator drew
    >>> result = utility_of_added_images(
    ...     *(X[900:], y[900:], X[:100], y[:100], X_new, y_new),
    ...     images_per_epoch=800,
    ...     classifier=SVC(),
    ...     trainings=["real", "real_generated"],
    ... )
    >>> result["real_generated"] > result["real"]
    True
    """
    augment = shift_and_rotate if augment is None else augment
    trainings = tuple(_TRAININGS) if trainings is None else trainings
    unknown = [name for name in trainings if name not in _TRAININGS]
    if unknown:
        raise ValueError(
            f"'trainings' must be among {', '.join(map(repr, _TRAININGS))}, got {unknown[0]!r}."
        )
    check_scalar(images_per_epoch, "images_per_epoch", Integral, min_val=2)
    X_test, y_test = _check_labeled(X_test, y_test, "test")
    X_real, y_real = _check_labeled(X_real, y_real, "real")
    X_generated, y_generated = _check_labeled(X_generated, y_generated, "generated")
    X_generated = in_form_of(X_generated, X_real)
    check_common_labels(y_test, y_real, ("y_test", "y_real"))
    check_common_labels(y_test, y_generated, ("y_test", "y_generated"))
    if classifier is None:
        classifier = ClassifierFeatures(max_epochs=1, random_state=None)
    seed = draw_seed(check_random_state(random_state))
    accuracies = {}
    for name in trainings:
        parts, augmented = _TRAININGS[name]
        n_generated = {"real": 0, "generated": images_per_epoch}.get(parts, images_per_epoch // 2)
        # The same for every training, so that they differ by their images only.
        rng = np.random.RandomState(seed)
        rows = repeat_rows(len(X_real), images_per_epoch - n_generated, rng)
        new = repeat_rows(len(X_generated), n_generated, rng)
        X = np.concatenate([X_real[rows], X_generated[new]])
        X = augment(X, random_state=seed) if augmented else X
        y = np.concatenate([y_real[rows], y_generated[new]])
        predicted = fit_and_predict(
            *(X, y, X_test), names=("X_real", "X_test"), classifier=classifier, random_state=seed
        )
        accuracies[name] = float(np.mean(predicted == y_test))
    return accuracies | {
        "n_real": len(X_real),
        "n_generated": len(X_generated),
        "n_test": len(X_test),
        "images_per_epoch": images_per_epoch,
        "classifier": " ".join(repr(classifier).split()),
    }


def repeat_rows(n, size, rng):
    """Numbers of `size` of `n` rows: whole random orders after each other, and part of one."""
    orders = [rng.permutation(n) for _ in range(-(-size // n))]
    return np.concatenate([np.empty(0, dtype=int), *orders])[:size]


def fit_and_predict(X_train, y_train, X, *, names, **options):
    """Classes that a classifier trained on some images gives to others of the same size.

    Parameters
    ----------
    X_train, X : ndarray of shape (n, n_features), (n, H, W) or (n, C, H, W)
        As `as_images` gives them.
    y_train : ndarray of shape (n_train,)
    names : tuple of str
        What the images are called in messages.
    **options : dict
        Of `train_classifier`.

    Returns
    -------
    y : ndarray of shape (n,)
    """
    if np.prod(X_train.shape[1:]) != np.prod(X.shape[1:]):
        raise ValueError(
            f"'{names[1]}' and '{names[0]}' must hold images of one size, got "
            f"{X.shape} and {X_train.shape}."
        )
    return train_classifier(X_train, y_train, **options)(X)


def train_classifier(X, y, *, classifier=None, images_per_epoch=None, random_state=0):
    """Train a classifier as `tstr_score` does; give a function from images to their classes."""
    if images_per_epoch is not None:
        check_scalar(images_per_epoch, "images_per_epoch", Integral, min_val=2)
        random_state = check_random_state(random_state)
        rows = repeat_rows(len(X), images_per_epoch, random_state)
        X, y = X[rows], y[rows]
    if classifier is None:
        classifier = ClassifierFeatures(random_state=random_state)
    else:
        classifier = clone(classifier)
        unset = [
            name
            for name, value in classifier.get_params().items()
            if name.rpartition("__")[2] == "random_state" and value is None
        ]
        classifier.set_params(**dict.fromkeys(unset, random_state))
    # The network reads bytes and shapes itself; any other classifier gets rows of numbers.
    prepare = np.asarray if isinstance(classifier, ClassifierFeatures) else flat_unit_floats
    classifier.fit(prepare(X), y)
    return lambda X_new: classifier.predict(prepare(X_new))


def _check_labeled(X, y, what):
    """Check images with their labels."""
    X, y = as_images(X, f"X_{what}"), column_or_1d(y)
    check_consistent_length(X, y)
    return X, y


def check_common_labels(y, y_others, names):
    """Raise where no label is in both, for which a text and a number are different."""
    labels, others = (np.unique(part).tolist() for part in (y, y_others))
    if set(labels).isdisjoint(others):
        raise ValueError(
            f"Expected labels of the same classes in '{names[0]}' and '{names[1]}', got for "
            f"example {labels[0]!r} and {others[0]!r}. Pass both as numbers, or both as text."
        )
