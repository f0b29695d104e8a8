"""Objects as detections, where the truth tells them apart: average precision as COCO defines it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.drawing import IGNORED
from pixelwise.data.shapes import Shape
from pixelwise.evaluation.measures import Figure
from pixelwise.evaluation.object_measures import FOUND_AS
from pixelwise.evaluation.predictions import Judged
from pixelwise.evaluation.sources import LooseObjects, NumberedObjects, ObjectForm
from pixelwise.formats.rle import patch_counts
from pixelwise.kernels import label_regions
from pixelwise.metrics.bootstrap import Resampled
from pixelwise.metrics.detection import AveragePrecision, DetectionKind
from pixelwise.metrics.objects import (
    Detections,
    ObjectMasks,
    TrueObjects,
    detections_of,
    true_objects_of,
)
from pixelwise.metrics.ranking import ResampledPrecision, ranked

__all__ = ["ObjectPrecision", "detected", "objects_in"]

_KINDS: tuple[DetectionKind, ...] = ("mask", "box")
_MEANS = ("", "_50", "_75")
_MOST_DETECTIONS = 100


@dataclass(frozen=True)
class ObjectPrecision:
    """Average precision of masks and boxes.

    Attributes:
        things: of each class, whether it is a thing.
        form: how the prediction tells objects.
        sure: whether a model says how sure it is of its objects.
        name, figures: see `Measure`.
    """

    things: tuple[bool, ...]
    form: ObjectForm = "regions"
    sure: bool = False
    name: str = "detections"
    figures: tuple[Figure, ...] = (
        Figure("mean_mask_ap", "AP mask", per_class=False),
        Figure("mean_mask_ap_50", "AP50 mask", per_class=False),
        Figure("mean_mask_ap_75", "AP75 mask", per_class=False),
        Figure("mean_box_ap", "AP box", per_class=False),
        Figure("mean_box_ap_50", "AP50 box", per_class=False),
        Figure("mean_box_ap_75", "AP75 box", per_class=False),
        Figure("mask_ap", "AP mask", per_class=True),
        Figure("box_ap", "AP box", per_class=True),
    )

    @property
    def told(self) -> str:
        """See `Measure.told`."""
        score = {
            "regions": "the mean confidence of its pixels" if self.sure else "1, for want of one",
            "segments": "the file's, or 1",
            "results": "the file's",
        }[self.form]
        no_quality = "; PQ is left out, as objects may overlap" if self.form == "results" else ""
        return (
            "AP (Lin et al. 2014, as COCO takes it): IoU 0.50 to 0.95, 101 recalls, over all "
            "pictures and sizes, mean over the classes that have objects; boxes are those around "
            f"the masks; {FOUND_AS[self.form]}; the score of an object is {score}, equal scores "
            f"count in the order of the pictures; the surest {_MOST_DETECTIONS} of a class in a "
            "picture count, more where the truth has more; objects of the truth are taken as they "
            "were drawn, and pixels of things that are of no object are crowds; where the truth "
            f"is ignored there is no pixel of any object{no_quality}"
        )

    def counts(self, judged: Judged, confusion: NDArray[np.int64]) -> NDArray[np.object_]:
        """Object `[2]`: `PictureMatches` by masks and by boxes."""
        del confusion
        truth = objects_in(judged, self.things)
        found = detected(judged, truth, self.things)
        made = np.empty(len(_KINDS), object)
        for place, kind in enumerate(_KINDS):
            metric = AveragePrecision(len(self.things), kind=kind, most_detections=None)
            made[place] = metric.update(truth, found, picture=judged.place)
        return made

    def resampled(
        self,
        counts: NDArray[Any],
        chosen: Sequence[Figure],
        groups: NDArray[np.integer] | None,
    ) -> Resampled:
        """See `Measure.resampled`."""
        classes = len(self.things)
        parts = [
            ResampledPrecision(ranked(counts[:, place].tolist(), classes), groups)
            for place in range(len(_KINDS))
        ]
        columns: dict[str, Sequence[int]] = {}
        for place, kind in enumerate(_KINDS):
            first = place * (len(_MEANS) + classes)
            columns |= {
                f"mean_{kind}_ap{mean}": [first + number] for number, mean in enumerate(_MEANS)
            }
            start = first + len(_MEANS)
            columns[f"{kind}_ap"] = range(start, start + classes)
        wanted = [column for figure in chosen for column in columns[figure.key]]
        return _Chosen(parts, np.array(wanted))


class _Chosen:
    """Columns of several statistics of the same pictures."""

    def __init__(self, parts: Sequence[Resampled], columns: NDArray[np.int64]) -> None:
        self._parts, self._columns = parts, columns
        self.held: NDArray[np.bool_] = np.any([part.held for part in parts], axis=0)

    def whole(self) -> NDArray[np.float64]:
        return np.concatenate([part.whole() for part in self._parts])[self._columns]

    def without_each(self) -> NDArray[np.float64]:
        made = [part.without_each() for part in self._parts]
        return np.concatenate(made, axis=1)[:, self._columns]

    def drawn(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        made = [part.drawn(times) for part in self._parts]
        return np.concatenate(made, axis=1)[:, self._columns]


def objects_in(judged: Judged, things: Sequence[bool]) -> TrueObjects:
    """The objects of the truth, as they were drawn where that is known.

    Pixels of things that are of no object are crowds. Where the truth is ignored there is no pixel
    of any object.
    """
    is_thing = np.array(things)
    if judged.drawn is not None:
        drawn = [
            each
            for each in judged.drawn
            if each.class_id < len(is_thing) and is_thing[each.class_id]
        ]
        masks, kept = _masks([each.shape for each in drawn], judged)
        return TrueObjects(
            classes=np.array([drawn[place].class_id for place in kept], np.int64),
            masks=masks,
            crowd=np.array([drawn[place].instance == 0 for place in kept], np.bool_),
        )
    instances = judged.instances
    if instances is None:
        instances = np.zeros(judged.truth.shape, np.int32)
    return true_objects_of(judged.truth, instances, things=is_thing)


def detected(judged: Judged, truth: TrueObjects, things: Sequence[bool]) -> Detections:
    """The predicted objects, each with its score.

    Where the truth is ignored there is no pixel of any object. Of a class the surest 100 count, or
    as many as the truth has objects.
    """
    most = _most(truth, things)
    found = judged.objects
    if isinstance(found, LooseObjects):
        places = np.flatnonzero(most[found.classes])
        masks, kept = _masks([found.shapes[place] for place in places.tolist()], judged)
        classes, scores = found.classes[places[kept]].astype(np.int64), found.scores[places[kept]]
        return _surest_of(Detections(classes, scores, masks), most)
    labels = np.where(judged.truth == IGNORED, np.uint16(len(things)), judged.labels)
    if isinstance(found, NumberedObjects):
        made = detections_of(labels, found.numbers, found.scores, things=np.array(things))
        return _surest_of(made, most)
    regions = label_regions(labels)
    scores = np.ones(len(regions.label))
    if judged.segmentation is not None:
        confidence = judged.segmentation.confidence
        sums = np.bincount(regions.components.ravel(), confidence.ravel(), len(scores))
        scores = sums / regions.area
    places = _surest(regions.label, scores, most)
    numbers = np.zeros(len(scores), np.int32)
    numbers[places] = np.arange(1, len(places) + 1)
    return detections_of(
        labels, numbers[regions.components], scores[places], things=np.array(things)
    )


def _masks(shapes: Sequence[Shape], judged: Judged) -> tuple[ObjectMasks, list[int]]:
    """The masks of shapes less what is ignored, and the places of those of which there is a pixel.

    A shape that has no pixel from the start stays: it was found, or drawn, nowhere.
    """
    height, width = judged.truth.shape
    counted = judged.truth != IGNORED
    counts, kept = [], []
    for place, shape in enumerate(shapes):
        rows, columns, inside = shape.patch((height, width))
        left = inside & counted[rows, columns]
        if left.any() or not inside.any():
            counts.append(patch_counts(left, rows, columns, (height, width)))
            kept.append(place)
    return ObjectMasks((height, width), tuple(counts)), kept


def _most(truth: TrueObjects, things: Sequence[bool]) -> NDArray[np.int64]:
    """How many detections of each class count, int64 `[C + 1]`: none of stuff and of no class."""
    own = truth.classes if truth.crowd is None else truth.classes[~truth.crowd]
    objects = np.bincount(own, minlength=len(things) + 1)
    return np.where(np.append(things, False), np.maximum(objects, _MOST_DETECTIONS), 0)


def _surest_of(found: Detections, most: NDArray[np.int64]) -> Detections:
    places = _surest(found.classes, found.scores, most)
    masks = None if found.masks is None else found.masks.chosen(places)
    return Detections(found.classes[places], found.scores[places], masks)


def _surest(
    classes: NDArray[Any], scores: NDArray[np.float64], most: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Places, in rising order, of the objects of the highest scores, of each class so many."""
    order = np.lexsort((-scores, classes))  # stable: of equal scores the first
    sorted_classes = classes[order]
    ranks = np.arange(len(order)) - np.searchsorted(sorted_classes, sorted_classes)
    return np.sort(order[ranks < most[sorted_classes]])
