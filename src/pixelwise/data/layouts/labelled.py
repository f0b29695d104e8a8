"""From the drawings of annotation tools, whose objects bear names, to a data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.dataset import Entry
from pixelwise.data.layouts.base import Found, Request
from pixelwise.data.layouts.drawn import (
    DrawnObjects,
    DrawnPicture,
    FaultList,
    PictureFiles,
    outline_faults,
)
from pixelwise.data.layouts.meaning import Category, Meaning, meaning_of
from pixelwise.data.layouts.tables import csv_table
from pixelwise.data.listing import Listing
from pixelwise.data.objects import AnnotatedObject
from pixelwise.data.shapes import Shape

__all__ = ["Drawing", "Item", "box_ring", "ellipse_ring", "found_of", "numbered", "turned"]

_CORNERS_OF_A_CIRCLE = 256


@dataclass(frozen=True, eq=False, slots=True)
class Item:
    """One drawn object.

    Attributes:
        label: the name of its class.
        shape: the pixels that it covers.
        group: items of one label and one group are one object; None for an object of its own.
        layer: as in `AnnotatedObject`.
    """

    label: str
    shape: Shape
    group: int | str | None = None
    layer: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Drawing:
    """What was drawn on one picture.

    Attributes:
        image: its path.
        truth: the annotation file.
        items: in the order of the file.
        size: `(H, W)` that the file says; None where it does not.
        split: as in `Entry`.
        damage: as in `DrawnPicture`.
    """

    image: str
    truth: str
    items: tuple[Item, ...]
    size: tuple[int, int] | None = None
    split: str = ""
    damage: str = ""


def numbered(labels: Iterable[str], first: Sequence[str] = ()) -> list[Category]:
    """Categories with the numbers 1 and up: those of `first` in their order, others by name."""
    names = list(dict.fromkeys([*first, *sorted(set(labels))]))
    return [Category(number, name) for number, name in enumerate(names, 1)]


def found_of(
    layout: str,
    drawings: Sequence[Drawing],
    categories: Sequence[Category],
    listing: Listing,
    request: Request,
    faults: FaultList,
    *,
    sureness: float,
    notes: tuple[str, ...] = (),
) -> Found:
    """The data set of these drawings.

    Args:
        layout: its name.
        drawings: of one picture each; of two of one picture the first counts.
        categories: of all labels that occur.
        listing: of the data set.
        request: of the user.
        faults: found so far; those of names and points are added.
        sureness: of the layout.
        notes: on what was decided.
    """
    meaning = meaning_of(
        categories,
        name=listing.root.absolute().name or layout,
        file=drawings[0].truth if drawings else "",
        table=request.classes or csv_table(listing),
    )
    faults.extend(meaning.faults)
    ids = {category.name: meaning.ids[category.number] for category in categories}
    entries: list[Entry] = []
    pictures: list[DrawnPicture] = []
    taken: dict[str, str] = {}
    for drawing in drawings:
        if drawing.image in taken:
            faults.add(
                "a picture is annotated twice",
                drawing.image,
                got=f"{taken[drawing.image]} and {drawing.truth}",
                fix="keep one of the two",
            )
            continue
        taken[drawing.image] = drawing.truth
        entries.append(Entry(drawing.image, drawing.truth, drawing.split, len(pictures)))
        pictures.append(_picture(drawing, ids, meaning, faults))
    for path in PictureFiles(listing).lone(taken):
        faults.add(
            "the picture has no annotations",
            path,
            fix="annotate it, or move it away",
            warning=True,
        )
    return Found(
        layout=layout,
        sureness=sureness,
        classes=meaning.classes,
        entries=tuple(entries),
        truth=DrawnObjects(tuple(pictures), meaning.uncovered, request.kind),
        faults=faults.all(),
        notes=(*notes, *meaning.notes),
        rest=meaning.rest,
    )


def box_ring(left: float, top: float, right: float, bottom: float) -> NDArray[np.float64]:
    """The corners of a box, `[4, 2]`."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def ellipse_ring(x: float, y: float, radius_x: float, radius_y: float) -> NDArray[np.float64]:
    """256 corners on an ellipse, `[256, 2]`."""
    angles = np.arange(_CORNERS_OF_A_CIRCLE) * (2 * np.pi / _CORNERS_OF_A_CIRCLE)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1)


def turned(ring: NDArray[np.float64], degrees: float, x: float, y: float) -> NDArray[np.float64]:
    """A ring turned about a point, clockwise as seen."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    place = np.array([x, y])
    moved: NDArray[np.float64] = (ring - place) @ np.array(
        [[cosine, sine], [-sine, cosine]]
    ) + place
    return moved if degrees else ring


def _picture(
    drawing: Drawing, ids: dict[str, int], meaning: Meaning, faults: FaultList
) -> DrawnPicture:
    objects: list[AnnotatedObject] = []
    numbers: dict[tuple[object, ...], int] = {}
    for place, item in enumerate(drawing.items):
        class_id = ids[item.label]
        key = (place,) if item.group is None else (item.label, item.group)
        instance = 0 if class_id in meaning.stuff else numbers.setdefault(key, len(numbers) + 1)
        objects.append(AnnotatedObject(class_id, item.shape, instance=instance, layer=item.layer))
    found, damage = outline_faults(objects, drawing.size)
    for what, got in found:
        fix = "correct the points; what lies outside is cut off"
        faults.add(what, drawing.image, got=got, fix=fix, warning="reaches" in what)
    return DrawnPicture(tuple(objects), drawing.size, drawing.damage or damage)
