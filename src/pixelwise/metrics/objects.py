"""Objects of a picture, true and predicted, as the detection scores take them.

Masks are kept as the runs of COCO (down the columns, `formats/rle.py`): they may overlap, and a
hundred of them take little memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixelwise.errors import ArrayError
from pixelwise.formats.rle import Counts, column_counts

__all__ = ["Detections", "ObjectMasks", "TrueObjects", "detections_of", "true_objects_of"]


@dataclass(frozen=True, eq=False)
class ObjectMasks:
    """The masks of some objects of one picture.

    Attributes:
        size: `(H, W)` of the picture.
        counts: for each object its run lengths down the columns, of zeros first, as
            `formats.rle.column_counts` and `unpack_counts` give them.

    Raises:
        ArrayError: counts are no whole numbers of 0 and more, or do not fill the picture.
    """

    size: tuple[int, int]
    counts: tuple[Counts, ...]

    def __post_init__(self) -> None:
        height, width = self.size
        for place, counts in enumerate(self.counts):
            lengths = np.asarray(counts)
            is_whole = lengths.ndim == 1 and np.issubdtype(lengths.dtype, np.integer)
            total = lengths.sum() if is_whole and not (lengths < 0).any() else None
            if total != height * width:
                raise ArrayError(
                    "run lengths do not fill the picture",
                    where=f"counts[{place}]",
                    got=f"{'no lengths' if total is None else total}, expected whole numbers that "
                    f"add up to {height} × {width} = {height * width}",
                    fix="count down the columns, zeros first, to the end of the picture",
                )

    @classmethod
    def from_arrays(cls, masks: NDArray[np.bool_]) -> ObjectMasks:
        """From bool `[N, H, W]`.

        Raises:
            ArrayError: the masks are not such an array.
        """
        if not isinstance(masks, np.ndarray) or masks.dtype != np.bool_ or masks.ndim != 3:
            got = getattr(masks, "dtype", type(masks).__name__)
            raise ArrayError(
                "masks are bool [N, H, W]",
                where="argument masks",
                got=f"{got} {list(getattr(masks, 'shape', ()))}",
                fix="masks > 0.5 of probabilities, masks == 1 of numbers",
            )
        _, height, width = masks.shape
        return cls((height, width), tuple(column_counts(mask) for mask in masks))

    def __len__(self) -> int:
        return len(self.counts)

    def chosen(self, places: Iterable[int]) -> ObjectMasks:
        """The masks at these places."""
        return ObjectMasks(self.size, tuple(self.counts[place] for place in places))

    @cached_property
    def spans(self) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
        """First pixel of every run of ones and the first after it, counted down the columns."""
        return tuple(_spans(counts) for counts in self.counts)

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of each mask, int64 `[N]`."""
        return np.array([(ends - starts).sum() for starts, ends in self.spans], np.int64)

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """The smallest box around each mask, xyxy, float64 `[N, 4]`; zeros of empty masks."""
        boxes = np.zeros((len(self), 4))
        height = self.size[0]
        for box, (starts, ends) in zip(boxes, self.spans, strict=True):
            if len(starts):
                (left, top), (right, bottom) = (
                    np.divmod(starts, height),
                    np.divmod(ends - 1, height),
                )
                spans_columns = (left != right).any()
                box[:] = (
                    left.min(),
                    0 if spans_columns else top.min(),
                    right.max() + 1,
                    height if spans_columns else bottom.max() + 1,
                )
        return boxes

    def overlaps(self, other: ObjectMasks) -> NDArray[np.int64]:
        """Pixels that each mask has in common with each of the other, int64 `[N, M]`.

        Raises:
            ArrayError: the pictures differ in size.
        """
        if self.size != other.size:
            raise ArrayError(
                "masks of pictures of different sizes",
                got=f"{self.size[0]} × {self.size[1]} · {other.size[0]} × {other.size[1]}",
                fix="score at the size of the truth",
            )
        common = np.zeros((len(self), len(other)), np.int64)
        lengths = [len(starts) for starts, _ in other.spans]
        filled = np.flatnonzero(lengths)
        if not filled.size:
            return common
        starts, ends = (np.concatenate(side) for side in zip(*other.spans, strict=True))
        firsts = np.concatenate([[0], np.cumsum(np.array(lengths)[filled])[:-1]])
        for row, own in zip(common, self.spans, strict=True):
            if len(own[0]):
                inside = _ones_before(own, ends) - _ones_before(own, starts)
                row[filled] = np.add.reduceat(inside, firsts)
        return common


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects that were found in one picture; where there are none, masks may be None.

    Attributes:
        classes: integer `[N]`: 0 … C - 1.
        scores: float `[N]`, finite: the surer, the higher.
        masks: needed for AP of masks.
        boxes: float `[N, 4]`, xyxy in pixels, edges of pixels being whole numbers; None: those
            around the masks.

    Raises:
        ArrayError: lists every array that does not fit.
    """

    classes: NDArray[Any]
    scores: NDArray[Any]
    masks: ObjectMasks | None = None
    boxes: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        faults = _faults(self.classes, self.masks, self.boxes)
        faults += _number_faults("scores", self.scores, len(self.classes))
        _refuse(faults, "detections")

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, eq=False)
class TrueObjects:
    """The objects that are in one picture; where there are none, masks may be None.

    Attributes:
        classes: integer `[N]`: 0 … C - 1.
        masks: needed for AP of masks.
        boxes: float `[N, 4]`, xyxy in pixels; None: those around the masks.
        crowd: bool `[N]`: what stands for several objects that were not told apart. None: nothing.
        areas: float `[N]`, pixels: what decides whether an object is small, medium or large. None:
            of the mask if there is one, else of the box.

    Raises:
        ArrayError: lists every array that does not fit.
    """

    classes: NDArray[Any]
    masks: ObjectMasks | None = None
    boxes: NDArray[Any] | None = None
    crowd: NDArray[np.bool_] | None = None
    areas: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        faults = _faults(self.classes, self.masks, self.boxes)
        if self.crowd is not None and (
            np.asarray(self.crowd).dtype != np.bool_
            or np.shape(self.crowd) != np.shape(self.classes)
        ):
            faults.append(f"crowd is {list(np.shape(self.crowd))}, expected bool [N]")
        if self.areas is not None:
            faults += _number_faults("areas", self.areas, len(self.classes))
        _refuse(faults, "true objects")

    def __len__(self) -> int:
        return len(self.classes)


def true_objects_of(
    classes: NDArray[Any],
    instances: NDArray[Any],
    *,
    things: ArrayLike,
    crowd: NDArray[np.bool_] | None = None,
) -> TrueObjects:
    """The objects of an instance target.

    Args:
        classes: integer `[H, W]`: 0 … C - 1; other ids, such as the ignored one, are no objects.
        instances: integer `[H, W]`: one number per object.
        things: bool `[C]`: which classes are things; stuff is no object.
        crowd: bool `[H, W]`; None: the pixels of things whose instance is 0, as targets of data
            sets have it. The crowd of a class in a picture is one object.

    Raises:
        ArrayError: an array is not such an array.
    """
    is_thing = _thing_pixels(classes, instances, things)
    if crowd is None:
        crowd = instances == 0
    elif crowd.dtype != np.bool_ or crowd.shape != classes.shape:
        raise ArrayError("crowd is bool [H, W]", got=f"{crowd.dtype} {list(crowd.shape)}")
    found = list(_regions(classes, instances, crowd, is_thing))
    return TrueObjects(
        classes=np.array([class_ for (class_, _, _), _ in found], np.int64),
        masks=ObjectMasks(_size(classes), tuple(counts for _, counts in found)),
        crowd=np.array([is_crowd for (_, _, is_crowd), _ in found], np.bool_),
    )


def detections_of(
    classes: NDArray[Any], instances: NDArray[Any], scores: ArrayLike, *, things: ArrayLike
) -> Detections:
    """The objects of predicted maps.

    Args:
        classes: integer `[H, W]`: 0 … C - 1; other ids stand for no object.
        instances: integer `[H, W]`: 1 and up; 0 where there is no object. An object of several
            classes, which maps of classes decided pixel by pixel give, has that of most of its
            pixels; of equal ones the lowest.
        scores: `[N]`: that of object n is scores[n - 1].
        things: bool `[C]`: which classes are things; stuff is no object.

    Raises:
        ArrayError: an array is not such an array, or an object has no score.
    """
    is_thing = _thing_pixels(classes, instances, things)
    marks = np.asarray(scores, np.float64)
    highest = int(instances.max(where=is_thing, initial=0))
    lowest = int(instances.min(where=is_thing, initial=0))
    if marks.ndim != 1 or lowest < 0 or highest > len(marks):
        raise ArrayError(
            "an object without a score",
            where="arguments instances and scores",
            got=f"objects {lowest} … {highest}, scores {list(marks.shape)}",
            fix="number the objects from 1, scores[0] being that of object 1",
        )
    nowhere = np.zeros(classes.shape, np.bool_)
    found = list(_regions(np.zeros_like(classes), instances, nowhere, is_thing))
    numbers = [number for (_, number, _), _ in found]
    chosen = [place for place, number in enumerate(numbers) if number > 0]
    votes = np.zeros((highest + 1, len(np.asarray(things))), np.int64)
    np.add.at(votes, (instances[is_thing], classes[is_thing]), 1)
    kept = np.array([numbers[place] for place in chosen], np.int64)
    return Detections(
        classes=votes[kept].argmax(axis=1),
        scores=marks[kept - 1],
        masks=ObjectMasks(_size(classes), tuple(found[place][1] for place in chosen)),
    )


def _size(image: NDArray[Any]) -> tuple[int, int]:
    height, width = image.shape
    return height, width


def _thing_pixels(
    classes: NDArray[Any], instances: NDArray[Any], things: ArrayLike
) -> NDArray[np.bool_]:
    is_thing = np.asarray(things)
    if (
        not all(np.issubdtype(array.dtype, np.integer) for array in (classes, instances))
        or classes.ndim != 2
        or classes.shape != instances.shape
        or is_thing.dtype != np.bool_
        or is_thing.ndim != 1
    ):
        raise ArrayError(
            "classes and instances are integers [H, W] of one size, and things are bool [C]",
            got=f"classes {classes.dtype} {list(classes.shape)}, instances {instances.dtype} "
            f"{list(instances.shape)}, things {is_thing.dtype} {list(is_thing.shape)}",
        )
    known = (classes >= 0) & (classes < len(is_thing))
    chosen: NDArray[np.bool_] = np.zeros(classes.shape, np.bool_)
    chosen[known] = is_thing[classes[known]]
    return chosen


def _regions(
    classes: NDArray[Any],
    instances: NDArray[Any],
    crowd: NDArray[np.bool_],
    chosen: NDArray[np.bool_],
) -> Iterator[tuple[tuple[int, int, bool], Counts]]:
    """Class, number, whether it is a crowd, and run lengths of each object; crowds have number 0.

    In one pass: the runs of all objects together, then sorted by object.
    """
    total = classes.size
    keys = [classes, np.where(crowd, 0, instances), crowd, chosen]
    flat = [np.ascontiguousarray(image.T).ravel() for image in keys]
    changes = np.zeros(total, np.bool_)
    changes[:1] = True
    for image in flat:
        changes[1:] |= image[1:] != image[:-1]
    starts = np.flatnonzero(changes)
    ends = np.append(starts[1:], total)
    kept = flat[3][starts]
    starts, ends = starts[kept], ends[kept]
    runs = np.stack([image[starts].astype(np.int64) for image in flat[:3]], axis=1)
    order = np.lexsort(runs.T[::-1])
    runs, starts, ends = runs[order], starts[order], ends[order]
    firsts = np.flatnonzero((runs[1:] != runs[:-1]).any(axis=1)) + 1
    for own in np.split(np.arange(len(runs)), firsts) if len(runs) else ():
        edges = np.stack([starts[own], ends[own]], axis=1).ravel()
        class_, number, is_crowd = runs[own[0]].tolist()
        counts = np.diff(edges, prepend=0, append=total)
        yield (class_, number, bool(is_crowd)), counts if counts[-1] else counts[:-1]


def _spans(counts: Counts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    edges = np.cumsum(counts, dtype=np.int64)
    starts, ends = edges[: len(edges) // 2 * 2 : 2], edges[1::2]
    filled = ends > starts
    return starts[filled], ends[filled]


def _ones_before(
    spans: tuple[NDArray[np.int64], NDArray[np.int64]], places: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many ones a mask has before each place."""
    starts, ends = spans
    sums = np.concatenate([[0], np.cumsum(ends - starts)])
    begun = np.searchsorted(starts, places, side="right")
    # Of the run that began last, what lies at and after the place does not count.
    after = np.maximum(np.append(0, ends)[begun] - places, 0)
    before: NDArray[np.int64] = sums[begun] - after
    return before


