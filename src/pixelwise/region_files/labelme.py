"""labelme: polygons that its users can move; regions with holes, which these cannot have, as masks.

The mask of a region is a PNG of its box, as labelme 5.2 and later write and read it. Parts of one
region are polygons of one group. Ignored pixels are a mask named `__ignore__`, labelme's own word.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.formats.masks import encode_grey
from pixelwise.region_files.base import Regions, check_free

__all__ = ["encode"]

_VERSION = "5.5.0"
_IGNORED = "__ignore__"


def encode(regions: Regions) -> bytes:
    """The annotation file of a picture.

    Raises:
        UsageError: there are ignored pixels, and a class of such a name.
    """
    check_free(regions, "labelme")
    shapes: list[dict[str, Any]] = []
    for number, segment in enumerate(regions.segments, start=1):
        parts = segment.polygons
        if any(part.holes for part in parts):
            shapes.append(_mask(segment.info.name, segment.mask, segment.box[:2]))
            continue
        group = number if len(parts) > 1 else None
        shapes += [
            _shape("polygon", segment.info.name, part.exterior.tolist(), group) for part in parts
        ]
    if regions.ignored is not None:
        shapes.append(_mask(_IGNORED, regions.ignored, (0, 0)))
    height, width = regions.size
    value: dict[str, Any] = {
        "version": _VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": regions.picture,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    return f"{json.dumps(value, separators=(',', ':'))}\n".encode()


def _mask(label: str, mask: NDArray[np.bool_], corner: tuple[int, int]) -> dict[str, Any]:
    left, top = corner
    height, width = mask.shape
    # The second corner is the last pixel, not the first beyond it.
    points = [[left, top], [left + width - 1, top + height - 1]]
    content = encode_grey(mask.view(np.uint8) * np.uint8(255))
    text = base64.b64encode(content).decode("ascii")
    return _shape("mask", label, points, None) | {"mask": text}


def _shape(kind: str, label: str, points: list[Any], group: int | None) -> dict[str, Any]:
    return {
        "label": label,
        "points": points,
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": {},
    }
