"""YOLO's polygons: `images/{split}/`, `labels/{split}/`, `data.yaml`."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from pixelwise.class_entries import key_of
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.convert.base import (
    Encoded,
    Files,
    Form,
    Item,
    Single,
    Table,
    bare_pixels,
    list_file,
    single,
    stuff_objects,
    uncovered,
)
from pixelwise.data.layouts.yolo import lines_of
from pixelwise.data.objects import AnnotatedObject, objects_of
from pixelwise.data.targets import InstanceTarget, MaskTarget
from pixelwise.formats.annotations import BACKGROUND_NAMES, IGNORED_NAMES, UNCOVERED_KEY

__all__ = ["YoloForm"]

_SPLITS = ("train", "val", "test")


class YoloForm(Form):
    """A line for each object, and one for all pixels of a class of stuff in a picture.

    Pixels without a line are of the background; where the class table has none, they are the
    ignored ones. `data.yaml` says which. So what YOLO cannot hold is ignored pixels beside a
    background, and pixels of things that belong to no object.
    """

    def table_losses(self, classes: ClassTable, splits: Sequence[str]) -> list[str]:
        """See `Form.table_losses`."""
        losses = [
            f"the split {split!r}: YOLO knows train, val and test"
            for split in splits
            if split not in _SPLITS
        ]
        number = uncovered(classes)
        losses += [
            f"the class {info.name!r}: YOLO's readers take that name for no class; rename it"
            for info in classes
            if info.id != number and key_of(info.name) in BACKGROUND_NAMES | IGNORED_NAMES
        ]
        return losses

    def losses(self, target: MaskTarget, classes: ClassTable) -> list[str]:
        """See `Form.losses`."""
        plain, losses = single(target, classes)
        if plain is None:
            return losses
        losses += bare_pixels(plain, classes) + stuff_objects(plain, classes)
        number = uncovered(classes)
        ignored = classes.ignore_index
        if ignored not in {None, number} and (plain.mask == ignored).any():
            losses.append("ignored pixels beside a background (folder, voc and coco keep them)")
        things = [info.id for info in classes if info.kind == "thing" and info.id != number]
        loose = np.isin(plain.mask, things)
        if isinstance(plain, InstanceTarget):
            loose &= plain.instances == 0
        if loose.any():
            losses.append(
                "pixels of things that belong to no object (make the class stuff in the class "
                "table; folder, voc and coco keep them)"
            )
        return losses

    def picture(self, item: Item) -> str:
        """See `Form.picture`."""
        return f"images/{_place(item)}{item.suffix}"

    def paths(self, item: Item) -> list[str]:
        """See `Form.paths`."""
        return [f"labels/{_place(item)}.txt"]

    def encode(self, item: Item, target: MaskTarget, classes: ClassTable) -> Encoded:
        """See `Form.encode`."""
        plain, _ = single(target, classes)
        if plain is None:
            return Encoded({})
        numbers = {info.id: place for place, info in enumerate(_listed(classes))}
        lines = lines_of(_objects(plain, classes), numbers, plain.size)
        return Encoded({self.paths(item)[0]: list_file(lines)})

    def shared(self, items: Sequence[Item], pieces: Sequence[bytes], table: Table) -> Files:
        """`data.yaml`: splits, names, and what pixels without a line are."""
        del pieces
        classes, number = table.classes, uncovered(table.classes)
        present = {item.split for item in items}
        lines = [f"{split}: images/{split}" for split in _SPLITS if split in present]
        if number is not None and number == classes.ignore_index:
            lines.append(f'{UNCOVERED_KEY}: "ignored"')
        elif number is not None and number != table.rest:
            lines.append(f"{UNCOVERED_KEY}: {_quoted(classes.find(number).name)}")
        lines.append("names:")
        # Every JSON text is a YAML text too.
        lines += [f"  {place}: {_quoted(info.name)}" for place, info in enumerate(_listed(classes))]
        return {"data.yaml": list_file(lines)}


def _place(item: Item) -> str:
    return f"{item.split}/{item.name}" if item.split else item.name


def _listed(classes: ClassTable) -> list[ClassInfo]:
    """The classes that lines are of, in the order of their numbers."""
    number = uncovered(classes)
    return [info for info in classes if info.id != number]


def _objects(target: Single, classes: ClassTable) -> list[AnnotatedObject]:
    return objects_of(target, classes, uncovered=uncovered(classes))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
