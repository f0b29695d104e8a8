"""How far pixels are from borders, and contours from each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference_metrics
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import labels_array, whole_number
from pixelwise.kernels.types import Labels

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["check_spacing", "near_borders", "nearest_distances"]

_LONGEST_SIDE = 2**24


def near_borders(labels: Labels, distance: int, *, fill: int) -> Labels:
    """The labels within a chessboard distance of a pixel of another label, or of the outside.

    A pixel whose row, column or diagonal neighbour has another label, or lies outside the picture,
    is at distance 1. For every label at once this is what remains of its mask if the mask, eroded
    `distance` times by 3×3 with nothing around the picture, is taken away from it.

    Args:
        labels: uint8 or uint16 [H, W].
        distance: in pixels, at least 1.
        fill: what all other pixels become; fits the type of the labels.

    Returns:
        Like labels.

    Raises:
        ArrayError: labels are not such an array.
        UsageError: distance or fill is outside its range.
    """
    labels = labels_array(labels)
    distance = whole_number("distance", distance, least=1, most=_LONGEST_SIDE)
    fill = whole_number("fill", fill, least=0, most=int(np.iinfo(labels.dtype).max))
    if 2 * distance >= min(labels.shape):
        return labels.copy()
    if not COMPILED:
        return reference_metrics.near_borders(labels, distance, fill=fill)
    out = np.empty_like(labels)
    _native.near_borders(labels, distance, fill, out)
    return out


def nearest_distances(
    points: npt.NDArray[np.int32],
    others: npt.NDArray[np.int32],
    *,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> npt.NDArray[np.float64]:
    """The Euclidean distance from each pixel of one list to the nearest of another, exactly.

    Saito and Toriwaki, "New algorithms for Euclidean distance transformation of an n-dimensional
    digitized picture with applications" (Pattern Recognition 27, 1994), within the box that holds
    all pixels; the second pass runs at `points` alone.

    Args:
        points: int32 [N, 2] of row and column, 0 to 2^24 - 1.
        others: int32 [M, 2] likewise; not empty.
        spacing: height and width of a pixel, in whatever unit the distances shall have.

    Returns:
        float64 [N].

    Raises:
        ArrayError: an array is not such an array.
        UsageError: a spacing is not a finite number above 0.
    """
    for name, array, least in (("points", points, 0), ("others", others, 1)):
        _check_points(name, array, least)
    row_spacing, column_spacing = check_spacing(spacing)
    points, others = np.ascontiguousarray(points), np.ascontiguousarray(others)
    if not COMPILED:
        return reference_metrics.nearest_distances(points, others, spacing=spacing)
    out = np.empty(len(points), np.float64)
    _native.nearest_squares(points, others, row_spacing, column_spacing, out)
    return np.sqrt(out, out=out)


def check_spacing(spacing: tuple[float, float]) -> tuple[float, float]:
    """Height and width of a pixel, or UsageError."""
    if (
        not isinstance(spacing, (tuple, list))
        or len(spacing) != 2
        or not all(isinstance(side, (int, float, np.number)) for side in spacing)
        or not all(math.isfinite(side) and side > 0 for side in spacing)
    ):
        raise UsageError(
            "spacing is the height and width of a pixel",
            where="argument spacing",
            got=f"{spacing!r}, expected two finite numbers above 0",
            fix="spacing=(1.0, 1.0) measures in pixels",
        )
    return float(spacing[0]), float(spacing[1])


def _check_points(name: str, array: npt.NDArray[np.int32], least: int) -> None:
    where = f"argument {name} [N, 2]"
    if not isinstance(array, np.ndarray) or array.dtype != np.int32:
        raise ArrayError(
            f"{name} has the wrong type",
            where=where,
            got=f"{getattr(array, 'dtype', type(array).__name__)}, expected int32",
            fix=f"numpy.asarray({name}, numpy.int32)",
        )
    if array.ndim != 2 or array.shape[1] != 2 or len(array) < least:
        raise ArrayError(
            f"{name} has the wrong shape",
            where=where,
            got=f"{list(array.shape)}, expected a row and a column for each of at least {least}",
            fix="numpy.argwhere(mask) gives such a list",
        )
    if array.size and (array.min() < 0 or array.max() >= _LONGEST_SIDE):
        raise ArrayError(
            f"{name} has a pixel outside every picture",
            where=where,
            got=f"{array.min()} to {array.max()}, expected 0 to {_LONGEST_SIDE - 1}",
            fix="count rows and columns from the picture's upper left corner",
        )
