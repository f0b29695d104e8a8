"""The array types of the kernels, and the results of several parts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "Bytes",
    "Contours",
    "Floats",
    "Labels",
    "Overlaps",
    "Polygons",
    "RegionMeasures",
    "Regions",
    "Values",
]

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
class RegionMeasures:
    """Regions with their shape and the mean of a value.

    Args:
        regions: which they are.
        covariance: float64 [n, 3], of the places of a region's pixels: variance of x, covariance of
            x and y, variance of y, in square pixels. Exact while the sums behind it are below 2^53.
        perimeter: float64 [n], pixels.
        mean: float64 [n].
    """

    regions: Regions
    covariance: npt.NDArray[np.float64]
    perimeter: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]

    def orientation(self) -> npt.NDArray[np.float64]:
        """float64 [n]: the angle of each region's long axis.

        In radians from the x axis, counter-clockwise as seen, above -π/2 to π/2; 0 for a region
        that is equally long in all directions. It is the axis along which the variance of the
        pixels' places is largest.
        """
        x, both, y = self.covariance.T
        angle = 0.5 * np.arctan2(-2 * both, x - y)
        return np.where(angle <= -np.pi / 2, np.pi / 2, angle)


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


@dataclass(frozen=True, slots=True, eq=False)
class Polygons:
    """Connected regions of a label map as polygons with holes.

    The points of ring r are `points[rings[r] : rings[r + 1]]`, the last joins the first; a ring
    starts with its highest point, the leftmost of several. The rings of polygon p are
    `polygons[p] … polygons[p + 1] - 1`: its outline, then its holes.

    Args:
        points: int32 [N, 2], x and y of corners of pixels.
        rings: int64 [R + 1], offsets into `points`.
        polygons: int64 [P + 1], offsets into the rings.
        label: int32 [P].
        area: int64 [P], pixels of the region (not of its simplified outline).
        weighted_area: float64 [P], the sum of the weights of its pixels.
        mean: float64 [P], of the values of its pixels; None where none were given.
        first: int32 [P, 2], x and y of its first pixel in raster order.
    """

    points: npt.NDArray[np.int32]
    rings: npt.NDArray[np.int64]
    polygons: npt.NDArray[np.int64]
    label: npt.NDArray[np.int32]
    area: npt.NDArray[np.int64]
    weighted_area: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64] | None
    first: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.label)

    def rings_of(self, index: int) -> list[npt.NDArray[np.int32]]:
        """The rings of a polygon, each int32 [n, 2]: its outline, then its holes."""
        first, end = int(self.polygons[index]), int(self.polygons[index + 1])
        offsets = self.rings[first : end + 1].tolist()
        return [self.points[a:b] for a, b in pairwise(offsets)]
