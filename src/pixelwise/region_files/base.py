"""What every file of regions is made of."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.class_entries import key_of
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import UsageError
from pixelwise.formats.annotations import IGNORED_NAMES, background_of
from pixelwise.segments import Labels, Segment

__all__ = [
    "Regions",
    "check_free",
    "drawn_classes",
    "hex_colour",
    "ignored_parts",
    "rings_of",
    "xml_text",
]

# What XML 1.0 (section 2.2) has no way to write.
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, eq=False)
class Regions:
    """The regions of one picture.

    Attributes:
        picture: the name of the picture's file.
        size: `(H, W)`.
        classes: the class table.
        segments: all that are drawn, the largest first: none of the background.
        ignored: pixels that are not counted, bool `[H, W]`; None where there are none.
    """

    picture: str
    size: tuple[int, int]
    classes: ClassTable
    segments: tuple[Segment, ...]
    ignored: NDArray[np.bool_] | None

    @classmethod
    def of(
        cls, labels: Labels, segments: Sequence[Segment], classes: ClassTable, *, picture: str
    ) -> Regions:
        """Those of a label map.

        Args:
            labels: ids of the table or its ignored id, `[H, W]`.
            segments: its regions, as `find_segments` gives them.
            classes: the class table.
            picture: the name of the picture's file.
        """
        background = background_of(classes)
        ignored = None
        if classes.ignore_index is not None:
            found = labels == classes.ignore_index
            ignored = found if found.any() else None
        height, width = labels.shape
        drawn = tuple(segment for segment in segments if segment.info != background)
        return cls(picture, (height, width), classes, drawn, ignored)


def drawn_classes(classes: ClassTable) -> list[ClassInfo]:
    """The classes that regions are of: all but the background."""
    background = background_of(classes)
    return [info for info in classes if info != background]


def rings_of(segment: Segment) -> Iterator[NDArray[np.int32]]:
    """Outlines and holes of all its parts."""
    for part in segment.polygons:
        yield part.exterior
        yield from part.holes


def ignored_parts(regions: Regions) -> list[list[NDArray[np.int32]]]:
    """Outline and holes of each part of the ignored pixels, where bare pixels are not those."""
    if regions.ignored is None or background_of(regions.classes) is None:
        return []
    traced = kernels.trace_polygons(regions.ignored.view(np.uint8), ignore=0)
    return [traced.rings_of(index) for index in range(len(traced))]


def check_free(regions: Regions, form: str) -> None:
    """Refuses ignored pixels where a class bears a name that stands for them.

    Raises:
        UsageError: there are both.
    """
    taken = [info.name for info in regions.classes if key_of(info.name) in IGNORED_NAMES]
    if regions.ignored is not None and taken:
        raise UsageError(
            f"{form} has no other name for ignored pixels than that of a class",
            where=regions.picture,
            got=f"the class {taken[0]!r}",
            fix="rename the class, or write coco",
        )


def hex_colour(info: ClassInfo) -> str:
    """The colour as #fa3253."""
    return "#{:02x}{:02x}{:02x}".format(*info.colour)


def xml_text(text: str) -> str:
    """The text as XML has it, in elements and between double quotes.

    Raises:
        UsageError: it has letters that XML cannot hold.
    """
    wrong = _NOT_IN_XML.search(text)
    if wrong:
        raise UsageError(
            "a name has a letter that XML cannot hold",
            got=f"U+{ord(wrong[0]):04X} in {text[:80]!r}",
            fix="rename it, or write coco or labelme, which are JSON",
        )
    # Line breaks in attributes would be read as blanks.
    return html.escape(text).translate({ord(blank): f"&#{ord(blank)};" for blank in "\t\n\r"})
