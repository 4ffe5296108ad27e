"""Saving and loading of models."""

import hashlib
import io
import json
import os
import stat
import zipfile
from importlib import import_module

import _estimators
import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import FeatureAgglomeration
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EpochTimer
from torch import nn

import latentgen
from latentgen import (
    ConditionalSampler,
    ConvAutoencoder,
    DiffusionSampler,
    EnsembleSampler,
    FastHVRTSampler,
    GaussianMixtureSampler,
    GaussianSampler,
    KernelDensitySampler,
    LatentGenerativePipeline,
    LocalGaussianSampler,
    NetworkAutoencoder,
    NormalizingFlowSampler,
    load_model,
    make_latent_pipeline,
    save_model,
)
from latentgen.datasets import load_digits_images


class DoublingStep(StandardScaler):
    """A step of a user's own."""


class Shift(torch.nn.Module):
    """A layer of a user's own, with a plain attribute, a parameter and two buffers."""

    def __init__(self, sign):
        super().__init__()
        self.sign = sign
        self.shift = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.bfloat16))
        self.register_buffer("origin", torch.arange(2.0), persistent=False)
        self.register_buffer("nothing", None)

    def forward(self, X):
        return X + self.sign * self.shift + self.origin.sum()


class JitterStrategy:
    """A user's own strategy for FastHVRTSampler."""

    def prepare(self, X, partition_ids, partitions):
        return X

    def generate(self, context, budgets, seed):
        rows = np.random.RandomState(seed).randint(len(context), size=budgets.sum())
        return context[rows]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits_images(return_X_y=True)
    return X[:120], y[:120] % 3


@pytest.fixture(scope="module")
def autoencoder(digits):
    return ConvAutoencoder(4, max_epochs=1, random_state=0).fit(digits[0])


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.latentgen"


@pytest.fixture
def saved(file, autoencoder):
    save_model(autoencoder, file)
    return file


def small_autoencoder():
    return ConvAutoencoder(4, max_epochs=1, random_state=0)


ESTIMATORS = {
    "ConvAutoencoder": lambda: ConvAutoencoder(4, beta=1.0, max_epochs=1, random_state=0),
    "NetworkAutoencoder": lambda: NetworkAutoencoder(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 4)),
        nn.Linear(4, 64),
        max_epochs=1,
        random_state=0,
    ),
    "GaussianSampler": lambda: GaussianSampler(shrinkage=0.1),
    "GaussianMixtureSampler": lambda: GaussianMixtureSampler(2, bayesian=True, random_state=0),
    "KernelDensitySampler": lambda: KernelDensitySampler("silverman", kernel="cosine"),
    "LocalGaussianSampler": lambda: LocalGaussianSampler(4, bandwidth=0.7, random_state=0),
    "FastHVRTSampler": lambda: FastHVRTSampler(
        "local_gaussian", min_samples_leaf=9, random_state=1
    ),
    "NormalizingFlowSampler": lambda: NormalizingFlowSampler(
        n_transforms=2, hidden_features=(8,), max_epochs=1, random_state=0
    ),
    "DiffusionSampler": lambda: DiffusionSampler(
        code_shape=(1, 2, 2), width=16, n_blocks=1, n_steps=3, max_epochs=1, random_state=0
    ),
    "ConditionalSampler": lambda: ConditionalSampler(GaussianSampler(), n_jobs=1),
    "EnsembleSampler": lambda: EnsembleSampler(GaussianSampler(), 2, random_state=0),
    "LatentGenerativePipeline": lambda: make_latent_pipeline(
        small_autoencoder(), ConditionalSampler(FastHVRTSampler(random_state=0))
    ),
    "with steps between": lambda: make_latent_pipeline(
        small_autoencoder(),
        StandardScaler(),
        PCA(3),
        GaussianMixture(2, random_state=0),
    ),
}


