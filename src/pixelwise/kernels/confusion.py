"""Counts of pairs of truth and prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ArrayError
from pixelwise.kernels import reference_metrics
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import MOST_CLASSES, thread_count, whole_number

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["check_ids", "check_pair", "confusion_counts", "countable"]

_Ids: TypeAlias = npt.NDArray[Any]

_COUNTED_AS = {"int8": np.int32, "int16": np.int32, "uint32": np.int64}
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def confusion_counts(
    truth: _Ids,
    prediction: _Ids,
    classes: int,
    *,
    ignore_index: int | None = None,
    threads: int = 0,
) -> npt.NDArray[np.int64]:
    """How many pixels have each pair of truth and prediction, exactly.

    Label maps come in runs of equal ids: the ends of runs are found 64 pixels at a time, and a run
    is counted at once.

    Args:
        truth: integers of any shape; uint8, uint16, int32 and int64 are counted where they lie.
        prediction: integers of the same shape.
        classes: the ids counted are 0 … classes - 1; 1 to 65535.
        ignore_index: truth of this id is not counted, whatever the prediction holds there; None
            counts everything.
        threads: 0 for every core that this process may use.

    Returns:
        int64 [classes, classes], truth by prediction.

    Raises:
        ArrayError: shapes differ, an array holds no integers, or a counted pixel has an id outside
            the classes.
        UsageError: classes, ignore_index or threads is outside its range.
    """
    check_pair(truth, prediction)
    classes = whole_number("classes", classes, least=1, most=MOST_CLASSES)
    workers = thread_count(threads)
    if ignore_index is not None:
        ignore_index = whole_number("ignore_index", ignore_index, least=_SMALLEST, most=_LARGEST)
    if not COMPILED:
        check_ids(truth, prediction, classes, ignore_index)
        return reference_metrics.confusion_counts(truth, prediction, classes, ignore_index)
    counts = np.empty((classes, classes), np.int64)
    outside = _native.confusion_counts(
        countable(truth),
        countable(prediction),
        ignore_index is not None,
        ignore_index or 0,
        counts,
        workers,
    )
    if outside:
        check_ids(truth, prediction, classes, ignore_index)
    return counts


def check_pair(truth: _Ids, prediction: _Ids) -> None:
    """Raises ArrayError unless both are integers of one shape."""
    if truth.shape != prediction.shape:
        raise ArrayError(
            "truth and prediction differ in size",
            got=f"truth {truth.shape} · prediction {prediction.shape}",
            fix="score at the size of the truth",
        )
    for name, array in (("truth", truth), ("prediction", prediction)):
        if not np.issubdtype(array.dtype, np.integer):
            raise ArrayError(f"{name} must hold integer class ids", got=f"dtype {array.dtype}")


def check_ids(truth: _Ids, prediction: _Ids, classes: int, ignore_index: int | None) -> None:
    """Raises ArrayError if a counted pixel has an id outside the classes."""
    counted = slice(None) if ignore_index is None else truth != ignore_index
    for name, array in (("truth", truth[counted]), ("prediction", prediction[counted])):
        if array.size and (array.min() < 0 or array.max() >= classes):
            outside = np.unique(array[(array < 0) | (array >= classes)])
            ignored = "" if ignore_index is None else f" or {ignore_index} (ignored)"
            raise ArrayError(
                f"{name} holds ids outside the class table",
                got=f"ids {outside[:10].tolist()}, expected 0 … {classes - 1}{ignored}",
                fix="map the ids to the table, or name the ignored one as ignore_index",
            )


def countable(ids: _Ids) -> _Ids:
    """The ids as one line, in a type that the kernel takes."""
    native = ids.dtype.newbyteorder("=")
    if native == np.uint64:
        # What is cut to the largest int64 is outside every class before and after.
        ids = np.minimum(ids, np.uint64(_LARGEST))
        native = np.dtype(np.int64)
    kind = _COUNTED_AS.get(native.name, native)
    return np.ascontiguousarray(ids, kind).reshape(-1)
