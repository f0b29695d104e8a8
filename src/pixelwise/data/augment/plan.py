"""What was drawn for one sample: numbers alone, that a processor or a GPU can carry out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.targets import MaskTarget

__all__ = ["SAME_COLOURS", "SAME_PLACES", "Augmented", "Hole", "Matrix", "Plan", "Tint", "product"]

Matrix: TypeAlias = tuple[
    tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]
]
"""A 3×3 matrix, row by row."""

Tint: TypeAlias = tuple[
    tuple[float, float, float, float],
    tuple[float, float, float, float],
    tuple[float, float, float, float],
]
"""A 3×4 matrix on colours (red, green, blue, 1) in 0..255, row by row."""

SAME_PLACES: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
SAME_COLOURS: Tint = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0))


@dataclass(frozen=True, slots=True)
class Hole:
    """Pixels top <= y < bottom, left <= x < right of the output."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One draw of an augmentation. Its parts are carried out in this order.

    Attributes:
        size: `(H, W)` of the output.
        matrix: from output pixels to the input, as `pixelwise.kernels.warp_image` takes it.
        colour: the colours' matrix; the results are clamped to 0..255.
        gamma: exponent of the tone curve; 1 for none.
        blur: deviation of a Gaussian in output pixels; 0 for none.
        jpeg: quality of a JPEG file that the picture goes through; 0 for none.
        holes: filled with the colour of what lies outside the picture, and ignored in the mask.
    """

    size: tuple[int, int]
    matrix: Matrix = SAME_PLACES
    colour: Tint = SAME_COLOURS
    gamma: float = 1.0
    blur: float = 0.0
    jpeg: int = 0
    holes: tuple[Hole, ...] = ()

    @property
    def keeps_colours(self) -> bool:
        """Does nothing but geometry, blur and holes happen?"""
        return self.colour == SAME_COLOURS and self.gamma == 1 and self.jpeg == 0


@dataclass(frozen=True, eq=False)
class Augmented:
    """A sample as a network takes it.

    Attributes:
        image: float32 `[B, H, W]`, normalised.
        target: the truth, of the same height and width.
    """

    image: NDArray[np.float32]
    target: MaskTarget


def product(first: Matrix, second: Matrix) -> Matrix:
    """first @ second, in an order of operations that is the same on every machine."""
    columns = list(zip(*second, strict=True))
    rows = [
        [row[0] * column[0] + row[1] * column[1] + row[2] * column[2] for column in columns]
        for row in first
    ]
    (a, b, c), (d, e, f), (g, h, i) = rows
    return (a, b, c), (d, e, f), (g, h, i)
