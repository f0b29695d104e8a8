from __future__ import annotations

import json
import sqlite3

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import ArrayError, ClassNameError, OutputError, UsageError
from pixelwise.formats.vectors import Stripe, write_polygons

DUBAI = Affine(10, 0, 500_000, 0, -10, 2_800_000)
CLASSES = ClassTable(
    "land",
    (
        ClassInfo(0, "land", (200, 180, 120)),
        ClassInfo(1, "water", (0, 100, 255)),
        ClassInfo(2, 'it\'s "built"', (60, 16, 152)),
    ),
    255,
    "made for a test",
)


@pytest.fixture(scope="module")
def labels():
    random = np.random.default_rng(4)
    return np.repeat(np.repeat(random.integers(0, 3, (9, 12), np.uint8), 5, axis=0), 4, axis=1)


def stripes(labels, rows=7, *, confidence=True):
    for top in range(0, len(labels), rows):
        part = labels[top : top + rows]
        yield Stripe(part, np.full(part.shape, 0.25, np.float32) if confidence else None)


def read(path):
    meta, _, geometry, columns = pyogrio.raw.read(path)
    return meta, shapely.from_wkb(geometry), dict(zip(meta["fields"], columns, strict=True))


def assert_whole(polygons, area):
    assert shapely.is_valid(polygons).all()
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons)).all()
    assert shapely.area(polygons).sum() == pytest.approx(area)
    assert shapely.union_all(polygons).area == pytest.approx(area)


@pytest.mark.parametrize("tolerance", [0, 1.0])
def test_a_geopackage_keeps_coordinates_and_attributes(tmp_path, labels, tolerance):
    path = tmp_path / "made" / "land.gpkg"
    count = write_polygons(
        stripes(labels),
        path,
        CLASSES,
        transform=DUBAI,
        crs="EPSG:32640",
        row_areas=np.full(len(labels), 100.0),
        tolerance=tolerance,
        description="of a test",
    )
    meta, polygons, columns = read(path)
    assert len(polygons) == count
    assert meta["crs"] == "EPSG:32640"
    assert meta["geometry_type"] == "Polygon"
    assert_whole(polygons, labels.size * 100)
    height, width = labels.shape
    left, top = 500_000, 2_800_000
    assert shapely.total_bounds(polygons).tolist() == [
        left,
        top - 10 * height,
        left + 10 * width,
        top,
    ]
    assert pyogrio.read_info(path)["total_bounds"] == (
        left,
        top - 10 * height,
        left + 10 * width,
        top,
    )
    for info in CLASSES:
        chosen = columns["class_id"] == info.id
        assert set(columns["class"][chosen]) == {info.name}
        assert columns["area_px"][chosen].sum() == (labels == info.id).sum()
    np.testing.assert_allclose(columns["area_m2"], columns["area_px"] * 100)
    np.testing.assert_allclose(columns["area_ha"], columns["area_px"] / 100)
    assert set(columns["confidence"]) == {0.25}
    assert set(columns["colour"]) == {"#c8b478", "#0064ff", "#3c1098"}


def test_a_geopackage_has_a_spatial_index_that_others_keep(tmp_path, labels):
    path = tmp_path / "land.gpkg"
    write_polygons(stripes(labels), path, CLASSES, transform=DUBAI, crs="EPSG:32640")
    _, polygons, _ = read(path)
    window = (500_100.0, 2_799_800.0, 500_150.0, 2_799_900.0)
    inside = pyogrio.raw.read(path, bbox=window)[2]
    boxes = shapely.intersects(shapely.envelope(polygons), shapely.box(*window))
    assert 0 < len(inside) <= boxes.sum() < len(polygons)
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM rtree_regions_geom").fetchone() == (
            len(polygons),
        )
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb([shapely.box(0, 0, 1, 1)]),
        field_data=[np.array([1])],
        fields=["class_id"],
        geometry_type="Polygon",
        crs="EPSG:32640",
        layer="other",
        append=True,
    )
    assert pyogrio.list_layers(path)[:, 0].tolist() == ["regions", "other"]


def test_geojson_is_in_longitude_and_latitude(tmp_path, labels):
    path = tmp_path / "land.geojson"
    count = write_polygons(stripes(labels), path, CLASSES, transform=DUBAI, crs="EPSG:32640")
    value = json.loads(path.read_text("utf-8"))
    assert [feature["id"] for feature in value["features"]] == list(range(1, count + 1))
    assert set(value) == {"type", "features"}
    meta, polygons, columns = read(path)
    assert meta["crs"] == "EPSG:4326"
    assert "area_m2" not in columns
    west, south, east, north = shapely.total_bounds(polygons)
    assert (west, north) == pytest.approx((57.0, 25.3165), abs=1e-3)
    assert_whole(polygons, shapely.union_all(polygons).area)
    width, height = labels.shape[1] * 10, labels.shape[0] * 10
    assert (east - west) * 100_800 == pytest.approx(width, rel=0.02)
    assert (north - south) * 110_770 == pytest.approx(height, rel=0.02)


