"""Pictures that belong together: frames of one video, tiles of one scene, a folder a patient."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.duplicates import (
    NEAR_DISTANCE,
    UNKNOWN_HASH,
    hash_distances,
    is_blank,
    join,
)
from pixelwise.errors import UsageError

__all__ = ["GroupKind", "Groups", "find_groups", "groups_by_pattern", "join_pairs"]

GroupKind: TypeAlias = Literal["video", "tiles", "folders", "session", "named", "none"]

_SPLIT_WORDS = "train training val valid validation dev test testing trainval train2017 val2017"
_SPLIT_FOLDERS = frozenset(_SPLIT_WORDS.split())
_TILE_WORDS = "tile scene region area block site plot field mosaic ortho orthophoto"
_TILE_FOLDER = re.compile(rf"({'|'.join(_TILE_WORDS.split())})s?[ _-]*[0-9]+", re.IGNORECASE)
_SEQUENCE_WORDS = (
    "patient case subject sequence seq video vid clip drive run session recording volume scan "
    "study track flight"
)
_SEQUENCE_FOLDER = re.compile(
    rf"({'|'.join(_SEQUENCE_WORDS.split())})s?[ _-]*[0-9]+", re.IGNORECASE
)
_PART = re.compile(r"(.*[^a-z])?(part|tile|patch|crop|chip)[ _-]*#", re.IGNORECASE)
_COORDINATES = re.compile(r".*(x[ _-]*#.*y|y[ _-]*#.*x|r(ow)?[ _-]*#.*c(ol)?)[ _-]*#.*", re.I)
_CAMERA = re.compile(r"(.*[^a-z])(img|dsc[fn]?|p|mvi|dji|gopr|pict|cimg|frame)[ _-]*#", re.I)
_DIGITS = re.compile("[0-9]+")
# Numbers of a grid that rise by so much are pixels; smaller ones may be anything.
_LEAST_PIXEL_STEP = 16
_LOWEST_PART = 0.05
_MOST_DISTANT_NEIGHBOURS = 18
_LEAST_NEAR_SHARE = 0.3
_PAIRS_LOOKED_AT = 20_000


@dataclass(frozen=True, eq=False)
class Groups:
    """Which samples belong together.

    Attributes:
        of: int32 `[N]`, the number of each sample's group; 0 and up in the order of the samples.
        kind: what the groups are, if most that are in groups of several are so: frames of a
            video, tiles of a scene, folders of a sequence or patient, photos that a camera numbered
            under one name, groups that the user named; or none.
        reason: how that was found, in a sentence.
        sureness: 0 … 1.
    """

    of: NDArray[np.int32]
    kind: GroupKind
    reason: str
    sureness: float

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Samples of each group, int64 `[G]`."""
        return np.bincount(self.of).astype(np.int64)


@dataclass(frozen=True)
class _Finding:
    """Groups of one kind: samples by what they share."""

    kind: GroupKind
    reason: str
    sureness: float
    members: Mapping[Any, list[int]]


@dataclass(frozen=True)
class _Name:
    """A path taken apart.

    Attributes:
        folders: those that tell samples apart: neither splits nor the same for all.
        form: the file's name with "#" for each number.
        numbers: those numbers.
    """

    folders: tuple[str, ...]
    form: str
    numbers: tuple[int, ...]


def find_groups(names: Sequence[str], hashes: NDArray[np.uint64] | None) -> Groups:
    """Groups told by the names, and by the looks where names alone do not tell.

    A running number makes a video only if pictures that follow each other look more alike than
    pictures drawn at random: numbered photos of different things stay apart.

    Args:
        names: paths with "/" between their parts, without suffixes.
        hashes: perceptual hashes, uint64 `[N]`; None if unknown, and then no video is found.
    """
    parsed = _parsed(names)
    looks = None if hashes is None else _Looks(hashes)
    findings = [
        _videos(parsed, looks),
        _folders(parsed, looks),
        _parts(parsed),
        _grids(parsed),
        _sessions(parsed),
    ]
    return _combined([found for found in findings if found is not None], len(names), looks)


