"""Tables, conclusions and the picture of peers.py, all from its results file."""

# SPDX-License-Identifier: BSD-3-Clause

import itertools

import numpy as np
import pandas as pd

COLUMNS = {
    "fid": "FID",
    "fid_codes": "FID to decoded codes",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "novelty": "novelty",
    "copied": "copied",
    "time_ratio": "time to fit",
    "speed_ratio": "images per second",
    "mega_macs_per_image": "million MACs",
}
# Okabe and Ito's colors, which people with any color vision tell apart; shapes say the same.
STYLES = {
    "latentgen": ("#0072B2", "o"),
    "pythae": ("#D55E00", "s"),
    "scikit-learn": ("#CC79A7", "^"),
    "imbalanced-learn": ("#000000", "D"),
    "diffusers": ("#009E73", "v"),
    "torchcfm": ("#E69F00", "P"),
}
NUMBERS = [key for key in COLUMNS if key != "time_ratio"] + ["fid_few", "fid_choose", "fit_seconds"]


def read(path):
    """Rows, with the time to fit in that of our pipeline of the same codes, epochs and seed."""
    rows = pd.read_csv(path, keep_default_na=False)
    for key in NUMBERS:
        if key in rows:
            rows[key] = pd.to_numeric(rows[key])
    ours = rows[(rows["library"] == "latentgen") & (rows["sampler"] == "LocalGaussian")]
    seconds = ours.set_index(["latent_dim", "epochs", "seed"])["fit_seconds"]

    def unit(row):
        key = (row["latent_dim"], row["epochs"], row["seed"])
        # Those without codes or epochs are compared with the pipeline that set the U-Nets' time.
        longest = max((key for key in seconds.index if key[0] == "64"), key=lambda key: key[1])
        return seconds.get(key, seconds[longest])

    return rows.assign(time_ratio=[row["fit_seconds"] / unit(row) for _, row in rows.iterrows()])


def pair_rows(rows):
    """The autoencoders, as (latent_dim, epochs) and its rows."""
    coded = rows[rows["library"].isin(["latentgen", "pythae"])]
    return coded.groupby(["epochs", "latent_dim"], sort=True)


def name_of(row):
    """Short name of a row."""
    if row["library"] == "real":
        return "real training images"
    if row["library"] == "latentgen":
        return f"latentgen, {row['sampler']}"
    if row["library"] == "imbalanced-learn":
        return "SMOTE, pixels"
    if row["library"] == "scikit-learn":
        return f"PCA {row['latent_dim']} + {row['sampler']}, pixels"
    if row["library"] == "pythae":
        return f"pythae {row['model']} + {row['sampler']}"
    kind = "DDPM" if row["library"] == "diffusers" else "flow matching"
    return f"{kind} {row['model']}, {row['sampler']}"


def short(value):
    if pd.isna(value):
        return ""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def mean_and_range(values):
    values = values.dropna()
    if not len(values):
        return ""
    text = short(values.mean())
    return f"{text} ({short(values.min())} to {short(values.max())})" if len(values) > 1 else text


def conclusions(rows):
    """Sentences for each setting; the better one is always named first."""
    lines = []
    for (epochs, latent_dim), group in pair_rows(rows):
        for seed, same in group.groupby("seed"):
            ours = same[same["library"] == "latentgen"].set_index("sampler").loc["LocalGaussian"]
            theirs = same[same["library"] == "pythae"]
            if not len(theirs):
                continue
            parts = []
            for key, title in (("fid", "FID"), ("fid_codes", "FID to decoded codes")):
                best = theirs.loc[theirs[key].idxmin()]
                found = [(ours[key], "latentgen"), (best[key], name_of(best))]
                (low, first), (high, second) = sorted(found)
                n_ahead = int((theirs[key] > ours[key]).sum())
                parts.append(
                    f"{title}: {first} {short(low)}, {second} {short(high)}"
                    f" ({n_ahead} of {len(theirs)} combinations of pythae are behind latentgen)"
                )
            n_quicker = int((theirs["time_ratio"] < 1).sum())
            quickest = short(theirs["time_ratio"].min())
            parts.append(
                f"{n_quicker} of {len(theirs)} are fitted in less time than latentgen, "
                f"the quickest in {quickest} times its time"
            )
            lines.append(
                f"- {latent_dim} values, {epochs} epochs, seed {seed}. " + "; ".join(parts) + "."
            )
    return lines


