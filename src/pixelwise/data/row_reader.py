"""One sample of an epoch: read, augmented and written into its row of a batch."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.augment.augmentation import Augmentation
from pixelwise.data.augment.mixing import ClassMix, CutMix, paste
from pixelwise.data.augment.plan import Augmented, Plan
from pixelwise.data.dataset import Dataset
from pixelwise.data.faults import Fault
from pixelwise.data.recycling import Recycler
from pixelwise.data.sampling import Aim, sample_generator
from pixelwise.data.targets import MaskTarget, MultiLabelTarget
from pixelwise.errors import ArrayError, DatasetError, ImageFileError, MaskFileError

__all__ = ["Drawn", "Mixing", "Order", "RowReader", "Rows", "Task"]

Mixing: TypeAlias = CutMix | ClassMix


@dataclass(frozen=True, eq=False)
class Order:
    """An epoch.

    Attributes:
        places: int64 `[n]`: the samples in their order.
        seed, epoch: what random numbers follow from, with the position.
    """

    places: NDArray[np.int64]
    seed: int
    epoch: int


@dataclass(frozen=True, eq=False)
class Drawn:
    """A sample as it was read, and what is to happen to it.

    Attributes:
        place: in the data set.
        image: uint8 `[h, w, 3]`, or a raster.
        target: its truth.
        plan: drawn for it.
    """

    place: int
    image: NDArray[Any]
    target: MaskTarget
    plan: Plan


@dataclass(eq=False)
class Rows:
    """A batch in the making.

    Attributes:
        number: its place in the epoch.
        places: int64 `[B]`: samples, as the rows are filled.
        images: float32 `[B, C, H, W]`; without a row while the sizes are not known.
        truth: arrays `[B, …]` by the names of a target's parts.
    """

    number: int
    places: NDArray[np.int64]
    images: NDArray[np.float32]
    truth: dict[str, NDArray[Any]]


@dataclass(eq=False)
class Task:
    """A row to be filled; what comes of it is written here, by one thread.

    Attributes:
        order: the epoch.
        position: in the epoch.
        rows: the batch.
        row: in it.
        faults: what was wrong with samples that were tried, by their places.
        done: the sample of the row is there; else too many samples could not be read.
        drawn: the sample, where it is not augmented here.
    """

    order: Order
    position: int
    rows: Rows
    row: int
    faults: dict[int, Fault] = field(default_factory=dict)
    done: bool = False
    drawn: Drawn | None = None


class _UnreadableError(Exception):
    """Sample after sample cannot be read."""


class RowReader:
    """Fills rows. Threads share it.

    Args:
        dataset: the samples.
        augmentation: what happens to each.
        aim: lays crops on classes.
        mix: pastes a part of another sample on some.
        tries: how many samples, from the wanted one on, are tried until one can be read.

    Raises:
        DatasetError: the first samples cannot be read, so that it remains open what the targets
            are.
    """

    def __init__(
        self,
        dataset: Dataset,
        augmentation: Augmentation,
        aim: Aim | None,
        mix: Mixing | None,
        *,
        tries: int,
    ) -> None:
        self._dataset = dataset
        self._augmentation = augmentation
        self._aim = aim
        self._chance = 0.0 if mix is None else mix.chance
        self._mix = None if mix is None else replace(mix, chance=1.0)
        self._tries = tries
        classes = dataset.classes
        free = 255 if classes.ids[-1] < 255 else 65_535
        self.ignore_index = free if classes.ignore_index is None else classes.ignore_index
        self._id_type = np.min_scalar_type(max(classes.ids[-1], self.ignore_index))
        faults: dict[int, Fault] = {}
        try:
            _, _, target = self._read(0, faults)
        except _UnreadableError as error:
            raise DatasetError(
                "the data set cannot be read",
                where=str(dataset.root),
                got="; ".join(f"{fault.file}: {fault.what}" for fault in faults.values()),
                fix="`pixelwise data check` lists what is wrong with each file",
            ) from error
        self._recycler = Recycler()
        self._kind = type(target)
        parts = {part.name: getattr(target, part.name) for part in fields(target)}
        self._parts = {name: (part.shape[:-2], part.dtype) for name, part in parts.items()}

    def rows(self, number: int, count: int, *, arrays: bool) -> Rows:
        """An empty batch of `count` samples, with arrays for them or without."""
        places = np.empty(count, np.int64)
        size = self._augmentation.size
        if size is None or not arrays:
            return Rows(number, places, np.empty((0, 0, 0, 0), np.float32), {})
        truth: dict[str, NDArray[Any]] = {
            name: self._recycler.empty((count, *leading, *size), dtype)
            for name, (leading, dtype) in self._parts.items()
        }
        bands = len(self._augmentation.mean)
        images = self._recycler.empty((count, bands, *size), np.float32)
        return Rows(number, places, images, truth)

    def draw(self, task: Task) -> Task:
        """The task itself, its sample read, unless too many cannot be."""
        order = task.order
        generator = sample_generator(order.seed, order.epoch, task.position)
        generator.random()
        with contextlib.suppress(_UnreadableError):
            task.drawn = self._draw(task, task.position % len(order.places), generator)
            task.rows.places[task.row] = task.drawn.place
            task.done = True
        return task

    def fill(self, task: Task) -> Task:
        """The task itself, its row filled, unless too many samples cannot be read."""
        order = task.order
        count = len(order.places)
        position = task.position % count
        generator = sample_generator(order.seed, order.epoch, task.position)
        mixed = generator.random() < self._chance
        try:
            drawn = self._draw(task, position, generator)
            sample = self._carry_out(drawn, self._row(task))
            if self._mix is not None and mixed and count > 1:
                other = (position + 1 + int(generator.integers(count - 1))) % count
                pasted = self._carry_out(self._draw(task, other, generator), None)
                region = self._mix.region(pasted.target, generator, ignore_index=self.ignore_index)
                if region is not None:
                    sample = paste(sample, pasted, region)
        except _UnreadableError:
            return task
        self._put(task, sample)
        task.rows.places[task.row] = drawn.place
        task.done = True
        return task

    def _draw(self, task: Task, position: int, generator: np.random.Generator) -> Drawn:
        wanted = int(task.order.places[position])
        place, image, target = self._read(wanted, task.faults)
        aim = self._aim
        point = None if aim is None else aim.point(target, self._dataset.classes, generator)
        plan = self._augmentation.draw(target.size, generator, aim=point)
        return Drawn(place, image, target, plan)

    def _carry_out(self, drawn: Drawn, out: Augmented | None) -> Augmented:
        try:
            return self._augmentation.apply(
                drawn.plan, drawn.image, drawn.target, ignore_index=self.ignore_index, out=out
            )
        except ArrayError as error:
            # Such as a picture with more bands than the others.
            where = self._dataset.entries[drawn.place].image
            raise ArrayError(error.what, where=where, got=error.got, fix=error.fix) from error

    def _row(self, task: Task) -> Augmented | None:
        """Views of the task's row; None where the sizes are not known yet."""
        if not task.rows.truth:
            return None
        parts = {name: array[task.row] for name, array in task.rows.truth.items()}
        return Augmented(task.rows.images[task.row], self._kind(**parts))

    def _put(self, task: Task, sample: Augmented) -> None:
        """Writes a sample into the task's row, unless it lies there already."""
        rows = task.rows
        if not rows.truth:
            rows.images = sample.image[None]
            rows.truth = {name: part[None] for name, part in vars(sample.target).items()}
        elif not np.may_share_memory(rows.images[task.row], sample.image):
            rows.images[task.row] = sample.image
            for name, part in vars(sample.target).items():
                rows.truth[name][task.row] = part

    def _read(self, wanted: int, faults: dict[int, Fault]) -> tuple[int, NDArray[Any], MaskTarget]:
        """The wanted sample, or the next one that can be read: its place, picture and truth.

        Raises:
            _UnreadableError: none of them can.
        """
        for step in range(self._tries):
            place = (wanted + step) % len(self._dataset)
            entry = self._dataset.entries[place]
            try:
                image = self._dataset.read_image(entry)
                target = self._dataset.read_target(entry, (image.shape[0], image.shape[1]))
            except (ImageFileError, MaskFileError) as error:
                faults[place] = Fault.from_error(error, entry.image)
            else:
                return place, image, self._of_one_type(target)
        raise _UnreadableError

    def _of_one_type(self, target: MaskTarget) -> MaskTarget:
        """The target with ids of the type that those of all samples have."""
        if isinstance(target, MultiLabelTarget) or target.mask.dtype == self._id_type:
            return target
        return replace(target, mask=target.mask.astype(self._id_type))
