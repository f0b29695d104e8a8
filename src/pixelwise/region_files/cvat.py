"""CVAT for images 1.1: polygons that its users can move; regions with holes as masks.

Parts of one region are polygons of one group. Ignored pixels are a mask labelled `ignored`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.formats.rle import column_counts
from pixelwise.region_files.base import Regions, check_free, drawn_classes, hex_colour, xml_text

__all__ = ["cvat_file", "cvat_piece", "encode"]

_IGNORED = "ignored"


def encode(regions: Regions) -> bytes:
    """The annotation file of one picture.

    Raises:
        UsageError: a name cannot be written in XML, or there are ignored pixels and a class of
            such a name.
    """
    return b"".join(cvat_file([cvat_piece(regions)], regions.classes))


def cvat_piece(regions: Regions) -> str:
    """A picture's part of an annotation file: an element `image` without its number.

    Raises:
        UsageError: as `encode`.
    """
    check_free(regions, "cvat")
    height, width = regions.size
    lines = [f'name="{xml_text(regions.picture)}" width="{width}" height="{height}">']
    for number, segment in enumerate(regions.segments, start=1):
        parts = segment.polygons
        name = xml_text(segment.info.name)
        if any(part.holes for part in parts):
            lines.append(_mask(name, segment.mask, segment.box[:2]))
            continue
        group = f' group_id="{number}"' if len(parts) > 1 else ""
        for part in parts:
            points = ";".join(f"{x},{y}" for x, y in part.exterior.tolist())
            lines.append(
                f'<polygon label="{name}" source="auto" occluded="0" points="{points}" '
                f'z_order="0"{group}></polygon>'
            )
    if regions.ignored is not None:
        lines.append(_mask(_IGNORED, regions.ignored, (0, 0)))
    return "\n".join([*lines, "</image>"])


def cvat_file(pieces: Iterable[str], classes: ClassTable) -> Iterator[bytes]:
    """The annotation file of many pictures, bit by bit; images are numbered from 0 on."""
    labels = [(xml_text(info.name), hex_colour(info)) for info in drawn_classes(classes)]
    yield b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
    yield b"<meta><task><labels>\n"
    for name, colour in labels:
        yield f"<label><name>{name}</name><color>{colour}</color></label>\n".encode()
    yield b"</labels></task></meta>\n"
    for number, piece in enumerate(pieces):
        yield f'<image id="{number}" {piece}\n'.encode()
    yield b"</annotations>\n"


def _mask(label: str, mask: NDArray[np.bool_], corner: tuple[int, int]) -> str:
    left, top = corner
    height, width = mask.shape
    # Along the rows, where COCO counts down the columns.
    runs = ", ".join(map(str, column_counts(mask.T).tolist()))
    return (
        f'<mask label="{label}" source="auto" occluded="0" rle="{runs}" left="{left}" '
        f'top="{top}" width="{width}" height="{height}" z_order="0"></mask>'
    )
