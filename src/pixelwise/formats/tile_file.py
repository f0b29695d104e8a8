"""Compressed tiles in a file that grows: what a killed run has written stays of use."""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import OutputError
from pixelwise.formats.files import output_error

__all__ = ["TileFile", "TileForm"]

_LEADER = struct.Struct("<I")
_TRAILER = 4
_LEVEL = 6
_CHUNK = 1 << 22


@dataclass(frozen=True)
class TileForm:
    """What the tiles of one level hold.

    Attributes:
        side: rows and columns of a tile.
        channels: values of a pixel.
        dtype: uint8 or uint16.
        fill: the value beyond the edges of the picture, and where nothing is known.
        predictor: store each value as the difference to the one on its left (TIFF 6.0, section
            14), which makes smooth pictures smaller and label maps larger.
    """

    side: int
    channels: int
    dtype: np.dtype[Any]
    fill: int
    predictor: bool

    def encode(self, tile: NDArray[Any]) -> bytes:
        """`[side, side, channels]` -> deflated bytes, little-endian."""
        values = tile.astype(self.dtype.newbyteorder("<"), copy=False)
        if self.predictor:
            different = values.copy()
            different[:, 1:] -= values[:, :-1]
            values = different
        return zlib.compress(np.ascontiguousarray(values).data, _LEVEL)

    def decode(self, content: bytes) -> NDArray[Any]:
        """The way back.

        Raises:
            zlib.error, ValueError: the content is no such tile.
        """
        values = np.frombuffer(zlib.decompress(content), self.dtype.newbyteorder("<"))
        tile = values.reshape(self.side, self.side, self.channels).astype(self.dtype)
        return np.cumsum(tile, axis=1, dtype=self.dtype) if self.predictor else tile


class TileFile:
    """Tiles one after the other, each with its length before it and its last four bytes after it.

    That is the form in which tiles lie in a cloud-optimised GeoTIFF (GDAL, COG driver, "Header
    ghost area": BLOCK_LEADER and BLOCK_TRAILER), so that the file is copied there as it is; and
    the lengths in it tell where each tile is, so that nothing need be kept beside it.

    Args:
        path: of the file; it is made.
        form: of the tiles.
        count: tiles that are kept of what is there; the others are cut off.

    Raises:
        OutputError: the file cannot be written, or holds fewer tiles.
    """

    def __init__(self, path: Path, form: TileForm, *, count: int = 0) -> None:
        self.path = path
        self.form = form
        self.sizes: list[int] = []
        self._starts: list[int] = []
        self._lock = threading.Lock()
        try:
            path.touch()
            # Without a buffer: what did not fit on the disk would be tried again on closing.
            self._file = path.open("r+b", buffering=0)
            self._end = 0
            for _ in range(count):
                self._note(self._length_at(self._end))
            if path.stat().st_size < self._end:
                raise _incomplete(path)
            self._file.truncate(self._end)
        except OSError as error:
            raise output_error(path, error, "the tiles cannot be written") from error

    @property
    def length(self) -> int:
        """Bytes of all tiles with what stands around them."""
        return self._end

    def append(self, tiles: Iterable[NDArray[Any]], pool: Executor) -> None:
        """Compresses tiles, in the threads of a pool, and writes them in their order.

        Raises:
            OutputError: they cannot be written, as when the disk is full.
        """
        contents = list(pool.map(self.form.encode, tiles))
        pieces = [
            part
            for content in contents
            for part in (_LEADER.pack(len(content)), content, content[-_TRAILER:])
        ]
        rest = memoryview(b"".join(pieces))
        try:
            with self._lock:
                self._file.seek(self._end)
                while rest:
                    rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise output_error(self.path, error, "the tiles cannot be written") from error
        for content in contents:
            self._note(len(content))

    def tile(self, index: int) -> NDArray[Any]:
        """One tile, `[side, side, channels]`.

        Raises:
            OutputError: the file is damaged.
        """
        content = self._read(self._starts[index], self.sizes[index])
        try:
            return self.form.decode(content)
        except (ValueError, zlib.error) as error:
            raise OutputError(
                "tiles of this run are damaged",
                where=str(self.path),
                got=str(error),
                fix="remove the folder and run the command again",
            ) from error

    def chunks(self) -> Iterator[bytes]:
        """The content of the file, in pieces of a few MB."""
        for place in range(0, self._end, _CHUNK):
            yield self._read(place, min(_CHUNK, self._end - place))

    def offsets(self, start: int) -> NDArray[np.uint64]:
        """Where each tile lies when the content begins at byte `start` of another file."""
        return np.array(self._starts, np.uint64) + np.uint64(start)

    def sync(self) -> None:
        """Waits until all is on the disk.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise output_error(self.path, error, "the tiles cannot be written") from error

    def close(self) -> None:
        """Ends the writing; the file stays."""
        self._file.close()

    def _note(self, size: int) -> None:
        self._starts.append(self._end + _LEADER.size)
        self.sizes.append(size)
        self._end += _LEADER.size + size + _TRAILER

    def _length_at(self, place: int) -> int:
        leader = self._read(place, _LEADER.size)
        if len(leader) < _LEADER.size:
            raise _incomplete(self.path)
        return int(_LEADER.unpack(leader)[0])

    def _read(self, place: int, size: int) -> bytes:
        with self._lock:
            self._file.seek(place)
            return self._file.read(size)


def _incomplete(path: Path) -> OutputError:
    return OutputError(
        "tiles of an earlier run are missing",
        where=str(path),
        fix="remove the folder and run the command again",
    )
