"""One pass over a data set: every picture decoded whole, every truth read, compact numbers kept."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.colours import Colour
from pixelwise.data.dataset import Dataset, Entry
from pixelwise.data.duplicates import UNKNOWN_HASH, content_hash, perceptual_hash
from pixelwise.data.faults import Fault
from pixelwise.data.layouts.mask_files import MaskFiles
from pixelwise.data.parallel import in_order
from pixelwise.data.stored import Form, exif_orientation, form_of
from pixelwise.data.targets import InstanceTarget, MaskTarget, MultiLabelTarget
from pixelwise.errors import ImageFileError, MaskFileError, PixelwiseError
from pixelwise.formats.viewable import viewable
from pixelwise.kernels.checks import usable_cores

__all__ = ["Gathering", "Statistics", "gather"]

_DIGEST_BYTES = 16
_AHEAD = 4
_HIGHEST_SPREAD = 60_000
_AT_ONCE = 1 << 14
_LARGEST_SMALL = (1 << 32) - 1


@dataclass(frozen=True, eq=False)
class Statistics:
    """What N samples hold, in arrays of N rows in the order of the data set's entries.

    Attributes:
        classes: the class table; C classes.
        sizes: int32 `[N, 2]`, height and width; 0 where the picture cannot be read.
        forms: the forms of picture files that occur.
        form_of: int16 `[N]`, places in `forms`; -1 where the picture cannot be read.
        orientations: uint8 `[N]`, EXIF orientation 1 … 8, already applied to the size.
        labelled: bool `[N]`, whether the truth is there and was read.
        offsets: int64 `[N + 1]`: the classes of sample n stand at `offsets[n]` … `offsets[n + 1]`
            of the next two.
        places: uint16 `[K]`, places in the class table, rising within a sample.
        pixels: uint32 `[K]`, how many pixels that class has in that sample; int64 where one has
            more than 2^32 - 1.
        ignored: int64 `[N]`, pixels that do not count.
        objects: int32 `[N]`, how many objects of their own; -1 where the truth has none.
        hashes: uint64 `[N]`, perceptual hashes; `UNKNOWN_HASH` where the picture cannot be read.
        digests: uint8 `[N, 16]`, of the picture files' contents; 0 as above.
        truth_digests: uint8 `[N, 16]`, of the truths' arrays; 0 where there is none.
        ignored_colours: where several colours of masks stand for the ignored id, those colours.
        ignored_by_colour: int64 `[colours, 3]`: pixels of each, masks that hold it, and the first
            sample of these.
    """

    classes: ClassTable
    sizes: NDArray[np.int32]
    forms: tuple[Form, ...]
    form_of: NDArray[np.int16]
    orientations: NDArray[np.uint8]
    labelled: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    places: NDArray[np.uint16]
    pixels: NDArray[np.uint32] | NDArray[np.int64]
    ignored: NDArray[np.int64]
    objects: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    digests: NDArray[np.uint8]
    truth_digests: NDArray[np.uint8]
    ignored_colours: tuple[Colour, ...]
    ignored_by_colour: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def readable(self) -> NDArray[np.bool_]:
        """bool `[N]`: whether the picture can be read."""
        return self.form_of >= 0

    @property
    def counts(self) -> NDArray[np.int64]:
        """int64 `[N, C]`: pixels of each class in each sample; 8 · N · C bytes."""
        counts = np.zeros((len(self), len(self.classes)), np.int64)
        counts[self.owners, self.places] = self.pixels
        return counts

    @property
    def owners(self) -> NDArray[np.int64]:
        """int64 `[K]`: the sample that each of `places` and `pixels` belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def areas(self) -> NDArray[np.int64]:
        """int64 `[N]`: pixels that count; 0 where there is no truth."""
        areas: NDArray[np.int64] = self.sizes.astype(np.int64).prod(axis=1) - self.ignored
        return areas * self.labelled

    def per_class(self, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pixels and pictures of each class over the chosen samples, both int64 `[C]`.

        Args:
            chosen: bool `[N]`.
        """
        pixels = np.zeros(len(self.classes), np.int64)
        pictures = np.zeros(len(self.classes), np.int64)
        for begin in range(0, len(self), _AT_ONCE):
            offsets = self.offsets[begin : begin + _AT_ONCE + 1]
            wanted = np.repeat(chosen[begin : begin + _AT_ONCE], np.diff(offsets))
            places = self.places[offsets[0] : offsets[-1]][wanted]
            np.add.at(pixels, places, self.pixels[offsets[0] : offsets[-1]][wanted])
            pictures += np.bincount(places, minlength=len(self.classes))
        return pixels, pictures


def gather(
    dataset: Dataset, *, workers: int = 0, progress: Callable[[int], object] | None = None
) -> tuple[Statistics, tuple[Fault, ...]]:
    """Reads every sample once; faults are collected and stop nothing.

    Args:
        dataset: what to read.
        workers: threads; 0 for every core that this process may use.
        progress: called with the number of samples read since the last call.

    Returns:
        the numbers, and the faults of the files in the order of the entries.
    """
    gathering = Gathering(dataset)
    gathering.run(workers=workers, progress=progress)
    return gathering.statistics(), tuple(gathering.faults)


class Gathering:
    """The pass of `gather`, which can be interrupted and then tells what it has seen so far.

    Memory does not grow with the pictures' sizes beyond those being read, and by some 80 bytes for
    each sample and 10 for each class in it.

    Attributes:
        seen: how many samples were read; they are the first ones.
        faults: what is wrong with their files.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._apart = _with_colours_apart(dataset)
        self._by_colour = np.zeros((len(self._apart.classes) - len(dataset.classes), 3), np.int64)
        total = len(dataset)
        self._sizes = np.zeros((total, 2), np.int32)
        self._form_of = np.full(total, -1, np.int16)
        self._orientations = np.ones(total, np.uint8)
        self._labelled = np.zeros(total, np.bool_)
        self._ignored = np.zeros(total, np.int64)
        self._objects = np.full(total, -1, np.int32)
        self._hashes = np.zeros(total, np.uint64)
        self._digests = np.zeros((total, _DIGEST_BYTES), np.uint8)
        self._truth_digests = np.zeros((total, _DIGEST_BYTES), np.uint8)
        self._offsets = np.zeros(total + 1, np.int64)
        self._places = array("H")
        self._pixels = array("I")
        self._forms: dict[Form, int] = {}
        self.seen = 0
        self.faults: list[Fault] = []

    def run(self, *, workers: int = 0, progress: Callable[[int], object] | None = None) -> None:
        """Reads the samples; arguments as in `gather`."""
        workers = workers or usable_cores()
        looks = in_order(
            lambda entry: _look(self._apart, self._dataset.classes, entry),
            self._dataset.entries,
            workers=0 if workers == 1 else workers,
            ahead=_AHEAD * workers,
        )
        with closing(looks):
            for look in looks:
                self._keep(look)
                if progress is not None:
                    progress(1)

    def statistics(self) -> Statistics:
        """The numbers of the samples seen; they share memory with this, which is at its end."""
        seen = self.seen
        return Statistics(
            classes=self._dataset.classes,
            sizes=self._sizes[:seen],
            forms=tuple(self._forms),
            form_of=self._form_of[:seen],
            orientations=self._orientations[:seen],
            labelled=self._labelled[:seen],
            offsets=self._offsets[: seen + 1],
            places=np.asarray(self._places, np.uint16),
            pixels=np.asarray(self._pixels),
            ignored=self._ignored[:seen],
            objects=self._objects[:seen],
            hashes=self._hashes[:seen],
            digests=self._digests[:seen],
            truth_digests=self._truth_digests[:seen],
            ignored_colours=tuple(dict.fromkeys(self._dataset.classes.ignore_colours))[
                : len(self._by_colour)
            ],
            ignored_by_colour=self._by_colour,
        )

    def _keep(self, look: _Look) -> None:
        row = self.seen
        if look.form is not None:
            self._form_of[row] = self._forms.setdefault(look.form, len(self._forms))
        self._sizes[row] = look.size
        self._orientations[row] = look.orientation
        self._labelled[row] = look.labelled
        self._ignored[row] = look.ignored
        self._objects[row] = look.objects
        self._hashes[row] = look.hash
        self._digests[row] = np.frombuffer(look.digest, np.uint8)
        self._truth_digests[row] = np.frombuffer(look.truth_digest, np.uint8)
        for place in np.flatnonzero(look.by_colour):
            if not self._by_colour[place, 1]:
                self._by_colour[place, 2] = row
            self._by_colour[place, :2] += (look.by_colour[place], 1)
        self._places.extend(look.places)
        if max(look.pixels, default=0) > _LARGEST_SMALL:
            self._pixels = array("q", self._pixels)
        self._pixels.extend(look.pixels)
        self._offsets[row + 1] = len(self._places)
        self.faults += look.faults
        self.seen += 1


@dataclass(slots=True)
class _Look:
    """What one sample adds."""

    form: Form | None = None
    size: tuple[int, int] = (0, 0)
    orientation: int = 1
    labelled: bool = False
    ignored: int = 0
    objects: int = -1
    hash: int = UNKNOWN_HASH
    digest: bytes = bytes(_DIGEST_BYTES)
    truth_digest: bytes = bytes(_DIGEST_BYTES)
    places: list[int] = field(default_factory=list)
    pixels: list[int] = field(default_factory=list)
    by_colour: list[int] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def _with_colours_apart(dataset: Dataset) -> Dataset:
    """The data set with a class of its own, above the others, for each of several ignored colours.

    A table may call stray colours ignored, and then only these counts show how many there are.
    """
    table, truth = dataset.classes, dataset.truth
    by_colours = isinstance(truth, MaskFiles) and truth.reading == "colours" and not truth.colours
    highest = (
        table.ids[-1] if table.ignore_index is None else max(table.ids[-1], table.ignore_index)
    )
    if not by_colours or len(table.ignore_colours) < 2 or highest > _HIGHEST_SPREAD:
        return dataset
    colours = dict.fromkeys(table.ignore_colours)
    apart = [
        ClassInfo(highest + 1 + place, f"ignored {colour}", colour)
        for place, colour in enumerate(colours)
    ]
    return replace(
        dataset, classes=replace(table, classes=(*table.classes, *apart), ignore_colours=())
    )


def _look(dataset: Dataset, classes: ClassTable, entry: Entry) -> _Look:
    look = _Look()
    try:
        image = dataset.read_image(entry)
        content = (dataset.root / entry.image).read_bytes()
    except (PixelwiseError, OSError, MemoryError) as error:
        look.faults.append(_fault(error, entry.image))
        # Its size is not known, so only a mask that is wrong by itself could be told.
        return look
    look.size = (image.shape[0], image.shape[1])
    look.form = form_of(content, image)
    look.orientation = exif_orientation(content)
    look.digest = content_hash(content)
    look.hash = perceptual_hash(viewable(image))
    # Neither is needed beside the mask.
    del image, content
    # An annotation file of many may tell of a picture that nothing is on it.
    if entry.truth or entry.row >= 0:
        _look_at_truth(dataset, classes, entry, look)
    return look


def _look_at_truth(dataset: Dataset, classes: ClassTable, entry: Entry, look: _Look) -> None:
    # A row of an annotation file is found by its picture.
    file = entry.truth if entry.row < 0 else entry.image
    try:
        target = dataset.read_target(entry, look.size)
        look.ignored, counts = _count(target, dataset.classes)
    except (PixelwiseError, OSError, MemoryError) as error:
        turned = _fault_of_turn(dataset, entry, look, file)
        look.faults.append(turned or _fault(error, file))
        return
    counts, apart = counts[: len(classes)], counts[len(classes) :]
    look.by_colour = apart.tolist()
    look.ignored += int(apart.sum())
    present = np.flatnonzero(counts)
    look.places, look.pixels = present.tolist(), counts[present].tolist()
    look.labelled = True
    look.truth_digest = _digest(target)
    if isinstance(target, InstanceTarget):
        look.objects = _objects(target.instances)


def _fault(error: Exception, file: str) -> Fault:
    if isinstance(error, MemoryError) and not isinstance(error, PixelwiseError):
        return Fault(
            "there is not enough memory for this picture",
            file,
            got=str(error),
            fix="use fewer --threads, or cut the picture into tiles",
        )
    if not isinstance(error, PixelwiseError):
        reason = error.strerror if isinstance(error, OSError) else ""
        return Fault("the file cannot be read", file, got=reason or str(error))
    return Fault.from_error(error, file)


def _fault_of_turn(dataset: Dataset, entry: Entry, look: _Look, file: str) -> Fault | None:
    """The fault of a mask that fits the picture as stored, but not as its EXIF turns it."""
    height, width = look.size
    if look.orientation < 5 or height == width:
        return None
    try:
        dataset.read_target(entry, (width, height))
    except (ImageFileError, MaskFileError):
        return None
    return Fault(
        "the mask lacks the turn that the picture's EXIF orientation asks for",
        file,
        got=f"the picture carries an EXIF orientation ({look.orientation}, a quarter turn): "
        f"upright it is {width}×{height} (width × height), its mask {height}×{width}",
        fix="turn the mask as the picture is shown, or store the picture's pixels as they were "
        "when the mask was drawn, without the EXIF tag",
    )


def _count(target: MaskTarget, classes: ClassTable) -> tuple[int, NDArray[np.int64]]:
    """Ignored pixels, and pixels of each class, int64 `[C]`."""
    if isinstance(target, MultiLabelTarget):
        layers = [np.count_nonzero(layer & ~target.ignore) for layer in target.layers]
        return int(np.count_nonzero(target.ignore)), np.array(layers, np.int64)
    mask = np.ascontiguousarray(target.mask)
    ignored_id = classes.ignore_index
    highest = max(classes.ids[-1], -1 if ignored_id is None else ignored_id)
    counts = kernels.count_labels(mask, highest + 1, threads=1)
    return 0 if ignored_id is None else int(counts[ignored_id]), counts[list(classes.ids)]


def _digest(target: MaskTarget) -> bytes:
    arrays: tuple[NDArray[Any], ...]
    if isinstance(target, MultiLabelTarget):
        arrays = (np.packbits(target.layers), np.packbits(target.ignore))
    elif isinstance(target, InstanceTarget):
        arrays = (target.mask, target.instances)
    else:
        arrays = (target.mask,)
    # The size, as arrays of other shapes may hold the same bytes.
    parts = [repr(target.size).encode(), *(array.tobytes() for array in arrays)]
    return content_hash(b"".join(parts))


def _objects(instances: NDArray[np.int32]) -> int:
    highest = int(instances.max(initial=0))
    if highest > instances.size:
        return int(np.count_nonzero(np.unique(instances)))
    there = np.zeros(highest + 1, np.bool_)
    there[instances] = True
    return int(np.count_nonzero(there[1:]))
