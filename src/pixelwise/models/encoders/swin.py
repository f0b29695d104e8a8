"""Swin's shifted windows, for maps of any size.

Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", ICCV 2021
(arXiv 2103.14030), sections 3.1 and 3.2; Liu et al., "Swin Transformer V2", CVPR 2022 (arXiv
2111.09883), figure 1.

timm's blocks are made for pictures of the training size: there the windows fill every map, and
the last stage is a single window that is not shifted. For other sizes these take their place, with
the same weights. As in the authors' code for dense prediction, and so in the published
segmentation weights, a map is first filled up to whole windows and then shifted (timm does it the
other way round), and every second block of a stage is shifted, the last stage's too. At the
training size, maps but the last stage's are timm's own.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.models.swin_transformer import SwinTransformerStage
from timm.models.swin_transformer_v2 import SwinTransformerV2Stage
from torch import nn
from torch.nn import functional

__all__ = ["PatchMerging", "WindowBlock", "free_the_size"]

# Added to the attention between parts of a window that do not touch in the picture; the published
# weights were trained with this number.
_APART = -100.0


class WindowBlock(nn.Module):
    """Attention within windows, then an MLP on each token.

    Args:
        block: timm's block, whose layers it takes over.
        shifted: the windows are moved by half their size.
        norm_last: layers are normalised behind (V2) rather than in front (V1).
    """

    def __init__(self, block: Any, *, shifted: bool, norm_last: bool) -> None:
        super().__init__()
        self.norm_last = norm_last
        self.window: tuple[int, int] = tuple(block.window_size)
        self.shift = (self.window[0] // 2, self.window[1] // 2) if shifted else (0, 0)
        self.norm1 = block.norm1
        self.attn = block.attn
        self.drop_path1 = block.drop_path1
        self.norm2 = block.norm2
        self.mlp = block.mlp
        self.drop_path2 = block.drop_path2

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[B, H, W, C]` -> `[B, H, W, C]`."""
        if self.norm_last:
            features = features + self.drop_path1(self.norm1(self._attend(features)))
            features = features + self.drop_path2(self.norm2(self.mlp(features)))
        else:
            features = features + self.drop_path1(self._attend(self.norm1(features)))
            features = features + self.drop_path2(self.mlp(self.norm2(features)))
        return features

    def _attend(self, features: torch.Tensor) -> torch.Tensor:
        batch, height, width, channels = features.shape
        rows, columns = self.window
        # Rounded up without negative numbers, whose quotients ONNX rounds towards zero.
        down, across = (height + rows - 1) // rows, (width + columns - 1) // columns
        # [B, H, W, C] -> [B, down · rows, across · columns, C]
        features = _fill_up(features, (down, across), self.window)
        if any(self.shift):
            features = features.roll((-self.shift[0], -self.shift[1]), dims=(1, 2))
        # -> [B, down, rows, across, columns, C] -> [B · down · across, rows · columns, C]
        windows = features.reshape(batch, down, rows, across, columns, channels).transpose(2, 3)
        windows = windows.reshape(batch * down * across, rows * columns, channels)
        windows = self.attn(windows, mask=self._mask(features, down, across))
        # [B · down · across, rows · columns, C] -> [B, down · rows, across · columns, C]
        windows = windows.reshape(batch, down, across, rows, columns, channels).transpose(2, 3)
        features = windows.reshape(batch, down * rows, across * columns, channels)
        if any(self.shift):
            features = features.roll(self.shift, dims=(1, 2))
        return features[:, :height, :width]  # [B, H, W, C]

    def _mask(self, features: torch.Tensor, down: int, across: int) -> torch.Tensor | None:
        """What the shift brought round from the other side of the map is kept apart.

        Returns:
            `[down · across, rows · columns, rows · columns]`, or None without a shift.
        """
        if not any(self.shift):
            return None
        rows, columns = self.window
        row = torch.arange(down * rows, device=features.device)
        column = torch.arange(across * columns, device=features.device)
        brought_up = (row >= down * rows - self.shift[0]).view(down, 1, rows, 1)
        brought_left = (column >= across * columns - self.shift[1]).view(1, across, 1, columns)
        # -> [down, across, rows, columns] -> [down · across, rows · columns]
        part = (2 * brought_up.long() + brought_left.long()).flatten(0, 1).flatten(1, 2)
        apart = part.unsqueeze(1) != part.unsqueeze(2)  # [windows, tokens, tokens]
        return apart.to(features.dtype) * _APART


class PatchMerging(nn.Module):
    """Four neighbours become one, with half of all their channels.

    Args:
        merging: timm's module, whose layers it takes over.
        norm_last: as in `WindowBlock`.
    """

    def __init__(self, merging: Any, *, norm_last: bool) -> None:
        super().__init__()
        self.norm_last = norm_last
        self.norm = merging.norm
        self.reduction = merging.reduction

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[B, H, W, C]` -> `[B, ceil(H/2), ceil(W/2), 2 · C]`."""
        batch, height, width, channels = features.shape
        down, across = (height + 1) // 2, (width + 1) // 2
        features = _fill_up(features, (down, across), (2, 2))
        # -> [B, down, 2, across, 2, C] -> [B, down, across, 2 (columns), 2 (rows), C]
        squares = features.reshape(batch, down, 2, across, 2, channels)
        squares = squares.permute(0, 1, 3, 4, 2, 5).flatten(3)  # [B, down, across, 4 · C]
        if self.norm_last:
            merged: torch.Tensor = self.norm(self.reduction(squares))
        else:
            merged = self.reduction(self.norm(squares))
        return merged


def _fill_up(features: torch.Tensor, cells: tuple[int, int], cell: tuple[int, int]) -> torch.Tensor:
    """Zeros below and at the right, up to whole cells: `[B, ≤ h, ≤ w, C]` -> `[B, h, w, C]`."""
    height, width = features.shape[1:3]
    below, right = cells[0] * cell[0] - height, cells[1] * cell[1] - width
    return functional.pad(features, (0, 0, 0, right, 0, below))


def free_the_size(body: nn.Module) -> None:
    """Puts these parts in the place of timm's, in a Swin made with `features_only=True`."""
    stage: Any
    for stage in body.children():
        norm_last = isinstance(stage, SwinTransformerV2Stage)
        if not (norm_last or isinstance(stage, SwinTransformerStage)):
            continue
        if not isinstance(stage.downsample, nn.Identity):
            stage.downsample = PatchMerging(stage.downsample, norm_last=norm_last)
        stage.blocks = nn.Sequential(
            *(
                WindowBlock(block, shifted=index % 2 == 1, norm_last=norm_last)
                for index, block in enumerate(stage.blocks)
            )
        )
