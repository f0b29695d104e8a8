"""Two classes: what every threshold of the foreground's probability gives.

Probabilities are counted in 1,472 bins, 32 for each doubling of p below 1/2 and of 1 - p above, so
that a network that is nearly sure is told apart as finely as one that is not. The curves are exact
at the edges of the bins; probabilities of one bin count as equal, as ties do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ArrayError
from pixelwise.kernels.calibration import threshold_counts
from pixelwise.kernels.reference_calibration import THRESHOLD_BINS, threshold_edges

__all__ = ["ThresholdScores", "Thresholds"]

_BINS = THRESHOLD_BINS
_BAND_PIXELS = 1 << 16


@dataclass(frozen=True, eq=False)
class ThresholdScores:
    """Curves over the thresholds t, of the rule "foreground where p >= t".

    Attributes:
        thresholds: float64 `[T]`, rising from 0; every one at which something changes may lie
            between two of them.
        precision: float64 `[T]`, TP / (TP + FP); 1 where nothing is found.
        recall: float64 `[T]`, TP / (TP + FN), the true positive rate.
        false_positive_rate: float64 `[T]`, FP / (FP + TN).
        dice: float64 `[T]`, 2 TP / (2 TP + FP + FN).
        average_precision: sum of precision over the steps of recall, as scikit-learn's.
        auc: area under the ROC curve by trapezes.
        best_threshold, best_dice: where Dice is highest; of equals the lowest threshold.
        foreground, background: pixels of each in the truth.

    What needs foreground or background in the truth is NaN where there is none.
    """

    thresholds: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    false_positive_rate: NDArray[np.float64]
    dice: NDArray[np.float64]
    average_precision: float
    auc: float
    best_threshold: float
    best_dice: float
    foreground: int
    background: int


class Thresholds:
    """Counts over any number of pictures.

    Args:
        ignore_index: truth of this id is not counted; all other truth is 0 or 1.

    Attributes:
        counts: int64 `[2, 1472]`: pixels of background and foreground by the bin of their
            probability; additive.
    """

    edges = threshold_edges()

    def __init__(self, *, ignore_index: int | None = None) -> None:
        self.ignore_index = ignore_index
        self.counts = np.zeros((2, _BINS), np.int64)

    def update(self, probability: NDArray[np.floating], truth: NDArray[np.integer]) -> None:
        """Adds one picture.

        Args:
            probability: of the foreground, `[H, W]`, 0..1, at ignored pixels too.
            truth: 0 for background, 1 for foreground, of the same shape.

        Raises:
            ArrayError: shapes differ, truth is neither 0, 1 nor ignored, or a value is no
                probability; nothing was added then.
        """
        probability, truth = np.asarray(probability), np.asarray(truth)
        if probability.shape != truth.shape:
            raise ArrayError(
                "probability and truth differ in size",
                got=f"probability {list(probability.shape)} · truth {list(truth.shape)}",
                fix="score at the size of the truth",
            )
        probability, truth = probability.reshape(-1), truth.reshape(-1)
        self._check(truth)
        if not truth.size:
            return
        # What lies there as float32 is counted where it lies; all else is copied band by band.
        whole = probability.dtype == np.float32 and probability.flags.c_contiguous
        step = truth.size if whole else _BAND_PIXELS
        counts = np.zeros_like(self.counts)
        for first in range(0, truth.size, step):
            counts += threshold_counts(
                probability[first : first + step].astype(np.float32, copy=False),
                truth[first : first + step],
                ignore_index=self.ignore_index,
            )
        self.counts += counts

    def merge(self, other: Thresholds) -> None:
        """Adds the counts of another.

        Raises:
            ArrayError: it ignores another id.
        """
        if other.ignore_index != self.ignore_index:
            raise ArrayError(
                "only thresholds of one protocol can be merged",
                got=f"ignore {self.ignore_index} · ignore {other.ignore_index}",
            )
        self.counts += other.counts

    @staticmethod
    def average_precision(sums: NDArray[np.generic]) -> NDArray[np.float64]:
        """Average precision of counts `[…, 2, B]` of any bins in rising order: `[…]`.

        Its expectation where pixels of one bin come in any order, as those of a network do, which
        are hardly ever equal: of n pixels after F others, R of them right, the k-th has, if it is
        right, the precision (R + 1 + (k - 1) (r - 1) / (n - 1)) / (F + k), which is summed over k
        in closed form. Pixels of the first and of the last bin, 0 and 1 in float32, count as
        equal. NaN where there is no foreground.
        """
        falling = np.asarray(sums, np.float64)[..., ::-1]
        right = falling[..., 1, :]
        own = falling[..., 0, :] + right
        right_after, after = np.cumsum(right, axis=-1), np.cumsum(own, axis=-1)
        before = after - own
        slope = np.divide(right - 1, own - 1, out=np.zeros_like(own), where=own > 1)
        harmonic = _harmonic(after)
        harmonic[..., 1:] -= harmonic[..., :-1].copy()
        start = right_after - right + 1 - slope
        precision = np.divide(
            slope * own + (start - slope * before) * harmonic,
            own,
            out=np.zeros_like(own),
            where=own > 0,
        )
        for end in (0, -1):
            equal, found = right_after[..., end], after[..., end]
            precision[..., end] = np.divide(equal, found, out=np.zeros_like(found), where=found > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.einsum("...b,...b->...", right, precision)
            shares: NDArray[np.float64] = found / right_after[..., -1]
        return shares

    @staticmethod
    def values(sums: NDArray[np.generic]) -> NDArray[np.float64]:
        """Average precision, AUC and best Dice of counts `[D, 2, 1472]`: `[D, 3]`.

        A statistic for `pixelwise.metrics.bootstrap`.
        """
        found = _found(np.asarray(sums, np.float64))
        precision, recall, false_positives, dice = _curves(found)
        steps = recall - np.concatenate([recall[:, 1:], np.zeros((len(recall), 1))], 1)
        average = (steps * precision).sum(1)
        # From the highest threshold down, with the point where nothing is found before it.
        rising = [
            np.concatenate([np.zeros((len(curve), 1)), curve[:, ::-1]], 1)
            for curve in (false_positives, recall)
        ]
        area = (np.diff(rising[0]) * (rising[1][:, 1:] + rising[1][:, :-1]) / 2).sum(1)
        return np.column_stack([average, area, dice.max(1)])

    def compute(self) -> ThresholdScores:
        """The curves and figures of everything counted so far."""
        sums = self.counts[None]
        precision, recall, false_positives, dice = (
            curve[0] for curve in _curves(_found(sums.astype(np.float64)))
        )
        average, area, best_dice = self.values(sums)[0].tolist()
        background, foreground = self.counts.sum(1).tolist()
        return ThresholdScores(
            thresholds=self.edges,
            precision=precision,
            recall=recall,
            false_positive_rate=false_positives,
            dice=dice,
            average_precision=average,
            auc=area,
            best_threshold=float(self.edges[np.argmax(dice)]) if foreground else float("nan"),
            best_dice=best_dice,
            foreground=foreground,
            background=background,
        )

    def _check(self, truth: NDArray[np.integer]) -> None:
        if not np.issubdtype(truth.dtype, np.integer):
            raise ArrayError("truth must hold integer class ids", got=f"dtype {truth.dtype}")


def _found(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixels at or above each edge, `[D, 2, 1472]`."""
    return np.cumsum(sums[:, :, ::-1], axis=2)[:, :, ::-1]


def _harmonic(count: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 + 1/2 + … + 1/n, to 1e-4 of 1/n; 0 for 0 (Euler's series about n + 1/2)."""
    middle = count + 0.5
    square = 1 / (middle * middle)
    found = np.log(middle) + np.euler_gamma + square * (1 / 24 - square * (7 / 960))
    found[count == 0] = 0
    found[count == 1] = 1
    return found


def _curves(found: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Precision, recall, false positive rate and Dice at each edge, `[D, 1472]`."""
    false_positives, right = found[:, 0], found[:, 1]
    foreground, background = right[:, :1], false_positives[:, :1]
    with np.errstate(invalid="ignore", divide="ignore"):
        either = right + false_positives
        precision = np.where(either > 0, right / either, 1.0)
        dice = np.where(foreground > 0, 2 * right / (either + foreground), np.nan)
        return precision, right / foreground, false_positives / background, dice
