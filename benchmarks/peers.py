"""latentgen beside its neighbors, on the same images, with the same judge, in one run.

- pythae's AE, VAE, RAE_L2 and RAE_GP with the network of `ConvAutoencoder` inside, for as many
  epochs and in batches of the same size, and its Normal, Gaussian mixture and MAF samplers. Losses
  and optimizers are those that its authors give for MNIST, see `PythaeModel`; the learning rate is
  the best of three on the images to choose by.
- scikit-learn's PCA with a mixture or a kernel density, and SMOTE of imbalanced-learn, on pixels.
- A U-Net of `diffusers`, trained as a DDPM and drawn by DDIM, or by the flow matching of
  `torchcfm`, for as many seconds of processor time as our pipeline took, and three times that.

Parts whose library is missing are left out with a line that says so; docs/peers.md says how to
install them. Rows that are there are not made again, and generated images are kept in ``--cache``,
so that the table can be made piece by piece; ``--plot`` draws the picture
from the results file.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import contextlib
import copy
import csv
import functools
import importlib.util
import io
import json
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import _peers_report
import numpy as np
import pandas as pd
import torch
from _judge import cached
from _record import RESULTS, environment, print_rows, update_rows
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from torch.utils.flop_counter import FlopCounterMode

from latentgen import (
    ConditionalSampler,
    ConvAutoencoder,
    FastHVRTSampler,
    GaussianMixtureSampler,
    LocalGaussianSampler,
)
from latentgen.datasets import fetch_mnist, load_digits_images
from latentgen.metrics import (
    ClassifierFeatures,
    copied_fraction,
    frechet_distance,
    novelty,
    precision_recall_density_coverage,
)
from latentgen.networks._conv import ConvAutoencoderNet, default_channels

BATCH = 128
PERFECT = "decoded test codes"
PYTHAE_MODELS = ("AE", "VAE", "RAE_L2", "RAE_GP")
# The first is the default of pythae, the second that of its authors' examples.
RATES = (1e-4, 1e-3, 1e-2)
MAF_EPOCHS = 10
# Seconds of training, in those of our pipeline of 64 values and 5 epochs, and steps of drawing.
BUDGETS = (1, 3)
STEPS = (10,)
KEYS = ("library", "model", "sampler", "latent_dim", "epochs", "seed")
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "peers.png"
LIBRARIES = {
    "pythae": ("pythae", "imageio"),
    "imbalanced-learn": ("imblearn",),
    "diffusers": ("diffusers",),
    "torchcfm": ("diffusers", "torchcfm", "ot"),
}


class Data:
    """Parts of the images, the extractor of features, and what all rows are compared with."""

    def __init__(self, data_home, cache, n_fit, smoke):
        self.name = "digits" if smoke else "mnist"
        if smoke:
            X, y = load_digits_images(return_X_y=True)
            X = np.rint(255 * X).astype(np.uint8)
            self.X_test, X_judge, self.X_choose = X[1200:], X[:600], X[600:900]
            self.X_fit, self.y_fit, y_judge = X[900:1200], y[900:1200], y[:600]
            self.n_generated, self.n_drawn_slowly, self.n_compared = 200, 20, 50
        else:
            X, y = fetch_mnist(subset="train", data_home=data_home, return_X_y=True)
            self.X_test, _ = fetch_mnist(subset="test", data_home=data_home, return_X_y=True)
            order = np.random.default_rng(0).permutation(len(X))
            fit, judge, choose = order[:-10_000][:n_fit], order[-10_000:-5000], order[-5000:]
            self.X_fit, self.y_fit, self.X_choose = X[fit], y[fit], X[choose]
            X_judge, y_judge = X[judge], y[judge]
            self.n_generated, self.n_drawn_slowly, self.n_compared = 5000, 2000, 1000
        # In random order, for the first half of MNIST's test images is easier.
        self.test_rows = np.random.default_rng(0).permutation(len(self.X_test))
        self.image_shape = self.X_fit.shape[1:]
        name = f"peers-features{'-smoke' if smoke else ''}.latentgen"
        self.extractor = cached(
            cache / name, lambda: ClassifierFeatures(random_state=0).fit(X_judge, y_judge)
        )
        self.features = {
            "test": self.extractor.transform(self.X_test),
            "choose": self.extractor.transform(self.X_choose),
        }

    @functools.cached_property
    def pixels(self):
        """Images to fit as floats (n, C, H, W) in [0, 1]."""
        return self.X_fit.astype(np.float32) / 255

    def judge(self, X_new, X_decoded=None, rows=None):
        """Every number about generated images.

        `X_decoded` are the reconstructed test images, `rows` the test images to compare with.
        """
        rows = self.test_rows if rows is None else rows
        features = self.extractor.transform(X_new)
        real = self.features["test"][rows]
        # As many as there are of those that take long to draw.
        few, few_real = features[: self.n_drawn_slowly], real[: self.n_drawn_slowly]
        row = {
            "n_generated": len(X_new),
            "n_real": len(real),
            "fid": frechet_distance(real, features),
            "fid_choose": frechet_distance(self.features["choose"], features),
            "fid_few": frechet_distance(real, few),
            **precision_recall_density_coverage(few_real, few)._asdict(),
        }
        if X_decoded is not None:
            decoded = self.extractor.transform(X_decoded[rows])
            row["fid_codes"] = frechet_distance(decoded, features)
        parts = self.X_fit, self.X_test[rows[: self.n_compared]], X_new[: self.n_compared]
        train, test, new = (X.reshape(len(X), -1) / np.float32(255) for X in parts)
        copied = copied_fraction(train, new)
        row |= {"novelty": novelty(train, test, new).novelty, "copied_fraction": copied.fraction}
        return row | {"copied_low": copied.low, "copied_high": copied.high}


def as_bytes(X, image_shape):
    """Images in [0, 1] of any layout as bytes (n, C, H, W)."""
    X = np.asarray(X, dtype=np.float32).reshape(-1, *image_shape)
    return np.rint(255 * X.clip(0, 1)).astype(np.uint8)


def cpu_time(function):
    """Result and seconds of processor time of a call."""
    start = time.process_time()
    result = function()
    return result, time.process_time() - start


def quiet():
    """Keep progress bars off the screen."""
    return contextlib.redirect_stderr(io.StringIO())


class Speed:
    """Images per second of processor time, beside those of our pipeline at the same moment."""

    def __init__(self, data, repeats):
        autoencoder = ConvAutoencoder(64, max_epochs=1, batch_size=BATCH, random_state=0)
        autoencoder.fit(data.X_fit)
        sampler = LocalGaussianSampler(random_state=0).fit(autoencoder.transform(data.X_fit))
        self.ours = lambda n: autoencoder.inverse_transform(sampler.sample(n, random_state=0))
        self.n_ours, self.repeats = data.n_drawn_slowly, repeats

    def __call__(self, draw, n_images):
        """Rates, their ratio, and multiply-adds of torch for each image, in millions."""
        seconds = [[], []]
        for _ in range(self.repeats):
            seconds[0].append(cpu_time(lambda: draw(n_images))[1])
            seconds[1].append(cpu_time(lambda: self.ours(self.n_ours))[1])
        theirs, ours = map(statistics.median, seconds)
        counter = FlopCounterMode(display=False)
        n_counted = min(n_images, 100)
        with counter:
            draw(n_counted)
        return {
            "images_per_second": n_images / theirs,
            "speed_ratio": (n_images / theirs) / (self.n_ours / ours),
            "mega_macs_per_image": counter.get_total_flops() / 2 / n_counted / 1e6,
        }


# Groups: each fits one network and yields its samplers as
# (sampler, seconds of its fit, function of the number of images that draws).


class LatentgenModel:
    """Our pipeline: plain autoencoder, then samplers on its codes."""

    library, model = "latentgen", "ConvAutoencoder"

    def __init__(self, data, latent_dim, epochs, seed):
        self.data, self.seed = data, seed
        self.autoencoder = ConvAutoencoder(
            latent_dim, max_epochs=epochs, batch_size=BATCH, random_state=seed
        )

    def fit(self):
        self.autoencoder.fit(self.data.X_fit)
        self.Z = self.autoencoder.transform(self.data.X_fit)

    @staticmethod
    def names():
        single = ["LocalGaussian", "FastHVRT", "GMM 10"]
        return [*single, *(f"{name} per class" for name in single)]

    def samplers(self, names):
        makers = {
            "LocalGaussian": LocalGaussianSampler(random_state=self.seed),
            "FastHVRT": FastHVRTSampler(random_state=self.seed),
            "GMM 10": GaussianMixtureSampler(10, random_state=self.seed),
        }
        for name in names:
            sampler, y = makers[name.removesuffix(" per class")], None
            if name.endswith("per class"):
                sampler, y = ConditionalSampler(sampler), self.data.y_fit
            _, seconds = cpu_time(lambda: sampler.fit(self.Z, y))  # noqa: B023
            yield name, seconds, functools.partial(self.draw, sampler)

    def draw(self, sampler, n_images):
        return self.autoencoder.inverse_transform(sampler.sample(n_images, random_state=self.seed))

    def reconstruct(self, X):
        return self.autoencoder.inverse_transform(self.autoencoder.transform(X))


class PythaeModel:
    """A model of pythae with our network, and its samplers.

    Optimizer as in its README: Adam, rate halved when the loss has not fallen for 5 epochs. Weights
    of the RAEs as in its `examples/scripts/configs/mnist`: 1e-2 for codes and 1e-4 for the decoder;
    squared error, of which the VAE takes half, as there. The VAE has the standard bound.
    """

    library = "pythae"

    def __init__(self, data, model, latent_dim, epochs, seed, rate):
        from pythae import models
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder

        class Encoder(BaseEncoder):
            def __init__(self, net):
                super().__init__()
                self.net = net

            def forward(self, x):
                code = self.net.encode(x.contiguous(memory_format=torch.channels_last))
                return ModelOutput(embedding=code.mean, log_covariance=code.log_variance)

        class Decoder(BaseDecoder):
            def __init__(self, net):
                super().__init__()
                self.net = net

            def forward(self, z):
                return ModelOutput(reconstruction=torch.sigmoid(self.net.decode(z)))

        self.data, self.seed, self.epochs, self.rate = data, seed, epochs, rate
        torch.manual_seed(seed)
        net = ConvAutoencoderNet(
            data.image_shape,
            latent_dim,
            default_channels(data.image_shape),
            variational=model == "VAE",
        ).to(memory_format=torch.channels_last)
        encoder, decoder = Encoder(net), Decoder(copy.deepcopy(net))
        for name in ("first_layer", "decoder_stages", "output_layer"):
            delattr(encoder.net, name)
        for name in ("encoder_stages", "code_layer"):
            delattr(decoder.net, name)
        config = {
            "AE": models.AEConfig,
            "VAE": models.VAEConfig,
            "RAE_L2": models.RAE_L2_Config,
            "RAE_GP": models.RAE_GP_Config,
        }[model](input_dim=data.image_shape, latent_dim=latent_dim)
        if model.startswith("RAE"):
            config.embedding_weight, config.reg_weight = 1e-2, 1e-4
        self.net = getattr(models, model)(config, encoder, decoder)

    def fit(self):
        from pythae.pipelines import TrainingPipeline
        from pythae.trainers import BaseTrainerConfig, CoupledOptimizerTrainerConfig

        plateau = {"patience": 5, "factor": 0.5}
        if self.net.model_name == "RAE_L2":
            make = CoupledOptimizerTrainerConfig
            recipe = {
                f"{part}_{key}": value
                for part in ("encoder", "decoder")
                for key, value in {
                    "learning_rate": self.rate,
                    "scheduler_cls": "ReduceLROnPlateau",
                    "scheduler_params": plateau,
                }.items()
            }
        else:
            make = BaseTrainerConfig
            recipe = {
                "learning_rate": self.rate,
                "scheduler_cls": "ReduceLROnPlateau",
                "scheduler_params": plateau,
            }
        with tempfile.TemporaryDirectory() as folder:
            config = make(
                output_dir=folder,
                num_epochs=self.epochs,
                per_device_train_batch_size=BATCH,
                seed=self.seed,
                no_cuda=True,
                **recipe,
            )
            pipeline = TrainingPipeline(model=self.net, training_config=config)
            with quiet():
                pipeline(train_data=self.data.pixels)
            self.net = pipeline.trainer._best_model.eval()

    @staticmethod
    def names():
        return ["N(0, I)", "GMM 10", "MAF"]

    def samplers(self, names):
        from pythae import samplers
        from pythae.trainers import BaseTrainerConfig

        X = torch.from_numpy(self.data.pixels)
        for name in names:
            if name == "N(0, I)":
                sampler, seconds = samplers.NormalSampler(self.net), 0.0
            elif name.startswith("GMM"):
                config = samplers.GaussianMixtureSamplerConfig(n_components=int(name.split()[1]))
                sampler = samplers.GaussianMixtureSampler(self.net, config)
                _, seconds = cpu_time(lambda: sampler.fit(X))  # noqa: B023
            else:
                sampler = samplers.MAFSampler(self.net, samplers.MAFSamplerConfig())
                with tempfile.TemporaryDirectory() as folder:
                    training = BaseTrainerConfig(
                        output_dir=folder,
                        num_epochs=MAF_EPOCHS,
                        per_device_train_batch_size=BATCH,
                        learning_rate=1e-3,
                        seed=self.seed,
                        no_cuda=True,
                    )
                    with quiet():
                        _, seconds = cpu_time(
                            lambda: sampler.fit(X, training_config=training)  # noqa: B023
                        )
            yield name, seconds, functools.partial(self.draw, sampler)

    def draw(self, sampler, n_images):
        torch.manual_seed(self.seed)
        # scikit-learn's mixture inside draws from NumPy's global generator.
        np.random.seed(self.seed)  # noqa: NPY002
        X_new = sampler.sample(num_samples=n_images, batch_size=500)
        return as_bytes(X_new.detach(), self.data.image_shape)

    def reconstruct(self, X):
        """Decoded codes as the samplers learn them: those of a VAE are draws of its posterior."""
        torch.manual_seed(self.seed)
        parts = []
        with torch.no_grad():
            for start in range(0, len(X), 500):
                batch = torch.from_numpy(X[start : start + 500].astype(np.float32) / 255)
                code = self.net.encoder(batch)
                z = code.embedding
                if code.log_covariance is not None:
                    z = z + torch.exp(0.5 * code.log_covariance) * torch.randn_like(z)
                parts.append(self.net.decoder(z).reconstruction)
        return as_bytes(torch.cat(parts), self.data.image_shape)


class PixelModel:
    """Densities on the principal components of pixels, and SMOTE on pixels."""

    model = "pixels"

    def __init__(self, data, library, latent_dim, seed):
        self.data, self.library, self.seed = data, library, seed
        self.pca = PCA(latent_dim, random_state=seed)

    def fit(self):
        self.flat = self.data.pixels.reshape(len(self.data.pixels), -1)
        if self.library == "scikit-learn":
            self.Z = self.pca.fit_transform(self.flat)

    def samplers(self, names):
        for name in names:
            if name == "SMOTE":
                yield name, 0.0, self.smote
                continue
            if name.startswith("GMM"):
                density = GaussianMixture(int(name.split()[1]), random_state=self.seed)
            else:
                density = KernelDensity(bandwidth=float(name.split()[1]) * self.Z.std())
            _, seconds = cpu_time(lambda: density.fit(self.Z))  # noqa: B023
            yield name, seconds, functools.partial(self.draw, density)

    def draw(self, density, n_images):
        if isinstance(density, KernelDensity):
            Z = density.sample(n_images, random_state=self.seed)
        else:
            Z = density.sample(n_images)[0]
        return self.shuffled(self.pca.inverse_transform(Z))

    def shuffled(self, X):
        """In random order, for mixtures draw by component and SMOTE by class."""
        order = np.random.default_rng(self.seed).permutation(len(X))
        return as_bytes(X[order], self.data.image_shape)

    def smote(self, n_images):
        """As many new images of each class as an equal part of those wanted."""
        from imblearn.over_sampling import SMOTE

        classes, counts = np.unique(self.data.y_fit, return_counts=True)
        extra = np.full(len(classes), n_images // len(classes))
        extra[: n_images % len(classes)] += 1
        wanted = dict(zip(classes, counts + extra, strict=True))
        X, _ = SMOTE(sampling_strategy=wanted, random_state=self.seed).fit_resample(
            self.flat, self.data.y_fit
        )
        return self.shuffled(X[len(self.flat) :])

    def reconstruct(self, X):
        if self.library != "scikit-learn":
            return None
        Z = self.pca.transform(X.reshape(len(X), -1) / np.float32(255))
        return as_bytes(self.pca.inverse_transform(Z), self.data.image_shape)


class UNet:
    """A small U-Net of diffusers, trained as a DDPM or by flow matching for some seconds.

    Adam with a rate of 1e-3 that falls to 0 as half a cosine over the time that there is, and an
    average of the weights.
    """

    model = "UNet2DModel"

    def __init__(self, data, library, budget, seconds, seed):
        from diffusers import UNet2DModel

        self.data, self.library, self.seed = data, library, seed
        self.seconds, self.budget = seconds * budget, budget
        torch.manual_seed(seed)
        self.net = UNet2DModel(
            sample_size=data.image_shape[1],
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(16, 32, 32),
            norm_num_groups=8,
            attention_head_dim=8,
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        )

    def fit(self):
        X = torch.from_numpy(2 * self.data.pixels - 1)
        average = torch.optim.swa_utils.AveragedModel(
            self.net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.98)
        )
        optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3)
        loss_of = self.noise_loss() if self.library == "diffusers" else self.flow_loss()
        start, self.n_steps = time.process_time(), 0
        while (progress := (time.process_time() - start) / self.seconds) < 1:
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * (0.5 + 0.5 * np.cos(np.pi * progress))
            loss = loss_of(X[torch.randint(len(X), (64,))])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            average.update_parameters(self.net)
            self.n_steps += 1
        self.net = average.module.eval()

    def noise_loss(self):
        from diffusers import DDPMScheduler

        scheduler = DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2")

        def loss(x):
            noise, t = torch.randn_like(x), torch.randint(1000, (len(x),))
            return (self.net(scheduler.add_noise(x, noise, t), t).sample - noise).square().mean()

        return loss

    def flow_loss(self):
        from torchcfm.conditional_flow_matching import ConditionalFlowMatcher

        matcher = ConditionalFlowMatcher(sigma=0.0)

        def loss(x):
            t, x_t, velocity = matcher.sample_location_and_conditional_flow(torch.randn_like(x), x)
            return (self.net(x_t, 1000 * t).sample - velocity).square().mean()

        return loss

    def samplers(self, names):
        for name in names:
            n_steps = int(name.split()[1])
            yield name, 0.0, functools.partial(self.draw, n_steps)

    @torch.no_grad()
    def draw(self, n_steps, n_images):
        generator = torch.Generator().manual_seed(self.seed)
        parts = []
        for start in range(0, n_images, 100):
            n = min(100, n_images - start)
            x = torch.randn(n, *self.data.image_shape, generator=generator)
            x = self.ddim(x, n_steps) if self.library == "diffusers" else self.euler(x, n_steps)
            parts.append(as_bytes((x + 1) / 2, self.data.image_shape))
        return np.concatenate(parts)

    def ddim(self, x, n_steps):
        from diffusers import DDIMScheduler

        scheduler = DDIMScheduler(1000, beta_schedule="squaredcos_cap_v2")
        scheduler.set_timesteps(n_steps)
        for t in scheduler.timesteps:
            x = scheduler.step(self.net(x, t).sample, t, x).prev_sample
        return x

    def euler(self, x, n_steps):
        for step in range(n_steps):
            x = x + self.net(x, 1000 * step / n_steps).sample / n_steps
        return x

    def reconstruct(self, X):
        return None


class Run:
    """Makes rows that are not there, and keeps images."""

    def __init__(self, arguments, data):
        self.arguments, self.data = arguments, data
        self.cache, self.results = Path(arguments.cache), arguments.results
        self.speed = functools.cache(lambda: Speed(data, 1 if arguments.smoke else 3))
        # Latent dimension, epochs and seed at which the rates of pythae are compared.
        self.tuned_at = (8, 1, 0) if arguments.smoke else (64, 5, 0)
        self.fitted = {}

    def rows(self):
        """Rows that are there, as text."""
        path = Path(self.results) / "peers.csv"
        if not path.exists():
            return []
        with open(path, newline="") as file:
            return list(csv.DictReader(file))

    def group(self, make, about, names):
        """Fit a model where images of one of its samplers are missing, and judge all."""
        there = self.keys_there()
        abouts = {name: {**about, "sampler": name} for name in names}
        keys = {name: self.key(about) for name, about in abouts.items()}
        wanted = [name for name in names if keys[name] not in there]
        missing = [name for name in wanted if not self.file(keys[name]).exists()]
        if missing:
            group = tuple(about.values())
            if group not in self.fitted:
                model = make()
                _, seconds = cpu_time(model.fit)
                self.fitted[group] = model, seconds, model.reconstruct(self.data.X_test)
            model, seconds, X_decoded = self.fitted[group]
            for name, more, draw in model.samplers(missing):
                slow = about["library"] in ("diffusers", "torchcfm")
                n_images = self.data.n_drawn_slowly if slow else self.data.n_generated
                X_new = draw(n_images)
                numbers = {"fit_seconds": seconds + more}
                numbers |= {"n_steps": getattr(model, "n_steps", "")}
                numbers |= self.speed()(draw, 100 if slow else self.data.n_drawn_slowly)
                extra = {} if X_decoded is None else {"X_decoded": X_decoded}
                self.keep(self.file(keys[name]), X_new=X_new, numbers=json.dumps(numbers), **extra)
        for name in wanted:
            with np.load(self.file(keys[name])) as kept:
                row = {**abouts[name], **json.loads(str(kept["numbers"]))}
                row |= self.data.judge(kept["X_new"], kept.get("X_decoded"))
            self.write(row)

    def key(self, about):
        return tuple(str(about[key]) for key in KEYS)

    def keys_there(self):
        return {self.key(row) for row in self.rows()}

    def file(self, key):
        return self.cache / f"{'_'.join(key).replace(' ', '-').replace('/', '-')}.npz"

    def keep(self, path, **arrays):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part.npz")
        np.savez(draft, **arrays)
        os.replace(draft, path)

    def write(self, row):
        row = {"setting": _peers_report.name_of(row), "data": self.data.name, **row}
        if "fit_seconds" in row:
            row["time_ratio"] = row["fit_seconds"] / self.seconds_of_ours(row)
            row["sample_seconds"] = 1000 / row["images_per_second"]
        row |= {
            "n_fit": len(self.data.X_fit),
            "extractor": f"ClassifierFeatures fitted on {self.data.extractor.fitted_on_}",
            **environment(),
        }
        row["versions"] += "".join(
            f" {name}={version(name)}" for name in LIBRARIES if installed(name)
        )
        columns = ["fid", "fid_few", "fid_codes", "novelty", "fit_seconds", "speed_ratio"]
        print_rows([row], [*KEYS, *columns])
        sys.stdout.flush()
        update_rows("peers", [row], KEYS, self.results)

    def seconds_of_ours(self, row):
        """Seconds of our pipeline with the same codes, epochs and seed, or with those tuned at."""
        keys = ("latent_dim", "epochs", "seed")
        seconds = {
            tuple(str(ours[key]) for key in keys): float(ours["fit_seconds"])
            for ours in [*self.rows(), row]
            if (ours["library"], ours["sampler"]) == ("latentgen", "LocalGaussian")
        }
        unit = tuple(map(str, self.tuned_at))
        return seconds.get(tuple(str(row[key]) for key in keys), seconds.get(unit, np.nan))

    def latentgen(self, latent_dim, epochs, seed):
        about = {"library": "latentgen", "model": "ConvAutoencoder", "latent_dim": latent_dim}
        about |= {"epochs": epochs, "seed": seed}
        make = functools.partial(LatentgenModel, self.data, latent_dim, epochs, seed)
        self.group(make, about, LatentgenModel.names())
        self.reference(about | {"sampler": PERFECT}, about | {"sampler": "LocalGaussian"})

    def reference(self, about, decoded_by=None):
        """What decoded codes of half of the test images reach at the other, or training images."""
        if self.key(about) in self.keys_there():
            return
        if decoded_by is None:
            row = self.data.judge(self.data.X_fit[: self.data.n_generated])
        else:
            with np.load(self.file(self.key(decoded_by))) as kept:
                X_decoded = kept["X_decoded"]
            first, second = np.array_split(self.data.test_rows, 2)
            row = self.data.judge(X_decoded[first], X_decoded, second)
        self.write(about | row)

    def pythae(self, model, latent_dim, epochs, seed):
        self.pythae_at(self.best_rate(model), PythaeModel.names(), model, latent_dim, epochs, seed)

    def pythae_at(self, rate, names, model, latent_dim, epochs, seed):
        about = {"library": "pythae", "model": f"{model} lr={rate:g}", "latent_dim": latent_dim}
        about |= {"epochs": epochs, "seed": seed}
        make = functools.partial(PythaeModel, self.data, model, latent_dim, epochs, seed, rate)
        self.group(make, about, names)

    def best_rate(self, model):
        """Rate with the lowest FID of a mixture on the images to choose by."""
        # The gradient penalty doubles the time, and its weight is small.
        model = "RAE_L2" if model == "RAE_GP" else model
        for rate in RATES:
            self.pythae_at(rate, ["GMM 10"], model, *self.tuned_at)
        found = {
            float(row["model"].split("=")[1]): float(row["fid_choose"])
            for row in self.rows()
            if [row[key] for key in KEYS[1:]]
            in [[f"{model} lr={rate:g}", "GMM 10", *map(str, self.tuned_at)] for rate in RATES]
        }
        return min(found, key=found.get)

    def pixels(self, seed):
        real = {"library": "real", "model": "images", "sampler": "training images"}
        self.reference(real | {"latent_dim": "", "epochs": "", "seed": 0})
        about = {"model": "pixels", "epochs": "", "seed": seed}
        if installed("imbalanced-learn"):
            library = {"library": "imbalanced-learn", "latent_dim": ""}
            make = functools.partial(PixelModel, self.data, "imbalanced-learn", 2, seed)
            self.group(make, about | library, ["SMOTE"])
        for latent_dim in (8,) if self.arguments.smoke else (16, 64):
            library = {"library": "scikit-learn", "latent_dim": latent_dim}
            make = functools.partial(PixelModel, self.data, "scikit-learn", latent_dim, seed)
            names = ["GMM 10", "KDE 0.1", "KDE 0.3"]
            self.group(make, about | library, names)

    def unets(self, seed):
        seconds = self.seconds_of_ours(dict.fromkeys(KEYS, ""))
        if np.isnan(seconds):
            raise SystemExit("Run --parts autoencoders --epochs 5 first: it sets the time.")
        steps = (2,) if self.arguments.smoke else STEPS
        for budget in BUDGETS[:1] if self.arguments.smoke else BUDGETS:
            for library in self.arguments.unets:
                if not installed(library):
                    continue
                draws = {"diffusers": "DDIM", "torchcfm": "Euler"}[library]
                about = {"library": library, "model": f"U-Net, {budget} x our time"}
                about |= {"latent_dim": "", "epochs": "", "seed": seed}
                make = functools.partial(UNet, self.data, library, budget, seconds, seed)
                self.group(make, about, [f"{draws} {n} steps" for n in steps])


def installed(library):
    return all(importlib.util.find_spec(name) for name in LIBRARIES[library])


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, nothing is written")
    parser.add_argument("--data-home", help="folder with the files of MNIST")
    parser.add_argument("--cache", default=Path(__file__).parent / ".cache", help="of images")
    parser.add_argument("--results", default=RESULTS, help="folder of the results file")
    parser.add_argument("--n-fit", type=int, default=20_000, help="images to fit")
    parser.add_argument("--epochs", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--latent-dims", type=int, nargs="+", default=[64, 16])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", nargs="*", default=list(PYTHAE_MODELS), help="of pythae")
    unets = ["diffusers", "torchcfm"]
    parser.add_argument("--unets", nargs="*", default=unets, help="libraries that train one")
    parser.add_argument("--parts", nargs="+", default=["autoencoders", "pixels", "unets"])
    parser.add_argument(
        "--plot", action="store_true", help="only draw the picture from the results file"
    )
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    if arguments.plot:
        _peers_report.plot(pd.read_csv(Path(arguments.results) / "peers.csv"), PICTURE)
        return
    torch.set_num_threads(1)
    # Trainers of pythae write logs.
    logging.disable(logging.WARNING)
    if arguments.smoke:
        warnings.filterwarnings("ignore", message="The covariance of")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.smoke:
            arguments.epochs, arguments.latent_dims, arguments.seeds = [1], [8], [0]
            arguments.cache = arguments.results = folder
        for library in LIBRARIES:
            if not installed(library):
                print(f"{library} is not installed, so its rows are left out. See docs/peers.md.")
        data = Data(arguments.data_home, Path(arguments.cache), arguments.n_fit, arguments.smoke)
        run = Run(arguments, data)
        if "autoencoders" in arguments.parts:
            for seed in arguments.seeds:
                for epochs in arguments.epochs:
                    for latent_dim in arguments.latent_dims:
                        run.latentgen(latent_dim, epochs, seed)
                        for model in arguments.models if installed("pythae") else ():
                            run.pythae(model, latent_dim, epochs, seed)
        if "pixels" in arguments.parts:
            run.pixels(arguments.seeds[0])
        if "unets" in arguments.parts:
            run.unets(arguments.seeds[0])


if __name__ == "__main__":
    main()
