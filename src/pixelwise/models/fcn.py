"""FCN-32s, FCN-16s, FCN-8s: a classifier made convolutional, its scores refined step by step.

Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015
(arXiv 1411.4038), section 4 and figure 3: VGG-16 with its fully connected layers as convolutions of
7x7 and 1x1 gives scores at stride 32; scores of the fourth and third pooling are added to them on
the way up, each step by a transposed convolution that starts as bilinear interpolation and learns.
The last step to the picture stays bilinear, and so is left to the caller.

Against the paper: convolutions are padded to keep the map's size, where the paper surrounds the
picture with 100 pixels and crops; scores of the skips start small and random rather than at zero,
so that gradients reach the encoder through them from the first step.

Score: PASCAL VOC 2011 val subset, mean IU (paper, table 2): FCN-32s 59.4 %, FCN-16s 62.4 %, FCN-8s
62.7 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from pixelwise.errors import WeightsError
from pixelwise.models.encoders.make import OWN_ENCODERS, make_encoder
from pixelwise.models.encoders.timm_encoder import family_of
from pixelwise.models.layers import Upsample, Upsampling, level_at
from pixelwise.models.network import Chance, Count, NetworkConfig, SegmentationNetwork
from pixelwise.models.weights import Misfit, compare

__all__ = ["FCN", "FCNConfig"]

_COARSE_STRIDE = 32
_VGG_HIDDEN_CHANNELS = 4096
_SKIP_STD = 1e-3

# The layers that `FCN.hidden` takes its weights from: its own name -> timm's, torchvision's.
_FULLY_CONNECTED = {
    "0": ("pre_logits.fc1", "classifier.0"),
    "3": ("pre_logits.fc2", "classifier.3"),
}


@dataclass(frozen=True, kw_only=True)
class FCNConfig(NetworkConfig):
    """What an FCN is made of.

    Attributes:
        finest_stride: of the scores: 32, 16 or 8.
        hidden_channels: of the two hidden layers between deepest map and scores; None: 4096 for
            VGG, as in the paper, and no hidden layers for other encoders.
        upsampling: how scores step up to those of a skip.
        dropout: chance that a hidden value is left out while training.
    """

    encoder: str = "vgg16"
    finest_stride: Literal[32, 16, 8] = 8
    hidden_channels: Count | None = None
    upsampling: Literal["transposed", "bilinear", "pixel_shuffle"] = "transposed"
    dropout: Chance = 0.5


class LearntInterpolation(nn.Module):
    """A 4x4 transposed convolution of stride 2 that starts as bilinear interpolation.

    The outer lines are repeated once, so that it starts so at the border too.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.step = nn.ConvTranspose2d(classes, classes, 4, stride=2, padding=3, bias=False)
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
        nn.init.zeros_(self.step.weight)
        with torch.no_grad():
            self.step.weight.diagonal(dim1=0, dim2=1).copy_(torch.outer(line, line)[..., None])

    def forward(self, scores: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """`[B, K, h, w]` -> `[B, K, *size]`; size is `(2h, 2w)` or one less."""
        # [B, K, h, w] -> [B, K, h + 2, w] -> [B, K, h + 2, w + 2]
        wider = torch.cat([scores[:, :, :1], scores, scores[:, :, -1:]], dim=2)
        wider = torch.cat([wider[..., :1], wider, wider[..., -1:]], dim=3)
        enlarged: torch.Tensor = self.step(wider)  # [B, K, 2h, 2w]
        return enlarged[:, :, : size[0], : size[1]]


def _pool(features: torch.Tensor) -> torch.Tensor:
    """2x2 max pooling behind a ReLU: `[B, C, H, W]` -> `[B, C, ceil(H/2), ceil(W/2)]`.

    A line of zeros changes no maximum there, and is left out again where the size is even.
    OpenVINO cannot round up the half of 1 by itself.
    """
    return functional.max_pool2d(functional.pad(features, (0, 1, 0, 1)), kernel_size=2)


def _skip_head(channels: int, classes: int) -> nn.Conv2d:
    head = nn.Conv2d(channels, classes, kernel_size=1)
    nn.init.normal_(head.weight, std=_SKIP_STD)
    nn.init.constant_(head.get_parameter("bias"), 0)
    return head


def _step(classes: int, mode: Upsampling) -> nn.Module:
    if mode == "transposed":
        return LearntInterpolation(classes)
    return Upsample(classes, classes, mode=mode)


class FCN(SegmentationNetwork):
    """Scores at the finest stride.

    Raises:
        UsageError: the encoder has no map at stride 32, or at the stride of a skip.
    """

    def __init__(self, config: FCNConfig) -> None:
        super().__init__()
        self.config: FCNConfig = config
        self.output_stride = config.finest_stride
        self.encoder = make_encoder(config.encoder, in_channels=config.in_channels)
        self.is_vgg = config.encoder not in OWN_ENCODERS and family_of(config.encoder) == "vgg"
        self.deepest = level_at(self.encoder, _COARSE_STRIDE)
        channels = self.encoder.channels[self.deepest]
        hidden = config.hidden_channels
        if hidden is None and self.is_vgg:
            hidden = _VGG_HIDDEN_CHANNELS
        self.hidden: nn.Module = nn.Identity()
        if hidden is not None:
            self.hidden = nn.Sequential(
                nn.Conv2d(channels, hidden, kernel_size=7, padding=3),
                nn.ReLU(inplace=True),
                nn.Dropout(config.dropout),
                nn.Conv2d(hidden, hidden, kernel_size=1),
                nn.ReLU(inplace=True),
                nn.Dropout(config.dropout),
            )
        self.head = nn.Conv2d(hidden or channels, config.classes, kernel_size=1)
        skip_strides = [stride for stride in (16, 8) if stride >= config.finest_stride]
        # timm's VGG gives maps in front of each pooling; the paper scores those behind it.
        self.skip_levels = [
            level_at(self.encoder, stride // 2 if self.is_vgg else stride)
            for stride in skip_strides
        ]
        self.skip_heads = nn.ModuleList(
            _skip_head(self.encoder.channels[level], config.classes) for level in self.skip_levels
        )
        self.steps = nn.ModuleList(
            _step(config.classes, config.upsampling) for _ in self.skip_levels
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """`[B, in_channels, H, W]` -> `[B, classes, ceil(H/stride), ceil(W/stride)]` logits."""
        maps = self.encoder(image)
        # [B, C, H/32, W/32] -> [B, 4096, H/32, W/32] -> [B, classes, H/32, W/32]
        logits: torch.Tensor = self.head(self.hidden(maps[self.deepest]))
        for level, skip_head, step in zip(
            self.skip_levels, self.skip_heads, self.steps, strict=True
        ):
            features = _pool(maps[level]) if self.is_vgg else maps[level]  # [B, C, h, w]
            skip = skip_head(features)  # [B, C, h, w] -> [B, classes, h, w]
            # [B, classes, h/2, w/2] -> [B, classes, h, w]
            logits = skip + step(logits, skip.shape[-2:])
        return logits

    def load_classification(self, stored: Mapping[str, torch.Tensor], *, where: str) -> None:
        """Takes in the encoder, and VGG's fully connected layers where the hidden ones have room.

        Both the key layout of timm and that of torchvision will do, in which the fully connected
        layers are matrices.

        Raises:
            WeightsError: the encoder's weights do not fit, or the fully connected layers are
                missing; nothing is loaded then.
        """
        hidden: dict[str, torch.Tensor] = {}
        if self.is_vgg and self.head.in_channels == _VGG_HIDDEN_CHANNELS:
            hidden = _fully_connected(stored, self.hidden.state_dict(), where=where)
        super().load_classification(stored, where=where)
        if hidden:
            self.hidden.load_state_dict(hidden)


def _fully_connected(
    stored: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], *, where: str
) -> dict[str, torch.Tensor]:
    """The fully connected layers of a classifier, shaped as the convolutions wanted."""
    found: dict[str, torch.Tensor] = {}
    named: dict[str, str] = {}
    for key, own in wanted.items():
        layer, _, part = key.partition(".")
        names = [f"{name}.{part}" for name in _FULLY_CONNECTED[layer]]
        named[key] = next((name for name in names if name in stored), names[0])
        tensor = stored.get(named[key])
        # [out, in · k · k] -> [out, in, k, k]
        if tensor is not None and tensor.shape == (own.shape[0], own[0].numel()):
            tensor = tensor.view_as(own)
        if tensor is not None:
            found[named[key]] = tensor
    missing, misshaped = compare(found, {named[key]: own for key, own in wanted.items()})
    misfit = Misfit(missing=missing, misshaped=misshaped)
    if misfit:
        raise WeightsError(
            "the fully connected layers do not fit the hidden ones",
            where=where,
            got=misfit.table(),
            fix="give weights of timm's or torchvision's VGG, or another hidden_channels",
        )
    return {key: found[name] for key, name in named.items()}
