"""Images for single training steps."""

# SPDX-License-Identifier: BSD-3-Clause

import pytest
import torch


@pytest.fixture
def x():
    """Five noisy images, (5, 1, 8, 8), in [0.1, 0.9]."""
    return 0.1 + 0.8 * torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
