"""Boxes `(x1, y1, x2, y2)` in pixels, x2 and y2 just outside: overlaps, and the best of many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixelwise.errors import ArrayError, UsageError, did_you_mean

__all__ = ["Kept", "Suppression", "box_iou", "non_maximum_suppression"]

Suppression = Literal["hard", "linear", "gaussian"]


@dataclass(frozen=True, eq=False)
class Kept:
    """What non-maximum suppression leaves, the best first.

    Attributes:
        places: int64 `[K]`, of the boxes given.
        scores: float64 `[K]`; soft suppression lowers them.
    """

    places: NDArray[np.int64]
    scores: NDArray[np.float64]


def box_iou(boxes: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of each pair, float64 `[N, M]`; 0 where both are empty.

    Args:
        boxes: `[N, 4]`.
        others: `[M, 4]`.

    Raises:
        ArrayError: an array is no boxes.
    """
    first, second = _boxes("boxes", boxes), _boxes("others", others)
    corner = np.maximum(first[:, None, :2], second[None, :, :2])
    end = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.prod(np.maximum(end - corner, 0), axis=2)
    union = _areas(first)[:, None] + _areas(second)[None] - common
    shares: NDArray[np.float64] = np.divide(
        common, union, out=np.zeros_like(common), where=union > 0
    )
    return shares


def non_maximum_suppression(
    boxes: ArrayLike,
    scores: ArrayLike,
    classes: ArrayLike | None = None,
    *,
    iou: float = 0.5,
    method: Suppression = "hard",
    deviation: float = 0.5,
    min_score: float = 0.0,
) -> Kept:
    """Of boxes that overlap the one of the highest score.

    The best box is kept, and those that overlap it lose: all that overlap it by more than `iou`
    (`"hard"`), or each in the measure of its overlap (Bodla et al., "Soft-NMS", ICCV 2017: scores
    times `1 - IoU` above `iou`, `"linear"`, or times `exp(-IoU² / deviation)`, `"gaussian"`). So it
    goes on with what is left. Of equal scores the first box wins.

    Args:
        boxes: `[N, 4]`.
        scores: `[N]`.
        classes: whole numbers `[N]`: boxes of different classes leave each other alone. None: all
            are of one class.
        iou: from 0 to 1.
        method: how a box loses.
        deviation: sigma of the Gaussian, above 0.
        min_score: boxes of a lower score are dropped, before or after they lost.

    Raises:
        ArrayError: arrays of different lengths, or with something that is no number.
        UsageError: an argument is outside its range.
    """
    corners = _boxes("boxes", boxes)
    left = np.array(scores, np.float64)
    groups = np.zeros(len(corners), np.int64) if classes is None else np.asarray(classes)
    if left.shape != (len(corners),) or groups.shape != left.shape or np.isnan(left).any():
        raise ArrayError(
            "boxes, scores and classes do not go together",
            got=f"{len(corners)} boxes, scores {left.shape}, classes {groups.shape}",
            fix="give one finite score, and one class, for each box",
        )
    _check(iou, method, deviation)
    open_ = left >= min_score
    places, kept = [], []
    while open_.any():
        best = int(np.argmax(np.where(open_, left, -np.inf)))
        open_[best] = False
        places.append(best)
        kept.append(float(left[best]))
        rivals = np.flatnonzero(open_ & (groups == groups[best]))
        shares = box_iou(corners[best : best + 1], corners[rivals])[0]
        if method == "hard":
            open_[rivals[shares > iou]] = False
            continue
        if method == "linear":
            left[rivals] *= np.where(shares > iou, 1 - shares, 1)
        else:
            left[rivals] *= np.exp(-(shares**2) / deviation)
        open_ &= left >= min_score
    return Kept(np.array(places, np.int64), np.array(kept))


def _boxes(name: str, boxes: ArrayLike) -> NDArray[np.float64]:
    corners = np.asarray(boxes, np.float64)
    if corners.size == 0:
        return corners.reshape(0, 4)
    if corners.ndim != 2 or corners.shape[1] != 4 or not np.isfinite(corners).all():
        raise ArrayError(
            f"{name} are no boxes",
            where=f"argument {name}",
            got=f"shape {corners.shape}, expected finite numbers [N, 4]",
        )
    wrong = np.flatnonzero((corners[:, 2:] < corners[:, :2]).any(1))
    if len(wrong):
        raise ArrayError(
            "a box ends before it begins",
            where=f"argument {name}",
            got=f"{corners[wrong[0]].tolist()}, box {wrong[0]}; {len(wrong)} such boxes",
            fix="corners are x1, y1, x2, y2",
        )
    return corners


def _areas(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = np.prod(corners[:, 2:] - corners[:, :2], axis=1)
    return areas


def _check(iou: float, method: str, deviation: float) -> None:
    if not 0 <= iou <= 1 or not deviation > 0:
        raise UsageError(
            "a parameter is outside its range",
            got=f"iou={iou}, deviation={deviation}; expected 0 to 1, and above 0",
        )
    if method not in get_args(Suppression):
        raise UsageError(
            "there is no such suppression",
            got=f"method={method!r}",
            fix=did_you_mean(method, get_args(Suppression)),
        )
