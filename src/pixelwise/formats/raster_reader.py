"""Rasters in, window by window: one protocol over GeoTIFF, slides and Zarr."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin

from pixelwise.errors import ImageFileError
from pixelwise.geometry import Window

__all__ = [
    "RASTER_SUFFIXES",
    "SLIDE_SUFFIXES",
    "TIFF_SUFFIXES",
    "ZARR_MARKS",
    "FileState",
    "RasterFacts",
    "RasterReader",
    "is_raster",
    "is_zarr",
    "open_raster",
]

TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
SLIDE_SUFFIXES = frozenset({".bif", ".mrxs", ".ndpi", ".scn", ".svs", ".svslide", ".vms", ".vmu"})
RASTER_SUFFIXES = TIFF_SUFFIXES | SLIDE_SUFFIXES | {".vrt", ".zarr"}
ZARR_MARKS = ("zarr.json", ".zarray", ".zgroup")
_WIDTH, _HEIGHT, _BITS, _SAMPLES = 256, 257, 258, 277
_PLACED = (33550, 33922, 34264, 34735)
_MOST_OF_A_PHOTO = 4


@dataclass(frozen=True)
class RasterFacts:
    """What a raster says of itself.

    Attributes:
        path: of the file or folder.
        size: `(H, W)` in pixels.
        dtype: of the values.
        names: of each band; `""` where it has none.
        colours: what each band shows: `"red"`, `"green"`, `"blue"`, `"grey"`, `"alpha"` or `""`.
        nodata: of each band, the value that stands for none; None where there is no such value.
        transform: from (column, row) to coordinates, six numbers
            `x = a column + b row + c, y = d column + e row + f`; None where there is no place.
        crs: the coordinate system as WKT, or None.
        block: `(h, w)` of what is read at once at least.
        together: bands that lie in a block.
    """

    path: Path
    size: tuple[int, int]
    dtype: np.dtype[Any]
    names: tuple[str, ...]
    colours: tuple[str, ...]
    nodata: tuple[float | None, ...]
    transform: tuple[float, float, float, float, float, float] | None
    crs: str | None
    block: tuple[int, int]
    together: int = 1

    @property
    def bands(self) -> int:
        """How many there are, alpha included."""
        return len(self.names)


class RasterReader(Protocol):
    """An open raster; may be read from several threads.

    Attributes:
        facts: what it says of itself.
    """

    facts: RasterFacts

    def read(self, window: Window, bands: Sequence[int]) -> NDArray[Any]:
        """Values of bands (0-based) in a window, `[h, w, B]` in the type of the raster.

        Raises:
            ImageFileError: the raster is damaged there, or is no longer the file that was opened.
        """
        ...

    def absent(self, window: Window) -> NDArray[np.bool_] | None:
        """Where the raster's own mask or alpha says that nothing is, bool `[h, w]`.

        None where it has no mask. Values for "no data" and NaN do not count here.
        """
        ...

    def close(self) -> None:
        """Ends the reading."""
        ...


@dataclass(frozen=True)
class FileState:
    """Which file it was, to notice when it is another one or written to."""

    path: Path
    device: int
    inode: int
    size: int
    modified: int

    @staticmethod
    def of(path: Path) -> FileState:
        """The state now.

        Raises:
            ImageFileError: the file is not there or cannot be looked at.
        """
        try:
            found = path.stat()
        except (OSError, ValueError) as error:
            raise ImageFileError(
                "the raster cannot be looked at", where=str(path), got=str(error)
            ) from error
        return FileState(path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def check(self) -> None:
        """Looks again.

        Raises:
            ImageFileError: the file was changed, replaced or removed.
        """
        now = FileState.of(self.path)
        if now != self:
            raise ImageFileError(
                "the raster was changed while it was read",
                where=str(self.path),
                got=f"{now.size:,} bytes, inode {now.inode}; it began with {self.size:,} bytes, "
                f"inode {self.inode}",
                fix="wait until the file is written, then start again",
            )


def open_raster(path: Path, *, allow_references: bool = False) -> RasterReader:
    """Opens a raster by its kind.

    ==========================================  ===================================================
    file                                        read by
    ==========================================  ===================================================
    GeoTIFF, TIFF, BigTIFF, pyramidal TIFF      rasterio, GDAL's TIFF driver and no other
    `.svs`, `.ndpi`, `.mrxs`, … (slides)        openslide: level 0, laid over white, RGB
    folder with Zarr inside                     zarr: `[H, W]`, `[H, W, B]` or `[B, H, W]`; of
                                                OME-Zarr level 0
    `.vrt`                                      with `allow_references` only
    ==========================================  ===================================================

    Args:
        path: a local file or folder.
        allow_references: a VRT may name other local files, and georeferences and masks may lie in
            files beside the raster. Addresses on a network stay closed.

    Raises:
        ImageFileError: missing, damaged, of no such kind, or refers to other files.
        MissingExtraError: what reads this kind is not installed.
    """
    if str(path).startswith("/vsi") or "://" in str(path):
        raise ImageFileError(
            "addresses and virtual paths are not opened",
            where=str(path),
            fix="download or unpack it, and give the path of a file",
        )
    if is_zarr(path):
        from pixelwise.formats.zarr_arrays import ZarrReader

        return ZarrReader(path)
    if not path.is_file():
        raise ImageFileError(
            "a folder that holds no Zarr array" if path.is_dir() else "there is no such file",
            where=str(path),
        )
    if path.suffix.lower() in SLIDE_SUFFIXES:
        from pixelwise.formats.slides import SlideReader

        return SlideReader(path)
    from pixelwise.formats.geotiff import GeoTiffReader

    return GeoTiffReader(path, allow_references=allow_references)


def is_zarr(path: Path) -> bool:
    """Whether a folder holds a Zarr array or group, of version 2 or 3."""
    # Path.is_file raises on names that are too long; these do not.
    return os.path.isdir(path) and any(  # noqa: PTH112
        os.path.isfile(path / mark)  # noqa: PTH113
        for mark in ZARR_MARKS
    )


def is_raster(path: Path, *, max_megapixels: float) -> bool:
    """Whether a file is streamed as a raster rather than read as a photo.

    Slides, Zarr and VRT are; of TIFFs those with a place on the ground (GeoTIFF 1.1, section 2),
    with more than four bands, with numbers of other than 8 bits in several bands, and those larger
    than a photo may be.
    """
    suffix = path.suffix.lower()
    if suffix in TIFF_SUFFIXES:
        return _is_measured(path, max_megapixels)
    return suffix in RASTER_SUFFIXES or is_zarr(path)


def _is_measured(path: Path, max_megapixels: float) -> bool:
    try:
        with path.open("rb") as file:
            header = file.read(8)
            if header[2:3] == b"\x2b" or header[3:4] == b"\x2b":
                header += file.read(8)
            directory = TiffImagePlugin.ImageFileDirectory_v2(header)
            file.seek(directory.next)
            directory.load(file)
            bands = int(directory.get(_SAMPLES, 1))
            bits = directory.get(_BITS, (1,))
            pixels = int(directory.get(_WIDTH, 0)) * int(directory.get(_HEIGHT, 0))
            placed = any(tag in directory for tag in _PLACED)
    except (OSError, SyntaxError, ValueError, TypeError, struct.error):
        return False
    return (
        placed
        or bands > _MOST_OF_A_PHOTO
        or (bands > 1 and any(depth != 8 for depth in bits))
        or pixels > max_megapixels * 1e6
    )
