"""The experiments: what they plan, and tiny runs of them by the command line."""

# SPDX-License-Identifier: BSD-3-Clause

import json

import pytest

from latentgen.cli import main
from latentgen.cli._benchmark import _table
from latentgen.experiments import Workbench, generation, load_parts, tstr
from latentgen.experiments import _tstr as tstr_module


@pytest.fixture(scope="module")
def mnist_sizes(bench):
    """A workbench that plans as on MNIST and makes nothing."""
    bench = Workbench("digits", seeds=[0, 1], n_draws=1, n_samples=50, classifier_epochs=2)
    bench.parts = bench.parts._replace(X_fit=bench.parts.X_fit[:500])
    return bench


def planned(jobs, *columns):
    return [tuple(job.keys[column] for column in columns) for job in jobs]


def test_generation_plans_the_published_rows(bench):
    rows = planned(generation(bench), "setting", "latent_dim", "beta", "sampler")
    for row in [
        ("AE + bootstrap", 16, 0.0, "FastHVRTSampler(strategy='bootstrap_noise')"),
        ("AE + epanechnikov", 16, 0.0, "FastHVRTSampler()"),
        ("AE + epanechnikov", 64, 0.0, "FastHVRTSampler()"),
        ("AE + epanechnikov, leaf 5", 64, 0.0, "FastHVRTSampler(min_samples_leaf=5)"),
        ("VAE + N(0, I)", 64, 1.0, "GaussianSampler(covariance='identity')"),
        ("VAE + posterior of training images", 64, 1.0, "posterior of training images"),
        ("VAE beta 0.05 + epanechnikov, leaf 5", 16, 0.05, "FastHVRTSampler(min_samples_leaf=5)"),
    ]:
        assert rows.count(row) == 2, row  # draws


def test_generation_has_the_published_epochs():
    bench = Workbench("digits", n_images=50, seeds=[0], n_draws=1, classifier_epochs=1)
    of_dim = {dim: set() for dim in (16, 64)}
    for job in generation(bench):
        if job.keys["beta"] == 0:
            of_dim[job.keys["latent_dim"]].add(job.keys["epochs"])
    assert of_dim == {16: {100}, 64: {20}}


def test_no_two_rows_have_the_same_keys(bench):
    for jobs in (generation(bench), tstr(bench)):
        keys = [json.dumps(job.keys, sort_keys=True) for job in jobs]
        assert len(set(keys)) == len(keys)


def test_tstr_passes_as_many_images_whatever_their_number(mnist_sizes, monkeypatch):
    rows = tstr(mnist_sizes)
    assert {job.keys["images_passed"] for job in rows} == {1000}
    sizes = [job.keys["n_generated"] for job in rows if job.keys["setting"] == "FastHVRT per class"]
    assert sizes == [50, 50, 500, 500, 2500, 2500]
    passed = {}

    def score(*images, classifier, images_per_epoch, random_state):
        passed.update(n=len(images[2]), per_epoch=images_per_epoch, epochs=classifier.max_epochs)
        passed.update(classifier=classifier.random_state, repeats=random_state)
        return 0.5

    monkeypatch.setattr(tstr_module, "tstr_score", score)
    row = next(job for job in rows if planned([job], "setting", "seed") == [("real", 1)]).make()
    assert passed == {"n": 50, "per_epoch": 1000, "epochs": 1, "classifier": 1, "repeats": 1}
    assert (row["tstr"], row["optimizer_steps"]) == (0.5, 7)


def test_tstr_has_as_many_images_as_there_are_test_images():
    bench = Workbench("digits", n_images=1198, seeds=[0], n_draws=1, classifier_epochs=1)
    assert (bench.n_samples, len(bench.parts.X_test_file)) == (300, 599)
    assert planned(tstr(bench), "setting", "n_generated")[1] == ("real", 599)


def test_images_of_posteriors_have_the_labels_of_what_they_are_drawn_for(bench):
    coded = bench.autoencoder(3, beta=1.0, seed=3)
    Z, y = tstr_module.posterior_of_training_images(bench, coded, 250, 0)
    mean, variance = coded.autoencoder.posterior(bench.parts.X_fit)
    # A draw lies within five standard deviations of the mean of an image of its class.
    for code, label in zip(Z, y, strict=True):
        near = abs(code - mean) < 5 * variance**0.5
        assert label in bench.parts.y_fit[near.all(axis=1)]
    assert len(Z) == 250


def test_quick_sizes_are_of_an_autoencoder_that_has_learned():
    bench = Workbench("digits", quick=True)
    X_fit, X_test = load_parts("digits").X_fit, bench.parts.X_test
    of_mean_image = ((X_test - X_fit.mean(axis=0)) ** 2).mean()
    assert bench.mean_image_mse == pytest.approx(of_mean_image)
    assert bench.autoencoder(16).about["test_mse"] < 0.15 * of_mean_image


@pytest.mark.parametrize(
    "arguments",
    [
        ["generation", "--settings", "AE + epanechnikov", "--epochs", "1"],
        ["tstr", "--settings", "real", "N(0, I) decoded", "--epochs", "1"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_command_runs_and_goes_on(arguments, tmp_path, capsys):
    sizes = ["--quick", "--images", "60", "--samples", "40", "--classifier-epochs", "1"]
    command = ["benchmark", *arguments, *sizes, "--results", str(tmp_path / "r")]
    assert main(command) == 0
    first = capsys.readouterr()
    assert "60 images of 'digits' to fit" in first.out and "left)" in first.err
    table = tmp_path / "r" / f"{arguments[0]}.json"
    rows = json.loads(table.read_text())
    assert str(tmp_path) not in table.read_text()
    assert rows[0]["command"].startswith(f"latentgen benchmark {arguments[0]} --images 60 ")
    assert main(command) == 0
    second = capsys.readouterr()
    assert json.loads(table.read_text()) == rows
    assert second.err.count("(was there)") == len(rows)
    assert second.out == first.out


def test_table_does_not_mix_autoencoders():
    row = {"setting": "perfect sampler", "latent_dim": 16, "n_generated": 9, "frechet_distance": 1}
    rows = [row | {"beta": 0.0}, row | {"beta": 1.0, "frechet_distance": 3}]
    assert [line[0] for line in _table(rows)[1:]] == [
        *("perfect sampler, 16d, n = 9", "perfect sampler, 16d, beta 1, n = 9")
    ]


def test_row_says_which_seed_was_typed(tmp_path):
    command = ["benchmark", "generation", "--quick", "--seed", "4", "--settings", "real images"]
    sizes = ["--images", "60", "--samples", "40", "--classifier-epochs", "1"]
    assert main([*command, *sizes, "--results", str(tmp_path)]) == 0
    [row] = json.loads((tmp_path / "generation.json").read_text())
    assert row["seed"] == 4 and " --seed 4 " in row["command"]


@pytest.mark.parametrize(
    "option, message",
    [
        (["--images", "5000"], "expected 2 to 800 images of 'digits' to fit, or all 1198"),
        (["--settings", "nothing"], "no setting of 'generation' matches"),
    ],
)
def test_command_says_what_is_wrong(option, message, tmp_path, capsys):
    command = ["benchmark", "generation", "--quick", "--classifier-epochs", "1", *option]
    assert main([*command, "--results", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_help_lists_the_experiments(capsys):
    with pytest.raises(SystemExit):
        main(["benchmark", "--help"])
    shown = capsys.readouterr().out
    assert "generation " in shown and "tstr " in shown
