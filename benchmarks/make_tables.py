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


def recipe():
    """One table for each space: settings of equal length beside each other."""
    rows = pd.read_csv(RESULTS / "recipe.csv")
    columns = {
        "mse": "MSE",
        "fid_reconstructions": "FID of reconstructions",
        "fid_samples": "FID of samples",
        "fid_codes": "FID of samples to reconstructions",
        "coverage": "coverage",
        "novelty": "novelty",
    }
    tables = []
    for (space, part), group in rows.groupby(["space", "part"], sort=False):
        lines = [
            {"epochs": epochs or "", "setting": setting, "seeds": len(same)}
            | {title: _mean_and_range(same[key]) for key, title in columns.items()}
            for (epochs, setting), same in group.groupby(["epochs", "setting"])
        ]
        means = group.groupby(["epochs", "setting"])["fid_samples"].mean()
        lines.sort(
            key=lambda line: (line["epochs"] or 0, means[line["epochs"] or 0, line["setting"]])
        )
        about = group.iloc[0]
        note = (
            f"{about['n_fit']} images to fit, {about['n_generated']} generated against "
            f"{about['n_real']} of the part '{part}', extractor: {about['extractor']}."
        )
        tables.append((f"### {space}", lines, note))
    tables.insert(0, ("### Defaults of before and now", _before_and_now(rows), ""))
    note = (
        "Draws of `LocalGaussianSampler`; FID in features of a classifier of other images, "
        "coverage in the same, with 5 neighbors; novelty in pixels. Sorted by the FID of samples; "
        f"of several seeds the mean, with the range in brackets. {_setup(rows.iloc[-1])}"
    )
    return "## Recipe of the autoencoder (`recipe.py`)", tables, note


def _before_and_now(rows):
    """Old and new defaults where both were run with the same seeds."""
    lines = []
    for (space, epochs), group in rows[rows["epochs"] > 0].groupby(["space", "epochs"], sort=False):
        rate = 0.02 if space.startswith("cifar10") else 0.04
        pair = [
            group[group["setting"] == setting].set_index("seed")
            for setting in ("one_cycle 0.004 loss=bce", f"one_cycle {rate} loss=mae_bce")
        ]
        seeds = pair[0].index.intersection(pair[1].index)
        if len(seeds):
            line = {"codes": space, "epochs": epochs, "seeds": len(seeds)}
            for key, title in (
                ("fid_reconstructions", "FID of reconstructions"),
                ("fid_samples", "FID of samples"),
                ("mse", "MSE"),
                ("coverage", "coverage"),
                ("novelty", "novelty"),
            ):
                means = (_short(rows.loc[seeds, key].mean()) for rows in pair)
                line[title] = " to ".join(means)
            lines.append(line)
    return sorted(lines, key=lambda line: (line["codes"], line["epochs"]))


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


def samplers():
    """One table for each space, and one for what few images allow."""
    rows = pd.read_csv(RESULTS / "samplers.csv")
    columns = {
        "fid": "FID",
        "kid": "KID",
        "latent_ks": "latent KS",
        "novelty": "novelty",
        "near_copies": "near-copies",
    }
    times = {"fit_cpu_s": "fit (s)", "draw_cpu_s": "draw (s)"}
    titles = {
        "all": ("fitted to all codes", columns | times),
        "classes": ("one sampler per class", columns | {"tstr": "TSTR"} | times),
        "warm start": ("half of the codes by ``partial_fit``", columns | times),
        "low data": ("", columns | {"tstr": "TSTR", "real_and_new": "real and generated"}),
    }
    tables = []
    for (space, part), group in rows.groupby(["space", "part"]):
        if part == "dials":
            continue
        about, shown = titles[part.split(",")[0]]
        about = about or f"per class, from {part.split(',')[1].strip()} training images"
        shown = {key: title for key, title in shown.items() if group[key].notna().any()}
        lines = [
            {"codes": sampler, "seeds": len(same)}
            | {title: _mean_and_range(same[key]) for key, title in shown.items()}
            for sampler, same in group.groupby("sampler")
        ]
        means = group.groupby("sampler")["fid"].mean()
        lines.sort(key=lambda line: means.fillna(0)[line["codes"]])
        note = (
            f"{group['n_generated'].max():.0f} draws against {group['n_real'].iloc[0]} test "
            f"images, extractor: {group['extractor'].iloc[0]}."
        )
        tables.append((f"### {space}, {about}", lines, note))
    first = rows[rows["part"] == "all"].iloc[0]
    note = (
        "Sorted by FID; of several seeds the mean, with the smallest and largest value in "
        f"brackets. Seconds of processor time. {_setup(first)}"
    )
    return "## Samplers (`samplers.py`)", tables, note


