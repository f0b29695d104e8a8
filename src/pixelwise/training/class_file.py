"""How the classes of several data sets become one table: a file that people write and read.

    name: street
    classes:                     # of the model, in the order of its channels
      road: "#804080"            # the colour may be left out; so may all: classes: [road, person]
      person:
      bag:
    sets:
      camvid:                    # the name of the data set's folder
        classes:                 # its own names; those that are names above need not be listed
          Pavement: road
          Pedestrian: [person, bag]     # either: this set does not tell them apart
      clothes:
        classes:
          "null": {all but: bag}        # any class but these
          purse: bag
          watch: ignored
        others: person           # what is not listed and has no name above
        unlabelled: [road]       # what its ignored pixels may be; by itself they are ignored
        around: {pixels: 12, of: [person, bag]}
        splits: {extra: train}   # its split "extra" counts as train; "" is what has none

`around`: close to a labelled object nobody else stands. Pixels that their label leaves open, and
that are within so many pixels of one that is surely of a class in `of`, are none of these classes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from pixelwise.class_entries import key_of, listed
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.colours import Colour, distinct_colours
from pixelwise.errors import ClassTableError, did_you_mean

__all__ = ["ClassFile", "SetRules", "read_class_file"]

Places: TypeAlias = tuple[int, ...]
"""Channels that a pixel may be of, rising; none of them: ignored."""

_IGNORED = "ignored"
_ALL_BUT = "all but"
_KEYS = ("classes", "name", "sets")
_SET_KEYS = ("around", "classes", "others", "splits", "unlabelled")
_COLOUR = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class SetRules:
    """What a data set's classes are in the table of all.

    Attributes:
        places: by own name, the channels that a pixel of it may be of; none: ignored.
        others: the same for own classes that are not listed and have no name in the table; None:
            there must be none.
        unlabelled: the same for ignored pixels.
        around: pixels, and the channels of `of`; None: no such rule.
        splits: own names of splits to those of the run.
    """

    places: Mapping[str, Places] = field(default_factory=dict)
    others: Places | None = None
    unlabelled: Places = ()
    around: tuple[int, Places] | None = None
    splits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassFile:
    """The file's content.

    Attributes:
        path: of the file.
        classes: ids 0 … C - 1; their ignored id is 255, or 65,535 above 255 classes.
        sets: by folder name.
    """

    path: str
    classes: ClassTable
    sets: Mapping[str, SetRules]


def read_class_file(path: str | Path) -> ClassFile:
    """Reads the file.

    Raises:
        ClassTableError: it cannot be read; or lists everything that is wrong in it.
    """
    path = Path(path)
    reader = _Reader()
    content = _plain(_composed(path), reader.faults)
    file = reader.file(str(path), content)
    if reader.faults or file is None:
        raise ClassTableError(
            "the file of classes cannot be used",
            where=str(path),
            got=listed(reader.faults),
            fix="correct all that is listed; docs/data.md shows such a file",
        )
    return file


def _composed(path: Path) -> yaml.Node | None:
    """The YAML as it is written: `null` and `no` are names of classes here, not values."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ClassTableError(
                "the file of classes is too large",
                where=str(path),
                got=f"{path.stat().st_size:,} bytes, at most {_MOST_BYTES:,}",
            )
        node: yaml.Node | None = yaml.compose(path.read_text("utf-8-sig"), yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ClassTableError(
            "the file of classes cannot be read",
            where=str(path),
            got=str(error),
            fix="give a YAML file of `classes:` and `sets:`; docs/data.md shows one",
        ) from None
    return node


def _plain(node: yaml.Node | None, faults: list[str], depth: int = 0) -> object:
    """Dicts, lists and texts; keys that stand twice are faults."""
    if node is None or depth > 8:
        return None if node is None else ""
    if isinstance(node, yaml.MappingNode):
        content: dict[str, object] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            if name in content:
                faults.append(f"line {key.start_mark.line + 1}: {name!r} stands there twice")
            content.setdefault(name, _plain(value, faults, depth + 1))
        return content
    if isinstance(node, yaml.SequenceNode):
        return [_plain(value, faults, depth + 1) for value in node.value]
    return str(node.value)


class _Reader:
    """Goes through the content and gathers what is wrong."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._places: dict[str, int] = {}
        self._names: tuple[str, ...] = ()

    def file(self, path: str, content: object) -> ClassFile | None:
        """The content; None where nothing can be made of it."""
        if not isinstance(content, dict):
            self.faults.append("the file is no table with `classes:` and `sets:`")
            return None
        self._only(content, _KEYS, "")
        classes = self._classes(Path(path), content)
        sets = content.get("sets", {})
        if not isinstance(sets, dict):
            self.faults.append("sets: expected the folder name of each data set and its rules")
            sets = {}
        rules = {name: self._rules(name, part) for name, part in sets.items()}
        return None if classes is None else ClassFile(path, classes, rules)

    def _classes(self, path: Path, content: Mapping[str, object]) -> ClassTable | None:
        given = content.get("classes")
        if isinstance(given, list):
            names = [name if isinstance(name, str) else "" for name in given]
            self.faults += [f"classes: {name!r} stands there twice" for name in _repeated(names)]
            given = dict.fromkeys(names, "")
        if not isinstance(given, dict) or not given:
            self.faults.append("classes: expected a list of names, or names and their colours")
            return None
        self._names = tuple(given)
        self._places = {key_of(name): place for place, name in enumerate(given)}
        self.faults += [
            f"classes: {name!r} has a meaning of its own in this file"
            for name in given
            if key_of(name) == _IGNORED
        ]
        colours = [self._colour(name, text) for name, text in given.items()]
        name = content.get("name", path.stem)
        try:
            return ClassTable(
                str(name),
                tuple(
                    ClassInfo(place, text, colour)
                    for place, (text, colour) in enumerate(
                        zip(given, _filled(colours), strict=True)
                    )
                ),
                255 if len(given) <= 255 else 65_535,
                path.name,
            )
        except ClassTableError as error:
            self.faults.append(error.got)
            return None

    def _colour(self, name: str, text: object) -> Colour | None:
        if text == "":
            return None
        match = _COLOUR.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            self.faults.append(f'classes: colour of {name!r} is {text!r}, expected as "#8040ff"')
            return None
        red, green, blue = (int(part, 16) for part in match.groups())
        return red, green, blue

    def _rules(self, name: str, part: object) -> SetRules:
        where = f"sets: {name}"
        if part == "":
            return SetRules()
        if not isinstance(part, dict):
            self.faults.append(f"{where}: expected {', '.join(_SET_KEYS)}")
            return SetRules()
        self._only(part, _SET_KEYS, f"{where}: ")
        own = self._table(part.get("classes", {}), f"{where}: classes")
        splits = self._table(part.get("splits", {}), f"{where}: splits")
        others = part.get("others")
        return SetRules(
            places={
                key: self._either(value, f"{where}: classes: {key}") for key, value in own.items()
            },
            others=None if others is None else self._either(others, f"{where}: others"),
            unlabelled=self._either(part.get("unlabelled", _IGNORED), f"{where}: unlabelled"),
            around=self._around(part.get("around"), f"{where}: around"),
            splits={key: str(value) for key, value in splits.items()},
        )

    def _around(self, part: object, where: str) -> tuple[int, Places] | None:
        if part is None:
            return None
        if not isinstance(part, dict) or set(part) != {"of", "pixels"}:
            self.faults.append(f"{where}: expected {{pixels: 12, of: [person]}}")
            return None
        pixels = str(part["pixels"])
        if not pixels.isdecimal() or not 0 < int(pixels) <= 10_000:
            self.faults.append(f"{where}: pixels is {pixels!r}, expected 1 … 10000")
            return None
        return int(pixels), self._either(part["of"], f"{where}: of")

    def _either(self, value: object, where: str) -> Places:
        """The channels of a name, of several, or of all but some."""
        if isinstance(value, str) and key_of(value) == _IGNORED:
            return ()
        if isinstance(value, dict):
            if set(value) != {_ALL_BUT}:
                self.faults.append(f"{where}: expected {{{_ALL_BUT}: [names]}}")
                return ()
            left_out = set(self._either(value[_ALL_BUT], where))
            places = tuple(place for place in range(len(self._names)) if place not in left_out)
        else:
            names = value if isinstance(value, list) else [value]
            places = tuple(sorted({*self._found(names, where)}))
        # A pixel that may be anything tells nothing.
        return () if len(places) == len(self._names) > 1 else places

    def _found(self, names: Sequence[object], where: str) -> Iterator[int]:
        for name in names:
            place = self._places.get(key_of(name)) if isinstance(name, str) else None
            if place is not None:
                yield place
            elif isinstance(name, str):
                offer = did_you_mean(name[:100], (*self._names, _IGNORED))
                self.faults.append(f"{where}: no class {name[:80]!r} ({offer})")
            else:
                self.faults.append(f"{where}: expected a name, or a list of names")

    def _only(self, part: Mapping[str, object], keys: Sequence[str], where: str) -> None:
        for key in part:
            if key not in keys:
                self.faults.append(f"{where}no such entry {key!r} ({did_you_mean(key, keys)})")

    def _table(self, part: object, where: str) -> Mapping[str, object]:
        if isinstance(part, dict):
            return part
        if part != "":
            self.faults.append(f"{where}: expected names and what they become")
        return {}


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted(name for name, times in Counter(names).items() if times > 1)


def _filled(colours: Sequence[Colour | None]) -> list[Colour]:
    """The colours, with others of their own where none is given."""
    taken = [colour for colour in colours if colour is not None]
    spare = iter(distinct_colours(len(colours) - len(taken), taken=taken))
    return [next(spare) if colour is None else colour for colour in colours]
