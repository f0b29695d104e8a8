"""YOLO: a line for each region, one ring with bridges of no width to further parts and holes."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np

from pixelwise.class_entries import key_of
from pixelwise.classes import ClassTable
from pixelwise.errors import UsageError
from pixelwise.formats.annotations import (
    BACKGROUND_NAMES,
    IGNORED_NAMES,
    UNCOVERED_KEY,
    background_of,
)
from pixelwise.formats.polygons import Ring, joined
from pixelwise.region_files.base import Regions, drawn_classes, rings_of

__all__ = ["encode", "outline_line", "yolo_names"]


def encode(regions: Regions) -> bytes:
    """The label file of a picture; numbers are the places of the classes in `yolo_names`.

    Raises:
        UsageError: there are ignored pixels beside a background, which YOLO cannot hold, or a
            class has a name that YOLO's readers take for none.
    """
    listed = drawn_classes(regions.classes)
    odd = BACKGROUND_NAMES | IGNORED_NAMES
    taken = [info.name for info in listed if key_of(info.name) in odd]
    if taken:
        raise UsageError(
            "YOLO's readers take the name of a class for no class",
            where=regions.picture,
            got=repr(taken[0]),
            fix="rename the class, or write coco",
        )
    if regions.ignored is not None and background_of(regions.classes) is not None:
        raise UsageError(
            "YOLO cannot tell ignored pixels from those of the background",
            where=regions.picture,
            got=f"{int(regions.ignored.sum()):,} ignored pixels",
            fix="write coco, labelme, cvat or voc, which can",
        )
    numbers = {info.id: place for place, info in enumerate(listed)}
    lines = [
        outline_line(
            numbers[segment.info.id],
            joined([ring.astype(np.float64) for ring in rings_of(segment)]),
            regions.size,
        )
        for segment in regions.segments
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def outline_line(number: int, ring: Ring, size: tuple[int, int]) -> str:
    """The line of an object: its class's number, and its corners as shares of the picture.

    Args:
        number: of the class.
        ring: `[N, 2]` of corners in pixels.
        size: `(H, W)` of the picture.
    """
    # A ring of whole pixels bears an error of almost half a pixel.
    digits = max(6, len(str(max(size))) + 2)
    shares = (ring / (size[1], size[0])).ravel().tolist()
    return f"{number} {' '.join(f'{share:.{digits}f}' for share in shares)}"


def yolo_names(classes: ClassTable) -> bytes:
    """`data.yaml`: the names by number, and what pixels without a line are."""
    background = background_of(classes)
    bare = "ignored" if background is None else background.name
    lines: Iterable[str] = [
        f"{UNCOVERED_KEY}: {_quoted(bare)}",
        "names:",
        # Every JSON text is a YAML text too.
        *(f"  {place}: {_quoted(info.name)}" for place, info in enumerate(drawn_classes(classes))),
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
