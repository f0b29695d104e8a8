"""COCO: `images/{split}/`, and `annotations/instances_{split}.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pixelwise.class_entries import key_of
from pixelwise.classes import ClassTable
from pixelwise.data.convert.base import (
    Encoded,
    Files,
    Form,
    Item,
    Table,
    bare_pixels,
    stuff_objects,
    uncovered,
)
from pixelwise.data.layouts.coco import annotation_of
from pixelwise.data.objects import objects_of
from pixelwise.data.targets import InstanceTarget, MaskTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.formats.annotations import IGNORED_KEY, OWN_KEY, UNCOVERED_KEY
from pixelwise.region_files.coco import category_of

__all__ = ["CocoForm"]

_SPLITS = ("train", "val", "test")
_IGNORED = "ignored"


class CocoForm(Form):
    """Polygons for objects, run lengths for what has holes; both exact to the pixel.

    Pixels of the background have no annotation; without a background, those that are ignored have
    none. `info` says which of the two it is. Else ignored pixels are run lengths under a key of our
    own, `pixelwise`, so that no other tool takes them for objects. Pixels of a thing that belong
    to no object of their own are a crowd. Categories are numbered from 1, as other tools expect:
    by our ids, or one above them where a class has id 0. Splits other than train, val and test are
    told picture by picture in one file.
    """

    def table_losses(self, classes: ClassTable, splits: Sequence[str]) -> list[str]:
        """See `Form.table_losses`."""
        del splits
        return [
            f"a class named {info.name!r}: that name stands for ignored pixels; rename it"
            for info in classes
            if key_of(info.name) == _IGNORED
        ]

    def losses(self, target: MaskTarget, classes: ClassTable) -> list[str]:
        """See `Form.losses`."""
        if isinstance(target, MultiLabelTarget):
            return []
        return bare_pixels(target, classes) + stuff_objects(target, classes)

    def picture(self, item: Item) -> str:
        """See `Form.picture`."""
        split = f"{item.split}/" if item.split in _SPLITS else ""
        return f"images/{split}{item.name}{item.suffix}"

    def paths(self, item: Item) -> list[str]:
        """None: the truth of all pictures stands in one file."""
        del item
        return []

    def encode(self, item: Item, target: MaskTarget, classes: ClassTable) -> Encoded:
        """See `Form.encode`.

        A line of the size, then one for each annotation without numbers, or, of ignored pixels,
        for its segmentation alone.
        """
        del item
        if isinstance(target, MultiClassTarget):
            target = InstanceTarget(target.mask, np.zeros(target.size, np.int32))
        things = objects_of(target, classes, uncovered=uncovered(classes))
        lines = [f"{target.size[0]} {target.size[1]}"]
        step = _step(classes)
        for thing in things:
            ignored = thing.class_id == classes.ignore_index
            drawn = replace(thing, crowd=True) if ignored else thing
            entry = annotation_of(drawn, target.size, number=0, image_id=0)
            if ignored:
                entry = {"segmentation": entry["segmentation"]}
            else:
                del entry["id"], entry["image_id"]
                entry["category_id"] += step
            lines.append(_json(entry))
        return Encoded({}, "\n".join(lines).encode())

    def shared(self, items: Sequence[Item], pieces: Sequence[bytes], table: Table) -> Files:
        """The annotation files."""
        told = bool(items) and all(item.split in _SPLITS for item in items)
        files: dict[str, list[tuple[Item, bytes]]] = {}
        for item, piece in zip(items, pieces, strict=True):
            name = (
                f"annotations/instances_{item.split}.json" if told else "annotations/instances.json"
            )
            files.setdefault(name, []).append((item, piece))
        head = _head(table)
        return {name: self._file(head, parts, told=told) for name, parts in files.items()}

    def _file(
        self, head: dict[str, Any], parts: Sequence[tuple[Item, bytes]], *, told: bool
    ) -> bytes:
        """One annotation file; put together as text, since its objects may be very many."""
        images: list[str] = []
        annotations: list[str] = []
        ignored: list[str] = []
        for number, (item, piece) in enumerate(parts, start=1):
            size, *entries = piece.decode().split("\n")
            height, width = map(int, size.split() or (1, 1))
            # Other tools start from the folder of the split.
            name = self.picture(item).removeprefix(f"images/{item.split}/" if told else "images/")
            image = {"id": number, "file_name": name, "width": width, "height": height}
            images.append(_json(image if told or not item.split else image | {"split": item.split}))
            for entry in entries:
                if entry.startswith('{"segmentation"'):
                    ignored.append(f'{{"image_id":{number},{entry[1:]}')
                    continue
                numbers = f'{{"id":{len(annotations) + 1},"image_id":{number},'
                annotations.append(numbers + entry[1:])
        lists = f'"images":[{",".join(images)}],"annotations":[{",".join(annotations)}]'
        if ignored:
            lists += f',"{OWN_KEY}":{{"{IGNORED_KEY}":[{",".join(ignored)}]}}'
        return f"{_json(head)[:-1]},{lists}}}\n".encode()


def _head(table: Table) -> dict[str, Any]:
    """What every annotation file of the data set has."""
    classes, number = table.classes, uncovered(table.classes)
    step = _step(classes)
    categories = [
        category_of(info) | {"id": info.id + step} for info in classes if info.id != number
    ]
    info = {}
    if number is not None and number == classes.ignore_index:
        info = {UNCOVERED_KEY: _IGNORED}
    elif number is not None and number != table.rest:
        info = {UNCOVERED_KEY: classes.find(number).name}
    return {"info": info, "categories": categories}


def _step(classes: ClassTable) -> int:
    """How far the numbers of categories are above our ids."""
    number = uncovered(classes)
    return int(any(info.id == 0 for info in classes if info.id != number))


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
