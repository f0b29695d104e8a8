"""Classes that lie over each other: each is scored for itself, as a question of yes and no.

Pixels are added up over the data set first, class by class; a figure is taken once, from the sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ArrayError
from pixelwise.metrics import figures

__all__ = ["LayerOverlap", "LayerScores"]


@dataclass(frozen=True, eq=False)
class LayerScores:
    """Scores of layers; NaN where a class has no such figure, as in `SemanticScores`.

    Attributes:
        iou: TP / (TP + FP + FN) per class, float64 `[C]`, 0..1.
        dice: 2 TP / (2 TP + FP + FN) per class, float64 `[C]`.
        precision: TP / (TP + FP) per class, float64 `[C]`.
        recall: TP / (TP + FN) per class, float64 `[C]`.
        accuracy: (TP + TN) / counted pixels per class, float64 `[C]`.
        mean_iou, mean_dice: over the classes that are not NaN.
    """

    iou: NDArray[np.float64]
    dice: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    mean_iou: float
    mean_dice: float


class LayerOverlap:
    """Counts of the pixels of each layer over any number of pictures, exactly, in int64.

    Args:
        classes: C.

    Attributes:
        counts: int64 `[4, C]`: pixels that are of the class and found, of the class, found, and
            counted at all; additive.
    """

    def __init__(self, classes: int) -> None:
        if classes < 1:
            raise ArrayError("layers are those of one class at least", got=f"classes={classes}")
        self.classes = classes
        self.counts = np.zeros((4, classes), np.int64)

    def update(
        self,
        truth: NDArray[np.bool_],
        found: NDArray[np.bool_],
        ignore: NDArray[np.bool_] | None = None,
    ) -> None:
        """Adds one picture.

        Args:
            truth: which classes each pixel has, bool `[C, H, W]`.
            found: which were predicted, of the same shape.
            ignore: bool `[H, W]`: pixels that count in no layer; None: all count.

        Raises:
            ArrayError: they are no such arrays; nothing was added then.
        """
        self._check(truth, found, ignore)
        if ignore is None:
            counted, right, own, seen = truth[0].size, truth & found, truth, found
        else:
            kept = ~ignore
            counted = int(np.count_nonzero(kept))
            own, seen = truth & kept, found & kept
            right = own & found
        self.counts += np.stack(
            [
                *(
                    np.count_nonzero(part.reshape(self.classes, -1), axis=1)
                    for part in (right, own, seen)
                ),
                np.full(self.classes, counted),
            ]
        )

    def merge(self, other: LayerOverlap) -> None:
        """Adds the counts of another over the same classes.

        Raises:
            ArrayError: it has another number of classes.
        """
        if other.classes != self.classes:
            raise ArrayError(
                "only counts of the same classes can be merged",
                got=f"{self.classes} classes · {other.classes} classes",
            )
        self.counts += other.counts

    def compute(self) -> LayerScores:
        """The scores of everything counted so far; all NaN when nothing was."""
        overlap = self.counts[:3]
        iou, dice = figures.iou(overlap), figures.dice(overlap)
        return LayerScores(
            iou=iou,
            dice=dice,
            precision=figures.precision(overlap),
            recall=figures.recall(overlap),
            accuracy=figures.layer_accuracy(self.counts),
            mean_iou=float(figures.mean_of_defined(iou)),
            mean_dice=float(figures.mean_of_defined(dice)),
        )

    def _check(self, truth: Any, found: Any, ignore: Any) -> None:
        given = {"truth": truth, "found": found}
        given |= {} if ignore is None else {"ignore": ignore}
        faults = [
            f"{name} is {type(array).__name__}, expected a NumPy array"
            if not isinstance(array, np.ndarray)
            else f"{name} {array.dtype} {list(array.shape)}"
            for name, array in given.items()
            if not isinstance(array, np.ndarray)
            or array.dtype != np.bool_
            or array.ndim != (2 if name == "ignore" else 3)
        ]
        if not faults:
            fits = truth.shape == found.shape and len(truth) == self.classes
            fits = fits and (ignore is None or ignore.shape == truth.shape[1:])
            if not fits:
                faults = [f"{name} {list(array.shape)}" for name, array in given.items()]
        if faults:
            raise ArrayError(
                f"layers are bool [{self.classes}, H, W], and what is ignored is bool [H, W]",
                got=" · ".join(faults),
            )
