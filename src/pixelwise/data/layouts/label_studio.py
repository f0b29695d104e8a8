"""Label Studio's JSON export: a list of tasks, with polygons, boxes, ellipses and brushes.

The form is that of Label Studio's pages on its export and on its labels. Places are shares of the
picture in percent. Where several people annotated a task, the first annotation counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from pixelwise.class_entries import shown
from pixelwise.data.layouts.base import Found, Request
from pixelwise.data.layouts.drawn import FaultList, PictureFiles, peek, read_json, size_in
from pixelwise.data.layouts.labelled import (
    Drawing,
    Item,
    box_ring,
    ellipse_ring,
    found_of,
    numbered,
    turned,
)
from pixelwise.data.layouts.names import core_of
from pixelwise.data.listing import Listing
from pixelwise.data.shapes import Brush, Outline, Shape
from pixelwise.formats.images import IMAGE_SUFFIXES

__all__ = ["find"]

_MOST_FILES_LOOKED_AT = 500
_HASH = re.compile(r"[0-9a-f]{8}-")
_AREAS = ("polygonlabels", "brushlabels", "rectanglelabels", "ellipselabels")
_WITHOUT_AREA = ("keypointlabels", "videorectangle", "relation", "choices", "textarea")


def find(listing: Listing, request: Request) -> Found | None:
    """A data set of Label Studio's exports; None where there are none."""
    if request.file:
        files = [request.file] if request.file.lower().endswith(".json") else []
    else:
        files = list(listing.files(".json"))[:_MOST_FILES_LOOKED_AT]
    files = [file for file in files if _looks_so(peek(listing.root / file))]
    if not files:
        return None
    faults = FaultList()
    pictures = PictureFiles(listing)
    drawings: list[Drawing] = []
    for file in files:
        value, fault = read_json(listing.root / file, file, hook=_smaller)
        faults.extend([fault] if fault else [])
        for task in value if isinstance(value, list) else []:
            if isinstance(task, dict):
                drawing = _drawing(task, file, pictures, faults)
                drawings += [drawing] if drawing else []
    labels = {item.label for drawing in drawings for item in drawing.items}
    return found_of(
        "label_studio", drawings, numbered(labels), listing, request, faults, sureness=0.96
    )


def _looks_so(text: str) -> bool:
    is_list = text.lstrip("\ufeff \r\n\t").startswith("[")
    return is_list and '"annotations"' in text and '"result"' in text and '"data"' in text


def _smaller(value: dict[str, Any]) -> dict[str, Any]:
    """The bytes of a brush as bytes, as soon as they are read."""
    rle = value.get("rle")
    if isinstance(rle, list):
        try:
            value["rle"] = bytes(rle)
        except (TypeError, ValueError):
            value["rle"] = None
    return value


def _drawing(
    task: Mapping[str, Any], file: str, pictures: PictureFiles, faults: FaultList
) -> Drawing | None:
    path, complaint = _find_picture(task.get("data"), file, pictures)
    if not path:
        what = "a picture of the annotation file is not there"
        faults.add(what, file, got=complaint, fix="add it under the name that the task has")
        return None
    done = [
        annotation
        for annotation in _mappings(task.get("annotations"))
        if not annotation.get("was_cancelled")
    ]
    if not done:
        faults.add(
            "a task is not annotated", path, fix="annotate it, or leave it out", warning=True
        )
        return None
    if len(done) > 1:
        what, got = "a task has several annotations", f"{len(done)}; the first one is taken"
        faults.add(what, path, got=got, fix="keep the one that counts", warning=True)
    items: list[Item] = []
    damage = ""
    size = None
    for result in _mappings(done[0].get("result")):
        own = size_in(result, "original_height", "original_width")
        size = size or own
        found, wrong = _items(result, own)
        items += found
        if wrong and not found and result.get("type") in _WITHOUT_AREA:
            faults.add("what covers no pixels is left out", path, got=wrong, warning=True)
        elif wrong:
            damage = damage or wrong
            faults.add("a region is damaged", path, got=wrong, fix="draw it again")
    split = core_of(path.rpartition("/")[0])[2]
    return Drawing(path, file, tuple(items), size, split, damage)


