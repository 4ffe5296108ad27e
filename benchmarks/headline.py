"""The headline: FID of generated images that are as new as unseen ones, and what it takes.

Local Gaussians with cells of several sizes and noise of several widths, with and without
refinement, beside real images, a perfect sampler, and FastHVRT. With ``--part choose`` they are
judged by the images that are there to choose by, the rows go to ``headline_choose.csv``, and one
autoencoder draws once. With ``--part test`` what was chosen is judged by the test images, with
three autoencoders and three draws each. ``--part before`` does the same in the features of before
there were parts, those of a classifier of all training images, the ones of the fit among them; its
rows go to ``headline_before.csv``. ``--part half`` judges as many images by one half of the test
images, as the perfect sampler is, for measures that depend on the number of images; its rows go to
``headline_half.csv``. Rows that are there are not made again.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import tempfile

from _record import RESULTS, print_rows, typed_command

from latentgen import ConditionalSampler, FastHVRTSampler, LocalGaussianSampler
from latentgen.datasets import fetch_cifar10, fetch_mnist
from latentgen.experiments import Workbench
from latentgen.metrics._judged import Images, halves

# Codes per cell, standard deviation of the noise in units of that of the cell, refinements.
TRIED = [
    *((cells, bandwidth, 0) for cells in (60, 33, 25) for bandwidth in (0.8, 1.0)),
    *((cells, 1.0, refinements) for cells in (60, 33, 25) for refinements in (1, 2)),
    *((33, 1.0, refinements) for refinements in (3, 4)),
    (50, 1.0, 1),
]
# What the part to choose by leaves in question.
CHOSEN = [*((cells, 1.0, 1) for cells in (60, 50, 33)), *((33, 1.0, n) for n in (0, 2, 3))]
COLUMNS = ("frechet_distance", "frechet_distance_codes", "coverage", "novelty", "near_copies")


def make_jobs(bench, latent_dim, dials):
    """Floors, a perfect sampler, and samplers with dials and with their defaults."""
    model = {"latent_dim": latent_dim}
    jobs = [*bench.floor_jobs(), *bench.perfect_jobs(**model)]
    for cells, bandwidth, refinements in dials:
        sampler = LocalGaussianSampler(len(bench.parts.X_fit) // cells, bandwidth=bandwidth)
        setting = f"local Gaussian, {cells} codes per cell, bandwidth {bandwidth}"
        jobs += refined(bench, setting, sampler, refinements, model)
    for setting, sampler in {
        "local Gaussian": LocalGaussianSampler(),
        "local Gaussian per class": ConditionalSampler(LocalGaussianSampler()),
        "FastHVRT, leaf 5": FastHVRTSampler(min_samples_leaf=5),
    }.items():
        for refinements in (0, 1):
            jobs += refined(bench, setting, sampler, refinements, model)
    return jobs


def refined(bench, setting, sampler, refinements, model):
    setting += f", refined {refinements} times" if refinements else ""
    return bench.sampler_jobs(setting, sampler, n_refinements=refinements, **model)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="digits, nothing is kept")
    parser.add_argument("--part", choices=["choose", "test", "before", "half"], default="test")
    parser.add_argument("--data", choices=["digits", "mnist", "cifar10"], default="mnist")
    parser.add_argument("--latent-dim", type=int, default=64)
    parser.add_argument("--data-home", help="folder with the files of the images")
    parser.add_argument("--cache", help="folder of fitted models")
    parser.add_argument("--results", default=RESULTS, help="folder of the results")
    parser.add_argument("--seeds", type=int, nargs="+", help="of the models (0 1 2)")
    parser.add_argument("--settings", nargs="+", help="rows with one of these texts in their name")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    smoke, choose = arguments.smoke, arguments.part == "choose"
    few = {"seeds": [0], "n_draws": 1} if choose or smoke else {"seeds": arguments.seeds}
    bench = Workbench(
        "digits" if smoke else arguments.data,
        data_home=arguments.data_home,
        cache=arguments.cache,
        quick=smoke,
        imagenet=arguments.part == "test" and not smoke,
        command=typed_command(),
        **few,
    )
    if choose:
        parts = bench.parts
        bench.parts = parts._replace(X_test=parts.X_choose, y_test=parts.y_choose)
    elif arguments.part == "half":
        parts = bench.parts
        rows, _ = halves(Images(parts.X_test, parts.y_test))
        bench.parts = parts._replace(X_test=parts.X_test[rows], y_test=parts.y_test[rows])
        bench.n_samples = len(rows)
    elif arguments.part == "before":
        load = {"mnist": fetch_mnist, "cifar10": fetch_cifar10}[arguments.data]
        X, y = load(subset="train", data_home=arguments.data_home, return_X_y=True)
        bench.parts = bench.parts._replace(X_judge=X, y_judge=y)
    latent_dim, dials = arguments.latent_dim, TRIED if choose else CHOSEN
    if smoke:
        latent_dim, dials = 8, dials[:1]
    jobs = make_jobs(bench, latent_dim, dials)
    with tempfile.TemporaryDirectory() as folder:
        rows = bench.run(
            "headline" if arguments.part == "test" else f"headline_{arguments.part}",
            jobs,
            folder if smoke else arguments.results,
            settings=arguments.settings,
            progress=lambda row, *_: print_rows([row], ["setting", "seed", "draw", *COLUMNS]),
        )
    print_rows(rows, ["setting", "seed", "draw", *COLUMNS])


if __name__ == "__main__":
    main()
