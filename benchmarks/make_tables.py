"""Turn the results files into results/tables.md, which the documentation includes."""

# SPDX-License-Identifier: BSD-3-Clause

import os

import pandas as pd
from _record import RESULTS

MNIST_ORDER = ["real", "autoencoder", "vae_sum", "vae_mean"]


def mnist_core():
    """Mean and range over seeds of every model and sampler."""
    rows = pd.read_csv(RESULTS / "mnist_core.csv")
    rows["sampler"] = rows["sampler"].fillna("")
    columns = {
        "fid": "FID",
        "kid": "KID",
        "latent_ks": "latent KS",
        "novelty": "novelty",
        "near_copies": "near-copies",
        "tstr": "TSTR",
        "test_mse": "test MSE",
    }
    table = []
    for (model, sampler), group in rows.groupby(["model", "sampler"], sort=False):
        line = {"model": model, "codes": sampler, "seeds": len(group)}
        line |= {title: _mean_and_range(group[key]) for key, title in columns.items()}
        order = next(i for i, word in enumerate(MNIST_ORDER) if word in model)
        table.append(((order, group["fid"].mean()), line))
    lines = [line for _, line in sorted(table, key=lambda pair: pair[0])]
    about = rows.iloc[0]
    note = (
        f"{about['n_generated']} generated images against {about['n_real']} test images, "
        f"{about['epochs']} epochs, extractor: {about['extractor']}. Mean over seeds, with the "
        f"smallest and largest value in brackets. {_setup(about)}"
    )
    return "## MNIST (`mnist_core.py`)", lines, note


def throughput():
    rows = pd.read_csv(RESULTS / "throughput.csv")
    lines = [
        {
            "what": row["benchmark"],
            "device": row["device"],
            "n": f"{row['n']:,}",
            "ours (s)": _short(row["ours_s"]),
            "reference (s)": _short(row["reference_s"]),
            "times as fast": _short(row["speed_ratio"]),
            "MB": _short(row["growth_mb"]),
            "bar": _short(row["bar"]),
            "runs": row["repeats"],
        }
        for _, row in rows.iterrows()
    ]
    about = rows.iloc[0]
    note = f"Medians of runs that take turns. {_setup(about)}"
    return "## Speed and memory (`throughput.py`)", lines, note


def sweep_cost():
    row = pd.read_csv(RESULTS / "sweep_cost.csv").iloc[0]
    lines = [
        {
            "search": name.replace("_", " "),
            "seconds": _short(row[f"{name}_s"]),
            "ratio without scoring": _short(row[f"{name}_ratio"]),
            "ratio with scoring": _short(row[f"{name}_ratio_scored"]),
        }
        for name in ("with_memory", "again_with_memory", "without_memory")
    ]
    note = (
        f"{row['n_fits']} fits on {row['n_images']} digits. Alone, the autoencoder fits took "
        f"{_short(row['autoencoder_fits_s'])} s, the sampler fits {_short(row['sampler_fits_s'])} "
        f"s, scoring {_short(row['scoring_s'])} s. Bar: {row['bar']}. {_setup(row)}"
    )
    return "## Cost of a search (`sweep_cost.py`)", lines, note


def _mean_and_range(values):
    values = values.dropna()
    if values.empty:
        return ""
    if len(values) == 1 or values.min() == values.max():
        return _short(values.mean())
    return f"{_short(values.mean())} ({_short(values.min())} to {_short(values.max())})"


def _short(value):
    return "" if pd.isna(value) else f"{value:.4g}"


def _setup(row):
    return f"Python {row['python']}, {row['versions']}; {row['machine']}; {row['date']}."


def _markdown(title, lines, note):
    head = list(lines[0])
    table = [head, ["---"] * len(head), *([str(line[key]) for key in head] for line in lines)]
    body = "\n".join("| " + " | ".join(cells) + " |" for cells in table)
    return f"{title}\n\n{body}\n\n{note}\n"


def main():
    made = [mnist_core, throughput, sweep_cost]
    parts = [_markdown(*make()) for make in made if (RESULTS / f"{make.__name__}.csv").exists()]
    draft = RESULTS / "tables.md.part"
    draft.write_text("\n".join(parts))
    os.replace(draft, RESULTS / "tables.md")


if __name__ == "__main__":
    main()
