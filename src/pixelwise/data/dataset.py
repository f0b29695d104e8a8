"""A data set: pictures with their truth, read when asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, overload

from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.faults import Fault
from pixelwise.data.targets import MaskTarget, MultiLabelTarget
from pixelwise.errors import MaskFileError, PixelwiseError, UsageError, did_you_mean
from pixelwise.formats.rasters import read_picture

__all__ = ["Dataset", "Entry", "Sample", "Truth"]

_TRIES = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a sample lies; paths relative to the data set's root, with "/" between their parts.

    Attributes:
        image: the picture's file.
        truth: the file that holds its truth; "" where it has none.
        split: such as "train"; "" where the data set does not say.
        row: the place of the picture in an annotation file of many; -1 where that means nothing.
    """

    image: str
    truth: str
    split: str = ""
    row: int = -1

    @property
    def name(self) -> str:
        """The picture's path without its suffix."""
        folder, slash, file = self.image.rpartition("/")
        return folder + slash + (file.rpartition(".")[0] or file)


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture and its truth.

    Attributes:
        name: the picture's path in the data set, without suffix.
        image: uint8 `[H, W, 3]` RGB; of rasters `[H, W, B]` in their own type.
        target: the truth, of the same height and width.
    """

    name: str
    image: NDArray[Any]
    target: MaskTarget

    @property
    def mask(self) -> NDArray[Any]:
        """The class ids, uint8 or uint16 `[H, W]`.

        Raises:
            UsageError: the target has several classes per pixel.
        """
        if isinstance(self.target, MultiLabelTarget):
            raise UsageError(
                "a target of several classes per pixel is no mask of one",
                where=self.name,
                fix="use target.layers, or open the data set with kind='multi_class'",
            )
        return self.target.mask


class Truth(Protocol):
    """Reads the truth of an entry, in the way of one layout.

    A frozen dataclass: threads share it, and a cache knows by its fields what was read how.
    Mappings with text keys are by picture and name further files of its truth; a field `pictures`
    is by `Entry.row`; every other field is an option, but for those with `repr=False`.
    """

    def read(
        self, root: Path, entry: Entry, classes: ClassTable, size: tuple[int, int]
    ) -> MaskTarget:
        """The target of a picture of that size, `(H, W)`.

        Raises:
            MaskFileError: it cannot be read, holds what is no class, or is of another size.
        """
        ...


@dataclass(frozen=True, eq=False)
class Dataset(Sequence[Sample]):
    """Pictures with their truth. Nothing is read before it is asked for.

    Attributes:
        root: the folder that the entries' paths start from.
        layout: how the files lie, such as "folders" or "coco".
        classes: what the ids mean.
        entries: where each sample lies.
        truth: reads the targets.
        faults: what is wrong with names and annotation files; contents are not looked at before
            they are read: see `check`.
        notes: what was decided about the data set, and why, in sentences for people.
        sureness: 0 … 1: how clear the layout was.
        rest: an id whose pixels are "any class but the others of this table", as the background
            of a data set that labels some of the classes; None where every id is a class.
    """

    root: Path
    layout: str
    classes: ClassTable
    entries: Sequence[Entry]
    truth: Truth
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    sureness: float = 1.0
    rest: int | None = None

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, key: int | str) -> Sample: ...
    @overload
    def __getitem__(self, key: slice) -> Dataset: ...

    def __getitem__(self, key: int | str | slice) -> Sample | Dataset:
        """The sample of that place or name; of a slice the data set of those.

        Raises:
            ImageFileError: the picture cannot be read.
            MaskFileError: its truth cannot be read, or is of another size.
            UsageError: no sample has that name.
        """
        if isinstance(key, slice):
            return replace(self, entries=self.entries[key])
        entry = self.entries[self._place(key)] if isinstance(key, str) else self.entries[key]
        image = self.read_image(entry)
        return Sample(entry.name, image, self.read_target(entry, (image.shape[0], image.shape[1])))

    def __iter__(self) -> Iterator[Sample]:
        return (self[place] for place in range(len(self)))

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, in the order in which they come."""
        return tuple(dict.fromkeys(entry.split for entry in self.entries if entry.split))

    def split(self, name: str) -> Dataset:
        """The samples of one split.

        Raises:
            UsageError: there is no such split.
        """
        if name not in self.splits:
            raise UsageError(
                "the data set has no such split",
                where=str(self.root),
                got=repr(name),
                fix=did_you_mean(name, self.splits)
                if self.splits
                else "it has no splits: make some with `pixelwise data split`",
            )
        chosen = tuple(entry for entry in self.entries if entry.split == name)
        return replace(self, entries=chosen)

    def subset(self, places: Iterable[int]) -> Dataset:
        """The samples at these places, in this order."""
        return replace(self, entries=tuple(self.entries[place] for place in places))

    def read_image(self, entry: Entry) -> NDArray[Any]:
        """The picture: uint8 `[H, W, 3]`, or a raster `[H, W, B]` in its own type.

        Raises:
            ImageFileError: it cannot be read.
        """
        return read_picture(self.root / entry.image)

    def read_target(self, entry: Entry, size: tuple[int, int]) -> MaskTarget:
        """The truth of a picture of that size, `(H, W)`.

        Raises:
            MaskFileError: it cannot be read, holds what is no class, or is of another size.
        """
        target = self.truth.read(self.root, entry, self.classes, size)
        if target.size != size:
            raise MaskFileError(
                "mask and picture differ in size",
                where=f"picture {entry.image} · mask {entry.truth}",
                got=f"picture {size[1]}×{size[0]} · mask {target.size[1]}×{target.size[0]} "
                "(width × height)",
                fix="export the mask again at the picture's size",
            )
        return target

    @cached_property
    def holds_several(self) -> bool:
        """Whether pixels may have several classes: asks the first target that can be read.

        Where the first pictures cannot be read it is False: what is wrong with them is told by
        whoever reads all.
        """
        for entry in self.entries[:_TRIES]:
            try:
                image = self.read_image(entry)
                target = self.read_target(entry, (image.shape[0], image.shape[1]))
            except PixelwiseError:
                continue
            return isinstance(target, MultiLabelTarget)
        return False

    @cached_property
    def _places(self) -> dict[str, int]:
        return {entry.name: place for place, entry in enumerate(self.entries)}

    def _place(self, name: str) -> int:
        if name not in self._places:
            raise UsageError(
                "the data set has no such sample",
                where=str(self.root),
                got=repr(name),
                fix=f"names are paths without suffix, such as {next(iter(self._places), '')!r}",
            )
        return self._places[name]
