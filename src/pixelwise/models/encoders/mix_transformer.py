"""Mix Transformer: a pyramid of transformer stages without position codes.

Xie, Wang, Yu, Anandkumar, Alvarez, Luo, "SegFormer: Simple and Efficient Design for Semantic
Segmentation with Transformers", NeurIPS 2021 (arXiv 2105.15203), section 3.1 and table 6. A stage
embeds overlapping patches, and its blocks attend to a map that a strided convolution made smaller
(equation 2) and mix neighbours inside the feed-forward layer (equation 3); the zeros around the
picture tell where things are.

Against table 6, as in the authors' code and all their weights: the feed-forward layer is four
times as wide as its input in every stage, not eight times in the first two, and stage 2 of B2 and
B3 has four blocks, not three. All norms have an epsilon of 1e-5, as in transformers; the authors'
blocks have 1e-6, which moves scores by millionths.

Parameters in millions, B0 to B5: 3.3, 13.2, 24.2, 44.1, 60.8, 81.4.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from pixelwise.models.encoders.base import Encoder
from pixelwise.models.weights import rename

__all__ = ["MIT_VARIANTS", "MixTransformer", "MixVariant", "own_keys"]


@dataclass(frozen=True, kw_only=True)
class MixVariant:
    """The sizes of a Mix Transformer, one number per stage.

    Attributes:
        channels: of the tokens, a multiple of the heads.
        depths: blocks.
        heads: of the attention.
        reductions: by how much keys and values are coarser than queries, along each side.
    """

    channels: tuple[int, ...]
    depths: tuple[int, ...]
    heads: tuple[int, ...] = (1, 2, 5, 8)
    reductions: tuple[int, ...] = (8, 4, 2, 1)


_WIDE = (64, 128, 320, 512)

MIT_VARIANTS: dict[str, MixVariant] = {
    "mit_b0": MixVariant(channels=(32, 64, 160, 256), depths=(2, 2, 2, 2)),
    "mit_b1": MixVariant(channels=_WIDE, depths=(2, 2, 2, 2)),
    "mit_b2": MixVariant(channels=_WIDE, depths=(3, 4, 6, 3)),
    "mit_b3": MixVariant(channels=_WIDE, depths=(3, 4, 18, 3)),
    "mit_b4": MixVariant(channels=_WIDE, depths=(3, 8, 27, 3)),
    "mit_b5": MixVariant(channels=_WIDE, depths=(3, 6, 40, 3)),
}

_STRIDES = (4, 8, 16, 32)
_EXPANSION = 4
_MOST_DROPPED = 0.1

# Tokens stay `[B, h, w, C]` throughout: linear layers and norms work on the last axis, and a
# convolution sees the same memory as a channels_last map, so that nothing is ever copied.


def _as_map(tokens: torch.Tensor) -> torch.Tensor:
    return tokens.permute(0, 3, 1, 2)  # [B, h, w, C] -> [B, C, h, w]


def _as_tokens(features: torch.Tensor) -> torch.Tensor:
    return features.permute(0, 2, 3, 1)  # [B, C, h, w] -> [B, h, w, C]


class PatchEmbedding(nn.Module):
    """Tokens of overlapping patches: a strided convolution, then a norm."""

    def __init__(self, in_channels: int, out_channels: int, *, patch: int, stride: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            in_channels, out_channels, patch, stride=stride, padding=patch // 2
        )
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[B, in, H, W]` -> `[B, ceil(H/stride), ceil(W/stride), out]`."""
        tokens: torch.Tensor = self.norm(_as_tokens(self.convolution(features)))
        return tokens


