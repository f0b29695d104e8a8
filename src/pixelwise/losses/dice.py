"""Soft Dice loss for several classes.

Milletari, Navab, Ahmadi, "V-Net", 3DV 2016 (arXiv 1606.04797), section 3, one term per class,
over the whole batch, meaned over the classes that occur in the truth.
"""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["dice_loss"]


def dice_loss(logits: torch.Tensor, target: torch.Tensor, *, ignore_index: int) -> torch.Tensor:
    """1 - Dice of the softmax probabilities, in 0..1; 0 where every pixel is ignored.

    Args:
        logits: float `[B, C, H, W]`.
        target: int64 class ids `[B, H, W]`.
        ignore_index: pixels of this id have no part in the loss or its gradient.
    """
    classes = logits.shape[1]
    counted = target != ignore_index  # [B, H, W]
    probability = logits.softmax(dim=1) * counted.unsqueeze(1)  # [B, C, H, W]
    truth = functional.one_hot(target.where(counted, 0), classes)  # [B, H, W, C]
    truth = truth.permute(0, 3, 1, 2) * counted.unsqueeze(1)  # [B, C, H, W]
    overlap = (probability * truth).sum(dim=(0, 2, 3))  # [C]
    size = probability.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))  # [C]
    present = truth.sum(dim=(0, 2, 3)) > 0
    loss = (1 - 2 * overlap / size.clamp_min(1e-6)) * present
    return loss.sum() / present.sum().clamp_min(1)
