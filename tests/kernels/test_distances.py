from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference_metrics
from pixelwise.kernels.distances import check_spacing

SPACINGS = st.sampled_from([(1.0, 1.0), (0.7, 1.9), (3.3, 0.001), (1e-6, 1e6)])


@st.composite
def label_maps(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 160))
    block = draw(st.sampled_from([1, 5, 17, 70]))
    coarse = rng.integers(0, draw(st.sampled_from([1, 2, 9])), (height, width))
    labels = coarse[np.arange(height)[:, None] // block, np.arange(width) // block]
    return labels.astype(draw(st.sampled_from([np.uint8, np.uint16])))


@st.composite
def point_lists(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    shift = draw(st.sampled_from([0, 1000]))
    lists = [
        (np.stack([rng.integers(0, height, n), rng.integers(0, width, n)], 1) + shift)
        for n in (draw(st.integers(0, 40)), draw(st.integers(1, 40)))
    ]
    return [points.astype(np.int32) for points in lists]


def by_squares(labels, distance, fill):
    """Every square of pixels looked at."""
    wide = np.pad(labels.astype(int), distance, constant_values=-1)
    out = labels.copy()
    side = 2 * distance + 1
    for y, x in np.ndindex(labels.shape):
        if (wide[y : y + side, x : x + side] == labels[y, x]).all():
            out[y, x] = fill
    return out


@settings(max_examples=40)
@given(label_maps(), st.integers(1, 6))
def test_what_is_near_a_border_stays(labels, distance):
    expected = by_squares(labels, distance, 200)
    np.testing.assert_array_equal(kernels.near_borders(labels, distance, fill=200), expected)
    if 2 * distance < min(labels.shape):
        twin = reference_metrics.near_borders(labels, distance, fill=200)
        np.testing.assert_array_equal(twin, expected)


@pytest.mark.skipif(not kernels.COMPILED, reason="the variants are compiled")
@settings(max_examples=40)
@given(label_maps(), st.integers(1, 9), point_lists(), SPACINGS)
def test_all_variants_give_the_same_bits(labels, distance, lists, spacing):
    from pixelwise.kernels import _native

    expected = kernels.near_borders(labels, distance, fill=7)
    apart = kernels.nearest_distances(*lists, spacing=spacing)
    for variant in _native.variants():
        if 2 * distance < min(labels.shape):
            out = np.empty_like(labels)
            _native.near_borders(labels, distance, 7, out, variant)
            np.testing.assert_array_equal(out, expected)
        squares = np.empty(len(lists[0]))
        _native.nearest_squares(*lists, *spacing, squares, variant)
        np.testing.assert_array_equal(np.sqrt(squares), apart)


@settings(max_examples=50)
@given(point_lists(), SPACINGS)
def test_distances_are_those_of_all_pairs(lists, spacing):
    points, others = lists
    offsets = (points[:, None].astype(float) - others[None]) * spacing
    expected = np.sqrt((offsets**2).sum(2).min(1))
    found = kernels.nearest_distances(points, others, spacing=spacing)
    np.testing.assert_allclose(found, expected, rtol=1e-15)
    twin = reference_metrics.nearest_distances(points, others, spacing=spacing)
    np.testing.assert_array_equal(found, twin)


@pytest.mark.parametrize(
    ("distance", "fill", "said"), [(0, 1, "distance"), (1.5, 1, "distance"), (1, 256, "fill")]
)
def test_borders_refuse_what_they_cannot_take(distance, fill, said):
    with pytest.raises(UsageError, match=said):
        kernels.near_borders(np.zeros((3, 3), np.uint8), distance, fill=fill)


def test_borders_refuse_other_arrays():
    with pytest.raises(ArrayError, match="labels has the wrong type"):
        kernels.near_borders(np.zeros((3, 3)), 1, fill=1)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (np.zeros((3, 2), np.int64), "wrong type"),
        ([[0, 0]], "wrong type\n.*\n  list"),
        (np.zeros((3, 3), np.int32), "wrong shape"),
        (np.zeros((0, 2), np.int32), "wrong shape"),
        (np.array([[0, -1]], np.int32), "outside every picture"),
        (np.array([[2**24, 0]], np.int32), "outside every picture"),
    ],
)
def test_distances_refuse_other_points(points, said):
    with pytest.raises(ArrayError, match=said):
        kernels.nearest_distances(np.zeros((1, 2), np.int32), points)


@pytest.mark.parametrize("spacing", [1.0, (1.0,), (1.0, 0.0), (1.0, np.nan), (np.inf, 1), "ab"])
def test_a_spacing_is_two_lengths(spacing):
    with pytest.raises(UsageError, match="height and width of a pixel"):
        check_spacing(spacing)
