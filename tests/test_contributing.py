"""The examples of CONTRIBUTING.md are the ones that are tested."""

# SPDX-License-Identifier: BSD-3-Clause

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"<!-- the same as (\S+) -->\n```python\n(.*?)```", GUIDE, flags=re.DOTALL)


@pytest.mark.parametrize("file, code", EXAMPLES, ids=lambda value: value[:30])
def test_guide_shows_the_tested_code(file, code):
    assert (ROOT / file).read_text(encoding="utf-8").endswith(f"\n\n{code}")


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:latentgen|tests|docs|benchmarks)/[a-z_/.]+)`", GUIDE)))
)
def test_guide_names_files_that_exist(path):
    assert (ROOT / path).exists()
