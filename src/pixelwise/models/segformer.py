"""SegFormer: a Mix Transformer, and a decoder of linear layers alone.

Xie, Wang, Yu, Anandkumar, Alvarez, Luo, "SegFormer: Simple and Efficient Design for Semantic
Segmentation with Transformers", NeurIPS 2021 (arXiv 2105.15203), section 3.2 and equation 4: each
of the encoder's last four maps goes through a linear layer, all are enlarged to the finest, a
second linear layer fuses them and a third gives the scores. As in the published weights, batch
normalisation, ReLU and dropout follow the fusion.

The same function with half of the multiplications: enlarging takes means over places and a linear
layer over channels, so that they change places freely. Every map meets the product of its linear
layer and its share of the fusion at its own size, and what is enlarged is summed.

Score: ADE20K val mIoU 37.4 % with `mit_b0`, single scale, 51.8 % with `mit_b5`, several scales;
Cityscapes val 84.0 % with `mit_b5`, several scales (paper, tables 1 to 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from pixelwise.errors import UsageError
from pixelwise.models.encoders.make import make_encoder
from pixelwise.models.encoders.mix_transformer import own_keys
from pixelwise.models.layers import BatchNorm, resize
from pixelwise.models.network import Alignment, Chance, Count, NetworkConfig, SegmentationNetwork
from pixelwise.models.weights import rename

__all__ = [
    "SegFormer",
    "SegFormerConfig",
    "convert_smp",
    "convert_transformers",
    "form_smp",
    "form_transformers",
]

_LEVELS = 4
_WIDE_ENCODERS = ("mit_b2", "mit_b3", "mit_b4", "mit_b5")


@dataclass(frozen=True, kw_only=True)
class SegFormerConfig(NetworkConfig):
    """What a SegFormer is made of.

    Attributes:
        decoder_channels: channels that every map is brought to; None: 768 with `mit_b2` to
            `mit_b5`, as published, else 256.
        dropout: chance that a value of the fused map is left out while training.
        alignment: of the scores; maps are enlarged in half-pixel alignment in either case.
    """

    encoder: str = "mit_b0"
    decoder_channels: Count | None = None
    dropout: Chance = 0.1
    alignment: Alignment = "half_pixel"


class Projection(nn.Module):
    """The linear layer of one map, together with the map's share of the fusion."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, channels)

    def forward(self, features: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """`[B, in, h, w]`, share `[C, C]` -> `[B, C, h, w]`."""
        weight = share @ self.linear.weight  # [C, C] · [C, in] -> [C, in]
        bias = share @ self.linear.bias  # [C, C] · [C] -> [C]
        return functional.conv2d(features, weight[:, :, None, None], bias)


class MLPDecoder(nn.Module):
    """Linear layers per map, enlarging, fusion: equation 4 without its last line."""

    def __init__(self, in_channels: Sequence[int], channels: int, *, dropout: float) -> None:
        super().__init__()
        self.project = nn.ModuleList(Projection(width, channels) for width in in_channels)
        self.fuse = nn.Conv2d(len(in_channels) * channels, channels, kernel_size=1, bias=False)
        self.norm = BatchNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """`[B, in_channels[i], h[i], w[i]]`, from fine to coarse -> `[B, channels, h[0], w[0]]`."""
        # The published fusion takes the coarsest map first.
        shares = self.fuse.weight.flatten(1).chunk(len(maps), dim=1)[::-1]  # [C, C] each
        finest, *coarse = (
            project(features, share)  # [B, in, h, w] -> [B, C, h, w]
            for features, project, share in zip(maps, self.project, shares, strict=True)
        )
        for features in coarse:
            finest = finest + resize(features, finest.shape[-2:])  # [B, C, h[0], w[0]]
        fused: torch.Tensor = self.dropout(functional.relu(self.norm(finest), inplace=True))
        return fused


class SegFormer(SegmentationNetwork):
    """Scores at the stride of the last map but three: 4 with `mit_b0` to `mit_b5`.

    Raises:
        UsageError: the encoder has fewer than four maps.
    """

    def __init__(self, config: SegFormerConfig) -> None:
        super().__init__()
        self.config: SegFormerConfig = config
        self.alignment = config.alignment
        self.encoder = make_encoder(config.encoder, in_channels=config.in_channels)
        if len(self.encoder.channels) < _LEVELS:
            raise UsageError(
                "the decoder needs four maps of the encoder",
                where=f"encoder {config.encoder}",
                got=f"{len(self.encoder.channels)}, strides {self.encoder.strides}",
                fix="take an encoder with more maps, such as mit_b0",
            )
        self.output_stride = self.encoder.strides[-_LEVELS]
        channels = config.decoder_channels
        if channels is None:
            channels = 768 if config.encoder in _WIDE_ENCODERS else 256
        self.decoder = MLPDecoder(
            self.encoder.channels[-_LEVELS:], channels, dropout=config.dropout
        )
        self.head = nn.Conv2d(channels, config.classes, kernel_size=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """`[B, in_channels, H, W]` -> `[B, classes, ceil(H/4), ceil(W/4)]` logits."""
        maps = self.encoder(image)[-_LEVELS:]  # [B, C, H/4, W/4] to [B, C, H/32, W/32]
        logits: torch.Tensor = self.head(self.decoder(maps))  # [B, classes, H/4, W/4]
        return logits


def form_transformers(encoder: str) -> dict[str, object]:
    """The options that give transformers' network; `nvidia/mit-b0` is `mit_b0`."""
    return {"encoder": encoder.removeprefix("nvidia/").replace("-", "_")}


def convert_transformers(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keys of transformers' `SegformerForSemanticSegmentation`, file or network, -> ours."""
    encoder = {key: tensor for key, tensor in weights.items() if key.startswith("segformer.")}
    decoder = {key: tensor for key, tensor in weights.items() if key not in encoder}
    return _under_encoder(own_keys(encoder)) | rename(
        decoder,
        {
            r"decode_head\.linear_(?:c|projections)\.(\d)\.proj\.": r"decoder.project.\1.linear.",
            r"decode_head\.linear_fuse\.": "decoder.fuse.",
            r"decode_head\.batch_norm\.": "decoder.norm.",
            r"decode_head\.classifier\.": "head.",
        },
    )


def form_smp(encoder: str) -> dict[str, object]:
    """The options that give segmentation_models_pytorch's `Segformer` on `mit_b0` to `mit_b5`.

    With other encoders its decoder takes five maps and is another network.
    """
    return {"encoder": encoder, "decoder_channels": 256, "alignment": "corners"}


def convert_smp(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keys of segmentation_models_pytorch's `Segformer` on `mit_b0` to `mit_b5` -> ours."""
    encoder = {
        key.removeprefix("encoder."): tensor
        for key, tensor in weights.items()
        if key.startswith("encoder.")
    }
    decoder = {key: tensor for key, tensor in weights.items() if not key.startswith("encoder.")}
    coarse_first: dict[str, str | None] = {
        rf"decoder\.mlp_stage\.{index}\.linear\.": f"decoder.project.{_LEVELS - 1 - index}.linear."
        for index in range(_LEVELS)
    }
    return _under_encoder(own_keys(encoder)) | rename(
        decoder,
        coarse_first
        | {
            r"decoder\.fuse_stage\.0\.": "decoder.fuse.",
            r"decoder\.fuse_stage\.1\.": "decoder.norm.",
            r"segmentation_head\.0\.": "head.",
        },
    )


def _under_encoder(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"encoder.{key}": tensor for key, tensor in weights.items()}
