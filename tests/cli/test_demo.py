"""The demonstration."""

# SPDX-License-Identifier: BSD-3-Clause

import contextlib
import io
import json
import warnings

import pytest

from latentgen import load_model
from latentgen.cli import _demo
from latentgen.cli._demo import run_demo
from latentgen.metrics import ClassifierFeatures, generation_report


@pytest.fixture(scope="module")
def parts():
    """Images that the demonstration judges with, searches on and reports on."""
    return {}


@pytest.fixture(scope="module")
def demo(tmp_path_factory, parts):
    """A small demonstration: its folder, its report and what it printed."""

    class Features(ClassifierFeatures):
        def fit(self, X, y):
            parts["judge"] = X
            return super().fit(X, y)

    class Search(_demo.ReportingGridSearch):
        def fit(self, X, y):
            parts["search"] = X
            return super().fit(X, y)

    def report_on(X_test, X_generated, **options):
        parts["test"] = X_test
        return generation_report(X_test, X_generated, **options)

    folder = tmp_path_factory.mktemp("demo") / "output"
    grid = {
        "autoencoder__latent_dim": [3],
        "sampler__sampler__strategy": ["epanechnikov", "bootstrap_noise"],
    }
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()) as printed,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        for name, thing in [
            ("ClassifierFeatures", Features),
            ("ReportingGridSearch", Search),
            ("generation_report", report_on),
        ]:
            patch.setattr(_demo, name, thing)
        report = run_demo(folder, grid=grid, max_epochs=1, n_images=450)
    return folder, report, printed.getvalue()


def test_demo_writes_its_files(demo):
    folder, report, _ = demo
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["model.latentgen", "report.html", "report.json", "samples.png", "sweep.png"]
    assert "<h2>Nearest training images</h2>" in (folder / "report.html").read_text(
        encoding="utf-8"
    )
    assert json.loads((folder / "report.json").read_text())["chosen"] == report["chosen"]
    assert load_model(folder / "model.latentgen").sample(2, y=3).shape == (2, 1, 8, 8)


def test_demo_compares_candidates_with_floor_and_prior(demo):
    _, report, printed = demo
    names = [row["candidate"] for row in report["held_out"]]
    assert names[0] == "real training images (floor)"
    assert names[-1] == "N(0, I) in its latent space"
    strategies = sorted(name.rpartition("=")[2] for name in names[1:-1])
    assert strategies == ["bootstrap_noise", "epanechnikov"]
    assert "GridSearchCV: 2 candidates" in printed
    assert all(name in printed for name in names)


def test_demo_report_agrees_with_its_table(demo):
    _, report, _ = demo
    chosen = report["chosen"]["sampler__sampler__strategy"]
    row = next(row for row in report["held_out"] if row["candidate"].endswith(chosen))
    for heading, key in [("FID", "frechet_distance"), ("TSTR", "tstr"), ("novelty", "novelty")]:
        assert row[heading] == pytest.approx(report["report"][key])


def test_demo_judges_with_features_of_images_of_their_own(demo, parts):
    rows = [{image.tobytes() for image in part} for part in parts.values()]
    assert sorted(parts) == ["judge", "search", "test"]
    assert [len(part) for part in rows] == [75, 225, 150]
    assert len(set.union(*rows)) == 450


def test_demo_says_when_no_candidate_qualifies(tmp_path, monkeypatch, capsys):
    grid = {"sampler__sampler__strategy": ["bootstrap_noise"]}
    report = run_demo(tmp_path, grid=grid, max_epochs=1, n_images=200)
    assert report["qualifies"] is False
    assert "* no candidate qualifies" in capsys.readouterr().out


def test_demo_gives_torch_its_threads_back(demo):
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    with contextlib.suppress(FileExistsError):
        run_demo(demo[0] / "report.json")  # A file where the folder should be.
    assert torch.get_num_threads() == before
