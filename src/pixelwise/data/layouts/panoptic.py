"""COCO's panoptic form: a PNG of segment numbers per picture, and a JSON file of what they are.

The colour of a pixel is the number of its segment: red + 256 · green + 65,536 · blue; 0 is no
segment, and ignored (Kirillov et al., Panoptic Segmentation, CVPR 2019, and COCO's format page).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.class_entries import is_whole, shown
from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Entry
from pixelwise.data.layouts.base import Found, Request
from pixelwise.data.layouts.coco import categories_in
from pixelwise.data.layouts.drawn import FaultList, PictureFiles, peek, read_json
from pixelwise.data.layouts.meaning import Category, Meaning, meaning_of
from pixelwise.data.layouts.names import core_of, split_of
from pixelwise.data.layouts.tables import csv_table
from pixelwise.data.listing import Listing, stem_of
from pixelwise.data.targets import (
    InstanceTarget,
    MaskTarget,
    MultiClassTarget,
    TargetKind,
    layers_of,
)
from pixelwise.errors import ImageFileError, MaskFileError
from pixelwise.formats.images import read_image

__all__ = ["PanopticPngs", "find", "segment_numbers"]

_MOST_FILES_LOOKED_AT = 500
_SHOWN = 6


@dataclass(frozen=True, eq=False, slots=True)
class _Segments:
    """What the segments of one picture are, by rising number.

    Attributes:
        numbers: int64 `[N]`, as in the PNG.
        classes: `[N]`, ids of the class table, or its ignored id.
        instances: int32 `[N]`; 0 for stuff and crowds.
        areas: int64 `[N]` in pixels; -1 where the file does not say.
    """

    numbers: NDArray[np.int64]
    classes: NDArray[np.uint16]
    instances: NDArray[np.int32]
    areas: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PanopticPngs:
    """Reads the PNGs.

    Attributes:
        pictures: by `Entry.row`.
        kind: the target wanted; None for instances.
        categories: the class id of each category's number in the file.
    """

    pictures: tuple[_Segments, ...]
    kind: TargetKind | None = None
    categories: Mapping[int, int] = field(default_factory=dict, repr=False)

    def read(
        self, root: Path, entry: Entry, classes: ClassTable, size: tuple[int, int]
    ) -> MaskTarget:
        """The target of the entry's PNG; see `Truth.read`."""
        del size
        where = str(root / entry.truth)
        segments = self.pictures[entry.row]
        numbers = segment_numbers(root / entry.truth)
        # Pixels come in runs of one segment: to look up the runs is enough.
        flat = numbers.ravel()
        starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
        lengths = np.diff(starts, append=flat.size)
        runs = flat[starts]
        places = np.searchsorted(segments.numbers, runs)
        _check(segments, runs, places, lengths, where)
        kind = np.uint8 if max(classes.ids[-1], classes.ignore_index or 0) < 256 else np.uint16
        ids = np.append(segments.classes, classes.ignore_index or 0).astype(kind)
        places[runs == 0] = len(segments.numbers)
        mask = np.repeat(ids[places], lengths).reshape(numbers.shape)
        if self.kind == "multi_class":
            return MultiClassTarget(mask)
        if self.kind == "multi_label":
            return layers_of(mask, classes)
        own = np.append(segments.instances, np.int32(0))
        return InstanceTarget(mask, np.repeat(own[places], lengths).reshape(numbers.shape))


def segment_numbers(path: Path) -> NDArray[np.int32]:
    """The number of each pixel's segment, int32 `[H, W]`; 0 is none.

    Raises:
        MaskFileError: the PNG cannot be read.
    """
    try:
        colours = read_image(path)
    except ImageFileError as error:
        what = f"the mask cannot be read: {error.what}"
        raise MaskFileError(what, where=str(path), got=error.got, fix=error.fix) from error
    numbers = colours[..., 2].astype(np.int32) << 16
    numbers |= colours[..., 1].astype(np.int32) << 8
    numbers |= colours[..., 0]
    return numbers


