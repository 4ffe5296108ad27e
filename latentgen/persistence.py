"""Saving and loading of models without pickle."""

# SPDX-License-Identifier: BSD-3-Clause

import hashlib
import io
import json
import os
import platform
import sys
from collections import OrderedDict
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from operator import attrgetter
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

import numpy as np
from sklearn.base import BaseEstimator

from latentgen._version import __version__
from latentgen.utils._files import atomic_path, check_regular_file, printable
from latentgen.utils._optional import import_optional
from latentgen.utils._warnings import warn_user

_FORMAT_VERSION = 1
_META, _WEIGHTS, _STRUCTURE = "meta.json", "model.safetensors", "model.skops"
_RECORDED = ("numpy", "scipy", "scikit-learn", "torch", "skorch", "skops", "safetensors", "hvrt")
# Between the place of an estimator and the name of one of its weights.
_SEPARATOR = ":"
# What stands in a network for a tensor: a dict with this key, whose value is the tensor's place.
_TENSOR = "latentgen.tensor"
# The part of a skops file that is compressed, and how much it may hold: a damaged or hostile file
# must be refused before it fills the memory. A model of 1 000 samplers has about 100 000 objects.
_SCHEMA, _MOST_SCHEMA_BYTES, _MOST_OBJECTS, _MOST_ITEMS = "schema.json", 2**26, 200_000, 5_000_000
_MOST_META_BYTES, _MOST_SPARSE_BYTES = 2**20, 2**28
_NAMES_SHOWN = 20

# Trusted beside what skops trusts, latentgen's own estimators and torch's layers: a frozen
# dataclass of a shape, a number and the name of a dtype.
_TRUSTED = frozenset(["latentgen.utils.ImageLayout"])


def save_model(estimator, path):
    """Save an estimator, fitted or not, to one file.

    The file is a zip archive of the network weights (safetensors), all the rest (skops, no
    pickle) and a record of the versions it was made with. latentgen's classes stand in it under
    their public names. It is written under a temporary name and put in place when complete, so
    that a failed save leaves an older file as it was.

    Parameters
    ----------
    estimator : estimator
        A `LatentGenerativePipeline`, an autoencoder, a sampler or any other scikit-learn
        estimator that skops can save. It is not changed.
    path : str or path-like
        File to write, by custom with the suffix ``.latentgen``.

    Raises
    ------
    TypeError
        If `estimator` is not an estimator, or holds something that skops cannot save.
    OSError
        If `path` cannot be written: there is no such folder, no room or no permission, or it is
        a device.
    ImportError
        If skops or safetensors is missing.

    Warns
    -----
    UserWarning
        If `load_model` will open the file only with ``trusted``, because the estimator holds
        objects of types that are neither latentgen's nor torch's layers nor trusted by skops:
        callbacks, strategies, steps or torch modules of your own.

    See Also
    --------
    load_model : The way back.

    Notes
    -----
    ``memory`` of pipelines and of all other estimators is saved as None: a cache belongs to the
    machine, and a file must not say where pickles are read from. Weights are those of every nested
    estimator whose state has ``_weights``, a dict of arrays.

    An older file at `path` hands on its permissions, and of a symbolic link the target is written.

    A `torch.nn.Module`, as a parameter or in a fitted state, is saved as the tree of its
    attributes, with its tensors among the weights: parameters, buffers, what is shared between
    layers, the training flag. Gradients and the device are not kept.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from latentgen import GaussianSampler, load_model, save_model
    >>> sampler = GaussianSampler().fit(np.random.RandomState(0).standard_normal((100, 2)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(sampler, f"{folder}/model.latentgen")
    ...     loaded = load_model(f"{folder}/model.latentgen")
    >>> np.array_equal(loaded.sample(5, random_state=0), sampler.sample(5, random_state=0))
    True
    """
    skops = import_optional("skops.io", extra="io", needed_by="save_model")
    safetensors = import_optional("safetensors.numpy", extra="io", needed_by="save_model")
    if not isinstance(estimator, BaseEstimator):
        raise TypeError(
            f"Expected a scikit-learn estimator, got {estimator!r} of type "
            f"{type(estimator).__name__}. Use numpy.save for arrays."
        )
    weights, tensors = {}, {}
    try:
        structure = _detach(estimator, weights, tensors)
        structure = _with_public_names(skops.dumps(structure))
        _check_structure(structure)
        if tensors:
            # What a module of the user's holds may go into a file and not come out of it.
            skops.loads(structure, trusted=skops.get_untrusted_types(data=structure))
    except Exception as error:  # Types that skops does not know fail in their own ways.
        raise TypeError(
            f"{type(estimator).__name__} holds something that cannot be saved without pickle: "
            f"{error}"
        ) from error
    unknown = _untrusted_types(skops, structure, trusted=())
    if unknown:
        warn_user(
            "The model holds types that latentgen does not trust by itself. To open the file, "
            f"pass load_model(path, trusted={unknown}).",
        )
    members = {_WEIGHTS: safetensors.save(weights | tensors), _STRUCTURE: structure}
    meta = {
        "format_version": _FORMAT_VERSION,
        "estimator": type(estimator).__name__,
        "versions": _installed_versions(),
        "platform": f"{platform.system()} {platform.machine()}",
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in members.items()},
    }
    with atomic_path(path) as temporary, ZipFile(temporary, "w") as archive:
        archive.writestr(_META, json.dumps(meta, indent=2))
        for name, data in members.items():
            archive.writestr(name, data)


