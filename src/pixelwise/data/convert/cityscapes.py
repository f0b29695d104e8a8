"""Cityscapes: `leftImg8bit/{split}/{city}/`, `gtFine/{split}/{city}/`."""

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
    Single,
    Table,
    bare_pixels,
    single,
    smallest,
)
from pixelwise.data.layouts.cityscapes import NO_SPLIT, OBJECT_STEP
from pixelwise.data.layouts.cityscapes_labels import are_official, official_ids
from pixelwise.data.targets import InstanceTarget, MaskTarget
from pixelwise.formats.masks import encode_mask, encode_rgb

__all__ = ["CityscapesForm"]

_HIGHEST = 65_535
_NO_LABEL = 255


class CityscapesForm(Form):
    """`_labelIds`, `_instanceIds` for samples with objects, and `_color` to look at.

    The numbers are Cityscapes' own where all classes are labels of it, by their names; else they
    are the ids of the table.
    """

    def table_losses(self, classes: ClassTable, splits: Sequence[str]) -> list[str]:
        """See `Form.table_losses`."""
        del classes
        if NO_SPLIT not in splits:
            return []
        return [f"a split named {NO_SPLIT!r}: that folder stands for no split; rename it"]

    def losses(self, target: MaskTarget, classes: ClassTable) -> list[str]:
        """See `Form.losses`."""
        plain, losses = single(target, classes)
        if not isinstance(plain, InstanceTarget):
            return losses
        losses += bare_pixels(plain, classes)
        labels = _labels(plain, classes)
        single_pixels = plain.instances > 0
        owners = np.unique(labels[single_pixels])
        if (labels[~single_pixels] >= OBJECT_STEP).any():
            losses.append("ids of 1,000 and more beside objects (voc and folder keep them)")
        if (owners == 0).any():
            losses.append(
                "objects of a class of id 0 (give it another id; the other formats keep it)"
            )
        pairs = np.unique(
            labels[single_pixels].astype(np.int64) << 32 | plain.instances[single_pixels]
        )
        counts = np.bincount(pairs >> 32) if len(pairs) else np.zeros(1, np.int64)
        if counts.max() > OBJECT_STEP:
            losses.append("more than 1,000 objects of one class in a picture (folder keeps them)")
        numbers = np.flatnonzero(counts)
        if (numbers * OBJECT_STEP + counts[numbers] - 1 > _HIGHEST).any():
            losses.append(
                "objects of classes with ids above 65, as 1000 × id must fit into 16 bits "
                "(give the class another id; the other formats keep it)"
            )
        return losses

    def picture(self, item: Item) -> str:
        """See `Form.picture`."""
        return f"leftImg8bit/{_place(item)}_leftImg8bit{item.suffix}"

    def paths(self, item: Item) -> list[str]:
        """See `Form.paths`."""
        forms = ("labelIds", "color", "instanceIds")
        return [f"gtFine/{_place(item)}_gtFine_{form}.png" for form in forms]

    def encode(self, item: Item, target: MaskTarget, classes: ClassTable) -> Encoded:
        """See `Form.encode`."""
        plain, _ = single(target, classes)
        if plain is None:
            return Encoded({})
        labels = _labels(plain, classes)
        label_file, colour_file, object_file = self.paths(item)
        files = {
            label_file: encode_mask(labels),
            colour_file: encode_rgb(_colours(classes)[plain.mask]),
        }
        if isinstance(plain, InstanceTarget):
            files[object_file] = encode_mask(_objects(plain, labels))
        return Encoded(files)

    def shared(self, items: Sequence[Item], pieces: Sequence[bytes], table: Table) -> Files:
        """None: folders tell everything."""
        del items, pieces, table
        return {}


def _place(item: Item) -> str:
    return f"{item.split or NO_SPLIT}/{item.folder or 'all'}/{item.name}"


def _labels(target: Single, classes: ClassTable) -> NDArray[Any]:
    """The numbers of `_labelIds`, uint8 or uint16 `[H, W]`."""
    if not are_official(classes):
        return smallest(target.mask, classes)
    numbers = official_ids(classes)
    lookup = np.full(1 << 16, _NO_LABEL if "unlabeled" in classes else 0, np.uint8)
    lookup[list(numbers)] = list(numbers.values())
    labels: NDArray[Any] = lookup[target.mask]
    return labels


def _colours(classes: ClassTable) -> NDArray[np.uint8]:
    """A colour for each id; black for what is ignored and has none."""
    highest = max(classes.ids[-1], classes.ignore_index or 0)
    palette = np.zeros((max(highest + 1, 256), 3), np.uint8)
    palette[: len(classes.palette)] = classes.palette
    if classes.ignore_colours and classes.ignore_index is not None:
        palette[classes.ignore_index] = classes.ignore_colours[0]
    return palette


def _objects(target: InstanceTarget, labels: NDArray[Any]) -> NDArray[np.uint16]:
    """The numbers of `_instanceIds`: objects are counted from 0 in each class."""
    inside = target.instances > 0
    codes = labels[inside].astype(np.int64) << 32 | target.instances[inside]
    pairs, places = np.unique(codes, return_inverse=True)
    owners = pairs >> 32
    ranks = np.arange(len(pairs)) - np.searchsorted(owners, owners)
    stored = labels.astype(np.uint16)
    stored[inside] = (owners * OBJECT_STEP + ranks)[places].astype(np.uint16)
    return stored
