"""U-Net: an encoder, and a decoder that takes each encoder level back in on the way up.

Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
MICCAI 2015 (arXiv 1505.04597), figure 1. Differences from the figure, as is usual with an
ImageNet encoder: padded convolutions with batch normalisation, bilinear upsampling instead of
transposed convolution, and no level at stride 1: the scores stay at the encoder's finest stride,
because upsampling them further is exact and belongs to the decode, not to the network.

Upsampling aligns corners. A 3x3 convolution of stride 2 with padding 1 samples input pixels
0, 2, 4, …, so at sizes 32k + 1 the corners of all levels lie on each other, and so do those of
the scores and the picture.

CamVid val (367 training images, 480x360, MobileNetV2): see `pixelwise models`; the command is
`python -m pixelwise.training.street --data DIR --encoder-weights FILE --output DIR`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from pixelwise.errors import UsageError
from pixelwise.models.encoders import Encoder
from pixelwise.models.layers import ConvBlock

__all__ = ["UNet", "UNetConfig"]


@dataclass(frozen=True)
class UNetConfig:
    """What a U-Net is made of.

    Attributes:
        classes: number of score maps.
        encoder: a timm model name.
        decoder_channels: channels after each decoder step, from coarse to fine: one fewer than
            the encoder has levels.
        dropout: chance that a channel of the last decoder map is left out while training.
    """

    classes: int
    encoder: str = "mobilenetv2_100"
    decoder_channels: tuple[int, ...] = (128, 96, 64, 48)
    dropout: float = 0.1


class UpBlock(nn.Module):
    """One step up: enlarge, put the encoder's map beside it, two convolutions."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = ConvBlock(in_channels + skip_channels, out_channels)
        self.second = ConvBlock(out_channels, out_channels)

    def forward(self, coarse: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        # [B, in, h, w] -> [B, in, H, W], the size of skip
        enlarged = functional.interpolate(
            coarse, size=skip.shape[-2:], mode="bilinear", align_corners=True
        )
        # [B, in, H, W] + [B, skip, H, W] -> [B, in + skip, H, W] -> [B, out, H, W]
        merged: torch.Tensor = self.first(torch.cat([enlarged, skip], dim=1))
        refined: torch.Tensor = self.second(merged)
        return refined


class UNet(nn.Module):
    """Scores at the encoder's finest stride (2 for MobileNetV2), for a picture of any size.

    Raises:
        UsageError: the decoder has not one step for each step of the encoder.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        levels = list(reversed(self.encoder.channels))
        if len(config.decoder_channels) != len(levels) - 1:
            raise UsageError(
                "the decoder needs one step for each step of the encoder",
                where=f"encoder {config.encoder}, {len(levels)} levels",
                got=f"decoder_channels={config.decoder_channels}",
                fix=f"give {len(levels) - 1} numbers of channels",
            )
        widths = [levels[0], *config.decoder_channels]
        self.decoder = nn.ModuleList(
            UpBlock(widths[i], levels[i + 1], widths[i + 1]) for i in range(len(levels) - 1)
        )
        self.dropout = nn.Dropout2d(config.dropout)
        self.head = nn.Conv2d(widths[-1], config.classes, kernel_size=1)

    @property
    def output_stride(self) -> int:
        """Input pixels between two neighbouring scores."""
        return self.encoder.strides[0]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """`[B, 3, H, W]` normalised picture -> `[B, classes, ~H/2, ~W/2]` logits."""
        *skips, features = self.encoder(image)  # [B, C5, H/32, W/32]
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            features = block(features, skip)  # [B, width, 2h, 2w]
        logits: torch.Tensor = self.head(self.dropout(features))
        return logits
