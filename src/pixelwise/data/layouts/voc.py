"""Pascal VOC: `JPEGImages/`, `SegmentationClass/`, `SegmentationObject/`, lists in `ImageSets/`.

Everingham et al., "The PASCAL VOC 2012 Development Kit", section 4.2: masks are indexed PNG, 255 in
both kinds is the border of objects and what is hard to tell, and is not counted. Exports of other
programs in this form bring a class table, and may hold colours instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Entry
from pixelwise.data.entries import Entries
from pixelwise.data.faults import Fault
from pixelwise.data.layouts.base import Found, Request
from pixelwise.data.layouts.lists import with_splits
from pixelwise.data.layouts.mask_files import MaskFiles
from pixelwise.data.layouts.object_files import VOID, ObjectFiles
from pixelwise.data.layouts.storage import Look, decide, look_at
from pixelwise.data.layouts.tables import find_table
from pixelwise.data.listing import Listing, stem_of
from pixelwise.data.targets import TargetKind
from pixelwise.errors import UsageError
from pixelwise.formats.images import IMAGE_SUFFIXES

__all__ = ["find"]

_IMAGES, _CLASSES, _OBJECTS = "JPEGImages", "SegmentationClass", "SegmentationObject"
_LISTS = "ImageSets/Segmentation"
_SUFFIXES = tuple(sorted(IMAGE_SUFFIXES))
_MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")


def find(listing: Listing, request: Request) -> Found | None:
    """A data set in the form of Pascal VOC, at the root or below it; None where there is none.

    Raises:
        UsageError: objects are asked for, and there are none.
        MaskFileError: none of the masks looked at can hold classes.
    """
    bases = [
        folder.removesuffix(_CLASSES)
        for folder in listing.folders
        if folder.rpartition("/")[2] == _CLASSES
        and f"{folder.removesuffix(_CLASSES)}{_IMAGES}" in listing.folders
    ]
    parts = [_part(listing, base) for base in bases]
    entries = Entries.of(entry for part in parts for entry in part.entries)
    if not entries:
        return None
    objects = {image: file for part in parts for image, file in part.objects.items()}
    if request.kind == "instance" and not objects:
        raise UsageError(
            "the data set has no masks of objects",
            where=str(listing.root),
            got=f"no {_OBJECTS}/",
            fix="open it without kind='instance'",
        )
    looks = look_at(listing.root, [entry.truth for entry in entries])
    masks, classes, note = _reading(listing, looks, request)
    wanted = objects if request.kind in (None, "instance") else {}
    notes = [note, *(text for part in parts for text in part.notes)]
    if wanted:
        notes.append(f"{len(wanted):,} pictures have masks of objects as well")
    return Found(
        layout="voc",
        sureness=0.97 if any(part.listed for part in parts) else 0.9,
        classes=classes,
        entries=entries,
        truth=ObjectFiles(masks, wanted, request.kind),
        faults=tuple(fault for part in parts for fault in part.faults),
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Part:
    """What lies below one base folder, such as VOC2012/."""

    entries: Sequence[Entry]
    objects: Mapping[str, str]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    listed: bool


def _part(listing: Listing, base: str) -> _Part:
    pictures, faults = _by_stem(listing, base + _IMAGES, _SUFFIXES, "pictures")
    masks, mask_faults = _by_stem(listing, base + _CLASSES, _MASK_SUFFIXES, "masks")
    objects, object_faults = _by_stem(listing, base + _OBJECTS, _MASK_SUFFIXES, "masks")
    lone = [
        path for group in (masks, objects) for stem, path in group.items() if stem not in pictures
    ]
    faults += mask_faults + object_faults
    faults += [
        Fault("the mask has no picture", path, fix="add its picture, or move the mask away")
        for path in lone
    ]
    bare = [Entry(path, masks[stem]) for stem, path in pictures.items() if stem in masks]
    lists, files, notes = _lists(listing, base, pictures, masks)
    entries, list_faults = with_splits(bare, lists, files)
    without = len(pictures) - len(entries)
    if without:
        notes.append(f"{without:,} pictures in {base}{_IMAGES}/ have no mask: left out")
    return _Part(
        entries=entries,
        objects={
            path: objects[stem]
            for stem, path in pictures.items()
            if stem in objects and stem in masks
        },
        faults=(*faults, *list_faults),
        notes=tuple(notes),
        listed=bool(lists),
    )


def _by_stem(
    listing: Listing, folder: str, suffixes: Sequence[str], noun: str
) -> tuple[dict[str, str], list[Fault]]:
    found: dict[str, str] = {}
    faults = []
    for path in listing.files(*suffixes, folder=folder):
        first = found.setdefault(stem_of(path), path)
        if first != path:
            faults.append(
                Fault(
                    f"two {noun} have the same name but for their suffix",
                    path,
                    got=f"{first} and {path}",
                    fix="remove or rename one of them",
                )
            )
    return found, faults


def _lists(
    listing: Listing, base: str, pictures: Mapping[str, str], masks: Mapping[str, str]
) -> tuple[dict[str, list[str]], dict[str, str], list[str]]:
    """Names by split, the file of each list, and notes on lists that are no split."""
    lists: dict[str, list[str]] = {}
    files: dict[str, str] = {}
    notes = []
    for path in listing.files(".txt", folder=base + _LISTS):
        lines = [line.strip() for line in listing.read_text(path).splitlines()]
        lists[stem_of(path)] = [line for line in lines if line]
        files[stem_of(path)] = path
    for name in [name for name in lists if _is_union(name, lists)]:
        del lists[name]
        notes.append(f"{files[name]} holds the pictures of other lists: no split of its own")
    if list(files) == ["trainval"] and set(masks) <= set(lists.get("trainval", ())):
        del lists["trainval"]
        notes.append(f"{files['trainval']} holds all pictures: there are no splits")
    for name, names in list(lists.items()):
        if names and not any(member in masks for member in names):
            del lists[name]
            there = sum(member in pictures for member in names)
            notes.append(
                f"{files[name]}: no mask for any of its {len(names):,} pictures "
                f"({there:,} are there): left out"
            )
    return lists, files, notes


def _is_union(name: str, lists: Mapping[str, Sequence[str]]) -> bool:
    """Whether a list such as trainval or train_aug holds another one whole."""
    if not name.startswith("train") or name == "train":
        return False
    members = set(lists[name])
    return any(
        names and members.issuperset(names) for other, names in lists.items() if other != name
    )


def _reading(
    listing: Listing, looks: Sequence[Look], request: Request
) -> tuple[MaskFiles, ClassTable, str]:
    table = request.classes or _table_beside(listing)
    values = frozenset[int]().union(*(look.values for look in looks))
    coloured = any(look.stored == "colours" for look in looks)
    kind: TargetKind | None = "multi_label" if request.kind == "multi_label" else None
    if table is None and not coloured:
        voc = ClassTable.builtin("voc")
        if values <= {*voc.ids, VOID}:
            return MaskFiles("ids", kind=kind), voc, "classes of Pascal VOC"
    if table is None or coloured:
        name = table.name if table else listing.root.absolute().name
        reading = decide(looks, table, kind=kind, valid={}, name=name)
        return reading.truth, reading.classes, reading.note
    if table.ignore_index is None and VOID in values and VOID not in table:
        table = replace(table, ignore_index=VOID)
    if VOID in table or table.ignore_index in (None, VOID):
        return MaskFiles("ids", kind=kind), table, f"classes of {table.source or table.name}"
    # The form has 255 for void; the table may count on another number.
    ids = {number: number for number in (*table.ids, int(table.ignore_index))}
    return (
        MaskFiles("ids", {**ids, VOID: int(table.ignore_index)}, kind=kind),
        table,
        f"classes of {table.source or table.name}; 255 in the masks is ignored",
    )


def _table_beside(listing: Listing) -> ClassTable | None:
    """The class table at the root, or in the folder that holds the masks' folder."""
    table = find_table(listing)
    if table is not None:
        return table
    for folder in listing.folders:
        base = folder.rpartition("/")[0]
        if folder.rpartition("/")[2] == _CLASSES and base:
            inner = Listing(listing.root / base, {"": listing.folders.get(base, ())})
            table = table or find_table(inner)
    return table
