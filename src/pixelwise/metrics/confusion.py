"""The confusion matrix, and the semantic scores that follow from it.

One matrix is filled over the whole data set and the scores are taken once, from the sums. The
mean over pictures of per-picture IoU is another number, and no function here gives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.errors import ArrayError
from pixelwise.metrics import figures
from pixelwise.metrics.tensors import count_on_device, ids_of, lie_on_one_device

__all__ = ["ConfusionMatrix", "SemanticScores", "semantic_scores"]


@dataclass(frozen=True, eq=False)
class SemanticScores:
    """Scores of one confusion matrix; a class absent from truth and prediction is NaN.

    Attributes:
        iou: intersection over union (Jaccard) per class, float64 `[C]`, 0..1.
        mean_iou: mean of `iou` over the classes that are not NaN.
        frequency_weighted_iou: mean of `iou` weighed by the pixels of each class in the truth.
        dice: 2 TP / (2 TP + FP + FN) per class, float64 `[C]`.
        mean_dice: mean of `dice` over the classes that are not NaN.
        precision: TP / (TP + FP) per class, float64 `[C]`; NaN for a class never predicted.
        recall: TP / (TP + FN) per class, float64 `[C]`; NaN for a class not in the truth.
        pixel_accuracy: right pixels over all counted pixels.
        class_accuracy: mean of `recall` over the classes in the truth.
    """

    iou: NDArray[np.float64]
    mean_iou: float
    frequency_weighted_iou: float
    dice: NDArray[np.float64]
    mean_dice: float
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    pixel_accuracy: float
    class_accuracy: float


class ConfusionMatrix:
    """Counts `[truth, prediction]` over any number of pictures, exactly, in int64.

    Args:
        classes: the ids counted are 0 … classes - 1.
        ignore_index: truth of this id is not counted; None counts everything.

    Attributes:
        counts: int64 `[C, C]`.
    """

    def __init__(self, classes: int, *, ignore_index: int | None = None) -> None:
        if not 1 <= classes <= 65_535:
            raise ArrayError(
                "a confusion matrix needs 1 to 65,535 classes", got=f"classes={classes}"
            )
        self.classes = classes
        self.ignore_index = ignore_index
        self.counts = np.zeros((classes, classes), np.int64)

    def update(self, truth: Any, prediction: Any) -> None:
        """Adds one picture or batch.

        Args:
            truth: integer class ids of any shape, a NumPy array or a PyTorch tensor.
            prediction: ids of the same shape. Two tensors on one device are counted there, and only
                the counts are copied.

        Raises:
            ArrayError: shapes differ, or an id lies outside the classes.
        """
        if lie_on_one_device(truth, prediction):
            self.counts += count_on_device(truth, prediction, self.classes, self.ignore_index)
            return
        self.counts += kernels.confusion_counts(
            ids_of("truth", truth),
            ids_of("prediction", prediction),
            self.classes,
            ignore_index=self.ignore_index,
        )

    def merge(self, other: ConfusionMatrix) -> None:
        """Adds the counts of another matrix over the same classes."""
        if (other.classes, other.ignore_index) != (self.classes, self.ignore_index):
            raise ArrayError(
                "only matrices of one protocol can be merged",
                got=f"{self.classes} classes, ignore {self.ignore_index} · "
                f"{other.classes} classes, ignore {other.ignore_index}",
            )
        self.counts += other.counts

    @property
    def class_counts(self) -> NDArray[np.int64]:
        """int64 `[3, C]`: pixels of each class that are right, in the truth, in the prediction."""
        return np.stack([np.diag(self.counts), self.counts.sum(1), self.counts.sum(0)])

    def compute(self) -> SemanticScores:
        """The scores of everything counted so far; all NaN when nothing was."""
        return semantic_scores(self.class_counts)


def semantic_scores(class_counts: NDArray[np.integer]) -> SemanticScores:
    """The scores of sums over pictures.

    Args:
        class_counts: `[3, C]`, as `ConfusionMatrix.class_counts` gives them.

    Raises:
        ArrayError: they have another shape.
    """
    iou, dice = figures.iou(class_counts), figures.dice(class_counts)
    recall = figures.recall(class_counts)
    return SemanticScores(
        iou=iou,
        mean_iou=float(figures.mean_of_defined(iou)),
        frequency_weighted_iou=float(figures.frequency_weighted_iou(class_counts)),
        dice=dice,
        mean_dice=float(figures.mean_of_defined(dice)),
        precision=figures.precision(class_counts),
        recall=recall,
        pixel_accuracy=float(figures.pixel_accuracy(class_counts)),
        class_accuracy=float(figures.mean_of_defined(recall)),
    )
