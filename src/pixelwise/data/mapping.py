"""Data sets under other class tables: ids mapped by name, and what a set's labels leave open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Dataset, Entry, Truth
from pixelwise.data.nearness import near
from pixelwise.data.targets import (
    InstanceTarget,
    MaskTarget,
    MultiClassTarget,
    MultiLabelTarget,
)

__all__ = ["Around", "candidates", "mapped", "relabelled"]


@dataclass(frozen=True)
class Around:
    """What pixels near an object cannot be, though their label alone leaves it open.

    Attributes:
        pixels: how near: the larger of the distances along rows and columns.
        objects: ids, after the lookup, of the pixels that surely belong to such an object.
        instead: ids, after the lookup, to the ids that they become near one.
    """

    pixels: int
    objects: tuple[int, ...]
    instead: Mapping[int, int]

    def apply(self, mask: NDArray[Any]) -> NDArray[Any]:
        """The mask `[H, W]` with the ids near objects changed."""
        close = near(np.isin(mask, self.objects), self.pixels)
        changed = mask.copy()
        for number, new in self.instead.items():
            changed[close & (mask == number)] = new
        return changed


@dataclass(frozen=True)
class _MappedTruth:
    truth: Truth
    own: ClassTable
    lookup: NDArray[np.uint16]
    around: Around | None = None

    def read(
        self, root: Path, entry: Entry, classes: ClassTable, size: tuple[int, int]
    ) -> MaskTarget:
        target = self.truth.read(root, entry, self.own, size)
        if isinstance(target, MultiLabelTarget):
            return self._layers(target, classes)
        mask = self.lookup[target.mask].astype(_kind(classes))
        if self.around is not None:
            mask = self.around.apply(mask)
        if isinstance(target, InstanceTarget):
            counted = mask != classes.ignore_index
            return InstanceTarget(mask, np.where(counted, target.instances, np.int32(0)))
        return MultiClassTarget(mask)

    def _layers(self, target: MultiLabelTarget, classes: ClassTable) -> MultiLabelTarget:
        layers = np.zeros((len(classes), *target.size), np.bool_)
        for place, number in enumerate(self.own.ids):
            if self.lookup[number] in classes:
                layers[classes.index(int(self.lookup[number]))] |= target.layers[place]
        return MultiLabelTarget(layers, target.ignore)


def mapped(
    dataset: Dataset, classes: ClassTable, mapping: Mapping[str, str | None] | None = None
) -> Dataset:
    """The data set with its classes replaced by those of another table, by name.

    Args:
        dataset: any; its files stay as they are.
        classes: the table wanted.
        mapping: own names to names of `classes`, or to None for "ignored", where the names
            themselves do not tell: `{"door": "building"}`; see `ClassTable.map_to`.

    Raises:
        ClassTableError: lists every class that cannot be mapped.
    """
    return relabelled(dataset, classes, dataset.classes.map_to(classes, mapping))


def relabelled(
    dataset: Dataset,
    classes: ClassTable,
    lookup: NDArray[np.uint16],
    *,
    around: Around | None = None,
) -> Dataset:
    """The data set with other ids.

    Args:
        dataset: any; its files stay as they are.
        classes: what the new ids mean.
        lookup: uint16 `[N]`: the new id of each id of the data set and its ignored id, 256 at
            least; as `ClassTable.map_to` gives it.
        around: a second look, at pixels near objects; not for several classes per pixel.
    """
    rest = None
    if dataset.rest is not None and int(lookup[dataset.rest]) in classes:
        rest = int(lookup[dataset.rest])
    return replace(
        dataset,
        classes=classes,
        truth=_MappedTruth(dataset.truth, dataset.classes, lookup, around),
        rest=rest,
    )


def candidates(
    dataset: Dataset, classes: ClassTable, mapping: Mapping[str, str | None] | None = None
) -> NDArray[np.bool_]:
    """Which classes of a larger table a pixel of each id of the data set may be.

    A data set that labels people and bags alone says of its other pixels only that they are
    neither. `dataset.rest` is the id of such pixels: they may be every class that none of the
    data set's own classes stands for.

    Args:
        dataset: any.
        classes: the table of all data sets together; see `ClassTable.merge`.
        mapping: as in `mapped`.

    Returns:
        bool `[N, C]`: a row for each id of the data set and its ignored id, 256 at least; a column
        for each class. One entry in the row of a class that is mapped; several in the row of
        `rest`; none in the row of what is not counted.

    Raises:
        ClassTableError: lists every class that cannot be mapped.
    """
    rest = None if dataset.rest is None else dataset.classes.find(dataset.rest)
    # The rest is no class to be mapped, even where the other table has one of its name.
    open_ended = replace(classes, ignore_index=65_535)
    lookup = dataset.classes.map_to(
        open_ended, {**(mapping or {}), **({rest.name: None} if rest else {})}
    )
    rows = np.zeros((len(lookup), len(classes)), np.bool_)
    for number in dataset.classes.ids:
        if int(lookup[number]) in classes:
            rows[number, classes.index(int(lookup[number]))] = True
    if rest is not None:
        rows[rest.id] = ~rows.any(axis=0)
    return rows


def _kind(classes: ClassTable) -> type[Any]:
    highest = max(classes.ids[-1], classes.ignore_index or 0)
    return np.uint8 if highest < 256 else np.uint16
