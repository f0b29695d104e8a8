"""The shapes that annotation files draw objects with: outlines, run lengths, small masks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import MaskFileError
from pixelwise.formats.polygons import Patch, Ring, fill_patch
from pixelwise.formats.rle import Counts, brush_mask, column_mask, row_mask, unpack_counts

__all__ = ["Brush", "ColumnRuns", "Outline", "Pixels", "RowRuns", "Shape"]


class Shape(Protocol):
    """Something that covers pixels of a picture."""

    def patch(self, size: tuple[int, int]) -> Patch:
        """Rows, columns, and which pixels there are covered, in a picture of that size, `(H, W)`.

        Raises:
            MaskFileError: the shape is damaged, or of a picture of another size.
        """
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Outline:
    """Polygons.

    Attributes:
        points: float32 `[N, 2]`: x and y of the corners of all rings, one ring behind the other.
        ends: where each ring ends.
        relative: whether the points are shares of the picture's width and height, not pixels.
        separate: whether each ring is filled on its own, so that where two overlap is covered;
            else a ring inside another is a hole.
    """

    points: NDArray[np.float32]
    ends: tuple[int, ...]
    relative: bool = False
    separate: bool = False

    @classmethod
    def of(
        cls, rings: Iterable[Ring], *, relative: bool = False, separate: bool = False
    ) -> Outline:
        """The outline of these rings, each `[N, 2]`."""
        # What is too large for float32 becomes infinite, and is told as a fault of the points.
        with np.errstate(over="ignore"):
            parts = [np.asarray(ring, np.float32) for ring in rings]
        ends = np.cumsum([len(part) for part in parts]).tolist()
        points = np.concatenate([np.zeros((0, 2), np.float32), *parts])
        return cls(points, tuple(ends), relative, separate)

    def rings(self, size: tuple[int, int]) -> list[NDArray[np.float64]]:
        """The rings in pixels, each float64 `[N, 2]`."""
        points = self.points.astype(np.float64)
        if self.relative:
            points *= (size[1], size[0])
        return np.split(points, self.ends[:-1])

    def patch(self, size: tuple[int, int]) -> Patch:
        """See `Shape.patch`."""
        rings = self.rings(size)
        if not self.separate or len(rings) < 2:
            return fill_patch(rings, size)
        mask = np.zeros(size, np.bool_)
        for ring in rings:
            rows, columns, inside = fill_patch([ring], size)
            mask[rows, columns] |= inside
        return slice(0, size[0]), slice(0, size[1]), mask


@dataclass(frozen=True, eq=False, slots=True)
class ColumnRuns:
    """COCO's run lengths of a whole picture.

    Attributes:
        counts: lengths down the columns, or the text that they are packed in.
        size: `(H, W)` of the picture.
    """

    counts: str | Counts
    size: tuple[int, int]

    def patch(self, size: tuple[int, int]) -> Patch:
        """See `Shape.patch`."""
        _check_size(self.size, size)
        counts = unpack_counts(self.counts) if isinstance(self.counts, str) else self.counts
        return slice(0, size[0]), slice(0, size[1]), column_mask(counts, size)


@dataclass(frozen=True, eq=False, slots=True)
class RowRuns:
    """CVAT's run lengths of a box.

    Attributes:
        counts: lengths along the rows of the box.
        size: height and width of the box.
        top: row of the box's first pixel.
        left: column of the box's first pixel.
    """

    counts: Counts
    size: tuple[int, int]
    top: int
    left: int

    def patch(self, size: tuple[int, int]) -> Patch:
        """See `Shape.patch`."""
        if self.size[0] > size[0] or self.size[1] > size[1]:
            _check_size(self.size, size)
        return _cut(row_mask(self.counts, self.size), self.top, self.left, size)


@dataclass(frozen=True, eq=False, slots=True)
class Brush:
    """Label Studio's packed brush of a whole picture.

    Attributes:
        rle: the packed bytes.
        size: `(H, W)` of the picture.
    """

    rle: bytes
    size: tuple[int, int]

    def patch(self, size: tuple[int, int]) -> Patch:
        """See `Shape.patch`."""
        _check_size(self.size, size)
        return slice(0, size[0]), slice(0, size[1]), brush_mask(self.rle, size)


@dataclass(frozen=True, eq=False, slots=True)
class Pixels:
    """A mask of part of a picture.

    Attributes:
        mask: bool `[h, w]`.
        top: row of its first pixel.
        left: column of its first pixel.
    """

    mask: NDArray[np.bool_]
    top: int = 0
    left: int = 0

    def patch(self, size: tuple[int, int]) -> Patch:
        """See `Shape.patch`."""
        return _cut(self.mask, self.top, self.left, size)


def _cut(mask: NDArray[np.bool_], top: int, left: int, size: tuple[int, int]) -> Patch:
    """What of the mask lies inside the picture."""
    first, last = max(top, 0), min(top + mask.shape[0], size[0])
    start, end = max(left, 0), min(left + mask.shape[1], size[1])
    if first >= last or start >= end:
        return slice(0, 0), slice(0, 0), np.zeros((0, 0), np.bool_)
    inside = mask[first - top : last - top, start - left : end - left]
    return slice(first, last), slice(start, end), inside


def _check_size(own: tuple[int, int], size: tuple[int, int]) -> None:
    if own != size:
        raise MaskFileError(
            "run lengths and picture differ in size",
            got=f"picture {size[0]}×{size[1]} · run lengths {own[0]}×{own[1]}",
            fix="export the annotations again for pictures of this size",
        )
