"""What losses of whole regions have in common: one class of one picture against all the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

__all__ = ["ClassScores", "RegionLoss"]


@dataclass(frozen=True, eq=False)
class ClassScores:
    """How one class of one picture was predicted.

    Attributes:
        probability: float `[H, W]`, 0 where `unknown`.
        truth: bool `[H, W]`: the pixels of the class; none of them `unknown`.
        unknown: bool `[H, W]`: pixels of which nobody knows whether they are of the class; they
            have no part in the loss. None: there are none.
    """

    probability: torch.Tensor
    truth: torch.Tensor
    unknown: torch.Tensor | None


class RegionLoss(Protocol):
    """A loss of one class of one picture: 0 for a perfect prediction, never above 1."""

    def evaluate(
        self, scores: ClassScores, *, with_gradient: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The loss, a scalar, and its gradient by the probability, `[H, W]`.

        The gradient at `unknown` pixels has no meaning: who calls sets it to 0. It is None if it
        was not asked for.
        """
        ...
