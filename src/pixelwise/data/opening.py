"""From a path to a data set: the layouts are asked one after the other."""

from __future__ import annotations

import contextlib
import importlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from pixelwise.classes import ClassTable
from pixelwise.data.coverage import leftover
from pixelwise.data.dataset import Dataset
from pixelwise.data.layouts.base import Found, Request
from pixelwise.data.layouts.folders import unpaired
from pixelwise.data.layouts.lists import with_splits
from pixelwise.data.layouts.tables import read_table
from pixelwise.data.listing import Listing
from pixelwise.data.targets import TargetKind
from pixelwise.errors import DatasetError, PixelwiseError, UsageError, did_you_mean

__all__ = ["LAYOUTS", "open"]

LAYOUTS: tuple[str, ...] = (
    "cityscapes",
    "voc",
    "ade20k",
    "panoptic",
    "coco",
    "labelme",
    "cvat",
    "label_studio",
    "yolo",
    "layers",
    "folders",
)
# Pictures and masks of these are not read.
_UNREAD = ("npy", "npz", "mat", "heic", "heif", "avif", "nii", "gz", "dcm", "svg", "psd", "h5")
_KINDS = ("multi_class", "multi_label", "instance")
_SURE = 0.95
# How sure a layout is that takes in few of the pictures; the lower where another takes in more.
_PARTLY, _DOUBTFUL = 0.75, 0.5


class _Layout(Protocol):
    def find(self, listing: Listing, request: Request) -> Found | None: ...


def open(  # noqa: A001 - `pixelwise.data.open` is its name
    path: str | Path,
    *,
    layout: str | None = None,
    classes: str | Path | ClassTable | None = None,
    images: str | None = None,
    masks: str | None = None,
    valid: str | None = None,
    kind: TargetKind | None = None,
    rest: str | None = None,
    splits: str | Path | None = None,
) -> Dataset:
    """Opens a data set; its layout is found out, and what is said here is not guessed.

    Args:
        path: the folder of the data set, or an annotation file in it.
        layout: one of `LAYOUTS`.
        classes: a class table, the name of a built-in one, or a file: `classes.csv`, or a text of
            one class per line.
        images: pattern of the pictures from the root, with `{}` for what a picture and its mask
            share, such as `photos/{}_rgb.jpg`; `*` stands for anything within a name.
        masks: the same for their masks, such as `labels/{}_gt.png`.
        valid: the same for masks of the region that counts: 0 in it is ignored.
        kind: the target wanted: "multi_class", "multi_label" or "instance"; what the layout holds
            by itself.
        rest: the class whose pixels are "any class but the others of this table"; by itself the
            background of layouts that draw objects.
        splits: a folder that `pixelwise data split` wrote; its splits replace the data set's own.

    Raises:
        DatasetError: there is no data set of a known layout; it says what was seen.
        UsageError: an argument has a value that it cannot have, or the folder is not there.
        ClassTableError: `classes` is no class table.
    """
    _check(path, layout, classes, kind)
    root, file = _root_and_file(Path(path))
    listing = Listing.of(root)
    request = Request(
        layout=layout,
        classes=None if classes is None else read_table(classes),
        images=images,
        masks=masks,
        valid=valid,
        kind=kind,
        file=file,
    )
    found, others = _find(listing, request)
    if found is None:
        raise _not_found(listing, request)
    dataset = Dataset(
        root=root,
        layout=found.layout,
        classes=found.classes,
        entries=found.entries,
        truth=found.truth,
        faults=found.faults,
        notes=(*found.notes, *others),
        sureness=found.sureness,
        rest=found.rest if rest is None else found.classes.find(rest).id,
    )
    return dataset if splits is None else _resplit(dataset, Path(splits))


def _check(path: object, layout: str | None, classes: object, kind: str | None) -> None:
    if not isinstance(path, str | Path) or not str(path):
        raise UsageError(
            "the path is no path", got=repr(path), fix="give the folder that holds the data set"
        )
    if classes is not None and not isinstance(classes, str | Path | ClassTable):
        raise UsageError(
            "classes is neither a class table, nor the name of one, nor a file",
            got=f"classes={str(classes)[:80]}",
            fix="write the names into a text file, one per line, and give its path",
        )
    if layout is not None and layout not in LAYOUTS:
        raise UsageError(
            "no such layout", got=f"layout={layout!r}", fix=did_you_mean(layout, LAYOUTS)
        )
    if kind is not None and kind not in _KINDS:
        raise UsageError(
            "no such kind of target", got=f"kind={kind!r}", fix=did_you_mean(kind, _KINDS)
        )


