"""What several subpackages need: image layouts, distances, files, optional imports."""

# SPDX-License-Identifier: BSD-3-Clause

from latentgen.utils._images import ImageLayout

__all__ = ["ImageLayout"]
