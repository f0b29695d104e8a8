"""Soft Dice loss by itself; see `pixelwise.losses.overlap`."""

from __future__ import annotations

import torch

from pixelwise.losses.segmentation_loss import parse_loss

__all__ = ["dice_loss"]


def dice_loss(logits: torch.Tensor, target: torch.Tensor, *, ignore_index: int) -> torch.Tensor:
    """1 - Dice of the softmax probabilities, in 0..1; 0 where every pixel is ignored.

    Args:
        logits: float `[B, C, H, W]`.
        target: int64 class ids `[B, H, W]`.
        ignore_index: pixels of this id have no part in the loss or its gradient.
    """
    loss = parse_loss("dice", classes=logits.shape[1], ignore_index=ignore_index)
    return loss(logits, target)
