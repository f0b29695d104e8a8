"""Some thousand entries in arrays, and these as checked bytes."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence, Sized
from dataclasses import dataclass, fields
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from pixelwise.presence import CELLS
from pixelwise.searching.entries import PART, Entry

__all__ = [
    "DamagedError",
    "Facts",
    "Files",
    "Places",
    "block_of",
    "check_sections",
    "entries_of",
    "pack",
    "read_head",
    "unpack",
]

_HEAD = struct.Struct("<II")
_COUNT = struct.Struct("<I")
_TYPES = {
    "kind": np.dtype(np.uint8),
    "placed": np.dtype(np.bool_),
    "mask": np.dtype(np.uint64),
}

# Of arrays as `pack` writes them: whole numbers and truth values alone.
_STORED = frozenset(np.dtype(code).str for code in "?bBhHiIqQ")
# A thousand times what a block of ordinary pictures takes; a few bytes of a file may claim more.
_LARGEST = 1 << 29

_Section = TypeVar("_Section", "Files", "Facts", "Places")


class DamagedError(Exception):
    """The bytes are not those that were written."""


@dataclass(frozen=True, eq=False)
class Files:
    """Which files the entries are of; all that is needed to see that nothing changed.

    Attributes:
        paths: in rising order.
        length: int64 `[n]`.
        changed: int64 `[n]`.
    """

    paths: list[str]
    length: NDArray[np.int64]
    changed: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Facts:
    """What the files say: m classes occur in n files, those of one side by side.

    Attributes:
        kind: uint8 `[n]`.
        sources: n names of pictures.
        size: int64 `[n, 2]`.
        names: of all classes that these files could show.
        tables: places in `names` of the classes that a file could show, each list once, as JSON.
        table: int64 `[n]`, which of these lists a file has.
        count: int64 `[n]`, how many occur in each file.
        name: int64 `[m]`, place in `names`.
        pixels: int64 `[m]`.
        placed: bool `[n]`, whether places are known.
    """

    kind: NDArray[np.uint8]
    sources: list[str]
    size: NDArray[np.int64]
    names: list[str]
    tables: list[str]
    table: NDArray[np.int64]
    count: NDArray[np.int64]
    name: NDArray[np.int64]
    pixels: NDArray[np.int64]
    placed: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Places:
    """Where classes are.

    Attributes:
        mask: uint64 `[m]`, a bit for each of the 64 cells in which the class occurs.
        counts: int64 `[k]`, its pixels in these cells, of all classes side by side.
    """

    mask: NDArray[np.uint64]
    counts: NDArray[np.int64]

    def cells(self) -> NDArray[np.int64]:
        """int64 `[m, 64]`."""
        there = self.there()
        found = np.zeros(there.size, np.int64)
        found[there] = self.counts
        return found.reshape(-1, CELLS)

    def there(self) -> NDArray[np.bool_]:
        """In which cells each class occurs, bool `[64 · m]`."""
        return np.unpackbits(self.mask.view(np.uint8), bitorder="little").view(np.bool_)


def block_of(entries: Sequence[Entry]) -> tuple[Files, Facts, Places]:
    """The arrays of entries."""
    used = {name for entry in entries for name in (*entry.known, *entry.names)}
    names = sorted(used)
    place = {name: number for number, name in enumerate(names)}
    told = [json.dumps([place[name] for name in entry.known]) for entry in entries]
    tables = {table: number for number, table in enumerate(dict.fromkeys(told))}
    nothing = np.zeros(0, np.int64)
    no_cells = np.zeros((0, CELLS), np.int64)
    cells = np.concatenate(
        [
            no_cells,
            *(
                np.zeros((len(entry.names), CELLS), np.int64)
                if entry.cells is None
                else entry.cells
                for entry in entries
            ),
        ]
    )
    files = Files(
        [entry.path for entry in entries],
        np.array([entry.length for entry in entries], np.int64),
        np.array([entry.changed for entry in entries], np.int64),
    )
    facts = Facts(
        kind=np.array([entry.kind for entry in entries], np.uint8),
        sources=[entry.source for entry in entries],
        size=np.array([entry.size for entry in entries], np.int64).reshape(-1, 2),
        names=names,
        tables=list(tables),
        table=np.array([tables[table] for table in told], np.int64),
        count=np.array([len(entry.names) for entry in entries], np.int64),
        name=np.array([place[name] for entry in entries for name in entry.names], np.int64),
        pixels=np.concatenate(
            [nothing, *(entry.pixels for entry in entries if entry.pixels is not None)]
        ),
        placed=np.array([entry.cells is not None for entry in entries], np.bool_),
    )
    there = cells > 0
    mask = np.packbits(there, axis=1, bitorder="little").view("<u8").reshape(-1)
    return files, facts, Places(mask.astype(np.uint64), cells[there])


def entries_of(files: Files, facts: Facts, places: Places) -> dict[str, Entry]:
    """The entries of the arrays, by their paths."""
    ends = np.cumsum(facts.count)
    cells = places.cells()
    tables = [tuple(facts.names[name] for name in json.loads(table)) for table in facts.tables]
    found = {}
    for row, path in enumerate(files.paths):
        part = slice(ends[row] - facts.count[row], ends[row])
        found[path] = Entry(
            path=path,
            length=int(files.length[row]),
            changed=int(files.changed[row]),
            kind=int(facts.kind[row]),
            source=facts.sources[row],
            size=(int(facts.size[row, 0]), int(facts.size[row, 1])),
            known=tables[facts.table[row]],
            names=tuple(facts.names[name] for name in facts.name[part]),
            pixels=facts.pixels[part],
            cells=cells[part] if facts.placed[row] else None,
        )
    return found


def check_sections(files: Files, facts: Facts, places: Places | None) -> None:
    """Whether three sections are of one block.

    Raises:
        DamagedError: they are not, or name classes that there are none of.
    """
    of_files: list[Sized] = [
        files.length,
        files.changed,
        facts.kind,
        facts.sources,
        facts.size,
        facts.count,
    ]
    of_files += [facts.table, facts.placed]
    of_classes = [facts.name, facts.pixels, *([] if places is None else [places.mask])]
    fits = (
        all(len(each) == len(files.paths) for each in of_files)
        and all(len(each) == facts.count.sum() for each in of_classes)
        and ((facts.count >= 0) & (facts.count <= len(facts.name))).all()
        and all(0 <= name < len(facts.names) for name in np.unique(facts.name))
        and all(0 <= table < len(facts.tables) for table in np.unique(facts.table))
        and facts.kind.max(initial=0) <= PART
        and (places is None or len(places.there().nonzero()[0]) == len(places.counts))
    )
    if not fits:
        raise DamagedError


def pack(section: Files | Facts | Places) -> bytes:
    """A section as bytes: the lengths, a checksum, and the fields, compressed."""
    head, parts = [], []
    for field in fields(section):
        value = getattr(section, field.name)
        if isinstance(value, list):
            # Names of files may hold bytes that are no text.
            data = "\0".join(value).encode("utf-8", "surrogatepass")
            head.append((len(value), "", len(data)))
        else:
            data = _narrow(value).tobytes()
            head.append((len(value), _narrow(value).dtype.str, len(data)))
        parts.append(data)
    told = json.dumps(head).encode()
    content = zlib.compress(b"".join([_COUNT.pack(len(told)), told, *parts]), 1)
    return _HEAD.pack(len(content), zlib.crc32(content)) + content


def unpack(kind: type[_Section], content: bytes, checksum: int) -> _Section:
    """The section of that kind in bytes as `pack` made them, without their head.

    Raises:
        DamagedError: they are not.
    """
    if zlib.crc32(content) != checksum:
        raise DamagedError
    unpacker = zlib.decompressobj()
    plain = unpacker.decompress(content, _LARGEST)
    if not unpacker.eof:
        raise DamagedError
    (told,) = _COUNT.unpack_from(plain)
    place = _COUNT.size + told
    values: dict[str, Any] = {}
    for field, (count, dtype, length) in zip(
        fields(kind), json.loads(plain[_COUNT.size : place]), strict=True
    ):
        data = plain[place : place + length]
        place += length
        if field.type == "list[str]":
            text = data.decode("utf-8", "surrogatepass")
            values[field.name] = text.split("\0") if count else []
        elif dtype in _STORED:
            array = np.frombuffer(data, dtype).astype(_TYPES.get(field.name, np.dtype(np.int64)))
            values[field.name] = array.reshape(-1, 2) if field.name == "size" else array
        if len(values.get(field.name, ())) != count:
            raise DamagedError
    found = kind(**values)
    if isinstance(found, Files) and not len(found.paths) == len(found.length) == len(found.changed):
        raise DamagedError
    return found


def read_head(file: BinaryIO) -> tuple[int, int] | None:
    """Length and checksum of the section that follows; None at the end.

    Raises:
        DamagedError: the file ends within it.
    """
    head = file.read(_HEAD.size)
    if not head:
        return None
    if len(head) < _HEAD.size:
        raise DamagedError
    length, checksum = _HEAD.unpack(head)
    return length, checksum


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in the smallest type that holds them all."""
    if values.dtype != np.int64 or not values.size:
        return values
    low, high = int(values.min()), int(values.max())
    # Signed and unsigned together would become floats, which lose the ends of times.
    most = np.min_scalar_type(-high - 1 if low < 0 < high else high)
    return values.astype(np.promote_types(np.min_scalar_type(low), most))
