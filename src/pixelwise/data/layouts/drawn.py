"""What the layouts of drawn objects share: their classes, their pictures, and the reader."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Entry
from pixelwise.data.faults import Fault
from pixelwise.data.listing import Listing
from pixelwise.data.objects import AnnotatedObject, paint
from pixelwise.data.shapes import Outline
from pixelwise.data.targets import MaskTarget, TargetKind
from pixelwise.errors import MaskFileError

__all__ = [
    "DrawnObjects",
    "DrawnPicture",
    "FaultList",
    "PictureFiles",
    "outline_faults",
    "peek",
    "read_json",
    "size_in",
]

_LARGEST_JSON = 1 << 32
_PEEK = 1 << 16
_MOST_OF_A_KIND = 1000
# Tools round points at the border outwards.
_TOLERANCE = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class DrawnPicture:
    """The objects of one picture.

    Attributes:
        objects: in the order of the file.
        size: `(H, W)` that the annotation file says; None where it does not.
        damage: why its truth cannot be known; "" where it can.
        number: what the annotation file refers to it by; None where it has no such thing.
    """

    objects: tuple[AnnotatedObject, ...]
    size: tuple[int, int] | None = None
    damage: str = ""
    number: int | str | None = None


@dataclass(frozen=True, eq=False)
class DrawnObjects:
    """Paints the objects of annotation files.

    Attributes:
        pictures: by `Entry.row`.
        uncovered: the id of pixels that no object covers.
        kind: the target wanted; None for instances.
        categories: the class id of each category's number in the file; empty where it has none.
    """

    pictures: tuple[DrawnPicture, ...]
    uncovered: int
    kind: TargetKind | None = None
    categories: Mapping[int, int] = field(default_factory=dict, repr=False)

    def read(
        self, root: Path, entry: Entry, classes: ClassTable, size: tuple[int, int]
    ) -> MaskTarget:
        """The target of the entry's objects; see `Truth.read`."""
        where = f"picture {root / entry.image} · annotations {root / entry.truth}"
        picture = self.pictures[entry.row]
        if picture.damage:
            raise MaskFileError(
                "the annotations of the picture are damaged",
                where=where,
                got=picture.damage,
                fix="correct them, or leave the picture out",
            )
        if picture.size is not None and picture.size != size:
            turned = picture.size == size[::-1]
            raise MaskFileError(
                "the picture is not of the size that its annotations say",
                where=where,
                got=f"picture {size[0]}×{size[1]} · annotations "
                f"{picture.size[0]}×{picture.size[1]} (height × width)",
                fix="the picture was annotated lying on its side: its EXIF orientation was not "
                "applied; turn its pixels and annotate it again"
                if turned
                else "use the picture that was annotated, or annotate this one",
            )
        try:
            return paint(picture.objects, classes, size, uncovered=self.uncovered, kind=self.kind)
        except MaskFileError as error:
            raise MaskFileError(error.what, where=where, got=error.got, fix=error.fix) from error


