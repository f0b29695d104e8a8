"""Panoptic quality: whether every segment was found, and how well.

Kirillov, He, Girshick, Rother and Dollár, Panoptic Segmentation, CVPR 2019 (arXiv 1801.00868),
sections 4.1 and 4.2; where the paper leaves a choice, that of its authors' panopticapi is taken.

A segment is an object of a thing class, or all pixels of a stuff class in a picture. A true and a
predicted segment of one class match if their IoU is above 1/2, which at most one pair can be.
- Void pixels, whose truth is the ignored id, belong to no union.
- Crowds, which stand for objects that nobody told apart, are never matched and never missed.
- A predicted segment without a match is no false positive if more than half of it lies on void
  pixels or crowds of its class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import Overlaps, count_overlaps

__all__ = [
    "PanopticMap",
    "PanopticQuality",
    "PanopticScores",
    "panoptic_scores",
]

_MOST_CLASSES = 65_535
_IOU_SUM, _TRUE_POSITIVES, _FALSE_POSITIVES, _FALSE_NEGATIVES = range(4)


@dataclass(frozen=True, eq=False)
class PanopticMap:
    """The segments of one picture: a class per pixel and the object that the pixel belongs to.

    Attributes:
        classes: integer `[H, W]`: 0 … C - 1, or the ignored id, which is void in the truth and
            stands for no segment in a prediction.
        instances: integer `[H, W]`: one number per object of a thing class; what it holds on stuff
            plays no part. Objects of two classes may have the same number.
        crowd: bool `[H, W]`, of the truth only: pixels of crowds. None: the pixels of thing classes
            whose instance is 0, as targets of data sets have it. In predictions 0 is a number like
            any other.

    Raises:
        ArrayError: an array is of another type or size.
    """

    classes: NDArray[Any]
    instances: NDArray[Any]
    crowd: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        named = {"classes": self.classes, "instances": self.instances}
        if self.crowd is not None:
            named["crowd"] = self.crowd
        faults = []
        for name, array in named.items():
            kind = np.bool_ if name == "crowd" else np.integer
            if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, kind):
                expected = "bool" if name == "crowd" else "integers"
                got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
                faults.append(f"{name} is {got}, expected an array of {expected}")
            elif array.ndim != 2 or array.size == 0:
                faults.append(f"{name} is {list(array.shape)}, expected [H, W] with pixels")
            elif array.shape != getattr(self.classes, "shape", array.shape):
                faults.append(
                    f"{name} is {list(array.shape)}, classes are {list(self.classes.shape)}"
                )
        if faults:
            raise ArrayError(
                "these arrays are no panoptic map",
                where=f"arguments {', '.join(named)}",
                got=" · ".join(faults),
                fix="give one map of class ids and one of object numbers, at the picture's size",
            )


@dataclass(frozen=True, eq=False)
class PanopticScores:
    """Panoptic, segmentation and recognition quality: PQ = SQ × RQ; all 0..1.

    A class without segments in truth and prediction is NaN and left out of the means. A class
    whose segments have no match has an SQ of 0, as in panopticapi. Leading axes `...` are those of
    the counts: none for one data set.

    Attributes:
        pq: IoU of matches, summed, over TP + FP / 2 + FN / 2, float64 `[..., C]`.
        sq: mean IoU of matches, float64 `[..., C]`.
        rq: TP over TP + FP / 2 + FN / 2, an F1 score, float64 `[..., C]`.
        mean_pq: mean of `pq` over classes, float64 `[...]`.
        mean_sq: mean of `sq` over classes.
        mean_rq: mean of `rq` over classes.
        things_pq: mean of `pq` over thing classes; so for `sq` and `rq`.
        things_sq: see `things_pq`.
        things_rq: see `things_pq`.
        stuff_pq: mean of `pq` over stuff classes; so for `sq` and `rq`.
        stuff_sq: see `stuff_pq`.
        stuff_rq: see `stuff_pq`.
    """

    pq: NDArray[np.float64]
    sq: NDArray[np.float64]
    rq: NDArray[np.float64]
    mean_pq: NDArray[np.float64]
    mean_sq: NDArray[np.float64]
    mean_rq: NDArray[np.float64]
    things_pq: NDArray[np.float64]
    things_sq: NDArray[np.float64]
    things_rq: NDArray[np.float64]
    stuff_pq: NDArray[np.float64]
    stuff_sq: NDArray[np.float64]
    stuff_rq: NDArray[np.float64]


def panoptic_scores(counts: ArrayLike, things: NDArray[np.bool_]) -> PanopticScores:
    """The scores of counts that were added up over pictures.

    Args:
        counts: `[..., 4, C]`: sum of the IoU of matches, TP, FP and FN of each class. Sums over
            resampled pictures, one in each place of the leading axes, are a bootstrap.
        things: bool `[C]`: which classes are things.

    Raises:
        ArrayError: the shapes do not fit.
    """
    sums = np.asarray(counts, np.float64)
    things = np.asarray(things)
    if sums.ndim < 2 or sums.shape[-2:] != (4, len(things)) or things.dtype != np.bool_:
        raise ArrayError(
            "counts are [..., 4, C] and things are bool [C]",
            where="arguments counts and things",
            got=f"counts {list(sums.shape)}, things {things.dtype} {list(things.shape)}",
        )
    iou, found = sums[..., _IOU_SUM, :], sums[..., _TRUE_POSITIVES, :]
    wrong = sums[..., _FALSE_POSITIVES, :] + sums[..., _FALSE_NEGATIVES, :]
    weight = found + wrong / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        pq, rq = iou / weight, found / weight
        sq = np.where(found > 0, iou / found, np.where(weight > 0, 0.0, np.nan))
    means = [
        _mean_of_present(values[..., chosen])
        for chosen in (np.ones_like(things), things, ~things)
        for values in (pq, sq, rq)
    ]
    return PanopticScores(pq, sq, rq, *means)


class PanopticQuality:
    """Counts matched, missed and invented segments over any number of pictures.

    Args:
        things: bool `[C]`: which classes are things; its length is that of the class table.
        ignore_index: the class id of void pixels; None where there are none.

    Attributes:
        counts: float64 `[4, C]`: sum of the IoU of matches, TP, FP, FN of each class. Sums of IoU
            in another order may differ in the last bits; the other counts are exact.

    Raises:
        ArrayError: things are not such an array.
        UsageError: the ignored id is that of a class.
    """

    def __init__(self, things: ArrayLike, *, ignore_index: int | None = None) -> None:
        self.things = np.array(things)
        if (
            self.things.ndim != 1
            or self.things.dtype != np.bool_
            or not 1 <= self.things.size <= _MOST_CLASSES
        ):
            raise ArrayError(
                "things say of each class whether it is one",
                where="argument things",
                got=f"{self.things.dtype} {list(self.things.shape)}, expected bool [C]",
                fix='[info.kind == "thing" for info in table]',
            )
        if ignore_index is not None and 0 <= ignore_index < self.things.size:
            raise UsageError(
                "the ignored id is that of a class",
                where="argument ignore_index",
                got=f"{ignore_index}, classes are 0 … {self.things.size - 1}",
                fix="give an id that no class has, e.g. 255",
            )
        self.things.setflags(write=False)
        self.ignore_index = ignore_index
        self.counts = np.zeros((4, self.things.size), np.float64)

    def update(self, truth: PanopticMap, prediction: PanopticMap) -> NDArray[np.float64]:
        """Adds one picture.

        Returns:
            The counts of this picture alone, float64 `[4, C]`: what a bootstrap resamples.

        Raises:
            ArrayError: sizes differ, or a class id is outside the table.
        """
        if truth.classes.shape != prediction.classes.shape:
            raise ArrayError(
                "truth and prediction differ in size",
                got=f"truth {truth.classes.shape} · prediction {prediction.classes.shape}",
                fix="score at the size of the truth",
            )
        maps = [truth.classes, truth.instances, prediction.classes, prediction.instances]
        if truth.crowd is not None:
            maps.append(truth.crowd)
        # Whoever has many pictures gives each a thread; of one, a second saves little.
        overlaps = count_overlaps(*map(_countable, maps), threads=1)
        self._check_ids(overlaps)
        counts = self._counts_of(overlaps)
        self.counts += counts
        return counts

    def merge(self, other: PanopticQuality) -> None:
        """Adds the counts of another one over the same classes."""
        if self.ignore_index != other.ignore_index or not np.array_equal(self.things, other.things):
            raise ArrayError(
                "only counts of one protocol can be merged",
                got=f"{self.things.size} classes, {self.things.sum()} of them things, ignore "
                f"{self.ignore_index} · {other.things.size} classes, {other.things.sum()} of them "
                f"things, ignore {other.ignore_index}",
            )
        self.counts += other.counts

    def compute(self) -> PanopticScores:
        """The scores of everything counted so far; all NaN when nothing was."""
        return panoptic_scores(self.counts, self.things)

    def _check_ids(self, overlaps: Overlaps) -> None:
        faults = []
        for name, column in (("truth", 0), ("prediction", 2)):
            ids = np.unique(overlaps.labels[:, column])
            outside = ids[((ids < 0) | (ids >= self.things.size)) & (ids != self._void)]
            if outside.size:
                faults.append(f"{name} holds ids {outside[:10].tolist()}")
        if faults:
            ignored = "" if self.ignore_index is None else f" or {self.ignore_index} (ignored)"
            raise ArrayError(
                "class ids outside the class table",
                got=f"{' · '.join(faults)}, expected 0 … {self.things.size - 1}{ignored}",
                fix="map the ids to the table, or name the ignored one as ignore_index",
            )

    @property
    def _void(self) -> int:
        return -1 if self.ignore_index is None else self.ignore_index

    def _counts_of(self, overlaps: Overlaps) -> NDArray[np.float64]:
        pixels = overlaps.pixels
        true_class, true_instance, class_, instance = overlaps.labels.T[:4]
        void, covered = true_class == self._void, class_ != self._void
        is_thing = np.append(self.things, False)  # the place -1 is for ids of no class
        true_thing = is_thing[np.where(void, -1, true_class)]
        if overlaps.labels.shape[1] > 4:
            crowd = (overlaps.labels[:, 4] == 1) & ~void
        else:
            crowd = true_thing & (true_instance == 0)
        counted = ~void & ~crowd
        truth = _Segments(true_class, np.where(true_thing, true_instance, 0), counted, pixels)
        thing = is_thing[np.where(covered, class_, -1)]
        found = _Segments(class_, np.where(thing, instance, 0), covered, pixels)
        excused = found.sums((void | crowd & (true_class == class_)) & covered, pixels)
        void_areas = found.sums(void & covered, pixels)

        meet = counted & covered & (true_class == class_)
        codes = truth.place[meet] * max(len(found.areas), 1) + found.place[meet]
        pairs, place = np.unique(codes, return_inverse=True)
        common = _sums(place, pixels[meet], len(pairs))
        ours, theirs = np.divmod(pairs, max(len(found.areas), 1))
        union = truth.areas[ours] + found.areas[theirs] - void_areas[theirs] - common
        matched = 2 * common > union
        ours, theirs = ours[matched], theirs[matched]

        missed = np.ones(len(truth.areas), np.bool_)
        missed[ours] = False
        invented = 2 * excused <= found.areas
        invented[theirs] = False
        counts = np.zeros((4, self.things.size), np.float64)
        matched_class = truth.classes[ours]
        np.add.at(counts[_IOU_SUM], matched_class, common[matched] / union[matched])
        np.add.at(counts[_TRUE_POSITIVES], matched_class, 1)
        np.add.at(counts[_FALSE_POSITIVES], found.classes[invented], 1)
        np.add.at(counts[_FALSE_NEGATIVES], truth.classes[missed], 1)
        return counts


class _Segments:
    """The segments of one side: `place` says of each overlap to which it belongs."""

    def __init__(
        self,
        classes: NDArray[np.int64],
        instances: NDArray[np.int64],
        counted: NDArray[np.bool_],
        pixels: NDArray[np.int64],
    ) -> None:
        keys = classes[counted], instances[counted]
        order = np.lexsort(keys[::-1])
        first, second = keys[0][order], keys[1][order]
        starts = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
        numbers = np.concatenate([np.zeros(min(len(order), 1), np.int64), np.cumsum(starts)])
        self.place = np.zeros(len(classes), np.int64)
        self.place[np.flatnonzero(counted)[order]] = numbers
        self.classes = first[np.append(True, starts)[: len(first)]]
        self.areas = self.sums(counted, pixels)

    def sums(self, chosen: NDArray[np.bool_], pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pixels of the chosen overlaps, by segment."""
        return _sums(self.place[chosen], pixels[chosen], len(self.classes))


def _sums(places: NDArray[np.int64], pixels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    sums = np.zeros(count, np.int64)
    np.add.at(sums, places, pixels)
    return sums


def _countable(image: NDArray[Any]) -> NDArray[Any]:
    """The image in a type that the kernel counts."""
    if image.dtype in (np.uint8, np.uint16, np.int32, np.uint32, np.int64, np.bool_):
        return image
    if image.dtype == np.uint64 and image.max() > np.iinfo(np.int64).max:
        raise ArrayError(
            "an object number is too large",
            got=f"{image.max()}, expected at most {np.iinfo(np.int64).max}",
            fix="number the objects of each picture from 1",
        )
    return image.astype(np.int64)


def _mean_of_present(values: NDArray[np.float64]) -> NDArray[np.float64]:
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = np.where(present, values, 0).sum(-1) / present.sum(-1)
    return mean
