"""The work that the two base classes do once for every implementer."""

# SPDX-License-Identifier: BSD-3-Clause

import pickle
import warnings
from numbers import Real

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import GridSearchCV
from sklearn.utils._param_validation import Interval

from latentgen import GaussianMixtureSampler, GaussianSampler, KernelDensitySampler
from latentgen.base import BaseAutoencoder, BaseSampler
from latentgen.exceptions import NearCopyWarning, NoSourceError
from latentgen.utils._fitted import keep_fitted_state_on_error


class Identity(BaseAutoencoder):
    """Codes are the pixels."""

    _parameter_constraints: dict = {"image_shape": ["array-like", None]}

    def __init__(self, image_shape=None):
        self.image_shape = image_shape

    def _fit_images(self, X, y, layout):
        self.code_shape_ = (X.shape[1],)
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


# ------------------------------------------------------------------ distance from training codes


class FromSorted(Copies):
    """Draws near codes, whatever their order."""

    def __init__(self, noise=1.0, min_novelty=0.0):
        self.noise = noise
        self.min_novelty = min_novelty

    def _fit(self, Z, y, rng):
        self.codes_ = Z[np.lexsort(Z.T)]

    def _sample(self, n_samples, rng):
        rows = rng.randint(len(self.codes_), size=n_samples)
        return self.codes_[rows] + self.noise * rng.standard_normal((n_samples, 2))


def two_clusters():
    """1000 codes each with standard deviations of 0.01 around 0 and of 1 around 10."""
    Z = np.random.RandomState(0).standard_normal((2000, 2))
    Z[:1000] *= 0.01
    Z[1000:] += 10
    return Z


def test_novelty_does_not_depend_on_the_order_of_the_rows():
    Z = two_clusters()
    shuffled = Z[np.random.RandomState(1).permutation(2000)]
    first, second = (FromSorted(0.1).fit(codes) for codes in (Z, shuffled))
    assert first.novelty_ == pytest.approx(second.novelty_)
    assert first.near_copies_ == second.near_copies_


def test_near_copies_are_seen_where_codes_are_rare():
    """A tenth of the distance between neighbors there is much in the dense region."""
    rng = np.random.RandomState(0)
    dense, rare = 1e-3 * rng.standard_normal((1000, 2)), 100 * rng.standard_normal((200, 2))

    class CopiesRare(Copies):
        def _sample(self, n_samples, rng):
            codes = self.codes_[rng.randint(1000, 1200, size=n_samples)]
            return codes + 0.01 * rng.standard_normal(codes.shape)

    with pytest.warns(NearCopyWarning):
        sampler = CopiesRare().fit(np.concatenate([dense, rare]))
    assert sampler.near_copies_ > 0.9


@pytest.mark.parametrize("n_copies", [0, 50, 200])
def test_near_copies_have_a_standard_error(n_copies):
    Z = np.random.RandomState(0).standard_normal((500, 8))

    class CopiesSome(Copies):
        def _sample(self, n_samples, rng):
            draws = 100 + rng.standard_normal((n_samples, 8))
            draws[:n_copies] = self.codes_[:n_copies]
            return draws

    sampler = CopiesSome()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NearCopyWarning)
        sampler.fit(Z)
    assert sampler.near_copies_ == n_copies / 200
    expected = np.sqrt(n_copies / 200 * (1 - n_copies / 200) / 200)
    assert sampler.near_copies_error_ == pytest.approx(expected, abs=0.008)
    assert sampler.near_copies_error_ > 0


def test_novelty_has_a_standard_error():
    Z = np.random.RandomState(0).standard_normal((2000, 4))
    values = [FromSortedAny().fit(Z[:size]).novelty_ for size in range(1900, 2000, 2)]
    stated = FromSortedAny().fit(Z).novelty_error_
    assert stated == pytest.approx(np.std(values), rel=0.5)


class FromSortedAny(FromSorted):
    def _sample(self, n_samples, rng):
        return rng.standard_normal((n_samples, 4))


def test_a_distance_keeps_the_spread_of_dense_and_wide_regions():
    """With one unit for all codes, the standard deviation of the narrow cluster doubled."""
    Z = two_clusters()
    free, careful = (
        GaussianMixtureSampler(2, random_state=0, min_novelty=distance)
        .fit(Z)
        .sample(20_000, random_state=0)
        for distance in (0.0, 0.5)
    )
    for cluster in (0, 10):
        spreads = [
            X_new[np.abs(X_new - cluster).max(axis=1) < 5].std() for X_new in (free, careful)
        ]
        assert spreads[1] == pytest.approx(spreads[0], rel=0.1)


