"""How Sphinx builds the documentation: ``sphinx-build -W -b html docs docs/_build/html``."""

# SPDX-License-Identifier: BSD-3-Clause

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

from sphinx_gallery.sorting import ExplicitOrder

import latentgen
from latentgen.cli._parser import COMMANDS
from latentgen.metrics._measures import MEASURES

project = "latentgen"
author = "The latentgen developers"
copyright = "2026, the latentgen developers"
release = version = latentgen.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "**/README.md"]
templates_path = ["_templates"]
default_role = "py:obj"

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
# The template lists the methods, so numpydoc need not do it again.
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = f"latentgen {version}"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "doc_module": "latentgen",
    "backreferences_dir": "api/generated/examples",
    # The user's path, not the alphabet.
    "within_subsection_order": ExplicitOrder(
        [
            "plot_first_images.py",
            "plot_grid_search.py",
            "plot_choose_sampler.py",
            "plot_balance_classes.py",
            "plot_latent_space.py",
            "*",
        ]
    ),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "plot_gallery": "True",
    "show_memory": False,
}

# sphinx-gallery's settings hold an object, which Sphinx cannot keep in its cache and says so.
suppress_warnings = ["config.cache"]
warnings.filterwarnings("ignore", message="Matplotlib is currently using agg")


def write_command_help(app):
    """Keep the page of the command line equal to the table of commands and to ``--help``."""
    lines = []
    for command in ["", *(row.name for row in COMMANDS)]:
        run = subprocess.run(
            [sys.executable, "-m", "latentgen", *command.split(), "--help"],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"COLUMNS": "96"},
        )
        title = f"latentgen {command}".strip()
        lines += [title, "-" * len(title), "", ".. code-block:: text", ""]
        lines += [f"   {line}" for line in run.stdout.splitlines()] + [""]
    write_generated(app, "commands.txt", lines)


def write_measures(app):
    """Keep the page of the metrics equal to the table of measures."""
    better = {True: "greater", False: "lower", None: "neither"}
    lines = [".. list-table::", "   :header-rows: 1", ""]
    rows = [("heading", "in reports", "as a score", "better", "needs")]
    for row in MEASURES:
        score = f"``{row.score_name}``" if row.scored else ""
        needs = ", ".join(sorted(row.needs))
        rows.append((row.heading, f"``{row.key}``", score, better[row.greater_is_better], needs))
    for row in rows:
        bullets = ["* -", *["  -"] * (len(row) - 1)]
        lines += [f"   {b} {cell}".rstrip() for b, cell in zip(bullets, row, strict=True)]
    write_generated(app, "measures.txt", lines)


def write_generated(app, name, lines):
    folder = Path(app.srcdir, "api", "generated")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n")


def quote_fitted_names(app, what, name, obj, options, lines):
    """Keep the underscore in ``shape (n_features_in_,)`` from being read as a link."""
    for i, line in enumerate(lines):
        name, found, shape = line.partition(" of shape (")
        lines[i] = (
            name + found + (re.sub(r"\b([a-z]\w*_)(?=[,)])", r"``\1``", shape) if found else "")
        )


def setup(app):
    # Before numpydoc, which takes types for prose.
    app.connect("autodoc-process-docstring", quote_fitted_names, priority=100)
    app.connect("builder-inited", write_command_help)
    app.connect("builder-inited", write_measures)
