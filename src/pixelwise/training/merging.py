"""Data sets as a training takes them: channels for ids, and several sets under one class table.

A set that labels some of the classes leaves open what its other pixels are, and a set with coarser
classes than the model's leaves open which of them is meant. Such pixels get a *union row*: a value
of their own above the channels, for which `TrainingData.candidates` says what they may be. The loss
of such a pixel is that of the union: -log of the sum of the probabilities of its candidates
(Shi et al., "Marginal loss and exclusion loss for partially supervised multi-organ segmentation",
Medical Image Analysis 2021; Zhao et al., "Object detection with a unified label space from multiple
datasets", ECCV 2020).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from pixelwise.class_entries import key_of, listed
from pixelwise.classes import ClassInfo, ClassTable, distinct_colours
from pixelwise.data.dataset import Dataset
from pixelwise.data.entries import Entries
from pixelwise.data.joining import joined
from pixelwise.data.mapping import Around, candidates, relabelled
from pixelwise.errors import ClassTableError, UsageError, did_you_mean
from pixelwise.training.class_file import ClassFile, Places, SetRules

__all__ = ["OwnTerms", "TrainingData", "training_data", "with_run_splits"]

_NOTHING = -1
_MOST_NAMES = 3
_MOST_LOST = 10


@dataclass(frozen=True, eq=False)
class OwnTerms:
    """The classes of one data set, as far as its labels tell them apart: for scores in its terms.

    Attributes:
        name: of the data set.
        names: of its G groups: a class of its own, or several that became one, joined by " + ".
        of_value: int64 `[65,536]`: the group of a target's value; -1 where it is not scored.
        of_channel: int64 `[C]`: the group that a predicted channel counts for; -1: for none, so
            that it is wrong wherever it is predicted.
    """

    name: str
    names: tuple[str, ...]
    of_value: NDArray[np.int64]
    of_channel: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Data that a training can take.

    Attributes:
        dataset: all samples. Its ids, and so those that `Batches` gives, are the values of
            targets: channel k < C of a class, C … K - 1 of a union row, `ignore_index`. Its class
            table has K entries; leave the columns from C on out of counts of pixels.
        classes: the C classes, ids 0 … C - 1: the model's table.
        candidates: bool `[K, C]`: which classes a pixel of each value may be; None where every
            value is a channel.
        own_terms: how each data set scores in its own terms, in the order given.
        lengths: how many samples of `dataset` are of each data set; they stand one set after the
            other.
        notes: what was decided, in sentences for people.
    """

    dataset: Dataset
    classes: ClassTable
    candidates: NDArray[np.bool_] | None
    own_terms: tuple[OwnTerms, ...]
    lengths: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def ignore_index(self) -> int:
        """The value of pixels that count for nothing."""
        ignored = self.dataset.classes.ignore_index
        return 255 if ignored is None else ignored


@dataclass(frozen=True, eq=False)
class _Plan:
    """What becomes of one data set's ids.

    Attributes:
        places: by own id, channels that it may be; the own ignored id among them.
        around: see `SetRules`.
    """

    dataset: Dataset
    places: dict[int, Places]
    around: tuple[int, Places] | None = None
    notes: tuple[str, ...] = ()


def training_data(
    datasets: Sequence[Dataset], *, classes: ClassTable | ClassFile | None = None
) -> TrainingData:
    """Brings data sets under one table of classes, and their ids to values of targets.

    One data set without a file keeps its kind of targets; else objects are left out.

    Args:
        datasets: whole, or parts of them.
        classes: the table of all, to which each set's classes go by name; or what
            `read_class_file` gives; None: the classes of all sets, merged by name.

    Raises:
        ClassTableError: lists every class that cannot be mapped, of all the sets.
        UsageError: there is no data set.
        DatasetError: the data sets cannot be joined.
    """
    if not datasets:
        raise UsageError("there is no data set to train on", fix="give one folder at least")
    if isinstance(classes, ClassFile):
        table, plans = classes.classes, _by_file(datasets, classes)
    else:
        table = _contiguous(_merged(datasets) if classes is None else classes)
        plans = _by_name(datasets, table, own=classes is None and len(datasets) == 1)
    unions = _unions(plans)
    values = {places: len(table) + row for row, places in enumerate(unions)}
    values |= {(place,): place for place in range(len(table))}
    every = _with_unions(table, unions)
    parts = [_relabelled(plan, every, values) for plan in plans]
    return TrainingData(
        dataset=joined(parts) if len(parts) > 1 or isinstance(classes, ClassFile) else parts[0],
        classes=replace(table, ignore_index=every.ignore_index),
        candidates=_rows(len(table), unions) if unions else None,
        own_terms=tuple(_own_terms(plan, values, every, len(table)) for plan in plans),
        lengths=tuple(len(part) for part in parts),
        notes=tuple(note for plan in plans for note in plan.notes),
    )


