"""How large a pixel is: as a raster's place on the ground tells, or as people write it."""

from __future__ import annotations

import math
import re
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.errors import ImageFileError, UsageError
from pixelwise.extras import extra

__all__ = ["PIXELS", "Spacing", "parse_spacing", "read_spacing"]

PIXELS = "px"
_UNITS = ("nm", "µm", "mm", "cm", "m", "km", PIXELS)
_SPELLINGS = {"um": "µm", "μm": "µm"}
_NUMBER = r"(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)"
_SIZE = re.compile(rf"(?:{_NUMBER}(?:\s*[,x×]\s*{_NUMBER})?)?\s*([a-zµμ]+)")
_TIFF_SUFFIXES = {".tif", ".tiff"}
_PLACED = (33550, 34264, 34735)
_BIG_TIFF = 43
# WGS 84 (EPSG 7030): half the equator's width in metres, and the square of its eccentricity.
_RADIUS, _ECCENTRICITY = 6_378_137.0, 0.00669437999014
_SKEW = 1e-6
# So that no area becomes 0 or infinite, which JSON cannot hold.
_SMALLEST, _LARGEST = 1e-100, 1e100


@dataclass(frozen=True)
class Spacing:
    """The size of a pixel.

    Attributes:
        height, width: from 1e-100 to 1e100, in the unit.
        unit: nm, µm, mm, cm, m, km, or px, of which both sides are 1.
    """

    height: float = 1.0
    width: float = 1.0
    unit: str = PIXELS

    def __post_init__(self) -> None:
        sides = (self.height, self.width)
        known = self.unit in _UNITS and all(_SMALLEST <= side <= _LARGEST for side in sides)
        if not known or (self.unit == PIXELS and sides != (1, 1)):
            raise UsageError(
                "this is no size of a pixel",
                got=f"{self.height:g} × {self.width:g} {self.unit}",
                fix=f"height and width from {_SMALLEST:g} to {_LARGEST:g}, in {', '.join(_UNITS)}; "
                "px alone has 1 × 1",
            )


def parse_spacing(text: str) -> Spacing:
    """What "0.5mm", "0.5,0.7mm" (height, width) or "px" says.

    Raises:
        UsageError: it says no size, or has no unit.
    """
    found = _SIZE.fullmatch(text.strip())
    unit = "" if found is None else _SPELLINGS.get(found[3], found[3])
    if found is None or unit not in _UNITS or (found[1] is None and unit != PIXELS):
        raise UsageError(
            "the size of a pixel cannot be read",
            got=repr(text[:80]),
            fix=f"write 0.5mm, or height and width, 0.5,0.7mm; units: {', '.join(_UNITS)}",
        )
    height = float(found[1] or 1)
    return Spacing(height, float(found[2] or height), unit)


def read_spacing(path: Path) -> Spacing | None:
    """The size of a pixel in metres, of a GeoTIFF; None of files that do not tell.

    Of projected coordinates it is what their unit makes in metres, as the projection has it.
    Degrees become metres at the latitude of the raster's middle, on the ellipsoid of WGS 84.

    Raises:
        ImageFileError: the raster cannot be read, its pixels are no rectangles, or it lies beyond
            a pole.
        MissingExtraError: it has a place on the ground, and rasterio is not installed.
    """
    if path.suffix.lower() not in _TIFF_SUFFIXES or not _is_placed(path):
        return None
    with extra("geo"):
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path.absolute(), driver="GTiff") as source:
                system = source.crs
                if not system or not (system.is_projected or system.is_geographic):
                    return None
                scales = _metres(source, path)
                place = source.transform
    except RasterioError as error:
        raise ImageFileError(
            "the raster cannot be read", where=str(path), got=str(error)
        ) from error
    across = (place.a * scales[0], place.d * scales[1])
    down = (place.b * scales[0], place.e * scales[1])
    height, width = math.hypot(*down), math.hypot(*across)
    skew = abs(across[0] * down[0] + across[1] * down[1])
    if not (0 < height < math.inf and 0 < width < math.inf) or skew > _SKEW * height * width:
        raise ImageFileError(
            "the pixels of the raster are no rectangles",
            where=str(path),
            got=f"a column on is {across} m, a row on {down} m",
            fix="warp it to a grid without skew",
        )
    return Spacing(height, width, "m")


def _metres(source: Any, path: Path) -> tuple[float, float]:
    """What one unit of x and of y is in metres."""
    factor = float(source.crs.units_factor[1])
    if source.crs.is_projected:
        return factor, factor
    place = source.transform
    latitude = (place.f + place.d * source.width / 2 + place.e * source.height / 2) * factor
    if not abs(latitude) < math.pi / 2:
        raise ImageFileError(
            "the raster lies beyond a pole",
            where=str(path),
            got=f"latitude {math.degrees(latitude):g}°",
            fix="give it its true coordinate system",
        )
    # Radii of curvature along the parallel and along the meridian.
    bulge = 1 - _ECCENTRICITY * math.sin(latitude) ** 2
    parallel = _RADIUS / math.sqrt(bulge) * math.cos(latitude)
    meridian = _RADIUS * (1 - _ECCENTRICITY) / bulge**1.5
    return factor * parallel, factor * meridian


def _is_placed(path: Path) -> bool:
    """Whether a TIFF has a place on the ground (GeoTIFF 1.1, section 2), by its header."""
    from PIL import TiffImagePlugin

    try:
        with path.open("rb") as file:
            head = file.read(8)
            if _BIG_TIFF in head[2:4]:
                head += file.read(8)
            directory = TiffImagePlugin.ImageFileDirectory_v2(head)
            file.seek(directory.next)
            directory.load(file)
    except (OSError, SyntaxError, ValueError, TypeError, struct.error):
        return False
    return any(tag in directory for tag in _PLACED)
