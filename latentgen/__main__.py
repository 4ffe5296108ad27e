"""Make ``python -m latentgen`` the command line."""

# SPDX-License-Identifier: BSD-3-Clause

import sys

from latentgen.cli import main

if __name__ == "__main__":
    sys.exit(main())
