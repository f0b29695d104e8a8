"""Average precision of objects, by the definition of COCO.

Lin et al., Microsoft COCO, ECCV 2014, and https://cocodataset.org/#detection-eval; where that page
leaves a choice, that of pycocotools is taken, to which all figures are equal.

In each picture and class, detections are matched in the order of their scores, of equal ones the
first: to the object of the highest IoU, of equal ones the last, that is not taken and reaches the
threshold; to a crowd, or an object outside the range of areas, only if there is no other, and then
the detection is not counted. Crowds take any number of detections, and their IoU is the share of
the detection that they cover. A detection without a match whose own area is outside the range is
not counted either. Over all pictures, the detections in the order of scores give a curve of
precision over recall; precision is made to fall, and averaged at 101 recalls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixelwise.errors import ArrayError, UsageError
from pixelwise.metrics.objects import Detections, ObjectMasks, TrueObjects
from pixelwise.metrics.ranking import PictureMatches, RankedClass, Ranking, ranked

__all__ = ["AveragePrecision", "DetectionScores", "box_ious", "mask_ious"]

DetectionKind: TypeAlias = Literal["mask", "box"]

_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_AREAS = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]])
_FEW_DETECTIONS = (1, 10)
_WRONG, _RIGHT, _NOT_COUNTED = range(3)
_MOST_CLASSES = 65_535


@dataclass(frozen=True, eq=False)
class DetectionScores:
    """Average precision and recall, 0..1; NaN where there is no object to find.

    AP is the mean over the IoU thresholds 0.50, 0.55 … 0.95 and over the classes that have
    objects; AR is the share of objects found, averaged in the same way. Small objects have an area
    of up to 32², medium ones of 32² to 96², large ones of 96² and more pixels.

    Attributes:
        ap: AP with up to `most_detections` (100) per picture and class, as all that follows but
            `ar_1` and `ar_10`.
        ap_50: AP at IoU 0.50 alone.
        ap_75: AP at IoU 0.75 alone.
        ap_small: AP of small objects.
        ap_medium: AP of medium objects.
        ap_large: AP of large objects.
        ar_1: AR with 1 detection per picture and class.
        ar_10: AR with up to 10.
        ar_100: AR with up to `most_detections`.
        ar_small: AR of small objects.
        ar_medium: AR of medium objects.
        ar_large: AR of large objects.
        class_ap: `ap` of each class, float64 `[C]`.
        class_ap_50: `ap_50` of each class, float64 `[C]`.
        class_ap_75: `ap_75` of each class, float64 `[C]`.
        class_ar_100: `ar_100` of each class, float64 `[C]`.
    """

    ap: float
    ap_50: float
    ap_75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar_1: float
    ar_10: float
    ar_100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    class_ap: NDArray[np.float64]
    class_ap_50: NDArray[np.float64]
    class_ap_75: NDArray[np.float64]
    class_ar_100: NDArray[np.float64]


class AveragePrecision:
    """Matches detections picture by picture; the scores are taken once, over all of them.

    Args:
        classes: the ids are 0 … classes - 1.
        kind: "mask" for the IoU of masks, "box" for that of boxes.
        most_detections: of the highest scores that count in a picture and class; None for all.

    Raises:
        UsageError: an argument has no such value.
    """

    def __init__(
        self, classes: int, *, kind: DetectionKind = "mask", most_detections: int | None = 100
    ) -> None:
        if (
            not 1 <= classes <= _MOST_CLASSES
            or kind not in ("mask", "box")
            or (most_detections is not None and most_detections < 1)
        ):
            raise UsageError(
                "average precision is of 1 to 65,535 classes, on masks or boxes",
                where="arguments classes, kind and most_detections",
                got=f"classes={classes!r}, kind={kind!r}, most_detections={most_detections!r}",
                fix='AveragePrecision(len(table), kind="mask")',
            )
        self.classes = classes
        self.kind = kind
        self.most_detections = most_detections
        self._pictures: list[PictureMatches] = []
        self._ranking: Ranking | None = None

    def update(
        self, truth: TrueObjects, detections: Detections, *, picture: int | None = None
    ) -> PictureMatches:
        """Matches one picture; it may have no objects, no detections or neither.

        Args:
            truth: its objects.
            detections: what was found.
            picture: its place in the data set; None: the number of pictures so far. Detections of
                equal scores count in the order of pictures, so that with places given, parts
                merged in any order score the same.

        Returns:
            What became of its detections, for `ranking.ranked`.

        Raises:
            ArrayError: masks or boxes that `kind` needs are not there, sizes differ, or a class is
                outside the table.
        """
        self._check(truth, detections)
        number = len(self._pictures) if picture is None else int(picture)
        matches = _matched(truth, detections, self.kind, self.most_detections, number)
        self._pictures.append(matches)
        self._ranking = None
        return matches

    def merge(self, other: AveragePrecision) -> None:
        """Adds the pictures of another one over the same classes."""
        own, others = (
            f"{each.classes} classes by {each.kind}, {each.most_detections or 'all'} detections"
            for each in (self, other)
        )
        if own != others:
            raise ArrayError("only matches of one protocol can be merged", got=f"{own} · {others}")
        self._pictures += other._pictures
        self._ranking = None

    @property
    def pictures(self) -> NDArray[np.int64]:
        """The pictures' places in the data set in rising order, int64 `[N]`."""
        return np.sort(np.array([entry.number for entry in self._pictures], np.int64))

    def compute(self, times: ArrayLike | None = None) -> DetectionScores:
        """The scores of all pictures so far; NaN where there is nothing to find.

        Args:
            times: how often each picture counts, whole numbers `[N]` in the order of `pictures`:
                one draw of a bootstrap. Nothing is matched again. Copies of a detection count one
                after the other. None: each once.

        Raises:
            ArrayError: times are not such numbers.
        """
        weights = np.ones(len(self._pictures)) if times is None else np.asarray(times, np.float64)
        if weights.shape != (len(self._pictures),) or not (
            np.isfinite(weights).all() and (weights >= 0).all() and (weights % 1 == 0).all()
        ):
            raise ArrayError(
                "times say of each picture how often it counts",
                where="argument times",
                got=f"{list(weights.shape)}, expected [{len(self._pictures)}] whole numbers",
                fix="numpy.random.default_rng().multinomial(n, [1 / n] * n)",
            )
        precision = np.full((self.classes, len(_AREAS), len(_THRESHOLDS)), np.nan)
        recall = np.full((self.classes, len(_AREAS), len(_FEW_DETECTIONS) + 1), np.nan)
        if self._pictures:
            drawn = weights.astype(np.int64)
            for class_, own in enumerate(self.ranking.classes):
                times = drawn[own.places]
                precision[class_] = [own.precision(times[None], n)[0] for n in range(len(_AREAS))]
                recall[class_] = _recall(own, times)
        return _scores(precision, recall)

    @property
    def ranking(self) -> Ranking:
        """The matches of all pictures so far, of which there is at least one."""
        if self._ranking is None:
            self._ranking = ranked(self._pictures, self.classes)
        return self._ranking

    def _check(self, truth: TrueObjects, detections: Detections) -> None:
        faults = []
        for name, objects in (("truth", truth), ("detections", detections)):
            ids = np.unique(objects.classes)
            outside = ids[(ids < 0) | (ids >= self.classes)].tolist()
            if outside:
                faults.append(f"{name} of classes {outside[:10]}, expected 0 … {self.classes - 1}")
            if self.kind == "mask" and objects.masks is None and len(objects):
                faults.append(f"{name} without masks")
        sizes = [objects.masks.size for objects in (truth, detections) if objects.masks is not None]
        if len(set(sizes)) > 1:
            faults.append(f"truth of {sizes[0]}, detections of {sizes[1]}")
        if faults:
            raise ArrayError(
                "truth and detections do not fit",
                where="arguments truth and detections",
                got=" · ".join(faults),
                fix="score at the size of the truth, with the ids of one class table",
            )


