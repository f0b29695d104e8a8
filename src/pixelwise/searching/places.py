"""Parts of a picture that a search can name, as sets of the 8 × 8 cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.presence import CELL_SIDE

__all__ = ["CELL_COUNTS", "Place", "cell_place", "named_place"]

CELL_COUNTS = (1, 2, 4, 8)

_HALF, _QUARTER = CELL_SIDE // 2, CELL_SIDE // 4
_ROWS = {"top": slice(0, _HALF), "bottom": slice(_HALF, CELL_SIDE)}
_COLUMNS = {"left": slice(0, _HALF), "right": slice(_HALF, CELL_SIDE)}
_MIDDLE = slice(_QUARTER, CELL_SIDE - _QUARTER)
_CENTRES = {"centre", "center", "middle"}
_WHOLE = slice(0, CELL_SIDE)


@dataclass(frozen=True)
class Place:
    """A part of a picture.

    Attributes:
        name: as it is shown.
        rows: of the 8 × 8 cells, first and one past the last.
        columns: likewise.
    """

    name: str
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def cells(self) -> NDArray[np.bool_]:
        """Which of the 64 cells lie in it, bool `[64]`, row by row."""
        found = np.zeros((CELL_SIDE, CELL_SIDE), np.bool_)
        found[slice(*self.rows), slice(*self.columns)] = True
        return found.reshape(-1)


def named_place(words: tuple[str, ...]) -> Place | None:
    """The place of words such as `("top", "left")` or `("left", "half")`; None: no such place."""
    if len(words) == 1 and words[0] in _CENTRES:
        return _place("centre", _MIDDLE, _MIDDLE)
    if len(words) == 2 and words[0] in _ROWS and words[1] in _COLUMNS:
        return _place(" ".join(words), _ROWS[words[0]], _COLUMNS[words[1]])
    if len(words) == 1 or words[1:] == ("half",):
        if words[0] in _ROWS:
            return _place(words[0], _ROWS[words[0]], _WHOLE)
        if words[0] in _COLUMNS:
            return _place(words[0], _WHOLE, _COLUMNS[words[0]])
    return None


def cell_place(row: int, column: int, side: int) -> Place:
    """One cell of `side` × `side`, both counted from 1 at the top left."""
    step = CELL_SIDE // side
    rows, columns = (slice((n - 1) * step, n * step) for n in (row, column))
    return _place(f"cell {row},{column} of {side}", rows, columns)


def _place(name: str, rows: slice, columns: slice) -> Place:
    return Place(name, (rows.start, rows.stop), (columns.start, columns.stop))
