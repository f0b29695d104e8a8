"""CVAT's export "CVAT for images 1.1": one XML file of polygons, boxes, ellipses and masks.

The form is that of CVAT's page on its XML format. The file is read as a stream; one that declares
a document type is refused, as its entities may grow without end or name other files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from xml.parsers import expat

import numpy as np

from pixelwise.class_entries import shown
from pixelwise.colours import Colour
from pixelwise.data.faults import Fault
from pixelwise.data.layouts.base import Found, Request
from pixelwise.data.layouts.drawn import FaultList, PictureFiles, peek, size_in
from pixelwise.data.layouts.labelled import (
    Drawing,
    Item,
    box_ring,
    ellipse_ring,
    found_of,
    numbered,
    turned,
)
from pixelwise.data.layouts.meaning import Category
from pixelwise.data.layouts.names import core_of, split_of
from pixelwise.data.listing import Listing
from pixelwise.data.shapes import Outline, RowRuns, Shape

__all__ = ["find"]

_MOST_FILES_LOOKED_AT = 100
_PIECE = 1 << 20
_WITHOUT_AREA = {"polyline", "points", "cuboid", "skeleton"}


class _RefusedError(Exception):
    """The file holds what is not read; the text says what."""


class _Reader:
    """Collects labels and images while the file streams by."""

    def __init__(self) -> None:
        self.labels: dict[str, Colour | None] = {}
        self.images: list[tuple[dict[str, str], list[tuple[str, dict[str, str]]]]] = []
        self._path: list[str] = []
        self._text = ""
        self._label = ""
        self._colour = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        if not self._path and name != "annotations":
            raise _RefusedError(f"its root is <{name[:40]}>, not <annotations>")
        if name == "track":
            raise _RefusedError('tracks of a video: export it as "CVAT for images 1.1"')
        self._path.append(name)
        self._text = ""
        if self._path == ["annotations", "image"]:
            self.images.append((attributes, []))
        elif self._path[:-1] == ["annotations", "image"]:
            self.images[-1][1].append((name, attributes))

    def characters(self, text: str) -> None:
        """Text of the element that is open."""
        # Only names and colours of labels are wanted, and those are short.
        if len(self._text) < 1000 and self._path[-3:-1] == ["labels", "label"]:
            self._text += text

    def end(self, name: str) -> None:
        """An element ends."""
        if self._path[-3:-1] == ["labels", "label"]:
            if name == "name":
                self._label = self._text.strip()
            elif name == "color":
                self._colour = self._text.strip()
        elif self._path[-2:] == ["labels", "label"] and self._label:
            self.labels[self._label] = _colour(self._colour)
            self._label = self._colour = ""
        self._path.pop()

    def doctype(self, *_: object) -> None:
        """A document type is declared."""
        raise _RefusedError("a document type declaration, which no export of CVAT has")


def find(listing: Listing, request: Request) -> Found | None:
    """A data set of CVAT's XML files; None where there are none."""
    if request.file:
        files = [request.file] if request.file.lower().endswith(".xml") else []
    else:
        files = list(listing.files(".xml"))[:_MOST_FILES_LOOKED_AT]
    files = [file for file in files if _looks_so(listing.root / file)]
    if not files:
        return None
    faults = FaultList()
    pictures = PictureFiles(listing)
    labels: dict[str, Colour | None] = {}
    drawings: list[Drawing] = []
    for file in files:
        reader, fault = _read(listing.root / file, file)
        faults.extend([fault] if fault else [])
        labels |= reader.labels
        for image, shapes in reader.images:
            drawing = _drawing(image, shapes, file, pictures, faults)
            drawings += [drawing] if drawing else []
    used = {item.label for drawing in drawings for item in drawing.items}
    undeclared = sorted(used - set(labels))
    if undeclared and labels:
        got = ", ".join(shown(label) for label in undeclared[:10])
        what, fix = "labels are used that the task does not list", "add them to the task's labels"
        faults.add(what, files[0], got=got, fix=fix, warning=True)
    categories = [
        Category(category.number, category.name, labels.get(category.name))
        for category in numbered(used, list(labels))
    ]
    return found_of("cvat", drawings, categories, listing, request, faults, sureness=0.96)


def _looks_so(path: Path) -> bool:
    text = peek(path)
    return "<annotations" in text and ("<image " in text or "<track " in text)


