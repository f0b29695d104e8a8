"""The NumPy twins of `pixelwise.kernels.fade`: see `pixelwise.kernels.reference`."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pixelwise.kernels.types import Floats

__all__ = ["all_finite", "fade"]


def fade(
    before: Floats, after: Floats, weights: Floats, *, along: Literal["rows", "columns"]
) -> None:
    """See `pixelwise.kernels.fade`."""
    shaped = weights[:, None] if along == "rows" else weights
    # Class by class, so that the second and the third step find theirs in the cache.
    for index, old in enumerate(before):
        after[index] -= old
        after[index] *= shaped
        after[index] += old


def all_finite(values: Floats) -> bool:
    """See `pixelwise.kernels.all_finite`."""
    return bool(np.isfinite(values.min()) and np.isfinite(values.max()))
