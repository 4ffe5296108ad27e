"""Progress by steps and by time, and stages."""

# SPDX-License-Identifier: BSD-3-Clause

import time

import pytest

from latentgen.training._clock import Clock, Stage


def test_progress_is_the_fraction_of_steps_when_a_step_begins():
    clock = Clock(4)
    seen = []
    while not clock.finished:
        clock.begin_step()
        seen.append(clock.progress)
        clock.end_step()
    assert seen == [0.0, 0.25, 0.5, 0.75]


def test_time_moves_the_progress_when_it_is_ahead_of_the_steps():
    clock = Clock(1000, max_seconds=0.05)
    clock.end_step()
    time.sleep(0.03)
    clock.begin_step()
    assert 0.5 < clock.progress < 1 and not clock.finished
    time.sleep(0.03)
    assert clock.finished


def test_one_step_is_taken_however_little_time_there_is():
    clock = Clock(10, max_seconds=1e-9)
    assert not clock.finished
    clock.end_step()
    assert clock.finished


def test_a_resumed_clock_counts_the_time_before():
    clock = Clock(10, max_seconds=100)
    clock.resume(5, seconds=80)
    assert clock.seconds >= 80 and clock.progress >= 0.8


@pytest.mark.parametrize("n_steps", [3, 10, 1000])
def test_stages_follow_each_other_by_their_fractions(n_steps):
    stages = [Stage("joint", 0.3), Stage("head", 0.3, ("head",)), Stage("end", 0.4)]
    clock, names = Clock(n_steps, stages=stages), []
    while not clock.finished:
        clock.begin_step()
        names.append(clock.stage.name)
        clock.end_step()
    assert sorted(set(names), key=names.index) == ["joint", "head", "end"]
    for stage in stages:
        assert abs(names.count(stage.name) - stage.fraction * n_steps) <= 1


def test_fractions_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match=r"must add up to 1, got 0\.8"):
        Clock(10, stages=[Stage("a", 0.5), Stage("b", 0.3)])
