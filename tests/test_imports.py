"""Who may import whom, what is optional, and what an import costs."""

# SPDX-License-Identifier: BSD-3-Clause

import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

import latentgen

PACKAGE = Path(latentgen.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

# Part of the package: the parts that it may import, itself included. None stands for all.
ALLOWED = {
    "__init__": {"_version"},
    "_version": set(),
    "exceptions": set(),
    "utils": {"utils", "exceptions"},
    "networks": {"networks"},
    "base": {"base", "exceptions", "utils"},
    "training": {"training", "exceptions", "utils", "networks"},
    "preprocessing": {"preprocessing", "exceptions", "utils", "networks"},
    "autoencoders": {
        "autoencoders",
        "base",
        "exceptions",
        "utils",
        "networks",
        "training",
        "preprocessing",
    },
    "samplers": {
        "samplers",
        "base",
        "exceptions",
        "utils",
        "networks",
        "training",
        "preprocessing",
    },
    "metrics": {"_version", "metrics", "exceptions", "utils", "networks", "training"},
    "datasets": {"datasets", "exceptions", "utils"},
    "pipeline": {"base", "exceptions", "utils"},
    "persistence": {"_version", "exceptions", "utils"},
    "model_selection": {"base", "exceptions", "utils", "metrics"},
    "inspection": {"inspection", "base", "exceptions", "utils", "metrics", "model_selection"},
    "experiments": {
        "experiments",
        "autoencoders",
        "datasets",
        "exceptions",
        "metrics",
        "model_selection",
        "persistence",
        "pipeline",
        "samplers",
        "utils",
    },
    "cli": None,
    "__main__": {"cli"},
}
# make_latent_pipeline fills in these two, when it is called.
INSIDE_FUNCTIONS = {"pipeline": {"autoencoders", "samplers"}}
# Third-party packages beside numpy, scipy, scikit-learn and joblib, part by part.
THIRD_PARTY = {
    "networks": {"torch"},
    "training": {"torch", "skorch"},
    "preprocessing": {"torch"},
    "autoencoders": {"torch"},
    "samplers": {"torch"},
    "metrics": {"torch"},
    "persistence": {"torch"},
    "experiments": {"torch"},
    "cli": {"threadpoolctl"},
}
ALWAYS = {"numpy", "scipy", "sklearn", "joblib"}
OPTIONAL = {"matplotlib", "PIL", "safetensors", "skops", "pandas", "zuko", "dask"}


def imports_of(source):
    """(module, whether the import is at the top level) of each import in a file's source."""
    tree = ast.parse(source)
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        on_top = id(node) not in inner
        if isinstance(node, ast.Import):
            found += [(alias.name, on_top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module == "latentgen":
                found += [(f"latentgen.{alias.name}", on_top) for alias in node.names]
            else:
                found.append((module, on_top))
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "id", getattr(node.func, "attr", None))
            if name in ("import_optional", "import_module", "__import__"):
                found.append((str(node.args[0].value), on_top))
    return found


def violations(file, source):
    """What is wrong with the imports of a file, one line each."""
    part = file.removesuffix(".py").split("/")[0]
    wrong = []
    if part not in ALLOWED:
        return [f"{file}: add '{part}' to the table in tests/test_imports.py"]
    allowed, third_party = ALLOWED[part], ALWAYS | THIRD_PARTY.get(part, set())
    for module, on_top in imports_of(source):
        root, *rest = module.split(".")
        if not root:
            wrong.append(f"{file}: '{module}' is relative")
        elif root == "latentgen":
            target = rest[0] if rest else "__init__"
            if allowed is None or target in allowed:
                continue
            if on_top or target not in INSIDE_FUNCTIONS.get(part, ()):
                wrong.append(f"{file}: {part} must not import {target}")
        elif root == "hvrt":
            if file != "samplers/_fast_hvrt.py" or on_top:
                wrong.append(f"{file}: hvrt belongs into a function of samplers/_fast_hvrt.py")
        elif root in OPTIONAL:
            if on_top:
                wrong.append(f"{file}: {root} is optional, import it where it is needed")
        elif root not in sys.stdlib_module_names | third_party:
            wrong.append(f"{file}: {part} must not import {root}")
        elif part == "networks" and root in ALWAYS:
            wrong.append(f"{file}: networks imports torch and nothing else")
    return wrong


@pytest.mark.parametrize("file", FILES)
def test_imports_keep_to_the_table(file):
    assert violations(file, (PACKAGE / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "file, source, message",
    [
        ("autoencoders/_a.py", "from latentgen.samplers import X", "must not import samplers"),
        ("samplers/_a.py", "from latentgen import autoencoders", "must not import autoencoders"),
        ("samplers/_a.py", "import latentgen", "must not import __init__"),
        ("metrics/_a.py", "import latentgen.pipeline as p", "must not import pipeline"),
        ("metrics/_a.py", "def f():\n from latentgen.base import X", "must not import base"),
        ("networks/_a.py", "import numpy as np", "imports torch and nothing else"),
        ("utils/_a.py", "from latentgen.base import X", "must not import base"),
        ("training/_a.py", "from latentgen.autoencoders import X", "must not import autoencoders"),
        ("training/_a.py", "from latentgen.base import X", "must not import base"),
        ("preprocessing/_a.py", "from latentgen.samplers import X", "must not import samplers"),
        ("metrics/_a.py", "from latentgen.preprocessing import X", "must not import preproc"),
        ("model_selection.py", "from latentgen.samplers import X", "must not import samplers"),
        ("experiments/_a.py", "from latentgen.cli import main", "must not import cli"),
        ("pipeline.py", "from latentgen.experiments import X", "must not import experiments"),
        ("exceptions.py", "from latentgen.utils import x", "must not import utils"),
        ("base.py", "import torch", "must not import torch"),
        ("utils/_a.py", "from . import _images", "is relative"),
        ("pipeline.py", "from latentgen.samplers import X", "must not import samplers"),
        ("samplers/_fast_hvrt.py", "from hvrt import FastHVRT", "into a function"),
        ("samplers/_meta.py", "def f():\n import hvrt", "into a function"),
        ("inspection/_a.py", "import matplotlib.pyplot as plt", "is optional"),
        ("utils/_a.py", "import requests", "must not import requests"),
        ("samplers/_a.py", "import skorch", "must not import skorch"),
        ("new/_a.py", "", "add 'new' to the table"),
    ],
)
def test_a_violation_is_found(file, source, message):
    found = violations(file, source)
    assert len(found) == 1 and message in found[0]


@pytest.mark.parametrize(
    "file, source",
    [
        ("pipeline.py", "def f():\n from latentgen.samplers import X"),
        ("samplers/_fast_hvrt.py", "def f():\n from hvrt import FastHVRT"),
        ("inspection/_a.py", "def f():\n import_optional('matplotlib.pyplot', extra='plot')"),
        ("cli/_a.py", "from latentgen.autoencoders import X"),
        ("utils/_a.py", "from latentgen.exceptions import X"),
        ("samplers/_a.py", "from latentgen.training._net import X"),
        ("training/_a.py", "import torch, skorch\nfrom latentgen.networks._a import X"),
    ],
)
def test_what_is_allowed_is_no_violation(file, source):
    assert violations(file, source) == []


def test_what_is_imported_is_installed_along():
    config = configparser.ConfigParser()
    if not config.read(PACKAGE.parent / "setup.cfg"):
        pytest.skip("installed without its sources")
    lines = config["options"]["install_requires"].split()
    required = {re.match(r"[\w-]+", line)[0] for line in lines}
    imported = set().union(ALWAYS, *THIRD_PARTY.values()) - {"sklearn"}
    assert imported | {"scikit-learn", "hvrt"} == required


# ------------------------------------------------------------------ in a fresh interpreter


def run(code):
    """Run code in a fresh interpreter and give what it prints."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_import_latentgen_loads_nothing_else():
    loaded = run("import sys, latentgen; print(*{name.split('.')[0] for name in sys.modules})")
    assert "latentgen" in loaded
    assert not {"torch", "skorch", "sklearn", "scipy", "numpy", "hvrt", "matplotlib"} & {*loaded}


def test_samplers_without_a_network_load_no_torch():
    printed = run(
        "import sys\n"
        "from latentgen.samplers import ConditionalSampler, FastHVRTSampler\n"
        "from latentgen import load_model, save_model\n"
        "print('torch' in sys.modules)\n"
        "from latentgen.samplers import DiffusionSampler, NormalizingFlowSampler\n"
        "print('torch' in sys.modules)"
    )
    assert printed == ["False", "True"]


def test_hvrt_is_imported_by_fit_and_by_nothing_else():
    printed = run(
        "import sys, numpy as np\n"
        "import latentgen\n"
        "for name in latentgen.__all__: getattr(latentgen, name)\n"
        "sampler = latentgen.FastHVRTSampler()\n"
        "print('hvrt' in sys.modules, 'matplotlib' in sys.modules, 'skops' in sys.modules)\n"
        "sampler.fit(np.random.RandomState(0).rand(50, 2))\n"
        "print('hvrt' in sys.modules)"
    )
    assert printed == ["False", "False", "False", "True"]


def test_everything_but_fast_hvrt_works_without_hvrt():
    printed = run(
        "import sys; sys.modules['hvrt'] = None\n"
        "import numpy as np\n"
        "from latentgen import *\n"
        "X = np.random.RandomState(0).rand(20, 1, 8, 8)\n"
        "autoencoder = ConvAutoencoder(2, channels=(4,), max_epochs=1)\n"
        "pipeline = make_latent_pipeline(autoencoder, ConditionalSampler(GaussianSampler()))\n"
        "print(*pipeline.fit(X, np.arange(20) % 2).sample(3, y=1).shape)\n"
        "try: FastHVRTSampler().fit(X.reshape(20, 64))\n"
        "except ImportError as error: print(error)"
    )
    assert printed[:4] == ["3", "1", "8", "8"]
    assert " ".join(printed[4:]) == (
        "FastHVRTSampler needs hvrt. Install it with: pip install 'hvrt>=2.7,<2.12'."
    )


# ------------------------------------------------------------------ public names


def test_every_public_name_is_there():
    for name in latentgen.__all__:
        assert getattr(latentgen, name) is not None
    assert dir(latentgen) == sorted(latentgen.__all__)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="module 'latentgen' has no attribute 'GAN'"):
        latentgen.GAN  # noqa: B018
