"""TSTR: what a classifier learns from generated images only, beside what it learns from real ones.

The published table has 10 000 images of each kind and all 60 000 real ones. Every classifier makes
as many optimizer steps here, whatever the number of images: those of `classifier_epochs` passes
over all images of the fit. Fewer images are repeated.
"""

# SPDX-License-Identifier: BSD-3-Clause

from functools import partial

import numpy as np

from latentgen.experiments._workbench import Job, describe_sampler
from latentgen.metrics import ClassifierFeatures, tstr_score
from latentgen.samplers import (
    ConditionalSampler,
    FastHVRTSampler,
    GaussianSampler,
    LocalGaussianSampler,
)

BATCH_SIZE = 128
# As many images as are fitted to, and five times as many.
_MULTIPLES = (1, 5)
_AUTOENCODER = {"latent_dim": 64, "beta": 0.0, "epochs": 20}
_VAE = _AUTOENCODER | {"beta": 0.05}


def tstr(bench):
    """Plan the rows of the experiment.

    Parameters
    ----------
    bench : Workbench
        Images, sizes and seeds.

    Returns
    -------
    jobs : list of Job
        For `Workbench.run`.

    Examples
    --------
    >>> from latentgen.experiments import Workbench, tstr
    >>> bench = Workbench("digits", n_images=100, seeds=[0], n_draws=1)
    >>> [job.keys["n_generated"] for job in tstr(bench)][:2]
    [100, 599]
    """
    n, n_all = bench.n_labeled, len(bench.parts.X_fit)
    sizes = [n, *(multiple * n_all for multiple in _MULTIPLES)]
    prior = ConditionalSampler(GaussianSampler(covariance="identity"))
    diagonal = ConditionalSampler(GaussianSampler(covariance="diag"))
    jobs = _jobs(bench, "real, all", real_images, n_all)
    jobs += _jobs(bench, "real", real_images, n)
    for name, sampler in {
        "FastHVRT per class": ConditionalSampler(FastHVRTSampler(min_samples_leaf=5)),
        "local Gaussian per class": ConditionalSampler(LocalGaussianSampler()),
    }.items():
        for size in dict.fromkeys(sizes):
            jobs += _jobs(bench, name, sampler, size, _AUTOENCODER)
    # Labels say nothing about a draw of N(0, I), so the classes of these are chance.
    jobs += _jobs(bench, "N(0, I) decoded", prior, n, _AUTOENCODER)
    jobs += _jobs(bench, "normal per class, diagonal", diagonal, n, _AUTOENCODER)
    jobs += _jobs(bench, "VAE, N(0, I)", prior, n, _VAE)
    jobs += _jobs(bench, "VAE, normal per class, diagonal", diagonal, n, _VAE)
    jobs += _jobs(bench, "VAE, posterior of training images", posterior_of_training_images, n, _VAE)
    return jobs


def _jobs(bench, setting, sampler, n_generated, of_model=None):
    """Rows of one kind of images, one per seed and draw."""
    n_passed = bench.classifier_epochs * len(bench.parts.X_fit)
    jobs = []
    for seed in bench.seeds:
        for draw in range(bench.n_draws):
            keys = bench.keys(
                *(setting,),
                **(of_model or {}),
                sampler=describe_sampler(sampler),
                seed=seed,
                draw=draw,
                judged=False,
            )
            keys |= {"n_generated": n_generated, "images_passed": n_passed}
            make = partial(_score, bench, sampler, n_generated, n_passed, of_model, seed, draw)
            jobs.append(Job(keys, make))
    return jobs


def _score(bench, sampler, n_generated, n_passed, of_model, seed, draw):
    columns = {}
    if of_model is None:
        X, y = sampler(bench, n_generated, seed, draw)
    else:
        coded = bench.autoencoder(**of_model, seed=seed)
        Z, y, seconds = bench.draw(sampler, coded, seed, draw, n_samples=n_generated)
        X = coded.autoencoder.inverse_transform(Z)
        columns = {**coded.about, "sample_seconds": seconds}
    # One pass over repeated images, so that the schedule of the learning rate is the same too.
    classifier = ClassifierFeatures(
        max_epochs=1, batch_size=BATCH_SIZE, device=bench.device, random_state=seed
    )
    X_test, y_test = bench.parts.X_test_file, bench.parts.y_test_file
    accuracy = tstr_score(
        *(X_test, y_test, X, y),
        classifier=classifier,
        images_per_epoch=n_passed,
        random_state=seed,
    )
    return {
        **columns,
        "n_real": len(X_test),
        "optimizer_steps": n_passed // BATCH_SIZE,
        "classifier": f"ClassifierFeatures(batch_size={BATCH_SIZE}, max_epochs=1)",
        "tstr": accuracy,
    }


def real_images(bench, n_images, seed, draw):
    """Take images of the fit, all of them or some at random, with their labels."""
    rows = bench.real_rows(seed, draw, min(n_images, len(bench.parts.X_fit)))
    return bench.parts.X_fit[rows], bench.parts.y_fit[rows]


def posterior_of_training_images(bench, coded, n_samples, seed):
    """Draw z ~ q(z | x) for images x of the fit, with the label of x."""
    rows = np.random.default_rng(seed).permutation(len(bench.parts.X_fit))
    rows = np.resize(rows, n_samples)
    codes = coded.autoencoder.sample_posterior(bench.parts.X_fit[rows], random_state=seed)
    return codes, bench.parts.y_fit[rows]
