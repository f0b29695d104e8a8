"""Folders of label maps, from any tool: found, paired with what they are judged by, read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.colours import count_colours
from pixelwise.data.layouts.mask_files import MaskFiles, read_values
from pixelwise.data.layouts.storage import Look, decide, look_at
from pixelwise.data.layouts.tables import find_table, numbered_table
from pixelwise.data.listing import Listing
from pixelwise.data.parallel import in_order
from pixelwise.data.wording import counted
from pixelwise.errors import DatasetError, MaskFileError, UsageError
from pixelwise.formats.masks import read_png_text
from pixelwise.formats.probabilities import PROBABILITY_SUFFIXES
from pixelwise.segmentation import PROVENANCE_KEY

__all__ = [
    "Held",
    "found_table",
    "held_by",
    "label_maps",
    "numbered",
    "paired",
    "prediction_files",
    "probability_files",
    "read_ids",
    "refuse_colours",
]

_LISTED = 20
_LABELS, _PROBABILITIES = "labels", "probabilities"
_MOST_CLASSES = 1000
_AHEAD = 2
_LOOKED_AT = 8


def label_maps(folder: Path) -> dict[str, Path]:
    """Files by their path from the folder without suffix, in order.

    Of a folder that `pixelwise predict` wrote, those below `labels/`.

    Raises:
        UsageError: the folder is not there, or holds no pictures.
        DatasetError: lists names that several files share.
    """
    inner = folder / _LABELS
    listing = Listing.of(inner if inner.is_dir() else folder)
    files = _by_name(listing, listing.pictures())
    if not files:
        raise UsageError(
            "the folder holds no label maps",
            where=str(listing.root),
            fix="give a folder of PNG files: indexed, grey, in colours, or grey of 16 bits",
        )
    return files


def prediction_files(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Label maps and files of probabilities, by their path from the folder without suffix.

    Of a folder that `pixelwise predict` wrote, those below `labels/` and `probabilities/`. One of
    both may be empty.

    Raises:
        UsageError: the folder is not there, or holds neither.
        DatasetError: lists names that several files share, or that have one of both alone.
    """
    inner = [folder / _LABELS, folder / _PROBABILITIES]
    if any(place.is_dir() for place in inner):
        listings = [Listing.of(place) if place.is_dir() else Listing(place, {}) for place in inner]
    else:
        listings = [Listing.of(folder)] * 2
    labels = _by_name(listings[0], listings[0].pictures())
    probabilities = _by_name(listings[1], listings[1].files(*PROBABILITY_SUFFIXES))
    if not labels and not probabilities:
        raise UsageError(
            "the folder holds no label maps",
            where=str(folder),
            fix="give a folder of PNG files, of .npz or .npy files of probabilities, or of both",
        )
    alone = {
        "label map without probabilities": sorted(labels.keys() - probabilities.keys()),
        "probabilities without label map": sorted(probabilities.keys() - labels.keys()),
    }
    if labels and probabilities and any(alone.values()):
        raise DatasetError(
            "label maps and probabilities do not pair",
            where=str(folder),
            got="\n  ".join(f"{what} ({len(n):,}): {_some(n)}" for what, n in alone.items() if n),
            fix="write both for every picture, or give the folder of one of them alone",
        )
    return labels, probabilities


def probability_files(folder: Path) -> dict[str, Path]:
    """Files of probabilities, by their path from the folder without suffix; there may be none.

    Of a folder that `pixelwise predict` wrote, those below `probabilities/`.

    Raises:
        UsageError: the folder is not there.
        DatasetError: lists names that several files share.
    """
    inner = folder / _PROBABILITIES
    listing = Listing.of(inner if inner.is_dir() else folder)
    return _by_name(listing, listing.files(*PROBABILITY_SUFFIXES))


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


class Held(NamedTuple):
    """How label maps hold their ids, and that in words; "" where they are simply the numbers."""

    masks: MaskFiles = MaskFiles()
    note: str = ""


def held_by(paths: Iterable[Path], classes: ClassTable) -> Held:
    """Whether label maps hold ids, or the colours of the table, by a look at some of them.

    Those that pixelwise wrote hold ids, whatever their palettes show.

    Raises:
        ClassTableError: they hold colours, and two classes of the table share one.
        MissingExtraError: none can be read, as a package for them is not installed.
    """
    paths = list(paths)
    if paths and PROVENANCE_KEY in read_png_text(paths[0]):
        return Held()
    looks = _looks(paths)
    coloured = any(look.stored == "colours" for look in looks)
    try:
        reading = decide(looks, classes, kind="multi_class", valid={}, name=classes.name)
        held = Held(reading.truth, reading.note)
    except MaskFileError:
        # Each file says for itself what is wrong with it.
        held = Held(MaskFiles("colours" if coloured else "ids"))
    if held.masks.reading == "colours" and not held.masks.colours:
        held = Held(MaskFiles("colours", colours=classes.colours), held.note)
    plain = held.masks.reading == "objects" or held.masks == MaskFiles(kind="multi_class")
    return Held() if plain else held


