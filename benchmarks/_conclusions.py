"""What to take from the tables: five lines, and the table of the README, both made from rows.

Words follow from rows too: a sampler is called better than another only where the interval of the
paired difference over seeds leaves 0 out, or, with one seed, where it is by half.
"""

# SPDX-License-Identifier: BSD-3-Clause

from _findings import fid, has, lower, markdown, mnist
from _rows import NotRun, difference, mean, read, select

# What counts as new: as far from the training images as unseen ones, nearly.
NOVEL = 0.9
REFERENCES = ("real images of the fit", "perfect sampler", "copy of training codes")


def _space(data, latent_dim):
    """Rows of samplers on one kind of codes, and of the references."""
    rows = select(read("samplers"), data=has(data))
    return rows[rows["latent_dim"].isna() | (rows["latent_dim"] == latent_dim)]


def _samplers(rows):
    """Settings that are samplers, with their rows."""
    groups = rows.groupby("setting", sort=False)
    return {name: group for name, group in groups if name not in REFERENCES}


def _new(samplers):
    """Samplers whose images are as far from the training images as unseen ones, nearly."""
    kept = {name: rows for name, rows in samplers.items() if mean(rows, "novelty").value >= NOVEL}
    if not kept:
        raise NotRun(f"a sampler with novelty {NOVEL} and above")
    return kept


def _ranked(samplers, column):
    return sorted(samplers, key=lambda name: mean(samplers[name], column).value)


def _level(samplers, column):
    """The best sampler, and those that are not resolved from it."""
    first, *others = _ranked(samplers, column)
    return [first] + [
        name for name in others if lower(samplers[first], samplers[name], column) is None
    ]


def which_sampler():
    rows = _space("mnist", 64)
    samplers = _new(_samplers(rows))
    best, *level = _level(samplers, "fid_codes")
    perfect = mean(select(rows, setting="perfect sampler"), "fid_codes")
    its = samplers[best]
    level = f"; not resolved from it: {', '.join(level)}" if level else ""
    return (
        f"**Sampler.** Of those whose images are new (novelty {NOVEL} and above), `{best}` is "
        f"nearest to decoded unseen codes on MNIST with 64 values: FID of codes "
        f"{mean(its, 'fid_codes').value:.2f} where half as many unseen codes have "
        f"{perfect.value:.2f}, FID {mean(its, 'fid').value:.2f} against test images, novelty "
        f"{mean(its, 'novelty').value:.2f}, {_seeds(its)}{level}."
    )


def which_on_photographs():
    rows = _space("cifar10", 128)
    samplers = _samplers(rows)
    if len(samplers) < 3:
        raise NotRun(f"{len(samplers)} of the samplers")
    new = _new(samplers)
    best, *level = _level(new, "fid_codes")
    level = f"; not resolved from it: {', '.join(level)}" if level else ""
    perfect = select(rows, setting="perfect sampler")
    return (
        "**Photographs** (CIFAR-10, stored as JPEG, 128 values): of those whose images are new, "
        f"`{best}` is nearest to decoded unseen codes, with {_distances(new[best])}, where half as "
        f"many unseen codes have {mean(perfect, 'fid_codes').value:.2f}, {_seeds(new[best])}"
        f"{level}. The decoder weighs more: unseen codes have FID "
        f"{mean(perfect, 'fid').value:.1f} against real images.{_nearer_copiers(samplers, new)}"
    )


def _distances(rows):
    """Both distances and the novelty of one sampler."""
    fid_codes, fid, novelty = (
        mean(rows, column).value for column in ("fid_codes", "fid", "novelty")
    )
    return f"FID of codes {fid_codes:.2f}, FID {fid:.1f} and novelty {novelty:.2f}"


def _nearer_copiers(samplers, new):
    """What is nearest of all, if its images are not new."""
    nearest = _ranked(samplers, "fid_codes")[0]
    if nearest in new:
        return ""
    its = _distances(samplers[nearest])
    return f" `{nearest}` is nearer by staying near the training images: {its}."


def usefulness():
    said = []
    for part in (_classifier_of_generated, _added_images):
        try:
            said.append(part())
        except NotRun as error:
            said.append(f"Not run: {error}.")
    return "**Training data.** " + " ".join(said)


