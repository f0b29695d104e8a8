"""The index of a folder of results: one file in it, which follows its changes.

The file is a row of blocks after eight bytes that name the version; a block is three sections
(`Files`, `Facts`, `Places`), each with length and checksum, on a range of paths. A block whose
files are as they were is copied as it is, and any other is made anew from what is still true in it
and from the headers of new and changed files. So is what is damaged: a search is as right without
an index as with one. A block says nothing of how classes share a pixel, so counts may overlap.
"""

from __future__ import annotations

import bisect
import os
import stat
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, TypeVar

from pixelwise.errors import UsageError
from pixelwise.formats.files import sweep_leftovers, write_atomic
from pixelwise.inference.jobs import RESULT_FOLDERS
from pixelwise.searching.blocks import (
    DamagedError,
    Facts,
    Files,
    Places,
    block_of,
    check_sections,
    entries_of,
    pack,
    read_head,
    unpack,
)
from pixelwise.searching.entries import SUFFIXES, UNSETTLED, Entry, read_entry

__all__ = ["INDEX_NAME", "Update", "find_files", "read_index", "update_index"]

INDEX_NAME = ".pixelwise-search"
_MAGIC = b"pwsearc\x01"
_Kind = TypeVar("_Kind", Files, Facts, Places)
# What files that are damaged or made to break readers raise on their way through.
_DAMAGE = (
    DamagedError,
    LookupError,
    OSError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_BLOCK = 4096
# Clocks of file systems are as coarse as two seconds (FAT).
_SETTLING = 2_000_000_000
_ANSWERS = frozenset({"labels", "masks"})
_BESIDE_ANSWERS = frozenset(RESULT_FOLDERS) - _ANSWERS | {"summary"}


@dataclass(frozen=True)
class Update:
    """What became of an index.

    Attributes:
        read: files whose headers were read.
        written: whether the file is a new one.
    """

    read: int
    written: bool


@dataclass(frozen=True)
class _Piece:
    """A block to be: the files from `first` up to before `last`.

    `start` and `end` say where the old block of this range lies, if there is one; `same` that all
    of it is still true.
    """

    first: int
    last: int
    start: int = 0
    end: int = 0
    same: bool = False


def find_files(folder: Path) -> list[str]:
    """Paths below a folder, relative to it, of all files that could be label maps, in order.

    Hidden files and folders are left out, and beside a folder `labels` the other results. Links to
    folders are not followed.

    Raises:
        UsageError: the folder is not there, or cannot be listed.
    """
    found: list[str] = []

    def tell(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise UsageError(
                "the folder of results cannot be listed",
                where=str(folder),
                got=error.strerror or str(error),
                fix="give the folder that predict wrote with -o",
            ) from error

    for parent, inner, names in os.walk(folder, onerror=tell):
        beside = frozenset() if _ANSWERS.isdisjoint(inner) else _BESIDE_ANSWERS
        inner[:] = [name for name in inner if name[0] != "." and name not in beside]
        prefix = Path(parent).relative_to(folder).as_posix()
        prefix = "" if prefix == "." else f"{prefix}/"
        found += [
            prefix + name
            for name in names
            if name[0] != "." and os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122
        ]
    found.sort()
    return found


def update_index(
    folder: Path,
    paths: Sequence[str],
    index: Path,
    *,
    anew: bool = False,
    progress: Callable[[int], object] = lambda _: None,
) -> Update:
    """Makes the index true for the files as they are now; nothing is written where it is.

    Args:
        folder: that the paths are relative to.
        paths: from `find_files`.
        index: the file.
        anew: read every file, whatever the index says.
        progress: is told of every file once.

    Raises:
        OutputError: the index cannot be written; the old one is as it was.
    """
    pieces = [] if anew else _pieces(folder, paths, index)
    covered = pieces[-1].last if pieces else 0
    if covered < len(paths):
        pieces.append(_Piece(covered, len(paths)))
    if not anew and index.is_file() and all(piece.same for piece in pieces):
        progress(len(paths))
        return Update(0, written=False)
    sweep_leftovers(index.parent)
    writer = _Writer(folder, paths, index, progress)
    write_atomic(index, writer.blocks(part for piece in pieces for part in _cut(piece)))
    return Update(writer.read, written=True)


def read_index(index: Path, *, places: bool) -> Iterator[tuple[Files, Facts, Places | None]]:
    """The blocks of an index, one after the other.

    Args:
        index: the file.
        places: whether they are wanted; else None is given for them.

    Raises:
        DamagedError: the file is none, or damaged; what was given before is no answer.
    """
    try:
        with index.open("rb") as file:
            _check_magic(file)
            while (files := _section(Files, file)) is not None:
                facts = _section(Facts, file)
                where = None
                if places:
                    where = _section(Places, file)
                else:
                    _pass_over(file)
                if facts is None or (places and where is None):
                    raise DamagedError
                check_sections(files, facts, where)
                yield files, facts, where
    except _DAMAGE as error:
        raise DamagedError from error


class _Writer:
    """Gives the bytes of a new index."""

    def __init__(
        self,
        folder: Path,
        paths: Sequence[str],
        index: Path,
        progress: Callable[[int], object],
    ) -> None:
        self.read = 0
        self._folder = folder
        self._paths = paths
        self._index = index
        self._progress = progress

    def blocks(self, pieces: Iterable[_Piece]) -> Iterator[bytes]:
        yield _MAGIC
        for piece in pieces:
            if piece.same:
                with self._index.open("rb") as file:
                    file.seek(piece.start)
                    yield file.read(piece.end - piece.start)
            else:
                yield b"".join([pack(part) for part in block_of(list(self._entries(piece)))])
            self._progress(piece.last - piece.first)

    def _entries(self, piece: _Piece) -> Iterator[Entry]:
        old = self._old(piece)
        for path in self._paths[piece.first : piece.last]:
            length, changed = _state(self._folder, path)
            entry = old.get(path)
            if (
                entry is None
                or UNSETTLED in {changed, entry.changed}
                or (entry.length, entry.changed) != (length, changed)
            ):
                self.read += 1
                entry = read_entry(self._folder, path, length, changed)
            yield entry

    def _old(self, piece: _Piece) -> dict[str, Entry]:
        if piece.end == 0:
            return {}
        try:
            with self._index.open("rb") as file:
                file.seek(piece.start)
                files, facts = _section(Files, file), _section(Facts, file)
                places = _section(Places, file)
                if files is None or facts is None or places is None:
                    raise DamagedError
                check_sections(files, facts, places)
                return entries_of(files, facts, places)
        except _DAMAGE:
            return {}


def _pieces(folder: Path, paths: Sequence[str], index: Path) -> list[_Piece]:
    """What the blocks of the old index become; files after the last are in none."""
    pieces: list[_Piece] = []
    first = 0
    for start, end, files in _old_blocks(index):
        last = bisect.bisect_right(paths, files.paths[-1], first)
        same = list(paths[first:last]) == files.paths and _unchanged(folder, files)
        pieces.append(_Piece(first, last, start, end, same))
        first = last
    if pieces and first < len(paths) and pieces[-1].last - pieces[-1].first < _BLOCK:
        pieces[-1] = replace(pieces[-1], last=len(paths), same=False)
    return pieces


def _cut(piece: _Piece) -> Iterator[_Piece]:
    """Pieces of one block each; none where no file is left."""
    if piece.same or 0 < piece.last - piece.first <= 2 * _BLOCK:
        yield piece
        return
    for first in range(piece.first, piece.last, _BLOCK):
        yield replace(piece, first=first, last=min(first + _BLOCK, piece.last))


def _old_blocks(index: Path) -> Iterator[tuple[int, int, Files]]:
    """Where each block lies, and its files, up to the first that cannot be read."""
    try:
        with index.open("rb") as file:
            _check_magic(file)
            start = file.tell()
            while (files := _section(Files, file)) is not None and files.paths:
                _pass_over(file)
                _pass_over(file)
                yield start, file.tell(), files
                start = file.tell()
    except _DAMAGE:
        return


def _check_magic(file: BinaryIO) -> None:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise DamagedError


def _section(kind: type[_Kind], file: BinaryIO) -> _Kind | None:
    """The section that follows; None at the end of the file."""
    head = read_head(file)
    return None if head is None else unpack(kind, file.read(head[0]), head[1])


def _pass_over(file: BinaryIO) -> None:
    head = read_head(file)
    if head is None:
        raise DamagedError
    file.seek(head[0], os.SEEK_CUR)


def _unchanged(folder: Path, files: Files) -> bool:
    return all(
        changed != UNSETTLED and (length, changed) == _state(folder, path)
        for path, length, changed in zip(
            files.paths, files.length.tolist(), files.changed.tolist(), strict=True
        )
    )


def _state(folder: Path, path: str) -> tuple[int, int]:
    """Length of a file, and when it was changed; `UNSETTLED` where that is not sure to tell."""
    try:
        found = os.stat(f"{folder}/{path}")  # noqa: PTH116 - a million of them
    except OSError:
        return 0, UNSETTLED
    # A pipe with the name of a picture would wait for ever.
    if not stat.S_ISREG(found.st_mode) or found.st_mtime_ns > time.time_ns() - _SETTLING:
        return found.st_size, UNSETTLED
    return found.st_size, found.st_mtime_ns
