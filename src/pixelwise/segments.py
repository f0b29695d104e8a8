"""The connected regions of a label map, and what they say of a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.classes import ClassInfo, ClassTable

__all__ = ["Segment", "class_summary", "find_segments"]


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
    """

    info: ClassInfo
    area: int
    share: float
    box: tuple[int, int, int, int]
    centroid: tuple[float, float]
    confidence: float


def find_segments(
    labels: NDArray[np.uint8] | NDArray[np.uint16],
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
    regions = kernels.label_regions(labels, connectivity=8)
    certainty = np.bincount(
        regions.components.ravel(), weights=confidence.ravel(), minlength=len(regions.area)
    )
    order = np.argsort(-regions.area, kind="stable")
    return tuple(
        Segment(
            info=classes.find(int(regions.label[index])),
            area=int(regions.area[index]),
            share=float(regions.area[index] / labels.size),
            box=_four_ints(regions.box[index]),
            centroid=(float(regions.centroid[index, 0]), float(regions.centroid[index, 1])),
            confidence=float(certainty[index] / regions.area[index]),
        )
        for index in order
        if regions.area[index] >= min_area
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
            }
            for part in own
        ],
    }


def _four_ints(values: NDArray[np.int32]) -> tuple[int, int, int, int]:
    first, second, third, fourth = (int(value) for value in values)
    return first, second, third, fourth
