"""Displays: samples, reconstructions, sources and parameter sweeps as matplotlib figures."""

# SPDX-License-Identifier: BSD-3-Clause

from latentgen.inspection._display import (
    ReconstructionDisplay,
    SampleGridDisplay,
    SourceDisplay,
)
from latentgen.inspection._sweep import SweepDisplay

__all__ = ["ReconstructionDisplay", "SampleGridDisplay", "SourceDisplay", "SweepDisplay"]