def test_every_public_estimator_is_tested():
    public = {name: getattr(latentgen, name) for name in latentgen.__all__}
    estimators = {
        name
        for name, item in public.items()
        if isinstance(item, type) and issubclass(item, BaseEstimator)
    }
    assert estimators <= set(ESTIMATORS)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_loaded_estimator_gives_the_same_bytes(name, digits, autoencoder, file):
    X, y = digits
    estimator = ESTIMATORS[name]()
    images = hasattr(estimator, "transform") or isinstance(estimator, LatentGenerativePipeline)
    estimator.fit(X if images else autoencoder.transform(X), y)
    save_model(estimator, file)
    loaded = load_model(file)
    if hasattr(estimator, "sample"):
        expected = estimator.sample(20, random_state=3)
        np.testing.assert_array_equal(loaded.sample(20, random_state=3), expected)
    else:
        Z = estimator.transform(X)
        np.testing.assert_array_equal(loaded.transform(X), Z)
        np.testing.assert_array_equal(loaded.inverse_transform(Z), estimator.inverse_transform(Z))


def test_loaded_network_computes_the_same_last_bits(file):
    # Weights used to come back in another memory layout, which rounds differently.
    X = np.random.RandomState(0).rand(64, 28, 28).astype(np.float32)
    model = ConvAutoencoder(4, max_epochs=1, random_state=0).fit(X)
    save_model(model, file)
    np.testing.assert_array_equal(load_model(file).reconstruct(X), model.reconstruct(X))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_unfitted_estimator_keeps_its_parameters(name, file):
    estimator = ESTIMATORS[name]()
    save_model(estimator, file)
    assert repr(load_model(file)) == repr(estimator)


def test_random_state_instance_keeps_its_state(file):
    rng = np.random.RandomState(5)
    rng.randint(10, size=7)
    save_model(FastHVRTSampler(random_state=rng), file)
    assert load_model(file).random_state.randint(1000) == rng.randint(1000)


def test_saving_changes_nothing(autoencoder, file):
    before = dict(vars(autoencoder))
    save_model(autoencoder, file)
    assert vars(autoencoder).keys() == before.keys()
    assert all(vars(autoencoder)[name] is value for name, value in before.items())


def test_weights_are_in_safetensors_only(saved, autoencoder):
    with zipfile.ZipFile(saved) as archive:
        assert archive.namelist() == ["meta.json", "model.safetensors", "model.skops"]
        # The structure holds names and settings; no array goes into it.
        with zipfile.ZipFile(archive.open("model.skops")) as structure:
            assert structure.namelist() == ["schema.json"]


@pytest.mark.parametrize("nest", [lambda e: [e], lambda e: {"a": (e,)}, lambda e: e])
def test_weights_are_found_wherever_an_estimator_holds_one(nest, autoencoder, digits, file):
    outer = GaussianSampler()
    outer.inner_ = nest(autoencoder)
    save_model(outer, file)
    inner = load_model(file).inner_
    while isinstance(inner, list | dict | tuple):
        inner = inner["a"] if isinstance(inner, dict) else inner[0]
    np.testing.assert_array_equal(inner.transform(digits[0]), autoencoder.transform(digits[0]))


def test_one_object_in_two_places_stays_one(autoencoder, file):
    outer = GaussianSampler()
    outer.a_, outer.b_ = autoencoder, autoencoder
    save_model(outer, file)
    loaded = load_model(file)
    assert loaded.a_ is loaded.b_


def make_network():
    nn = torch.nn
    shared = nn.Linear(6, 6)
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, bias=False),
        nn.BatchNorm2d(2),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 6),
        shared,
        nn.Tanh(),
        shared,
        nn.ModuleDict({"last": nn.GELU()})["last"],
        nn.Linear(6, 6),
    )
    network[-1].weight = shared.weight  # Tied, as in a language model.
    for parameter in network.parameters():
        parameter.data.normal_(generator=generator)
    network[0].requires_grad_(False)
    network(torch.rand(8, 1, 8, 8, generator=generator))  # Moves the running statistics.
    network[1].eval()
    return network


def save_and_load(module, file, **arguments):
    sampler = GaussianSampler()
    sampler.module_ = module
    save_model(sampler, file)
    return load_model(file, **arguments).module_


def test_network_comes_back_with_the_same_bytes(file):
    network = make_network()
    loaded = save_and_load(network, file)
    assert repr(loaded) == repr(network)
    X = torch.rand(5, 1, 8, 8)
    assert torch.equal(loaded(X), network(X))  # Layers in training use the batch.
    expected = network.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    assert [value.dtype for value in loaded.state_dict().values()] == [
        value.dtype for value in expected.values()
    ]


