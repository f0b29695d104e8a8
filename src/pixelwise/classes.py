"""Class tables: which classes there are, their ids, names and colours, and which id is ignored.

A table is what a mask, a model and a score agree on. Its classes stand in the order of their
ids, and the place of a class in that order is its channel in a network's scores: ids may have
gaps (COCO's do), channels have none.

Built-in tables are text files in `pixelwise/tables`, in the form that `ClassTable.from_csv` reads.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pixelwise.class_entries import is_whole, key_of, listed, read_lines, shown, table_faults
from pixelwise.colours import Colour, distinct_colours
from pixelwise.errors import ClassNameError, ClassTableError, did_you_mean

__all__ = ["ClassInfo", "ClassTable", "distinct_colours", "places_that_fit"]

_HIGHEST_IGNORE_INDEX = 65_535
_BUILTIN = {
    "ade20k": "SceneParse150 of ADE20K (Zhou et al., CVPR 2017), ids as in its masks; the first "
    "synonym is the name, the others are aliases unless two classes share them or they chiefly "
    "mean another thing; things are the 100 classes of its instance task",
    "camvid": "CamVid (Brostow, Fauqueur, Cipolla, PRL 2009) in the 11 classes of SegNet",
    "cityscapes": "Cityscapes (Cordts et al., CVPR 2016), the 19 evaluated classes by training id",
    "coco": "COCO panoptic (Kirillov et al., CVPR 2019), 80 things and 53 stuff by category id",
    "voc": "Pascal VOC 2012 (Everingham et al., IJCV 2015), 20 things and the background",
}


@dataclass(frozen=True)
class ClassInfo:
    """One class.

    Attributes:
        id: the number that stands for the class in a label map, 0 … 65,534.
        name: the name shown; case does not matter when a class is looked up.
        colour: red, green, blue, each 0 … 255.
        kind: "thing" for what can be counted, "stuff" for what can only be measured.
        aliases: other names that find the class.
    """

    id: int
    name: str
    colour: Colour
    kind: Literal["thing", "stuff"] = "stuff"
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassTable:
    """A checked set of classes, ordered by id.

    Attributes:
        name: the table's own name.
        classes: in any order when given, by id when read.
        ignore_index: the id of pixels that are not counted, 0 … 65,535 and never a class's id;
            None where every pixel counts.
        source: where the table came from.
        ignore_colours: colours that stand for the ignored id in colour-coded masks.

    Raises:
        ClassTableError: lists everything that is wrong with the classes.
    """

    name: str
    classes: tuple[ClassInfo, ...]
    ignore_index: int | None
    source: str
    ignore_colours: tuple[Colour, ...] = ()

    def __post_init__(self) -> None:
        classes: Any = self.classes
        if isinstance(classes, list | tuple):
            classes = [vars(info) if isinstance(info, ClassInfo) else info for info in classes]
        faults = table_faults(vars(self) | {"classes": classes})
        if faults:
            raise _invalid(faults, f"class table {shown(self.name)}")
        ordered = sorted(map(_plain, self.classes), key=operator.attrgetter("id"))
        ignore_index = None if self.ignore_index is None else int(self.ignore_index)
        object.__setattr__(self, "classes", tuple(ordered))
        object.__setattr__(self, "ignore_index", ignore_index)
        object.__setattr__(self, "ignore_colours", tuple(map(_plain_colour, self.ignore_colours)))

    @classmethod
    def builtin(cls, name: str) -> ClassTable:
        """A table that comes with pixelwise: ade20k, camvid, cityscapes, coco or voc.

        Raises:
            ClassTableError: there is no such table.
        """
        if not isinstance(name, str) or name not in _BUILTIN:
            raise ClassTableError(
                "no such built-in class table",
                got=shown(name),
                fix=_offer(name, _BUILTIN),
            )
        from importlib import resources

        file = resources.files("pixelwise").joinpath("tables", f"{name}.csv")
        value, faults = read_lines(file.read_text("utf-8"), name, _BUILTIN[name])
        return _from_entries(value, faults, f"{name}.csv")

    @classmethod
    def from_csv(cls, path: str | Path, *, name: str | None = None) -> ClassTable:
        """Reads a table of one class per line.

        The header names the columns, in any order: `id,name`, and optionally `r,g,b`, `use`
        (`class`, or `ignore` for the ignored id, which may have several colours and so several
        lines), `kind` (`stuff` or `thing`) and `aliases` (with `|` between them). A class whose
        `r,g,b` are empty is given a colour. Spreadsheets may write `;` or tabs for the commas.

        Args:
            path: a UTF-8 file.
            name: of the table; the file's own name, or its folder's where that is `classes.csv`.

        Raises:
            ClassTableError: the file cannot be read; or lists everything that is wrong in it.
        """
        path = Path(path)
        folder = path.absolute().parent.name
        try:
            # A device or a pipe may have no end.
            if not path.is_file():
                raise ClassTableError("the class table is not a file", where=str(path))
            text = path.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise ClassTableError(
                "the class table is not in UTF-8",
                where=str(path),
                got=f"line {line}: byte {error.object[error.start]:#04x}",
                fix="save it as UTF-8",
            ) from error
        except OSError as error:
            raise ClassTableError(
                "the class table cannot be read", where=str(path), got=str(error)
            ) from error
        stem = folder if path.stem == "classes" else path.stem
        value, faults = read_lines(text, stem if name is None else name, f"{folder}/{path.name}")
        return _from_entries(value, faults, str(path))

    @classmethod
    def from_dict(cls, value: object) -> ClassTable:
        """The table that `to_dict` wrote, from types that JSON has.

        Raises:
            ClassTableError: lists every missing, unknown or wrong entry.
        """
        return _from_entries(value, [], "class table")

    def to_dict(self) -> dict[str, Any]:
        """The table in types that JSON has; `from_dict` gives an equal table back."""
        value = asdict(self)
        for entry in value["classes"]:
            entry["colour"], entry["aliases"] = list(entry["colour"]), list(entry["aliases"])
        value["classes"] = list(value["classes"])
        value["ignore_colours"] = [list(colour) for colour in self.ignore_colours]
        return value

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[ClassInfo]:
        return iter(self.classes)

    def __contains__(self, name_or_id: object) -> bool:
        return self._place(name_or_id) is not None

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids, rising: `ids[channel]` is the id that a network's channel stands for."""
        return tuple(info.id for info in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order of the ids."""
        return tuple(info.name for info in self.classes)

    @property
    def palette(self) -> NDArray[np.uint8]:
        """Colours by id, uint8 `[256, 3]`, or `[highest id + 1, 3]` where that is more.

        Rows of no class are black, but for the ignored id, which has its own colour if it has one.
        """
        palette = np.zeros((max(256, self.classes[-1].id + 1), 3), np.uint8)
        palette[list(self.ids)] = [info.colour for info in self.classes]
        if self.ignore_colours and self.ignore_index is not None:
            palette[self.ignore_index : self.ignore_index + 1] = self.ignore_colours[0]
        return palette

    @property
    def colours(self) -> dict[Colour, int]:
        """The id that each colour stands for in a colour-coded mask, the ignored id among them.

        Raises:
            ClassTableError: two ids share a colour, so such a mask cannot be read.
        """
        owners = [(info.colour, info.name, info.id) for info in self.classes]
        if self.ignore_index is not None:
            ignored = dict.fromkeys(self.ignore_colours)
            owners += [(colour, "(ignored)", self.ignore_index) for colour in ignored]
        times = Counter(colour for colour, _, _ in owners)
        shared = [
            f"{colour}: " + ", ".join(name for owned, name, _ in owners if owned == colour)
            for colour, count in times.items()
            if count > 1
        ]
        if shared:
            raise ClassTableError(
                "several classes share a colour, so a colour does not tell the class",
                where=f"class table {self.name}",
                got=listed(shared),
                fix="give each class a colour of its own, or use masks of ids",
            )
        return {colour: id_ for colour, _, id_ in owners}

    def find(self, name_or_id: str | int) -> ClassInfo:
        """The class of that name, alias or id; case does not matter.

        Raises:
            ClassNameError: the table has no such class.
        """
        return self.classes[self.index(name_or_id)]

    def index(self, name_or_id: str | int) -> int:
        """The network channel of the class of that name, alias or id.

        Raises:
            ClassNameError: the table has no such class.
        """
        place = self._place(name_or_id)
        if place is None:
            named = isinstance(name_or_id, str)
            known = f"known: {', '.join(self.names)}; ids {self.ids[0]} … {self.ids[-1]}"
            raise ClassNameError(
                "no such class",
                where=f"class table {self.name}",
                got=shown(name_or_id),
                fix=_offer(name_or_id, self.names) if named else known,
            )
        return place

    def map_to(
        self, target: ClassTable, mapping: Mapping[str, str | None] | None = None
    ) -> NDArray[np.uint16]:
        """Ids of this table to ids of another: `lookup[mask]` is the mask in the other's ids.

        A class goes to the class that its name finds in `target`; failing that, to the one that
        its aliases find. `mapping` goes first: own name to name in `target`, or None for "ignored".
        Classes that go nowhere, the own ignored id and ids of no class become the ignored id of
        `target` (65,535, which is never a class, if it has none).

        Args:
            target: the table to map to.
            mapping: what the names do not tell, such as `{"grass": "vegetation"}`.

        Returns:
            uint16 `[N]`: an entry for each id of this table and its ignored id, 256 at least.

        Raises:
            ClassTableError: lists names in `mapping` that a table lacks, classes that fit several
                of `target`, and, where `target` ignores no id, everything that goes nowhere.
        """
        chosen, faults = _chosen(self, target, mapping or {})
        nowhere = _HIGHEST_IGNORE_INDEX if target.ignore_index is None else target.ignore_index
        highest = max(self.ids[-1], -1 if self.ignore_index is None else self.ignore_index)
        lookup = np.full(max(256, highest + 1), nowhere, np.uint16)
        lost = [] if self.ignore_index is None else [f"id {self.ignore_index} (ignored)"]
        for place, info in enumerate(self.classes):
            fits = chosen[place] if place in chosen else places_that_fit(info, target)
            if len(fits) > 1:
                faults.append(f"{info.name!r} fits {_names(target, fits)}")
            elif fits:
                lookup[info.id] = target.ids[fits[0]]
            else:
                lost.append(info.name)
        if lost and target.ignore_index is None:
            faults.append(f"{target.name} ignores no id, and has none for {', '.join(lost)}")
        if faults:
            raise ClassTableError(
                "the classes cannot be mapped",
                where=f"{self.name} to {target.name}",
                got=listed(faults),
                fix=f"say in mapping where they go; {target.name} has {', '.join(target.names)}",
            )
        return lookup

    def merge(self, other: ClassTable, *, name: str) -> ClassTable:
        """One table of the classes of both, with ids 0 … n - 1: this table's first, then new ones.

        Which classes are the same is found as in `map_to`. The first to have a class gives its
        name, colour and kind; the names of the second become aliases unless another class has
        them. A colour that is taken is replaced in the later class, and `source` says so. The
        ignored id is 255, or 65,535 above 255 classes, or None where neither table has one.

        Raises:
            ClassTableError: lists classes of `other` that fit several classes of this table, or
                that fit one together.
        """
        classes = _union(self, other)
        recoloured = _recoloured(classes)
        new = [info.name for old, info in zip(classes, recoloured, strict=True) if old != info]
        note = f"; new colours for {', '.join(new)}" if new else ""
        taken = {info.colour for info in recoloured}
        ignored = dict.fromkeys(self.ignore_colours + other.ignore_colours)
        ignore_index = None
        if self.ignore_index is not None or other.ignore_index is not None:
            ignore_index = 255 if len(classes) <= 255 else _HIGHEST_IGNORE_INDEX
        return ClassTable(
            name,
            tuple(replace(info, id=id_) for id_, info in enumerate(recoloured)),
            ignore_index,
            f"{self.name} ({self.source}) merged with {other.name} ({other.source}){note}",
            tuple(colour for colour in ignored if colour not in taken),
        )

    def _place(self, name_or_id: object) -> int | None:
        if isinstance(name_or_id, str):
            return self._place_by_key.get(key_of(name_or_id))
        return self._place_by_id.get(name_or_id) if is_whole(name_or_id) else None

    @cached_property
    def _place_by_key(self) -> dict[str, int]:
        return {key: place for place, info in enumerate(self.classes) for key in _keys(info)}

    @cached_property
    def _place_by_id(self) -> dict[object, int]:
        return {info.id: place for place, info in enumerate(self.classes)}


def _offer(name: object, known: Iterable[str]) -> str:
    # Comparing a very long name would take very long.
    return did_you_mean(name[:100] if isinstance(name, str) else "", known)


def _keys(info: ClassInfo) -> list[str]:
    return [key_of(name) for name in (info.name, *info.aliases)]


def places_that_fit(info: ClassInfo, table: ClassTable) -> list[int]:
    """Places in `table` of the class that the name finds, else of all that the aliases find."""
    if info.name in table:
        return [table.index(info.name)]
    return sorted({table.index(alias) for alias in info.aliases if alias in table})


def _names(table: ClassTable, places: Sequence[int]) -> str:
    return " and ".join(table.names[place] for place in places)


def _chosen(
    table: ClassTable, target: ClassTable, mapping: Mapping[str, str | None]
) -> tuple[dict[int, list[int]], list[str]]:
    """Target places by own place as `mapping` has it, and what is wrong with it."""
    chosen: dict[int, list[int]] = {}
    faults = []
    for own, wanted in mapping.items():
        if own not in table:
            offer = _offer(own, table.names)
            faults.append(f"mapping: {table.name} has no {shown(own)} ({offer})")
        if wanted is not None and wanted not in target:
            offer = _offer(wanted, target.names)
            faults.append(f"mapping: {target.name} has no {shown(wanted)} ({offer})")
        elif own in table:
            places = [] if wanted is None else [target.index(wanted)]
            if chosen.setdefault(table.index(own), places) != places:
                faults.append(f"mapping: {table.find(own).name!r} is sent to two classes")
    return chosen, faults


def _union(first: ClassTable, second: ClassTable) -> list[ClassInfo]:
    classes = list(first.classes)
    taken = {key for info in classes for key in _keys(info)}
    fitting: dict[int, list[str]] = {}
    faults = []
    for info in second.classes:
        fits = places_that_fit(info, first)
        if len(fits) > 1:
            faults.append(f"{info.name!r} of {second.name} fits {_names(first, fits)}")
        names = (info.name, *info.aliases) if fits else info.aliases
        free = tuple(alias for alias in names if key_of(alias) not in taken)
        taken.update(_keys(info))
        if fits:
            fitting.setdefault(fits[0], []).append(info.name)
            known = classes[fits[0]]
            classes[fits[0]] = replace(known, aliases=known.aliases + free)
        else:
            classes.append(replace(info, aliases=free))
    faults += [
        f"{' and '.join(map(repr, names))} of {second.name} fit {first.names[place]}"
        for place, names in fitting.items()
        if len(names) > 1
    ]
    if faults:
        raise ClassTableError(
            "the classes cannot be merged",
            where=f"{first.name} with {second.name}",
            got=listed(faults),
            fix="give the classes names that tell them apart",
        )
    return classes


def _recoloured(classes: Sequence[ClassInfo]) -> list[ClassInfo]:
    """The same classes, with a new colour for each whose colour an earlier one has."""
    owner: dict[Colour, int] = {}
    for place, info in enumerate(classes):
        owner.setdefault(info.colour, place)
    spare = iter(distinct_colours(len(classes) - len(owner), taken=owner))
    return [
        info if owner[info.colour] == place else replace(info, colour=next(spare))
        for place, info in enumerate(classes)
    ]


def _from_entries(value: Any, faults: list[str], where: str) -> ClassTable:
    # What is not there at all has been told already.
    faults = faults + (table_faults(value) if value or not faults else [])
    if faults:
        raise _invalid(faults, where)
    classes = tuple(ClassInfo(**entry) for entry in value["classes"])
    return ClassTable(**{**value, "classes": classes})


def _plain(info: ClassInfo) -> ClassInfo:
    return ClassInfo(
        int(info.id), info.name, _plain_colour(info.colour), info.kind, tuple(info.aliases)
    )


def _plain_colour(colour: Colour) -> Colour:
    red, green, blue = map(int, colour)
    return red, green, blue


def _invalid(faults: list[str], where: str) -> ClassTableError:
    return ClassTableError(
        "the class table is not valid",
        where=where,
        got=listed(faults),
        fix="correct all that is listed",
    )
