"""Docstrings of every public object: form, agreement with the code, and running examples."""

# SPDX-License-Identifier: BSD-3-Clause

import doctest
import inspect
import re
import time
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
from _estimators import ESTIMATORS, SAMPLERS
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate
from sklearn.base import clone

import latentgen
from latentgen.base import BaseSampler
from latentgen.utils import ImageLayout

# Codes of numpydoc.validate. Left out are those that ask for an extended summary (ES01), a See
# Also (SA01) and an example (EX01) on every method, an unnamed return value (RT02), and a verb
# as the first word (SS05).
CHECKED = """
    GL01 GL02 GL03 GL05 GL06 GL07 GL08 GL09 GL10
    SS01 SS02 SS03 SS04 SS06
    PR01 PR02 PR03 PR04 PR05 PR06 PR07 PR08 PR09 PR10
    RT01 RT03 RT04 RT05 YD01 SA02 SA03 SA04
""".split()


def module_of(thing):
    return getattr(thing, "__module__", None) or ""


def is_ours(thing):
    return module_of(thing).startswith("latentgen")


def public_objects():
    """Dotted name -> object, for the classes and functions in every public module."""
    modules = [latentgen] + [
        import_module(f"latentgen.{module.name}")
        for module in iter_modules(latentgen.__path__)
        if not module.name.startswith("_") and module.name not in ("networks", "cli")
    ]
    found = {}
    for module in modules:
        for name in getattr(module, "__all__", vars(module)):
            thing = getattr(module, name)
            at_home = hasattr(module, "__all__") or module_of(thing) == module.__name__
            if callable(thing) and is_ours(thing) and at_home and name[0] != "_":
                found[f"{thing.__module__}.{thing.__qualname__}"] = thing
    return dict(sorted(found.items()))


def public_callables():
    """Dotted name -> function, for public functions, methods and constructors."""
    found = {}
    for name, thing in OBJECTS.items():
        found[name] = thing
        if inspect.isclass(thing):
            methods = inspect.getmembers(thing, lambda m: inspect.isroutine(m) and is_ours(m))
            found |= {f"{name}.{key}": m for key, m in methods if not key.startswith("_")}
    return found


OBJECTS = public_objects()
CALLABLES = public_callables()
# What is in these is for implementers: every estimator is an example of its use.
WITH_EXAMPLE = [name for name in OBJECTS if name.split(".")[1] not in ("base", "training", "utils")]
API_PAGES = sorted(Path(__file__).parents[1].glob("docs/api/*.rst"))

# Parameters and attributes that are not described in the same words by all classes that have them,
# and why. All others are.
DIFFERENT = {
    "axes_": "each display draws something else",
    "bandwidth": "each kernel has a unit of its own",
    "classes_": "a pipeline has them when its sampler has",
    "classifier": "one scorer describes it, the others point there",
    "feature_extractor": "one scorer describes it, the others point there",
    "device": "what is never fitted does not tell which device it took",
    "fitted_on_": "what a user fitted, or others published",
    "figure_": "each display draws something else",
    "history_": "each network has its own loss",
    "image_shape_": "a pipeline has it when its first step has",
    "images": "each display takes other images",
    "mean_": "of a density, of codes or of z-scores",
    "n_jobs": "what runs at the same time: classes or members",
    "net_": "each network has its own parts",
    "random_state": "what is random in this class",
    "sampler": "what the clones are for: classes or members",
    "scale_": "of codes or of z-scores",
    "shrinkage": "towards a sphere, or towards the pooled covariance",
    "batch_size": "a judge has one number that does not depend on the data",
    "image_shape": "a judge takes flat images as square without a word",
    "latent_dim": "an autoencoder warns of large ones, a prior does not",
    "lr": "a judge has one schedule",
    "n_samples": "a workbench draws another number for TSTR",
    "sigma": "the noise of each regularizer",
    "temperature": "what it multiplies in this density",
    "verbose": "a network shows epochs, a pipeline steps",
    "weight": "what each regularizer weighs",
}


def test_all_of_latentgen_is_looked_at():
    assert "latentgen.autoencoders._conv.ConvAutoencoder.partial_fit" in CALLABLES
    assert "latentgen.metrics._distances.frechet_distance" in CALLABLES
    assert "latentgen.base._sampler.BaseSampler.sample" in CALLABLES


@pytest.mark.parametrize("name", CALLABLES)
def test_docstring_has_the_form_of_numpydoc(name):
    errors = validate(name)["errors"]
    assert [f"{code}: {text}" for code, text in errors if code in CHECKED] == []


