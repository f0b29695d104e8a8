"""Rasters in: GeoTIFFs of any number of bands, as arrays in their own type."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin

from pixelwise.errors import ImageFileError
from pixelwise.extras import extra
from pixelwise.formats.decoding import DEFAULT_MEGAPIXELS
from pixelwise.formats.images import read_image

__all__ = ["read_picture", "read_raster"]

_TIFF_SUFFIXES = {".tif", ".tiff"}
_BITS, _SAMPLES = 258, 277
_PLACED = (33550, 34264, 34735)
_MOST_OF_A_PHOTO = 4


def read_raster(
    path: Path, *, max_megapixels: float = DEFAULT_MEGAPIXELS
) -> tuple[NDArray[Any], float | None]:
    """All bands of a TIFF, `[H, W, B]` in the type of the file, and its value for "no data".

    Only the TIFF driver is opened: files that refer to others, and addresses, are not followed.

    Raises:
        ImageFileError: missing, damaged, no TIFF, or larger than `max_megapixels`.
        MissingExtraError: rasterio is not installed.
    """
    with extra("geo"):
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    import warnings

    if not path.is_file():
        raise ImageFileError("there is no such file", where=str(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path.absolute(), driver="GTiff") as source:
                if source.width * source.height > max_megapixels * 1e6:
                    raise ImageFileError(
                        "the picture is larger than allowed",
                        where=str(path),
                        got=f"{source.width} × {source.height}, "
                        f"at most {max_megapixels:g} megapixels",
                        fix="if you trust the file, raise max_megapixels",
                    )
                bands: NDArray[Any] = source.read()
                nodata = cast("float | None", source.nodata)
    except RasterioError as error:
        raise ImageFileError(
            "the raster cannot be read", where=str(path), got=str(error)
        ) from error
    return np.ascontiguousarray(np.moveaxis(bands, 0, -1)), nodata


def read_picture(path: Path, *, max_megapixels: float = DEFAULT_MEGAPIXELS) -> NDArray[Any]:
    """A picture of a data set: uint8 `[H, W, 3]`, or of a raster `[H, W, B]` in its own type.

    A TIFF is a raster where it has more than four bands, or a place on the ground and other than
    three bands of 8 bits, or where it cannot be read as a photo.

    Raises:
        ImageFileError: it cannot be read.
        MissingExtraError: it is a raster, and rasterio is not installed.
    """
    if path.suffix.lower() not in _TIFF_SUFFIXES:
        return read_image(path, max_megapixels=max_megapixels)
    if _is_raster(path):
        return read_raster(path, max_megapixels=max_megapixels)[0]
    try:
        return read_image(path, max_megapixels=max_megapixels)
    except ImageFileError:
        return read_raster(path, max_megapixels=max_megapixels)[0]


def _is_raster(path: Path) -> bool:
    """Whether a TIFF is measured rather than photographed, by its header.

    More than four bands; or a place on the ground (GeoTIFF 1.1, section 2: tags 33550, 34264,
    34735) and other than three bands of 8 bits, which are a photo of the ground.
    """
    try:
        with path.open("rb") as file:
            directory = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
            file.seek(directory.next)
            directory.load(file)
            bands = int(directory.get(_SAMPLES, 1))
            bits = directory.get(_BITS, (1,))
            placed = any(tag in directory for tag in _PLACED)
    except (OSError, SyntaxError, ValueError, TypeError, struct.error):
        return False
    return bands > _MOST_OF_A_PHOTO or (placed and tuple(bits) != (8, 8, 8))
