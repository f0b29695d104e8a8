"""What pictures and masks look like: sizes of regions, thin parts, whether they have an upper side.

Measured on a seeded sample, since none of it needs every picture.
"""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.classes import ClassTable
from pixelwise.data import (
    Dataset,
    InstanceTarget,
    MaskTarget,
    MultiClassTarget,
    MultiLabelTarget,
    Sample,
)
from pixelwise.data.parallel import in_order
from pixelwise.errors import PixelwiseError
from pixelwise.kernels.checks import usable_cores

__all__ = ["Traits", "look_at"]

_MOST_PICTURES = 100
_MOST_PIXELS = 1 << 28
_LEAST_PICTURES = 3
_WINDOW = 2048
_REACH = 2
_COLOUR_POINTS = 1 << 16
_LEAST_FOR_UP = 24


@dataclass(frozen=True, eq=False)
class Traits:
    """What a sample of the pictures showed.

    Attributes:
        pictures: how many were looked at.
        sides: float64 `[C]`: for each class the side in pixels of a square as large as a typical
            region: half of the class's pixels lie in smaller ones, half in larger. NaN: not seen.
        near_border: float64 `[C]`: share of each class's pixels that lie within 2 pixels of
            another class. NaN: not seen.
        object_side: the median side of single objects, measured likewise; NaN without.
        touching: share of the single objects that touch another; NaN without.
        overlap: share of the pixels with any class that have several; 0 where that cannot be.
        upright: how surely the upper halves of the pictures differ from the lower ones, in
            standard errors of the mean difference: the largest over the classes' shares and the
            bands. NaN where there are too few pictures to tell.
        chance: how large that would be if it were chance.
        mean, std: float64 `[B]` of each band, in the units of the pictures.
    """

    pictures: int
    sides: NDArray[np.float64]
    near_border: NDArray[np.float64]
    object_side: float
    touching: float
    overlap: float
    upright: float
    chance: float
    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    @property
    def has_upper_side(self) -> bool:
        """Whether up is another direction than down; True where too few pictures can tell."""
        return not self.upright < self.chance


@dataclass(slots=True, eq=False)
class _Look:
    """What one sample adds."""

    areas: list[NDArray[np.int64]]  # Of the regions of each class.
    pixels: NDArray[np.int64]  # [C]
    near: NDArray[np.int64]  # [C]
    objects: NDArray[np.int64]
    touching: int
    labelled: int  # Pixels with any class, of targets of several labels.
    several: int
    halves: NDArray[np.float64]  # [C + B]: upper minus lower half.
    moments: NDArray[np.float64]  # [3, B]: number, sum and sum of squares.


