"""COCO: regions without holes as polygons, others as run lengths; both exact to the pixel.

`score` of an annotation is the region's mean probability, `area_m2` or `area_mm2` its real area;
other readers pass over what they do not know. Pixels of the background have no annotation;
ignored ones stand under a key of our own. Categories are numbered from 1, as other tools expect:
by the ids of the class table, or one above them where a class has id 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.formats.annotations import (
    IGNORED_KEY,
    OWN_KEY,
    UNCOVERED_KEY,
    background_of,
)
from pixelwise.formats.rle import column_counts, pack_counts
from pixelwise.region_files.base import Regions, drawn_classes
from pixelwise.segments import Segment

__all__ = ["category_of", "coco_file", "coco_piece", "coco_results", "encode"]


def encode(regions: Regions) -> bytes:
    """The annotation file of one picture."""
    return b"".join(coco_file([coco_piece(regions)], regions.classes))


def coco_results(
    segments: Sequence[Segment], classes: ClassTable, *, image_id: int
) -> list[dict[str, Any]]:
    """Regions in COCO's result format, as its evaluation reads them: JSON makes a file of it.

    Args:
        segments: of one picture; those of the background are left out.
        classes: the class table.
        image_id: the picture's number in the annotation file.
    """
    background, step = background_of(classes), _step(classes)
    return [
        {
            "image_id": image_id,
            "category_id": segment.info.id + step,
            "bbox": _box(segment),
            "segmentation": segment.rle,
            "score": segment.confidence,
        }
        for segment in segments
        if segment.info != background
    ]


def category_of(info: ClassInfo) -> dict[str, Any]:
    """A class as an entry of `categories`."""
    return {
        "id": info.id,
        "name": info.name,
        "supercategory": "",
        "isthing": int(info.kind == "thing"),
        "color": list(info.colour),
    }


def coco_piece(regions: Regions) -> str:
    """A picture's part of an annotation file: a line each for the image, and its annotations.

    Images and annotations have no numbers yet; of ignored pixels there is `segmentation` alone.
    """
    height, width = regions.size
    lines = [_json({"file_name": regions.picture, "width": width, "height": height})]
    step = _step(regions.classes)
    for segment in regions.segments:
        entry = {
            "category_id": segment.info.id + step,
            "segmentation": _segmentation(segment),
            "area": segment.area,
            "bbox": _box(segment),
            "iscrowd": 0,
            "score": round(segment.confidence, 6),
            **segment.ground,
        }
        lines.append(_json(entry))
    if regions.ignored is not None:
        runs = {"size": list(regions.size), "counts": pack_counts(column_counts(regions.ignored))}
        lines.append(_json({"segmentation": runs}))
    return "\n".join(lines)


def coco_file(pieces: Iterable[str], classes: ClassTable) -> Iterator[bytes]:
    """The annotation file of many pictures, bit by bit; images are numbered from 1 on."""
    background, step = background_of(classes), _step(classes)
    info = {UNCOVERED_KEY: "ignored" if background is None else background.name}
    categories = [category_of(each) | {"id": each.id + step} for each in drawn_classes(classes)]
    yield _json({"info": info, "categories": categories})[:-1].encode() + b',"annotations":['
    images: list[str] = []
    ignored: list[str] = []
    count = 0
    for number, piece in enumerate(pieces, start=1):
        image, *entries = piece.split("\n")
        images.append(f'{{"id":{number},{image[1:]}')
        for entry in entries:
            if entry.startswith('{"segmentation"'):
                ignored.append(f'{{"image_id":{number},{entry[1:]}')
                continue
            count += 1
            comma = ",\n" if count > 1 else "\n"
            yield f'{comma}{{"id":{count},"image_id":{number},{entry[1:]}'.encode()
    rest = f'],"images":[{",".join(images)}]'
    if ignored:
        rest += f',"{OWN_KEY}":{{"{IGNORED_KEY}":[{",".join(ignored)}]}}'
    yield f"{rest}}}\n".encode()


def _segmentation(segment: Segment) -> list[list[int]] | dict[str, Any]:
    # Polygons of COCO have no holes.
    if any(part.holes for part in segment.polygons):
        return segment.rle
    return [part.exterior.ravel().tolist() for part in segment.polygons]


def _box(segment: Segment) -> list[int]:
    left, top, right, bottom = segment.box
    return [left, top, right - left, bottom - top]


def _step(classes: ClassTable) -> int:
    """How far the numbers of categories are above the ids."""
    return int(any(info.id == 0 for info in drawn_classes(classes)))


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
