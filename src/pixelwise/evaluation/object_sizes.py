"""How well objects are found against their size, and pixels against their distance to a border."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.drawing import IGNORED
from pixelwise.data.nearness import near
from pixelwise.kernels import label_regions

__all__ = ["AREAS", "DISTANCES", "by_border_distance", "by_object_size"]

AREAS: tuple[int, ...] = (64, 256, 1024, 4096, 16_384, 65_536)
"""Pixels from which on an object is of the next group: seven groups in all."""
DISTANCES: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
"""Up to so many pixels from the nearest border of the truth; what is farther is the last group."""

_FOUND = 0.5


def by_object_size(
    truth: NDArray[np.uint16],
    labels: NDArray[np.uint16],
    *,
    instances: NDArray[np.int32] | None = None,
    background: int | None = None,
) -> NDArray[np.int64]:
    """Objects and pixels by the size of the object, int64 `[7, 4]`.

    Objects are those of the truth; where it tells none, its connected regions (8 neighbours). The
    columns: objects; objects of which half the pixels are right; pixels; pixels that are right.

    Args:
        truth: uint16 `[H, W]`: channels, or 65,535 where nothing counts.
        labels: uint16 `[H, W]`: channels.
        instances: int32 `[H, W]`: the object of each pixel, 0 for none.
        background: a channel whose regions are no objects.
    """
    counted = truth != IGNORED
    if background is not None:
        counted = counted & (truth != background)
    objects = _objects(truth, counted, instances)
    owners = objects[objects >= 0]
    area = np.bincount(owners)
    right = np.bincount(owners, (truth == labels)[objects >= 0], len(area))
    there = area > 0
    area, right = area[there], right[there].astype(np.int64)
    group = np.searchsorted(AREAS, area, side="right")
    columns = (np.ones_like(area), right >= _FOUND * area, area, right)
    made = [np.bincount(group, column, len(AREAS) + 1) for column in columns]
    return np.stack(made, axis=1).astype(np.int64)


def by_border_distance(truth: NDArray[np.uint16], labels: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Pixels and right pixels by their distance to a border, int64 `[7, 2]`.

    A pixel beside one of another class is at distance 1; the distance is the larger of those along
    rows and columns. Borders to ignored pixels are none.

    Args:
        truth: uint16 `[H, W]`: channels, or 65,535 where nothing counts.
        labels: uint16 `[H, W]`: channels.
    """
    counted = truth != IGNORED
    right = counted & (truth == labels)
    beside = _beside_another(truth)
    seen = np.zeros(truth.shape, np.bool_)
    counts = np.zeros((len(DISTANCES) + 1, 2), np.int64)
    for row, distance in enumerate(DISTANCES):
        reached = near(beside, distance - 1)
        own = reached & ~seen & counted
        counts[row] = own.sum(), (own & right).sum()
        seen = reached
    rest = counted & ~seen
    counts[-1] = rest.sum(), (rest & right).sum()
    return counts


def _objects(
    truth: NDArray[np.uint16], counted: NDArray[np.bool_], instances: NDArray[np.int32] | None
) -> NDArray[np.int32]:
    """A number for each pixel of an object, -1 elsewhere."""
    if instances is not None and instances.any():
        return np.where(counted & (instances > 0), instances, np.int32(-1))
    shown = np.where(counted, truth, np.uint16(IGNORED))
    return np.where(counted, label_regions(np.ascontiguousarray(shown)).components, np.int32(-1))


def _beside_another(truth: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels with one of another class beside them, side by side or one above the other."""
    beside = np.zeros(truth.shape, np.bool_)
    for one, other in (
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
    ):
        differ = (truth[one] != truth[other]) & (truth[one] != IGNORED) & (truth[other] != IGNORED)
        beside[one] |= differ
        beside[other] |= differ
    return beside