def load_model(path, *, trusted=None):
    """Load an estimator from a file of `save_model`.

    No code from the file is run. Objects are made only of latentgen's own estimators, of torch's
    layers (`torch.nn.Linear` and the like), of types that skops trusts (scikit-learn's estimators,
    arrays, plain containers) and of those in `trusted`.

    Parameters
    ----------
    path : str or path-like
        File to read.
    trusted : list of str or type, default=None
        Further types that the file may hold, such as your own callbacks or torch modules. Trust
        only what you know: loading calls methods of these types with values from the file.

    Returns
    -------
    estimator : estimator
        As it was saved.

    Raises
    ------
    ValueError
        If the file is not a model file, is damaged, has an unknown format version, holds types
        that are not trusted, names a folder of pickles, or asks for more memory than its size
        lets one expect.
    FileNotFoundError
        If there is no such file.
    ImportError
        If skops or safetensors is missing.

    Warns
    -----
    UserWarning
        If the file was made with another version of latentgen or scikit-learn.

    See Also
    --------
    save_model : Makes the file.

    Notes
    -----
    The checksums find damage, not forgery: whoever can write the file can write them too. A
    forged file can still hold a model that draws rubbish. What it may hold is limited before
    memory is used for it: 200 000 objects, and arrays that stand in it in full.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from latentgen import GaussianSampler, load_model, save_model
    >>> sampler = GaussianSampler(shrinkage=0.1).fit(np.eye(3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(sampler, f"{folder}/model.latentgen")
    ...     load_model(f"{folder}/model.latentgen")
    GaussianSampler(shrinkage=0.1)
    """
    skops = import_optional("skops.io", extra="io", needed_by="load_model")
    safetensors = import_optional("safetensors.numpy", extra="io", needed_by="load_model")
    if trusted is not None and (
        isinstance(trusted, str | bool) or not hasattr(trusted, "__iter__")
    ):
        raise TypeError(f"'trusted' must be a list of types or their names, got {trusted!r}.")
    meta, weights, structure = _read_archive(path)
    trusted = [t if isinstance(t, str) else f"{t.__module__}.{t.__name__}" for t in trusted or ()]
    try:
        _check_structure(structure)
        unknown = _untrusted_types(skops, structure, trusted)
    except Exception as error:
        raise ValueError(f"'{path}' cannot be read by skops: {printable(error)}") from error
    if unknown:
        shown, n_more = unknown[:_NAMES_SHOWN], len(unknown) - _NAMES_SHOWN
        more = f" and {n_more} more" if n_more > 0 else ""
        raise ValueError(
            f"'{path}' holds types that are not trusted: {printable(', '.join(shown))}{more}. If "
            "you know where the file comes from and what these are, pass "
            f"load_model(path, trusted={shown}{more})."
        )
    _warn_other_versions(path, meta["versions"])
    try:
        everything = skops.get_untrusted_types(data=structure)
        return _attach(skops.loads(structure, trusted=everything), safetensors.load(weights))
    except Exception as error:
        if isinstance(error, Warning):
            raise
        raise ValueError(f"'{path}' cannot be turned into a model: {printable(error)}") from error


