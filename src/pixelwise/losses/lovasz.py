"""The Lovász-softmax loss: the Jaccard index, made convex.

Berman, Rannen Triki, Blaschko, CVPR 2018 (arXiv 1705.08790), equations 8 and 9, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pixelwise.losses.regions import ClassScores

__all__ = ["Lovasz"]


@dataclass(frozen=True)
class Lovasz:
    """The Lovász extension of 1 - Jaccard, at the errors |truth - probability|."""

    def evaluate(
        self, scores: ClassScores, *, with_gradient: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See `RegionLoss`."""
        probability, truth = scores.probability.flatten(), scores.truth.flatten()
        sign = 1 - 2 * truth.to(probability.dtype)
        errors = (probability * sign + truth).clamp_(min=0)
        order = _descending(errors)
        steps = _jaccard_steps(truth.index_select(0, order)).to(errors.dtype)
        loss = errors.index_select(0, order) @ steps
        if not with_gradient:
            return loss, None
        gradient = torch.empty_like(steps).scatter_(0, order, steps).mul_(sign)
        return loss, gradient.reshape(scores.probability.shape)


def _descending(errors: torch.Tensor) -> torch.Tensor:
    """int64 `[N]`: the order from the largest error to the smallest.

    The bits of numbers above 0, read as whole numbers, have their order, and PyTorch sorts whole
    numbers, upwards, more than ten times as fast.
    """
    whole = torch.int64 if errors.dtype == torch.float64 else torch.int32
    return errors.view(whole).bitwise_not().argsort()


def _jaccard_steps(truth: torch.Tensor) -> torch.Tensor:
    """float64 `[N]`: how much 1 - Jaccard grows as each pixel turns wrong, the first ones first."""
    hits = truth.cumsum(0)
    left = (hits[-1] - hits).double()
    union = left + torch.arange(1, len(truth) + 1, device=truth.device)
    # A pixel of the truth makes the intersection smaller by one; any other the union larger. Their
    # difference of Jaccard indices in closed form: subtracting them would lose the last digits.
    return torch.where(truth, 1 / union, left / (union * (union - 1)).clamp_min(1))
