"""Pictures that are read window by window, at their own scale or at another."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.errors import ArrayError
from pixelwise.geometry import Window

__all__ = ["ArraySource", "PixelSource", "read_scaled"]


class PixelSource(Protocol):
    """A picture that may be larger than memory.

    Attributes:
        size: `(H, W)` in pixels.
        bands: values of a pixel.
    """

    size: tuple[int, int]
    bands: int

    def read(self, window: Window) -> NDArray[Any]:
        """The pixels of a window that lies inside the picture, `[h, w, bands]`.

        Called from one thread at a time, which need not be the one that made the source.
        """
        ...


class ArraySource:
    """A picture in memory.

    Args:
        picture: `[H, W, bands]`.

    Raises:
        ArrayError: the array has no three axes, or an empty side.
    """

    def __init__(self, picture: NDArray[Any]) -> None:
        if picture.ndim != 3 or picture.size == 0:
            raise ArrayError(
                "this array is no picture", got=f"shape {picture.shape}, expected [H, W, bands]"
            )
        self._picture = picture
        self.size: tuple[int, int] = (picture.shape[0], picture.shape[1])
        self.bands = picture.shape[2]

    def read(self, window: Window) -> NDArray[Any]:
        """The pixels of a window, `[h, w, bands]`; a view."""
        return self._picture[window.top : window.bottom, window.left : window.right]


def read_scaled(source: PixelSource, resized: tuple[int, int], window: Window) -> NDArray[Any]:
    """Pixels of a window of the picture resized to `(H, W)`, as if it had been resized whole.

    Bilinear, with a filter that widens when it shrinks, as whole pictures are resized.
    """
    if resized == source.size:
        return source.read(window)
    spans = []
    for first, last, target, side in (
        (window.left, window.right, resized[1], source.size[1]),
        (window.top, window.bottom, resized[0], source.size[0]),
    ):
        ratio = side / target
        start, stop = first * ratio, min(last * ratio, side)
        # What the filter reaches beyond the first and the last pixel.
        reach = math.ceil(max(1.0, ratio)) + 1
        low, high = max(0, math.floor(start) - reach), min(side, math.ceil(stop) + reach)
        spans.append((low, high, start - low, min(stop - low, high - low)))
    (left, right, *columns), (top, bottom, *rows) = spans
    pixels = source.read(Window(left, top, right, bottom))
    size = (window.right - window.left, window.bottom - window.top)
    box = (columns[0], rows[0], columns[1], rows[1])
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.asarray(_resize(np.ascontiguousarray(pixels), size, box))
    kind = np.uint8 if pixels.dtype == np.uint8 else np.float32
    bands = [
        np.asarray(_resize(np.ascontiguousarray(pixels[..., band], kind), size, box))
        for band in range(pixels.shape[2])
    ]
    resampled = np.stack(bands, axis=-1)
    if np.issubdtype(pixels.dtype, np.integer):
        resampled = np.rint(resampled)
    return resampled.astype(pixels.dtype, copy=False)


def _resize(
    pixels: NDArray[Any], size: tuple[int, int], box: tuple[float, float, float, float]
) -> Image.Image:
    return Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, box)
