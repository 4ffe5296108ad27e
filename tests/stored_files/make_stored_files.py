"""Write the model files that every later version must open: ``python make_stored_files.py``.

One folder for each version of latentgen, with one small file for each model below and with what the
models give, as arrays. Run it once when a version is finished; files of older versions stay.
"""

# SPDX-License-Identifier: BSD-3-Clause

import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler
from torch import nn

from latentgen import (
    ConditionalSampler,
    ConvAutoencoder,
    DiffusionSampler,
    EnsembleSampler,
    FastHVRTSampler,
    GaussianMixtureSampler,
    GaussianSampler,
    KernelDensitySampler,
    LocalGaussianSampler,
    NetworkAutoencoder,
    NormalizingFlowSampler,
    __version__,
    make_latent_pipeline,
    save_model,
)
from latentgen.autoencoders import MaskedAutoencodingObjective
from latentgen.metrics import ClassifierFeatures

FOLDER = Path(__file__).parent
N_IMAGES = 60
TRAINING = {"max_epochs": 1, "random_state": 0}
CONV = {"channels": (4,), **TRAINING}

# Those that take images, and those that take codes of three values.
IMAGE_MODELS = {
    "autoencoder": ConvAutoencoder(3, beta=1.0, **CONV),
    "regularized": ConvAutoencoder(3, regularizers=[MaskedAutoencodingObjective()], **CONV),
    "network": NetworkAutoencoder(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), nn.Linear(3, 64), **TRAINING
    ),
    "pipeline": make_latent_pipeline(
        ConvAutoencoder(3, **CONV), FastHVRTSampler(min_samples_leaf=9, random_state=0)
    ),
    "conditional": make_latent_pipeline(
        ConvAutoencoder(3, **CONV),
        StandardScaler(),
        ConditionalSampler(LocalGaussianSampler(2, random_state=0)),
    ),
    "features": ClassifierFeatures(max_epochs=1),
}
CODE_MODELS = {
    "gaussian": GaussianSampler(shrinkage=0.1),
    "mixture": GaussianMixtureSampler(2, random_state=0),
    "kernel_density": KernelDensitySampler("silverman"),
    "local_gaussian": LocalGaussianSampler(3, temperature=0.8, random_state=0),
    "hvrt_copula": FastHVRTSampler("univariate_kde_copula", min_samples_leaf=9, random_state=0),
    "hvrt_local": FastHVRTSampler("local_gaussian", partition="local", random_state=0),
    "ensemble": EnsembleSampler(GaussianSampler(), 2, min_novelty=0.1, random_state=0),
    "flow": NormalizingFlowSampler(n_transforms=1, hidden_features=(4,), **TRAINING),
    "diffusion": DiffusionSampler(width=4, n_blocks=1, n_steps=2, **TRAINING),
}


def make_images():
    """Digits (60, 1, 8, 8) in [0, 1], float32, and their labels, three of them."""
    X, y = load_digits(return_X_y=True)
    return (X[:N_IMAGES] / 16).astype(np.float32).reshape(-1, 1, 8, 8), y[:N_IMAGES] % 3


def make_codes():
    """Codes (60, 3), float32, and their labels."""
    rng = np.random.RandomState(0)
    y = np.arange(N_IMAGES) % 3
    return (rng.standard_normal((N_IMAGES, 3)) + 4 * y[:, None]).astype(np.float32), y


def outputs(name, model):
    """What a model gives, as arrays by name."""
    X, _ = make_images() if name in IMAGE_MODELS else make_codes()
    found = {}
    if hasattr(model, "sample"):
        found["sample"] = model.sample(4, random_state=0)
    if hasattr(model, "score_samples"):
        found["score_samples"] = model.score_samples(X[:4])
    if hasattr(model, "transform"):
        found["transform"] = model.transform(X[:4])
    if hasattr(model, "reconstruct"):
        found["reconstruct"] = model.reconstruct(X[:4])
    return found


def main():
    """Fit the models and write the files of this version."""
    warnings.simplefilter("ignore")  # The models are far too small.
    folder = FOLDER / __version__
    folder.mkdir(exist_ok=True)
    expected = {}
    for models, data in [(IMAGE_MODELS, make_images()), (CODE_MODELS, make_codes())]:
        for name, model in models.items():
            path = folder / f"{name}.latentgen"
            save_model(model.fit(*data), path)
            found = outputs(name, model)
            expected |= {f"{name}.{key}": np.asarray(value) for key, value in found.items()}
            print(f"{path.name}: {path.stat().st_size} bytes, {', '.join(found)}")
    np.savez_compressed(folder / "expected.npz", **expected)


if __name__ == "__main__":
    main()
