"""The workbench of the experiments: images, fitted models, judges, and rows that are resumed."""

# SPDX-License-Identifier: BSD-3-Clause

import hashlib
import time
from collections.abc import Callable
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
from sklearn.base import clone

from latentgen.autoencoders import ConvAutoencoder
from latentgen.experiments._judge import Judge
from latentgen.experiments._models import fitted
from latentgen.experiments._parts import load_parts
from latentgen.experiments._record import Table, environment
from latentgen.metrics import ClassifierFeatures, active_units, kl_from_prior
from latentgen.samplers import ConditionalSampler

# Passes over few and small images, which train in seconds: with --quick.
_QUICK = {
    "digits": {"epochs": 40, "n_samples": 599, "classifier_epochs": 30},
    "mnist": {"n_images": 4000, "epochs": 8, "n_samples": 1000, "classifier_epochs": 4},
    "cifar10": {"n_images": 4000, "epochs": 5, "n_samples": 1000, "classifier_epochs": 4},
}


class Job(NamedTuple):
    """One row to make.

    Parameters
    ----------
    keys : dict
        Columns that tell the row from all others of its experiment, ``setting`` among them. A row
        that is there with all of them is not made again.
    make : callable
        ``make()`` gives the other columns.

    Examples
    --------
    >>> from latentgen.experiments import Job
    >>> job = Job({"setting": "a square", "side": 3}, lambda: {"area": 9})
    >>> job.make()
    {'area': 9}
    """

    keys: dict
    make: Callable


class Coded(NamedTuple):
    """A fitted autoencoder with codes.

    Parameters
    ----------
    autoencoder : ConvAutoencoder
    Z_fit, Z_test : ndarray of shape (n, latent_dim)
        Codes of the images of the fit and of the test images.
    about : dict
        Columns of every row: ``test_mse`` per pixel, ``fit_seconds``, and of a variational
        autoencoder ``kl`` in nats per test image and ``active_units``.
    """

    autoencoder: ConvAutoencoder
    Z_fit: np.ndarray
    Z_test: np.ndarray
    about: dict


