"""Shares as percentages, the same wherever a user reads them."""

from __future__ import annotations

__all__ = ["percent"]


def percent(share: float | None, digits: int = 1) -> str:
    """Such as "71.8 %" of 0.718, with so many decimals; an en dash where there is none."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"
