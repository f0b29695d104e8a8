"""The connected regions of a label map, and what they say of a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.class_entries import is_whole
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import UsageError
from pixelwise.formats.annotations import background_of
from pixelwise.formats.rle import pack_counts, patch_counts
from pixelwise.formats.spacing import Spacing, parse_spacing

__all__ = [
    "Boxes",
    "Labels",
    "Polygon",
    "Segment",
    "Tag",
    "boxes_of",
    "class_summary",
    "find_polygons",
    "find_segments",
]

_SQUARE_MILLIMETRES = {"nm": 1e-12, "µm": 1e-6, "mm": 1.0, "cm": 1e2, "m": 1e6, "km": 1e12}
"""Of a square of that side."""

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
    """The pixels of all regions, and their polygons, traced when the first is asked for."""

    def __init__(self, labels: Labels, classes: ClassTable, regions: NDArray[np.int32]) -> None:
        self._labels = labels
        self._classes = classes
        self._regions = regions

    def of(self, region: int) -> tuple[Polygon, ...]:
        """The parts of one region, the largest first."""
        parts = self._parts_by_region[region]
        return tuple(sorted(parts, key=lambda part: -part.area))

    @property
    def size(self) -> tuple[int, int]:
        """`(H, W)` of the picture."""
        height, width = self._regions.shape
        return height, width

    def mask_of(self, region: int, box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
        """Which pixels of the box are of the region, bool `[y2 - y1, x2 - x1]`."""
        left, top, right, bottom = box
        inside: NDArray[np.bool_] = self._regions[top:bottom, left:right] == region
        return inside

    @cached_property
    def _parts_by_region(self) -> dict[int, list[Polygon]]:
        traced = kernels.trace_polygons(self._labels, ignore=self._classes.ignore_index)
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
        spacing: the size of a pixel, where it is known.
    """

    info: ClassInfo
    area: int
    share: float
    box: tuple[int, int, int, int]
    centroid: tuple[float, float]
    confidence: float
    orientation: float
    perimeter: float
    spacing: Spacing | None
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

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The pixels of its box that are of the region, bool `[y2 - y1, x2 - x1]`."""
        return self._outlines.mask_of(self._region, self.box)

    @property
    def rle(self) -> dict[str, Any]:
        """COCO's compressed run lengths of the whole picture: `{"size": [H, W], "counts": text}`.

        pycocotools takes it as it is.
        """
        left, top, right, bottom = self.box
        size = self._outlines.size
        counts = patch_counts(self.mask, slice(top, bottom), slice(left, right), size)
        return {"size": list(size), "counts": pack_counts(counts)}

    @property
    def area_mm2(self) -> float | None:
        """Square millimetres; None where the size of a pixel is not known."""
        if self.spacing is None or self.spacing.unit not in _SQUARE_MILLIMETRES:
            return None
        pixel = self.spacing.height * self.spacing.width
        return self.area * (pixel * _SQUARE_MILLIMETRES[self.spacing.unit])

    @property
    def area_m2(self) -> float | None:
        """Square metres; None where the size of a pixel is not known."""
        return None if self.area_mm2 is None else self.area_mm2 / 1e6

    @property
    def ground(self) -> dict[str, float]:
        """Its real area by the name of its unit; empty where the size of a pixel is not known.

        `area_m2` where that is in metres or kilometres, else `area_mm2`.
        """
        if self.spacing is None or self.area_mm2 is None:
            return {}
        if self.spacing.unit in {"m", "km"}:
            return {"area_m2": self.area_mm2 / 1e6}
        return {"area_mm2": self.area_mm2}


@dataclass(frozen=True, eq=False)
class Boxes:
    """Regions as a detector gives objects, the surest first; of equal scores the larger region.

    `boxes.non_maximum_suppression(found.boxes, found.scores, found.classes)` takes them.

    Attributes:
        boxes: float32 `[N, 4]`, `(x1, y1, x2, y2)` in pixels; x2 and y2 lie just outside.
        scores: float32 `[N]`, mean probability of the class over the region, 0..1.
        classes: int64 `[N]`, class ids.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


@dataclass(frozen=True)
class Tag:
    """A class as a label of the whole picture.

    Attributes:
        info: the class.
        score: the highest probability of the class anywhere in the picture, 0..1.
        share: part of the picture that the class fills, 0..1.
        area: pixels that the class fills.
    """

    info: ClassInfo
    score: float
    share: float
    area: int


def find_segments(
    labels: Labels,
    confidence: NDArray[np.float32],
    classes: ClassTable,
    *,
    min_area: int,
    spacing: Spacing | str | None = None,
) -> tuple[Segment, ...]:
    """The connected regions (8 neighbours), the largest first; ignored pixels are in none.

    Args:
        labels: ids of the table or its ignored id, `[H, W]`.
        confidence: probability of each pixel's class, `[H, W]`.
        classes: the class table.
        min_area: regions of fewer pixels are left out; 1 and more.
        spacing: the size of a pixel, or a text of it such as "0.5mm".

    Raises:
        UsageError: the least area is no such number, or the spacing is no size.
    """
    _check_least(min_area)
    size = _spacing_of(spacing)
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
            spacing=size,
            _outlines=outlines,
            _region=int(index),
        )
        for index in order
        if regions.area[index] >= min_area and regions.label[index] != classes.ignore_index
    )


def boxes_of(segments: Sequence[Segment], classes: ClassTable) -> Boxes:
    """The boxes of all regions but those of the background, as a detector gives them."""
    background = background_of(classes)
    found = [segment for segment in segments if segment.info != background]
    found.sort(key=lambda segment: (-segment.confidence, -segment.area))
    return Boxes(
        np.array([segment.box for segment in found], np.float32).reshape(-1, 4),
        np.array([segment.confidence for segment in found], np.float32),
        np.array([segment.info.id for segment in found], np.int64),
    )


def find_polygons(
    labels: Labels, classes: ClassTable, *, tolerance: float | None, min_area: int
) -> tuple[Polygon, ...]:
    """The connected regions (4 neighbours) as polygons, the largest first.

    Args:
        labels: ids of the table, `[H, W]`.
        classes: the class table.
        tolerance: as in `kernels.trace_polygons`.
        min_area: regions of fewer pixels are left out; 1 and more.

    Raises:
        UsageError: an argument is outside its range.
    """
    _check_least(min_area)
    traced = kernels.trace_polygons(labels, ignore=classes.ignore_index, tolerance=tolerance)
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
    ground = {unit: sum(part.ground[unit] for part in own) for unit in own[0].ground}
    return {
        "id": own[0].info.id,
        "name": name,
        "share": share,
        "area": area,
        **ground,
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
                **part.ground,
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


def _check_least(min_area: object) -> None:
    if not is_whole(min_area) or not min_area >= 1:  # type: ignore[operator]
        raise UsageError(
            "the least area of a region is a whole number of pixels, 1 or more",
            got=f"min_area={min_area!r}",
        )


def _spacing_of(spacing: object) -> Spacing | None:
    if spacing is None or isinstance(spacing, Spacing):
        return spacing
    if isinstance(spacing, str):
        return parse_spacing(spacing)
    raise UsageError(
        "the size of a pixel has no unit",
        got=f"spacing={spacing!r}",
        fix='write "0.5mm", or height and width, "0.5,0.7mm"',
    )


def _four_ints(values: NDArray[np.int32]) -> tuple[int, int, int, int]:
    first, second, third, fourth = (int(value) for value in values)
    return first, second, third, fourth
