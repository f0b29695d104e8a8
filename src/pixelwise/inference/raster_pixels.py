"""A raster as the tiles want it: bands chosen, numbers scaled, nothing where there is no data."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.formats.files import output_error
from pixelwise.formats.raster_reader import RasterReader
from pixelwise.geometry import Window
from pixelwise.inference.bands import BandRule, network_values

__all__ = ["Preview", "RasterPixels"]

# Bytes of values that are held to find out what is missing.
_AT_ONCE = 1 << 25
_RED_GREEN_BLUE = (("red", "green", "blue"), ("b4", "b3", "b2"), ("b04", "b03", "b02"))


class Preview:
    """A small picture of the raster, made of the pixels that pass by.

    Args:
        path: of a file that keeps it, so that a run that goes on has its first part too.
        size: `(H, W)` of the raster.
        step: every step-th pixel along each side is kept.
        dtype: of the values: uint8, or float32.

    Attributes:
        pixels: `[h, w, 3]`; 0 where nothing was seen yet.
    """

    def __init__(self, path: Path, size: tuple[int, int], step: int, dtype: np.dtype[Any]) -> None:
        self._path = path
        self._size = size
        self._step = step
        self._lock = threading.Lock()
        shape = (-(-size[0] // step), -(-size[1] // step), 3)
        self.pixels: NDArray[Any] = np.zeros(shape, dtype)
        self._changed = (0, shape[0])
        with suppress(OSError, ValueError):
            kept = np.fromfile(path, dtype).reshape(shape)
            self.pixels, self._changed = kept, (shape[0], 0)

    def note(self, window: Window, values: NDArray[Any]) -> None:
        """Keeps what it needs of a window's pixels, `[h, w, 3]`."""
        rows, y = self._kept(window.top, window.bottom, self._size[0])
        columns, x = self._kept(window.left, window.right, self._size[1])
        if not (len(y) and len(x)):
            return
        kept = values[y[:, None], x[None]]
        whole = self.pixels.dtype == np.uint8
        with self._lock:
            self.pixels[rows, columns] = np.nan_to_num(kept, nan=0) if whole else kept
            first, last = self._changed
            self._changed = min(first, rows.start), max(last, rows.stop)

    def save(self) -> None:
        """Writes what has changed since the last time.

        Raises:
            OutputError: it cannot be written.
        """
        with self._lock:
            first, last = self._changed
            self._changed = len(self.pixels), 0
            changed = self.pixels[first:last].tobytes()
        try:
            self._path.touch()
            with self._path.open("r+b", buffering=0) as file:
                file.seek(first * self.pixels[0].nbytes)
                rest = memoryview(changed)
                while rest:
                    rest = rest[file.write(rest) :]
        except OSError as error:
            raise output_error(self._path, error, "the file cannot be written") from error

    def _kept(self, first: int, last: int, side: int) -> tuple[slice, NDArray[np.intp]]:
        """Which pixels of the preview lie between two of the raster, and where they are there."""
        places = np.minimum(
            np.arange(-(-side // self._step)) * self._step + self._step // 2, side - 1
        )
        start, stop = np.searchsorted(places, (first, last))
        return slice(int(start), int(stop)), places[start:stop] - first


class RasterPixels:
    """A `PixelSource` over a raster.

    Args:
        reader: the raster.
        rule: which bands, and what becomes of their numbers.
        preview: sees every window that is read, or None.

    Attributes:
        size: `(H, W)` in pixels.
        bands: channels of the model.
    """

    def __init__(
        self, reader: RasterReader, rule: BandRule, preview: Preview | None = None
    ) -> None:
        self._reader = reader
        self._rule = rule
        self._preview = preview
        self._shown = shown_channels(reader, rule)
        self.size = reader.facts.size
        self.bands = len(rule.indices)

    def read(self, window: Window) -> NDArray[Any]:
        """Pixels of a window, `[h, w, bands]`: uint8, uint16, int16 or float32.

        NaN where there is no data; a window without such pixels may come in its own type.

        Raises:
            ImageFileError: the raster is damaged, or was changed meanwhile.
        """
        values, _ = self._values(window)
        if self._preview is not None:
            self._preview.note(window, values[..., self._shown])
        return values

    def missing(self, window: Window) -> NDArray[np.bool_] | None:
        """Pixels of a window without data, bool `[h, w]`; None where every pixel has some.

        Raises:
            ImageFileError: the raster is damaged, or was changed meanwhile.
        """
        absent = self._reader.absent(window)
        may_lack = self._rule.may_lack or self._reader.facts.dtype.kind == "f"
        if not may_lack:
            return absent
        # By bands of rows: of many bands, a stripe's values are far more than its labels.
        height = window.bottom - window.top
        missing = np.zeros((height, window.right - window.left), bool)
        row_bytes = missing.shape[1] * self.bands * 8
        rows = max(1, min(height, _AT_ONCE // row_bytes))
        for top in range(0, height, rows):
            bottom = min(height, top + rows)
            part = Window(window.left, window.top + top, window.right, window.top + bottom)
            found = self._values(part)[1]
            if found is not None:
                missing[top:bottom] = found
        return missing if missing.any() else None

    def _values(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        values = self._reader.read(window, self._rule.indices)
        return network_values(values, self._reader.absent(window), self._rule)


def shown_channels(reader: RasterReader, rule: BandRule) -> list[int]:
    """The three channels of the model that are red, green and blue to look at, by their names."""
    facts = reader.facts
    for names in _RED_GREEN_BLUE:
        for said in (facts.colours, tuple(name.lower() for name in facts.names)):
            channels = [said[index] for index in rule.indices]
            if all(name in channels for name in names):
                return [channels.index(name) for name in names]
    return [0, 1, 2] if len(rule.indices) >= 3 else [0, 0, 0]
