"""The published sweeps: one dial of the sampler or of the autoencoder at a time.

Each row has two draws of as many images: without labels for the distances, and from one sampler per
class for TSTR, as in the published tables.
"""

# SPDX-License-Identifier: BSD-3-Clause

import math
from functools import partial

from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from latentgen.experiments._workbench import Job, describe_sampler
from latentgen.metrics import tstr_score
from latentgen.model_selection import sweeps
from latentgen.samplers import ConditionalSampler, EnsembleSampler, FastHVRTSampler

# Published betas, whose unit is not stated.
_LITERAL_BETAS = (0.01, 0.025, 0.05, 0.2)
# Values of a code where the sweep itself does not vary them. A published beta that was good for one
# was not good for the other.
_LATENT_DIMS = {"beta": (16, 64)}


def sweep(bench, name):
    """Plan the rows of a published sweep.

    Parameters
    ----------
    bench : Workbench
        With the sizes.
    name : {'strategy', 'beta', 'latent_dim', 'ensemble', 'tree'}
        A key of `latentgen.model_selection.sweeps`. The betas are those of the grid, read in the
        unit of `ConvAutoencoder`, and the published numbers in that of programs that average the
        reconstruction loss over pixels, where a beta is that of `ConvAutoencoder` divided by the
        number of pixels.

    Returns
    -------
    jobs : list of Job
        For ``bench.run``.

    Raises
    ------
    ValueError
        If there is no such sweep.

    Examples
    --------
    >>> from latentgen.experiments import Workbench, sweep
    >>> bench = Workbench("digits", n_images=100, seeds=[0], n_draws=1, classifier_epochs=1)
    >>> sweep(bench, "strategy")[1].keys["sampler"]
    "FastHVRTSampler(strategy='multivariate_kde')"
    """
    if name not in sweeps:
        raise ValueError(f"expected one of the sweeps {', '.join(sweeps)}, got {name!r}.")
    start = EnsembleSampler(FastHVRTSampler()) if name == "ensemble" else FastHVRTSampler()
    jobs = []
    dims_of_sweep = _LATENT_DIMS.get(name, (64,))
    # Each beta is a training of its own.
    for dims in dims_of_sweep[:1] if bench.quick else dims_of_sweep:
        for setting, of_sampler, of_model in _settings(bench, name):
            sampler = clone(start).set_params(**of_sampler)
            of_model = {"latent_dim": dims, "beta": 0.0, "epochs": 20} | of_model
            jobs += labeled_jobs(bench, setting, sampler, **of_model)
    return jobs


def _settings(bench, name):
    """Names of the settings with the parameters of sampler and autoencoder."""
    candidates = list(ParameterGrid(sweeps[name]))
    if name == "beta":
        n_pixels = math.prod(bench.parts.X_fit.shape[1:])
        candidates += [{"autoencoder__beta": n_pixels * beta} for beta in _LITERAL_BETAS]
    for candidate in candidates:
        of = {"sampler": {}, "autoencoder": {}}
        for key, value in candidate.items():
            step, _, parameter = key.partition("__")
            of[step][parameter] = value
        setting = ", ".join(f"{key.partition('__')[2]}={value}" for key, value in candidate.items())
        yield setting, of["sampler"], of["autoencoder"]


def labeled_jobs(bench, setting, sampler, *, autoencoder=None, **of_model):
    """Rows with TSTR: of the images themselves, or else of as many from one sampler per class.

    Parameters
    ----------
    bench : Workbench
    setting, sampler, **of_model
        As for ``bench.sampler_jobs``.
    autoencoder : callable, default=None
        ``autoencoder(bench, of_model, seed)`` gives another one than ``bench.autoencoder``.
    """
    make = partial(_judge_with_labels, bench, sampler, of_model, autoencoder)
    name = describe_sampler(sampler)
    return [
        Job(
            bench.keys(setting, **of_model, sampler=name, seed=seed, draw=draw),
            partial(make, seed, draw),
        )
        for seed in bench.seeds
        for draw in range(bench.n_draws)
    ]


def _judge_with_labels(bench, sampler, of_model, autoencoder, seed, draw):
    if autoencoder is None:
        coded = bench.autoencoder(**of_model, seed=seed)
    else:
        coded = autoencoder(bench, of_model, seed)

    def draw_with(sampler):
        Z_new, y_new, seconds = bench.draw(sampler, coded, seed, draw)
        return Z_new, coded.autoencoder.inverse_transform(Z_new), y_new, seconds

    Z_new, X_new, y_new, seconds = draw_with(sampler)
    columns = bench.judge.generated(X_new, y_new, Z_new, coded=coded, seed=seed)
    if y_new is None:
        _, X_new, y_new, _ = draw_with(ConditionalSampler(sampler))
    X_test, y_test = bench.parts.X_test, bench.parts.y_test
    columns["tstr"] = tstr_score(X_test, y_test, X_new, y_new, random_state=seed)
    return {**coded.about, "sample_seconds": seconds, **columns}
