"""Class tables that lie in a data set's folder, in the forms in which people write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixelwise.class_entries import key_of
from pixelwise.classes import ClassInfo, ClassTable, distinct_colours
from pixelwise.data.listing import Listing
from pixelwise.errors import ClassTableError, PixelwiseError, UsageError
from pixelwise.formats.annotations import BACKGROUND_NAMES

__all__ = ["TABLE_FILES", "csv_table", "find_table", "numbered_table", "read_table"]

_BUILTIN = ("ade20k", "camvid", "cityscapes", "coco", "voc")
_CSV = "classes.csv"
TABLE_FILES = (
    _CSV,
    "class_dict.csv",
    "labels.csv",
    "label_colors.txt",
    "label_colours.txt",
    "labelmap.txt",
    "classes.txt",
    "labels.txt",
    "names.txt",
)
"""Files at the root of a data set that may hold its class table, the surest first."""
_LINE = re.compile(r"(?:(?P<id>\d{1,5})[\s:,;]+)?(?P<name>[^\d\s].*)")
_COLOUR_LINE = re.compile(
    r"(?P<r>\d{1,3})[\s,]+(?P<g>\d{1,3})[\s,]+(?P<b>\d{1,3})[\s,]+(?P<name>\S.*)"
)
_NAME_FIRST_LINE = re.compile(
    r"(?P<name>[^,]+),\s*(?P<r>\d{1,3}),\s*(?P<g>\d{1,3}),\s*(?P<b>\d{1,3})"
)
_LABELMAP_LINE = re.compile(r"(?P<name>[^:#]+):(?P<r>\d{1,3}),(?P<g>\d{1,3}),(?P<b>\d{1,3}):.*")
_UNDECODED = re.compile("[\udc80-\udcff]")
_MOST_CLASSES = 10_000
_DARK_NAMES = BACKGROUND_NAMES | {"null", "void"}


def csv_table(listing: Listing) -> ClassTable | None:
    """The table in a `classes.csv` at the root, which goes before what annotation files say.

    Raises:
        ClassTableError: the file is no class table.
    """
    return ClassTable.from_csv(listing.root / _CSV) if _CSV in listing else None


def find_table(listing: Listing) -> ClassTable | None:
    """The class table at the root of a data set, or None.

    `classes.csv` in the form of `ClassTable.from_csv`; `class_dict.csv` (`name,r,g,b`); text files
    of one class per line: `name`, `id name`, `r g b name` or CVAT's `name:r,g,b::`.

    Raises:
        ClassTableError: a file named `classes.csv` is not one.
    """
    for name in TABLE_FILES:
        if name not in listing:
            continue
        if name == _CSV:
            return csv_table(listing)
        table = _parsed(listing, name)
        if table is not None:
            return table
    return None


def read_table(source: str | Path | ClassTable) -> ClassTable:
    """A class table from a table itself, the name of a built-in one, or a file.

    Raises:
        ClassTableError: there is neither such a table nor such a file, or the file is no table.
    """
    if isinstance(source, ClassTable):
        return source
    path = Path(source)
    if not path.exists():
        if path.suffix or len(path.parts) > 1:
            raise ClassTableError(
                "there is no such class table file",
                where=str(path),
                fix=f"correct its path, or name a built-in table: {', '.join(_BUILTIN)}",
            )
        return ClassTable.builtin(str(source))
    if path.suffix.lower() == ".csv" and path.name != "class_dict.csv":
        return ClassTable.from_csv(path)
    folder = path.parent
    listing = Listing(folder, {"": (path.name,)})
    if path.is_file() and _UNDECODED.search(listing.read_text(path.name)):
        raise ClassTableError(
            "the class table is not in UTF-8", where=str(path), fix="save it as UTF-8"
        )
    table = _parsed(listing, path.name)
    if table is None:
        raise ClassTableError(
            "the file is no class table",
            where=str(path),
            fix="write one class per line: its name, `id name` or `r g b name`; "
            f"or name a built-in table: {', '.join(_BUILTIN)}",
        )
    return table


def numbered_table(
    name: str, names: Sequence[tuple[int, str]], ignore_index: int | None, source: str
) -> ClassTable:
    """A table of ids and names, with colours that can be told apart; the background's is black.

    The background is the class of such a name, else an id 0 that has no name of its own.
    """
    colours = list(distinct_colours(len(names)))
    dark = next((n for n, (_, text) in enumerate(names) if key_of(text) in _DARK_NAMES), None)
    if dark is None and (0, "class 0") in names:
        dark = list(names).index((0, "class 0"))
    if dark is not None:
        colours[dark] = (0, 0, 0)
    return ClassTable(
        name,
        tuple(
            ClassInfo(number, text, colour)
            for (number, text), colour in zip(names, colours, strict=True)
        ),
        ignore_index,
        source,
    )


def _parsed(listing: Listing, name: str) -> ClassTable | None:
    try:
        text = listing.read_text(name)
    except UsageError:
        return None
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not 0 < len(lines) <= _MOST_CLASSES:
        return None
    source = f"{listing.root.absolute().name}/{name}"
    try:
        if name.endswith(".csv"):
            table = _coloured(listing, lines[1:], _NAME_FIRST_LINE, source)
            own = listing.root.absolute().name
            return table or ClassTable.from_csv(listing.root / name, name=own)
        for pattern in (_COLOUR_LINE, _LABELMAP_LINE):
            table = _coloured(listing, lines, pattern, source)
            if table is not None:
                return table
        return _plain(listing, lines, source)
    except PixelwiseError:
        return None


def _coloured(
    listing: Listing, lines: list[str], pattern: re.Pattern[str], source: str
) -> ClassTable | None:
    matches = [pattern.fullmatch(line) for line in lines]
    found: list[Any] = [match for match in matches if match]
    if not found or len(found) < len(matches):
        return None
    classes = tuple(
        ClassInfo(
            number, match["name"].strip(), (int(match["r"]), int(match["g"]), int(match["b"]))
        )
        for number, match in enumerate(found)
    )
    return ClassTable(listing.root.absolute().name, classes, None, source)


def _plain(listing: Listing, lines: list[str], source: str) -> ClassTable | None:
    found = [match for match in map(_LINE.fullmatch, lines) if match]
    if len(found) < len(lines):
        return None
    if any(match["name"].count(",") > 1 for match in found):
        return None  # a table of several columns, of which none says what it is
    numbered = [match["id"] is not None for match in found]
    if any(numbered) and not all(numbered):
        return None
    names = [
        (int(match["id"]) if match["id"] is not None else place, match["name"].strip())
        for place, match in enumerate(found)
    ]
    return numbered_table(listing.root.absolute().name, names, None, source)
