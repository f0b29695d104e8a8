"""What cameras and files do to a picture, and what hides a part of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pixelwise.data.augment.limits import within
from pixelwise.data.augment.plan import Hole

__all__ = ["Blur", "Cutout", "Jpeg"]


@dataclass(frozen=True, slots=True)
class Blur:
    """A Gaussian blur.

    Attributes:
        low, high: of its deviation in output pixels, 0.1 … 20, drawn evenly.
        chance: 0 … 1.
    """

    low: float = 0.3
    high: float = 1.2
    chance: float = 0.2

    def faults(self) -> Iterator[str]:
        """What is outside its limits."""
        yield from within("low", self.low, 0.1, 20)
        yield from within("high", self.high, 0.1, 20)
        yield from within("chance", self.chance, 0, 1)
        if self.low > self.high:
            yield f"low={self.low!r} is above high={self.high!r}"

    def draw(self, generator: np.random.Generator) -> float:
        """The deviation; 0 for none."""
        deviation = generator.uniform(self.low, self.high)
        return deviation if generator.random() < self.chance else 0.0


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A JPEG file in between, with the blocks and the colour halos of its quality.

    Attributes:
        low, high: of the quality, whole numbers of 1 … 95, drawn evenly.
        chance: 0 … 1.
    """

    low: int = 40
    high: int = 90
    chance: float = 0.2

    def faults(self) -> Iterator[str]:
        """What is outside its limits."""
        yield from within("low", self.low, 1, 95)
        yield from within("high", self.high, 1, 95)
        yield from within("chance", self.chance, 0, 1)
        if not isinstance(self.low, int) or not isinstance(self.high, int):
            yield f"low={self.low!r}, high={self.high!r}, expected whole numbers"
        elif self.low > self.high:
            yield f"low={self.low!r} is above high={self.high!r}"

    def draw(self, generator: np.random.Generator) -> int:
        """The quality; 0 for none."""
        quality = int(generator.integers(self.low, self.high + 1))
        return quality if generator.random() < self.chance else 0


@dataclass(frozen=True, slots=True)
class Cutout:
    """Squares that hide the picture (DeVries and Taylor, 2017), at most partly outside it.

    Their pixels are ignored in the mask: what nothing is seen of is not to be named.

    Attributes:
        holes: 1 … 64.
        size: side of each, as a share of the shorter side of the output, above 0, at most 1.
        chance: 0 … 1.
    """

    holes: int = 1
    size: float = 0.25
    chance: float = 0.5

    def faults(self) -> Iterator[str]:
        """What is outside its limits."""
        yield from within("holes", self.holes, 1, 64)
        yield from within("size", self.size, 1e-3, 1)
        yield from within("chance", self.chance, 0, 1)
        if not isinstance(self.holes, int):
            yield f"holes={self.holes!r}, expected a whole number"

    def draw(self, size: tuple[int, int], generator: np.random.Generator) -> tuple[Hole, ...]:
        """The holes in an output of a size."""
        places = generator.random((self.holes, 2)).tolist()
        if generator.random() >= self.chance:
            return ()
        height, width = size
        side = max(1, round(self.size * min(size)))
        holes = []
        for down, across in places:
            top = math.floor(down * height) - side // 2
            left = math.floor(across * width) - side // 2
            holes.append(
                Hole(
                    top=max(0, top),
                    left=max(0, left),
                    bottom=min(height, top + side),
                    right=min(width, left + side),
                )
            )
        return tuple(holes)
