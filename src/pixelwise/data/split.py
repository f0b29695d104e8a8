"""A data set cut into training, validation and test: whole groups, alike in their classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.dataset import Dataset
from pixelwise.data.duplicates import is_blank, near_distance, near_pairs
from pixelwise.data.groups import Groups, find_groups, join_pairs
from pixelwise.data.split_files import (
    check_split_names,
    read_split,
    sha256_of,
    write_split_files,
)
from pixelwise.data.statistics import Statistics
from pixelwise.data.stratify import stratify
from pixelwise.errors import UsageError, did_you_mean
from pixelwise.percentages import percent
from pixelwise.version import VERSION

__all__ = ["Split", "SplitBy", "read_split", "split", "wanted_shares", "write_split"]

SplitBy: TypeAlias = Literal["image", "group", "tile"]

_DEFAULT = {"val": 0.15, "test": 0.15}
_TRAIN = "train"
_TOLERANCE = 0.02
_NAMED = 10


@dataclass(frozen=True, eq=False)
class Split:
    """Which pictures are in which split.

    Attributes:
        names: paths of pictures by split, in order; "train" comes first.
        by: what was kept whole, as asked for.
        seed: decided between pictures that fit as well.
        fractions: the shares of samples that were asked for, of all splits.
        kind: what the groups are: see `Groups`.
        reason: how the groups were found.
        groups: how many groups each split has, duplicates of each other counted as one.
        classes: names of the classes.
        pixels: int64 `[S, C]`, pixels of each class in each split.
        pictures: int64 `[S, C]`, pictures that have the class.
        notes: what to know about this split, in sentences.
    """

    names: dict[str, tuple[str, ...]]
    by: SplitBy
    seed: int
    fractions: dict[str, float]
    kind: str
    reason: str
    groups: dict[str, int]
    classes: tuple[str, ...]
    pixels: NDArray[np.int64]
    pictures: NDArray[np.int64]
    notes: tuple[str, ...]

    @property
    def hash(self) -> str:
        """SHA-256 over the hashes of the lists: the same for the same split."""
        return sha256_of([f"{name} {sha256_of(names)}" for name, names in self.names.items()])

    @property
    def shares(self) -> NDArray[np.float64]:
        """float64 `[S + 1, C]`: of all labelled pixels of a split, those of each class.

        The last row is the whole data set. A split without labelled pixels has zeros.
        """
        pixels = np.concatenate([self.pixels, self.pixels.sum(axis=0, keepdims=True)])
        shares: NDArray[np.float64] = pixels / np.maximum(pixels.sum(axis=1, keepdims=True), 1)
        return shares

    def to_dict(self) -> dict[str, Any]:
        """Everything but the names, in types that JSON has."""
        rows = [*self.names, "all"]
        return {
            "pixelwise": VERSION,
            "hash": self.hash,
            "seed": self.seed,
            "by": self.by,
            "groups": {"kind": self.kind, "reason": self.reason},
            "splits": {
                name: {
                    "asked": round(self.fractions[name], 6),
                    "samples": len(names),
                    "groups": self.groups[name],
                }
                for name, names in self.names.items()
            },
            "class_shares": {
                title: dict(zip(rows, map(_rounded, shares), strict=True))
                for title, shares in zip(self.classes, self.shares.T.tolist(), strict=True)
            },
            "class_pictures": {
                title: dict(zip(self.names, counts, strict=True))
                for title, counts in zip(self.classes, self.pictures.T.tolist(), strict=True)
            },
            "notes": list(self.notes),
        }


def split(
    dataset: Dataset,
    statistics: Statistics,
    groups: Groups | None = None,
    *,
    by: SplitBy = "image",
    fractions: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Split:
    """Cuts a data set. The same pictures and seed give the same split, in whatever order they lie.

    No group is cut, and no copy or near-duplicate of a picture lands in another split than it.
    Among the ways to do that, one is looked for in which every split has its share of samples, and
    of the pixels and pictures of every class: see `stratify`.

    Args:
        dataset: the samples.
        statistics: what they hold: from `gather`.
        groups: what belongs together; found by names and looks if None.
        by: "image" cuts between any two pictures that are not duplicates, "group" and "tile"
            between groups; "tile" takes only tiles of scenes for groups.
        fractions: share of the samples by split; "train" gets the rest. 15 % "val", 15 % "test".
        seed: 0 and up.

    Raises:
        UsageError: an argument has a value that it cannot have (all are named), no groups are
            there to keep whole, or there are fewer groups than splits.
    """
    wanted = wanted_shares(dataset, by=by, fractions=fractions, seed=seed)
    if len(statistics) != len(dataset):
        raise UsageError(
            "the statistics are of other samples",
            got=f"{len(statistics)}, the data set has {len(dataset)}",
            fix="gather them from this data set",
        )
    # Whatever the files' order on disk is, it must not matter.
    order = np.array(sorted(range(len(dataset)), key=lambda n: dataset.entries[n].image))
    hashes, digests = statistics.hashes[order], statistics.digests[order]
    images = [dataset.entries[place].image for place in order]
    found = _groups(dataset, order, hashes, groups)
    kept = _kept_whole(dataset, found, by)
    copies = _copies(digests, statistics.readable[order])
    near = near_pairs(hashes, near_distance(hashes))
    joined = join_pairs(_with_blank_copies_apart(kept, hashes, copies), copies)
    joined = join_pairs(joined, near)
    count = len(joined.sizes)
    if count < len(wanted):
        raise UsageError(
            "there are fewer groups than splits",
            where=str(dataset.root),
            got=f"{count} groups of {_range(joined.sizes)} pictures, {len(wanted)} splits: "
            f"{joined.reason}",
            fix="ask for fewer splits (--test 0)"
            + ("" if by == "image" else ", or --by image where that is fair"),
        )
    pixels, pictures = _by_group(statistics, order, joined)
    split_of = stratify(
        joined.sizes, pixels, pictures, fractions=np.array(list(wanted.values())), seed=seed
    )
    sample_splits = split_of[joined.of]
    result = Split(
        names={
            name: tuple(images[place] for place in np.flatnonzero(sample_splits == number))
            for number, name in enumerate(wanted)
        },
        by=by,
        seed=seed,
        fractions=wanted,
        kind=kept.kind,
        reason=kept.reason,
        groups={name: int((split_of == number).sum()) for number, name in enumerate(wanted)},
        classes=dataset.classes.names,
        pixels=_summed(pixels, split_of, len(wanted)),
        pictures=_summed(pictures, split_of, len(wanted)),
        notes=(),
    )
    notes = [f"groups: {kept.reason}"] if by != "image" else _notes_on_cut(found)
    notes += _notes(result, dataset, statistics, joined, (pictures > 0).sum(axis=0))
    notes += _notes_on_duplicates(copies, near)
    return replace(result, notes=tuple(notes))


def write_split(result: Split, folder: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Writes `train.txt`, `val.txt`, … and `split.json`; `pixelwise.data.open` takes the folder.

    Raises:
        OutputExistsError: files are in the way, and `overwrite` is False; nothing was written.
        OutputError: a file cannot be written.
        UsageError: a picture's name holds a line break.
    """
    return write_split_files(result.names, result.to_dict(), folder, overwrite=overwrite)


