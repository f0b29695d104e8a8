"""Layers that several architectures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from pixelwise.errors import UsageError
from pixelwise.models.encoders.base import Encoder
from pixelwise.models.network import Alignment

__all__ = [
    "AtrousPyramid",
    "BatchNorm",
    "ConvBlock",
    "FCNHead",
    "PyramidPooling",
    "SeparableConv",
    "Upsample",
    "Upsampling",
    "adaptive_average_pool",
    "level_at",
    "resize",
]

Upsampling = Literal["nearest", "bilinear", "transposed", "pixel_shuffle"]


def level_at(encoder: Encoder, stride: int) -> int:
    """Which of the encoder's maps has a stride: the deepest one, where several have it.

    Raises:
        UsageError: none has.
    """
    for level, found in reversed(list(enumerate(encoder.strides))):
        if found == stride:
            return level
    raise UsageError(
        f"the decoder needs a map at stride {stride}, which the encoder does not give",
        where=f"encoder {encoder.name}",
        got=f"maps at strides {encoder.strides}",
        fix="take an encoder that has one: pixelwise models --encoders TEXT shows the strides",
    )


def resize(
    features: torch.Tensor, size: Sequence[int], *, alignment: Alignment = "half_pixel"
) -> torch.Tensor:
    """Bilinear interpolation: `[B, C, h, w]` -> `[B, C, *size]`."""
    return functional.interpolate(
        features, size=tuple(size), mode="bilinear", align_corners=alignment == "corners"
    )


def adaptive_average_pool(features: torch.Tensor, bins: int) -> torch.Tensor:
    """Means over a grid of bins x bins cells: `[B, C, H, W]` -> `[B, C, bins, bins]`.

    Cell i spans floor(i·H / bins) to ceil((i + 1)·H / bins), as in torch's
    `adaptive_avg_pool2d`. Written as two products with matrices made from the size, since
    exporters can express it so for a size that is not known beforehand.
    """
    rows = _cell_weights(features, features.shape[-2], bins)  # [bins, H]
    columns = _cell_weights(features, features.shape[-1], bins)  # [bins, W]
    # [bins, H] · [B, C, H, W] · [W, bins] -> [B, C, bins, bins]
    return rows @ features @ columns.transpose(0, 1)


def _cell_weights(features: torch.Tensor, size: int, bins: int) -> torch.Tensor:
    position = torch.arange(size, device=features.device).unsqueeze(0)  # [1, size]
    cell = torch.arange(bins, device=features.device).unsqueeze(1)  # [bins, 1]
    start, end = cell * size // bins, ((cell + 1) * size + bins - 1) // bins
    inside = (position >= start) & (position < end)  # [bins, size]
    return inside.to(features.dtype) / (end - start).to(features.dtype)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that also trains on a single value per channel.

    One picture pooled to 1x1 has no variance of its own: torch refuses it. Here the running
    statistics stand in for that batch, and are left as they are.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[B, C, H, W]` -> `[B, C, H, W]`."""
        if self.training and features.shape[0] * features.shape[2] * features.shape[3] == 1:
            return functional.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(features)


