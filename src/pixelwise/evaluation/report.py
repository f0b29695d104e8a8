"""What the pictures say beside the scores: kinds of errors, where they lie, and doubtful labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.findings import background_in
from pixelwise.evaluation.choice import measures_of
from pixelwise.evaluation.confused_pairs import ConfusedPair, PairExamples, most_confused
from pixelwise.evaluation.error_kinds import (
    ErrorKind,
    boundary_width,
    count_kinds,
    kinds_of_errors,
)
from pixelwise.evaluation.evaluate import Evaluation, evaluate
from pixelwise.evaluation.matching import Match
from pixelwise.evaluation.object_sizes import (
    AREAS,
    DISTANCES,
    by_border_distance,
    by_object_size,
)
from pixelwise.evaluation.predictions import Judged, Subject
from pixelwise.evaluation.probability_measures import Calibrations, Curves, probabilities_in
from pixelwise.evaluation.suspects import Suspect, suspect_regions
from pixelwise.formats.spacing import Spacing
from pixelwise.geometry import Window
from pixelwise.metrics.calibration import CalibrationScores
from pixelwise.metrics.thresholds import ThresholdScores

__all__ = ["DoubtedLabel", "PairSeen", "Report", "make_report"]

_PAIRS = 12
_SUSPECTS = 24
_SUSPECTS_OF_A_PICTURE = 4


@dataclass(frozen=True)
class PairSeen:
    """A pair of classes, and the picture that shows it most."""

    pair: ConfusedPair
    place: int


@dataclass(frozen=True)
class DoubtedLabel:
    """A region whose label is in doubt, in the picture of that place."""

    suspect: Suspect
    place: int


@dataclass(frozen=True, eq=False)
class Report:
    """What there is to tell.

    Attributes:
        evaluation: the scores.
        kinds: int64 `[6, C]`, pixels by `ErrorKind` and class; see `count_kinds`.
        sizes: int64 `[7, 4]`; see `by_object_size`.
        borders: int64 `[7, 2]`; see `by_border_distance`.
        pairs: the most confused classes, the most first.
        doubted: labels in doubt, the most first; none where there are no probabilities.
        widths: the least and the largest width in pixels of errors of the boundary.
        background: channel of what is no object; None where there is none.
    """

    evaluation: Evaluation
    kinds: NDArray[np.int64]
    sizes: NDArray[np.int64]
    borders: NDArray[np.int64]
    pairs: tuple[PairSeen, ...]
    doubted: tuple[DoubtedLabel, ...]
    widths: tuple[int, int]
    background: int | None

    @property
    def calibration(self) -> CalibrationScores | None:
        """With the reliability diagram; None where there are no probabilities."""
        for measure in self.evaluation.measures:
            if isinstance(measure, Calibrations):
                return measure.scores(self.evaluation.counts[measure.name])
        return None

    @property
    def curves(self) -> ThresholdScores | None:
        """Over all thresholds; None where there are not two classes and probabilities."""
        for measure in self.evaluation.measures:
            if isinstance(measure, Curves):
                return measure.scores(self.evaluation.counts[measure.name])
        return None

    def median(self, count: int) -> tuple[int, ...]:
        """Places in `evaluation.names` of the pictures about the median of the mean IoU."""
        order = self.evaluation.worst(len(self.evaluation.names))
        first = max(0, (len(order) - count) // 2)
        return order[first : first + count]


@dataclass(frozen=True, eq=False)
class _Seen:
    kinds: NDArray[np.int64]
    sizes: NDArray[np.int64]
    borders: NDArray[np.int64]
    suspects: tuple[Suspect, ...]
    width: int


class _Looking:
    """Adds up what the pictures say."""

    def __init__(self, match: Match, background: int | None) -> None:
        classes = len(match.classes)
        self._match, self._background = match, background
        self.kinds = np.zeros((len(ErrorKind), classes), np.int64)
        self.sizes = np.zeros((len(AREAS) + 1, 4), np.int64)
        self.borders = np.zeros((len(DISTANCES) + 1, 2), np.int64)
        self.examples = PairExamples(classes)
        self.doubted: list[DoubtedLabel] = []
        self.widths: set[int] = set()

    def look(self, judged: Judged) -> _Seen:
        truth, labels = judged.truth, judged.labels
        width = boundary_width((truth.shape[0], truth.shape[1]))
        kinds = kinds_of_errors(truth, labels, width=width)
        return _Seen(
            kinds=count_kinds(kinds, truth, labels, len(self._match.classes)),
            sizes=by_object_size(
                truth, labels, instances=judged.instances, background=self._background
            ),
            borders=by_border_distance(truth, labels),
            suspects=self._suspects(judged, width),
            width=width,
        )

    def take(self, place: int, confusion: NDArray[np.int64], seen: object) -> None:
        if not isinstance(seen, _Seen):
            return
        self.kinds += seen.kinds
        self.sizes += seen.sizes
        self.borders += seen.borders
        self.examples.take(place, confusion)
        self.widths.add(seen.width)
        self.doubted += [DoubtedLabel(suspect, place) for suspect in seen.suspects]
        self.doubted.sort(key=lambda each: -each.suspect.doubt)
        del self.doubted[_SUSPECTS:]

    def _suspects(self, judged: Judged, width: int) -> tuple[Suspect, ...]:
        segmentation = judged.segmentation
        if segmentation is None:
            return ()

        def probability_of(channel: int, window: Window) -> NDArray[np.float32]:
            layer: NDArray[np.float32] = probabilities_in(segmentation, self._match, window)[
                channel
            ]
            return layer

        return suspect_regions(
            judged.truth,
            judged.labels,
            segmentation.confidence,
            probability_of,
            classes=len(self._match.classes),
            width=width,
            count=_SUSPECTS_OF_A_PICTURE,
        )


def make_report(
    subject: Subject,
    *,
    distances: bool = False,
    spacing: Spacing | None = None,
    workers: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Report:
    """Judges every picture once, and looks at its errors.

    Args:
        subject: what is judged.
        distances: as of `measures_of`.
        spacing: likewise.
        workers: threads; 0 works in the calling one.
        progress: called with 1 for every picture.

    Raises:
        DatasetError: no picture can be judged; lists what is wrong with each.
        OutOfMemoryError: a picture needs more memory than there is.
    """
    background = background_in(subject.classes)
    looking = _Looking(subject.match, background)
    evaluation = evaluate(
        subject,
        measures_of(subject, distances=distances, spacing=spacing),
        onlooker=looking,
        workers=workers,
        progress=progress,
    )
    return Report(
        evaluation=evaluation,
        kinds=looking.kinds,
        sizes=looking.sizes,
        borders=looking.borders,
        pairs=tuple(
            PairSeen(pair, looking.examples.place(pair))
            for pair in most_confused(evaluation.confusion, _PAIRS)
        ),
        doubted=tuple(looking.doubted),
        widths=(min(looking.widths), max(looking.widths)),
        background=background,
    )
