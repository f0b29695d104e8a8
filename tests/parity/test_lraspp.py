from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from pixelwise.models.checkpoint import load_tensors
from pixelwise.models.layers import resize
from pixelwise.models.lraspp import LRASPP, LRASPPConfig, convert_torchvision, form_torchvision

CLASSES = 7


def randomise(network):
    """Values that differ from place to place, and statistics unlike those of a new network."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def assert_same_scores(ours, theirs):
    scale = float(theirs.abs().max())
    assert theirs.std(dim=(2, 3)).mean() > 0.02 * scale
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("size", [(65, 97), (64, 128)])
@torch.inference_mode()
def test_scores_are_those_of_torchvision(size):
    peer = randomise(
        lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=CLASSES)
    )
    network = LRASPP(LRASPPConfig(classes=CLASSES, **form_torchvision("mobilenet_v3_large")))
    load_tensors(network, convert_torchvision(peer.state_dict()), where="torchvision")
    pictures = torch.randn(2, 3, *size)
    assert_same_scores(resize(network.eval()(pictures), size), peer(pictures)["out"])
