"""What the categories of an annotation file mean: the class table, and the uncovered pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from pixelwise.class_entries import key_of, table_faults
from pixelwise.classes import ClassInfo, ClassTable, distinct_colours
from pixelwise.colours import Colour
from pixelwise.data.faults import Fault
from pixelwise.formats.annotations import BACKGROUND_NAMES, IGNORED_NAMES

__all__ = ["Category", "Meaning", "meaning_of"]

_HIGHEST_ID = 65_534


@dataclass(frozen=True)
class Category:
    """A category as an annotation file has it.

    Attributes:
        number: what the objects refer to it by.
        name: its name.
        colour: its colour; None where the file says none.
        kind: things or stuff; None where the file does not say.
    """

    number: int
    name: str
    colour: Colour | None = None
    kind: Literal["thing", "stuff"] | None = None


@dataclass(frozen=True)
class Meaning:
    """What objects and bare pixels are.

    Attributes:
        classes: the class table.
        ids: the class id of each category's number; the ignored id for what is not counted.
        uncovered: the id of pixels that no object covers.
        rest: the class of those, unless the file says what they are: then they are that, and not
            any class but the others.
        faults: of the categories.
        notes: what was decided.
    """

    classes: ClassTable
    ids: Mapping[int, int]
    uncovered: int
    rest: int | None
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]

    @property
    def ignored(self) -> int:
        """The id of what is not counted."""
        return 65_535 if self.classes.ignore_index is None else self.classes.ignore_index

    @cached_property
    def stuff(self) -> frozenset[int]:
        """Ids that have no instances: stuff, and what is ignored."""
        kinds = {info.id for info in self.classes if info.kind == "stuff"}
        return frozenset(kinds | {self.ignored})


def meaning_of(
    categories: Sequence[Category],
    *,
    name: str,
    file: str,
    table: ClassTable | None = None,
    uncovered: str = "",
) -> Meaning:
    """The classes of these categories.

    Without a table of the user's they keep their numbers as ids. Pixels that no object covers are
    of the category that is called the background; without one, of a background that is added, with
    id 0 or the first that is free. A category with a name of `IGNORED_NAMES` is the ignored id.

    With a table the categories are found in it by name; uncovered pixels are of its background, or
    ignored where it has none.

    Args:
        categories: of the annotation file.
        name: of a table that is made.
        file: where the categories stand, for the faults.
        table: the user's.
        uncovered: "ignored", or the name of the class of uncovered pixels, if the file says so.
    """
    if not _is_name(uncovered):
        uncovered = ""
    if table is not None:
        return _in_table(categories, table, file, uncovered)
    kept, faults = _checked(categories, file)
    ignored = {category.number for category in kept if key_of(category.name) in IGNORED_NAMES}
    classes = [category for category in kept if category.number not in ignored]
    numbers = {category.number for category in classes}
    plain = all(0 <= number <= _HIGHEST_ID for number in numbers)
    ids = {number: number if plain else place + 1 for place, number in enumerate(sorted(numbers))}
    notes = [] if plain else ["the categories' numbers are too large for ids: they are counted"]
    rest = _named(classes, uncovered)
    rest_id = None if rest is None else ids[rest.number]
    infos = _infos(classes, ids)
    if rest is None and uncovered != "ignored":
        rest_id = next(number for number in range(_HIGHEST_ID + 2) if number not in ids.values())
        taken = {key_of(info.name) for info in infos}
        names = (uncovered, "background", "uncovered", "bare pixels")
        free = next(name for name in names if name and key_of(name) not in taken)
        infos.append(ClassInfo(rest_id, free, (0, 0, 0)))
        notes.append(f"pixels that no object covers are {free}, id {rest_id}")
    if not infos:
        infos.append(ClassInfo(0, "background", (0, 0, 0)))
    ignore_index = 255 if max(info.id for info in infos) < 255 else 65_535
    made = ClassTable(name, tuple(infos), ignore_index, file)
    ids |= dict.fromkeys(ignored, ignore_index)
    bare = ignore_index if rest_id is None else rest_id
    rest_id = None if uncovered else rest_id
    return Meaning(made, ids, bare, rest_id, tuple(faults), tuple(notes))


def _in_table(
    categories: Sequence[Category], table: ClassTable, file: str, uncovered: str
) -> Meaning:
    if table.ignore_index is None:
        table = replace(table, ignore_index=255 if table.ids[-1] < 255 else 65_535)
    ignored = 65_535 if table.ignore_index is None else table.ignore_index
    ids, faults = {}, []
    for category in categories:
        if category.name in table:
            ids[category.number] = table.find(category.name).id
            continue
        ids[category.number] = ignored
        if key_of(category.name) not in IGNORED_NAMES | BACKGROUND_NAMES:
            faults.append(
                Fault(
                    "a category is not in the class table",
                    file,
                    got=f"{category.name!r}; the table {table.name} has {', '.join(table.names)}",
                    fix="add it to the table, or an alias of the class it belongs to; "
                    "until then its pixels are ignored",
                )
            )
    names = {key_of(uncovered)} if uncovered else BACKGROUND_NAMES
    rest = next((info.id for info in table if key_of(info.name) in names), None)
    notes = (
        [f"pixels that no object covers are ignored: {table.name} has no class for them"]
        if rest is None
        else []
    )
    bare = ignored if rest is None else rest
    # A file that says what bare pixels are means it: they are not "any class".
    rest = None if uncovered else rest
    return Meaning(table, ids, bare, rest, tuple(faults), tuple(notes))


def _checked(categories: Sequence[Category], file: str) -> tuple[list[Category], list[Fault]]:
    """The categories with numbers and names of their own, and what was wrong with them."""
    kept: list[Category] = []
    faults: list[Fault] = []
    numbers: set[int] = set()
    names: set[str] = set()
    for category in categories:
        name = category.name.strip()
        if category.number in numbers:
            what, fix = "two categories share a number", "give each a number of its own"
            faults.append(Fault(what, file, f"{category.number}: {name!r}", fix))
            continue
        if not _is_name(name):
            what, fix = "a category's name cannot be shown", "rename it"
            faults.append(Fault(what, file, f"{category.number}: {name[:80]!r}", fix))
            name = f"class {category.number}"
        if key_of(name) in names:
            what, fix = "two categories share a name", "rename or merge them"
            faults.append(Fault(what, file, f"{name!r}, number {category.number}", fix))
            name = f"{name} ({category.number})"
        numbers.add(category.number)
        names.add(key_of(name))
        kept.append(replace(category, name=name))
    return kept, faults


def _is_name(name: str) -> bool:
    """Whether a class can be called so."""
    entry = {"id": 0, "name": name, "colour": (0, 0, 0)}
    form = {"name": "any", "classes": [entry], "ignore_index": None, "source": ""}
    return not table_faults(form)


def _named(categories: Sequence[Category], uncovered: str) -> Category | None:
    """The category of the pixels that no object covers."""
    names = {key_of(uncovered)} if uncovered else BACKGROUND_NAMES
    return next((each for each in categories if key_of(each.name) in names), None)


def _infos(categories: Sequence[Category], ids: Mapping[int, int]) -> list[ClassInfo]:
    """The classes: colours and kinds as the file has them, else as COCO's, else made."""
    coco = {key_of(info.name): info for info in ClassTable.builtin("coco")}
    known = [coco.get(key_of(category.name)) for category in categories]
    # Colours of COCO's own beside others would be a mixture that nobody expects.
    alike = sum(info is not None for info in known) > len(categories) // 2
    wanted = [
        category.colour or (info.colour if info and alike else None)
        for category, info in zip(categories, known, strict=True)
    ]
    given = {colour for colour in wanted if colour}
    fresh = iter(distinct_colours(len(categories), taken=sorted(given)))
    infos, taken = [], {(0, 0, 0)}
    for category, info, colour in zip(categories, known, wanted, strict=True):
        plain = key_of(category.name) in BACKGROUND_NAMES
        if colour is None or (colour in taken and not plain):
            colour = (0, 0, 0) if plain else next(fresh)  # noqa: PLW2901
        taken.add(colour)
        kind = category.kind or ("stuff" if plain else info.kind if info and alike else "thing")
        infos.append(ClassInfo(ids[category.number], category.name, colour, kind))
    return infos
