"""Where the pixels of a picture fall on the grid of scores."""

from __future__ import annotations

from dataclasses import dataclass

from pixelwise.errors import UsageError
from pixelwise.kernels import Axis

__all__ = ["Geometry", "Window"]


@dataclass(frozen=True)
class Window:
    """A rectangle of the picture: pixels `left <= x < right`, `top <= y < bottom`."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Geometry:
    """How the pixels of the picture fall on the grid of scores, for each side."""

    rows: Axis
    columns: Axis

    @property
    def size(self) -> tuple[int, int]:
        """`(H, W)` of the picture."""
        return self.rows.size, self.columns.size

    def window(self, window: Window | None) -> Geometry:
        """The same for a window of the picture; None is the whole picture.

        Raises:
            UsageError: the window is empty or leaves the picture.
        """
        if window is None:
            return self
        height, width = self.size
        inside = 0 <= window.left < window.right <= width
        if not (inside and 0 <= window.top < window.bottom <= height):
            raise UsageError(
                "the window is empty or leaves the picture",
                got=f"{window} in a picture {width} wide and {height} high",
            )
        return Geometry(
            self.rows.window(window.top, window.bottom),
            self.columns.window(window.left, window.right),
        )
