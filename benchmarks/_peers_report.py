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
            f"{row['time_ratio']:.1f} times the seconds of our 5 epochs, which have "
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


def spread(values, low, high):
    """Values moved apart to an even gap at least, in their order, within limits."""
    gap = (high - low) / len(values)
    out = np.asarray(values, dtype=float).copy()
    order = np.argsort(out)
    for _ in range(2000):
        for one, other in itertools.pairwise(order):
            lack = gap - (out[other] - out[one])
            if lack > 0:
                out[one] -= lack / 2
                out[other] += lack / 2
        out = out.clip(low, high)
    return out


def plot(rows, path):
    """FID over speed, and over novelty, with one name for both points of a row."""
    import matplotlib.pyplot as plt

    rows = rows[rows["images_per_second"].notna() & (rows["seed"] == 0)]
    coded = rows["library"].isin(["latentgen", "pythae"])
    epochs = rows.loc[(rows["library"] == "pythae") & (rows["latent_dim"] == 64), "epochs"].max()
    shown = rows[~coded | ((rows["epochs"] == epochs) & (rows["latent_dim"] == 64))]
    figure, axes = plt.subplots(1, 2, sharey=True, figsize=(11.5, 7))
    figure.subplots_adjust(left=0.07, right=0.64, bottom=0.1, top=0.92, wspace=0.06)
    axes[0].set(
        xscale="log",
        yscale="log",
        ylim=(shown["fid_few"].min() / 1.3, shown["fid_few"].max() * 1.3),
        xlabel="images per second of processor time\n(right is faster)",
        ylabel=f"FID of {shown['n_generated'].min():,} images (down is better)",
    )
    axes[1].set_xlabel("novelty in pixels\n(0 is a copy, 1 as far as unseen images)")
    axes[1].axvline(1, color="gray", lw=0.8, ls=":")
    places = spread(np.log10(shown["fid_few"]), *np.log10(axes[0].get_ylim()))
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
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "lw": 0.5,
                "alpha": 0.7,
                "relpos": (0, 0.5),
            },
        )
    figure.suptitle(f"MNIST, autoencoders with 64 values after {epochs:g} epochs", x=0.355)
    for axis in axes:
        axis.grid(True, which="major", color="0.9")
        axis.set_axisbelow(True)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)