def refuse_colours(paths: Sequence[Path], *, where: str, workers: int) -> None:
    """Lets no colours pass that no class table explains.

    Raises:
        UsageError: some label maps hold colours; lists these with their counts.
    """
    if all(look.stored != "colours" for look in _looks(paths)):
        return
    counts = count_colours(Path(), [str(path) for path in paths], workers=workers)
    found = [each for each in counts.found if each.colour is not None]
    shown = ", ".join(f"{each.colour} × {each.pixels:,}" for each in found[:_LISTED])
    more = f" and {len(found) - _LISTED:,} more" if len(found) > _LISTED else ""
    raise UsageError(
        "the label maps hold colours, and what they mean is not said",
        where=where,
        got=f"{counted(len(found), 'colour')}: {shown}{more}",
        fix="JPEG keeps no colour exactly: export the label maps from their source as PNG"
        if counts.jpegs
        else "name the class table with these colours: --classes camvid, or a file; "
        "`pixelwise data colours` writes one",
    )


def read_ids(path: Path, classes: ClassTable, masks: MaskFiles | None = None) -> NDArray[Any]:
    """The ids of a label map, uint8 or uint16 `[H, W]`.

    Args:
        path: the file.
        classes: what the ids mean.
        masks: how it holds them; None: as the numbers in it.

    Raises:
        MaskFileError: it cannot be read, or holds ids or colours outside the table.
    """
    ids = (masks or MaskFiles()).ids_in(path, classes)
    return ids if ids.dtype == np.uint8 else ids.astype(np.uint16)


def numbered(
    paths: Sequence[Path],
    *,
    ignore_index: int | None,
    workers: int,
    names: Mapping[int, str] | None = None,
) -> ClassTable:
    """A table of the ids that occur, for label maps that come without one.

    Args:
        paths: every label map, predicted and true.
        ignore_index: the ignored id; None: 255, or 65,535, where it occurs.
        workers: threads.
        names: of ids that are classes whether they occur or not.

    Raises:
        MaskFileError: a file cannot be read.
        UsageError: there are too many ids to be classes.
    """
    found: set[int] = set()
    for ids in in_order(_ids_in, paths, workers=workers, ahead=_AHEAD * max(1, workers)):
        found |= ids
    known = {} if names is None else names
    if ignore_index is None and not known and found == {0, 255}:
        raise UsageError(
            "the label maps hold 0 and 255 alone, which may be no and yes, or a class and ignored",
            fix="name a class table of two classes: --classes TABLE; or --ignore 255; or, of masks "
            "of one class each in a folder of its name, --layout layers",
        )
    if ignore_index is None:
        ignore_index = next((n for n in (255, 65_535) if n in found and n not in known), None)
    found = (found | known.keys()) - {ignore_index}
    if not 0 < len(found) <= _MOST_CLASSES:
        raise UsageError(
            "the label maps tell no classes",
            got=f"{len(found):,} ids, expected 1 … {_MOST_CLASSES:,}",
            fix="name their class table: --classes TABLE",
        )
    classes = [(number, known.get(number, f"class {number}")) for number in sorted(found)]
    return numbered_table("label maps", classes, ignore_index, "the ids that occur")


def _ids_in(path: Path) -> set[int]:
    values = np.unique(read_values(path))
    if values[0] < 0 or values[-1] > 65_535:
        raise MaskFileError(
            "the mask holds values that cannot be class ids",
            where=str(path),
            got=f"{values[0]} … {values[-1]}, expected 0 … 65,535",
        )
    return set(values.tolist())


def _looks(paths: Sequence[Path]) -> tuple[Look, ...]:
    step = max(1, len(paths) // _LOOKED_AT)
    return look_at(Path(), [str(path) for path in paths[::step][:_LOOKED_AT]])


def _by_name(listing: Listing, paths: Iterable[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    taken: list[str] = []
    for path in paths:
        name = _without_suffix(path)
        if name in files:
            taken.append(f"{files[name].name} and {path}")
        files[name] = listing.root / path
    if taken:
        raise DatasetError(
            "several files of predictions or truth have one name",
            where=str(listing.root),
            got=_some(taken),
            fix="keep one of each",
        )
    return files


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
