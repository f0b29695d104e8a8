"""UPerNet: pyramid pooling on the deepest map, a feature pyramid, and all its levels fused.

Xiao, Liu, Zhou, Jiang, Sun, "Unified Perceptual Parsing for Scene Understanding", ECCV 2018 (arXiv
1807.10221), section 3.1 and figure 4, with the head for one task, semantic segmentation. The last
four maps of any encoder enter. The lateral and top-down paths are those of Lin et al., "Feature
Pyramid Networks", CVPR 2017 (arXiv 1612.03144), figure 3.

Against the paper, as in the code of OpenMMLab, which has the published weights: 512 channels for
256, and one 3x3 convolution over the fused levels before the scores. Maps of ConvNeXt and Swin,
which leave their stages unnormalised, are normalised over channels first. The auxiliary head on
the last map but one is for training only.

Score: ADE20K val, 512x512 crops, single scale: mIoU 46.1 % on ConvNeXt-T, 44.4 % on Swin-T.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from pixelwise.errors import UsageError
from pixelwise.models.encoders.make import OWN_ENCODERS, make_encoder
from pixelwise.models.encoders.timm_encoder import family_of
from pixelwise.models.layers import ConvBlock, PyramidPooling, resize
from pixelwise.models.network import AuxiliaryNetwork, Chance, Count, NetworkConfig
from pixelwise.models.weights import rename

__all__ = ["ChannelNorm", "UPerNet", "UPerNetConfig", "convert_transformers", "form_transformers"]

_LEVELS = 4

# timm's families whose maps are normalised unless asked otherwise, and by how small a variance.
_NORM_EPS = {
    "convnext": 1e-6,
    "swin_transformer": 1e-5,
    "swin_transformer_v2": 1e-5,
    "swin_transformer_v2_cr": 1e-5,
}
_USUAL_EPS = 1e-5

# Encoders of published weights by transformers' names.
_TRANSFORMERS_ENCODERS = {
    "swin-tiny": "swin_tiny_patch4_window7_224",
    "swin-small": "swin_small_patch4_window7_224",
    "swin-base": "swin_base_patch4_window12_384",
    "swin-large": "swin_large_patch4_window12_384",
}


@dataclass(frozen=True, kw_only=True)
class UPerNetConfig(NetworkConfig):
    """What a UPerNet is made of.

    Attributes:
        decoder_channels: channels of every level of the decoder.
        bins: cells along each side of each grid of the pyramid pooling.
        normalise_maps: layer normalisation over the channels of each map of the encoder; None:
            for ConvNeXt and Swin, whose published weights have it.
        dropout: chance that a channel of the fused map is left out while training.
        auxiliary: an auxiliary head on the last map but one.
        auxiliary_channels: of that head.
    """

    encoder: str = "convnext_tiny"
    decoder_channels: Count = 512
    bins: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 2, 3, 6)
    normalise_maps: bool | None = None
    dropout: Chance = 0.1
    auxiliary: bool = False
    auxiliary_channels: Count = 256


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each position."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[B, C, H, W]` -> `[B, C, H, W]`."""
        # [B, C, H, W] -> [B, H, W, C] -> [B, C, H, W]
        return super().forward(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class UPerNet(AuxiliaryNetwork):
    """Scores at the stride of the finest of the encoder's last four maps, 4 with most.

    Raises:
        UsageError: the encoder has fewer than four maps.
    """

    def __init__(self, config: UPerNetConfig) -> None:
        super().__init__()
        self.config: UPerNetConfig = config
        self.encoder = make_encoder(config.encoder, in_channels=config.in_channels)
        if len(self.encoder.strides) < _LEVELS:
            raise UsageError(
                f"the decoder needs {_LEVELS} maps of the encoder",
                where=f"encoder {config.encoder}",
                got=f"maps at strides {self.encoder.strides}",
                fix="take another encoder, such as resnet50 or convnext_tiny",
            )
        self.output_stride = self.encoder.strides[-_LEVELS]
        inputs = self.encoder.channels[-_LEVELS:]
        eps = _map_norm_eps(config)
        self.norms = nn.ModuleList(
            nn.Identity() if eps is None else ChannelNorm(channels, eps=eps) for channels in inputs
        )
        width = config.decoder_channels
        self.pyramid = PyramidPooling(inputs[-1], width, bins=config.bins)
        self.deepest = ConvBlock(self.pyramid.out_channels, width)
        self.laterals = nn.ModuleList(
            ConvBlock(channels, width, kernel_size=1) for channels in inputs[:-1]
        )
        self.smooth = nn.ModuleList(ConvBlock(width, width) for _ in inputs[:-1])
        self.fuse = ConvBlock(_LEVELS * width, width)
        self.dropout = nn.Dropout2d(config.dropout)
        self.head = nn.Conv2d(width, config.classes, kernel_size=1)
        self.auxiliary_head = (
            nn.Sequential(
                ConvBlock(inputs[-2], config.auxiliary_channels),
                nn.Dropout2d(config.dropout),
                nn.Conv2d(config.auxiliary_channels, config.classes, kernel_size=1),
            )
            if config.auxiliary
            else None
        )

    def maps(self, image: torch.Tensor) -> list[torch.Tensor]:
        """The encoder's last four maps, normalised where the config says so."""
        maps = self.encoder(image)[-_LEVELS:]
        return [norm(features) for norm, features in zip(self.norms, maps, strict=True)]

    def decode(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """The encoder's maps -> `[B, classes, ~H/4, ~W/4]` logits."""
        # [B, C, H/32, W/32] -> [B, C + 4 · width, H/32, W/32] -> [B, width, H/32, W/32]
        above = self.deepest(self.pyramid(maps[-1]))
        levels = [above]
        for level in reversed(range(_LEVELS - 1)):
            features = self.laterals[level](maps[level])  # [B, width, H/stride, W/stride]
            above = features + resize(above, features.shape[-2:])
            levels.insert(0, self.smooth[level](above))
        size = levels[0].shape[-2:]
        # [B, width, ., .] four times -> [B, 4 · width, H/4, W/4]
        fused = torch.cat([levels[0], *(resize(level, size) for level in levels[1:])], dim=1)
        # -> [B, width, H/4, W/4] -> [B, classes, H/4, W/4]
        logits: torch.Tensor = self.head(self.dropout(self.fuse(fused)))
        return logits


def _map_norm_eps(config: UPerNetConfig) -> float | None:
    """How small a variance the maps' normalisation tells from none; None for no normalisation."""
    family = "" if config.encoder in OWN_ENCODERS else family_of(config.encoder)
    if config.normalise_maps is None:
        return _NORM_EPS.get(family)
    return _NORM_EPS.get(family, _USUAL_EPS) if config.normalise_maps else None


def form_transformers(encoder: str) -> dict[str, object]:
    """The options that give transformers' network; `openmmlab/upernet-swin-tiny` is on Swin-T."""
    name = encoder.removeprefix("openmmlab/").removeprefix("upernet-")
    return {
        "encoder": _TRANSFORMERS_ENCODERS.get(name, name.replace("-", "_")),
        "auxiliary": True,
    }


def convert_transformers(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keys of transformers' `UperNetForSemanticSegmentation`, file or network, -> ours.

    The encoder is ConvNeXt or Swin. Queries, keys and values of Swin, apart there, are one here;
    the merging of patches, at the end of a stage there, is at the start of the next one here.
    """
    renamed = rename(
        weights,
        {
            **_convnext_rules(),
            **_swin_rules(),
            r"backbone\.hidden_states_norms\.stage1\.": "norms.0.",
            r"backbone\.hidden_states_norms\.stage2\.": "norms.1.",
            r"backbone\.hidden_states_norms\.stage3\.": "norms.2.",
            r"backbone\.hidden_states_norms\.stage4\.": "norms.3.",
            r"decode_head\.psp_modules\.(\d)\.1\.conv\.": r"pyramid.blocks.\1.0.",
            r"decode_head\.psp_modules\.(\d)\.1\.batch_norm\.": r"pyramid.blocks.\1.1.",
            r"decode_head\.bottleneck\.conv\.": "deepest.0.",
            r"decode_head\.bottleneck\.batch_norm\.": "deepest.1.",
            r"decode_head\.lateral_convs\.(\d)\.conv\.": r"laterals.\1.0.",
            r"decode_head\.lateral_convs\.(\d)\.batch_norm\.": r"laterals.\1.1.",
            r"decode_head\.fpn_convs\.(\d)\.conv\.": r"smooth.\1.0.",
            r"decode_head\.fpn_convs\.(\d)\.batch_norm\.": r"smooth.\1.1.",
            r"decode_head\.fpn_bottleneck\.conv\.": "fuse.0.",
            r"decode_head\.fpn_bottleneck\.batch_norm\.": "fuse.1.",
            r"decode_head\.classifier\.": "head.",
            r"auxiliary_head\.convs\.0\.conv\.": "auxiliary_head.0.0.",
            r"auxiliary_head\.convs\.0\.batch_norm\.": "auxiliary_head.0.1.",
            r"auxiliary_head\.classifier\.": "auxiliary_head.2.",
        },
    )
    return _pack_attention(renamed)


def _convnext_rules() -> dict[str, str | None]:
    stage, block = r"backbone\.encoder\.stages\.(\d)\.", r"layers\.(\d+)\."
    own_stage, own_block = r"encoder.body.stages_\1.", r"blocks.\2."
    return {
        r"backbone\.embeddings\.patch_embeddings\.(?=weight|bias)": "encoder.body.stem_0.",
        r"backbone\.embeddings\.layernorm\.": "encoder.body.stem_1.",
        rf"{stage}downsampling_layer\.": f"{own_stage}downsample.",
        rf"{stage}{block}dwconv\.": f"{own_stage}{own_block}conv_dw.",
        rf"{stage}{block}layernorm\.": f"{own_stage}{own_block}norm.",
        rf"{stage}{block}pwconv(\d)\.": rf"{own_stage}{own_block}mlp.fc\3.",
        rf"{stage}{block}layer_scale_parameter": f"{own_stage}{own_block}gamma",
    }


def _swin_rules() -> dict[str, str | None]:
    """Names in files and, of late, others in the network: `attention.self.query`, `…q_proj`."""
    body = r"backbone\.(?:swin\.)?"
    block = rf"{body}encoder\.layers\.(\d)\.blocks\.(\d+)\."
    own = r"encoder.body.layers_\1.blocks.\2."
    merging: dict[str, str | None] = {
        rf"{body}encoder\.layers\.{stage}\.downsample\.": (
            f"encoder.body.layers_{stage + 1}.downsample."
        )
        for stage in range(_LEVELS - 1)
    }
    return merging | {
        rf"{body}embeddings\.patch_embeddings\.projection\.": "encoder.body.patch_embed.proj.",
        rf"{body}embeddings\.norm\.": "encoder.body.patch_embed.norm.",
        rf"{block}layernorm_before\.": f"{own}norm1.",
        rf"{block}layernorm_after\.": f"{own}norm2.",
        rf"{block}attention\.(?:self\.query|q_proj)\.": f"{own}attn.query.",
        rf"{block}attention\.(?:self\.key|k_proj)\.": f"{own}attn.key.",
        rf"{block}attention\.(?:self\.value|v_proj)\.": f"{own}attn.value.",
        rf"{block}attention\.(?:output\.dense|o_proj)\.": f"{own}attn.proj.",
        rf"{block}attention\.\w+\.(?=relative_position_bias_table)": f"{own}attn.",
        rf"{block}attention\.\w+\.relative_position_index": None,
        rf"{block}(?:intermediate\.dense|mlp\.fc1)\.": f"{own}mlp.fc1.",
        rf"{block}(?:output\.dense|mlp\.fc2)\.": f"{own}mlp.fc2.",
        rf"{body}layernorm\.": None,  # of the classifier
    }


def _pack_attention(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Queries, keys and values of an attention, in this order, become one tensor."""
    packed: dict[str, torch.Tensor] = {}
    for key, tensor in tensors.items():
        if ".attn.query." in key:
            parts = [tensors.get(key.replace("query", part)) for part in ("query", "key", "value")]
            present = [part for part in parts if part is not None]
            packed[key.replace("query", "qkv")] = torch.cat(present)  # [C, .] -> [3 · C, .]
        elif ".attn.key." not in key and ".attn.value." not in key:
            packed[key] = tensor
    return packed