def _detach(estimator, weights, tensors):
    """Copy an estimator without its arrays of weights and tensors, and collect these by place."""

    def change(place, value, state):
        if isinstance(state.get("_weights"), dict):
            for name, array in state.pop("_weights").items():
                # Safetensors would write the memory of a view as it lies there.
                weights[f"{place}{_SEPARATOR}{name}"] = np.asarray(array, order="C")
        return state

    def replace(place, value):
        if not _is_torch(value, "Tensor"):
            return value
        import torch

        if type(value) not in (torch.Tensor, torch.nn.Parameter):
            raise TypeError(f"a tensor of type {type(value).__name__} at '{place}'.")
        array = value.detach().cpu()
        if value.dtype is torch.bfloat16:  # NumPy has no such numbers, so their bits are kept.
            array = array.view(torch.int16)
        tensors[f"{place}{_SEPARATOR}"] = np.asarray(array.numpy(), order="C")
        return {
            _TENSOR: place,
            "dtype": str(value.dtype).removeprefix("torch."),
            "parameter": isinstance(value, torch.nn.Parameter),
            "requires_grad": value.requires_grad,
        }

    return _rebuild(estimator, change, replace)


def _attach(model, arrays):
    """Give nested estimators their weights and networks their tensors back."""
    weights, tensors = {}, {}
    for name, array in arrays.items():
        place, _, name = name.rpartition(_SEPARATOR)
        if name:
            weights.setdefault(place, {})[name] = array
        else:
            tensors[place] = array

    def change(place, value, state):
        if place in weights:
            state["_weights"] = weights.pop(place)
        return state

    def replace(place, value):
        if type(value) is not dict or _TENSOR not in value:
            return value
        import torch

        # A copy, since a safetensors file may hand out read-only memory.
        tensor = torch.tensor(tensors[value[_TENSOR]])
        if value["dtype"] == "bfloat16":
            tensor = tensor.view(torch.bfloat16)
        if value["parameter"]:
            return torch.nn.Parameter(tensor, requires_grad=value["requires_grad"])
        return tensor.requires_grad_(value["requires_grad"])

    model = _rebuild(model, change, replace)
    if weights:
        raise ValueError(f"there is no estimator for the weights of {sorted(weights)}.")
    return model


def _rebuild(value, change, replace, place="", done=None):
    """Copy nested estimators and torch modules with changed states; share everything else.

    `change` takes the place of an estimator such as ``/steps/0/1``, the estimator and its state,
    and returns the state of the copy. `replace` takes the place of any value and the value, and
    returns the value or another one. What stands in two places is copied or replaced once.
    """
    done = {} if done is None else done
    if id(value) in done:
        return done[id(value)][1]

    def rebuild(items):
        return {key: _rebuild(item, change, replace, f"{place}/{key}", done) for key, item in items}

    replaced = replace(place, value)
    if replaced is not value:
        # With the value itself, so that no other object gets its id.
        done[id(value)] = value, replaced
        return replaced
    if isinstance(value, BaseEstimator) or _is_torch(value, "nn.Module"):
        state = rebuild(value.__getstate__().items())
        if isinstance(value, BaseEstimator):
            if "memory" in state:
                state["memory"] = None
            state = change(place, value, state)
        copy = type(value).__new__(type(value))
        copy.__setstate__(state)
        done[id(value)] = value, copy
        return copy
    if isinstance(value, np.ndarray) and value.dtype == object:
        copy = np.empty_like(value)
        for index, item in rebuild(np.ndenumerate(value)).items():
            copy[index] = item
        return copy
    if type(value) in (list, tuple):
        return type(value)(rebuild(enumerate(value)).values())
    if type(value) in (dict, OrderedDict):
        return type(value)(rebuild(value.items()))
    return value


def _is_torch(value, name):
    """Whether a value is an instance of ``torch.Tensor`` or ``torch.nn.Module``.

    Without torch imported there is none, and it need not be imported to know that.
    """
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, attrgetter(name)(torch))


