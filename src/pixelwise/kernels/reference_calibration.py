"""The NumPy twins of the kernels of calibration: see `pixelwise.kernels.reference`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.kernels import reference
from pixelwise.kernels.axis import Axis
from pixelwise.kernels.types import Floats

__all__ = [
    "THRESHOLD_BINS",
    "calibration_sums",
    "calibration_sums_of_scores",
    "fault_of_probabilities",
    "threshold_bins",
    "threshold_counts",
    "threshold_edges",
]

_Ids = npt.NDArray[Any]
_Sums = npt.NDArray[np.float64]

_BAND_VALUES = 1 << 20
_LEAST_PROBABILITY = 1e-37
_SUM_TOLERANCE = 1e-3
_SUMS = 3

# Float32 counts through its values in order of size: the upper bits are the logarithm's.
_SHIFT = 18
_LOWEST = int(np.array(2.0**-24, np.float32).view(np.int32)) >> _SHIFT
_HALF = (int(np.array(0.5, np.float32).view(np.int32)) >> _SHIFT) - _LOWEST
THRESHOLD_BINS = 2 * _HALF


def calibration_sums(
    probabilities: Floats, truth: _Ids, bins: int, ignore_index: int | None
) -> _Sums:
    """See `pixelwise.kernels.calibration_sums`."""
    rows = len(probabilities)
    sums = np.zeros((1 + rows) * _SUMS * bins + _SUMS)
    step = max(1, _BAND_VALUES // rows)
    for first in range(0, len(truth), step):
        values, ids = probabilities[:, first : first + step], truth[first : first + step]
        if ignore_index is not None:
            counted = ids != ignore_index
            values, ids = values[:, counted], ids[counted]
        if ids.size:
            _add_band(values, ids.astype(np.intp), bins, sums)
    return sums


def calibration_sums_of_scores(
    scores: Floats,
    rows: Axis,
    columns: Axis,
    truth: _Ids,
    bins: int,
    groups: npt.NDArray[np.integer[Any]],
    ignore_index: int | None,
) -> _Sums:
    """See `pixelwise.kernels.calibration_sums_of_scores`."""
    count = int(groups.max()) + 1
    sums = np.zeros((1 + count) * _SUMS * bins + _SUMS)
    step = max(1, _BAND_VALUES // (len(scores) * columns.size))
    for first in range(0, rows.size, step):
        last = min(rows.size, first + step)
        own = reference.decode_probabilities(scores, rows.window(first, last), columns)
        summed = np.zeros((count, *own.shape[1:]), np.float32)
        for group, layer in zip(groups.tolist(), own, strict=True):
            summed[group] += layer
        sums += calibration_sums(
            summed.reshape(count, -1), truth[first:last].reshape(-1), bins, ignore_index
        )
    return sums


def fault_of_probabilities(values: Floats) -> str:
    """Why values `[C, N]` are no probabilities of each pixel; "" where they are."""
    low, high = float(values.min()), float(values.max())
    if np.isnan(low):
        # The least of an array with NaN in it is NaN.
        return f"{np.count_nonzero(np.isnan(values)):,} values are NaN"
    if low < 0 or high > 1 + _SUM_TOLERANCE:
        return f"values from {low:g} to {high:g}, expected 0..1"
    sums = values.sum(0)
    if np.abs(sums - 1).max() > _SUM_TOLERANCE:
        return f"sums over the classes from {sums.min():g} to {sums.max():g}, expected 1"
    return ""


def threshold_counts(
    probability: Floats, truth: _Ids, ignore_index: int | None
) -> npt.NDArray[np.int64]:
    """See `pixelwise.kernels.threshold_counts`."""
    places = threshold_bins(probability) + THRESHOLD_BINS * (truth == 1)
    if ignore_index is not None:
        places = places[truth != ignore_index]
    return np.bincount(places, minlength=2 * THRESHOLD_BINS).reshape(2, -1)


def threshold_edges() -> npt.NDArray[np.float64]:
    """Lower edges of the bins of `threshold_counts`, float64 `[1472]`."""
    rising = (np.arange(_LOWEST, _LOWEST + _HALF + 1, dtype=np.int32) << _SHIFT).view(np.float32)
    low = rising.astype(np.float64)
    lower = np.concatenate([[0.0], low[1:]])
    return np.concatenate([lower[:-1], 1 - low[:0:-1]])


def threshold_bins(values: Floats) -> npt.NDArray[np.intp]:
    """The place of each probability in `threshold_edges`."""
    high = values >= np.float32(0.5)
    # 1 - p is exact there. One bit less: its bins hold their upper edge, so that those of p hold
    # their lower one.
    bits = np.where(high, np.float32(1) - values, values).view(np.int32) - high
    steps = np.clip((bits >> _SHIFT) - _LOWEST, 0, _HALF - 1)
    places: npt.NDArray[np.intp] = np.where(high, THRESHOLD_BINS - 1 - steps, steps).astype(np.intp)
    return places


def _add_band(values: Floats, truth: npt.NDArray[np.intp], bins: int, sums: _Sums) -> None:
    rows, count = values.shape
    binned = sums[:-_SUMS].reshape(1 + rows, _SUMS, bins)
    best = values.argmax(0)
    confidence = np.take_along_axis(values, best[None], 0)[0]
    binned[0] += _histogram(confidence, best == truth, bins)
    for row in range(rows):
        binned[1 + row] += _histogram(values[row], truth == row, bins)
    right = np.take_along_axis(values, truth[None], 0)[0].astype(np.float64)
    squares = (values.astype(np.float64) ** 2).sum()
    sums[-3] += count
    sums[-2] += squares - 2 * right.sum() + count
    sums[-1] -= np.log(np.maximum(right, _LEAST_PROBABILITY)).sum()


def _histogram(probability: Floats, is_truth: npt.NDArray[np.bool_], bins: int) -> _Sums:
    """Pixels, sum of the probability, and pixels of the truth, `[3, B]`."""
    places = np.minimum((probability * np.float32(bins)).astype(np.intp), bins - 1)
    counts = np.zeros((_SUMS, bins))
    counts[0] = np.bincount(places, minlength=bins)
    counts[1] = np.bincount(places, probability, bins)
    counts[2] = np.bincount(places[is_truth], minlength=bins)
    return counts
