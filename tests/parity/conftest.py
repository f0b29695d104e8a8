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
    """Gives a network statistics that no fresh one has, so that each of them matters."""

    def randomise(network):
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.1)
        return network.eval()

    return randomise


@pytest.fixture
def assert_same():
    """Equal to 1e-5 of the largest score."""

    def compare(ours, theirs):
        assert ours.shape == theirs.shape
        assert theirs.abs().max() > 1e-3
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()

    return compare
