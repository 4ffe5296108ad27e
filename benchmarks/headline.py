"""The headline: FID of generated images that are as new as unseen ones, and what it takes.

Local Gaussians with cells of several sizes and noise of several widths, with and without refinement:
first judged by the images that are there to choose by (``--part choose``), then what is chosen by
the test images (``--part test``), with three autoencoders and three draws each. Beside them what
real images get, a perfect sampler, and FastHVRT. Rows that are there are not made again.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import sys
import tempfile
from functools import partial

from _record import RESULTS

from latentgen import ConditionalSampler, FastHVRTSampler, LocalGaussianSampler
from latentgen.experiments import Job, Workbench, print_rows

# Codes per cell, standard deviation of the noise in units of that of the cell, refinements.
TRIED = [
    *((cells, bandwidth, 0) for cells in (60, 33, 25) for bandwidth in (0.8, 1.0)),
    *((cells, 1.0, refinements) for cells in (60, 33, 25) for refinements in (1, 2)),
]
# The lowest FID at a novelty of 0.95 on the part to choose by.
CHOSEN = [(33, 1.0, 0), (33, 1.0, 1), (33, 1.0, 2)]
COLUMNS = "setting seed draw frechet_distance frechet_distance_codes coverage novelty copied_fraction"


def make_jobs(bench, part, latent_dim):
    """Floors, a perfect sampler, and samplers with dials."""
    jobs = [*bench.floor_jobs(), *bench.perfect_jobs(latent_dim=latent_dim)]
    n_fit = len(bench.parts.X_fit)
    for cells, bandwidth, refinements in TRIED if part == "choose" else CHOSEN:
        sampler = LocalGaussianSampler(n_fit // cells, bandwidth=bandwidth)
        name = f"local Gaussian, {cells} codes per cell, bandwidth {bandwidth}"
        jobs += refined_jobs(bench, name, sampler, latent_dim, refinements)
    for name, sampler in {
        "local Gaussian": LocalGaussianSampler(),
        "local Gaussian per class": ConditionalSampler(LocalGaussianSampler()),
        "FastHVRT, leaf 5": FastHVRTSampler(min_samples_leaf=5),
    }.items():
        for refinements in (0, 1):
            jobs += refined_jobs(bench, name, sampler, latent_dim, refinements)
    return jobs