def _with_public_names(structure):
    """Skops data with latentgen's classes under their public names.

    Files of the package may then be renamed without a loss: a file of models names only what
    ``__all__`` promises. The table of names is compressed, which makes small models a fifth of
    the size.
    """

    def rename(item):
        module, name = item.get("__module__"), item.get("__class__")
        if isinstance(module, str) and module.partition(".")[0] == "latentgen":
            item["__module__"] = _public_home(module, name)
        return item

    public = io.BytesIO()
    with ZipFile(io.BytesIO(structure)) as old, ZipFile(public, "w") as new:
        for name in old.namelist():
            data, compression = old.read(name), ZIP_STORED
            if name == _SCHEMA:
                data = json.dumps(json.loads(data, object_hook=rename))
                compression = ZIP_DEFLATED
            new.writestr(name, data, compression)
    return public.getvalue()


def _public_home(module, name):
    """First of the packages above a class that offers it, or its module if none does."""
    parts = module.split(".")
    found = getattr(import_module(module), name)
    for end in range(1, len(parts) + 1):
        home = import_module(".".join(parts[:end]))
        if name in getattr(home, "__all__", ()) and getattr(home, name) is found:
            return home.__name__
    return module


def _untrusted_types(skops, structure, trusted):
    """Names of the types in skops data that nobody trusts."""
    return [
        name
        for name in skops.get_untrusted_types(data=structure)
        if not (
            name in trusted or name in _TRUSTED or _is_own_estimator(name) or _is_torch_layer(name)
        )
    ]


def _is_own_estimator(name):
    """Whether a name is the public name of an estimator class of latentgen.

    A prefix would not do: ``latentgen.persistence.import_module`` is a function that a file must
    not get hold of.
    """
    module, _, name = name.rpartition(".")
    root, *rest = module.split(".")
    if root != "latentgen" or any(part.startswith("_") for part in rest):
        return False
    found = _find_class(module, name)
    return (
        found is not None
        and issubclass(found, BaseEstimator)
        and found.__module__.partition(".")[0] == "latentgen"
        and name in getattr(import_module(module), "__all__", ())
    )


def _is_torch_layer(name):
    """Whether a name is a module class of torch where torch defines it."""
    module, _, name = name.rpartition(".")
    if not module.startswith("torch.nn.modules."):
        return False
    found = _find_class(module, name)
    return (
        found is not None
        and issubclass(found, import_module("torch.nn").Module)
        and found.__module__ == module
    )


def _find_class(module, name):
    """The class of that name, or None."""
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        return None
    return found if isinstance(found, type) and found.__name__ == name else None


def _installed_versions():
    versions = {"latentgen": __version__, "python": platform.python_version()}
    for name in _RECORDED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions


def _warn_other_versions(path, versions):
    here = _installed_versions()
    others = [
        f"{name} {printable(versions.get(name))} (here {here[name]})"
        for name in ("latentgen", "scikit-learn")
        if versions.get(name) != here[name]
    ]
    if others:
        warn_user(
            f"'{path}' was made with {' and '.join(others)}. It may behave differently here; "
            "compare some samples, or fit the model again.",
        )


def _read_archive(path):
    """Read the members of a model file and check that they are what was written."""
    check_regular_file(path)
    with open(path, "rb") as file:
        try:
            with ZipFile(file) as archive:
                _check_sizes(archive, os.fstat(file.fileno()).st_size)
                if archive.getinfo(_META).file_size > _MOST_META_BYTES:
                    raise ValueError(f"'{_META}' is too large")
                meta = json.loads(archive.read(_META))
                found = meta["format_version"]
                if found == _FORMAT_VERSION:
                    for table in ("versions", "sha256"):
                        if not isinstance(meta.get(table), dict):
                            raise ValueError(f"'{_META}' has no table '{table}'")
                    members = {name: archive.read(name) for name in (_WEIGHTS, _STRUCTURE)}
        except Exception as error:  # zipfile raises nearly anything on a damaged archive.
            state = "is not a model file" if isinstance(error, BadZipFile) else "is damaged"
            raise ValueError(
                f"'{path}' {state}, or was not written to its end: {printable(error)}. Expected a "
                "file made by latentgen.save_model."
            ) from error
    if found != _FORMAT_VERSION:
        raise ValueError(
            f"'{path}' has format version {found!r}, but latentgen {__version__} reads format "
            f"version {_FORMAT_VERSION}. Use the version of latentgen that wrote the file."
        )
    for name, data in members.items():
        if meta["sha256"].get(name) != hashlib.sha256(data).hexdigest():
            raise ValueError(
                f"'{path}' was changed after it was saved: the checksum of '{name}' does not "
                "match. Get the file again from where it was made."
            )
    return meta, members[_WEIGHTS], members[_STRUCTURE]


