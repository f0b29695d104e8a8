"""PSPNet: the means of the picture over grids of 1, 2, 3 and 6 cells, set beside each position.

Zhao, Shi, Qi, Wang, Jia, "Pyramid Scene Parsing Network", CVPR 2017 (arXiv 1612.01105), figure 3;
the auxiliary head of section 3.3 (figure 4) hangs on the last map but one and is for training.

The grids' means are enlarged by their corners, as in the authors' code. torch refuses to
normalise the single mean of a batch of one picture; `BatchNorm` takes its running statistics.

Score: mIoU, single scale, ResNet-50: Cityscapes val 78.6 %, ADE20K val 42.6 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from pixelwise.models.encoders.make import make_encoder
from pixelwise.models.layers import ConvBlock, FCNHead, PyramidPooling
from pixelwise.models.network import (
    Alignment,
    AuxiliaryNetwork,
    Chance,
    Count,
    KernelSize,
    NetworkConfig,
)
from pixelwise.models.smp import smp_encoder, smp_encoder_rules
from pixelwise.models.weights import rename

__all__ = ["PSPNet", "PSPNetConfig", "convert_smp", "form_smp"]


@dataclass(frozen=True, kw_only=True)
class PSPNetConfig(NetworkConfig):
    """What a PSPNet is made of.

    Attributes:
        output_stride: stride of the dilated encoder's deepest map and of the scores, 8 or 16;
            without effect where `depth` is given.
        depth: use this many of the encoder's maps, undilated, instead of dilating it; the
            scores then have the stride of the last of them, 8 for 3 maps of a ResNet.
        bins: cells along each side of each grid.
        decoder_channels: channels after grids and features are fused.
        fusion_kernel_size: of the convolution that fuses them; the authors' is 3.
        head_kernel_size: of the last convolution; the authors' is 1.
        normalise_mean: batch normalisation on the mean of the whole picture as on the others.
        dropout: chance that a channel of the fused map is left out while training.
        auxiliary: an auxiliary head on the last map but one.
        alignment: of the enlarging inside, and of the scores.
    """

    output_stride: Literal[8, 16] = 8
    depth: Annotated[int, Field(ge=2)] | None = None
    bins: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 2, 3, 6)
    decoder_channels: Count = 512
    fusion_kernel_size: KernelSize = 3
    head_kernel_size: KernelSize = 1
    normalise_mean: bool = True
    dropout: Chance = 0.1
    auxiliary: bool = False
    alignment: Alignment = "corners"


class PSPNet(AuxiliaryNetwork):
    """Scores at the stride of the encoder's deepest map."""

    def __init__(self, config: PSPNetConfig) -> None:
        super().__init__()
        self.config: PSPNetConfig = config
        self.alignment = config.alignment
        self.encoder = make_encoder(
            config.encoder,
            in_channels=config.in_channels,
            output_stride=config.output_stride if config.depth is None else 32,
            depth=config.depth,
            deepest=2,
        )
        self.output_stride = self.encoder.strides[-1]
        channels = self.encoder.channels[-1]
        self.pooling = PyramidPooling(
            channels,
            max(1, channels // len(config.bins)),
            bins=config.bins,
            normalise_mean=config.normalise_mean,
            alignment=config.alignment,
        )
        self.fuse = ConvBlock(
            self.pooling.out_channels,
            config.decoder_channels,
            kernel_size=config.fusion_kernel_size,
        )
        self.dropout = nn.Dropout2d(config.dropout)
        self.head = nn.Conv2d(
            config.decoder_channels,
            config.classes,
            kernel_size=config.head_kernel_size,
            padding=config.head_kernel_size // 2,
        )
        self.auxiliary_head = (
            FCNHead(self.encoder.channels[-2], config.classes) if config.auxiliary else None
        )

    def decode(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """The deepest map `[B, C, H/s, W/s]` -> `[B, classes, H/s, W/s]` logits."""
        # [B, C, H/s, W/s] -> [B, 2 · C, H/s, W/s] -> [B, 512, H/s, W/s]
        fused = self.dropout(self.fuse(self.pooling(maps[-1])))
        logits: torch.Tensor = self.head(fused)  # [B, classes, H/s, W/s]
        return logits


def form_smp(encoder: str) -> dict[str, object]:
    """The options that give segmentation_models_pytorch's `PSPNet`."""
    return {
        **smp_encoder(encoder),
        "depth": 3,
        "fusion_kernel_size": 1,
        "head_kernel_size": 3,
        "normalise_mean": False,
        "dropout": 0.2,
    }


def convert_smp(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keys of segmentation_models_pytorch's `PSPNet` -> ours.

    Weights of encoder stages that it keeps but does not use are left out. It puts the features
    behind the grids, we before them.
    """
    converted = rename(
        weights,
        {
            r"encoder\.layer[34]\.": None,
            **smp_encoder_rules(weights),
            r"decoder\.psp\.blocks\.(\d+)\.pool\.1\.": r"pooling.blocks.\1.",
            r"decoder\.conv\.": "fuse.",
            r"segmentation_head\.0\.": "head.",
        },
    )
    fusion, grid = converted.get("fuse.0.weight"), converted.get("pooling.blocks.0.0.weight")
    if fusion is not None and grid is not None:
        channels = grid.shape[1]
        converted["fuse.0.weight"] = torch.cat(
            [fusion[:, -channels:], fusion[:, :-channels]], dim=1
        )
    return converted