def test_network_keeps_what_is_shared_and_what_learns(file):
    network = make_network()
    loaded = save_and_load(network, file)
    assert loaded[6] is loaded[8]
    assert loaded[10].weight is loaded[6].weight
    assert [p.requires_grad for p in loaded.parameters()] == [
        p.requires_grad for p in network.parameters()
    ]
    assert [m.training for m in loaded.modules()] == [m.training for m in network.modules()]


def test_loaded_network_learns_as_the_saved_one(file):
    network = make_network()
    loaded = save_and_load(network, file)
    X = torch.rand(5, 1, 8, 8)
    for model in (network, loaded):
        optimizer = torch.optim.Adam(model.parameters())
        model(X).square().mean().backward()
        optimizer.step()
    for mine, other in zip(loaded.parameters(), network.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_tensors_of_a_network_are_in_safetensors_only(file):
    save_and_load(make_network(), file)
    with zipfile.ZipFile(file) as archive:
        with zipfile.ZipFile(archive.open("model.skops")) as structure:
            assert structure.namelist() == ["schema.json"]


def test_saving_leaves_the_network_as_it_was(file):
    network = make_network()
    before = {name: id(value) for name, value in network.named_parameters()}
    save_and_load(network, file)
    assert {name: id(value) for name, value in network.named_parameters()} == before


def test_network_of_a_users_own_needs_trust(file):
    network = torch.nn.Sequential(torch.nn.Flatten(), Shift(-1))
    with pytest.warns(UserWarning, match=r"trusted=\['test_persistence.Shift'\]"):
        loaded = save_and_load(network, file, trusted=[Shift])
    assert type(loaded[1]) is Shift
    assert loaded[1].shift.dtype is torch.bfloat16
    assert loaded[1].nothing is None
    X = torch.rand(3, 2)
    assert torch.equal(loaded(X), network(X))
    with pytest.raises(ValueError, match=r"not trusted: test_persistence\.Shift"):
        load_model(file)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.nn.LSTM(2, 2),
        lambda: torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 2)),
        lambda: torch.nn.Linear(2, 2, device="meta"),
        lambda: torch.nn.LazyLinear(2),
        lambda: type("Local", (torch.nn.Module,), {})(),
    ],
)
def test_network_that_could_not_be_opened_is_not_saved(make, file):
    sampler = GaussianSampler()
    sampler.module_ = torch.nn.Sequential(torch.nn.Linear(2, 2), make())
    with pytest.raises(TypeError, match="cannot be saved without pickle"):
        save_model(sampler, file)
    assert not file.exists()


def test_training_continues_after_loading(saved, digits):
    loaded = load_model(saved)
    assert loaded.partial_fit(digits[0]).n_iter_ == 2


def test_memory_is_not_saved(file, tmp_path):
    pipeline = make_latent_pipeline(GaussianSampler(), memory=str(tmp_path / "cache"))
    save_model(make_pipeline(StandardScaler(), pipeline), file)
    assert load_model(file)[-1].memory is None
    assert str(tmp_path).encode() not in file.read_bytes()
    assert pipeline.memory == str(tmp_path / "cache")


def test_meta_names_versions_but_no_person(saved):
    with zipfile.ZipFile(saved) as archive:
        text = archive.read("meta.json").decode()
    meta = json.loads(text)
    assert meta["versions"]["latentgen"] == latentgen.__version__
    expected = {"python", "numpy", "scikit-learn", "torch", "skorch", "skops", "hvrt"}
    assert expected <= meta["versions"].keys()
    assert os.uname().nodename not in text
    assert os.path.expanduser("~") not in text


@pytest.mark.parametrize("convert", [str, lambda path: path])
def test_path_may_be_string_or_path(convert, file):
    save_model(GaussianSampler(), convert(file))
    assert isinstance(load_model(convert(file)), GaussianSampler)