def test_what_cannot_keep_its_distance_stays_where_it_was_drawn():
    """Between evenly spaced codes, no place is farther than half of their distance."""
    codes = np.linspace(0, 1, 2000)[:, None]
    with pytest.warns(NearCopyWarning, match="% of the draws of KernelDensitySampler stay nearer"):
        sampler = KernelDensitySampler(0.001, min_novelty=0.8).fit(codes)
    assert sampler.too_near_ > 0.9
    with pytest.warns(NearCopyWarning, match=r"^\d+ of 1000 of the draws"):
        X_new = sampler.sample(1000, random_state=0)
    inside = (X_new > 0) & (X_new < 1)
    assert inside.mean() > 0.98 and 0.27 < X_new[inside].std() < 0.31


def test_equal_codes_are_one_code():
    Z = np.random.RandomState(0).standard_normal((300, 2))
    once, thrice = (FromSorted(0.05).fit(codes) for codes in (Z, np.repeat(Z, 3, axis=0)))
    assert once.novelty_ == pytest.approx(thrice.novelty_, abs=4 * once.novelty_error_)


def test_a_sampler_that_needs_no_codes_holds_none():
    Z = np.random.RandomState(0).standard_normal((10_000, 8))
    sizes = [len(pickle.dumps(GaussianSampler(min_novelty=m).fit(Z))) for m in (0.0, 0.3)]
    assert sizes[0] < 10_000 < Z.nbytes < sizes[1]


# ------------------------------------------------------------------ densities, labels, sources


def test_a_sampler_alone_goes_into_a_grid_search():
    Z = np.random.RandomState(0).standard_normal((60, 20))
    search = GridSearchCV(GaussianSampler(), {"shrinkage": [0.0, 0.9]}, cv=3).fit(Z)
    assert search.best_params_ == {"shrinkage": 0.9}
    best = search.best_estimator_
    assert search.score(Z) == pytest.approx(best.score_samples(Z).mean())


def test_score_is_there_if_the_density_is():
    assert not hasattr(Copies(), "score") and not hasattr(Copies(), "score_samples")


class Labeled(Copies):
    """Draws the number of the label."""

    _uses_labels = "optional"

    def _sample(self, n_samples, rng, y=None):
        codes = np.full((n_samples, 2), -1.0) if y is None else np.c_[y, y].astype(float)
        return codes + 0.01 * rng.standard_normal(codes.shape)


@pytest.fixture
def labeled():
    y = np.repeat([3, 7], [30, 10])
    return Labeled().fit(np.random.RandomState(0).standard_normal((40, 2)), y)


def test_base_draws_labels_in_their_proportions(labeled):
    np.testing.assert_allclose(labeled.class_prior_, [0.75, 0.25])
    drawn = np.rint(labeled.sample(4000, random_state=0)[:, 0])
    assert np.mean(drawn == 3) == pytest.approx(0.75, abs=0.04)


def test_base_hands_on_labels_in_their_order(labeled):
    assert_array_equal(np.rint(labeled.sample(y=[7, 3, 7])[:, 0]), [7, 3, 7])
    with pytest.raises(ValueError, match=r"Unknown label 4 in 'y'. Known classes: 3, 7"):
        labeled.sample(y=4)


def test_labels_that_are_optional_may_be_left_out(labeled):
    Z = np.random.RandomState(0).standard_normal((40, 2))
    labeled.fit(Z)
    assert not hasattr(labeled, "classes_")
    assert labeled.sample(3).max() < 0
    with pytest.raises(ValueError, match=r"Labeled has no classes, got y=3. Fit it with y"):
        labeled.sample(y=3)


def test_labels_of_draws_are_returned_on_request(labeled):
    X_new, y_new = labeled.sample(200, random_state=0, return_labels=True)
    assert_array_equal(np.rint(X_new[:, 0]), y_new)
    assert_array_equal(X_new, labeled.sample(200, random_state=0))
    assert set(y_new.tolist()) == {3, 7}
    assert_array_equal(labeled.sample(y=[7, 3], return_labels=True)[1], [7, 3])


