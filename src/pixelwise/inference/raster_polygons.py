"""Polygons of a label raster, read back strip by strip."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from pixelwise.classes import ClassTable
from pixelwise.errors import ImageFileError
from pixelwise.extras import extra
from pixelwise.formats.ground import pixel_areas
from pixelwise.formats.raster_reader import RasterFacts
from pixelwise.formats.vectors import Stripe, write_polygons

__all__ = ["write_raster_polygons"]

_BYTES_AT_ONCE = 16 << 20
# One pixel takes the stairs out of slanted borders.
_TOLERANCE = 1.0


def write_raster_polygons(
    labels: Path,
    path: Path,
    classes: ClassTable,
    place: RasterFacts,
    *,
    confidence: Path | None,
    confidence_scale: float,
    nodata: int,
    facts: Mapping[str, str],
) -> int:
    """Writes the regions of a label raster as polygons; see `write_polygons`.

    Borders may move by one pixel to become simpler; neighbours share them.

    Args:
        labels: a GeoTIFF of class ids.
        path: of the polygons, .gpkg or .geojson.
        classes: the class table.
        place: of the raster, where it lies.
        confidence: a GeoTIFF of the labels' probabilities in whole numbers; None where there is
            none.
        confidence_scale: what such a number is times, for 0..1.
        nodata: the value of pixels that are in no polygon.
        facts: what the file says of where it came from.

    Returns:
        How many polygons there are.

    Raises:
        ImageFileError: the labels cannot be read.
        OutputError: the polygons cannot be written.
    """
    crs = place.crs if place.transform is not None else None
    return write_polygons(
        _stripes(labels, confidence, confidence_scale),
        path,
        classes,
        transform=place.transform,
        crs=crs,
        row_areas=None if crs is None else pixel_areas(place.transform, crs, place.size[0]),
        tolerance=_TOLERANCE,
        ignore=nodata,
        description=json.dumps(dict(facts), ensure_ascii=False),
    )


def _stripes(labels: Path, confidence: Path | None, scale: float) -> Iterator[Stripe]:
    with extra("geo"):
        import rasterio
        from rasterio.errors import RasterioError
        from rasterio.windows import Window
    try:
        with ExitStack() as files:
            source, *others = (
                files.enter_context(rasterio.open(path.absolute(), driver="GTiff"))
                for path in (labels, confidence)
                if path is not None
            )
            side = int(source.block_shapes[0][0])
            row_bytes = source.width * np.dtype(source.dtypes[0]).itemsize
            rows = max(1, _BYTES_AT_ONCE // (row_bytes * side)) * side
            for top in range(0, source.height, rows):
                count = min(rows, source.height - top)
                window = Window(0, top, source.width, count)
                shares = [
                    other.read(1, window=window).astype(np.float32) * np.float32(scale)
                    for other in others
                ]
                yield Stripe(source.read(1, window=window), *shares)
    except RasterioError as error:
        raise ImageFileError(
            "the label raster cannot be read", where=str(labels), got=str(error)
        ) from error
