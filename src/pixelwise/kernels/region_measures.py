"""Shape and mean value of the connected regions of a label map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ArrayError
from pixelwise.kernels import reference_region_measures
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import check_array
from pixelwise.kernels.pixels import label_regions
from pixelwise.kernels.types import Floats, Labels, RegionMeasures

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["measure_regions"]

_STEP_LENGTHS = (1.0, math.sqrt(2), (1 + math.sqrt(2)) / 2)


def measure_regions(labels: Labels, values: Floats, *, connectivity: int = 8) -> RegionMeasures:
    """The connected regions of equal labels, with shape and mean of a value.

    The perimeter is that of Benkrid and Crookes (Design and FPGA Implementation of a Perimeter
    Estimator, 2000), as in scikit-image's `perimeter(…, neighborhood=4)`: along the border pixels
    (those with a side at another region), which count 1, √2 or (1 + √2) / 2 by how their
    neighbours lie. It runs through the middle of border pixels, so a rectangle of w × h pixels has
    2 (w + h) - 4; a disk's is some 5 % too long, and a line of one pixel counts once.

    Args:
        labels: uint8 or uint16 [H, W], below 2^31 pixels.
        values: float32 [H, W], such as probabilities.
        connectivity: 8, pixels that touch at a side or a corner are neighbours; 4, at a side.

    Returns:
        The regions as `label_regions` numbers them, and their measures.

    Raises:
        ArrayError: an array is not such an array, or sizes differ.
        UsageError: connectivity is neither 4 nor 8.
    """
    check_array("values", values, ("float32",), 2, "[H, W]")
    regions = label_regions(labels, connectivity=connectivity)
    if values.shape != regions.components.shape:
        raise ArrayError(
            "values and labels differ in size",
            where="argument values",
            got=f"{list(values.shape)} and {list(regions.components.shape)}",
            fix="give arrays of the same picture",
        )
    values = np.ascontiguousarray(values)
    count = len(regions.area)
    moments, steps = np.zeros((count, 3)), np.zeros((count, 3), np.int64)
    total = np.zeros(count)
    measure = (_native if COMPILED else reference_region_measures).measure_regions
    measure(regions.components, values, regions.box, moments, steps, total)
    return RegionMeasures(
        regions=regions,
        covariance=_about_centroid(moments, regions.centroid - regions.box[:, :2], regions.area),
        perimeter=steps @ np.array(_STEP_LENGTHS),
        mean=total / regions.area,
    )


def _about_centroid(
    moments: npt.NDArray[np.float64],
    centroid: npt.NDArray[np.float64],
    area: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    x, y = centroid.T
    squares = np.stack([x * x, x * y, y * y], axis=1)
    covariance: npt.NDArray[np.float64] = moments / area[:, None] - squares
    return covariance