def with_run_splits(datasets: Sequence[Dataset], file: ClassFile) -> tuple[Dataset, ...]:
    """The data sets, with their splits named as `splits` in the file has it.

    Args:
        datasets: whole.
        file: of classes; sets that it does not name stay as they are.

    Raises:
        UsageError: lists splits that are not there.
    """
    by_key = {key_of(name): rules.splits for name, rules in file.sets.items()}
    faults: list[str] = []
    changed = []
    for dataset in datasets:
        names = by_key.get(key_of(dataset.root.name), {})
        there = {entry.split for entry in dataset.entries} if names else set[str]()
        faults += [
            f"sets: {dataset.root.name}: no split {name!r} ({did_you_mean(name[:100], there)})"
            for name in names
            if name not in there
        ]
        renamed = (
            replace(entry, split=names.get(entry.split, entry.split)) for entry in dataset.entries
        )
        changed.append(replace(dataset, entries=Entries.of(renamed)) if names else dataset)
    if faults:
        raise UsageError(
            "the file of classes names splits that are not there",
            where=file.path,
            got=listed(faults),
            fix="correct all that is listed; `pixelwise data check` shows the splits",
        )
    return tuple(changed)


def _merged(datasets: Sequence[Dataset]) -> ClassTable:
    tables = [dataset.classes for dataset in datasets]
    return reduce(lambda one, other: one.merge(other, name=f"{one.name} + {other.name}"), tables)


def _contiguous(table: ClassTable) -> ClassTable:
    """The same classes with ids 0 … C - 1, in the same order."""
    renumbered = (replace(info, id=place) for place, info in enumerate(table))
    ignored = 255 if len(table) <= 255 else 65_535
    return replace(table, classes=tuple(renumbered), ignore_index=ignored)


def _by_name(datasets: Sequence[Dataset], table: ClassTable, *, own: bool) -> list[_Plan]:
    plans, faults = [], []
    for dataset in datasets:
        if own:
            channels = enumerate(dataset.classes.ids)
            plans.append(_Plan(dataset, {number: (place,) for place, number in channels}))
            continue
        try:
            rows = candidates(dataset, table)
        except ClassTableError as error:
            faults.append(error.got)
            continue
        # Of each own id all that it may be; nothing or anything says nothing.
        found = {number: tuple(np.flatnonzero(rows[number]).tolist()) for number in _ids(dataset)}
        places = {number: each if len(each) < len(table) else () for number, each in found.items()}
        lost = [info.name for info in dataset.classes if not places[info.id]]
        if len(lost) == len(dataset.classes):
            some = ", ".join(lost[:_MOST_LOST]) + (" …" if len(lost) > _MOST_LOST else "")
            faults.append(f"{dataset.root.name}: none of its classes is there: {some}")
        notes = [f"{dataset.root.name}: ignored: {', '.join(lost)}"] if lost else []
        plans.append(_Plan(dataset, places, notes=tuple(notes)))
    if faults:
        raise ClassTableError(
            "the classes of the data sets cannot be mapped",
            where=table.name,
            got=listed(faults),
            fix="say in a file of classes what each becomes: --classes FILE.yaml",
        )
    return plans


def _by_file(datasets: Sequence[Dataset], file: ClassFile) -> list[_Plan]:
    names = [dataset.root.name for dataset in datasets]
    by_key = {key_of(name): rules for name, rules in file.sets.items()}
    faults = [
        f"sets: none for {name!r} ({did_you_mean(name, file.sets)})"
        for name in dict.fromkeys(names)
        if key_of(name) not in by_key
    ]
    faults += [
        f"sets: {times} data sets have the folder name {name!r}"
        for name, times in Counter(map(key_of, names)).items()
        if times > 1
    ]
    plans = []
    for name, dataset in zip(names, datasets, strict=True):
        rules = by_key.get(key_of(name))
        if rules is not None:
            plans.append(_by_rules(dataset, rules, file.classes, faults))
    if faults:
        raise ClassTableError(
            "the file of classes does not fit the data sets",
            where=file.path,
            got=listed(faults),
            fix="correct all that is listed; `pixelwise data check` names a data set's classes",
        )
    return plans


