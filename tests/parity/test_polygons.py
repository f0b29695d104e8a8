"""Polygons against `rasterio.features`, and shapely as the judge of what is valid."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels


@st.composite
def label_maps(draw):
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    labels = random.integers(0, draw(st.integers(1, 5)), shape).astype(np.uint8)
    block = draw(st.integers(1, 4))
    return np.repeat(np.repeat(labels, block, axis=0), block, axis=1)


def smooth_map(random, shape, classes):
    """Winding borders close to each other, with specks beside them."""
    field = random.normal(size=shape)
    for axis in (0, 1, 0, 1):
        field = sum(np.roll(field, shift, axis) for shift in range(-2, 3))
    edges = np.quantile(field, np.linspace(0, 1, classes + 1)[1:-1])
    labels = np.digitize(field, edges).astype(np.uint8)
    specks = random.random(shape) < 0.02
    labels[specks] = random.integers(0, classes, specks.sum())
    return labels


def shapes_of(traced):
    return [
        shapely.Polygon(exterior, holes)
        for exterior, *holes in (traced.rings_of(n) for n in range(len(traced)))
    ]


def assert_whole(labels, tolerance, ignore=None):
    """Valid, none lost, no gaps, no overlaps, and borders where they were."""
    exact = shapes_of(kernels.trace_polygons(labels, ignore=ignore))
    ours = shapes_of(kernels.trace_polygons(labels, ignore=ignore, tolerance=tolerance))
    assert len(ours) == len(exact)
    assert all(polygon.is_valid and polygon.area > 0 for polygon in ours)
    union = shapely.union_all(ours)
    assert union.area == pytest.approx(sum(polygon.area for polygon in ours), abs=1e-6)
    if ignore is None:
        height, width = labels.shape
        assert union.equals(shapely.box(0, 0, width, height))
    for before, after in zip(exact, ours, strict=True):
        corners = shapely.points(shapely.get_coordinates(before))
        assert shapely.distance(corners, after.boundary).max() <= tolerance + 1e-9


@settings(max_examples=50)
@given(labels=label_maps())
def test_polygons_are_those_of_rasterio(labels):
    traced = kernels.trace_polygons(labels)
    ours = shapes_of(traced)
    theirs = [
        (int(value), shapely.geometry.shape(geometry))
        for geometry, value in rasterio.features.shapes(labels, connectivity=4)
    ]
    assert len(ours) == len(theirs)
    for label, polygon in zip(traced.label.tolist(), ours, strict=True):
        assert polygon.is_valid
        assert sum(label == value and polygon.equals(other) for value, other in theirs) == 1
    painted = rasterio.features.rasterize(
        list(zip(ours, traced.label.tolist(), strict=True)), labels.shape, fill=99
    )
    np.testing.assert_array_equal(painted, labels)


@settings(max_examples=50)
@given(
    labels=label_maps(),
    tolerance=st.sampled_from([0.0, 0.8, 1.0, 2.5, 9.0]),
    ignore=st.sampled_from([None, 1]),
)
def test_simplified_neighbours_leave_no_gaps_and_no_overlaps(labels, tolerance, ignore):
    assert_whole(labels, tolerance, ignore)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(2, 5),
    tolerance=st.sampled_from([1.0, 3.0, 9.0, 40.0]),
)
def test_winding_borders_and_specks_beside_them_do_not_cross(seed, classes, tolerance):
    assert_whole(smooth_map(np.random.default_rng(seed), (40, 50), classes), tolerance)


def test_a_high_raster_has_neither_gaps_nor_overlaps_at_the_edges_of_bands():
    random = np.random.default_rng(1)
    for tolerance in (2.0, 30.0):
        assert_whole(smooth_map(random, (1050, 24), 3), tolerance)
