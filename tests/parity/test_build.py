"""Every source of every architecture, through the one call that users make."""

from __future__ import annotations

import pytest
import segmentation_models_pytorch
import torch
from torchvision.models import segmentation
from transformers import (
    ConvNextConfig,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)

from pixelwise.models.build import ARCHITECTURES, build
from pixelwise.models.layers import resize

CLASSES = 5
SMP = "segmentation_models_pytorch"


def smp(name, encoder):
    kind = getattr(segmentation_models_pytorch, name)
    return kind(encoder, encoder_weights=None, classes=CLASSES)


def torchvision(name, **options):
    return getattr(segmentation, name)(
        weights=None, weights_backbone=None, num_classes=CLASSES, **options
    )


def upernet():
    backbone = ConvNextConfig(
        hidden_sizes=[96, 192, 384, 768],
        depths=[3, 3, 9, 3],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    return UperNetForSemanticSegmentation(
        UperNetConfig(backbone_config=backbone, num_labels=CLASSES, auxiliary_in_channels=384)
    )


PEERS = {
    ("deeplabv3", "torchvision", "resnet50"): lambda: torchvision(
        "deeplabv3_resnet50", aux_loss=True
    ),
    ("deeplabv3", SMP, "resnet18"): lambda: smp("DeepLabV3", "resnet18"),
    ("deeplabv3plus", SMP, "resnet18"): lambda: smp("DeepLabV3Plus", "resnet18"),
    ("fcn", "torchvision", "resnet50"): lambda: torchvision("fcn_resnet50", aux_loss=True),
    ("lraspp", "torchvision", "mobilenet_v3_large"): lambda: torchvision(
        "lraspp_mobilenet_v3_large"
    ),
    ("pspnet", SMP, "resnet18"): lambda: smp("PSPNet", "resnet18"),
    ("segformer", SMP, "mit_b0"): lambda: smp("Segformer", "mit_b0"),
    ("segformer", "transformers", "mit_b0"): lambda: SegformerForSemanticSegmentation(
        SegformerConfig(num_labels=CLASSES)
    ),
    ("unet", SMP, "resnet18"): lambda: smp("Unet", "resnet18"),
    ("upernet", "transformers", "convnext_tiny"): upernet,
}


def scores_of(answer):
    if isinstance(answer, torch.Tensor):
        return answer
    return answer["out"] if "out" in answer else answer["logits"]


def test_every_source_is_tried():
    sources = {(name, source) for name, entry in ARCHITECTURES.items() for source in entry.sources}
    assert {(name, source) for name, source, _ in PEERS} == sources


@pytest.mark.parametrize("case", PEERS, ids="-".join)
@torch.inference_mode()
def test_a_file_of_a_source_gives_its_scores_when_enlarged_as_the_network_says(
    case, randomised, assert_same, tmp_path
):
    name, source, encoder = case
    theirs = randomised(PEERS[case]())
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = build(
        name,
        classes=CLASSES,
        encoder=encoder,
        source=source,
        weights=tmp_path / "weights.pth",
        pytorch_file=True,
    ).eval()
    picture = torch.randn(1, 3, 64, 96)
    expected = scores_of(theirs(picture))
    answer = ours(picture)
    if answer.shape != expected.shape:
        answer = resize(answer, expected.shape[-2:], alignment=ours.alignment)
    assert_same(answer, expected)