def find(listing: Listing, request: Request) -> Found | None:
    """A data set of panoptic PNGs and their JSON files; None where there are none."""
    files = _annotation_files(listing, request)
    faults = FaultList()
    contents = [
        (file, value) for file in files if (value := _read(listing, file, faults)) is not None
    ]
    if not contents and not faults.all():
        return None
    categories: dict[tuple[int, str], Category] = {}
    for file, value in contents:
        for category in categories_in(value["categories"], file, faults):
            categories.setdefault((category.number, category.name), category)
    meaning = meaning_of(
        list(categories.values()),
        name=listing.root.absolute().name or "panoptic",
        file=contents[0][0] if contents else "",
        table=request.classes or csv_table(listing),
        uncovered="ignored",
    )
    faults.extend(meaning.faults)
    pictures = PictureFiles(listing)
    entries: list[Entry] = []
    segments: list[_Segments] = []
    for file, value in contents:
        _add(file, value, meaning, pictures, (entries, segments), faults)
    used = [entry.image for entry in entries] + [entry.truth for entry in entries]
    for path in pictures.lone(used):
        faults.add(
            "the file has no entry in the annotation file",
            path,
            fix="annotate it, or move it away",
            warning=True,
        )
    return Found(
        layout="panoptic",
        sureness=0.98 if contents else 0.6,
        classes=meaning.classes,
        entries=tuple(entries),
        truth=PanopticPngs(tuple(segments), request.kind, meaning.ids),
        faults=faults.all(),
        notes=(f"annotations: {', '.join(files)}", *meaning.notes),
        rest=None,
    )


def _check(
    segments: _Segments,
    runs: NDArray[np.int32],
    places: NDArray[np.int64],
    lengths: NDArray[np.int64],
    where: str,
) -> None:
    """Refuses a PNG whose segments are not those of the JSON file."""
    count = len(segments.numbers)
    known = np.append(segments.numbers, -1)[places] == runs
    lost = np.unique(runs[~known & (runs != 0)])
    areas = np.bincount(places[known], lengths[known], minlength=count).astype(np.int64)[:count]
    missing = segments.numbers[areas == 0]
    told = (segments.areas >= 0) & (areas > 0)
    wrong = np.flatnonzero(told & (segments.areas != areas))
    found = []
    if len(lost):
        found.append(f"segments in the PNG that the JSON lacks: {_listed(lost)}")
    if len(missing):
        found.append(f"segments in the JSON that the PNG lacks: {_listed(missing)}")
    if len(wrong):
        shown_areas = [
            f"{segments.numbers[place]}: {areas[place]:,} pixels, area {segments.areas[place]:,}"
            for place in wrong[:_SHOWN]
        ]
        found.append(f"segments of another area: {'; '.join(shown_areas)}{_more(len(wrong))}")
    if found:
        raise MaskFileError(
            "the PNG and the JSON file tell different segments",
            where=where,
            got=" · ".join(found),
            fix="export both again, together",
        )


def _listed(numbers: NDArray[Any]) -> str:
    return ", ".join(map(str, numbers[:_SHOWN].tolist())) + _more(len(numbers))


def _more(count: int) -> str:
    return f" and {count - _SHOWN:,} more" if count > _SHOWN else ""


def _annotation_files(listing: Listing, request: Request) -> list[str]:
    if request.file:
        files = [request.file] if request.file.lower().endswith(".json") else []
    else:
        files = list(listing.files(".json"))[:_MOST_FILES_LOOKED_AT]
    texts = {file: peek(listing.root / file) for file in files}
    found = [file for file, text in texts.items() if '"segments_info"' in text]
    if not found and request.layout == "panoptic":
        # Of a file that was cut off the segments may be missing.
        return [file for file, text in texts.items() if not text.rstrip().endswith("}")]
    return found


