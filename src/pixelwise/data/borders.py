"""From objects to three classes, outside, inside and border, and back.

A network that gives every pixel a class cannot tell two objects that touch. Taught their borders as
a class of their own, it leaves gaps between their insides, which then come apart as connected
regions: Caicedo et al., "Evaluation of deep learning strategies for nucleus segmentation in
fluorescence images", Cytometry A 2019, and Ronneberger et al., "U-Net", MICCAI 2015.

Here the border of an object is its own rim, so that inside and border together are exactly the
objects, and every object keeps an inside, however small it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.dataset import Dataset, Entry, Truth
from pixelwise.data.targets import InstanceTarget, MaskTarget, MultiClassTarget
from pixelwise.errors import ArrayError, MaskFileError
from pixelwise.kernels.checks import whole_number

__all__ = [
    "BORDER",
    "BORDER_CLASSES",
    "INSIDE",
    "OUTSIDE",
    "borders_of",
    "instances_from_borders",
    "with_borders",
]

OUTSIDE, INSIDE, BORDER = 0, 1, 2

_IGNORED = 255
_WIDEST = 64
_LEAST_INSIDE = 0.25

BORDER_CLASSES = ClassTable(
    "borders",
    (
        ClassInfo(OUTSIDE, "outside", (0, 0, 0)),
        ClassInfo(INSIDE, "inside", (64, 160, 255), "thing"),
        ClassInfo(BORDER, "border", (255, 176, 0)),
    ),
    _IGNORED,
    "objects of a data set: what is in them, and their rims",
)


@dataclass(frozen=True)
class _BorderTruth:
    truth: Truth
    own: ClassTable
    width: int

    def read(
        self, root: Path, entry: Entry, classes: ClassTable, size: tuple[int, int]
    ) -> MaskTarget:
        del classes
        target = self.truth.read(root, entry, self.own, size)
        if not isinstance(target, InstanceTarget):
            raise MaskFileError(
                "the truth does not tell objects apart, so that they have no borders",
                where=f"picture {entry.image} · truth {entry.truth}",
                got=type(target).__name__,
                fix="open the data set with kind='instance', or train without borders",
            )
        mask = borders_of(target.instances, width=self.width)
        # Crowds hold borders that nobody has drawn.
        untold = [info.id for info in self.own if info.kind == "thing"]
        untold += [] if self.own.ignore_index is None else [self.own.ignore_index]
        mask[np.isin(target.mask, untold) & (target.instances == 0)] = _IGNORED
        return MultiClassTarget(mask)


def with_borders(dataset: Dataset, *, width: int = 2) -> Dataset:
    """The data set with `BORDER_CLASSES` for its classes, whatever its objects are.

    Args:
        dataset: of instance targets.
        width: of the borders, pixels inside each object.

    Raises:
        UsageError: the width is not 1 … 64.
    """
    whole_number("width", width, least=1, most=_WIDEST)
    return replace(
        dataset,
        classes=BORDER_CLASSES,
        truth=_BorderTruth(dataset.truth, dataset.classes, width),
        rest=None,
    )


def borders_of(instances: NDArray[np.int32], *, width: int = 2) -> NDArray[np.uint8]:
    """Outside, inside and border of objects, uint8 `[H, W]`.

    An object's border are its pixels within `width` steps, in eight directions, of a pixel that is
    not of it; the edge of the picture is no border. Of small objects fewer steps are border, so
    many that a quarter of the object, and one pixel at least, remains inside.

    Args:
        instances: int32 `[H, W]`: numbers of objects; 0: no object.
        width: in pixels.
    """
    if instances.ndim != 2 or not np.issubdtype(instances.dtype, np.integer):
        raise ArrayError(
            "instances are whole numbers [H, W]",
            where="argument instances",
            got=f"{instances.dtype} {list(instances.shape)}",
        )
    numbers, places = np.unique(instances, return_inverse=True)
    places = places.reshape(instances.shape)
    areas = np.bincount(places.ravel(), minlength=len(numbers))
    remaining = (instances > 0) & _alone(places)
    depth = np.zeros(instances.shape, np.uint8)
    steps = np.zeros(len(numbers), np.uint8)
    for step in range(1, width + 1):
        if step > 1:
            remaining = _eroded(remaining)
        depth += remaining
        left = np.bincount(places[remaining], minlength=len(numbers))
        steps[left >= np.maximum(_LEAST_INSIDE * areas, 1)] = step
    labels = np.where(depth >= steps[places], np.uint8(INSIDE), np.uint8(BORDER))
    labels[instances <= 0] = OUTSIDE
    return labels


def instances_from_borders(labels: NDArray[Any]) -> NDArray[np.int32]:
    """The objects of a map of outside, inside and border: int32 `[H, W]`, 1 … n; 0: no object.

    Each connected region of inside pixels (in four directions) is an object, and takes the border
    around it, one step at a time in eight directions; of several that reach a border pixel in the
    same step, the first in the raster order has it. Borders that hang on no inside are no objects.

    Args:
        labels: whole numbers `[H, W]`; what is neither `INSIDE` nor `BORDER` is outside.
    """
    inside = labels == INSIDE
    regions = kernels.label_regions(inside.astype(np.uint8), connectivity=4)
    components = regions.components
    wanted = np.zeros(len(regions.label), np.int32)
    objects = np.flatnonzero(np.asarray(regions.label) == 1)
    wanted[objects] = np.arange(1, len(objects) + 1)
    grown = np.pad(wanted[components], 1)
    free = np.pad(labels == BORDER, 1)
    _grow(grown.reshape(-1), free.reshape(-1), grown.shape[1])
    return np.ascontiguousarray(grown[1:-1, 1:-1])


def _grow(numbers: NDArray[np.int32], free: NDArray[np.bool_], width: int) -> None:
    """Spreads numbers over free places, in place; both flat, of rows of `width` with a rim."""
    offsets = np.array([-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1])
    front = np.flatnonzero(numbers)
    highest = np.iinfo(np.int32).max
    while len(front):
        reached = (front[:, None] + offsets).reshape(-1)
        given = np.repeat(numbers[front], len(offsets))
        new = free[reached]
        reached, given = reached[new], given[new]
        numbers[reached] = highest
        np.minimum.at(numbers, reached, given)
        front = np.unique(reached)
        free[front] = False


def _alone(places: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels whose neighbours, in eight directions, are all of the same number."""
    same = np.ones(places.shape, np.bool_)
    for one, other in _neighbours():
        equal = places[one] == places[other]
        same[one] &= equal
        same[other] &= equal
    return same


def _eroded(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels whose neighbours, in eight directions, are all inside; so is what lies beyond."""
    eroded = inside.copy()
    for one, other in _neighbours():
        eroded[one] &= inside[other]
        eroded[other] &= inside[one]
    return eroded


def _neighbours() -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """All but the last, and all but the first, along four directions."""
    every, first, last = slice(None), slice(None, -1), slice(1, None)
    return [
        ((every, first), (every, last)),
        ((first, every), (last, every)),
        ((first, first), (last, last)),
        ((first, last), (last, first)),
    ]
