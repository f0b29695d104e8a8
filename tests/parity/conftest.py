"""What the comparisons with other implementations share."""

from __future__ import annotations

import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def randomised():
    """Gives a network values that differ from place to place, and statistics no new one has."""

    def randomise(network):
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.1)
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        return network.eval()

    return randomise


@pytest.fixture
def assert_same():
    """Equal to 1e-5 of the largest score; maps must differ from place to place."""

    def compare(ours, theirs):
        scale = float(theirs.abs().max())
        if theirs.ndim == 4:
            assert theirs.std(dim=(2, 3)).mean() > 0.01 * scale
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * scale)

    return compare
