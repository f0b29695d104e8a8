"""How one side of a picture falls on the grid of scores."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pixelwise.errors import UsageError

__all__ = ["Axis"]


@dataclass(frozen=True, slots=True)
class Axis:
    """One side of a picture, or of a window of it, over one side of the grid of scores.

    Picture pixel `p` of `size` takes its value at the score position `scale * (first + p) +
    offset - source_first`, clamped to [0, source - 1], where `source` is the number of scores along
    the side.

    Args:
        size: picture pixels along the side, at least 1.
        scale: scores per picture pixel, finite and not negative.
        offset: score position of picture pixel 0, finite.
        first: where a window begins, in picture pixels; the sum `first + p` is exact, so the
            pixels of a window get the same positions as in the whole picture.
        source_first: which score of the whole side is the first of those that are there, for
            scores that come in parts; taken off last, and exactly.

    Raises:
        UsageError: a value is outside its range.
    """

    size: int
    scale: float
    offset: float
    first: int = 0
    source_first: int = 0

    def __post_init__(self) -> None:
        size = _whole("size", self.size, least=1)
        first = _whole("first", self.first, least=0)
        source_first = _whole("source_first", self.source_first, least=0)
        for name in ("scale", "offset"):
            value = getattr(self, name)
            if not isinstance(value, (int, float, np.floating)) or not math.isfinite(value):
                raise UsageError(
                    f"the {name} of an axis must be a finite number",
                    got=f"{name}={value!r}",
                    fix="use Axis.half_pixel(size, source) or Axis.corners(size, source)",
                )
        if self.scale < 0:
            raise UsageError(
                "the scale of an axis must not be negative",
                got=f"scale={self.scale!r}",
                fix="flip the scores, e.g. scores[:, ::-1], and give a positive scale",
            )
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "first", first)
        object.__setattr__(self, "source_first", source_first)
        object.__setattr__(self, "scale", float(self.scale))
        object.__setattr__(self, "offset", float(self.offset))

    @classmethod
    def half_pixel(cls, size: int, source: int) -> Axis:
        """Pixels and scores are squares and the outer edges meet (`align_corners=False`).

        Args:
            size: picture pixels along the side, at least 1.
            source: scores along the side, at least 1.

        Raises:
            UsageError: a size is below 1.
        """
        size = _whole("size", size, least=1)
        scale = _whole("source", source, least=1) / size
        return cls(size, scale, 0.5 * scale - 0.5)

    @classmethod
    def corners(cls, size: int, source: int) -> Axis:
        """Pixels and scores are points and the outermost ones meet (`align_corners=True`).

        A single pixel lies on the first score.

        Args:
            size: picture pixels along the side, at least 1.
            source: scores along the side, at least 1.

        Raises:
            UsageError: a size is below 1.
        """
        size = _whole("size", size, least=1)
        source = _whole("source", source, least=1)
        return cls(size, (source - 1) / (size - 1) if size > 1 else 0.0, 0.0)

    def window(self, first: int, last: int) -> Axis:
        """The axis of the pixels first <= p < last.

        Raises:
            UsageError: the window is empty or reaches outside the axis.
        """
        first = _whole("first", first, least=0)
        last = _whole("last", last, least=0)
        if not first < last <= self.size:
            raise UsageError(
                "a window must lie inside its axis and hold a pixel",
                got=f"first={first}, last={last} of {self.size} pixels",
                fix=f"choose 0 <= first < last <= {self.size}",
            )
        return replace(self, size=last - first, first=self.first + first)

    def over(self, source_first: int) -> Axis:
        """The same pixels over scores of which the first `source_first` are not there.

        Raises:
            UsageError: source_first is not a whole number from 0 on.
        """
        return replace(self, source_first=source_first)

    def positions(self, source: int) -> npt.NDArray[np.float64]:
        """Score position of every pixel, float64 [size], within [0, source - 1]."""
        pixels = np.arange(self.first, self.first + self.size, dtype=np.float64)
        pixels *= self.scale
        pixels += self.offset
        pixels -= self.source_first
        return np.clip(pixels, 0.0, source - 1.0, out=pixels)

    def table(self, source: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Per pixel the score at or before it, int32 [size], and the weight of the next one.

        The weight, float32 [size] in [0, 1], is that of score `index + 1`; score `index` has 1 -
        weight. At the last score the weight is 0.
        """
        positions = self.positions(source)
        index = positions.astype(np.int32)
        positions -= index
        return index, positions.astype(np.float32)


def _whole(name: str, value: object, *, least: int) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # the check is what it raises
    except TypeError:
        number = least - 1
    if number < least:
        raise UsageError(
            f"{name} must be a whole number, at least {least}",
            got=f"{name}={value!r}",
            fix=f"give {name} in pixels",
        )
    return number
