from __future__ import annotations

import pytest
import torch
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


@pytest.mark.parametrize("auxiliary", [True, False])
@torch.inference_mode()
def test_scores_are_those_of_torchvision(auxiliary, randomised, assert_same):
    peer = randomised(
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
            assert_same(resize(logits, size), expected)


def test_the_larger_network_has_its_place_for_every_weight():
    with torch.device("meta"):
        peer = fcn_resnet101(
            weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True
        )
    network = DilatedFCN(DilatedFCNConfig(classes=CLASSES, **form_torchvision("resnet101")))
    shapes = {key: value.shape for key, value in convert_torchvision(peer.state_dict()).items()}
    assert shapes == {key: value.shape for key, value in network.state_dict().items()}