def test_labels_of_a_sampler_without_are_refused():
    sampler = GaussianSampler().fit(np.eye(3))
    with pytest.raises(ValueError, match="no classes, got return_labels=True"):
        sampler.sample(3, return_labels=True)


@pytest.mark.parametrize("dtype", ["Int64", "UInt8", "boolean"])
def test_nullable_labels_of_pandas_keep_their_type(dtype):
    pandas = pytest.importorskip("pandas")
    y = pandas.Series([0, 1] * 20, dtype=dtype)
    for labels in (y, y.array):
        sampler = Labeled().fit(np.random.RandomState(0).standard_normal((40, 2)), labels)
        assert sampler.classes_.dtype == np.dtype(dtype.lower().replace("boolean", "bool"))


def test_nullable_labels_that_are_missing_are_refused():
    pandas = pytest.importorskip("pandas")
    y = pandas.Series([0, 1, None, 1], dtype="Int64")
    with pytest.raises(ValueError, match="Input y contains NaN"):
        Labeled().fit(np.eye(4, 2), y)


def test_a_column_of_labels_is_taken_by_fit_and_by_sample():
    y = np.repeat([[3], [7]], 20, axis=0)
    with pytest.warns(DataConversionWarning, match="column-vector"):
        sampler = Labeled().fit(np.random.RandomState(0).standard_normal((40, 2)), y)
    with pytest.warns(DataConversionWarning, match="column-vector"):
        X_new = sampler.sample(y=y)
    assert_array_equal(np.rint(X_new[:, 0]), y[:, 0])


def test_labels_stay_with_the_rows_that_are_drawn_again():
    class Careful(Labeled):
        _uses_labels = True

        def __init__(self, min_novelty=0.0):
            self.min_novelty = min_novelty

        def _sample(self, n_samples, rng, y=None):
            return np.c_[y, y] + rng.standard_normal((n_samples, 2))

    y = np.repeat([0, 50], 200)
    Z = y[:, None] + np.random.RandomState(0).standard_normal((400, 2))
    wanted = np.random.RandomState(1).choice([0, 50], 500)
    sampler = Careful(min_novelty=0.5).fit(Z, y)
    assert_array_equal(sampler.sample(y=wanted).mean(axis=1) > 25, wanted == 50)


def test_sources_stay_with_the_rows_that_are_drawn_again():
    class FromRows(FromSorted):
        def _sample(self, n_samples, rng):
            rows = rng.randint(len(self.codes_), size=n_samples)
            noise = self.noise * rng.standard_normal((n_samples, 2))
            return self.codes_[rows] + noise, {"row": rows, "noise": noise[:, 0]}

    Z = np.random.RandomState(0).standard_normal((200, 2))
    sampler = FromRows(0.05, min_novelty=0.3).fit(Z)
    X_new, source = sampler.sample(300, random_state=0, return_source=True)
    moved = X_new[:, 0] - sampler.codes_[source.row, 0]
    np.testing.assert_allclose(moved, source.noise, atol=1e-6)


def test_sources_spare_the_search_and_change_no_draw():
    """Also where rows are equal, out of order, or came in a second batch."""

    class FromRows(FromSorted):
        told = True

        def _sample(self, n_samples, rng):
            rows = rng.randint(len(self.codes_), size=n_samples)
            X_new = self.codes_[rows] + self.noise * rng.standard_normal((n_samples, 12))
            return (X_new, {"row": rows}) if self.told else X_new

        def _fit(self, Z, y, rng):
            self.codes_ = Z

        def _partial_fit(self, Z, y, rng):
            self.codes_ = np.concatenate([self.codes_, Z])

    Z = np.random.RandomState(0).standard_normal((200, 12))
    Z[50:100] = Z[100:150]
    for min_novelty in (0.3, 0.6):
        sampler = FromRows(0.7, min_novelty=min_novelty).fit(Z[:120]).partial_fit(Z[120:])
        told = sampler.sample(500, random_state=0)
        sampler.told = False
        assert_array_equal(sampler.sample(500, random_state=0), told)


def test_sources_of_a_sampler_without_are_refused(labeled):
    with pytest.raises(NoSourceError, match="Draws of Labeled have no source"):
        labeled.sample(3, return_source=True)
