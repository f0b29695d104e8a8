"""Polygons: filled, traced along pixel edges, and joined to one ring.

One rule for every format: a pixel belongs to a polygon when its centre is inside. The pixel in
column x and row y covers [x, x + 1) × [y, y + 1), so its centre is (x + 0.5, y + 0.5). Inside is
what a ray leaves by an odd number of edges, counted over all rings given together (even-odd): a
ring inside another is a hole. A centre on an edge belongs to the right and the lower side, so
that of two polygons that share an edge exactly one has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import MaskFileError

__all__ = ["Patch", "Ring", "fill", "fill_patch", "joined", "signed_area", "trace"]

Ring: TypeAlias = NDArray[np.floating[Any]]
"""`[N, 2]`: x and y of the corners in pixels; the last joins the first."""

Patch: TypeAlias = tuple[slice, slice, NDArray[np.bool_]]
"""Rows, columns, and the mask of what lies there: the rest of the picture is empty."""

_FARTHEST = 2.0**30
_CROSSINGS_AT_ONCE = 1 << 21
_CORNERS_LOOKED_AT = 1024


def fill(rings: Sequence[Ring], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of a polygon.

    pycocotools rounds the outline to fifths of a pixel: over 2,000 random polygons of 3 to 12
    corners in 100 × 120 pixels, 99.86 % of the pixels agree, the mean intersection over union is
    0.986, and no centre of a pixel that differs is farther than 0.19 pixels from the outline.

    Args:
        rings: one or more; what lies outside the picture is cut off.
        size: `(H, W)`.

    Returns:
        bool `[H, W]`.

    Raises:
        MaskFileError: a ring is not of points, or has points that are no places (NaN, far out).
    """
    mask = np.zeros(size, np.bool_)
    rows, columns, inside = fill_patch(rings, size)
    mask[rows, columns] = inside
    return mask


def fill_patch(rings: Sequence[Ring], size: tuple[int, int]) -> Patch:
    """As `fill`, but only the smallest box of whole pixels that holds the polygon."""
    starts, ends = _edges(rings)
    empty = slice(0, 0), slice(0, 0), np.zeros((0, 0), np.bool_)
    if not len(starts):
        return empty
    points = np.minimum(starts, ends), np.maximum(starts, ends)
    limits = np.array([size[1], size[0]])
    low = np.clip(np.floor(points[0].min(axis=0)), 0, limits).astype(np.int64)
    high = np.clip(np.ceil(points[1].max(axis=0)), 0, limits).astype(np.int64)
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    if left >= right or top >= bottom:
        return empty
    width = right - left
    # The last column takes what is crossed right of the picture.
    parity = np.zeros((bottom - top) * (width + 1), np.uint8)
    for row, x in _crossings(starts, ends, top, bottom):
        column = np.clip(np.ceil(x - 0.5), left, right).astype(np.int64) - left
        places = (row - top) * (width + 1) + column
        np.bitwise_xor.at(parity, places, 1)
    lines = parity.reshape(-1, width + 1)[:, :width]
    inside = np.bitwise_xor.accumulate(lines, axis=1).view(np.bool_)
    return slice(top, bottom), slice(left, right), inside


def trace(mask: NDArray[np.bool_]) -> list[Ring]:
    """The outlines of a mask along the edges of its pixels: filled, they give it back exactly.

    Pixels that touch at a corner only have outlines of their own.

    Args:
        mask: bool `[H, W]`.

    Returns:
        Rings float64 `[N, 2]` of the corners alone, by their first corner in raster order. Around
        pixels they run clockwise as seen, around holes the other way.
    """
    padded = np.pad(np.asarray(mask, np.bool_), 1).astype(np.uint8)
    # The four pixels at each corner of the pixel grid, as bits.
    code = padded[:-1, :-1] | padded[:-1, 1:] << 1 | padded[1:, :-1] << 2 | padded[1:, 1:] << 3
    turns = np.array([_TURNS[bits] for bits in range(16)], np.int64)[code]
    y, x = np.nonzero(turns)
    copies = turns[y, x]
    kind = np.repeat(code[y, x], copies)
    x, y = np.repeat(x, copies), np.repeat(y, copies)
    # In each row of corners the first and second are the ends of an edge, the third and fourth,
    # and so on; in each column too. Where two pixels touch at a corner, the corner is there
    # twice: the first copy ends the edge from the left, and which of them ends the edge from above
    # is what keeps the two outlines apart.
    second = np.zeros(len(x), np.int64)
    second[1:] = (x[1:] == x[:-1]) & (y[1:] == y[:-1])
    order = np.lexsort((np.where(kind == _RISING, 1 - second, second), y, x))
    partner = np.empty(len(x), np.int64)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    corners = np.stack([x, y], axis=1).astype(np.float64)
    return [
        corners[ring] if kind[ring[0]] & 8 else corners[[ring[0], *ring[:0:-1]]]
        for ring in _cycles(partner)
    ]


