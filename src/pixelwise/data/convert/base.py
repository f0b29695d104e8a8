"""What every format that is converted to must say, and what they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.targets import InstanceTarget, MaskTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.formats.annotations import background_of

__all__ = [
    "Encoded",
    "Files",
    "Form",
    "Item",
    "Single",
    "Table",
    "bare_pixels",
    "list_file",
    "most_objects",
    "single",
    "smallest",
    "stuff_objects",
    "uncovered",
]

Files = dict[str, bytes]
"""Content by path in the new data set."""

Single = MultiClassTarget | InstanceTarget
"""A target of one class per pixel."""

_MOST_NUMBERS = 65_535


@dataclass(frozen=True, slots=True)
class Item:
    """A sample on its way.

    Attributes:
        image: the picture's file in the source.
        split: its split, "" for none.
        folder: the folders that tell the picture from others, joined to one name; "" for none.
        name: its new name, without suffix and folders, of no other picture of the data set.
        suffix: of the picture's file, with the dot.
    """

    image: str
    split: str
    folder: str
    name: str
    suffix: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """The truth of a sample in a format.

    Attributes:
        files: its own.
        piece: its part of a file that all samples share.
    """

    files: Files
    piece: bytes = b""


@dataclass(frozen=True, slots=True)
class Table:
    """What the ids of the data set mean.

    Attributes:
        classes: the class table.
        rest: as in `Dataset`.
    """

    classes: ClassTable
    rest: int | None


class Form(Protocol):
    """A format: where its files lie, what is in them, and what it cannot hold."""

    def table_losses(self, classes: ClassTable, splits: Sequence[str]) -> list[str]:
        """What of the class table and the splits the format cannot hold."""
        ...

    def losses(self, target: MaskTarget, classes: ClassTable) -> list[str]:
        """What of a target it cannot hold: the same words for the same kind of loss."""
        ...

    def picture(self, item: Item) -> str:
        """The path of the picture."""
        ...

    def paths(self, item: Item) -> list[str]:
        """The paths of all truth files that the sample can have."""
        ...

    def encode(self, item: Item, target: MaskTarget, classes: ClassTable) -> Encoded:
        """The truth of a sample without losses."""
        ...

    def shared(self, items: Sequence[Item], pieces: Sequence[bytes], table: Table) -> Files:
        """Files that all samples share, such as lists; their paths depend on `items` alone."""
        ...


def single(target: MaskTarget, classes: ClassTable) -> tuple[Single | None, list[str]]:
    """The target with one class per pixel, or None and why it has none."""
    if not isinstance(target, MultiLabelTarget):
        return target, []
    counted = ~target.ignore
    depth = target.layers.sum(axis=0)
    losses = []
    if ((depth > 1) & counted).any():
        losses.append("pixels of several classes at once (coco keeps them)")
    if ((depth == 0) & counted).any():
        losses.append("pixels of no class at all (coco keeps them)")
    if losses:
        return None, losses
    mask = np.asarray(classes.ids, np.uint16)[target.layers.argmax(axis=0)]
    if not counted.all():
        mask[target.ignore] = 65_535 if classes.ignore_index is None else classes.ignore_index
    return MultiClassTarget(mask), []


def smallest(mask: NDArray[Any], classes: ClassTable) -> NDArray[Any]:
    """The mask as uint8 where all ids of the table fit, else as uint16."""
    highest = max(classes.ids[-1], classes.ignore_index or 0)
    return mask.astype(np.uint8 if highest < 256 else np.uint16, copy=False)


def most_objects(target: Single) -> list[str]:
    """The loss of numbers of objects that 16 bits do not hold."""
    if not isinstance(target, InstanceTarget) or int(target.instances.max()) <= _MOST_NUMBERS:
        return []
    return [f"numbers of objects above {_MOST_NUMBERS:,}"]


def bare_pixels(target: Single, classes: ClassTable) -> list[str]:
    """The loss of objects that a format of one class per object does not hold."""
    if not isinstance(target, InstanceTarget):
        return []
    inside = target.instances > 0
    codes = np.unique(target.instances[inside].astype(np.int64) << 16 | target.mask[inside])
    losses = []
    if (np.diff(codes >> 16) == 0).any():
        losses.append("objects that lie in several classes (folder and voc keep them)")
    if classes.ignore_index is not None and (codes & 0xFFFF == classes.ignore_index).any():
        losses.append("objects on ignored pixels (folder and voc keep them)")
    return losses


def stuff_objects(target: Single, classes: ClassTable) -> list[str]:
    """The loss of objects of stuff, to formats that number objects of things alone."""
    if not isinstance(target, InstanceTarget):
        return []
    stuff = [info.id for info in classes if info.kind == "stuff"]
    if not np.isin(target.mask[target.instances > 0], stuff).any():
        return []
    return [
        "objects of a class of stuff (make it a thing in the class table; folder and voc keep them)"
    ]


def uncovered(classes: ClassTable) -> int | None:
    """The id of pixels that objects leave bare: the background, else the ignored id, else None.

    A background that is a thing may have objects, and is drawn as any other class.
    """
    background = background_of(classes)
    return classes.ignore_index if background is None else background.id


def list_file(lines: Sequence[str]) -> bytes:
    """A text of one name per line."""
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
