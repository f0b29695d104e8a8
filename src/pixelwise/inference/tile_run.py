"""Runs a network over tiles: reading, running and what follows overlap, with bounded queues."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import OutOfMemoryError
from pixelwise.geometry import Window
from pixelwise.inference.augmentation import mean_scores
from pixelwise.inference.network import Network
from pixelwise.inference.pixel_source import PixelSource, read_scaled
from pixelwise.inference.preprocess import InputPlan
from pixelwise.inference.tile_axis import TileAxis, cut_side
from pixelwise.inference.tile_plan import Strip, TilePlan

__all__ = ["TileBatch", "owned", "run_tiles"]

Scores = NDArray[np.float32]
# Batches that are read or run before the one before them is taken.
_AHEAD = 2


@dataclass(frozen=True)
class TileBatch:
    """Neighbouring tiles of one row that run together.

    Attributes:
        strip: where they belong.
        row: of tiles.
        columns: of tiles, in order; the visible parts of all have one size.
        follows: whether the row above came before.
        finishes: whether the pixels of the row are wanted.
    """

    strip: Strip
    row: int
    columns: tuple[int, ...]
    follows: bool
    finishes: bool


def run_tiles(
    network: Network, source: PixelSource, plan: TilePlan, batches: Iterable[TileBatch]
) -> Generator[tuple[TileBatch, Scores], None, None]:
    """Scores of the tiles of each batch, float32 `[B, C, h, w]`, in order; they may be written to.

    One thread reads and one runs the network, two batches ahead at most; when the caller stops
    early, what is under way is finished and nothing new starts.
    """
    runner = _Runner(network, plan)
    reading = ThreadPoolExecutor(1, thread_name_prefix="pixelwise-read")
    running = ThreadPoolExecutor(1, thread_name_prefix="pixelwise-run")
    waiting: deque[tuple[TileBatch, Future[Scores]]] = deque()
    try:
        for batch in batches:
            pictures = reading.submit(_read, source, plan, batch)
            waiting.append((batch, running.submit(runner.scores, batch, pictures.result)))
            if len(waiting) > _AHEAD:
                ready, scores = waiting.popleft()
                yield ready, scores.result()
        while waiting:
            ready, scores = waiting.popleft()
            yield ready, scores.result()
    finally:
        reading.shutdown(wait=True, cancel_futures=True)
        running.shutdown(wait=True, cancel_futures=True)


def _visible(plan: TilePlan, row: int, column: int) -> Window:
    """The part of a tile that lies in the resized picture."""
    (height, width), (tall, wide) = plan.resized, plan.tile
    top, left = plan.rows.origins[row], plan.columns.origins[column]
    return Window(left, top, min(left + wide, width), min(top + tall, height))


def _read(source: PixelSource, plan: TilePlan, batch: TileBatch) -> list[NDArray[Any]]:
    return [
        read_scaled(source, plan.resized, _visible(plan, batch.row, column))
        for column in batch.columns
    ]


class _Runner:
    """Runs batches of tiles, in smaller parts once memory has run out."""

    def __init__(self, network: Network, plan: TilePlan) -> None:
        self._network = network
        self._plan = plan
        self._views = network.views(plan.tta)
        self._most = max(1, plan.batch)
        self._longest: int | None = None

    def scores(self, batch: TileBatch, pictures: Callable[[], list[NDArray[Any]]]) -> Scores:
        """Scores of the batch, float32 `[B, C, h, w]`."""
        window = _visible(self._plan, batch.row, batch.columns[0])
        size = (window.bottom - window.top, window.right - window.left)
        scores = mean_scores(
            pictures(),
            [InputPlan(size, size, self._plan.tile)] * len(batch.columns),
            self._network.card,
            self._views,
            self._run,
            step=self._plan.grid.step,
            threads=self._network.threads,
        )
        return scores if scores.flags.writeable else scores.copy()

    def _run(self, inputs: Scores) -> Scores:
        if len(inputs) > self._most:
            most = self._most
            parts = [self._run(inputs[n : n + most]) for n in range(0, len(inputs), most)]
            return np.concatenate(parts)
        if self._longest is not None and max(inputs.shape[2:]) > self._longest:
            return self._in_parts(inputs, self._longest)
        try:
            return self._network.run(inputs)
        except OutOfMemoryError:
            # An engine keeps what it took for the shape that failed; a smaller one may still fit.
            if len(inputs) > 1:
                self._most = len(inputs) // 2
            else:
                half = self._plan.grid.nearest(max(inputs.shape[2:]) / 2)
                if not self._may_be(half, max(inputs.shape[2:])):
                    raise
                self._longest = half
        return self._run(inputs)

    def _may_be(self, half: int, side: int) -> bool:
        """Whether tiles of half the side can be joined."""
        free = self._network.file.input_size == (None, None)
        return free and 2 * self._plan.grid.step <= half < side

    def _in_parts(self, inputs: Scores, side: int) -> Scores:
        """The scores of one input, from tiles of it."""
        rows, columns = (
            cut_side(extent, self._plan.grid, side, 0.25, fade=False) for extent in inputs.shape[2:]
        )
        out = np.empty((1, len(self._network.classes), rows.cells, columns.cells), np.float32)
        for row in range(rows.tiles):
            for column in range(columns.tiles):
                y, x = rows.origins[row], columns.origins[column]
                part = inputs[:, :, y : y + rows.tile, x : x + columns.tile]
                scores = self._run(np.ascontiguousarray(part))
                down, here_down = owned(rows, row)
                across, here_across = owned(columns, column)
                out[:, :, down, across] = scores[:, :, here_down, here_across]
        return out


def owned(tiles: TileAxis, index: int) -> tuple[slice, slice]:
    """The scores that a tile finishes, on the whole side and on the tile."""
    first = tiles.zones[index - 1].start if index > 0 else 0
    last = tiles.zones[index].start if index < tiles.tiles - 1 else tiles.cells
    origin = tiles.first_cell(index)
    return slice(first, last), slice(first - origin, last - origin)