def names_in(file):
    """Dotted names of all classes and functions that a model file names."""
    names = set()

    def collect(item):
        names.add(f"{item.get('__module__')}.{item.get('__class__')}")

    with zipfile.ZipFile(file) as archive:
        with zipfile.ZipFile(archive.open("model.skops")) as structure:
            json.loads(structure.read("schema.json"), object_hook=collect)
    return names


@pytest.mark.parametrize("estimator", _estimators.ESTIMATORS, ids=lambda e: type(e).__name__)
def test_files_name_public_paths_only(estimator, digits, codes, file):
    # So that files and modules inside latentgen can be renamed, and old models still open.
    save_model(
        clone(estimator).fit(*(codes if estimator in _estimators.SAMPLERS else digits)), file
    )
    for name in names_in(file):
        module, _, name = name.rpartition(".")
        if module.partition(".")[0] == "latentgen":
            assert name in import_module(module).__all__, f"{module}.{name}"


def test_file_names_a_class_by_its_shortest_public_path(file, digits):
    save_model(make_latent_pipeline(small_autoencoder(), GaussianSampler()).fit(digits[0]), file)
    assert {name for name in names_in(file) if name.startswith("latentgen")} == {
        "latentgen.ConvAutoencoder",
        "latentgen.GaussianSampler",
        "latentgen.LatentGenerativePipeline",
        "latentgen.utils.ImageLayout",
    }


