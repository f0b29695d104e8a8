"""Batches for training and for scores: read, augmented and put together in threads.

The decoders and the kernels let other threads run while they work, so threads do what processes
are used for elsewhere: no worker can die, nothing is copied between them, and a sample is written
straight into its row of the batch.

What a batch holds follows from the seed, the epoch and the batch's number alone: not from the
number of workers, and an epoch that begins in its middle goes on with the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.class_entries import listed
from pixelwise.data.augment.augmentation import Augmentation
from pixelwise.data.dataset import Dataset
from pixelwise.data.faults import Fault
from pixelwise.data.parallel import in_order
from pixelwise.data.row_reader import Drawn, Mixing, Order, RowReader, Rows, Task
from pixelwise.data.sampling import Aim, Sampler, Shuffled, shard
from pixelwise.errors import DatasetError, UsageError
from pixelwise.kernels.checks import MOST_THREADS, usable_cores, whole_number

__all__ = ["Batch", "Batches", "DrawnBatch", "Remainder"]

Remainder: TypeAlias = Literal["drop", "pad", "keep"]

_QUARANTINED_SHARE = 0.001
_MOST_BATCH = 1 << 20
_MOST_NUMBER = 2**63


@dataclass(frozen=True, eq=False)
class Batch:
    """Some samples, in one array for each part of them.

    Attributes:
        number: its place in the epoch.
        images: float32 `[B, C, H, W]`, normalised.
        truth: arrays `[B, …]` by the names that the parts of a target have: `mask` of multi-class
            targets, `mask` and `instances`, or `layers` and `ignore`.
        names: of the samples.
        places: int64 `[B]`: where they stand in the data set.
    """

    number: int
    images: NDArray[np.float32]
    truth: dict[str, NDArray[Any]]
    names: tuple[str, ...]
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def masks(self) -> NDArray[Any]:
        """Ids of multi-class and instance targets, `[B, H, W]`: uint8 where all ids fit."""
        return self.truth["mask"]

    @property
    def target(self) -> NDArray[Any]:
        """What losses take: `masks`; of several classes per pixel uint8 `[B, C, H, W]`.

        There 1 stands for a pixel with the class, 0 for one without, 255 for one that is ignored.
        """
        if "layers" not in self.truth:
            return self.masks
        return np.where(self.truth["ignore"][:, None], np.uint8(255), self.truth["layers"])


@dataclass(frozen=True, eq=False)
class DrawnBatch:
    """The samples of a batch before they are augmented.

    Attributes:
        number: its place in the epoch.
        samples: pictures, targets and plans.
        names: of the samples.
        places: int64 `[B]`: where they stand in the data set.
    """

    number: int
    samples: tuple[Drawn, ...]
    names: tuple[str, ...]
    places: NDArray[np.int64]


class Batches:
    """The batches of a data set, epoch by epoch.

    A sample that cannot be read is replaced by the next in the data set that can, and its fault
    kept in `quarantined`; where that happens to more than 0.1 % of the samples, and to more than
    one, the epoch ends with an error that lists them.

    Args:
        dataset: the samples.
        augmentation: what happens to each; with a size, or of batches of one. Without pieces and
            size: whole pictures, for scores.
        batch_size: samples of a batch of this process.
        sampler: the order.
        seed: of order and augmentation, 0 and up.
        aim: lays crops on classes.
        mix: pastes a part of another sample on some; that other sample is read, too.
        workers: threads; 0 works in the caller's, None has one for each core of this process.
        rank: of this process, 0 … world - 1. Position p of the epoch is that of process p modulo
            world, so all batches of one number together are the batch of a single process.
        world: how many processes share the epoch.
        remainder: what happens to samples that fill no batch of all processes. "drop": they are
            left out of the epoch. "pad": the last batch is smaller, and the epoch starts again at
            its end with at most world - 1 samples, so that it is of one size in all processes.
            "keep": the last batch is smaller and no sample comes twice: for scores; processes may
            then have different numbers of batches.

    Raises:
        DatasetError: none of the samples tried can be read.
        UsageError: an argument has a value that it cannot have, or there is not one batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        augmentation: Augmentation,
        batch_size: int,
        *,
        sampler: Sampler | None = None,
        seed: int = 0,
        aim: Aim | None = None,
        mix: Mixing | None = None,
        workers: int | None = None,
        rank: int = 0,
        world: int = 1,
        remainder: Remainder = "drop",
    ) -> None:
        _check_kinds(dataset, augmentation, sampler, aim, mix)
        self.dataset = dataset
        self.batch_size = whole_number("batch_size", batch_size, least=1, most=_MOST_BATCH)
        if augmentation.size is None and (self.batch_size > 1 or mix is not None):
            raise UsageError(
                "pictures of different sizes cannot be put together",
                got=f"batch_size={batch_size}, mix={mix!r}, and an augmentation without a size",
                fix="give the augmentation a size, or use batches of one and do not mix",
            )
        self._seed = whole_number("seed", seed, least=0, most=_MOST_NUMBER)
        self._workers = (
            usable_cores()
            if workers is None
            else whole_number("workers", workers, least=0, most=MOST_THREADS)
        )
        self._mix = mix
        self._sampler = sampler or Shuffled()
        self._positions = self._shared(rank, world, remainder)
        # One of a small data set is more than the share.
        self._most_quarantined = max(1, int(_QUARANTINED_SHARE * len(dataset)))
        self._quarantined: dict[int, Fault] = {}
        self._reader = RowReader(dataset, augmentation, aim, mix, tries=self._most_quarantined + 1)

    def __len__(self) -> int:
        """Batches of an epoch: the same in all epochs."""
        return math.ceil(len(self._positions) / self.batch_size)

    @property
    def ignore_index(self) -> int:
        """The id of pixels that do not count: the class table's, or one that no class has."""
        return self._reader.ignore_index

    @property
    def quarantined(self) -> tuple[Fault, ...]:
        """What was wrong with samples that could not be read so far, in their order."""
        return tuple(self._quarantined[place] for place in sorted(self._quarantined))

    def epoch(self, number: int, start: int = 0) -> Generator[Batch, None, None]:
        """The batches of an epoch, from batch `start` on.

        At most two batches beside the one given out are in the making. Their memory is used again
        when nothing refers to it any more. However the caller stops, the threads end.

        Raises:
            DatasetError: too many samples cannot be read; while the batches are made.
            UsageError: a number is below 0, or the start behind the end of the epoch.
        """
        tasks = self._tasks(number, start, arrays=True)
        return self._batches(tasks)

    def drawn(self, number: int, start: int = 0) -> Generator[DrawnBatch, None, None]:
        """What `epoch` gives before it is augmented: for `augment_on_device`.

        Raises:
            DatasetError: too many samples cannot be read; while the batches are made.
            UsageError: a number is below 0, the start behind the end of the epoch, or samples are
                to be mixed.
        """
        if self._mix is not None:
            raise UsageError(
                "samples are mixed after they are augmented",
                got=f"mix={self._mix!r}",
                fix="leave mix out, and mix what the device has made",
            )
        return self._drawn_batches(self._tasks(number, start, arrays=False))

    def _batches(self, tasks: Iterator[Task]) -> Generator[Batch, None, None]:
        with closing(self._done(self._reader.fill, tasks)) as done:
            for rows in (task.rows for task in done if task.row + 1 == len(task.rows.places)):
                yield Batch(rows.number, rows.images, rows.truth, self._names(rows), rows.places)

    def _drawn_batches(self, tasks: Iterator[Task]) -> Generator[DrawnBatch, None, None]:
        samples: list[Drawn] = []
        with closing(self._done(self._reader.draw, tasks)) as done:
            for task in done:
                samples += [task.drawn] if task.drawn else []
                rows = task.rows
                if task.row + 1 == len(rows.places):
                    yield DrawnBatch(rows.number, tuple(samples), self._names(rows), rows.places)
                    samples = []

    def _done(
        self, work: Callable[[Task], Task], tasks: Iterator[Task]
    ) -> Generator[Task, None, None]:
        ahead = max(2 * self.batch_size, self._workers)
        with closing(in_order(work, tasks, workers=self._workers, ahead=ahead)) as done:
            for task in done:
                self._note(task)
                yield task

    def _tasks(self, number: int, start: int, *, arrays: bool) -> Iterator[Task]:
        epoch = whole_number("number", number, least=0, most=_MOST_NUMBER)
        batch = whole_number("start", start, least=0, most=len(self))
        places = self._sampler.order(len(self.dataset), epoch, self._seed)
        order = Order(places, self._seed, epoch)
        return (
            task
            for number in range(batch, len(self))
            for task in self._tasks_of(order, number, arrays=arrays)
        )

    def _tasks_of(self, order: Order, number: int, *, arrays: bool) -> Iterator[Task]:
        first = number * self.batch_size
        positions = self._positions[first : first + self.batch_size].tolist()
        rows = self._reader.rows(number, len(positions), arrays=arrays)
        for row, position in enumerate(positions):
            yield Task(order, position, rows, row)

    def _note(self, task: Task) -> None:
        """Keeps faults in the order of the samples, whichever thread met them first."""
        self._quarantined |= task.faults
        if len(self._quarantined) > self._most_quarantined or not task.done:
            faults = [f"{fault.file}: {fault.what}" for fault in self.quarantined]
            raise DatasetError(
                "too many samples of the data set cannot be read",
                where=str(self.dataset.root),
                got=f"{listed(faults)}; at most {self._most_quarantined} of "
                f"{len(self.dataset):,} may be replaced by others",
                fix="`pixelwise data check` lists what is wrong with each",
            )

    def _names(self, rows: Rows) -> tuple[str, ...]:
        return tuple(self.dataset.entries[place].name for place in rows.places.tolist())

    def _shared(self, rank: int, world: int, remainder: Remainder) -> NDArray[np.int64]:
        """The positions in the epoch that this process works on."""
        if remainder not in ("drop", "pad", "keep"):
            raise UsageError(
                "no such way to deal with the remainder",
                got=f"remainder={remainder!r}",
                fix='"drop", "pad" or "keep"',
            )
        count = self._sampler.count(len(self.dataset))
        positions = shard(count, rank, world, padded=remainder == "pad")
        if remainder == "drop":
            full = count // (world * self.batch_size)
            positions = positions[: full * self.batch_size]
        if not count or (remainder == "drop" and not len(positions)):
            raise UsageError(
                "there are not enough samples for one batch",
                where=str(self.dataset.root),
                got=f"{count} samples, {world} × {self.batch_size} in a batch",
                fix='make the batches smaller, or pass remainder="pad"',
            )
        return positions


def _check_kinds(
    dataset: object, augmentation: object, sampler: object, aim: object, mix: object
) -> None:
    """Raises UsageError that names every argument of a foreign kind."""
    kinds = (
        ("dataset", dataset, isinstance(dataset, Dataset), "what pixelwise.data.open gives"),
        ("augmentation", augmentation, isinstance(augmentation, Augmentation), "an Augmentation"),
        (
            "sampler",
            sampler,
            sampler is None or (isinstance(sampler, Sampler) and not isinstance(sampler, type)),
            "InOrder(), Shuffled(), Weighted(counts) or None",
        ),
        ("aim", aim, aim is None or isinstance(aim, Aim), "an Aim or None"),
        ("mix", mix, mix is None or isinstance(mix, Mixing), "CutMix(), ClassMix() or None"),
    )
    wrong = [(name, value, wanted) for name, value, fits, wanted in kinds if not fits]
    if wrong:
        raise UsageError(
            "arguments of Batches are of another kind",
            where=", ".join(f"argument {name}" for name, _, _ in wrong),
            got=", ".join(f"{name}={repr(value)[:80]}" for name, value, _ in wrong),
            fix="; ".join(f"{name} is {wanted}" for name, _, wanted in wrong),
        )
