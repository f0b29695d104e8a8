"""How well borders are met: boundary IoU, and the F-score of contours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.kernels.checks import whole_number
from pixelwise.kernels.types import Labels
from pixelwise.metrics import figures
from pixelwise.metrics.pictures import Rule, Width, pictures_of

__all__ = ["BoundaryFScore", "BoundaryFScores", "BoundaryIoU", "BoundaryIoUScores"]


@dataclass(frozen=True, eq=False)
class BoundaryIoUScores:
    """Boundary IoU; a class absent from truth and prediction is NaN.

    Attributes:
        boundary_iou: per class, float64 `[C]`, 0..1.
        mean_boundary_iou: mean over the classes that are not NaN.
        width: of the band along the border, in words.
    """

    boundary_iou: NDArray[np.float64]
    mean_boundary_iou: float
    width: str


class BoundaryIoU:
    """IoU of the pixels of each class near its border, summed over pictures.

    Cheng et al., "Boundary IoU: improving object-centric image segmentation evaluation" (CVPR
    2021, arXiv 2103.16562), equation 2: of truth and prediction only the pixels within a distance
    of the border of their own mask are taken. The distance is the chessboard one, as in the
    authors' code, which erodes with 3×3 as often as the distance has pixels; the border of the
    picture is a border. All classes are found in one pass over a label map.

    What is ignored in the truth is not counted and is as outside the picture, in both maps.

    Args:
        classes: the ids counted are 0 … classes - 1.
        ignore_index: truth of this id is not counted; None counts everything.
        ratio: width of the band as a share of the picture's diagonal, rounded to whole pixels, at
            least 1; the paper's is 0.02.
        pixels: width in whole pixels instead.

    Attributes:
        rule: what is counted.
        class_counts: int64 `[3, C]`: pixels near the border of their class that are so in both,
            in the truth, in the prediction.

    Raises:
        UsageError: an argument is outside its range.
    """

    def __init__(
        self,
        classes: int,
        *,
        ignore_index: int | None = None,
        ratio: float = 0.02,
        pixels: int | None = None,
    ) -> None:
        if pixels is not None:
            pixels = whole_number("pixels", pixels, least=1, most=2**24)
        self._width = Width(ratio, pixels)
        self.rule = Rule(classes, ignore_index, self._width)
        self.class_counts = np.zeros((3, classes), np.int64)

    def update(self, truth: Any, prediction: Any) -> None:
        """Adds one picture `[H, W]` or a batch `[N, H, W]`, each picture by its own diagonal.

        Args:
            truth: integer class ids, a NumPy array or a PyTorch tensor; tensors of a device are
                copied to the CPU.
            prediction: ids of the same shape.

        Raises:
            ArrayError: shapes differ or are others, or an id lies outside the classes.
        """
        for pair in pictures_of(truth, prediction, self.rule):
            distance = max(1, round(self._width.on(pair[0].shape)))
            self.class_counts += _band_counts(*pair, self.rule.classes, distance)

    def merge(self, other: BoundaryIoU) -> None:
        """Adds the counts of another; ArrayError if it counts by another rule."""
        self.rule.require_same(other.rule)
        self.class_counts += other.class_counts

    def compute(self) -> BoundaryIoUScores:
        """The scores of everything counted so far; all NaN when nothing was."""
        scores = figures.iou(self.class_counts)
        return BoundaryIoUScores(scores, float(figures.mean_of_defined(scores)), str(self._width))


@dataclass(frozen=True, eq=False)
class BoundaryFScores:
    """F-score of contours; a class absent from truth and prediction is NaN.

    Attributes:
        f_score: per class, float64 `[C]`, 0..1.
        mean_f_score: mean over the classes that are not NaN.
        precision: share of the predicted contour near the truth's, float64 `[C]`.
        recall: share of the truth's contour near the predicted one, float64 `[C]`.
        tolerance: how far "near" is, in words.
    """

    f_score: NDArray[np.float64]
    mean_f_score: float
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    tolerance: str


class BoundaryFScore:
    """F-score of the contours of each class within a tolerance, summed over pictures.

    Csurka, Larlus and Perronnin, "What is a good evaluation measure for semantic segmentation?"
    (BMVC 2013), section 3. A contour pixel has a neighbour above, below, left or right that is not
    of its class; near is at a Euclidean distance of at most the tolerance. The paper takes the mean
    over pictures; here contour pixels are summed over pictures first.

    What is ignored in the truth is not counted and is as outside the picture, in both maps.

    Args:
        classes: the ids counted are 0 … classes - 1.
        ignore_index: truth of this id is not counted; None counts everything.
        ratio: tolerance as a share of the picture's diagonal; the paper's is 0.0075.
        pixels: tolerance in pixels instead.

    Attributes:
        rule: what is counted.
        class_counts: int64 `[4, C]`: contour pixels of the prediction near the truth's contour, of
            the prediction, of the truth near the prediction's contour, of the truth.

    Raises:
        UsageError: an argument is outside its range.
    """

    def __init__(
        self,
        classes: int,
        *,
        ignore_index: int | None = None,
        ratio: float = 0.0075,
        pixels: float | None = None,
    ) -> None:
        self._tolerance = Width(ratio, pixels)
        self.rule = Rule(classes, ignore_index, self._tolerance)
        self.class_counts = np.zeros((4, classes), np.int64)

    def update(self, truth: Any, prediction: Any) -> None:
        """Adds one picture `[H, W]` or a batch `[N, H, W]`; as `BoundaryIoU.update`."""
        for pair in pictures_of(truth, prediction, self.rule):
            tolerance = self._tolerance.on(pair[0].shape)
            self.class_counts += _contour_counts(*pair, self.rule.classes, tolerance)

    def merge(self, other: BoundaryFScore) -> None:
        """Adds the counts of another; ArrayError if it counts by another rule."""
        self.rule.require_same(other.rule)
        self.class_counts += other.class_counts

    def compute(self) -> BoundaryFScores:
        """The scores of everything counted so far; all NaN when nothing was."""
        scores = figures.boundary_f_score(self.class_counts)
        return BoundaryFScores(
            scores,
            float(figures.mean_of_defined(scores)),
            figures.boundary_precision(self.class_counts),
            figures.boundary_recall(self.class_counts),
            str(self._tolerance),
        )


def _band_counts(
    truth: Labels, prediction: Labels, classes: int, distance: int
) -> NDArray[np.int64]:
    near_truth = kernels.near_borders(truth, distance, fill=classes)
    near_predicted = kernels.near_borders(prediction, distance, fill=classes)
    # One class more holds what is not near, or ignored.
    pairs = kernels.confusion_counts(near_truth, near_predicted, classes + 1)
    return np.stack([pairs.diagonal(), pairs.sum(1), pairs.sum(0)])[:, :classes]


def _contour_counts(
    truth: Labels, prediction: Labels, classes: int, tolerance: float
) -> NDArray[np.int64]:
    true, found = (kernels.contour_points(labels, classes) for labels in (truth, prediction))
    counts = []
    for contours, others in ((found, true), (true, found)):
        is_near = kernels.contours_near(contours, others, tolerance)
        ids = np.repeat(np.arange(classes), contours.counts)
        counts += [np.bincount(ids[is_near], minlength=classes), contours.counts]
    return np.stack(counts)
