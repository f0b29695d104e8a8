"""How much ground a pixel covers: square metres from transform and coordinate system."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import UsageError
from pixelwise.extras import extra

__all__ = ["pixel_areas"]

_SPHEROID = re.compile(r'(?:SPHEROID|ELLIPSOID)\["[^"]*",\s*([0-9.eE+-]+),\s*([0-9.eE+-]+)')
_WEB_MERCATOR = 3857


def pixel_areas(transform: Any, crs: Any, height: int) -> NDArray[np.float64] | None:
    """Area of one pixel in each row of a raster, in square metres.

    Projected coordinates: the area on the map, which is the same for all pixels. Geographic ones,
    and Web Mercator (EPSG:3857), whose map areas are far from those of the ground: the exact area
    on the ellipsoid between two parallels and two meridians,

        A = Δλ [F(φ₂) − F(φ₁)],  F(φ) = b²/2 [sin φ / (1 − e² sin² φ) + artanh(e sin φ) / e]

    (Snyder, Map Projections: A Working Manual, 1987, equations 3-11 and 3-12, times a²/2).

    Args:
        transform: affine, from (column, row) to coordinates; `affine.Affine` or its six or nine
            numbers.
        crs: a `rasterio.crs.CRS`, what one is made of (`"EPSG:4326"`, WKT), or None.
        height: rows of the raster.

    Returns:
        float64 `[H]`, m² per pixel of each row; None without a coordinate system, and where the
        rows of a geographic raster do not follow parallels.

    Raises:
        UsageError: no such coordinate system, or `height` below 1.
        MissingExtraError: rasterio is not installed.
    """
    if height < 1:
        raise UsageError("a raster has at least one row", got=f"height={height}")
    if crs is None:
        return None
    with extra("geo"):
        from rasterio.crs import CRS
        from rasterio.errors import CRSError

    try:
        system = CRS.from_user_input(crs)
        column_x, row_x, _, column_y, row_y, origin_y = tuple(transform)[:6]
        edges = origin_y + row_y * np.arange(height + 1)
        if system.is_geographic:
            if row_x or column_y:
                return None
            unit = float(system.units_factor[1])
            semi_major, flattening = _ellipsoid(system.to_wkt())
            return _between(edges * unit, abs(column_x) * unit, semi_major, flattening)
        if system.to_epsg() == _WEB_MERCATOR and not (row_x or column_y):
            semi_major, flattening = _ellipsoid(system.to_wkt())
            latitudes = np.arctan(np.sinh(edges / semi_major))
            return _between(latitudes, abs(column_x) / semi_major, semi_major, flattening)
        if not system.is_projected:
            return None
        metres = float(system.linear_units_factor[1])
    except CRSError as error:
        raise UsageError(
            "there is no such coordinate system", got=str(error), fix="such as EPSG:32640"
        ) from error
    return np.full(height, abs(column_x * row_y - row_x * column_y) * metres**2)


def _ellipsoid(text: str) -> tuple[float, float]:
    """Semi-major axis in metres, and flattening, from WKT."""
    match = _SPHEROID.search(text)
    if match is None:
        raise UsageError("the coordinate system names no ellipsoid", got=text[:200])
    inverse = float(match[2])
    return float(match[1]), 1 / inverse if inverse else 0.0


def _between(
    latitudes: NDArray[np.float64], width: float, semi_major: float, flattening: float
) -> NDArray[np.float64]:
    """Areas between successive latitudes `[H + 1]`, over `width`; all in radians."""
    sine = np.sin(np.clip(latitudes, -math.pi / 2, math.pi / 2))
    squared = flattening * (2 - flattening)
    eccentricity = math.sqrt(squared)
    polar = semi_major * (1 - flattening)
    # d sin φ = 2 cos(middle) sin(half): differences of close sines lose digits, this does not.
    middle, half = (latitudes[1:] + latitudes[:-1]) / 2, np.diff(latitudes) / 2
    step = np.abs(2 * np.cos(middle) * np.sin(half))
    north, south = sine[1:], sine[:-1]
    if eccentricity == 0:
        areas: NDArray[np.float64] = polar**2 * width * step
        return areas
    product = squared * north * south
    first = step * (1 + product) / ((1 - squared * north**2) * (1 - squared * south**2))
    # artanh x − artanh y = artanh((x − y) / (1 − x y))
    second = np.arctanh(eccentricity * step / (1 - product)) / eccentricity
    total: NDArray[np.float64] = polar**2 / 2 * width * (first + second)
    return total
