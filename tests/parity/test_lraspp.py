from __future__ import annotations

import pytest
import torch
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from pixelwise.models.checkpoint import load_tensors
from pixelwise.models.layers import resize
from pixelwise.models.lraspp import LRASPP, LRASPPConfig, convert_torchvision, form_torchvision

CLASSES = 7


@pytest.mark.parametrize("size", [(65, 97), (64, 128)])
@torch.inference_mode()
def test_scores_are_those_of_torchvision(size, randomised, assert_same):
    peer = randomised(
        lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=CLASSES)
    )
    network = LRASPP(LRASPPConfig(classes=CLASSES, **form_torchvision("mobilenet_v3_large")))
    load_tensors(network, convert_torchvision(peer.state_dict()), where="torchvision")
    pictures = torch.randn(2, 3, *size)
    assert_same(resize(network.eval()(pictures), size), peer(pictures)["out"])
