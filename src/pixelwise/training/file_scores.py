"""Scores of a finished model file, through the same steps as `pixelwise predict`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable, distinct_colours
from pixelwise.data import Dataset
from pixelwise.data.faults import Fault
from pixelwise.data.parallel import in_order
from pixelwise.data.targets import MultiLabelTarget
from pixelwise.data.wording import counted as number_of
from pixelwise.errors import DatasetError, OutOfMemoryError, PixelwiseError
from pixelwise.inference.predictor import Model
from pixelwise.metrics.confusion import ConfusionMatrix, SemanticScores, semantic_scores
from pixelwise.training.picture_counts import Interval, PictureCounts
from pixelwise.training.score_groups import ScoreGroups
from pixelwise.training.scoring import IGNORED, Protocol, check_faults, counted

__all__ = ["FileScores", "channels_of", "score_file"]

_AHEAD = 2


@dataclass(frozen=True, eq=False)
class FileScores:
    """The scores of a file by one protocol.

    Attributes:
        scores: over all pictures.
        interval: of the mean IoU over other pictures of the kind, by pictures, or by groups of
            them where there are enough; None for a single picture.
        protocol: in words.
        units: what the interval goes by, in words.
    """

    scores: SemanticScores
    interval: Interval | None
    protocol: str
    units: str


class _Tally:
    """A confusion matrix, and what each picture gave to it."""

    def __init__(self, names: tuple[str, ...], *, spare: int) -> None:
        self._names = names
        self._matrix = ConfusionMatrix(len(names) + spare, ignore_index=IGNORED)
        self._pictures: list[NDArray[np.int64]] = []
        self._places: list[int] = []

    def add(self, place: int, truth: NDArray[np.integer], found: NDArray[np.integer]) -> None:
        own = ConfusionMatrix(self._matrix.classes, ignore_index=IGNORED)
        own.update(truth, found)
        self._matrix.merge(own)
        classes = len(self._names)
        self._pictures.append(own.class_counts[:, :classes])
        self._places.append(place)

    def scores(self, names: str, said: str, together: ScoreGroups | None) -> FileScores:
        classes, pictures = len(self._names), len(self._pictures)
        # What is found in the spare class is wrong, and has no part in the means.
        scores = semantic_scores(self._matrix.class_counts[:, :classes])
        of_pictures = np.array(self._pictures, np.int64).reshape(pictures, 3, classes)
        groups = None if together is None else together.at(self._places)
        used = None if groups is None else groups.used(of_pictures[:, 1] > 0)
        interval = PictureCounts(
            epoch=0,
            names=tuple(map(str, range(pictures))),
            groups=used,
            classes=self._names,
            colours=distinct_colours(classes),
            counts=of_pictures,
        ).interval()
        units = "" if interval is None else _units(interval, groups, by_groups=used is not None)
        return FileScores(scores, interval, _words(names, pictures, said), units)


def _units(interval: Interval, groups: ScoreGroups | None, *, by_groups: bool) -> str:
    if groups is None:
        return f"the {interval.units:,} pictures"
    if by_groups:
        return f"the {groups.units(interval.units)}"
    told = groups.told()
    return f"the {interval.units:,} pictures; they are {told}: the interval is too narrow"


def score_file(
    model: Model, protocol: Protocol, *, progress: Callable[[int], object] | None = None
) -> tuple[FileScores, ...]:
    """Scores a model file on every picture.

    Args:
        model: as `pixelwise predict` loads it.
        protocol: the pictures.
        progress: called with 1 for every picture.

    Returns:
        The score in the model's classes; of several data sets then one of each in its own. There
        a prediction that the set has no class for is wrong wherever it stands, as one class more
        that has no part in the mean.

    Raises:
        DatasetError: more than 0.1 % of the pictures, and more than one, cannot be read, or classes
            overlap.
    """
    whole = _Tally(model.classes.names, spare=0)
    own = [_Tally(terms.names, spare=1) for terms in protocol.own_terms]
    owners = np.repeat(np.arange(len(protocol.lengths)), protocol.lengths)
    channel = channels_of(model.classes)
    faults: list[Fault] = []
    places = range(len(protocol.dataset))
    reading = in_order(
        lambda place: _read(protocol.dataset, place),
        places,
        workers=protocol.workers,
        ahead=_AHEAD * max(1, protocol.workers),
    )
    with closing(reading):
        for place, sample in zip(places, reading, strict=True):
            if progress is not None:
                progress(1)
            if isinstance(sample, Fault):
                faults.append(sample)
                continue
            image, mask = sample
            labels = channel[model.predict(image).labels]
            whole.add(place, counted(mask, protocol.classes), labels)
            terms = protocol.own_terms[owners[place]]
            truth, found = terms.of_value[mask], terms.of_channel[labels]
            own[owners[place]].add(
                place,
                np.where(truth < 0, IGNORED, truth),
                np.where(found < 0, len(terms.names), found),
            )
    check_faults(faults, protocol.dataset)
    parts = tuple(
        tally.scores(f"{terms.name} {side}", f"its own {len(terms.names)}", protocol.groups)
        for tally, terms, side in zip(own, protocol.own_terms, protocol.sides, strict=True)
    )
    names = " + ".join(
        f"{terms.name} {side}"
        for terms, side in zip(protocol.own_terms, protocol.sides, strict=True)
    )
    first = whole.scores(names, str(protocol.classes), protocol.groups)
    return (first, *parts) if len(parts) > 1 else (first,)


def _read(dataset: Dataset, place: int) -> tuple[NDArray[np.uint8], NDArray[np.integer]] | Fault:
    """A picture and its mask, or why they cannot be read."""
    try:
        sample = dataset[place]
    except OutOfMemoryError:
        raise
    except PixelwiseError as error:
        return Fault.from_error(error, dataset.entries[place].image)
    if isinstance(sample.target, MultiLabelTarget):
        raise DatasetError(
            "classes that overlap cannot be scored by one label per pixel",
            where=str(dataset.root),
            got=f"{sample.name}: a multi-label truth",
            fix="open it with kind='multi_class'",
        )
    return sample.image, sample.target.mask


def _words(names: str, pictures: int, classes: str) -> str:
    return (
        f"{names}, {number_of(pictures, 'picture')}, {classes} classes, original size, one "
        "confusion matrix over all pictures"
    )


def channels_of(classes: ClassTable) -> NDArray[np.uint16]:
    """uint16 `[65536]`: from an id to its channel."""
    channel = np.full(65_536, IGNORED, np.uint16)
    channel[list(classes.ids)] = np.arange(len(classes))
    return channel