def _faults(
    classes: NDArray[Any], masks: ObjectMasks | None, boxes: NDArray[Any] | None
) -> list[str]:
    faults = []
    found = np.asarray(classes)
    if found.ndim != 1 or (found.size and not np.issubdtype(found.dtype, np.integer)):
        return [f"classes are {found.dtype} {list(found.shape)}, expected integers [N]"]
    if masks is not None and len(masks) != len(classes):
        faults.append(f"{len(masks)} masks for {len(classes)} classes")
    if boxes is not None:
        faults += _box_faults(np.asarray(boxes), len(classes))
    if masks is None and boxes is None and len(classes):
        faults.append("neither masks nor boxes")
    return faults


def _box_faults(boxes: NDArray[Any], count: int) -> list[str]:
    if boxes.shape != (count, 4):
        return [f"boxes are {list(boxes.shape)}, expected [{count}, 4]"]
    sound = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] >= boxes[:, :2]).all(axis=1)
    wrong = boxes[~sound][:1].tolist()
    return [f"{(~sound).sum()} boxes are not xyxy, e.g. {wrong[0]}"] if wrong else []


def _number_faults(name: str, values: NDArray[Any], count: int) -> list[str]:
    numbers = np.asarray(values)
    if numbers.shape != (count,) or not np.issubdtype(numbers.dtype, np.number):
        return [f"{name} are {numbers.dtype} {list(numbers.shape)}, expected [{count}]"]
    wrong = int(np.count_nonzero(~np.isfinite(numbers)))
    return [f"{wrong} of the {name} are not finite"] if wrong else []


def _refuse(faults: Sequence[str], what: str) -> None:
    if faults:
        raise ArrayError(
            f"these arrays are no {what} of one picture",
            got=" · ".join(faults),
            fix="give one entry per object in every array",
        )
