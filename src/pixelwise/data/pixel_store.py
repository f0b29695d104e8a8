"""Arrays kept on disk as plain bytes, found by name, and given as views of mapped files.

A folder of `pixelwise-cache.json`, the index, and `pixelwise-cache-….bin`, the bytes: arrays in C
order, one after the other, each at a multiple of 64. Files of bytes never change once they have
their name, so a process goes on reading while another one adds to the folder or replaces all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.formats.files import make_folder, sweep_leftovers, write_atomic

__all__ = [
    "Content",
    "PixelStore",
    "Record",
    "Stored",
    "bytes_of",
    "locked",
    "new_name",
    "pieces_of",
]

_FORMAT = 1
_INDEX = "pixelwise-cache.json"
_LOCK = "pixelwise-cache.lock"
_DOUBT = "pixelwise-cache.damaged"
_PREFIX, _SUFFIX = "pixelwise-cache-", ".bin"
_ALIGNMENT = 64

Content = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Stored:
    """Where an array lies in its file.

    Attributes:
        name: what it is, such as "image".
        dtype: NumPy's name of the type, with byte order.
        shape: its shape.
        offset: bytes from the start of the file.
        checksum: CRC-32 of its bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    checksum: int

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class Record:
    """What is stored under a name.

    Attributes:
        key: a digest of everything that it was made from.
        file: the file of bytes.
        arrays: its arrays.
    """

    key: str
    file: str
    arrays: tuple[Stored, ...]

    @property
    def size(self) -> int:
        """Bytes in the file, with the gaps between arrays."""
        return sum(_padded(stored.size) for stored in self.arrays)


@dataclass(frozen=True, eq=False)
class PixelStore:
    """The records of a folder whose files are there and whole.

    Attributes:
        folder: the folder.
        records: by name.
        files: bytes of each mapped file, uint8, read-only.
    """

    folder: Path
    records: dict[str, Record]
    files: dict[str, NDArray[np.uint8]]
    _sound: set[tuple[str, int]] = field(default_factory=set, repr=False)

    @classmethod
    def open(cls, folder: Path) -> PixelStore:
        """Maps the folder; without a readable index, or files that it names, records are missing.

        After damage was found by some process (see `read`), all checksums are compared here.
        """
        files: dict[str, NDArray[np.uint8]] = {}
        records, sizes = _read_index(folder)
        for name, size in sizes.items():
            mapped = _mapped(folder / name, size)
            if mapped is not None:
                files[name] = mapped
        present = {name: record for name, record in records.items() if record.file in files}
        store = cls(folder, present, files)
        if (folder / _DOUBT).exists():
            sound = {
                name: record for name, record in present.items() if store.read(record) is not None
            }
            return cls(folder, sound, files, store._sound)
        return store

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(len(content) for content in self.files.values())

    def read(self, record: Record) -> Content | None:
        """Read-only views of the arrays; None where their bytes are damaged.

        A checksum is compared when an array is first read; damage leaves a mark in the folder.
        """
        content = {}
        for stored in record.arrays:
            view = self.files[record.file][stored.offset : stored.offset + stored.size]
            place = (record.file, stored.offset)
            if place not in self._sound:
                if zlib.crc32(view.data) != stored.checksum:
                    with contextlib.suppress(OSError):
                        (self.folder / _DOUBT).touch()
                    return None
                self._sound.add(place)
            content[stored.name] = view.view(stored.dtype).reshape(stored.shape)
        return content

    def replace(self, records: Mapping[str, Record]) -> PixelStore:
        """Makes these the records of the folder, and removes files that none of them is in.

        Only under `locked`.

        Raises:
            OutputError: the index cannot be written; all is as it was.
        """
        used = {record.file for record in records.values()}
        if records == self.records and not (self.folder / _DOUBT).exists():
            _sweep(self.folder, used)
            return self
        sizes = {name: size for name in sorted(used) if (size := _size_of(self.folder / name))}
        # Where there are no locks, another process may have removed a file meanwhile.
        records = {name: record for name, record in records.items() if record.file in sizes}
        body = {
            "format": _FORMAT,
            "files": sizes,
            "records": {name: asdict(record) for name, record in records.items()},
        }
        text = json.dumps(body, separators=(",", ":"))
        write_atomic(self.folder / _INDEX, f"{_digest(text)}\n{text}\n".encode())
        with contextlib.suppress(OSError):
            (self.folder / _DOUBT).unlink(missing_ok=True)
        _sweep(self.folder, used)
        return PixelStore.open(self.folder)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder and lets one process at a time in; a killed one lets go by itself.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    make_folder(folder)
    lock = folder / _LOCK
    # Made in place: a file renamed to it would leave two processes with locks of two files.
    try:
        lock.touch()
    except OSError:
        if not lock.exists():
            write_atomic(lock, b"")  # which tells what is wrong
    with lock.open("rb") as stream:
        _lock(stream.fileno())
        sweep_leftovers(folder)
        yield