def table(rows, columns):
    """Markdown with the mean over seeds, and the range."""
    columns = {key: title for key, title in columns.items() if key in rows}
    lines = [
        "| | seeds | " + " | ".join(columns.values()) + " |",
        "|---" * (len(columns) + 2) + "|",
    ]
    groups = rows.assign(name=[name_of(row) for _, row in rows.iterrows()]).groupby("name")
    order = sorted(groups, key=lambda pair: pair[1][next(iter(columns))].mean())
    for name, group in order:
        cells = [mean_and_range(group[key]) for key in columns]
        lines.append(f"| {name} | {group['seed'].nunique()} | " + " | ".join(cells) + " |")
    return lines


def write(rows, path):
    """Markdown with everything."""
    about = rows.iloc[-1]
    lines = ["### Who is ahead", "", *conclusions(rows), ""]
    for (epochs, latent_dim), group in pair_rows(rows):
        lines += [f"### {latent_dim} values, {epochs} epochs", "", *table(group, COLUMNS), ""]
    few = {"fid_few": "FID", **{key: COLUMNS[key] for key in COLUMNS if not key.startswith("fid")}}
    others = rows[rows["library"].isin(["diffusers", "torchcfm"])]
    if len(others):
        unit = rows[
            (rows["library"] == "latentgen")
            & (rows["latent_dim"] == "64")
            & (rows["epochs"] == "20")
            & (rows["seed"].astype(str) == "0")
        ]
        lines += ["### U-Nets on pixels", "", *table(pd.concat([unit, others]), few), ""]
    pixels = rows[rows["model"].isin(["pixels", "images"])]
    if len(pixels):
        lines += ["### Densities of pixels", "", *table(pixels, COLUMNS), ""]
    lines += [
        f"{about['n_fit']} images to fit, {about['n_real']} test images, extractor: "
        f"{about['extractor']}. Python {about['python']}, {about['versions']}; {about['machine']}.",
    ]
    path.write_text("\n".join(lines) + "\n")


def spread(values, gap):
    """Values moved apart to at least a gap, in their order."""
    order = np.argsort(values)
    out = np.asarray(values, dtype=float).copy()
    for _ in range(1000):
        for low, high in itertools.pairwise(order):
            lack = gap - (out[high] - out[low])
            if lack > 0:
                out[low] -= lack / 2
                out[high] += lack / 2
    return out


def plot(rows, path):
    """FID over speed, and over novelty, with a name for both points of a row."""
    import matplotlib.pyplot as plt

    coded = rows[rows["library"].isin(["latentgen", "pythae"])]
    epochs = max(coded["epochs"], key=int)
    coded = coded[(coded["epochs"] == epochs) & (coded["latent_dim"] == "64")]
    others = rows[~rows["library"].isin(["latentgen", "pythae", "real"])]
    shown = pd.concat([coded, others])
    shown = shown[(shown["seed"].astype(str) == "0") & shown["images_per_second"].notna()]
    figure, axes = plt.subplots(
        1,
        2,
        sharey=True,
        figsize=(11, 7),
        gridspec_kw={"wspace": 0.05, "right": 0.66, "left": 0.07},
    )
    heights = np.log10(shown["fid_few"].to_numpy())
    places = spread(heights, (heights.max() - heights.min()) / len(shown) * 1.02)
    for (_, row), place in zip(shown.iterrows(), places, strict=True):
        color, marker = STYLES[row["library"]]
        style = {"color": color, "marker": marker, "s": 40, "zorder": 3}
        axes[0].scatter(row["images_per_second"], row["fid_few"], **style)
        axes[1].scatter(row["novelty"], row["fid_few"], **style)
        axes[1].annotate(
            name_of(row),
            (row["novelty"], row["fid_few"]),
            xytext=(1.08, 10**place),
            textcoords=axes[1].get_yaxis_transform(),
            color=color,
            fontsize=8,
            va="center",
            arrowprops={"arrowstyle": "-", "color": color, "lw": 0.4, "alpha": 0.6},
        )
    axes[0].set(
        xscale="log",
        yscale="log",
        xlabel="images per second of processor time (right is faster)",
        ylabel=f"FID of {shown['n_generated'].min()} images (down is better)",
    )
    axes[1].set(xlabel="novelty in pixels (0 copies, 1 unseen images)")
    axes[1].axvline(1, color="gray", lw=0.8, ls=":")
    for axis in axes:
        axis.grid(True, which="major", color="0.9")
        axis.set_axisbelow(True)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)