def partitions():
    """Every way to cut, with the FID and novelty of each bandwidth."""
    rows = pd.read_csv(RESULTS / "partitions.csv")
    lines = []
    for (kernel, partition), group in rows.groupby(["kernel", "partition"], sort=False):
        line = {"kernel": kernel, "cells": partition, "cut (s)": _short(group["cut_cpu_s"].iloc[0])}
        widths = group["bandwidth"].astype(object).fillna("published")
        for width in (0.6, 0.8, 1.0, "published"):
            same = group[widths == width]
            text = f"{_short(same['fid'].mean())} at {_short(same['novelty'].mean())}"
            text = text if len(same) else ""
            line[f"bandwidth {width}" if width != "published" else "published bandwidth"] = text
        lines.append(line)
    note = (
        f"FID at novelty. {rows['n_generated'].iloc[0]} draws, {rows['seed'].nunique()} seed, "
        "seconds of processor time, for FastHVRT those of a whole fit. "
        f"Extractor: {rows['extractor'].iloc[0]}. {_setup(rows.iloc[0])}"
    )
    return "## Ways to cut codes into cells (`partitions.py`)", lines, note


def sampler_scaling():
    rows = pd.read_csv(RESULTS / "sampler_scaling.csv")
    ratio, growth = rows[rows["part"] == "ratio"], rows[rows["part"] == "growth"]
    tables = []
    if len(ratio):
        lines = [
            {
                "fit": row["sampler"],
                "seconds": _short(row["fit_s"]),
                "times as fast as hvrt": _short(row["times_as_fast_as_hvrt"]),
                "runs": row["repeats"],
            }
            for _, row in ratio.sort_values("fit_s").iterrows()
        ]
        tables.append(
            (f"### {ratio['n'].iloc[0]:,} codes, in turns with hvrt's own fit", lines, "")
        )
    lines = []
    for sampler, group in growth.groupby("sampler", sort=False):
        line = {"sampler": sampler}
        by_size = group.set_index("n")
        for n in sorted(growth["n"].unique()):
            for key, title in (("fit_s", "fit"), ("draw_s", "draw"), ("fit_mb", "MB")):
                value = by_size[key].get(n)
                line[f"{title} {n:,}"] = "" if value is None else _short(value)
        last = group.sort_values("n").iloc[-1]
        line |= {"fit slope": _short(last["fit_slope"]), "draw slope": _short(last["draw_slope"])}
        lines.append(line)
    tables.append(("### Growth: as many draws as codes, seconds and peak memory", lines, ""))
    about = rows.iloc[0]
    note = (
        f"{about['n_features']} features. Slope of log time over log rows, 1 is linear. MB: peak "
        f"of a fit above the process with the codes loaded. {_setup(about)}"
    )
    return "## Growth of samplers (`sampler_scaling.py`)", tables, note


def regularizers():
    """Every autoencoder once, and the FID of three samplers on its codes."""
    rows = pd.read_csv(RESULTS / "regularizers.csv")
    about = {
        "test_mse": "test MSE",
        "linear_probe": "linear probe",
        "high_frequency_fraction": "high frequencies",
        "equivariance_error": "equivariance error",
        "scale_error": "scale error",
        "sensitivity": "sensitivity",
    }
    models = list(dict.fromkeys(rows["model"]))
    diagnostics, quality = [], []
    for model in models:
        group = rows[rows["model"] == model]
        once = group.drop_duplicates("seed")
        if once["test_mse"].notna().any():
            shown = {title: _mean_and_range(once[key]) for key, title in about.items()}
            diagnostics.append({"autoencoder": model, "seeds": len(once)} | shown)
        # Real images have no codes to standardize.
        keys = ["sampler", "standardized"]
        for (sampler, standardized), same in group.groupby(keys, sort=False, dropna=False):
            standardized = "" if pd.isna(standardized) else standardized
            quality.append(
                {"autoencoder": model, "codes": sampler, "standardized": standardized}
                | {"FID": _mean_and_range(same["fid"]), "KID": _mean_and_range(same["kid"])}
                | {"novelty": _mean_and_range(same["novelty"]), "seeds": len(same)}
            )
    first = rows.iloc[0]
    note = (
        f"{first['n_training']} training images, {first['epochs']} epochs, {first['n_generated']} "
        f"generated images against {first['n_real']} test images, extractor: "
        f"{first['extractor']}. {_setup(first)}"
    )
    cost = [
        {"autoencoder": row["model"], "times as long as without": _short(row["times_as_long"])}
        for _, row in pd.read_csv(RESULTS / "regularizers_cost.csv").iterrows()
    ]
    tables = [
        ("### The autoencoders", diagnostics, ""),
        ("### Samplers on their codes", quality, ""),
        ("### Time of an epoch", cost, ""),
    ]
    return "## Regularizers (`regularizers.py`)", tables, note


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
    if isinstance(lines[0], tuple):
        return f"{title}\n\n{note}\n\n" + "\n".join(_markdown(*part) for part in lines)
    head = list(lines[0])
    table = [head, ["---"] * len(head), *([str(line[key]) for key in head] for line in lines)]
    body = "\n".join("| " + " | ".join(cells) + " |" for cells in table)
    return f"{title}\n\n{body}\n\n{note}\n"


def main():
    made = [
        mnist_core,
        recipe,
        samplers,
        partitions,
        sampler_scaling,
        regularizers,
        throughput,
        sweep_cost,
    ]
    parts = [_markdown(*make()) for make in made if (RESULTS / f"{make.__name__}.csv").exists()]
    draft = RESULTS / "tables.md.part"
    draft.write_text("\n".join(parts))
    os.replace(draft, RESULTS / "tables.md")


if __name__ == "__main__":
    main()
