"""Fill the marked places of the documents with numbers and tables made from ``results/*.csv``.

Two marks, both comments that no reader sees:

* A number in front of ``<!-- FILE | COLUMN=VALUE | ... | COLUMN -->`` is the mean, over seeds, of
  that column in the rows of ``results/FILE.csv`` that have these values. A format may follow the
  column after a colon, as in ``| fid:.1f``; ``.3g`` is usual.
* What stands between ``<!-- table: NAME -->`` and ``<!-- end -->`` is made by the function or the
  row of `TABLES` of that name. A table whose rows are missing says so.

Run it after every benchmark; a test fails where a document and the rows differ. ``--check`` only
says which documents would change.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import os
import re
import sys
from functools import partial
from pathlib import Path

import _peers_report
import numpy as np
import pandas as pd
from _conclusions import conclusions, readme
from _findings import findings, markdown, published_tables
from _rows import NotRun, mean, read, select

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    "README.md",
    "docs/benchmarks.md",
    "docs/coming_from_hvrt_diffuser.md",
    "docs/design.md",
    "docs/peers.md",
)
NUMBER = re.compile(r"([-+]?\d[\d.]*)( ?%)?<!-- ([^>|]+?)((?: \| [^>|]+?)+) -->")
TABLE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)

# Measures of the experiments in the order of their columns; those without values are left out.
MEASURES = {
    "test_mse": "test MSE",
    "kl": "KL (nats)",
    "active_units": "active units",
    "fid": "FID",
    "fid_codes": "FID of codes",
    "fid_imagenet": "FID, ImageNet",
    "fid_codes_imagenet": "FID of codes, ImageNet",
    "inception_score": "IS",
    "inception_score_imagenet": "IS, ImageNet",
    "latent_ks": "latent KS",
    "coverage": "coverage",
    "novelty": "novelty",
    "near_copies": "copied",
    "data_copying": "C_T",
    "tstr": "TSTR",
}
SETTING = ["setting", "latent_dim", "beta", "epochs", "n_generated"]
# File, what splits it into tables, what names a row, the columns with their titles, and perhaps
# conditions of the rows shown and a column to sort by.
TABLES = {
    name: (name, ["data", "n_fit"], SETTING, MEASURES)
    for name in (
        "headline_before",
        "headline_half",
        "headline_choose",
        "generation",
        "tstr",
        "sweep_strategy",
        "sweep_beta",
        "sweep_latent_dim",
        "sweep_ensemble",
        "sweep_tree",
        "conditional",
        "ensemble",
    )
}
TABLES["samplers"] = (
    *("samplers", ["data", "n_fit", "latent_dim"], SETTING, MEASURES, {}, "fid_codes"),
)
TABLES |= {
    "hvrt_dials": (
        "hvrt_dials",
        ["data", "n_fit"],
        [*SETTING, "license"],
        {
            "fid": "FID",
            "fid_codes": "FID of codes",
            "latent_ks": "latent KS",
            "coverage": "coverage",
            "coverage_codes": "coverage of codes",
            "novelty": "novelty",
            "near_copies": "copied",
            "sampler_fit_seconds": "seconds of fit",
        },
    ),
    "peers": (
        "peers",
        ["latent_dim", "epochs"],
        ["library", "model", "sampler"],
        {
            "fid": "FID",
            "fid_codes": "FID of codes",
            "coverage": "coverage",
            "novelty": "novelty",
            "speed_ratio": "images per second over ours",
            "mega_macs_per_image": "million multiply-adds",
        },
    ),
    "added_images": (
        "added_images",
        ["data"],
        ["images_per_class", "training", "sampler"],
        {"accuracy": "accuracy"},
    ),
    "recipe": (
        "recipe",
        ["space"],
        ["epochs", "setting"],
        {
            "mse": "squared error",
            "fid_reconstructions": "FID of reconstructions",
            "fid_samples": "FID of samples",
            "fid_codes": "FID of codes",
            "coverage": "coverage",
            "novelty": "novelty",
        },
        {
            "setting": re.compile(
                r"real images|.* 0\.004 loss=bce|.* 0\.0[24] loss=mae_bce"
            ).fullmatch
        },
    ),
    "partitions": (
        "partitions",
        [],
        ["kernel", "partition", "bandwidth"],
        {"fid": "FID", "novelty": "novelty of codes", "cut_cpu_s": "seconds of cutting"},
    ),
    "regularizers": (
        "regularizers",
        [],
        ["model", "sampler", "standardized"],
        {
            "test_mse": "test MSE",
            "linear_probe": "linear probe",
            "sensitivity": "sensitivity",
            "fid": "FID",
            "novelty": "novelty of codes",
        },
    ),
    "throughput": (
        "throughput",
        ["device"],
        ["benchmark", "n"],
        {"speed_ratio": "times as fast", "growth_mb": "MB", "bar": "bar"},
    ),
    "sampler_scaling": (
        "sampler_scaling",
        ["part"],
        ["sampler", "n"],
        {
            "times_as_fast_as_hvrt": "times as fast as hvrt",
            "fit_slope": "slope of fit",
            "draw_slope": "slope of draw",
            "fit_mb": "MB of fit",
        },
    ),
    "sweep_cost": (
        "sweep_cost",
        [],
        ["n_fits", "n_images"],
        {
            "with_memory_ratio": "with memory",
            "again_with_memory_ratio": "again",
            "without_memory_ratio": "without memory",
        },
    ),
    "published_claims": (
        "published_claims",
        ["part", "latent_dim"],
        ["sampler", "axis", "value"],
        {
            "n_partitions": "partitions",
            "latent_ks": "latent KS",
            "largest_difference": "largest difference",
            "fid": "FID",
            "novelty": "novelty",
            "slope": "slope of fit",
            "times_as_long": "times as long",
        },
    ),
}
# Experiments whose rows the page waits for.
EXPECTED = list(TABLES)


def grouped_table(name, split, keys, columns, conditions=None, sort=None):
    """Every setting with mean and range over its seeds."""
    rows = select(read(name), **(conditions or {}))
    columns = {key: title for key, title in columns.items() if key in rows}
    split = [key for key in split if key in rows]
    parts = []
    groups = rows.groupby(split, sort=False, dropna=False) if split else [((), rows)]
    for values, group in groups:
        there = [key for key in keys if key in group and group[key].notna().any()]
        shown = [key for key in columns if group[key].notna().any()]
        head = [*there, "seeds", *(columns[key] for key in shown)]
        lines, order = [], []
        for names, same in group.groupby(there, sort=False, dropna=False):
            by_seed = same.groupby("seed")[shown].mean() if "seed" in same else same[shown]
            cells = [
                _cell(by_seed[key], ".2%" if key in ("tstr", "accuracy") else ".3g")
                for key in shown
            ]
            lines.append([*map(_short, names), str(len(by_seed)), *cells])
            order.append(by_seed[sort].mean() if sort else 0)
        lines = [lines[i] for i in np.argsort(order, kind="stable")]
        title = ", ".join(
            value if isinstance(value, str) else f"{key.replace('_', ' ')} {_short(value)}"
            for key, value in zip(split, values, strict=True)
        )
        parts.append(f"{title}:\n\n{markdown(head, lines)}" if title else markdown(head, lines))
    return "\n\n".join([*parts, _about(rows)])


def _cell(values, form):
    values = values.dropna()
    if values.empty:
        return ""
    if values.max() >= 1000:
        form = ",.0f"
    if len(values) == 1 or values.min() == values.max():
        return format(values.mean(), form)
    return f"{values.mean():{form}} ({values.min():{form}} to {values.max():{form}})"


def _short(value):
    if isinstance(value, str):
        return value
    return "" if pd.isna(value) else f"{value:.12g}"


def _about(rows):
    """Which features, versions and machines the rows come from."""
    names = ("extractor", "extractor_imagenet", "python", "versions", "machine")
    said = [
        " and ".join(str(one) for one in rows[name].dropna().unique()[:3])
        for name in names
        if name in rows and rows[name].notna().any()
    ]
    dates = f"{rows['date'].min()} to {rows['date'].max()}"
    return f"Mean over seeds, range in brackets. {'; '.join(said)}; {dates}."


def not_run():
    """The experiments without rows."""
    missing = []
    for name in EXPECTED:
        try:
            read(TABLES[name][0])
        except NotRun:
            missing.append(name.replace("_", " "))
    return f"Not run: {', '.join(missing)}." if missing else "All experiments have rows."


MADE = {name: partial(grouped_table, *table) for name, table in TABLES.items()}
MADE |= {made.__name__: made for made in (conclusions, readme, findings, published_tables, not_run)}
MADE["peers_ahead"] = lambda: _peers_report.conclusions(read("peers"))


def number(query, conditions):
    """The number of a mark, as text."""
    *where, column = (part.strip() for part in conditions.split(" | ") if part.strip())
    column, _, form = column.partition(":")
    rows = read(query.strip())
    if where:
        rows = select(rows, **dict(condition.split("=", 1) for condition in where))
    return format(mean(rows, column).value, form or ".3g")


def _number(match):
    text = number(match[3], match[4])
    percent = "" if text.endswith("%") else match[2] or ""
    text = text.replace("%", " %")
    return f"{text}{percent}<!-- {match[3]}{match[4]} -->"


def _table(match):
    try:
        made = MADE[match[2]]()
    except NotRun as error:
        made = f"Not run ({error})."
    made = re.sub(r"(\d)%", r"\1 %", made)
    return f"{match[1]}\n{made}\n\n{match[3]}"


def fill(text):
    """Text of a document with all marked places made anew."""
    return TABLE.sub(_table, NUMBER.sub(_number, text))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail if it would")
    arguments = parser.parse_args()
    old = []
    for name in DOCUMENTS:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        filled = fill(text)
        if filled == text:
            continue
        old.append(name)
        if not arguments.check:
            draft = path.with_name(f"{path.name}.part")
            draft.write_text(filled, encoding="utf-8")
            os.replace(draft, path)
    print(f"{'Older than the rows' if arguments.check else 'Filled'}: {', '.join(old) or 'none'}.")
    sys.exit(bool(old) and arguments.check)


if __name__ == "__main__":
    main()
