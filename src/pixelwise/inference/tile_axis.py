"""One side of a picture, cut into overlapping tiles whose scores lie on one common grid.

Tiles begin at multiples of the network's step, so the scores of neighbours fall on the same places
and can be mixed as they are, at the network's own low resolution. All in whole numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST_OVERLAP", "ScoreGrid", "TileAxis", "Zone", "cut_side", "fade_weights"]

# Tiles wider apart than this would leave places that none covers well; nearer, three would meet.
LARGEST_OVERLAP = 0.5


@dataclass(frozen=True)
class ScoreGrid:
    """How a network's scores lie on its input, the same for both sides.

    Attributes:
        stride: input pixels from one score to the next.
        step: where inputs may begin so that nothing else changes: a multiple of `stride`.
        remainder: inputs have `step · k + remainder` pixels along a side.
        corners: whether the first score lies on the first pixel; else scores are cells of
            `stride` pixels.
    """

    stride: int
    step: int
    remainder: int
    corners: bool

    def padded(self, side: int) -> int:
        """The smallest input side that holds `side` pixels."""
        return side + (self.remainder - side) % self.step

    def nearest(self, side: float) -> int:
        """The input side nearest to `side` pixels."""
        steps = max(0, round((side - self.remainder) / self.step))
        return steps * self.step + self.remainder or self.step

    def cells(self, side: int) -> int:
        """Scores along an input side."""
        return (side - 1) // self.stride + 1 if self.corners else side // self.stride


@dataclass(frozen=True)
class Zone:
    """Where two neighbouring tiles meet, in scores of the whole side.

    Scores before `start` are those of the first tile, from `stop` on those of the second; between
    them the one fades into the other.
    """

    start: int
    stop: int


@dataclass(frozen=True)
class TileAxis:
    """The tiles along one side.

    Attributes:
        grid: of the network.
        padded: input pixels along the side, padding included.
        tile: input pixels of one tile.
        origins: where each tile begins, in input pixels.
        zones: where each tile but the last meets the next.
    """

    grid: ScoreGrid
    padded: int
    tile: int
    origins: tuple[int, ...]
    zones: tuple[Zone, ...]

    @property
    def tiles(self) -> int:
        """How many tiles there are."""
        return len(self.origins)

    @property
    def cells(self) -> int:
        """Scores along the whole side."""
        return self.grid.cells(self.padded)

    @property
    def tile_cells(self) -> int:
        """Scores along a tile."""
        return self.grid.cells(self.tile)

    @property
    def fade(self) -> int:
        """Scores along which two tiles are mixed."""
        return self.zones[0].stop - self.zones[0].start if self.zones else 0

    def first_cell(self, index: int) -> int:
        """Where the scores of a tile begin on the whole side."""
        return self.origins[index] // self.grid.stride

    @property
    def shared(self) -> int:
        """The fewest input pixels that two neighbours have in common; 0 where there are none."""
        pairs = pairwise(self.origins)
        return min((first + self.tile - second for first, second in pairs), default=0)


def cut_side(
    side: int, grid: ScoreGrid, tile: int, overlap: float, *, fade: bool, fixed: bool = False
) -> TileAxis:
    """Cuts a side into tiles that are spread evenly.

    Args:
        side: pixels along the side at the network's scale.
        grid: of the network.
        tile: input pixels of a tile, `step · k + remainder`.
        overlap: part of a tile that its neighbour covers too, at least; 0 to 0.5.
        fade: whether tiles are mixed along the middle half of their overlap, or change in its
            middle at once.
        fixed: whether the network takes inputs of this size only; a smaller side is padded.
    """
    padded = grid.padded(side)
    if padded <= tile:
        padded = tile if fixed else padded
        return TileAxis(grid, padded, padded, (0,), ())
    steps = (tile - grid.remainder) // grid.step
    # Half-pixel grids need a score in common, or nothing could be interpolated between two tiles.
    shared = max(0 if grid.corners and grid.remainder else 1, round(overlap * steps))
    total = (padded - tile) // grid.step
    gaps = math.ceil(total / max(1, steps - shared))
    origins = tuple(grid.step * ((2 * n * total + gaps) // (2 * gaps)) for n in range(gaps + 1))
    return TileAxis(grid, padded, tile, origins, _zones(origins, grid, grid.cells(tile), fade))


def fade_weights(cells: int) -> NDArray[np.float32]:
    """Weight of the second tile along a zone, float32 `[cells]`: the rise of a Hann window."""
    places = np.arange(1, cells + 1) / (cells + 1)
    return (0.5 - 0.5 * np.cos(np.pi * places)).astype(np.float32)


def _zones(
    origins: tuple[int, ...], grid: ScoreGrid, tile_cells: int, fade: bool
) -> tuple[Zone, ...]:
    first = [origin // grid.stride for origin in origins]
    shared = [before + tile_cells - after for before, after in pairwise(first)]
    width = min(shared) // 2 if fade else 0
    if len(first) > 2:
        # Zones must not touch: a score is mixed once, and one score between them stays as it is.
        middles = [after + cells / 2 for after, cells in zip(first[1:], shared, strict=True)]
        nearest = min(b - a for a, b in pairwise(middles))
        width = max(0, min(width, int(nearest) - 2))
    # The score before a zone must lie in the second tile too.
    starts = [
        after + max(1, (cells - width + 1) // 2)
        for after, cells in zip(first[1:], shared, strict=True)
    ]
    return tuple(Zone(start, start + width) for start in starts)
