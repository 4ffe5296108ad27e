"""A report as text and as one page of HTML: from numbers to rows, from rows to a template."""

# SPDX-License-Identifier: BSD-3-Clause

import base64
import json
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple

from latentgen.metrics._features import PIXELS, describe_extractor
from latentgen.metrics._measures import COPYING, COVERAGE, FIDELITY, MEASURES, USEFULNESS, Measure
from latentgen.metrics._pictures import as_data_uri, draw_distances
from latentgen.metrics._verdicts import ACCEPTABLE, COPY, GOOD, POOR, Verdict, by_direction, worst
from latentgen.utils._text import align

_EXTRACTOR = "feature_extractor"
_ENDINGS = ("", "floor", "perfect", "half")
_SECTIONS = {
    FIDELITY: (
        "Fidelity",
        "Do the images look like real ones? Distances are larger with fewer images, so read them "
        "beside what as many real training images reach, and beside a perfect sampler.",
    ),
    COVERAGE: (
        "Coverage",
        "Is every kind of real image there, and nothing else? A distance can be bought with "
        "variety; these cannot.",
    ),
    COPYING: (
        "Copying",
        "Are the images new? A generator that returns its training images has an excellent "
        "distance and is useless, so read these first. No single one is enough.",
    ),
    USEFULNESS: (
        "Usefulness",
        "Can the images take the place of real ones? A classifier learns from them and is tested "
        "on real images.",
    ),
}
_SENTENCES = {
    GOOD: "New images, about as close to real ones as real ones are to each other.",
    ACCEPTABLE: "New images that resemble real ones, with a difference that the numbers see.",
    POOR: "Falls short in the numbers named here.",
    COPY: "The generator returns its training images, so nothing else that is good here counts.",
    None: "Nothing to compare with: pass the training images, and an encoder that decodes.",
}
_MARKS = {GOOD: "✓", ACCEPTABLE: "○", POOR: "✗", COPY: "⧉", None: "·"}
_RULE = (
    "The verdict on top is the worst of the leading numbers; copying outweighs everything. The "
    "limits are conventions for reading, not properties of a generator."
)


class Row(NamedTuple):
    """One measure in one extractor.

    Parameters
    ----------
    measure : Measure
    heading : str
    name : str
        Name in the report.
    numbers : dict of float or None
        By what follows the name: ``''``, ``'error'``, ``'floor'`` and so on.
    verdict : Verdict
    """

    measure: Measure
    heading: str
    name: str
    numbers: dict
    verdict: Verdict

    def format(self, ending=""):
        """A value with its error or interval as text; empty where there is none."""
        value = self.numbers.get(ending)
        if value is None:
            return ""
        shown = self.measure.format
        text = format(value, shown)
        extra = {
            name: self.numbers.get(f"{ending}_{name}".lstrip("_")) for name in self.measure.extras
        }
        if extra.get("error") is not None:
            text += f" ± {extra['error']:{shown}}"
        if extra.get("low") is not None:
            text += f" ({extra['low']:{shown}} to {extra['high']:{shown}})"
        if extra.get("p_value") is not None:
            text += f", p = {extra['p_value']:.2g}"
        if extra.get("null") is not None:
            text += f" (unseen images {extra['null']:{shown}})"
        return text


def make_rows(report):
    """Rows of all measures that have a value, the first extractor first."""
    rows = []
    for key in [key for key in report if key.startswith(_EXTRACTOR)]:
        ending = key.removeprefix(_EXTRACTOR)
        are_pixels = report[key] == describe_extractor(PIXELS)
        for measure in MEASURES:
            name = measure.key + ending
            if report.get(name) is None or (ending and not measure.in_features):
                continue
            keys = [
                "_".join(filter(None, [part, extra]))
                for part in _ENDINGS
                for extra in ("", *measure.extras)
            ]
            numbers = {key: report.get(f"{name}_{key}" if key else name) for key in keys}
            heading = (are_pixels and measure.pixel_heading) or measure.heading
            if ending:
                heading += f", {ending[1:]}"
            rule = measure.rule or by_direction(measure.greater_is_better)
            verdict = rule(numbers) or Verdict(None, "nothing to compare with")
            rows.append(Row(measure, heading, name, numbers, verdict))
    return rows


