"""The connected regions of a label map, and what they say of a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.classes import ClassInfo, ClassTable

__all__ = ["Polygon", "Segment", "class_summary", "find_polygons", "find_segments"]

Labels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class Polygon:
    """An outline with holes along the edges of pixels; its pixels hang together at their sides.

    Points are x and y in pixels from the picture's upper left corner: the pixel in column x and
    row y covers [x, x + 1] × [y, y + 1]. The last point of a ring joins the first.

    Attributes:
        info: its class.
        area: pixels.
        exterior: int32 `[N, 2]`, counter-clockwise as seen.
        holes: int32 `[N, 2]` each, clockwise as seen.
    """

    info: ClassInfo
    area: int
    exterior: NDArray[np.int32]
    holes: tuple[NDArray[np.int32], ...]


class _Outlines:
    """The polygons of all regions, traced when the first is asked for."""

    def __init__(self, labels: Labels, classes: ClassTable, regions: NDArray[np.int32]) -> None:
        self._labels = labels
        self._classes = classes
        self._regions = regions

    def of(self, region: int) -> tuple[Polygon, ...]:
        """The parts of one region, the largest first."""
        parts = self._parts_by_region[region]
        return tuple(sorted(parts, key=lambda part: -part.area))

    @cached_property
    def _parts_by_region(self) -> dict[int, list[Polygon]]:
        traced = kernels.trace_polygons(self._labels)
        owners = self._regions[traced.first[:, 1], traced.first[:, 0]].tolist()
        parts: dict[int, list[Polygon]] = {}
        for index, owner in enumerate(owners):
            parts.setdefault(owner, []).append(_polygon(traced, index, self._classes))
        return parts


@dataclass(frozen=True)
class Segment:
    """One connected region of one class.

    Attributes:
        info: its class.
        area: pixels.
        share: of the picture, 0..1.
        box: `(x1, y1, x2, y2)` in pixels; x2 and y2 lie just outside.
        centroid: `(x, y)`, where the upper left pixel's centre is (0, 0).
        confidence: mean probability of the class over the region, 0..1.
        orientation: angle of the long axis in radians, -π/2..π/2, from the x axis and
            counter-clockwise as seen; 0 where none is longer.
        perimeter: pixels, along the border pixels: see `kernels.measure_regions`.
    """

    info: ClassInfo
    area: int
    share: float
    box: tuple[int, int, int, int]
    centroid: tuple[float, float]
    confidence: float
    orientation: float
    perimeter: float
    _outlines: _Outlines = field(repr=False, compare=False)
    _region: int = field(repr=False, compare=False)

    @property
    def polygons(self) -> tuple[Polygon, ...]:
        """The region as polygons with holes, the largest first.

        More than one where parts of it touch at a corner only. All regions of a picture are traced
        when the first of them is asked.
        """
        return self._outlines.of(self._region)

    @property
    def contour(self) -> NDArray[np.int32]:
        """The outline of its largest part, int32 `[N, 2]`, without holes."""
        return self.polygons[0].exterior


def find_segments(
    labels: Labels,
    confidence: NDArray[np.float32],
    classes: ClassTable,
    *,
    min_area: int,
) -> tuple[Segment, ...]:
    """The connected regions (8 neighbours), the largest first.

    Args:
        labels: ids of the table, `[H, W]`.
        confidence: probability of each pixel's class, `[H, W]`.
        classes: the class table.
        min_area: regions of fewer pixels are left out.
    """
    measured = kernels.measure_regions(labels, confidence, connectivity=8)
    regions, orientation = measured.regions, measured.orientation()
    outlines = _Outlines(labels, classes, regions.components)
    order = np.argsort(-regions.area, kind="stable")
    return tuple(
        Segment(
            info=classes.find(int(regions.label[index])),
            area=int(regions.area[index]),
            share=float(regions.area[index] / labels.size),
            box=_four_ints(regions.box[index]),
            centroid=(float(regions.centroid[index, 0]), float(regions.centroid[index, 1])),
            confidence=float(measured.mean[index]),
            orientation=float(orientation[index]),
            perimeter=float(measured.perimeter[index]),
            _outlines=outlines,
            _region=int(index),
        )
        for index in order
        if regions.area[index] >= min_area
    )


def find_polygons(
    labels: Labels, classes: ClassTable, *, tolerance: float | None, min_area: int
) -> tuple[Polygon, ...]:
    """The connected regions (4 neighbours) as polygons, the largest first.

    Args:
        labels: ids of the table, `[H, W]`.
        classes: the class table.
        tolerance: as in `kernels.trace_polygons`.
        min_area: regions of fewer pixels are left out.

    Raises:
        UsageError: the tolerance is outside its range.
    """
    traced = kernels.trace_polygons(labels, tolerance=tolerance)
    order = np.argsort(-traced.area, kind="stable")
    return tuple(
        _polygon(traced, index, classes)
        for index in order.tolist()
        if traced.area[index] >= min_area
    )


def class_summary(name: str, share: float, segments: Sequence[Segment]) -> dict[str, Any]:
    """Plain data on a class that occurs: of all its pixels together, and of each region."""
    own = [segment for segment in segments if segment.info.name == name]
    area = sum(segment.area for segment in own)
    return {
        "id": own[0].info.id,
        "name": name,
        "share": share,
        "area": area,
        "confidence": sum(part.confidence * part.area for part in own) / area,
        "box": [
            min(part.box[0] for part in own),
            min(part.box[1] for part in own),
            max(part.box[2] for part in own),
            max(part.box[3] for part in own),
        ],
        "centroid": [
            sum(part.centroid[axis] * part.area for part in own) / area for axis in (0, 1)
        ],
        "regions": [
            {
                "area": part.area,
                "box": list(part.box),
                "centroid": list(part.centroid),
                "confidence": part.confidence,
                "orientation": part.orientation,
                "perimeter": part.perimeter,
            }
            for part in own
        ],
    }


def _polygon(traced: kernels.Polygons, index: int, classes: ClassTable) -> Polygon:
    exterior, *holes = traced.rings_of(index)
    return Polygon(
        info=classes.find(int(traced.label[index])),
        area=int(traced.area[index]),
        exterior=exterior,
        holes=tuple(holes),
    )


def _four_ints(values: NDArray[np.int32]) -> tuple[int, int, int, int]:
    first, second, third, fourth = (int(value) for value in values)
    return first, second, third, fourth
