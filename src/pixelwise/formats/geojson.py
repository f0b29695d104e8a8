"""GeoJSON (RFC 7946) as a stream of bytes, one feature a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from pixelwise.formats.features import Attribute, Feature

__all__ = ["geojson_lines"]

_DECIMALS = 9
"""Of a degree: a tenth of a millimetre on the ground. RFC 7946 holds six for enough."""

_PIXELS = (
    "pixels of a picture without coordinate system, x to the right and y down from its upper left "
    "corner; not WGS 84"
)


def geojson_lines(
    found: Iterable[Feature],
    attributes: Sequence[Attribute],
    *,
    is_wgs84: bool,
    description: str = "",
) -> Iterator[bytes]:
    """A FeatureCollection.

    Args:
        found: the polygons, in longitude and latitude; or in pixels, which the file then says in a
            member `coordinate_system`.
        attributes: the names of their values.
        is_wgs84: whether they are in longitude and latitude.
        description: a member of that name, if not empty.
    """
    head = {"type": "FeatureCollection"}
    if description:
        head["description"] = description
    if not is_wgs84:
        head["coordinate_system"] = _PIXELS
    names = [attribute.name for attribute in attributes]
    yield json.dumps(head, ensure_ascii=False)[:-1].encode() + b', "features": ['
    separator = b"\n"
    for number, feature in enumerate(found, start=1):
        rings = [np.round(ring, _DECIMALS).tolist() for ring in feature.rings]
        line = {
            "type": "Feature",
            "id": number,
            "properties": dict(zip(names, feature.values, strict=True)),
            "geometry": {"type": "Polygon", "coordinates": rings},
        }
        yield separator + json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode()
        separator = b",\n"
    yield b"\n]}\n"
