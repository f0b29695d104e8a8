"""Which class of a prediction is which class of the truth: by name, by alias, or as the user says.

A rule is "own name=name in the truth". Several predicted classes may go to one true class, and one
predicted class to several, which are then judged together. `nothing` on the right: this predicted
class is wrong wherever it counts. `ignored` on the left: this true class does not count. `others`:
all that no other rule names and no name fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import yaml
from numpy.typing import NDArray

from pixelwise.class_entries import key_of
from pixelwise.classes import ClassInfo, ClassTable, places_that_fit
from pixelwise.data.drawing import IGNORED
from pixelwise.errors import ClassTableError, UsageError, did_you_mean

__all__ = ["Match", "Rule", "match_classes", "read_rules"]

Rule: TypeAlias = tuple[str, str]
"""Name of a predicted class, name of a true class."""

_NOTHING, _IGNORED, _OTHERS = "nothing", "ignored", "others"
_MOST_BYTES = 1 << 20
_WIDEST = 40


@dataclass(frozen=True, eq=False)
class Match:
    """Two tables under one.

    Attributes:
        classes: the C classes that are judged, ids 0 … C - 1: those of the truth, in its order,
            less what is ignored; classes that the prediction does not tell apart are one.
        of_truth: uint16 `[65,536]`: channel of an id of the truth; `IGNORED` where none counts.
        of_prediction: uint16 `[65,536]`: channel of a predicted id; C where it is wrong anywhere.
        leaves: whether a predicted class is of no class of the truth.
        ignores: whether a class of the truth is ignored.
        notes: what goes where under another name, in short sentences.
    """

    classes: ClassTable
    of_truth: NDArray[np.uint16]
    of_prediction: NDArray[np.uint16]
    leaves: bool
    ignores: bool
    notes: tuple[str, ...]


def read_rules(given: Sequence[str]) -> tuple[Rule, ...]:
    """Rules from "own name=name in the truth", or from YAML files of `own name: name in the truth`.

    In a file the name on the right may be a list.

    Raises:
        UsageError: lists what is no rule and no such file.
    """
    rules: list[Rule] = []
    faults: list[str] = []
    for text in given:
        if text.lower().endswith((".yaml", ".yml")) and "=" not in text:
            rules += _rules_of_file(Path(text), faults)
            continue
        own, equals, wanted = (part.strip() for part in text.partition("="))
        if not (own and equals and wanted):
            faults.append(f"{text[:80]!r} is no rule")
        rules.append((own, wanted))
    if faults:
        raise UsageError(
            "the map of classes cannot be read",
            got="; ".join(faults),
            fix='write --map "own name=name in the truth", or name a YAML file of such pairs',
        )
    return tuple(rules)


def match_classes(
    predicted: ClassTable,
    truth: ClassTable,
    rules: Sequence[Rule] = (),
    *,
    titles: tuple[str, str] = ("prediction", "truth"),
) -> Match:
    """Brings the classes of a prediction and of a truth under one table.

    Args:
        predicted: of the prediction.
        truth: of the data set.
        rules: what the names do not tell; they go before the names.
        titles: what the two are called in an error.

    Raises:
        ClassTableError: lists rules that name no class, classes that fit several and classes that
            fit none, and shows both tables side by side.
    """
    links = _Links(predicted, truth)
    links.follow(rules)
    links.fill()
    if links.faults:
        raise ClassTableError(
            "the classes of prediction and truth do not match",
            where=f"{titles[0]} · {titles[1]}",
            got="\n  ".join((*links.faults, *_side_by_side(links, titles))),
            fix='say what is what: --map "own name=name in the truth", "own name=nothing", '
            '"ignored=name in the truth"; "others" is all that is left',
        )
    return links.match()


class _Links:
    """From places of predicted classes to places of true ones."""

    def __init__(self, predicted: ClassTable, truth: ClassTable) -> None:
        self.predicted, self.truth = predicted, truth
        self.to: dict[int, set[int]] = {}
        self.ignored: set[int] = set()
        self.faults: list[str] = []
        self.notes: list[str] = []
        self._rest_is_nothing = self._rest_is_ignored = False

    def follow(self, rules: Sequence[Rule]) -> None:
        for own, wanted in rules:
            if own in self.predicted:
                self._link(own, wanted)
            elif key_of(own) == _IGNORED:
                self._ignore(wanted)
            elif key_of(own) == _OTHERS and key_of(wanted) == _NOTHING:
                self._rest_is_nothing = True
            else:
                offer = did_you_mean(own[:100], self.predicted.names)
                self.faults.append(f"map: the prediction has no class {own[:80]!r} ({offer})")

    def _link(self, own: str, wanted: str) -> None:
        goes = self.to.setdefault(self.predicted.index(own), set())
        if wanted in self.truth:
            goes.add(self.truth.index(wanted))
        elif key_of(wanted) != _NOTHING:
            offer = did_you_mean(wanted[:100], self.truth.names)
            self.faults.append(f"map: the truth has no class {wanted[:80]!r} ({offer})")
        self.notes.append(f"{own} counts as {wanted}")

    def _ignore(self, wanted: str) -> None:
        if wanted in self.truth:
            self.ignored.add(self.truth.index(wanted))
            self.notes.append(f"{wanted} is ignored")
        elif key_of(wanted) == _OTHERS:
            self._rest_is_ignored = True
        else:
            offer = did_you_mean(wanted[:100], self.truth.names)
            self.faults.append(f"map: the truth has no class {wanted[:80]!r} ({offer})")

    def fill(self) -> None:
        """By name, what no rule tells."""
        for place, info in enumerate(self.predicted):
            if place not in self.to:
                self.to[place] = self._found(info)
        reached = set().union(*self.to.values()) | self.ignored
        for place, info in enumerate(self.truth):
            if place in reached:
                continue
            if self._rest_is_ignored:
                self.ignored.add(place)
                self.notes.append(f"{info.name} is ignored")
            else:
                self.faults.append(f"{info.name!r} of the truth is no class of the prediction")
        if len(self.ignored) == len(self.truth):
            self.faults.append("every class of the truth is ignored: nothing is left to judge")

    def _found(self, info: ClassInfo) -> set[int]:
        fits = places_that_fit(info, self.truth)
        names = [self.truth.names[fit] for fit in fits]
        if len(fits) > 1:
            self.faults.append(f"{info.name!r} of the prediction fits {' and '.join(names)}")
        elif fits and key_of(info.name) != key_of(names[0]):
            self.notes.append(f"{info.name} counts as {names[0]}")
        elif not fits and self._rest_is_nothing:
            self.notes.append(f"{info.name} counts as nothing")
        elif not fits:
            self.faults.append(f"{info.name!r} of the prediction is no class of the truth")
        return set(fits)

    def match(self) -> Match:
        groups = self._groups()
        channel = {place: number for number, group in enumerate(groups) for place in group}
        of_truth = np.full(1 << 16, IGNORED, np.uint16)
        of_prediction = np.full(1 << 16, len(groups), np.uint16)
        for place, number in channel.items():
            of_truth[self.truth.ids[place]] = number
        for place, goes in self.to.items():
            kept = goes - self.ignored
            if kept:
                of_prediction[self.predicted.ids[place]] = channel[min(kept)]
        classes = tuple(
            ClassInfo(
                number,
                " + ".join(self.truth.names[place] for place in group),
                self.truth.classes[group[0]].colour,
                self.truth.classes[group[0]].kind,
            )
            for number, group in enumerate(groups)
        )
        table = ClassTable(self.truth.name, classes, None, self.truth.source)
        leaves = bool((of_prediction[list(self.predicted.ids)] == len(groups)).any())
        return Match(table, of_truth, of_prediction, leaves, bool(self.ignored), tuple(self.notes))

    def _groups(self) -> list[tuple[int, ...]]:
        """Places of true classes that are judged as one, each group by its first."""
        owner = {place: place for place in range(len(self.truth)) if place not in self.ignored}
        for goes in self.to.values():
            kept = sorted(goes & owner.keys())
            joined = {owner[place] for place in kept}
            for place, first in owner.items():
                if first in joined:
                    owner[place] = min(joined)
        members: dict[int, list[int]] = {}
        for place, first in sorted(owner.items()):
            members.setdefault(first, []).append(place)
        return [tuple(group) for group in members.values()]


def _side_by_side(links: _Links, titles: tuple[str, str]) -> Iterable[str]:
    """Both tables, equal classes in one line."""
    rows = []
    for place, info in enumerate(links.predicted):
        names = [links.truth.names[true] for true in sorted(links.to.get(place, ()))]
        rows.append((f"{info.id} {info.name}", ", ".join(names) or "–"))
    reached = set().union(*links.to.values()) | links.ignored
    rows += [
        ("–", f"{info.id} {info.name}")
        for place, info in enumerate(links.truth)
        if place not in reached
    ]
    width = min(_WIDEST, max(len(own) for own, _ in (titles, *rows)))
    return [f"{own:{width}}  {true}".rstrip() for own, true in (titles, *rows)]


def _rules_of_file(path: Path, faults: list[str]) -> list[Rule]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("too large to be a map of classes")
        # Every value as it is written: `null`, `no` and 1 are names here.
        content = yaml.load(path.read_text("utf-8-sig"), yaml.BaseLoader)  # noqa: S506
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        faults.append(f"{path}: {error}")
        return []
    if not isinstance(content, Mapping):
        faults.append(f"{path}: no table of own names and names in the truth")
        return []
    rules: list[Rule] = []
    for own, wanted in content.items():
        names = wanted if isinstance(wanted, list) else [wanted]
        if not isinstance(own, str) or not all(isinstance(name, str) and name for name in names):
            faults.append(f"{path}: {str(own)[:80]}: expected a name, or a list of names")
            continue
        rules += [(own, name) for name in names]
    return rules
