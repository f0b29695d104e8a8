"""Faults that no single file shows: copies, leaks between splits, empty classes and masks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Dataset
from pixelwise.data.faults import Fault
from pixelwise.data.groups import Groups
from pixelwise.data.statistics import Statistics
from pixelwise.errors import MaskFileError
from pixelwise.formats.masks import check_ids

__all__ = ["Findings", "background_in", "background_of", "equal_rows", "split_numbers"]

_BACKGROUNDS = frozenset({"background", "bg", "none", "nothing", "null", "unlabeled", "unlabelled"})
_WORDS = re.compile(r"[a-z]+")
_NAMED = 4
_STRAY_SHARE = 1e-4
_AT_ONCE = 1 << 14
_TURNED = {
    2: "mirrored",
    3: "turned by 180°",
    4: "mirrored top to bottom",
    5: "mirrored and turned by 90°",
    6: "turned by 90°",
    7: "mirrored and turned by 270°",
    8: "turned by 270°",
}


class Findings:
    """Looks at the numbers of a data set; each method tells one kind of fault.

    Args:
        dataset: the data set.
        statistics: of its first samples, or of all.
    """

    def __init__(self, dataset: Dataset, statistics: Statistics) -> None:
        self._dataset = dataset
        self._statistics = statistics
        self._entries = dataset.entries[: len(statistics)]
        self._names = dataset.splits
        self._splits = split_numbers(dataset)[: len(statistics)]

    def of_copies(self, copies: Iterable[NDArray[np.int32]]) -> list[Fault]:
        """Pictures that stand several times, in one split or in two."""
        faults = []
        for places in (group.tolist() for group in copies):
            splits = {self._entries[place].split for place in places} - {""}
            file, got = self._entries[places[0]].image, self._listed(places)
            if len(splits) > 1:
                faults.append(
                    Fault(
                        "the same picture stands in two splits",
                        file,
                        got=got,
                        fix="leave it in one of them: a score on pictures that were trained on "
                        "says nothing (`pixelwise data split` keeps copies together)",
                    )
                )
            else:
                faults.append(
                    Fault(
                        "the same picture stands there several times",
                        file,
                        got=got,
                        fix="keep one: copies count several times in training, and part at a split",
                        severity="warning",
                    )
                )
            faults += self._of_their_truths(places)
        return faults

    def of_near(self, near: NDArray[np.int32]) -> list[Fault]:
        """Pictures that look like one of another split, each once, with the nearest."""
        first, second = self._splits[near[:, 0]], self._splits[near[:, 1]]
        chosen = (first != second) & (first >= 0) & (second >= 0)
        # The picture of the later split is told, as the earlier one is mostly for training.
        later = np.where((first > second)[:, None], near[:, [0, 1]], near[:, [1, 0]])[chosen]
        # The most alike come first, and `unique` gives the first of each.
        _, nearest = np.unique(later[:, 0], return_index=True)
        distances = near[chosen, 2]
        faults = []
        for row in np.sort(nearest).tolist():
            place, twin = later[row].tolist()
            distance = int(distances[row])
            shown, alike = self._entries[place], self._entries[twin]
            faults.append(
                Fault(
                    "a picture looks like one of another split",
                    shown.image,
                    got=f"in {shown.split}; {alike.image} in {alike.split}, "
                    f"{distance} of 64 bits apart",
                    fix="if they show the same scene, keep them in one split "
                    "(`pixelwise data split --by group`)",
                    severity="warning",
                )
            )
        return faults

    def of_shared_truths(self, near: NDArray[np.int32]) -> list[Fault]:
        """Masks of several classes that stand for different pictures."""
        statistics = self._statistics
        several = statistics.labelled & (np.diff(statistics.offsets) > 1)
        alike = np.sort(near[:, 0].astype(np.int64) << 32 | near[:, 1])
        faults = []
        for places in equal_rows(statistics.truth_digests, np.flatnonzero(several)):
            first, *others = places.tolist()
            differing = [
                other
                for other in others
                if not _holds(alike, first << 32 | other) and self._differ(first, other)
            ]
            if differing:
                faults.append(
                    Fault(
                        "different pictures have the same mask, pixel for pixel",
                        self._truth_of(first),
                        got=self._listed([first, *differing]),
                        fix="look at them: one may have been saved under the other's name",
                        severity="warning",
                    )
                )
        return faults

    def of_forms(self) -> list[Fault]:
        """Pictures of other bands or another type than most."""
        statistics = self._statistics
        kinds = [(form.bands, form.dtype) for form in statistics.forms]
        times: Counter[tuple[int, str]] = Counter()
        counts = np.bincount(statistics.form_of[statistics.readable], minlength=len(kinds))
        for kind, count in zip(kinds, counts.tolist(), strict=True):
            times[kind] += count
        if len(times) < 2:
            return []
        usual = times.most_common(1)[0][0]
        rare = np.array([kind != usual for kind in kinds])
        places = np.flatnonzero(statistics.readable & rare[statistics.form_of])
        return [
            Fault(
                "the picture has other bands than most",
                self._entries[place].image,
                got="{} bands of {}, most have {} of {}".format(
                    *kinds[statistics.form_of[place]], *usual
                ),
                fix="one network takes one number of bands: convert it, or move it to a data set "
                "of its own",
            )
            for place in places.tolist()
        ]

    def of_turns(self) -> list[Fault]:
        """Turned pictures whose size does not tell whether their masks were turned as well."""
        statistics = self._statistics
        square = statistics.sizes[:, 0] == statistics.sizes[:, 1]
        turns = statistics.orientations
        unclear = statistics.labelled & (((turns > 1) & (turns < 5)) | ((turns > 4) & square))
        return [
            Fault(
                "the picture is turned by its EXIF orientation, and maybe its mask is not",
                self._entries[place].image,
                got=f"EXIF orientation {turns[place]}: {_TURNED[int(turns[place])]}; the sizes "
                "would agree either way",
                fix="look at picture and mask together (--html shows them)",
                severity="warning",
            )
            for place in np.flatnonzero(unclear).tolist()
        ]

    def of_masks(self) -> list[Fault]:
        """Masks that show nothing."""
        statistics = self._statistics
        present = np.diff(statistics.offsets)
        places = np.flatnonzero(statistics.labelled & (statistics.areas == 0))
        faults = [
            Fault(
                "no pixel of the mask counts",
                self._truth_of(place),
                got="all are ignored",
                fix="training learns nothing from it: label it, or leave it out",
                severity="warning",
            )
            for place in places.tolist()
        ]
        background = background_of(self._dataset)
        alone = present == 0
        if background is not None:
            only = np.bincount(
                statistics.owners[statistics.places == background], minlength=len(statistics)
            )
            alone |= (present == 1) & (only == 1)
        places = np.flatnonzero(statistics.labelled & (statistics.areas > 0) & alone)
        return faults + [
            Fault(
                "the mask shows background only",
                self._truth_of(place),
                fix="right where the picture holds none of the classes; else its labels are lost",
                severity="warning",
            )
            for place in places.tolist()
        ]

    def of_ids(self) -> list[Fault]:
        """Ids that no class table names, with such gaps that they were hardly meant as ids."""
        table = self._dataset.classes
        unnamed = all(info.name == f"class {info.id}" for info in table)
        if not unnamed or len(table) < 3 or table.ids[-1] < 3 * len(table):
            return []
        try:
            check_ids(
                np.array(table.ids), range(len(table)), ignore_index=table.ignore_index, where=""
            )
        except MaskFileError as error:
            return [
                Fault(
                    "the numbers in the masks are hardly class ids",
                    "",
                    got=f"{len(table)} different: {', '.join(map(str, table.ids))}",
                    fix=f"{error.fix}; if they are right, name them in a classes.csv",
                    severity="warning",
                )
            ]
        return []

    def of_colours(self) -> list[Fault]:
        """Ignored colours of so few pixels that nobody drew them on purpose."""
        statistics = self._statistics
        least = _STRAY_SHARE * int((statistics.areas + statistics.ignored).sum())
        return [
            Fault(
                "an ignored colour has next to no pixels",
                self._truth_of(first),
                got=f"{colour} × {pixels:,} in {masks:,} mask{'s' * (masks != 1)}",
                fix="maybe strays of the drawing program: what they cover is lost to training; "
                "correct these masks",
                severity="warning",
            )
            for colour, (pixels, masks, first) in zip(
                statistics.ignored_colours, statistics.ignored_by_colour.tolist(), strict=True
            )
            if 0 < pixels < least
        ]

    def of_classes(self, *, complete: bool) -> list[Fault]:
        """Classes without a pixel, in all the data or in one split."""
        statistics = self._statistics
        if not complete or not statistics.labelled.any():
            return []
        classes = statistics.classes
        _, pictures = statistics.per_class(statistics.labelled)
        empty = [info.name for info, count in zip(classes, pictures, strict=True) if count == 0]
        faults = []
        if empty:
            faults.append(
                Fault(
                    "classes of the table have no pixel",
                    "",
                    got=f"{len(empty)} of {len(classes)}: {', '.join(empty)}",
                    fix="nothing can be learned of them: label some, or leave them out of the "
                    "table",
                    severity="warning",
                )
            )
        return faults + self._of_split_classes(pictures)

    def of_groups(self, groups: Groups) -> list[Fault]:
        """Groups of pictures that a split cuts through."""
        if groups.kind == "none" or len(self._names) < 2:
            return []
        faults = []
        doubt = "; the groups are a guess" if groups.sureness < 0.7 else ""
        for places in _equal(groups.of):
            parts = Counter(self._splits[places].tolist())
            told = [f"{parts[n]} in {name}" for n, name in enumerate(self._names) if parts[n]]
            if len(told) < 2:
                continue
            faults.append(
                Fault(
                    f"a split cuts through a group ({groups.kind})",
                    self._entries[int(places[0])].image,
                    got=f"{len(places):,} pictures of one group: {', '.join(told)}{doubt}",
                    fix="neighbours look alike, so scores come out too high: "
                    "`pixelwise data split --by group` keeps them together",
                    severity="warning",
                )
            )
        return faults

    def _of_split_classes(self, pictures: NDArray[np.int64]) -> list[Fault]:
        statistics = self._statistics
        parts = {
            name: statistics.per_class(statistics.labelled & (self._splits == number))[1]
            for number, name in enumerate(self._names)
            if (statistics.labelled & (self._splits == number)).any()
        }
        faults = []
        for place, info in enumerate(statistics.classes):
            lacking = [name for name, counts in parts.items() if counts[place] == 0]
            if pictures[place] and lacking:
                have = [f"{parts[name][place]} in {name}" for name in parts if name not in lacking]
                faults.append(
                    Fault(
                        "a class is missing from a split",
                        "",
                        got=f"{info.name}: no picture in {', '.join(lacking)}, {', '.join(have)}",
                        fix="it is not learned, or not scored: split again, stratified by class "
                        "(`pixelwise data split`)",
                        severity="warning",
                    )
                )
        return faults

    def _of_their_truths(self, places: Sequence[int]) -> list[Fault]:
        statistics = self._statistics
        labelled = [place for place in places if statistics.labelled[place]]
        truths = {statistics.truth_digests[place].tobytes() for place in labelled}
        if len(truths) < 2:
            return []
        return [
            Fault(
                "copies of one picture have different truths",
                self._truth_of(labelled[0]),
                got=self._listed(labelled),
                fix="keep the right one: training cannot follow both",
                severity="warning",
            )
        ]

    def _differ(self, one: int, other: int) -> bool:
        digests = self._statistics.digests
        return bool((digests[one] != digests[other]).any())

    def _truth_of(self, place: int) -> str:
        entry = self._entries[place]
        return entry.truth if entry.row < 0 else entry.image

    def _listed(self, places: Sequence[int]) -> str:
        """Names with their splits, the first of each split first."""
        seen: set[str] = set()
        firsts = []
        for place in places:
            split = self._entries[place].split
            if split not in seen:
                seen.add(split)
                firsts.append(place)
        shown = set(firsts)
        order = firsts + [place for place in places if place not in shown]
        named = [
            self._entries[place].image
            + (f" ({self._entries[place].split})" if self._entries[place].split else "")
            for place in order[:_NAMED]
        ]
        more = f" and {len(places) - _NAMED:,} more" if len(places) > _NAMED else ""
        return f"{len(places):,} pictures: {', '.join(named)}{more}"


def _holds(numbers: NDArray[np.int64], number: int) -> bool:
    """Whether a sorted array holds the number."""
    place = int(np.searchsorted(numbers, number))
    return place < len(numbers) and int(numbers[place]) == number


def background_of(dataset: Dataset) -> int | None:
    """The place in the class table of what is no object; None where every class is one."""
    if dataset.rest is not None:
        return dataset.classes.index(dataset.rest)
    return background_in(dataset.classes)


def background_in(classes: ClassTable) -> int | None:
    """The place of the class that is no object by its name; None where there is none."""
    for place, info in enumerate(classes):
        words = _WORDS.findall(" ".join((info.name, *info.aliases)).lower())
        if _BACKGROUNDS.intersection(words):
            return place
    return None


def equal_rows(
    digests: NDArray[np.uint8], places: NDArray[np.intp]
) -> tuple[NDArray[np.int32], ...]:
    """Places with equal digests, of the places chosen: those of two and more, by their first."""
    if not len(places):
        return ()
    alike = _equal(np.ascontiguousarray(digests[places]).view("V16").ravel())
    return tuple(sorted((places[rows].astype(np.int32) for rows in alike), key=itemgetter(0)))


def _equal(keys: NDArray[Any]) -> Iterator[NDArray[np.intp]]:
    """Places of equal keys, of two and more, rising; in the order of the keys."""
    order = np.argsort(keys, kind="stable")
    apart = np.zeros(len(order), np.bool_)
    for begin in range(0, len(order), _AT_ONCE):
        ordered = keys[order[begin : begin + _AT_ONCE + 1]]
        apart[begin : begin + len(ordered) - 1] = ordered[1:] != ordered[:-1]
    bounds = np.flatnonzero(apart) + 1
    # They are larger than all that is made of them.
    del keys, apart
    begins, ends = np.append(0, bounds), np.append(bounds, len(order))
    several = ends - begins > 1
    for begin, end in zip(begins[several].tolist(), ends[several].tolist(), strict=True):
        yield order[begin:end]


def split_numbers(dataset: Dataset) -> NDArray[np.int32]:
    """The place of each entry's split in `dataset.splits`, int32 `[N]`; -1 for those in none."""
    numbers = {name: number for number, name in enumerate(dataset.splits)}
    places = (numbers.get(entry.split, -1) for entry in dataset.entries)
    return np.fromiter(places, np.int32, len(dataset))
