"""What a data set is like, in the few numbers that the choices of a training rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pixelwise.data import Dataset
from pixelwise.data.groups import GroupKind, find_groups
from pixelwise.data.statistics import Statistics
from pixelwise.errors import DatasetError
from pixelwise.training.mask_traits import Traits, look_at

__all__ = ["ClassFacts", "Fingerprint", "fingerprint"]

_MOST_NAMED = 8
_USUAL = 0.1
# Of the types that pictures come in; the others count from 0 to 1.
_FULL_SCALES = {"uint8": 255.0, "uint16": 65_535.0, "int16": 32_767.0}


@dataclass(frozen=True)
class ClassFacts:
    """One class in the pictures to learn from.

    Attributes:
        name: of the class.
        share: of all pixels that are surely of one class; of several classes per pixel: of all
            that count.
        pictures: how many hold it.
        side: pixels: of a square as large as a typical region; NaN where none was looked at.
        near_border: share of its pixels within 2 pixels of another class; NaN likewise.
    """

    name: str
    share: float
    pictures: int
    side: float
    near_border: float


@dataclass(frozen=True)
class Fingerprint:
    """What a data set is like.

    Attributes:
        train: pictures to learn from.
        validation: pictures to score on.
        median, smallest, largest: sizes `(H, W)` of pictures to learn from, by area.
        alike: all are of one size.
        bands: of the pictures.
        photos: the pictures have three bands of 8 bits.
        full_scale: the value that counts as 1 in `mean` and `std`.
        mean, std: of each band, in shares of the full scale.
        classes: what each is like.
        open_share: of the labelled pixels those that may be of several classes (union rows).
        ignored: share of all pixels that count for nothing.
        instances: the truth tells single objects apart.
        objects: median side of these in pixels, as of a square as large; NaN without.
        touching: share of them that touch another; NaN without.
        multi_label: pixels have any number of classes.
        overlap: share of the pixels with any class that have several.
        has_upper_side: pictures are upright: up is another direction than down.
        upright, chance: how far the upper halves differ from the lower, and what chance alone
            would give: see `Traits`.
        group_kind: how pictures belong together, such as "video".
        groups: how many groups of pictures there are, those of one picture counted.
        looked_at: pictures of the sample that sizes of regions, borders and bands are of.
    """

    train: int
    validation: int
    median: tuple[int, int]
    smallest: tuple[int, int]
    largest: tuple[int, int]
    alike: bool
    bands: int
    photos: bool
    full_scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[ClassFacts, ...]
    open_share: float
    ignored: float
    instances: bool
    objects: float
    touching: float
    multi_label: bool
    overlap: float
    has_upper_side: bool
    upright: float
    chance: float
    group_kind: GroupKind
    groups: int
    looked_at: int

    @cached_property
    def present(self) -> tuple[ClassFacts, ...]:
        """The classes that occur in the pictures to learn from, the rarest first."""
        there = (facts for facts in self.classes if facts.share > 0)
        return tuple(sorted(there, key=lambda facts: facts.share))

    @property
    def absent(self) -> tuple[str, ...]:
        """Names of the classes that do not occur there."""
        return tuple(facts.name for facts in self.classes if not facts.share)

    @property
    def imbalance(self) -> float:
        """How many pixels of the most frequent class come on one of the rarest."""
        return self.present[-1].share / self.present[0].share

    @property
    def thinnest(self) -> ClassFacts:
        """The class with most of its pixels near a border, of those in a tenth of the pictures."""
        usual = [facts for facts in self.present if facts.pictures >= _USUAL * self.train]
        return max(usual or self.present, key=lambda facts: np.nan_to_num(facts.near_border))

    @property
    def smallest_side(self) -> float:
        """The least of the typical sides of regions in pixels; NaN where none was looked at."""
        sides = [facts.side for facts in self.present if not math.isnan(facts.side)]
        return min(sides, default=math.nan)


def fingerprint(
    train: Dataset,
    statistics: Statistics,
    *,
    validation: int,
    classes: int | None = None,
    multi_label: bool = False,
    seed: int = 0,
    workers: int = 0,
) -> Fingerprint:
    """Takes a fingerprint.

    Args:
        train: the pictures to learn from.
        statistics: of these, from `gather`.
        validation: how many pictures there are to score on.
        classes: how many entries of the class table are classes; those above are union rows.
            None: all.
        multi_label: pixels have any number of classes.
        seed: of the sample that is looked at.
        workers: threads; 0 for every core that this process may use.

    Raises:
        DatasetError: lists all that forbids a training: no labelled picture, nothing to score on,
            pictures of different numbers of bands, fewer than two classes, or none of classes that
            lie over each other.
    """
    classes = len(train.classes) if classes is None else classes
    pixels, pictures = statistics.per_class(statistics.labelled)
    _check(train, statistics, pixels[:classes], validation, least=1 if multi_label else 2)
    sizes = statistics.sizes[statistics.readable]
    area = int(sizes.astype(np.int64).prod(axis=1).sum())
    order = np.argsort(sizes.astype(np.int64).prod(axis=1), kind="stable")
    median = _size(sizes[order[len(order) // 2]])
    form = statistics.forms[int(statistics.form_of[statistics.readable][0])]
    seen = look_at(
        train.subset(np.flatnonzero(statistics.labelled).tolist()),
        typical_pixels=area // len(sizes),
        bands=form.bands,
        seed=seed,
        workers=workers,
    )
    scale = _FULL_SCALES.get(form.dtype, 1.0)
    ignored = int(statistics.ignored[statistics.labelled].sum())
    total = area - ignored if multi_label else int(pixels[:classes].sum())
    groups = find_groups([entry.name for entry in train.entries], statistics.hashes)
    return Fingerprint(
        train=int(statistics.labelled.sum()),
        validation=validation,
        median=median,
        smallest=_size(sizes[order[0]]),
        largest=_size(sizes[order[-1]]),
        alike=bool((sizes == sizes[0]).all()),
        bands=form.bands,
        photos=form.bands == 3 and form.dtype == "uint8",
        full_scale=scale,
        mean=tuple((seen.mean / scale).tolist()),
        std=tuple((seen.std / scale).tolist()),
        classes=_facts(train, pixels[:classes], pictures, seen, total=total),
        open_share=int(pixels[classes:].sum()) / max(1, int(pixels.sum())),
        ignored=ignored / max(1, area),
        instances=bool((statistics.objects >= 0).any()),
        objects=seen.object_side,
        touching=seen.touching,
        multi_label=multi_label,
        overlap=seen.overlap,
        has_upper_side=seen.has_upper_side,
        upright=seen.upright,
        chance=seen.chance,
        group_kind=groups.kind,
        groups=len(groups.sizes),
        looked_at=seen.pictures,
    )


def _facts(
    dataset: Dataset,
    pixels: NDArray[np.int64],
    pictures: NDArray[np.int64],
    seen: Traits,
    *,
    total: int,
) -> tuple[ClassFacts, ...]:
    return tuple(
        ClassFacts(
            name=dataset.classes.names[place],
            share=number / max(1, total),
            pictures=int(pictures[place]),
            side=float(seen.sides[place]),
            near_border=float(seen.near_border[place]),
        )
        for place, number in enumerate(pixels.tolist())
    )


def _check(
    dataset: Dataset,
    statistics: Statistics,
    pixels: NDArray[np.int64],
    validation: int,
    *,
    least: int,
) -> None:
    """Raises all that forbids a training at once."""
    faults = []
    if not statistics.labelled.any():
        faults.append(f"none of {len(dataset):,} pictures to learn from has a readable truth")
    elif np.count_nonzero(pixels) < least:
        names = [
            name for name, number in zip(dataset.classes.names, pixels, strict=False) if number
        ]
        only = f"only {names[0]!r} occurs" if names else "every pixel is ignored"
        faults.append(f"{only} in the pictures to learn from: there is nothing to tell apart")
    if not validation:
        faults.append("there is no picture to score on")
    bands: dict[int, int] = {}
    for number, form in enumerate(statistics.forms):
        times = int(np.count_nonzero(statistics.form_of == number))
        bands[form.bands] = bands.get(form.bands, 0) + times
    if len(bands) > 1:
        counts = ", ".join(f"{times:,} of {number}" for number, times in sorted(bands.items()))
        faults.append(f"the pictures differ in their number of bands: {counts}")
    if faults:
        raise DatasetError(
            "nothing can be learned from this data set",
            where=str(dataset.root),
            got=" · ".join(faults[:_MOST_NAMED]),
            fix="`pixelwise data check` says what is in it and what is wrong with it",
        )


def _size(size: NDArray[np.int32]) -> tuple[int, int]:
    return int(size[0]), int(size[1])
