"""Polygons with attributes, as vector files hold them: coordinates on the ground."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.errors import UsageError
from pixelwise.extras import extra
from pixelwise.kernels import Polygons

__all__ = ["Attribute", "Feature", "Place", "Transform", "attributes_of", "features"]

Transform = tuple[float, float, float, float, float, float]
"""x = a × column + b × row + c, y = d × column + e × row + f: affine.Affine's first six."""


@dataclass(frozen=True)
class Attribute:
    """A column of the file.

    Attributes:
        name: as the file has it.
        type: what its values are.
    """

    name: str
    type: type[int] | type[float] | type[str]


@dataclass(frozen=True)
class Feature:
    """One polygon.

    Attributes:
        rings: float64 `[N, 2]` each, closed: the first point comes again at the end. The outline
            runs counter-clockwise and the holes clockwise, where y points up.
        values: of the attributes, in their order.
    """

    rings: list[NDArray[np.float64]]
    values: tuple[int | float | str | None, ...]


@dataclass(frozen=True)
class Place:
    """Where the picture lies, and in which coordinates its polygons are written.

    Attributes:
        transform: from columns and rows of pixel corners to coordinates; None: the pixels' own.
        crs: the coordinate system of those, a `rasterio.crs.CRS`; None: not known.
        to_wgs84: write longitude and latitude instead, in degrees.
    """

    transform: Transform | None
    crs: Any
    to_wgs84: bool = False

    def coordinates(self, points: NDArray[np.int32]) -> NDArray[np.float64]:
        """x and y of corners of pixels, float64 `[N, 2]`.

        Raises:
            UsageError: a point has no longitude and latitude.
        """
        a, b, c, d, e, f = self.transform or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        column, row = points.T.astype(np.float64)
        placed = np.stack([a * column + b * row + c, d * column + e * row + f], axis=1)
        if not self.to_wgs84 or not len(placed):
            return placed
        with extra("geo"):
            from rasterio.warp import transform
        try:
            longitudes, latitudes = transform(self.crs, "OGC:CRS84", placed[:, 0], placed[:, 1])
        except Exception as error:  # those of GDAL have no public class
            raise self._nowhere(str(error)) from error
        degrees = np.array([longitudes, latitudes]).T
        if not np.isfinite(degrees).all():
            raise self._nowhere("infinite coordinates")
        return degrees

    def _nowhere(self, got: str) -> UsageError:
        return UsageError(
            "parts of the raster have no longitude and latitude",
            where=f"coordinate system {self.crs}",
            got=got,
            fix="write a .gpkg, which keeps the raster's own coordinates",
        )


def attributes_of(*, has_ground: bool, has_confidence: bool) -> list[Attribute]:
    """The columns: class, colour and area; square metres and hectares, mean confidence."""
    columns = [
        Attribute("class_id", int),
        Attribute("class", str),
        Attribute("colour", str),
        Attribute("area_px", int),
    ]
    if has_ground:
        columns += [Attribute("area_m2", float), Attribute("area_ha", float)]
    if has_confidence:
        columns.append(Attribute("confidence", float))
    return columns


def features(
    polygons: Polygons, classes: ClassTable, place: Place, *, has_ground: bool
) -> Iterator[Feature]:
    """The polygons with their attributes, in their order.

    Raises:
        ClassNameError: a label is no class of the table.
        UsageError: a point has no longitude and latitude.
    """
    coordinates = place.coordinates(polygons.points)
    step = -1 if len(coordinates) and _is_mirrored(polygons, coordinates) else 1
    offsets = polygons.rings.tolist()
    for index, (first, end) in enumerate(pairwise(polygons.polygons.tolist())):
        rings = []
        for start, stop in pairwise(offsets[first : end + 1]):
            ring = coordinates[start:stop][::step]
            rings.append(np.concatenate([ring, ring[:1]]))
        info = classes.find(int(polygons.label[index]))
        values: list[int | float | str | None] = [
            info.id,
            info.name,
            "#{:02x}{:02x}{:02x}".format(*info.colour),
            int(polygons.area[index]),
        ]
        if has_ground:
            ground = float(polygons.weighted_area[index])
            values += [ground, ground / 10_000]
        if polygons.mean is not None:
            mean = float(polygons.mean[index])
            values.append(mean if math.isfinite(mean) else None)
        yield Feature(rings, tuple(values))


def _is_mirrored(polygons: Polygons, coordinates: NDArray[np.float64]) -> bool:
    """Whether what is counter-clockwise as seen is not so in these coordinates."""
    ring = coordinates[: polygons.rings[1]]
    x, y = (ring - ring[0]).T
    return bool((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() < 0)
