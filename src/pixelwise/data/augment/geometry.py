"""Pieces that move pixels: image, mask and instances together.

Each piece lays the picture out on a canvas, anew in the coordinates of the canvas before it; all
of them make one matrix, so that the picture is sampled once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from pixelwise.data.augment.limits import within
from pixelwise.data.augment.plan import SAME_PLACES, Matrix, product
from pixelwise.inference.card import Resize
from pixelwise.inference.preprocess import resized_size

__all__ = [
    "Area",
    "Canvas",
    "Fit",
    "Flip",
    "GeometryPiece",
    "Perspective",
    "QuarterTurns",
    "RandomCrop",
    "RandomScale",
    "Rotate",
]


@dataclass(frozen=True, slots=True)
class Canvas:
    """The picture laid out.

    Attributes:
        height, width: in pixels, not always whole.
        matrix: from points of the canvas to points of the picture.
        size: `(H, W)` of the output, where it is fixed.
        aim: a point `(x, y)` of the picture that the crop should hold.
    """

    height: float
    width: float
    matrix: Matrix = SAME_PLACES
    size: tuple[int, int] | None = None
    aim: tuple[float, float] | None = None

    def moved(self, matrix: Matrix) -> Canvas:
        """The canvas whose points the matrix takes to points of this one."""
        return replace(self, matrix=product(self.matrix, matrix))

    def scaled(self, down: float, across: float) -> Canvas:
        """Its height times `down`, its width times `across`, to no less than a pixel."""
        down, across = max(down, 1 / self.height), max(across, 1 / self.width)
        scaled = self.moved(((1 / across, 0.0, 0.0), (0.0, 1 / down, 0.0), (0.0, 0.0, 1.0)))
        return replace(scaled, height=self.height * down, width=self.width * across)

    def about_centre(self, matrix: Matrix) -> Canvas:
        """As `moved`, by a matrix that has the centre of the canvas at (0, 0)."""
        x, y = self.width / 2, self.height / 2
        there: Matrix = ((1.0, 0.0, x), (0.0, 1.0, y), (0.0, 0.0, 1.0))
        back: Matrix = ((1.0, 0.0, -x), (0.0, 1.0, -y), (0.0, 0.0, 1.0))
        return self.moved(product(product(there, matrix), back))

    def window(self, top: float, left: float, size: tuple[int, int]) -> Canvas:
        """The part of that size from a point on; it may reach beyond."""
        shift: Matrix = ((1.0, 0.0, left), (0.0, 1.0, top), (0.0, 0.0, 1.0))
        return replace(self.moved(shift), height=float(size[0]), width=float(size[1]))

    def aimed(self) -> tuple[float, float] | None:
        """Where the aim lies on the canvas, `(y, x)`."""
        if self.aim is None:
            return None
        (a, b, c), (d, e, f), (g, h, i) = self.matrix
        x, y = self.aim
        # Points (X, Y, 1) of the canvas with matrix @ (X, Y, 1) on the ray of (x, y, 1).
        a, b, c = a - x * g, b - x * h, c - x * i
        d, e, f = d - y * g, e - y * h, f - y * i
        area = a * e - b * d
        if area == 0:
            return None
        return (c * d - a * f) / area, (b * f - c * e) / area


@dataclass(frozen=True, slots=True)
class Area:
    """Brings the picture to the size that it will have in prediction; nothing is drawn.

    Put it first: what follows then works on pixels of the size that the network will see.

    Attributes:
        pixels: height × width to come near, the shape kept, as the rule "area" of a model's card;
            None leaves the size as it is.
        longest: no side becomes longer than this.
    """

    pixels: int | None = None
    longest: int = 4096

    def faults(self) -> Iterator[str]:
        """What is outside its limits."""
        for name, value, most in (("pixels", self.pixels, 2**32), ("longest", self.longest, 2**16)):
            if value is not None or name == "longest":
                if not isinstance(value, int) or isinstance(value, bool):
                    yield f"{name}={value!r}, expected a whole number"
                else:
                    yield from within(name, value, 1, most)

    def draw(self, canvas: Canvas, generator: np.random.Generator) -> Canvas:
        """The canvas, scaled."""
        del generator
        size = round(canvas.height), round(canvas.width)
        rule = Resize(
            rule="none" if self.pixels is None else "area",
            pixels=self.pixels,
            longest=self.longest,
        )
        height, width = resized_size(size, rule)
        return canvas.scaled(height / canvas.height, width / canvas.width)


@dataclass(frozen=True, slots=True)
class RandomScale:
    """Enlarges or shrinks, evenly on a logarithmic axis.

    Attributes:
        low, high: the smallest and the largest factor, 0.05 … 20.
        stretch: the largest change of the ratio of width to height, as a factor, 1 … 4.
    """

    low: float = 0.5
    high: float = 2.0
    stretch: float = 1.0

    def faults(self) -> Iterator[str]:
        """What is outside its limits."""
        yield from within("low", self.low, 0.05, 20)
        yield from within("high", self.high, 0.05, 20)
        yield from within("stretch", self.stretch, 1, 4)
        if self.low > self.high:
            yield f"low={self.low!r} is above high={self.high!r}"

    def draw(self, canvas: Canvas, generator: np.random.Generator) -> Canvas:
        """The canvas, scaled."""
        scale = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        stretch = math.exp(generator.uniform(-0.5, 0.5) * math.log(self.stretch))
        return canvas.scaled(scale / stretch, scale * stretch)


@dataclass(frozen=True, slots=True)
class Fit:
    """Scales the picture to the output's size, its shape kept; nothing is drawn.

    Attributes:
        cover: False: the whole picture is inside, and what remains is filled; True: the output
            is covered, and what reaches beyond is cut off.
    """

    cover: bool = False

    def faults(self) -> Iterator[str]:
        """What is outside its limits."""
        if not isinstance(self.cover, bool):
            yield f"cover={self.cover!r}, expected True or False"

    def draw(self, canvas: Canvas, generator: np.random.Generator) -> Canvas:
        """The canvas, scaled."""
        del generator
        if canvas.size is None:
            return canvas
        factors = canvas.size[0] / canvas.height, canvas.size[1] / canvas.width
        factor = max(factors) if self.cover else min(factors)
        return canvas.scaled(factor, factor)


@dataclass(frozen=True, slots=True)
class Flip:
    """Mirrors left and right, or top and bottom.

    Attributes:
        chance: 0 … 1.
        vertical: top and bottom change places.
    """

    chance: float = 0.5
    vertical: bool = False

    def faults(self) -> Iterator[str]:
        """What is outside its limits."""
        yield from within("chance", self.chance, 0, 1)

    def draw(self, canvas: Canvas, generator: np.random.Generator) -> Canvas:
        """The canvas, mirrored or as it is."""
        if generator.random() >= self.chance:
            return canvas
        if self.vertical:
            return canvas.moved(((1.0, 0.0, 0.0), (0.0, -1.0, canvas.height), (0.0, 0.0, 1.0)))
        return canvas.moved(((-1.0, 0.0, canvas.width), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))


@dataclass(frozen=True, slots=True)
class QuarterTurns:
    """Turns by 0, 90, 180 or 270 degrees, each as likely: for pictures that have no upper side."""

    def faults(self) -> Iterator[str]:
        """Nothing can be."""
        yield from ()

    def draw(self, canvas: Canvas, generator: np.random.Generator) -> Canvas:
        """The canvas, turned; height and width change places with a quarter."""
        height, width = canvas.height, canvas.width
        turned: tuple[tuple[float, float, Matrix], ...] = (
            (height, width, SAME_PLACES),
            (width, height, ((0.0, 1.0, 0.0), (-1.0, 0.0, height), (0.0, 0.0, 1.0))),
            (height, width, ((-1.0, 0.0, width), (0.0, -1.0, height), (0.0, 0.0, 1.0))),
            (width, height, ((0.0, -1.0, width), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))),
        )
        down, across, matrix = turned[int(generator.integers(4))]
        return replace(canvas.moved(matrix), height=down, width=across)


@dataclass(frozen=True, slots=True)
class Rotate:
    """Turns about the centre, clockwise or back; the canvas keeps its size.

    Attributes:
        degrees: the largest angle to either side, 0 … 180.
        chance: 0 … 1.
    """

    degrees: float = 10.0
    chance: float = 0.5

    def faults(self) -> Iterator[str]:
        """What is outside its limits."""
        yield from within("degrees", self.degrees, 0, 180)
        yield from within("chance", self.chance, 0, 1)

    def draw(self, canvas: Canvas, generator: np.random.Generator) -> Canvas:
        """The canvas, turned or as it is."""
        angle = math.radians(generator.uniform(-self.degrees, self.degrees))
        if generator.random() >= self.chance:
            return canvas
        cos, sin = math.cos(angle), math.sin(angle)
        return canvas.about_centre(((cos, sin, 0.0), (-sin, cos, 0.0), (0.0, 0.0, 1.0)))


@dataclass(frozen=True, slots=True)
class Perspective:
    """Tilts the picture about its centre, which keeps its place and scale.

    Attributes:
        strength: 0 … 0.4. At the middle of an edge, lengths become at most 1 + strength times as
            large, or at least 1 - strength times; in a corner both directions add up.
        chance: 0 … 1.
    """

    strength: float = 0.1
    chance: float = 0.5

    def faults(self) -> Iterator[str]:
        """What is outside its limits."""
        yield from within("strength", self.strength, 0, 0.4)
        yield from within("chance", self.chance, 0, 1)

    def draw(self, canvas: Canvas, generator: np.random.Generator) -> Canvas:
        """The canvas, tilted or as it is."""
        across, down = generator.uniform(-self.strength, self.strength, 2).tolist()
        if generator.random() >= self.chance:
            return canvas
        horizon = (2 * across / canvas.width, 2 * down / canvas.height, 1.0)
        return canvas.about_centre(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), horizon))


@dataclass(frozen=True, slots=True)
class RandomCrop:
    """Cuts the output's size out anywhere; a smaller canvas lies anywhere in it.

    Where the crop is aimed at a pixel, the pixel lies anywhere in it, as far as the crop does not
    reach beyond the canvas for that.
    """

    def faults(self) -> Iterator[str]:
        """Nothing can be."""
        yield from ()

    def draw(self, canvas: Canvas, generator: np.random.Generator) -> Canvas:
        """The window."""
        if canvas.size is None:
            return canvas
        aim = canvas.aimed() or (None, None)
        top = _offset(canvas.height, canvas.size[0], aim[0], generator)
        left = _offset(canvas.width, canvas.size[1], aim[1], generator)
        return canvas.window(top, left, canvas.size)


def _offset(side: float, size: int, aim: float | None, generator: np.random.Generator) -> float:
    """Where a window of `size` pixels begins on a side: on a whole pixel, or flush with its end."""
    room = side - size
    low, high = min(0, math.floor(room)), max(0, math.ceil(room))
    if aim is not None and room > 0:
        # The first windows to hold the pixel at the aim, and the last.
        low = min(high, max(low, math.floor(aim) - size + 1))
        high = max(low, min(high, math.floor(aim)))
    drawn = int(generator.integers(low, high + 1))
    return min(float(drawn), room) if room > 0 else max(float(drawn), room)


GeometryPiece: TypeAlias = (
    Area | RandomScale | Fit | Flip | QuarterTurns | Rotate | Perspective | RandomCrop
)
