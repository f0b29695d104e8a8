"""Which samples an epoch has, in which order, and where their crops are laid.

Everything follows from the seed, the epoch and the place in the epoch, through generators made for
each: neither the number of workers and machines nor a start in mid-epoch changes a bit of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.targets import MaskTarget, MultiLabelTarget
from pixelwise.errors import ArrayError, UsageError

__all__ = ["Aim", "InOrder", "Sampler", "Shuffled", "Weighted", "sample_generator", "shard"]

_ORDER_STREAM, _SAMPLE_STREAM = 0, 1
_GRID_POINTS = 4096


@runtime_checkable
class Sampler(Protocol):
    """The order of an epoch. Frozen, so that threads share it."""

    def count(self, length: int) -> int:
        """How many samples an epoch of a data set of that length has: the same in all epochs."""
        ...

    def order(self, length: int, epoch: int, seed: int) -> NDArray[np.int64]:
        """Places in the data set, int64 `[count]`."""
        ...


@dataclass(frozen=True)
class InOrder:
    """Each sample once, as they stand."""

    def count(self, length: int) -> int:
        """`length`."""
        return length

    def order(self, length: int, epoch: int, seed: int) -> NDArray[np.int64]:
        """0 … length - 1."""
        del epoch, seed
        return np.arange(length, dtype=np.int64)


@dataclass(frozen=True)
class Shuffled:
    """Each sample once, in another random order in each epoch."""

    def count(self, length: int) -> int:
        """`length`."""
        return length

    def order(self, length: int, epoch: int, seed: int) -> NDArray[np.int64]:
        """A permutation of 0 … length - 1."""
        return _order_generator(seed, epoch).permutation(length).astype(np.int64, copy=False)


@dataclass(frozen=True, eq=False)
class Weighted:
    """Pictures with rare classes several times in an epoch, every picture at least once.

    Repeat factors (Gupta, Dollár, Girshick, "LVIS", CVPR 2019, section 5): with f(c) the share of
    pictures that hold class c, the factor of a class is r(c) = max(1, (threshold / f(c)) ** power)
    and that of a picture is the largest among its classes. The epoch has n = ceil(sum of factors)
    places, dealt by systematic sampling over the pictures in random order: picture i stands in it
    floor or ceil of n · r(i) / sum times, n · r(i) / sum in the mean.

    Attributes:
        counts: int64 `[N, C]`: pixels of each class in each picture of the data set.
        threshold: classes in a smaller share of the pictures are repeated. LVIS has 0.001, for
            1203 classes; data sets of tens of classes need more.
        power: 0.5 in the paper; 0 repeats nothing, 1 evens out.

    Raises:
        ArrayError: counts are not `[N, C]` of at least one picture and class.
        UsageError: the threshold is not above 0 and at most 1, or the power not 0 … 1.
    """

    counts: NDArray[np.int64]
    threshold: float = 0.1
    power: float = 0.5
    factors: NDArray[np.float64] = field(init=False, repr=False)
    """float64 `[N]`: r of each picture."""

    def __post_init__(self) -> None:
        if not isinstance(self.counts, np.ndarray) or self.counts.ndim != 2 or not self.counts.size:
            array = isinstance(self.counts, np.ndarray)
            raise ArrayError(
                "counts are an array [N, C], a row for each picture",
                where="argument counts",
                got=str(list(self.counts.shape)) if array else repr(self.counts)[:80],
                fix="pixelwise.data.check.check(dataset).statistics.counts",
            )
        if not (0 < self.threshold <= 1 and 0 <= self.power <= 1):
            raise UsageError(
                "threshold is above 0 and at most 1, power 0 … 1",
                got=f"threshold={self.threshold!r}, power={self.power!r}",
            )
        held = self.counts > 0
        shares = held.mean(axis=0)
        of_class = np.ones(len(shares))
        rare = (shares > 0) & (shares < self.threshold)
        of_class[rare] = (self.threshold / shares[rare]) ** self.power
        object.__setattr__(self, "factors", np.where(held, of_class, 1.0).max(axis=1))

    def count(self, length: int) -> int:
        """ceil of the sum of the factors.

        Raises:
            ArrayError: counts are of another number of pictures.
        """
        if length != len(self.factors):
            raise ArrayError(
                "the counts are of another data set",
                where="argument counts",
                got=f"{len(self.factors)} rows for {length} samples",
                fix="gather the statistics of this data set, or of this split",
            )
        # Sums of exact ones, such as 3.0000000000000004, must not gain a place.
        return math.ceil(round(float(self.factors.sum()), 6))

    def order(self, length: int, epoch: int, seed: int) -> NDArray[np.int64]:
        """Each picture as often as its factor says, in random order."""
        count = self.count(length)
        generator = _order_generator(seed, epoch)
        shuffled = generator.permutation(length)
        ends = np.cumsum(self.factors[shuffled])
        ends *= count / ends[-1]
        # As many points as places, one apart: rounding must not leave the last without picture.
        points = np.arange(count) + generator.random()
        chosen = shuffled[np.minimum(np.searchsorted(ends, points, side="right"), length - 1)]
        return generator.permutation(chosen).astype(np.int64, copy=False)


def shard(count: int, rank: int, world: int, *, padded: bool) -> NDArray[np.int64]:
    """The positions in an epoch that one of several processes works on, int64.

    Process `rank` has rank, rank + world, …: so the batches of all processes together hold the
    samples that one process with a batch of `world` times the size would have.

    Args:
        count: samples of the epoch.
        rank: 0 … world - 1.
        world: the number of processes.
        padded: True: all have equally many, for which the epoch starts again at its end: the
            positions count … are those of samples 0 …, at most world - 1 of them. False: each
            sample once, and the last processes may have one less: for scores.

    Raises:
        UsageError: rank is not 0 … world - 1.
    """
    if not 0 <= rank < world:
        raise UsageError("rank is 0 … world - 1", got=f"rank={rank!r}, world={world!r}")
    end = -(-count // world) * world if padded else count
    return np.arange(rank, end, world, dtype=np.int64)


def sample_generator(seed: int, epoch: int, position: int) -> np.random.Generator:
    """The random numbers of one sample of one epoch, and of no other.

    PCG64 on NumPy's SeedSequence, whose spawn keys give streams that do not overlap in practice
    (numpy.org/doc/stable/reference/random/parallel.html).
    """
    return _generator(seed, _SAMPLE_STREAM, epoch, position)


@dataclass(frozen=True)
class Aim:
    """Lays crops on pixels of wanted classes.

    Attributes:
        wanted: class ids.
        weights: how often each is drawn, against the others; of those that a mask holds.
        chance: share of the crops that are laid so; the others lie anywhere.

    Raises:
        UsageError: ids and weights differ in number, a weight is not above 0, or the chance is
            not 0 … 1.
    """

    wanted: tuple[int, ...]
    weights: tuple[float, ...]
    chance: float = 0.5

    def __post_init__(self) -> None:
        fits = len(self.wanted) == len(self.weights) and self.wanted
        if not fits or min(self.weights) <= 0 or not 0 <= self.chance <= 1:
            raise UsageError(
                "an aim is some class ids, a weight above 0 for each, and a chance of 0 … 1",
                got=f"{len(self.wanted)} ids, weights {self.weights!r}, chance {self.chance!r}",
            )

    @classmethod
    def at_rare(
        cls,
        counts: NDArray[np.int64],
        classes: ClassTable,
        *,
        power: float = 0.5,
        chance: float = 0.5,
    ) -> Aim:
        """All classes that occur, the weight of each its share of the pixels ** -power.

        Args:
            counts: int64 `[N, C]` or `[C]`: pixels of each class, in the order of the ids.
            classes: the class table.
            power: 0 draws all classes alike; 1 undoes their shares.
            chance: as in `Aim`.

        Raises:
            ArrayError: counts are of another number of classes, or all 0.
        """
        totals = counts.reshape(-1, counts.shape[-1]).sum(axis=0).astype(np.float64)
        if len(totals) != len(classes) or not totals.any():
            raise ArrayError(
                "counts are pixels of each class, some above 0",
                where="argument counts",
                got=f"{len(totals)} columns for {len(classes)} classes, {int(totals.sum())} pixels",
            )
        found = np.flatnonzero(totals)
        weights = (totals[found] / totals.sum()) ** -power
        return cls(
            wanted=tuple(classes.ids[place] for place in found),
            weights=tuple((weights / weights.sum()).tolist()),
            chance=chance,
        )

    def point(
        self, target: MaskTarget, classes: ClassTable, generator: np.random.Generator
    ) -> tuple[int, int] | None:
        """A pixel `(y, x)` to lay a crop on; None for a crop that lies anywhere.

        A class is drawn by weight from the wanted ones in the mask, then any of its pixels. Some
        4096 pixels of an even grid in random place are looked at; all of them only where these
        hold no wanted class, so that objects smaller than a step of the grid, of a mask that has
        other wanted classes too, are met by chance, in proportion to their area.
        """
        if generator.random() >= self.chance:
            return None
        height, width = target.size
        step = max(1, math.isqrt(height * width // _GRID_POINTS))
        top, left = (int(generator.integers(min(step, side))) for side in (height, width))
        found = self._point_on(_Grid(target, classes, top, left, step), generator)
        if found is None and step > 1:
            found = self._point_on(_Grid(target, classes, 0, 0, 1), generator)
        return found

    def _point_on(self, grid: _Grid, generator: np.random.Generator) -> tuple[int, int] | None:
        weights = grid.held(self.wanted) * np.array(self.weights)
        if not weights.any():
            return None
        ends = np.cumsum(weights)
        drawn = int(np.searchsorted(ends, generator.random() * ends[-1], side="right"))
        layer = grid.layer(self.wanted[drawn])
        pixels = np.flatnonzero(layer)
        row, column = divmod(int(pixels[generator.integers(len(pixels))]), layer.shape[1])
        return grid.top + row * grid.step, grid.left + column * grid.step


@dataclass(frozen=True, eq=False)
class _Grid:
    """Every `step`-th pixel of a target, from a first one."""

    target: MaskTarget
    classes: ClassTable
    top: int
    left: int
    step: int

    def held(self, wanted: Sequence[int]) -> NDArray[np.bool_]:
        """Which of the classes any of its pixels has."""
        if isinstance(self.target, MultiLabelTarget):
            return np.array([self.layer(number).any() for number in wanted])
        counts = np.bincount(self._seen(self.target.mask).ravel(), minlength=max(wanted) + 1)
        return np.array([counts[number] > 0 for number in wanted])

    def layer(self, number: int) -> NDArray[np.bool_]:
        """Its pixels of one class."""
        if not isinstance(self.target, MultiLabelTarget):
            return np.asarray(self._seen(self.target.mask) == number)
        layer = self._seen(self.target.layers[self.classes.index(number)])
        return np.asarray(layer & ~self._seen(self.target.ignore))

    def _seen(self, plane: NDArray[Any]) -> NDArray[Any]:
        return plane[self.top :: self.step, self.left :: self.step]


def _order_generator(seed: int, epoch: int) -> np.random.Generator:
    return _generator(seed, _ORDER_STREAM, epoch)


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
