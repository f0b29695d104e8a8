"""Predictions in files that tell objects: COCO's panoptic form and COCO's results."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.class_entries import shown
from pixelwise.classes import ClassTable
from pixelwise.data.findings import background_in
from pixelwise.data.layouts.coco import categories_in, shape_in
from pixelwise.data.layouts.drawn import (
    DrawnObjects,
    FaultList,
    PictureFiles,
    peek,
    read_json,
)
from pixelwise.data.layouts.meaning import meaning_of
from pixelwise.data.layouts.panoptic import PanopticPngs, segment_numbers
from pixelwise.data.listing import Listing
from pixelwise.data.shapes import Shape
from pixelwise.errors import DatasetError, MaskFileError
from pixelwise.evaluation.label_maps import paired
from pixelwise.evaluation.predictions import ObjectFile, Predictions, Truths
from pixelwise.evaluation.sources import (
    LooseObjects,
    NumberedObjects,
    ObjectForm,
    Predicted,
    SetTruth,
    hash_of,
)

__all__ = ["file_of_objects", "objects_of_file"]

_SEGMENTS = '"segments_info"'
_NO_CLASS = 65_535
_SHOWN = 10
_SURE = 0.5


@dataclass(frozen=True, eq=False)
class _Segments:
    """Of one picture, by rising number.

    Attributes:
        numbers: int64 `[N]`, as in the PNG.
        classes: uint16 `[N]`, ids.
        scores: float64 `[N]`; 1 where the file does not say.
    """

    numbers: NDArray[np.int64]
    classes: NDArray[np.uint16]
    scores: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _PanopticFile:
    path: Path
    files: Mapping[str, Path]
    segments: Mapping[Path, _Segments]
    classes: ClassTable

    def of(self, truths: Truths) -> Predictions:
        """See `ObjectFile.of`."""
        files = paired(truths.names, self.files, known=truths.known, where=str(self.path))
        return _PanopticMaps(self.path, files, self.segments, self.classes)


@dataclass(frozen=True, eq=False)
class _PanopticMaps:
    """Segments in PNGs; see `Predictions`."""

    path: Path
    files: tuple[Path, ...]
    segments: Mapping[Path, _Segments]
    classes: ClassTable
    form: ObjectForm = "segments"
    probable: bool = False

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """See `Predictions.facts`; reads every file once, for their hash."""
        return {
            "predictions": f"panoptic segments of {self.path.name}",
            "predictions_hash": hash_of((self.path, *self.files)),
        }

    def read(self, place: int, image: NDArray[Any] | None) -> Predicted:
        """See `Predictions.read`.

        Raises:
            MaskFileError: the PNG cannot be read, or holds segments that the JSON file lacks.
        """
        del image
        path = self.files[place]
        own, colours = self.segments[path], segment_numbers(path)
        places = np.searchsorted(own.numbers, colours)
        known = np.append(own.numbers, -1)[places] == colours
        lost = np.unique(colours[~known & (colours != 0)])
        if lost.size:
            raise MaskFileError(
                "the PNG has segments that the JSON file lacks",
                where=str(path),
                got=f"segments {', '.join(map(str, lost[:_SHOWN].tolist()))}",
                fix="export both again, together",
            )
        places[~known] = len(own.numbers)
        numbers = np.append(np.arange(1, len(own.numbers) + 1, dtype=np.int32), np.int32(0))
        ids = np.append(own.classes, np.uint16(_NO_CLASS))
        return Predicted(ids[places], None, NumberedObjects(numbers[places], own.scores))


@dataclass(frozen=True, eq=False)
class _Result:
    """An object of a file of results."""

    image: int | str
    class_id: int
    shape: Shape
    score: float


@dataclass(frozen=True, eq=False)
class _ResultsFile:
    path: Path
    results: Sequence[_Result]
    classes: ClassTable

    def of(self, truths: Truths) -> Predictions:
        """See `ObjectFile.of`."""
        own, known = _numbers_of(truths)
        twice = [number for number, times in Counter(own).items() if times > 1]
        if twice:
            raise DatasetError(
                "pictures share an image_id, so that results could be of any of them",
                where=truths.facts["data"],
                got=", ".join(map(str, twice[:_SHOWN])),
                fix="judge one split alone: --split",
            )
        found: dict[int | str, list[_Result]] = {}
        for result in self.results:
            found.setdefault(result.image, []).append(result)
        lost = [number for number in found if number not in known]
        if lost or not any(number in found for number in own):
            more = f" and {len(lost) - _SHOWN:,} more" if len(lost) > _SHOWN else ""
            raise DatasetError(
                "results and truth do not pair",
                where=str(self.path),
                got=f"image_id {', '.join(map(str, lost[:_SHOWN]))}{more} without a picture"
                if lost
                else f"no result of any of the {len(own):,} pictures",
                fix="image_id is the id of the annotation file; where the data set has none, the "
                "name of the picture",
            )
        bare = _bare_id(truths)
        return _Results(self.path, [found.get(number, []) for number in own], bare, self.classes)


@dataclass(frozen=True, eq=False)
class _Results:
    """Masks that may overlap; see `Predictions`."""

    path: Path
    results: Sequence[Sequence[_Result]]
    bare: int
    classes: ClassTable
    form: ObjectForm = "results"
    probable: bool = False

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """See `Predictions.facts`."""
        return {
            "predictions": f"COCO results of {self.path.name}; where a pixel has one class, it is "
            f"that of the surest object with a score of at least {_SURE:g}",
            "predictions_hash": hash_of([self.path]),
        }

    def read(self, place: int, image: NDArray[Any] | None) -> Predicted:
        """See `Predictions.read`.

        Raises:
            DatasetError: there is no picture.
            MaskFileError: a mask is damaged, or of another size than its picture.
        """
        if image is None:
            raise DatasetError(
                "results need pictures, and there are label maps alone",
                where=str(self.path),
                fix="give a data set of pictures and their objects",
            )
        own, size = self.results[place], (image.shape[0], image.shape[1])
        ids = np.full(size, self.bare, np.uint16)
        for result in sorted(own, key=lambda each: each.score):
            if result.score >= _SURE:
                rows, columns, inside = result.shape.patch(size)
                ids[rows, columns][inside] = result.class_id
        objects = LooseObjects(
            shapes=tuple(result.shape for result in own),
            classes=np.array([result.class_id for result in own], np.uint16),
            scores=np.array([result.score for result in own], np.float64),
        )
        return Predicted(ids, None, objects)


def file_of_objects(path: Path) -> Path | None:
    """The file itself if it is JSON, or the panoptic JSON file in a folder; None where neither is.

    Raises:
        DatasetError: the folder holds several.
    """
    if path.is_file():
        return path if path.suffix.lower() == ".json" else None
    if not path.is_dir():
        return None
    found = [each for each in sorted(path.glob("*.json")) if _SEGMENTS in peek(each)]
    if len(found) > 1:
        raise DatasetError(
            "several panoptic files in one folder",
            where=str(path),
            got=", ".join(each.name for each in found[:_SHOWN]),
            fix="name the one that is meant",
        )
    return found[0] if found else None


def objects_of_file(path: Path, truth: SetTruth) -> ObjectFile:
    """The objects of a JSON file: COCO's results, or COCO's panoptic form with its PNGs.

    The PNGs lie in the folder of the file's name without suffix, or beside the file.

    Args:
        path: the file.
        truth: its categories are those of the file, unless the file has categories of its own.

    Raises:
        DatasetError: the file cannot be read; or lists what is wrong in it.
    """
    value, fault = read_json(path, path.name)
    if fault is not None:
        raise DatasetError(fault.what, where=str(path), got=fault.got, fix=fault.fix)
    if isinstance(value, list):
        return _results(path, value, truth)
    if isinstance(value, dict) and isinstance(value.get("annotations"), list):
        return _panoptic(path, value, truth)
    raise DatasetError(
        "the file holds no objects in a known form",
        where=str(path),
        fix="COCO's results are a list of objects; COCO's panoptic form has annotations with "
        "segments_info",
    )


def _panoptic(path: Path, value: dict[str, Any], truth: SetTruth) -> _PanopticFile:
    faults = FaultList()
    classes, ids = truth.classes, _categories_of(truth)
    if isinstance(value.get("categories"), list):
        categories = categories_in(value["categories"], path.name, faults)
        meaning = meaning_of(categories, name=path.stem, file=path.name, uncovered="ignored")
        faults.extend(meaning.faults)
        classes, ids = meaning.classes, meaning.ids
    inner = path.with_suffix("")
    listing = Listing.of(inner if inner.is_dir() else path.parent)
    pictures = PictureFiles(listing)
    files: dict[str, Path] = {}
    segments: dict[Path, _Segments] = {}
    for annotation in value["annotations"]:
        fields: dict[str, Any] = annotation if isinstance(annotation, dict) else {}
        name, parts = fields.get("file_name"), fields.get("segments_info")
        if not isinstance(name, str) or not isinstance(parts, list):
            faults.add("an annotation lacks file_name or segments_info", path.name)
            continue
        png, complaint = pictures.find(name, "")
        if complaint:
            faults.add("a PNG of the file is not there", path.name, got=complaint)
            continue
        if listing.root / png in segments:
            faults.add("a PNG stands twice in the file", name)
        files[png.rpartition(".")[0]] = listing.root / png
        segments[listing.root / png] = _segments_in(parts, ids, name, faults)
    _refuse(path, faults)
    return _PanopticFile(path, files, segments, classes)


def _segments_in(
    parts: Sequence[object], ids: Mapping[int, int], name: str, faults: FaultList
) -> _Segments:
    rows: dict[int, tuple[int, float]] = {}
    for part in parts:
        fields: dict[str, Any] = part if isinstance(part, dict) else {}
        number, category = fields.get("id"), fields.get("category_id")
        score = fields.get("score", 1.0)
        if not isinstance(number, int) or not 0 < number < 1 << 24 or number in rows:
            faults.add("a segment has no number of its own", name, got=f"id {shown(number)}")
        elif not isinstance(category, int) or category not in ids:
            faults.add("a segment is of no known category", name, got=f"id {shown(category)}")
        elif not isinstance(score, int | float) or not math.isfinite(score):
            faults.add("a score is no number", name, got=shown(score))
        else:
            rows[number] = (ids[category], float(score))
    numbers = sorted(rows)
    return _Segments(
        numbers=np.array(numbers, np.int64),
        classes=np.array([rows[number][0] for number in numbers], np.uint16),
        scores=np.array([rows[number][1] for number in numbers], np.float64),
    )


def _results(path: Path, entries: Sequence[object], truth: SetTruth) -> _ResultsFile:
    faults = FaultList()
    ids = _categories_of(truth)
    results = []
    for place, entry in enumerate(entries):
        fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
        image, category, score = (fields.get(key) for key in ("image_id", "category_id", "score"))
        shape, damage = shape_in(fields.get("segmentation"))
        if not isinstance(image, int | str):
            faults.add("a result has no image_id", path.name, got=f"result {place}")
        elif not isinstance(category, int) or category not in ids:
            faults.add(
                "a result is of a category that the truth lacks",
                path.name,
                got=f"result {place}: category_id {shown(category)}",
            )
        elif not isinstance(score, int | float) or not math.isfinite(score):
            got = f"result {place}: score {shown(score)}"
            faults.add("a result has no score", path.name, got=got)
        elif shape is None:
            got = f"result {place}: {damage or 'no segmentation'}"
            faults.add("a result has no mask", path.name, got=got)
        else:
            results.append(_Result(image, ids[category], shape, float(score)))
    _refuse(path, faults)
    return _ResultsFile(path, results, truth.classes)


def _refuse(path: Path, faults: FaultList) -> None:
    found = [fault for fault in faults.all() if fault.severity == "error"]
    if found:
        lines = [f"{fault.file}: {fault.what}: {fault.got}" for fault in found[:_SHOWN]]
        more = [f"and {len(found) - _SHOWN:,} more"] if len(found) > _SHOWN else []
        raise DatasetError(
            "the file of predictions is faulty",
            where=str(path),
            got="\n  ".join((*lines, *more)),
            fix="export the predictions again",
        )


def _categories_of(truth: SetTruth) -> Mapping[int, int]:
    """The class id of each category's number; without an annotation file ids are numbers."""
    own = truth.dataset.truth
    known = own.categories if isinstance(own, DrawnObjects | PanopticPngs) else {}
    return known or {number: number for number in truth.classes.ids}


