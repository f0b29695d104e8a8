"""How many pixels each class has in the cells of a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ArrayError
from pixelwise.kernels import reference_cells
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import (
    check_labels_below,
    labels_array,
    thread_count,
    whole_number,
)
from pixelwise.kernels.types import Labels

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["count_cells"]


def count_cells(
    labels: Labels,
    row_edges: npt.ArrayLike,
    column_edges: npt.ArrayLike,
    classes: int,
    *,
    threads: int = 0,
) -> npt.NDArray[np.int64]:
    """How many pixels each class has in every cell of a grid, in one pass over the map.

    Args:
        labels: uint8 or uint16 [H, W].
        row_edges: integers [R + 1], 0 to H, never falling: cell row r has the rows
            `row_edges[r]` up to before `row_edges[r + 1]`; none where they are equal.
        column_edges: integers [S + 1], 0 to W, likewise.
        classes: the number of classes, 1 to 65536; labels in the cells are below it.
        threads: 0 for every core that this process may use.

    Returns:
        int64 [R, S, classes].

    Raises:
        ArrayError: an array is not such an array, or a label in a cell is not below `classes`.
        UsageError: classes or threads is outside its range.
    """
    labels = labels_array(labels)
    rows = _edges("row_edges", row_edges, labels.shape[0])
    columns = _edges("column_edges", column_edges, labels.shape[1])
    classes = whole_number("classes", classes, least=1, most=65536)
    workers = thread_count(threads)
    inside = labels[rows[0] : rows[-1], columns[0] : columns[-1]]
    if not COMPILED:
        check_labels_below(int(inside.max(initial=0)), classes, "classes")
        return reference_cells.count_cells(labels, rows, columns, classes)
    counts = np.empty((len(rows) - 1, len(columns) - 1, classes), np.int64)
    highest = _native.count_cells(labels, rows, columns, counts, workers)
    check_labels_below(highest, classes, "classes")
    return counts


def _edges(name: str, edges: npt.ArrayLike, length: int) -> npt.NDArray[np.int64]:
    found = np.asarray(edges)
    fits = found.ndim == 1 and len(found) >= 2 and np.issubdtype(found.dtype, np.integer)
    if not fits or found[0] < 0 or found[-1] > length or (found[1:] < found[:-1]).any():
        raise ArrayError(
            f"{name} must be at least two whole numbers that never fall",
            where=f"argument {name}",
            got=f"{edges!r}, expected 0 … {length}"[:200],
            fix="give where each cell begins, and where the last one ends",
        )
    return np.ascontiguousarray(found, np.int64)