def _read(path: Path, file: str) -> tuple[_Reader, Fault | None]:
    """What the file holds; up to the place where it is damaged, and the fault."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    try:
        with path.open("rb") as stream:
            while piece := stream.read(_PIECE):
                parser.Parse(piece)
        parser.Parse(b"", True)
    except _RefusedError as error:
        got = str(error)
    except expat.ExpatError as error:
        got = f"line {error.lineno}, column {error.offset}: {expat.ErrorString(error.code)}"
    except (LookupError, OSError, ValueError) as error:
        # Encodings that nobody knows are no errors of expat.
        got = str(error)[:200]
    else:
        return reader, None
    fix = 'export the task again as "CVAT for images 1.1"'
    return reader, Fault("the annotation file cannot be read", file, got, fix)


def _drawing(
    image: Mapping[str, str],
    shapes: list[tuple[str, dict[str, str]]],
    file: str,
    pictures: PictureFiles,
    faults: FaultList,
) -> Drawing | None:
    subset = image.get("subset", "")
    split = split_of(subset) or ("" if subset.lower() == "default" else subset)
    path, complaint = pictures.find(image.get("name"), file.rpartition("/")[0], prefer=subset)
    if not path:
        what = "a picture of the annotation file is not there"
        faults.add(what, file, got=complaint, fix="export with images, or add it")
        return None
    items = []
    damage = ""
    for place, (kind, attributes) in enumerate(shapes):
        label = attributes.get("label", "").strip()
        if kind in _WITHOUT_AREA:
            what, fix = "lines and points cover no pixels", "draw a polygon if they should"
            faults.add(what, path, got=f"{kind} {shown(label)}", fix=fix, warning=True)
        make = _SHAPES.get(kind)
        if make is None:
            continue
        try:
            if not label:
                raise ValueError("no label")
            layer = int(attributes.get("z_order") or 0)
            group = int(attributes.get("group_id") or 0)
            items.append(Item(label, make(attributes), group or None, layer))
        except (KeyError, ValueError, OverflowError) as error:
            got = f"{kind} {place} {shown(label)}: {_reason(error)}"
            damage = damage or got
            faults.add("a shape is damaged", path, got=got, fix="draw it again")
    size = size_in({key: _whole(image.get(key, "")) for key in ("height", "width")})
    split = split or core_of(path.rpartition("/")[0])[2]
    return Drawing(path, file, tuple(items), size, split, damage)


def _reason(error: Exception) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)[:80]


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _polygon(attributes: Mapping[str, str]) -> Shape:
    points = [pair.split(",") for pair in attributes["points"].split(";") if pair.strip()]
    if not all(len(pair) == 2 for pair in points):
        raise ValueError("points that are not x,y;x,y;…")
    return Outline.of([np.array(points, np.float64).reshape(-1, 2)])


def _box(attributes: Mapping[str, str]) -> Shape:
    left, top, right, bottom = (float(attributes[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
    ring = box_ring(left, top, right, bottom)
    turn = float(attributes.get("rotation") or 0)
    return Outline.of([turned(ring, turn, (left + right) / 2, (top + bottom) / 2)])


def _ellipse(attributes: Mapping[str, str]) -> Shape:
    x, y, radius_x, radius_y = (float(attributes[name]) for name in ("cx", "cy", "rx", "ry"))
    turn = float(attributes.get("rotation") or 0)
    return Outline.of([turned(ellipse_ring(x, y, radius_x, radius_y), turn, x, y)])


def _mask(attributes: Mapping[str, str]) -> Shape:
    counts = np.array([int(count) for count in attributes["rle"].split(",")], np.int64)
    left, top, width, height = (
        int(float(attributes[name])) for name in ("left", "top", "width", "height")
    )
    if counts.sum() != width * height:
        raise ValueError(f"{counts.sum():,} pixels in a box of {width} × {height}")
    return RowRuns(counts, (height, width), top, left)


_SHAPES: Mapping[str, Callable[[Mapping[str, str]], Shape]] = {
    "polygon": _polygon,
    "box": _box,
    "ellipse": _ellipse,
    "mask": _mask,
}


def _colour(text: str) -> Colour | None:
    """A colour written as #fa3253."""
    try:
        red, green, blue = bytes.fromhex(text.removeprefix("#"))
    except ValueError:
        return None
    return red, green, blue
