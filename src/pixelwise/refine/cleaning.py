"""Label maps made cleaner: regions given to their neighbours, holes filled, borders smoothed.

What is ignored stays, and no class appears that was not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.geometry import Window
from pixelwise.kernels import label_regions
from pixelwise.kernels.types import Labels, Regions

__all__ = [
    "Probabilities",
    "filled_holes",
    "largest_alone",
    "smoothed",
    "taken_together",
    "without_specks",
]

Probabilities = Callable[[Window], NDArray[np.float32]]
"""Probabilities `[C, h, w]` of a window."""

_MOST_ROUNDS = 20


def without_specks(
    labels: Labels,
    min_area: int,
    *,
    ids: Sequence[int],
    probabilities: Probabilities | None,
) -> Labels:
    """Connected regions (8 neighbours) of fewer pixels go to the best of the classes around them.

    Best is the class of the highest mean probability over the region; without probabilities the one
    that has most pixels along its border. The smallest regions go first, so that one may grow into
    a region that stays. A region with nothing but ignored pixels around it stays.

    Args:
        labels: class ids `[H, W]`; ids outside `ids` are ignored pixels.
        min_area: in pixels.
        ids: of the channels of the probabilities.
        probabilities: of the same picture; None where there are none.
    """

    def is_speck(regions: Regions) -> NDArray[np.bool_]:
        return regions.area < min_area

    return _given_away(labels, is_speck, ids, probabilities)


def largest_alone(
    labels: Labels,
    class_id: int,
    *,
    ids: Sequence[int],
    probabilities: Probabilities | None,
) -> Labels:
    """Of one class all but the largest region goes to the classes around; see `without_specks`."""
    regions = label_regions(labels)
    own = np.flatnonzero(regions.label == class_id)
    if len(own) < 2:
        return labels.copy()
    kept = own[regions.area[own].argmax()]
    top_left = np.unravel_index(np.argmax(regions.components == kept), labels.shape)

    def is_another(found: Regions) -> NDArray[np.bool_]:
        others: NDArray[np.bool_] = found.label == class_id
        others[found.components[top_left]] = False
        return others

    return _given_away(labels, is_another, ids, probabilities)


def filled_holes(labels: Labels, class_id: int, *, ids: Sequence[int]) -> Labels:
    """What a class surrounds becomes that class, whatever it was; ignored pixels stay.

    A hole is a connected region (4 neighbours) of other labels that does not touch the edge of the
    picture.
    """
    outside = np.ascontiguousarray(labels != class_id).view(np.uint8)
    regions = label_regions(outside, connectivity=4)
    height, width = labels.shape
    left, top, right, bottom = regions.box.T
    is_hole = (regions.label == 1) & (left > 0) & (top > 0) & (right < width) & (bottom < height)
    filled = is_hole[regions.components] & np.isin(labels, np.asarray(ids))
    return np.where(filled, np.asarray(class_id, labels.dtype), labels)


def smoothed(labels: Labels, radius: int, *, ids: Sequence[int]) -> Labels:
    """Each pixel takes the most frequent label around it; its own where that is as frequent.

    Args:
        labels: class ids `[H, W]`; ids outside `ids` are ignored: they stay and have no vote.
        radius: the square around a pixel is 2 · radius + 1 pixels wide, and ends at the edge.
        ids: of the classes.
    """
    present = [number for number in np.unique(labels).tolist() if number in set(ids)]
    best = np.full(labels.shape, -1, np.int32)
    winner = labels.copy()
    own = np.zeros(labels.shape, np.int32)
    for number in present:
        is_class = labels == number
        votes = _box_counts(is_class, radius)
        np.copyto(own, votes, where=is_class)
        wins = votes > best
        np.copyto(best, votes, where=wins)
        np.copyto(winner, np.asarray(number, labels.dtype), where=wins)
    changes = (best > own) & np.isin(labels, np.asarray(ids))
    return np.where(changes, winner, labels)


def taken_together(
    labels: Labels, regions: NDArray[np.integer[Any]], *, ids: Sequence[int]
) -> Labels:
    """Each region takes its most frequent label, of equals the lowest; ignored pixels stay."""
    counted = kernels.count_overlaps(regions, labels)
    numbers, found = counted.labels.T
    known = np.isin(found, np.asarray(ids))
    numbers, found, pixels = numbers[known], found[known], counted.pixels[known]
    order = np.lexsort((found, -pixels, numbers))
    firsts = np.unique(numbers[order], return_index=True)
    best = dict(zip(firsts[0].tolist(), found[order][firsts[1]].tolist(), strict=True))
    names, places = np.unique(regions, return_inverse=True)
    table = np.array([best.get(name, 0) for name in names.tolist()], labels.dtype)
    winners = table[places].reshape(labels.shape)
    return np.where(np.isin(labels, np.asarray(ids)), winners, labels)


def _given_away(
    labels: Labels,
    doomed: Callable[[Regions], NDArray[np.bool_]],
    ids: Sequence[int],
    probabilities: Probabilities | None,
) -> Labels:
    labels = labels.copy()
    channels = {number: channel for channel, number in enumerate(ids)}
    for _ in range(_MOST_ROUNDS):
        regions = label_regions(labels)
        counted = np.isin(regions.label, np.asarray(ids))
        places = np.flatnonzero(doomed(regions) & counted)
        changed = False
        for place in places[np.argsort(regions.area[places], kind="stable")].tolist():
            changed |= _give(labels, regions, place, channels, probabilities)
        if not changed:
            break
    return labels


def _give(
    labels: Labels,
    regions: Regions,
    place: int,
    channels: dict[int, int],
    probabilities: Probabilities | None,
) -> bool:
    """Gives one region to a class beside it; whether there was one."""
    height, width = labels.shape
    left, top, right, bottom = regions.box[place].tolist()
    window = Window(
        max(left - 1, 0), max(top - 1, 0), min(right + 1, width), min(bottom + 1, height)
    )
    part = np.s_[window.top : window.bottom, window.left : window.right]
    region = regions.components[part] == place
    around = labels[part][_grown(region) & ~region]
    numbers, counts = np.unique(around, return_counts=True)
    own = int(regions.label[place])
    known = [
        (number, count)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
        if number in channels
    ]
    if not known or any(number == own for number, _ in known):
        # Nothing beside it, or a neighbour that went before has made it larger.
        return False
    if probabilities is None:
        worth = [count for _, count in known]
    else:
        means = probabilities(window)[:, region].mean(1, dtype=np.float64)
        worth = [means[channels[number]] for number, _ in known]
    labels[part][region] = known[int(np.argmax(worth))][0]
    return True


def _grown(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """By one pixel to all eight sides."""
    rows = region.copy()
    rows[1:] |= region[:-1]
    rows[:-1] |= region[1:]
    grown = rows.copy()
    grown[:, 1:] |= rows[:, :-1]
    grown[:, :-1] |= rows[:, 1:]
    return grown


def _box_counts(mask: NDArray[np.bool_], radius: int) -> NDArray[np.int32]:
    """Pixels of the mask in the square around each pixel."""
    counts: NDArray[np.int32] = mask.astype(np.int32)
    for axis in (0, 1):
        size = mask.shape[axis]
        sums = np.zeros((size + 1, mask.shape[1 - axis]), np.int32)
        np.cumsum(counts if axis == 0 else counts.T, axis=0, out=sums[1:], dtype=np.int32)
        places = np.arange(size)
        found = sums[np.minimum(places + radius + 1, size)] - sums[np.maximum(places - radius, 0)]
        counts = found if axis == 0 else np.ascontiguousarray(found.T)
    return counts