def judge_all(rows):
    """The verdict on top: its word, and what it is the worst of."""
    leading = [row for row in rows if row.measure.leads]
    copies = [row for row in rows if row.verdict.word == COPY]
    word = COPY if copies else worst(row.verdict.word for row in leading)
    reasons = [row for row in (copies or leading) if row.verdict.word == word and word != GOOD]
    return Verdict(word, "; ".join(f"{row.heading}: {row.verdict.because}" for row in reasons))


def class_table(report):
    """Measures of each class: headings and cells, and in each column the worst cell."""
    classes = report.get("classes") or []
    shown = [row for row in MEASURES if any(each.get(row.key) is not None for each in classes)]
    are_pixels = report[_EXTRACTOR] == describe_extractor(PIXELS)
    headings = ["class", "generated", "test images"]
    headings += [(are_pixels and row.pixel_heading) or row.heading for row in shown]
    lines, worst_lines = [headings], {}
    for each in classes:
        cells = [str(each["label"]), str(each["n_generated"]), str(each["n_real"])]
        for row in shown:
            value = each.get(row.key)
            cells.append("-" if value is None else format(value, row.format))
        lines.append(cells)
    for column, row in enumerate(shown, start=3):
        values = [(each[row.key], i) for i, each in enumerate(classes) if each[row.key] is not None]
        if row.is_quality and len(values) > 1:
            worst_lines[column] = (min if row.greater_is_better else max)(values)[1]
    return lines, worst_lines


def as_text(report):
    """Lines of a table, with one verdict on top and one for each number."""
    rows = make_rows(report)
    verdict = judge_all(rows)
    headings = ["", "generated", "real (floor)", "perfect sampler", "(generated)", "verdict"]
    lines = [
        [row.heading, *(row.format(ending) or "-" for ending in _ENDINGS), row.verdict.word or "-"]
        for row in rows
    ]
    if not any(row.format("perfect") for row in rows):
        headings, lines = ([line[:3] + line[5:] for line in part] for part in ([headings], lines))
        headings = headings[0]
    top = [f"Verdict: {verdict.word or 'none'}. {_SENTENCES[verdict.word]}"]
    if verdict.because:
        top += [f"  {verdict.because}"]
    below = [f"Drawn: {report['n_generated']} images. Reference: {report['reference']}."]
    if report["n_half"]:
        below.append(
            f"Perfect sampler: decoded codes of {report['n_half']} test images against "
            f"{report['n_half']} others; beside it as many generated images."
        )
    below.append(f"Distances compare {report[_EXTRACTOR]}.")
    if report.get("novelty") is not None:
        below.append(
            "Novelty: 1 is as far from the training images as unseen real ones, 0 is a copy."
        )
    if report.get("classes"):
        below = [*align(class_table(report)[0]), "", *below]
    return "\n".join([*top, "", *align([headings, *lines]), "", *below])


def as_page(report, pictures=None, title="Generation report"):
    """One page of HTML that needs nothing else.

    Parameters
    ----------
    report : dict
    pictures : Pictures, default=None
        None makes a page without pictures.
    title : str

    Returns
    -------
    html : str
    """
    rows = make_rows(report)
    verdict = judge_all(rows)
    parts = [_banner(verdict), _tiles(rows)]
    if pictures is not None:
        parts += [_shown(pictures), _pairs(pictures, report)]
    for aspect, (heading, intro) in _SECTIONS.items():
        members = [row for row in rows if row.measure.aspect == aspect]
        if members:
            parts.append(_section(heading, intro, members))
            if aspect == COPYING and pictures is not None:
                parts.append(_distances(pictures))
    parts += [_classes(report), _how(report), _numbers(report)]
    subtitle = (
        f"{report['n_generated']} generated images against {report['reference']}. "
        f"Distances compare {report[_EXTRACTOR]}."
    )
    template = Template(files("latentgen.metrics").joinpath("_report.html").read_text("utf-8"))
    return template.substitute(
        title=escape(title),
        subtitle=escape(subtitle),
        body="\n".join(part for part in parts if part),
        footer=escape(f"Made with latentgen {report['versions']['latentgen']}."),
    )


