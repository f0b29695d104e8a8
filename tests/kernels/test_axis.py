from __future__ import annotations

import numpy as np
import pytest

from pixelwise.errors import UsageError
from pixelwise.kernels import Axis


def test_half_pixel_is_the_convention_of_unaligned_corners():
    axis = Axis.half_pixel(8, 2)
    assert (axis.size, axis.scale, axis.offset) == (8, 0.25, -0.375)
    np.testing.assert_array_equal(axis.positions(2), [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1])


def test_corners_puts_the_outermost_pixels_on_the_outermost_scores():
    np.testing.assert_array_equal(Axis.corners(5, 3).positions(3), [0, 0.5, 1, 1.5, 2])
    np.testing.assert_array_equal(Axis.corners(1, 3).positions(3), [0])
    np.testing.assert_array_equal(Axis.corners(3, 1).positions(1), [0, 0, 0])


@pytest.mark.parametrize("make", [Axis.half_pixel, Axis.corners])
def test_a_pixel_per_score_is_the_identity_at_all_sizes(make):
    for size in range(1, 601):
        index, weight = make(size, size).table(size)
        np.testing.assert_array_equal(index, np.arange(size))
        assert not weight.any()


def test_enlarging_and_reducing_again_returns_to_the_same_place():
    for size in range(1, 601):
        source = 1 + size * 7 % 97
        down = Axis.half_pixel(source, size)
        back = Axis.half_pixel(size, source)
        there = down.scale * np.arange(source) + down.offset
        np.testing.assert_allclose(back.scale * there + back.offset, np.arange(source), atol=1e-9)


def test_tables_stay_inside_the_scores():
    for size in range(1, 601):
        for source in (1, 2, 3, 64, size, 2 * size + 1):
            for axis in (Axis.half_pixel(size, source), Axis.corners(size, source)):
                index, weight = axis.table(source)
                assert index.dtype == np.int32
                assert weight.dtype == np.float32
                assert index.min() >= 0
                assert index.max() < source
                assert (np.diff(index) >= 0).all()
                assert weight.min() >= 0
                assert weight.max() <= 1
                assert not weight[index == source - 1].any()


def test_a_window_samples_the_positions_of_the_whole():
    axis = Axis.half_pixel(601, 77)
    whole = axis.positions(77)
    np.testing.assert_array_equal(axis.window(100, 400).positions(77), whole[100:400])
    np.testing.assert_array_equal(axis.window(100, 400).window(7, 9).positions(77), whole[107:109])


def test_positions_clamp_to_the_scores():
    np.testing.assert_array_equal(Axis(4, 2.0, -3.0).positions(3), [0, 0, 1, 2])
    np.testing.assert_array_equal(Axis(2, 0.0, 99.0).positions(3), [2, 2])


@pytest.mark.parametrize(
    "values",
    [
        (0, 1.0, 0.0),
        (2.5, 1.0, 0.0),
        (4, -1.0, 0.0),
        (4, np.nan, 0.0),
        (4, np.inf, 0.0),
        (4, 1.0, np.inf),
        (4, "1", 0.0),
        (4, 1.0, 0.0, -1),
    ],
)
def test_impossible_axes_are_refused(values):
    with pytest.raises(UsageError):
        Axis(*values)


@pytest.mark.parametrize("make", [Axis.half_pixel, Axis.corners])
def test_empty_sides_are_refused(make):
    with pytest.raises(UsageError, match="size"):
        make(0, 3)
    with pytest.raises(UsageError, match="source"):
        make(3, 0)


@pytest.mark.parametrize(("first", "last"), [(0, 0), (3, 2), (0, 6), (-1, 2), (0, 1.5)])
def test_windows_outside_the_axis_are_refused(first, last):
    with pytest.raises(UsageError):
        Axis.half_pixel(5, 3).window(first, last)


def test_numpy_numbers_are_numbers():
    assert Axis(np.int64(3), np.float32(0.5), np.float64(0)) == Axis(3, 0.5, 0.0)


@pytest.mark.parametrize("make", [Axis.half_pixel, Axis.corners])
@pytest.mark.parametrize(("size", "source"), [(1000, 77), (300, 900), (64, 64)])
def test_scores_in_parts_have_the_positions_of_the_whole(make, size, source):
    """Bit for bit: what a part lacks is taken off after the position is worked out."""
    whole = make(size, source)
    index, weight = whole.table(source)
    for first in (0, source // 3, source // 2):
        inside = np.flatnonzero((index >= first) & (index < source - 1))
        pixels = slice(inside[0], inside[-1] + 1)
        part = whole.window(pixels.start, pixels.stop).over(first)
        part_index, part_weight = part.table(source - first)
        np.testing.assert_array_equal(part_index + first, index[pixels])
        np.testing.assert_array_equal(part_weight, weight[pixels])
