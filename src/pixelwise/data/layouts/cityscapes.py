"""Cityscapes: `leftImg8bit/{split}/{city}/…` and `gtFine/{split}/{city}/…`, or `gtCoarse`.

Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016. Of each
picture the best of its truth files is read: `_labelIds`, else `_labelTrainIds`, `_instanceIds`,
`_color`. In `_instanceIds` a number below 1000 is a label without an object, and any other is
1000 × label + number of the object.

Exports of other programs in this form bring a class table. Where all its classes are labels of
Cityscapes by their names, the files hold the official numbers; else they hold the table's ids.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Entry
from pixelwise.data.faults import Fault
from pixelwise.data.layouts.base import Found, Request
from pixelwise.data.layouts.cityscapes_labels import LABELS, are_official, official_ids
from pixelwise.data.layouts.mask_files import MaskFiles, read_values
from pixelwise.data.layouts.object_files import check_object_size
from pixelwise.data.layouts.tables import find_table
from pixelwise.data.listing import Listing
from pixelwise.data.targets import (
    InstanceTarget,
    MaskTarget,
    MultiClassTarget,
    MultiLabelTarget,
    TargetKind,
    layers_of,
)
from pixelwise.errors import UsageError
from pixelwise.formats.masks import check_ids

__all__ = ["NO_SPLIT", "OBJECT_STEP", "CityscapesMasks", "find"]

OBJECT_STEP = 1000
NO_SPLIT = "all"
"""The folder that stands in the split's place in data sets without splits."""

_NO_LABEL = 255
_PLACE = r"(?P<split>[^/]+)/(?:(?P<city>[^/]+)/)?(?P<name>[^/]+)"
_IMAGE = re.compile(rf"(?:.*/)?leftImg8bit/{_PLACE}_leftImg8bit\.[^./]+")
_TRUTH = re.compile(
    rf"(?:.*/)?(?P<type>gtFine|gtCoarse)/{_PLACE}_(?P=type)_"
    r"(?P<form>labelIds|labelTrainIds|instanceIds|color)\.png"
)
_BY_MERIT = ("labelIds", "labelTrainIds", "instanceIds", "color")

_Key = tuple[str, str, str]


