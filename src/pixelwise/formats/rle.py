"""Masks as run lengths, in the three forms that annotation files have.

COCO counts along columns, and packs the counts into text; the form is that of its API's
documentation (Lin et al., COCO, ECCV 2014). CVAT counts along rows, inside a box. Label Studio
packs the bytes of an RGBA picture into bits, as the package rle-pack describes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import MaskFileError

__all__ = [
    "Counts",
    "brush_mask",
    "column_counts",
    "column_mask",
    "pack_counts",
    "patch_counts",
    "row_mask",
    "unpack_counts",
]

Counts = NDArray[np.int64]
"""Lengths of runs, the first of zeros (it may be 0), then of ones, and so on in turn."""

_MOST_PIXELS = 2**31 - 1
_LONGEST_CODE = 8
"""Characters of one packed count: 40 bits, more than any mask has pixels."""


def column_counts(mask: NDArray[np.bool_]) -> Counts:
    """The runs of a mask, down its columns, as COCO has them.

    Args:
        mask: bool `[H, W]`.

    Returns:
        int64 `[N]`, equal to those of pycocotools.
    """
    pixels = np.ascontiguousarray(mask.T).ravel()
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    edges = np.concatenate([[0], changes, [pixels.size]])
    counts: Counts = np.diff(edges)
    return np.concatenate([[0], counts]) if pixels.size and pixels[0] else counts


def patch_counts(
    inside: NDArray[np.bool_], rows: slice, columns: slice, size: tuple[int, int]
) -> Counts:
    """As `column_counts`, of a mask that is empty but for these rows and columns.

    Args:
        inside: bool `[h, w]`, the mask there.
        rows: of the picture, h of them.
        columns: of the picture, w of them.
        size: `(H, W)` of the picture.
    """
    height, width = size
    high, wide = inside.shape
    column = np.zeros((wide, high + 2), np.int8)
    column[:, 1:-1] = inside.T
    changes = np.flatnonzero(column[:, 1:] != column[:, :-1])
    x, y = np.divmod(changes, high + 1)
    edges = (x + (columns.start or 0)) * height + y + (rows.start or 0)
    # A run that ends at the bottom goes on where the next column begins at the top.
    joined = np.flatnonzero(edges[1:-1:2] == edges[2::2])
    edges = np.delete(edges, np.concatenate([2 * joined + 1, 2 * joined + 2]))
    counts: Counts = np.diff(edges, prepend=0, append=height * width)
    return counts if counts[-1] else counts[:-1]


def column_mask(counts: Sequence[int] | NDArray[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask that COCO's runs stand for.

    Args:
        counts: lengths of runs down the columns, of zeros first.
        size: `(H, W)`.

    Returns:
        bool `[H, W]`.

    Raises:
        MaskFileError: the counts are not whole numbers of 0 and more, or do not fill the mask.
    """
    height, width = size
    return np.ascontiguousarray(_spread(counts, size).reshape(width, height).T)


