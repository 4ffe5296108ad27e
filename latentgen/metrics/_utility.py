"""Usefulness of generated images: train on synthetic, test on real."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import column_or_1d

from latentgen.metrics._features import ClassifierFeatures, flat_unit_floats
from latentgen.utils._images import as_images


def tstr_score(X_test, y_test, X_generated, y_generated, *, classifier=None, random_state=0):
    """Accuracy on real images of a classifier trained on generated images only.

    Train on synthetic, test on real (TSTR): it says whether generated images carry what tells
    the classes apart. Higher is better, in [0, 1]; chance level is the fraction of the largest
    class. Compare with the same classifier trained on equally many real images, as
    `generation_report` does.

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
    random_state : int, RandomState instance or None, default=0
        Seed of the network, and of every ``random_state`` of `classifier` that is None.

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
    X_test = as_images(X_test, "X_test")
    X_generated = as_images(X_generated, "X_generated")
    y_test, y_generated = column_or_1d(y_test), column_or_1d(y_generated)
    check_consistent_length(X_test, y_test)
    check_consistent_length(X_generated, y_generated)
    if np.prod(X_test.shape[1:]) != np.prod(X_generated.shape[1:]):
        raise ValueError(
            "'X_test' and 'X_generated' must hold images of one size, got "
            f"{X_test.shape} and {X_generated.shape}."
        )
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
    classifier.fit(prepare(X_generated), y_generated)
    return float(np.mean(classifier.predict(prepare(X_test)) == y_test))
