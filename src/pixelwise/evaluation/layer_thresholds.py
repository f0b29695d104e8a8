"""From which probability on a pixel has a class, where classes lie over each other.

The threshold of a class is the one of the highest IoU over all pixels together. Dice has its
optimum at the same one, as Dice = 2 IoU / (1 + IoU) grows with IoU. What the thresholds bring is
measured cross-fitted: each part of the pictures is judged with those of the other parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.duplicates import UNKNOWN_HASH, perceptual_hash
from pixelwise.data.faults import Fault
from pixelwise.errors import DatasetError
from pixelwise.evaluation.calibrate import Figure
from pixelwise.evaluation.folds import folds_of
from pixelwise.evaluation.layer_measures import bins_joined, joined_for
from pixelwise.evaluation.layers import JudgedLayers, LayerSubject
from pixelwise.evaluation.pixels import grouped
from pixelwise.evaluation.predictions import judge
from pixelwise.formats.viewable import viewable
from pixelwise.inference.card import Card, Score
from pixelwise.kernels.reference_calibration import threshold_edges
from pixelwise.metrics import figures
from pixelwise.metrics.bootstrap import interval, paired
from pixelwise.version import VERSION

__all__ = [
    "LayerSample",
    "ThresholdResult",
    "best_thresholds",
    "count_layers",
    "tune_thresholds",
    "tuned_card",
]

_LEAST_PIXELS = 100
_LEAST_UNITS = 2
_SCORE = "mean IoU at the thresholds"


@dataclass(frozen=True, eq=False)
class LayerSample:
    """Counts of N pictures.

    Attributes:
        names: of the pictures.
        groups: int64 `[N]`: a number for each, the same for those that belong together.
        grouping: in words.
        classes: that are judged.
        counts: uint32 `[N, C, 2, B]`: pixels without and with each class, by probability.
        edges: float64 `[B]`: lower ends of the bins of probability.
        overlap: int64 `[N, 3, C]`: pixels of the class and found, of the class, and found, at the
            thresholds that the model has.
        channels: intp `[P]`: the judged class of each class of the model; C where it is of none.
        faults: pictures that could not be read.
        notes: which classes go together under different names.
    """

    names: tuple[str, ...]
    groups: NDArray[np.int64]
    grouping: str
    classes: ClassTable
    counts: NDArray[np.uint32]
    edges: NDArray[np.float64]
    overlap: NDArray[np.int64]
    channels: NDArray[np.intp]
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ThresholdResult:
    """Thresholds and what they bring.

    Attributes:
        thresholds: of each class of the model; those before where none helped.
        helps: whether the mean IoU of pictures that had no part in it rose.
        better: probability that it rises, by drawing pictures anew.
        difference: of the mean IoU, after - before, cross-fitted.
        before, after: mean IoU; `after` is cross-fitted.
        classes: names of those that were judged.
        class_before, class_after: IoU of each; `class_after` is cross-fitted.
        tuned: of each the threshold of the highest IoU on all pictures; None where there are too
            few pixels of it.
        few: names of these.
        pictures, groups: pictures, and groups of them.
        protocol: in words.
    """

    thresholds: tuple[float, ...]
    helps: bool
    better: float
    difference: Figure
    before: Figure
    after: Figure
    classes: tuple[str, ...]
    class_before: tuple[Figure, ...]
    class_after: tuple[Figure, ...]
    tuned: tuple[float | None, ...]
    few: tuple[str, ...]
    pictures: int
    groups: int
    protocol: str


def count_layers(
    subject: LayerSubject,
    *,
    by: Literal["group", "image"] = "group",
    workers: int = 1,
    progress: Callable[[int], object] | None = None,
) -> LayerSample:
    """Predicts every picture once, and counts all its pixels.

    Args:
        subject: a model with a sigmoid for each class, and pictures with their truth.
        by: as of `sample_pixels`.
        workers: threads that read and predict.
        progress: called with 1 for every picture.

    Raises:
        DatasetError: no picture can be judged; lists what is wrong with each.
    """
    joined = joined_for(len(subject.truths.names), len(subject.classes))

    def count(judged: JudgedLayers) -> tuple[int, NDArray[np.uint32], NDArray[np.int64], int]:
        counts = bins_joined(judged.tally.histogram, joined).astype(np.uint32)
        look = UNKNOWN_HASH if judged.image is None else perceptual_hash(viewable(judged.image))
        return judged.place, counts, judged.tally.overlap[:3], look

    answers = list(judge(subject, count, workers=workers, progress=progress))
    faults = tuple(each for each in answers if isinstance(each, Fault))
    counted = [each for each in answers if not isinstance(each, Fault)]
    if not counted:
        raise DatasetError(
            "no picture can be judged",
            where=subject.truths.facts["data"],
            got="\n  ".join(f"{fault.file}: {fault.what}: {fault.got}" for fault in faults),
            fix=faults[0].fix,
        )
    places, counts, overlap, looks = zip(*counted, strict=True)
    names = tuple(subject.truths.names[place] for place in places)
    groups, grouping = grouped(names, np.array(looks, np.uint64), by)
    return LayerSample(
        names=names,
        groups=groups,
        grouping=grouping,
        classes=subject.classes,
        counts=np.stack(counts),
        edges=threshold_edges()[::joined],
        overlap=np.stack(overlap),
        channels=subject.channels,
        faults=faults,
        notes=subject.match.notes,
    )


def best_thresholds(sums: NDArray[np.generic]) -> NDArray[np.intp]:
    """The bin from whose lower end on the IoU of a class is highest.

    Of equal ones the nearest to a probability of 1/2, which is in the middle of the bins. That of
    probability 0, where every pixel has the class, is none.

    Args:
        sums: pixels without and with the class, by probability `[…, 2, B]`.

    Returns:
        intp `[…]`; the middle where no pixel has the class.
    """
    found = np.cumsum(np.asarray(sums, np.float64)[..., ::-1], axis=-1)[..., ::-1]
    wrong, right = found[..., 0, :], found[..., 1, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = np.nan_to_num(right / (right[..., :1] + wrong))
    bins = iou.shape[-1]
    order = np.argsort(np.abs(np.arange(bins) - bins // 2), kind="stable")
    order = order[order != 0]
    chosen: NDArray[np.intp] = order[np.argmax(iou[..., order], axis=-1)]
    return chosen


def tune_thresholds(
    sample: LayerSample, *, data: str, current: tuple[float, ...]
) -> ThresholdResult:
    """Finds the thresholds and measures what they bring.

    Args:
        sample: of pictures that the model did not learn from.
        data: what the pictures are, for the protocol.
        current: thresholds of the model's classes.

    Raises:
        DatasetError: all pictures belong together, so that none can judge; or no class has pixels
            enough.
    """
    groups = len(np.unique(sample.groups))
    if groups < 2:
        raise DatasetError(
            "two pictures, or groups of pictures that belong together, are needed at least",
            got=f"{groups}, of {len(sample.names)} pictures",
            fix="add pictures of another video, scene or folder",
        )
    enough = _enough(sample)
    names = sample.classes.names
    few = tuple(name for name, own in zip(names, enough, strict=True) if not own)
    if not enough.any():
        raise DatasetError(
            "no class has pixels enough to find its threshold",
            got=f"expected {_LEAST_PIXELS} pixels in {_LEAST_UNITS} pictures that are not alike",
            fix="give more pictures of the classes",
        )
    after = _cross_fitted(sample, enough)
    whole = best_thresholds(sample.counts.sum(0, dtype=np.int64))
    found = [interval(units, _iou, groups=sample.groups) for units in (sample.overlap, after)]
    before_figures, after_figures = (
        [Figure(*row) for row in zip(*(part.tolist() for part in own), strict=True)]
        for own in ((each.value, each.low, each.high) for each in found)
    )
    rises = paired(sample.overlap, after, _mean_iou, groups=sample.groups)
    helps = float(rises.difference[0]) > 0
    tuned = tuple(
        float(sample.edges[place]) if own else None
        for place, own in zip(whole.tolist(), enough, strict=True)
    )
    return ThresholdResult(
        thresholds=_of_model(sample, tuned, current) if helps else current,
        helps=helps,
        better=float(rises.better[0]),
        difference=Figure(*(float(part[0]) for part in (rises.difference, rises.low, rises.high))),
        before=before_figures[0],
        after=after_figures[0],
        classes=names,
        class_before=tuple(before_figures[1:]),
        class_after=tuple(after_figures[1:]),
        tuned=tuned,
        few=few,
        pictures=len(sample.names),
        groups=groups,
        protocol=_protocol(sample, data, groups, few),
    )


def tuned_card(card: Card, result: ThresholdResult) -> Card:
    """The card of the model with these thresholds; the figure of earlier ones is replaced."""
    value, told = result.before, "at the thresholds as they were"
    if result.helps:
        value = result.after
        told = (
            "each picture judged with thresholds of others; "
            f"{result.before.value:.4f} before, difference {result.difference.value:+.4f} "
            f"(95 % interval {result.difference.low:+.4f} to {result.difference.high:+.4f})"
        )
    kept = [score for score in card.scores if score.metric != _SCORE]
    figure = Score(
        metric=_SCORE, value=round(value.value, 5), protocol=f"{result.protocol}; {told}"
    )
    thresholds = result.thresholds if result.helps else card.postprocessing.thresholds
    return card.model_copy(
        update={
            "postprocessing": card.postprocessing.model_copy(update={"thresholds": thresholds}),
            "scores": (*kept, figure),
            "written_by": f"pixelwise {VERSION}",
        }
    )


def _enough(sample: LayerSample) -> NDArray[np.bool_]:
    """Which classes have pixels enough, in groups enough, and pixels without them, bool `[C]`."""
    by_picture = sample.counts.sum(3, dtype=np.int64)
    groups = np.unique(sample.groups, return_inverse=True)[1]
    held = np.zeros((int(groups.max()) + 1, len(sample.classes)), np.bool_)
    np.logical_or.at(held, groups, by_picture[:, :, 1] > 0)
    without, within = by_picture.sum(0).T
    found: NDArray[np.bool_] = (
        (within >= _LEAST_PIXELS) & (without > 0) & (held.sum(0) >= _LEAST_UNITS)
    )
    return found


def _cross_fitted(sample: LayerSample, enough: NDArray[np.bool_]) -> NDArray[np.int64]:
    """int64 `[N, 3, C]`: as `LayerSample.overlap`, each part at thresholds of the others.

    A class that the others lack, or that has too few pixels, is judged as the model has it.
    """
    parts = folds_of(sample.groups)
    total = sample.counts.sum(0, dtype=np.int64)
    after = sample.overlap.copy()
    for part in range(int(parts.max()) + 1):
        own = parts == part
        counts = sample.counts[own].astype(np.int64)
        others = total - counts.sum(0)
        usable = np.flatnonzero(enough & (others[:, 1].sum(-1) > 0))
        for channel, place in zip(
            usable.tolist(), best_thresholds(others[usable]).tolist(), strict=True
        ):
            wrong, right = counts[:, channel, :, place:].sum(-1).T
            after[own, 0, channel] = right
            after[own, 2, channel] = right + wrong
    return after


def _of_model(
    sample: LayerSample, tuned: tuple[float | None, ...], current: tuple[float, ...]
) -> tuple[float, ...]:
    """Of each class of the model; several that are judged as one have one threshold."""
    by_channel = (*tuned, None)
    found = (by_channel[channel] for channel in sample.channels.tolist())
    return tuple(before if own is None else own for own, before in zip(found, current, strict=True))


def _iou(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean, then of each class: `[D, 1 + C]`."""
    of_class = figures.iou(sums)
    return np.concatenate([figures.mean_of_defined(of_class)[:, None], of_class], axis=1)


def _mean_iou(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return figures.mean_of_defined(figures.iou(sums))[:, None]


def _protocol(sample: LayerSample, data: str, groups: int, few: tuple[str, ...]) -> str:
    parts = [
        f"{data}, {len(sample.names):,} pictures in {groups:,} groups, all pixels, "
        f"{len(sample.classes)} classes, each for itself, thresholds of the highest IoU"
    ]
    if sample.notes:
        parts.append(", ".join(sample.notes))
    if few:
        parts.append(f"too few pixels of {', '.join(few)}")
    return "; ".join(parts)