def box_ious(
    boxes: NDArray[np.float64], others: NDArray[np.float64], crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """IoU of boxes, or the share of the first box where the second is a crowd.

    Args:
        boxes: `[N, 4]`, xyxy.
        others: `[M, 4]`, xyxy.
        crowd: bool `[M]`.

    Returns:
        float64 `[N, M]`; 0 where boxes have nothing in common.
    """
    lower = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    upper = np.maximum(boxes[:, None, :2], others[None, :, :2])
    common = np.maximum(lower - upper, 0).prod(axis=-1)
    return _ious(common, _box_areas(boxes), _box_areas(others), crowd)


def mask_ious(
    masks: ObjectMasks, others: ObjectMasks, crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """As `box_ious`, of masks."""
    return _ious(masks.overlaps(others).astype(np.float64), masks.areas, others.areas, crowd)


def _ious(
    common: NDArray[np.float64],
    areas: NDArray[np.float64] | NDArray[np.int64],
    other_areas: NDArray[np.float64] | NDArray[np.int64],
    crowd: NDArray[np.bool_],
) -> NDArray[np.float64]:
    union = np.where(crowd, areas[:, None], areas[:, None] + other_areas - common)
    return np.divide(common, union, out=np.zeros_like(common), where=common > 0)


def _box_areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = (boxes[:, 2:] - boxes[:, :2]).prod(axis=-1)
    return areas


def _boxes(objects: TrueObjects | Detections) -> NDArray[np.float64]:
    if objects.boxes is not None:
        return np.asarray(objects.boxes, np.float64)
    return objects.masks.boxes if objects.masks is not None else np.zeros((0, 4))


def _masks_of(
    objects: TrueObjects | Detections,
    places: NDArray[np.int64],
    size: tuple[int, int] = (0, 0),
) -> ObjectMasks:
    """The masks at these places; where there are no objects, none in a picture of that size."""
    return ObjectMasks(size, ()) if objects.masks is None else objects.masks.chosen(places)


def _true_areas(truth: TrueObjects) -> NDArray[np.float64]:
    if truth.areas is not None:
        return np.asarray(truth.areas, np.float64)
    if truth.masks is not None:
        return truth.masks.areas.astype(np.float64)
    return _box_areas(_boxes(truth))


def _matched(
    truth: TrueObjects,
    detections: Detections,
    kind: DetectionKind,
    most: int | None,
    number: int,
) -> PictureMatches:
    crowd = np.zeros(len(truth), np.bool_) if truth.crowd is None else np.asarray(truth.crowd)
    true_areas, true_boxes, boxes = _true_areas(truth), _boxes(truth), _boxes(detections)
    true_classes = np.asarray(truth.classes)
    outside = (true_areas < _AREAS[:, :1]) | (true_areas > _AREAS[:, 1:])  # [areas, objects]
    excused = outside | crowd
    scores = np.asarray(detections.scores, np.float64)
    order = np.lexsort([-scores, detections.classes])  # stable: of equal scores the first
    kept, ranks, parts = [], [], []
    for class_ in np.unique(detections.classes).tolist():
        own = order[np.asarray(detections.classes)[order] == class_][:most]
        theirs = np.flatnonzero(true_classes == class_)
        if kind == "mask":
            masks = _masks_of(detections, own)
            ious = mask_ious(masks, _masks_of(truth, theirs, masks.size), crowd[theirs])
            areas = masks.areas.astype(np.float64)
        else:
            ious = box_ious(boxes[own], true_boxes[theirs], crowd[theirs])
            areas = _box_areas(boxes[own])
        kept.append(own)
        ranks.append(np.arange(len(own)))
        parts.append(_outcomes(ious, areas, excused[:, theirs], crowd[theirs]))
    shape = (len(_AREAS), len(_THRESHOLDS), 0)
    places = np.concatenate([np.zeros(0, np.int64), *kept])
    present, at = np.unique(true_classes, return_inverse=True)
    counts = np.zeros((len(present), len(_AREAS)), np.int64)
    np.add.at(counts, at, (~excused).T)
    return PictureMatches(
        number=number,
        classes=np.asarray(detections.classes)[places].astype(np.int64),
        scores=scores[places],
        ranks=np.concatenate([np.zeros(0, np.int64), *ranks]),
        outcomes=np.concatenate([np.zeros(shape, np.uint8), *parts], axis=2),
        true_classes=present.astype(np.int64),
        true_counts=counts,
    )


def _outcomes(
    ious: NDArray[np.float64],
    areas: NDArray[np.float64],
    excused: NDArray[np.bool_],
    crowd: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """What becomes of detections in the order of their scores, uint8 `[areas, thresholds, D]`.

    Args:
        ious: `[D, G]`.
        areas: `[D]`, of the detections.
        excused: `[areas, G]`: objects that need not be found.
        crowd: `[G]`.
    """
    outside = (areas < _AREAS[:, :1]) | (areas > _AREAS[:, 1:])  # [areas, D]
    outcomes = np.where(outside, _NOT_COUNTED, _WRONG).astype(np.uint8)
    outcomes = np.repeat(outcomes[:, None], len(_THRESHOLDS), axis=1)
    count = len(crowd)
    if not count:
        return outcomes
    free = np.ones((*outcomes.shape[:2], count), np.bool_)
    # Whole numbers that rise with IoU, of equal ones with the place; those to be found come first.
    ranks = np.empty(ious.shape, np.int64)
    np.put_along_axis(ranks, ious.argsort(axis=1, kind="stable"), np.arange(count)[None], axis=1)
    preferred = np.where(excused, 0, count)[:, None]  # [areas, 1, G]
    reached = ious[:, None] >= _THRESHOLDS[:, None]  # [D, thresholds, G]
    for place in np.flatnonzero(reached.any(axis=(1, 2))).tolist():
        wish = np.where(free & reached[place], ranks[place] + preferred, -1)
        best = wish.argmax(axis=2)
        area, threshold = np.nonzero(wish.max(axis=2) >= 0)
        taken = best[area, threshold]
        outcomes[area, threshold, place] = np.where(excused[area, taken], _NOT_COUNTED, _RIGHT)
        free[area, threshold, taken] = crowd[taken]
    return outcomes


def _recall(own: RankedClass, times: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean over the thresholds of the share of objects found, `[areas, detections]`."""
    objects = times @ own.objects  # [areas]
    right = (own.outcomes == _RIGHT) * times[own.pictures]
    limits = [own.ranks < most for most in _FEW_DETECTIONS]
    found = np.stack(
        [right[..., kept].sum(axis=-1) for kept in (*limits, slice(None))], axis=-1
    )  # [areas, thresholds, detections]
    recall = np.full((len(_AREAS), found.shape[-1]), np.nan)
    present = np.flatnonzero(objects)
    recall[present] = (found[present] / objects[present, None, None]).mean(axis=1)
    return recall


def _scores(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> DetectionScores:
    """From `[C, areas, thresholds]` and `[C, areas, detections]`."""
    by_area = [_mean_of_present(precision[:, area]) for area in range(len(_AREAS))]
    recall_by_area = [_mean_of_present(recall[:, area, -1]) for area in range(len(_AREAS))]
    at = {50: 0, 75: 5}
    return DetectionScores(
        ap=by_area[0],
        ap_50=_mean_of_present(precision[:, 0, at[50]]),
        ap_75=_mean_of_present(precision[:, 0, at[75]]),
        ap_small=by_area[1],
        ap_medium=by_area[2],
        ap_large=by_area[3],
        ar_1=_mean_of_present(recall[:, 0, 0]),
        ar_10=_mean_of_present(recall[:, 0, 1]),
        ar_100=recall_by_area[0],
        ar_small=recall_by_area[1],
        ar_medium=recall_by_area[2],
        ar_large=recall_by_area[3],
        class_ap=precision[:, 0].mean(axis=1),
        class_ap_50=precision[:, 0, at[50]],
        class_ap_75=precision[:, 0, at[75]],
        class_ar_100=recall[:, 0, 2],
    )


def _mean_of_present(values: NDArray[np.float64]) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")
