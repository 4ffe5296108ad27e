"""The published experiments, and ones beyond them, each a few public calls."""

# SPDX-License-Identifier: BSD-3-Clause

from latentgen.experiments._generation import generation
from latentgen.experiments._parts import load_parts
from latentgen.experiments._phases import conditional, ensemble
from latentgen.experiments._record import Table, environment
from latentgen.experiments._sweeps import sweep
from latentgen.experiments._tstr import tstr
from latentgen.experiments._workbench import Job, Workbench

__all__ = [
    "Job",
    "Table",
    "Workbench",
    "conditional",
    "ensemble",
    "environment",
    "generation",
    "load_parts",
    "sweep",
    "tstr",
]
