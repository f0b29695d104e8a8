"""Joins tiles of scores: only the seams between them are kept, never the picture's scores.

Along each seam the scores of two tiles are faded into each other, first across columns, then
across rows. Weights add up to 1 by construction, so there is no map of counts and no division;
all other scores stay as the network gave them. Accumulators are float32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.inference.tile_axis import TileAxis, fade_weights

__all__ = ["Seams"]

Scores = NDArray[np.float32]


class Seams:
    """What tiles leave behind for their neighbours to the right and below.

    Tiles come row by row, from left to right. After `join`, a tile holds the final scores of all
    places that it finishes, and of the row and the column before them, so that pixels between two
    tiles can be interpolated from one array.

    Args:
        rows, columns: the tiles along each side.
        first, last: columns of tiles that come, both included.
        classes: score maps.
    """

    def __init__(
        self, rows: TileAxis, columns: TileAxis, first: int, last: int, classes: int
    ) -> None:
        self._rows = rows
        self._columns = columns
        self._first = first
        self._last = last
        self._left = columns.first_cell(first)
        width = columns.first_cell(last) + columns.tile_cells - self._left
        self._row_weights = fade_weights(rows.fade)
        self._column_weights = fade_weights(columns.fade)
        # The scores below the last finished row, and that row itself.
        self._below = np.zeros((classes, rows.fade + 1, width), np.float32)
        self._right = np.zeros((classes, rows.tile_cells, columns.fade), np.float32)
        self._edge = np.zeros((classes, rows.tile_cells), np.float32)

    @staticmethod
    def bytes_for(rows: TileAxis, columns: TileAxis, first: int, last: int, classes: int) -> int:
        """The memory that the seams of these tiles take."""
        width = columns.first_cell(last) - columns.first_cell(first) + columns.tile_cells
        beside = rows.tile_cells * (columns.fade + 1)
        return 4 * classes * ((rows.fade + 1) * width + beside)

    def join(self, row: int, column: int, tile: Scores, *, follows: bool = True) -> None:
        """Fades a tile into those that came before, in place.

        Args:
            row: of tiles.
            column: of tiles.
            tile: its scores, float32 `[C, h, w]`.
            follows: whether the row of tiles above came before; else the rows that both share are
                left alone.
        """
        from_column, to_column = 0, self._columns.tile_cells
        origin = self._columns.first_cell(column)
        if column > self._first:
            zone = self._columns.zones[column - 1]
            from_column = zone.start - origin
            faded = tile[:, :, from_column : zone.stop - origin]
            kernels.fade(self._right, faded, self._column_weights, along="columns")
        if column < self._last:
            zone = self._columns.zones[column]
            to_column = zone.start - origin
            self._right[...] = tile[:, :, to_column : zone.stop - origin]
        finished = slice(from_column, to_column)
        kept = slice(origin + from_column - self._left, origin + to_column - self._left)
        top = self._rows.first_cell(row)
        if row > 0 and follows:
            zone = self._rows.zones[row - 1]
            faded = tile[:, zone.start - top : zone.stop - top, finished]
            kernels.fade(self._below[:, 1:, kept], faded, self._row_weights, along="rows")
            tile[:, zone.start - 1 - top, finished] = self._below[:, 0, kept]
        if column > self._first:
            tile[:, :, from_column - 1] = self._edge
        if column < self._last:
            self._edge[...] = tile[:, :, to_column - 1]
        if row < self._rows.tiles - 1:
            zone = self._rows.zones[row]
            self._below[:, :, kept] = tile[:, zone.start - 1 - top : zone.stop - top, finished]
