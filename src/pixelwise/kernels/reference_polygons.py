"""The NumPy twin of the polygons: see `pixelwise.kernels.reference`.

It keeps all rows until the end. Where two parts of a region touch at a corner, it looks up whether
they are one region; the compiled one finds out on its walk.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pixelwise.kernels.reference import label_regions
from pixelwise.kernels.types import Floats

__all__ = ["PolygonTracer"]

_UP, _RIGHT, _DOWN, _LEFT = range(4)
_VERTICAL, _HORIZONTAL, _ALL = 0b0101, 0b1010, 0b1111
_NOWHERE = np.iinfo(np.int64).min
_BAND = 512

_Corner = tuple[int, int]
"""y and x, so that the order of corners is that of the rows."""

_Edge = tuple[_Corner, int]
"""A corner and the way that leaves it."""


class _Ring(NamedTuple):
    area: int
    corners: list[_Corner]


class _Step(NamedTuple):
    corner: _Corner
    back: int
    onward: int


class PolygonTracer:
    """See `pixelwise.kernels.PolygonStream`."""

    def __init__(self, width: int, ignores: bool, ignored: int, tolerance: float) -> None:
        self._width = width
        self._ignored = ignored if ignores else _NOWHERE
        self._tolerance = tolerance
        self._labels: list[npt.NDArray[np.int64]] = []
        self._weights: list[npt.NDArray[np.float64]] = []
        self._values: list[npt.NDArray[np.float64]] = []
        self._is_finished = False

    @property
    def held(self) -> int:
        """Pixels that wait."""
        return sum(labels.size for labels in self._labels)

    def add(
        self,
        labels: npt.NDArray[Any],
        weights: npt.NDArray[np.float64] | None,
        values: Floats | None,
    ) -> None:
        """Keeps rows."""
        self._labels.append(labels.astype(np.int64))
        self._weights.append(np.ones(len(labels)) if weights is None else weights)
        self._values.append(np.zeros(labels.shape) if values is None else values.astype(np.float64))

    def finish(self) -> None:
        """Says that there are no more rows."""
        self._is_finished = True

    def take(self, by_place: bool) -> tuple[npt.NDArray[Any], ...]:
        """The arrays of `Polygons`, with sums in place of means; all at the end, by place."""
        del by_place
        if not self._is_finished or not self._labels:
            return _arrays([], [], np.zeros((0, 2), np.int32), (), (), ())
        labels = np.concatenate(self._labels)
        weights = np.concatenate(self._weights)
        values = np.concatenate(self._values)
        self._labels.clear()
        labels[labels == self._ignored] = _NOWHERE
        pieces = label_regions(labels, connectivity=4).components  # type: ignore[arg-type]
        pieces[labels == _NOWHERE] = -1
        graph = _Graph(np.pad(pieces, 1, constant_values=-1), anchored=self._tolerance > 0)
        if self._tolerance > 0:
            _Simplifier(graph, self._tolerance).simplify()
        rings = graph.rings(keeps_all=self._tolerance >= 0)
        names, places, counts = np.unique(pieces, return_index=True, return_counts=True)
        shown = names >= 0
        names, places, counts = names[shown], places[shown], counts[shown]
        heavy = np.repeat(weights[:, None], self._width, axis=1)
        sums = [
            np.bincount(pieces[pieces >= 0], what[pieces >= 0], pieces.max() + 1)[names]
            for what in (heavy, values)
        ]
        first = np.stack([places % self._width, places // self._width], axis=1)
        found = [rings[name] for name in names.tolist()]
        return _arrays(found, labels.reshape(-1)[places], first, counts, *sums)


class _Graph:
    """Corners where borders turn or meet, and the edges between them."""

    def __init__(self, padded: npt.NDArray[np.int32], *, anchored: bool) -> None:
        self._padded = padded
        self.height, self.width = padded.shape[0] - 2, padded.shape[1] - 2
        upper_left, upper_right = padded[:-1, :-1], padded[:-1, 1:]
        lower_left, lower_right = padded[1:, :-1], padded[1:, 1:]
        ways = (
            (upper_left != upper_right) * (1 << _UP)
            | (upper_right != lower_right) * (1 << _RIGHT)
            | (lower_left != lower_right) * (1 << _DOWN)
            | (upper_left != lower_left) * (1 << _LEFT)
        )
        turns = (ways != 0) & (ways != _VERTICAL) & (ways != _HORIZONTAL)
        if anchored:
            turns[::_BAND] |= ways[::_BAND] == _VERTICAL
        self.ways: dict[_Corner, int] = {}
        self.links: dict[_Edge, _Edge] = {}
        column: dict[int, _Corner] = {}
        row = (-1, -1)
        for y, x in np.argwhere(turns).tolist():
            corner = y, x
            self.ways[corner] = bits = int(ways[corner])
            if bits >> _UP & 1:
                self.connect((corner, _UP), (column[x], _DOWN))
            if bits >> _LEFT & 1:
                self.connect((corner, _LEFT), (row, _RIGHT))
            column[x] = row = corner

    def connect(self, one: _Edge, other: _Edge) -> None:
        self.links[one], self.links[other] = other, one

    def is_fixed(self, corner: _Corner) -> bool:
        y, x = corner
        at_edge = y in (0, self.height) or x in (0, self.width)
        return at_edge or y % _BAND == 0 or self.ways[corner].bit_count() > 2

    def onward(self, corner: _Corner, back: int) -> int:
        """The other way at a corner of two."""
        return (self.ways[corner] ^ 1 << back).bit_length() - 1

    def rings(self, *, keeps_all: bool) -> dict[int, list[_Ring]]:
        """The rings of each piece, the outline first."""
        found: dict[int, list[_Ring]] = {}
        walked: set[_Edge] = set()
        for start in sorted(self.links):
            piece = self._on_the_left(start)
            if piece < 0 or start in walked:
                continue
            corners = []
            edge = start
            while edge not in walked:
                walked.add(edge)
                corner, back = self.links[edge]
                out = self._next_way(corner, back)
                if keeps_all or (out - back) % 4 != 2:
                    corners.append(corner)
                edge = corner, out
            found.setdefault(piece, []).append(_ring_of(corners))
        for rings in found.values():
            rings.sort(key=lambda ring: (ring.area >= 0, ring.corners[:2]))
        return found

    def _on_the_left(self, edge: _Edge) -> int:
        return int(self._pieces_around(edge[0])[edge[1]])

    def _pieces_around(self, corner: _Corner) -> list[int]:
        """Those on the left of one who leaves upwards, to the right, downwards, to the left."""
        y, x = corner
        (first, second), (third, fourth) = self._padded[y : y + 2, x : x + 2].tolist()
        return [first, second, fourth, third]

    def _next_way(self, corner: _Corner, back: int) -> int:
        if self.ways[corner] == _ALL:
            around = self._pieces_around(corner)
            is_same = around[(back + 1) % 4] == around[(back + 3) % 4]
            return (back + 3) % 4 if is_same else (back + 1) % 4
        return next(
            way % 4 for way in range(back + 1, back + 4) if self.ways[corner] >> way % 4 & 1
        )


class _Simplifier:
    """See src/native/simplify.cpp."""

    def __init__(self, graph: _Graph, tolerance: float) -> None:
        self._graph = graph
        self._most = tolerance * tolerance
        self._points = set(graph.ways)

    def simplify(self) -> None:
        arcs = list(self._arcs())
        ends = [frozenset((arc[0].corner, arc[-1].corner)) for arc in arcs]
        times: dict[frozenset[_Corner], int] = {}
        for pair in ends:
            times[pair] = times.get(pair, 0) + 1
        seen = {step.corner for arc in arcs for step in arc}
        for arc, pair in zip(arcs, ends, strict=True):
            rows = {y for y, _ in pair}
            on_edge = len(rows) == 1 and (self._graph.height in rows or min(rows) % _BAND == 0)
            least = 2 if len(pair) == 1 else int(on_edge or times[pair] > 1)
            self._simplify_arc(arc, least, is_loop=False)
        for corner in sorted(set(self._graph.ways) - seen):
            if corner not in seen:
                loop = [_Step(corner, _DOWN, _RIGHT)]
                while (step := self._following(loop[-1])).corner != corner:
                    loop.append(step)
                seen.update(step.corner for step in loop)
                self._simplify_arc(loop, 3, is_loop=True)

    def _arcs(self) -> Iterator[list[_Step]]:
        walked: set[_Edge] = set()
        for corner, way in sorted(self._graph.links):
            if not self._graph.is_fixed(corner) or (corner, way) in walked:
                continue
            arc = [_Step(corner, -1, way)]
            while True:
                arc.append(self._following(arc[-1]))
                if arc[-1].onward < 0:
                    break
            walked.update([(corner, way), (arc[-1].corner, arc[-1].back)])
            yield arc

    def _following(self, step: _Step) -> _Step:
        corner, back = self._graph.links[step.corner, step.onward]
        is_end = self._graph.is_fixed(corner)
        return _Step(corner, back, -1 if is_end else self._graph.onward(corner, back))

    def _simplify_arc(self, steps: list[_Step], least: int, *, is_loop: bool) -> None:
        count = len(steps)
        corners = [step.corner for step in steps]
        before = [(i - 1) % count for i in range(count)]
        after = [(i + 1) % count for i in range(count)]
        cost = [-1] * count
        queue: list[tuple[int, int]] = []

        def consider(i: int) -> None:
            if is_loop or 0 < i < count - 1:
                area = _cross(corners[before[i]], corners[i], corners[after[i]])
                cost[i] = abs(area)
                heapq.heappush(queue, (cost[i], i))

        for i in range(count):
            consider(i)
        left = count if is_loop else count - 2
        while queue and left > least:
            price, p = heapq.heappop(queue)
            between = _between(before[p], after[p], count)
            if cost[p] != price or not self._may_go(corners, between, p, before[p], after[p]):
                continue
            self._points.remove(corners[p])
            cost[p] = -1
            after[before[p]], before[after[p]] = after[p], before[p]
            left -= 1
            consider(before[p])
            consider(after[p])
        self._points.update(corners)
        ends = set() if is_loop else {0, count - 1}
        self._relink(steps, [i for i in range(count) if cost[i] >= 0 or i in ends], is_loop)

    def _may_go(
        self, corners: list[_Corner], between: list[int], p: int, before: int, after: int
    ) -> bool:
        start, end = corners[before], corners[after]
        if any(_square_distance(corners[i], start, end) > self._most for i in between):
            return False
        triangle = start, corners[p], end
        return not any(
            point in self._points and point not in triangle for point in _inside(triangle)
        )

    def _relink(self, steps: list[_Step], stays: list[int], is_loop: bool) -> None:
        for step in (steps[i] for i in set(range(len(steps))) - set(stays)):
            del self._graph.ways[step.corner]
            del self._graph.links[step.corner, step.back]
            del self._graph.links[step.corner, step.onward]
        for i, j in pairwise([*stays, stays[0]] if is_loop else stays):
            one, other = steps[i], steps[j]
            self._graph.connect((one.corner, one.onward), (other.corner, other.back))


def _between(first: int, last: int, count: int) -> list[int]:
    end = last if last > first else last + count
    return [i % count for i in range(first + 1, end)]


def _cross(a: _Corner, b: _Corner, c: _Corner) -> int:
    return (b[1] - a[1]) * (c[0] - a[0]) - (c[1] - a[1]) * (b[0] - a[0])


def _square_distance(p: _Corner, a: _Corner, c: _Corner) -> float:
    y, x = c[0] - a[0], c[1] - a[1]
    py, px = p[0] - a[0], p[1] - a[1]
    along, length = px * x + py * y, x * x + y * y
    if along <= 0:
        return float(px * px + py * py)
    if along >= length:
        return float((px - x) ** 2 + (py - y) ** 2)
    across = float(px * y - py * x)
    return across * across / length


def _inside(triangle: tuple[_Corner, _Corner, _Corner]) -> Iterator[_Corner]:
    """The whole points in a triangle and on its sides."""
    rows = [y for y, _ in triangle]
    for y in range(min(rows), max(rows) + 1):
        lows, highs = [], []
        for one, other in zip(triangle, (*triangle[1:], triangle[0]), strict=True):
            (top, x1), (bottom, x2) = sorted((one, other))
            if not top <= y <= bottom:
                continue
            if top == bottom:
                lows.append(x1)
                highs.append(x2)
                continue
            across = (x2 - x1) * (y - top)
            lows.append(x1 - -across // (bottom - top))
            highs.append(x1 + across // (bottom - top))
        yield from ((y, x) for x in range(min(lows), max(highs) + 1))


def _ring_of(corners: list[_Corner]) -> _Ring:
    start = corners.index(min(corners))
    ring = corners[start:] + corners[:start]
    area = sum(_cross(ring[0], ring[i], ring[i + 1]) for i in range(1, len(ring) - 1))
    return _Ring(area, ring)


def _arrays(
    found: Sequence[list[_Ring]],
    labels: npt.ArrayLike,
    first: npt.NDArray[Any],
    areas: npt.ArrayLike,
    weights: npt.ArrayLike,
    values: npt.ArrayLike,
) -> tuple[npt.NDArray[Any], ...]:
    rings = [ring.corners for part in found for ring in part]
    corners = [corner for ring in rings for corner in ring]
    points = np.array(corners, np.int32).reshape(-1, 2)[:, ::-1]
    return (
        np.ascontiguousarray(points),
        np.cumsum([0, *map(len, rings)], dtype=np.int64),
        np.cumsum([0, *map(len, found)], dtype=np.int64),
        np.asarray(labels, np.int32),
        np.asarray(areas, np.int64),
        np.asarray(weights, np.float64),
        np.asarray(values, np.float64),
        first.astype(np.int32),
    )
