"""Dilated FCN: a dilated encoder, and one convolution before the scores.

Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015
(arXiv 1411.4038), without its steps up: the encoder's strides beyond the output stride become
dilations, as Yu and Koltun did first ("Multi-Scale Context Aggregation by Dilated Convolutions",
ICLR 2016, arXiv 1511.07122) and Yu et al. for ResNets (CVPR 2017, arXiv 1705.09914).

It is what torchvision calls FCN, and mmsegmentation FCN-R50-d8; the latter has two 3x3
convolutions of 512 channels where torchvision and this file have one of a quarter of the
encoder's channels. The auxiliary head on the last map but one is for training only.

Score: torchvision's weights, on the pictures of COCO val 2017 with the 21 classes of VOC: mIoU
60.5 % on ResNet-50, 63.7 % on ResNet-101. mmsegmentation's FCN-R50-d8 on Cityscapes val, 512x1024
crops, 40k iterations, single scale: mIoU 72.3 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from pixelwise.models.encoders.make import make_encoder
from pixelwise.models.layers import FCNHead
from pixelwise.models.network import AuxiliaryNetwork, Chance, NetworkConfig
from pixelwise.models.weights import rename

__all__ = ["DilatedFCN", "DilatedFCNConfig", "convert_torchvision", "form_torchvision"]


@dataclass(frozen=True, kw_only=True)
class DilatedFCNConfig(NetworkConfig):
    """What a dilated FCN is made of.

    Attributes:
        output_stride: stride of the encoder's deepest map and of the scores, 8 or 16.
        dropout: chance that a value before the scores is left out while training.
        auxiliary: an auxiliary head on the last map but one.
    """

    output_stride: Literal[8, 16] = 8
    dropout: Chance = 0.1
    auxiliary: bool = False


class DilatedFCN(AuxiliaryNetwork):
    """Scores at the stride of the dilated encoder.

    Raises:
        UsageError: the encoder cannot be dilated.
    """

    def __init__(self, config: DilatedFCNConfig) -> None:
        super().__init__()
        self.config: DilatedFCNConfig = config
        self.output_stride = config.output_stride
        self.encoder = make_encoder(
            config.encoder,
            in_channels=config.in_channels,
            output_stride=config.output_stride,
            deepest=2,
        )
        *_, last_but_one, last = self.encoder.channels
        self.head = FCNHead(last, config.classes, dropout=config.dropout)
        self.auxiliary_head = (
            FCNHead(last_but_one, config.classes, dropout=config.dropout)
            if config.auxiliary
            else None
        )

    def decode(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """The deepest map `[B, C, H/s, W/s]` -> `[B, classes, H/s, W/s]` logits."""
        logits: torch.Tensor = self.head(maps[-1])
        return logits


def form_torchvision(encoder: str) -> dict[str, object]:
    """The options that give torchvision's `fcn_resnet*` with its published weights."""
    return {"encoder": encoder, "auxiliary": True}


def convert_torchvision(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keys of torchvision's `fcn_resnet*` -> ours."""
    return rename(
        weights,
        {
            r"backbone\.": "encoder.body.",
            r"classifier\.0\.": "head.0.0.",
            r"classifier\.1\.": "head.0.1.",
            r"classifier\.4\.": "head.2.",
            r"aux_classifier\.0\.": "auxiliary_head.0.0.",
            r"aux_classifier\.1\.": "auxiliary_head.0.1.",
            r"aux_classifier\.4\.": "auxiliary_head.2.",
        },
    )
