"""Detections of all pictures by falling score: average precision of any draw of the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pixelwise.kernels import average_precision

__all__ = ["PictureMatches", "RankedClass", "Ranking", "ResampledPrecision", "ranked"]

_AT_50, _AT_75 = 0, 5
_ALL_AREAS = 0
# Values of draws that are in memory at a time: 32 MB.
_VALUES_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class PictureMatches:
    """What matching said of one picture: D detections, K of its classes with objects.

    Attributes:
        number: its place in the data set.
        classes: int64 `[D]`.
        scores: float64 `[D]`.
        ranks: int64 `[D]`, by score within picture and class.
        outcomes: uint8 `[areas, thresholds, D]`, as `kernels.average_precision` takes them.
        true_classes: int64 `[K]`.
        true_counts: int64 `[K, areas]`, objects to find.
    """

    number: int
    classes: NDArray[np.int64]
    scores: NDArray[np.float64]
    ranks: NDArray[np.int64]
    outcomes: NDArray[np.uint8]
    true_classes: NDArray[np.int64]
    true_counts: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RankedClass:
    """The detections of one class by falling score; of equal ones, as their pictures come.

    Attributes:
        places: int64 `[K]`, of the pictures in which the class is, true or found.
        pictures: int32 `[D]`, which of these each detection is in.
        ranks: int64 `[D]`, by score within the picture.
        outcomes: uint8 `[areas, thresholds, D]`.
        objects: int64 `[K, areas]`, to find in each of these.
    """

    places: NDArray[np.int64]
    pictures: NDArray[np.int32]
    ranks: NDArray[np.int64]
    outcomes: NDArray[np.uint8]
    objects: NDArray[np.int64]

    def precision(self, times: NDArray[np.int64], area: int = _ALL_AREAS) -> NDArray[np.float64]:
        """Average precision at each threshold, `[R, thresholds]`.

        Args:
            times: int64 `[R, K]`, how often the pictures in `places` count in each draw.
            area: the place of the range of areas.
        """
        objects = times @ self.objects[:, area]
        return average_precision(self.outcomes[area], self.pictures, times, objects)


@dataclass(frozen=True, eq=False)
class Ranking:
    """All pictures, in the order of their numbers.

    Attributes:
        classes: of each, its detections and objects.
        pictures: how many there are.
    """

    classes: tuple[RankedClass, ...]
    pictures: int


def ranked(pictures: Sequence[PictureMatches], classes: int) -> Ranking:
    """The detections of each class in their order, of one picture or more."""
    chosen = sorted(pictures, key=lambda entry: entry.number)
    sizes = [len(entry.scores) for entry in chosen]
    place = np.repeat(np.arange(len(chosen)), sizes)
    ranks = np.concatenate([entry.ranks for entry in chosen])
    of_class = np.concatenate([entry.classes for entry in chosen])
    scores = np.concatenate([entry.scores for entry in chosen])
    outcomes = np.concatenate([entry.outcomes for entry in chosen], axis=2)
    objects = np.zeros((len(chosen), classes, outcomes.shape[0]), np.int64)
    for number, entry in enumerate(chosen):
        objects[number, entry.true_classes] = entry.true_counts
    order = np.lexsort([-scores, of_class])
    edges = np.searchsorted(of_class[order], np.arange(classes + 1))
    made = []
    for class_, (first, last) in enumerate(pairwise(edges.tolist())):
        part = order[first:last]
        held = np.logical_or.reduce(objects[:, class_], axis=1)
        held[place[part]] = True
        places = np.flatnonzero(held)
        made.append(
            RankedClass(
                places=places,
                pictures=np.searchsorted(places, place[part]).astype(np.int32),
                ranks=ranks[part],
                outcomes=outcomes[:, :, part],
                objects=objects[places, class_],
            )
        )
    return Ranking(tuple(made), len(chosen))


class ResampledPrecision:
    """Average precision of pictures, or groups of them, that are left out and drawn anew.

    The values are `[3 + C]`: AP, AP at IoU 0.50, AP at 0.75, and the AP of each class; NaN where
    there is nothing to find. Leaving out a picture changes only the classes in it, and these alone
    are taken anew.

    Args:
        ranking: of all pictures.
        groups: a number for each picture, the same for those that belong together; None: each is
            its own.

    Attributes:
        held: see `pixelwise.metrics.bootstrap.Resampled`.
    """

    def __init__(
        self, ranking: Ranking, groups: Sequence[int] | NDArray[np.integer] | None = None
    ) -> None:
        numbers = np.arange(ranking.pictures) if groups is None else np.asarray(groups, np.int64)
        _, self._unit = np.unique(numbers, return_inverse=True)
        self._ranking = ranking
        self.held: NDArray[np.bool_] = np.zeros(int(self._unit.max(initial=-1)) + 1, np.bool_)
        for own in ranking.classes:
            self.held[self._unit[own.places]] = True

    def whole(self) -> NDArray[np.float64]:
        """See `Resampled.whole`."""
        whole: NDArray[np.float64] = self.drawn(np.ones((1, len(self.held)), np.int64))[0]
        return whole

    def without_each(self) -> NDArray[np.float64]:
        """See `Resampled.without_each`."""
        made = []
        for own in self._ranking.classes:
            unit = self._unit[own.places]
            precision = np.repeat(
                own.precision(np.ones((1, len(unit)), np.int64)), len(self.held), axis=0
            )
            units = np.unique(unit)
            step = max(1, _VALUES_AT_ONCE // max(1, len(unit)))
            for first in range(0, len(units), step):
                some = units[first : first + step]
                precision[some] = own.precision((unit != some[:, None]).astype(np.int64))
            made.append(precision)
        return _side_by_side(np.stack(made, axis=1))

    def drawn(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Resampled.drawn`."""
        made = [own.precision(times[:, self._unit[own.places]]) for own in self._ranking.classes]
        return _side_by_side(np.stack(made, axis=1))


def _side_by_side(precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """From `[R, C, thresholds]` to `[R, 3 + C]`."""
    of_class = precision.mean(axis=2)
    known = ~np.isnan(of_class)
    count = known.sum(axis=1)
    means = []
    for values in (of_class, precision[:, :, _AT_50], precision[:, :, _AT_75]):
        total = values.sum(axis=1, where=known)
        means.append(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))
    return np.concatenate([np.stack(means, axis=1), of_class], axis=1)
