from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import (
    ConvNextConfig,
    SwinConfig,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)

from pixelwise.models.build import build
from pixelwise.models.layers import resize
from pixelwise.models.upernet import convert_transformers

CLASSES = 7
STAGES = [f"stage{stage}" for stage in (1, 2, 3, 4)]
BACKBONES = {
    "openmmlab/upernet-convnext-tiny": lambda: ConvNextConfig(
        hidden_sizes=[96, 192, 384, 768], depths=[3, 3, 9, 3], out_features=STAGES
    ),
    "openmmlab/upernet-swin-tiny": lambda: SwinConfig(out_features=STAGES),
}
# Where the encoders differ on sizes that the coarsest stride does not divide: transformers'
# ConvNeXt leaves the rest of the picture out, ours fills it up.
SIZES = {
    "openmmlab/upernet-convnext-tiny": ((64, 96), (128, 32)),
    "openmmlab/upernet-swin-tiny": ((64, 96), (61, 130)),
}


@torch.no_grad()
def awaken(network):
    """Gives weight to what starts at nothing or at one: norms, scales of layers, positions."""
    for name, parameter in network.named_parameters():
        if parameter.dim() == 1 and not name.endswith("bias"):
            nn.init.uniform_(parameter, 0.5, 1.5)
        elif parameter.dim() == 1 or name.endswith("position_bias_table"):
            nn.init.normal_(parameter, std=0.3)
    return network


@pytest.mark.parametrize("name", BACKBONES)
@torch.inference_mode()
def test_transformers_gives_the_same_scores(name, randomised, assert_same, tmp_path):
    theirs = UperNetForSemanticSegmentation(
        UperNetConfig(
            backbone_config=BACKBONES[name](),
            num_labels=CLASSES,
            hidden_size=16,
            auxiliary_in_channels=384,
            auxiliary_channels=8,
        )
    )
    theirs = awaken(randomised(theirs))
    theirs.save_pretrained(tmp_path)
    ours = build(
        "upernet",
        encoder=name,
        classes=CLASSES,
        decoder_channels=16,
        auxiliary_channels=8,
        source="transformers",
        weights=tmp_path / "model.safetensors",
    ).eval()
    # The file has other names than the network that was saved to it.
    converted = convert_transformers(theirs.state_dict())
    assert converted.keys() == ours.state_dict().keys()
    for key, tensor in ours.state_dict().items():
        assert torch.equal(converted[key], tensor)
    for size in SIZES[name]:
        picture = torch.randn(2, 3, *size)
        scores, auxiliary = ours.all_logits(picture)
        assert_same(resize(scores, size), theirs(picture).logits)
        maps = theirs.backbone(picture).feature_maps
        assert_same(auxiliary, theirs.auxiliary_head(maps))
