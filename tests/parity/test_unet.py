from __future__ import annotations

import pytest
import segmentation_models_pytorch
import torch
from safetensors.torch import save_file

from pixelwise.models.build import build


@pytest.mark.parametrize("encoder", ["resnet18", "tu-test_convnext", "tu-test_efficientnet"])
@torch.inference_mode()
def test_segmentation_models_pytorch_gives_the_same_scores(
    encoder, randomised, assert_same, tmp_path
):
    theirs = randomised(
        segmentation_models_pytorch.Unet(encoder, encoder_weights=None, classes=7, in_channels=4)
    )
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    ours = build(
        "unet",
        encoder=encoder,
        classes=7,
        in_channels=4,
        source="segmentation_models_pytorch",
        weights=tmp_path / "weights.safetensors",
    ).eval()
    for size in ((64, 96), (128, 32)):
        picture = torch.randn(2, 4, *size)
        assert_same(ours(picture), theirs(picture))
