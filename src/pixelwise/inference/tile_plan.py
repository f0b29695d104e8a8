"""How a picture of any size is cut into tiles, and what that costs in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from pixelwise.errors import UsageError
from pixelwise.geometry import Geometry, Window
from pixelwise.inference.card import Postprocessing
from pixelwise.inference.network import Network, resident_bytes
from pixelwise.inference.preprocess import InputPlan, score_geometry
from pixelwise.inference.seams import Seams
from pixelwise.inference.tile_axis import LARGEST_OVERLAP, ScoreGrid, TileAxis, cut_side
from pixelwise.kernels import Axis

__all__ = [
    "DEFAULT_OVERLAP",
    "DEFAULT_TILE",
    "Blend",
    "Strip",
    "TilePlan",
    "describe_settings",
    "plan_tiles",
]

Blend = Literal["hann", "flat"]
DEFAULT_OVERLAP = 0.25
DEFAULT_TILE = 1024

# Below the first ones more is lost to overlaps and to what a network sees than memory is won.
_TILES = (DEFAULT_TILE, 768, 512, 384, 256, 192, 128)
# What is there at the same time while two batches are read and run ahead: float32 pictures and
# inputs, scores that wait or are joined, stripes that are filled and written.
_INPUTS_AT_ONCE = 6
_SCORES_AT_ONCE = 5
_STRIPES_AT_ONCE = 2
# What allocators keep, threads, and the workspace of kernels.
_SLACK = 16 << 20
# Processors are no faster with more than one tile at once.
_GPU_BATCH = 4
# Strips of fewer tiles would work too much of the picture twice.
_NARROWEST_STRIP = 4
# Wider ones would take more memory the wider the picture; a column of tiles worked through twice in
# so many pixels costs some 3 %.
_WIDEST_STRIP = 32_768


@dataclass(frozen=True)
class Strip:
    """Columns that are worked through from top to bottom before those right of them.

    Attributes:
        first, last: columns of tiles, both included; strips share the one that their border cuts.
        left, right: columns of pixels `left <= x < right`.
    """

    first: int
    last: int
    left: int
    right: int


@dataclass(frozen=True)
class TilePlan:
    """A picture cut into tiles.

    Attributes:
        size: `(H, W)` of the picture.
        resized: `(H, W)` at which the network sees it, without padding.
        rows, columns: the tiles along each side.
        overlap: part of a tile that was asked for.
        blend: how tiles are joined.
        batch: tiles that run together.
        strips: columns that are worked through one after the other.
        tta: test-time augmentation, one of `AUGMENTATIONS`.
        probabilities, confidence: whether stripes carry them.
        memory: what all of it takes at its peak, with the process as it was, in bytes.
        postprocessing: of the card.
    """

    size: tuple[int, int]
    resized: tuple[int, int]
    rows: TileAxis
    columns: TileAxis
    overlap: float
    blend: Blend
    batch: int
    strips: tuple[Strip, ...]
    tta: str
    probabilities: bool
    confidence: bool
    memory: int
    postprocessing: Postprocessing

    @property
    def grid(self) -> ScoreGrid:
        """How the network's scores lie on its input."""
        return self.rows.grid

    @property
    def tile(self) -> tuple[int, int]:
        """`(H, W)` of a tile, in pixels of the network's input."""
        return self.rows.tile, self.columns.tile

    @property
    def padded(self) -> tuple[int, int]:
        """`(H, W)` of what all tiles cover together, at the network's scale."""
        return self.rows.padded, self.columns.padded

    @property
    def tiles(self) -> int:
        """How many tiles are run, those twice that two strips share."""
        return self.rows.tiles * sum(strip.last - strip.first + 1 for strip in self.strips)

    @cached_property
    def geometry(self) -> Geometry:
        """How the picture's pixels fall on the scores of all tiles together."""
        return score_geometry(
            InputPlan(self.size, self.resized, self.padded),
            (self.rows.cells, self.columns.cells),
            self.postprocessing,
        )

    @cached_property
    def row_edges(self) -> tuple[int, ...]:
        """Where the pixels that each row of tiles finishes begin, and the height."""
        return _edges(self.rows, self.geometry.rows)

    @cached_property
    def column_edges(self) -> tuple[int, ...]:
        """Where the pixels that each column of tiles finishes begin, and the width."""
        return _edges(self.columns, self.geometry.columns)

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """The window of every stripe, in the order in which they come."""
        return tuple(
            Window(strip.left, self.row_edges[row], strip.right, self.row_edges[row + 1])
            for strip, row in self.stripes()
        )

    def stripes(self) -> Iterator[tuple[Strip, int]]:
        """Strip and row of tiles of every stripe; rows that finish no pixel have none."""
        for strip in self.strips:
            for row in range(self.rows.tiles):
                if self.row_edges[row] < self.row_edges[row + 1]:
                    yield strip, row

    def describe(self) -> str:
        """The plan in one line."""
        (height, width), tiles = self.tile, self.rows.tiles * self.columns.tiles
        parts = [f"{tiles} tile{'s' * (tiles > 1)} of {height}×{width} (H×W)"]
        if tiles > 1:
            shared = self.columns.shared or self.rows.shared
            parts.append(f"at least {shared} pixels shared, {self.blend}")
        if self.batch > 1:
            parts.append(f"{self.batch} at once")
        if len(self.strips) > 1:
            parts.append(f"{len(self.strips)} strips of columns")
        if self.memory:
            parts.append(f"about {self.memory / 2**20:,.0f} MiB")
        return ", ".join(parts)


