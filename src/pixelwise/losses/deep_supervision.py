"""One loss for the main scores of a network and those of its auxiliary heads.

Lee et al., "Deeply-supervised nets", AISTATS 2015 (arXiv 1409.5185); 0.4 for an auxiliary head:
Zhao et al., PSPNet, CVPR 2017 (arXiv 1612.01105), section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from pixelwise.errors import ArrayError
from pixelwise.losses.upsampled import Alignment

__all__ = ["Loss", "supervise_all"]


class Loss(Protocol):
    """`SegmentationLoss` or `MultiLabelLoss`."""

    def counts(self, target: torch.Tensor) -> torch.Tensor:
        """What the sum of each term is to be divided by."""
        ...

    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
        *,
        alignment: Alignment = "half_pixel",
        counts: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The loss, a scalar."""
        ...


def supervise_all(
    loss: Loss,
    outputs: Sequence[torch.Tensor],
    target: torch.Tensor,
    *,
    weights: Sequence[float] = (1.0, 0.4),
    alignment: Alignment = "half_pixel",
    counts: torch.Tensor | None = None,
) -> torch.Tensor:
    """The weighted sum of the losses of several logits for the same truth.

    Args:
        loss: of each of them.
        outputs: floats `[B, C, h, w]`, each of its own size; the main ones first.
        target: as the loss takes it.
        weights: of each output; further ones are not used, so that a network may come without
            its auxiliary heads.
        alignment: as the loss takes it.
        counts: as the loss takes them.

    Raises:
        ArrayError: no output, more outputs than weights, or as the loss raises it.
    """
    if not 0 < len(outputs) <= len(weights):
        raise ArrayError(
            "the outputs of the network do not fit their weights",
            where="outputs",
            got=f"{len(outputs)}; expected 1 to {len(weights)}",
            fix="give a weight for each output",
        )
    own_counts = loss.counts(target) if counts is None else counts
    total = outputs[0].new_zeros((), dtype=torch.float32)
    for logits, weight in zip(outputs, weights, strict=False):
        total = total + weight * loss(logits, target, alignment=alignment, counts=own_counts)
    return total
