"""InceptionFeatures: compared output for output with torch-fidelity on drawn weights."""

# SPDX-License-Identifier: BSD-3-Clause

import importlib.util
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from latentgen.metrics import InceptionFeatures, _inception
from latentgen.metrics._features import describe_extractor
from latentgen.networks._inception import InceptionV3, resize_as_tensorflow

pytestmark = pytest.mark.filterwarnings("ignore:The weights in")

RAMP = (np.arange(3 * 20 * 28) * 7 % 256).astype(np.uint8).reshape(1, 3, 20, 28)


def draw_weights():
    """Weights of the scale at which all layers are alive."""
    rng = np.random.default_rng(0)
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in InceptionV3().state_dict().items()}
    weights = {}
    for name, shape in shapes.items():
        draw = torch.from_numpy(rng.random(shape, dtype=np.float32)) if shape else None
        if draw is None:
            weights[name] = torch.tensor(0)
        elif len(shape) > 1:
            weights[name] = (draw - 0.5) * 2 * (6 / draw[0].numel()) ** 0.5
            # Outputs of about one, so that no class has all probability.
            weights[name] /= 20 if name == "fc.weight" else 1
        else:
            weights[name] = draw + 0.5 if name.endswith(("weight", "var")) else draw / 5 - 0.1
    return weights


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(draw_weights(), path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def Z(path):
    return InceptionFeatures(path, batch_size=1).transform(RAMP)


def test_features_are_those_of_torch_fidelity(Z):
    # Computed with torch-fidelity 0.4.0 from the weights of draw_weights.
    assert Z.shape == (1, 2048) and Z.dtype == np.float32
    assert_allclose(Z[0, :6], [2.251450, 0.004664, 0.117184, 0, 0, 9.559207], atol=1e-3)
    assert Z.sum() == pytest.approx(15160.7754, rel=1e-5)


def test_outputs_are_those_of_torch_fidelity_where_it_is_installed(path, monkeypatch):
    spec = importlib.util.find_spec("torch_fidelity")
    if spec is None:
        pytest.skip("needs torch-fidelity")
    # The package imports torchvision, and the module of this network does not.
    package = types.ModuleType("torch_fidelity")
    package.__path__ = list(spec.submodule_search_locations)
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    outputs = ["2048", "logits_unbiased"]
    published = module.FeatureExtractorInceptionV3("", outputs, str(path))
    X = np.random.default_rng(0).integers(0, 256, (1, 3, 310, 20), dtype=np.uint8)
    features, logits = published(torch.from_numpy(X))
    extractor = InceptionFeatures(path, batch_size=1)
    assert_allclose(extractor.transform(X), features, atol=1e-4)
    assert_allclose(extractor.predict_proba(X), logits.softmax(1), rtol=1e-3, atol=1e-7)


def test_images_are_resized_from_the_corners_of_pixels():
    x = torch.tensor([[[[0.0, 2.0, 4.0]]]])
    assert_allclose(resize_as_tensorflow(x, 6)[0, 0, 0], [0, 1, 2, 3, 4, 4])
    assert_allclose(resize_as_tensorflow(x, 2)[0, 0, 1], [0, 3])


def test_probabilities_are_one_in_sum(path):
    probabilities = InceptionFeatures(path, batch_size=1).predict_proba(RAMP)
    assert probabilities.shape == (1, 1008)
    assert probabilities.sum() == pytest.approx(1, abs=1e-4) and probabilities.min() >= 0


def test_floats_are_rounded_to_bytes(path, Z):
    X = RAMP / np.float32(255) + np.float32(0.4 / 255)
    assert_allclose(InceptionFeatures(path, batch_size=1).transform(X.clip(0, 1)), Z, atol=1e-4)


def test_batches_are_as_large_as_said_and_rows_have_the_shape_that_is_said(path, Z, monkeypatch):
    sizes, features = [], InceptionV3.features
    monkeypatch.setattr(
        InceptionV3, "features", lambda net, x: sizes.append(len(x)) or features(net, x)
    )
    extractor = InceptionFeatures(path, batch_size=1, image_shape=(3, 20, 28))
    assert_allclose(extractor.transform(RAMP.reshape(1, -1)), Z, atol=1e-4)
    assert sizes == [1]


def test_device_is_checked(path):
    with pytest.raises(ValueError, match="'nowhere' is not a torch device"):
        InceptionFeatures(path, device="nowhere").transform(RAMP)


def test_other_weights_than_the_published_ones_are_told(path):
    _inception._network.cache_clear()
    with pytest.warns(
        UserWarning, match=r"begins with [0-9a-f]{16}, and not with 6726825d0af5f729"
    ):
        InceptionFeatures(path, batch_size=1).transform(RAMP)


def test_description_has_the_digest_of_the_weights(path, monkeypatch):
    monkeypatch.setattr(_inception, "digest_of", lambda path: "0123456789abcdef" * 4)
    assert describe_extractor(InceptionFeatures(path)) == (
        "InceptionFeatures fitted on ImageNet in 2015, weights sha256 0123456789abcdef"
    )


def test_another_file_of_the_same_name_is_read_anew(tmp_path):
    path = tmp_path / "weights.pth"
    for content in (b"one", b"another"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="Expected weights of the Inception network of 2015"):
            InceptionFeatures(path, batch_size=1).transform(RAMP)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        InceptionFeatures(path, batch_size=1).transform(RAMP)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "weights.pth")
    with pytest.raises(
        ValueError, match=r"(?s)such as .*fetch_inception_weights.* gets: .*Missing"
    ):
        InceptionFeatures(tmp_path / "weights.pth").transform(RAMP)


def test_pickle_holds_the_path_as_text_and_no_weights():
    pickled = pickle.dumps(InceptionFeatures(Path("weights.pth")))
    assert len(pickled) < 1000
    assert pickle.loads(pickled).path == "weights.pth"


def test_fit_checks_and_learns_nothing():
    extractor = InceptionFeatures("no file").fit(RAMP)
    assert extractor.n_features_in_ == 1680
    with pytest.raises(ValueError, match=r"Expected images of shape \(3, 20, 28\)"):
        extractor.transform(RAMP[:, :1])
