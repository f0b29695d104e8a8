from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models.segmentation import fcn_resnet50, fcn_resnet101

from pixelwise.models.checkpoint import load_tensors
from pixelwise.models.dilated_fcn import (
    DilatedFCN,
    DilatedFCNConfig,
    convert_torchvision,
    form_torchvision,
)
from pixelwise.models.layers import resize

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


@pytest.mark.parametrize("auxiliary", [True, False])
@torch.inference_mode()
def test_scores_are_those_of_torchvision(auxiliary):
    peer = randomise(
        fcn_resnet50(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=auxiliary)
    )
    form = {**form_torchvision("resnet50"), "auxiliary": auxiliary}
    network = DilatedFCN(DilatedFCNConfig(classes=CLASSES, **form)).eval()
    load_tensors(network, convert_torchvision(peer.state_dict()), where="torchvision")
    for size in ((65, 97), (64, 80)):
        pictures = torch.randn(2, 3, *size)
        theirs = peer(pictures)
        assert list(theirs) == (["out", "aux"] if auxiliary else ["out"])
        for logits, expected in zip(network.all_logits(pictures), theirs.values(), strict=True):
            assert_same_scores(resize(logits, size), expected)


def test_the_larger_network_has_its_place_for_every_weight():
    with torch.device("meta"):
        peer = fcn_resnet101(
            weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True
        )
    network = DilatedFCN(DilatedFCNConfig(classes=CLASSES, **form_torchvision("resnet101")))
    shapes = {key: value.shape for key, value in convert_torchvision(peer.state_dict()).items()}
    assert shapes == {key: value.shape for key, value in network.state_dict().items()}
