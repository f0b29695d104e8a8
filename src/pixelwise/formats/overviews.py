"""Smaller pictures of four pixels each: of labels the commonest one, of measures the mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["average_of_four", "mode_of_four"]


def mode_of_four(values: NDArray[Any], fill: int) -> NDArray[Any]:
    """The commonest value of each cell of 2 × 2 pixels, of several the lowest.

    Args:
        values: uint8 or uint16 `[2h, 2w, …]`.
        fill: the value that stands for none: it is the answer only where all four are of it.

    Returns:
        `[h, w, …]`.
    """
    highest = np.array(np.iinfo(values.dtype).max, values.dtype)
    known = values != fill
    # Sorted, what stands for none comes last; a value equal to `highest` keeps its place before it.
    places = values.astype(np.int32)
    places[~known] = int(highest) + 1
    a, b, c, d = (places[i::2, j::2] for i in range(2) for j in range(2))
    a, b = np.minimum(a, b), np.maximum(a, b)
    c, d = np.minimum(c, d), np.maximum(c, d)
    a, c = np.minimum(a, c), np.maximum(a, c)
    b, d = np.minimum(b, d), np.maximum(b, d)
    b, c = np.minimum(b, c), np.maximum(b, c)
    none = int(highest) + 1
    best = np.where((c == d) & (c != none), c, a)
    best = np.where((b == c) & (b != none), b, best)
    best = np.where(a == b, a, best)
    best[best == none] = fill
    return best.astype(values.dtype)


def average_of_four(values: NDArray[Any], fill: int) -> NDArray[Any]:
    """The mean of each cell of 2 × 2 pixels, rounded half up, without those of the fill value.

    Args:
        values: uint8 or uint16 `[2h, 2w, …]`.
        fill: the value that stands for none: it is the answer only where all four are of it.

    Returns:
        `[h, w, …]`.
    """
    known = values != fill
    parts = [np.s_[i::2, j::2] for i in range(2) for j in range(2)]
    total = sum(np.where(known[part], values[part], 0).astype(np.uint32) for part in parts)
    number = sum(known[part].astype(np.uint32) for part in parts)
    mean = (2 * total + number) // (2 * np.maximum(number, 1))
    return np.where(number == 0, fill, mean).astype(values.dtype)
