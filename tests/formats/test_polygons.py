"""Polygons: the rule of the centre, and outlines that give a mask back exactly."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pixelwise.errors import MaskFileError
from pixelwise.formats import polygons
from pixelwise.formats.polygons import fill, fill_patch, joined, signed_area, trace

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=16))
CORNERS = st.tuples(st.integers(-8, 40), st.integers(-8, 40))
SIZE = (14, 12)


def nested(side):
    """Squares in squares, each a hole of the one around it."""
    distance = np.minimum(*np.indices((side, side)))
    return np.minimum(distance, distance[::-1, ::-1]) % 2 == 0


def inside_by_hand(rings, size):
    """The rule in plain words, pixel by pixel."""
    mask = np.zeros(size, np.bool_)
    for row, column in np.ndindex(*size):
        x, y = column + 0.5, row + 0.5
        for ring in rings:
            for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
                if (y0 <= y) != (y1 <= y):
                    crossing = x0 + Fraction(y - y0) * Fraction(x1 - x0) / Fraction(y1 - y0)
                    mask[row, column] ^= crossing <= x
    return mask


@given(MASKS)
def test_outlines_give_the_mask_back(mask):
    np.testing.assert_array_equal(fill(trace(mask), mask.shape), mask)


@given(MASKS)
def test_one_joined_ring_gives_the_mask_back(mask):
    np.testing.assert_array_equal(fill([joined(trace(mask))], mask.shape), mask)


@pytest.mark.parametrize(
    "mask",
    [
        np.indices((40, 40)).sum(axis=0) % 2 == 0,
        nested(41),
        np.ones((3, 5), np.bool_),
        np.zeros((3, 5), np.bool_),
        np.ones((1, 1), np.bool_),
        np.zeros((0, 4), np.bool_),
        np.eye(30, dtype=np.bool_),
    ],
    ids=["checkerboard", "holes in holes", "full", "empty", "one pixel", "no pixel", "diagonal"],
)
def test_hard_masks_come_back(mask):
    rings = trace(mask)
    np.testing.assert_array_equal(fill(rings, mask.shape), mask)
    np.testing.assert_array_equal(fill([joined(rings)], mask.shape), mask)


@given(MASKS)
def test_outlines_run_clockwise_and_holes_against(mask):
    assert sum(map(signed_area, trace(mask))) == mask.sum()


def test_a_square_has_four_corners_and_its_hole_too():
    mask = np.ones((5, 5), np.bool_)
    mask[2, 2] = False
    outer, hole = trace(mask)
    assert outer.tolist() == [[0, 0], [5, 0], [5, 5], [0, 5]]
    assert sorted(hole.tolist()) == [[2, 2], [2, 3], [3, 2], [3, 3]]
    assert (signed_area(outer), signed_area(hole)) == (25, -1)


def test_pixels_that_touch_at_a_corner_have_outlines_of_their_own():
    assert len(trace(np.eye(4, dtype=np.bool_))) == 4
    assert len(trace(np.eye(4, dtype=np.bool_)[::-1])) == 4


@settings(max_examples=400)
@given(st.lists(st.lists(CORNERS, min_size=1, max_size=8), min_size=1, max_size=3))
def test_a_pixel_is_filled_when_its_centre_is_inside(rings):
    # Quarters of a pixel are exact in floating point, and hit centres and edges often.
    rings = [np.array(ring) / 4 for ring in rings]
    np.testing.assert_array_equal(
        fill(rings, SIZE), inside_by_hand([ring.tolist() for ring in rings], SIZE)
    )


@given(arrays(np.float64, (6, 2), elements=st.floats(-5, 20)))
def test_neighbours_share_no_pixel_and_leave_none_out(points):
    whole = fill([points], SIZE)
    parts = [fill([points[:4]], SIZE), fill([points[[0, 3, 4, 5]]], SIZE)]
    np.testing.assert_array_equal(parts[0] ^ parts[1], whole)


@given(arrays(np.float64, (5, 2), elements=st.floats(-40, 40)))
def test_a_patch_is_its_part_of_the_picture(points):
    rows, columns, inside = fill_patch([points], SIZE)
    mask = fill([points], SIZE)
    np.testing.assert_array_equal(mask[rows, columns], inside)
    assert mask.sum() == inside.sum()


def test_many_crossings_are_worked_through_in_parts(monkeypatch):
    points = np.random.default_rng(7).random((60, 2)) * [90, 300]
    expected = fill([points], (300, 90))
    monkeypatch.setattr(polygons, "_CROSSINGS_AT_ONCE", 100)
    np.testing.assert_array_equal(fill([points], (300, 90)), expected)


@pytest.mark.parametrize("rings", [[], [np.zeros((0, 2))], [np.ones((1, 2))], [np.ones((9, 2))]])
def test_rings_without_area_fill_nothing(rings):
    assert not fill(rings, SIZE).any()
    assert joined(rings).shape == (sum(map(len, rings)), 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, 2.0**31])
def test_points_that_are_no_places_are_refused(value):
    ring = np.array([[0.0, 0.0], [5.0, value], [5.0, 5.0]])
    with pytest.raises(MaskFileError, match="no places"):
        fill([ring], SIZE)


@pytest.mark.parametrize("ring", [np.zeros(6), np.zeros((3, 3))])
def test_rings_that_are_not_of_points_are_refused(ring):
    with pytest.raises(MaskFileError, match="not of points"):
        fill([ring], SIZE)


def test_bridges_are_short():
    mask = np.zeros((10, 60), np.bool_)
    mask[2:8, 0:50:10] = True
    ring = joined(trace(mask))
    steps = np.hypot(*(ring - np.roll(ring, -1, axis=0)).T)
    assert steps.max() <= 10
