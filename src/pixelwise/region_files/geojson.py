"""GeoJSON in pixels: a feature for each region, several polygons where parts touch at corners only.

`formats.vectors.write_polygons` writes polygons on the ground, simplified and of any size.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.formats.geojson import PIXELS
from pixelwise.region_files.base import Regions, hex_colour, ignored_parts

__all__ = ["encode"]


def encode(regions: Regions) -> bytes:
    """The file of a picture; `size` says its height and width.

    Ignored pixels beside a background are a feature without a class.
    """
    head = {
        "type": "FeatureCollection",
        "coordinate_system": PIXELS,
        "picture": regions.picture,
        "size": list(regions.size),
    }
    lines = []
    for number, segment in enumerate(regions.segments, start=1):
        properties = {
            "class_id": segment.info.id,
            "class": segment.info.name,
            "colour": hex_colour(segment.info),
            "area_px": segment.area,
            **segment.ground,
            "confidence": round(segment.confidence, 6),
        }
        rings = [[part.exterior, *part.holes] for part in segment.polygons]
        lines.append(_feature(number, properties, rings))
    ignored = ignored_parts(regions)
    if ignored:
        lines.append(_feature(len(lines) + 1, {"class_id": None, "class": None}, ignored))
    features = ",\n".join(lines)
    return f'{json.dumps(head)[:-1]}, "features": [\n{features}\n]}}\n'.encode()


def _feature(
    number: int, properties: dict[str, Any], polygons: list[list[NDArray[np.int32]]]
) -> str:
    parts = [[_closed(ring) for ring in rings] for rings in polygons]
    geometry = (
        {"type": "Polygon", "coordinates": parts[0]}
        if len(parts) == 1
        else {"type": "MultiPolygon", "coordinates": parts}
    )
    value = {"type": "Feature", "id": number, "properties": properties, "geometry": geometry}
    return json.dumps(value, separators=(",", ":"))


def _closed(ring: NDArray[np.int32]) -> list[list[int]]:
    """The ring as RFC 7946 wants it: outlines counter-clockwise where y points up, and closed."""
    points: list[list[int]] = ring[::-1].tolist()
    return [*points, points[0]]