def row_mask(counts: Sequence[int] | NDArray[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask that CVAT's runs stand for: as `column_mask`, but along the rows."""
    return _spread(counts, size).reshape(size)


def pack_counts(counts: Sequence[int] | NDArray[Any]) -> str:
    """Counts as COCO's text.

    From the fourth on, a count is written as its difference to the count before the last. A number
    is cut into groups of five bits, lowest first, until the rest repeats the sign; 32 is added
    to all groups but the last, and 48 to each, which gives a printable character.

    Raises:
        MaskFileError: the counts are not whole numbers of 0 and more.
    """
    values = _checked(counts)
    rest = values.copy()
    rest[3:] -= values[1:-2]
    groups: list[NDArray[np.int64]] = []
    lasts: list[NDArray[np.bool_]] = []
    going = np.ones(len(rest), np.bool_)
    while going.any():
        group = rest & 31
        rest >>= 5
        last = rest == np.where(group & 16, -1, 0)
        groups.append(np.where(going, group + np.where(last, 48, 80), 0))
        lasts.append(last)
        going &= ~last
    if not groups:
        return ""
    codes = np.stack(groups, axis=1).astype(np.uint8)  # [N, characters]
    return codes[codes > 0].tobytes().decode("ascii")


def unpack_counts(text: str | bytes) -> Counts:
    """The counts that `pack_counts` wrote as text.

    Raises:
        MaskFileError: the text is not such counts.
    """
    try:
        content = text.encode("ascii") if isinstance(text, str) else bytes(text)
    except UnicodeEncodeError as error:
        raise _damaged("characters outside ASCII") from error
    codes = np.frombuffer(content, np.uint8).astype(np.int64) - 48
    if not codes.size:
        return np.zeros(0, np.int64)
    if codes.min() < 0 or codes.max() > 63:
        place = int(np.flatnonzero((codes < 0) | (codes > 63))[0])
        raise _damaged(f"the character {chr(content[place])!r} at {place}")
    ends = np.flatnonzero(codes < 32) + 1
    if not ends.size or ends[-1] != codes.size:
        raise _damaged("a text that is cut off")
    starts = np.concatenate([[0], ends[:-1]])
    lengths = ends - starts
    if lengths.max() > _LONGEST_CODE:
        raise _damaged(f"a number of {lengths.max():,} characters")
    places = np.arange(codes.size) - np.repeat(starts, lengths)
    values: Counts = np.add.reduceat((codes & 31) << 5 * places, starts)
    values -= np.where(codes[ends - 1] & 16, np.int64(1) << 5 * lengths, 0)
    # Differences to the count before the last: sums along every second one undo them.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return _checked(values)


def brush_mask(rle: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of a Label Studio brush: the pixels whose alpha is above 0.

    A stream of bits, highest first: 32 for the number of values, 5 for their width less one,
    four times 4 for the widths of lengths less one; then parts until all values are there. A part
    is a bit that says whether it repeats, two that choose the width of its length, the length
    less one, and then one value or as many as the length says. The values are the channels red,
    green, blue and alpha of every pixel, along the rows.

    Args:
        rle: bytes, each 0 … 255.
        size: `(H, W)`.

    Returns:
        bool `[H, W]`.

    Raises:
        MaskFileError: the stream is not such, is cut off, or holds another number of pixels.
    """
    try:
        # Of a number, bytes() would make as many zeros.
        content = bytes(iter(rle))
    except (TypeError, ValueError) as error:
        raise _damaged("values that are not bytes of 0 … 255") from error
    if len(content) < 7:
        raise _damaged("a stream that is cut off")
    number = int.from_bytes(content[:4], "big")
    head = int.from_bytes(content[4:7], "big")
    value_width = (head >> 19) + 1
    widths = [(head >> shift & 15) + 1 for shift in (15, 11, 7, 3)]
    if value_width != 8:
        raise _damaged(f"values of {value_width} bits, expected 8")
    expected = 4 * _pixels_of(size)
    if number != expected:
        raise _misfit(f"{number // 4:,}", size)
    values = _Bits(content, start=53).values(number, widths)
    return values.reshape(*size, 4)[..., 3] > 0


class _Bits:
    """A stream of bits, highest first."""

    def __init__(self, content: bytes, *, start: int) -> None:
        # Zeros behind the end let every number be cut from eight whole bytes.
        self._content = content + bytes(8)
        self._place = start
        self._end = 8 * len(content)

    def values(self, number: int, widths: Sequence[int]) -> NDArray[np.uint8]:
        """All values of the parts, `number` of them."""
        out = np.empty(number, np.uint8)
        done = 0
        while done < number:
            repeated, choice = divmod(self._number(3), 4)
            length = self._number(widths[choice]) + 1
            if length > number - done:
                raise _damaged("more values than the stream says")
            if repeated:
                out[done : done + length] = self._number(8)
            else:
                out[done : done + length] = self._bytes(length)
            done += length
        return out

    def _number(self, width: int) -> int:
        first, shift = divmod(self._place, 8)
        self._advance(width)
        window = int.from_bytes(self._content[first : first + 4], "big")
        return window >> (32 - shift - width) & ((1 << width) - 1)

    def _bytes(self, count: int) -> NDArray[np.uint8]:
        first, shift = divmod(self._place, 8)
        self._advance(8 * count)
        window = np.frombuffer(self._content, np.uint8, count + 1, first).astype(np.uint16)
        return (((window[:-1] << 8 | window[1:]) >> (8 - shift)) & 255).astype(np.uint8)

    def _advance(self, bits: int) -> None:
        self._place += bits
        if self._place > self._end:
            raise _damaged("a stream that is cut off")


def _spread(counts: Sequence[int] | NDArray[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    values = _checked(counts)
    pixels = _pixels_of(size)
    # Each count is below 2**40, so that a sum of fewer than 2**23 of them cannot wrap.
    total = sum(int(part.sum()) for part in np.array_split(values, len(values) // 2**22 + 1))
    if total != pixels:
        raise _misfit(f"{total:,}", size)
    return np.repeat(np.arange(len(values)) % 2 == 1, values)


def _checked(counts: Sequence[int] | NDArray[Any]) -> Counts:
    try:
        values = np.asarray(counts)
    except (TypeError, ValueError, OverflowError) as error:
        raise _damaged("counts that are not whole numbers") from error
    if not values.size:
        return np.zeros(0, np.int64)
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
        raise _damaged("counts that are not whole numbers")
    if values.min() < 0 or values.max() >= 2**40:
        worst = values.min() if values.min() < 0 else values.max()
        raise _damaged(f"a count of {worst}")
    return values.astype(np.int64)


def _pixels_of(size: tuple[int, int]) -> int:
    height, width = (int(side) for side in size)
    if min(height, width) < 1 or height * width > _MOST_PIXELS:
        raise MaskFileError(
            "a mask has no such size",
            got=f"{height}×{width}",
            fix="correct the size in the annotation file",
        )
    return height * width


def _misfit(found: str, size: tuple[int, int]) -> MaskFileError:
    return MaskFileError(
        "the runs do not fill the mask",
        got=f"{found} pixels, expected {size[0]}×{size[1]} = {size[0] * size[1]:,}",
        fix="export the annotations again, or correct the size that they name",
    )


def _damaged(got: str) -> MaskFileError:
    return MaskFileError("the run lengths are damaged", got=got, fix="export the annotations again")
