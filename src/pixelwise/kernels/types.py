"""The array types of the kernels, and the results of several parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Bytes", "Contours", "Floats", "Labels", "Overlaps", "Regions", "Values"]

Bytes: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Values: TypeAlias = (
    npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.int16] | npt.NDArray[np.float32]
)


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """The connected regions of equal labels of a picture, in the raster order of first pixels.

    Args:
        components: int32 [H, W], the region of every pixel, 0 to n - 1.
        label: uint16 [n], the label of each region.
        area: int64 [n], pixels.
        box: int32 [n, 4], x0, y0, x1, y1 in pixels; x1 and y1 are the first outside.
        centroid: float64 [n, 2], mean x and y in pixels; the centre of the first pixel is (0, 0).
    """

    components: npt.NDArray[np.int32]
    label: npt.NDArray[np.uint16]
    area: npt.NDArray[np.int64]
    box: npt.NDArray[np.int32]
    centroid: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Overlaps:
    """The combinations of labels that occur in some label images of one size.

    Args:
        labels: int64 [n, images], the label in each image; rows in rising order.
        pixels: int64 [n], how many pixels have that combination, 1 or more.
    """

    labels: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Contours:
    """The contour pixels of a label map, class by class.

    Args:
        points: int32 [n, 2], row and column in pixels; those of class 0 first, and those of a class
            in raster order.
        counts: int64 [C], how many each class has.
    """

    points: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int64]

    def by_class(self) -> list[npt.NDArray[np.int32]]:
        """int32 [n, 2] for each class."""
        return np.split(self.points, np.cumsum(self.counts)[:-1])