def new_name() -> str:
    """The name of a file of bytes that no other has."""
    return f"{_PREFIX}{os.urandom(8).hex()}{_SUFFIX}"


def pieces_of(
    content: Content, checksums: Sequence[int], start: int
) -> tuple[tuple[Stored, ...], list[memoryview]]:
    """Where arrays come to lie in a file from byte `start` on, and their bytes with the gaps."""
    stored, pieces = [], []
    for (name, array), checksum in zip(content.items(), checksums, strict=True):
        stored.append(Stored(name, array.dtype.str, array.shape, start, checksum))
        pieces += [bytes_of(array), memoryview(bytes(_padded(array.nbytes) - array.nbytes))]
        start += _padded(array.nbytes)
    return tuple(stored), pieces


def bytes_of(array: NDArray[Any]) -> memoryview:
    """The bytes of an array in C order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _sweep(folder: Path, used: Iterable[str]) -> None:
    """Removes files of bytes other than those in use."""
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        if path.name not in used:
            # Another process may have it open, where a system forbids removing such files.
            with contextlib.suppress(OSError):
                path.unlink()


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _read_index(folder: Path) -> tuple[dict[str, Record], dict[str, int]]:
    """Records and sizes of files; none where the index is missing, damaged or of another format."""
    try:
        digest, text, *_ = (folder / _INDEX).read_text("utf-8").split("\n")
        if digest != _digest(text):
            return {}, {}
        body = json.loads(text)
        if body["format"] != _FORMAT:
            return {}, {}
        sizes: dict[str, int] = body["files"]
        records = {name: _record(fields, sizes) for name, fields in body["records"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}, {}
    return records, sizes


def _record(fields: Mapping[str, Any], sizes: Mapping[str, int]) -> Record:
    arrays = tuple(
        Stored(
            str(stored["name"]),
            str(stored["dtype"]),
            tuple(map(int, stored["shape"])),
            int(stored["offset"]),
            int(stored["checksum"]),
        )
        for stored in fields["arrays"]
    )
    for stored in arrays:
        inside = 0 <= stored.offset <= stored.offset + stored.size <= sizes[fields["file"]]
        if not inside or np.dtype(stored.dtype).kind not in "biuf":
            raise ValueError(stored.name)
    return Record(str(fields["key"]), str(fields["file"]), arrays)


def _mapped(path: Path, size: int) -> NDArray[np.uint8] | None:
    try:
        if path.stat().st_size != size:
            return None
        mapped = np.memmap(path, np.uint8, mode="r")
    except (OSError, ValueError):
        return None
    # Slices of a plain array are made four times faster than those of a memmap.
    return np.asarray(mapped)


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        while True:
            with contextlib.suppress(OSError):
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
                return
            time.sleep(0.1)
    import fcntl

    # Some network file systems have no locks: builders then work twice, and the last one wins.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
