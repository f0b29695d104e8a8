"""SegNet: VGG's convolutions, and their mirror image that enlarges by where the maxima were.

Badrinarayanan, Kendall, Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for
Image Segmentation", PAMI 2017 (arXiv 1511.00561), figures 2 and 3. Each pooling remembers which of
its four values was the largest (the two bits of section 3.1); the step of the decoder that undoes
the pooling puts its values there, and zeros elsewhere. The last convolution of the decoder gives
the scores. The other VGGs with batch normalisation work alike.

A picture whose size 32 does not divide has windows that hold one line less, and gets back its own
size. Of equal values the first of the window counts, in every engine. Values that differ by
rounding alone may be ranked otherwise by another engine, and the scores around them then differ
visibly: that lies in the method.

Score: CamVid, 11 classes, trained on 3,433 road pictures: mIoU 60.1 % (paper, table 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from pixelwise.models.encoders.base import Encoder
from pixelwise.models.encoders.timm_encoder import timm_classification
from pixelwise.models.layers import BatchNorm, ConvBlock
from pixelwise.models.network import NetworkConfig, SegmentationNetwork

__all__ = ["SegNet", "SegNetConfig", "SegNetEncoder", "max_pool", "max_unpool"]

_WIDTHS = (64, 128, 256, 512, 512)

# Convolutions in each of the five stages (Simonyan, Zisserman, 2015, table 1: A, B, D, E).
_DEPTHS = {
    "vgg11_bn": (1, 1, 2, 2, 2),
    "vgg13_bn": (2, 2, 2, 2, 2),
    "vgg16_bn": (2, 2, 3, 3, 3),
    "vgg19_bn": (2, 2, 4, 4, 4),
}


@dataclass(frozen=True, kw_only=True)
class SegNetConfig(NetworkConfig):
    """What a SegNet is made of; the encoder is one of VGG's: 11, 13, 16 or 19 layers deep."""

    encoder: Literal["vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"] = "vgg16_bn"


