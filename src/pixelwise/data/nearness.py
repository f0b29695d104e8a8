"""Which pixels are near others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["near"]


def near(inside: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Pixels with one of `inside` in the square of 2 · pixels + 1 around them.

    Args:
        inside: bool `[H, W]`.
        pixels: the larger of the distances along rows and columns, 0 and up.
    """
    found = inside
    for axis in (0, 1):
        sums = np.cumsum(found, axis=axis, dtype=np.int32)
        size = found.shape[axis]
        last = np.minimum(np.arange(size) + pixels, size - 1)
        before = np.arange(size) - pixels - 1
        below = np.take(sums, np.maximum(before, 0), axis=axis)
        below[(slice(None),) * axis + (before < 0,)] = 0
        found = np.take(sums, last, axis=axis) > below
    return found
