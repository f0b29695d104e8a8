"""Average precision of detections in the order of their scores, of pictures drawn anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ArrayError
from pixelwise.kernels import reference_ranked
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import thread_count

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["average_precision"]

_RECALLS = np.linspace(0, 1, 101)


def average_precision(
    outcomes: npt.NDArray[np.uint8],
    pictures: npt.NDArray[np.int32],
    times: npt.NDArray[np.int64],
    objects: npt.NDArray[np.int64],
    *,
    threads: int = 0,
) -> npt.NDArray[np.float64]:
    """The area under precision over recall, as COCO takes it, for many draws of pictures.

    Precision is made to fall with recall and averaged at the recalls 0, 0.01 … 1. A picture that
    counts several times has copies of its detections one after the other.

    Args:
        outcomes: uint8 [T, D], by falling score: 0 wrong, 1 right, 2 not counted.
        pictures: int32 [D], of which picture each detection is.
        times: int64 [R, N], how often each picture counts in each draw, 0 and more.
        objects: int64 [R], how many there are to find in each draw.
        threads: 0 for every core that this process may use.

    Returns:
        float64 [R, T]; NaN where there is nothing to find.

    Raises:
        ArrayError: arrays are not these, or do not fit together.
        UsageError: threads is outside its range.
    """
    arrays = (outcomes, pictures, times, objects)
    fits = (
        [array.dtype.name for array in arrays] == ["uint8", "int32", "int64", "int64"]
        and (outcomes.ndim, times.ndim) == (2, 2)
        and (pictures.shape, objects.shape) == (outcomes.shape[1:], times.shape[:1])
    )
    if not fits or (pictures.size and not 0 <= pictures.min() <= pictures.max() < times.shape[1]):
        raise ArrayError(
            "detections and draws do not fit together",
            where="arguments outcomes, pictures, times and objects",
            got=" · ".join(f"{array.dtype} {list(array.shape)}" for array in arrays),
            fix="a picture, int32 below N, for each detection; a number of objects for each draw",
        )
    workers = thread_count(threads)
    if not COMPILED:
        return reference_ranked.average_precision(outcomes, pictures, times, objects, _RECALLS)
    out = np.empty((len(times), len(outcomes)))
    _native.average_precision(
        np.ascontiguousarray(outcomes),
        np.ascontiguousarray(pictures),
        np.ascontiguousarray(times),
        np.ascontiguousarray(objects),
        _RECALLS,
        out,
        workers,
    )
    return out
