from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import ImageFileError, MissingExtraError, UsageError
from pixelwise.formats.spacing import Spacing, parse_spacing, read_spacing

rasterio = pytest.importorskip("rasterio")


@pytest.fixture
def raster(tmp_path):
    """Writes a GeoTIFF of 4 rows and 6 columns with that system and transform."""

    def write(system, *transform, name="x.tif", **options):
        place = rasterio.Affine(*transform) if transform else None
        file = {"width": 6, "height": 4, "count": 1, "dtype": "uint8", "driver": "GTiff"}
        with rasterio.open(
            tmp_path / name, "w", crs=system, transform=place, **file, **options
        ) as out:
            out.write(np.zeros((1, 4, 6), np.uint8))
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5mm", (0.5, 0.5, "mm")),
        (" 0.5, 0.7 mm ", (0.5, 0.7, "mm")),
        ("10x20m", (10, 20, "m")),
        (".25um", (0.25, 0.25, "µm")),
        ("1e-3μm", (0.001, 0.001, "µm")),
        ("px", (1, 1, "px")),
        ("1px", (1, 1, "px")),
    ],
)
def test_what_people_write(text, expected):
    found = parse_spacing(text)
    assert (found.height, found.width, found.unit) == expected


@pytest.mark.parametrize("text", ["", "0.5", "mm", "0.5 ell", "0.5,mm", "-1mm", "1,2,3mm", "nanm"])
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match="cannot be read") as caught:
        parse_spacing(text)
    assert "0.5,0.7mm" in caught.value.fix


@pytest.mark.parametrize("text", ["0mm", "1e999mm", "0.5px", "1,2px"])
def test_sizes_that_cannot_be(text):
    with pytest.raises(UsageError, match="no size of a pixel"):
        parse_spacing(text)


def test_projected_coordinates_in_metres(raster):
    assert read_spacing(raster("EPSG:32633", 10, 0, 5e5, 0, -20, 5e6)) == Spacing(20, 10, "m")
    foot = read_spacing(raster("EPSG:2263", 2, 0, 9e5, 0, -2, 2e5))
    assert (foot.width, foot.unit) == (pytest.approx(2 * 1200 / 3937), "m")


def test_a_turned_raster(raster):
    c, s = math.cos(0.3), math.sin(0.3)
    found = read_spacing(raster("EPSG:32633", 3 * c, 5 * s, 5e5, 3 * s, -5 * c, 5e6))
    assert (found.height, found.width) == (pytest.approx(5), pytest.approx(3))


@pytest.mark.parametrize("latitude", [0, 52, -85])
def test_degrees_at_the_latitude_of_the_middle(raster, latitude):
    step = 1e-4
    found = read_spacing(raster("EPSG:4326", step, 0, 13, 0, -step, latitude + 2 * step))
    # Points on the ellipsoid, a pixel apart: chords, which are arcs at this distance.
    half, flat = 6_378_137.0, 0.00669437999014

    def place(lon, lat):
        lon, lat = math.radians(lon), math.radians(lat)
        normal = half / math.sqrt(1 - flat * math.sin(lat) ** 2)
        ring = normal * math.cos(lat)
        height = normal * (1 - flat) * math.sin(lat)
        return np.array([ring * math.cos(lon), ring * math.sin(lon), height])

    across = np.linalg.norm(place(13 + step, latitude) - place(13, latitude))
    down = np.linalg.norm(place(13, latitude + step / 2) - place(13, latitude - step / 2))
    assert found.height == pytest.approx(down, rel=1e-6)
    assert found.width == pytest.approx(across, rel=1e-6)


def test_files_that_do_not_tell(raster, tmp_path):
    Image.new("L", (3, 2)).save(tmp_path / "x.png")
    Image.new("L", (3, 2)).save(tmp_path / "plain.tif", dpi=(300, 300))
    (tmp_path / "broken.tif").write_bytes(b"II*\0nothing")
    for name in ("x.png", "plain.tif", "broken.tif", "missing.tif"):
        assert read_spacing(tmp_path / name) is None
    assert read_spacing(raster(None, 10, 0, 0, 0, -10, 0)) is None


def test_big_tiffs_tell_too(raster):
    path = raster("EPSG:32633", 10, 0, 5e5, 0, -20, 5e6, BIGTIFF="YES")
    assert read_spacing(path) == Spacing(20, 10, "m")


def test_rasters_that_cannot_be_measured_on(raster):
    with pytest.raises(ImageFileError, match="no rectangles"):
        read_spacing(raster("EPSG:32633", 10, 4, 5e5, 0, -10, 5e6))
    with pytest.raises(ImageFileError, match="beyond a pole"):
        read_spacing(raster("EPSG:4326", 10, 0, 5e5, 0, -10, 5e6))


def test_a_missing_package_is_named(raster, monkeypatch):
    path = raster("EPSG:32633", 10, 0, 5e5, 0, -20, 5e6)
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingExtraError, match="rasterio"):
        read_spacing(path)


@pytest.mark.parametrize("text", ["1e308m", "1e-320mm", "1e200,1mm"])
def test_refuses_sizes_whose_areas_are_no_numbers(text: str) -> None:
    with pytest.raises(UsageError, match="no size of a pixel"):
        parse_spacing(text)
