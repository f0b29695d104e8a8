"""Label maps to polygons: outlines with holes, exact or simplified, whole or in stripes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference_polygons
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import check_array, whole_number
from pixelwise.kernels.types import Floats, Polygons

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["PolygonStream", "trace_polygons"]

_LABEL_TYPES = ("uint8", "uint16", "int32")
_LONGEST_SIDE = 2**31 - 2
_EXACT = -1.0


def trace_polygons(
    labels: npt.NDArray[Any],
    *,
    ignore: int | None = None,
    tolerance: float | None = None,
    weights: npt.NDArray[np.float64] | None = None,
    values: Floats | None = None,
) -> Polygons:
    """The connected regions (4 neighbours) of a label map as polygons with holes.

    Points lie on the corners of pixels: the pixel in column x and row y covers [x, x + 1] ×
    [y, y + 1]. An outline runs counter-clockwise as seen, and so in coordinates whose y points up
    (RFC 7946); holes run clockwise. Polygons are valid by the rules of the OGC: no ring touches
    itself, rings of a polygon touch in single points at most. Where parts of one label touch at a
    corner only, they are polygons of their own; `label_regions(…).components` at `first` tells
    which of them are one region of 8 neighbours.

    A tolerance simplifies borders: between the places where three regions meet a border is taken
    once, for both its sides, so there are no gaps and no overlaps, and every polygon stays valid
    (src/native/simplify.cpp says why; the order of points is that of Visvalingam and Whyatt 1993).
    No point of a true border is farther than the tolerance from the simplified one. Borders keep a
    point where they cross every 512th row, so that a raster's stripes can be done one by one.

    Without tolerance, weights and values there is a faster way, which takes a byte for each pixel.

    Args:
        labels: uint8, uint16 or int32 [H, W].
        ignore: the label of pixels that are in no polygon.
        tolerance: None, corners alone; 0, also the points on straight borders where regions meet;
            above 0, the distance in pixels that a border may move by. 1 makes the steps of an
            oblique border straight.
        weights: float64 [H], what a pixel of each row counts in `weighted_area`; 1 if not given.
        values: float32 [H, W], averaged over each polygon's pixels.

    Returns:
        The polygons in the raster order of their first pixels.

    Raises:
        ArrayError: an array is not such an array, or sizes differ.
        UsageError: ignore or tolerance is outside its range.
    """
    check_array("labels", labels, _LABEL_TYPES, 2, "[H, W]")
    stream = PolygonStream(labels.shape[1], ignore=ignore, tolerance=tolerance)
    return stream._whole(labels, weights, values)


class PolygonStream:
    """`trace_polygons` for rasters that come in stripes of rows, from the top.

    The polygons of all calls together are those of the whole raster, in the order in which they
    become whole; it makes no difference how the raster is cut. A region that the next row cannot
    add to is given out at once (with a tolerance, once its band of 512 rows is done), so memory
    goes with the borders of regions that are still open. The NumPy twin, where nothing was
    compiled, keeps everything until `finish`.

    Args:
        width: of the raster in pixels.
        ignore: as in `trace_polygons`.
        tolerance: as in `trace_polygons`.

    Raises:
        UsageError: width, ignore or tolerance is outside its range.
    """

    def __init__(
        self, width: int, *, ignore: int | None = None, tolerance: float | None = None
    ) -> None:
        self._width = whole_number("width", width, least=1, most=_LONGEST_SIDE)
        limits = np.iinfo(np.int32)
        if ignore is not None:
            ignore = whole_number("ignore", ignore, least=limits.min, most=limits.max)
        if tolerance is not None and not (
            isinstance(tolerance, int | float | np.number) and 0 <= tolerance < math.inf
        ):
            raise UsageError(
                "tolerance is a distance in pixels",
                where="argument tolerance",
                got=f"{tolerance!r}, expected 0 or more",
                fix="1 makes oblique borders straight; None keeps every corner",
            )
        self._ignored = (ignore is not None, 0 if ignore is None else ignore)
        self._is_exact = tolerance is None
        self._tracer = (_native if COMPILED else reference_polygons).PolygonTracer(
            self._width, *self._ignored, _EXACT if tolerance is None else float(tolerance)
        )
        self._rows = 0
        self._has_values: bool | None = None
        self._is_finished = False

    @property
    def held(self) -> int:
        """Corners of borders that wait in memory, 32 bytes each."""
        return int(self._tracer.held)

    def add(
        self,
        labels: npt.NDArray[Any],
        *,
        weights: npt.NDArray[np.float64] | None = None,
        values: Floats | None = None,
    ) -> Polygons:
        """Takes the next rows; the polygons that they made whole.

        Args:
            labels: uint8, uint16 or int32 [rows, width].
            weights: float64 [rows].
            values: float32 [rows, width]; given with all stripes or with none.

        Raises:
            ArrayError: an array is not such an array.
            UsageError: the stream is finished.
        """
        self._feed(labels, weights, values)
        return self._take(by_place=False)

    def finish(self) -> Polygons:
        """Says that there are no more rows; the polygons that are left."""
        self._close()
        return self._take(by_place=False)

    def _whole(
        self,
        labels: npt.NDArray[Any],
        weights: npt.NDArray[np.float64] | None,
        values: Floats | None,
    ) -> Polygons:
        is_bare = self._is_exact and weights is None and values is None
        if COMPILED and is_bare and 0 < len(labels) <= _LONGEST_SIDE:
            found = _native.trace_outlines(np.ascontiguousarray(labels), *self._ignored)
            return _polygons(found, has_values=False)
        self._feed(labels, weights, values)
        self._close()
        return self._take(by_place=True)

    def _close(self) -> None:
        if not self._is_finished:
            self._tracer.finish()
            self._is_finished = True

    def _feed(
        self,
        labels: npt.NDArray[Any],
        weights: npt.NDArray[np.float64] | None,
        values: Floats | None,
    ) -> None:
        if self._is_finished:
            raise UsageError(
                "the stream is finished", got="more rows", fix="make a PolygonStream for each map"
            )
        check_array("labels", labels, _LABEL_TYPES, 2, "[H, W]")
        if labels.shape[1] != self._width or len(labels) > _LONGEST_SIDE - self._rows:
            raise ArrayError(
                "a stripe of another width, or more rows than can be counted",
                where="argument labels",
                got=f"{len(labels)} × {labels.shape[1]} below {self._rows} rows {self._width} wide",
                fix="give stripes over the whole width",
            )
        if weights is not None:
            check_array("weights", weights, ("float64",), 1, "[H]")
            _check_size("weights", weights, labels.shape[:1])
            weights = np.ascontiguousarray(weights)
        if values is not None:
            check_array("values", values, ("float32",), 2, "[H, W]")
            _check_size("values", values, labels.shape)
            values = np.ascontiguousarray(values)
        if self._has_values not in (None, values is not None):
            raise ArrayError(
                "some stripes have values and others have none",
                where="argument values",
                fix="give them with all stripes or with none",
            )
        self._has_values = values is not None
        self._rows += len(labels)
        self._tracer.add(np.ascontiguousarray(labels), weights, values)

    def _take(self, *, by_place: bool) -> Polygons:
        return _polygons(self._tracer.take(by_place), has_values=bool(self._has_values))


def _polygons(arrays: tuple[npt.NDArray[Any], ...], *, has_values: bool) -> Polygons:
    points, rings, polygons, label, area, weighted_area, total, first = arrays
    mean = total / area if has_values else None
    return Polygons(points, rings, polygons, label, area, weighted_area, mean, first)


def _check_size(name: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ArrayError(
            f"{name} has the wrong size",
            where=f"argument {name}",
            got=f"{list(array.shape)}, expected {list(shape)}",
            fix="give arrays that belong to the same rows",
        )