def wanted_shares(
    dataset: Dataset,
    *,
    by: str = "image",
    fractions: Mapping[str, float] | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """The share of each split, "train" first, which gets what the others leave.

    Raises:
        UsageError: names all that is wrong with the arguments, which are those of `split`.
    """
    given = dict(_DEFAULT if fractions is None else fractions)
    faults = check_split_names(list(given))
    faults += [
        f"{name} = {share!r} is not above 0 and below 1"
        for name, share in given.items()
        if not 0 < share < 1
    ]
    if _TRAIN in given:
        faults.append(f"{_TRAIN} gets what the others leave: leave it out")
    if not given:
        faults.append(f"no split is asked for but {_TRAIN}")
    if not faults and sum(given.values()) > 1 - 1e-9:
        faults.append(f"the shares sum to {sum(given.values()):g}: none is left for {_TRAIN}")
    if by not in get_args(SplitBy):
        faults.append(f"by = {by!r}: {did_you_mean(by, get_args(SplitBy))}")
    if seed < 0:
        faults.append(f"seed = {seed} is below 0")
    if not len(dataset):
        faults.append("the data set has no samples")
    if faults:
        raise UsageError(
            "the data set cannot be split so",
            where=str(dataset.root),
            got=" · ".join(faults),
            fix="such as --by group --val 0.15 --test 0.15",
        )
    return {_TRAIN: 1 - sum(given.values()), **given}


def _groups(
    dataset: Dataset,
    order: NDArray[np.intp],
    hashes: NDArray[np.uint64],
    told: Groups | None,
) -> Groups:
    """The groups, told or found, in that order."""
    if told is not None:
        return replace(told, of=told.of[order])
    return find_groups([dataset.entries[place].name for place in order], hashes)


def _kept_whole(dataset: Dataset, found: Groups, by: SplitBy) -> Groups:
    """What may not be cut; for "image" each sample is one."""
    if by == "image":
        single = np.arange(len(found.of), dtype=np.int32)
        return Groups(single, "none", "each picture by itself", 1.0)
    fits = found.kind in {"tiles", "named"} if by == "tile" else found.kind != "none"
    if not fits:
        raise UsageError(
            "no tiles of scenes were found" if by == "tile" else "no groups were found",
            where=str(dataset.root),
            got=found.reason,
            fix="say what samples of a group share, such as --groups 'scene{}_*', or use "
            + ("--by group" if by == "tile" and found.kind != "none" else "--by image"),
        )
    return found


def _copies(digests: NDArray[np.uint8], readable: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Each picture whose file has the same bytes as an earlier one, with that, `[M, 2]`."""
    places = np.flatnonzero(readable)
    keys = np.ascontiguousarray(digests[places]).view(f"V{digests.shape[1]}").ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    pairs = np.stack([places[first[inverse.reshape(-1)]], places], axis=1)
    copies: NDArray[np.int32] = pairs[pairs[:, 0] != pairs[:, 1]].astype(np.int32)
    return copies


def _with_blank_copies_apart(
    groups: Groups, hashes: NDArray[np.uint64], copies: NDArray[np.int32]
) -> Groups:
    """Copies of pictures that show nothing leave their groups: they would tie strangers."""
    blank = copies[is_blank(hashes[copies]).all(axis=1)]
    of = groups.of.astype(np.int64)
    alone = np.unique(blank)
    of[alone] = len(of) + alone
    numbers = np.unique(of, return_inverse=True)[1].reshape(-1).astype(np.int32)
    return Groups(numbers, groups.kind, groups.reason, groups.sureness)


def _by_group(
    statistics: Statistics, order: NDArray[np.intp], groups: Groups
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels and pictures of each class in each group, both int64 `[G, C]`."""
    group_of = np.empty(len(order), np.int64)
    group_of[order] = groups.of
    shape = (len(groups.sizes), len(statistics.classes))
    pixels, pictures = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    owners = group_of[statistics.owners]
    np.add.at(pixels, (owners, statistics.places), statistics.pixels)
    np.add.at(pictures, (owners, statistics.places), 1)
    return pixels, pictures


def _summed(
    counts: NDArray[np.int64], split_of: NDArray[np.int64], splits: int
) -> NDArray[np.int64]:
    sums: NDArray[np.int64] = np.stack(
        [counts[split_of == number].sum(axis=0) for number in range(splits)]
    )
    return sums


def _notes(
    result: Split,
    dataset: Dataset,
    statistics: Statistics,
    groups: Groups,
    groups_of_class: NDArray[np.int64],
) -> list[str]:
    notes = []
    if dataset.splits:
        notes.append(f"the data set's own splits ({', '.join(dataset.splits)}) are not kept")
    for name, names in result.names.items():
        reached, asked = len(names) / len(dataset), result.fractions[name]
        if abs(reached - asked) > max(_TOLERANCE, 0.5 / len(dataset)):
            notes.append(
                f"{name} has {percent(reached)} of the pictures, asked for were "
                f"{percent(asked)}: the {len(groups.sizes)} groups are of "
                f"{_range(groups.sizes)} pictures"
            )
    notes += _notes_on_classes(result, groups_of_class)
    unreadable = int((~statistics.readable).sum())
    unlabelled = int((~statistics.labelled).sum()) - unreadable
    for number, what in ((unreadable, "cannot be read"), (unlabelled, "have no readable mask")):
        if number > 0:
            notes.append(f"{number} pictures {what}: see `pixelwise data check`")
    return notes


def _notes_on_classes(result: Split, groups_of_class: NDArray[np.int64]) -> list[str]:
    """Classes that a split lacks."""
    splits = list(result.names)
    notes = []
    for place, title in enumerate(result.classes):
        lacking = [splits[s] for s in np.flatnonzero(result.pictures[:, place] == 0)]
        owners = int(groups_of_class[place])
        if lacking and owners:
            where = "one picture or group" if owners == 1 else f"{owners} pictures or groups"
            notes.append(f"no {title!r} in {' and '.join(lacking)}: it is in {where} only")
    if len(notes) > _NAMED:
        notes[_NAMED:] = [f"and so on for {len(notes) - _NAMED} more classes"]
    return notes


def _notes_on_cut(found: Groups) -> list[str]:
    """What is cut although it belongs together."""
    if found.kind == "none":
        return []
    return [
        "pictures that may belong together are on different sides, so scores may look better than "
        f"they are ({found.reason}); --by group keeps them together"
    ]


def _notes_on_duplicates(copies: NDArray[np.int32], near: NDArray[np.int32]) -> list[str]:
    found = ((len(copies), "copies"), (len(np.unique(near)), "near-duplicates"))
    return [
        ("1 picture was" if number == 1 else f"{number:,} pictures were")
        + f" moved to the side of their {what}"
        for number, what in found
        if number
    ]


def _range(sizes: NDArray[np.int64]) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _rounded(share: float) -> float:
    return round(share, 6)
