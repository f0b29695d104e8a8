"""The contracting path of U-Net, as the paper draws it.

Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
MICCAI 2015 (arXiv 1505.04597), figure 1: two 3x3 convolutions a level, 2x2 max pooling between
levels, 64 channels that double at every pooling. Against the figure, convolutions are padded and
followed by batch normalisation.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from pixelwise.models.encoders.base import Encoder
from pixelwise.models.layers import ConvBlock

__all__ = ["PlainEncoder"]


class PlainEncoder(Encoder):
    """Five levels of two convolutions each, from the picture's own size down to a sixteenth.

    There are no classification weights of it: it learns from the task alone.

    Args:
        name: what the encoder is asked for by.
        in_channels: bands of the input picture.
    """

    channels = (64, 128, 256, 512, 1024)
    strides = (1, 2, 4, 8, 16)

    def __init__(self, name: str = "plain", in_channels: int = 3) -> None:
        super().__init__()
        self.name = name
        inputs = (in_channels, *self.channels[:-1])
        self.levels = nn.ModuleList(
            nn.Sequential(ConvBlock(before, after), ConvBlock(after, after))
            for before, after in zip(inputs, self.channels, strict=True)
        )

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """`[B, bands, H, W]` -> `[B, channels[i], ceil(H/strides[i]), ceil(W/strides[i])]` each."""
        features = self.levels[0](image)  # [B, 64, H, W]
        maps = [features]
        for level in self.levels[1:]:
            # Rounds halves up: a line of zeros changes no maximum behind a ReLU, and even sizes
            # leave it out again. OpenVINO itself cannot round up where one line is left.
            padded = functional.pad(features, (0, 1, 0, 1))  # [B, C, h + 1, w + 1]
            # [B, C, h + 1, w + 1] -> [B, C, ceil(h/2), ceil(w/2)] -> [B, 2C, ., .]
            features = level(functional.max_pool2d(padded, kernel_size=2))
            maps.append(features)
        return maps