def groups_by_pattern(names: Sequence[str], pattern: str) -> Groups:
    """Groups as the user tells them.

    Args:
        names: as in `find_groups`.
        pattern: of whole names; `{}` is what samples of a group share, `*` anything:
            `Tile {}/images/*`. Samples that it does not fit are groups of their own.

    Raises:
        UsageError: the pattern has no `{}`, or fits no name.
    """
    parts = [re.escape(part).replace(r"\*", ".*") for part in pattern.split("{}")]
    # The first `{}` is as short as it can be; any further one is the same again.
    expression = re.compile(parts[0] + "(.*?)" + r"\1".join(parts[1:])) if parts[1:] else None
    members: dict[Any, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        match = None if expression is None else expression.fullmatch(name)
        if match is not None:
            members[match[1]].append(place)
    if not members:
        raise UsageError(
            "the pattern of groups has no {}"
            if expression is None
            else "the pattern of groups fits no name",
            got=f"{pattern!r}, names are such as {next(iter(names), '')!r}",
            fix="{} stands for what a group shares, * for anything: 'Tile {}/images/*'",
        )
    fitting = sum(map(len, members.values()))
    reason = f"the pattern {pattern!r} fits {fitting:,} of {len(names):,} names"
    return _combined([_Finding("named", reason, 1.0, members)], len(names), None)


def join_pairs(groups: Groups, pairs: NDArray[np.int32]) -> Groups:
    """The groups with those of each pair made one.

    Args:
        groups: of N samples.
        pairs: `[M, 2]`, places of samples.
    """
    first = np.unique(groups.of, return_index=True)[1]
    return replace(groups, of=_numbered(join(first[groups.of].astype(np.int64), pairs)))


class _Looks:
    """How alike pictures are that were drawn at random, to compare others with."""

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        self._hashes = hashes
        self._known = (hashes != UNKNOWN_HASH) & ~is_blank(hashes)
        self._random = _random_pairs(np.flatnonzero(self._known))
        self._apart = self.distances(self._random)
        self._usual = _limit_and_chance(self._apart)
        self.middle = float(np.median(self._apart)) if len(self._apart) else 0.0

    def distances(self, pairs: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Bits in which the pictures of each pair `[M, 2]` differ, where both show something."""
        known = pairs[self._known[pairs].all(axis=1)]
        return hash_distances(self._hashes[known[:, 0]], self._hashes[known[:, 1]])

    def alike(self, pairs: NDArray[np.intp], labels: NDArray[np.intp] | None = None) -> bool:
        """Whether more of the pairs are near than random ones would be, beyond any chance.

        Args:
            pairs: `[M, 2]`, places of pictures.
            labels: `[N]`; the random pairs are of pictures of different labels.
        """
        limit, chance = self._usual
        if labels is not None:
            different = labels[self._random[:, 0]] != labels[self._random[:, 1]]
            limit, chance = _limit_and_chance(self._apart[different])
        distances = self.distances(pairs)
        number, near = len(distances), int((distances <= limit).sum())
        surely = number * chance + 4 * (number * chance * (1 - chance)) ** 0.5 + 1
        return near >= surely and near >= _LEAST_NEAR_SHARE * number


def _limit_and_chance(distances: NDArray[np.uint8]) -> tuple[int, float]:
    """The distance within which pictures are alike, and how often those of random pairs are."""
    if not len(distances):
        return 0, 1.0
    lowest = int(np.quantile(distances, _LOWEST_PART))
    limit = min(max(NEAR_DISTANCE, lowest), _MOST_DISTANT_NEIGHBOURS)
    return limit, float((distances <= limit).mean())


def _random_pairs(places: NDArray[np.intp]) -> NDArray[np.intp]:
    if len(places) < 2:
        return np.zeros((0, 2), np.intp)
    random = np.random.default_rng(0)
    first = random.integers(0, len(places), _PAIRS_LOOKED_AT)
    second = (first + random.integers(1, len(places), _PAIRS_LOOKED_AT)) % len(places)
    return np.stack([places[first], places[second]], axis=1)


def _parsed(names: Sequence[str]) -> list[_Name]:
    split = [name.split("/") for name in names]
    depths: defaultdict[int, set[str]] = defaultdict(set)
    for parts in split:
        for depth, folder in enumerate(parts[:-1]):
            depths[depth].add(folder)

    def telling(parts: list[str], without: frozenset[str]) -> tuple[str, ...]:
        return tuple(
            folder
            for depth, folder in enumerate(parts[:-1])
            if len(depths[depth]) > 1 and folder.lower() not in without
        )

    # A video may be cut over splits; but equal names in two splits are two pictures.
    unique = len({(telling(parts, _SPLIT_FOLDERS), parts[-1]) for parts in split}) == len(split)
    without = _SPLIT_FOLDERS if unique else frozenset[str]()
    return [
        _Name(
            telling(parts, without),
            _DIGITS.sub("#", parts[-1]),
            tuple(map(int, _DIGITS.findall(parts[-1]))),
        )
        for parts in split
    ]


def _by_form(parsed: Sequence[_Name]) -> Iterable[tuple[list[int], NDArray[np.object_], list[int]]]:
    """For names of one form in one folder: places, numbers `[n, k]`, columns that vary."""
    alike: defaultdict[Any, list[int]] = defaultdict(list)
    for place, name in enumerate(parsed):
        if name.numbers:
            alike[name.folders, name.form].append(place)
    for places in alike.values():
        # Objects, as numbers in names may have any number of digits.
        numbers = np.array([parsed[place].numbers for place in places], object)
        varying = [c for c in range(numbers.shape[1]) if len(set(numbers[:, c])) > 1]
        yield places, numbers, varying


def _series(parsed: Sequence[_Name]) -> dict[Any, list[int]]:
    """Names that differ in one running number, in the order of it."""
    series: dict[Any, list[int]] = {}
    for places, numbers, varying in _by_form(parsed):
        if not varying:
            continue
        running = varying[-1]
        rows: defaultdict[tuple[int, ...], list[tuple[int, int]]] = defaultdict(list)
        for place, row in zip(places, numbers.tolist(), strict=True):
            others = tuple(row[:running] + row[running + 1 :])
            rows[others].append((row[running], place))
        first = parsed[places[0]]
        for others, found in rows.items():
            series[first.folders, first.form, others] = [place for _, place in sorted(found)]
    return series


def _videos(parsed: Sequence[_Name], looks: _Looks | None) -> _Finding | None:
    if looks is None:
        return None
    videos = {
        key: places
        for key, places in _series(parsed).items()
        if len(places) > 2 and looks.alike(np.stack([places[:-1], places[1:]], axis=1))
    }
    if not videos:
        return None
    frames = sum(map(len, videos.values()))
    return _Finding(
        "video",
        f"{frames:,} pictures in {len(videos):,} numbered series are frames of videos: those that "
        "follow each other look more alike than random ones",
        0.9,
        videos,
    )


def _folders(parsed: Sequence[_Name], looks: _Looks | None) -> _Finding | None:
    members: dict[Any, list[int]] = defaultdict(list)
    for place, name in enumerate(parsed):
        if name.folders:
            members[name.folders].append(place)
    if len(members) < 2:
        return None
    last = Counter(name.folders[-1] for name in parsed if name.folders)
    total = sum(last.values())
    example = min(last)
    for kind, expression, what in (
        ("tiles", _TILE_FOLDER, "one scene"),
        ("folders", _SEQUENCE_FOLDER, "one sequence or patient"),
    ):
        named = sum(count for folder, count in last.items() if expression.fullmatch(folder))
        if named >= 0.8 * total:
            reason = (
                f"{len(members):,} folders such as {example!r} hold {what} each, by their names"
            )
            return _Finding("tiles" if kind == "tiles" else "folders", reason, 0.9, members)
    if looks is None or not looks.alike(_pairs_within(members), _labels(members, len(parsed))):
        return None
    reason = (
        f"the pictures in each of {len(members):,} folders such as {example!r} look more alike "
        "than random ones"
    )
    return _Finding("folders", reason, 0.8, members)


def _pairs_within(members: dict[Any, list[int]]) -> NDArray[np.intp]:
    """Pairs of samples of the same group, drawn at random."""
    random = np.random.default_rng(0)
    pairs = [np.zeros((0, 2), np.intp)]
    for places in members.values():
        order = random.permutation(np.array(places, np.intp))
        pairs.append(np.stack([order[:-1], order[1:]], axis=1))
    return np.concatenate(pairs)


def _labels(members: dict[Any, list[int]], count: int) -> NDArray[np.intp]:
    """The lowest place of each sample's group, `[N]`."""
    labels = np.arange(count)
    for places in members.values():
        labels[places] = min(places)
    return labels


def _parts(parsed: Sequence[_Name]) -> _Finding | None:
    """Names that end in a part's number, such as `harbour_part_3`."""
    members = {
        key: places
        for key, places in _series(parsed).items()
        if _PART.fullmatch(parsed[places[0]].form)
    }
    if len(members) < 2:
        return None
    reason = f"{len(members):,} scenes, by names that end in the number of a part"
    return _Finding("tiles", reason, 0.8, members)


def _grids(parsed: Sequence[_Name]) -> _Finding | None:
    """Names with two coordinates, which together fill a grid."""
    marked: dict[Any, list[int]] = {}
    plain: dict[Any, list[int]] = {}
    for places, numbers, varying in _by_form(parsed):
        if len(varying) < 2:
            continue
        name = parsed[places[0]]
        across, down = varying[-2:]
        rows: defaultdict[Any, list[int]] = defaultdict(list)
        for row, values in enumerate(numbers.tolist()):
            others = tuple(v for c, v in enumerate(values) if c not in (across, down))
            rows[others].append(row)
        for others, chosen in rows.items():
            grid = numbers[chosen][:, [across, down]]
            sure = bool(_COORDINATES.fullmatch(name.form)) or _steps_of_pixels(grid)
            if _fills(grid, sure=sure):
                found = marked if sure else plain
                found[name.folders, name.form, others] = [places[row] for row in chosen]
    # One grid of small numbers may as well be videos and their frames.
    members = marked | (plain if len(plain) > 1 else {})
    if not members:
        return None
    tiles = sum(map(len, members.values()))
    reason = f"{tiles:,} pictures of {len(members):,} scenes, by coordinates in their names"
    return _Finding("tiles", reason, 0.85 if marked else 0.6, members)


def _fills(grid: NDArray[np.object_], *, sure: bool) -> bool:
    """Whether coordinates `[n, 2]` come again and again, as those of tiles do."""
    rows, columns = len(set(grid[:, 0])), len(set(grid[:, 1]))
    least = 1.5 * max(rows, columns) if sure else 0.75 * rows * columns
    return min(rows, columns) > 1 and len(grid) >= max(4, least)


def _steps_of_pixels(grid: NDArray[np.object_]) -> bool:
    steps: list[int] = []
    for values in grid.T:
        steps += [after - before for before, after in pairwise(sorted(set(values)))]
    return bool(steps) and min(steps) >= _LEAST_PIXEL_STEP


def _sessions(parsed: Sequence[_Name]) -> _Finding | None:
    """Photos that a camera numbered, under a name that people gave: `harbour_june_IMG_0123`."""
    members = {
        key: places
        for key, places in _series(parsed).items()
        if _CAMERA.fullmatch(parsed[places[0]].form) and len(places) > 1
    }
    if len(members) < 2:
        return None
    photos = sum(map(len, members.values()))
    reason = (
        f"{photos:,} photos that a camera numbered stand under {len(members):,} names, as of "
        "places or walks"
    )
    return _Finding("session", reason, 0.5, members)


def _combined(findings: list[_Finding], count: int, looks: _Looks | None) -> Groups:
    """Each sample in the group of the surest finding that has it."""
    findings = sorted(findings, key=lambda found: -found.sureness)
    labels = np.arange(count)
    taken = np.zeros(count, np.bool_)
    covered: dict[int, int] = {}
    for number, found in enumerate(findings):
        for places in found.members.values():
            free = [place for place in places if not taken[place]]
            if len(free) > 1:
                labels[free] = min(free)
                covered[number] = covered.get(number, 0) + len(free)
        for places in found.members.values():
            taken[places] = True
    if not covered:
        return Groups(np.arange(count, dtype=np.int32), "none", *_nothing(looks))
    chief = findings[max(covered, key=lambda number: covered[number])]
    reason = "; ".join(findings[number].reason for number in covered)
    return Groups(_numbered(labels), chief.kind, reason, chief.sureness)


def _nothing(looks: _Looks | None) -> tuple[str, float]:
    if looks is None:
        return "the names tell no groups; the pictures were not compared", 0.3
    if looks.middle <= NEAR_DISTANCE * 3:
        return (
            "all pictures look alike, as from a fixed camera: their looks do not tell whether "
            "some belong together, and their names do not",
            0.3,
        )
    return "neither names nor looks tell of videos, tiles or folders of sequences", 0.7


def _numbered(labels: NDArray[np.int64]) -> NDArray[np.int32]:
    """Labels as numbers 0 and up, in the order in which they first come."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first), dtype=np.int32)
    numbers: NDArray[np.int32] = rank[inverse.reshape(-1)]
    return numbers