def _read(listing: Listing, file: str, faults: FaultList) -> dict[str, Any] | None:
    value, fault = read_json(listing.root / file, file, hook=_smaller)
    if fault is not None:
        faults.extend([fault])
    keys = ("images", "annotations", "categories")
    plain = isinstance(value, dict) and all(isinstance(value.get(key), list) for key in keys)
    return value if plain else None


def _smaller(value: dict[str, Any]) -> Any:
    """Of a segment only what is needed, as soon as it is read."""
    if "category_id" in value and "id" in value and "segmentation" not in value:
        area = value.get("area")
        return (
            value["id"],
            value["category_id"],
            bool(value.get("iscrowd")),
            area if is_whole(area) else -1,
        )
    return value


def _add(
    file: str,
    value: dict[str, Any],
    meaning: Meaning,
    pictures: PictureFiles,
    out: tuple[list[Entry], list[_Segments]],
    faults: FaultList,
) -> None:
    """Adds the pictures of one annotation file."""
    folder, split = file.rpartition("/")[0], split_of(stem_of(file))
    split = split or core_of(folder)[2]
    images = {
        image["id"]: image
        for image in value["images"]
        if isinstance(image, dict) and isinstance(image.get("id"), int | str)
    }
    prefer = stem_of(file).rpartition("_")[2] if split else ""
    entries, segments = out
    taken = {entry.image for entry in entries}
    for annotation in value["annotations"]:
        fields: dict[str, Any] = annotation if isinstance(annotation, dict) else {}
        number = fields.get("image_id")
        image = images.get(number) if isinstance(number, int | str) else None
        if image is None:
            what = "an annotation is of an image that the file does not list"
            faults.add(what, file, got=f"image {shown(number)}", fix="add the image to the file")
            continue
        picture, no_picture = pictures.find(image.get("file_name"), folder, prefer=prefer)
        png, no_png = pictures.find(
            fields.get("file_name"), _png_folder(file), prefer=stem_of(file)
        )
        if no_picture or no_png:
            what = "a file of the annotation file is not there"
            faults.add(what, file, got=no_picture or no_png, fix="add it, or correct its file_name")
            continue
        if picture in taken:
            what = "a picture stands twice in the annotations"
            faults.add(what, picture, got=f"again in {file}", fix="keep one of them")
            continue
        taken.add(picture)
        entries.append(Entry(picture, png, split, len(segments)))
        listed = fields.get("segments_info")
        parts = listed if isinstance(listed, list) else []
        segments.append(_segments(parts, png, meaning, faults))


def _png_folder(file: str) -> str:
    """panoptic_val2017/ lies beside panoptic_val2017.json."""
    return file.rpartition(".")[0]


def _segments(
    parts: Sequence[object],
    png: str,
    meaning: Meaning,
    faults: FaultList,
) -> _Segments:
    rows: dict[int, tuple[int, int, int]] = {}
    for part in parts:
        number, category, crowd, area = part if isinstance(part, tuple) else (None, None, False, 0)
        if not is_whole(number) or not 0 < number < 2**24 or number in rows:
            faults.add(
                "a segment has no number of its own",
                png,
                got=f"id {shown(number)}",
                fix="give each segment of a picture an id of 1 … 16,777,215",
            )
            continue
        class_id = meaning.ids.get(category) if is_whole(category) else None
        if class_id is None:
            faults.add(
                "a segment is of a category that the file does not list",
                png,
                got=f"segment {number}, category {shown(category)}",
                fix="add it to categories; until then its pixels are ignored",
            )
            class_id = meaning.ignored
        single = not crowd and class_id not in meaning.stuff
        rows[number] = (class_id, len(rows) + 1 if single else 0, area)
    numbers = sorted(rows)
    columns = np.array([rows[number] for number in numbers], np.int64).reshape(-1, 3)
    ids, instances, areas = columns.T
    return _Segments(
        np.array(numbers, np.int64), ids.astype(np.uint16), instances.astype(np.int32), areas
    )