def _mappings(value: object) -> list[Mapping[str, Any]]:
    listed: Sequence[object] = value if isinstance(value, list) else []
    return [entry for entry in listed if isinstance(entry, dict)]


def _find_picture(data: object, file: str, pictures: PictureFiles) -> tuple[str, str]:
    """The picture of a task: as its address ends, with or without the hash of an upload."""
    values = list(data.values()) if isinstance(data, dict) else []
    texts = [value for value in values if isinstance(value, str)]
    names = [name for name in map(_name_in, texts) if _is_picture(name)]
    if not names:
        return "", f"no picture in the task's data: {shown(texts[0]) if texts else 'empty'}"
    folder = file.rpartition("/")[0]
    last = names[0].rpartition("/")[2]
    complaint = ""
    for name in (names[0].lstrip("/"), last, _HASH.sub("", last, count=1)):
        path, wrong = pictures.find(name, folder)
        if path:
            return path, ""
        complaint = complaint or wrong
    return "", complaint


def _name_in(address: str) -> str:
    """The path at the end of an address, or the file that a local one asks for."""
    try:
        parts = urlsplit(address)
        asked = parse_qs(parts.query).get("d", [])
    except ValueError:
        return address
    return asked[0] if asked else unquote(parts.path)


def _is_picture(name: str) -> bool:
    return any(name.lower().endswith(suffix) for suffix in IMAGE_SUFFIXES)


def _items(result: Mapping[str, Any], size: tuple[int, int] | None) -> tuple[list[Item], str]:
    """The objects of a region, or what is wrong with it."""
    kind, value = result.get("type"), result.get("value")
    name = f"region {shown(result.get('id'))}, {shown(kind)}"
    if kind not in _AREAS:
        return [], name
    fields: Mapping[str, Any] = value if isinstance(value, dict) else {}
    labels = fields.get(str(kind))
    if not isinstance(labels, list) or not labels or not all(map(_is_name, labels)):
        return [], f"{name}: no label"
    if result.get("image_rotation"):
        return [], f"{name}: drawn on the picture turned by {shown(result['image_rotation'])}°"
    try:
        shape = _shape(str(kind), fields, size)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)[:80]
        return [], f"{name}: {reason}"
    return [Item(label.strip(), shape) for label in labels], ""


def _is_name(label: object) -> bool:
    return isinstance(label, str) and bool(label.strip())


def _shape(kind: str, fields: Mapping[str, Any], size: tuple[int, int] | None) -> Shape:
    if kind == "brushlabels":
        rle = fields.get("rle")
        if not isinstance(rle, bytes) or size is None:
            raise ValueError("a brush without its run lengths or its size")
        return Brush(rle, size)
    if kind == "polygonlabels":
        ring = np.array(fields["points"], np.float64).reshape(-1, 2)
        return Outline.of([ring / 100], relative=True)
    # A turn is one of pixels, not of shares: the picture's sides differ.
    turn = float(fields.get("rotation") or 0)
    if turn and size is None:
        raise ValueError("a turned region without the picture's size")
    height, width = size or (100, 100)
    x, y = float(fields["x"]) * width / 100, float(fields["y"]) * height / 100
    if kind == "ellipselabels":
        radii = float(fields["radiusX"]) * width / 100, float(fields["radiusY"]) * height / 100
        ring = ellipse_ring(x, y, *radii)
    else:
        sides = float(fields["width"]) * width / 100, float(fields["height"]) * height / 100
        ring = box_ring(x, y, x + sides[0], y + sides[1])
    # Ellipses turn about their centres, boxes about their upper left corners: both are (x, y).
    ring = turned(ring, turn, x, y)
    return Outline.of([ring / np.array([width, height])], relative=True)
