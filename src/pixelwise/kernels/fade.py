"""Loops over the scores of tiles: one faded into another, and whether all are finite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ArrayError
from pixelwise.kernels import reference_fade
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import check_array
from pixelwise.kernels.types import Floats

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["all_finite", "fade"]


def fade(
    before: Floats, after: Floats, weights: Floats, *, along: Literal["rows", "columns"]
) -> None:
    """Turns `after` into the mix of two arrays, in place: before + (after - before) * weight.

    Equal finite values stay as they are, bit for bit.

    Args:
        before: float32 [C, h, w], read only; may be a part of a larger array.
        after: the same size; may be a part of a larger array.
        weights: float32, of `after`, 0 to 1: [h] along the rows, [w] along the columns.
        along: where weights change: from row to row, or from column to column.

    Raises:
        ArrayError: an array is not such an array.
    """
    length = after.shape[1 if along == "rows" else 2] if after.ndim == 3 else -1
    arrays: dict[str, npt.NDArray[Any]] = {"before": before, "after": after}
    wrong = [name for name, array in arrays.items() if array.dtype != np.float32]
    if wrong or before.shape != after.shape or weights.shape != (length,):
        raise ArrayError(
            "these arrays cannot be faded into each other",
            where="arguments before, after [C, h, w] and weights",
            got=f"{before.dtype} {before.shape}, {after.dtype} {after.shape}, {weights.shape}",
            fix="give float32 arrays of one size, and a weight for each row or column",
        )
    if after.size == 0:
        return
    weights = np.ascontiguousarray(weights, np.float32)
    contiguous = before.strides[2] == after.strides[2] == before.itemsize
    if COMPILED and contiguous:
        _native.fade(before, after, weights, along == "rows")
    else:
        reference_fade.fade(before, after, weights, along=along)


def all_finite(values: Floats) -> bool:
    """Whether no value of a float32 array is NaN or infinite.

    Raises:
        ArrayError: the array is not float32, or empty.
    """
    check_array("values", values, ("float32",), values.ndim, "of any shape")
    if not COMPILED:
        return reference_fade.all_finite(values)
    return _native.all_finite(np.ascontiguousarray(values).reshape(-1))
