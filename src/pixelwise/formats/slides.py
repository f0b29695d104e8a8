"""Whole-slide pictures in, window by window, through openslide."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ImageFileError
from pixelwise.extras import extra
from pixelwise.formats.raster_reader import FileState, RasterFacts
from pixelwise.geometry import Window

__all__ = ["SlideReader"]


class SlideReader:
    """An open slide: its finest level as RGB, laid over white where nothing was scanned.

    Raises:
        ImageFileError: missing, damaged, or of a make that openslide does not read.
        MissingExtraError: openslide is not installed.
    """

    def __init__(self, path: Path) -> None:
        with extra("slide"):
            import openslide

        self._state = FileState.of(path)
        self._lock = threading.Lock()
        self._fault: type[Exception] = openslide.OpenSlideError
        try:
            self._slide = openslide.OpenSlide(str(path))
        except openslide.OpenSlideError as error:
            raise ImageFileError(
                "the slide cannot be read", where=str(path), got=str(error)
            ) from error
        width, height = self._slide.dimensions
        side = "openslide.level[0].tile-{}"
        block = tuple(
            int(self._slide.properties.get(side.format(name), 256)) for name in ("height", "width")
        )
        self.facts = RasterFacts(
            path=path,
            size=(height, width),
            dtype=np.dtype(np.uint8),
            names=("", "", ""),
            colours=("red", "green", "blue"),
            nodata=(None, None, None),
            transform=None,
            crs=None,
            block=(block[0], block[1]),
            together=3,
        )

    def read(self, window: Window, bands: Sequence[int]) -> NDArray[Any]:
        """See `RasterReader.read`."""
        self._state.check()
        size = window.right - window.left, window.bottom - window.top
        try:
            with self._lock:
                region = self._slide.read_region((window.left, window.top), 0, size)
        except self._fault as error:
            raise ImageFileError(
                "the slide is damaged", where=str(self.facts.path), got=str(error)
            ) from error
        pixels = np.asarray(region)
        alpha = pixels[..., 3:]
        if alpha.min() < 255:
            part = alpha.astype(np.uint16)
            # round(x / 255) without a division, for x up to 255².
            over = pixels[..., :3] * part + 255 * (255 - part) + np.uint16(128)
            pixels = ((over + (over >> 8)) >> 8).astype(np.uint8)
        return np.ascontiguousarray(pixels[..., list(bands)])

    def absent(self, window: Window) -> NDArray[np.bool_] | None:
        """See `RasterReader.absent`."""
        del window
        return None

    def close(self) -> None:
        """See `RasterReader.close`."""
        with self._lock:
            self._slide.close()
