"""Converting: look at every sample first, refuse what would be lost, then write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pixelwise.classes import ClassTable
from pixelwise.data.convert.base import Encoded, Form, Item, Table, single, uncovered
from pixelwise.data.convert.cityscapes import CityscapesForm
from pixelwise.data.convert.coco import CocoForm
from pixelwise.data.convert.folder import FolderForm
from pixelwise.data.convert.names import SOURCES, plan_names, sources_file
from pixelwise.data.convert.table_file import table_losses
from pixelwise.data.convert.voc import VocForm
from pixelwise.data.convert.yolo import YoloForm
from pixelwise.data.dataset import Dataset, Entry
from pixelwise.data.faults import Fault
from pixelwise.data.listing import Listing
from pixelwise.data.parallel import in_order
from pixelwise.data.targets import MultiLabelTarget
from pixelwise.errors import (
    DatasetError,
    ImageFileError,
    MaskFileError,
    OutputExistsError,
    UsageError,
    did_you_mean,
)
from pixelwise.formats.class_file import CLASSES, table_file
from pixelwise.formats.files import sweep_leftovers, write_atomic
from pixelwise.kernels.checks import usable_cores

__all__ = ["FORMATS", "Conversion", "Converted", "convert", "prepare"]

FORMATS: dict[str, Form] = {
    "cityscapes": CityscapesForm(),
    "coco": CocoForm(),
    "folder": FolderForm(),
    "voc": VocForm(),
    "yolo": YoloForm(),
}
_DRAWN = ("coco", "yolo")
_SHOWN = 10

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Converted:
    """What became of a conversion.

    Attributes:
        out: the new data set.
        form: its format.
        samples: how many it holds.
        written: files that were written.
        kept: files that were there already, with just this content.
        left_out: samples that cannot be read, and why.
        notes: what a reader of the new data set should know.
    """

    out: Path
    form: str
    samples: int
    written: int
    kept: int
    left_out: tuple[Fault, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The facts in types that JSON has."""
        return {
            "output": str(self.out),
            "format": self.form,
            "samples": self.samples,
            "files_written": self.written,
            "files_kept": self.kept,
            "left_out": [
                {"file": fault.file, "what": fault.what, "got": fault.got, "fix": fault.fix}
                for fault in self.left_out
            ],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, eq=False)
class Conversion:
    """A conversion that loses nothing, ready to be written.

    Attributes:
        dataset: the source, of the samples that can be read.
        out: the new data set.
        form: its format.
        items: what becomes of each sample.
        sizes: `(H, W)` of each.
        left_out: samples that cannot be read, and why.
        several: whether a pixel may be of several classes.
    """

    dataset: Dataset
    out: Path
    form: str
    items: tuple[Item, ...]
    sizes: tuple[tuple[int, int], ...]
    left_out: tuple[Fault, ...]
    several: bool

    def write(self, *, workers: int = 0, progress: Progress | None = None) -> Converted:
        """Writes what is not there yet: a call that was broken off is gone on with.

        Raises:
            OutputExistsError: files of these names hold something else; they stay.
            OutputError: a file cannot be written.
            ImageFileError: a picture changed since it was looked at.
            MaskFileError: a mask did.
        """
        self._sweep()
        form, classes = FORMATS[self.form], self.dataset.classes
        done = _Done()
        done.add(_store(self.out, _heads(form, self.items, classes)))
        pieces = []
        for piece, stored in in_order(self._write, range(len(self.items)), **_threads(workers)):
            pieces.append(piece)
            done.add(stored)
            if progress is not None:
                progress(1)
        if not done.clashes:
            table = Table(classes, self.dataset.rest)
            done.add(_store(self.out, form.shared(self.items, pieces, table)))
        if done.clashes:
            raise _in_the_way(self.out, done.clashes, "files hold something else; they stay")
        return Converted(
            out=self.out,
            form=self.form,
            samples=len(self.items),
            written=done.written,
            kept=done.kept,
            left_out=self.left_out,
            notes=self._notes(),
        )

    def _write(self, place: int) -> tuple[bytes, _Done]:
        form, item, entry = FORMATS[self.form], self.items[place], self.dataset.entries[place]
        target = self.dataset.read_target(entry, self.sizes[place])
        encoded: Encoded = form.encode(item, target, self.dataset.classes)
        source = self.dataset.root / entry.image
        try:
            content = source.read_bytes()
        except OSError as error:
            raise ImageFileError(
                "the picture cannot be read", where=str(source), got=error.strerror or str(error)
            ) from error
        return encoded.piece, _store(self.out, {**encoded.files, form.picture(item): content})

    def _sweep(self) -> None:
        """Removes what a killed run left half-written."""
        for folder, _, _ in os.walk(self.out):
            sweep_leftovers(Path(folder))

    def _notes(self) -> tuple[str, ...]:
        notes = []
        rest = self.dataset.rest
        if rest is not None and (
            self.form not in _DRAWN or rest != uncovered(self.dataset.classes)
        ):
            name = self.dataset.classes.find(rest).name
            notes.append(
                f"{name!r} stands for any class but the labelled ones: say so again with "
                f"--rest {name!r} where the new data set is opened"
            )
        if self.several:
            notes.append("some pixels are of several classes: open it with kind='multi_label'")
        faults = [fault for fault in self.dataset.faults if fault.severity == "error"]
        if faults:
            notes.append(
                f"the source has {len(faults):,} faults of names and annotation files, and what "
                "they are about was not converted: `pixelwise data check` lists them"
            )
        return tuple(notes)


