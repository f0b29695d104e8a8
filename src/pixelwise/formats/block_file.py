"""Compressed blocks in a file that grows: what a killed run has written stays of use."""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import OutputError
from pixelwise.formats.files import output_error

__all__ = ["BlockFile", "TileForm", "tile_grid"]

_LEADER = struct.Struct("<I")
_TRAILER = 4
_CHUNK = 1 << 22
_LEVEL, _FAST = 6, 1


def tile_grid(size: tuple[int, int], side: int) -> tuple[int, int]:
    """How many rows and columns of tiles a picture has."""
    return -(-size[0] // side), -(-size[1] // side)


@dataclass(frozen=True)
class TileForm:
    """What the tiles of a picture hold, and how they are compressed.

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

    @property
    def tile_bytes(self) -> int:
        """Of a tile, not compressed."""
        return self.side**2 * self.channels * self.dtype.itemsize

    def encode(self, block: NDArray[Any], *, fast: bool = False) -> bytes:
        """`[h, w, channels]` -> deflated bytes, little-endian."""
        values = block.astype(self.dtype.newbyteorder("<"), copy=False)
        if self.predictor:
            different = values.copy()
            different[:, 1:] -= values[:, :-1]
            values = different
        return zlib.compress(np.ascontiguousarray(values).data, _FAST if fast else _LEVEL)

    def decode(self, content: bytes, size: tuple[int, int]) -> NDArray[Any]:
        """The way back, `[h, w, channels]`.

        Raises:
            zlib.error, ValueError: the content is no such block.
        """
        values = np.frombuffer(zlib.decompress(content), self.dtype.newbyteorder("<"))
        block = values.reshape(*size, self.channels).astype(self.dtype)
        return np.cumsum(block, axis=1, dtype=self.dtype) if self.predictor else block


class BlockFile:
    """Blocks one after the other, each with its length before it and its last four bytes after it.

    That is the form in which tiles lie in a cloud-optimised GeoTIFF (GDAL, COG driver, "Header
    ghost area": BLOCK_LEADER and BLOCK_TRAILER), so that the file is copied there as it is; and
    the lengths in it tell where each block is, so that nothing need be kept beside it.

    Args:
        path: of the file; it is made.
        count: blocks that are kept of what is there; the others are cut off.

    Raises:
        OutputError: the file cannot be written, or holds fewer blocks.
    """

    def __init__(self, path: Path, *, count: int = 0) -> None:
        self.path = path
        self.sizes: list[int] = []
        self._starts: list[int] = []
        self._end = 0
        self._lock = threading.Lock()
        try:
            path.touch()
            # Without a buffer: what did not fit on the disk would be tried again on closing.
            self._file = path.open("r+b", buffering=0)
            for _ in range(count):
                leader = self._read(self._end, _LEADER.size)
                if len(leader) < _LEADER.size:
                    raise self._damaged("it ends early")
                self._note(int(_LEADER.unpack(leader)[0]))
            if path.stat().st_size < self._end:
                raise self._damaged("it ends early")
            self._file.truncate(self._end)
        except OSError as error:
            raise output_error(path, error, "the file cannot be written") from error

    @property
    def length(self) -> int:
        """Bytes of all blocks with what stands around them."""
        return self._end

    def append(self, blocks: Iterable[bytes]) -> None:
        """Writes blocks in their order.

        Raises:
            OutputError: they cannot be written, as when the disk is full.
        """
        contents = list(blocks)
        rest = memoryview(
            b"".join(
                part
                for content in contents
                for part in (_LEADER.pack(len(content)), content, content[-_TRAILER:])
            )
        )
        try:
            with self._lock:
                self._file.seek(self._end)
                while rest:
                    rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise output_error(self.path, error, "the file cannot be written") from error
        for content in contents:
            self._note(len(content))

    def block(self, index: int, form: TileForm, size: tuple[int, int]) -> NDArray[Any]:
        """One block of `(h, w)` pixels, `[h, w, channels]`.

        Raises:
            OutputError: the file is damaged.
        """
        content = self._read(self._starts[index], self.sizes[index])
        try:
            return form.decode(content, size)
        except (ValueError, zlib.error) as error:
            raise self._damaged(str(error)) from error

    def chunks(self) -> Iterator[bytes]:
        """The content of the file, in pieces of a few MB."""
        for place in range(0, self._end, _CHUNK):
            yield self._read(place, min(_CHUNK, self._end - place))

    def offsets(self, start: int) -> NDArray[np.uint64]:
        """Where each block lies when the content begins at byte `start` of another file."""
        return np.array(self._starts, np.uint64) + np.uint64(start)

    def sync(self) -> None:
        """Waits until all is on the disk.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise output_error(self.path, error, "the file cannot be written") from error

    def close(self) -> None:
        """Ends the writing; the file stays."""
        self._file.close()

    def _note(self, size: int) -> None:
        self._starts.append(self._end + _LEADER.size)
        self.sizes.append(size)
        self._end += _LEADER.size + size + _TRAILER

    def _read(self, place: int, size: int) -> bytes:
        with self._lock:
            self._file.seek(place)
            return self._file.read(size)

    def _damaged(self, got: str) -> OutputError:
        return OutputError(
            "what an earlier run has written is damaged",
            where=str(self.path),
            got=got,
            fix="remove that folder and run the command again",
        )
