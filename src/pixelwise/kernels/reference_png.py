"""The NumPy twin of `undo_png_filters`: see `pixelwise.kernels.reference`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pixelwise.kernels.types import Bytes

__all__ = ["undo_png_filters"]

_NONE, _SUB, _UP, _AVERAGE = range(4)


def undo_png_filters(filtered: Bytes, *, pixel_bytes: int) -> Bytes:
    """See `pixelwise.kernels.undo_png_filters`."""
    height, width = len(filtered), (filtered.shape[1] - 1) // pixel_bytes
    out = np.zeros((height + 1, width, pixel_bytes), np.uint8)
    for y, row in enumerate(filtered):
        kind, values = int(row[0]), row[1:].reshape(width, pixel_bytes)
        above, here = out[y], out[y + 1]
        if kind == _NONE:
            here[:] = values
        elif kind == _SUB:
            np.add.accumulate(values, axis=0, dtype=np.uint8, out=here)
        elif kind == _UP:
            np.add(values, above, out=here)
        else:
            _undo_across(kind, values, above, here)
    return out[1:].reshape(height, -1)


def _undo_across(kind: int, values: Bytes, above: Bytes, out: Bytes) -> None:
    """Average and Paeth, in which each pixel needs the one before."""
    before = np.zeros((2, values.shape[1]), np.int16)
    for x, value in enumerate(values):
        neighbours = before[0], above[x].astype(np.int16), before[1]
        predicted = (
            (neighbours[0] + neighbours[1]) // 2 if kind == _AVERAGE else _nearest(*neighbours)
        )
        out[x] = (value + predicted) & 255
        before = np.stack([out[x].astype(np.int16), neighbours[1]])


def _nearest(
    left: npt.NDArray[np.int16],
    above: npt.NDArray[np.int16],
    corner: npt.NDArray[np.int16],
) -> npt.NDArray[np.int16]:
    """Whichever is nearest to left + above - corner; of equals the first."""
    candidates = np.stack([left, above, corner])
    distances = np.abs(left + above - corner - candidates)
    nearest: npt.NDArray[np.int16] = np.take_along_axis(
        candidates, distances.argmin(axis=0)[None], axis=0
    )[0]
    return nearest
