"""The entries of a large data set in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from operator import eq
from typing import overload

from pixelwise.data.dataset import Entry
from pixelwise.data.texts import Texts

__all__ = ["Entries"]


class Entries(Sequence[Entry]):
    """Entries by their place, each made when it is asked for.

    They take some 20 bytes each and the letters of their paths; a tuple of `Entry` takes 170.

    Args:
        images: `Entry.image` of each.
        truths: `Entry.truth` of each.
        splits: `Entry.split` of each.
        rows: `Entry.row` of each.
    """

    def __init__(
        self, images: Texts, truths: Texts, splits: Iterable[str], rows: Iterable[int]
    ) -> None:
        numbers: dict[str, int] = {}
        self._images = images
        self._truths = truths
        self._splits = array("i", (numbers.setdefault(split, len(numbers)) for split in splits))
        self._rows = array("i", rows)
        self._names = tuple(numbers)

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Entries:
        """These entries, taken one by one."""
        images, truths = Texts(), Texts()
        splits: list[str] = []
        rows = array("i")
        for entry in entries:
            images.append(entry.image)
            truths.append(entry.truth)
            splits.append(entry.split)
            rows.append(entry.row)
        return cls(images, truths, splits, rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> Entries: ...

    def __getitem__(self, place: int | slice) -> Entry | Entries:
        chosen = range(len(self))[place]
        if isinstance(chosen, range):
            # All of them, as of a check that saw them all, are these.
            whole = chosen == range(len(self))
            return self if whole else Entries.of(self[each] for each in chosen)
        split = self._names[self._splits[chosen]]
        return Entry(self._images[chosen], self._truths[chosen], split, self._rows[chosen])

    def __iter__(self) -> Iterator[Entry]:
        names = self._names
        for image, truth, split, row in zip(
            self._images, self._truths, self._splits, self._rows, strict=True
        ):
            yield Entry(image, truth, names[split], row)

    # As of a list: finding the hash would take as long as making all entries.
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """Equal entries in the same order, in whatever sequence."""
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))
