"""Scores of a finished model file, through the same steps as `pixelwise predict`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable, distinct_colours
from pixelwise.data.faults import Fault
from pixelwise.data.targets import MultiLabelTarget
from pixelwise.errors import DatasetError, PixelwiseError
from pixelwise.inference.predictor import Model
from pixelwise.metrics.confusion import ConfusionMatrix, SemanticScores, semantic_scores
from pixelwise.training.picture_counts import Interval, PictureCounts
from pixelwise.training.scoring import IGNORED, Protocol, check_faults, counted

__all__ = ["FileScores", "channels_of", "score_file"]


@dataclass(frozen=True, eq=False)
class FileScores:
    """The scores of a file by one protocol.

    Attributes:
        scores: over all pictures.
        interval: of the mean IoU over other pictures of the kind; None for a single picture.
        protocol: in words.
    """

    scores: SemanticScores
    interval: Interval | None
    protocol: str


class _Tally:
    """A confusion matrix, and what each picture gave to it."""

    def __init__(self, names: tuple[str, ...], *, spare: int) -> None:
        self._names = names
        self._matrix = ConfusionMatrix(len(names) + spare, ignore_index=IGNORED)
        self._pictures: list[NDArray[np.int64]] = []

    def add(self, truth: NDArray[np.integer], found: NDArray[np.integer]) -> None:
        own = ConfusionMatrix(self._matrix.classes, ignore_index=IGNORED)
        own.update(truth, found)
        self._matrix.merge(own)
        classes = len(self._names)
        self._pictures.append(own.class_counts[:, :classes])

    def scores(self, names: str, said: str) -> FileScores:
        classes, pictures = len(self._names), len(self._pictures)
        # What is found in the spare class is wrong, and has no part in the means.
        scores = semantic_scores(self._matrix.class_counts[:, :classes])
        counts = PictureCounts(
            epoch=0,
            names=tuple(map(str, range(pictures))),
            groups=None,
            classes=self._names,
            colours=distinct_colours(classes),
            counts=np.array(self._pictures, np.int64).reshape(pictures, 3, classes),
        )
        return FileScores(scores, counts.interval(), _words(names, pictures, said))


def score_file(model: Model, protocol: Protocol) -> tuple[FileScores, ...]:
    """Scores a model file on every picture.

    Args:
        model: as `pixelwise predict` loads it.
        protocol: the pictures.

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
    for place, entry in enumerate(protocol.dataset.entries):
        try:
            sample = protocol.dataset[place]
        except PixelwiseError as error:
            faults.append(Fault.from_error(error, entry.image))
            continue
        if isinstance(sample.target, MultiLabelTarget):
            raise DatasetError(
                "classes that overlap cannot be scored by one label per pixel",
                where=str(protocol.dataset.root),
                got=f"{sample.name}: a multi-label truth",
                fix="open it with kind='multi_class'",
            )
        labels = channel[model.predict(sample.image).labels]
        whole.add(counted(sample.target.mask, protocol.classes), labels)
        terms = protocol.own_terms[owners[place]]
        truth, found = terms.of_value[sample.target.mask], terms.of_channel[labels]
        own[owners[place]].add(
            np.where(truth < 0, IGNORED, truth), np.where(found < 0, len(terms.names), found)
        )
    check_faults(faults, protocol.dataset)
    parts = tuple(
        tally.scores(f"{terms.name} {side}", f"its own {len(terms.names)}")
        for tally, terms, side in zip(own, protocol.own_terms, protocol.sides, strict=True)
    )
    names = " + ".join(
        f"{terms.name} {side}"
        for terms, side in zip(protocol.own_terms, protocol.sides, strict=True)
    )
    first = whole.scores(names, str(protocol.classes))
    return (first, *parts) if len(parts) > 1 else (first,)


def _words(names: str, pictures: int, classes: str) -> str:
    return (
        f"{names}, {pictures:,} pictures, {classes} classes, original size, one confusion matrix "
        "over all pictures"
    )


def channels_of(classes: ClassTable) -> NDArray[np.uint16]:
    """uint16 `[65536]`: from an id to its channel."""
    channel = np.full(65_536, IGNORED, np.uint16)
    channel[list(classes.ids)] = np.arange(len(classes))
    return channel