def convert(
    dataset: Dataset,
    out: str | Path,
    *,
    to: str,
    workers: int = 0,
    skip_faulty: bool = False,
    progress: Progress | None = None,
) -> Converted:
    """Writes a data set in another format, without loss; the source stays as it is.

    Opened again, the new data set has the same splits, and each sample the same class names,
    ignored pixels and objects. Pictures are copied byte for byte. `sources.csv` says what each
    picture was called, `classes.csv` what the ids mean.

    Args:
        dataset: the source.
        out: a folder that is not there, is empty, or holds part of this very conversion.
        to: one of `FORMATS`.
        workers: threads; 0 for every core that this process may use.
        skip_faulty: leave out samples that cannot be read; without it they are an error.
        progress: called with the number of steps done; each sample takes two.

    Raises:
        UsageError: there is no such format, or `out` lies in the source.
        DatasetError: samples cannot be read, or the format cannot hold all of the data set;
            everything is listed, and nothing was written.
        OutputExistsError: `out` holds other files.
        OutputError: a file cannot be written.
    """
    ready = prepare(
        dataset, out, to=to, workers=workers, skip_faulty=skip_faulty, progress=progress
    )
    return ready.write(workers=workers, progress=progress)


def prepare(
    dataset: Dataset,
    out: str | Path,
    *,
    to: str,
    workers: int = 0,
    skip_faulty: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Reads every sample once and refuses what cannot be converted; writes nothing.

    Arguments and errors are those of `convert`.
    """
    if to not in FORMATS:
        raise UsageError("no such format", got=f"to={to!r}", fix=did_you_mean(to, FORMATS))
    out = Path(out)
    _check_place(dataset.root, out)
    form = FORMATS[to]
    losses = [*table_losses(dataset.classes), *_split_losses(dataset.splits)]
    losses += form.table_losses(dataset.classes, dataset.splits)
    looks = []
    for look in in_order(partial(_look, dataset, form), dataset.entries, **_threads(workers)):
        looks.append(look)
        if progress is not None:
            progress(1)
    faults = tuple(look.fault for look in looks if look.fault is not None)
    readable = [place for place, look in enumerate(looks) if look.fault is None]
    _refuse(dataset, to, losses, looks, () if skip_faulty else faults)
    if not readable:
        raise DatasetError("there is no sample to convert", where=str(dataset.root))
    chosen = dataset.subset(readable)
    items = tuple(plan_names(chosen.entries))
    _check_folder(out, form, items, dataset.classes)
    sizes = tuple(looks[place].size for place in readable)
    several = any(look.several for look in looks)
    return Conversion(chosen, out, to, items, sizes, faults, several)


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen of a sample."""

    name: str
    size: tuple[int, int]
    losses: tuple[str, ...]
    several: bool = False
    fault: Fault | None = None


class _Done:
    """What was written, what was there already, and what was in the way."""

    def __init__(self) -> None:
        self.written = 0
        self.kept = 0
        self.clashes: list[str] = []

    def add(self, other: _Done) -> None:
        """Counts another's in."""
        self.written += other.written
        self.kept += other.kept
        self.clashes += other.clashes


def _threads(workers: int) -> dict[str, int]:
    count = workers or usable_cores()
    return {"workers": count if count > 1 else 0, "ahead": 2 * count}


def _look(dataset: Dataset, form: Form, entry: Entry) -> _Look:
    try:
        image = dataset.read_image(entry)
        size = image.shape[0], image.shape[1]
        target = dataset.read_target(entry, size)
    except (ImageFileError, MaskFileError) as error:
        return _Look(entry.name, (0, 0), (), fault=Fault.from_error(error, entry.image))
    several = isinstance(target, MultiLabelTarget) and single(target, dataset.classes)[0] is None
    return _Look(entry.name, size, tuple(form.losses(target, dataset.classes)), several)


def _split_losses(splits: Iterable[str]) -> list[str]:
    return [
        f"a split named {split!r}: lists are files of the split's name"
        for split in splits
        if split != "".join(split.split()) or "/" in split or split.startswith(".")
    ]


def _refuse(
    dataset: Dataset,
    to: str,
    losses: Sequence[str],
    looks: Sequence[_Look],
    faults: Sequence[Fault],
) -> None:
    """Raises where something would be lost, or cannot be read; all of it at once."""
    owners: dict[str, list[str]] = {}
    for look in looks:
        for loss in look.losses:
            owners.setdefault(loss, []).append(look.name)
    reasons = list(losses)
    reasons += [
        f"{loss}: {len(names):,} samples, such as {', '.join(names[:3])}"
        for loss, names in owners.items()
    ]
    unread = [f"{fault.file}: {fault.what}; {fault.got}".rstrip("; ") for fault in faults]
    hidden = len(unread) - _SHOWN
    unread = unread[:_SHOWN] + ([f"… and {hidden:,} more"] if hidden > 0 else [])
    if not reasons and not unread:
        return
    what = []
    fix = []
    if reasons:
        what.append(f"{to} cannot hold all of the data set")
        fix.append("convert to a format that keeps it (folder keeps the most)")
    if unread:
        what.append("some samples cannot be read" if not reasons else "samples cannot be read")
        fix.append("mend or remove these files, or leave the samples out with --skip-faulty")
    raise DatasetError(
        f"{' and '.join(what)}; nothing was written",
        where=str(dataset.root),
        got="\n  ".join([*reasons, *unread]),
        fix="; ".join(fix),
    )


def _check_place(root: Path, out: Path) -> None:
    source, goal = Path(os.path.realpath(root)), Path(os.path.realpath(out))
    if goal.is_relative_to(source):
        raise UsageError(
            "the new data set would lie in the old one",
            where=str(out),
            got=f"the source is {root}",
            fix="name a folder outside it",
        )


def _check_folder(out: Path, form: Form, items: Sequence[Item], classes: ClassTable) -> None:
    """Refuses a folder that holds anything but files of this conversion."""
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputExistsError(
            "a file is in the way", where=str(out), fix="name a folder that is not there"
        )
    heads = _heads(form, items, classes)
    planned = {*heads, *form.shared(items, [b""] * len(items), Table(classes, None))}
    for item in items:
        planned.add(form.picture(item))
        planned.update(form.paths(item))
    there = list(Listing.of(out).files())
    foreign = [path for path in there if path not in planned]
    if foreign:
        raise _in_the_way(out, foreign, "the folder holds other files")
    changed = [
        path for path, content in heads.items() if path in there and not _is(out / path, content)
    ]
    if changed:
        raise _in_the_way(out, changed, "the folder holds another conversion")


def _heads(form: Form, items: Sequence[Item], classes: ClassTable) -> dict[str, bytes]:
    """The files that are written first: they say what this conversion is."""
    pictures = [form.picture(item) for item in items]
    return {CLASSES: table_file(classes), SOURCES: sources_file(items, pictures)}


def _in_the_way(out: Path, paths: Sequence[str], what: str) -> OutputExistsError:
    more = f" and {len(paths) - _SHOWN:,} more" if len(paths) > _SHOWN else ""
    return OutputExistsError(
        what,
        where=str(out),
        got=", ".join(paths[:_SHOWN]) + more,
        fix="name a folder that is not there yet",
    )


def _store(out: Path, files: dict[str, bytes]) -> _Done:
    """Writes the files that are not there; what is there and differs stays and is told."""
    done = _Done()
    for path, content in files.items():
        place = out / path
        if not os.path.lexists(place):
            write_atomic(place, content)
            done.written += 1
        elif _is(place, content):
            done.kept += 1
        else:
            done.clashes.append(path)
    return done


def _is(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False
