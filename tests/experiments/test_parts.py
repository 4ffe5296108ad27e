"""The parts of the data sets."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

from latentgen.experiments import _parts, load_parts


class Data(dict):
    __getattr__ = dict.__getitem__


@pytest.fixture
def mnist(monkeypatch):
    """A data set of 12 000 and 40 tiny images in place of MNIST, each different."""

    def fetch(subset, data_home):
        n = 12_000 if subset == "train" else 40
        X = np.arange(n, dtype=np.uint16).reshape(n, 1, 1, 1) + (0 if subset == "train" else 20_000)
        return Data(data=X, target=np.arange(n) % 10)

    monkeypatch.setattr(_parts, "fetch_mnist", fetch)
    return fetch


def test_parts_are_disjoint_and_complete(mnist):
    parts = load_parts("mnist")
    seen = np.concatenate([parts.X_fit, parts.X_judge, parts.X_choose]).ravel()
    assert sorted(seen) == list(range(12_000))
    assert [len(X) for X in (parts.X_fit, parts.X_judge, parts.X_test)] == [2000, 5000, 40]


def test_parts_are_those_of_the_permutation_of_seed_0(mnist):
    order = np.random.default_rng(0).permutation(12_000)
    parts = load_parts("mnist", n_fit=100)
    np.testing.assert_array_equal(parts.X_fit.ravel(), order[:100])
    np.testing.assert_array_equal(parts.X_judge.ravel(), order[-10_000:-5000])
    np.testing.assert_array_equal(parts.X_choose.ravel(), order[-5000:])
    np.testing.assert_array_equal(parts.y_fit, order[:100] % 10)


def test_all_images_are_fitted_to_as_they_are_stored(mnist):
    parts = load_parts("mnist", n_fit=12_000)
    np.testing.assert_array_equal(parts.X_fit.ravel(), np.arange(12_000))
    assert parts.X_choose is None


def test_without_other_images_the_judge_gets_half_of_the_test_images(mnist):
    parts = load_parts("mnist", n_fit=12_000)
    assert len(parts.X_judge) == len(parts.X_test) == 20
    both = np.concatenate([parts.X_judge, parts.X_test]).ravel()
    assert sorted(both) == sorted(parts.X_test_file.ravel())
    np.testing.assert_array_equal(parts.X_judge.ravel() % 10, parts.y_judge)


@pytest.mark.parametrize("n_fit", [1, 2001])
def test_the_other_parts_keep_their_images(mnist, n_fit):
    with pytest.raises(ValueError, match=f"expected 2 to 2000 .* or all 12000, got {n_fit}"):
        load_parts("mnist", n_fit=n_fit)


def test_digest_depends_on_the_images_and_not_on_the_parts(mnist, monkeypatch):
    digests = {load_parts("mnist").digest, load_parts("mnist", n_fit=7).digest}
    assert len(digests) == 1
    other = lambda **kw: Data(mnist(**kw), target=1 - mnist(**kw).target)  # noqa: E731
    monkeypatch.setattr(_parts, "fetch_mnist", other)
    assert load_parts("mnist").digest not in digests


def test_data_home_is_passed_on(monkeypatch):
    asked = []

    def fetch(subset, data_home):
        asked.append(data_home)
        raise OSError("not there")

    monkeypatch.setattr(_parts, "fetch_cifar10", fetch)
    with pytest.raises(OSError, match="not there"):
        load_parts("cifar10", data_home="here")
    assert asked == ["here"]


def test_re_encoded_cifar_says_so(mnist, monkeypatch):
    jpeg = lambda **kw: Data(mnist(**kw), filename="cifar10_jpeg.tar.xz")  # noqa: E731
    monkeypatch.setattr(_parts, "fetch_cifar10", jpeg)
    assert load_parts("cifar10").name == "cifar10-jpeg"


def test_unknown_data_is_refused():
    with pytest.raises(ValueError, match="expected 'digits', 'mnist' or 'cifar10', got 'x'"):
        load_parts("x")
