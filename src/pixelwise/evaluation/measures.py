"""What is counted in each picture, and the figures that follow from all pictures together.

A measure counts in one picture at a time, and every figure is taken once, over all of them; so
intervals come from pictures left out and drawn anew. The counts of most measures add up over
pictures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pixelwise.evaluation.predictions import Judged
from pixelwise.metrics import figures
from pixelwise.metrics.bootstrap import Resampled, ResampledSums

__all__ = ["Figure", "Figures", "Measure", "Overlap", "Summed"]


@dataclass(frozen=True)
class Figure:
    """A figure that a measure gives.

    Attributes:
        key: in JSON and CSV.
        title: for people.
        per_class: whether there is one of each class, or one alone.
        unit: "%" of a share 0 … 1; "" of a plain number; else that of a length, such as "px".
        higher_is_better: which way is up.
        measured: False of a setting that stands beside what is measured: it has no interval and
            is not compared.
    """

    key: str
    title: str
    per_class: bool
    unit: str = "%"
    higher_is_better: bool = True
    measured: bool = True

    @property
    def is_length(self) -> bool:
        """Whether it has a unit of length."""
        return self.unit not in {"", "%"}

    @property
    def heading(self) -> str:
        """The title, with the unit of a length."""
        return f"{self.title} ({self.unit})" if self.is_length else self.title


class Figures(Protocol):
    """Figures that follow from what was counted in pictures, whatever is counted."""

    @property
    def name(self) -> str:
        """One word."""
        ...

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What it gives, in the order to show it."""
        ...

    @property
    def told(self) -> str:
        """How the figures come about, in a sentence for the protocol."""
        ...

    def resampled(
        self,
        counts: NDArray[Any],
        chosen: Sequence[Figure],
        groups: NDArray[np.integer] | None,
    ) -> Resampled:
        """Figures side by side, `[F]`; one of each class takes C columns. NaN where there is none.

        Args:
            counts: of all pictures, `[N, …]`.
            chosen: the figures wanted.
            groups: a number for each picture, the same for those that belong together; None: each
                is its own.
        """
        ...


class Measure(Figures, Protocol):
    """Something to count in pictures of one class a pixel."""

    def counts(self, judged: Judged, confusion: NDArray[np.int64]) -> NDArray[Any]:
        """What one picture gives, an array of the same shape for every picture.

        Args:
            judged: the picture.
            confusion: int64 `[C, C + 1]`, its pixels by truth and prediction; the last column is
                of predictions that are of no class of the truth.
        """
        ...


class Summed(ABC):
    """A measure whose counts `[K, C]`, or of any other shape, add up over pictures."""

    @abstractmethod
    def values(self, sums: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        """By key the figures of sums `[D, K, C]`: `[D, C]` or `[D]`; NaN where there is none."""

    def resampled(
        self,
        counts: NDArray[Any],
        chosen: Sequence[Figure],
        groups: NDArray[np.integer] | None,
    ) -> Resampled:
        """See `Figures.resampled`."""

        def side_by_side(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            values = self.values(sums)
            columns = [values[figure.key].reshape(len(sums), -1) for figure in chosen]
            return np.concatenate(columns, axis=1)

        return ResampledSums(counts, side_by_side, groups)


@dataclass(frozen=True)
class Overlap(Summed):
    """IoU, Dice, precision and recall, and their means: from one confusion matrix."""

    name: str = "overlap"
    figures: tuple[Figure, ...] = (
        Figure("mean_iou", "mIoU", per_class=False),
        Figure("frequency_weighted_iou", "frequency-weighted IoU", per_class=False),
        Figure("mean_dice", "mean Dice", per_class=False),
        Figure("pixel_accuracy", "pixel accuracy", per_class=False),
        Figure("class_accuracy", "class accuracy", per_class=False),
        Figure("iou", "IoU", per_class=True),
        Figure("dice", "Dice", per_class=True),
        Figure("precision", "precision", per_class=True),
        Figure("recall", "recall", per_class=True),
    )
    told: str = (
        "IoU, Dice, precision, recall: one confusion matrix over all pictures, figures taken once "
        "from its sums; means over the classes in truth or prediction, class accuracy over those "
        "in the truth; frequency-weighted IoU weighs each class by its pixels in the truth"
    )

    def counts(self, judged: Judged, confusion: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 `[3, C]`: pixels of the class and found, of the class, and found."""
        del judged
        classes = len(confusion)
        found = confusion[:, :classes]
        return np.stack([np.diagonal(found), confusion.sum(1), found.sum(0)])

    def values(self, sums: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        """See `Summed.values`.

        Predictions of no class lower recall and accuracy, and through them IoU, as any error does.
        """
        iou, dice, recall = figures.iou(sums), figures.dice(sums), figures.recall(sums)
        return {
            "iou": iou,
            "dice": dice,
            "precision": figures.precision(sums),
            "recall": recall,
            "mean_iou": figures.mean_of_defined(iou),
            "mean_dice": figures.mean_of_defined(dice),
            "frequency_weighted_iou": figures.frequency_weighted_iou(sums),
            "pixel_accuracy": figures.pixel_accuracy(sums),
            "class_accuracy": figures.mean_of_defined(recall),
        }
