"""The command that runs experiments."""

# SPDX-License-Identifier: BSD-3-Clause

import math
import shlex
import sys
from functools import partial
from pathlib import Path

from latentgen import experiments
from latentgen.model_selection import sweeps
from latentgen.utils._text import align

# Images drawn for each row of a sweep, as in the published ones.
N_SWEPT = 2000
# Columns of the table that is printed: those of them that any row has.
_SHOWN = {
    "frechet_distance": ("FID", ".2f"),
    "frechet_distance_codes": ("FID of codes", ".2f"),
    "frechet_distance_imagenet": ("FID, public", ".2f"),
    "frechet_distance_codes_imagenet": ("of codes, public", ".2f"),
    "tstr": ("TSTR", ".2%"),
    "latent_ks": ("latent KS", ".3f"),
    "test_mse": ("test MSE", ".4f"),
}


def benchmark(args):
    """Run an experiment."""
    plan, name, n_samples = getattr(experiments, args.experiment), args.experiment, args.samples
    if name == "sweep":
        if args.name not in sweeps:
            raise ValueError(
                f"'sweep' needs a NAME, one of {', '.join(sweeps)}, got {args.name!r}."
            )
        plan, name = partial(plan, name=args.name), f"sweep_{args.name}"
        n_samples = n_samples or (None if args.quick else N_SWEPT)
    elif args.name is not None:
        raise ValueError(f"only 'sweep' takes a NAME, got '{args.name}' after '{name}'.")
    results = Path(args.results)
    bench = experiments.Workbench(
        args.data or ("digits" if args.quick else "mnist"),
        n_images=args.images,
        epochs=args.epochs,
        n_samples=n_samples,
        classifier_epochs=args.classifier_epochs,
        seeds=args.seeds or ([args.seed] if args.quick else range(args.seed, args.seed + 3)),
        n_draws=args.draws,
        device=args.device,
        data_home=args.data_home,
        cache=args.cache or results / "models",
        quick=args.quick,
        # They take longer than all the rest of a quick run.
        imagenet=not (args.classifier_only or args.quick),
        command=_command(args),
    )
    parts = bench.parts
    print(
        f"{name}: {len(parts.X_fit)} images of '{parts.name}' to fit, {len(parts.X_test)} to test "
        f"on, {bench.n_samples} drawn for each row."
    )
    print(
        "A perfect sampler of an autoencoder draws the codes of unseen images. Of the test images, "
        f"the mean image\nhas a squared error of {bench.mean_image_mse:.4f} per pixel; a "
        "reconstruction has the test MSE below."
    )
    rows = bench.run(name, plan(bench), results, settings=args.settings, progress=_print_progress)
    print()
    print(*align(_table(rows)), sep="\n")
    print(f"\nAll columns: '{results / name}.csv'.")


def _command(args):
    """What the user typed, without the folders of this machine."""
    words = [f"latentgen benchmark {args.experiment}", *filter(None, [args.name])]
    for name in ("data", "images", "epochs", "samples", "classifier_epochs", "draws"):
        value = getattr(args, name)
        if value is not None:
            words.append(f"--{name.replace('_', '-')} {value}")
    # Without --seeds they begin there.
    words += [f"--seed {args.seed}"] * (args.seed != 0 and not args.seeds)
    words += ["--quick"] * args.quick + ["--classifier-only"] * args.classifier_only
    for name in ("seeds", "settings"):
        values = getattr(args, name)
        if values:
            words.append(f"--{name} {' '.join(shlex.quote(str(value)) for value in values)}")
    return " ".join(words)


def _print_progress(row, n_done, n_jobs, seconds, n_new):
    """Say on stderr what is done and how long the rest will take."""
    if sys.stderr is None:
        return
    left = f"{_duration(seconds / n_new * (n_jobs - n_done))} left" if n_new else "was there"
    numbers = [f"{heading} {row[key]:{form}}" for key, (heading, form) in _SHOWN.items()
               if row.get(key) is not None]  # fmt: skip
    print(
        f"[{n_done}/{n_jobs}] {_name(row)}, seed {row['seed']}, draw {row['draw']}: "
        f"{', '.join(numbers[:2])} ({left})",
        file=sys.stderr,
        flush=True,
    )


def _duration(seconds):
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _name(row):
    dim = "" if row.get("latent_dim") is None else f", {row['latent_dim']}d"
    beta = f", beta {row['beta']:g}" if row.get("beta") and "beta" not in row["setting"] else ""
    return f"{row['setting']}{dim}{beta}, n = {row['n_generated']}"


def _table(rows):
    """Means over seeds and draws of each setting, in the order of the rows."""
    shown = {key: look for key, look in _SHOWN.items() if any(key in row for row in rows)}
    lines = [["setting", "rows", *(heading for heading, _ in shown.values())]]
    for name in dict.fromkeys(map(_name, rows)):
        of_setting = [row for row in rows if _name(row) == name]
        line = [name, str(len(of_setting))]
        for key, (_, form) in shown.items():
            values = [row[key] for row in of_setting if row.get(key) is not None]
            line.append(format(math.fsum(values) / len(values), form) if values else "-")
        lines.append(line)
    return lines