class Reduction(nn.Module):
    """A coarser map for keys and values: one token per square of `factor` x `factor`."""

    def __init__(self, channels: int, *, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.convolution = nn.Conv2d(channels, channels, factor, stride=factor)
        self.norm = nn.LayerNorm(channels)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """`[B, h, w, C]` -> `[B, h // factor, w // factor, C]`, at least 1 x 1."""
        height, width = tokens.shape[1:3]
        # A map smaller than one square is filled up to it with zeros. Built-in max would fix the
        # size of an exported network.
        rows = cast("int", torch.sym_max(self.factor - height, 0))
        columns = cast("int", torch.sym_max(self.factor - width, 0))
        features = functional.pad(_as_map(tokens), (0, columns, 0, rows))
        reduced: torch.Tensor = self.norm(_as_tokens(self.convolution(features)))
        return reduced


class Attention(nn.Module):
    """Self-attention whose keys and values come from a coarser map (equation 2)."""

    def __init__(self, channels: int, *, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)
        self.reduction = Reduction(channels, factor=reduction) if reduction > 1 else nn.Identity()

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """`[B, h, w, C]` -> `[B, h, w, C]`."""
        coarse = self.reduction(tokens)  # [B, h, w, C] -> [B, h/R, w/R, C]
        mixed = functional.scaled_dot_product_attention(
            self._by_head(self.query(tokens)),
            self._by_head(self.key(coarse)),
            self._by_head(self.value(coarse)),
        )
        # [B, heads, h · w, C/heads] -> [B, h, w, C]
        output: torch.Tensor = self.output(mixed.transpose(1, 2).reshape(tokens.shape))
        return output

    def _by_head(self, tokens: torch.Tensor) -> torch.Tensor:
        batch, channels = tokens.shape[0], tokens.shape[3]
        # [B, h, w, C] -> [B, h · w, heads, C/heads] -> [B, heads, h · w, C/heads]
        return tokens.reshape(batch, -1, self.heads, channels // self.heads).transpose(1, 2)


class MixFeedForward(nn.Module):
    """A feed-forward layer with a 3x3 convolution per channel inside (equation 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = _EXPANSION * channels
        self.expand = nn.Linear(channels, middle)
        self.mix = nn.Conv2d(middle, middle, kernel_size=3, padding=1, groups=middle)
        self.contract = nn.Linear(middle, channels)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """`[B, h, w, C]` -> `[B, h, w, C]`."""
        expanded = self.expand(tokens)  # [B, h, w, C] -> [B, h, w, 4 · C]
        mixed = _as_tokens(self.mix(_as_map(expanded)))
        contracted: torch.Tensor = self.contract(functional.gelu(mixed))  # [B, h, w, C]
        return contracted


class StochasticDepth(nn.Module):
    """Leaves a branch out for whole pictures while training (Huang et al. 2016)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        """`[B, ...]` -> `[B, ...]`, of the same mean."""
        if not self.training or self.rate == 0:
            return branch
        kept = branch.new_empty(branch.shape[0], *[1] * (branch.ndim - 1))  # [B, 1, ...]
        return branch * kept.bernoulli_(1 - self.rate).div_(1 - self.rate)


class Block(nn.Module):
    """Attention, then the feed-forward layer, each added to what came in."""

    def __init__(self, channels: int, *, heads: int, reduction: int, dropped: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels)
        self.attention = Attention(channels, heads=heads, reduction=reduction)
        self.feed_forward_norm = nn.LayerNorm(channels)
        self.feed_forward = MixFeedForward(channels)
        self.depth = StochasticDepth(dropped)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """`[B, h, w, C]` -> `[B, h, w, C]`."""
        tokens = tokens + self.depth(self.attention(self.attention_norm(tokens)))
        added: torch.Tensor = tokens + self.depth(self.feed_forward(self.feed_forward_norm(tokens)))
        return added


class Stage(nn.Module):
    """Patches to tokens, blocks, a last norm: one level of the pyramid."""

    def __init__(self, embedding: PatchEmbedding, blocks: list[Block], channels: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[B, in, H, W]` -> `[B, C, ceil(H/stride), ceil(W/stride)]`."""
        return _as_map(self.norm(self.blocks(self.embedding(features))))


class MixTransformer(Encoder):
    """`mit_b0` to `mit_b5`: four maps at strides 4, 8, 16 and 32.

    Besides its own keys, `load_pretrained` reads those of transformers' weights such as
    nvidia/mit-b0, and the authors' own, as segmentation_models_pytorch has them too.

    Args:
        name: one of `MIT_VARIANTS`.
        in_channels: bands of the input picture.
    """

    weights_origin = "transformers"

    def __init__(self, name: str, in_channels: int = 3) -> None:
        super().__init__()
        variant = MIT_VARIANTS[name]
        self.name = name
        self.channels = variant.channels
        self.strides = _STRIDES
        self.stages = nn.ModuleList()
        # The deeper the block, the more often it is left out.
        last = max(1, sum(variant.depths) - 1)
        rates = (_MOST_DROPPED * block / last for block in range(sum(variant.depths)))
        for level, channels in enumerate(variant.channels):
            first = level == 0
            embedding = PatchEmbedding(
                in_channels if first else variant.channels[level - 1],
                channels,
                patch=7 if first else 3,
                stride=4 if first else 2,
            )
            blocks = [
                Block(
                    channels,
                    heads=variant.heads[level],
                    reduction=variant.reductions[level],
                    dropped=next(rates),
                )
                for _ in range(variant.depths[level])
            ]
            self.stages.append(Stage(embedding, blocks, channels))
        self.apply(_initialise)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """`[B, bands, H, W]` -> `[B, channels[i], ceil(H/strides[i]), ceil(W/strides[i])]` each."""
        maps, features = [], image
        for stage in self.stages:
            features = stage(features)  # [B, C, H/stride, W/stride]
            maps.append(features)
        return maps

    def load_classification(self, stored: Mapping[str, torch.Tensor], *, where: str) -> None:
        """See `Encoder`; in any of the key layouts that the class names."""
        super().load_classification(own_keys(stored), where=where)


def _initialise(module: nn.Module) -> None:
    """As the authors start: narrow linear layers, convolutions that keep the variance."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


# Our name of a part -> its names in transformers' files, in transformers' networks since 5.0 and
# in the authors' files.
_SPELLINGS = {
    "embedding.convolution": ("patch_embeddings.proj", "patch_embed.proj"),
    "embedding.norm": ("patch_embeddings.layer_norm", "patch_embed.norm"),
    "attention_norm": ("layer_norm_1", "layernorm_before", "norm1"),
    "attention.query": ("attention.self.query", "attention.q_proj", "attn.q"),
    "attention.key": ("attention.self.key", "attention.k_proj", "attn.k"),
    "attention.value": ("attention.self.value", "attention.v_proj", "attn.v"),
    "attention.output": ("attention.output.dense", "attention.o_proj", "attn.proj"),
    "attention.reduction.convolution": (
        "attention.self.sr",
        "attention.sequence_reduction.sequence_reduction",
        "attn.sr",
    ),
    "attention.reduction.norm": (
        "attention.self.layer_norm",
        "attention.sequence_reduction.layer_norm",
        "attn.norm",
    ),
    "feed_forward_norm": ("layer_norm_2", "layernorm_after", "norm2"),
    "feed_forward.expand": ("mlp.dense1", "mlp.fc1"),
    "feed_forward.mix": ("mlp.dwconv.dwconv",),
    "feed_forward.contract": ("mlp.dense2", "mlp.fc2"),
    "norm": ("layer_norm",),
}
_PART_RULES: dict[str, str | None] = {
    rf"(stages\.\d+(?:\.blocks\.\d+)?)\.(?:{'|'.join(map(re.escape, theirs))})\.": rf"\1.{ours}."
    for ours, theirs in _SPELLINGS.items()
}
_STAGE_RULES: dict[str, str | None] = {
    r"(?:segformer\.)?encoder\.patch_embeddings\.(\d+)\.": r"stages.\1.patch_embeddings.",
    r"(?:segformer\.)?encoder\.block\.(\d+)\.": r"stages.\1.blocks.",
    r"(?:segformer\.)?encoder\.layer_norm\.(\d+)\.": r"stages.\1.norm.",
    r"segformer\.(?=stages\.)": "",
}
for _level in range(4):
    # The authors count stages from one.
    _STAGE_RULES[rf"patch_embed{_level + 1}\."] = f"stages.{_level}.patch_embed."
    _STAGE_RULES[rf"block{_level + 1}\."] = f"stages.{_level}.blocks."
    _STAGE_RULES[rf"norm{_level + 1}\."] = f"stages.{_level}.norm."


def own_keys(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keys of an encoder as transformers or the authors name them -> those of `MixTransformer`.

    Other keys stay as they are. Keys and values that the authors keep in one tensor are parted.
    """
    parted: dict[str, torch.Tensor] = {}
    for key, tensor in weights.items():
        if ".attn.kv." in key:
            keys, values = tensor.chunk(2)  # [2 · C, ...] -> [C, ...] each
            parted[key.replace(".kv.", ".k.")] = keys
            parted[key.replace(".kv.", ".v.")] = values
        else:
            parted[key] = tensor
    return rename(rename(parted, _STAGE_RULES), _PART_RULES)