def test_without_a_place_coordinates_are_pixels_and_the_file_says_so(tmp_path, labels):
    path = tmp_path / "land.json"
    write_polygons(stripes(labels, confidence=False), path, CLASSES, transform=DUBAI)
    value = json.loads(path.read_text("utf-8"))
    assert "pixels" in value["coordinate_system"]
    _, polygons, columns = read(path)
    assert_whole(polygons, labels.size)
    assert shapely.total_bounds(polygons).tolist() == [0, 0, labels.shape[1], labels.shape[0]]
    assert "confidence" not in columns
    package = tmp_path / "land.gpkg"
    write_polygons(stripes(labels), package, CLASSES)
    assert shapely.total_bounds(read(package)[1]).tolist() == [
        0,
        -labels.shape[0],
        labels.shape[1],
        0,
    ]
    write_polygons(stripes(labels), package, CLASSES, transform=tuple(DUBAI))
    assert shapely.total_bounds(read(package)[1])[0] == 500_000


def test_a_rotated_raster_and_a_system_without_a_code(tmp_path, labels):
    path = tmp_path / "land.gpkg"
    system = rasterio.crs.CRS.from_proj4("+proj=laea +lat_0=25 +lon_0=55 +ellps=GRS80 +units=m")
    turned = Affine(6, 8, 500_000, 8, -6, 2_800_000)
    write_polygons(stripes(labels), path, CLASSES, transform=turned, crs=system)
    meta, polygons, _ = read(path)
    assert_whole(polygons, labels.size * 100)
    assert rasterio.crs.CRS.from_user_input(meta["crs"]) == system


def test_ignored_pixels_are_in_no_polygon_and_rows_have_their_own_area(tmp_path, labels):
    path = tmp_path / "land.gpkg"
    partly = labels.copy()
    partly[:, 20:] = 255
    areas = np.linspace(1, 2, len(labels))
    write_polygons(stripes(partly), path, CLASSES, row_areas=areas, tolerance=0)
    _, polygons, columns = read(path)
    assert shapely.area(polygons).sum() == len(labels) * 20
    assert columns["area_m2"].sum() == pytest.approx(areas.sum() * 20)


def test_a_system_whose_axes_point_south_and_west_keeps_the_rule_of_rings(tmp_path, labels):
    lo29 = "+proj=tmerc +lat_0=0 +lon_0=29 +axis=wsu +ellps=WGS84 +units=m +type=crs"
    path = tmp_path / "land.geojson"
    placed = Affine(-10, 0, 50_000, 0, 10, 2_900_000)
    write_polygons(stripes(labels), path, CLASSES, transform=placed, crs=lo29)
    _, polygons, _ = read(path)
    assert_whole(polygons, shapely.union_all(polygons).area)


def test_a_confidence_that_is_no_number_is_left_empty(tmp_path):
    blank = Stripe(np.zeros((2, 3), np.uint8), np.full((2, 3), np.nan, np.float32))
    for name in ("land.gpkg", "land.geojson"):
        write_polygons([blank], tmp_path / name, CLASSES)
        assert np.isnan(read(tmp_path / name)[2]["confidence"].astype(float)).all()


def test_a_raster_of_nothing_is_a_file_without_polygons(tmp_path):
    for name in ("land.gpkg", "land.geojson"):
        nothing = [Stripe(np.full((3, 4), 255, np.uint8))]
        assert write_polygons(nothing, tmp_path / name, CLASSES) == 0
        assert len(read(tmp_path / name)[1]) == 0
        assert write_polygons([], tmp_path / name, CLASSES) == 0


def test_a_file_appears_whole_or_not_at_all(tmp_path, labels):
    def broken():
        yield from list(stripes(labels))[:3]
        raise RuntimeError("the raster ends here")

    for name in ("land.gpkg", "land.geojson"):
        path = tmp_path / name
        path.write_bytes(b"old")
        with pytest.raises(RuntimeError, match="ends here"):
            write_polygons(broken(), path, CLASSES)
        assert path.read_bytes() == b"old"
        with pytest.raises(ClassNameError):
            write_polygons([Stripe(np.full((3, 4), 9, np.uint8))], path, CLASSES)
        assert path.read_bytes() == b"old"
        write_polygons(stripes(labels), path, CLASSES)
        assert len(read(path)[1]) > 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["land.geojson", "land.gpkg"]


def test_other_arguments_are_refused(tmp_path, labels):
    path = tmp_path / "land.gpkg"
    with pytest.raises(UsageError, match="GeoPackage or in GeoJSON"):
        write_polygons(stripes(labels), tmp_path / "land.shp", CLASSES)
    with pytest.raises(UsageError, match="without a transform"):
        write_polygons(stripes(labels), path, CLASSES, crs="EPSG:32640")
    with pytest.raises(UsageError, match="no such coordinate system"):
        write_polygons(stripes(labels), path, CLASSES, transform=DUBAI, crs="EPSG:1")
    for transform in ((1, 2, 3), (1, 0, 0, 1, 0, 0), (float("nan"),) * 6, "north"):
        with pytest.raises(UsageError, match="transform"):
            write_polygons(stripes(labels), path, CLASSES, transform=transform)
    with pytest.raises(UsageError, match="tolerance"):
        write_polygons(stripes(labels), path, CLASSES, tolerance=-1)
    with pytest.raises(ArrayError, match="weights"):
        write_polygons(stripes(labels), path, CLASSES, row_areas=np.ones(3))
    far = {"transform": Affine(1e9, 0, 0, 0, -1e9, 0), "crs": "EPSG:32640"}
    with pytest.raises(UsageError, match="no longitude and latitude"):
        write_polygons(stripes(labels), tmp_path / "land.geojson", CLASSES, **far)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="file"):
        write_polygons(stripes(labels), tmp_path / "file" / "land.gpkg", CLASSES)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file"]
