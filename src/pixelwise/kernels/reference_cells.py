"""Counting in cells in NumPy: the oracle of the compiled loop, and what runs without it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pixelwise.kernels.types import Labels

__all__ = ["count_cells"]


def count_cells(
    labels: Labels,
    row_edges: npt.NDArray[np.int64],
    column_edges: npt.NDArray[np.int64],
    classes: int,
) -> npt.NDArray[np.int64]:
    """See `pixelwise.kernels.count_cells`."""
    counts = np.empty((len(row_edges) - 1, len(column_edges) - 1, classes), np.int64)
    for row, (top, bottom) in enumerate(pairwise(row_edges)):
        for column, (left, right) in enumerate(pairwise(column_edges)):
            cell = labels[top:bottom, left:right].reshape(-1)
            counts[row, column] = np.bincount(cell, minlength=classes)
    return counts
