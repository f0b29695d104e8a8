"""Pascal VOC: `JPEGImages/`, `SegmentationClass/`, `SegmentationObject/`, lists in `ImageSets/`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.convert.base import (
    Encoded,
    Files,
    Form,
    Item,
    Table,
    list_file,
    most_objects,
    single,
)
from pixelwise.data.layouts.object_files import VOID
from pixelwise.data.targets import InstanceTarget, MaskTarget
from pixelwise.formats.masks import encode_mask

__all__ = ["VocForm"]

_BORDER = (224, 224, 192)


class VocForm(Form):
    """Masks are indexed PNG, and ignored pixels 255 in them, whatever id the table has for them.

    Objects are numbered 1 … 254 in indexed PNG, 255 where no object is known; where a picture has
    more of them, in 16-bit PNG, without a number for what is not known.
    """

    def table_losses(self, classes: ClassTable, splits: Sequence[str]) -> list[str]:
        """See `Form.table_losses`."""
        del splits
        if classes.ids[-1] < VOID:
            return []
        high = sum(number >= VOID for number in classes.ids)
        return [
            f"{high} of the {len(classes)} classes have ids above 254 (up to {classes.ids[-1]}): "
            "masks have 8 bits, and 255 is void; give the classes ids of 0 … 254"
        ]

    def losses(self, target: MaskTarget, classes: ClassTable) -> list[str]:
        """See `Form.losses`."""
        plain, losses = single(target, classes)
        return losses if plain is None else most_objects(plain)

    def picture(self, item: Item) -> str:
        """See `Form.picture`."""
        return f"JPEGImages/{item.name}{item.suffix}"

    def paths(self, item: Item) -> list[str]:
        """See `Form.paths`."""
        return [f"SegmentationClass/{item.name}.png", f"SegmentationObject/{item.name}.png"]

    def encode(self, item: Item, target: MaskTarget, classes: ClassTable) -> Encoded:
        """See `Form.encode`."""
        plain, _ = single(target, classes)
        if plain is None:
            return Encoded({})
        void = np.zeros(plain.size, np.bool_)
        if classes.ignore_index is not None:
            void = plain.mask == classes.ignore_index
        mask = np.where(void, VOID, plain.mask).astype(np.uint8)
        palette = classes.palette[:256].copy()
        if VOID not in classes:
            palette[VOID] = classes.ignore_colours[0] if classes.ignore_colours else _BORDER
        masks, objects = self.paths(item)
        files = {masks: encode_mask(mask, palette=palette)}
        if isinstance(plain, InstanceTarget):
            files[objects] = _objects(plain, void)
        return Encoded(files)

    def shared(self, items: Sequence[Item], pieces: Sequence[bytes], table: Table) -> Files:
        """A list of names for each split, and of train and val together.

        Without splits `trainval` has all names, since other tools need a list. Where that is a
        split of the data set, an empty list beside it says so.
        """
        del pieces, table
        names: dict[str, list[str]] = {}
        for item in items:
            if item.split:
                names.setdefault(item.split, []).append(item.name)
        if {"train", "val"} <= set(names) and "trainval" not in names:
            names["trainval"] = sorted(names["train"] + names["val"])
        elif not names:
            names["trainval"] = [item.name for item in items]
        elif len(names.get("trainval", ())) == len(items):
            names["val"] = []
        return {f"ImageSets/Segmentation/{split}.txt": list_file(n) for split, n in names.items()}


def _objects(target: InstanceTarget, void: NDArray[np.bool_]) -> bytes:
    numbers, places = np.unique(target.instances, return_inverse=True)
    if len(numbers) + (numbers[0] > 0) > VOID:
        return encode_mask(target.instances.astype(np.uint16))
    counted: NDArray[Any] = places.reshape(target.size) + (1 if numbers[0] > 0 else 0)
    stored = np.where(void & (target.instances == 0), VOID, counted)
    return encode_mask(stored.astype(np.uint8), palette=_bit_palette())


def _bit_palette() -> NDArray[np.uint8]:
    """VOC's own colours: the bits of a number dealt to red, green and blue, highest first."""
    numbers = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for place in range(8):
        for channel in range(3):
            palette[:, channel] |= ((numbers >> (3 * place + channel) & 1) << (7 - place)).astype(
                np.uint8
            )
    return palette