def max_pool(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """2x2 max pooling that tells which values it took; of equal ones the first, row by row.

    Marks instead of torch's indices: unpooling by those is a scatter, 2 times slower in
    onnxruntime and 16 times in OpenVINO, and ONNX leaves open which of equal values it means.

    Args:
        features: `[B, C, H, W]`.

    Returns:
        the maxima `[B, C, h, w]`, h = ceil(H/2) and w = ceil(W/2), and `[B, C, 2h, 2w]`: true
        where they were.
    """
    batch, channels, height, width = features.shape
    rows, columns = (height + 1) // 2, (width + 1) // 2
    # [B, C, H, W] -> [B, C, 2h, 2w]; a line that is added is less than any value
    even = functional.pad(
        features, (0, 2 * columns - width, 0, 2 * rows - height), value=-torch.inf
    )
    left, right = even.view(batch, channels, 2 * rows, columns, 2).unbind(4)
    in_right = right > left
    larger = torch.where(in_right, right, left)  # [B, C, 2h, w]
    upper, lower = larger.view(batch, channels, rows, 2, columns).unbind(3)
    in_lower = lower > upper  # [B, C, h, w]
    # [B, C, h, 2, w] -> [B, C, 2h, w], then [B, C, 2h, w, 2] -> [B, C, 2h, 2w]
    row = torch.stack([~in_lower, in_lower], dim=3).view(batch, channels, 2 * rows, columns)
    taken = torch.stack([row & ~in_right, row & in_right], dim=4)
    return (
        torch.where(in_lower, lower, upper),
        taken.view(batch, channels, 2 * rows, 2 * columns),
    )


def max_unpool(pooled: torch.Tensor, taken: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Values back to where `max_pool` took the maxima, zeros elsewhere.

    Args:
        pooled: `[B, C, h, w]`.
        taken: `[B, C, 2h, 2w]`.
        size: `(H, W)` before the pooling.

    Returns:
        `[B, C, H, W]`.
    """
    # [B, C, h, w] -> [B, C, 2h, 2w]
    enlarged = functional.interpolate(pooled, scale_factor=2, mode="nearest")
    unpooled = torch.where(taken, enlarged, enlarged.new_zeros(()))
    height, width = taken.shape[-2:]
    # [B, C, 2h, 2w] -> [B, C, H, W]: padding by less than nothing cuts off
    return functional.pad(unpooled, (0, size[1] - width, 0, size[0] - height))


class Pooled(NamedTuple):
    """One pooled map of the encoder.

    Attributes:
        features: `[B, C, h, w]`.
        taken: see `max_pool`.
        size: `(H, W)` before the pooling.
    """

    features: torch.Tensor
    taken: torch.Tensor
    size: tuple[int, int]


class VGGBlock(nn.Sequential):
    """Convolution, batch normalisation, ReLU: `[B, in, H, W]` -> `[B, out, H, W]`.

    The convolution's bias does nothing that the normalisation would not undo, but is there in the
    classification weights.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
            BatchNorm(out_channels),
            nn.ReLU(inplace=True),
        )


class SegNetEncoder(Encoder):
    """The convolutions of a VGG with batch normalisation.

    Args:
        name: `"vgg11_bn"`, `"vgg13_bn"`, `"vgg16_bn"` or `"vgg19_bn"`.
        in_channels: bands of the input picture.
    """

    channels = _WIDTHS
    strides = (2, 4, 8, 16, 32)

    def __init__(self, name: str, in_channels: int = 3) -> None:
        super().__init__()
        self.name = name
        self.stages = nn.ModuleList()
        self._file_keys: dict[str, str] = {}
        position, channels = 0, in_channels
        for stage, (depth, width) in enumerate(zip(_DEPTHS[name], _WIDTHS, strict=True)):
            blocks = []
            for block in range(depth):
                blocks.append(VGGBlock(channels, width))
                self._file_keys[f"stages.{stage}.{block}.0"] = f"features.{position}"
                self._file_keys[f"stages.{stage}.{block}.1"] = f"features.{position + 1}"
                position, channels = position + 3, width
            self.stages.append(nn.Sequential(*blocks))
            position += 1  # the pooling

    def classification_key(self, key: str) -> str:
        """VGG counts its layers through."""
        layer, _, tensor = key.rpartition(".")
        return f"{self._file_keys[layer]}.{tensor}"

    def download_classification(self) -> dict[str, torch.Tensor]:
        """See `Encoder`."""
        return timm_classification(self.name)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """`[B, bands, H, W]` -> `[B, channels[i], ceil(H/strides[i]), ceil(W/strides[i])]` each."""
        return [pooled.features for pooled in self.pooled(image)]

    def pooled(self, image: torch.Tensor) -> list[Pooled]:
        """The maps of `forward`, each with what undoes its pooling."""
        features, maps = image, []
        for stage in self.stages:
            whole = stage(features)  # [B, C, h, w] -> [B, C', h, w]
            features, taken = max_pool(whole)  # [B, C', ceil(h/2), ceil(w/2)]
            maps.append(Pooled(features, taken, (whole.shape[2], whole.shape[3])))
        return maps


class SegNet(SegmentationNetwork):
    """Scores at stride 1."""

    encoder: SegNetEncoder
    output_stride = 1

    def __init__(self, config: SegNetConfig) -> None:
        super().__init__()
        self.config: SegNetConfig = config
        self.encoder = SegNetEncoder(config.encoder, config.in_channels)
        depths = _DEPTHS[config.encoder]
        # A stage's last convolution leads on to the width of the next; the very last is the head.
        self.decoder = nn.ModuleList(
            nn.Sequential(
                *(ConvBlock(width, width) for _ in range(depth - 1)), ConvBlock(width, narrower)
            )
            for depth, width, narrower in zip(
                depths[:0:-1], _WIDTHS[:0:-1], _WIDTHS[-2::-1], strict=True
            )
        )
        self.decoder.append(
            nn.Sequential(*(ConvBlock(_WIDTHS[0], _WIDTHS[0]) for _ in range(depths[0] - 1)))
        )
        self.head = nn.Conv2d(_WIDTHS[0], config.classes, kernel_size=3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """`[B, in_channels, H, W]` -> `[B, classes, H, W]` logits."""
        maps = self.encoder.pooled(image)
        features = maps[-1].features  # [B, 512, H/32, W/32]
        for pooled, stage in zip(reversed(maps), self.decoder, strict=True):
            # [B, C, ceil(h/2), ceil(w/2)] -> [B, C, h, w] -> [B, C', h, w]
            features = stage(max_unpool(features, pooled.taken, pooled.size))
        logits: torch.Tensor = self.head(features)  # [B, classes, H, W]
        return logits