def _numbers_of(truths: Truths) -> tuple[list[int | str], frozenset[int | str]]:
    """What results call the pictures, in order; and what they may call any of the data set."""
    if isinstance(truths, SetTruth) and isinstance(truths.dataset.truth, DrawnObjects):
        pictures = truths.dataset.truth.pictures
        own = [pictures[entry.row].number for entry in truths.dataset.entries]
        numbers = [number for number in own if number is not None]
        if len(numbers) == len(own):
            every = (picture.number for picture in pictures)
            return numbers, frozenset(number for number in every if number is not None)
    return [*map(_number_in, truths.names)], frozenset(
        map(_number_in, (*truths.names, *truths.known))
    )


def _number_in(name: str) -> int | str:
    """As tools number pictures that have no annotation file: by their name, if that is a number."""
    stem = name.rpartition("/")[2]
    return int(stem) if stem.isdecimal() else stem


def _bare_id(truths: Truths) -> int:
    """The id of pixels on which there is no object."""
    if isinstance(truths, SetTruth) and isinstance(truths.dataset.truth, DrawnObjects):
        uncovered = truths.dataset.truth.uncovered
        return uncovered if uncovered in truths.classes.ids else _NO_CLASS
    place = background_in(truths.classes)
    return _NO_CLASS if place is None else truths.classes.ids[place]
