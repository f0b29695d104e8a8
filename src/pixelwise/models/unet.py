"""U-Net: an encoder, and a decoder that takes each encoder level back in on the way up.

Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
MICCAI 2015 (arXiv 1505.04597), figure 1. `encoder="plain"` is the figure's own contracting path,
31.0 M parameters. Against the figure, convolutions are padded, so that the scores cover the whole
picture, and followed by batch normalisation, as in every implementation with published weights.

With another encoder (Iglovikov, Shvets, "TernausNet", 2018, arXiv 1801.05746) the decoder takes
in what levels there are and goes on without them to the full size, or stops earlier where
`decoder_channels` has fewer steps: enlarging scores further is exact and belongs to the decode.

Score: IoU 92.0 % on PhC-U373, 77.6 % on DIC-HeLa (paper, table 2). CamVid val on MobileNetV2: see
`pixelwise models`; `pixelwise train` with `recipes/street.yaml` gets it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from pixelwise.errors import UsageError
from pixelwise.models.encoders.base import steps_over
from pixelwise.models.encoders.make import make_encoder
from pixelwise.models.layers import ConvBlock, Upsample, Upsampling
from pixelwise.models.network import (
    Alignment,
    Chance,
    Count,
    KernelSize,
    NetworkConfig,
    SegmentationNetwork,
)
from pixelwise.models.smp import smp_encoder, smp_encoder_rules
from pixelwise.models.weights import rename

__all__ = ["UNet", "UNetConfig", "convert_smp", "form_smp"]

_USUAL_CHANNELS = (256, 128, 64, 32, 16)


@dataclass(frozen=True, kw_only=True)
class UNetConfig(NetworkConfig):
    """What a U-Net is made of.

    Attributes:
        decoder_channels: channels after each decoder step, from coarse to fine; each step doubles
            the size. None: the encoder's own channels on the way back where it starts at full
            size, else up to five steps of 256, 128, 64, 32, 16.
        upsampling: how a step enlarges; the paper's is `"transposed"`.
        head_kernel_size: of the last convolution; the paper's is 1.
        dropout: chance that a channel of the last decoder map is left out while training.
        alignment: of bilinear steps, and of the scores where they are smaller than the picture.
    """

    encoder: str = "plain"
    decoder_channels: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    upsampling: Upsampling = "transposed"
    head_kernel_size: KernelSize = 1
    dropout: Chance = 0.0
    alignment: Alignment = "half_pixel"


class UpBlock(nn.Module):
    """One step up: enlarge, put the encoder's map beside it, two convolutions."""

    def __init__(
        self, in_channels: int, skip_channels: int, out_channels: int, config: UNetConfig
    ) -> None:
        super().__init__()
        self.enlarge = Upsample(
            in_channels, out_channels, mode=config.upsampling, alignment=config.alignment
        )
        self.first = ConvBlock(self.enlarge.out_channels + skip_channels, out_channels)
        self.second = ConvBlock(out_channels, out_channels)

    def forward(
        self, coarse: torch.Tensor, skip: torch.Tensor | None, size: Sequence[int]
    ) -> torch.Tensor:
        """`[B, in, h, w]`, `[B, skip, H, W]` -> `[B, out, H, W]`."""
        merged = self.enlarge(coarse, size)  # [B, in, h, w] -> [B, enlarged, H, W]
        if skip is not None:
            merged = torch.cat([merged, skip], dim=1)  # [B, enlarged + skip, H, W]
        refined: torch.Tensor = self.second(self.first(merged))  # [B, out, H, W]
        return refined


class UNet(SegmentationNetwork):
    """Scores at stride 1, or at the stride that the decoder's steps lead to.

    Raises:
        UsageError: the decoder has more steps than lead to the full size, or too few to take in
            the encoder's finest level.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config: UNetConfig = config
        self.alignment = config.alignment
        self.encoder = make_encoder(config.encoder, in_channels=config.in_channels)
        levels = dict(zip(self.encoder.strides, self.encoder.channels, strict=True))
        coarsest, finest = self.encoder.strides[-1], self.encoder.strides[0]
        if any(stride & (stride - 1) for stride in levels):
            raise UsageError(
                "the decoder's steps double the size, and do not lead to the encoder's strides",
                where=f"encoder {config.encoder}",
                got=f"maps at strides {self.encoder.strides}",
                fix="take an encoder whose strides are powers of two, such as resnet34",
            )
        widths = (
            _usual_channels(levels) if config.decoder_channels is None else config.decoder_channels
        )
        least, most = int(math.log2(coarsest / finest)), int(math.log2(coarsest))
        if not least <= len(widths) <= most:
            raise UsageError(
                "the decoder needs a step for each level of the encoder, and none beyond full size",
                where=f"encoder {config.encoder}, strides {self.encoder.strides}",
                got=f"decoder_channels={widths}: {len(widths)} steps",
                fix=f"give {' to '.join(map(str, sorted({least, most})))} numbers of channels",
            )
        self.strides = tuple(coarsest >> (step + 1) for step in range(len(widths)))
        self.output_stride = self.strides[-1]
        inputs = (levels[coarsest], *widths[:-1])
        self.decoder = nn.ModuleList(
            UpBlock(in_channels, levels.get(stride, 0), out_channels, config)
            for in_channels, stride, out_channels in zip(inputs, self.strides, widths, strict=True)
        )
        self.dropout = nn.Dropout2d(config.dropout)
        self.head = nn.Conv2d(
            widths[-1],
            config.classes,
            kernel_size=config.head_kernel_size,
            padding=config.head_kernel_size // 2,
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """`[B, in_channels, H, W]` -> `[B, classes, ~H/output_stride, ~W/output_stride]` logits."""
        maps = dict(zip(self.encoder.strides, self.encoder(image), strict=True))
        features = maps[self.encoder.strides[-1]]  # [B, C, H/32, W/32]
        height, width = image.shape[-2:]
        for block, stride in zip(self.decoder, self.strides, strict=True):
            skip = maps.get(stride)
            # Asking the skip for its size, where there is one, keeps exported shapes simple.
            size = (
                (steps_over(height, stride), steps_over(width, stride))
                if skip is None
                else skip.shape[-2:]
            )
            features = block(features, skip, size)  # [B, width, H/stride, W/stride]
        logits: torch.Tensor = self.head(self.dropout(features))  # [B, classes, ., .]
        return logits


def _usual_channels(levels: Mapping[int, int]) -> tuple[int, ...]:
    if 1 in levels:
        return tuple(levels[stride] for stride in sorted(levels, reverse=True)[1:])
    return _USUAL_CHANNELS[-int(math.log2(max(levels))) :]


def form_smp(encoder: str) -> dict[str, object]:
    """The options that give segmentation_models_pytorch's `Unet`."""
    return {**smp_encoder(encoder), "upsampling": "nearest", "head_kernel_size": 3}


def convert_smp(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keys of segmentation_models_pytorch's `Unet` -> ours."""
    return rename(
        weights,
        {
            **smp_encoder_rules(weights),
            r"decoder\.blocks\.(\d+)\.conv1\.": r"decoder.\1.first.",
            r"decoder\.blocks\.(\d+)\.conv2\.": r"decoder.\1.second.",
            r"segmentation_head\.0\.": "head.",
        },
    )
