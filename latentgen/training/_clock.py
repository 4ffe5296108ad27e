"""How far a training is, by steps and by time, and which stage that is."""

# SPDX-License-Identifier: BSD-3-Clause

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A part of a training in which some parameters learn.

    Parameters
    ----------
    name : str
        Handed to ``module.loss``.
    fraction : float
        Fraction of the training that it takes, in (0, 1]; those of all stages add up to 1.
    learns : tuple of str or None, default=None
        Beginnings of the names of the parameters that learn, such as ``('decoder',)``; None
        stands for all.

    Examples
    --------
    >>> from latentgen.training import Stage
    >>> stages = [Stage("joint", 0.8), Stage("decoder only", 0.2, ("decoder",))]
    """

    name: str
    fraction: float
    learns: tuple | None = None


class Clock:
    """Progress of one training.

    Parameters
    ----------
    n_steps : int
        Steps of the whole training.
    max_seconds : float, default=None
        Time after which no further step begins; the training is then as far as the larger of the
        two fractions says.
    stages : sequence of Stage, default=()
        In their order.

    Attributes
    ----------
    n_done : int
        Steps that are done.
    progress : float
        Fraction of the training that is done, in [0, 1), as it was when the step began.
    """

    def __init__(self, n_steps, max_seconds=None, stages=()):
        total = sum(stage.fraction for stage in stages)
        if stages and abs(total - 1) > 1e-6:
            raise ValueError(f"The fractions of the stages must add up to 1, got {total:g}.")
        self.n_steps, self.max_seconds, self.stages = n_steps, max_seconds, tuple(stages)
        self.n_done, self.progress = 0, 0.0
        self._seconds_before, self._start = 0.0, time.perf_counter()

    def resume(self, n_done, seconds):
        """Go on where an earlier process was."""
        self.n_done, self._seconds_before, self._start = n_done, seconds, time.perf_counter()
        self.begin_step()

    @property
    def seconds(self):
        """Time since the training began, without interruptions."""
        return self._seconds_before + time.perf_counter() - self._start

    @property
    def finished(self):
        """Whether no further step should begin."""
        late = self.max_seconds is not None and self.seconds >= self.max_seconds
        # A model that has not learned anything is of no use to anybody.
        return self.n_done >= self.n_steps or (late and self.n_done > 0)

    @property
    def stage(self):
        """The stage, or None in a training without stages."""
        end = 0.0
        for stage in self.stages:
            end += stage.fraction
            # Fractions that add up to 1 may add up to a little less.
            if self.progress < end - 1e-9:
                return stage
        return self.stages[-1] if self.stages else None

    def begin_step(self):
        """Settle the progress that a step sees."""
        progress = self.n_done / self.n_steps
        if self.max_seconds is not None:
            progress = max(progress, self.seconds / self.max_seconds)
        # Time may have run out while the step was prepared; and it never runs back.
        self.progress = max(self.progress, min(progress, 1 - 1e-9))

    def end_step(self):
        """Count a step."""
        self.n_done += 1
