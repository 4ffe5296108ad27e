"""Numbers and tables of the documents, against the rows that they come from."""

# SPDX-License-Identifier: BSD-3-Clause

import ast
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("The benchmarks are not part of an installed package.", allow_module_level=True)
sys.path.append(str(BENCHMARKS))

import _conclusions  # noqa: E402
import _findings  # noqa: E402
import _record  # noqa: E402
import _rows  # noqa: E402
import make_tables  # noqa: E402

# Not typed by hand: code, links, tables and numbers that are made from rows.
NOT_PROSE = re.compile(r"```.*?```|`[^`]*`|\]\([^)]*\)", re.DOTALL)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A folder of results in place of the committed one."""
    monkeypatch.setattr(_rows, "RESULTS", tmp_path)
    return tmp_path


def write(folder, name, rows):
    pd.DataFrame(rows).assign(date="2026-11-22").to_csv(folder / f"{name}.csv", index=False)


@pytest.mark.parametrize("name", make_tables.DOCUMENTS)
def test_documents_are_as_new_as_the_rows(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert make_tables.fill(text) == text, "Run: python benchmarks/make_tables.py"


@pytest.mark.parametrize(
    ("name", "part"),
    [("docs/benchmarks.md", ""), ("README.md", "## Quality and novelty\n(.*?)\n## ")],
)
def test_every_measured_number_in_prose_has_a_mark(name, part):
    text = (ROOT / name).read_text(encoding="utf-8")
    text = re.search(part, text, re.DOTALL)[1] if part else text
    for made in (make_tables.TABLE, make_tables.NUMBER, NOT_PROSE):
        text = made.sub("", text)
    assert re.findall(r"\d+\.\d+|\d+ %", text) == []


def test_no_row_names_a_folder_of_a_machine():
    folder = re.compile(r"(?:^|[\s'\"=,])(?:/|~/|[A-Za-z]:\\)\w")
    assert folder.search("--cache /models") and not folder.search("images/s, 3 / 4")
    for path in sorted((BENCHMARKS / "results").glob("*.*")):
        assert not folder.search(path.read_text(encoding="utf-8")), path.name


def test_command_of_a_row_leaves_folders_out(monkeypatch):
    typed = ["/a/headline.py", "--cache", "/b", "--settings", "leaf 5", "--results=/c", "--smoke"]
    monkeypatch.setattr(sys, "argv", typed)
    command = "python benchmarks/headline.py --settings 'leaf 5' --smoke"
    assert _record.typed_command() == command


def test_number_is_the_mean_over_seeds_of_means_over_draws(results):
    rows = [("a", 0, 1.0), ("a", 0, 3.0), ("a", 1, 5.0), ("b", 0, 9.0)]
    write(results, "tstr", [{"setting": s, "seed": seed, "fid": v} for s, seed, v in rows])
    text = "FID is 7.7<!-- tstr | setting=a | fid:.1f --> here."
    assert make_tables.fill(text) == "FID is 3.5<!-- tstr | setting=a | fid:.1f --> here."


def test_number_in_percent(results):
    write(results, "tstr", [{"setting": "a", "seed": 0, "tstr": 0.9871}])
    text = "TSTR is 0 %<!-- tstr | tstr:.1% -->."
    assert make_tables.fill(text) == "TSTR is 98.7 %<!-- tstr | tstr:.1% -->."


def test_number_without_rows_is_an_error(results):
    with pytest.raises(_rows.NotRun, match=r"tstr\.csv"):
        make_tables.fill("3<!-- tstr | fid -->")


def test_table_without_rows_says_not_run(results):
    text = "<!-- table: generation -->\nold\n<!-- end -->"
    assert "Not run (generation.csv)." in make_tables.fill(text)
    assert "generation" in make_tables.not_run()


def test_finding_without_rows_has_no_number(results):
    lines = _findings.findings().splitlines()[4:]
    assert len(lines) == len(_findings.FINDINGS)
    assert all(line.endswith("|") and "| not run (" in line for line in lines)


@pytest.mark.parametrize(
    ("better", "word"),
    [
        ([1.0, 1.2, 1.1], "confirmed"),
        ([3.0, 3.2, 3.1], "refuted"),
        ([1.0, 3.2, 2.2], "not resolvable"),
    ],
)
def test_verdict_follows_the_interval_of_the_paired_difference(results, better, word):
    rows = [
        {"setting": f"AE + epanechnikov{leaf}", "latent_dim": 64, "seed": seed, "fid": value}
        for leaf, values in {", leaf 5": better, "": [2.0, 2.1, 2.2]}.items()
        for seed, value in enumerate(values)
    ]
    write(results, "generation", rows)
    assert _findings.leaf_at_64()[1] == word


@pytest.mark.parametrize(
    ("normal", "words"),
    [(20.0, "is not needed"), (5.0, "lowers FID"), (8.0, "no difference")],
)
def test_conclusion_about_a_kl_term_follows_from_the_rows(results, normal, words):
    model = {"data": "mnist", "latent_dim": 64, "seed": 0, "n_fit": 9}
    names = {"AE + epanechnikov, leaf 5": 8.0, "VAE + epanechnikov, leaf 5": 99.0}
    names["VAE + N(0, I)"] = normal
    rows = [model | {"setting": name, "fid": fid} for name, fid in names.items()]
    write(results, "generation", rows)
    assert words in _conclusions.variational() and "have 8, 1 seed" in _conclusions.variational()


@pytest.mark.parametrize(
    ("generated", "word"),
    [
        ([0.98], "not resolvable"),
        ([0.98, 0.9812, 0.979], "confirmed"),
        ([0.97, 0.9712, 0.969], "refuted"),
        ([0.97, 0.99, 0.98], "not resolvable"),
    ],
)
def test_nearly_as_well_takes_an_interval(results, generated, word):
    rows = [
        {"setting": setting, "seed": seed, "tstr": value, "n_generated": 10_000, "data": "mnist"}
        for setting, values in {
            "real": [0.981, 0.982, 0.980],
            "FastHVRT per class": generated,
        }.items()
        for seed, value in enumerate(values)
    ]
    write(results, "tstr", rows)
    assert _findings.tstr_gap()[1] == word


@pytest.mark.parametrize(("value", "claim"), [(1.0, True), (1.5, None), (4.0, False)])
def test_single_seed_needs_a_clear_ratio(value, claim):
    one, other = (pd.DataFrame({"seed": [0], "fid": [fid]}) for fid in (value, 2.0))
    assert _findings.lower(one, other, "fid") is claim


def test_conclusion_passes_over_samplers_whose_images_are_not_new(results):
    rows = [
        {"setting": setting, "fid_codes": fid, "fid": fid, "novelty": novelty}
        for setting, fid, novelty in [
            ("perfect sampler", 2.5, 1.0),
            ("a copier", 1.0, 0.1),
            ("a good one", 4.0, 0.95),
            ("a bad one", 9.0, 0.95),
        ]
    ]
    write(results, "samplers", [r | {"data": "mnist", "latent_dim": 64, "seed": 0} for r in rows])
    assert "`a good one` is nearest to decoded unseen codes" in _conclusions.conclusions()


def test_references_have_targets():
    pages = {path: path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md")}
    rst = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.rst")]
    source = [path.read_text(encoding="utf-8") for path in (ROOT / "latentgen").rglob("*.py")]
    targets = set(re.findall(r"^\(([\w-]+)\)=$", "\n".join(pages.values()), re.MULTILINE))
    targets |= set(re.findall(r"^\.\. _([\w-]+):$", "\n".join(rst), re.MULTILINE))
    named = {(name, path.name) for path, text in pages.items()
             for name in re.findall(r"{ref}`(?:[^`<]*<)?([\w-]+)>?`", text)}  # fmt: skip
    named |= {(name, "docstring") for text in (*source, *rst)
              for name in re.findall(r":ref:`(?:[^`<]*<)?([\w-]+)>?`", text)}  # fmt: skip
    assert len(named) > 20
    # Of the tables of contents that Sphinx makes itself.
    assert {one for one in named if one[0] not in targets | {"genindex", "search"}} == set()


def test_calls_of_the_page_are_valid():
    text = (ROOT / "docs/coming_from_hvrt_diffuser.md").read_text(encoding="utf-8")
    calls = re.findall(r"\| `([^`]*\))`[^|]*\|$", text, re.MULTILINE)
    assert len(calls) > 8
    for call in calls:
        ast.parse(call)
