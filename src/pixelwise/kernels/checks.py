"""Checks of arguments that all kernels share, done once for the compiled and the NumPy ones."""

from __future__ import annotations

import operator
import os
import sys

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels.types import Bytes, Floats, Labels, Values

__all__ = [
    "MOST_CLASSES",
    "MOST_THREADS",
    "bytes_array",
    "check_array",
    "check_labels_below",
    "float_vector",
    "labels_array",
    "scores_array",
    "thread_count",
    "usable_cores",
    "values_array",
    "whole_number",
]

MOST_CLASSES = 65535
"""Class ids are at most uint16, and one value is left for ids that stand for no class."""

MOST_THREADS = 1024


def scores_array(scores: npt.NDArray[np.generic]) -> Floats:
    """`scores`, float32 [C, h, w] in C order; copied only if it lies in another order."""
    check_array("scores", scores, ("float32",), 3, "[C, h, w]")
    if len(scores) > MOST_CLASSES:
        raise ArrayError(
            "scores of too many classes",
            where="argument scores",
            got=f"{len(scores)} classes, expected at most {MOST_CLASSES}",
            fix="the first axis is the class: scores.transpose(2, 0, 1) if it is the last",
        )
    return np.ascontiguousarray(scores, np.float32)


def labels_array(labels: npt.NDArray[np.generic], *, most_pixels: int | None = None) -> Labels:
    """`labels`, uint8 or uint16 [H, W] in C order; copied only if it lies in another order."""
    check_array("labels", labels, ("uint8", "uint16"), 2, "[H, W]")
    if most_pixels is not None and labels.size > most_pixels:
        raise ArrayError(
            "too many pixels at once",
            where="argument labels",
            got=f"{labels.size} pixels, expected at most {most_pixels}",
            fix="work in tiles",
        )
    return np.ascontiguousarray(labels)


def bytes_array(
    name: str, array: npt.NDArray[np.generic], layout: str, sizes: tuple[int | None, ...]
) -> Bytes:
    """A uint8 array of the sizes given (None: any), in C order."""
    check_array(name, array, ("uint8",), len(sizes), layout)
    if any(size not in (None, actual) for size, actual in zip(sizes, array.shape, strict=True)):
        wanted = " × ".join("any" if size is None else str(size) for size in sizes)
        raise ArrayError(
            f"{name} has the wrong size",
            where=f"argument {name} {layout}",
            got=f"{_size(array)}, expected {wanted}",
            fix="give arrays that belong to the same picture",
        )
    return np.ascontiguousarray(array, np.uint8)


def values_array(name: str, array: npt.NDArray[np.generic], layout: str) -> Values:
    """An array [H, W, B] of one of the types that pixels are stored in, in C order."""
    check_array(name, array, ("uint8", "uint16", "int16", "float32"), 3, layout)
    return np.ascontiguousarray(array)


def float_vector(name: str, values: npt.ArrayLike, length: int) -> Floats:
    """One finite float32 value per band."""
    try:
        vector = np.ascontiguousarray(values, np.float32)
    except (TypeError, ValueError):
        vector = np.empty(0, np.float32)
    if vector.shape != (length,) or not np.isfinite(vector).all():
        raise ArrayError(
            f"{name} must hold one finite number per band",
            where=f"argument {name} [B]",
            got=f"{values!r} for {length} bands",
            fix=f"give {length} numbers",
        )
    return vector


def check_array(
    name: str, array: npt.NDArray[np.generic], dtypes: tuple[str, ...], ndim: int, layout: str
) -> None:
    """Raises ArrayError unless it is an array of one of the types, with pixels on every side."""
    where = f"argument {name} {layout}"
    expected = " or ".join(dtypes)
    if not isinstance(array, np.ndarray):
        raise ArrayError(
            f"{name} is not a NumPy array",
            where=where,
            got=type(array).__name__,
            fix=f"numpy.asarray({name}, numpy.{dtypes[0]})",
        )
    if array.dtype not in [np.dtype(dtype) for dtype in dtypes]:
        raise ArrayError(
            f"{name} has the wrong type",
            where=where,
            got=f"{array.dtype}, expected {expected}",
            fix=f"{name}.astype(numpy.{dtypes[0]})",
        )
    if array.ndim != ndim or array.size == 0:
        raise ArrayError(
            f"{name} has the wrong shape",
            where=where,
            got=f"{_size(array)}, expected {ndim} axes {layout} and no empty side",
            fix="one picture at a time: drop the batch axis with [0]",
        )


def check_labels_below(highest: int, limit: int, what: str) -> None:
    """Raises ArrayError if the highest label is not below `limit`."""
    if highest >= limit:
        raise ArrayError(
            f"a label is outside the {what}",
            where="argument labels",
            got=f"label {highest}, expected 0 to {limit - 1}",
            fix="replace ids that stand for no class first, e.g. labels[labels == 255] = 0",
        )


def whole_number(name: str, value: object, *, least: int, most: int) -> int:
    """A whole number in a range, else UsageError."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # the check is what it raises
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        raise UsageError(
            f"{name} is not a whole number in its range",
            where=f"argument {name}",
            got=f"{value!r}, expected {least} to {most}",
            fix=f"give a whole number from {least} to {most}",
        )
    return number


def thread_count(threads: int) -> int:
    """The number of threads to use; 0 stands for every core that this process may use."""
    return whole_number("threads", threads, least=0, most=MOST_THREADS) or usable_cores()


def usable_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _size(array: npt.NDArray[np.generic]) -> str:
    return " × ".join(map(str, array.shape)) or "a single value"
