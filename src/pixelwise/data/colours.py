"""The colours, or grey values, that masks hold: counted, told from strays, and written as a table.

For masks whose meaning is not known yet: no class table is needed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.colours import Colour, colour_codes, colour_of
from pixelwise.data.colour_names import ColourNames, placeholder, strays_among
from pixelwise.data.faults import Fault
from pixelwise.data.parallel import in_order
from pixelwise.errors import ImageFileError
from pixelwise.formats.decoding import Picture, decode
from pixelwise.kernels.checks import usable_cores

__all__ = ["ColourCount", "ColourCounts", "count_colours"]

_MOST_KEPT = 1 << 18
_IGNORED_VALUE = 255
_HIGHEST = 65_535
_JPEG = ("JPEG", "MPO")


@dataclass(frozen=True)
class ColourCount:
    """One colour or value found in masks.

    Attributes:
        colour: red, green, blue; None for a value that is no colour.
        value: the number in a mask of numbers; None for a colour.
        pixels: how many pixels have it.
        files: how many masks.
        example: one of these, with most pixels of it.
        indices: the palette indices that showed this colour, rising.
        stray: why it is taken for no class, such as "rare"; "" where it may be one.
        known_as: what it stands for in class tables that have exactly this colour, table by table.
        name: the suggested name; "" if there is none.
        ignored: whether it seems to stand for pixels that do not count: the class table of the data
            set says so, or it is 255 above all other values, or below 0.
    """

    colour: Colour | None
    value: int | None
    pixels: int
    files: int
    example: str
    indices: tuple[int, ...] = ()
    stray: str = ""
    known_as: tuple[str, ...] = ()
    name: str = ""
    ignored: bool = False

    @property
    def title(self) -> str:
        """The suggested name, or one that says what it is."""
        if self.name or self.ignored:
            return self.name or "unlabelled"
        if self.colour is None:
            return f"class {self.value}"
        return placeholder(self.colour)


@dataclass(frozen=True)
class ColourCounts:
    """What all masks hold.

    Attributes:
        found: colours and values, the most frequent first, strays last.
        files: how many masks were read.
        pixels: of all of them.
        kinds: how many masks are stored how: as "colours", "palette", "values".
        unlisted: how many pixels have colours beyond those that are kept, 262,144.
        faults: masks that cannot be read.
        jpegs: how many masks are JPEG files, which keep no colour exactly.
    """

    found: tuple[ColourCount, ...]
    files: int
    pixels: int
    kinds: Mapping[str, int]
    unlisted: int
    faults: tuple[Fault, ...]
    jpegs: int = 0

    @property
    def classes(self) -> tuple[ColourCount, ...]:
        """Those that may be classes."""
        return tuple(count for count in self.found if not count.stray)

    @property
    def strays(self) -> tuple[ColourCount, ...]:
        """Those that are taken for none."""
        return tuple(count for count in self.found if count.stray)

    @property
    def indices_are_ids(self) -> bool:
        """Whether each palette index shows one colour in all masks, and each colour has one."""
        indices = [count.indices for count in self.found]
        single = all(len(numbers) == 1 for numbers in indices)
        return single and len(set(indices)) == len(indices)

    @property
    def binary(self) -> bool:
        """Whether all masks are of 0 and 255, that is of black and white rather than of ids."""
        return {(count.colour, count.value) for count in self.found} == {(None, 0), (None, 255)}

    @property
    def rows(self) -> tuple[ColourCount, ...]:
        """Those that have a row of their own in `to_csv`."""
        return tuple(count for _, count in self._numbered())

    def to_csv(self) -> str:
        """A class table in the form of `ClassTable.from_csv`, names to fill in.

        Strays are left out, and values above 65,534, which no class can have. Ids are the values
        or palette indices where they mean something, else places by frequency. Black and white
        become 0 and 1. What is below 0 is the ignored id: one row for all of it.
        """
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", "name", "r", "g", "b", "use"])
        for number, count in self._numbered():
            colour: tuple[int | str, ...] = count.colour or ("", "", "")
            if self.binary:
                colour = (number * 255,) * 3
            use = "ignore" if count.ignored else "class"
            writer.writerow([number, count.title, *colour, use])
        return stream.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Everything in types that JSON has."""
        return {
            "masks": self.files,
            "pixels": self.pixels,
            "stored_as": dict(self.kinds),
            "unlisted_pixels": self.unlisted,
            "jpegs": self.jpegs,
            "indices_are_ids": self.indices_are_ids,
            "found": [
                {
                    "colour": None if count.colour is None else list(count.colour),
                    "value": count.value,
                    "pixels": count.pixels,
                    "files": count.files,
                    "example": count.example,
                    "indices": list(count.indices),
                    "stray": count.stray,
                    "known_as": list(count.known_as),
                    "name": count.title,
                    "ignored": count.ignored,
                }
                for count in self.found
            ],
            "faults": [
                {"file": fault.file, "what": fault.what, "got": fault.got, "fix": fault.fix}
                for fault in self.faults
            ],
        }

    def _numbered(self) -> list[tuple[int, ColourCount]]:
        """Classes by id; all that is ignored has one id."""
        by_index = self.indices_are_ids
        numbered = []
        for place, count in enumerate(c for c in self.classes if not c.ignored):
            own = count.indices[0] if by_index else place
            numbered.append((own if count.value is None else count.value, count))
        if self.binary:
            numbered = [(number // 255, count) for number, count in numbered]
        numbered = [pair for pair in numbered if 0 <= pair[0] < _HIGHEST]
        ignored = [count for count in self.classes if count.ignored and (count.value or 0) >= 0]
        values = [count.value for count in ignored if count.value is not None]
        # Readers take -1 for the ignored id of the table, which must then have one.
        below = [count for count in self.classes if (count.value or 0) < 0]
        ignored = ignored or below[:1]
        highest = max((number for number, _ in numbered), default=0)
        number = values[0] if values else _IGNORED_VALUE if highest < _IGNORED_VALUE else _HIGHEST
        numbered += [(number, count) for count in ignored]
        return sorted(numbered, key=lambda pair: pair[0])


def count_colours(
    root: Path,
    files: Sequence[str],
    *,
    table: ClassTable | None = None,
    ignored_names: Mapping[int | Colour, str] | None = None,
    objects: bool = False,
    workers: int = 0,
    progress: Callable[[int], object] | None = None,
) -> ColourCounts:
    """Counts the colours of masks, one mask after the other; faults stop nothing.

    Palette masks count as the colours that their palettes show, grey ones as values. A colour is
    taken for a stray if it is rare both in all and in the masks that have it (below 0.01 % and
    0.1 %), or, at ten times these limits, if it lies close to a hundred times more frequent colour
    or between two such, as smoothed or compressed edges do. Values are never strays.

    Args:
        root: the folder that the paths start from.
        files: the masks, relative to it.
        table: names of the own classes, if known; they go before those of the built-in tables.
        ignored_names: names of what the own table ignores, by value and by colour.
        objects: values are numbers of objects: all above 0 count as 1.
        workers: threads; 0 for every core that this process may use.
        progress: called with the number of masks read since the last call.
    """
    tally = _Tally()

    def look(file: str) -> _Look | Fault:
        return _look(root, file, objects=objects)

    threads = workers or usable_cores()
    looks = in_order(look, files, workers=0 if threads == 1 else threads, ahead=2 * threads)
    for seen in looks:
        tally.add(seen)
        if progress is not None:
            progress(1)
    return tally.counts(table, ignored_names or {})


@dataclass(frozen=True, slots=True)
class _Look:
    """What one mask holds: codes 0xBBGGRR or values, and their pixels, in the same order."""

    file: str
    kind: str
    codes: list[int]
    pixels: list[int]
    indices: list[int]
    jpeg: bool


@dataclass(slots=True)
class _Sum:
    pixels: int = 0
    files: int = 0
    area: int = 0
    most: int = 0
    example: str = ""
    indices: set[int] | None = None


def _look(root: Path, file: str, *, objects: bool) -> _Look | Fault:
    try:
        picture = decode(root / file)
    except ImageFileError as error:
        return Fault.from_error(error, file)
    if picture.kind == "F":
        return Fault(
            "the mask holds fractional numbers",
            file,
            got=str(picture.pixels.dtype),
            fix="export it as an indexed or grey PNG",
        )
    pixels, jpeg = picture.pixels, picture.container in _JPEG
    if picture.palette is not None:
        indices, counts = _runs(pixels[..., 0] if pixels.ndim == 3 else pixels)
        codes = colour_codes(picture.palette[indices])
        return _Look(file, "palette", codes.tolist(), counts.tolist(), indices.tolist(), jpeg)
    if picture.kind in {"RGB", "RGBA"}:
        values, counts = _runs(colour_codes(pixels))
        return _Look(file, "colours", values.tolist(), counts.tolist(), [], jpeg)
    numbers = _numbers(picture)
    values, counts = _runs(np.minimum(numbers, 1) if objects else numbers)
    return _Look(file, "values", values.tolist(), counts.tolist(), [], jpeg)


def _numbers(picture: Picture) -> NDArray[Any]:
    greys = picture.pixels[..., 0] if picture.kind == "LA" else picture.pixels
    # Pillow stretches fewer bits over 0 … 255.
    stretched = picture.kind == "L" and picture.bits in {2, 4}
    return greys // np.uint8(255 // (2**picture.bits - 1)) if stretched else greys


def _runs(mask: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The values of a mask and how often each comes; masks are runs of equal pixels."""
    flat = mask.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=len(flat))
    values, inverse = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(inverse.reshape(-1), weights=lengths).astype(np.int64)
    return values, counts


class _Tally:
    """Sums over masks."""

    def __init__(self) -> None:
        self._sums: dict[tuple[bool, int], _Sum] = {}
        self._kinds: dict[str, int] = {}
        self._faults: list[Fault] = []
        self._pixels = 0
        self._unlisted = 0
        self._jpegs = 0

    def add(self, look: _Look | Fault) -> None:
        if isinstance(look, Fault):
            self._faults.append(look)
            return
        self._jpegs += look.jpeg
        area = sum(look.pixels)
        self._pixels += area
        self._kinds[look.kind] = self._kinds.get(look.kind, 0) + 1
        here: set[int] = set()
        for place, (code, pixels) in enumerate(zip(look.codes, look.pixels, strict=True)):
            key = look.kind == "values", code
            if key not in self._sums and len(self._sums) >= _MOST_KEPT:
                self._unlisted += pixels
                continue
            total = self._sums.setdefault(key, _Sum())
            total.pixels += pixels
            # Several indices of a palette may show one colour.
            if code not in here:
                here.add(code)
                total.files += 1
                total.area += area
            if pixels > total.most:
                total.most, total.example = pixels, look.file
            if look.indices:
                total.indices = (total.indices or set()) | {look.indices[place]}

    def counts(
        self, table: ClassTable | None, ignored_names: Mapping[int | Colour, str]
    ) -> ColourCounts:
        strays = strays_among(
            {
                code: (total.pixels, total.area)
                for (is_value, code), total in self._sums.items()
                if not is_value
            },
            self._pixels,
        )
        names = ColourNames(
            [code for is_value, code in self._sums if not is_value and code not in strays],
            {code for is_value, code in self._sums if is_value},
            table,
        )
        found = [
            ColourCount(
                colour=None if is_value else colour_of(code),
                value=code if is_value else None,
                pixels=total.pixels,
                files=total.files,
                example=total.example,
                indices=tuple(sorted(total.indices or ())),
                stray="" if is_value else strays.get(code, ""),
                known_as=() if is_value else names.known_as(colour_of(code)),
                name=ignored_names.get(code if is_value else colour_of(code))
                or (names.of_value(code) if is_value else names.of_colour(colour_of(code))),
                ignored=names.ignores_value(code)
                if is_value
                else names.ignores_colour(colour_of(code)),
            )
            for (is_value, code), total in self._sums.items()
        ]
        found.sort(key=lambda count: (bool(count.stray), -count.pixels, count.title))
        return ColourCounts(
            found=tuple(found),
            files=sum(self._kinds.values()),
            pixels=self._pixels,
            kinds=self._kinds,
            unlisted=self._unlisted,
            faults=tuple(self._faults),
            jpegs=self._jpegs,
        )
