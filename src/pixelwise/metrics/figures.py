"""From sums over pictures to figures: one formula each, for any number of sums at once.

Every metric counts a few numbers per class and picture that add up: over pictures, threads,
processes, and over pictures drawn again for an interval. Here the last two axes of `sums` are those
numbers and the classes, `[..., K, C]`, and each function gives float64 `[..., C]`, NaN where a
class has no such figure. Sums of any real type are taken.

| sums | K | numbers of each class |
|---|---|---|
| of a confusion matrix | 3 | pixels that are right · in the truth · in the prediction |
| of `LayerOverlap` | 4 | the same, of each layer · pixels that were counted |
| of `BoundaryIoU` | 3 | the same, of pixels near the border of the class |
| of `BoundaryFScore` | 4 | contour pixels of the prediction near the truth's contour · in the \
prediction · of the truth near the prediction's contour · in the truth |
| of `SurfaceDistances` | 4 | sum of average distances · sum of 95th percentiles · pictures with \
the class in both · pictures with it in only one |
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ArrayError

__all__ = [
    "average_distance",
    "boundary_f_score",
    "boundary_precision",
    "boundary_recall",
    "dice",
    "frequency_weighted_iou",
    "hausdorff_95",
    "iou",
    "layer_accuracy",
    "mean_of_defined",
    "pixel_accuracy",
    "precision",
    "recall",
]

_Sums: TypeAlias = NDArray[Any]
_Figures: TypeAlias = NDArray[np.float64]


def iou(sums: _Sums) -> _Figures:
    """Intersection over union (Jaccard), TP / (TP + FP + FN); 0 … 1.

    Args:
        sums: `[..., 3, C]`, of a confusion matrix or of `BoundaryIoU`.

    Returns:
        float64 `[..., C]`; NaN for a class in neither truth nor prediction.
    """
    right, truth, predicted = _parts(sums, 3)
    return _share(right, truth + predicted - right)


def dice(sums: _Sums) -> _Figures:
    """Dice coefficient (F1), 2 TP / (2 TP + FP + FN); 0 … 1; as `iou` else."""
    right, truth, predicted = _parts(sums, 3)
    return _share(2 * right, truth + predicted)


def precision(sums: _Sums) -> _Figures:
    """TP / (TP + FP), 0 … 1; NaN for a class that is not predicted; as `iou` else."""
    right, _, predicted = _parts(sums, 3)
    return _share(right, predicted)


def recall(sums: _Sums) -> _Figures:
    """TP / (TP + FN), 0 … 1; NaN for a class that is not in the truth; as `iou` else."""
    right, truth, _ = _parts(sums, 3)
    return _share(right, truth)


def pixel_accuracy(sums: _Sums) -> _Figures:
    """Right pixels over all counted ones.

    Args:
        sums: `[..., 3, C]` of a confusion matrix.

    Returns:
        float64 `[...]`, 0 … 1; NaN where nothing was counted.
    """
    right, truth, _ = _parts(sums, 3)
    return _share(right.sum(-1), truth.sum(-1))


def layer_accuracy(sums: _Sums) -> _Figures:
    """Of a layer the pixels that are right, those without the class too, over all counted ones.

    Args:
        sums: `[..., 4, C]` of `LayerOverlap`.

    Returns:
        float64 `[..., C]`, 0 … 1; NaN where nothing was counted.
    """
    right, truth, predicted, counted = _parts(sums, 4)
    return _share(counted - truth - predicted + 2 * right, counted)


def frequency_weighted_iou(sums: _Sums) -> _Figures:
    """IoU weighed by the share of each class in the truth; as `pixel_accuracy` else.

    Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation" (CVPR
    2015), section 5.
    """
    _, truth, _ = _parts(sums, 3)
    weighed = truth * np.nan_to_num(iou(sums))
    return _share(weighed.sum(-1), truth.sum(-1))


def boundary_precision(sums: _Sums) -> _Figures:
    """Share of the prediction's contour that lies near the truth's.

    Args:
        sums: `[..., 4, C]` of `BoundaryFScore`.

    Returns:
        float64 `[..., C]`, 0 … 1; NaN for a class that is not predicted.
    """
    hit, predicted, _, _ = _parts(sums, 4)
    return _share(hit, predicted)


def boundary_recall(sums: _Sums) -> _Figures:
    """Share of the truth's contour that lies near the prediction's; NaN without one."""
    _, _, hit, truth = _parts(sums, 4)
    return _share(hit, truth)


def boundary_f_score(sums: _Sums) -> _Figures:
    """Harmonic mean of precision and recall of contours.

    Csurka, Larlus and Perronnin, "What is a good evaluation measure for semantic segmentation?"
    (BMVC 2013), section 3.

    Args:
        sums: `[..., 4, C]` of `BoundaryFScore`.

    Returns:
        float64 `[..., C]`, 0 … 1; 0 for a class in truth or prediction only, NaN for one in
        neither.
    """
    _, predicted, _, truth = _parts(sums, 4)
    exact = np.nan_to_num(boundary_precision(sums))
    found = np.nan_to_num(boundary_recall(sums))
    score = np.nan_to_num(_share(2 * exact * found, exact + found))
    score[(predicted == 0) & (truth == 0)] = np.nan
    return score


def average_distance(sums: _Sums) -> _Figures:
    """Average symmetric surface distance, the mean over the pictures that have one.

    Args:
        sums: `[..., 4, C]` of `SurfaceDistances`.

    Returns:
        float64 `[..., C]` in the unit of the spacing; NaN where no picture has the class in both.
    """
    total, _, pictures, _ = _parts(sums, 4)
    return _share(total, pictures)


def hausdorff_95(sums: _Sums) -> _Figures:
    """95th percentile of the Hausdorff distance; as `average_distance` else."""
    _, total, pictures, _ = _parts(sums, 4)
    return _share(total, pictures)


def mean_of_defined(figures: _Figures) -> _Figures:
    """The mean over the classes that have a figure.

    Args:
        figures: `[..., C]`.

    Returns:
        float64 `[...]`; NaN where no class has one.
    """
    defined = ~np.isnan(figures)
    return _share(np.where(defined, figures, 0).sum(-1), defined.sum(-1))


def _parts(sums: _Sums, count: int) -> list[_Figures]:
    sums = np.asarray(sums)
    if sums.ndim < 2 or sums.shape[-2] != count:
        raise ArrayError(
            "these are not sums of this metric",
            where=f"argument sums [..., {count}, C]",
            got=f"shape {list(sums.shape)}",
            fix="the axis before the classes holds the numbers that the metric counts",
        )
    return [sums[..., part, :].astype(np.float64) for part in range(count)]


def _share(part: _Figures, whole: NDArray[Any]) -> _Figures:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.divide(part, whole), np.float64)
