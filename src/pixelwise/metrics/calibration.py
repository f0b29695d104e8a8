"""Whether probabilities mean what they say: calibration errors, Brier score, reliability.

Everything is taken from sums over pixels, so that it can be filled picture by picture, merged in
any order, and drawn anew by `pixelwise.metrics.bootstrap`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ArrayError, UsageError
from pixelwise.geometry import Geometry
from pixelwise.kernels.calibration import (
    MOST_BINS,
    calibration_sums,
    calibration_sums_of_scores,
)

__all__ = ["Calibration", "CalibrationScores", "Reliability"]

_BAND_PIXELS = 1 << 16
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
        if not 2 <= classes <= 65_535 or not 1 <= bins <= MOST_BINS:
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
        if not truth.size:
            return
        flat, ids = probabilities.reshape(self.classes, -1), truth.reshape(-1)
        # What lies there as float32 is counted where it lies; all else is copied band by band.
        step = ids.size if flat.dtype == np.float32 and flat.flags.c_contiguous else _BAND_PIXELS
        sums = np.zeros_like(self.counts)
        for first in range(0, ids.size, step):
            sums += calibration_sums(
                flat[:, first : first + step].astype(np.float32, copy=False),
                ids[first : first + step],
                bins=self.bins,
                ignore_index=self.ignore_index,
                threads=1,
            )
        self.counts += sums

    def update_scores(
        self,
        scores: NDArray[np.float32],
        geometry: Geometry,
        truth: NDArray[np.integer],
        *,
        groups: NDArray[np.integer] | None = None,
    ) -> None:
        """Adds one picture whose probabilities are the softmax of interpolated scores.

        As `update` of `Segmentation.probabilities`, but they are counted as they are made: there is
        no `[C, H, W]` array.

        Args:
            scores: calibrated logits, float32 `[K, h, w]`.
            geometry: how the picture's pixels fall on them.
            truth: ids `[H, W]`.
            groups: the class 0 … C - 1 that each of the K scores counts as, integers `[K]`: scores
                of one class have the sum of their probabilities. None: each is a class.

        Raises:
            ArrayError: sizes do not fit, an id lies outside the classes, or scores are not finite;
                nothing was added then.
        """
        truth = np.asarray(truth)
        _check_integers(truth)
        if groups is None:
            groups = np.arange(len(scores))
        count = int(np.asarray(groups, np.intp).max(initial=-1)) + 1
        if count != self.classes:
            raise ArrayError(
                "scores of another number of classes", got=f"{count}, expected {self.classes}"
            )
        self.counts += calibration_sums_of_scores(
            scores,
            geometry.rows,
            geometry.columns,
            truth,
            bins=self.bins,
            groups=groups,
            ignore_index=self.ignore_index,
            threads=1,
        )

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


def _check_integers(truth: NDArray[Any]) -> None:
    if not np.issubdtype(truth.dtype, np.integer):
        raise ArrayError("truth must hold integer class ids", got=f"dtype {truth.dtype}")
