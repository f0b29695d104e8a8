"""Which region is which class, where regions have no names: the assignment of highest mean IoU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelwise.extras import extra

__all__ = ["assign", "counts_of"]


def assign(confusion: NDArray[np.int64]) -> NDArray[np.intp]:
    """The region of each class, one to one, so that the sum of the classes' IoUs is highest.

    The IoU of a class and a region depends on these two alone, so the Hungarian method (Kuhn, Naval
    Research Logistics Quarterly 1955) finds the best of all assignments.

    Args:
        confusion: `[C, R + 1]`, pixels by true class and region; the last column is of pixels that
            are in no region.

    Returns:
        `[C]`; -1 where no region is left, or none that meets the class.
    """
    with extra("classical"):
        from scipy.optimize import linear_sum_assignment
    union = confusion.sum(1, keepdims=True) + confusion.sum(0, keepdims=True) - confusion
    iou = (confusion / np.maximum(union, 1))[:, :-1]
    regions = np.full(len(confusion), -1, np.intp)
    classes, chosen = linear_sum_assignment(iou, maximize=True)
    regions[classes] = chosen
    regions[classes[iou[classes, chosen] == 0]] = -1
    return regions


def counts_of(confusion: NDArray[np.int64], regions: NDArray[np.intp]) -> NDArray[np.int64]:
    """Pixels of each class that are right, in the truth, and predicted, int64 `[3, C]`.

    Args:
        confusion: `[C, R + 1]`, as in `assign`.
        regions: `[C]`, the region of each class, or -1.
    """
    found = regions >= 0
    places = np.where(found, regions, 0)
    right = np.where(found, confusion[np.arange(len(confusion)), places], 0)
    return np.stack([right, confusion.sum(1), np.where(found, confusion.sum(0)[places], 0)])
