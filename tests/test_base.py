"""The work that the two base classes do once for every implementer."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.utils._param_validation import Interval

from latentgen import GaussianSampler
from latentgen.base import BaseAutoencoder, BaseSampler, keep_fitted_state_on_error


class Identity(BaseAutoencoder):
    """Codes are the pixels."""

    _parameter_constraints: dict = {"image_shape": ["array-like", None]}

    def __init__(self, image_shape=None):
        self.image_shape = image_shape

    def _fit_images(self, X, y, layout):
        self.latent_dim_ = X.shape[1]
        self.seen_ = X

    def _encode(self, X):
        return X.astype(np.float32)

    def _decode(self, Z, out):
        out[:] = Z


class Bootstrap(BaseSampler):
    """Draws training rows; refuses to be fitted to a negative one."""

    _parameter_constraints: dict = {"shift": [Interval(Real, 0, 1, closed="both")]}
    _min_samples = 2

    def __init__(self, shift=0.0, random_state=None):
        self.shift = shift
        self.random_state = random_state

    def _fit(self, Z, y, rng):
        self.rows_ = Z + self.shift
        self.first_draw_ = rng.rand()
        if Z.min() < 0:
            raise RuntimeError("negative")

    def _sample(self, n_samples, rng):
        return self.rows_[rng.randint(len(self.rows_), size=n_samples)]


class Copies(BaseSampler):
    _parameter_constraints: dict = {}

    def _fit(self, Z, y, rng):
        self.codes_ = Z

    def _sample(self, n_samples, rng):
        return self.codes_[rng.randint(len(self.codes_), size=n_samples)]


def test_failing_block_gives_the_old_attributes_back():
    sampler = Bootstrap()
    sampler.kept_ = 1
    with pytest.raises(KeyboardInterrupt), keep_fitted_state_on_error(sampler):
        sampler.kept_, sampler.new_ = 2, 3
        raise KeyboardInterrupt
    assert vars(sampler) == {"shift": 0.0, "random_state": None, "kept_": 1}


def test_block_without_error_keeps_the_new_attributes():
    sampler = Bootstrap()
    with keep_fitted_state_on_error(sampler):
        sampler.new_ = 3
    assert sampler.new_ == 3


def test_autoencoder_gets_flat_images():
    X = np.random.RandomState(0).rand(5, 2, 3, 6)
    model = Identity().fit(X)
    assert_array_equal(model.seen_, X.reshape(5, 36))
    assert model.image_shape_ == (2, 3, 6) and model.n_features_in_ == 36


def test_autoencoder_accepts_other_layouts_after_fit():
    X = np.random.RandomState(0).rand(5, 3, 6)
    model = Identity().fit(X)
    for same in (X.reshape(5, 18), X[:, None]):
        assert_array_equal(model.transform(same), model.transform(X))


def test_autoencoder_refuses_the_same_pixels_in_another_shape():
    model = Identity().fit(np.zeros((5, 3, 6)))
    message = r"Expected images of shape \(1, 3, 6\) as seen in fit, got \(1, 6, 3\)"
    with pytest.raises(ValueError, match=message):
        model.transform(np.zeros((5, 6, 3)))


def test_autoencoder_codes_have_feature_names():
    model = Identity().fit(np.zeros((5, 2, 2)))
    assert list(model.get_feature_names_out()) == [f"identity{i}" for i in range(4)]


def test_sampler_fit_gets_a_generator_from_random_state():
    Z = np.ones((3, 2))
    draws = [Bootstrap(random_state=seed).fit(Z).first_draw_ for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_sampler_fit_checks_parameters():
    with pytest.raises(ValueError, match=r"'shift' parameter of Bootstrap .* Got 2.0"):
        Bootstrap(shift=2.0).fit(np.ones((3, 2)))


def test_sampler_fit_checks_the_number_of_rows():
    with pytest.raises(ValueError, match=r"1 sample\(s\) .* minimum of 2 is required by Bootstrap"):
        Bootstrap().fit(np.ones((1, 2)))


def test_sampler_keeps_its_model_when_a_fit_fails():
    sampler = Bootstrap().fit(np.ones((3, 2)))
    with pytest.raises(RuntimeError, match="negative"):
        sampler.fit(-np.ones((3, 5)))
    assert_array_equal(sampler.sample(2), np.ones((2, 2)))
    assert sampler.n_features_in_ == 2


def test_sampler_gives_float32_from_float64():
    assert Bootstrap().fit(np.ones((3, 2), dtype=np.float64)).sample(2).dtype == np.float32


def test_bases_cannot_be_instantiated():
    for base in (BaseAutoencoder, BaseSampler):
        with pytest.raises(TypeError, match="abstract"):
            base()


def test_sampler_that_mostly_copies_warns():
    Z = np.random.RandomState(0).standard_normal((300, 8)).astype(np.float32)
    with pytest.warns(UserWarning, match=r"100 % of the draws of Copies are near-copies"):
        sampler = Copies().fit(Z)
    assert sampler.near_copies_ == 1 and sampler.novelty_ == 0


def test_equal_codes_have_no_novelty():
    sampler = Copies().fit(np.ones((5, 2)))
    assert np.isnan(sampler.novelty_) and np.isnan(sampler.near_copies_)


def test_a_distance_between_equal_codes_is_refused():
    with pytest.raises(ValueError, match="at least 2 different codes"):
        GaussianSampler(min_novelty=0.5).fit(np.ones((5, 2)))


def test_sampler_without_the_hook_cannot_take_in_codes():
    with pytest.raises(AttributeError, match="no attribute 'partial_fit'"):
        Copies().partial_fit(np.ones((5, 2)))
