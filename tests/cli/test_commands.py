"""The commands of the command line, without the demonstration."""

# SPDX-License-Identifier: BSD-3-Clause

import errno
import json
import os
import re
import zipfile

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.decomposition import PCA

from latentgen import (
    ConvAutoencoder,
    GaussianSampler,
    LatentGenerativePipeline,
    load_model,
    make_latent_pipeline,
    save_model,
)
from latentgen.cli import main
from latentgen.cli._console import ReportingGridSearch
from latentgen.cli._writing import files_in, image_writer, save_trained
from latentgen.metrics import ClassifierFeatures

QUICK = ["--epochs", "1", "--batch-size", "32"]


def run_fit(data, tmp_path, *arguments):
    """Fit and give the model."""
    path = tmp_path / "fitted.latentgen"
    assert main(["fit", *map(str, arguments), "-o", str(path), *QUICK]) == 0
    return load_model(path)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("fit nowhere -o {tmp}/m", "there is no 'nowhere'. Expected a folder"),
        ("fit nowhere.npy -o {tmp}/m", "No such file or directory: 'nowhere.npy'"),
        ("fit {data}/classes/round/0.png -o {tmp}/m", "neither a folder nor a .npy or .npz file"),
        ("fit digits:half -o {tmp}/m", "expected digits:train or digits:test, got 'digits:half'"),
        ("fit {data}/X.npy -o {tmp}/no/m", "there is no folder '{tmp}/no'"),
        ("fit {data}/X.npy --labels {data}/X.npy -o {tmp}/m", "labels of shape (180, 1, 8, 8)"),
        ("fit {data}/both.npz -o {tmp}/m --device abacus", "'device'='abacus'"),
        ("fit {data}/both.npz -o {tmp}/m --epochs 1 --strategy none", "'strategy' parameter"),
        ("sample {model}", "nothing to write: pass --grid PICTURE, --output PATH or both."),
        ("sample {data}/X.npy --grid {tmp}/g.png", "is not a model file"),
        ("sample {tmp}/none.latentgen --grid {tmp}/g.png", "No such file or directory: '{tmp}"),
        (
            "sample {model} --grid {tmp}/g.png --label 7",
            "'7' is not a label of the model.",
        ),
        ("sample {model} --grid {tmp}/no/g.png", "there is no folder '{tmp}/no'"),
        ("sample {data}/sampler.latentgen --grid {tmp}/g.png", "holds a GaussianSampler, but"),
        ("evaluate {model} --data {data}/wide.npy", "(1, 8, 9), but the model makes images of"),
        ("evaluate {model} --data {data}/wide.npy", "with --image-size 8 8 --gray"),
        (
            "evaluate {model} --data {data}/X.npy --labels {data}/short.npy",
            "labels of shape (5,) for 180 images",
        ),
        ("sweep {data}/both.npz --param leaf=3 -o {tmp}/s", "there is no parameter 'leaf'"),
        ("sweep {data}/both.npz --param random_state=3 -o {tmp}/s", "Give the full name."),
        ("sweep {data}/both.npz --param latent_dim -o {tmp}/s", "expected --param NAME=V1,V2"),
        (
            "sweep {data}/both.npz --param latent_dim=4,5 --param autoencoder__latent_dim=6 "
            "-o {tmp}/s",
            "--param names 'autoencoder__latent_dim' twice. Give all its values at once.",
        ),
        ("sweep {data}/both.npz --param sampler__sampler=1 -o {tmp}/s", "there is no parameter"),
        ("sweep {data}/both.npz --param callbacks=[1] -o {tmp}/s", "there is no parameter"),
        ("sweep {data}/both.npz --param strategy=none -o {tmp}/s", "'strategy' parameter"),
        ("fit {data}/both.npz -o {tmp}/m --device meta", "'device'='meta' is not available"),
        ("fit {data}/both.npz -o {tmp}/m --latent-dim 99999999999999", "allocate memory"),
        ("fit {data}/both.npz -o {tmp}/m --seed -1", "'random_state' parameter"),
        ("fit {data}/both.npz -o /dev/full", "'/dev/full': it is a device or a pipe."),
        ("fit {data}/both.npz -o {tmp}/m/", "'{tmp}/m/': it is a folder."),
        ("sample {model} -n 99999999999999999999 --output {tmp}/X.npy", "File too large"),
        ("sample {model} --output {data}/both.npz", "Name a folder for PNG files, or a .npy file."),
        ("sample /dev/zero --grid {tmp}/g.png", "got '/dev/zero', which is a device or a pipe"),
        ("evaluate {model} --data {data}/X.npy -n 999999999999999", "Unable to allocate"),
        ("demo --output {data}/X.npy", "File exists: '{data}/X.npy'"),
    ],
)
def test_error_of_the_user_is_one_line_and_ends_with_2(
    arguments, message, data, model, tmp_path, capsys
):
    np.save(data / "wide.npy", np.zeros((5, 1, 8, 9)))
    np.save(data / "short.npy", np.zeros(5))
    save_model(GaussianSampler(), data / "sampler.latentgen")
    names = {"data": data, "model": model, "tmp": tmp_path}
    arguments = arguments.format(**names).split()
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(f"latentgen {arguments[0]}: error: ")
    assert message.format(**names) in lines[-1]
    assert not any("Traceback" in line for line in lines)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A folder of files and models that the commands cannot use."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "empty.npy").touch()
    (folder / "garbage.npy").write_bytes(b"holiday")
    (folder / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    np.save(folder / "number.npy", np.float32(3))
    np.savez(folder / "other.npz", images=np.zeros((5, 8, 8)))
    os.mkfifo(folder / "pipe.npy")
    fields = [("a", "f4"), ("b", "i4")]
    np.save(folder / "fields.npy", np.zeros((40, 8, 8), dtype=fields))
    np.save(folder / "dates.npy", np.zeros((40, 8, 8), dtype="datetime64[D]"))
    digits = np.arange(1797) % 3
    np.save(folder / "y_fields.npy", np.zeros(1797, dtype=fields))
    np.save(folder / "y_bytes.npy", digits.astype("S1"))
    np.save(folder / "y_nan.npy", np.where(digits == 0, np.nan, digits))
    with zipfile.ZipFile(folder / "text.npz", "w") as archive:
        archive.writestr("X", "sun")
    X = np.random.RandomState(0).rand(30, 5, 6, 6).astype(np.float32)
    autoencoder = ConvAutoencoder(2, channels=(4,), max_epochs=1)
    deep = make_latent_pipeline(autoencoder, GaussianSampler()).fit(X)
    save_model(deep, folder / "deep.latentgen")
    codes = LatentGenerativePipeline([("pca", PCA(2)), ("sampler", GaussianSampler())])
    save_model(codes.fit(X.reshape(30, -1)), folder / "codes.latentgen")
    return folder


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("fit {odd}/empty.npy -o {tmp}/m", "empty.npy' is not a .npy file of numbers or text"),
        ("fit {odd}/garbage.npy -o {tmp}/m", "garbage.npy' is not a .npy file of numbers or text"),
        ("fit {odd}/broken.npz -o {tmp}/m", "broken.npz' is not a .npz file of numbers or text"),
        ("fit {odd}/text.npz -o {tmp}/m", "text.npz' is not a .npz file of numbers or text"),
        ("fit {odd}/other.npz -o {tmp}/m", "other.npz' has no array 'X', only images."),
        ("fit {odd}/number.npy -o {tmp}/m", "got an array of shape () in"),
        ("fit digits --labels {odd}/other.npz -o {tmp}/m", "other.npz' is not a .npy file"),
        ("fit {odd}/pipe.npy -o {tmp}/m", "pipe.npy', which is a device or a pipe."),
        ("fit {odd}/fields.npy -o {tmp}/m", "expected images of numbers, got dtype [('a',"),
        ("evaluate {odd}/deep.latentgen --data {odd}/dates.npy", "got dtype datetime64[D] in"),
        ("fit digits --labels {odd}/y_fields.npy -o {tmp}/m", "labels of integers or text, got"),
        ("fit digits --labels {odd}/y_bytes.npy -o {tmp}/m", "got dtype |S1. Convert them"),
        ("fit digits --labels {odd}/y_nan.npy -o {tmp}/m", "got 599 that are not finite"),
        ("sample {odd}/deep.latentgen -n 2 --output {tmp}/png", "images of shape (5, 6, 6)"),
        ("sample {odd}/deep.latentgen -n 2 --grid {tmp}/g.png", "images of shape (5, 6, 6)"),
        ("sample {odd}/codes.latentgen --grid {tmp}/g.png", "a fitted autoencoder, got PCA."),
        ("sample {odd}/deep.latentgen --grid {tmp}/g", "'{tmp}/g' is not the name of a picture."),
        (
            "sample {odd}/deep.latentgen --grid {tmp}/g.doc",
            "'{tmp}/g.doc' is not the name of",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_before_the_work(arguments, message, odd, tmp_path, capsys):
    names = {"odd": odd, "tmp": tmp_path}
    assert main(arguments.format(**names).split()) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message.format(**names) in error
    assert "pickle" not in error
    assert list(tmp_path.iterdir()) == []


def test_images_of_many_channels_are_written_as_an_array(odd, tmp_path):
    path = tmp_path / "X.npy"
    assert main(["sample", str(odd / "deep.latentgen"), "-n", "2", "--output", str(path)]) == 0
    assert np.load(path).shape == (2, 5, 6, 6)


def test_fit_sets_the_parameters(data, tmp_path):
    model = run_fit(
        data, tmp_path, data / "X.npy", "--labels", data / "y.npy", "--latent-dim", 2, "--seed", 4,
        "--strategy", "local_gaussian", "--min-samples-leaf", 30,
    )  # fmt: skip
    autoencoder, sampler = model["autoencoder"], model["sampler"].sampler
    assert (autoencoder.latent_dim, autoencoder.random_state) == (2, 4)
    assert (autoencoder.max_epochs, autoencoder.batch_size) == (1, 32)
    assert (sampler.strategy, sampler.min_samples_leaf) == ("local_gaussian", 30)
    assert model.classes_.tolist() == [0, 1, 2]


def test_fit_without_labels_is_unconditional(data, tmp_path):
    model = run_fit(data, tmp_path, data / "both.npz", "--unconditional", "--device", "cpu")
    assert not hasattr(model, "classes_")


def test_fit_takes_class_names_and_size_from_a_folder(data, tmp_path):
    model = run_fit(data, tmp_path, data / "classes", "--image-size", 6, 7, "--gray")
    assert model.classes_.tolist() == ["round", "straight"]
    assert model.image_shape_ == (1, 6, 7)


def test_fit_reads_flat_images_of_a_given_size(data, tmp_path):
    np.save(tmp_path / "flat.npy", np.load(data / "X.npy").reshape(180, 64))
    model = run_fit(data, tmp_path, tmp_path / "flat.npy", "--image-size", 4, 16)
    assert model.image_shape_ == (1, 4, 16)


def test_fit_reads_flat_images_in_color(data, tmp_path):
    np.save(tmp_path / "flat.npy", np.load(data / "X.npy").reshape(60, 192))
    model = run_fit(data, tmp_path, tmp_path / "flat.npy", "--image-size", 8, 8)
    assert model.image_shape_ == (3, 8, 8)


def test_fit_asks_for_the_size_of_flat_images(data, tmp_path, capsys):
    np.save(tmp_path / "flat.npy", np.load(data / "X.npy").reshape(60, 192))
    assert main(["fit", str(tmp_path / "flat.npy"), "-o", str(tmp_path / "m")]) != 0
    assert "Pass --image-size H W, where (C, H, W) is (3, 8, 8) or" in capsys.readouterr().err


@pytest.mark.parametrize(("dtype", "white"), [("uint16", 65535), ("int64", 255), ("bool", 1)])
def test_sample_writes_pictures_of_any_dtype(data, tmp_path, dtype, white):
    X = np.load(data / "X.npy").astype(float)
    np.save(tmp_path / "X.npy", np.rint(X / X.max() * white).astype(dtype))
    model = run_fit(data, tmp_path, tmp_path / "X.npy")
    images = model.sample(5, random_state=0).astype(float) / white
    main(
        ["sample", str(tmp_path / "fitted.latentgen"), "-n", "5", "--output", str(tmp_path / "out")]
    )
    for image, path in zip(images, sorted((tmp_path / "out").iterdir()), strict=True):
        np.testing.assert_allclose(Image.open(path), 255 * image[0], atol=0.51)


def test_sample_writes_an_array_of_the_wanted_class(model, tmp_path):
    main(["sample", model, "-n", "7", "--label", "2", "--output", str(tmp_path / "X.npy")])
    expected = load_model(model).sample(7, y=2, random_state=0)
    np.testing.assert_array_equal(np.load(tmp_path / "X.npy"), expected)


def test_sample_streams_more_than_a_batch(model, tmp_path):
    main(["sample", model, "-n", "1100", "--seed", "1", "--output", str(tmp_path / "X.npy")])
    batches = load_model(model).iter_sample(1100, random_state=1)
    np.testing.assert_array_equal(np.load(tmp_path / "X.npy"), np.concatenate(list(batches)))


def test_sample_writes_png_files(model, tmp_path):
    main(["sample", model, "-n", "3", "--output", str(tmp_path / "png")])
    files = sorted(path.name for path in (tmp_path / "png").iterdir())
    assert files == ["0000.png", "0001.png", "0002.png"]
    expected = load_model(model).sample(3, random_state=0)[1, 0]
    pixels = np.asarray(Image.open(tmp_path / "png" / "0001.png"))
    np.testing.assert_array_equal(pixels, np.rint(expected * 255))


def test_sample_draws_a_grid(model, tmp_path):
    main(["sample", model, "-n", "9", "--grid", str(tmp_path / "grid.png")])
    assert Image.open(tmp_path / "grid.png").size > (100, 100)
    assert [path.name for path in tmp_path.iterdir()] == ["grid.png"]


def test_evaluate_reports_everything(data, model, tmp_path, capsys):
    np.savez(tmp_path / "test.npz", X=np.load(data / "X.npy")[:60], y=np.load(data / "y.npy")[:60])
    arguments = ["--data", str(tmp_path / "test.npz"), "--json", str(tmp_path / "report.json")]
    arguments += ["--train-data", str(data / "both.npz"), "-n", "150"]
    arguments += ["--html", str(tmp_path / "report.html")]
    with pytest.raises(ValueError, match="All 40 images of --data are images of --train-data"):
        main(["evaluate", model, *arguments, "--traceback"])
    np.savez(tmp_path / "train.npz", X=np.load(data / "X.npy")[60:], y=np.load(data / "y.npy")[60:])
    arguments[arguments.index(str(data / "both.npz"))] = str(tmp_path / "train.npz")
    assert main(["evaluate", model, *arguments]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ["FID", "KID", "TSTR", "novelty", "near-copies"])
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["n_generated"] == 150
    # A third of the images is for the features, the others are judged.
    assert report["feature_extractor"].startswith("ClassifierFeatures fitted on 20 images")
    assert (report["n_real"], report["n_train"]) == (40, 120)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<img ") >= 14 and report["digests"]["real"] in page


def test_evaluate_without_labels_takes_the_default_extractor(data, model, capsys, monkeypatch):
    def choose(X, image_shape):
        return (lambda X: X.reshape(len(X), -1)[:, :3]), f"advice for {len(X)} of {image_shape}"

    monkeypatch.setattr("latentgen.cli._commands.default_extractor", choose)
    assert main(["evaluate", model, "--data", str(data / "X.npy")]) == 0
    text = capsys.readouterr().out
    assert text.startswith("advice for 180 of (1, 8, 8)") and "FID" in text


def test_evaluate_without_labels_or_weights_compares_pixels(data, model, capsys, monkeypatch):
    monkeypatch.setattr("latentgen.metrics._features.find_weights", lambda: None)
    assert main(["evaluate", model, "--data", str(data / "X.npy")]) == 0
    text = capsys.readouterr().out
    assert "Distances compare pixels" in text and "pixel distance" in text
    assert "FID" not in text and "KID" not in text


def test_sweep_writes_table_figure_and_model(data, tmp_path, capsys):
    arguments = ["--param", "latent_dim=6,8", "--param", "strategy=multivariate_kde", "--cv", "2"]
    output = tmp_path / "sweep"
    assert main(["sweep", str(data / "both.npz"), *arguments, *QUICK, "-o", str(output)]) == 0
    text = capsys.readouterr().out
    assert "[2/2] latent_dim=8, strategy=multivariate_kde: FID" in text
    assert "Best without copying: latent_dim=" in text
    lines = (output / "results.csv").read_text().splitlines()
    assert len(lines) == 3 and "mean_test_neg_frechet_distance" in lines[0]
    assert (output / "sweep.png").stat().st_size > 1000
    assert load_model(output / "model.latentgen").sample(2).shape == (2, 1, 8, 8)


def test_sweep_without_labels_compares_pixels_and_says_so(data, tmp_path, capsys):
    arguments = ["--param", "strategy=multivariate_kde", "--cv", "2", "--unconditional"]
    output = tmp_path / "sweep"
    assert main(["sweep", str(data / "both.npz"), *arguments, *QUICK, "-o", str(output)]) == 0
    text = capsys.readouterr().out
    assert "strategy=multivariate_kde: pixel distance " in text and "FID" not in text


def test_sweep_writes_no_model_when_every_candidate_copies(data, tmp_path, capsys):
    arguments = ["--param", "strategy=bootstrap_noise", "--param", "bandwidth=0.001,0.01"]
    output = tmp_path / "sweep"
    command = ["sweep", str(data / "both.npz"), *arguments, *QUICK, "--cv", "2", "-o", str(output)]
    assert main(command) == 2
    printed = capsys.readouterr()
    assert "Best without copying" not in printed.out
    warned = printed.err.splitlines()
    assert "no candidate qualifies, so no model was written: expected at most 5.0%" in warned[-1]
    assert sorted(path.name for path in output.iterdir()) == ["results.csv", "sweep.png"]
    assert any("near-copies of training codes" in line for line in warned)
    assert len(warned) == len(set(warned))


def test_sweep_is_judged_by_features_of_images_of_its_own(data, tmp_path, monkeypatch, capsys):
    fitted, searched = [], []
    fit_features, fit_search = ClassifierFeatures.fit, ReportingGridSearch.fit
    monkeypatch.setattr(
        ClassifierFeatures, "fit", lambda self, X, y: fitted.append(X) or fit_features(self, X, y)
    )
    monkeypatch.setattr(
        ReportingGridSearch, "fit", lambda self, X, y: searched.append(X) or fit_search(self, X, y)
    )
    arguments = ["--param", "strategy=multivariate_kde", "--cv", "2", "-o", str(tmp_path / "sweep")]
    assert main(["sweep", str(data / "both.npz"), *arguments, *QUICK]) == 0
    # The first fit is that of the features, the others are classifiers of generated images.
    judge, search = fitted[0], searched[0]
    assert (len(judge), len(search)) == (36, 144)
    together, given = np.concatenate([judge, search]), np.load(data / "X.npy")
    rows = [np.unique(part.reshape(180, -1), axis=0) for part in (together, given)]
    assert_array_equal(*rows)
    assert "a classifier trained on 36 other images" in capsys.readouterr().out


@pytest.mark.parametrize("labels", [[], ["--unconditional"]])
def test_sweep_shuffles_images_sorted_by_class(labels, data, tmp_path, monkeypatch):
    folds = []

    class Search(ReportingGridSearch):
        def fit(self, X, y=None):
            known = {
                image.tobytes(): label for image, label in zip(X_sorted, y_sorted, strict=True)
            }
            labels = np.array([known[image.tobytes()] for image in X])
            folds.extend(labels[test] for _, test in self.cv.split(X, y))
            return super().fit(X, y)

    monkeypatch.setattr("latentgen.cli._commands.ReportingGridSearch", Search)
    X, y = np.load(data / "X.npy"), np.load(data / "y.npy")
    order = np.argsort(y, kind="stable")
    X_sorted, y_sorted = X[order], y[order]
    np.savez(tmp_path / "sorted.npz", X=X_sorted, y=y_sorted)
    arguments = [str(tmp_path / "sorted.npz"), "--param", "strategy=multivariate_kde", *labels]
    assert main(["sweep", *arguments, *QUICK, "-o", str(tmp_path / "sweep")]) == 0
    assert [set(fold) for fold in folds] == [{0, 1, 2}] * 3


def test_pictures_that_are_interrupted_leave_the_old_ones(tmp_path):
    folder = tmp_path / "png"
    with pytest.raises(KeyboardInterrupt), image_writer(folder, 2, (1, 8, 8)) as write:
        write(np.zeros((1, 1, 8, 8)))
        raise KeyboardInterrupt
    assert not folder.exists()
    folder.mkdir()
    (folder / "0000.png").write_text("older")
    with pytest.raises(KeyboardInterrupt), image_writer(folder, 2, (1, 8, 8)) as write:
        write(np.zeros((1, 1, 8, 8)))
        raise KeyboardInterrupt
    assert [path.read_text() for path in folder.iterdir()] == ["older"]


def test_pictures_that_cannot_all_be_put_in_place_leave_the_old_ones(tmp_path, monkeypatch):
    def replace(path, target):
        if path.name == "0001.png" and path.parent != tmp_path:
            raise KeyboardInterrupt
        os.replace(path, target)

    (tmp_path / "0000.png").write_text("older")
    monkeypatch.setattr(type(tmp_path), "replace", replace)
    with pytest.raises(KeyboardInterrupt), image_writer(tmp_path, 2, (1, 8, 8)) as write:
        write(np.zeros((2, 1, 8, 8)))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["older"]


def test_half_an_array_is_not_an_array(tmp_path):
    # A killed process used to leave an array of zeros under a name that ends in .npy.
    with image_writer(tmp_path / "X.npy", 2000, (1, 8, 8)) as write:
        write(np.ones((1000, 1, 8, 8)))
        (part,) = tmp_path.iterdir()
        with pytest.raises(ValueError, match="pickle"):
            np.load(part)
        write(np.ones((1000, 1, 8, 8)))
    assert part.suffix == ".part" and np.load(tmp_path / "X.npy").min() == 1


def test_a_trained_model_is_saved_elsewhere_when_its_disk_is_full(tmp_path, monkeypatch):
    def save(estimator, path):
        if path == tmp_path / "m":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save_model(estimator, path)

    monkeypatch.setattr("latentgen.cli._writing.save_model", save)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(
        OSError, match=r"left on device. The model was saved to '(.*)' instead"
    ) as e:
        save_trained(GaussianSampler(shrinkage=0.5), tmp_path / "m")
    path = re.search("saved to '(.*)' instead", str(e.value)).group(1)
    assert load_model(path).shrinkage == 0.5


def test_results_that_cannot_all_be_written_leave_the_old_ones(tmp_path):
    (tmp_path / "a").write_text("older")
    with pytest.raises(OSError, match="full"), files_in(tmp_path, ["a", "b"]) as (a, _):
        a.write_text("new")
        raise OSError("full")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "older"}


@pytest.mark.parametrize(
    "command", ["sweep {data}/both.npz --param latent_dim=2 -o", "demo --output"]
)
def test_a_folder_that_cannot_be_written_is_found_before_the_work(
    command, data, without_rights, capsys
):
    (without_rights / "out").mkdir(mode=0o555)
    arguments = command.format(data=data).split()
    assert main([*arguments, str(without_rights / "out")]) == 2
    assert "Permission denied: " in capsys.readouterr().err