class SeparableConv(nn.Sequential):
    """A convolution per channel, then one across channels (Chollet, "Xception", 2017)."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel_size: int = 3, dilation: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(
                in_channels,
                in_channels,
                kernel_size,
                padding=dilation * (kernel_size // 2),
                dilation=dilation,
                groups=in_channels,
                bias=False,
            ),
            nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
        )


class ConvBlock(nn.Sequential):
    """Convolution, batch normalisation, ReLU: `[B, in, H, W]` -> `[B, out, H, W]`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        dilation: int = 1,
        separable: bool = False,
    ) -> None:
        convolution: nn.Module
        if separable:
            convolution = SeparableConv(
                in_channels, out_channels, kernel_size=kernel_size, dilation=dilation
            )
        else:
            convolution = nn.Conv2d(
                in_channels,
                out_channels,
                kernel_size,
                padding=dilation * (kernel_size // 2),
                dilation=dilation,
                bias=False,
            )
        super().__init__(convolution, BatchNorm(out_channels), nn.ReLU(inplace=True))


class FCNHead(nn.Sequential):
    """3x3 convolution to a quarter of the channels, dropout, 1x1 to the classes.

    The head of torchvision's FCN, and the auxiliary head of DeepLabV3 and PSPNet.
    """

    def __init__(self, in_channels: int, classes: int, *, dropout: float = 0.1) -> None:
        middle = max(1, in_channels // 4)
        super().__init__(
            ConvBlock(in_channels, middle), nn.Dropout(dropout), nn.Conv2d(middle, classes, 1)
        )


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling: 1x1, three dilated 3x3, the mean of the picture; fused.

    Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017 (arXiv
    1706.05587), section 3.3 and figure 5.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        rates: Sequence[int],
        separable: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.point = ConvBlock(in_channels, out_channels, kernel_size=1)
        self.atrous = nn.ModuleList(
            ConvBlock(in_channels, out_channels, dilation=rate, separable=separable)
            for rate in rates
        )
        self.mean = ConvBlock(in_channels, out_channels, kernel_size=1)
        self.fuse = ConvBlock((2 + len(rates)) * out_channels, out_channels, kernel_size=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[B, in, H, W]` -> `[B, out, H, W]`."""
        # [B, in, H, W] -> [B, out, 1, 1] -> [B, out, H, W]: enlarging one value repeats it
        mean = self.mean(features.mean(dim=(2, 3), keepdim=True)).expand(
            -1, -1, features.shape[2], features.shape[3]
        )
        branches = [self.point(features), *(block(features) for block in self.atrous), mean]
        # [B, 5 · out, H, W] -> [B, out, H, W]
        fused: torch.Tensor = self.dropout(self.fuse(torch.cat(branches, dim=1)))
        return fused


class PyramidPooling(nn.Module):
    """The picture's means over coarse grids, set behind the features.

    Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017 (arXiv 1612.01105), figure 3.

    Args:
        in_channels: of the features.
        bin_channels: of each grid after its 1x1 convolution.
        bins: cells along each side of each grid.
        normalise_mean: whether a grid of one cell is normalised like the others.
        alignment: of enlarging the grids.

    Attributes:
        out_channels: channels of the features and all the means together.
    """

    def __init__(
        self,
        in_channels: int,
        bin_channels: int,
        *,
        bins: Sequence[int] = (1, 2, 3, 6),
        normalise_mean: bool = True,
        alignment: Alignment = "half_pixel",
    ) -> None:
        super().__init__()
        self.bins = tuple(bins)
        self.alignment = alignment
        self.blocks = nn.ModuleList(
            ConvBlock(in_channels, bin_channels, kernel_size=1)
            if count > 1 or normalise_mean
            else nn.Sequential(nn.Conv2d(in_channels, bin_channels, kernel_size=1), nn.ReLU())
            for count in self.bins
        )
        self.out_channels = in_channels + len(self.bins) * bin_channels

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[B, in, H, W]` -> `[B, out_channels, H, W]`."""
        size = features.shape[-2:]
        maps = [features]
        for bins, block in zip(self.bins, self.blocks, strict=True):
            # [B, in, H, W] -> [B, bin, bins, bins] -> [B, bin, H, W]
            pooled = block(adaptive_average_pool(features, bins))
            maps.append(resize(pooled, size, alignment=self.alignment))
        return torch.cat(maps, dim=1)


class Upsample(nn.Module):
    """One step up by two, in one of four ways; odd sizes are met by leaving out the last line.

    - `"nearest"`, `"bilinear"`: interpolation, without weights;
    - `"transposed"`: 2x2 transposed convolution of stride 2;
    - `"pixel_shuffle"`: 1x1 convolution to four times the channels, which become a 2x2 square
      (Shi et al., CVPR 2016); the four start equal, so that no checkerboard has to be unlearnt
      (Aitken et al. 2017, arXiv 1707.02937).

    Attributes:
        out_channels: as asked for, or in_channels where interpolation leaves them as they are.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        mode: Upsampling,
        alignment: Alignment = "half_pixel",
    ) -> None:
        super().__init__()
        self.mode: Upsampling = mode
        self.alignment = alignment
        self.out_channels = in_channels
        self.step: nn.Module = nn.Identity()
        if mode == "transposed":
            self.out_channels = out_channels
            self.step = nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2)
        elif mode == "pixel_shuffle":
            self.out_channels = out_channels
            convolution = nn.Conv2d(in_channels, 4 * out_channels, kernel_size=1)
            with torch.no_grad():
                for parameter in convolution.parameters():
                    parameter.copy_(parameter[::4].repeat_interleave(4, dim=0))
            self.step = nn.Sequential(convolution, nn.PixelShuffle(2))

    def forward(self, coarse: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """`[B, in, h, w]` -> `[B, out, *size]`; size is `(2h, 2w)` or one less."""
        if self.mode == "nearest":
            return functional.interpolate(coarse, size=tuple(size), mode="nearest")
        if self.mode == "bilinear":
            return resize(coarse, size, alignment=self.alignment)
        enlarged: torch.Tensor = self.step(coarse)
        return enlarged[:, :, : size[0], : size[1]]