class Workbench:
    """What all rows of an experiment share: parts of the images, models, judges and seeds.

    Parameters
    ----------
    data : {'mnist', 'cifar10', 'digits'}, default='mnist'
        Images.
    n_images : int, default=None
        Images to fit. None takes all but those set apart. Of all training images, half of the test
        images are the part of the judge, see `load_parts`.
    epochs : int, default=None
        Passes of every autoencoder over the images. None takes those of each setting.
    n_samples : int, default=None
        Number of images to draw; None draws as many as are judged against, and for TSTR as many as
        there are test images.
    classifier_epochs : int, default=None
        Passes of classifiers over their images: of those that judge, and of TSTR. None stands
        for 8.
    seeds : sequence of int, default=None
        Seeds of models. The classifier that judges a model has the same one. None stands for 0, 1
        and 2.
    n_draws : int, default=None
        How many times each fitted sampler draws. None stands for 3.
    device : str, default='auto'
        Where networks are trained, as for `ConvAutoencoder`.
    data_home : str or path-like, default=None
        Folder of the files of the images, as for `fetch_mnist`.
    cache : str or path-like, default=None
        Folder of fitted models, which are loaded where they are there.
    quick : bool, default=False
        Take sizes that are made in a minute or two for what is None, one seed and one draw.
    imagenet : bool, default=True
        Judge in `ImageNetFeatures` too, where they are installed. For 1 000 digits they take 6
        seconds on one core, the classifier 0.1.
    command : str, default=''
        What the user typed, for the rows.

    Attributes
    ----------
    parts : Parts
        Images and labels, see `load_parts`.
    n_samples, n_labeled : int
        Number of images to draw for distances, and for TSTR.

    Examples
    --------
    >>> import tempfile
    >>> from latentgen import GaussianSampler
    >>> from latentgen.experiments import Workbench
    >>> bench = Workbench("digits", epochs=1, n_samples=100, seeds=[0], n_draws=1)
    >>> jobs = bench.sampler_jobs("one Gaussian", GaussianSampler(), latent_dim=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [row] = bench.run("example", jobs, folder)
    >>> row["sampler"], row["n_fit"], row["frechet_distance"] > 0
    ('GaussianSampler()', 800, True)
    """

    def __init__(
        self,
        data="mnist",
        *,
        n_images=None,
        epochs=None,
        n_samples=None,
        classifier_epochs=None,
        seeds=None,
        n_draws=None,
        device="auto",
        data_home=None,
        cache=None,
        quick=False,
        imagenet=True,
        command="",
    ):
        sizes = _QUICK.get(data, {}) if quick else {}
        self.parts = load_parts(data, n_fit=n_images or sizes.get("n_images"), data_home=data_home)
        self.epochs = epochs or sizes.get("epochs")
        most, quick = len(self.parts.X_test), sizes.get("n_samples")
        self.n_samples = n_samples or min(quick or most, most)
        # Half of the test images judge where all training images are fitted to.
        self.n_labeled = n_samples or quick or len(self.parts.X_test_file)
        self.classifier_epochs = classifier_epochs or sizes.get("classifier_epochs", 8)
        self.seeds = tuple(seeds) if seeds else ((0,) if quick else (0, 1, 2))
        self.n_draws = n_draws or (1 if quick else 3)
        self.device, self.cache, self.command = device, cache, command
        self.quick, self.imagenet = quick, imagenet
        self._last = {}

    # Models

    def autoencoder(self, latent_dim, *, beta=0.0, epochs=20, seed=0, **params):
        """Fit an autoencoder to the images of the fit, or load it.

        Parameters
        ----------
        latent_dim : int
            Number of values in a code.
        beta : float, default=0.0
            Weight of the KL term.
        epochs : int, default=20
            Passes over the images, unless the workbench has a number of its own.
        seed : int, default=0
            Its ``random_state``.
        **params : dict
            Further parameters of `ConvAutoencoder`.

        Returns
        -------
        coded : Coded
            A named tuple: ``autoencoder``, the codes ``Z_fit`` and ``Z_test``, and ``about``, a
            dict of columns for its rows.
        """
        epochs, X = self.epochs or epochs, self.parts.X_fit
        name = (
            f"{self.parts.name}-{len(X)}-{latent_dim}d-beta{beta:g}-{epochs}epochs-seed{seed}"
            f"{_suffix(params)}"
        )
        params |= {"beta": beta, "max_epochs": epochs, "random_state": seed}
        return self.keep("autoencoder", name, lambda: self._code(name, latent_dim, params))

    def _code(self, name, latent_dim, params):
        autoencoder = ConvAutoencoder(latent_dim, device=self.device, **params)
        return self.encode(
            fitted(autoencoder, self.cache, name, lambda one: one.fit(self.parts.X_fit))
        )

    def encode(self, autoencoder):
        """Encode the images with a fitted autoencoder.

        Parameters
        ----------
        autoencoder : ConvAutoencoder
            Fitted to the images of the fit.

        Returns
        -------
        coded : Coded
            With its codes.
        """
        X, X_test = self.parts.X_fit, self.parts.X_test
        about = {
            "test_mse": -autoencoder.score(X_test),
            "fit_seconds": sum(row["dur"] for row in autoencoder.history_),
        }
        if autoencoder.beta > 0:
            mean, variance = autoencoder.posterior(X_test)
            about["kl"] = kl_from_prior(mean, variance)
            about["active_units"] = active_units(mean)
        return Coded(autoencoder, autoencoder.transform(X), autoencoder.transform(X_test), about)

    @property
    def mean_image_mse(self):
        """Squared error per pixel of the mean image of the fit, of test images in [0, 1]."""
        X_fit, X_test = self.parts.X_fit, self.parts.X_test
        white = 255 if X_fit.dtype == np.uint8 else 1
        return float(np.square((X_test - X_fit.mean(axis=0)) / white).mean())

    @cached_property
    def judge(self):
        """The judge of all images."""
        return Judge(self.parts, self._extractor, imagenet=self.imagenet)

    def _extractor(self, seed):
        """Classifier in whose features images are compared, fitted to the judge's part."""
        X, y = self.parts.X_judge, self.parts.y_judge
        epochs = self.classifier_epochs
        classifier = ClassifierFeatures(max_epochs=epochs, device=self.device, random_state=seed)
        # Of as many images as are fitted to, the judge's are test images.
        of = "judge" if self.parts.X_choose is not None else "judge-of-test"
        name = f"{self.parts.name}-{of}{len(X)}-{epochs}epochs-seed{seed}"
        return fitted(classifier, self.cache, name, lambda one: one.fit(X, y))

    # Rows

    def keys(
        self, setting, *, latent_dim=None, beta=None, epochs=None, sampler, seed, draw, judged=True
    ):
        """Gather the columns that tell a row from others.

        Parameters
        ----------
        setting : str
            Name of the rows.
        latent_dim : int, default=None
            Of the autoencoder, None without one.
        beta : float, default=None
            Of the autoencoder.
        epochs : int, default=None
            Of the autoencoder, unless the workbench has a number of its own.
        sampler : str
            What draws.
        seed : int
            Of the models.
        draw : int
            Number of the draw.
        judged : bool, default=True
            Name the extractors that judge.

        Returns
        -------
        keys : dict
            With the data and the extractors.
        """
        return {
            "setting": setting,
            "data": self.parts.name,
            "data_digest": self.parts.digest,
            "n_fit": len(self.parts.X_fit),
            "latent_dim": latent_dim,
            "beta": beta,
            "epochs": None if epochs is None else self.epochs or epochs,
            "sampler": sampler,
            "seed": seed,
            "draw": draw,
            "n_generated": self.n_samples,
            **(self.judge.describe(seed) if judged else {}),
        }

    def sampler_jobs(
        self, setting, sampler, *, latent_dim, beta=0.0, epochs=20, n_refinements=0, **params
    ):
        """Rows of one sampler on the codes of an autoencoder: one per seed and draw.

        Parameters
        ----------
        setting : str
            Name of the rows.
        sampler : sampler or callable
            Is cloned, seeded and fitted to the codes of the fit, with their labels if it is a
            `ConditionalSampler`. A function ``sampler(bench, coded, n, seed)`` gives codes and
            their labels or None itself.
        latent_dim : int
            Of the autoencoder, as the following ones.
        beta : float, default=0.0
            Weight of the KL term.
        epochs : int, default=20
            Passes over the images, unless the workbench has a number of its own.
        n_refinements : int, default=0
            As for `LatentGenerativePipeline`; name it in `setting`.
        **params : dict
            Further parameters of `ConvAutoencoder`.

        Returns
        -------
        jobs : list of Job
            For `run`.
        """
        of_model = {"latent_dim": latent_dim, "beta": beta, "epochs": epochs}
        name, model = describe_sampler(sampler), {**of_model, **params}
        return [
            Job(
                self.keys(setting, **of_model, sampler=name, seed=seed, draw=draw),
                partial(self._judge_sampler, sampler, model, n_refinements, seed, draw),
            )
            for seed in self.seeds
            for draw in range(self.n_draws)
        ]

    def _judge_sampler(self, sampler, of_model, n_refinements, seed, draw):
        coded = self.autoencoder(**of_model, seed=seed)
        Z_new, y_new, seconds = self.draw(sampler, coded, seed, draw)
        X_new = coded.autoencoder.inverse_transform(Z_new)
        for _ in range(n_refinements):
            Z_new = coded.autoencoder.transform(X_new)
            X_new = coded.autoencoder.inverse_transform(Z_new)
        return {
            **coded.about,
            "sample_seconds": seconds,
            **self.judge.generated(X_new, y_new, Z_new, coded=coded, seed=seed),
        }

    def draw(self, sampler, coded, seed, draw, *, n_samples=None):
        """Fit a sampler to the codes of the fit, unless it was the last one, and draw.

        Parameters
        ----------
        sampler : sampler or callable
            As for `sampler_jobs`.
        coded : Coded
            What `autoencoder` gives.
        seed : int
            Of the sampler, and together with `draw` of what it draws.
        draw : int
            Number of the draw.
        n_samples : int, default=None
            None takes that of the workbench.

        Returns
        -------
        Z_new : ndarray of shape (n_samples, latent_dim)
            Codes.
        y_new : ndarray of shape (n_samples,) or None
            Labels of a `ConditionalSampler`, those of `real_rows`.
        seconds : float
            For drawing the codes.
        """
        n_samples = n_samples or self.n_samples
        # Different for every model and draw.
        state = int(np.random.SeedSequence((seed, draw)).generate_state(1)[0])
        if not hasattr(sampler, "sample"):
            start = time.perf_counter()
            Z_new, y_new = sampler(self, coded, n_samples, state)
            return Z_new, y_new, time.perf_counter() - start
        per_class = isinstance(sampler, ConditionalSampler)
        y = self.parts.y_fit if per_class else None
        # Not the number of its id, which another one may get that takes its place.
        name = describe_sampler(sampler), seed, coded.autoencoder
        sampler = self.keep("sampler", name, lambda: seeded(sampler, seed).fit(coded.Z_fit, y))
        y_new = self.parts.y_fit[self.real_rows(seed, draw, n_samples)] if per_class else None
        start = time.perf_counter()
        arguments = {"y": y_new} if per_class else {}
        Z_new = sampler.sample(n_samples, random_state=state, **arguments)
        return Z_new, y_new, time.perf_counter() - start

    def real_rows(self, seed, draw, n_samples=None):
        """Pick as many images of the fit as are drawn.

        Parameters
        ----------
        seed : int
            Of the models.
        draw : int
            Number of the draw; another one picks others.
        n_samples : int, default=None
            None takes that of the workbench.

        Returns
        -------
        rows : ndarray of shape (n_samples,)
            Rows of ``parts.X_fit``, each once if there are enough.
        """
        n_fit, n_samples = len(self.parts.X_fit), n_samples or self.n_samples
        rng = np.random.default_rng((seed, draw))
        if n_samples <= n_fit:
            return rng.permutation(n_fit)[:n_samples]
        return rng.integers(n_fit, size=n_samples)

    def floor_jobs(self):
        """Plan rows of real images of the fit: as many as are drawn, of the same classes.

        Returns
        -------
        jobs : list of Job
            One per seed and draw.
        """

        def make(seed, draw):
            rows = self.real_rows(seed, draw)
            X, y = self.parts.X_fit[rows], self.parts.y_fit[rows]
            return self.judge.generated(X, y, seed=seed)

        name = "real images of the fit"
        return [
            Job(self.keys(name, sampler=name, seed=seed, draw=draw), partial(make, seed, draw))
            for seed in self.seeds
            for draw in range(self.n_draws)
        ]

    def perfect_jobs(self, *, latent_dim, beta=0.0, epochs=20, **params):
        """Plan rows of a perfect sampler: decoded codes of one half of the test images.

        The other half is what they are judged by, so both are half as many as else.

        Parameters
        ----------
        latent_dim : int
            Of the autoencoder, as the following ones.
        beta : float, default=0.0
            Weight of the KL term.
        epochs : int, default=20
            Passes over the images, unless the workbench has a number of its own.
        **params : dict
            Further parameters of `ConvAutoencoder`.

        Returns
        -------
        jobs : list of Job
            One per seed.
        """
        of_model = {"latent_dim": latent_dim, "beta": beta, "epochs": epochs}

        def make(seed):
            coded = self.autoencoder(**of_model, **params, seed=seed)
            return {**coded.about, **self.judge.perfect(coded, seed=seed)}

        name = "perfect sampler"
        jobs = []
        for seed in self.seeds:
            keys = self.keys(name, **of_model, sampler="unseen codes", seed=seed, draw=0)
            keys["n_generated"] = len(self.parts.X_test) // 2
            jobs.append(Job(keys, partial(make, seed)))
        return jobs

    def run(self, experiment, jobs, results, *, settings=None, progress=None):
        """Make the rows of an experiment that are not there.

        Parameters
        ----------
        experiment : str
            Name of the files, see `Table`.
        jobs : list of Job
            What an experiment has planned.
        results : str or path-like
            Folder of the files.
        settings : list of str, default=None
            Make only rows whose setting has one of these texts in its name.
        progress : callable, default=None
            ``progress(row, n_done, n_jobs, seconds, n_new)`` is called with every row; `seconds`
            is the time that the `n_new` rows have taken that were made so far.

        Returns
        -------
        rows : list of dict
            All rows that were asked for, those that were there among them.

        Raises
        ------
        ValueError
            If `settings` leaves no row.
        """
        wanted = [job for job in jobs if _is_wanted(job.keys["setting"], settings)]
        if not wanted:
            known = ", ".join(dict.fromkeys(job.keys["setting"] for job in jobs))
            raise ValueError(f"no setting of '{experiment}' matches {settings}. It has {known}.")
        table, rows, seconds, n_new = Table(results, experiment), [], 0.0, 0
        there = [table.find({"experiment": experiment, **job.keys}) for job in wanted]
        # First those that are there, so that what is left to do is known.
        order = sorted(range(len(wanted)), key=lambda i: there[i] is None)
        for n_done, i in enumerate(order, start=1):
            row = there[i]
            if row is None:
                start = time.perf_counter()
                row = {"experiment": experiment, **wanted[i].keys, **wanted[i].make()}
                table.add({**row, **environment(), "command": self.command})
                seconds, n_new = seconds + time.perf_counter() - start, n_new + 1
            rows.append(row)
            if progress is not None:
                progress(row, n_done, len(wanted), seconds, n_new)
        return rows

    def keep(self, kind, name, make):
        """Make a thing, unless it is the last one that was made of its kind.

        The rows that need one come one after the other.

        Parameters
        ----------
        kind : str
            Of each kind one thing is kept.
        name : object
            Tells it from others of its kind.
        make : callable
            ``make()`` gives it.

        Returns
        -------
        thing : object
            What `make` gave.
        """
        if self._last.get(kind, (None,))[0] != name:
            self._last[kind] = None, None  # Frees the memory first.
            self._last[kind] = name, make()
        return self._last[kind][1]


def describe_sampler(sampler):
    """One line for a sampler: its parameters that are not the default ones."""
    if hasattr(sampler, "get_params"):
        return " ".join(repr(sampler).split())
    return sampler.__name__.replace("_", " ")


def seeded(estimator, seed):
    """Clone an estimator and seed every ``random_state`` in it."""
    estimator = clone(estimator)
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "random_state"]
    return estimator.set_params(**dict.fromkeys(names, seed))


def _is_wanted(setting, settings):
    return settings is None or any(text.lower() in setting.lower() for text in settings)


def _suffix(params):
    """Part of a file's name for parameters that are not in it by name."""
    if not params:
        return ""
    text = ",".join(f"{name}={params[name]!r}" for name in sorted(params))
    return f"-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
