"""From a path to a data set: the layouts are asked one after the other."""

from __future__ import annotations

import importlib
import importlib.util
from collections import Counter
from pathlib import Path
from typing import Protocol

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Dataset
from pixelwise.data.layouts.base import Found, Request
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
_KINDS = ("multi_class", "multi_label", "instance")
_SURE = 0.95


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
    _check(layout, kind)
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


def _check(layout: str | None, kind: str | None) -> None:
    if layout is not None and layout not in LAYOUTS:
        raise UsageError(
            "no such layout", got=f"layout={layout!r}", fix=did_you_mean(layout, LAYOUTS)
        )
    if kind is not None and kind not in _KINDS:
        raise UsageError(
            "no such kind of target", got=f"kind={kind!r}", fix=did_you_mean(kind, _KINDS)
        )


def _root_and_file(path: Path) -> tuple[Path, str]:
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
    """The surest finding, and a note on the others."""
    patterns = request.images or request.masks or request.valid
    names = (request.layout,) if request.layout else ("folders",) if patterns else LAYOUTS
    found: list[Found] = []
    for name in names:
        if importlib.util.find_spec(f"pixelwise.data.layouts.{name}") is None:
            continue
        module: _Layout = importlib.import_module(f"pixelwise.data.layouts.{name}")
        finding = module.find(listing, request)
        if finding is not None:
            found.append(finding)
            if finding.sureness >= _SURE:
                break
    if not found:
        return None, []
    best = max(found, key=lambda finding: finding.sureness)
    others = [finding for finding in found if finding is not best]
    return best, [
        f"it could also be {other.layout} (sureness {other.sureness:.2f}): --layout {other.layout}"
        for other in others
    ]


def _resplit(dataset: Dataset, folder: Path) -> Dataset:
    from dataclasses import replace

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
    return DatasetError(
        f"no data set {wanted} was found",
        where=str(listing.root),
        got=f"{seen or 'no files'} in {folders or 'no folders'}",
        fix="put pictures into images/ and masks of the same names into masks/, or say where they "
        "are: --images 'photos/{}.jpg' --masks 'labels/{}.png'; "
        f"known layouts: {', '.join(LAYOUTS)}",
    )
