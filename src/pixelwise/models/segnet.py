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

import torch
from torch import nn
from torch.nn import functional

from pixelwise.errors import did_you_mean
from pixelwise.models.encoders.base import Encoder
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

    encoder: str = "vgg16_bn"

    def faults(self) -> list[str]:
        """See `NetworkConfig`."""
        faults = super().faults()
        if self.encoder not in _DEPTHS:
            faults.append(f"encoder={self.encoder!r}: {did_you_mean(self.encoder, _DEPTHS)}")
        return faults


def max_pool(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """2x2 max pooling that tells which values it took; of equal ones the first, row by row.

    Written as comparisons: the exporters' own indices are slow, and each engine has its own rule
    for equal values, of which there are many behind a ReLU.

    Args:
        features: `[B, C, H, W]`.

    Returns:
        the maxima `[B, C, ceil(H/2), ceil(W/2)]`, and `[B, C, H, W]`: true where they were.
    """
    height, width = features.shape[-2:]
    # What stands beyond the last line is less than any value.
    left = features[..., 0::2]  # [B, C, H, W'/2], where W' is W made even
    right = functional.pad(features, (0, 1), value=-torch.inf)[..., 1::2]  # [B, C, H, W'/2]
    in_right = right > left
    of_row = torch.where(in_right, right, left)  # [B, C, H, W'/2]
    upper = of_row[:, :, 0::2]  # [B, C, H'/2, W'/2]
    lower = functional.pad(of_row, (0, 0, 0, 1), value=-torch.inf)[:, :, 1::2]
    in_lower = lower > upper
    row = torch.stack([~in_lower, in_lower], dim=3).flatten(2, 3)[:, :, :height]
    taken = torch.stack([row & ~in_right, row & in_right], dim=4).flatten(3)
    return torch.where(in_lower, lower, upper), taken[..., :width]


def max_unpool(pooled: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
    """Values back to where `max_pool` took the maxima, zeros elsewhere.

    Args:
        pooled: `[B, C, ceil(H/2), ceil(W/2)]`.
        taken: `[B, C, H, W]`.

    Returns:
        `[B, C, H, W]`.
    """
    height, width = taken.shape[-2:]
    # [B, C, H'/2, W'/2] -> [B, C, H', W'] -> [B, C, H, W]
    enlarged = functional.interpolate(pooled, scale_factor=2, mode="nearest")
    enlarged = enlarged[:, :, :height, :width]
    return torch.where(taken, enlarged, enlarged.new_zeros(()))


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

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """`[B, bands, H, W]` -> `[B, channels[i], ceil(H/strides[i]), ceil(W/strides[i])]` each."""
        return [pooled for pooled, _ in self.pooled(image)]

    def pooled(self, image: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The maps of `forward`, each with the places its values were taken from."""
        features, maps = image, []
        for stage in self.stages:
            # [B, C, h, w] -> [B, C', h, w] -> [B, C', ceil(h/2), ceil(w/2)]
            features, taken = max_pool(stage(features))
            maps.append((features, taken))
        return maps


class SegNet(SegmentationNetwork):
    """Scores at stride 1."""

    output_stride = 1

    def __init__(self, config: SegNetConfig) -> None:
        super().__init__()
        self.config: SegNetConfig = config
        self.encoder = SegNetEncoder(config.encoder, config.in_channels)
        depths = _DEPTHS[config.encoder]
        # A stage's last convolution leads on to the width of the stage before.
        self.decoder = nn.ModuleList(
            nn.Sequential(
                *(ConvBlock(width, width) for _ in range(depth - 1)), ConvBlock(width, before)
            )
            for depth, width, before in reversed(
                list(zip(depths[1:], _WIDTHS[1:], _WIDTHS[:-1], strict=True))
            )
        )
        self.last = nn.Sequential(
            *(ConvBlock(_WIDTHS[0], _WIDTHS[0]) for _ in range(depths[0] - 1))
        )
        self.head = nn.Conv2d(_WIDTHS[0], config.classes, kernel_size=3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """`[B, in_channels, H, W]` -> `[B, classes, H, W]` logits."""
        maps = self.encoder.pooled(image)
        features = maps[-1][0]  # [B, 512, H/32, W/32]
        for (_, taken), stage in zip(reversed(maps), [*self.decoder, self.last], strict=True):
            # [B, C, ceil(h/2), ceil(w/2)] -> [B, C, h, w] -> [B, C', h, w]
            features = stage(max_unpool(features, taken))
        logits: torch.Tensor = self.head(features)  # [B, classes, H, W]
        return logits
