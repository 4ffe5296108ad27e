"""Generation: samplers on the codes of autoencoders, beside variational ones and their prior.

The published experiment has an autoencoder with 16 values and 100 epochs and one with 64 values and
20 epochs, each with FastHVRT, and a variational autoencoder with beta = 1.
"""

# SPDX-License-Identifier: BSD-3-Clause

from latentgen.experiments._tstr import posterior_of_training_images
from latentgen.samplers import FastHVRTSampler, GaussianSampler, LocalGaussianSampler

BETAS = {"VAE": 1.0, "VAE beta 0.05": 0.05}


def generation(bench):
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
    >>> from latentgen.experiments import Workbench, generation
    >>> bench = Workbench("digits", n_images=100, seeds=[0], n_draws=1, classifier_epochs=1)
    >>> generation(bench)[2].keys["sampler"]
    "FastHVRTSampler(strategy='bootstrap_noise')"
    """
    leaf_5 = FastHVRTSampler(min_samples_leaf=5)
    jobs = [*bench.floor_jobs()]
    for latent_dim, epochs, samplers in [
        (
            *(16, 100),
            {"bootstrap": FastHVRTSampler("bootstrap_noise"), "epanechnikov": FastHVRTSampler()},
        ),
        (64, 20, {"epanechnikov": FastHVRTSampler(), "epanechnikov, leaf 5": leaf_5}),
    ]:
        model = {"latent_dim": latent_dim, "epochs": epochs}
        jobs += bench.perfect_jobs(**model)
        # Beyond the published table.
        samplers["local Gaussian"] = LocalGaussianSampler()
        for name, sampler in samplers.items():
            jobs += bench.sampler_jobs(f"AE + {name}", sampler, **model)
    for name, beta in BETAS.items():
        for latent_dim in (16, 64):
            model = {"latent_dim": latent_dim, "epochs": 20, "beta": beta}
            jobs += bench.perfect_jobs(**model)
            for what, sampler in {
                "N(0, I)": GaussianSampler(covariance="identity"),
                "posterior of training images": posterior_of_training_images,
                "epanechnikov, leaf 5": leaf_5,
                "local Gaussian": LocalGaussianSampler(),
            }.items():
                jobs += bench.sampler_jobs(f"{name} + {what}", sampler, **model)
    return jobs