def _class_of(word):
    """Name of a verdict's style."""
    return {COPY: "copy", None: "none"}.get(word, word)


def _chip(verdict):
    word = verdict.word or "no verdict"
    return (
        f'<span class="chip {_class_of(verdict.word)}"><span aria-hidden="true">'
        f"{_MARKS[verdict.word]} </span>{escape(word)}</span>"
    )


def _banner(verdict):
    word = "No verdict" if verdict.word is None else verdict.word.capitalize()
    because = f'<p class="soft">{escape(verdict.because)}.</p>' if verdict.because else ""
    return (
        f'<section class="card banner {_class_of(verdict.word)}" aria-label="Verdict">'
        f"<p><strong>{_MARKS[verdict.word]} {escape(word)}</strong></p>"
        f"<p>{escape(_SENTENCES[verdict.word])}</p>{because}</section>"
    )


def _tiles(rows):
    tiles = [
        f'<div class="card"><h3>{escape(row.heading)}</h3>'
        f'<p class="value">{escape(format(row.numbers[""], row.measure.format))}</p>'
        f"<p>{_chip(row.verdict)}</p><small>{escape(row.verdict.because)}</small></div>"
        for row in rows
        if row.measure.leads
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _image(pixels, alt, scale=1):
    height, width = pixels.shape[:2]
    return (
        f'<img src="{as_data_uri(pixels)}" width="{scale * width}" height="{scale * height}" '
        f'alt="{escape(alt)}">'
    )


def _shown(pictures):
    if pictures.generated is None:
        return ""
    figures = [
        f"<figure>{_image(pixels, alt)}<figcaption>{escape(caption)}</figcaption></figure>"
        for pixels, alt, caption in (
            (pictures.generated, "Grid of generated images", "Generated"),
            (pictures.real, "Grid of real test images", "Real, not seen by the generator"),
        )
    ]
    return f'<h2>Images</h2><div class="pictures">{"".join(figures)}</div>'


def _pairs(pictures, report):
    if not pictures.pairs:
        return ""
    figures = []
    for entry, (generated, train) in zip(report["nearest"], pictures.pairs, strict=True):
        number, row = entry["generated"], entry["train"]
        distance = ""
        if entry["ratio"] is not None:
            distance = f"<br>{entry['ratio']:.2f} of the usual distance there"
        two = _image(generated, f"Generated image {number}") + _image(
            train, f"Training image {row}, the nearest to generated image {number}"
        )
        figures.append(
            f'<figure><div class="two">{two}</div><figcaption>no. {number}, training image {row}'
            f"{distance}</figcaption></figure>"
        )
    return (
        "<h2>Nearest training images</h2><p>Left a generated image, right the training image that "
        "is nearest to it after a journey through the autoencoder. The number is their distance, "
        "divided by the distance of that training image to its own nearest neighbor: 0 is a copy, "
        f"and below 0.3 nearly one. First the nearest of {pictures.n_searched} draws, then others."
        f'</p><div class="card pairs">{"".join(figures)}</div>'
    )


def _distances(pictures):
    svg = draw_distances(pictures)
    if svg is None:
        return ""
    return (
        f'<figure class="card" style="margin-top:1rem">{svg}<figcaption>Distance to the nearest '
        "training image, in units of the mean distance of unseen real images. Copies would be a "
        "peak at 0.</figcaption></figure>"
    )


def _section(heading, intro, rows):
    has_floor = any(row.format("floor") for row in rows)
    has_perfect = any(row.format("perfect") for row in rows)
    columns = ["Measure", "Generated"]
    columns += ["Real images (floor)"] * has_floor + ["Perfect sampler"] * has_perfect + ["Verdict"]
    head = "".join(f'<th scope="col" role="columnheader">{name}</th>' for name in columns)
    lines = []
    for row in rows:
        cells = [("Generated", escape(row.format()))]
        if has_floor:
            cells.append(("Real images", escape(row.format("floor"))))
        if has_perfect:
            perfect = escape(row.format("perfect"))
            if perfect:
                half = escape(row.format("half"))
                perfect = f"<span>{perfect}<small>generated, as many: {half}</small></span>"
            cells.append(("Perfect sampler", perfect))
        body = "".join(
            f'<td role="cell" data-label="{label}">{text}</td>' if text else '<td role="cell"></td>'
            for label, text in cells
        )
        lines.append(
            f'<tr role="row"><th scope="row" role="rowheader">{escape(row.heading)}<small>'
            f"{escape(row.measure.says)}</small></th>{body}"
            f'<td role="cell" class="verdict">{_chip(row.verdict)}<small>'
            f"{escape(row.verdict.because)}</small></td></tr>"
        )
    return (
        f'<section><h2>{escape(heading)}</h2><p>{escape(intro)}</p><div class="card stacked">'
        f'<table role="table"><thead><tr role="row">{head}</tr></thead><tbody>{"".join(lines)}'
        "</tbody></table></div></section>"
    )


def _classes(report):
    (headings, *lines), worst_lines = class_table(report)
    if not lines:
        return ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in headings)
    body = ""
    for number, (label, *cells) in enumerate(lines):
        marked = [
            f"<strong>{escape(cell)}</strong>"
            if worst_lines.get(column) == number
            else escape(cell)
            for column, cell in enumerate(cells, start=1)
        ]
        body += f'<tr><th scope="row">{escape(label)}</th>'
        body += "".join(f"<td>{cell}</td>" for cell in marked) + "</tr>"
    return (
        "<section><h2>Classes</h2><p>Each class by itself; the worst one of a column is bold. "
        "TSTR is the fraction of its real images that a classifier of generated ones finds, TRTS "
        "the fraction of its generated images that one of real images does. Intervals are among "
        "the numbers. FID is left out where there are too few images.</p>"
        '<div class="card wide" '
        'tabindex="0" role="region" aria-label="Measures of each class"><table class="classes">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></section>"
    )