@dataclass(frozen=True)
class CityscapesMasks:
    """Masks whose names say what they hold.

    Attributes:
        objects: files of object numbers by picture; empty where they are not wanted.
        kind: the target wanted; None for what the files hold.
    """

    objects: Mapping[str, str]
    kind: TargetKind | None = None

    def read(
        self, root: Path, entry: Entry, classes: ClassTable, size: tuple[int, int]
    ) -> MaskTarget:
        """The target of a picture; see `Truth.read`."""
        target = self._classes_in(root, entry, classes, size)
        file = self.objects.get(entry.image, "")
        if isinstance(target, MultiLabelTarget) or (not file and self.kind != "instance"):
            return target
        if not file:
            return InstanceTarget(target.mask, np.zeros(target.size, np.int32))
        return InstanceTarget(target.mask, _objects_in(root / file, target.mask, classes))

    def _classes_in(
        self, root: Path, entry: Entry, classes: ClassTable, size: tuple[int, int]
    ) -> MaskTarget:
        kind: TargetKind | None = "multi_label" if self.kind == "multi_label" else None
        if not entry.truth.endswith("_instanceIds.png"):
            return _mask_files(entry.truth, classes, kind).read(root, entry, classes, size)
        stored = read_values(root / entry.truth)
        labels = np.where(stored < OBJECT_STEP, stored, stored // OBJECT_STEP)
        mask = _ids_of(labels, classes, str(root / entry.truth))
        return MultiClassTarget(mask) if kind is None else layers_of(mask, classes)


def find(listing: Listing, request: Request) -> Found | None:
    """A data set in the form of Cityscapes, at the root or below it; None where there is none.

    Raises:
        UsageError: objects are asked for, and there are none.
    """
    pictures = _pictures(listing)
    truths = _truths(listing)
    chosen = {key: _best(truths[key]) for key in pictures if key in truths}
    if not chosen:
        return None
    objects = {
        pictures[key]: files[f"{_type_of(chosen[key])} instanceIds"]
        for key, files in truths.items()
        if key in chosen and f"{_type_of(chosen[key])} instanceIds" in files
    }
    if request.kind == "instance" and not objects:
        raise UsageError(
            "the data set has no masks of objects",
            where=str(listing.root),
            got="no file whose name ends in _instanceIds.png",
            fix="open it without kind='instance'",
        )
    table = request.classes or find_table(listing) or ClassTable.builtin("cityscapes")
    wanted = objects if request.kind in (None, "instance") else {}
    faults, notes = _without_partner(pictures, truths)
    faults += _twice(chosen, pictures)
    forms = Counter(_TRUTH.fullmatch(path)["form"] for path in chosen.values())  # type: ignore[index]
    coarse = sum(_type_of(path) == "gtCoarse" for path in chosen.values())
    used = ", ".join(f"{count:,} {form}" for form, count in forms.items())
    notes = [
        f"masks read: {used}" + (f"; {coarse:,} of them coarse" if coarse else ""),
        "the masks hold Cityscapes' own numbers"
        if are_official(table)
        else "the masks hold the ids of the class table",
        *notes,
    ]
    return Found(
        layout="cityscapes",
        sureness=0.99,
        classes=table,
        entries=tuple(
            Entry(pictures[key], path, "" if key[0] == NO_SPLIT else key[0])
            for key, path in chosen.items()
        ),
        truth=CityscapesMasks(wanted, request.kind),
        faults=tuple(faults),
        notes=tuple(notes),
    )


def _pictures(listing: Listing) -> dict[_Key, str]:
    found: dict[_Key, str] = {}
    for path in listing.pictures():
        match = _IMAGE.fullmatch(path)
        if match:
            found.setdefault((match["split"], match["city"] or "", match["name"]), path)
    return found


def _truths(listing: Listing) -> dict[_Key, dict[str, str]]:
    """Truth files by picture, and by type and form."""
    found: dict[_Key, dict[str, str]] = {}
    for path in listing.files(".png"):
        match = _TRUTH.fullmatch(path)
        if match:
            key = match["split"], match["city"] or "", match["name"]
            found.setdefault(key, {})[f"{match['type']} {match['form']}"] = path
    return found


def _best(files: Mapping[str, str]) -> str:
    names = (f"{kind} {form}" for kind in ("gtFine", "gtCoarse") for form in _BY_MERIT)
    return next(files[name] for name in names if name in files)


def _type_of(path: str) -> str:
    return "gtFine" if path.rpartition("_gtFine_")[1] else "gtCoarse"


def _without_partner(
    pictures: Mapping[_Key, str], truths: Mapping[_Key, Mapping[str, str]]
) -> tuple[list[Fault], list[str]]:
    """Pictures and masks alone; a split that has one side only is told in one sentence."""
    whole = {key[0] for key in pictures} & {key[0] for key in truths}
    lone_pictures = {key: path for key, path in pictures.items() if key not in truths}
    lone_truths = {key: _best(files) for key, files in truths.items() if key not in pictures}
    faults = [
        Fault("the picture has no mask", path, fix="add its mask, or move the picture away")
        for key, path in lone_pictures.items()
        if key[0] in whole
    ]
    faults += [
        Fault("the mask has no picture", path, fix="add its picture, or move the mask away")
        for key, path in lone_truths.items()
        if key[0] in whole
    ]
    bare = Counter(key[0] for key in lone_pictures if key[0] not in whole)
    blind = Counter(key[0] for key in lone_truths if key[0] not in whole)
    notes = [f"no masks for the {count:,} pictures of {split}" for split, count in bare.items()]
    notes += [f"no pictures for the {count:,} masks of {split}" for split, count in blind.items()]
    return faults, notes


def _twice(chosen: Iterable[_Key], pictures: Mapping[_Key, str]) -> list[Fault]:
    """The same picture, by city and name, in two splits."""
    first: dict[tuple[str, str], _Key] = {}
    faults = []
    for key in chosen:
        before = first.setdefault(key[1:], key)
        if before != key and key[1] != NO_SPLIT:
            faults.append(
                Fault(
                    "a picture stands in two splits",
                    pictures[key],
                    got=f"{before[0]} and {key[0]}",
                    fix="remove it from one of them",
                )
            )
    return faults


def _mask_files(truth: str, classes: ClassTable, kind: TargetKind | None) -> MaskFiles:
    """How the file of that name is read."""
    labels = _from_labels(classes) if are_official(classes) else {}
    if truth.endswith("_labelIds.png"):
        return MaskFiles("ids", labels, kind=kind)
    if truth.endswith("_color.png"):
        # Of labels of one colour the first is meant, such as pole before polegroup.
        known = [label for label in reversed(LABELS) if label.id in labels]
        colours = {label.colour: labels[label.id] for label in known}
        return MaskFiles("colours", colours=colours, kind=kind)
    known = [label for label in LABELS if label.train < _NO_LABEL and label.id in labels]
    ids = {label.train: labels[label.id] for label in known}
    return MaskFiles("ids", (ids or {id_: id_ for id_ in classes.ids}) | _void(classes), kind=kind)


def _from_labels(classes: ClassTable) -> dict[int, int]:
    """Ids of a table of Cityscapes' classes by label number; the other labels are ignored."""
    found = {number: id_ for id_, number in official_ids(classes).items()}
    if classes.ignore_index is None:
        return found
    return {label.id: classes.ignore_index for label in LABELS} | found | _void(classes)


def _void(classes: ClassTable) -> dict[int, int]:
    ignored = classes.ignore_index
    return {} if ignored is None or _NO_LABEL in classes else {_NO_LABEL: ignored}


def _ids_of(labels: NDArray[Any], classes: ClassTable, where: str) -> NDArray[Any]:
    """Ids of the table for the numbers in a file of labels."""
    if not are_official(classes):
        check_ids(labels, classes.ids, ignore_index=classes.ignore_index, where=where)
        return labels
    known = _from_labels(classes)
    check_ids(labels, known.keys(), ignore_index=None, where=where)
    lookup = np.zeros(1 << 16, np.min_scalar_type(max(known.values())))
    lookup[list(known)] = list(known.values())
    ids: NDArray[Any] = lookup[labels]
    return ids


def _objects_in(path: Path, mask: NDArray[Any], classes: ClassTable) -> NDArray[np.int32]:
    """Objects numbered 1 and up within the picture; none where the class is ignored."""
    stored = read_values(path)
    check_object_size(stored, mask.shape, path)
    single = stored >= OBJECT_STEP
    if classes.ignore_index is not None:
        single &= mask != classes.ignore_index
    numbers = np.unique(stored[single])
    places = np.searchsorted(numbers, stored) + 1
    return np.where(single, places, 0).astype(np.int32)
