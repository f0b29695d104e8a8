"""Tversky's index as a loss; Dice is the case where both kinds of error weigh the same.

Tversky: Salehi, Erdogmus, Gholipour, MLMI 2017 (arXiv 1706.05721), equation 2. Dice: Milletari,
Navab, Ahmadi, "V-Net", 3DV 2016 (arXiv 1606.04797), section 3, with plain sums of probabilities
in the denominator instead of squared ones, as is usual since. The exponent: Abraham, Khan, "A
novel focal Tversky loss", ISBI 2019 (arXiv 1810.07842), equation 4, where it is written 1/γ.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pixelwise.losses.regions import ClassScores

__all__ = ["Tversky"]

# A power below 1 is infinitely steep at 0, where nothing is left to learn.
_STEEPEST = 1e-4


@dataclass(frozen=True)
class Tversky:
    """(1 - TP / (TP + α·FP + β·FN)) to a power, with TP, FP and FN summed over probabilities.

    A class without a pixel in the truth has no defined index where nothing is predicted: its loss
    is then 0.

    Attributes:
        alpha: α, weight of pixels that are wrongly of the class, 0 to 10.
        beta: β, weight of pixels that are wrongly not of it.
        exponent: below 1, classes that are nearly right keep a strong gradient.
    """

    alpha: float = 0.5
    beta: float = 0.5
    exponent: float = 1.0

    def evaluate(
        self, scores: ClassScores, *, with_gradient: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See `RegionLoss`."""
        truth = scores.truth.to(scores.probability.dtype)
        hit = (scores.probability * truth).sum()
        false_hit = scores.probability.sum() - hit
        missed = truth.sum() - hit
        errors = (self.alpha * false_hit + self.beta * missed).clamp_min(0)
        whole = (hit + errors).clamp_min(torch.finfo(hit.dtype).tiny)
        # Not 1 - hit / whole, which would lose the last digits of small losses.
        loss = errors / whole
        if not with_gradient:
            return loss**self.exponent, None
        # By the quotient rule: d errors = α on pixels outside the truth and -β on those inside.
        slope = self.exponent * loss.clamp_min(_STEEPEST) ** (self.exponent - 1) / whole**2
        outside = slope * self.alpha * hit
        inside = -slope * (self.beta * hit + errors)
        return loss**self.exponent, truth.mul_(inside - outside).add_(outside)