def _root_and_file(path: Path) -> tuple[Path, str]:
    # An OSError: names that are too long, folders that may not be looked into.
    with contextlib.suppress(OSError):
        if path.is_dir():
            return path, ""
        if path.is_file():
            return path.parent, path.name
    raise UsageError(
        "there is no such folder or file",
        where=str(path),
        fix="give the folder that holds the data set",
    )


def _find(listing: Listing, request: Request) -> tuple[Found | None, list[str]]:
    """The surest finding, and notes on the others and on what it leaves."""
    patterns = request.images or request.masks or request.valid
    if request.layout or patterns:
        # What the user says is no guess.
        finding = _module(request.layout or "folders").find(listing, request)
        return (None if finding is None else replace(finding, sureness=1.0)), []
    left_to_ask = iter(LAYOUTS)
    found: list[Found] = []
    for name in left_to_ask:
        finding = _module(name).find(listing, request)
        if finding is not None:
            found.append(finding)
            if finding.sureness >= _SURE:
                break
    if not found:
        return None, []
    best = max(found, key=lambda finding: finding.sureness)
    others = [finding for finding in found if finding is not best]
    left = None if request.file else leftover(listing, best)
    if left is None:
        return best, [_could_be(other) for other in others]
    others += _asked(left_to_ask, listing, request)
    larger = [other for other in others if len(other.entries) > len(best.entries)]
    if not larger and left.strays <= left.used:
        return best, [_could_be(other) for other in others if other in found]
    sureness = min(best.sureness, _DOUBTFUL if larger else _PARTLY)
    return replace(best, sureness=sureness), [left.told, *map(_could_be, larger)]


def _module(name: str) -> _Layout:
    module: _Layout = importlib.import_module(f"pixelwise.data.layouts.{name}")
    return module


def _asked(names: Iterable[str], listing: Listing, request: Request) -> Iterator[Found]:
    """What these layouts find; their errors are about a data set that was found without them."""
    for name in names:
        with contextlib.suppress(PixelwiseError):
            finding = _module(name).find(listing, request)
            if finding is not None:
                yield finding


def _could_be(other: Found) -> str:
    pictures = f"{len(other.entries):,} picture{'s' * (len(other.entries) != 1)}"
    return f"it could also be {other.layout} ({pictures}): --layout {other.layout}"


def _resplit(dataset: Dataset, folder: Path) -> Dataset:
    from pixelwise.data.split import read_split

    lists = read_split(folder)
    files = {name: str(folder / f"{name}.txt") for name in lists}
    entries, faults = with_splits(dataset.entries, lists, files)
    return replace(dataset, entries=entries, faults=(*dataset.faults, *faults))


def _not_found(listing: Listing, request: Request) -> PixelwiseError:
    suffixes = Counter(
        name.rpartition(".")[2].lower() for names in listing.folders.values() for name in names
    )
    seen = ", ".join(f"{count} .{suffix}" for suffix, count in suffixes.most_common(6))
    folders = ", ".join(f"{folder or '.'}/" for folder in list(listing.folders)[:6])
    wanted = f"of layout {request.layout}" if request.layout else "of a known layout"
    unread = [f"{suffixes[suffix]:,} .{suffix}" for suffix in _UNREAD if suffix in suffixes]
    beside = f"; not read: {', '.join(unread)}" if unread else ""
    lone = unpaired(listing, request) if request.layout in (None, "folders") else ""
    if lone:
        return DatasetError(
            "pictures and masks are there, but no names of theirs pair",
            where=str(listing.root),
            got=lone + beside,
            fix="{} must stand for the same text in both patterns: rename the files so"
            if request.images
            else "give a picture and its mask the same name and place, or say what they share: "
            "--images 'photos/{}.jpg' --masks 'labels/{}_gt.png'",
        )
    return DatasetError(
        f"no data set {wanted} was found",
        where=str(listing.root),
        got=f"{seen or 'no files'} in {folders or 'no folders'}{beside}",
        fix="put pictures into images/ and masks of the same names into masks/, or say where they "
        "are: --images 'photos/{}.jpg' --masks 'labels/{}.png'; "
        f"known layouts: {', '.join(LAYOUTS)}",
    )
