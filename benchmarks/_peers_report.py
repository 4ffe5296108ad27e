"""Conclusions and the picture of peers.py, made from its rows."""

# SPDX-License-Identifier: BSD-3-Clause

import itertools

import numpy as np

# Okabe and Ito's colors, which people with any color vision tell apart; shapes say the same.
STYLES = {
    "latentgen": ("#0072B2", "o"),
    "pythae": ("#D55E00", "s"),
    "scikit-learn": ("#CC79A7", "^"),
    "imbalanced-learn": ("#000000", "D"),
    "diffusers": ("#009E73", "v"),
    "torchcfm": ("#B07C00", "P"),
}
OURS = "latentgen + LocalGaussian"


def name_of(row):
    """Setting of a row, without size of codes and epochs."""
    names = {
        "real": "real images of the fit",
        "latentgen": f"latentgen + {row['sampler']}",
        "imbalanced-learn": "SMOTE of pixels",
        "scikit-learn": f"PCA + {row['sampler']} of pixels",
        "pythae": f"pythae {row['model']} + {row['sampler']}",
        "diffusers": f"DDPM, {row['model']}, {row['sampler']}",
        "torchcfm": f"flow matching, {row['model']}, {row['sampler']}",
    }
    return names[row["library"]]


def conclusions(rows):
    """Who is ahead, for codes of each size after each number of epochs; the better named first."""
    lines = []
    pairs = rows[rows["library"].isin(["latentgen", "pythae"])]
    for (epochs, latent_dim), group in pairs.groupby(["epochs", "latent_dim"]):
        ours, theirs = group[group["setting"] == OURS], group[group["library"] == "pythae"]
        # Other rates than the chosen ones have one sampler only.
        chosen = theirs.loc[theirs["sampler"] == "N(0, I)", "model"]
        theirs = theirs[theirs["model"].isin(chosen) & theirs["seed"].isin(ours["seed"])]
        if len(ours) and len(theirs):
            n_seeds = theirs["seed"].nunique()
            seeds = "1 seed" if n_seeds == 1 else f"{n_seeds} seeds"
            said = [_ahead(ours, theirs, *about) for about in ABOUTS]
            lines.append(
                f"- **{latent_dim:g} values, {epochs:g} epochs** ({seeds}). {' '.join(said)}"
            )
    slow = rows[rows["library"].isin(["diffusers", "torchcfm"])]
    unit = rows[(rows["setting"] == OURS) & (rows["latent_dim"] == 64) & (rows["epochs"] == 5)]
    for _, row in slow.iterrows():
        lines.append(
            f"- **{row['setting']}**: an image takes {1 / row['speed_ratio']:,.3g} times as long "
            f"as from our pipeline of 64 values. FID {row['fid_few']:.3g}, trained for "
            f"{row['time_ratio']:.2g} times the seconds of our 5 epochs, which have "
            f"{unit['fid_few'].mean():.3g}."
        )
    return "\n".join(lines)


# Column and its name, of numbers that are better when low.
ABOUTS = (
    ("fid", "FID"),
    ("fid_codes", "FID of codes"),
    ("time_ratio", "Time to fit in that of latentgen"),
)


def _ahead(ours, theirs, column, title):
    """Our value and the best one of pythae, means over seeds, and how many are behind ours."""
    values = theirs.groupby("setting")[column].mean()
    own = ours[column].mean()
    both = sorted([(own, OURS), (values.min(), values.idxmin())])
    said = ", ".join(f"{name} {value:.3g}" for value, name in both)
    return f"{title}: {said}; {(values > own).sum()} of {len(values)} of pythae have more."


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
    """FID over speed, and over novelty, with one name for both points of a row."""
    import matplotlib.pyplot as plt

    coded = rows["library"].isin(["latentgen", "pythae"])
    epochs = rows.loc[coded & (rows["library"] == "pythae") & (rows["latent_dim"] == 64), "epochs"]
    shown = rows[rows["images_per_second"].notna() & (rows["seed"] == 0)]
    shown = shown[~coded | ((shown["epochs"] == epochs.max()) & (shown["latent_dim"] == 64))]
    figure, axes = plt.subplots(1, 2, sharey=True, figsize=(11, 7.5))
    figure.subplots_adjust(left=0.07, right=0.64, wspace=0.05)
    heights = np.log10(shown["fid_few"].to_numpy())
    places = spread(heights, (heights.max() - heights.min()) / len(shown) * 1.02)
    for (_, row), place in zip(shown.iterrows(), places, strict=True):
        color, marker = STYLES[row["library"]]
        for axis, column in zip(axes, ("images_per_second", "novelty"), strict=True):
            axis.scatter(row[column], row["fid_few"], color=color, marker=marker, s=40, zorder=3)
        size = f" ({row['latent_dim']:g})" if row["library"] == "scikit-learn" else ""
        axes[1].annotate(
            row["setting"] + size,
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
    axes[1].set(xlabel="novelty in pixels (0 is a copy, 1 as far as unseen images)")
    axes[1].axvline(1, color="gray", lw=0.8, ls=":")
    figure.suptitle(f"MNIST, autoencoders with 64 values and {epochs.max():g} epochs", x=0.35)
    for axis in axes:
        axis.grid(True, which="major", color="0.9")
        axis.set_axisbelow(True)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)
