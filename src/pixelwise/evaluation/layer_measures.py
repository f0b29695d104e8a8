"""What is counted where classes lie over each other: each for itself, over all pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.evaluation.evaluate import LayerMeasure
from pixelwise.evaluation.layers import JudgedLayers, LayerSubject
from pixelwise.evaluation.measures import Figure, Summed
from pixelwise.kernels.reference_calibration import THRESHOLD_BINS
from pixelwise.metrics import figures
from pixelwise.metrics.bootstrap import Resampled
from pixelwise.metrics.tags import ResampledTags
from pixelwise.metrics.thresholds import Thresholds

__all__ = [
    "LayerOverlaps",
    "PixelPrecision",
    "TagPrecision",
    "bins_joined",
    "joined_for",
    "layer_measures_of",
]

_MOST_VALUES = 1 << 25
"""Of histograms of all pictures together: 128 MB, and twice that while intervals are taken."""
_MOST_JOINED = 32
"""One bin for each doubling; a probability of 1/2 stays the end of one."""


@dataclass(frozen=True)
class LayerOverlaps(Summed):
    """IoU, Dice, precision, recall and accuracy of each class, at its threshold.

    Attributes:
        thresholds: of each class; NaN where there is none.
        exclusive: whether the prediction has one class a pixel.
        name, figures: see `Measure`.
    """

    thresholds: tuple[float, ...]
    exclusive: bool = False
    name: str = "overlap"
    figures: tuple[Figure, ...] = (
        Figure("mean_iou", "mIoU", per_class=False),
        Figure("mean_dice", "mean Dice", per_class=False),
        Figure("iou", "IoU", per_class=True),
        Figure("dice", "Dice", per_class=True),
        Figure("precision", "precision", per_class=True),
        Figure("recall", "recall", per_class=True),
        Figure("accuracy", "accuracy", per_class=True),
        Figure("threshold", "threshold", per_class=True, unit="", measured=False),
    )

    @property
    def told(self) -> str:
        """See `Measure.told`."""
        if self.exclusive:
            rule = "a pixel has the class of its label alone, as the prediction tells one of each"
        elif any(np.isnan(self.thresholds)):
            rule = "a pixel has the classes that the prediction's masks say"
        else:
            rule = "a pixel has a class from the class's threshold of probability on"
        return (
            f"IoU, Dice, precision, recall, accuracy: each class for itself, {rule}; pixels added "
            "up over all pictures, figures taken once from the sums; means over the classes in "
            "truth or prediction, of where the class is, not of where it is not"
        )

    def counts(self, judged: JudgedLayers) -> NDArray[np.int64]:
        """int64 `[4, C]`: the counts of `LayerOverlap`."""
        return judged.tally.overlap

    def values(self, sums: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        """See `Summed.values`."""
        overlap = sums[:, :3]
        iou, dice = figures.iou(overlap), figures.dice(overlap)
        return {
            "iou": iou,
            "dice": dice,
            "precision": figures.precision(overlap),
            "recall": figures.recall(overlap),
            "accuracy": figures.layer_accuracy(sums),
            "threshold": np.broadcast_to(np.array(self.thresholds), iou.shape),
            "mean_iou": figures.mean_of_defined(iou),
            "mean_dice": figures.mean_of_defined(dice),
        }


@dataclass(frozen=True)
class PixelPrecision(Summed):
    """Average precision of pixels, of each class.

    Attributes:
        joined: how many of the 1,472 bins of probability are counted as one.
        name, figures: see `Measure`.
    """

    joined: int = 1
    name: str = "pixel_precision"
    figures: tuple[Figure, ...] = (
        Figure("mean_average_precision", "mAP of pixels", per_class=False),
        Figure("average_precision", "AP of pixels", per_class=True),
    )

    @property
    def told(self) -> str:
        """See `Measure.told`."""
        bins = -(-THRESHOLD_BINS // self.joined)
        return (
            "AP of pixels: all pixels of all pictures in the order of their probability, the sum "
            f"of precision over the steps of recall; probabilities in {bins:,} bins, "
            f"{32 / self.joined:g} for each doubling of p below 1/2 and of 1 - p above, those of "
            "one bin in any order, but 0 and 1 as equal; the mean over the classes in the truth"
        )

    def counts(self, judged: JudgedLayers) -> NDArray[np.uint32]:
        """uint32 `[C, 2, B]`: of each class the pixels without and with it, by probability."""
        return bins_joined(judged.tally.histogram, self.joined).astype(np.uint32)

    def resampled(
        self,
        counts: NDArray[Any],
        chosen: Sequence[Figure],
        groups: NDArray[np.integer] | None,
    ) -> Resampled:
        """See `Figures.resampled`."""
        # Bins in which no pixel lies change nothing and take their time in every draw.
        used = np.asarray(counts.any(axis=(0, 1, 2)))
        used[[0, -1]] = True
        return super().resampled(counts[..., used], chosen, groups)

    def values(self, sums: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        """See `Summed.values`."""
        found = Thresholds.average_precision(sums)
        return {
            "average_precision": found,
            "mean_average_precision": figures.mean_of_defined(found),
        }


@dataclass(frozen=True)
class TagPrecision:
    """Average precision of "is the class in the picture"."""

    name: str = "tags"
    figures: tuple[Figure, ...] = (
        Figure("mean_tag_precision", "mAP of tags", per_class=False),
        Figure("tag_precision", "AP of tags", per_class=True),
    )
    told: str = (
        "AP of tags: is a class in the picture at all; pictures in the order of the highest "
        "probability of the class in a pixel that counts, equal ones together, exactly; the mean "
        "over the classes in the truth"
    )

    def counts(self, judged: JudgedLayers) -> NDArray[np.float64]:
        """float64 `[2, C]`: the highest probability, and 1 where the class is in the picture."""
        held = judged.tally.overlap[1] > 0
        return np.stack([judged.tally.likeliest, held.astype(np.float64)])

    def resampled(
        self,
        counts: NDArray[Any],
        chosen: Sequence[Figure],
        groups: NDArray[np.integer] | None,
    ) -> Resampled:
        """See `Figures.resampled`."""
        classes = counts.shape[2]
        columns = {"mean_tag_precision": [0], "tag_precision": list(range(1, 1 + classes))}
        wanted = [column for figure in chosen for column in columns[figure.key]]
        return _Columns(ResampledTags(counts[:, 0], counts[:, 1] > 0, groups), np.array(wanted))


class _Columns:
    """Some of the values of a statistic."""

    def __init__(self, whole: Resampled, columns: NDArray[np.int64]) -> None:
        self._of, self._columns = whole, columns
        self.held: NDArray[np.bool_] = whole.held

    def whole(self) -> NDArray[np.float64]:
        return self._of.whole()[self._columns]

    def without_each(self) -> NDArray[np.float64]:
        return self._of.without_each()[:, self._columns]

    def drawn(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        return self._of.drawn(times)[:, self._columns]


def bins_joined(histogram: NDArray[np.int64], joined: int) -> NDArray[np.int64]:
    """Sums of neighbouring bins: `[…, 1472]` to `[…, ceil(1472 / joined)]`."""
    if joined == 1:
        return histogram
    starts = np.arange(0, histogram.shape[-1], joined)
    found: NDArray[np.int64] = np.add.reduceat(histogram, starts, axis=-1)
    return found


def layer_measures_of(subject: LayerSubject) -> tuple[LayerMeasure, ...]:
    """Overlap always; average precision of pixels and of tags where there are probabilities."""
    thresholds = subject.thresholds
    nothing = (float("nan"),) * len(subject.classes)
    overlap = LayerOverlaps(thresholds or nothing, exclusive=subject.predictions.exclusive)
    if not subject.predictions.probable:
        return (overlap,)
    joined = joined_for(len(subject.truths.names), len(subject.classes))
    return overlap, PixelPrecision(joined), TagPrecision()


def joined_for(pictures: int, classes: int) -> int:
    """How many bins of probability are counted as one, so that counts of all fit into 128 MB."""
    joined = 1
    while pictures * classes * 2 * THRESHOLD_BINS / joined > _MOST_VALUES and joined < _MOST_JOINED:
        joined *= 2
    return joined
