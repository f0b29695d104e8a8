"""What a search knows of one file: read from its header, no pixel decoded."""

from __future__ import annotations

import json
import re
import stat
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.formats.cog import read_cog_facts
from pixelwise.formats.raster_reader import TIFF_SUFFIXES
from pixelwise.inference.jobs import facts_in
from pixelwise.presence import CELLS, Presence

__all__ = [
    "NOTHING",
    "NO_RESULT",
    "PART",
    "RESULT",
    "SUFFIXES",
    "UNREADABLE",
    "UNSETTLED",
    "Entry",
    "read_entry",
]

SUFFIXES = (".png", *sorted(TIFF_SUFFIXES))

RESULT, NO_RESULT, UNREADABLE, PART = 0, 1, 2, 3
"""What a file is: one that tells what its picture shows, none such, one that cannot be read, or one
beside the first, such as the mask of another class."""

NOTHING = ""
"""The name under which pixels without data are counted, which are no part of a raster."""

UNSETTLED = -1
"""The time of a file that may be written again without its time changing."""

_PNG_SIZE = slice(16, 24)
# So that areas are numbers of 64 bits.
_LONGEST_SIDE = 2**31
_TWO_SIDES = struct.Struct(">II")
_CLASS_ITEM = re.compile(r"CLASS_\d+").fullmatch
_NO_SENSE = (KeyError, OverflowError, RecursionError, TypeError, ValueError, struct.error)


@dataclass(frozen=True, eq=False)
class Entry:
    """One file.

    Attributes:
        path: relative to the folder, with "/" between its parts.
        length: of the file in bytes.
        changed: when it was last changed, nanoseconds; `UNSETTLED`: look again next time.
        kind: `RESULT`, `NO_RESULT`, `UNREADABLE` or `PART`.
        source: name of the picture that the result was made of.
        size: `(H, W)` of the picture.
        known: names of all classes that it could show.
        names: of the classes that occur, and `NOTHING` for pixels without data.
        pixels: int64 `[n]`, of each of these.
        cells: int64 `[n, 64]`, of each in 8 × 8 cells; None where the file does not tell.
    """

    path: str
    length: int
    changed: int
    kind: int = NO_RESULT
    source: str = ""
    size: tuple[int, int] = (0, 0)
    known: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    pixels: NDArray[np.int64] | None = None
    cells: NDArray[np.int64] | None = None


def read_entry(folder: Path, path: str, length: int, changed: int) -> Entry:
    """What a file says of itself.

    Only its header is read. A file that says nothing, or nothing that makes sense, is no result.
    """
    place, file = folder / path, Entry(path, length, changed)
    try:
        if not stat.S_ISREG(place.stat().st_mode):
            return file
        with place.open("rb") as stream:
            facts = facts_in(place)
            head = stream.read(_PNG_SIZE.stop)
    except OSError:
        return replace(file, changed=UNSETTLED, kind=UNREADABLE)
    try:
        return _told(place, facts, head, file)
    except _NO_SENSE:
        return file


def _told(place: Path, facts: dict[str, Any], head: bytes, file: Entry) -> Entry:
    """The entry of a file with facts; raises whatever comes where they make no sense."""
    if "presence" in facts:
        return _result(facts, file)
    if "model_hash" in facts and not {"shares", "result"} & facts.keys():
        return replace(file, kind=PART)
    if "result" not in facts:
        return _older(facts, head, file)
    # All rasters and overlays of a result say this; the names of ids stand in its labels.
    items = read_cog_facts(place) if place.suffix == ".tif" else {}
    return _older_raster(facts, file) if any(map(_CLASS_ITEM, items)) else file


def _result(facts: dict[str, Any], file: Entry) -> Entry:
    """The entry of a label map of ours; raises whatever comes where it is none."""
    presence = Presence.decode(facts["presence"])
    if max(presence.size) >= _LONGEST_SIDE:
        raise ValueError("no size")
    classes = {int(id_): _name(name) for id_, name in dict(json.loads(facts["classes"])).items()}
    is_raster = "result" in facts
    names, rows = [], []
    for row, id_ in enumerate(presence.ids.tolist()):
        # An ignored pixel is part of a photo, one without data is no part of a raster.
        if id_ in classes or is_raster:
            names.append(classes.get(id_, NOTHING))
            rows.append(row)
    cells = presence.counts.reshape(-1, CELLS)[rows]
    return replace(
        file,
        kind=RESULT,
        source=_name(facts["source"]) if facts["source"] else "",
        size=presence.size,
        known=tuple(classes.values()),
        names=tuple(names),
        pixels=cells.sum(axis=1),
        cells=cells,
    )


def _older_raster(facts: dict[str, Any], file: Entry) -> Entry:
    """The entry of a label raster that tells how much there is of every class, and not where."""
    said = json.loads(facts["result"])
    height, width = map(int, said["size"])
    if not (0 <= height < _LONGEST_SIDE and 0 <= width < _LONGEST_SIDE):
        raise ValueError("no size")
    counts = {_name(entry["name"]): int(entry["pixels"]) for entry in said["classes"]}
    names = tuple(counts)
    return replace(
        file,
        kind=RESULT,
        source=_name(facts["source"]),
        size=(height, width),
        known=names,
        names=(*names, NOTHING),
        pixels=np.array([*counts.values(), int(said["nodata_pixels"])], np.int64),
    )


def _older(facts: dict[str, Any], head: bytes, file: Entry) -> Entry:
    """The entry of a label map that tells shares alone."""
    width, height = _TWO_SIDES.unpack(head[_PNG_SIZE])
    shares = dict(json.loads(facts["shares"]))
    names = tuple(map(_name, shares))
    return replace(
        file,
        kind=RESULT,
        source=_name(facts["source"]) if facts["source"] else "",
        size=(height, width),
        known=names,
        names=names,
        pixels=np.array([round(shares[name] * height * width) for name in names], np.int64),
    )


def _name(value: object) -> str:
    """A name as the index keeps it: it cuts texts at zero bytes."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("no name")
    return value
