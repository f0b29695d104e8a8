"""Scores of a finished model file, through the same steps as `pixelwise predict`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable, distinct_colours
from pixelwise.data import Dataset, Sample
from pixelwise.data.faults import Fault
from pixelwise.data.parallel import in_order
from pixelwise.data.wording import counted as number_of
from pixelwise.errors import OutOfMemoryError, PixelwiseError
from pixelwise.inference.predictor import Model
from pixelwise.metrics.confusion import ConfusionMatrix, SemanticScores, semantic_scores
from pixelwise.training.multi_label import layer_counts, layer_scores
from pixelwise.training.picture_counts import Interval, PictureCounts
from pixelwise.training.score_groups import ScoreGroups
from pixelwise.training.scoring import IGNORED, Protocol, check_faults, values_of

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
    """What each picture gives to the counts of all."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._pictures: list[NDArray[np.int64]] = []
        self._places: list[int] = []

    def add(
        self,
        place: int,
        truth: NDArray[np.integer],
        found: NDArray[np.integer],
        *,
        spare: int = 0,
    ) -> None:
        """A picture of one class per pixel; what is found in a spare class is wrong."""
        classes = len(self._names)
        own = ConfusionMatrix(classes + spare, ignore_index=IGNORED)
        own.update(truth, found)
        # A spare class has no part in the means.
        self.add_counts(place, own.class_counts[:, :classes])

    def add_counts(self, place: int, counts: NDArray[np.int64]) -> None:
        self._pictures.append(counts)
        self._places.append(place)

    def scores(
        self,
        names: str,
        said: str,
        together: ScoreGroups | None,
        *,
        figures: Callable[[NDArray[np.int64]], SemanticScores] = semantic_scores,
    ) -> FileScores:
        classes, pictures = len(self._names), len(self._pictures)
        of_pictures = np.array(self._pictures, np.int64).reshape(pictures, 3, classes)
        scores = figures(of_pictures.sum(axis=0))
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
        told = f"{names}, {number_of(pictures, 'picture')}, {said}"
        return FileScores(scores, interval, told, units)


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
        DatasetError: more than 0.1 % of the pictures, and more than one, cannot be read, or their
            truth is of another kind than the training.
    """
    names = " + ".join(
        f"{terms.name} {side}"
        for terms, side in zip(protocol.own_terms, protocol.sides, strict=True)
    )
    if protocol.is_multi_label:
        return (_of_layers(model, protocol, names, progress),)
    whole = _Tally(model.classes.names)
    own = [_Tally(terms.names) for terms in protocol.own_terms]
    owners = np.repeat(np.arange(len(protocol.lengths)), protocol.lengths)
    channel = channels_of(model.classes)
    with closing(_samples(protocol, progress)) as samples:
        for place, sample in samples:
            labels, mask = channel[model.predict(sample.image).labels], sample.mask
            whole.add(place, values_of(sample.target, protocol, sample.name), labels)
            terms = protocol.own_terms[owners[place]]
            truth, found = terms.of_value[mask], terms.of_channel[labels]
            own[owners[place]].add(
                place,
                np.where(truth < 0, IGNORED, truth),
                np.where(found < 0, len(terms.names), found),
                spare=1,
            )
    parts = tuple(
        tally.scores(f"{terms.name} {side}", _said(f"its own {len(terms.names)}"), protocol.groups)
        for tally, terms, side in zip(own, protocol.own_terms, protocol.sides, strict=True)
    )
    first = whole.scores(names, _said(str(protocol.classes)), protocol.groups)
    return (first, *parts) if len(parts) > 1 else (first,)


def _of_layers(
    model: Model,
    protocol: Protocol,
    names: str,
    progress: Callable[[int], object] | None,
) -> FileScores:
    """The score of a model whose classes lie over each other, at the thresholds of its card."""
    tally = _Tally(model.classes.names)
    with closing(_samples(protocol, progress)) as samples:
        for place, sample in samples:
            truth = values_of(sample.target, protocol, sample.name)
            found = model.predict_multi_label(sample.image).masks()
            tally.add_counts(place, layer_counts(truth, found))
    said = (
        f"{protocol.classes} class{'es' * (protocol.classes != 1)} that may lie over each other, "
        "each found where its probability is 0.5 at least (no threshold was chosen on these "
        "pictures), original size, counts of each class added up over all pictures"
    )
    return tally.scores(names, said, protocol.groups, figures=layer_scores)


def _samples(
    protocol: Protocol, progress: Callable[[int], object] | None
) -> Generator[tuple[int, Sample], None, None]:
    """The pictures that can be read, with their places."""
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
            else:
                yield place, sample
    check_faults(faults, protocol.dataset)


def _read(dataset: Dataset, place: int) -> Sample | Fault:
    """A picture and its truth, or why they cannot be read."""
    try:
        return dataset[place]
    except OutOfMemoryError:
        raise
    except PixelwiseError as error:
        return Fault.from_error(error, dataset.entries[place].image)


def _said(classes: str) -> str:
    return f"{classes} classes, original size, one confusion matrix over all pictures"


def channels_of(classes: ClassTable) -> NDArray[np.uint16]:
    """uint16 `[65536]`: from an id to its channel."""
    channel = np.full(65_536, IGNORED, np.uint16)
    channel[list(classes.ids)] = np.arange(len(classes))
    return channel
