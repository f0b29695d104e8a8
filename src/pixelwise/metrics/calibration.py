"""Whether probabilities mean what they say: calibration errors, Brier score, reliability.

Everything is taken from sums over pixels, so that it can be filled picture by picture, merged in
any order, and drawn anew by `pixelwise.metrics.bootstrap`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ArrayError, UsageError

__all__ = ["Calibration", "CalibrationScores", "Reliability"]

_BAND_PIXELS = 1 << 15
_LEAST_PROBABILITY = 1e-37
_SUM_TOLERANCE = 1e-3
_MOST_BINS = 1000
_SUMS = 3


@dataclass(frozen=True, eq=False)
class Reliability:
    """The reliability diagram: bins of confidence, and how often they are right.

    Attributes:
        edges: float64 `[B + 1]`: bin i holds confidences from edge i to below edge i + 1; the last
            one holds 1, too.
        pixels: int64 `[B]`.
        confidence: float64 `[B]`: mean probability of the best class; NaN where no pixel is.
        accuracy: float64 `[B]`: share of pixels whose best class is right; NaN likewise.
    """

    edges: NDArray[np.float64]
    pixels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CalibrationScores:
    """Figures of probabilities; all NaN where no pixel was counted.

    Attributes:
        ece: expected calibration error of the best class, 0..1: the mean over pixels of their bin's
            |accuracy - confidence| (Naeini et al., AAAI 2015; Guo et al., ICML 2017, equation 3).
        classwise_ece: the same for the probability of each class and how often it is the truth,
            its mean over all classes (Kull et al., NeurIPS 2019, section 2).
        brier: mean over pixels of the squared distance from the truth, summed over the classes,
            0..2 (Brier 1950).
        nll: mean negative log-likelihood of the truth in nats; probabilities below 1e-37 count as
            1e-37.
        pixels: how many were counted.
        reliability: the diagram.
    """

    ece: float
    classwise_ece: float
    brier: float
    nll: float
    pixels: int
    reliability: Reliability


class Calibration:
    """Sums over any number of pictures.

    Args:
        classes: the channels are 0 … classes - 1.
        ignore_index: truth of this id is not counted; None counts everything.
        bins: of equal width, for all binned figures.

    Attributes:
        counts: float64 `[(1 + C) * 3 * B + 3]`, whole numbers exact up to 2^53; additive. For the
            best class, then for each class: pixels, sum of its probability, and pixels where it is
            the truth, of each bin; then pixels, sum of squared distances, sum of NLL.

    Raises:
        UsageError: fewer than 2 classes, or a number of bins that is not 1 … 1000.
    """

    def __init__(self, classes: int, *, ignore_index: int | None = None, bins: int = 15) -> None:
        if not 2 <= classes <= 65_535 or not 1 <= bins <= _MOST_BINS:
            raise UsageError(
                "calibration needs 2 to 65,535 classes and 1 to 1,000 bins",
                got=f"classes={classes}, bins={bins}",
                fix="of one class give its probability and 1 less it as two",
            )
        self.classes = classes
        self.ignore_index = ignore_index
        self.bins = bins
        self.counts = np.zeros((1 + classes) * _SUMS * bins + _SUMS, np.float64)

    def update(self, probabilities: NDArray[np.floating], truth: NDArray[np.integer]) -> None:
        """Adds one picture.

        Args:
            probabilities: `[C, …]`, 0..1, with sum 1 at each pixel, ignored ones too.
            truth: ids of the same `[…]`.

        Raises:
            ArrayError: shapes differ, an id lies outside the classes, or the values are no
                probabilities; nothing was added then.
        """
        probabilities, truth = np.asarray(probabilities), np.asarray(truth)
        self._check(probabilities, truth)
        flat = probabilities.reshape(self.classes, -1)
        ids = truth.reshape(-1)
        binned = np.zeros((1 + self.classes, _SUMS, self.bins))
        sums = np.zeros(_SUMS)
        for values, band_truth in self._bands(flat, ids):
            sums += self._add_band(values, band_truth, binned)
        self.counts += np.concatenate([binned.ravel(), sums])

    def merge(self, other: Calibration) -> None:
        """Adds the sums of another over the same classes and bins.

        Raises:
            ArrayError: its protocol is another.
        """
        own = (self.classes, self.ignore_index, self.bins)
        theirs = (other.classes, other.ignore_index, other.bins)
        if own != theirs:
            raise ArrayError(
                "only calibrations of one protocol can be merged",
                got="{} classes, ignore {}, {} bins · {} classes, ignore {}, {} bins".format(
                    *own, *theirs
                ),
            )
        self.counts += other.counts

    def values(self, sums: NDArray[np.floating]) -> NDArray[np.float64]:
        """ECE, class-wise ECE, Brier score and NLL of sums like `counts`: `[D, K]` -> `[D, 4]`.

        A statistic for `pixelwise.metrics.bootstrap`.
        """
        sums = np.asarray(sums, np.float64)
        binned = sums[:, :-_SUMS].reshape(-1, 1 + self.classes, _SUMS, self.bins)
        pixels = sums[:, -_SUMS, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            gaps = np.abs(binned[:, :, 1] - binned[:, :, 2]).sum(2) / pixels
            means = sums[:, -_SUMS + 1 :] / pixels
        return np.column_stack([gaps[:, 0], gaps[:, 1:].mean(1), means])

    def compute(self) -> CalibrationScores:
        """The figures of everything counted so far."""
        ece, classwise, brier, nll = self.values(self.counts[None])[0].tolist()
        pixels, confidence, right = self.counts[: _SUMS * self.bins].reshape(_SUMS, self.bins)
        with np.errstate(invalid="ignore", divide="ignore"):
            reliability = Reliability(
                edges=np.linspace(0, 1, self.bins + 1),
                pixels=pixels.astype(np.int64),
                confidence=confidence / pixels,
                accuracy=right / pixels,
            )
        return CalibrationScores(ece, classwise, brier, nll, int(self.counts[-_SUMS]), reliability)

    def _check(self, probabilities: NDArray[Any], truth: NDArray[Any]) -> None:
        faults = []
        if not np.issubdtype(probabilities.dtype, np.floating):
            faults.append(f"probabilities {probabilities.dtype}, expected floating point")
        if not np.issubdtype(truth.dtype, np.integer):
            faults.append(f"truth {truth.dtype}, expected integer ids")
        if probabilities.shape != (self.classes, *truth.shape):
            faults.append(
                f"probabilities {list(probabilities.shape)} · truth {list(truth.shape)}, expected "
                f"[{self.classes}, …] and the same […]"
            )
        if faults:
            raise ArrayError("these are no probabilities and their truth", got="; ".join(faults))
        outside = (truth < 0) | (truth >= self.classes)
        if self.ignore_index is not None:
            outside &= truth != self.ignore_index
        if outside.any():
            raise ArrayError(
                "truth holds ids outside the class table",
                got=f"ids {np.unique(truth[outside])[:10].tolist()}, expected 0 … "
                f"{self.classes - 1}"
                + ("" if self.ignore_index is None else f" or {self.ignore_index} (ignored)"),
                fix="map the ids to the table, or name the ignored one as ignore_index",
            )

    def _bands(
        self, flat: NDArray[np.floating], ids: NDArray[np.integer]
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.intp]]]:
        """Pixels that count, some at a time: `[C, n]` and their truth `[n]`."""
        for first in range(0, len(ids), _BAND_PIXELS):
            values = flat[:, first : first + _BAND_PIXELS].astype(np.float32, copy=False)
            _check_values(values)
            truth = ids[first : first + _BAND_PIXELS]
            if self.ignore_index is not None:
                counted = truth != self.ignore_index
                if not counted.all():
                    values, truth = values[:, counted], truth[counted]
            if truth.size:
                yield values, truth.astype(np.intp)

    def _add_band(
        self, values: NDArray[np.float32], truth: NDArray[np.intp], binned: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Adds to the bins; pixels, squared distances and NLL are given back."""
        count = len(truth)
        best = values.argmax(0)
        confidence = np.take_along_axis(values, best[None], 0)[0]
        binned[0] += self._histogram(confidence, best == truth)
        for index in range(self.classes):
            row = values[index]
            # Most probabilities are in the lowest bin: what is in it is what is not above it.
            above = np.flatnonzero(row >= np.float32(1 / self.bins))
            is_truth = truth == index
            part = self._histogram(row[above], is_truth[above])
            part[:, 0] += np.array(
                [
                    count - len(above),
                    row.sum(dtype=np.float64) - row[above].sum(dtype=np.float64),
                    np.count_nonzero(is_truth) - np.count_nonzero(is_truth[above]),
                ]
            )
            binned[1 + index] += part
        right = values[truth, np.arange(count)].astype(np.float64)
        squares = np.einsum("cn,cn->n", values, values).sum(dtype=np.float64)
        distance = squares - 2 * right.sum() + count
        likelihood = -np.log(np.maximum(right, _LEAST_PROBABILITY)).sum()
        return np.array([count, distance, likelihood])

    def _histogram(
        self, probability: NDArray[np.float32], is_truth: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Pixels, sum of the probability, and pixels of the truth, `[3, B]`."""
        places = np.minimum((probability * np.float32(self.bins)).astype(np.intp), self.bins - 1)
        counts = np.zeros((_SUMS, self.bins))
        counts[0] = np.bincount(places, minlength=self.bins)
        counts[1] = np.bincount(places, probability, self.bins)
        counts[2] = np.bincount(places[is_truth], minlength=self.bins)
        return counts


def _check_values(values: NDArray[np.float32]) -> None:
    """Raises ArrayError unless they are probabilities."""
    low, high = float(values.min()), float(values.max())
    fault = ""
    if np.isnan(low):
        # The least of an array with NaN in it is NaN.
        fault = f"{np.count_nonzero(np.isnan(values)):,} values are NaN"
    elif low < 0 or high > 1 + _SUM_TOLERANCE:
        fault = f"values from {low:g} to {high:g}, expected 0..1"
    else:
        sums = values.sum(0)
        if np.abs(sums - 1).max() > _SUM_TOLERANCE:
            fault = f"sums over the classes from {sums.min():g} to {sums.max():g}, expected 1"
    if fault:
        raise ArrayError(
            "these are no probabilities",
            got=fault,
            fix="give the softmax of the logits, as Segmentation.probabilities() does",
        )
