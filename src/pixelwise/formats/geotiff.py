"""GeoTIFFs in, window by window, through GDAL's TIFF driver and nothing else of it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ImageFileError
from pixelwise.extras import extra
from pixelwise.formats.raster_reader import FileState, RasterFacts
from pixelwise.geometry import Window

__all__ = ["GeoTiffReader", "limit_cache"]

# No option of the user's environment may open the network, or a file beside the one that was named.
_CLOSED = {
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_NUM_THREADS": "1",
}
_WITH_FILES_BESIDE = _CLOSED | {
    "GDAL_DISABLE_READDIR_ON_OPEN": "FALSE",
    "GDAL_GEOREF_SOURCES": "PAM,INTERNAL,WORLDFILE",
    "GDAL_PAM_ENABLED": "YES",
}
_COLOURS = {"red": "red", "green": "green", "blue": "blue", "alpha": "alpha", "gray": "grey"}
_MOST_BANDS = 1024
_LARGEST_BLOCK = 1 << 30
_VRT_START = b"<VRTDataset"


def limit_cache(size: int) -> None:
    """Sets the bytes that GDAL keeps of blocks it has read, in this process."""
    with extra("geo"):
        from rasterio.env import set_gdal_config

    set_gdal_config("GDAL_CACHEMAX", size)


class GeoTiffReader:
    """An open TIFF, of any size, bands and type.

    A palette is read as its colours, three bands. Bytes of the file beyond the first picture (its
    other pages, but for overviews) are not looked at.

    Raises:
        ImageFileError: missing, damaged, no TIFF, or it refers to other files.
        MissingExtraError: rasterio is not installed.
    """

    def __init__(self, path: Path, *, allow_references: bool = False) -> None:
        with extra("geo"):
            import rasterio

        self._state = FileState.of(path)
        self._where = str(path)
        self._options = _WITH_FILES_BESIDE if allow_references else _CLOSED
        self._lock = threading.Lock()
        refers = _refers(path)
        if refers and not allow_references:
            raise ImageFileError(
                "the raster refers to other files, which is refused",
                where=self._where,
                got="a virtual raster (VRT)",
                fix="give the files themselves, or allow it with --allow-references",
            )
        with self._gdal("the raster cannot be read"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._source = rasterio.open(path.absolute(), driver="VRT" if refers else "GTiff")
            self._palette = self._read_palette()
            self.facts = self._read_facts(path)

    def read(self, window: Window, bands: Sequence[int]) -> NDArray[Any]:
        """See `RasterReader.read`."""
        self._state.check()
        region = _region(window)
        with self._lock, self._gdal("the raster is damaged"):
            if self._palette is not None:
                index = self._source.read(1, window=region)
                return np.ascontiguousarray(self._palette[index][..., list(bands)])
            values: NDArray[Any] = self._source.read([band + 1 for band in bands], window=region)
        self._state.check()
        return np.ascontiguousarray(np.moveaxis(values, 0, -1))

    def absent(self, window: Window) -> NDArray[np.bool_] | None:
        """See `RasterReader.absent`."""
        if self._mask_bands is None:
            return None
        with self._lock, self._gdal("the raster is damaged"):
            if "alpha" in self.facts.colours:
                band = self.facts.colours.index("alpha") + 1
                masks = self._source.read([band], window=_region(window))
            else:
                masks = self._source.read_masks(self._mask_bands, window=_region(window))
        missing: NDArray[np.bool_] = (masks == 0).all(axis=0)
        return missing

    def close(self) -> None:
        """See `RasterReader.close`."""
        with self._lock:
            self._source.close()

    def _read_palette(self) -> NDArray[np.uint8] | None:
        if self._source.count != 1 or self._source.colorinterp[0].name != "palette":
            return None
        colours = np.zeros((2**16, 3), np.uint8)
        for index, colour in self._source.colormap(1).items():
            colours[index] = colour[:3]
        return colours

    def _read_facts(self, path: Path) -> RasterFacts:
        source = self._source
        count = source.count
        names = tuple(name or "" for name in source.descriptions)
        colours = tuple(_COLOURS.get(entry.name, "") for entry in source.colorinterp)
        nodata = tuple(source.nodatavals)
        dtype = np.dtype(source.dtypes[0])
        if self._palette is not None:
            names, colours, nodata = ("",) * 3, ("red", "green", "blue"), (None,) * 3
            dtype = np.dtype(np.uint8)
        elif len(set(source.dtypes)) > 1:
            dtype = np.result_type(*source.dtypes)
        if dtype.kind not in "uif":
            raise ImageFileError(
                "the raster holds other than real numbers",
                where=self._where,
                got=str(dtype),
                fix="convert it, such as with gdal_translate -ot Float32",
            )
        height, width = source.block_shapes[0]
        together = count if source.profile.get("interleave") == "pixel" else 1
        block = height * width * together * dtype.itemsize
        if count > _MOST_BANDS or block > _LARGEST_BLOCK:
            # A header of a few bytes may claim that; decoding one block would take minutes.
            raise ImageFileError(
                "the raster has more bands, or larger blocks, than can be read",
                where=self._where,
                got=f"{count:,} bands, blocks of {height} × {width}, {block / 2**20:,.0f} MiB",
                fix=f"at most {_MOST_BANDS:,} bands and {_LARGEST_BLOCK >> 20:,} MiB: store it in "
                "tiles, such as with gdal_translate -of COG",
            )
        own_mask = [
            band + 1
            for band, flags in enumerate(source.mask_flag_enums)
            if "per_dataset" in {flag.name for flag in flags}
        ]
        nodata_of_index = source.nodatavals[0] if self._palette is not None else None
        self._mask_bands = own_mask[:1] or None
        if self._palette is not None and nodata_of_index is not None:
            self._mask_bands = [1]
        transform = None if source.transform.is_identity else tuple(source.transform)[:6]
        return RasterFacts(
            path=path,
            size=(source.height, source.width),
            dtype=dtype,
            names=names,
            colours=colours,
            nodata=nodata if self._palette is not None else nodata[:count],
            transform=transform,
            crs=source.crs.to_wkt() if source.crs else None,
            block=(height, width),
            together=together,
        )

    @contextmanager
    def _gdal(self, what: str) -> Iterator[None]:
        from rasterio import Env
        from rasterio._err import CPLE_BaseError
        from rasterio.errors import RasterioError

        try:
            with Env(**self._options):
                yield
        # Some of GDAL's own errors come through as they are.
        except (RasterioError, CPLE_BaseError) as error:
            raise ImageFileError(
                what, where=self._where, got=_reason(error), fix="copy or export the file again"
            ) from error


def _reason(error: BaseException) -> str:
    """What GDAL said first: rasterio's own words say no more than that something was said."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def _region(window: Window) -> Any:
    from rasterio.windows import Window as Region

    return Region(window.left, window.top, window.right - window.left, window.bottom - window.top)


def _refers(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise ImageFileError(
            "the raster cannot be read", where=str(path), got=str(error)
        ) from error
    return _VRT_START in start
