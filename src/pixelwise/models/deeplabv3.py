"""DeepLabV3: a dilated encoder and atrous spatial pyramid pooling.

Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image Segmentation",
2017 (arXiv 1706.05587), section 3.3 and figure 5. The encoder's strides beyond the output stride
become dilations; the rates of the pyramid follow: 6, 12, 18 at stride 16, doubled at stride 8.

Against the paper, as in torchvision's weights: a 3x3 convolution behind the pyramid, and no
multi-grid. The auxiliary head on the last map but one is for training only.

Score: Cityscapes val, ResNet-50, single scale: mIoU 79.3 %. torchvision's weights, on the
pictures of COCO val 2017 with the 21 classes of VOC: mIoU 66.4 % on ResNet-50, 67.4 % on
ResNet-101, 60.3 % on MobileNetV3-Large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from pixelwise.models.encoders.make import make_encoder
from pixelwise.models.layers import AtrousPyramid, ConvBlock, FCNHead
from pixelwise.models.network import Alignment, AuxiliaryNetwork, Chance, Count, NetworkConfig
from pixelwise.models.smp import smp_atrous_encoder, smp_encoder_rules
from pixelwise.models.weights import rename

__all__ = [
    "DeepLabV3",
    "DeepLabV3Config",
    "atrous_rates",
    "convert_smp",
    "convert_torchvision",
    "form_smp",
    "form_torchvision",
    "pyramid_rules",
]


def atrous_rates(output_stride: int) -> tuple[int, int, int]:
    """The rates that see the same part of the picture at every stride (paper, section 3.3)."""
    scale = 16 // output_stride
    return 6 * scale, 12 * scale, 18 * scale


@dataclass(frozen=True, kw_only=True)
class DeepLabV3Config(NetworkConfig):
    """What a DeepLabV3 is made of.

    Attributes:
        output_stride: stride of the encoder's deepest map and of the scores, 8 or 16.
        rates: dilations of the pyramid; None: 6, 12, 18 at stride 16, 12, 24, 36 at stride 8.
        decoder_channels: channels of the pyramid and of the convolution behind it.
        dropout: chance that a value of the pyramid is left out while training.
        auxiliary: an auxiliary head on the last map but one.
        dilate_first_block: see `TimmEncoder`.
        alignment: of the scores.
    """

    output_stride: Literal[8, 16] = 8
    rates: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    decoder_channels: Count = 256
    dropout: Chance = 0.5
    auxiliary: bool = False
    dilate_first_block: bool = False
    alignment: Alignment = "half_pixel"


class DeepLabV3(AuxiliaryNetwork):
    """Scores at the stride of the dilated encoder."""

    def __init__(self, config: DeepLabV3Config) -> None:
        super().__init__()
        self.config: DeepLabV3Config = config
        self.output_stride = config.output_stride
        self.alignment = config.alignment
        self.encoder = make_encoder(
            config.encoder,
            in_channels=config.in_channels,
            output_stride=config.output_stride,
            dilate_first_block=config.dilate_first_block,
            deepest=2,
        )
        self.pyramid = AtrousPyramid(
            self.encoder.channels[-1],
            config.decoder_channels,
            rates=config.rates or atrous_rates(config.output_stride),
            dropout=config.dropout,
        )
        self.refine = ConvBlock(config.decoder_channels, config.decoder_channels)
        self.head = nn.Conv2d(config.decoder_channels, config.classes, kernel_size=1)
        self.auxiliary_head = (
            FCNHead(self.encoder.channels[-2], config.classes) if config.auxiliary else None
        )

    def decode(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """The deepest map `[B, C, H/s, W/s]` -> `[B, classes, H/s, W/s]` logits."""
        # [B, C, H/s, W/s] -> [B, 256, H/s, W/s] -> [B, classes, H/s, W/s]
        logits: torch.Tensor = self.head(self.refine(self.pyramid(maps[-1])))
        return logits


def pyramid_rules(prefix: str) -> dict[str, str | None]:
    """Keys of the pyramid as torchvision and segmentation_models_pytorch name them -> ours.

    Args:
        prefix: what stands before them, as a regular expression.
    """
    return {
        rf"{prefix}convs\.0\.": "pyramid.point.",
        rf"{prefix}convs\.1\.": "pyramid.atrous.0.",
        rf"{prefix}convs\.2\.": "pyramid.atrous.1.",
        rf"{prefix}convs\.3\.": "pyramid.atrous.2.",
        rf"{prefix}convs\.4\.1\.": "pyramid.mean.0.",
        rf"{prefix}convs\.4\.2\.": "pyramid.mean.1.",
        rf"{prefix}project\.": "pyramid.fuse.",
    }


def form_torchvision(encoder: str) -> dict[str, object]:
    """The options that give torchvision's `deeplabv3_*` with its published weights.

    On `mobilenet_v3_large` it has the rates of stride 8 at stride 16, and the auxiliary head on
    the map at stride 8.
    """
    return {
        "encoder": encoder,
        "output_stride": 16 if encoder == "mobilenet_v3_large" else 8,
        "rates": (12, 24, 36),
        "auxiliary": True,
    }


def convert_torchvision(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keys of torchvision's `deeplabv3_resnet*` and `deeplabv3_mobilenet_v3_large` -> ours."""
    return rename(
        weights,
        {
            r"backbone\.(?=\d)": "encoder.features.",
            r"backbone\.": "encoder.body.",
            **pyramid_rules(r"classifier\.0\."),
            r"classifier\.1\.": "refine.0.",
            r"classifier\.2\.": "refine.1.",
            r"classifier\.4\.": "head.",
            r"aux_classifier\.0\.": "auxiliary_head.0.0.",
            r"aux_classifier\.1\.": "auxiliary_head.0.1.",
            r"aux_classifier\.4\.": "auxiliary_head.2.",
        },
    )


def form_smp(encoder: str) -> dict[str, object]:
    """The options that give segmentation_models_pytorch's `DeepLabV3` at output stride 8."""
    return {**smp_atrous_encoder(encoder), "rates": (12, 24, 36), "alignment": "corners"}


def convert_smp(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keys of segmentation_models_pytorch's `DeepLabV3` -> ours."""
    return rename(
        weights,
        {
            **smp_encoder_rules(weights),
            **pyramid_rules(r"decoder\.aspp\."),
            r"decoder\.conv\.": "refine.0.",
            r"decoder\.bn\.": "refine.1.",
            r"segmentation_head\.0\.": "head.",
        },
    )
