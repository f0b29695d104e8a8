"""Scores of predictions, each with its interval, under one protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.drawing import IGNORED
from pixelwise.data.duplicates import UNKNOWN_HASH, perceptual_hash
from pixelwise.data.faults import Fault
from pixelwise.data.groups import Groups, find_groups
from pixelwise.errors import DatasetError
from pixelwise.evaluation.layers import JudgedLayers, LayerSubject
from pixelwise.evaluation.measures import Figure, Figures, Measure, Overlap
from pixelwise.evaluation.predictions import Judged, Subject, judge
from pixelwise.formats.viewable import viewable
from pixelwise.metrics import figures
from pixelwise.metrics.bootstrap import LEAST_GROUPS, groups_suffice, interval_of
from pixelwise.metrics.confusion import ConfusionMatrix

__all__ = [
    "Estimate",
    "Evaluated",
    "Evaluation",
    "LayerMeasure",
    "Onlooker",
    "Units",
    "confusion_of",
    "evaluate",
    "evaluate_layers",
    "independent_units",
]


_SHARE = (0.0, 1.0)


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; None where there is none.

    Attributes:
        value: of all pictures together.
        low, high: between what it lies for other pictures of the kind, 95 times of 100.
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)
class Units:
    """What intervals are over: pictures, or groups of pictures that belong together.

    Attributes:
        of: int32 `[N]`, the unit of each picture; None where each is its own.
        count: how many there are.
        kind: what they are, such as "pictures" or "groups of pictures (video)".
        note: what to know about them; "" where there is nothing.
    """

    of: NDArray[np.int32] | None
    count: int
    kind: str
    note: str


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Counts of every picture, and the scores that follow.

    Attributes:
        subject: what was judged.
        measures: what was counted.
        names: of the N pictures that could be judged.
        places: of these in the subject.
        counts: by the measure's name `[N, …]`.
        sizes: `(H, W)` of each picture.
        ignored: pixels that did not count, of all pictures together.
        units: what intervals are over.
        faults: pictures that could not be judged, and have no part in any score.
    """

    subject: Subject | LayerSubject
    measures: tuple[Figures, ...]
    names: tuple[str, ...]
    places: tuple[int, ...]
    counts: Mapping[str, NDArray[Any]]
    sizes: tuple[tuple[int, int], ...]
    ignored: int
    units: Units
    faults: tuple[Fault, ...]

    @property
    def classes(self) -> ClassTable:
        """Channel i is the i-th."""
        return self.subject.classes

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All figures of all measures."""
        return tuple(figure for measure in self.measures for figure in measure.figures)

    @cached_property
    def overall(self) -> dict[str, Estimate]:
        """By key, the figures of which there is one alone."""
        return {
            figure.key: self._estimates[figure.key][0]
            for figure in self.figures
            if not figure.per_class
        }

    @cached_property
    def by_class(self) -> dict[str, tuple[Estimate, ...]]:
        """By key, the figures of each class, in the order of the channels."""
        return {
            figure.key: self._estimates[figure.key] for figure in self.figures if figure.per_class
        }

    @cached_property
    def by_picture(self) -> NDArray[np.float64]:
        """float64 `[N]`: mean IoU within each picture; NaN where no pixel was counted."""
        return figures.mean_of_defined(figures.iou(self.counts["overlap"][:, :3]))

    def worst(self, count: int) -> tuple[int, ...]:
        """Places in `names` of the pictures of lowest mean IoU, the lowest first."""
        scored = np.flatnonzero(~np.isnan(self.by_picture))
        order = np.argsort(self.by_picture[scored], kind="stable")
        return tuple(scored[order][:count].tolist())

    @cached_property
    def _estimates(self) -> dict[str, tuple[Estimate, ...]]:
        made: dict[str, tuple[Estimate, ...]] = {}
        for measure in self.measures:
            for bounds in (_SHARE, None):
                chosen = [
                    each for each in measure.figures if (each.unit == "%") == (bounds is _SHARE)
                ]
                if chosen:
                    made |= self._intervals(measure, chosen, bounds)
        return made

    def _intervals(
        self, measure: Figures, chosen: Sequence[Figure], bounds: tuple[float, float] | None
    ) -> dict[str, tuple[Estimate, ...]]:
        widths = [len(self.classes) if figure.per_class else 1 for figure in chosen]
        resampled = measure.resampled(self.counts[measure.name], chosen, self.units.of)
        found = interval_of(resampled, bounds=bounds)
        # No figure is below 0, bounded above or not.
        low = np.maximum(found.low, 0)
        rows = zip(found.value.tolist(), low.tolist(), found.high.tolist(), strict=True)
        estimates = [Estimate(*map(_known, row)) for row in rows]
        ends = np.cumsum(widths).tolist()
        return {
            figure.key: tuple(
                each if figure.measured else replace(each, low=None, high=None)
                for each in estimates[end - width : end]
            )
            for figure, width, end in zip(chosen, widths, ends, strict=True)
        }


@dataclass(frozen=True, eq=False)
class Evaluation(Evaluated):
    """Of pictures of one class a pixel.

    Attributes:
        confusion: int64 `[C, C + 1]` over all pictures, by truth and prediction; the last column
            is of predictions that are of no class of the truth.
    """

    subject: Subject
    confusion: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Counted:
    """What one picture gives."""

    place: int
    size: tuple[int, int]
    ignored: int
    held: NDArray[np.bool_]
    counts: tuple[NDArray[Any], ...]
    looks: int


@dataclass(frozen=True, eq=False)
class _Looked:
    """The same of one class a pixel, with what is not kept."""

    counted: _Counted
    confusion: NDArray[np.int64]
    seen: object


class LayerMeasure(Figures, Protocol):
    """Something to count in pictures whose classes lie over each other."""

    def counts(self, judged: JudgedLayers) -> NDArray[Any]:
        """What one picture gives, an array of the same shape for every picture."""
        ...


class Onlooker(Protocol):
    """Somebody who looks at every picture that is judged."""

    def look(self, judged: Judged) -> object:
        """Called in a thread; what it gives should be small."""
        ...

    def take(self, place: int, confusion: NDArray[np.int64], seen: object) -> None:
        """Called with what `look` gave, one picture after the other, in their order."""
        ...


def evaluate(
    subject: Subject,
    measures: Sequence[Measure] = (Overlap(),),
    *,
    onlooker: Onlooker | None = None,
    workers: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Evaluation:
    """Judges every picture once.

    Args:
        subject: what is judged.
        measures: what is counted; an `Overlap` among them.
        onlooker: sees every picture.
        workers: threads; 0 works in the calling one.
        progress: called with 1 for every picture.

    Raises:
        DatasetError: no picture can be judged; lists what is wrong with each.
        OutOfMemoryError: a picture needs more memory than there is.
    """

    def count(judged: Judged) -> _Looked:
        own = confusion_of(judged, len(subject.classes))
        counted = _Counted(
            place=judged.place,
            size=(judged.truth.shape[0], judged.truth.shape[1]),
            ignored=int(judged.truth.size - own.sum()),
            held=own.sum(axis=1) > 0,
            counts=tuple(measure.counts(judged, own) for measure in measures),
            looks=_looks(judged.image),
        )
        return _Looked(counted, own, None if onlooker is None else onlooker.look(judged))

    confusion = np.zeros((len(subject.classes), len(subject.classes) + 1), np.int64)
    counted: list[_Counted] = []
    faults: list[Fault] = []
    for answer in judge(subject, count, workers=workers, progress=progress):
        if isinstance(answer, Fault):
            faults.append(answer)
            continue
        # One matrix for each picture would be much to keep.
        confusion += answer.confusion
        if onlooker is not None:
            onlooker.take(answer.counted.place, answer.confusion, answer.seen)
        counted.append(answer.counted)
    whole = _evaluated(subject, measures, counted, faults)
    return Evaluation(**vars(whole), confusion=confusion)


def evaluate_layers(
    subject: LayerSubject,
    measures: Sequence[LayerMeasure],
    *,
    workers: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Evaluated:
    """Judges every picture whose classes lie over each other once.

    Args:
        subject: what is judged.
        measures: what is counted; a `LayerOverlaps` among them.
        workers: threads; 0 works in the calling one.
        progress: called with 1 for every picture.

    Raises:
        DatasetError: no picture can be judged; lists what is wrong with each.
        OutOfMemoryError: a picture needs more memory than there is.
    """

    def count(judged: JudgedLayers) -> _Counted:
        held = judged.tally.overlap[1] > 0
        return _Counted(
            place=judged.place,
            size=judged.size,
            ignored=int(np.count_nonzero(judged.ignore)),
            held=held,
            counts=tuple(measure.counts(judged) for measure in measures),
            looks=_looks(judged.image),
        )

    answers = list(judge(subject, count, workers=workers, progress=progress))
    faults = [each for each in answers if isinstance(each, Fault)]
    counted = [each for each in answers if isinstance(each, _Counted)]
    return _evaluated(subject, measures, counted, faults)


def _looks(image: NDArray[Any] | None) -> int:
    return UNKNOWN_HASH if image is None else perceptual_hash(viewable(image))


def _evaluated(
    subject: Subject | LayerSubject,
    measures: Sequence[Figures],
    counted: Sequence[_Counted],
    faults: Sequence[Fault],
) -> Evaluated:
    """What all pictures give together.

    Raises:
        DatasetError: there are none; lists the faults.
    """
    if not counted:
        raise DatasetError(
            "no picture can be judged",
            where=subject.truths.facts["data"],
            got="\n  ".join(f"{fault.file}: {fault.what}: {fault.got}" for fault in faults),
            fix=faults[0].fix,
        )
    names = tuple(subject.truths.names[each.place] for each in counted)
    looks = np.array([each.looks for each in counted], np.uint64)
    held = np.stack([each.held for each in counted])
    return Evaluated(
        subject=subject,
        measures=tuple(measures),
        names=names,
        places=tuple(each.place for each in counted),
        counts={
            measure.name: np.stack([each.counts[number] for each in counted])
            for number, measure in enumerate(measures)
        },
        sizes=tuple(each.size for each in counted),
        ignored=sum(each.ignored for each in counted),
        units=independent_units(names, looks, held),
        faults=tuple(faults),
    )


def confusion_of(judged: Judged, classes: int) -> NDArray[np.int64]:
    """Pixels of a picture by truth and prediction, int64 `[C, C + 1]`.

    The last column is of predictions that are of no class of the truth.
    """
    matrix = ConfusionMatrix(classes + 1, ignore_index=IGNORED)
    matrix.update(judged.truth, judged.labels)
    return matrix.counts[:classes]


def independent_units(
    names: Sequence[str], looks: NDArray[np.uint64], held: NDArray[np.bool_]
) -> Units:
    """Groups of pictures where they suffice, as in training, else pictures.

    Args:
        names: of the N pictures.
        looks: perceptual hashes, uint64 `[N]`.
        held: bool `[N, C]`: which classes are in the truth of each.
    """
    known = bool((looks != UNKNOWN_HASH).all())
    groups: Groups = find_groups(names, looks if known else None)
    count = len(groups.sizes)
    if groups.kind == "none" or count == len(names):
        return Units(None, len(names), "pictures", "")
    if groups_suffice(groups.of, held):
        return Units(groups.of, count, f"groups of pictures ({groups.kind})", groups.reason)
    why = f"{groups.kind}: {groups.reason}"
    if count < 2:
        told = f"all pictures are of one group ({why})"
    elif count < LEAST_GROUPS:
        told = f"the pictures are of {count} groups only ({why})"
    else:
        told = f"a class is in a single one of the {count} groups of pictures ({why})"
    note = (
        f"{told}; they are taken as if they were independent, and the interval for other groups "
        "is wider"
    )
    return Units(None, len(names), "pictures", note)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
