from __future__ import annotations

import numpy as np
import pytest

from pixelwise.errors import UsageError
from pixelwise.formats.ground import pixel_areas

rasterio = pytest.importorskip("rasterio")
from rasterio.transform import from_origin  # noqa: E402

WGS84 = 6378137.0, 1 / 298.257223563


def by_quadrature(edges, width, semi_major=WGS84[0], flattening=WGS84[1]):
    """Meridian times parallel radius of curvature, summed over latitude (Gauss-Legendre)."""
    squared = flattening * (2 - flattening)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    low, high = np.radians(edges[:-1, None]), np.radians(edges[1:, None])
    latitude = (high + low) / 2 + (high - low) / 2 * nodes
    root = 1 - squared * np.sin(latitude) ** 2
    integrand = semi_major**2 * (1 - squared) * np.cos(latitude) / root**2
    return np.radians(width) * np.abs((high - low)[:, 0] / 2 * (integrand * weights).sum(1))


def test_the_whole_earth():
    areas = pixel_areas(from_origin(-180, 90, 1, 1), "EPSG:4326", 180)
    assert areas.shape == (180,)
    # Moritz, Geodetic Reference System 1980: the authalic radius; WGS 84 has nearly that of GRS 80.
    assert 360 * areas.sum() == pytest.approx(4 * np.pi * 6371007.1809**2, rel=1e-9)
    np.testing.assert_allclose(areas, areas[::-1], rtol=1e-12)


@pytest.mark.parametrize("pixel", [1.0, 0.01, 9e-5, 1e-7])
def test_degrees_are_exact_on_the_ellipsoid(pixel):
    for north in (89.9, 50.0, 0.0, -38.1):
        edges = north - pixel * np.arange(4)
        if edges[-1] < -90:
            continue
        areas = pixel_areas(from_origin(7, north, pixel, pixel), "EPSG:4326", 3)
        np.testing.assert_allclose(areas, by_quadrature(edges, pixel), rtol=1e-7)


def test_a_raster_that_stands_on_its_head_has_the_same_areas():
    upright = pixel_areas(from_origin(7, 50, 0.1, 0.1), "EPSG:4326", 5)
    turned = pixel_areas(from_origin(7, 49.5, 0.1, -0.1), "EPSG:4326", 5)
    np.testing.assert_allclose(turned, upright[::-1], rtol=1e-12)


def test_projected_pixels_are_all_alike():
    areas = pixel_areas(from_origin(3e5, 2.8e6, 0.3, 0.5), "EPSG:32640", 4)
    np.testing.assert_allclose(areas, 0.15)


def test_rotation_keeps_the_area_of_projected_pixels():
    turned = from_origin(3e5, 2.8e6, 0.3, 0.5) @ rasterio.Affine.rotation(30)
    np.testing.assert_allclose(pixel_areas(turned, "EPSG:32640", 2), 0.15)


def test_feet_become_square_metres():
    # EPSG:2225, California zone 1, in US survey feet of 1200/3937 m.
    areas = pixel_areas(from_origin(6e6, 2e6, 2, 2), "EPSG:2225", 1)
    np.testing.assert_allclose(areas, 4 * (1200 / 3937) ** 2)


def test_web_mercator_is_measured_on_the_ground():
    latitude = np.radians([60.0, 59.999])
    top, bottom = np.arcsinh(np.tan(latitude)) * WGS84[0]
    areas = pixel_areas(from_origin(0, top, 10, top - bottom), "EPSG:3857", 1)
    width = np.degrees(10 / WGS84[0])
    np.testing.assert_allclose(areas, by_quadrature(np.degrees(latitude), width), rtol=1e-7)


def test_none_where_areas_are_unknown():
    assert pixel_areas(from_origin(0, 0, 1, 1), None, 3) is None
    turned = from_origin(0, 0, 1, 1) @ rasterio.Affine.rotation(30)
    assert pixel_areas(turned, "EPSG:4326", 3) is None


def test_bad_arguments():
    with pytest.raises(UsageError, match="no such coordinate system"):
        pixel_areas(from_origin(0, 0, 1, 1), "EPSG:1", 3)
    with pytest.raises(UsageError, match="at least one row"):
        pixel_areas(from_origin(0, 0, 1, 1), "EPSG:4326", 0)
