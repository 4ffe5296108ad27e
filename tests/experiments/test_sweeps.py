"""The published sweeps, ensembles, samplers per class and warm starts."""

# SPDX-License-Identifier: BSD-3-Clause

import pytest

from latentgen.cli import main
from latentgen.experiments import Table, Workbench, _phases, conditional, ensemble, sweep
from latentgen.model_selection import sweeps


def row_of(jobs, setting):
    """The first row of a setting."""
    return next(job for job in jobs if setting in job.keys["setting"]).make()


@pytest.mark.parametrize("name, n_settings", [("strategy", 4), ("ensemble", 4), ("tree", 12)])
def test_a_sweep_has_the_settings_of_its_grid(bench, name, n_settings):
    jobs = sweep(bench, name)
    assert len({job.keys["setting"] for job in jobs}) == n_settings
    assert len({job.keys["sampler"] for job in jobs}) == n_settings
    assert len(jobs) == n_settings * bench.n_draws


def test_sweep_of_latent_dim_is_over_autoencoders(bench):
    assert [job.keys["latent_dim"] for job in sweep(bench, "latent_dim")[::2]] == [8, 16, 32, 64]


def test_betas_are_read_in_both_units(bench):
    keys = [job.keys for job in sweep(bench, "beta")]
    assert {one["latent_dim"] for one in keys} == {16, 64}
    # Images of 8 x 8 pixels.
    expected = {*sweeps["beta"]["autoencoder__beta"], *(64 * b for b in (0.01, 0.025, 0.05, 0.2))}
    assert {one["beta"] for one in keys} == expected


def test_quick_sweep_of_beta_has_one_size_of_the_code():
    bench = Workbench("digits", quick=True, n_images=60, classifier_epochs=1)
    assert {job.keys["latent_dim"] for job in sweep(bench, "beta")} == {16}


def test_rows_of_a_sweep_have_tstr_and_what_the_code_says(bench):
    variational = row_of(sweep(bench, "beta"), "beta=2.0")
    assert 0 < variational["tstr"] <= 1 and variational["kl"] > 0
    assert 0 <= variational["active_units"] <= 16
    assert "kl" not in row_of(sweep(bench, "beta"), "beta=0.0")


def test_unknown_sweeps_are_refused(bench):
    with pytest.raises(ValueError, match=r"one of the sweeps strategy, beta, .*, got 'depth'"):
        sweep(bench, "depth")


def test_ensembles_have_one_to_seven_members(bench):
    names = [job.keys["sampler"] for job in ensemble(bench)[1::2]]
    assert len(names) == 7 and "n_estimators=7" in names[-1]


def test_weights_that_are_carried_over_are_ahead_of_new_ones(bench):
    jobs = conditional(bench)
    carried, new = row_of(jobs, "weights carried over"), row_of(jobs, "new weights")
    assert carried["test_mse"] < new["test_mse"]
    assert 0 < carried["tstr"] <= 1


def test_a_diffusion_that_starts_near_the_end_keeps_the_draws_of_fast_hvrt(bench, monkeypatch):
    monkeypatch.setattr(_phases, "_DIFFUSION_EPOCHS", 2)
    jobs = conditional(bench)
    near = row_of(jobs, "diffusion from FastHVRT, time 0.3, 3 steps")
    far = row_of(jobs, "diffusion from noise")
    assert near["novelty"] < far["novelty"]


def test_command_runs_a_sweep_and_prints_its_table(bench, cache, tmp_path, capsys):
    sizes = ["--images", "100", "--epochs", "1", "--samples", "40", "--classifier-epochs", "1"]
    sizes += ["--seeds", "3", "--draws", "1", "--classifier-only", "--cache", str(cache)]
    command = ["benchmark", "sweep", "strategy", "--data", "digits", *sizes]
    assert main([*command, "--results", str(tmp_path), "--settings", "epanechnikov"]) == 0
    assert "strategy=epanechnikov" in capsys.readouterr().out
    assert len(Table(tmp_path, "sweep_strategy").rows()) == 1


def test_command_names_the_sweeps_before_it_loads_images(capsys):
    assert main(["benchmark", "sweep", "nonsense", "--data-home", "nowhere"]) == 2
    assert "one of strategy, beta, latent_dim, ensemble, tree" in capsys.readouterr().err


def test_command_takes_a_name_for_sweeps_alone(capsys):
    assert main(["benchmark", "generation", "beta"]) == 2
    assert "only 'sweep' takes a NAME, got 'beta' after 'generation'" in capsys.readouterr().err