def _how(report):
    facts = {"Generated images": report["n_generated"], "Reference": report["reference"]}
    if report["n_half"]:
        facts["Perfect sampler"] = (
            f"decoded codes of {report['n_half']} test images against the other "
            f"{report['n_half']}, and as many generated images against the same ones"
        )
    for key in [key for key in report if key.startswith(_EXTRACTOR)]:
        facts[f"Features{key.removeprefix(_EXTRACTOR).replace('_', ', ', 1)}"] = report[key]
    if report.get("novelty") is not None:
        facts["Novelty compares"] = report["novelty_space"]
    if report.get("tstr") is not None:
        facts["Classifier"] = report["classifier"]
    facts |= {f"Digest of {part} images": digest for part, digest in report["digests"].items()}
    facts["Versions"] = ", ".join(f"{name} {text}" for name, text in report["versions"].items())
    entries = "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items())
    return (
        "<section><h2>How this was measured</h2><p>Numbers are comparable only where all of this "
        f'is equal. {_RULE}</p><div class="card"><dl>{entries}</dl></div></section>'
    )


def _numbers(report):
    text = json.dumps(report, indent=2, allow_nan=False)
    data = base64.b64encode(text.encode()).decode()
    return (
        '<p><a download="report.json" href="data:application/json;base64,'
        f'{data}">All numbers as JSON</a></p>'
    )
