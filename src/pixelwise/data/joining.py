"""Several data sets in one: their samples one after the other, each read as its own set has it."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Dataset, Entry, Truth
from pixelwise.data.entries import Entries
from pixelwise.data.targets import MaskTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.errors import DatasetError, UsageError

__all__ = ["JoinedTruth", "Part", "joined"]


@dataclass(frozen=True)
class Part:
    """One of the sets.

    Attributes:
        folder: its root, from the root of all, with a "/" at its end; "" where that is the same.
        first: the rows of its entries are its own plus this.
        truth: reads its targets.
    """

    folder: str
    first: int
    truth: Truth

    def inner(self, entry: Entry) -> Entry:
        """The entry as its own set has it."""
        return Entry(
            entry.image.removeprefix(self.folder),
            entry.truth.removeprefix(self.folder),
            entry.split,
            entry.row - self.first,
        )

    def outer(self, entry: Entry) -> Entry:
        """An entry of the set as one of all."""
        return Entry(
            self.folder + entry.image,
            self.folder + entry.truth if entry.truth else "",
            entry.split,
            entry.row + self.first,
        )


@dataclass(frozen=True)
class JoinedTruth:
    """Asks the set that an entry is of; `Entry.row` tells which.

    Attributes:
        parts: in the order of their rows.
    """

    parts: tuple[Part, ...]

    def part(self, entry: Entry) -> Part:
        """The set of an entry."""
        return self.parts[bisect_right(self.parts, entry.row + 1, key=lambda p: p.first) - 1]

    def read(
        self, root: Path, entry: Entry, classes: ClassTable, size: tuple[int, int]
    ) -> MaskTarget:
        """One class per pixel, whatever else the set knows; see `Truth.read`."""
        part = self.part(entry)
        target = part.truth.read(root / part.folder, part.inner(entry), classes, size)
        if isinstance(target, MultiLabelTarget):
            raise UsageError(
                "a set of several classes per pixel cannot be joined with others",
                where=str(root / entry.image),
                fix="open it with kind='multi_class'",
            )
        return MultiClassTarget(target.mask)


def joined(datasets: Sequence[Dataset]) -> Dataset:
    """One data set of the samples of all, in their order, of one class per pixel.

    Names, pictures and truths are paths from the folder that holds all of them.

    Args:
        datasets: with equal class tables; see `pixelwise.data.mapped`.

    Raises:
        DatasetError: there are none, their class tables differ, or no folder holds them all.
    """
    _check(datasets)
    roots = [os.path.abspath(dataset.root) for dataset in datasets]  # noqa: PTH100 - not resolved
    root = Path(_common(roots))
    spans = [max((entry.row for entry in each.entries), default=-1) + 2 for each in datasets]
    # Rows begin at -1: a set's own -1 becomes the first of its rows here.
    firsts = accumulate(spans[:-1], initial=1)
    parts = tuple(
        Part(_folder(root, own), first, dataset.truth)
        for own, first, dataset in zip(roots, firsts, datasets, strict=True)
    )
    return replace(
        datasets[0],
        root=root,
        layout=" + ".join(dict.fromkeys(dataset.layout for dataset in datasets)),
        entries=Entries.of(_entries(parts, datasets)),
        truth=JoinedTruth(parts),
        faults=tuple(
            replace(fault, file=part.folder + fault.file)
            for part, dataset in zip(parts, datasets, strict=True)
            for fault in dataset.faults
        ),
        notes=tuple(
            f"{dataset.root.name}: {note}" for dataset in datasets for note in dataset.notes
        ),
        sureness=min(dataset.sureness for dataset in datasets),
        rest=None,
    )


def _entries(parts: Sequence[Part], datasets: Sequence[Dataset]) -> Iterator[Entry]:
    for part, dataset in zip(parts, datasets, strict=True):
        yield from map(part.outer, dataset.entries)


def _folder(root: Path, own: str) -> str:
    folder = Path(own).relative_to(root).as_posix()
    return "" if folder == "." else f"{folder}/"


def _common(roots: Sequence[str]) -> str:
    try:
        return os.path.commonpath(roots)
    except ValueError:
        raise DatasetError(
            "the data sets lie on different drives",
            where=", ".join(roots),
            fix="bring them to one drive, or link them into one folder",
        ) from None


def _check(datasets: Sequence[Dataset]) -> None:
    if not datasets:
        raise DatasetError("there are no data sets to join", fix="give one at least")
    others = [each for each in datasets if each.classes != datasets[0].classes]
    if others:
        raise DatasetError(
            "the data sets to join have different classes",
            where=", ".join(str(dataset.root) for dataset in datasets),
            got="; ".join(", ".join(each.classes.names[:8]) for each in (datasets[0], *others)),
            fix="bring them under one class table with pixelwise.data.mapped first",
        )
