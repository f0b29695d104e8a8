"""New names for pictures: one flat name each, told apart, and safe in lists.

The folders that tell pictures of a split apart go in front of the name: `Tile 1/images/a.jpg` and
`Tile 2/images/a.jpg` become `Tile_1_a` and `Tile_2_a`. Blanks and control characters become "_",
as lists of names part at blanks. Where two names still meet, the whole path is taken, then a
number added. `sources.csv` in the new data set says where each picture came from.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Sequence

from pixelwise.data.convert.base import Item
from pixelwise.data.dataset import Entry

__all__ = ["SOURCES", "plan_names", "sources_file"]

SOURCES = "sources.csv"

_LONGEST = 180
"""Bytes of a name: most disks take 255, and formats add endings."""

_ENDING = "_leftImg8bit"


def plan_names(entries: Sequence[Entry]) -> list[Item]:
    """An item for each entry, in their order."""
    folders = [entry.image.rpartition("/")[0].split("/") for entry in entries]
    told = _telling(entries, folders)
    stems = [entry.name.rpartition("/")[2].removesuffix(_ENDING) or "_" for entry in entries]
    short = [_joined(parts, stem) for parts, stem in zip(told, stems, strict=True)]
    times = Counter(name.casefold() for name in short)
    taken: set[str] = set()
    items = []
    for entry, parts, all_parts, stem, name in zip(
        entries, told, folders, stems, short, strict=True
    ):
        wanted = name if times[name.casefold()] == 1 else _joined(all_parts, stem)
        unique = _unique(wanted, taken)
        taken.add(unique.casefold())
        suffix = _plain(entry.image[len(entry.name) :])
        items.append(Item(entry.image, entry.split, "_".join(map(_plain, parts)), unique, suffix))
    return items


def sources_file(items: Sequence[Item], pictures: Sequence[str]) -> bytes:
    """A table of each picture's path in the new data set, and in the one it came from."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("image", "source"))
    writer.writerows((picture, item.image) for item, picture in zip(items, pictures, strict=True))
    return text.getvalue().encode("utf-8", "surrogateescape")


def _telling(entries: Sequence[Entry], folders: Sequence[list[str]]) -> list[list[str]]:
    """Of each picture's folders those that differ between pictures of its split."""
    kinds: dict[tuple[str, int, int], set[str]] = {}
    for entry, parts in zip(entries, folders, strict=True):
        for place, part in enumerate(parts):
            kinds.setdefault((entry.split, len(parts), place), set()).add(part)
    return [
        [part for place, part in enumerate(parts) if len(kinds[entry.split, len(parts), place]) > 1]
        for entry, parts in zip(entries, folders, strict=True)
    ]


def _joined(parts: Sequence[str], stem: str) -> str:
    """Folders and name as one name; a folder that the name starts with is not said twice."""
    front = "_".join(part for part in parts if part)
    twice = not front or stem == front or stem.startswith(f"{front}_")
    name = _plain(stem if twice else f"{front}_{stem}")
    # A dot in front would hide the file.
    return _short(f"_{name[1:]}" if name.startswith(".") else name)


def _plain(text: str) -> str:
    """The text without what parts or ends a line."""
    return "".join(
        "_" if letter.isspace() or not (letter.isprintable() or _is_byte(letter)) else letter
        for letter in text
    )


def _is_byte(letter: str) -> bool:
    """Whether it stands for a byte of a file name that is no UTF-8."""
    return 0xDC80 <= ord(letter) <= 0xDCFF


def _short(name: str) -> str:
    content = name.encode("utf-8", "surrogateescape")
    if len(content) <= _LONGEST:
        return name
    mark = hashlib.blake2b(content, digest_size=6).hexdigest()
    return f"{content[:_LONGEST].decode('utf-8', 'ignore')}_{mark}"


def _unique(name: str, taken: set[str]) -> str:
    number, unique = 1, name
    while unique.casefold() in taken:
        number += 1
        unique = f"{name}_{number}"
    return unique
