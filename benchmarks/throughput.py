"""Time and memory of fitting and sampling, as ratios against references in the same process.

1. ``pipeline.sample`` against the bare decoder on the same device and batch.
2. ``ConvAutoencoder.fit`` against a hand-written torch loop with the same module, batch, data.
3. ``FastHVRTSampler`` against hvrt itself, at 60 000 x 64, ``min_samples_leaf=5``.
4. Memory while 1 000 000 images are streamed, above that of the loaded model.

Images and codes are random but structured: their values do not matter to any of these times.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import copy
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import hvrt
import numpy as np
import torch
from _record import RESULTS, environment, median_times, print_rows, update_rows
from hvrt.generation_strategies import BUILTIN_GENERATION_STRATEGIES
from torch.nn import functional as F

from latentgen import (
    ConvAutoencoder,
    FastHVRTSampler,
    load_model,
    make_latent_pipeline,
    save_model,
)

BATCH = 512


def make_images(n_samples, image_shape=(1, 28, 28), seed=0):
    """Bytes with smooth blobs, as compressible as digits."""
    rng = np.random.default_rng(seed)
    channels, height, width = image_shape
    rows, columns = np.mgrid[:height, :width]
    center = rng.uniform(0.25, 0.75, (2, n_samples, channels, 1, 1)) * min(height, width)
    radius = rng.uniform(2, 6, (n_samples, channels, 1, 1))
    distance = (rows - center[0]) ** 2 + (columns - center[1]) ** 2
    return (255 * np.exp(-distance / (2 * radius**2))).astype(np.uint8)


def make_codes(n_samples, n_features, seed=0):
    """Correlated codes in 50 clusters."""
    rng = np.random.default_rng(seed)
    centres = 2 * rng.standard_normal((50, n_features))
    mixing = rng.standard_normal((n_features, n_features)) / np.sqrt(n_features)
    noise = rng.standard_normal((n_samples, n_features)) @ mixing
    return (centres[rng.integers(50, size=n_samples)] + noise).astype(np.float32)


def ratio_row(name, times, *, bar, repeats, device, n, rate=False):
    """Ratio of speed, ours against the reference: above 1 is faster than the reference."""
    row = {
        "benchmark": name,
        "device": device,
        "n": n,
        "ours_s": times["ours"],
        "reference_s": times["reference"],
        "speed_ratio": times["reference"] / times["ours"],
        "bar": bar,
        "repeats": repeats,
    }
    return row | ({"ours_per_s": n / times["ours"]} if rate else {})


def sample_against_decoder(device, n_images, repeats):
    X = make_images(4000)
    autoencoder = ConvAutoencoder(64, max_epochs=1, device=device, random_state=0)
    pipeline = make_latent_pipeline(autoencoder, FastHVRTSampler(min_samples_leaf=5)).fit(X)
    module = autoencoder.net_.module_
    codes = torch.from_numpy(pipeline.named_steps["sampler"].sample(n_images, random_state=0))
    codes = codes.to(device)

    def decode():
        with torch.inference_mode():
            for start in range(0, n_images, BATCH):
                torch.sigmoid(module.decode(codes[start : start + BATCH]))
        if device == "cuda":
            torch.cuda.synchronize()

    times = median_times(
        {"ours": lambda: pipeline.sample(n_images, random_state=0), "reference": decode}, repeats
    )
    return ratio_row(
        "pipeline.sample / bare decoder", times, bar=0.9, repeats=repeats, device=device,
        n=n_images, rate=True,
    )  # fmt: skip


def fit_against_loop(device, n_images, repeats):
    X = make_images(n_images)
    autoencoder = ConvAutoencoder(
        64, loss="bce", lr=0.004, max_epochs=1, batch_size=128, device=device, random_state=0
    )
    flat = torch.from_numpy(X.reshape(n_images, -1))
    untrained = autoencoder.fit(X[:256]).net_.module_
    batch_size = autoencoder.batch_size

    def loop():
        torch.manual_seed(0)
        module = copy.deepcopy(untrained).train()
        optimizer = torch.optim.Adam(module.parameters(), lr=autoencoder.lr)
        n_steps = n_images // batch_size
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, autoencoder.lr, total_steps=n_steps, cycle_momentum=False
        )
        order = torch.randperm(n_images)
        for step in range(n_steps):
            rows = order[step * batch_size :][:batch_size]
            target = flat[rows].to(device).view(-1, *X.shape[1:]).float() / 255
            target = target.contiguous(memory_format=torch.channels_last)
            logits = module.decode(module.encode(target).mean)
            loss = F.binary_cross_entropy_with_logits(logits, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        loss.item()

    times = median_times({"ours": lambda: autoencoder.fit(X), "reference": loop}, repeats)
    return ratio_row(
        "ConvAutoencoder.fit / torch loop", times, bar=0.95, repeats=repeats, device=device,
        n=n_images, rate=True,
    )  # fmt: skip


def samplers_against_hvrt(n_rows, n_features, n_draws, repeats, strategies):
    Z = make_codes(n_rows, n_features)
    parameters = {"min_samples_leaf": 5, "random_state": 0}
    times = median_times(
        {
            "ours": lambda: FastHVRTSampler(**parameters).fit(Z),
            "reference": lambda: hvrt.FastHVRT(**parameters).fit(Z),
        },
        repeats,
    )
    about = {"repeats": repeats, "device": "cpu"}
    yield ratio_row("FastHVRTSampler.fit / hvrt fit", times, bar=1.0, n=n_rows, **about)
    reference = hvrt.FastHVRT(**parameters).fit(Z)
    for strategy in strategies:
        sampler = FastHVRTSampler(strategy, **parameters).fit(Z)
        # hvrt gathers a matrix per row: 100 000 rows at 64 dimensions need 3.3 GB there.
        times = median_times(
            {
                "ours": lambda sampler=sampler: sampler.sample(n_draws, random_state=0),
                "reference": lambda strategy=strategy: reference.expand(
                    n_draws, generation_strategy=strategy
                ),
            },
            repeats,
        )
        bar = 10.0 if strategy == "epanechnikov" else 1.0
        name = f"FastHVRTSampler.sample / hvrt.expand, {strategy}"
        yield ratio_row(name, times, bar=bar, n=n_draws, **about)


def resident_megabytes():
    """Memory in use now; Linux only. A peak would include what the parent process once used."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def stream(path, n_images):
    """Stream from a saved model; print how far memory rises above that of the loaded model."""
    model = load_model(path)
    before = largest = resident_megabytes()
    n_seen = 0
    for batch in model.iter_sample(n_images, BATCH, random_state=0):
        n_seen += len(batch)
        largest = max(largest, resident_megabytes())
    print(n_seen, largest - before)


