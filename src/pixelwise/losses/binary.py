"""Binary cross-entropy and the focal loss of yes-or-no pixels.

Focal: Lin, Goyal, Girshick, He, Dollár, ICCV 2017 (arXiv 1708.02002), equation 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

__all__ = ["BinaryEntropy"]


@dataclass(frozen=True)
class BinaryEntropy:
    """-(1 - p)^γ·log p, summed over pixels, where p is the probability of what is true.

    Attributes:
        gamma: γ; 0 is binary cross-entropy.
    """

    gamma: float = 0.0

    def evaluate(
        self,
        logits: torch.Tensor,
        sign: torch.Tensor,
        positive_weight: float,
        *,
        with_gradient: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The loss, a scalar, and its gradient by the logits if that is wanted.

        Args:
            logits: float `[H, W]`, of one class.
            sign: float `[H, W]`: 1 where the class is there, -1 where it is not, 0 where the
                pixel counts for nothing.
            positive_weight: of pixels where the class is there.
            with_gradient: whether the gradient is wanted.
        """
        toward = logits * sign
        weight = 1 + (positive_weight - 1) * sign.clamp_min(0)
        weight *= sign.abs()
        entropy = functional.softplus(-toward)
        wrong = torch.sigmoid(-toward)
        if self.gamma:
            weight *= wrong**self.gamma
        loss = (weight * entropy).sum()
        if not with_gradient:
            return loss, None
        slope = wrong if not self.gamma else wrong + self.gamma * (1 - wrong) * entropy
        return loss, -slope * weight * sign
