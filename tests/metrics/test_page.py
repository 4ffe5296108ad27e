"""A report as text, as JSON and as a page in a real browser."""

# SPDX-License-Identifier: BSD-3-Clause

import base64
import io
import json
import re
import shutil
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.decomposition import PCA
from sklearn.naive_bayes import GaussianNB

from latentgen.metrics import GenerationReport, generation_report
from latentgen.utils._png import encode_png

pytestmark = pytest.mark.filterwarnings("ignore:The covariance of ")


@pytest.fixture(scope="module")
def report(digits):
    """Ten copies of training images, behind an autoencoder, among images with noise."""
    X, y = digits
    pca = PCA(20).fit(X[:140].reshape(140, -1))
    X_new = np.clip(X[:60] + np.random.default_rng(0).normal(scale=0.1, size=(60, 1, 8, 8)), 0, 1)
    X_new[:10] = pca.inverse_transform(pca.transform(X[20:30].reshape(10, -1))).reshape(-1, 1, 8, 8)
    return generation_report(
        X[140:],
        np.clip(X_new, 0, 1),
        y_test=y[140:],
        y_generated=y[:60],
        X_train=X[:140],
        y_train=y[:140],
        classifier=GaussianNB(var_smoothing=0.05),
        encoder=pca,
    )


@pytest.fixture(scope="module")
def page(report):
    pytest.importorskip("matplotlib")
    return report.to_html()


def pictures_of(page):
    image = pytest.importorskip("PIL.Image")
    found = re.findall(r'<img src="data:image/png;base64,([^"]*)"', page)
    return [np.asarray(image.open(io.BytesIO(base64.b64decode(text)))) for text in found]


def test_page_has_every_number_with_its_verdict(report, page):
    names = [row for row in report.verdicts if report[row] is not None]
    assert len(names) > 5 and page.count('<tr role="row"><th scope="row"') == len(names)
    for verdict in report.verdicts.values():
        assert verdict.because.replace("'", "&#x27;") in page
    assert f"{report['frechet_distance']:.2f}" in page and report["digests"]["training"] in page


def test_page_and_text_have_a_line_for_each_class(report, page):
    entry = report["classes"][3]
    values = [f"{entry['tstr']:.1%}", f"{entry['novelty']:.2f}", f"{entry['near_copies']:.1%}"]
    line = next(text for text in str(report).splitlines() if text.split()[:1] == ["3"])
    cells = re.search(r'<tr><th scope="row"[^>]*>3</th>(.*?)</tr>', page)[1]
    for text in [str(entry["n_generated"]), str(entry["n_real"]), *values]:
        assert text in line.split() and f"<td>{text}</td>" in cells


def test_page_needs_nothing_else(page):
    addresses = re.findall(r'(?:src|href|url|srcset|action)\s*[=(]\s*["\']?([^"\')\s>]+)', page)
    assert addresses
    assert all(text.startswith(("data:", "#")) for text in addresses)
    assert "<script" not in page and "@import" not in page


def test_page_escapes_what_others_named(digits):
    def extractor(X):
        return X.reshape(len(X), -1)

    extractor.__qualname__ = '<img src=x onerror="alert(1)">'
    report = generation_report(digits[0][:50], digits[0][50:], feature_extractor=extractor)
    page = report.to_html(title="</title><b>&")
    assert "<img src=x" not in page and "<b>" not in page
    assert "&lt;/title&gt;&lt;b&gt;&amp;" in page


