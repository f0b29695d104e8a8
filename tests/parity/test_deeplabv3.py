from __future__ import annotations

import pytest
import segmentation_models_pytorch
import torch
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large, deeplabv3_resnet50

from pixelwise.models.checkpoint import load_tensors
from pixelwise.models.deeplabv3 import (
    DeepLabV3,
    DeepLabV3Config,
    convert_smp,
    convert_torchvision,
    form_smp,
    form_torchvision,
)
from pixelwise.models.layers import resize

CLASSES = 7


@pytest.mark.parametrize("auxiliary", [True, False])
@pytest.mark.parametrize(
    ("make_peer", "encoder"),
    [
        (deeplabv3_resnet50, "resnet50"),
        (deeplabv3_mobilenet_v3_large, "mobilenet_v3_large"),
    ],
)
@torch.inference_mode()
def test_scores_are_those_of_torchvision(make_peer, encoder, auxiliary, randomised, assert_same):
    peer = randomised(
        make_peer(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=auxiliary)
    )
    form = {**form_torchvision(encoder), "auxiliary": auxiliary}
    network = DeepLabV3(DeepLabV3Config(classes=CLASSES, **form)).eval()
    load_tensors(network, convert_torchvision(peer.state_dict()), where="torchvision")
    for size in ((65, 97), (64, 80)):
        pictures = torch.randn(2, 3, *size)
        theirs = peer(pictures)
        assert list(theirs) == (["out", "aux"] if auxiliary else ["out"])
        for logits, expected in zip(network.all_logits(pictures), theirs.values(), strict=True):
            assert_same(resize(logits, size), expected)


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("encoder", ["resnet18", "tu-efficientnet_b0"])
@torch.inference_mode()
def test_scores_are_those_of_segmentation_models_pytorch(
    encoder, output_stride, randomised, assert_same
):
    peer = randomised(
        segmentation_models_pytorch.DeepLabV3(
            encoder,
            encoder_weights=None,
            encoder_output_stride=output_stride,
            classes=CLASSES,
            upsampling=output_stride,
        )
    )
    form = {**form_smp(encoder), "output_stride": output_stride}
    network = DeepLabV3(DeepLabV3Config(classes=CLASSES, **form)).eval()
    load_tensors(network, convert_smp(peer.state_dict()), where=encoder)
    for size in ((64, 96), (80, 112)):
        pictures = torch.randn(2, 3, *size)
        # It enlarges by corners, whatever its convolutions mean.
        ours = resize(network(pictures), size, alignment=network.alignment)
        assert_same(ours, peer(pictures))