@pytest.mark.parametrize("name", CALLABLES)
def test_documented_defaults_are_those_of_the_signature(name):
    documented = {
        p.name: p.type for p in NumpyDocString(inspect.getdoc(CALLABLES[name]))["Parameters"]
    }
    wrong = []
    if name.startswith("latentgen.exceptions."):
        pytest.skip("built-in exceptions have no signature")
    for parameter in inspect.signature(CALLABLES[name]).parameters.values():
        text = documented.get(parameter.name, "Ignored")
        if text in ("Ignored", "None"):
            continue
        found = re.search(r"default=(.+)$", text)
        expected = None if parameter.default is parameter.empty else repr(parameter.default)
        if (found and found[1].replace("_", "")) != (expected and expected.replace("_", "")):
            wrong.append(f"{parameter.name} : {text!r}, but the default is {expected}")
    assert wrong == []


def descriptions():
    """(of codes or of images, name) -> {description: classes}, of parameters and attributes."""
    found = defaultdict(lambda: defaultdict(set))
    for thing in OBJECTS.values():
        if inspect.isclass(thing) and thing is not ImageLayout:
            role = "codes" if issubclass(thing, BaseSampler) else "images"
            documented = NumpyDocString(inspect.getdoc(thing))
            for entry in documented["Parameters"] + documented["Attributes"]:
                for name in re.split(r",\s*", entry.name):
                    text = " ".join(" ".join(entry.desc).split())
                    found[role, name][text].add(thing.__name__)
    return found


DESCRIPTIONS = descriptions()


@pytest.mark.parametrize("role, name", DESCRIPTIONS)
def test_same_things_are_described_in_the_same_words(role, name):
    if name not in DIFFERENT:
        assert len(DESCRIPTIONS[role, name]) == 1, dict(DESCRIPTIONS[role, name])


@pytest.mark.parametrize("name", DIFFERENT)
def test_reasons_for_other_words_are_needed(name):
    assert any(len(texts) > 1 for (_, found), texts in DESCRIPTIONS.items() if found == name)


@pytest.mark.parametrize(
    "estimator", [e for e in ESTIMATORS if is_ours(type(e))], ids=lambda e: type(e).__name__
)
def test_fitted_attributes_are_documented(estimator, digits, codes):
    model = clone(estimator).fit(*(codes if estimator in SAMPLERS else digits))
    fitted = {name for name in vars(model) if name.endswith("_") and name[0] != "_"}
    documented = NumpyDocString(inspect.getdoc(type(model)))["Attributes"]
    names = {name for entry in documented for name in re.split(r",\s*", entry.name)}
    assert fitted - names == set()


@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_public_objects_have_an_example(name):
    assert ">>> " in "\n".join(NumpyDocString(inspect.getdoc(OBJECTS[name]))["Examples"])


@pytest.mark.parametrize("name", CALLABLES)
def test_examples_run_and_are_fast(name, fitted_conv):
    text, globs = inspect.getdoc(CALLABLES[name]), {}
    example = doctest.DocTestParser().get_doctest(text, globs, name, None, 0)
    report = []
    start = time.process_time()
    results = doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    assert results.failed == 0, "".join(report)
    assert time.process_time() - start < 5


def listed_on(page):
    """(module, name) of what the tables of an API page list."""
    found, module, inside = [], "latentgen", False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith(".. currentmodule::"):
            module = line.split()[-1]
        elif line and not line.startswith(" "):
            inside = line.startswith(".. autosummary::")
        elif inside and line.strip() and not line.strip().startswith(":"):
            found.append((module, line.strip()))
    return found


def test_api_pages_list_every_public_object_once():
    listed = [entry for page in API_PAGES for entry in listed_on(page)]
    objects = [getattr(import_module(module), name) for module, name in listed]
    names = [f"{thing.__module__}.{thing.__qualname__}" for thing in objects]
    assert sorted(names) == sorted(OBJECTS)


@pytest.mark.parametrize("page", API_PAGES, ids=lambda page: page.stem)
def test_api_pages_name_public_paths(page):
    for module, name in listed_on(page):
        assert not any(part.startswith("_") for part in module.split("."))
        assert name in getattr(import_module(module), "__all__", [name])


def test_every_api_page_is_in_the_index():
    index = next(page for page in API_PAGES if page.stem == "index").read_text(encoding="utf-8")
    others = {page.stem for page in API_PAGES} - {"index"}
    assert others == set(re.findall(r"^   (\w+)$", index, flags=re.MULTILINE))
