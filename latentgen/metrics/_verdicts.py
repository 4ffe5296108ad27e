"""What a number of a report means in plain language, and the rule that says so.

The cut-offs are conventions for reading a report. Nothing is chosen by them: searches compare
values and exclude candidates with too many near-copies.
"""

# SPDX-License-Identifier: BSD-3-Clause

import math
from typing import NamedTuple

GOOD, ACCEPTABLE, POOR, COPY = "good", "acceptable", "poor", "a copy"
_ORDER = [GOOD, ACCEPTABLE, POOR, COPY]

FLOOR, PERFECT = "real training images", "the perfect sampler"


class Verdict(NamedTuple):
    """A word for a number and the sentence that explains it.

    Parameters
    ----------
    word : {'good', 'acceptable', 'poor', 'a copy'} or None
        None where there is nothing to compare with.
    because : str
        What was compared, and the limits.
    """

    word: str | None
    because: str


class Compared(NamedTuple):
    """A value, what it is compared with, and the standard error of their difference.

    Parameters
    ----------
    value, reference : float
    error : float
        0 where it is not known.
    name : str
        What the reference is the value of.
    """

    value: float
    reference: float
    error: float
    name: str


def compare(numbers, reference):
    """Find a value beside its reference, where it has one.

    Parameters
    ----------
    numbers : dict of float or None
        What a report has of one measure, by what follows its name: ``''``, ``'floor'``,
        ``'perfect_error'`` and so on.
    reference : {FLOOR, PERFECT}
        Which one is preferred.

    Returns
    -------
    compared : Compared or None
    """
    pairs = {FLOOR: ("", "floor"), PERFECT: ("half", "perfect")}
    for name in (reference, *(other for other in pairs if other != reference)):
        value, other = (numbers.get(key) for key in pairs[name])
        if value is not None and other is not None:
            keys = [f"{key}_error".lstrip("_") for key in pairs[name]]
            error = math.hypot(*(numbers.get(key) or 0 for key in keys))
            return Compared(value, other, error, name)
    return None


def _grade(value, good, acceptable):
    return GOOD if value <= good else ACCEPTABLE if value <= acceptable else POOR


def times(good=2, acceptable=5, reference=FLOOR):
    """Rule for distances: how many times that of the reference, beyond two standard errors."""

    def rule(numbers):
        compared = compare(numbers, reference)
        if compared is None:
            return None
        value, unit, error, name = compared
        limits = f"good up to {good:g} times, acceptable up to {acceptable:g} times"
        if error and value <= unit + 2 * error:
            return Verdict(GOOD, f"within two standard errors of {name}")
        if unit <= 2 * error:
            # A ratio to what may be 0 says nothing; so the error is the unit.
            unit, name = 2 * error, f"two standard errors of {name}"
        if unit <= 0:
            return Verdict(GOOD if value <= 0 else POOR, f"{name} reach 0")
        return Verdict(
            _grade(value / unit, good, acceptable), f"{value / unit:.1f} times {name}; {limits}"
        )

    return rule


def below(good, acceptable, reference=PERFECT):
    """Rule for what is better the greater: how far below the reference, in its own unit."""

    def rule(numbers):
        compared = compare(numbers, reference)
        if compared is None:
            return None
        value, other, error, name = compared
        gap = other - value - 2 * error
        where = f"{abs(other - value):.3f} {'below' if value < other else 'above'} {name}"
        limits = f"good down to {good:g} below, acceptable down to {acceptable:g} below"
        return Verdict(_grade(gap, good, acceptable), f"{where}; {limits}")

    return rule


def at_least(good=0.9, acceptable=0.7, reference=PERFECT):
    """Rule for what is better the greater and has no upper limit: the fraction of the reference."""

    def rule(numbers):
        compared = compare(numbers, reference)
        if compared is None or compared.reference <= 0:
            return None
        fraction = compared.value / compared.reference
        limits = f"good from {good:g}, acceptable from {acceptable:g}"
        word = GOOD if fraction >= good else ACCEPTABLE if fraction >= acceptable else POOR
        return Verdict(word, f"{fraction:.2f} times {compared.name}; {limits}")

    return rule


def errors(good=1.5, acceptable=3):
    """Rule for accuracies: how many times the errors that real images lead to."""

    def rule(numbers):
        compared = compare(numbers, FLOOR)
        if compared is None:
            return None
        wrong, unit, name = 1 - compared.value, 1 - compared.reference, compared.name
        limits = f"good up to {good:g} times, acceptable up to {acceptable:g} times"
        if wrong <= unit:
            return Verdict(GOOD, f"no more errors than after {name}")
        ratio = wrong / unit if unit > 0 else math.inf
        word = _grade(ratio, good, acceptable)
        return Verdict(word, f"{ratio:.1f} times the errors after {name}; {limits}")

    return rule


def near_one(numbers):
    """Rule for novelty: 1 is what unseen real images have."""
    value = numbers[""]
    far = f"{value:.2f} times as far from training images as unseen real ones"
    limits = "good from 0.9 to 1.2, acceptable from 0.8 to 1.5, a copier below 0.5"
    if value < 0.5:
        word = COPY
    elif 0.9 <= value <= 1.2:
        word = GOOD
    else:
        word = ACCEPTABLE if 0.8 <= value <= 1.5 else POOR
    return Verdict(word, f"{far}; {limits}")


def above_null(numbers, most=3):
    """Rule for C_T: how far below that of unseen real images, in standard deviations."""
    value, null = numbers[""], numbers["null"]
    if value is None or null is None:
        return None
    limits = f"unseen real images have {null:.1f}; more than {most} below is nearer than chance"
    # With many images a small difference is beyond chance, so this alone does not show copies.
    return Verdict(POOR if value < min(null, 0) - most else GOOD, limits)


def few(good=0.01, most=0.05):
    """Rule for fractions of copies: above `most`, searches take a candidate for a copier."""

    def rule(numbers):
        value = numbers[""]
        word = GOOD if value <= good else ACCEPTABLE if value <= most else COPY
        return Verdict(word, f"good up to {good:.0%}, a copier above {most:.0%}")

    return rule


def by_direction(greater_is_better):
    """Rule of a measure that has none of its own."""
    if greater_is_better is None:
        return lambda numbers: None
    return below(0.02, 0.1) if greater_is_better else times()


def worst(words):
    """The worst of several words; None of none."""
    words = [word for word in words if word is not None]
    return max(words, key=_ORDER.index) if words else None
