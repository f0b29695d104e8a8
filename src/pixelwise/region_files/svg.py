"""SVG: a group for each class in its colour, and in it a path for each region.

Names stand in `<title>` as text and in `data-class`; `data-class-id`, `data-area` (pixels) and
`data-confidence` say the rest. Nothing else is in the file: no script, no style, no address.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from pixelwise.region_files.base import (
    Regions,
    drawn_classes,
    hex_colour,
    ignored_parts,
    rings_of,
    xml_text,
)
from pixelwise.segments import Segment

__all__ = ["encode"]

_IGNORED_COLOUR = "#e0e0c0"


def encode(regions: Regions) -> bytes:
    """The file of a picture, one unit a pixel.

    Raises:
        UsageError: a name cannot be written in XML.
    """
    height, width = regions.size
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" shape-rendering="crispEdges" fill-rule="evenodd">',
        f"<title>{xml_text(regions.picture)}</title>",
    ]
    for info in drawn_classes(regions.classes):
        own = [segment for segment in regions.segments if segment.info == info]
        if own:
            name = xml_text(info.name)
            lines.append(
                f'<g fill="{hex_colour(info)}" data-class="{name}" data-class-id="{info.id}">'
                f"<title>{name}</title>"
            )
            lines += [*map(_region, own), "</g>"]
    ignored = ignored_parts(regions)
    if ignored:
        outlines = _outlines(ring for rings in ignored for ring in rings)
        lines.append(f'<g fill="{_IGNORED_COLOUR}" data-class="">')
        lines += [f'<path d="{outlines}"/>', "</g>"]
    return ("\n".join([*lines, "</svg>"]) + "\n").encode()


def _region(segment: Segment) -> str:
    facts = f'data-area="{segment.area}" data-confidence="{segment.confidence:.6f}"'
    return f'<path {facts} d="{_outlines(rings_of(segment))}"/>'


def _outlines(rings: Iterable[NDArray[Any]]) -> str:
    return "".join(map(_outline, rings))


def _outline(ring: NDArray[Any]) -> str:
    """The ring in steps along rows and columns, which are all that edges of pixels have."""
    points = ring.tolist()
    (x, y), *others = points
    steps = [f"M{x} {y}"]
    for next_x, next_y in others:
        steps.append(f"H{next_x}" if next_y == y else f"V{next_y}")
        x, y = next_x, next_y
    return "".join([*steps, "Z"])