def describe_settings(
    *,
    tile: int | None = None,
    overlap: float = DEFAULT_OVERLAP,
    blend: Blend = "hann",
    scale: float = 1.0,
    tta: str = "none",
) -> str:
    """What a result says of its tiles and its augmentation; empty where it has neither.

    Two results of one picture and model with the same text are the same.
    """
    parts = [] if tile is None else [f"tile {tile}, overlap {overlap:g}, {blend}"]
    parts += [f"scale {scale:g}"] if scale != 1 else []
    parts += [f"tta {tta}"] if tta != "none" else []
    return ", ".join(parts)


@dataclass(frozen=True)
class _Wish:
    """What a plan is to serve, besides its tiles."""

    network: Network
    size: tuple[int, int]
    resized: tuple[int, int]
    overlap: float
    blend: Blend
    batch: int
    tta: str
    probabilities: bool
    confidence: bool
    standing: int  # bytes that the process has before
    bands: int


def plan_tiles(
    size: tuple[int, int],
    model: Network,
    *,
    memory: int | None = None,
    tile: int | None = None,
    overlap: float = DEFAULT_OVERLAP,
    blend: Blend = "hann",
    batch: int | None = None,
    strips: int | None = None,
    scale: float = 1.0,
    tta: str = "none",
    probabilities: bool = False,
    confidence: bool = False,
    reserved: int = 0,
    bands: int = 3,
) -> TilePlan:
    """Cuts a picture into tiles that fit into the memory.

    The network sees the picture at its own scale, whatever size the card's rule would bring it to:
    who cuts a picture into tiles wants its details. With `scale` it is brought to another.

    Args:
        size: `(H, W)` of the picture in pixels.
        model: what is to run; its network runs once on an empty picture to find its grid.
        memory: cap in bytes on the memory of the whole process; None: no cap.
        tile: side of a tile in pixels of the network's input; the nearest size that the network
            takes is used. None: 1024, or the largest below it that fits.
        overlap: part of a tile's side that its neighbour covers too, 0 to 0.5.
        blend: `"hann"` fades tiles into each other along the middle half of their overlap;
            `"flat"` takes every place from the tile in which it lies deeper. Where the receptive
            field of a network fits into half the overlap (`"flat"`: into all of it), the scores
            are those of the whole picture.
        batch: tiles that run together; None: one on a processor, up to four on a GPU.
        strips: columns of the picture that are worked through one after the other; None: as few
            as fit, and with a cap none wider than 32,768 pixels. With it, `tile` and `batch` the
            plan is the same whatever the memory.
        scale: how much larger the network sees the picture.
        tta: test-time augmentation: `"none"`, `"mirror"` (left and right), `"flips"` (and upside
            down) or `"scales"` (0.75, 1 and 1.25); the mean of the scores of all views.
        probabilities: whether stripes will carry those of all classes.
        confidence: whether stripes will carry that of the label.
        reserved: bytes under the cap that are left to the caller.
        bands: of the picture.

    Raises:
        UsageError: an argument is outside its range, or the cap is too small; the smallest
            possible is named.
        EngineError: the network cannot be run in tiles.
    """
    faults = _faults(size, memory, tile, overlap, blend, batch, strips, scale)
    if faults:
        raise UsageError("the picture cannot be cut like this", got="; ".join(faults))
    model.views(tta)
    on_gpu = "gpu" in model.engine
    probe = model.probe
    # What the probe took and was not given back is counted with the network.
    standing = max(probe.bytes_before, resident_bytes() - probe.bytes_per_pixel * probe.pixels)
    wish = _Wish(
        network=model,
        size=size,
        resized=(max(1, round(size[0] * scale)), max(1, round(size[1] * scale))),
        overlap=overlap,
        blend=blend,
        batch=1 if model.file.one_by_one else batch or (_GPU_BATCH if on_gpu else 1),
        tta=tta,
        probabilities=probabilities,
        confidence=confidence,
        standing=standing + reserved,
        bands=bands,
    )
    sides = _sides(wish, tile)
    if memory is None:
        return _in_strips(_plan(wish, sides[0]), wish, strips or 1, strips or 1)
    fewest = strips or math.ceil(wish.resized[1] / _WIDEST_STRIP)
    tried = []
    for side in sides:
        for together in {wish.batch: None, batch or 1: None}:
            plan = _plan(replace(wish, batch=together), side)
            most = strips or max(fewest, plan.columns.tiles // _NARROWEST_STRIP)
            tried.append(_in_strips(plan, wish, fewest, most, memory))
            if tried[-1].memory <= memory:
                return tried[-1]
    best = min(tried, key=lambda plan: plan.memory)
    raise UsageError(
        "the memory allowed is too small for one tile",
        got=f"{memory / 2**20:,.0f} MiB; the smallest possible is "
        f"{-(-best.memory // 2**20):,} MiB, with tiles of {best.tile[0]}×{best.tile[1]}",
        fix=f"allow at least {-(-best.memory // 2**20):,} MiB",
    )


def _faults(
    size: tuple[int, int],
    memory: int | None,
    tile: int | None,
    overlap: float,
    blend: str,
    batch: int | None,
    strips: int | None,
    scale: float,
) -> list[str]:
    checks = {
        f"size {size}, expected a height and a width of at least 1": min(size) >= 1,
        f"memory {memory}, expected bytes above 0": memory is None or memory > 0,
        f"tile {tile}, expected a side of at least 1": tile is None or tile >= 1,
        f"overlap {overlap}, expected 0 to {LARGEST_OVERLAP}": 0 <= overlap <= LARGEST_OVERLAP,
        f"blend {blend!r}, expected one of {', '.join(get_args(Blend))}": blend in get_args(Blend),
        f"batch {batch}, expected at least 1": batch is None or batch >= 1,
        f"strips {strips}, expected at least 1": strips is None or strips >= 1,
        f"scale {scale}, expected above 0, at most 16": 0 < scale <= 16,
    }
    return [fault for fault, holds in checks.items() if not holds]


def _sides(wish: _Wish, tile: int | None) -> list[tuple[int, int]]:
    """Sizes of tiles `(H, W)` that may be tried, the best first."""
    fixed = wish.network.file.input_size
    grid = wish.network.probe.grid
    # A grid without a score in common at an overlap of 0 needs a second step to have one.
    least = grid.step * (1 if grid.corners and grid.remainder else 2) + grid.remainder
    wanted = _TILES if tile is None else (tile,)
    sides = []
    for side in wanted:
        free = max(least, grid.nearest(side))
        height, width = (free if given is None else given for given in fixed)
        if (height, width) not in sides:
            sides.append((height, width))
    return sides


def _plan(wish: _Wish, tile: tuple[int, int]) -> TilePlan:
    """The plan with these tiles, in one strip, before its memory is known."""
    fixed = wish.network.file.input_size
    grid = wish.network.probe.grid
    rows, columns = (
        cut_side(
            side,
            grid,
            extent,
            wish.overlap,
            fade=wish.blend == "hann",
            fixed=given is not None,
        )
        for side, extent, given in zip(wish.resized, tile, fixed, strict=True)
    )
    return TilePlan(
        size=wish.size,
        resized=wish.resized,
        rows=rows,
        columns=columns,
        overlap=wish.overlap,
        blend=wish.blend,
        batch=min(wish.batch, columns.tiles),
        strips=(Strip(0, columns.tiles - 1, 0, wish.size[1]),),
        tta=wish.tta,
        probabilities=wish.probabilities,
        confidence=wish.confidence,
        memory=0,
        postprocessing=wish.network.card.postprocessing,
    )


def _in_strips(
    plan: TilePlan, wish: _Wish, fewest: int, most: int, memory: int | None = None
) -> TilePlan:
    """The plan with as few strips as fit into the memory, or with the most."""
    # Strips share a tile, so each but the first has one of its own at least.
    most = max(1, min(most, plan.columns.tiles - 1))
    for count in range(min(fewest, most), most + 1):
        plan = replace(plan, strips=_strips(plan, count))
        plan = replace(plan, memory=_bytes(plan, wish))
        if memory is not None and plan.memory <= memory:
            break
    return plan


def _strips(plan: TilePlan, count: int) -> tuple[Strip, ...]:
    """Strips of about equally many columns of tiles."""
    columns = plan.columns
    shared = [round(n * (columns.tiles - 1) / count) for n in range(1, count)]
    cuts = [_middle(plan, index) for index in shared]
    firsts, lasts = [0, *shared], [*shared, columns.tiles - 1]
    lefts, rights = [0, *cuts], [*cuts, plan.size[1]]
    return tuple(Strip(*parts) for parts in zip(firsts, lasts, lefts, rights, strict=True))


def _middle(plan: TilePlan, index: int) -> int:
    """The first pixel right of the middle of what a tile has for itself."""
    zones = plan.columns.zones
    middle = (zones[index - 1].stop + zones[index].start) // 2
    positions = plan.geometry.columns.positions(plan.columns.cells)
    return int(np.searchsorted(positions, middle))


def _bytes(plan: TilePlan, wish: _Wish) -> int:
    """What the plan takes at its peak, with the process as it was."""
    probe = wish.network.probe
    classes = len(wish.network.classes)
    pixels = plan.batch * plan.tile[0] * plan.tile[1]
    cells = plan.batch * plan.rows.tile_cells * plan.columns.tile_cells
    height = max(b - a for a, b in pairwise(plan.row_edges))
    widest = max(strip.right - strip.left for strip in plan.strips)
    block = plan.tile[0] * plan.tile[1]
    ids = 1 if max(wish.network.classes.ids) < 256 else 2
    pixel_bytes = ids + 4 * plan.confidence + 4 * classes * plan.probabilities
    views = wish.network.views(plan.tta)
    largest = max(view.scale for view in views) ** 2
    # The sum over the views, and the scores of one of them at the sum's size.
    scores = _SCORES_AT_ONCE + 2 * (len(views) > 1)
    if plan.postprocessing.temperature != 1 and (plan.confidence or plan.probabilities):
        scores += 1
    return (
        wish.standing
        + _SLACK
        + probe.bytes_per_pixel * max(probe.pixels, int(largest * pixels))
        + _INPUTS_AT_ONCE * 4 * wish.bands * pixels
        + scores * 4 * classes * cells
        + pixel_bytes * (_STRIPES_AT_ONCE * height * widest + block)
        + max(
            Seams.bytes_for(plan.rows, plan.columns, strip.first, strip.last, classes)
            for strip in plan.strips
        )
    )


def _edges(tiles: TileAxis, axis: Axis) -> tuple[int, ...]:
    """Where the pixels begin that are between finished scores once a tile has come, and the end."""
    positions = axis.positions(tiles.cells)
    starts = [zone.start - 1 for zone in tiles.zones]
    return (0, *(int(place) for place in np.searchsorted(positions, starts)), axis.size)