def test_file_gets_the_usual_permissions(saved, tmp_path):
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(saved.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_failed_save_keeps_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    class FullDisk(zipfile.ZipFile):
        def writestr(self, name, *args):
            if name == "model.skops":
                raise OSError("disk full")
            super().writestr(name, *args)

    monkeypatch.setattr("latentgen.persistence.ZipFile", FullDisk)
    with pytest.raises(OSError, match="disk full"):
        save_model(GaussianSampler(), saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_save_refuses_what_is_no_estimator(file):
    with pytest.raises(TypeError, match="Expected a scikit-learn estimator, got"):
        save_model(np.zeros(3), file)


def test_save_names_the_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder '.*nowhere'"):
        save_model(GaussianSampler(), tmp_path / "nowhere" / "model.latentgen")


def test_save_refuses_what_needs_pickle(file):
    with pytest.raises(TypeError, match="FastHVRTSampler holds something that cannot be saved"):
        save_model(FastHVRTSampler(row for row in []), file)
    assert not file.exists()


def rewrite(file, change, *, keep_checksums=False):
    """Change members of a model file and write it anew, with matching zip checksums."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    if not keep_checksums:
        meta = json.loads(members["meta.json"])
        for name in meta["sha256"]:
            meta["sha256"][name] = hashlib.sha256(members[name]).hexdigest()
        members["meta.json"] = json.dumps(meta)
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_every_flipped_byte_is_refused_or_harmless(saved, digits, autoencoder):
    content = saved.read_bytes()
    expected = autoencoder.transform(digits[0][:2])
    for at in np.linspace(0, len(content) - 1, 150).astype(int):
        flipped = bytearray(content)
        flipped[at] ^= 0xFF
        saved.write_bytes(flipped)
        try:
            loaded = load_model(saved)
        except ValueError as error:
            assert str(saved) in str(error)
        else:  # A date or a permission of the archive.
            np.testing.assert_array_equal(loaded.transform(digits[0][:2]), expected)


@pytest.mark.parametrize("fraction", [0, 0.01, 0.5, 0.999])
def test_truncated_file_is_refused(fraction, saved):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(ValueError, match="was not written to its end"):
        load_model(saved)


@pytest.mark.parametrize("member", ["model.safetensors", "model.skops"])
def test_changed_member_is_refused(member, saved):
    def change(members):
        data = bytearray(members[member])
        data[-1] ^= 1
        members[member] = bytes(data)

    rewrite(saved, change, keep_checksums=True)
    with pytest.raises(ValueError, match=f"the checksum of '{member}' does not match"):
        load_model(saved)


def test_missing_member_is_refused(saved):
    rewrite(saved, lambda members: members.pop("model.skops"), keep_checksums=True)
    with pytest.raises(ValueError, match="is damaged"):
        load_model(saved)


def test_other_zip_file_is_refused(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("holiday.txt", "sun")
    with pytest.raises(ValueError, match=r"Expected a file made by latentgen\.save_model"):
        load_model(file)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.latentgen"):
        load_model(tmp_path / "nothing.latentgen")


def set_meta(**items):
    def change(members):
        members["meta.json"] = json.dumps(json.loads(members["meta.json"]) | items)

    return change


def test_unknown_format_version_is_refused(saved):
    rewrite(saved, set_meta(format_version=99))
    with pytest.raises(ValueError, match=r"format version 99, but .* reads format version 1"):
        load_model(saved)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda meta: meta.pop("versions"), "no table 'versions'"),
        (lambda meta: meta.pop("sha256"), "no table 'sha256'"),
        (lambda meta: meta.clear(), "'format_version'"),
        (lambda meta: meta.update(versions=["1"]), "no table 'versions'"),
        (lambda meta: meta["sha256"].clear(), "the checksum of 'model.safetensors'"),
    ],
)
def test_record_with_something_missing_is_refused(change, message, saved):
    def put(members):
        meta = json.loads(members["meta.json"])
        change(meta)
        members["meta.json"] = json.dumps(meta)

    rewrite(saved, put, keep_checksums=True)
    with pytest.raises(ValueError, match=message):
        load_model(saved)


@pytest.mark.parametrize("package", ["latentgen", "scikit-learn"])
def test_other_versions_earn_a_warning(package, saved):
    rewrite(saved, set_meta(versions={"latentgen": "0", "scikit-learn": "0"}))
    with pytest.warns(UserWarning, match=f"made with .*{package} 0 \\(here"):
        load_model(saved)


@pytest.mark.parametrize(
    "make, foreign",
    [
        (lambda: ConvAutoencoder(callbacks=[EpochTimer()]), EpochTimer),
        (lambda: FastHVRTSampler(JitterStrategy()), JitterStrategy),
        (lambda: DoublingStep(), DoublingStep),
    ],
)
def test_foreign_types_are_refused_unless_trusted(make, foreign, file):
    with pytest.warns(UserWarning, match="pass load_model\\(path, trusted=\\['"):
        save_model(make(), file)
    with pytest.raises(ValueError, match=r"holds types that are not trusted: .*trusted=\['"):
        load_model(file)
    assert type(load_model(file, trusted=[foreign])) is type(make())


def test_kernel_density_is_loaded_when_trusted(digits, file):
    Z = digits[0].reshape(120, -1)[:, :8]
    with pytest.warns(UserWarning, match="KDTree"):
        save_model(KernelDensity().fit(Z), file)
    with pytest.raises(ValueError, match="KDTree") as caught:
        load_model(file)
    trusted = str(caught.value).partition("trusted=")[2].strip(").[]").replace("'", "").split(", ")
    np.testing.assert_array_equal(
        load_model(file, trusted=trusted).score_samples(Z), KernelDensity().fit(Z).score_samples(Z)
    )


def test_trees_are_loaded_when_trusted(digits, file):
    X = digits[0].reshape(120, -1)
    model = GradientBoostingRegressor(n_estimators=2, random_state=0).fit(X, digits[1])
    with pytest.warns(UserWarning, match="Tree"):
        save_model(model, file)
    with pytest.raises(ValueError, match=r"not trusted: sklearn\.tree\._tree\.Tree\."):
        load_model(file)
    loaded = load_model(file, trusted=["sklearn.tree._tree.Tree"])
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


@pytest.mark.parametrize("trusted", ["sklearn.pipeline.Pipeline", True, 3])
def test_trusted_must_be_a_list(trusted, saved):
    with pytest.raises(TypeError, match="'trusted' must be a list of types or their names, got"):
        load_model(saved, trusted=trusted)


def forge(file, model, change=lambda text: text):
    """Write `model` to a model file, with the text of its structure changed."""
    save_model(model, file)

    def put(members):
        forged = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(members["model.skops"])) as old,
            zipfile.ZipFile(forged, "w") as new,
        ):
            for name in old.namelist():
                text = old.read(name)
                new.writestr(name, change(text.decode()) if name == "schema.json" else text)
        members["model.skops"] = forged.getvalue()

    rewrite(file, put)


@pytest.mark.parametrize(
    "module, name",
    [
        ("latentgen.persistence", "import_module"),
        ("latentgen.samplers._meta", "ConditionalSampler"),
        ("latentgen", "make_latent_pipeline"),
        ("latentgen.datasets", "fetch_mnist"),
        ("torch.nn.modules.linear", "init"),
        ("torch.nn.modules.module", "register_module_forward_hook"),
        ("torch.nn.modules.utils", "_pair"),
        ("latentgen.persistence", "save_model"),
        ("latentgen.utils._files", "Path"),
        ("latentgen.cli", "main"),
        ("latentgen.nothing", "Thing"),
        ("os", "system"),
    ],
)
def test_forged_file_reaches_no_function(module, name, file):
    state = GaussianSampler()
    state.hook_ = np.sin

    def change(text):
        schema = json.loads(text)
        items = schema["content"]["content"]
        items["hook_"].update(__module__=module, __class__=name)
        return json.dumps(schema)

    forge(file, state, change)
    with pytest.raises(ValueError, match=f"not trusted: {module}.{name}"):
        load_model(file)


def test_weights_without_an_estimator_are_refused(autoencoder, file, tmp_path):
    other = tmp_path / "other.latentgen"

    def change(members):
        with zipfile.ZipFile(other) as archive:
            members["model.skops"] = archive.read("model.skops")

    save_model(GaussianSampler(), other)
    save_model(make_pipeline(autoencoder), file)
    rewrite(file, change)
    with pytest.raises(ValueError, match="no estimator for the weights of"):
        load_model(file)


PLAIN = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": "1"}


def make_list(content, number):
    names = {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode"}
    return {**names, "content": content, "__id__": number}


def put_path(memory):
    """Make a change that gives text as 'memory' to the innermost estimator that has one."""

    def change(text):
        schema, found = json.loads(text), []

        def search(item):
            for key, part in item.items() if isinstance(item, dict) else enumerate(item):
                if key == "memory":
                    found.append(item)
                if isinstance(part, dict | list):
                    search(part)

        search(schema)
        found[-1]["memory"] = {**PLAIN, **memory, "__id__": 7}
        return json.dumps(schema)

    return change


@pytest.mark.filterwarnings("ignore:The model holds types")
@pytest.mark.parametrize(
    "memory",
    [
        {"__loader__": "JsonNode", "content": '"/tmp/cache"'},
        {"__loader__": "NdArrayNode", "__class__": "str_", "__module__": "numpy"},
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda inner: inner,
        lambda inner: FeatureUnion([("pca", PCA(1)), ("inner", inner)]),
        lambda inner: FeatureUnion({("inner", inner)}),
        lambda inner: ConditionalSampler(LatentGenerativePipeline([("inner", inner)])),
    ],
)
@pytest.mark.parametrize(
    "inner", [Pipeline([("pca", PCA(1))]), FeatureAgglomeration()], ids=["pipeline", "clustering"]
)
def test_file_that_names_a_folder_of_pickles_is_refused(memory, make, inner, file):
    # Other estimators than pipelines, and pipelines in sets, used to be overlooked.
    forge(file, make(inner), put_path(memory))
    with pytest.raises(ValueError, match="it names a 'memory', a folder from which pickles"):
        load_model(file)


def test_state_in_plain_json_is_refused(file):
    def change(text):
        schema = json.loads(text)
        state = schema["content"]
        schema["content"] = {**PLAIN, "__id__": state["__id__"], "content": '{"memory": "/tmp"}'}
        return json.dumps(schema)

    forge(file, Pipeline([("pca", PCA(1))]), change)
    with pytest.raises(ValueError, match="plain JSON where an object is expected"):
        load_model(file)


def test_object_that_stands_for_another_is_refused(file):
    # By its id, text may come to where a number stands.
    def change(text):
        schema = json.loads(text)
        folder = {**PLAIN, "content": '"/tmp"', "__id__": 7}
        schema["content"]["content"]["transform_input"] = folder
        schema["content"]["content"]["memory"] = {**PLAIN, "content": "null", "__id__": 7}
        return json.dumps(schema)

    forge(file, Pipeline([("pca", PCA(1))]), change)
    with pytest.raises(ValueError, match="objects of id 7 differ"):
        load_model(file)


@pytest.mark.filterwarnings("ignore:The model holds types")
@pytest.mark.parametrize("estimator", [Pipeline, FeatureAgglomeration])
def test_memory_is_saved_as_none(estimator, file):
    arguments = {"steps": [("pca", PCA(1))]} if estimator is Pipeline else {}
    save_model(estimator(memory="cache", **arguments), file)
    assert load_model(file, trusted=["numpy.mean"]).memory is None


def test_layer_called_memory_is_no_folder(file):
    network = torch.nn.ModuleDict({"memory": torch.nn.Linear(2, 2)})
    assert save_and_load(network, file)["memory"].in_features == 2


def test_audit_of_lists_that_share_an_id_is_refused_at_once(file):
    # Each is walked through twice for every one around it: 2 to the 60.
    def change(text):
        node = make_list([PLAIN], 1)
        for number in range(2, 60):
            node = make_list([node, make_list([], number - 1)], number)
        return json.dumps({**node, "protocol": json.loads(text)["protocol"]})

    forge(file, GaussianSampler(), change)
    with pytest.raises(ValueError, match="objects of id 1 differ"):
        load_model(file)


def test_one_object_in_many_places_is_saved_in_full(file):
    sampler = GaussianSampler()
    shared = [np.arange(3), "text", b"bytes", {"key": 1.5}]
    sampler.shared_ = [shared, shared, {"again": shared}]
    save_model(sampler, file)
    loaded = load_model(file).shared_
    assert loaded[0][1:] == loaded[2]["again"][1:] == shared[1:]


@pytest.mark.parametrize(
    "text, message",
    [
        ("{}," * 200_001, "it has 200002 objects"),
        ("[]," * 3_000_000, "it has 1 objects with 6000001 items"),
        (" " * (2**26 + 1), r"'schema\.json' is larger than 67108864 bytes"),
    ],
)
def test_structure_is_refused_before_memory_is_used(text, message, file):
    forge(
        file, GaussianSampler(), lambda _: f'{{"content": [{text}' if "{" in text else f"{{[{text}"
    )
    with pytest.raises(ValueError, match=message):
        load_model(file)


def test_compressed_members_are_refused_unread(saved):
    # A file of 52 kB used to take 15 GB.
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(ValueError, match=r"'meta\.json' is compressed"):
        load_model(saved)


def test_array_that_many_objects_read_is_refused(file):
    model = GaussianSampler().fit(np.random.RandomState(0).rand(9, 2))

    def change(text):
        schema = json.loads(text)
        state = schema["content"]["content"]
        arrays = [node for node in state.values() if "file" in node]
        state["again"] = {**arrays[0], "__id__": 7}
        return json.dumps(schema)

    forge(file, model, change)
    with pytest.raises(ValueError, match=r"\.npy' is read for more than one object"):
        load_model(file)


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither")
@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_what_has_no_end_is_refused(kind, file):
    if kind == "device":
        file.symlink_to("/dev/zero")
    else:
        os.mkfifo(file)
    with pytest.raises(ValueError, match=r"Expected a regular file, got .* a device or a pipe"):
        load_model(file)


def test_names_in_a_file_do_not_reach_the_terminal_as_they_are(file):
    state = GaussianSampler()
    state.hook_ = np.sin

    def change(text):
        schema = json.loads(text)
        schema["content"]["content"]["hook_"].update(__module__="os\x1b[2J", __class__="system")
        return json.dumps(schema)

    forge(file, state, change)
    with pytest.raises(ValueError, match=r"not trusted: os\\x1b\[2J\.system\.") as caught:
        load_model(file)
    assert "\x1b" not in str(caught.value)


def test_versions_in_a_file_do_not_reach_the_terminal_as_they_are(saved):
    rewrite(saved, set_meta(versions={"latentgen": "\x1b]0;title\x07", "scikit-learn": "0"}))
    with pytest.warns(UserWarning, match=r"made with latentgen \\x1b\]0;title\\x07 \(here"):
        load_model(saved)
