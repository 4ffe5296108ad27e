import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from latentgen.utils._sampling import draw

X = np.random.RandomState(0).standard_normal((60, 3))
X[30:] += 10


class LabelEcho:
    """Takes labels as a class-conditional sampler does, and returns them."""

    def sample(self, n_samples=1, *, y=None, random_state=None):
        return np.full((n_samples, 2), y, dtype=np.float64)


@pytest.fixture(scope="module", params=[GaussianMixture(2, random_state=0), KernelDensity()])
def estimator(request):
    return request.param.fit(X)


def test_draw_gives_float32_rows(estimator):
    rows = draw(estimator, 7, random_state=0)
    assert rows.shape == (7, 3) and rows.dtype == np.float32


def test_draw_same_seed_same_rows(estimator):
    np.testing.assert_array_equal(
        draw(estimator, 5, random_state=1), draw(estimator, 5, random_state=1)
    )


def test_draw_without_seed_gives_new_rows(estimator):
    assert not np.allclose(draw(estimator, 5), draw(estimator, 5))


def test_draw_leaves_the_estimator_alone(estimator):
    before = estimator.get_params()
    draw(estimator, 5, random_state=1)
    assert estimator.get_params() == before


def test_draw_shuffles_the_components_of_a_mixture():
    mixture = GaussianMixture(2, random_state=0).fit(X)
    far = draw(mixture, 200, random_state=0)[:, 0] > 5
    # Sorted rows have one change of component, shuffled ones about 100.
    assert np.sum(far[1:] != far[:-1]) > 50


def test_draw_hands_labels_on():
    np.testing.assert_array_equal(draw(LabelEcho(), 2, y=3), np.full((2, 2), 3.0))


def test_draw_refuses_labels_without_classes(estimator):
    with pytest.raises(ValueError, match=r"has no classes, got y=1. Wrap it: ConditionalSampler\("):
        draw(estimator, 2, y=1)


def test_draw_needs_sample():
    with pytest.raises(TypeError, match="with a 'sample' method, got PCA"):
        draw(PCA(), 2)
