"""Two predictions of the same pictures: which is better, how much, how surely, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.errors import ClassTableError, DatasetError, UsageError
from pixelwise.evaluation.evaluate import Evaluated
from pixelwise.evaluation.measures import Figure, Figures
from pixelwise.metrics.bootstrap import paired_of

__all__ = ["Comparison", "Difference", "compare"]


@dataclass(frozen=True)
class Difference:
    """A figure of A and of B; None where there is none.

    Attributes:
        a, b: over all pictures.
        difference: B - A.
        low, high: its 95 % interval.
        better: probability that B is better on other pictures of the kind, 0 … 1.
    """

    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    better: float | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """B compared with A.

    Attributes:
        a, b: what both are on their own; of `places` alone in what follows.
        places: of the pictures in the data set that both could judge.
        names: of these.
        measures: those that both have.
    """

    a: Evaluated
    b: Evaluated
    places: tuple[int, ...]
    names: tuple[str, ...]
    measures: tuple[Figures, ...]

    @property
    def classes(self) -> ClassTable:
        """Channel i is the i-th."""
        return self.a.classes

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All figures of all measures, without mere settings."""
        return tuple(figure for measure in self.measures for figure in _compared(measure))

    @cached_property
    def overall(self) -> dict[str, Difference]:
        """By key, the figures of which there is one alone."""
        return {
            figure.key: self._differences[figure.key][0]
            for figure in self.figures
            if not figure.per_class
        }

    @cached_property
    def by_class(self) -> dict[str, tuple[Difference, ...]]:
        """By key, the figures of each class, in the order of the channels."""
        return {
            figure.key: self._differences[figure.key] for figure in self.figures if figure.per_class
        }

    @cached_property
    def by_picture(self) -> NDArray[np.float64]:
        """float64 `[N, 2]`: mean IoU of A and of B within each picture; NaN where none counts."""
        columns = [_of_places(each, self.places, each.by_picture) for each in (self.a, self.b)]
        return np.stack(columns, axis=1)

    def most_different(self, count: int) -> tuple[int, ...]:
        """Places in `names` of the pictures where A and B differ most, the most first."""
        apart = np.abs(np.nan_to_num(self.by_picture[:, 1] - self.by_picture[:, 0]))
        order = np.argsort(-apart, kind="stable")[:count]
        return tuple(place for place in order.tolist() if apart[place] > 0)

    @cached_property
    def _differences(self) -> dict[str, tuple[Difference, ...]]:
        units = _of_places(self.a, self.places, self.a.units.of)
        made: dict[str, tuple[Difference, ...]] = {}
        for measure in self.measures:
            made |= self._paired(measure, units)
        return made

    def _paired(
        self, measure: Figures, units: NDArray[np.int32] | None
    ) -> dict[str, tuple[Difference, ...]]:
        a, b = (
            measure.resampled(
                _of_places(each, self.places, each.counts[measure.name]),
                _compared(measure),
                units,
            )
            for each in (self.a, self.b)
        )
        found = paired_of(a, b)
        higher_is_better = np.concatenate(
            [
                np.full(len(self.classes) if figure.per_class else 1, figure.higher_is_better)
                for figure in _compared(measure)
            ]
        )
        # More is better to `paired_of`.
        better = np.where(higher_is_better, found.better, 1 - found.better)
        columns = (a.whole(), b.whole(), found.difference, found.low, found.high, better)
        rows = [
            Difference(*(None if np.isnan(value) else value for value in row))
            for row in zip(*(column.tolist() for column in columns), strict=True)
        ]
        made, first = {}, 0
        for figure in _compared(measure):
            width = len(self.classes) if figure.per_class else 1
            made[figure.key] = tuple(rows[first : first + width])
            first += width
        return made


def compare(a: Evaluated, b: Evaluated) -> Comparison:
    """Compares what was judged on the same pictures, in the same classes.

    Raises:
        ClassTableError: the classes that were judged differ; shows both.
        DatasetError: no picture was judged for both.
        UsageError: they are measured by pixels of different sizes.
    """
    if a.classes.names != b.classes.names:
        raise ClassTableError(
            "A and B are judged in different classes",
            got=f"A: {', '.join(a.classes.names)}\n  B: {', '.join(b.classes.names)}",
            fix="map both to the same classes with --map",
        )
    places = tuple(sorted(set(a.places) & set(b.places)))
    if not places or a.subject.truths.names != b.subject.truths.names:
        raise DatasetError(
            "A and B have no picture in common",
            got=f"{len(a.places):,} pictures · {len(b.places):,} pictures",
            fix="judge both by the same split of the same data set",
        )
    _require_same_units(a, b)
    own = {measure.name for measure in b.measures}
    return Comparison(
        a=a,
        b=b,
        places=places,
        names=tuple(a.subject.truths.names[place] for place in places),
        measures=tuple(measure for measure in a.measures if measure.name in own),
    )


def _compared(measure: Figures) -> tuple[Figure, ...]:
    return tuple(figure for figure in measure.figures if figure.measured)


def _require_same_units(a: Evaluated, b: Evaluated) -> None:
    """Lengths of pixels of another size are other lengths, whatever the unit."""
    told = [
        {measure.name: measure.told for measure in each.measures if measure.figures[0].is_length}
        for each in (a, b)
    ]
    for name in told[0].keys() & told[1].keys():
        if told[0][name] != told[1][name]:
            raise UsageError(
                "A and B are measured in different units",
                got=f"A: {told[0][name]}\n  B: {told[1][name]}",
                fix="give both one size of the pixel",
            )


def _of_places(evaluation: Evaluated, places: Sequence[int], values: Any) -> Any:
    """The rows of these places; None stays None."""
    if values is None:
        return None
    return values[np.searchsorted(evaluation.places, places)]
