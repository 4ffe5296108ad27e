"""The command line: fit, sample, judge and tune generators of images without writing Python."""

# SPDX-License-Identifier: BSD-3-Clause

from latentgen.cli._parser import main

__all__ = ["main"]
