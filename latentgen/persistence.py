"""Saving and loading of models without pickle."""

# SPDX-License-Identifier: BSD-3-Clause

import hashlib
import json
import platform
import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from zipfile import BadZipFile, ZipFile

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from latentgen._version import __version__
from latentgen.utils._files import atomic_path
from latentgen.utils._optional import import_optional

_FORMAT_VERSION = 1
_META, _WEIGHTS, _STRUCTURE = "meta.json", "model.safetensors", "model.skops"
_RECORDED = ("numpy", "scipy", "scikit-learn", "torch", "skorch", "skops", "safetensors", "hvrt")
# Between the place of an estimator and the name of one of its weights.
_SEPARATOR = ":"

# Trusted beside what skops trusts and latentgen's own estimators: a frozen dataclass of a shape, a
# number and the name of a dtype.
_TRUSTED = frozenset(["latentgen.utils._images.ImageLayout"])


def save_model(estimator, path):
    """Save an estimator, fitted or not, to one file.

    The file is a zip archive of the network weights (safetensors), all the rest (skops, no
    pickle) and a record of the versions it was made with. It is written under a temporary name
    and put in place when complete, so that a failed save leaves an older file as it was.

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
        If `estimator` is no estimator, or holds something that skops cannot save.
    FileNotFoundError
        If the folder of `path` does not exist.
    ImportError
        If skops or safetensors is missing.

    Warns
    -----
    UserWarning
        If `load_model` will open the file only with ``trusted``, because the estimator holds
        objects of types that are neither latentgen's nor trusted by skops: callbacks,
        strategies or steps of your own.

    See Also
    --------
    load_model : The way back.

    Notes
    -----
    ``memory`` of pipelines is saved as None: a cache belongs to the machine, and a file must not
    say where pickles are read from. Weights are those of every nested estimator whose state has
    ``_weights``, a dict of arrays.

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
    weights = {}

    def detach(place, estimator, state):
        if isinstance(state.get("_weights"), dict):
            for name, array in state.pop("_weights").items():
                # Safetensors would write the memory of a view as it lies there.
                weights[f"{place}{_SEPARATOR}{name}"] = np.ascontiguousarray(array)
        return state

    structure = _rebuild(estimator, detach)
    try:
        structure = skops.dumps(structure)
    except Exception as error:  # Types that skops does not know fail in their own ways.
        raise TypeError(
            f"{type(estimator).__name__} holds something that cannot be saved without pickle: "
            f"{error}"
        ) from error
    unknown = _untrusted_types(skops, structure, trusted=())
    if unknown:
        warnings.warn(
            "The model holds types that latentgen does not trust by itself. To open the file, "
            f"pass load_model(path, trusted={unknown}).",
            stacklevel=2,
        )
    members = {_WEIGHTS: safetensors.save(weights), _STRUCTURE: structure}
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

    No code from the file is run. Objects are made only of latentgen's own estimators, of types
    that skops trusts (scikit-learn's estimators, arrays, plain containers) and of those in
    `trusted`.

    Parameters
    ----------
    path : str or path-like
        File to read.
    trusted : list of str or type, default=None
        Further types that the file may hold, such as your own callbacks. Trust only what you
        know: loading calls methods of these types with values from the file.

    Returns
    -------
    estimator : estimator
        As it was saved.

    Raises
    ------
    ValueError
        If the file is no model file, is damaged, has an unknown format version or holds types
        that are not trusted.
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
    forged file can still hold a model that draws rubbish, or needs much memory.

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
        unknown = _untrusted_types(skops, structure, trusted)
    except Exception as error:
        raise ValueError(f"'{path}' cannot be read by skops: {error}") from error
    if unknown:
        raise ValueError(
            f"'{path}' holds types that are not trusted: {', '.join(unknown)}. If you know where "
            f"the file comes from and what these are, pass load_model(path, trusted={unknown})."
        )
    _warn_other_versions(path, meta["versions"])
    try:
        everything = skops.get_untrusted_types(data=structure)
        return _attach(skops.loads(structure, trusted=everything), safetensors.load(weights))
    except Exception as error:
        if isinstance(error, Warning):
            raise
        raise ValueError(f"'{path}' cannot be turned into a model: {error}") from error


def _rebuild(value, change, place="", done=None):
    """Copy nested estimators with changed states; share everything else.

    `change` takes the place of an estimator such as ``/steps/0/1``, the estimator and its state,
    and returns the state of the copy.
    """
    done = {} if done is None else done
    if isinstance(value, BaseEstimator):
        if id(value) not in done:
            state = value.__getstate__()
            state = {
                name: _rebuild(item, change, f"{place}/{name}", done)
                for name, item in state.items()
            }
            if isinstance(value, Pipeline):
                state["memory"] = None
            done[id(value)] = type(value).__new__(type(value))
            done[id(value)].__setstate__(change(place, value, state))
        return done[id(value)]
    if isinstance(value, np.ndarray) and value.dtype == object:
        copy = np.empty_like(value)
        for index in np.ndindex(value.shape):
            copy[index] = _rebuild(value[index], change, f"{place}/{index}", done)
        return copy
    if type(value) in (list, tuple):
        items = enumerate(value)
        return type(value)(_rebuild(item, change, f"{place}/{i}", done) for i, item in items)
    if type(value) is dict:
        return {key: _rebuild(item, change, f"{place}/{key}", done) for key, item in value.items()}
    return value


def _attach(model, arrays):
    """Give nested estimators their weights back."""
    weights = {}
    for name, array in arrays.items():
        place, _, name = name.partition(_SEPARATOR)
        weights.setdefault(place, {})[name] = array

    def attach(place, estimator, state):
        if place in weights:
            state["_weights"] = weights.pop(place)
        return state

    model = _rebuild(model, attach)
    if weights:
        raise ValueError(f"there is no estimator for the weights of {sorted(weights)}.")
    return model


def _untrusted_types(skops, structure, trusted):
    """Names of the types in skops data that nobody trusts."""
    return [
        name
        for name in skops.get_untrusted_types(data=structure)
        if name not in trusted and name not in _TRUSTED and not _is_own_estimator(name)
    ]


def _is_own_estimator(name):
    """Whether a name is an estimator class where latentgen defines it.

    A prefix would not do: ``latentgen.persistence.import_module`` is a function that a file must
    not get hold of.
    """
    module, _, cls = name.rpartition(".")
    if module.partition(".")[0] != "latentgen":
        return False
    try:
        found = getattr(import_module(module), cls)
    except (ImportError, AttributeError):
        return False
    return (
        isinstance(found, type)
        and issubclass(found, BaseEstimator)
        and (found.__module__, found.__qualname__) == (module, cls)
    )


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
        f"{name} {versions.get(name)} (here {here[name]})"
        for name in ("latentgen", "scikit-learn")
        if versions.get(name) != here[name]
    ]
    if others:
        warnings.warn(
            f"'{path}' was made with {' and '.join(others)}. It may behave differently here; "
            "compare some samples, or fit the model again.",
            stacklevel=3,
        )


def _read_archive(path):
    """Read the members of a model file and check that they are what was written."""
    with open(path, "rb") as file:
        try:
            with ZipFile(file) as archive:
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
                f"'{path}' {state}, or was not written to its end: {error}. Expected a file made "
                "by latentgen.save_model."
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
