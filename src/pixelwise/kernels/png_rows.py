"""The row filters of PNG, undone (W3C, Portable Network Graphics, second edition, section 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference_png
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import bytes_array, whole_number
from pixelwise.kernels.types import Bytes

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["undo_png_filters"]

_PIXEL_BYTES = (1, 2, 3, 4, 6, 8)
_HIGHEST_TYPE = 4


def undo_png_filters(filtered: Bytes, *, pixel_bytes: int) -> Bytes:
    """The rows of a PNG as they were before the encoder filtered them.

    Args:
        filtered: uint8 [H, 1 + n], the inflated pixel data: a filter type, 0 to 4, and n bytes.
        pixel_bytes: bytes per pixel, 1, 2, 3, 4, 6 or 8; 1 also for pixels of less than a byte.

    Returns:
        uint8 [H, n].

    Raises:
        ArrayError: filtered is not such an array, or a filter type is above 4.
        UsageError: pixel_bytes is another number, or n no multiple of it.
    """
    filtered = bytes_array("filtered", filtered, "[H, 1 + n]", (None, None))
    pixel_bytes = whole_number("pixel_bytes", pixel_bytes, least=1, most=8)
    row_bytes = filtered.shape[1] - 1
    if pixel_bytes not in _PIXEL_BYTES or row_bytes < 1 or row_bytes % pixel_bytes:
        raise UsageError(
            "rows that do not consist of whole pixels",
            where="argument pixel_bytes",
            got=f"{pixel_bytes} for rows of {row_bytes} bytes, "
            f"expected one of {', '.join(map(str, _PIXEL_BYTES))} that divides them",
            fix="give the bytes of a pixel: bits per sample / 8 × samples, and at least 1",
        )
    if COMPILED:
        out = np.empty((len(filtered), row_bytes), np.uint8)
        stopped = _native.undo_png_filters(filtered, pixel_bytes, out)
    else:
        unknown = np.flatnonzero(filtered[:, 0] > _HIGHEST_TYPE)
        stopped = int(unknown[0]) if len(unknown) else -1
        if stopped < 0:
            out = reference_png.undo_png_filters(filtered, pixel_bytes=pixel_bytes)
    if stopped >= 0:
        raise ArrayError(
            "a row has a filter type that PNG does not know",
            where="argument filtered [H, 1 + n]",
            got=f"type {filtered[stopped, 0]} in row {stopped}, expected 0 to {_HIGHEST_TYPE}",
            fix="the pixel data are damaged: copy or download the file again",
        )
    return out
