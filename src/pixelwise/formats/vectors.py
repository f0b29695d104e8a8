"""Label maps to files of polygons, stripe by stripe: GeoJSON and GeoPackage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.errors import UsageError
from pixelwise.extras import extra
from pixelwise.formats.features import Feature, Place, Transform, attributes_of, features
from pixelwise.formats.files import replaced_whole, write_atomic
from pixelwise.formats.geojson import geojson_lines, read_collection_description
from pixelwise.formats.geopackage import read_layer_description, write_geopackage
from pixelwise.kernels import Polygons, PolygonStream

__all__ = ["VECTOR_SUFFIXES", "Stripe", "read_description", "vector_path", "write_polygons"]

_GEOJSON, _GEOPACKAGE = {".geojson", ".json"}, {".gpkg"}
VECTOR_SUFFIXES = frozenset(_GEOJSON | _GEOPACKAGE)
_UPWARDS: Transform = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


@dataclass(frozen=True, eq=False)
class Stripe:
    """The next rows of a label map, over its whole width.

    Attributes:
        labels: uint8, uint16 or int32 `[rows, W]`: class ids.
        confidence: float32 `[rows, W]`, 0..1; given with all stripes or with none.
    """

    labels: NDArray[Any]
    confidence: NDArray[np.float32] | None = None


def vector_path(path: str | Path) -> Path:
    """The path, if its name is that of a file of polygons.

    Raises:
        UsageError: it ends neither in .gpkg nor in .geojson or .json.
    """
    if Path(path).suffix.lower() not in VECTOR_SUFFIXES:
        raise UsageError(
            "polygons are kept in a GeoPackage or in GeoJSON",
            got=str(path),
            fix=f"name it {Path(path).stem}.gpkg or {Path(path).stem}.geojson",
        )
    return Path(path)


def read_description(path: Path) -> str:
    """What `write_polygons` was told as `description`.

    Raises:
        ValueError: the file is none that it wrote.
        OSError: it cannot be read.
    """
    if path.suffix.lower() in _GEOPACKAGE:
        return read_layer_description(path)
    return read_collection_description(path)


def write_polygons(
    stripes: Iterable[Stripe],
    path: str | Path,
    classes: ClassTable,
    *,
    transform: Any = None,
    crs: Any = None,
    row_areas: NDArray[np.float64] | None = None,
    tolerance: float = 1.0,
    ignore: int | None = None,
    description: str = "",
) -> int:
    """Writes the connected regions (4 neighbours) of a label map as polygons with attributes.

    The file is written while stripes come in and appears whole or not at all. Polygons follow in
    the order in which they become whole. Neighbours share their borders (see
    `kernels.trace_polygons`): there are no gaps and no overlaps, whatever the tolerance. Attributes
    are `class_id`, `class`, `colour`, `area_px`, with `row_areas` also `area_m2` and `area_ha`, and
    `confidence` where stripes have it. Areas are those of a region's pixels.

    GeoJSON is in longitude and latitude where `crs` is known, as RFC 7946 wants it (a region that
    crosses 180° is not cut), else in pixels, which the file says. A GeoPackage keeps the raster's
    coordinates; without a transform they are pixels, with y up, so that it lies on the picture in
    QGIS.

    Args:
        stripes: from the top, as many as the raster has.
        path: ends in .gpkg, .geojson or .json; a file that is there is replaced.
        classes: the class table of the labels.
        transform: affine, from columns and rows to coordinates: `affine.Affine` or its first six
            numbers.
        crs: the coordinate system, as `rasterio.crs.CRS.from_user_input` takes it.
        row_areas: float64 `[H]`, square metres of a pixel in each row.
        tolerance: pixels that a border may move by to become simpler; 0 keeps the edges of pixels.
        ignore: the label of pixels that are in no polygon; the table's ignored id if not given.
        description: a sentence for the file on where it came from.

    Returns:
        How many polygons there are.

    Raises:
        ArrayError: stripes do not fit each other, `classes` or `row_areas`.
        ClassNameError: a label is no class of the table.
        OutputError: the file cannot be written.
        UsageError: the name, the tolerance or the coordinate system is not usable.
        MissingExtraError: `crs` is given and rasterio is not installed.
    """
    path = vector_path(path)
    is_geojson = path.suffix.lower() in _GEOJSON
    place = _place(transform, crs, to_wgs84=is_geojson)
    # Asked for now, since the file's columns depend on it.
    source = iter(stripes)
    first = list(islice(source, 1))
    has_ground = row_areas is not None
    attributes = attributes_of(
        has_ground=has_ground, has_confidence=any(part.confidence is not None for part in first)
    )
    ignored = classes.ignore_index if ignore is None else ignore
    count = 0

    def found() -> Iterator[Feature]:
        nonlocal count
        for polygons in _traced(chain(first, source), row_areas, tolerance, ignored):
            count += len(polygons)
            yield from features(polygons, classes, place, has_ground=has_ground)

    if is_geojson:
        lines = geojson_lines(found(), attributes, is_wgs84=place.to_wgs84, description=description)
        write_atomic(path, lines)
    else:
        with replaced_whole(path) as temporary:
            write_geopackage(temporary, found(), attributes, place.crs, description=description)
    return count


def _traced(
    stripes: Iterable[Stripe],
    row_areas: NDArray[np.float64] | None,
    tolerance: float,
    ignore: int | None,
) -> Iterator[Polygons]:
    stream = None
    row = 0
    for stripe in stripes:
        if stream is None:
            stream = PolygonStream(stripe.labels.shape[1], ignore=ignore, tolerance=tolerance)
        end = row + len(stripe.labels)
        weights = None
        if row_areas is not None:
            weights = np.asarray(row_areas[row:end], np.float64)
        yield stream.add(stripe.labels, weights=weights, values=stripe.confidence)
        row = end
    if stream is not None:
        yield stream.finish()


def _place(transform: Any, crs: Any, *, to_wgs84: bool) -> Place:
    if crs is None:
        if to_wgs84:
            return Place(None, None)
        return Place(_UPWARDS if transform is None else _six_numbers(transform), None)
    if transform is None:
        raise UsageError(
            "a coordinate system says nothing without a transform",
            where="argument transform",
            fix="pass the raster's transform, or no crs",
        )
    with extra("geo"):
        from rasterio.crs import CRS
        from rasterio.errors import CRSError
    try:
        system = CRS.from_user_input(crs)
    except CRSError as error:
        raise UsageError(
            "there is no such coordinate system", got=str(error), fix="such as EPSG:32640"
        ) from error
    return Place(_six_numbers(transform), system, to_wgs84=to_wgs84)


def _six_numbers(transform: Any) -> Transform:
    try:
        a, b, c, d, e, f = (float(value) for value in tuple(transform)[:6])
    except (TypeError, ValueError):
        a, b, c, d, e, f = (0.0,) * 6
    if not np.isfinite([a, b, c, d, e, f]).all() or a * e == b * d:
        raise UsageError(
            "the transform leads from columns and rows to no coordinates",
            where="argument transform",
            got=f"{transform!r}",
            fix="six numbers, as in affine.Affine: x = a column + b row + c, y = d column + …",
        )
    return a, b, c, d, e, f
