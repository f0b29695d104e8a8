"""labelme's annotations: a JSON file per picture, of polygons, boxes, circles and small masks.

The pictures that older versions copy into the file (`imageData`) are never needed, and not parsed.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.class_entries import shown
from pixelwise.data.layouts.base import Found, Request
from pixelwise.data.layouts.drawn import FaultList, PictureFiles, peek, size_in
from pixelwise.data.layouts.labelled import Drawing, Item, box_ring, ellipse_ring, found_of
from pixelwise.data.layouts.meaning import Category
from pixelwise.data.layouts.names import core_of
from pixelwise.data.listing import Listing
from pixelwise.data.shapes import Outline, Pixels, Shape
from pixelwise.errors import MaskFileError, UsageError
from pixelwise.formats.annotations import BACKGROUND_NAMES, IGNORED_NAMES
from pixelwise.formats.masks import read_mask
from pixelwise.formats.polygons import Patch

__all__ = ["MaskPng", "find"]

_FILES_LOOKED_AT = 20
_WITHOUT_AREA = {"line", "linestrip", "point", "points"}
# What the first six bytes of every PNG are in base64.
_PNG_START = "iVBORw0K"
_LARGEST_FILE = 1 << 30


@dataclass(frozen=True, eq=False, slots=True)
class MaskPng:
    """A mask kept as a PNG in base64, of part of a picture.

    Attributes:
        content: the PNG.
        top: row of its first pixel.
        left: column of its first pixel.
    """

    content: str
    top: int
    left: int

    def patch(self, size: tuple[int, int]) -> Patch:
        """See `Shape.patch`."""
        try:
            content = base64.b64decode(self.content, validate=True)
        except ValueError as error:
            raise MaskFileError("a mask is no PNG in base64", got=str(error)) from error
        return Pixels(read_mask(content) > 0, self.top, self.left).patch(size)


def find(listing: Listing, request: Request) -> Found | None:
    """A data set of labelme's files; None where there are none."""
    if request.file:
        files = [request.file] if request.file.lower().endswith(".json") else []
    else:
        files = list(listing.files(".json"))
    sample = files[:: max(len(files) // _FILES_LOOKED_AT, 1)][:_FILES_LOOKED_AT]
    fit = sum(_looks_so(listing.root / file) for file in sample)
    if not fit or 2 * fit < len(sample):
        return None
    pictures = PictureFiles(listing)
    by_stem = {path.rpartition(".")[0]: path for path in pictures}
    faults = FaultList()
    drawings = []
    for file in files:
        value = _read(listing.root / file, file, faults)
        if value is None:
            continue
        folder = file.rpartition("/")[0]
        image, complaint = pictures.find(value.get("imagePath"), folder)
        image = image or by_stem.get(file.rpartition(".")[0], "")
        if image:
            drawings.append(_drawing(value, image, file, faults))
        else:
            what = "the picture of an annotation file is not there"
            faults.add(what, file, got=complaint, fix="add it, or correct imagePath")
    labels = {item.label for drawing in drawings for item in drawing.items}
    return found_of(
        "labelme",
        drawings,
        _categories(labels, _listed(listing)),
        listing,
        request,
        faults,
        sureness=0.95,
    )


def _looks_so(path: Path) -> bool:
    text = peek(path)
    return '"shapes"' in text and ('"imagePath"' in text or '"imageData"' in text)


def _read(path: Path, file: str, faults: FaultList) -> Mapping[str, Any] | None:
    """The file without its copy of the picture; None if it is none of labelme's."""
    what, got = "the annotation file cannot be read", ""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            got = f"{path.stat().st_size:,} bytes, at most {_LARGEST_FILE:,}"
        else:
            value = json.loads(_without_picture(path.read_bytes()))
            if isinstance(value, dict) and isinstance(value.get("shapes"), list):
                return value
            got = "not labelme's form: there is no list of shapes"
    except json.JSONDecodeError as error:
        got = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        got = "objects in objects, too deep to be annotations"
    except (OSError, ValueError) as error:
        got = str(error)[:200]
    faults.add(what, file, got=got, fix="save it again in labelme, or move it away")
    return None


def _without_picture(content: bytes) -> bytes:
    """The text with null in place of the copied picture, which may be most of it."""
    key = content.find(b'"imageData"')
    colon = content.find(b":", key)
    start = content.find(b'"', colon)
    if key < 0 or colon < 0 or start < 0 or content[colon + 1 : start].strip():
        return content
    # Base64 holds no quotation marks.
    end = content.find(b'"', start + 1)
    return content[:start] + b"null" + content[end + 1 :] if end > 0 else content


def _drawing(value: Mapping[str, Any], image: str, file: str, faults: FaultList) -> Drawing:
    items = []
    damage = ""
    for place, entry in enumerate(value["shapes"]):
        fields: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
        # Before version 3 every shape was a polygon, and the file does not say so.
        kind = fields.get("shape_type") or "polygon"
        kind = kind if isinstance(kind, str) else shown(kind)
        label, group = fields.get("label"), fields.get("group_id")
        if kind in _WITHOUT_AREA:
            what, fix = "lines and points cover no pixels", "draw a polygon if they should"
            got = f"shape {place}, {kind} {shown(label)}"
            faults.add(what, file, got=got, fix=fix, warning=True)
            continue
        try:
            if not isinstance(label, str) or not label.strip():
                raise ValueError(f"label {shown(label)}")
            shape = _shape(kind, fields)
        except ValueError as error:
            got = f"shape {place}: {error}"
            damage = damage or got
            faults.add("a shape is damaged", file, got=got, fix="draw it again")
            continue
        whole = group if isinstance(group, int | str) else None
        items.append(Item(label.strip(), shape, whole))
    size = size_in(value, "imageHeight", "imageWidth")
    split = core_of(image.rpartition("/")[0])[2]
    return Drawing(image, file, tuple(items), size, split, damage)


def _shape(kind: str, fields: Mapping[str, Any]) -> Shape:
    """The shape of an entry of `shapes`; ValueError says what is wrong with it."""
    try:
        points = np.array(fields.get("points"), np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError("points that are no places") from error
    if kind == "polygon" or (kind == "rectangle" and len(points) == 4):
        return Outline.of([points])
    if kind == "mask":
        return _mask(points, fields.get("mask"))
    if kind not in {"rectangle", "circle"}:
        raise ValueError(f"unknown kind {shown(kind)}")
    if len(points) != 2:
        raise ValueError(f"a {kind} of {len(points)} points, expected 2")
    (x0, y0), (x1, y1) = points.tolist()
    if kind == "rectangle":
        return Outline.of([box_ring(x0, y0, x1, y1)])
    radius = math.hypot(x1 - x0, y1 - y0)
    return Outline.of([ellipse_ring(x0, y0, radius, radius)])


def _mask(points: NDArray[np.float64], content: object) -> Shape:
    if not isinstance(content, str) or not len(points) or not (np.abs(points) < 2**31).all():
        raise ValueError("a mask without its picture or its place")
    left, top = (int(value) for value in points.min(axis=0).round())
    if not content.startswith(_PNG_START):
        raise ValueError("a mask that is no PNG in base64")
    return MaskPng(content, top, left)


def _listed(listing: Listing) -> list[str]:
    """The names in labels.txt, which people give labelme to choose from."""
    try:
        lines = listing.read_text("labels.txt").splitlines() if "labels.txt" in listing else []
    except UsageError:
        return []
    return [line.strip() for line in lines if line.strip()]


def _categories(labels: set[str], listed: Sequence[str]) -> list[Category]:
    """Numbers from 1 up, as they stand in labels.txt and then by name; the background is 0."""
    found: list[Category] = []
    number = 1
    for name in dict.fromkeys([*listed, *sorted(labels)]):
        if name.lower() in BACKGROUND_NAMES and not any(each.number == 0 for each in found):
            found.append(Category(0, name))
            continue
        if name.lower() in IGNORED_NAMES and name not in labels:
            continue
        found.append(Category(number, name))
        number += 1
    return found
