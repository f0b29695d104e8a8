"""Parts of one sample pasted on another: pixels, ids and instances of a part move together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.class_entries import listed
from pixelwise.data.augment.limits import within
from pixelwise.data.augment.plan import Augmented
from pixelwise.data.targets import (
    InstanceTarget,
    MaskTarget,
    MultiClassTarget,
    MultiLabelTarget,
)
from pixelwise.errors import ArrayError, UsageError

__all__ = ["ClassMix", "CutMix", "paste"]

_Region = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CutMix:
    """A rectangle of one sample on another (Yun et al., ICCV 2019; French et al., BMVC 2020).

    Attributes:
        low, high: its share of the area, 0.01 … 0.9, drawn evenly.
        stretch: the largest ratio of its width to its height, over that of the sample, 1 … 4.
        chance: 0 … 1.

    Raises:
        UsageError: lists everything that is outside its limits.
    """

    low: float = 0.1
    high: float = 0.5
    stretch: float = 2.0
    chance: float = 0.5

    def __post_init__(self) -> None:
        faults = [
            *within("low", self.low, 0.01, 0.9),
            *within("high", self.high, 0.01, 0.9),
            *within("stretch", self.stretch, 1, 4),
            *within("chance", self.chance, 0, 1),
        ]
        if not faults and self.low > self.high:
            faults = [f"low={self.low!r} is above high={self.high!r}"]
        _refuse("CutMix", faults)

    def region(
        self, pasted: MaskTarget, generator: np.random.Generator, *, ignore_index: int
    ) -> _Region | None:
        """What is pasted, bool `[H, W]`; None for nothing."""
        del ignore_index
        share = generator.uniform(self.low, self.high)
        stretch = math.exp(generator.uniform(-0.5, 0.5) * math.log(self.stretch))
        place = generator.random(2).tolist()
        if generator.random() >= self.chance:
            return None
        height, width = pasted.size
        rows = min(height, max(1, round(height * math.sqrt(share) / stretch)))
        columns = min(width, max(1, round(width * math.sqrt(share) * stretch)))
        top = math.floor(place[0] * (height - rows + 1))
        left = math.floor(place[1] * (width - columns + 1))
        region = np.zeros((height, width), np.bool_)
        region[top : top + rows, left : left + columns] = True
        return region


@dataclass(frozen=True, slots=True)
class ClassMix:
    """Half of the classes of one sample on another (Olsson et al., WACV 2021), odd halves up.

    Attributes:
        chance: 0 … 1.

    Raises:
        UsageError: the chance is outside its limits.
    """

    chance: float = 0.5

    def __post_init__(self) -> None:
        _refuse("ClassMix", [*within("chance", self.chance, 0, 1)])

    def region(
        self, pasted: MaskTarget, generator: np.random.Generator, *, ignore_index: int
    ) -> _Region | None:
        """What is pasted, bool `[H, W]`; None for nothing. Ignored pixels are no class."""
        drawn = generator.random()
        if isinstance(pasted, MultiLabelTarget):
            ids = np.flatnonzero(pasted.layers.any(axis=(1, 2)))
        else:
            found = np.flatnonzero(np.bincount(pasted.mask.ravel()))
            ids = found[found != ignore_index]
        chosen = generator.permutation(ids)[: (len(ids) + 1) // 2]
        if drawn >= self.chance or not len(chosen):
            return None
        if isinstance(pasted, MultiLabelTarget):
            region: _Region = pasted.layers[chosen].any(axis=0) & ~pasted.ignore
            return region
        table = np.zeros(int(pasted.mask.max()) + 1, np.bool_)
        table[chosen] = True
        chosen_pixels: _Region = table[pasted.mask]
        return chosen_pixels


def paste(onto: Augmented, pasted: Augmented, region: _Region) -> Augmented:
    """The first sample with a region of the second; neither of them changes.

    Instances of the second get numbers above those of the first.

    Raises:
        ArrayError: samples of different sizes, bands or kinds of target.
    """
    first, second = onto.target, pasted.target
    sizes = {first.size, second.size, region.shape}
    if len(sizes) > 1 or onto.image.shape != pasted.image.shape:
        raise _unlike(f"{list(onto.image.shape)} · {list(pasted.image.shape)}")
    return Augmented(np.where(region, pasted.image, onto.image), _mixed(first, second, region))


def _mixed(first: MaskTarget, second: MaskTarget, region: _Region) -> MaskTarget:
    if isinstance(first, MultiLabelTarget) and isinstance(second, MultiLabelTarget):
        return MultiLabelTarget(
            np.where(region, second.layers, first.layers),
            np.where(region, second.ignore, first.ignore),
        )
    if isinstance(first, MultiClassTarget) and isinstance(second, MultiClassTarget):
        return MultiClassTarget(np.where(region, second.mask, first.mask))
    if isinstance(first, InstanceTarget) and isinstance(second, InstanceTarget):
        moved = second.instances + first.instances.max() * (second.instances > 0)
        return InstanceTarget(
            np.where(region, second.mask, first.mask),
            np.where(region, moved, first.instances),
        )
    raise _unlike(f"{type(first).__name__} · {type(second).__name__}")


def _unlike(got: str) -> ArrayError:
    return ArrayError(
        "samples to be mixed must be alike",
        got=got,
        fix="give both the same augmentation and kind of target",
    )


def _refuse(piece: str, faults: list[str]) -> None:
    if faults:
        raise UsageError(f"{piece} is outside its limits", where=piece, got=listed(faults))