class FaultList:
    """Collects faults; of one kind in one file the first thousand, and how many more there are."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(
        self, what: str, file: str, *, got: str = "", fix: str = "", warning: bool = False
    ) -> None:
        """Adds a fault: an error, or a warning."""
        self._counts[what, file] += 1
        if self._counts[what, file] <= _MOST_OF_A_KIND:
            self._faults.append(Fault(what, file, got, fix, "warning" if warning else "error"))

    def extend(self, faults: Iterable[Fault]) -> None:
        """Adds faults that others found."""
        for fault in faults:
            warning = fault.severity == "warning"
            self.add(fault.what, fault.file, got=fault.got, fix=fault.fix, warning=warning)

    def all(self) -> tuple[Fault, ...]:
        """The faults in the order in which they were found."""
        more = [
            Fault(what, file, f"and {count - _MOST_OF_A_KIND:,} more of this kind")
            for (what, file), count in self._counts.items()
            if count > _MOST_OF_A_KIND
        ]
        return (*self._faults, *more)


class PictureFiles:
    """The picture files of a data set, found by the names that annotation files give them."""

    def __init__(self, listing: Listing) -> None:
        self._paths = tuple(listing.pictures())
        self._known = frozenset(self._paths)
        self._by_name: dict[str, list[str]] = {}
        for path in self._paths:
            self._by_name.setdefault(path.rpartition("/")[2], []).append(path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def find(self, name: object, near: str, *, prefer: str = "") -> tuple[str, str]:
        """The path of a picture, or why there is none: one of the two is "".

        It is looked for beside the annotation file, then by the path from the root, then by the
        end of its path, then by its name alone. Only files below the root are ever found.

        Args:
            name: as the annotation file has it.
            near: the folder of the annotation file.
            prefer: a folder's name that decides between several pictures of one name.
        """
        if not isinstance(name, str) or not name:
            return "", f"no file name but {str(name)[:80]!r}"
        plain = name.replace("\\", "/")
        for base in (near, ""):
            path = os.path.normpath(f"{base}/{plain}" if base else plain)
            if path in self._known:
                return path, ""
        if plain.startswith("/") or plain[1:2] == ":" or ".." in plain.split("/"):
            return "", f"{name!r} leads out of the data set"
        ends = PurePosixPath(plain).parts
        named = self._by_name.get(ends[-1] if ends else "", [])
        found = [path for path in named if PurePosixPath(path).parts[-len(ends) :] == ends]
        found = found or named
        if len(found) > 1:
            found = [path for path in found if prefer and prefer in path.split("/")] or found
        if len(found) > 1:
            return "", f"{name!r} could be {', '.join(found[:4])}"
        return (found[0], "") if found else ("", f"{name!r} is not there")

    def lone(self, used: Iterable[str]) -> list[str]:
        """Pictures that are not used, in the folders of those that are."""
        taken = set(used)
        folders = {path.rpartition("/")[0] for path in taken}
        return [
            path for path in self._paths if path not in taken and path.rpartition("/")[0] in folders
        ]


def peek(path: Path) -> str:
    """The start and the end of a text file, some 64 KiB each; "" where it cannot be read."""
    try:
        with path.open("rb") as stream:
            start = stream.read(_PEEK)
            stream.seek(max(path.stat().st_size - _PEEK, len(start)))
            return (start + stream.read(_PEEK)).decode("utf-8", "replace")
    except OSError:
        return ""


def read_json(
    path: Path, file: str, *, hook: Callable[[dict[str, Any]], Any] | None = None
) -> tuple[Any, Fault | None]:
    """The content of a JSON file, or None and the fault.

    Args:
        path: the file.
        file: its name in the fault.
        hook: makes something smaller of each object as soon as it is read.
    """
    what, got, fix = "the annotation file cannot be read", "", "export the annotations again"
    try:
        if path.stat().st_size > _LARGEST_JSON:
            got = f"{path.stat().st_size:,} bytes, at most {_LARGEST_JSON:,}"
            return None, Fault(what, file, got, "split it into several files")
        return json.loads(path.read_bytes(), object_hook=hook), None
    except json.JSONDecodeError as error:
        got = f"line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}"
    except RecursionError:
        got = "objects in objects, too deep to be annotations"
    except ValueError as error:
        got = str(error)[:200]
    except OSError as error:
        got, fix = error.strerror or str(error), "check that the file may be read"
    return None, Fault(what, file, got, fix)


def size_in(
    entry: Mapping[str, Any], height: str = "height", width: str = "width"
) -> tuple[int, int] | None:
    """`(H, W)` as an annotation file says it under these keys; None where it does not."""
    sides = [entry.get(height), entry.get(width)]
    whole = [int(side) for side in sides if isinstance(side, int) and 0 < side < 2**31]
    return (whole[0], whole[1]) if len(whole) == 2 else None


def outline_faults(
    objects: Sequence[AnnotatedObject], size: tuple[int, int] | None
) -> tuple[list[tuple[str, str]], str]:
    """What is wrong with the points of a picture's outlines.

    Args:
        objects: of one picture.
        size: `(H, W)`; None if it is not known, and then only shares can lie outside.

    Returns:
        Kinds of faults with what was found, and the damage, as in `DrawnPicture`.
    """
    outlines = [thing.shape for thing in objects if isinstance(thing.shape, Outline)]
    if not outlines:
        return [], ""
    whole = np.concatenate([outline.points for outline in outlines])
    counts = [len(outline.points) for outline in outlines]
    limits = [_limits(outline, size) for outline in outlines]
    high = np.repeat(np.array([high for high, _ in limits], np.float32), counts, axis=0)
    slack = np.repeat(np.array([slack for _, slack in limits], np.float32), counts, axis=0)
    inside = ((whole >= -slack) & (whole <= high + slack)).all(axis=1)  # false for NaN
    shortest = [
        min((end - start for start, end in pairwise((0, *outline.ends))), default=0)
        for outline in outlines
    ]
    # Nearly always all is well, and that takes one look.
    if inside.all() and min(shortest) >= 3:
        return [], ""
    found: list[tuple[str, str]] = []
    damage = ""
    parts = np.split(inside, np.cumsum(counts)[:-1])
    for outline, least, part, (most, _) in zip(outlines, shortest, parts, limits, strict=True):
        if least < 3:
            found.append(("an outline has fewer than 3 points", str(least)))
        if not np.isfinite(outline.points).all():
            damage = "a point is no number (NaN or infinite)"
            found.append(("a point of an outline is no number", "NaN or infinite"))
        elif not part.all():
            found.append(_outside(outline.points, most))
    return found, damage


def _limits(
    outline: Outline, size: tuple[int, int] | None
) -> tuple[tuple[float, float], tuple[float, float]]:
    """The greatest x and y, and how far beyond them and below 0 a point may lie."""
    if outline.relative:
        height, width = size or (100, 100)
        return (1.0, 1.0), (_TOLERANCE / width, _TOLERANCE / height)
    if size is None:
        return (np.inf, np.inf), (np.inf, np.inf)
    return (float(size[1]), float(size[0])), (_TOLERANCE, _TOLERANCE)


def _outside(points: NDArray[np.float32], most: tuple[float, float]) -> tuple[str, str]:
    low, high = points.min(axis=0), points.max(axis=0)
    got = (
        f"x {low[0]:g} … {high[0]:g}, y {low[1]:g} … {high[1]:g}; "
        f"the picture ends at {most[0]:g} and {most[1]:g}"
    )
    if (high <= 0).any() or (low >= most).any():
        return "an outline lies outside the picture", got
    return "an outline reaches out of the picture", got
