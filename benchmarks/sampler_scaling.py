"""Fit and draw of samplers from 10 000 to 1 000 000 codes of 64 values.

Every measurement runs in a process of its own, so that peak memory belongs to one sampler: the
peak of the process above what it held with the codes loaded (on Linux, which can forget the peak
of the loading itself). Times are medians of repeats in
seconds, and the fits at 60 000 codes take turns with hvrt's own, to which they are compared.
Slopes are those of log time over log rows: 1 is linear growth.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from _record import RESULTS, environment, median_times, print_rows, update_rows

from latentgen import (
    ConditionalSampler,
    DiffusionSampler,
    FastHVRTSampler,
    GaussianMixtureSampler,
    GaussianSampler,
    KernelDensitySampler,
    LocalGaussianSampler,
    NormalizingFlowSampler,
)

SIZES = (10_000, 100_000, 1_000_000)
N_FEATURES = 64
# What would take longer than some minutes is measured at the smaller sizes only.
LARGEST = {"GMM 10": 100_000, "GMM 100": 10_000, "normalizing flow": 10_000, "diffusion": 10_000}


def samplers():
    leaf = {"min_samples_leaf": 5, "random_state": 0}
    local = {"partition": "local", "random_state": 0}
    return {
        "Gaussian": GaussianSampler(),
        "KDE": KernelDensitySampler("scott"),
        "FastHVRT": FastHVRTSampler(**leaf),
        "FastHVRT random": FastHVRTSampler(tree_splitter="random", **leaf),
        "FastHVRT fast": FastHVRTSampler(partition="fast", **leaf),
        "FastHVRT local_gaussian, local": FastHVRTSampler("local_gaussian", **local),
        "LocalGaussian": LocalGaussianSampler(random_state=0),
        "GMM 10": GaussianMixtureSampler(10, random_state=0),
        "GMM 100": GaussianMixtureSampler(100, random_state=0),
        "normalizing flow": NormalizingFlowSampler(random_state=0),
        "diffusion": DiffusionSampler(random_state=0),
    }


def make_codes(n_samples, seed=0):
    """Correlated codes in 50 clusters."""
    rng = np.random.default_rng(seed)
    centres = 2 * rng.standard_normal((50, N_FEATURES))
    mixing = rng.standard_normal((N_FEATURES, N_FEATURES)) / np.sqrt(N_FEATURES)
    codes = np.empty((n_samples, N_FEATURES), dtype=np.float32)
    for start in range(0, n_samples, 50_000):
        part = codes[start : start + 50_000]
        part[:] = (
            rng.standard_normal(part.shape) @ mixing + centres[rng.integers(50, size=len(part))]
        )
    return codes


def memory_mb(line):
    """A line of this process's memory: VmRSS, what it holds, or VmHWM, the peak."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{line}:")[1].split()[0]) / 1024


def peak_mb(function):
    """Peak of memory during a call, above what was held before."""
    Path("/proc/self/clear_refs").write_text("5")  # Forget the last peak.
    before = memory_mb("VmRSS")
    function()
    return memory_mb("VmHWM") - before


def measure(name, n_samples, repeats):
    """Fit and draw in this process, and print the result for the one that started it."""
    Z = make_codes(n_samples)
    sampler = samplers()[name]
    sampler.fit(Z[:1000]).sample(10)  # Imports come before the measurement.
    fits, draws = [], []

    def fit():
        start = time.perf_counter()
        sampler.fit(Z)
        fits.append(time.perf_counter() - start)

    def draw():
        start = time.perf_counter()
        sampler.sample(n_samples, random_state=0)
        draws.append(time.perf_counter() - start)

    memory = {"fit_mb": peak_mb(fit), "draw_mb": peak_mb(draw)}
    for _ in range(repeats - 1):
        fit()
        draw()
    row = {"fit_s": statistics.median(fits), "draw_s": statistics.median(draws)}
    print(json.dumps(row | memory | {"repeats": repeats}))


def measured_alone(name, n_samples, repeats):
    command = [sys.executable, __file__, "--one", name, str(n_samples), str(repeats)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def slope(points):
    """Slope of log seconds over log rows, from (rows, seconds)."""
    return float(np.polyfit(*np.log(np.array(points)).T, 1)[0]) if len(points) > 1 else None


def fits_compared(n_samples, repeats):
    """Fits that take turns, as ratios against hvrt's default."""
    from hvrt import FastHVRT

    Z = make_codes(n_samples)
    functions = {"hvrt itself": lambda: FastHVRT(min_samples_leaf=5, random_state=0).fit(Z)}
    for name, sampler in samplers().items():
        if name not in LARGEST:
            functions[name] = lambda sampler=sampler: sampler.fit(Z)
    y = np.arange(n_samples) % 10
    for name in ("FastHVRT", "FastHVRT fast"):
        for n_jobs in (1, 2):
            per_class = ConditionalSampler(samplers()[name], n_jobs=n_jobs)
            functions[f"{name}, 10 classes, n_jobs={n_jobs}"] = lambda sampler=per_class: (
                sampler.fit(Z, y)
            )
    times = median_times(functions, repeats)
    for name, seconds in times.items():
        yield {
            "sampler": name,
            "part": "ratio",
            "n": n_samples,
            "fit_s": seconds,
            "times_as_fast_as_hvrt": times["hvrt itself"] / seconds,
            "repeats": repeats,
        }


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, nothing is written")
    parser.add_argument("--results", default=RESULTS, help="folder of the results file")
    parser.add_argument("--samplers", nargs="+", choices=samplers(), default=list(samplers()))
    parser.add_argument(
        "--parts", nargs="+", choices=["ratio", "growth"], default=["ratio", "growth"]
    )
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    warnings.filterwarnings("ignore", message=".*near-copies of training codes")
    arguments = parse_arguments()
    if arguments.one:
        name, n_samples, repeats = arguments.one
        return measure(name, int(n_samples), int(repeats))
    sizes = (1000, 3000) if arguments.smoke else SIZES
    names = ["Gaussian", "FastHVRT fast"] if arguments.smoke else arguments.samplers
    rows = []

    def keep(row):
        rows.append(row | {"n_features": N_FEATURES, **environment()})
        print_rows(rows[-1:], ["part", "sampler", "n", "fit_s", "times_as_fast_as_hvrt", "draw_s"])
        if not arguments.smoke:
            keys = ("part", "sampler", "n")
            update_rows("sampler_scaling", rows[-1:], keys, arguments.results)

    if "ratio" in arguments.parts:
        for row in fits_compared(3000 if arguments.smoke else 60_000, 1 if arguments.smoke else 5):
            keep(row)
    if "growth" not in arguments.parts:
        return
    for name in names:
        points = []
        for n_samples in sizes:
            if n_samples <= LARGEST.get(name, max(sizes)):
                repeats = 3 if n_samples < 1_000_000 and name not in LARGEST else 1
                row = measured_alone(name, n_samples, repeats)
                points.append((n_samples, row["fit_s"], row["draw_s"]))
                fit_slope = slope([point[:2] for point in points])
                draw_slope = slope([point[::2] for point in points])
                keep(
                    {"sampler": name, "part": "growth", "n": n_samples, **row}
                    | {"fit_slope": fit_slope, "draw_slope": draw_slope}
                )


if __name__ == "__main__":
    main()