def test_page_is_made_without_matplotlib(report, page, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    plain = report.to_html()
    assert "<svg" in page and "<svg" not in plain
    assert plain.count("<img ") == page.count("<img ")


def test_page_shows_generated_beside_nearest_training_images(report, page):
    pictures = pictures_of(page)
    assert len(pictures) == 2 + 2 * len(report["nearest"])
    drawn, nearest = pictures[2:4]
    # A copy, up to rounding.
    assert report["nearest"][0]["ratio"] < 1e-3 and drawn.shape == (8, 8)
    assert np.abs(drawn.astype(int) - nearest).max() <= 1
    assert f"training image {report['nearest'][0]['train']}" in page


def test_nearest_training_images_are_those_copied(digits):
    X = digits[0]
    report = generation_report(X[150:], X[np.r_[30, 30:34, 90]], X_train=X[:150])
    rows = sorted((entry["generated"], entry["train"]) for entry in report["nearest"])
    assert rows == [(0, 30), (1, 30), (2, 31), (3, 32), (4, 33), (5, 90)]
    assert all(entry["distance"] == entry["ratio"] == 0 for entry in report["nearest"])
    assert report.verdict == "a copy"


def test_nearest_training_images_are_counted_in_the_images_passed(digits):
    X = digits[0]
    repeated = np.concatenate([X[:1], X[:1], X[:1], X[1:100]])
    report = generation_report(X[150:], X[40:46], X_train=repeated)
    assert sorted(entry["train"] for entry in report["nearest"]) == [42, 43, 44, 45, 46, 47]


@pytest.mark.parametrize(
    "shape, options, n_pictures",
    [
        ((12,), {}, 0),
        ((12,), {"image_shape": (3, 2, 2)}, 2),
        ((16,), {}, 2),
        ((3, 4), {}, 2),
        ((5, 2, 2), {}, 0),
    ],
)
def test_page_shows_images_whose_shape_is_known(shape, options, n_pictures):
    X, X_new = np.random.default_rng(0).random((2, 30, *shape))
    page = generation_report(X, X_new, **options).to_html()
    assert page.count("<img ") == n_pictures


def test_large_images_are_shrunk():
    X, X_new = np.random.default_rng(0).random((2, 8, 1, 260, 260))
    generated, _ = pictures_of(
        generation_report(X, X_new, feature_extractor=lambda X: X[:, 0, 0, :2]).to_html()
    )
    # Six beside each other, each a mean of 3 x 3 pixels.
    assert generated.shape[1] == 6 * 86 + 5 * 6
    expected = np.rint(255 * X_new[0, 0, :3, :3].mean())
    assert abs(int(generated[0, 0, 0]) - expected) <= 1


def test_pages_are_made_from_numbers_alone(report):
    numbers = json.loads(report.to_json())
    again = GenerationReport(numbers)
    assert again == report and again.verdicts == report.verdicts
    assert str(again) == str(report) and "<img " not in again.to_html()


@pytest.mark.parametrize("suffix, made", [("html", "to_html"), ("json", "to_json"), ("txt", None)])
def test_save_writes_what_the_ending_says(suffix, made, report, tmp_path):
    report.save(tmp_path / f"report.{suffix}")
    expected = getattr(report, made)() if made else f"{report}\n"
    assert (tmp_path / f"report.{suffix}").read_text(encoding="utf-8") == expected


def test_save_refuses_other_endings(report, tmp_path):
    with pytest.raises(ValueError, match=r"to \.html, \.json or \.txt, got '.*report\.pdf'"):
        report.save(tmp_path / "report.pdf")
    assert not list(tmp_path.iterdir())


def test_text_has_a_verdict_on_top_and_for_each_number(report):
    lines = str(report).splitlines()
    assert lines[0].startswith("Verdict: a copy.")
    cells = next(line.split() for line in lines if line.startswith("  near-copies "))
    assert cells[:2] == ["near-copies", f"{report['near_copies']:.1%}"]
    assert cells[2:5] == [
        f"({report['near_copies_low']:.1%}",
        "to",
        f"{report['near_copies_high']:.1%})",
    ]
    assert cells[5:] == [*"---", "a", "copy"]


def test_classes_are_a_table_with_the_worst_in_bold(report):
    classes = [
        {"label": "<cat>", "n_real": 5, "n_generated": 7, "tstr": 0.75, "novelty": 1.0},
        {"label": "dog", "n_real": 6, "n_generated": 8, "tstr": 0.5, "novelty": None},
    ]
    made = GenerationReport(dict(report) | {"classes": classes})
    page, text = made.to_html(), str(made)
    table = page[page.index("<h2>Classes</h2>") :]
    assert "&lt;cat&gt;" in table and "<td>75.0%</td>" in table
    assert "<strong>50.0%</strong>" in table and "<strong>1.00" not in table
    line = next(line.split() for line in text.splitlines() if line.startswith("  dog"))
    assert line == ["dog", "8", "6", "50.0%", "-"]
    assert "<h2>Classes</h2>" not in GenerationReport(dict(report) | {"classes": None}).to_html()


def test_notebooks_show_the_page(report):
    assert report._repr_html_().startswith("<iframe") and "srcdoc=" in report._repr_html_()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_is_read_as_written(channels):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(256, size=(5, 7, channels), dtype=np.uint8)
    read = np.asarray(image.open(io.BytesIO(encode_png(pixels))))
    assert_array_equal(read.reshape(pixels.shape), pixels)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium without a screen."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not (chromium and driver):
        pytest.skip("the page is looked at in chromium, with its chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        *("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking"),
        *("disable-component-update", "disable-sync", "no-first-run"),
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(driver)
    with webdriver.Chrome(options=options, service=service) as driver:
        yield driver


def contrast(one, other):
    """Contrast ratio of two colors (Web Content Accessibility Guidelines 2.2)."""
    levels = []
    for color in (one, other):
        parts = np.array([float(part) for part in re.findall(r"[\d.]+", color)[:3]]) / 255
        parts = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        levels.append(parts @ [0.2126, 0.7152, 0.0722] + 0.05)
    return max(levels) / min(levels)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_in_a_browser(scheme, page, browser, tmp_path):
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.get((tmp_path / "report.html").as_uri())
    assert browser.get_log("browser") == []
    run = browser.execute_script
    assert run("return document.documentElement.scrollWidth") == 360
    loaded = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    assert [name for name in run(loaded) if not name.startswith("data:")] == []
    widths = run("return [...document.images].map(image => image.naturalWidth)")
    assert len(widths) > 10 and min(widths) > 0
    assert all(run("return [...document.images].map(image => image.alt)"))
    colors = "const s = getComputedStyle(document.querySelector(arguments[0])); return "
    for text in ("body", ".chip.copy", ".chip.good"):
        ink, back = run(colors + "[s.color, s.backgroundColor]", text)
        assert contrast(ink, back) > 4.5
    is_dark = contrast(run(colors + "s.backgroundColor", "body"), "rgb(0, 0, 0)") < 2
    assert is_dark == (scheme == "dark")