def _by_rules(dataset: Dataset, rules: SetRules, table: ClassTable, faults: list[str]) -> _Plan:
    own, where = dataset.classes, f"sets: {dataset.root.name}"
    given: dict[int, Places] = {}
    for name, places in rules.places.items():
        if name not in own:
            offer = did_you_mean(name[:100], own.names)
            faults.append(f"{where}: it has no class {name!r} ({offer})")
        elif given.setdefault(own.find(name).id, places) != places:
            faults.append(f"{where}: what {own.find(name).name!r} becomes is told twice")
    for info in own:
        if info.id in given:
            continue
        if info.name in table:
            given[info.id] = (table.index(info.name),)
        elif rules.others is None:
            faults.append(f"{where}: what {info.name!r} becomes is not told")
        else:
            given[info.id] = rules.others
    if own.ignore_index is not None:
        given[own.ignore_index] = rules.unlabelled
    lost = [info.name for info in own if given.get(info.id) == ()]
    notes = [f"{dataset.root.name}: ignored: {', '.join(lost)}"] if lost else []
    return _Plan(dataset, given, rules.around, tuple(notes))


def _ids(dataset: Dataset) -> tuple[int, ...]:
    ignored = dataset.classes.ignore_index
    return dataset.classes.ids if ignored is None else (*dataset.classes.ids, ignored)


def _near(plan: _Plan) -> dict[Places, Places]:
    """What pixels that are left open may still be near an object; see `SetRules.around`."""
    if plan.around is None:
        return {}
    of = set(plan.around[1])
    return {
        places: tuple(place for place in places if place not in of)
        for places in plan.places.values()
        if of & set(places) and not set(places) <= of
    }


def _unions(plans: Sequence[_Plan]) -> list[Places]:
    """Every set of several candidates, once, in the order of the plans."""
    found = [each for plan in plans for each in (*plan.places.values(), *_near(plan).values())]
    return list(dict.fromkeys(places for places in found if len(places) > 1))


def _rows(count: int, unions: Sequence[Places]) -> NDArray[np.bool_]:
    rows = np.zeros((count + len(unions), count), np.bool_)
    rows[:count] = np.eye(count, dtype=np.bool_)
    for row, places in enumerate(unions, start=count):
        rows[row, list(places)] = True
    return rows


def _with_unions(table: ClassTable, unions: Sequence[Places]) -> ClassTable:
    """The table with an entry for each union row."""
    classes = list(table)
    taken = {key_of(name) for info in table for name in (info.name, *info.aliases)}
    colours = distinct_colours(len(unions), taken=[info.colour for info in table])
    for places, colour in zip(unions, colours, strict=True):
        name = f"({_told(table, places)})"
        while key_of(name) in taken:
            name = f"({name})"
        classes.append(ClassInfo(len(classes), name, colour))
    ignored = 255 if len(classes) <= 255 else 65_535
    return replace(table, classes=tuple(classes), ignore_index=ignored)


def _told(table: ClassTable, places: Places) -> str:
    if 2 * len(places) <= len(table):
        return " | ".join(table.names[place] for place in places)
    missing = [name for place, name in enumerate(table.names) if place not in places]
    return f"all but {' | '.join(missing)}"


def _relabelled(plan: _Plan, table: ClassTable, values: dict[Places, int]) -> Dataset:
    ignored = 65_535 if table.ignore_index is None else table.ignore_index
    values = {**values, (): ignored}
    lookup = np.full(max(256, max(plan.places) + 1), ignored, np.uint16)
    for number, places in plan.places.items():
        lookup[number] = values[places]
    around = None
    if plan.around is not None:
        pixels, of = plan.around
        objects = (number for places, number in values.items() if places and set(places) <= {*of})
        instead = {values[places]: values[left] for places, left in _near(plan).items()}
        around = Around(pixels, tuple(objects), instead)
    return replace(relabelled(plan.dataset, table, lookup, around=around), rest=None)


def _own_terms(plan: _Plan, values: dict[Places, int], every: ClassTable, count: int) -> OwnTerms:
    groups: dict[Places, list[str]] = {}
    for info in plan.dataset.classes:
        if plan.places[info.id]:
            groups.setdefault(plan.places[info.id], []).append(info.name)
    of_value = np.full(1 << 16, _NOTHING, np.int64)
    of_channel = np.full(count, _NOTHING, np.int64)
    near = _near(plan)
    # The widest first, so that what tells a class apart has the last word.
    for group, places in sorted(enumerate(groups), key=lambda item: (-len(item[1]), -item[0])):
        of_channel[list(places)] = group
        if near.get(places):
            of_value[values[near[places]]] = group
    for group, places in enumerate(groups):
        of_value[values[places]] = group
    names = tuple(
        " + ".join(own) if len(own) <= _MOST_NAMES else every.names[values[places]]
        for places, own in groups.items()
    )
    return OwnTerms(plan.dataset.root.name, names, of_value, of_channel)
