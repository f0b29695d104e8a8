"""From low-resolution class scores to the pixels of a picture, exactly and without [C, H, W]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pixelwise.errors import UsageError
from pixelwise.kernels import reference
from pixelwise.kernels.axis import Axis
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import scores_array, thread_count, whole_number
from pixelwise.kernels.types import Floats, Labels

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = [
    "decode_confidence",
    "decode_labels",
    "decode_probabilities",
    "decode_probability",
    "decode_scores",
]


def decode_labels(scores: Floats, rows: Axis, columns: Axis, *, threads: int = 0) -> Labels:
    """The class with the highest bilinearly interpolated score, per picture pixel.

    Exact: equal to interpolating all classes in float32 and taking the argmax, the lowest id
    where several classes share the highest value. Interpolation is a convex combination of four
    scores, so where the four agree on the best class by more than the rounding error, the class is
    known without computing anything, and elsewhere only the classes that can win are computed.

    Args:
        scores: float32 [C, h, w], 1 <= C <= 65535, finite. A class whose interpolated score is
            NaN is never the best; where all are NaN the label is 0.
        rows: how the H picture rows fall on the h score rows.
        columns: how the W picture columns fall on the w score columns.
        threads: 0 for every core that this process may use.

    Returns:
        Class ids [H, W], uint8 for up to 256 classes, else uint16.

    Raises:
        ArrayError: scores are not such an array.
        UsageError: an axis or the number of threads is not one.
    """
    scores, workers = _checked(scores, rows, columns, threads)
    if not COMPILED:
        return reference.decode_labels(scores, rows, columns)
    labels = np.empty((rows.size, columns.size), np.uint8 if len(scores) <= 256 else np.uint16)
    tables = (*rows.table(scores.shape[1]), *columns.table(scores.shape[2]))
    _native.decode_labels(scores, *tables, labels, workers)
    return labels


def decode_confidence(scores: Floats, rows: Axis, columns: Axis, *, threads: int = 0) -> Floats:
    """The highest softmax probability of the interpolated scores, per picture pixel.

    Softmax after interpolation, over all classes, within a relative error of
    1.2e-7 * (5 + sqrt(C)): 2.1e-6 for 150 classes.

    Args:
        scores: float32 [C, h, w], 1 <= C <= 65535, finite. NaN takes no share of the probability;
            where all scores are NaN the confidence is 0.
        rows: how the H picture rows fall on the h score rows.
        columns: how the W picture columns fall on the w score columns.
        threads: 0 for every core that this process may use.

    Returns:
        float32 [H, W], 1 / C to 1.

    Raises:
        ArrayError: scores are not such an array.
        UsageError: an axis or the number of threads is not one.
    """
    scores, workers = _checked(scores, rows, columns, threads)
    if not COMPILED:
        return reference.decode_confidence(scores, rows, columns)
    out = np.empty((rows.size, columns.size), np.float32)
    return _values("confidence", scores, rows, columns, out, workers)


def decode_probability(
    scores: Floats, class_index: int, rows: Axis, columns: Axis, *, threads: int = 0
) -> Floats:
    """The softmax probability p of one class, per picture pixel.

    Within a relative error of 1.2e-7 * (5 + sqrt(C) + |ln p|), and 0 where it is below 1e-37.

    Args:
        scores: float32 [C, h, w], 1 <= C <= 65535, finite; NaN as in `decode_confidence`.
        class_index: 0 to C - 1.
        rows: how the H picture rows fall on the h score rows.
        columns: how the W picture columns fall on the w score columns.
        threads: 0 for every core that this process may use.

    Returns:
        float32 [H, W], 0 to 1.

    Raises:
        ArrayError: scores are not such an array.
        UsageError: the class, an axis or the number of threads is not one.
    """
    scores, workers = _checked(scores, rows, columns, threads)
    index = whole_number("class_index", class_index, least=0, most=len(scores) - 1)
    if not COMPILED:
        return reference.decode_probability(scores, index, rows, columns)
    out = np.empty((rows.size, columns.size), np.float32)
    return _values("probability", scores, rows, columns, out, workers, index)


def decode_scores(scores: Floats, rows: Axis, columns: Axis, *, threads: int = 0) -> Floats:
    """The interpolated scores of every class: large, so meant for windows.

    Args:
        scores: float32 [C, h, w], 1 <= C <= 65535.
        rows: how the H picture rows fall on the h score rows.
        columns: how the W picture columns fall on the w score columns.
        threads: 0 for every core that this process may use.

    Returns:
        float32 [C, H, W].

    Raises:
        ArrayError: scores are not such an array.
        UsageError: an axis or the number of threads is not one.
    """
    scores, workers = _checked(scores, rows, columns, threads)
    if not COMPILED:
        return reference.decode_scores(scores, rows, columns)
    out = np.empty((len(scores), rows.size, columns.size), np.float32)
    return _values("scores", scores, rows, columns, out, workers)


def decode_probabilities(scores: Floats, rows: Axis, columns: Axis, *, threads: int = 0) -> Floats:
    """The softmax probabilities of every class: large, so meant for windows.

    As precise as `decode_probability`.

    Args:
        scores: float32 [C, h, w], 1 <= C <= 65535, finite; NaN as in `decode_confidence`.
        rows: how the H picture rows fall on the h score rows.
        columns: how the W picture columns fall on the w score columns.
        threads: 0 for every core that this process may use.

    Returns:
        float32 [C, H, W]; the sum over C is 1.

    Raises:
        ArrayError: scores are not such an array.
        UsageError: an axis or the number of threads is not one.
    """
    scores, workers = _checked(scores, rows, columns, threads)
    if not COMPILED:
        return reference.decode_probabilities(scores, rows, columns)
    out = np.empty((len(scores), rows.size, columns.size), np.float32)
    return _values("probabilities", scores, rows, columns, out, workers)


def _checked(scores: Floats, rows: Axis, columns: Axis, threads: int) -> tuple[Floats, int]:
    for name, axis in (("rows", rows), ("columns", columns)):
        if not isinstance(axis, Axis):
            raise UsageError(
                f"{name} is not an Axis",
                where=f"argument {name}",
                got=type(axis).__name__,
                fix="Axis.half_pixel(picture pixels, scores) is the usual one",
            )
    return scores_array(scores), thread_count(threads)


def _values(
    what: Literal["confidence", "probability", "scores", "probabilities"],
    scores: Floats,
    rows: Axis,
    columns: Axis,
    out: Floats,
    workers: int,
    class_index: int = 0,
) -> Floats:
    tables = (*rows.table(scores.shape[1]), *columns.table(scores.shape[2]))
    _native.decode_values(what, scores, *tables, out, class_index, workers)
    return out
