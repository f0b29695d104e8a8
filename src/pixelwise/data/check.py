"""What is in a data set and what is wrong with it, all at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.dataset import Dataset, Entry
from pixelwise.data.duplicates import (
    UNKNOWN_HASH,
    hash_distances,
    near_distance,
    near_pairs,
)
from pixelwise.data.faults import Fault
from pixelwise.data.findings import Findings, equal_rows, split_numbers
from pixelwise.data.groups import Groups, find_groups
from pixelwise.data.statistics import Gathering, Statistics

__all__ = ["Report", "check", "report_on"]

_FREQUENT = 10
_MOST_PAIRS = 10_000


@dataclass(frozen=True, eq=False)
class Report:
    """What a check found.

    Attributes:
        dataset: the data set that was checked.
        statistics: its numbers; of the first samples only where the check was interrupted.
        faults: everything wrong: with the files' names, their contents, the set as a whole.
        copies: for each picture that stands several times, the places of its copies in the data
            set, rising.
        near: int32 `[M, 3]`: places of two pictures that look alike, and by how many of 64 bits
            their hashes differ; the most alike first. Copies of one picture stand for their first,
            and pictures of one hash are paired with their first only.
        groups: pictures that belong together, such as frames of one video.
    """

    dataset: Dataset
    statistics: Statistics
    faults: tuple[Fault, ...]
    copies: tuple[NDArray[np.int32], ...]
    near: NDArray[np.int32]
    groups: Groups

    @property
    def complete(self) -> bool:
        """Whether every sample was looked at."""
        return len(self.statistics) == len(self.dataset)

    @property
    def failed(self) -> bool:
        """Whether there is a fault that makes training or scores wrong."""
        return any(fault.severity == "error" for fault in self.faults)

    def to_dict(self) -> dict[str, Any]:
        """Everything in types that JSON has: the facts, copies, near duplicates and faults.

        Of the pairs that look alike the first 10,000 are listed: frames of long videos make
        millions.
        """
        entries = self.dataset.entries
        return {
            **self.facts(),
            "copies": [[entries[place].image for place in places] for places in self.copies],
            "near_duplicates": [
                {
                    "first": entries[one].image,
                    "second": entries[other].image,
                    "bits_apart": distance,
                }
                for one, other, distance in self.near[:_MOST_PAIRS].tolist()
            ],
            "near_duplicate_pairs": len(self.near),
            "faults": [asdict(fault) for fault in self.faults],
        }

    def facts(self) -> dict[str, Any]:
        """What is in the data, in types that JSON has; sizes are (width, height), shares 0 … 1."""
        dataset, statistics = self.dataset, self.statistics
        several = self.groups.sizes[self.groups.sizes > 1]
        splits = split_numbers(dataset)
        return {
            "path": str(dataset.root),
            "layout": dataset.layout,
            "sureness": dataset.sureness,
            "notes": list(dataset.notes),
            "class_table": dataset.classes.to_dict(),
            "rest": dataset.rest,
            "pictures": len(dataset),
            "looked_at": len(statistics),
            "complete": self.complete,
            "readable": int(statistics.readable.sum()),
            "labelled": int(statistics.labelled.sum()),
            "splits": {
                name: int((splits == number).sum()) for number, name in enumerate(dataset.splits)
            },
            "sizes": _sizes(statistics),
            "forms": _forms(statistics),
            "objects": int(statistics.objects[statistics.objects > 0].sum()),
            "counted_pixels": int(statistics.areas.sum()),
            "ignored_pixels": int(statistics.ignored.sum()),
            "ignored_colours": [
                {"colour": list(colour), "pixels": pixels, "masks": masks}
                for colour, (pixels, masks, _) in zip(
                    statistics.ignored_colours, statistics.ignored_by_colour.tolist(), strict=True
                )
            ],
            "classes": self._classes(splits[: len(statistics)]),
            "groups": {
                "kind": self.groups.kind,
                "reason": self.groups.reason,
                "sureness": self.groups.sureness,
                "count": len(several),
                "pictures": int(several.sum()),
            },
        }

    def _classes(self, splits: NDArray[np.int32]) -> list[dict[str, Any]]:
        """Pixels, share and pictures of each class, in all the data and in each split."""
        statistics = self.statistics
        parts = {"": statistics.labelled}
        parts |= {
            name: statistics.labelled & (splits == number)
            for number, name in enumerate(self.dataset.splits)
        }
        numbers = {}
        for name, chosen in parts.items():
            pixels, pictures = statistics.per_class(chosen)
            area = max(int(statistics.areas[chosen].sum()), 1)
            numbers[name] = [
                {"pixels": count, "share": count / area, "pictures": times}
                for count, times in zip(pixels.tolist(), pictures.tolist(), strict=True)
            ]
        return [
            {
                "id": info.id,
                "name": info.name,
                **numbers[""][place],
                "splits": {name: numbers[name][place] for name in self.dataset.splits},
            }
            for place, info in enumerate(statistics.classes)
        ]


def check(
    dataset: Dataset, *, workers: int = 0, progress: Callable[[int], object] | None = None
) -> Report:
    """Reads a data set whole and reports on it. No fault of a file stops it.

    Args:
        dataset: what to check.
        workers: threads; 0 for every core that this process may use.
        progress: called with the number of samples read since the last call.
    """
    gathering = Gathering(dataset)
    gathering.run(workers=workers, progress=progress)
    return report_on(dataset, gathering)


def report_on(dataset: Dataset, gathering: Gathering) -> Report:
    """The report on the samples that a pass has seen, be it finished or interrupted."""
    statistics = gathering.statistics()
    copies = equal_rows(statistics.digests, np.flatnonzero(statistics.readable))
    near = _near(statistics, copies)
    entries = dataset.entries[: len(statistics)]
    groups = find_groups(_NamesOf(entries), statistics.hashes)
    findings = Findings(dataset, statistics)
    faults = (
        *dataset.faults,
        *gathering.faults,
        *findings.of_copies(copies),
        *findings.of_forms(),
        *findings.of_turns(),
        *findings.of_masks(),
        *findings.of_ids(),
        *findings.of_colours(),
        *findings.of_classes(complete=len(statistics) == len(dataset)),
        *findings.of_near(near),
        *findings.of_shared_truths(near),
        *findings.of_groups(groups),
    )
    return Report(dataset, statistics, faults, copies, near, groups)


@dataclass(frozen=True)
class _NamesOf(Collection[str]):
    """The names of entries, none of which is kept."""

    entries: Sequence[Entry]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[str]:
        return (entry.name for entry in self.entries)

    def __contains__(self, name: object) -> bool:
        return any(name == own for own in self)


def _near(statistics: Statistics, copies: Iterable[NDArray[np.int32]]) -> NDArray[np.int32]:
    """Pairs that look alike, as `Report.near`."""
    hashes = statistics.hashes.copy()
    for group in copies:
        hashes[group[1:]] = UNKNOWN_HASH
    pairs = near_pairs(hashes, near_distance(hashes))
    distances = hash_distances(hashes[pairs[:, 0]], hashes[pairs[:, 1]])
    near = np.column_stack([pairs, distances.astype(np.int32)])
    return near[np.argsort(distances, kind="stable")]


def _sizes(statistics: Statistics) -> dict[str, Any]:
    """The distinct sizes, most frequent first, and the least, middle and greatest by area."""
    sizes = statistics.sizes[statistics.readable][:, ::-1]
    if not len(sizes):
        return {"distinct": 0, "least": None, "median": None, "greatest": None, "frequent": []}
    order = np.argsort(sizes.astype(np.int64).prod(axis=1), kind="stable")
    kinds, counts = np.unique(sizes, axis=0, return_counts=True)
    frequent = np.argsort(-counts, kind="stable")[:_FREQUENT]
    return {
        "distinct": len(kinds),
        "least": sizes[order[0]].tolist(),
        "median": sizes[order[len(order) // 2]].tolist(),
        "greatest": sizes[order[-1]].tolist(),
        "frequent": [
            {"size": kinds[place].tolist(), "pictures": int(counts[place])} for place in frequent
        ],
    }


def _forms(statistics: Statistics) -> list[dict[str, Any]]:
    """How the pictures are stored, the most frequent first."""
    counts = np.bincount(
        statistics.form_of[statistics.readable], minlength=len(statistics.forms)
    ).tolist()
    rows = [
        {**asdict(form), "pictures": count}
        for form, count in zip(statistics.forms, counts, strict=True)
    ]
    return sorted(rows, key=lambda row: -row["pictures"])
