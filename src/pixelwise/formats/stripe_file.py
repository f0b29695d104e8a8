"""Stripes of a picture as they are finished, and the tiles that they make together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.formats.block_file import BlockFile, TileForm, tile_grid
from pixelwise.geometry import Window

__all__ = ["StripeFile"]

_AT_ONCE = 1 << 24


class StripeFile:
    """Stripes, each cut into blocks at the borders of the columns of tiles.

    Args:
        path: of the file; it is made.
        form: of the tiles.
        size: `(H, W)` of the picture.
        windows: of all stripes, in the order in which they will come; together they hold every
            pixel once.
        done: how many of them are there from an earlier run.

    Raises:
        OutputError: the file cannot be written, or holds fewer stripes.
    """

    def __init__(
        self,
        path: Path,
        form: TileForm,
        size: tuple[int, int],
        windows: Sequence[Window],
        *,
        done: int = 0,
    ) -> None:
        self.form = form
        self.grid = tile_grid(size, form.side)
        self._windows = windows
        firsts = [0]
        for window in windows:
            firsts.append(firsts[-1] + len(range(*self._columns(window))))
        self._firsts = firsts
        self._over_row: list[list[int]] = [[] for _ in range(self.grid[0])]
        for index, window in enumerate(windows):
            for row in range(window.top // form.side, -(-window.bottom // form.side)):
                self._over_row[row].append(index)
        self._file = BlockFile(path, count=firsts[done])

    def append(
        self, window: Window, values: Callable[[slice], NDArray[Any]], pool: Executor
    ) -> None:
        """Adds the next stripe, compressed in the threads of a pool.

        Args:
            window: of the stripe.
            values: gives columns of the stripe, counted from its left edge, `[h, w, channels]`;
                called in the threads.
            pool: the threads.

        Raises:
            OutputError: it cannot be written, as when the disk is full.
        """
        side, form = self.form.side, self.form

        def encoded(column: int) -> bytes:
            left, right = max(window.left, column * side), min(window.right, (column + 1) * side)
            part = values(slice(left - window.left, right - window.left))
            return form.encode(part, fast=True)

        first, last = self._columns(window)
        # What one block takes before it is compressed, so that wide pictures take no more memory.
        block = (window.bottom - window.top) * side * form.channels * form.dtype.itemsize
        together = max(1, _AT_ONCE // block)
        for start in range(first, last, together):
            self._file.append(pool.map(encoded, range(start, min(start + together, last))))

    def tile(self, row: int, column: int) -> NDArray[Any]:
        """One tile, `[side, side, channels]`, once all stripes are there.

        Raises:
            OutputError: the file is damaged.
        """
        form, side = self.form, self.form.side
        tile = np.full((side, side, form.channels), form.fill, form.dtype)
        top, left = row * side, column * side
        for index in self._over(row, column):
            window = self._windows[index]
            first, last = max(window.left, left), min(window.right, left + side)
            number = self._firsts[index] + column - window.left // side
            height = window.bottom - window.top
            block = self._file.block(number, form, (height, last - first))
            upper, lower = max(window.top, top), min(window.bottom, top + side)
            tile[upper - top : lower - top, first - left : last - left] = block[
                upper - window.top : lower - window.top
            ]
        return tile

    def sync(self) -> None:
        """Waits until all is on the disk.

        Raises:
            OutputError: it cannot be written.
        """
        self._file.sync()

    def close(self) -> None:
        """Ends the writing; the file stays."""
        self._file.close()

    def _columns(self, window: Window) -> tuple[int, int]:
        side = self.form.side
        return window.left // side, -(-window.right // side)

    def _over(self, row: int, column: int) -> list[int]:
        """The stripes that lie over a tile."""
        left, side = column * self.form.side, self.form.side
        return [
            index
            for index in self._over_row[row]
            if self._windows[index].left < left + side and self._windows[index].right > left
        ]
