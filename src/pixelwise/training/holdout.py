"""What is learned from and what is scored: a data set's splits, or a part kept back by groups."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixelwise.data import Dataset
from pixelwise.data.groups import Groups, find_groups
from pixelwise.data.split import SplitBy, split
from pixelwise.data.statistics import Statistics, gather
from pixelwise.errors import DatasetError, UsageError
from pixelwise.training.score_groups import ScoreGroups, groups_of

__all__ = ["Parts", "part_of", "with_validation"]

_TRAIN_NAMES = ("train", "training", "trainval")
_VALIDATION_NAMES = ("val", "valid", "validation", "dev")
_HELD_BACK = (*_VALIDATION_NAMES, "test", "testing")
_FROM, _UPTO = 0.4, 2.0
_KINDS = {
    "video": "video frames",
    "tiles": "tiles of a scene",
    "folders": "pictures of a folder",
    "session": "photos of a walk",
    "named": "named groups",
}
_BY_SAMPLE = (
    "sizes",
    "form_of",
    "orientations",
    "labelled",
    "ignored",
    "objects",
    "hashes",
    "digests",
    "truth_digests",
)


class Parts(NamedTuple):
    """What is learned from and what is scored.

    Attributes:
        train: pictures to learn from.
        validation: pictures to score on.
        note: how they were told apart, in a sentence.
        statistics: of the pictures to learn from.
        groups: of the pictures to score on; None where each stands alone.
    """

    train: Dataset
    validation: Dataset
    note: str
    statistics: Statistics
    groups: ScoreGroups | None


def with_validation(
    dataset: Dataset,
    statistics: Statistics | None = None,
    *,
    train: str = "train",
    validation: str | None = "val",
    share: float = 0.2,
    seed: int = 0,
) -> Parts:
    """The pictures to learn from and those to score on.

    A split to score on is taken where there is one. Else a part of `train` is kept back: whole
    videos, scenes or folders where there are enough of them, and look-alikes are never parted.
    Pictures whose truth is missing or cannot be read are in neither part; nor is any of a split
    that was not asked for, such as a test.

    Args:
        dataset: what to cut.
        statistics: of this data set, from `gather`; gathered where None.
        train: split to learn from; a data set without splits is one whole, and where no split has
            one of the usual names, another such name will do.
        validation: split to score on, likewise; None: a part of `train` is kept back in any case.
        share: of the pictures of `train`, how many are kept back.
        seed: decides between pictures that fit as well.

    Raises:
        DatasetError: fewer than two pictures have a truth that can be read, or all pictures are
            of splits to score or to test on.
        UsageError: there is no such split, or the share is not above 0 and below 1.
    """
    if not 0 < share < 1:
        raise UsageError(
            "the share of pictures kept back is above 0 and below 1",
            got=f"share={share!r}",
            fix="0.2 keeps back a fifth",
        )
    learned = _train_name(dataset, train)
    scored = _validation_name(dataset, validation)
    statistics = gather(dataset)[0] if statistics is None else statistics
    asked = _places(dataset, learned)
    places = asked[statistics.labelled[asked]]
    beside = ""
    if len(places) < len(asked):
        beside = f"; {len(asked) - len(places):,} without a readable truth are left out"
    of = f" of split {learned!r}" if learned else ""
    held = np.zeros(0, np.intp) if scored is None else _places(dataset, scored)
    held = held[statistics.labelled[held]]
    if len(held) and len(places):
        note = f"{len(places):,} pictures{of} to learn from, {len(held):,} of split {scored!r} to "
        note += f"score on{beside}"
        # Films are told from all there is: a split of a single one shows no other to compare with.
        groups = find_groups([entry.name for entry in dataset.entries], statistics.hashes)
        return _parts(dataset, statistics, groups, places, held, note)
    if len(places) < 2:
        raise DatasetError(
            "a training needs two labelled pictures at least: one to learn from, one to score on",
            where=str(dataset.root),
            got=f"{len(places)} of {len(asked):,} pictures{of} with a truth that can be read",
            fix="label more pictures, or cut a large one into tiles; `pixelwise data check` says "
            "which truths cannot be read",
        )
    whole = dataset.subset(places.tolist())
    facts = part_of(statistics, places)
    groups = find_groups([entry.name for entry in whole.entries], facts.hashes)
    kept, how = _kept_back(whole, facts, groups, share, seed)
    note = f"{len(kept):,} of {len(places):,} pictures{of} are kept back to score on: {how}{beside}"
    rest = np.setdiff1d(np.arange(len(whole)), kept)
    return _parts(whole, facts, groups, rest, kept, note)


def _parts(
    dataset: Dataset,
    statistics: Statistics,
    groups: Groups,
    learned: NDArray[np.intp],
    scored: NDArray[np.intp],
    note: str,
) -> Parts:
    return Parts(
        dataset.subset(learned.tolist()),
        dataset.subset(scored.tolist()),
        note,
        part_of(statistics, learned),
        groups_of(groups, scored.tolist()),
    )


def _train_name(dataset: Dataset, wanted: str) -> str:
    """The split to learn from; "" where the data set is one whole."""
    there = dataset.splits
    if not there or wanted in there:
        return wanted if there else ""
    if wanted not in _TRAIN_NAMES:
        dataset.split(wanted)
    usual = [name for name in _TRAIN_NAMES if name in there]
    usual += [name for name in there if name.lower() not in _HELD_BACK]
    if not usual:
        raise DatasetError(
            "the data set has no split to learn from",
            where=str(dataset.root),
            got=f"splits {', '.join(there)}",
            fix="name one of them: --train NAME, or make splits with `pixelwise data split`",
        )
    return usual[0]


def _validation_name(dataset: Dataset, wanted: str | None) -> str | None:
    if wanted is None or wanted in dataset.splits:
        return wanted
    if wanted not in _VALIDATION_NAMES:
        dataset.split(wanted)
    return next((name for name in _VALIDATION_NAMES if name in dataset.splits), None)


def _places(dataset: Dataset, split: str | None) -> NDArray[np.intp]:
    """Of the samples of a split; of all where it has no name."""
    if not split:
        return np.arange(len(dataset))
    return np.flatnonzero([entry.split == split for entry in dataset.entries])


def part_of(statistics: Statistics, places: NDArray[np.intp]) -> Statistics:
    """The statistics of some of the samples, in that order."""
    counts = np.diff(statistics.offsets)[places]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]).astype(np.int64)
    rows = np.repeat(statistics.offsets[places] - offsets[:-1], counts) + np.arange(offsets[-1])
    arrays = {
        field.name: getattr(statistics, field.name)[places]
        for field in fields(statistics)
        if field.name in _BY_SAMPLE
    }
    # Forms of pictures that are not among these are none of theirs.
    forms, first, form_of = np.unique(arrays["form_of"], return_index=True, return_inverse=True)
    seen = [form for _, form in sorted(zip(first, forms, strict=True)) if form >= 0]
    numbers = {form: number for number, form in enumerate(seen)}
    arrays["form_of"] = np.array([numbers.get(form, -1) for form in forms], np.int16)[form_of]
    return replace(
        statistics,
        **arrays,
        forms=tuple(statistics.forms[form] for form in seen),
        offsets=offsets,
        places=statistics.places[rows],
        pixels=statistics.pixels[rows],
    )


def _kept_back(
    dataset: Dataset, statistics: Statistics, groups: Groups, share: float, seed: int
) -> tuple[NDArray[np.intp], str]:
    """Places of the pictures kept back, and how they were chosen."""
    beside = ""
    if groups.kind != "none":
        kind = _KINDS[groups.kind]
        kept = _cut(dataset, statistics, groups, share, seed, whole=True)
        if _FROM * share <= len(kept) / len(dataset) <= _UPTO * share:
            return kept, f"whole groups of {kind} ({groups.reason})"
        beside = f"; no groups of {kind} come to that share, so scores may look too good"
    kept = _cut(dataset, statistics, groups, share, seed, whole=False)
    if 0 < len(kept) <= max(1, _UPTO * share * len(dataset)):
        return kept, f"look-alikes stay together, classes are spread alike{beside}"
    # Neighbours by name are the likeliest to look alike: a block at one end parts the fewest.
    order = sorted(range(len(dataset)), key=lambda place: dataset.entries[place].image)
    count = min(max(1, round(share * len(dataset))), len(dataset) - 1)
    how = "the last by name, as all pictures look alike; scores may look too good"
    return np.sort(np.array(order[-count:], np.intp)), how


def _cut(
    dataset: Dataset,
    statistics: Statistics,
    groups: Groups,
    share: float,
    seed: int,
    *,
    whole: bool,
) -> NDArray[np.intp]:
    """Places kept back; none where there are not two groups."""
    by: SplitBy = "group" if whole else "image"
    try:
        cut = split(dataset, statistics, groups, by=by, fractions={"val": share}, seed=seed)
    except UsageError:
        return np.zeros(0, np.intp)
    names = set(cut.names["val"])
    kept = [place for place, entry in enumerate(dataset.entries) if entry.image in names]
    return np.array(kept, np.intp)
