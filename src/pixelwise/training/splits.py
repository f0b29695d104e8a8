"""Which pictures a run learns from and which it scores on, written down with the run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, get_args

from pixelwise.data import Dataset
from pixelwise.data.entries import Entries
from pixelwise.data.groups import GroupKind
from pixelwise.data.statistics import Statistics, gather
from pixelwise.errors import DatasetError
from pixelwise.formats.files import write_atomic
from pixelwise.training.holdout import Parts, with_validation
from pixelwise.training.plan import TrainingPlan
from pixelwise.training.score_groups import ScoreGroups, joined_groups

__all__ = ["Bar", "Splits", "draw_splits", "read_splits", "write_splits"]

Bar: TypeAlias = Callable[[int], AbstractContextManager[Callable[[int], object]]]
"""From a total to what counts up to it."""

_UNREADABLE_SHARE = 0.001
_MOST_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Splits:
    """The two parts of every data set.

    Attributes:
        trains, validations: a data set each, in the order of the plan.
        notes: how they were told apart.
        groups: which pictures to score on belong together; None where each stands alone.
        statistics: of the pictures to learn from; empty where nothing was read.
    """

    trains: tuple[Dataset, ...]
    validations: tuple[Dataset, ...]
    notes: tuple[str, ...]
    groups: tuple[ScoreGroups | None, ...]
    statistics: tuple[Statistics, ...] = ()

    @property
    def score_groups(self) -> ScoreGroups | None:
        """Of all pictures to score on, one data set after the other."""
        return joined_groups(self.groups, [len(dataset) for dataset in self.validations])


def draw_splits(
    datasets: Sequence[Dataset],
    plan: TrainingPlan,
    *,
    bar: Bar | None = None,
) -> Splits:
    """Reads every picture once, and keeps some back where there is no split to score on.

    Args:
        datasets: whole.
        plan: names the splits; "train+extra" takes two for one.
        bar: makes, of the number of pictures, what shows how many are read.

    Raises:
        DatasetError: more than 0.1 % of the pictures, and more than one, cannot be read; or there
            are too few.
        UsageError: there is no such split.
    """
    for name in plan.train.split("+")[1:]:
        if not any(name in dataset.splits for dataset in datasets):
            datasets[0].split(name)  # which tells what there is
    total = sum(len(dataset) for dataset in datasets)
    with nullcontext(None) if bar is None else bar(total) as progress:
        parts = [_parts(dataset, plan, progress) for dataset in datasets]
    notes = [
        f"{dataset.root.name}: {part.note}" for dataset, part in zip(datasets, parts, strict=True)
    ]
    return Splits(
        tuple(part.train for part in parts),
        tuple(part.validation for part in parts),
        tuple(notes),
        tuple(part.groups for part in parts),
        tuple(part.statistics for part in parts),
    )


def _parts(dataset: Dataset, plan: TrainingPlan, progress: Callable[[int], object] | None) -> Parts:
    first, *others = plan.train.split("+")
    whole = _as_one(dataset, first, others)
    statistics, faults = gather(whole, progress=progress)
    if len(faults) > max(1, int(_UNREADABLE_SHARE * len(whole))):
        shown = [f"{fault.file}: {fault.what} {fault.got}" for fault in faults[:_MOST_SHOWN]]
        raise DatasetError(
            f"{len(faults):,} of {len(whole):,} pictures cannot be learned from",
            where=str(dataset.root),
            got="\n  ".join(shown),
            fix="`pixelwise data check` lists all and says what to do",
        )
    return with_validation(
        whole,
        statistics,
        train=first,
        validation=plan.validation,
        share=plan.validation_share,
        seed=plan.seed,
    )


def _as_one(dataset: Dataset, first: str, others: Sequence[str]) -> Dataset:
    """The data set with several splits as one, called by the name of the first."""
    return replace(
        dataset,
        entries=Entries.of(
            replace(entry, split=first) if entry.split in others else entry
            for entry in dataset.entries
        ),
    )


def write_splits(splits: Splits, path: Path) -> None:
    """Writes the names of all pictures.

    Raises:
        OutputError: the file cannot be written.
    """
    sets = [
        {
            "name": train.root.name,
            "note": note,
            "train": [entry.image for entry in train.entries],
            "validation": [entry.image for entry in validation.entries],
            "groups": None if groups is None else {"kind": groups.kind, "of": list(groups.of)},
        }
        for train, validation, note, groups in zip(
            splits.trains, splits.validations, splits.notes, splits.groups, strict=True
        )
    ]
    write_atomic(path, _json({"sets": sets}))


def _json(content: object) -> bytes:
    # A name may hold bytes that no encoding has: as an escape they come back.
    return json.dumps(content, ensure_ascii=False, indent=0).encode(errors="backslashreplace")


def read_splits(path: Path, datasets: Sequence[Dataset]) -> Splits:
    """The same parts again.

    Raises:
        DatasetError: the file cannot be read, or pictures are gone.
    """
    try:
        sets = json.loads(path.read_bytes())["sets"]
        told = [(part["train"], part["validation"], part["note"], _groups(part)) for part in sets]
        pairs = list(zip(datasets, told, strict=True))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            "which pictures the run learns from cannot be read",
            where=str(path),
            got=str(error),
            fix="begin a new run",
        ) from None
    return Splits(
        tuple(_chosen(dataset, train) for dataset, (train, _, _, _) in pairs),
        tuple(_chosen(dataset, validation) for dataset, (_, validation, _, _) in pairs),
        tuple(note for _, (_, _, note, _) in pairs),
        tuple(groups for _, (_, _, _, groups) in pairs),
    )


def _groups(part: Mapping[str, Any]) -> ScoreGroups | None:
    """Runs of earlier versions have none.

    Raises:
        ValueError: they do not fit the pictures.
    """
    told = part.get("groups")
    if told is None:
        return None
    kind, of = told["kind"], tuple(map(int, told["of"]))
    if kind not in set(get_args(GroupKind)) - {"none"} or len(of) != len(part["validation"]):
        raise ValueError(f"groups of kind {kind!r} for {len(of):,} pictures")
    return ScoreGroups(kind, of)


def _chosen(dataset: Dataset, images: Sequence[str]) -> Dataset:
    places = {entry.image: place for place, entry in enumerate(dataset.entries)}
    gone = [image for image in images if image not in places]
    if gone:
        raise DatasetError(
            f"{len(gone):,} pictures of the run are gone",
            where=str(dataset.root),
            got=", ".join(gone[:_MOST_SHOWN]),
            fix="bring them back, or begin a new run",
        )
    return dataset.subset([places[image] for image in images])