def look_at(
    dataset: Dataset, *, typical_pixels: int, bands: int, seed: int = 0, workers: int = 0
) -> Traits:
    """Looks at up to 100 pictures, fewer where they are large.

    Pictures that cannot be read are passed over: the check tells of them.

    Args:
        dataset: what to draw from.
        typical_pixels: of a picture, so that large ones are not read by the hundred.
        bands: of the pictures; others are passed over.
        seed: of the draw.
        workers: threads; 0 for every core that this process may use.
    """
    affordable = max(_LEAST_PICTURES, _MOST_PIXELS // max(1, typical_pixels))
    count = min(len(dataset), _MOST_PICTURES, affordable)
    places = np.random.default_rng(seed).permutation(len(dataset))[:count].tolist()
    workers = workers or usable_cores()
    looks: list[_Look] = []
    with closing(
        in_order(lambda place: _look(dataset, place, bands), places, workers=workers, ahead=workers)
    ) as found:
        looks.extend(look for look in found if look is not None)
    return _summary(looks, len(dataset.classes), bands)


def _look(dataset: Dataset, place: int, bands: int) -> _Look | None:
    try:
        sample = dataset[place]
    except (PixelwiseError, OSError, MemoryError):
        return None
    if sample.image.shape[2] != bands:
        return None
    classes = len(dataset.classes)
    look = _Look(
        areas=[np.zeros(0, np.int64)] * classes,
        pixels=np.zeros(classes, np.int64),
        near=np.zeros(classes, np.int64),
        objects=np.zeros(0, np.int64),
        touching=0,
        labelled=0,
        several=0,
        halves=_halves(sample, dataset.classes),
        moments=_moments(sample.image),
    )
    for plane in _planes(sample.target, dataset.classes):
        _look_at_plane(look, _middle(plane), classes)
    if isinstance(sample.target, InstanceTarget):
        look.objects, look.touching = _objects(sample.target.instances)
    if isinstance(sample.target, MultiLabelTarget):
        classes_there = sample.target.layers.sum(axis=0, dtype=np.uint16)[~sample.target.ignore]
        look.labelled = int(np.count_nonzero(classes_there))
        look.several = int(np.count_nonzero(classes_there > 1))
    return look


def _planes(target: MaskTarget, classes: ClassTable) -> list[NDArray[np.uint16]]:
    """Places in the class table, C where there is no class; a plane for each label of several."""
    nothing = len(classes)
    if isinstance(target, MultiLabelTarget):
        return [
            np.where(layer, place, nothing).astype(np.uint16)
            for place, layer in enumerate(target.layers)
            if layer.any()
        ]
    lookup = np.full(1 << 16, nothing, np.uint16)
    lookup[list(classes.ids)] = np.arange(len(classes))
    return [lookup[target.mask]]


def _middle(plane: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The middle, so that the work does not grow with pictures of any size."""
    top, left = (max(0, side - _WINDOW) // 2 for side in plane.shape)
    return np.ascontiguousarray(plane[top : top + _WINDOW, left : left + _WINDOW])


def _look_at_plane(look: _Look, plane: NDArray[np.uint16], classes: int) -> None:
    regions = kernels.label_regions(plane)
    for place in np.unique(regions.label).tolist():
        if place < classes:
            areas = regions.area[regions.label == place]
            look.areas[place] = np.concatenate([look.areas[place], areas])
    look.pixels += np.bincount(plane.ravel(), minlength=classes + 1)[:classes]
    near = plane[_near_border(plane)]
    look.near += np.bincount(near, minlength=classes + 1)[:classes]


def _near_border(plane: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Pixels from which another value is at most 2 steps away, diagonal ones included."""
    lowest, highest = plane, plane
    for axis in (0, 1):
        lowest = _extreme(lowest, axis, np.minimum)
        highest = _extreme(highest, axis, np.maximum)
    return np.asarray(lowest != highest)


def _extreme(plane: NDArray[np.uint16], axis: int, choose: np.ufunc) -> NDArray[np.uint16]:
    """The extreme over each pixel and its 2 neighbours on both sides along an axis."""
    source = np.moveaxis(plane, axis, 0)
    result = source.copy()
    for step in range(1, min(_REACH, len(source) - 1) + 1):
        choose(result[step:], source[:-step], out=result[step:])
        choose(result[:-step], source[step:], out=result[:-step])
    return np.moveaxis(result, 0, axis)


def _objects(instances: NDArray[np.int32]) -> tuple[NDArray[np.int64], int]:
    """Areas of the objects in the middle, and how many of them touch another."""
    top, left = (max(0, side - _WINDOW) // 2 for side in instances.shape)
    window = instances[top : top + _WINDOW, left : left + _WINDOW]
    areas = np.unique(window[window > 0], return_counts=True)[1]
    touching = [
        np.stack([one[meet], other[meet]])
        for one, other in ((window[1:], window[:-1]), (window[:, 1:], window[:, :-1]))
        for meet in [(one != other) & (one > 0) & (other > 0)]
    ]
    return areas.astype(np.int64), len(np.unique(np.concatenate(touching, axis=1)))


def _halves(sample: Sample, classes: ClassTable) -> NDArray[np.float64]:
    """Shares of the classes and means of the bands, of the upper half minus the lower one."""
    step = max(1, int((sample.image.shape[0] * sample.image.shape[1] / _COLOUR_POINTS) ** 0.5))
    image = sample.image[::step, ::step].astype(np.float64)
    middle = len(image) // 2
    parts = []
    for rows in (slice(0, middle), slice(len(image) - middle, None)):
        shares = np.zeros(len(classes))
        for plane in _planes(_thinned(sample.target, step), classes):
            shares += np.bincount(plane[rows].ravel(), minlength=len(classes) + 1)[:-1]
        bands = np.nan_to_num(image[rows].reshape(-1, image.shape[2])).sum(0) / max(1, middle)
        parts.append(np.concatenate([shares / max(1.0, shares.sum()), bands / image.shape[1]]))
    difference: NDArray[np.float64] = parts[0] - parts[1]
    return difference


def _thinned(target: MaskTarget, step: int) -> MaskTarget:
    """Every so many pixels of a target."""
    if isinstance(target, MultiLabelTarget):
        return MultiLabelTarget(target.layers[:, ::step, ::step], target.ignore[::step, ::step])
    return MultiClassTarget(target.mask[::step, ::step])


def _moments(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """Number, sum and sum of squares of the values that are numbers, `[3, B]`."""
    step = max(1, int((image.shape[0] * image.shape[1] / _COLOUR_POINTS) ** 0.5))
    values = image[::step, ::step].reshape(-1, image.shape[2]).astype(np.float64)
    known = np.isfinite(values)
    values = np.where(known, values, 0)
    return np.stack([known.sum(0).astype(np.float64), values.sum(0), (values**2).sum(0)])


def _summary(looks: list[_Look], classes: int, bands: int) -> Traits:
    pixels = sum((look.pixels for look in looks), np.zeros(classes, np.int64))
    near = sum((look.near for look in looks), np.zeros(classes, np.int64))
    objects = np.concatenate([np.zeros(0, np.int64), *(look.objects for look in looks)])
    number, total, squares = sum((look.moments for look in looks), np.zeros((3, bands)))
    mean = total / np.maximum(number, 1)
    variance = squares / np.maximum(number, 1) - mean**2
    with np.errstate(invalid="ignore", divide="ignore"):
        near_border = np.where(pixels > 0, near / pixels, np.nan)
    return Traits(
        pictures=len(looks),
        sides=np.array([_typical_side(looks, place) for place in range(classes)]),
        near_border=near_border,
        object_side=float(np.median(objects) ** 0.5) if len(objects) else float("nan"),
        touching=sum(look.touching for look in looks) / len(objects) if len(objects) else np.nan,
        overlap=sum(look.several for look in looks) / max(1, sum(look.labelled for look in looks)),
        upright=_upright(np.array([look.halves for look in looks])),
        # The largest of n normal variates is about that.
        chance=math.sqrt(2 * math.log(2 * (classes + bands))),
        mean=mean,
        std=np.sqrt(np.maximum(variance, 0)),
    )


def _typical_side(looks: list[_Look], place: int) -> float:
    areas = np.sort(np.concatenate([np.zeros(0, np.int64), *(look.areas[place] for look in looks)]))
    if not len(areas):
        return float("nan")
    upto = np.cumsum(areas)
    return math.sqrt(areas[np.searchsorted(upto, upto[-1] / 2)])


def _upright(halves: NDArray[np.float64]) -> float:
    """The largest of the paired t statistics; NaN for fewer than 24 pictures."""
    if len(halves) < _LEAST_FOR_UP:
        return float("nan")
    spread = halves.std(axis=0, ddof=1)
    told = spread > 0
    if not told.any():
        # Nothing varies: halves that differ in every picture by the same are surely different.
        return float("inf") if np.any(halves[0] != 0) else 0.0
    return float(np.max(np.abs(halves.mean(0)[told]) / spread[told]) * len(halves) ** 0.5)
