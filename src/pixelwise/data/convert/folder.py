"""Folders: `images/{split}/`, `masks/{split}/`, `instances/{split}/`, and a list for each split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
    smallest,
)
from pixelwise.data.layouts.names import split_of
from pixelwise.data.targets import InstanceTarget, MaskTarget
from pixelwise.formats.masks import encode_mask

__all__ = ["FolderForm"]


class FolderForm(Form):
    """Masks are indexed PNG of the table's ids, of 16 bits where ids need them.

    Numbers of objects are 16-bit PNG of the same names, for samples that have any.
    """

    def table_losses(self, classes: ClassTable, splits: Sequence[str]) -> list[str]:
        """See `Form.table_losses`."""
        del classes, splits
        return []

    def losses(self, target: MaskTarget, classes: ClassTable) -> list[str]:
        """See `Form.losses`."""
        plain, losses = single(target, classes)
        return losses if plain is None else most_objects(plain)

    def picture(self, item: Item) -> str:
        """See `Form.picture`."""
        return f"images/{_place(item)}{item.suffix}"

    def paths(self, item: Item) -> list[str]:
        """See `Form.paths`."""
        return [f"masks/{_place(item)}.png", f"instances/{_place(item)}.png"]

    def encode(self, item: Item, target: MaskTarget, classes: ClassTable) -> Encoded:
        """See `Form.encode`."""
        plain, _ = single(target, classes)
        if plain is None:
            return Encoded({})
        mask = smallest(plain.mask, classes)
        masks, instances = self.paths(item)
        files = {masks: encode_mask(mask, palette=classes.palette[:256])}
        if isinstance(plain, InstanceTarget):
            files[instances] = encode_mask(plain.instances.astype(np.uint16))
        return Encoded(files)

    def shared(self, items: Sequence[Item], pieces: Sequence[bytes], table: Table) -> Files:
        """A list for each split, of the pictures and their masks."""
        del pieces, table
        lines: dict[str, list[str]] = {}
        for item in items:
            if item.split:
                line = f"{self.picture(item)} {self.paths(item)[0]}"
                lines.setdefault(item.split, []).append(line)
        return {f"{split}.txt": list_file(names) for split, names in lines.items()}


def _place(item: Item) -> str:
    # Other splits are told by their lists alone: their names might mean something as a folder's.
    known = item.split and split_of(item.split) == item.split
    return f"{item.split}/{item.name}" if known else item.name
