"""Class tables as plain values: their text form, and everything that can be wrong in them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pixelwise.colours import Colour, distinct_colours

__all__ = ["is_whole", "key_of", "listed", "read_lines", "shown", "table_faults"]

_FAULTS_SHOWN = 20
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Zero-width joiners spell words in Persian and in several scripts of India.
_JOINERS = "\u200c\u200d"
_TABLE_KEYS = ({"name", "classes", "ignore_index", "source"}, {"ignore_colours"})
_CLASS_KEYS = ({"id", "name", "colour"}, {"kind", "aliases"})
_COLUMNS = ({"id", "name"}, {"r", "g", "b", "use", "kind", "aliases"})
_CHANNELS = frozenset("rgb")


def key_of(name: str) -> str:
    """What two names have in common when they count as one."""
    return unicodedata.normalize("NFKC", name).casefold()


def is_whole(value: object) -> bool:
    """Whether a value is an integer, Python's or NumPy's, and not a truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def shown(value: object) -> str:
    """A value as an error shows it: short, whatever it is."""
    if isinstance(value, str):
        return repr(value[:80])
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge number"
    if isinstance(value, list | tuple) and len(value) <= 4:
        # One level: what a stranger nested a thousand deep is not followed.
        parts = ["…" if isinstance(part, list | tuple | dict) else shown(part) for part in value]
        return f"({', '.join(parts)})"
    plain = value is None or isinstance(value, int | float | np.generic)
    return repr(value) if plain else type(value).__name__


def listed(faults: Sequence[str]) -> str:
    """Faults one under the other; where they are very many, the first of them."""
    more = len(faults) - _FAULTS_SHOWN
    return "\n  ".join([*faults[:_FAULTS_SHOWN], *([f"… and {more} more"] if more > 0 else [])])


def table_faults(value: object) -> list[str]:
    """Everything that is wrong with the plain form of a class table, empty if nothing is.

    Args:
        value: a mapping with the fields of `ClassTable`, its classes as a list of mappings.
    """
    if not isinstance(value, Mapping):
        return [f"not a table but {shown(value)}"]
    faults = _key_faults(value, _TABLE_KEYS, "table")
    if "name" in value:
        faults += _text_faults(value["name"], "name")
    if "source" in value and value["source"] != "":
        faults += _text_faults(value["source"], "source")
    classes = value.get("classes", [None])
    if not isinstance(classes, list | tuple):
        faults.append(f"classes: not a list but {shown(classes)}")
        classes = [None]
    if not classes:
        faults.append("classes: there must be one at least")
    entries = []
    for place, entry in enumerate(classes):
        if isinstance(entry, Mapping):
            entries.append(entry)
            faults += _class_faults(entry, f"classes[{place}] {shown(entry.get('name'))}")
        elif "classes" in value:
            faults.append(f"classes[{place}]: not a class but {shown(entry)}")
    faults += _shared_faults(entries)
    return faults + _ignore_faults(value, entries)


def _key_faults(
    entry: Mapping[Any, object], keys: tuple[set[str], set[str]], where: str
) -> list[str]:
    required, optional = keys
    missing = [f"{where}: {key} is missing" for key in sorted(required - set(entry))]
    unknown = [key for key in entry if key not in required | optional]
    return missing + [f"{where}: {shown(key)} is not known" for key in unknown]


def _class_faults(entry: Mapping[Any, object], where: str) -> list[str]:
    faults = _key_faults(entry, _CLASS_KEYS, where)
    if "id" in entry and not _is_whole_up_to(entry["id"], 65_534):
        faults.append(f"{where}: id {shown(entry['id'])}, expected 0 … 65534")
    if "name" in entry:
        faults += _text_faults(entry["name"], f"{where}: name")
    if "colour" in entry and not _is_colour(entry["colour"]):
        faults.append(f"{where}: colour {shown(entry['colour'])}, expected three of 0 … 255")
    kind = entry.get("kind", "stuff")
    if not (isinstance(kind, str) and kind in ("thing", "stuff")):
        faults.append(f"{where}: kind {shown(kind)}, expected 'thing' or 'stuff'")
    aliases = entry.get("aliases", ())
    if not isinstance(aliases, list | tuple):
        return [*faults, f"{where}: aliases {shown(aliases)}, expected a list of names"]
    return faults + [fault for alias in aliases for fault in _text_faults(alias, f"{where}: alias")]


def _shared_faults(entries: Sequence[Mapping[Any, object]]) -> list[str]:
    owners: dict[object, list[str]] = {}
    for entry in entries:
        if is_whole(entry.get("id")):
            owners.setdefault(entry["id"], []).append(shown(entry.get("name")))
    faults = [
        f"id {shown(id_)} is shared by {', '.join(names)}"
        for id_, names in owners.items()
        if len(names) > 1
    ]
    holders: dict[str, list[str]] = {}
    for entry in entries:
        for name in _names(entry):
            holder = f"{shown(name)} of id {shown(entry.get('id'))}"
            holders.setdefault(key_of(name), []).append(holder)
    shared = [" and ".join(names) for names in holders.values() if len(names) > 1]
    return faults + [f"names are not unique: {names}" for names in shared]


def _names(entry: Mapping[Any, object]) -> Iterator[str]:
    aliases = entry.get("aliases", ())
    for name in (entry.get("name"), *(aliases if isinstance(aliases, list | tuple) else ())):
        if isinstance(name, str):
            yield name


