"""Pictures that belong together: frames of one video, tiles of one scene, a folder a patient."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
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
from pixelwise.data.name_forms import Form, Names
from pixelwise.errors import UsageError

__all__ = ["GroupKind", "Groups", "find_groups", "groups_by_pattern", "join_pairs"]

GroupKind: TypeAlias = Literal["video", "tiles", "folders", "session", "named", "none"]

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
    members: Sequence[NDArray[np.int32]]


def find_groups(names: Collection[str], hashes: NDArray[np.uint64] | None) -> Groups:
    """Groups told by the names, and by the looks where names alone do not tell.

    A running number makes a video only if pictures that follow each other look more alike than
    pictures drawn at random: numbered photos of different things stay apart.

    Args:
        names: paths with "/" between their parts, without suffixes.
        hashes: perceptual hashes, uint64 `[N]`; None if unknown, and then no video is found.
    """
    parsed = Names(names)
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
    members: dict[str, array[int]] = {}
    for place, name in enumerate(names):
        match = None if expression is None else expression.fullmatch(name)
        if match is not None:
            members.setdefault(match[1], array("i")).append(place)
    if not members:
        raise UsageError(
            "the pattern of groups has no {}"
            if expression is None
            else "the pattern of groups fits no name",
            got=f"{pattern!r}, names are such as {next(iter(names), '')!r}",
            fix="{} stands for what a group shares, * for anything: 'Tile {}/images/*'",
        )
    groups = [np.asarray(places, np.int32) for places in members.values()]
    fitting = sum(map(len, groups))
    reason = f"the pattern {pattern!r} fits {fitting:,} of {len(names):,} names"
    return _combined([_Finding("named", reason, 1.0, groups)], len(names), None)


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

    def distances(self, pairs: NDArray[np.signedinteger]) -> NDArray[np.uint8]:
        """Bits in which the pictures of each pair `[M, 2]` differ, where both show something."""
        blocks = [np.zeros(0, np.uint8)]
        for begin in range(0, len(pairs), _PAIRS_LOOKED_AT):
            block = pairs[begin : begin + _PAIRS_LOOKED_AT]
            first, second = block[self._known[block].all(axis=1)].T
            blocks.append(hash_distances(self._hashes[first], self._hashes[second]))
        return np.concatenate(blocks)

    def alike(
        self, pairs: NDArray[np.signedinteger], labels: NDArray[np.int32] | None = None
    ) -> bool:
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


def _series(forms: Iterable[Form]) -> Iterator[NDArray[np.int32]]:
    """Samples whose names differ in one running number, in the order of it."""
    for form in forms:
        if varying := form.varying:
            yield from (form.places[rows] for rows in form.runs(varying[:-1], varying[-1]))


def _videos(parsed: Names, looks: _Looks | None) -> _Finding | None:
    if looks is None:
        return None
    videos = [
        places
        for places in _series(parsed.forms)
        if len(places) > 2 and looks.alike(np.stack([places[:-1], places[1:]], axis=1))
    ]
    if not videos:
        return None
    frames = sum(map(len, videos))
    return _Finding(
        "video",
        f"{frames:,} pictures in {len(videos):,} numbered series are frames of videos: those that "
        "follow each other look more alike than random ones",
        0.9,
        videos,
    )


def _folders(parsed: Names, looks: _Looks | None) -> _Finding | None:
    inside = [number for number, folders in enumerate(parsed.folders) if folders]
    if len(inside) < 2:
        return None
    sizes = np.bincount(parsed.folder_of, minlength=len(parsed.folders)).tolist()
    last: Counter[str] = Counter()
    for number in inside:
        last[parsed.folders[number][-1]] += sizes[number]
    total = sum(last.values())
    example = min(last)
    order = np.argsort(parsed.folder_of, kind="stable").astype(np.int32)
    ends = np.cumsum(sizes)
    members = [order[ends[number] - sizes[number] : ends[number]] for number in inside]
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


def _pairs_within(members: Iterable[NDArray[np.int32]]) -> NDArray[np.int32]:
    """Pairs of samples of the same group, drawn at random."""
    random = np.random.default_rng(0)
    pairs = [np.zeros((0, 2), np.int32)]
    for places in members:
        order = random.permutation(places)
        pairs.append(np.stack([order[:-1], order[1:]], axis=1))
    return np.concatenate(pairs)


def _labels(members: Iterable[NDArray[np.int32]], count: int) -> NDArray[np.int32]:
    """The lowest place of each sample's group, `[N]`."""
    labels = np.arange(count, dtype=np.int32)
    for places in members:
        labels[places] = places.min()
    return labels


def _parts(parsed: Names) -> _Finding | None:
    """Names that end in a part's number, such as `harbour_part_3`."""
    members = list(_series(form for form in parsed.forms if _PART.fullmatch(form.text)))
    if len(members) < 2:
        return None
    reason = f"{len(members):,} scenes, by names that end in the number of a part"
    return _Finding("tiles", reason, 0.8, members)


def _grids(parsed: Names) -> _Finding | None:
    """Names with two coordinates, which together fill a grid."""
    marked: list[NDArray[np.int32]] = []
    plain: list[NDArray[np.int32]] = []
    for form in parsed.forms:
        varying = form.varying
        if len(varying) < 2:
            continue
        *others, across, down = varying
        named = bool(_COORDINATES.fullmatch(form.text))
        for rows in form.runs(others):
            grid = form.numbers[rows][:, [across, down]]
            sure = named or _steps_of_pixels(grid)
            if _fills(grid, sure=sure):
                (marked if sure else plain).append(form.places[rows])
    # One grid of small numbers may as well be videos and their frames.
    members = marked + (plain if len(plain) > 1 else [])
    if not members:
        return None
    tiles = sum(map(len, members))
    reason = f"{tiles:,} pictures of {len(members):,} scenes, by coordinates in their names"
    return _Finding("tiles", reason, 0.85 if marked else 0.6, members)


def _fills(grid: NDArray[Any], *, sure: bool) -> bool:
    """Whether coordinates `[n, 2]` come again and again, as those of tiles do."""
    rows, columns = len(np.unique(grid[:, 0])), len(np.unique(grid[:, 1]))
    least = 1.5 * max(rows, columns) if sure else 0.75 * rows * columns
    return min(rows, columns) > 1 and len(grid) >= max(4, least)


def _steps_of_pixels(grid: NDArray[Any]) -> bool:
    steps = np.concatenate([np.diff(np.unique(values)) for values in grid.T])
    return len(steps) > 0 and bool(steps.min() >= _LEAST_PIXEL_STEP)


def _sessions(parsed: Names) -> _Finding | None:
    """Photos that a camera numbered, under a name that people gave: `harbour_june_IMG_0123`."""
    named = (form for form in parsed.forms if _CAMERA.fullmatch(form.text))
    members = [places for places in _series(named) if len(places) > 1]
    if len(members) < 2:
        return None
    photos = sum(map(len, members))
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
        for places in found.members:
            free = places[~taken[places]]
            if len(free) > 1:
                labels[free] = free.min()
                covered[number] = covered.get(number, 0) + len(free)
        for places in found.members:
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
    """Labels as numbers 0 and up, in the order in which they first come.

    Args:
        labels: int64 `[N]`, the lowest place of each sample's group.
    """
    ranks = np.cumsum(labels == np.arange(len(labels)), dtype=np.int32) - 1
    numbers: NDArray[np.int32] = ranks[labels]
    return numbers
