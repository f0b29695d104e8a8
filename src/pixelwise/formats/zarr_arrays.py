"""Zarr arrays in, window by window, and the finest level of OME-Zarr."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ImageFileError
from pixelwise.extras import extra
from pixelwise.formats.raster_reader import ZARR_MARKS, FileState, RasterFacts
from pixelwise.geometry import Window

__all__ = ["ZarrReader"]

_BAND_AXES = {"b", "band", "bands", "c", "channel", "channels"}


class ZarrReader:
    """An open Zarr array `[H, W]`, `[H, W, B]` or `[B, H, W]`; further axes have length 1.

    The bands are the axis that OME-Zarr or the array's dimension names call so; without names, the
    shorter of the first and the last one, of two alike the last. A group is read at the first data
    set of its OME-Zarr multiscales, or where it holds one array, that one.

    Raises:
        ImageFileError: damaged, remote, or of other axes.
        MissingExtraError: zarr is not installed.
    """

    def __init__(self, path: Path) -> None:
        with extra("zarr"):
            import zarr

        mark = next((path / name for name in ZARR_MARKS if (path / name).is_file()), path)
        self._state = FileState.of(mark)
        self._where = str(path)
        try:
            found: Any = zarr.open(str(path), mode="r")
            axes: list[str] | None = None
            if isinstance(found, zarr.Group):
                found, axes = self._finest(found)
        except ImageFileError:
            raise
        except (KeyError, OSError, TypeError, ValueError, NotImplementedError) as error:
            raise ImageFileError(
                "the Zarr array cannot be read", where=self._where, got=str(error)
            ) from error
        self._array = found
        self._band_axis, self._plane = self._find_axes(found, axes)
        self.facts = self._read_facts(path)

    def read(self, window: Window, bands: Sequence[int]) -> NDArray[Any]:
        """See `RasterReader.read`."""
        self._state.check()
        rows, columns = slice(window.top, window.bottom), slice(window.left, window.right)
        chosen: list[Any] = [0] * self._array.ndim
        chosen[self._plane[0]], chosen[self._plane[1]] = rows, columns
        try:
            if self._band_axis is None:
                values = np.asarray(self._array[tuple(chosen)])[..., None]
                return np.ascontiguousarray(values[..., list(bands)])
            # Bands lie in chunks together more often than not: one reading for all of them.
            chosen[self._band_axis] = slice(min(bands), max(bands) + 1)
            values = np.asarray(self._array[tuple(chosen)])
        except (OSError, RuntimeError, ValueError) as error:
            raise ImageFileError(
                "the Zarr array is damaged", where=self._where, got=str(error)
            ) from error
        if self._band_axis < self._plane[0]:
            values = np.moveaxis(values, 0, -1)
        return np.ascontiguousarray(values[..., [band - min(bands) for band in bands]])

    def absent(self, window: Window) -> NDArray[np.bool_] | None:
        """See `RasterReader.absent`."""
        del window
        return None

    def close(self) -> None:
        """See `RasterReader.close`."""

    def _finest(self, group: Any) -> tuple[Any, list[str] | None]:
        facts = dict(group.attrs)
        scales = facts.get("ome", facts).get("multiscales")
        if scales:
            axes = [
                axis["name"] if isinstance(axis, dict) else str(axis)
                for axis in scales[0].get("axes", [])
            ]
            return group[scales[0]["datasets"][0]["path"]], axes or None
        arrays = sorted(name for name, _ in group.arrays())
        if len(arrays) != 1:
            raise ImageFileError(
                "a Zarr group of several arrays: which one is not said",
                where=self._where,
                got=", ".join(arrays[:20]) or "no array",
                fix="give the path of one array inside it",
            )
        return group[arrays[0]], None

    def _find_axes(self, array: Any, names: list[str] | None) -> tuple[int | None, list[int]]:
        """The axis of the bands, and those of rows and columns."""
        shape = array.shape
        band = None
        names = names or _dimension_names(array)
        if names is not None and len(names) == len(shape):
            band = next((i for i, name in enumerate(names) if name.lower() in _BAND_AXES), None)
        elif len(shape) >= 3:
            band = len(shape) - (3 if shape[-3] < shape[-1] else 1)
        others = [axis for axis in range(len(shape)) if axis != band]
        if (
            len(others) < 2
            or any(shape[axis] != 1 for axis in others[:-2])
            or 0 in shape
            or array.dtype.kind not in "uif"
        ):
            raise ImageFileError(
                "the Zarr array is no picture of bands",
                where=self._where,
                got=f"{array.dtype} {list(shape)}",
                fix="give an array [H, W], [H, W, B] or [B, H, W] of numbers",
            )
        return band, others[-2:]

    def _read_facts(self, path: Path) -> RasterFacts:
        array = self._array
        rows, columns = self._plane
        count = 1 if self._band_axis is None else array.shape[self._band_axis]
        stands_for_none = dict(array.attrs).get("_FillValue")
        nodata = float(stands_for_none) if isinstance(stands_for_none, int | float) else None
        return RasterFacts(
            path=path,
            size=(array.shape[rows], array.shape[columns]),
            dtype=array.dtype,
            names=("",) * count,
            colours=("red", "green", "blue") if count == 3 else ("",) * count,
            nodata=(nodata,) * count,
            transform=None,
            crs=None,
            block=(array.chunks[rows], array.chunks[columns]),
            together=1 if self._band_axis is None else array.chunks[self._band_axis],
        )


def _dimension_names(array: Any) -> list[str] | None:
    named = dict(array.attrs).get("_ARRAY_DIMENSIONS") or getattr(
        array.metadata, "dimension_names", None
    )
    return None if not named or None in named else [str(name) for name in named]
