"""LR-ASPP: the light decoder of MobileNetV3.

Howard et al., "Searching for MobileNetV3", ICCV 2019 (arXiv 1905.02244), section 6.4 and figure
10: the deepest map, reduced to 128 channels and gated by its own mean, gives coarse scores; those
of the encoder's map at stride 8 are added to them.

Against the paper, as in torchvision's weights: the gate sees the mean of the whole picture, where
the paper pools 49x49 windows at strides 16 and 20 and enlarges the result; the last block of
MobileNetV3 keeps all its channels; the encoder's map at stride 8 is the narrow output of a block.

Score: Cityscapes test, MobileNetV3-Large: mIoU 72.6 % (paper, table 8). torchvision's weights, on
the pictures of COCO val 2017 with the 21 classes of VOC: mIoU 57.9 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from pixelwise.models.encoders.make import make_encoder
from pixelwise.models.layers import ConvBlock, level_at, resize
from pixelwise.models.network import Count, NetworkConfig, SegmentationNetwork
from pixelwise.models.weights import rename

__all__ = ["LRASPP", "LRASPPConfig", "convert_torchvision", "form_torchvision"]

_FINE_STRIDE = 8


@dataclass(frozen=True, kw_only=True)
class LRASPPConfig(NetworkConfig):
    """What an LR-ASPP is made of.

    Attributes:
        encoder_stride: stride of the encoder's deepest map: 16 by dilation, or 32 for an encoder
            left as it is.
        decoder_channels: what the deepest map is reduced to.
    """

    encoder: str = "mobilenet_v3_large"
    encoder_stride: Literal[16, 32] = 16
    decoder_channels: Count = 128


class LRASPP(SegmentationNetwork):
    """Scores at stride 8.

    Raises:
        UsageError: the encoder has no map at stride 8, or cannot be dilated.
    """

    output_stride = _FINE_STRIDE

    def __init__(self, config: LRASPPConfig) -> None:
        super().__init__()
        self.config: LRASPPConfig = config
        self.encoder = make_encoder(
            config.encoder, in_channels=config.in_channels, output_stride=config.encoder_stride
        )
        self.fine_level = level_at(self.encoder, _FINE_STRIDE)
        fine_channels, deep_channels = (
            self.encoder.channels[self.fine_level],
            self.encoder.channels[-1],
        )
        self.reduce = ConvBlock(deep_channels, config.decoder_channels, kernel_size=1)
        self.gate = nn.Conv2d(deep_channels, config.decoder_channels, kernel_size=1, bias=False)
        self.fine_head = nn.Conv2d(fine_channels, config.classes, kernel_size=1)
        self.deep_head = nn.Conv2d(config.decoder_channels, config.classes, kernel_size=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """`[B, in_channels, H, W]` -> `[B, classes, ceil(H/8), ceil(W/8)]` logits."""
        maps = self.encoder(image)
        fine, deep = maps[self.fine_level], maps[-1]
        # [B, C, H/16, W/16] -> [B, C, 1, 1] -> [B, 128, 1, 1]
        gate = self.gate(deep.mean(dim=(2, 3), keepdim=True)).sigmoid()
        # The figure enlarges before it scores. Both are linear and interpolation weights sum to
        # one, so the order is free, and this one has fewer values to enlarge.
        # [B, C, H/16, W/16] -> [B, 128, H/16, W/16] -> [B, classes, H/16, W/16]
        coarse_logits = self.deep_head(self.reduce(deep) * gate)
        # [B, C, H/8, W/8] -> [B, classes, H/8, W/8]
        fine_logits: torch.Tensor = self.fine_head(fine)
        return fine_logits + resize(coarse_logits, fine.shape[-2:])


def form_torchvision(encoder: str) -> dict[str, object]:
    """The options that give torchvision's `lraspp_mobilenet_v3_large`: ours as they are."""
    return {"encoder": encoder}


def convert_torchvision(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keys of torchvision's `lraspp_mobilenet_v3_large` -> ours."""
    return rename(
        weights,
        {
            r"backbone\.": "encoder.features.",
            r"classifier\.cbr\.": "reduce.",
            r"classifier\.scale\.1\.": "gate.",
            r"classifier\.low_classifier\.": "fine_head.",
            r"classifier\.high_classifier\.": "deep_head.",
        },
    )
