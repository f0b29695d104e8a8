"""Folders of label maps, from any tool: found, paired with what they are judged by, read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.layouts.mask_files import read_values
from pixelwise.data.layouts.tables import find_table, numbered_table
from pixelwise.data.listing import Listing
from pixelwise.data.parallel import in_order
from pixelwise.errors import DatasetError, MaskFileError, UsageError
from pixelwise.formats.masks import check_ids

__all__ = ["found_table", "label_maps", "numbered", "paired", "read_ids"]

_LISTED = 20
_LABELS = "labels"
_MOST_CLASSES = 1000
_AHEAD = 2


def label_maps(folder: Path) -> dict[str, Path]:
    """Files by their path from the folder without suffix, in order.

    Of a folder that `pixelwise predict` wrote, those below `labels/`.

    Raises:
        UsageError: the folder is not there, or holds no pictures.
        DatasetError: lists names that several files share.
    """
    inner = folder / _LABELS
    listing = Listing.of(inner if inner.is_dir() else folder)
    files: dict[str, Path] = {}
    taken: list[str] = []
    for path in listing.pictures():
        name = _without_suffix(path)
        if name in files:
            taken.append(f"{files[name].name} and {path}")
        files[name] = listing.root / path
    if taken:
        raise DatasetError(
            "several label maps have one name",
            where=str(listing.root),
            got=_some(taken),
            fix="keep one of each",
        )
    if not files:
        raise UsageError(
            "the folder holds no label maps",
            where=str(listing.root),
            fix="give a folder of PNG files: indexed, grey, or grey of 16 bits",
        )
    return files


def found_table(folder: Path, *, above: bool) -> ClassTable | None:
    """The class table in a folder of label maps; None where there is none.

    Args:
        folder: of the label maps.
        above: whether the folder above will do.

    Raises:
        ClassTableError: a file named `classes.csv` is not one.
    """
    for place in (folder, folder.absolute().parent) if above else (folder,):
        names = sorted(path.name for path in place.iterdir() if path.is_file())
        table = find_table(Listing(place, {"": names}))
        if table is not None:
            return table
    return None


def paired(
    wanted: Sequence[str],
    files: Mapping[str, Path],
    *,
    known: Iterable[str] = (),
    where: str = "",
) -> tuple[Path, ...]:
    """The label map of each picture: of the same name, or of the same last parts of its path.

    Args:
        wanted: names of the pictures, in order.
        files: label maps by name.
        known: names of pictures that are not judged now; their label maps are left alone.
        where: the folder of the label maps, for messages.

    Raises:
        DatasetError: lists pictures without a label map and label maps without a picture.
    """
    by_end: dict[str, str | None] = {}
    for name in files:
        for end in _ends(name):
            by_end[end] = name if by_end.setdefault(end, name) == name else None
    chosen = [_named(name, by_end) for name in wanted]
    left = set(files) - set(chosen)
    if left:
        left -= {_named(name, by_end) for name in known}
    missing = [name for name, own in zip(wanted, chosen, strict=True) if own is None]
    times = Counter(own for own in chosen if own is not None)
    twice = sorted(own for own, count in times.items() if count > 1)
    faults = []
    if missing:
        faults.append(f"truth without prediction ({len(missing):,}): {_some(missing)}")
    if left:
        faults.append(f"prediction without truth ({len(left):,}): {_some(sorted(left))}")
    if twice:
        faults.append(f"prediction of several pictures ({len(twice):,}): {_some(twice)}")
    if faults:
        raise DatasetError(
            "predictions and truth do not pair",
            where=where,
            got="\n  ".join(faults),
            fix="a label map has the name of its picture; remove what has no part in this",
        )
    return tuple(files[own] for own in chosen if own is not None)


def read_ids(path: Path, classes: ClassTable) -> NDArray[Any]:
    """The ids of a label map, uint8 or uint16 `[H, W]`.

    Raises:
        MaskFileError: it cannot be read, or holds ids outside the table.
    """
    ids = read_values(path)
    check_ids(ids, classes.ids, ignore_index=classes.ignore_index, where=str(path))
    return ids if ids.dtype == np.uint8 else ids.astype(np.uint16)


def numbered(paths: Sequence[Path], *, ignore_index: int | None, workers: int) -> ClassTable:
    """A table of the ids that occur, for label maps that come without one.

    Args:
        paths: every label map, predicted and true.
        ignore_index: the ignored id; None: 255, or 65,535, where it occurs.
        workers: threads.

    Raises:
        MaskFileError: a file cannot be read.
        UsageError: there are too many ids to be classes.
    """
    found: set[int] = set()
    for ids in in_order(_ids_in, paths, workers=workers, ahead=_AHEAD * max(1, workers)):
        found |= ids
    if ignore_index is None:
        ignore_index = next((number for number in (255, 65_535) if number in found), None)
    found -= {ignore_index}
    if not 0 < len(found) <= _MOST_CLASSES:
        raise UsageError(
            "the label maps tell no classes",
            got=f"{len(found):,} ids, expected 1 … {_MOST_CLASSES:,}",
            fix="name their class table: --classes TABLE",
        )
    names = [(number, f"class {number}") for number in sorted(found)]
    return numbered_table("label maps", names, ignore_index, "the ids that occur")


def _ids_in(path: Path) -> set[int]:
    values = np.unique(read_values(path))
    if values[0] < 0 or values[-1] > 65_535:
        raise MaskFileError(
            "the mask holds values that cannot be class ids",
            where=str(path),
            got=f"{values[0]} … {values[-1]}, expected 0 … 65,535",
        )
    return set(values.tolist())


def _without_suffix(path: str) -> str:
    folder, slash, file = path.rpartition("/")
    return folder + slash + (file.rpartition(".")[0] or file)


def _ends(name: str) -> list[str]:
    """The name, and what is left of it without its first folder, its first two, and so on."""
    parts = name.split("/")
    return ["/".join(parts[first:]) for first in range(len(parts))]


def _named(name: str, by_end: dict[str, str | None]) -> str | None:
    return next((own for end in _ends(name) if (own := by_end.get(end)) is not None), None)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