def _ignore_faults(
    value: Mapping[Any, object], entries: Sequence[Mapping[Any, object]]
) -> list[str]:
    faults = []
    ignore_index, colours = value.get("ignore_index"), value.get("ignore_colours", ())
    if ignore_index is not None and not _is_whole_up_to(ignore_index, 65_535):
        faults.append(f"ignore_index {shown(ignore_index)}, expected 0 … 65535 or none")
    elif ignore_index is not None:
        faults += [
            f"ignore_index {ignore_index} is the id of {shown(entry.get('name'))}"
            for entry in entries
            if is_whole(entry.get("id")) and entry["id"] == ignore_index
        ]
    if not (isinstance(colours, list | tuple) and all(map(_is_colour, colours))):
        faults.append(f"ignore_colours {shown(colours)}, expected a list of three of 0 … 255 each")
    elif colours and ignore_index is None:
        faults.append("ignore_colours are given, but no ignore_index")
    return faults


def _is_whole_up_to(value: Any, highest: int) -> bool:
    return is_whole(value) and bool(0 <= value <= highest)


def _is_colour(value: object) -> bool:
    parts = value if isinstance(value, list | tuple) else ()
    return len(parts) == 3 and all(_is_whole_up_to(part, 255) for part in parts)


def _text_faults(value: object, where: str) -> list[str]:
    if not isinstance(value, str):
        return [f"{where} {shown(value)}, expected text"]
    if not value:
        return [f"{where} is empty"]
    faults = [f"{where} {shown(value)} has spaces at an end"] if value != value.strip() else []
    hidden = {
        character
        for character in value
        if unicodedata.category(character) in _UNPRINTABLE and character not in _JOINERS
    }
    if hidden:
        codes = ", ".join(f"U+{ord(character):04X}" for character in sorted(hidden))
        faults.append(f"{where} {shown(value)} holds control characters: {codes}")
    return faults


def read_lines(text: str, name: str, source: str) -> tuple[dict[str, object], list[str]]:
    """The plain form of the table in a text of one class per line, and what is wrong with the text.

    Args:
        text: lines under a header, as `ClassTable.from_csv` says, with commas between the values;
            or with semicolons or tabs, as spreadsheets write them.
        name: of the table.
        source: of the table.
    """
    import csv
    import io

    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        return {}, [f"line {reader.line_num}: {error}"]
    lines = [(number, row) for number, row in lines if any(row)]
    header = [cell.lower() for cell in lines[0][1]] if lines else []
    faults = _key_faults(dict.fromkeys(header), _COLUMNS, "header")
    if _CHANNELS.intersection(header) and not _CHANNELS.issubset(header):
        faults.append("header: of the columns r, g, b all are there, or none")
    if len(set(header)) < len(header):
        faults.append("header: a column is there twice")
    if faults:
        required, optional = map(sorted, _COLUMNS)
        known = f"{', '.join(required)}, and optionally {', '.join(optional)}"
        return {}, [*faults, f"header: the columns are {known}"]
    rows: list[dict[str, str]] = []
    for number, row in lines[1:]:
        if len(row) != len(header):
            faults.append(f"line {number}: {len(row)} values, expected {len(header)}")
            continue
        rows.append(dict(zip(header, row, strict=True)))
        if rows[-1].get("use", "") not in ("", "class", "ignore"):
            faults.append(f"line {number}: use {shown(rows[-1]['use'])}, expected class or ignore")
    ignored = [row for row in rows if row.get("use") == "ignore"]
    ignored_ids = list(dict.fromkeys(_number(row["id"]) for row in ignored))
    if len(ignored_ids) > 1:
        faults.append(f"several ids are ignored: {', '.join(map(shown, ignored_ids))}")
    return {
        "name": name,
        "classes": _with_colours([_class_of(row) for row in rows if row not in ignored]),
        "ignore_index": ignored_ids[0] if ignored_ids else None,
        "source": source,
        "ignore_colours": [colour for row in ignored if (colour := _colour_of(row))],
    }, faults


def _delimiter(text: str) -> str:
    header = next((line for line in text.splitlines() if line.strip()), "")
    return next((mark for mark in ";\t" if mark in header and "," not in header), ",")


def _number(cell: str) -> int | str:
    # int() alone would also take "1_0" and the digits of other scripts.
    return int(cell) if cell.isascii() and cell.isdigit() and len(cell) < 20 else cell


def _colour_of(row: Mapping[str, str]) -> tuple[int | str, ...] | None:
    cells = [row.get(channel, "") for channel in "rgb"]
    return tuple(map(_number, cells)) if any(cells) else None


def _class_of(row: Mapping[str, str]) -> dict[str, object]:
    aliases = row.get("aliases", "")
    return {
        "id": _number(row["id"]),
        "name": row["name"],
        "colour": _colour_of(row),
        "kind": row.get("kind") or "stuff",
        "aliases": [alias.strip() for alias in aliases.split("|")] if aliases else [],
    }


def _with_colours(entries: list[dict[str, object]]) -> list[dict[str, object]]:
    taken: list[Any] = [entry["colour"] for entry in entries if _is_colour(entry["colour"])]
    bare = [entry for entry in entries if entry["colour"] is None]
    given: list[Colour] = list(distinct_colours(min(len(bare), 65_535), taken=taken))
    return [
        entry if entry["colour"] is not None or not given else entry | {"colour": given.pop(0)}
        for entry in entries
    ]
