"""Sums over pixels that say whether probabilities mean what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ArrayError
from pixelwise.kernels import reference_calibration as reference
from pixelwise.kernels.axis import Axis
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import (
    check_array,
    scores_array,
    thread_count,
    whole_number,
)
from pixelwise.kernels.confusion import countable
from pixelwise.kernels.types import Floats

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["MOST_BINS", "calibration_sums", "calibration_sums_of_scores", "threshold_counts"]

MOST_BINS = 1000

_Ids: TypeAlias = npt.NDArray[Any]
_Sums: TypeAlias = npt.NDArray[np.float64]

_OUTSIDE_IDS, _NO_PROBABILITIES = 1, 2


def calibration_sums(
    probabilities: Floats,
    truth: _Ids,
    *,
    bins: int,
    ignore_index: int | None = None,
    threads: int = 0,
) -> _Sums:
    """Sums of calibration errors, Brier score and likelihood, and the check, in one pass.

    Probability p is in bin min(floor(p * bins), bins - 1), the product in float32. All sums are
    float64 of float32 values: squares are exact, and the logarithm is that of products of eight,
    1e-15 off at most for each pixel. Sums of 65,536 pixels are added up in their order, so that the
    answer is the same, bit for bit, on any number of threads and every processor.

    Args:
        probabilities: float32 `[C, N]`, 0..1, with sum 1 at each pixel, ignored ones too; of a tie
            the lowest class is the best.
        truth: integers `[N]`.
        bins: of equal width, 1 to 1000.
        ignore_index: truth of this id is not counted; None counts everything.
        threads: 0 for every core that this process may use.

    Returns:
        float64 `[(1 + C) * 3 * bins + 3]`. For the best class, then for each class: pixels, sum of
        its probability, and pixels where it is the truth, of each bin; then pixels, sum of the
        squared distances from the truth, and of the negative log-likelihood in nats, where
        probabilities below 1e-37 count as 1e-37.

    Raises:
        ArrayError: an array is not such an array, an id lies outside the classes, or the values are
            no probabilities.
        UsageError: bins or threads is outside its range.
    """
    check_array("probabilities", probabilities, ("float32",), 2, "[C, N]")
    rows = len(probabilities)
    if truth.shape != probabilities.shape[1:]:
        raise ArrayError(
            "probabilities and truth differ in size",
            got=f"probabilities {list(probabilities.shape)} · truth {list(truth.shape)}",
        )
    bins = whole_number("bins", bins, least=1, most=MOST_BINS)
    workers = thread_count(threads)
    if not COMPILED:
        _check_ids(truth, rows, ignore_index)
        _check_probabilities(probabilities)
        return reference.calibration_sums(probabilities, truth, bins, ignore_index)
    sums = np.empty((1 + rows) * 3 * bins + 3)
    found = _native.calibration_sums(
        np.ascontiguousarray(probabilities),
        countable(truth),
        ignore_index is not None,
        ignore_index or 0,
        bins,
        sums,
        workers,
    )
    if found & _OUTSIDE_IDS:
        _check_ids(truth, rows, ignore_index)
    if found & _NO_PROBABILITIES:
        _check_probabilities(probabilities)
    return sums


def calibration_sums_of_scores(
    scores: Floats,
    rows: Axis,
    columns: Axis,
    truth: _Ids,
    *,
    bins: int,
    groups: npt.NDArray[np.integer[Any]] | None = None,
    ignore_index: int | None = None,
    threads: int = 0,
) -> _Sums:
    """`calibration_sums` of the probabilities of `decode_probabilities`, which are never stored.

    Args:
        scores: float32 `[C, h, w]`, finite.
        rows: how the H picture rows fall on the h score rows.
        columns: how the W picture columns fall on the w score columns.
        truth: integers `[H, W]`.
        bins: of equal width, 1 to 1000.
        groups: the class that each of the scores counts as, integers `[C]`, 0 … G - 1, each at
            least once: classes of one number have the sum of their probabilities. None: each its
            own.
        ignore_index: truth of this id is not counted; None counts everything.
        threads: 0 for every core that this process may use.

    Returns:
        float64 `[(1 + G) * 3 * bins + 3]`, as `calibration_sums`.

    Raises:
        ArrayError: an array is not such an array, an id lies outside the classes, or scores are not
            finite.
        UsageError: bins or threads is outside its range.
    """
    scores = scores_array(scores)
    classes = len(scores)
    found_groups = np.arange(classes) if groups is None else np.asarray(groups)
    count = int(found_groups.max(initial=0)) + 1
    faults = []
    if truth.shape != (rows.size, columns.size):
        faults.append(f"truth {list(truth.shape)}, expected [{rows.size}, {columns.size}]")
    if found_groups.shape != (classes,) or set(found_groups.tolist()) != set(range(count)):
        faults.append(f"groups {found_groups.tolist()[:20]}, expected 0 … for {classes} classes")
    if faults:
        raise ArrayError("scores, truth and groups do not fit together", got="; ".join(faults))
    bins = whole_number("bins", bins, least=1, most=MOST_BINS)
    workers = thread_count(threads)
    if not COMPILED:
        _check_ids(truth, count, ignore_index)
        _check_scores(scores)
        return reference.calibration_sums_of_scores(
            scores, rows, columns, truth, bins, found_groups, ignore_index
        )
    sums = np.empty((1 + count) * 3 * bins + 3)
    found = _native.calibration_sums_of_scores(
        scores,
        *rows.table(scores.shape[1]),
        *columns.table(scores.shape[2]),
        found_groups.astype(np.int32),
        count,
        countable(truth).reshape(truth.shape),
        ignore_index is not None,
        ignore_index or 0,
        bins,
        sums,
        workers,
    )
    if found & _OUTSIDE_IDS:
        _check_ids(truth, count, ignore_index)
    if found & _NO_PROBABILITIES:
        _check_scores(scores)
    return sums


def threshold_counts(
    probability: Floats, truth: _Ids, *, ignore_index: int | None = None
) -> npt.NDArray[np.int64]:
    """Pixels of background and foreground by the bin of their probability, exactly.

    Bins are the steps between float32 of which the lower 18 bits are 0, from 2^-24 to 1/2, and
    between 1 less each: 32 for each doubling of p below 1/2, and of 1 - p above. A bin holds its
    lower edge.

    Args:
        probability: of the foreground, float32 `[N]`, 0..1, at ignored pixels too.
        truth: integers `[N]`: 0 for background, 1 for foreground.
        ignore_index: truth of this id is not counted; None counts everything.

    Returns:
        int64 `[2, 1472]`.

    Raises:
        ArrayError: an array is not such an array, truth holds other ids, or a value is no
            probability.
    """
    check_array("probability", probability, ("float32",), 1, "[N]")
    if truth.shape != probability.shape:
        raise ArrayError(
            "probability and truth differ in size",
            got=f"probability {list(probability.shape)} · truth {list(truth.shape)}",
        )
    if not COMPILED:
        _check_ids(truth, 2, ignore_index)
        _check_probability(probability)
        return reference.threshold_counts(probability, truth, ignore_index)
    counts = np.empty((2, reference.THRESHOLD_BINS), np.int64)
    found = _native.threshold_counts(
        np.ascontiguousarray(probability),
        countable(truth),
        ignore_index is not None,
        ignore_index or 0,
        counts,
    )
    if found & _OUTSIDE_IDS:
        _check_ids(truth, 2, ignore_index)
    if found & _NO_PROBABILITIES:
        _check_probability(probability)
    return counts


def _check_ids(truth: _Ids, classes: int, ignore_index: int | None) -> None:
    outside = (truth < 0) | (truth >= classes)
    if ignore_index is not None:
        outside &= truth != ignore_index
    if outside.any():
        raise ArrayError(
            "truth holds ids outside the class table",
            got=f"ids {np.unique(truth[outside])[:10].tolist()}, expected 0 … {classes - 1}"
            + ("" if ignore_index is None else f" or {ignore_index} (ignored)"),
            fix="map the ids to the table, or name the ignored one as ignore_index",
        )


def _check_probabilities(values: Floats) -> None:
    fault = reference.fault_of_probabilities(values)
    if fault:
        raise ArrayError(
            "these are no probabilities",
            got=fault,
            fix="give the softmax of the logits, as Segmentation.probabilities() does",
        )


def _check_scores(scores: Floats) -> None:
    unsound = np.count_nonzero(~np.isfinite(scores))
    if unsound:
        raise ArrayError(
            "scores without probabilities",
            got=f"{unsound:,} values are no finite numbers",
            fix="check what the network computes",
        )


def _check_probability(values: Floats) -> None:
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):
        unsound = np.count_nonzero(np.isnan(values))
        raise ArrayError(
            "these are no probabilities",
            got=f"{unsound:,} values are NaN" if unsound else f"values from {low:g} to {high:g}",
            fix="give the probability of the foreground, 0..1",
        )