def signed_area(ring: Ring) -> float:
    """The area in pixels; negative for a ring that runs counter-clockwise as seen."""
    x, y = np.asarray(ring, np.float64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def joined(rings: Sequence[Ring]) -> Ring:
    """One ring for several: bridges of no width lead to each and back, and fill nothing.

    A bridge goes from a ring's first corner to the nearest corner of those before it, of the last
    1,024 at most.

    Returns:
        float64 `[N, 2]`; `[0, 2]` for no rings.
    """
    rings = [ring for ring in rings if len(ring)]
    if not rings:
        return np.zeros((0, 2))
    corners = np.concatenate([np.asarray(ring, np.float64) for ring in rings])
    ends = np.cumsum([len(ring) for ring in rings])
    starts = ends - [len(ring) for ring in rings]
    bridges: dict[int, list[int]] = {}
    for number, start in enumerate(starts.tolist()):
        if number:
            first = max(start - _CORNERS_LOOKED_AT, 0)
            distance = ((corners[first:start] - corners[start]) ** 2).sum(axis=1)
            bridges.setdefault(first + int(distance.argmin()), []).append(number)
    return corners[list(_walk(bridges, starts.tolist(), ends.tolist()))]


_RISING = 0b0110
"""The upper right and the lower left pixel alone."""

_TURNS = {bits: 1 if bits.bit_count() % 2 else 0 for bits in range(16)} | {
    _RISING: 2,
    _RISING ^ 0b1111: 2,
}
"""How many outlines turn at a corner, by the four pixels around it."""


def _edges(rings: Sequence[Ring]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Starts and ends of all edges, each `[N, 2]`."""
    corners = np.concatenate([np.zeros((0, 2)), *map(_corners_of, rings)])
    # Written so that NaN is refused too.
    if not (np.abs(corners) <= _FARTHEST).all():
        raise MaskFileError(
            "a polygon has points that are no places",
            got=f"coordinates {corners.min():g} … {corners.max():g}",
            fix="correct the points in the annotation file",
        )
    lengths = np.array([len(ring) for ring in rings if len(ring)], np.int64)
    lasts = np.cumsum(lengths) - 1
    following = np.arange(1, len(corners) + 1)
    following[lasts] = lasts - lengths + 1
    return corners, corners[following]


def _corners_of(ring: Ring) -> NDArray[np.float64]:
    corners = np.asarray(ring, np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2:
        raise MaskFileError("a ring is not of points (x, y)", got=f"{list(corners.shape)}")
    return corners


def _crossings(
    starts: NDArray[np.float64], ends: NDArray[np.float64], top: int, bottom: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Rows, and where the line through their pixels' centres crosses an edge; some at a time."""
    # From the upper to the lower end, so that an edge walked both ways crosses at equal places.
    downwards = (starts[:, 1] <= ends[:, 1])[:, None]
    upper, lower = np.where(downwards, starts, ends), np.where(downwards, ends, starts)
    first = np.clip(np.ceil(upper[:, 1] - 0.5), top, bottom).astype(np.int64)
    counts = np.clip(np.ceil(lower[:, 1] - 0.5), top, bottom).astype(np.int64) - first
    crossed = np.flatnonzero(counts)
    upper, lower, first, counts = upper[crossed], lower[crossed], first[crossed], counts[crossed]
    steps = lower - upper
    total = np.cumsum(counts)
    parts = (total - counts) // _CROSSINGS_AT_ONCE
    for part in np.unique(parts):
        chosen = np.flatnonzero(parts == part)
        edge = np.repeat(chosen, counts[chosen])
        place = np.arange(len(edge)) - np.repeat(
            total[chosen] - counts[chosen] - (total[chosen[0]] - counts[chosen[0]]), counts[chosen]
        )
        row = first[edge] + place
        # The division comes last, so that a crossing that is a whole or half pixel is exactly that.
        along = (row + 0.5 - upper[edge, 1]) * steps[edge, 0]
        yield row, upper[edge, 0] + along / steps[edge, 1]


def _cycles(partner: NDArray[np.int64]) -> Iterator[list[int]]:
    """Corners of each outline: along a row to the neighbour, along a column to `partner`."""
    following = partner.tolist()
    seen = bytearray(len(following))
    for start in range(len(following)):
        if seen[start]:
            continue
        ring = []
        corner = start
        while not seen[corner]:
            ring += [corner, corner ^ 1]
            seen[corner] = seen[corner ^ 1] = 1
            corner = following[corner ^ 1]
        yield ring


def _walk(bridges: dict[int, list[int]], starts: list[int], ends: list[int]) -> Iterator[int]:
    """Corners of the joined ring: each ring closed, and the corner of a bridge again behind it."""
    waiting = [iter(range(starts[0], ends[0]))]
    back = [-1]
    while waiting:
        corner = next(waiting[-1], -1)
        if corner < 0:
            waiting.pop()
            corner = back.pop()
            if corner >= 0:
                yield corner
            continue
        yield corner
        for number in reversed(bridges.pop(corner, [])):
            first = starts[number]
            waiting.append(iter([*range(first, ends[number]), first]))
            back.append(corner)