def streaming_memory(n_images):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.latentgen"
        autoencoder = ConvAutoencoder(64, max_epochs=1, device="cpu", random_state=0)
        sampler = FastHVRTSampler(min_samples_leaf=5, random_state=0)
        X = make_images(20_000)
        save_model(make_latent_pipeline(autoencoder, sampler).fit(X), path)
        command = [sys.executable, __file__, "--stream", str(path), "--n-stream", str(n_images)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    n_seen, growth = printed.split()
    return {
        "benchmark": "iter_sample, MB above the loaded model",
        "device": "cpu",
        "n": int(n_seen),
        "growth_mb": float(growth),
        "bar": 300.0,
        "repeats": 1,
    }


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, nothing is written")
    parts = ["sample", "fit", "hvrt", "stream"]
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    names = list(BUILTIN_GENERATION_STRATEGIES)
    parser.add_argument("--strategies", nargs="+", choices=names, default=names)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--n-stream", type=int, default=1_000_000)
    parser.add_argument("--results", default=RESULTS, help="folder of the results file")
    parser.add_argument("--stream", metavar="MODEL", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    if arguments.stream:
        stream(arguments.stream, arguments.n_stream)
        return
    smoke = arguments.smoke
    repeats = 1 if smoke else arguments.repeats
    rows = []
    wanted = arguments.only
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        if "sample" in wanted:
            rows.append(sample_against_decoder(device, 256 if smoke else 5000, repeats))
        if "fit" in wanted:
            rows.append(fit_against_loop(device, 512 if smoke else 20_000, repeats))
    if "hvrt" in wanted:
        sizes = (600, 8, 1000) if smoke else (60_000, 64, 100_000)
        rows += samplers_against_hvrt(*sizes, repeats, arguments.strategies)
    if "stream" in wanted:
        rows.append(streaming_memory(2000 if smoke else arguments.n_stream))
    rows = [row | {"seed": 0} | environment() for row in rows]
    columns = ["benchmark", "device", "n", "ours_s", "reference_s", "speed_ratio", "growth_mb"]
    print_rows(rows, [*columns, "bar"])
    if not smoke:
        print(update_rows("throughput", rows, ("benchmark", "device"), arguments.results))


if __name__ == "__main__":
    main()
