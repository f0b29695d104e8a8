"""DeepLabV3+: DeepLabV3's pyramid, and a decoder that brings back fine boundaries.

Chen, Zhu, Papandreou, Schroff, Adam, "Encoder-Decoder with Atrous Separable Convolution for
Semantic Image Segmentation", ECCV 2018 (arXiv 1802.02611), figure 2 and section 4.1: the pyramid
is enlarged to the encoder's map at stride 4, set beside 48 channels of it, and refined by two 3x3
convolutions. All 3x3 convolutions of pyramid and decoder are depthwise separable (section 3.1).

Score: mIoU, single scale, ResNet-50: Cityscapes val 80.1 %, ADE20K val 44.5 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from pixelwise.models.deeplabv3 import atrous_rates, pyramid_rules
from pixelwise.models.encoders.make import make_encoder
from pixelwise.models.layers import AtrousPyramid, ConvBlock, FCNHead, level_at, resize
from pixelwise.models.network import Alignment, AuxiliaryNetwork, Chance, Count, NetworkConfig
from pixelwise.models.smp import smp_atrous_encoder, smp_encoder_rules
from pixelwise.models.weights import rename

__all__ = ["DeepLabV3Plus", "DeepLabV3PlusConfig", "convert_smp", "form_smp"]

_FINE_STRIDE = 4


@dataclass(frozen=True, kw_only=True)
class DeepLabV3PlusConfig(NetworkConfig):
    """What a DeepLabV3+ is made of.

    Attributes:
        encoder_stride: stride of the encoder's deepest map, 8 or 16.
        rates: dilations of the pyramid; None: 6, 12, 18 at stride 16, 12, 24, 36 at stride 8.
        decoder_channels: channels of the pyramid and of the decoder.
        fine_channels: what the encoder's map at stride 4 is reduced to.
        refine_pyramid: a further 3x3 convolution behind the pyramid, which the paper has not.
        fusion_blocks: 3x3 convolutions after the two are joined; the paper's best is 2 (table 2).
        dropout: chance that a value of the pyramid is left out while training.
        auxiliary: an auxiliary head on the last map but one.
        dilate_first_block: see `TimmEncoder`.
        alignment: of the enlarging inside, and of the scores.
    """

    encoder_stride: Literal[8, 16] = 16
    rates: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    decoder_channels: Count = 256
    fine_channels: Count = 48
    refine_pyramid: bool = False
    fusion_blocks: Count = 2
    dropout: Chance = 0.5
    auxiliary: bool = False
    dilate_first_block: bool = False
    alignment: Alignment = "half_pixel"


class DeepLabV3Plus(AuxiliaryNetwork):
    """Scores at stride 4.

    Raises:
        UsageError: the encoder has no map at stride 4, or cannot be dilated.
    """

    output_stride = _FINE_STRIDE

    def __init__(self, config: DeepLabV3PlusConfig) -> None:
        super().__init__()
        self.config: DeepLabV3PlusConfig = config
        self.alignment = config.alignment
        self.encoder = make_encoder(
            config.encoder,
            in_channels=config.in_channels,
            output_stride=config.encoder_stride,
            dilate_first_block=config.dilate_first_block,
        )
        width = config.decoder_channels
        self.fine_level = level_at(self.encoder, _FINE_STRIDE)
        self.pyramid = AtrousPyramid(
            self.encoder.channels[-1],
            width,
            rates=config.rates or atrous_rates(config.encoder_stride),
            separable=True,
            dropout=config.dropout,
        )
        self.refine = ConvBlock(width, width, separable=True) if config.refine_pyramid else None
        self.fine = ConvBlock(
            self.encoder.channels[self.fine_level], config.fine_channels, kernel_size=1
        )
        self.fusion = nn.Sequential(
            *(
                ConvBlock(width if index else width + config.fine_channels, width, separable=True)
                for index in range(config.fusion_blocks)
            )
        )
        self.head = nn.Conv2d(width, config.classes, kernel_size=1)
        self.auxiliary_head = (
            FCNHead(self.encoder.channels[-2], config.classes) if config.auxiliary else None
        )

    def decode(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """The encoder's maps -> `[B, classes, ~H/4, ~W/4]` logits."""
        coarse = self.pyramid(maps[-1])  # [B, C, H/16, W/16] -> [B, 256, H/16, W/16]
        if self.refine is not None:
            coarse = self.refine(coarse)
        fine = self.fine(maps[self.fine_level])  # [B, C2, H/4, W/4] -> [B, 48, H/4, W/4]
        # [B, 256, H/16, W/16] -> [B, 256, H/4, W/4] -> [B, 304, H/4, W/4]
        enlarged = resize(coarse, fine.shape[-2:], alignment=self.alignment)
        joined = torch.cat([enlarged, fine], dim=1)
        # [B, 304, H/4, W/4] -> [B, 256, H/4, W/4] -> [B, classes, H/4, W/4]
        logits: torch.Tensor = self.head(self.fusion(joined))
        return logits


def form_smp(encoder: str) -> dict[str, object]:
    """The options that give segmentation_models_pytorch's `DeepLabV3Plus` at output stride 16."""
    return {
        **smp_atrous_encoder(encoder),
        "rates": (12, 24, 36),
        "refine_pyramid": True,
        "fusion_blocks": 1,
        "alignment": "corners",
    }


def convert_smp(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keys of segmentation_models_pytorch's `DeepLabV3Plus` -> ours."""
    return rename(
        weights,
        {
            **smp_encoder_rules(weights),
            **pyramid_rules(r"decoder\.aspp\.0\."),
            r"decoder\.aspp\.1\.": "refine.0.",
            r"decoder\.aspp\.2\.": "refine.1.",
            r"decoder\.block1\.": "fine.",
            r"decoder\.block2\.": "fusion.0.",
            r"segmentation_head\.0\.": "head.",
        },
    )
