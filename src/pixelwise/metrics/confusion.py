"""The confusion matrix, and the semantic scores that follow from it.

One matrix is filled over the whole data set and the scores are taken once, from the sums. The
mean over pictures of per-picture IoU is another number, and no function here gives it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ArrayError

__all__ = ["ConfusionMatrix", "SemanticScores"]


@dataclass(frozen=True)
class SemanticScores:
    """Scores of one confusion matrix; a class absent from truth and prediction is NaN.

    Attributes:
        iou: intersection over union (Jaccard) per class, float64 `[C]`, 0..1.
        mean_iou: mean of `iou` over the classes that are not NaN.
        dice: 2 TP / (2 TP + FP + FN) per class, float64 `[C]`.
        pixel_accuracy: right pixels over all counted pixels.
        class_accuracy: mean over the classes in the truth of TP / (TP + FN).
    """

    iou: NDArray[np.float64]
    mean_iou: float
    dice: NDArray[np.float64]
    pixel_accuracy: float
    class_accuracy: float


class ConfusionMatrix:
    """Counts `[truth, prediction]` over any number of pictures, exactly, in int64.

    Args:
        classes: the ids counted are 0 … classes - 1.
        ignore_index: truth of this id is not counted; None counts everything.
    """

    def __init__(self, classes: int, *, ignore_index: int | None = None) -> None:
        if not 1 <= classes <= 65_535:
            raise ArrayError(
                "a confusion matrix needs 1 to 65,535 classes", got=f"classes={classes}"
            )
        self.classes = classes
        self.ignore_index = ignore_index
        self.counts = np.zeros((classes, classes), np.int64)

    def update(self, truth: NDArray[np.integer], prediction: NDArray[np.integer]) -> None:
        """Adds one picture or batch: two integer arrays of one shape.

        Raises:
            ArrayError: shapes differ, or an id lies outside the classes.
        """
        truth, prediction = np.asarray(truth), np.asarray(prediction)
        if truth.shape != prediction.shape:
            raise ArrayError(
                "truth and prediction differ in size",
                got=f"truth {truth.shape} · prediction {prediction.shape}",
                fix="score at the size of the truth",
            )
        for name, array in (("truth", truth), ("prediction", prediction)):
            if not np.issubdtype(array.dtype, np.integer):
                raise ArrayError(f"{name} must hold integer class ids", got=f"dtype {array.dtype}")
        truth, prediction = truth.ravel(), prediction.ravel()
        if self.ignore_index is not None:
            counted = truth != self.ignore_index
            truth, prediction = truth[counted], prediction[counted]
        for name, array in (("truth", truth), ("prediction", prediction)):
            if array.size and (array.min() < 0 or array.max() >= self.classes):
                outside = np.unique(array[(array < 0) | (array >= self.classes)])
                raise ArrayError(
                    f"{name} holds ids outside the class table",
                    got=f"ids {outside[:10].tolist()}, expected 0 … {self.classes - 1}"
                    + (
                        f" or {self.ignore_index} (ignored)"
                        if self.ignore_index is not None
                        else ""
                    ),
                    fix="map the ids to the table, or name the ignored one as ignore_index",
                )
        cell = truth.astype(np.int64) * self.classes + prediction.astype(np.int64)
        counts = np.bincount(cell, minlength=self.classes**2)
        self.counts += counts.reshape(self.classes, self.classes)

    def merge(self, other: ConfusionMatrix) -> None:
        """Adds the counts of another matrix over the same classes."""
        if (other.classes, other.ignore_index) != (self.classes, self.ignore_index):
            raise ArrayError(
                "only matrices of one protocol can be merged",
                got=f"{self.classes} classes, ignore {self.ignore_index} · "
                f"{other.classes} classes, ignore {other.ignore_index}",
            )
        self.counts += other.counts

    def scores(self) -> SemanticScores:
        """The scores of everything counted so far; all NaN when nothing was."""
        right = np.diag(self.counts).astype(np.float64)
        truth, predicted = self.counts.sum(1), self.counts.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            iou = right / (truth + predicted - right)
            dice = 2 * right / (truth + predicted)
            recall = right / truth
            pixel_accuracy = float(np.divide(right.sum(), self.counts.sum()))
        return SemanticScores(
            iou=iou,
            mean_iou=_mean_of_present(iou),
            dice=dice,
            pixel_accuracy=pixel_accuracy,
            class_accuracy=_mean_of_present(recall),
        )


def _mean_of_present(values: NDArray[np.float64]) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")
