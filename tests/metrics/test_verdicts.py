"""What numbers of a report mean in plain language."""

# SPDX-License-Identifier: BSD-3-Clause

import pytest

from latentgen.metrics._verdicts import (
    ACCEPTABLE,
    COPY,
    GOOD,
    PERFECT,
    POOR,
    at_least,
    below,
    by_direction,
    errors,
    few,
    near_one,
    times,
    worst,
)


@pytest.mark.parametrize(
    "rule, numbers, word",
    [
        (times(), {"": 1.9, "floor": 1.0}, GOOD),
        (times(), {"": 4.9, "floor": 1.0}, ACCEPTABLE),
        (times(), {"": 5.1, "floor": 1.0}, POOR),
        (times(good=3), {"": 2.9, "floor": 1.0}, GOOD),
        (times(acceptable=6), {"": 5.9, "floor": 1.0}, ACCEPTABLE),
        # As many generated images as the perfect sampler has, and not all.
        (times(reference=PERFECT), {"": 9, "floor": 1, "half": 1.5, "perfect": 1}, GOOD),
        (times(), {"": 1.5, "floor": 1, "half": 9, "perfect": 1}, GOOD),
        # The other reference where this one is not there.
        (times(reference=PERFECT), {"": 1.5, "floor": 1.0, "half": None, "perfect": None}, GOOD),
        (times(), {"": 0.5, "error": 0.5, "floor": -0.2, "floor_error": 0.5}, GOOD),
        (times(), {"": 9.0, "error": 0.5, "floor": -0.2, "floor_error": 0.5}, POOR),
        (times(), {"": 0.0, "floor": 0.0}, GOOD),
        (times(), {"": 0.1, "floor": 0.0}, POOR),
        (below(0.02, 0.1), {"half": 0.93, "perfect": 0.94}, GOOD),
        (below(0.02, 0.1), {"half": 0.87, "perfect": 0.94}, ACCEPTABLE),
        (below(0.02, 0.1), {"half": 0.7, "perfect": 0.94}, POOR),
        (below(0.02, 0.1), {"half": 1.4, "perfect": 0.94}, GOOD),
        (at_least(), {"half": 3.7, "perfect": 4.0}, GOOD),
        (at_least(), {"half": 3.0, "perfect": 4.0}, ACCEPTABLE),
        (at_least(), {"half": 2.0, "perfect": 4.0}, POOR),
        (errors(), {"": 0.986, "floor": 0.99}, GOOD),
        (errors(), {"": 0.975, "floor": 0.99}, ACCEPTABLE),
        (errors(), {"": 0.8, "floor": 0.99}, POOR),
        (errors(), {"": 1.0, "floor": 1.0}, GOOD),
        (errors(), {"": 0.9, "floor": 1.0}, POOR),
        (near_one, {"": 0.4}, COPY),
        (near_one, {"": 0.7}, POOR),
        (near_one, {"": 0.85}, ACCEPTABLE),
        (near_one, {"": 1.0}, GOOD),
        (near_one, {"": 1.3}, ACCEPTABLE),
        (near_one, {"": 2.0}, POOR),
        (few(), {"": 0.01}, GOOD),
        (few(), {"": 0.04}, ACCEPTABLE),
        (few(), {"": 0.06}, COPY),
        (by_direction(True), {"": 0.9, "floor": 0.91}, GOOD),
        (by_direction(False), {"": 6.0, "floor": 1.0}, POOR),
    ],
)
def test_rules_give_words(rule, numbers, word):
    assert rule(numbers).word == word


@pytest.mark.parametrize("rule", [times(), below(0.02, 0.1), errors(), by_direction(None)])
def test_without_a_reference_there_is_no_verdict(rule):
    assert rule({"": 1.0, "floor": None}) is None


def test_rules_say_what_was_compared_and_the_limits():
    because = times(reference=PERFECT)({"half": 3.0, "perfect": 1.0}).because
    assert because == "3.0 times the perfect sampler; good up to 2 times, acceptable up to 5 times"


def test_worst_word_is_the_latest_in_order():
    assert worst([GOOD, None, POOR, ACCEPTABLE]) == POOR
    assert worst([POOR, COPY]) == COPY and worst([None]) is None
