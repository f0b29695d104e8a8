"""GeoJSON (RFC 7946) as a stream of bytes, one feature a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pixelwise.formats.features import Attribute, Feature

__all__ = ["PIXELS", "geojson_lines", "read_collection_description"]

_DECIMALS = 9
"""Of a degree: a tenth of a millimetre on the ground. RFC 7946 holds six for enough."""

PIXELS = (
    "pixels of a picture without coordinate system, x to the right and y down from its upper left "
    "corner; not WGS 84"
)


_FEATURES = b', "features": ['
_LONGEST_HEAD = 1 << 20


def read_collection_description(path: Path) -> str:
    """The description in a file of `geojson_lines`, without reading its features.

    Raises:
        ValueError: there is none.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head, found, _ = file.read(_LONGEST_HEAD).partition(_FEATURES)
    if not found:
        raise ValueError("no file of this form")
    return str(json.loads(head + b"}")["description"])


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
        head["coordinate_system"] = PIXELS
    names = [attribute.name for attribute in attributes]
    yield json.dumps(head, ensure_ascii=False)[:-1].encode() + _FEATURES
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
