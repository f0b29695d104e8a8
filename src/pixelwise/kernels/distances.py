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
from pixelwise.kernels.types import Contours, Labels

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["check_spacing", "contour_distances", "contour_points", "contours_near", "near_borders"]

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


def contour_points(labels: Labels, classes: int) -> Contours:
    """The pixels of each class that have a neighbour of another label, or at the picture's edge.

    Neighbours are above, below, left and right.

    Args:
        labels: uint8 or uint16 [H, W].
        classes: labels from here on are of no class, and have no contour; 1 to 65536.

    Raises:
        ArrayError: labels are not such an array.
        UsageError: classes is outside its range.
    """
    labels = labels_array(labels)
    classes = whole_number("classes", classes, least=1, most=65536)
    if not COMPILED:
        return reference_metrics.contour_points(labels, classes)
    return Contours(*_native.contour_points(labels, classes))


def contour_distances(
    contours: Contours, others: Contours, *, spacing: tuple[float, float] = (1.0, 1.0)
) -> npt.NDArray[np.float64]:
    """The Euclidean distance from each contour pixel to the nearest of its class in others.

    Saito and Toriwaki, "New algorithms for Euclidean distance transformation of an n-dimensional
    digitized picture with applications" (Pattern Recognition 27, 1994), for each class within the
    box that holds its pixels; the second pass runs at the pixels of `contours` alone. Exact but for
    the rounding of float64.

    Args:
        contours: as `contour_points` gives them.
        others: of as many classes.
        spacing: height and width of a pixel, in whatever unit the distances shall have.

    Returns:
        float64 [n], one for each of `contours.points`; infinite where others have no such class.

    Raises:
        ArrayError: an array is not such an array, or the classes are not as many.
        UsageError: a spacing is not two finite numbers above 0.
    """
    _check_pair(contours, others)
    spacing = check_spacing(spacing)
    if not COMPILED:
        return reference_metrics.contour_distances(contours, others, spacing=spacing)
    out = np.full(len(contours.points), np.inf)
    _native.nearest_squares(
        np.ascontiguousarray(contours.points),
        np.ascontiguousarray(contours.counts),
        np.ascontiguousarray(others.points),
        np.ascontiguousarray(others.counts),
        *spacing,
        out,
    )
    np.sqrt(out, out=out)
    return out


def contours_near(contours: Contours, others: Contours, distance: float) -> npt.NDArray[np.bool_]:
    """Whether each contour pixel has one of its class in others within a Euclidean distance.

    As `contour_distances(contours, others) <= distance`, which is slower: it finds how far all are,
    and this stops at the first that is near.

    Args:
        contours: as `contour_points` gives them.
        others: of as many classes.
        distance: in pixels, 0 or more.

    Returns:
        bool [n], one for each of `contours.points`.

    Raises:
        ArrayError: an array is not such an array, or the classes are not as many.
        UsageError: distance is outside its range.
    """
    _check_pair(contours, others)
    if not isinstance(distance, (int, float, np.number)) or not 0 <= distance <= _LONGEST_SIDE:
        raise UsageError(
            "distance is a number of pixels",
            where="argument distance",
            got=f"{distance!r}, expected 0 to {_LONGEST_SIDE}",
        )
    if not COMPILED:
        return reference_metrics.contours_near(contours, others, float(distance))
    out = np.empty(len(contours.points), np.bool_)
    _native.points_near(
        np.ascontiguousarray(contours.points),
        np.ascontiguousarray(contours.counts),
        np.ascontiguousarray(others.points),
        np.ascontiguousarray(others.counts),
        _reach(float(distance)),
        out,
    )
    return out


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


def _reach(distance: float) -> npt.NDArray[np.int64]:
    """By rows apart, the most columns apart that are within the distance."""
    down = np.arange(math.floor(distance) + 1, dtype=np.float64)
    across = np.floor(np.sqrt(np.maximum(distance * distance - down * down, 0)))
    # Rounded, that may be one more or one less than `contour_distances` would take.
    across -= np.sqrt(down * down + across * across) > distance
    across += np.sqrt(down * down + (across + 1) ** 2) <= distance
    return across.astype(np.int64)


def _check_pair(contours: Contours, others: Contours) -> None:
    for name, given in (("contours", contours), ("others", others)):
        _check_contours(name, given)
    if len(contours.counts) != len(others.counts):
        raise ArrayError(
            "contours are of different classes",
            where="arguments contours and others",
            got=f"{len(contours.counts)} and {len(others.counts)} classes",
            fix="find both with the same number of classes",
        )


def _check_contours(name: str, contours: Contours) -> None:
    points, counts = contours.points, contours.counts
    if points.dtype != np.int32 or counts.dtype != np.int64:
        raise ArrayError(
            f"{name} have the wrong type",
            where=f"argument {name}",
            got=f"points {points.dtype}, counts {counts.dtype}; expected int32 and int64",
            fix="kernels.contour_points gives such contours",
        )
    fits = points.ndim == 2 and points.shape[1] == 2 and counts.ndim == 1 and len(counts) > 0
    if not fits or (counts < 0).any() or counts.sum() != len(points):
        raise ArrayError(
            f"{name} have the wrong shape",
            where=f"argument {name}",
            got=f"points {list(points.shape)} for {int(counts.sum())}, expected [n, 2] for n",
            fix="kernels.contour_points gives such contours",
        )
    if points.size and (points.min() < 0 or points.max() >= _LONGEST_SIDE):
        raise ArrayError(
            f"{name} have a pixel outside every picture",
            where=f"argument {name}",
            got=f"{points.min()} to {points.max()}, expected 0 to {_LONGEST_SIDE - 1}",
            fix="count rows and columns from the picture's upper left corner",
        )
