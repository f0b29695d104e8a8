"""Many texts, such as the paths of all files of a data set, in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import overload

__all__ = ["Texts"]

_BLOCK = 1024


class Texts(Sequence[str]):
    """Texts by their place, in 5 bytes more each than their letters take; a `str` takes 49 more.

    They are added at the end, and stay as they are.
    """

    def __init__(self) -> None:
        # Blocks of one size leave no gaps in memory, as one array would that grows.
        self._blocks: list[tuple[bytearray, array[int]]] = []
        self._count = 0

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """These texts, taken one by one."""
        made = cls()
        for text in texts:
            made.append(text)
        return made

    def append(self, text: str) -> None:
        """Adds a text at the end; surrogates, as of file names that are no UTF-8, are kept."""
        if self._count % _BLOCK == 0:
            self._blocks.append((bytearray(), array("I", [0])))
        letters, ends = self._blocks[-1]
        letters += text.encode("utf-8", "surrogatepass")
        ends.append(len(letters))
        self._count += 1

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Texts: ...

    def __getitem__(self, place: int | slice) -> str | Texts:
        chosen = range(self._count)[place]
        if isinstance(chosen, range):
            return Texts.of(self[each] for each in chosen)
        letters, ends = self._blocks[chosen // _BLOCK]
        row = chosen % _BLOCK
        return letters[ends[row] : ends[row + 1]].decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        for letters, ends in self._blocks:
            for begin, end in pairwise(ends):
                yield letters[begin:end].decode("utf-8", "surrogatepass")
