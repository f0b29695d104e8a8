"""Files of regions that are no data set's, back to the label map: our SVG and GeoJSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.errors import MaskFileError, UsageError
from pixelwise.formats.annotations import background_of
from pixelwise.formats.decoding import DEFAULT_MEGAPIXELS
from pixelwise.formats.polygons import fill_patch
from pixelwise.region_files.forms import region_form
from pixelwise.segments import Labels

__all__ = ["read_regions"]

_STEP = re.compile(r"([MHVZ])([0-9]{0,10})(?: ([0-9]{1,10}))?")
_LONGEST_SIDE = 2**30
_LARGEST = 1 << 32

_Drawn = list[tuple[str | None, list[NDArray[np.float64]]]]
"""Name of the class, None for what is ignored, and rings of each region."""


def read_regions(
    path: str | Path,
    classes: ClassTable,
    form: str | None = None,
    *,
    max_megapixels: float = DEFAULT_MEGAPIXELS,
) -> Labels:
    """The label map of a file that `Segmentation.save_regions` wrote as SVG or GeoJSON.

    Args:
        path: of the file.
        classes: the class table that holds its names.
        form: svg or geojson; None: what the ending of the name says.
        max_megapixels: files of larger pictures are refused.

    Returns:
        uint8 or uint16 `[H, W]`: ids of the table. Pixels without a region are of the background,
        or the ignored id where the table has no background.

    Raises:
        UsageError: another form is named, or the table has no id for bare pixels that there are.
        MaskFileError: the file cannot be read, or is none of ours.
        ClassNameError: the table lacks a class of the file.
    """
    chosen = region_form(path, form)
    if chosen not in _READERS:
        raise UsageError(
            f"{chosen} is read with its pictures, as a data set",
            got=str(path),
            fix="open the folder of both: pixelwise.data.open(folder)",
        )
    try:
        if Path(path).stat().st_size > _LARGEST:
            raise _broken(f"more than {_LARGEST:,} bytes")
        size, drawn = _READERS[chosen](Path(path).read_bytes())
        if size[0] * size[1] > max_megapixels * 1e6:
            raise _broken(f"{size[0]}×{size[1]} pixels, above max_megapixels={max_megapixels:g}")
        return _painted(size, drawn, classes)
    except OSError as error:
        if isinstance(error, MaskFileError):
            raise MaskFileError(error.what, where=str(path), got=error.got, fix=error.fix) from None
        raise MaskFileError(
            "the file of regions cannot be read", where=str(path), got=error.strerror or str(error)
        ) from error


def _painted(size: tuple[int, int], drawn: _Drawn, classes: ClassTable) -> Labels:
    background, ignored = background_of(classes), classes.ignore_index
    bare = ignored if background is None else background.id
    kind = np.uint8 if max(classes.ids[-1], ignored or 0) < 256 else np.uint16
    labels = np.zeros(size, kind)
    covered = np.zeros(size, np.bool_)
    for name, rings in drawn:
        number = ignored if name is None else classes.find(name).id
        if number is None:
            raise _no_id("ignored pixels", classes)
        rows, columns, inside = fill_patch(rings, size)
        labels[rows, columns][inside] = number
        covered[rows, columns] |= inside
    if bare is not None:
        labels[~covered] = bare
    elif not covered.all():
        raise _no_id(f"{int((~covered).sum()):,} pixels without a region", classes)
    return labels


def _no_id(what: str, classes: ClassTable) -> UsageError:
    return UsageError(
        "the class table has no id for pixels that are of no class",
        where=f"class table {classes.name}",
        got=what,
        fix="give it an ignore_index, or a class of stuff named background",
    )


def _svg(content: bytes) -> tuple[tuple[int, int], _Drawn]:
    reader = _SvgReader()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        place = f"line {error.lineno}, column {error.offset}"
        raise _broken(f"{place}: {expat.ErrorString(error.code)}") from error
    except (LookupError, ValueError) as error:
        # Of an encoding that the file declares and nobody knows.
        raise _broken(str(error)[:200]) from error
    if reader.size is None:
        raise _broken("no <svg> with a viewBox of whole pixels from 0 0")
    return reader.size, reader.drawn


class _SvgReader:
    """Collects the paths of groups that name a class."""

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = None
        self.drawn: _Drawn = []
        self._name: str | None = None
        self._in_group = False

    def start(self, element: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        if element == "svg":
            box = re.fullmatch(r"0 0 ([1-9]\d{0,9}) ([1-9]\d{0,9})", attributes.get("viewBox", ""))
            if box is not None:
                self.size = _size(int(box[2]), int(box[1]))
        elif element == "g":
            self._in_group = "data-class" in attributes
            self._name = attributes.get("data-class") or None
        elif element == "path" and self._in_group:
            self.drawn.append((self._name, _rings(attributes.get("d", ""))))

    def doctype(self, *_: object) -> None:
        """A document type, whose entities may grow without end."""
        raise _broken("a document type declaration")


def _rings(text: str) -> list[NDArray[np.float64]]:
    """The rings of a path of absolute steps along rows and columns."""
    rings: list[NDArray[np.float64]] = []
    points: list[tuple[int, int]] = []
    end = 0
    for step in _STEP.finditer(text):
        if step.start() != end or (step[1] == "M") != (step[3] is not None):
            break
        kind, number = step[1], step[2]
        if (kind == "Z") != (number == "") or (kind != "M" and not points):
            break
        end = step.end()
        if kind == "M":
            points = [(int(number), int(step[3]))]
        elif kind == "Z":
            rings.append(np.array(points, np.float64))
            points = []
        else:
            x, y = points[-1]
            points.append((int(number), y) if kind == "H" else (x, int(number)))
    if end != len(text) or points or not text:
        raise _broken(f"a path that goes on at {end} as {text[end : end + 20]!r}")
    return rings


def _geojson(content: bytes) -> tuple[tuple[int, int], _Drawn]:
    try:
        value = json.loads(content)
        height, width = value["size"]
        drawn: _Drawn = []
        for feature in value["features"]:
            geometry = feature["geometry"]
            parts = geometry["coordinates"]
            if geometry["type"] == "Polygon":
                parts = [parts]
            elif geometry["type"] != "MultiPolygon":
                raise _broken(f"a geometry of type {geometry['type']!r}"[:80])
            rings = [np.array(ring, np.float64).reshape(-1, 2) for part in parts for ring in part]
            name = feature["properties"]["class"]
            drawn.append((None if name is None else str(name), rings))
    except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise _broken(f"{type(error).__name__}: {error}"[:200]) from error
    return _size(height, width), drawn


def _size(height: Any, width: Any) -> tuple[int, int]:
    sides = (height, width)
    if not all(type(side) is int and 0 < side < _LONGEST_SIDE for side in sides):
        raise _broken(f"a size of {height} × {width}"[:80])
    return height, width


def _broken(got: str) -> MaskFileError:
    return MaskFileError(
        "the file holds no regions that pixelwise wrote",
        got=got,
        fix="write it again with save_regions; files of others are read as data sets",
    )


_READERS = {"geojson": _geojson, "svg": _svg}
