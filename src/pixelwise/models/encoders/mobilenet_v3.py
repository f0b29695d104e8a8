"""MobileNetV3-Large in the form of torchvision's weights.

Howard et al., "Searching for MobileNetV3", ICCV 2019 (arXiv 1905.02244), table 1 and section 5:
inverted residuals with squeeze-and-excitation and hard-swish, without the classifier. timm's
`mobilenetv3_large_100` is the same network with other keys, and its maps lie elsewhere.

The atrous form (section 6.4) has output stride 16: the last three blocks, which would have stride
32, have no stride and 5x5 convolutions of dilation 2, the first of them included. It is the form
of torchvision's LR-ASPP and DeepLabV3 weights.

There is one map for each stride: the last output that has it, but at stride 8 the output of the
first block, which those weights take their fine scores and their auxiliary scores from.

Score: ImageNet-1k top-1 75.2 % (paper, table 3); torchvision's weights 74.0 % and 75.3 %.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn

from pixelwise.models.encoders.base import Encoder
from pixelwise.models.layers import BatchNorm

__all__ = ["MobileNetV3Large"]

_STEM_CHANNELS = 16
_LAST_CHANNELS = 960


class _Row(NamedTuple):
    """A line of table 1; `squeezed` is a quarter of `expanded` in multiples of 8, or 0."""

    kernel_size: int
    expanded: int
    out_channels: int
    squeezed: int
    activation: type[nn.Module]
    stride: int


_ROWS = (
    _Row(3, 16, 16, 0, nn.ReLU, 1),
    _Row(3, 64, 24, 0, nn.ReLU, 2),
    _Row(3, 72, 24, 0, nn.ReLU, 1),
    _Row(5, 72, 40, 24, nn.ReLU, 2),
    _Row(5, 120, 40, 32, nn.ReLU, 1),
    _Row(5, 120, 40, 32, nn.ReLU, 1),
    _Row(3, 240, 80, 0, nn.Hardswish, 2),
    _Row(3, 200, 80, 0, nn.Hardswish, 1),
    _Row(3, 184, 80, 0, nn.Hardswish, 1),
    _Row(3, 184, 80, 0, nn.Hardswish, 1),
    _Row(3, 480, 112, 120, nn.Hardswish, 1),
    _Row(3, 672, 112, 168, nn.Hardswish, 1),
    _Row(5, 672, 160, 168, nn.Hardswish, 2),
    _Row(5, 960, 160, 240, nn.Hardswish, 1),
    _Row(5, 960, 160, 240, nn.Hardswish, 1),
)
_FIRST_DILATED_ROW = 12

# Index in `features` -> stride and channels; the stem is 0, the rows of the table follow.
_MAPS = {1: (2, 16), 3: (4, 24), 4: (8, 40), 12: (16, 112), 16: (32, _LAST_CHANNELS)}
_ATROUS_MAPS = {1: (2, 16), 3: (4, 24), 4: (8, 40), 16: (16, _LAST_CHANNELS)}


class ConvNorm(nn.Sequential):
    """Convolution, batch normalisation, activation: `[B, in, H, W]` -> `[B, out, ~H/s, ~W/s]`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        activation: type[nn.Module] | None,
        kernel_size: int = 1,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__(
            nn.Conv2d(
                in_channels,
                out_channels,
                kernel_size,
                stride=stride,
                padding=dilation * (kernel_size // 2),
                dilation=dilation,
                groups=groups,
                bias=False,
            ),
            BatchNorm(out_channels, eps=0.001, momentum=0.01),
        )
        if activation is not None:
            self.append(activation(inplace=True))


class SqueezeExcitation(nn.Module):
    """Weighs channels by the mean of the picture (Hu et al., CVPR 2018; hard sigmoid here)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, kernel_size=1)
        self.fc2 = nn.Conv2d(squeezed, channels, kernel_size=1)
        self.activation = nn.ReLU(inplace=True)
        self.gate = nn.Hardsigmoid(inplace=True)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[B, C, H, W]` -> `[B, C, H, W]`."""
        mean = features.mean(dim=(2, 3), keepdim=True)  # [B, C, H, W] -> [B, C, 1, 1]
        squeezed = self.activation(self.fc1(mean))  # [B, C, 1, 1] -> [B, squeezed, 1, 1]
        weighed: torch.Tensor = features * self.gate(self.fc2(squeezed))  # [B, C, H, W]
        return weighed


class InvertedResidual(nn.Module):
    """Widen, filter each channel, weigh the channels, narrow (paper, figure 4)."""

    def __init__(self, in_channels: int, row: _Row, *, stride: int, dilation: int) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        if row.expanded != in_channels:
            steps.append(ConvNorm(in_channels, row.expanded, activation=row.activation))
        steps.append(
            ConvNorm(
                row.expanded,
                row.expanded,
                activation=row.activation,
                kernel_size=row.kernel_size,
                stride=stride,
                dilation=dilation,
                groups=row.expanded,
            )
        )
        if row.squeezed:
            steps.append(SqueezeExcitation(row.expanded, row.squeezed))
        steps.append(ConvNorm(row.expanded, row.out_channels, activation=None))
        self.block = nn.Sequential(*steps)
        self.shortcut = stride == 1 and in_channels == row.out_channels

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[B, in, H, W]` -> `[B, out, ~H/stride, ~W/stride]`."""
        changed: torch.Tensor = self.block(features)  # [B, out, ~H/stride, ~W/stride]
        return changed + features if self.shortcut else changed


class MobileNetV3Large(Encoder):
    """Maps at strides 2, 4, 8, 16 and 32 of 16, 24, 40, 112 and 960 channels.

    Args:
        name: what the encoder is asked for by.
        in_channels: bands of the input picture.
        atrous: maps at strides 2, 4, 8 and 16 of 16, 24, 40 and 960 channels instead.
    """

    weights_origin = "torchvision"

    def __init__(
        self, name: str = "mobilenet_v3_large", in_channels: int = 3, *, atrous: bool = False
    ) -> None:
        super().__init__()
        self.name = name
        self._maps = _ATROUS_MAPS if atrous else _MAPS
        self.strides = tuple(stride for stride, _ in self._maps.values())
        self.channels = tuple(width for _, width in self._maps.values())
        layers: list[nn.Module] = [
            ConvNorm(in_channels, _STEM_CHANNELS, activation=nn.Hardswish, kernel_size=3, stride=2)
        ]
        channels = _STEM_CHANNELS
        for index, row in enumerate(_ROWS):
            dilated = atrous and index >= _FIRST_DILATED_ROW
            stride, dilation = (1, 2) if dilated else (row.stride, 1)
            layers.append(InvertedResidual(channels, row, stride=stride, dilation=dilation))
            channels = row.out_channels
        layers.append(ConvNorm(channels, _LAST_CHANNELS, activation=nn.Hardswish))
        self.features = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                _draw_weights(module)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """`[B, bands, H, W]` -> `[B, channels[i], ceil(H/strides[i]), ceil(W/strides[i])]` each."""
        maps = []
        features = image
        for index, layer in enumerate(self.features):
            features = layer(features)  # [B, C, ~H/stride, ~W/stride]
            if index in self._maps:
                maps.append(features)
        return maps


def _draw_weights(convolution: nn.Conv2d) -> None:
    """Draws weights that keep the size of the values (He et al., ICCV 2015, by outputs)."""
    height, width = convolution.kernel_size
    uses = height * width * convolution.out_channels // convolution.groups
    nn.init.normal_(convolution.weight, std=math.sqrt(2 / uses))
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
