"""What kind of error each wrong pixel is.

Regions are connected (8 neighbours). A true region is lost where fewer than a tenth of its pixels
are right, a predicted region is false where fewer than a tenth of its are. Of the wrong pixels

- in a lost region that are in a false region: wrong class; the object is there, under another name;
- else in a lost region: missed;
- else in a false region: invented;
- else where the predicted class is in the truth within `width` pixels: boundary;
- else: extent; the region is found, but too large or too small.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.drawing import IGNORED
from pixelwise.data.nearness import near
from pixelwise.kernels import label_regions

__all__ = ["ErrorKind", "beside_own_class", "boundary_width", "count_kinds", "kinds_of_errors"]

_LOST = 0.1
_SHARE_OF_DIAGONAL = 0.005
_NARROWEST = 2


class ErrorKind(IntEnum):
    """Kinds of wrong pixels; 0 is none."""

    NONE = 0
    BOUNDARY = 1
    EXTENT = 2
    MISSED = 3
    INVENTED = 4
    WRONG_CLASS = 5


def boundary_width(size: tuple[int, int]) -> int:
    """Half a percent of the diagonal of a picture `(H, W)` in pixels, 2 at least."""
    return max(_NARROWEST, round(_SHARE_OF_DIAGONAL * float(np.hypot(*size))))


def kinds_of_errors(
    truth: NDArray[np.uint16], labels: NDArray[np.uint16], *, width: int
) -> NDArray[np.uint8]:
    """The kind of each pixel, uint8 `[H, W]`: an `ErrorKind`.

    Args:
        truth: uint16 `[H, W]`: channels, or 65,535 where nothing counts.
        labels: uint16 `[H, W]`: channels.
        width: how far from a border of the truth an error may be to be one of the boundary.
    """
    counted = truth != IGNORED
    wrong = counted & (truth != labels)
    right = counted & (truth == labels)
    lost = _hardly_right(truth, right, counted)
    false = _hardly_right(np.where(counted, labels, np.uint16(IGNORED)), right, counted)
    kinds = np.full(truth.shape, ErrorKind.EXTENT, np.uint8)
    kinds[beside_own_class(truth, labels, wrong & ~lost & ~false, width)] = ErrorKind.BOUNDARY
    kinds[false] = ErrorKind.INVENTED
    kinds[lost] = ErrorKind.MISSED
    kinds[lost & false] = ErrorKind.WRONG_CLASS
    kinds[~wrong] = ErrorKind.NONE
    return kinds


def count_kinds(
    kinds: NDArray[np.uint8],
    truth: NDArray[np.uint16],
    labels: NDArray[np.uint16],
    classes: int,
) -> NDArray[np.int64]:
    """Pixels of each kind and class, int64 `[6, C]`; right ones in row 0.

    An invented pixel counts for the class that was predicted, any other for that of the truth.
    """
    counted = truth != IGNORED
    owner = np.where(kinds == ErrorKind.INVENTED, labels, truth)[counted].astype(np.int64)
    inside = owner < classes
    cells = kinds[counted][inside].astype(np.int64) * classes + owner[inside]
    counts = np.bincount(cells, minlength=len(ErrorKind) * classes)
    return counts.reshape(len(ErrorKind), classes).astype(np.int64)


def _hardly_right(
    values: NDArray[np.uint16], right: NDArray[np.bool_], counted: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Pixels of regions of equal values of which hardly any pixel is right."""
    regions = label_regions(np.ascontiguousarray(values))
    found = np.bincount(regions.components.ravel(), right.ravel(), len(regions.area))
    hardly: NDArray[np.bool_] = (found < _LOST * regions.area)[regions.components]
    return hardly & counted


def beside_own_class(
    truth: NDArray[np.uint16], labels: NDArray[np.uint16], asked: NDArray[np.bool_], width: int
) -> NDArray[np.bool_]:
    """Those of the pixels asked whose predicted class is in the truth near by."""
    found = np.zeros(truth.shape, np.bool_)
    for channel in np.unique(labels[asked]):
        found |= asked & (labels == channel) & near(truth == channel, width)
    return found