def _classifier_of_generated():
    rows = mnist("tstr")
    drawn = select(rows, setting="FastHVRT per class", n_generated=10_000)
    real = select(rows, setting="real", n_generated=10_000)
    gap = difference(real, drawn, "tstr")
    return (
        "A classifier of 10 000 generated digits reaches "
        f"{mean(drawn, 'tstr').value:.2%}, of 10 000 real ones {mean(real, 'tstr').value:.2%}: "
        f"{100 * gap.value:.2f} points less{_interval(gap)}."
    )


def _added_images():
    rows = select(
        read("added_images"), data="mnist", sampler=_is_missing_or("FastHVRT epanechnikov")
    )
    gains = []
    for n, same in rows.groupby("images_per_class"):
        plain = select(same, training="real_augmented")
        gain = difference(select(same, training="real_augmented_generated"), plain, "accuracy")
        gains.append(f"{100 * gain.value:+.2f} points at {n}{_interval(gain)}")
    return (
        "Added to few real digits that are augmented already, generated ones change the accuracy "
        f"by {', '.join(gains)} images per class."
    )


def _is_missing_or(name):
    return lambda value: value != value or value == name


def _interval(there):
    if there.n_seeds < 2:
        return " (1 seed)"
    return f" ({100 * there.low:+.2f} to {100 * there.high:+.2f}, {there.n_seeds} seeds)"


def variational():
    rows = mnist("generation")
    plain = select(rows, setting="AE + epanechnikov, leaf 5", latent_dim=64)
    normal = select(rows, setting="VAE + N(0, I)", latent_dim=64)
    column = fid(plain)
    said, better = {
        True: ("is not needed", "higher"),
        False: ("lowers FID", "lower"),
        None: ("makes no difference that is resolved", "a similar"),
    }[lower(plain, normal, column)]
    return (
        f"**A KL term** {said}: N(0, I) decoded by a variational autoencoder with beta 1 has "
        f"{better} FID, {mean(normal, column).value:.3g} where codes of a plain one, "
        f"drawn by FastHVRT, have {mean(plain, column).value:.3g}, {_seeds(plain)}."
    )


def speed():
    rows = read("peers")
    ours = select(rows, setting="latentgen + LocalGaussian", latent_dim=64, epochs=5)
    ddpm = select(rows, setting=has("DDPM"))
    # That with the longest training, and as many images of each.
    ddpm = ddpm[ddpm["time_ratio"] == ddpm["time_ratio"].max()]
    ratio = mean(ddpm, "sample_seconds").value / mean(ours, "sample_seconds").value
    return (
        f"**Speed.** On a processor an image of a small DDPM takes {ratio:.3g} times as long as "
        f"ours ({ddpm['sampler'].iloc[0]}), whatever its quality; after "
        f"{mean(ddpm, 'time_ratio').value:.1f} times the seconds of training of our 5 epochs, when "
        f"it has hardly begun to learn, it has FID {mean(ddpm, 'fid_few').value:.3g} and ours "
        f"{mean(ours, 'fid_few').value:.3g}."
    )


def conclusions():
    """Five lines for people who want to know what to take."""
    lines = []
    for line in (which_sampler, which_on_photographs, usefulness, variational, speed):
        try:
            lines.append(f"1. {line()}")
        except NotRun as error:
            name = line.__name__.replace("_", " ").capitalize()
            lines.append(f"1. **{name}**: not run ({error}).")
    return "\n".join(lines)


def readme():
    """The table of the README: samplers per class on MNIST with 64 values, and what bounds them."""
    rows = _space("mnist", 64)
    samplers = _samplers(rows)
    shown = dict(list(rows.groupby("setting")))
    per_class = [name for name in _ranked(samplers, "fid_codes") if name.endswith("per class")]
    shown = {name: shown[name] for name in (*REFERENCES, *per_class) if name in shown}
    columns = {
        "fid": ("FID", ".2f"),
        "fid_codes": ("FID of codes", ".2f"),
        "coverage": ("coverage", ".3f"),
        "novelty": ("novelty", ".2f"),
        "near_copies": ("copied", ".1%"),
        "tstr": ("TSTR", ".2%"),
    }
    columns = {key: about for key, about in columns.items() if key in rows}
    lines = []
    for name, group in shown.items():
        cells = [
            format(mean(group, key).value, form) if group[key].notna().any() else ""
            for key, (_, form) in columns.items()
        ]
        lines.append([name, *cells, str(group["seed"].nunique())])
    return markdown(["", *(title for title, _ in columns.values()), "seeds"], lines)


def _seeds(rows):
    n_seeds = rows["seed"].nunique()
    return "1 seed" if n_seeds == 1 else f"{n_seeds} seeds"
