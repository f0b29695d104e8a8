"""An image pyramid of class presence: how many pixels each class has in 1, 4, 16 and 64 cells.

Level k cuts both sides into 2^k parts, whose borders are `floor(i * side / 2^k)`: whole numbers, so
that a cell of one level is exactly four of the next, and its counts are their sum. Only the finest
level is kept, as counts of the cells in which a class occurs.
"""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError

__all__ = ["CELLS", "CELL_SIDE", "LEVELS", "Presence", "cell_edges"]

LEVELS = 4
CELL_SIDE = 2 ** (LEVELS - 1)
CELLS = CELL_SIDE**2

_HEAD = struct.Struct("<III")
_MOST_IDS = 65_536
_MOST_BYTES = _HEAD.size + _MOST_IDS * (2 + 8 + 8 * CELLS)


def cell_edges(side: int, cells: int = CELL_SIDE) -> NDArray[np.int64]:
    """Where the cells along a side of so many pixels begin, and where the last one ends.

    int64 `[cells + 1]`; in pictures of fewer pixels than cells, some cells are empty.
    """
    edges: NDArray[np.int64] = np.arange(cells + 1, dtype=np.int64) * side // cells
    return edges


@dataclass(frozen=True, eq=False)
class Presence:
    """Counts of the classes of a picture in 8 × 8 cells, and in all coarser ones.

    Attributes:
        size: `(H, W)` of the picture in pixels.
        ids: int64 `[n]`, the ids that occur, rising.
        counts: int64 `[n, 8, 8]`, pixels of each in each cell.
    """

    size: tuple[int, int]
    ids: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, labels: NDArray[np.uint8] | NDArray[np.uint16], *, threads: int = 0) -> Presence:
        """Counts a label map, uint8 or uint16 `[H, W]`, in one pass.

        Args:
            labels: class ids; an ignored id is an id as any other.
            threads: cores that may be used; 0 means all.

        Raises:
            ArrayError: labels are not such an array.
        """
        if not isinstance(labels, np.ndarray) or labels.ndim != 2 or labels.size == 0:
            raise ArrayError(
                "labels must be uint8 or uint16 [H, W] with at least one pixel",
                got=f"{type(labels).__name__} {list(np.shape(labels))}",
            )
        height, width = labels.shape
        values = int(labels.max()) + 1
        edges = cell_edges(height), cell_edges(width)
        counts = kernels.count_cells(labels, *edges, values, threads=threads)
        ids = np.flatnonzero(counts.any(axis=(0, 1)))
        return cls((height, width), ids, np.ascontiguousarray(np.moveaxis(counts[..., ids], -1, 0)))

    @classmethod
    def decode(cls, text: str) -> Presence:
        """What `encode` wrote.

        Raises:
            UsageError: the text is something else, or damaged.
        """
        try:
            content = zlib.decompressobj().decompress(
                base64.b64decode(text, validate=True), _MOST_BYTES
            )
            return cls._unpacked(content)
        except (ValueError, zlib.error, struct.error) as error:
            raise UsageError(
                "the text is no pyramid of class presence, or damaged", got=repr(text)[:60]
            ) from error

    @classmethod
    def _unpacked(cls, content: bytes) -> Presence:
        height, width, number = _HEAD.unpack_from(content)
        if number > _MOST_IDS:
            raise ValueError("more ids than there can be")
        ids = np.frombuffer(content, "<u2", number, _HEAD.size)
        masks = np.frombuffer(content, "<u8", number, _HEAD.size + ids.nbytes)
        there = np.unpackbits(masks.view(np.uint8), bitorder="little").astype(np.bool_)
        dtype, place = _count_type(height, width), _HEAD.size + ids.nbytes + masks.nbytes
        stored = np.frombuffer(content, dtype, int(there.sum()), place)
        counts = np.zeros(number * CELLS, np.int64)
        counts[there] = stored
        cells = counts.reshape(number, CELL_SIDE, CELL_SIDE)
        rows, columns = np.diff(cell_edges(height)), np.diff(cell_edges(width))
        outside = (cells < 0) | (cells > rows[:, None] * columns)
        rises = (np.diff(ids.astype(np.int64)) > 0).all()
        if place + stored.nbytes != len(content) or outside.any() or not rises:
            raise ValueError("not what encode writes")
        return cls((height, width), ids.astype(np.int64), cells)

    def encode(self) -> str:
        """The finest level as a short text: of each class only the cells in which it occurs."""
        height, width = self.size
        flat = self.counts.reshape(-1, CELLS)
        masks = np.packbits(flat > 0, axis=1, bitorder="little").view("<u8").reshape(-1)
        content = b"".join(
            [
                _HEAD.pack(height, width, len(self.ids)),
                self.ids.astype("<u2").tobytes(),
                masks.tobytes(),
                flat[flat > 0].astype(_count_type(height, width)).tobytes(),
            ]
        )
        return base64.b64encode(zlib.compress(content, 9)).decode("ascii")

    def level(self, number: int) -> NDArray[np.int64]:
        """Pixels of each class in the cells of a level, int64 `[n, 2^number, 2^number]`.

        Level 0 is the whole picture, level 3 the finest.

        Raises:
            UsageError: there is no such level.
        """
        if number not in range(LEVELS):
            raise UsageError("no such level", got=repr(number), fix=f"0 … {LEVELS - 1}")
        side = 2**number
        step = CELL_SIDE // side
        parts: NDArray[np.int64] = self.counts.reshape(-1, side, step, side, step).sum(axis=(2, 4))
        return parts

    def shares(self, number: int) -> NDArray[np.float64]:
        """Part of each cell that each class fills, 0..1, float64 `[n, 2^number, 2^number]`.

        A cell without pixels, as in pictures of fewer than 8 rows or columns, has shares of 0.

        Raises:
            UsageError: there is no such level.
        """
        counts = self.level(number)
        height, width = (np.diff(cell_edges(side, 2**number)) for side in self.size)
        parts: NDArray[np.float64] = counts / np.maximum(height[:, None] * width, 1)
        return parts


def _count_type(height: int, width: int) -> np.dtype[np.unsignedinteger]:
    """Wide enough for the pixels of the largest cell."""
    most = -(-height // CELL_SIDE) * -(-width // CELL_SIDE)
    return np.dtype("<u2") if most < 2**16 else np.dtype("<u4") if most < 2**32 else np.dtype("<u8")
