"""What the sums of losses have in common."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pixelwise.errors import ArrayError
from pixelwise.losses.formula import FormulaTerm

__all__ = ["checked_counts", "exact_logits", "shares_of"]


def shares_of(terms: Sequence[FormulaTerm], counts: Sequence[float]) -> list[float]:
    """By what the sum of each term is multiplied: weight / count, and 0 where nothing counts."""
    return [
        term.weight / count if count > 0 else 0.0 for term, count in zip(terms, counts, strict=True)
    ]


def checked_counts(counts: torch.Tensor, terms: int) -> list[float]:
    """The counts as plain numbers.

    Args:
        counts: `[T]`.
        terms: T.

    Raises:
        ArrayError: other shape, or numbers below 0 or not finite.
    """
    if counts.shape != (terms,) or not (counts.isfinite() & (counts >= 0)).all():
        raise ArrayError(
            "the counts do not fit the loss",
            where="counts",
            got=f"{counts.tolist()}; expected {terms}, none below 0",
            fix="give what `counts` of the same loss gave, summed over all parts of the batch",
        )
    return [float(count) for count in counts.tolist()]


def exact_logits(logits: torch.Tensor, batch: int, classes: int) -> torch.Tensor:
    """The logits in float32, or in float64 if they are.

    Args:
        logits: floats `[B, C, h, w]`.
        batch: B of the target.
        classes: C.

    Raises:
        ArrayError: other shape or type.
    """
    fits = logits.ndim == 4 and logits.shape[:2] == (batch, classes)
    if not fits or 0 in logits.shape or not logits.is_floating_point():
        raise ArrayError(
            "the logits do not fit the target",
            where="logits",
            got=f"{logits.dtype} {list(logits.shape)}; expected floats [{batch}, {classes}, h, w]",
            fix="give the scores of the network, one map for each class",
        )
    return logits if logits.dtype == torch.float64 else logits.float()
