"""Experiments in phases: ensembles, one sampler per class, and warm starts read both ways.

They exist in the published system for CIFAR-10, without published numbers.
"""

# SPDX-License-Identifier: BSD-3-Clause

from copy import deepcopy
from functools import partial

from latentgen.autoencoders import ConvAutoencoder
from latentgen.experiments._models import fitted
from latentgen.experiments._sweeps import labeled_jobs
from latentgen.experiments._workbench import seeded
from latentgen.samplers import (
    ConditionalSampler,
    DiffusionSampler,
    EnsembleSampler,
    FastHVRTSampler,
    LocalGaussianSampler,
)

# Values of a code: those that suit images of one channel, and of three.
_LATENT_DIMS = (64, 128)
_FAST_HVRT = FastHVRTSampler(min_samples_leaf=5)
# Passes of a training that begins from the weights of the phase before.
_MORE_EPOCHS = 3
# Passes of the diffusion over the codes, and from where and in how many steps it denoises.
_DIFFUSION_EPOCHS = 60
_STARTS = [(time, n_steps) for time in (0.3, 0.4, 0.5, 0.6) for n_steps in (3, 5)]


def ensemble(bench):
    """Plan the rows of the unconditional ensembles of 1 to 7 samplers.

    Parameters
    ----------
    bench : Workbench
        With the sizes.

    Returns
    -------
    jobs : list of Job
        For ``bench.run``.

    Examples
    --------
    >>> from latentgen.experiments import Workbench, ensemble
    >>> bench = Workbench("digits", n_images=100, seeds=[0], n_draws=1, classifier_epochs=1)
    >>> ensemble(bench)[1].keys["setting"]
    'n_estimators=1'
    """
    of_model = _model_for(bench)
    jobs = bench.perfect_jobs(**of_model)
    for n_estimators in range(1, 8):
        sampler = EnsembleSampler(_FAST_HVRT, n_estimators=n_estimators)
        jobs += bench.sampler_jobs(f"n_estimators={n_estimators}", sampler, **of_model)
    return jobs


def conditional(bench):
    """Plan the rows of one sampler per class, and of warm starts.

    A warm start of weights is a training of 3 epochs that begins from the autoencoder of the
    unconditional phase, beside one of 3 epochs from new weights. A warm start of a diffusion
    denoises draws of FastHVRT in 3 or 5 steps, beside a diffusion from noise in 25.

    Parameters
    ----------
    bench : Workbench
        With the sizes.

    Returns
    -------
    jobs : list of Job
        For ``bench.run``.

    Examples
    --------
    >>> from latentgen.experiments import Workbench, conditional
    >>> bench = Workbench("digits", n_images=100, seeds=[0], n_draws=1, classifier_epochs=1)
    >>> conditional(bench)[-1].keys["setting"]
    'diffusion from FastHVRT, time 0.6, 5 steps'
    """
    of_model = _model_for(bench)
    jobs = [*bench.floor_jobs(), *bench.perfect_jobs(**of_model)]
    for name, sampler in {"FastHVRT": _FAST_HVRT, "local Gaussian": LocalGaussianSampler()}.items():
        jobs += bench.sampler_jobs(f"one {name}", sampler, **of_model)
        jobs += labeled_jobs(bench, f"{name} per class", ConditionalSampler(sampler), **of_model)
    for what, autoencoder, epochs in [
        ("weights carried over", _trained_on, of_model["epochs"] + _MORE_EPOCHS),
        ("new weights", _new, _MORE_EPOCHS),
    ]:
        jobs += labeled_jobs(
            *(bench, f"{what}, FastHVRT per class", ConditionalSampler(_FAST_HVRT)),
            autoencoder=autoencoder,
            **(of_model | {"epochs": epochs}),
        )
    jobs += bench.sampler_jobs("diffusion from noise", _diffusion(1.0, 25), **of_model)
    for time, n_steps in _STARTS:
        setting = f"diffusion from FastHVRT, time {time}, {n_steps} steps"
        jobs += bench.sampler_jobs(setting, _diffusion(time, n_steps), **of_model)
    return jobs


def _model_for(bench):
    few, more = _LATENT_DIMS
    channels = bench.parts.X_fit.shape[1] if bench.parts.X_fit.ndim == 4 else 1
    return {"latent_dim": more if channels == 3 else few, "beta": 0.0, "epochs": 20}


def _trained_on(bench, of_model, seed):
    """The autoencoder of the phase before, after a few more epochs."""
    before = of_model | {"epochs": of_model["epochs"] - _MORE_EPOCHS}

    def go_on():
        autoencoder = deepcopy(bench.autoencoder(**before, seed=seed).autoencoder)
        autoencoder.set_params(warm_start=True, max_epochs=_MORE_EPOCHS)
        return bench.encode(autoencoder.fit(bench.parts.X_fit))

    return bench.keep("trained on", (str(of_model), seed), go_on)


def _new(bench, of_model, seed):
    """An autoencoder after a few epochs from new weights."""

    def begin():
        autoencoder = ConvAutoencoder(
            of_model["latent_dim"], max_epochs=_MORE_EPOCHS, device=bench.device, random_state=seed
        )
        return bench.encode(autoencoder.fit(bench.parts.X_fit))

    return bench.keep("new", (str(of_model), seed), begin)


def _diffusion(start_time, n_steps):
    """Sampler that fits one diffusion to the codes, wherever draws start."""

    def draw(bench, coded, n_samples, seed):
        sampler = _fitted_diffusion(bench, coded)
        sampler.set_params(start_time=start_time, n_steps=n_steps)
        return sampler.sample(n_samples, random_state=seed), None

    draw.__name__ = f"diffusion_of_{n_steps}_steps_from_time_{start_time}"
    return draw


def _fitted_diffusion(bench, coded):
    seed, epochs = coded.autoencoder.random_state, 10 if bench.quick else _DIFFUSION_EPOCHS
    sampler = DiffusionSampler(start=_FAST_HVRT, max_epochs=epochs, device=bench.device)
    name = "-".join(
        f"{part}"
        for part in (
            *(bench.parts.name, len(coded.Z_fit), f"{coded.Z_fit.shape[1]}d"),
            *(f"{coded.autoencoder.max_epochs}epochs", f"diffusion{epochs}epochs-seed{seed}"),
        )
    )
    sampler = seeded(sampler, seed)
    fit = partial(fitted, sampler, bench.cache, name, lambda one: one.fit(coded.Z_fit))
    return bench.keep("diffusion", name, fit)