def _check_sizes(archive, n_bytes, compressed=None):
    """Refuse a zip archive whose members are larger than the archive, before they are read.

    That is what compression does, and members that share their bytes. One member may be
    `compressed`.
    """
    n_stored = 0
    for member in archive.infolist():
        if member.filename != compressed:
            n_stored += member.file_size
            if member.compress_type != ZIP_STORED:
                raise ValueError(f"'{member.filename}' is compressed")
    if n_stored > n_bytes:
        raise ValueError(f"{n_stored} bytes are said to be in {n_bytes}")


def _check_structure(structure):
    """Refuse skops data that stands for more than is written in it, or for a folder of pickles.

    skops builds an object for each node of a tree in JSON before it knows their types, reads a
    member for each node that names one, and walks again and again through a node that others
    refer to by its id. It writes each node in full, so that none needs to stand for another.
    """
    with ZipFile(io.BytesIO(structure)) as archive:
        _check_sizes(archive, len(structure), compressed=_SCHEMA)
        if archive.getinfo(_SCHEMA).file_size > _MOST_SCHEMA_BYTES:
            raise ValueError(f"'{_SCHEMA}' is larger than {_MOST_SCHEMA_BYTES} bytes")
        text = archive.read(_SCHEMA)
        n_objects, n_items = text.count(b"{"), text.count(b"[") + text.count(b",")
        if n_objects > _MOST_OBJECTS or n_items > _MOST_ITEMS:
            raise ValueError(
                f"it has {n_objects} objects with {n_items} items, at most {_MOST_OBJECTS} with "
                f"{_MOST_ITEMS} are read"
            )
        _check_node(json.loads(text), archive, {}, {}, {})


def _check_node(item, archive, forms, shared, owners):
    """Check a part of the JSON of skops and give a number that stands for its form.

    Parts of one form have the same number; ids and names of members are no part of the form.
    `forms`, `shared` and `owners` are filled: numbers by form, forms by id, ids by member.
    """

    def number(form):
        return forms.setdefault(form, len(forms))

    def check(part):
        return _check_node(part, archive, forms, shared, owners)

    if isinstance(item, list):
        return number((list, *map(check, item)))
    if not isinstance(item, dict):
        return number((type(item), item))
    form = number(
        (dict, *((key, check(part)) for key, part in item.items() if key not in ("__id__", "file")))
    )
    loader = item.get("__loader__")
    if not isinstance(loader, str):
        return form
    name, member = item.get("__id__"), item.get("file")
    # skops takes one for the other.
    if name and shared.setdefault(name, form) != form:
        raise ValueError(f"objects of id {name!r} differ")
    if member is not None:
        # A node without an id, or of id 0, is read anew each time.
        if not name or owners.setdefault(member, name) != name:
            raise ValueError(f"'{member}' is read for more than one object")
        if loader == "SparseMatrixNode":
            # The only one that is an archive again.
            with ZipFile(io.BytesIO(archive.read(member))) as inner:
                if sum(one.file_size for one in inner.infolist()) > _MOST_SPARSE_BYTES:
                    raise ValueError(f"'{member}' is larger than {_MOST_SPARSE_BYTES} bytes")
    if loader == "JsonNode" and isinstance(json.loads(item["content"]), dict | list):
        raise ValueError("it holds plain JSON where an object is expected")
    if loader == "DictNode" and not _is_harmless(item["content"].get("memory")):
        raise ValueError(
            "it names a 'memory', a folder from which pickles would be read. A model file has "
            "None there"
        )
    return form


def _is_harmless(memory):
    """Whether what is called 'memory' is not text: it is absent, None, a number, a layer."""
    if memory is None or memory["__loader__"] == "JsonNode":
        return memory is None or not isinstance(json.loads(memory["content"]), str)
    return memory["__loader__"] != "NdArrayNode" or memory["__class__"] == "ndarray"
