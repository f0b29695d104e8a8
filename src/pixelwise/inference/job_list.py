"""Millions of jobs in little memory."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from pixelwise.inference.remote import Place, RemotePath, is_address

__all__ = ["Job", "JobList", "repeated"]

_BLOCK = 1024


@dataclass(frozen=True)
class Job:
    """One picture, and the name of its results below the output folder, without suffix.

    Attributes:
        source: the picture.
        name: of its results.
        size: bytes of the file, 0 where it was not seen.
        stamp: changes when the file does: its time, or a number of the store's tag.
    """

    source: Place
    name: Path
    size: int = 0
    stamp: int = 0


class JobList(Sequence[Job]):
    """Jobs by their place, added at the end.

    Sources and names of 1024 jobs are packed together: neighbours in a folder share most letters,
    so that a job takes some 30 bytes, where the object takes a thousand. Going through all in
    order unpacks each block once.
    """

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._open: list[str] = []
        self._sizes = array("Q")
        self._stamps = array("Q")
        self._unpacked: tuple[int, list[str]] = (-1, [])

    @classmethod
    def of(cls, jobs: Iterable[Job]) -> JobList:
        """These jobs, taken one by one."""
        made = cls()
        for job in jobs:
            made.append(job)
        return made

    def append(self, job: Job) -> None:
        """Adds a job at the end."""
        self._open += (str(job.source), str(job.name))
        self._sizes.append(job.size)
        self._stamps.append(job.stamp)
        if len(self._open) == 2 * _BLOCK:
            self._blocks.append(_packed(self._open))
            self._open = []

    def __len__(self) -> int:
        return len(self._sizes)

    @overload
    def __getitem__(self, place: int) -> Job: ...
    @overload
    def __getitem__(self, place: slice) -> JobList: ...

    def __getitem__(self, place: int | slice) -> Job | JobList:
        chosen = range(len(self))[place]
        if isinstance(chosen, range):
            return JobList.of(self[each] for each in chosen)
        block, row = divmod(chosen, _BLOCK)
        if block == len(self._blocks):
            return self._job(chosen, self._open, row)
        if self._unpacked[0] != block:
            self._unpacked = block, _unpacked(self._blocks[block])
        return self._job(chosen, self._unpacked[1], row)

    def __iter__(self) -> Iterator[Job]:
        for number in range(len(self._blocks) + 1):
            texts = self._open if number == len(self._blocks) else _unpacked(self._blocks[number])
            for row in range(len(texts) // 2):
                yield self._job(number * _BLOCK + row, texts, row)

    @property
    def sizes(self) -> NDArray[np.uint64]:
        """Bytes of every picture, uint64 `[N]`."""
        return np.array(self._sizes, np.uint64)

    def _job(self, place: int, texts: list[str], row: int) -> Job:
        source, name = texts[2 * row : 2 * row + 2]
        return Job(
            RemotePath(source) if is_address(source) else Path(source),
            Path(name),
            self._sizes[place],
            self._stamps[place],
        )


def repeated(hashes: array[int]) -> list[list[int]]:
    """Places of equal numbers, a list for each number that occurs more than once."""
    values = np.frombuffer(hashes, np.int64)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    groups: list[list[int]] = []
    for place in same.tolist():
        if groups and groups[-1][-1] == order[place]:
            groups[-1].append(int(order[place + 1]))
        else:
            groups.append([int(order[place]), int(order[place + 1])])
    return groups


def _packed(texts: list[str]) -> bytes:
    # No path holds a zero; surrogates stand for bytes that are no text.
    return zlib.compress("\0".join(texts).encode("utf-8", "surrogatepass"), 1)


def _unpacked(block: bytes) -> list[str]:
    return zlib.decompress(block).decode("utf-8", "surrogatepass").split("\0")
