from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference_metrics
from pixelwise.kernels.distances import check_spacing
from pixelwise.kernels.types import Contours


def made(points):
    """Contours of one class."""
    return Contours(np.array(points, np.int32), np.array([len(points)]))


SPACINGS = st.sampled_from([(1.0, 1.0), (0.7, 1.9), (3.3, 0.001), (1e-6, 1e6)])


@st.composite
def label_maps(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 30)), draw(st.integers(1, 100))
    block = draw(st.sampled_from([1, 5, 17, 70]))
    coarse = rng.integers(0, draw(st.sampled_from([1, 2, 9])), (height, width))
    labels = coarse[np.arange(height)[:, None] // block, np.arange(width) // block]
    return labels.astype(draw(st.sampled_from([np.uint8, np.uint16])))


@st.composite
def contour_pairs(draw):
    """Pixels of some classes in no order; a class may have none."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    shift, classes = draw(st.sampled_from([0, 1000])), draw(st.integers(1, 3))
    return [
        Contours((rng.random((counts.sum(), 2)) * (height, width) + shift).astype(np.int32), counts)
        for counts in rng.integers(0, 30, (2, classes))
    ]


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


@settings(max_examples=40)
@given(label_maps(), st.sampled_from([1, 2, 9, 300]))
def test_contours_are_what_has_another_neighbour(labels, classes):
    wide = np.pad(labels.astype(int), 1, constant_values=-1)
    expected = [[] for _ in range(classes)]
    for y, x in np.ndindex(labels.shape):
        neighbours = (wide[y, x + 1], wide[y + 2, x + 1], wide[y + 1, x], wide[y + 1, x + 2])
        if labels[y, x] < classes and any(id_ != labels[y, x] for id_ in neighbours):
            expected[labels[y, x]].append([y, x])
    for function in (kernels.contour_points, reference_metrics.contour_points):
        found = function(labels, classes)
        assert found.counts.tolist() == [len(points) for points in expected]
        assert found.points.dtype == np.int32
        assert found.points.tolist() == [point for points in expected for point in points]


@pytest.mark.skipif(not kernels.COMPILED, reason="the variants are compiled")
@settings(max_examples=40)
@given(label_maps(), st.integers(1, 9), contour_pairs(), SPACINGS)
def test_all_variants_give_the_same_bits(labels, distance, pair, spacing):
    from pixelwise.kernels import _native

    expected = kernels.near_borders(labels, distance, fill=7)
    apart = kernels.contour_distances(*pair, spacing=spacing)
    for variant in _native.variants():
        if 2 * distance < min(labels.shape):
            out = np.empty_like(labels)
            _native.near_borders(labels, distance, 7, out, variant)
            np.testing.assert_array_equal(out, expected)
        found = _native.contour_points(labels, 9, variant)
        expected_contours = kernels.contour_points(labels, 9)
        np.testing.assert_array_equal(found[0], expected_contours.points)
        np.testing.assert_array_equal(found[1], expected_contours.counts)
        squares = np.full(len(apart), np.inf)
        lines = [array for contours in pair for array in (contours.points, contours.counts)]
        _native.nearest_squares(*lines, *spacing, squares, variant)
        np.testing.assert_array_equal(np.sqrt(squares), apart)


@settings(max_examples=50)
@given(contour_pairs(), SPACINGS)
def test_distances_are_those_of_all_pairs(pair, spacing):
    contours, others = pair
    expected = []
    for points, of_other in zip(contours.by_class(), others.by_class(), strict=True):
        offsets = (points[:, None].astype(float) - of_other[None]) * spacing
        expected += np.sqrt((offsets**2).sum(2).min(1, initial=np.inf)).tolist()
    found = kernels.contour_distances(contours, others, spacing=spacing)
    np.testing.assert_allclose(found, expected, rtol=1e-15)
    twin = reference_metrics.contour_distances(contours, others, spacing=spacing)
    np.testing.assert_array_equal(found, twin)


DISTANCES = st.one_of(
    st.floats(0, 90), st.integers(0, 90), st.integers(0, 5000).map(lambda square: square**0.5)
)


@settings(max_examples=100)
@given(contour_pairs(), DISTANCES)
def test_near_is_what_is_not_further_than_the_distance(pair, distance):
    expected = kernels.contour_distances(*pair) <= distance
    np.testing.assert_array_equal(kernels.contours_near(*pair, distance), expected)
    np.testing.assert_array_equal(reference_metrics.contours_near(*pair, distance), expected)


@pytest.mark.parametrize("distance", [-1, np.nan, 2.0**25, "3"])
def test_near_refuses_what_is_no_distance(distance):
    with pytest.raises(UsageError, match="distance is a number of pixels"):
        kernels.contours_near(made([[0, 0]]), made([[0, 0]]), distance)


def test_pictures_higher_than_16_bits_are_measured():
    contours = made([[70_000, 3], [0, 0]])
    others = made([[70_000, 0], [66_000, 2]])
    assert kernels.contour_distances(contours, others).tolist() == [3, np.hypot(66_000, 2)]


@pytest.mark.parametrize(
    ("distance", "fill", "said"), [(0, 1, "distance"), (1.5, 1, "distance"), (1, 256, "fill")]
)
def test_borders_refuse_what_they_cannot_take(distance, fill, said):
    with pytest.raises(UsageError, match=said):
        kernels.near_borders(np.zeros((3, 3), np.uint8), distance, fill=fill)


def test_borders_refuse_other_arrays():
    with pytest.raises(ArrayError, match="labels has the wrong type"):
        kernels.near_borders(np.zeros((3, 3)), 1, fill=1)
    with pytest.raises(ArrayError, match="labels has the wrong shape"):
        kernels.contour_points(np.zeros(3, np.uint8), 1)
    with pytest.raises(UsageError, match="classes"):
        kernels.contour_points(np.zeros((3, 3), np.uint8), 0)


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (Contours(np.zeros((1, 2), np.int64), np.array([1])), "wrong type"),
        (Contours(np.zeros((1, 2), np.int32), np.array([1], np.int32)), "wrong type"),
        (Contours(np.zeros((1, 3), np.int32), np.array([1])), "wrong shape"),
        (Contours(np.zeros((1, 2), np.int32), np.array([2])), "wrong shape"),
        (Contours(np.zeros((1, 2), np.int32), np.array([2, -1])), "wrong shape"),
        (Contours(np.zeros((0, 2), np.int32), np.zeros(0, np.int64)), "wrong shape"),
        (made([[0, -1]]), "outside every picture"),
        (made([[2**24, 0]]), "outside every picture"),
        (Contours(np.zeros((1, 2), np.int32), np.array([1, 0])), "different classes"),
    ],
)
def test_distances_refuse_other_contours(others, said):
    with pytest.raises(ArrayError, match=said):
        kernels.contour_distances(made([[0, 0]]), others)
    with pytest.raises(ArrayError, match=said):
        kernels.contours_near(made([[0, 0]]), others, 1)


@pytest.mark.skipif(not kernels.COMPILED, reason="the guards are compiled")
def test_the_compiled_loops_guard_their_memory():
    from pixelwise.kernels import _native

    labels, points, counts = np.zeros((3, 3), np.uint8), np.zeros((2, 2), np.int32), np.array([2])
    for call in (
        lambda: _native.near_borders(labels, 2, 1, labels.copy()),
        lambda: _native.near_borders(labels, 1, 256, labels.copy()),
        lambda: _native.near_borders(labels, 1, 1, np.zeros((3, 4), np.uint8)),
        lambda: _native.near_borders(labels, 1, 1, labels),
        lambda: _native.contour_points(labels, 0),
        lambda: _native.nearest_squares(points, counts + 1, points, counts, 1, 1, np.zeros(2)),
        lambda: _native.nearest_squares(points, counts, points - 1, counts, 1, 1, np.zeros(2)),
        lambda: _native.nearest_squares(points, counts, points, counts, 1, 1, np.zeros(3)),
        lambda: _native.nearest_squares(points, counts, points, counts, 0, 1, np.zeros(2)),
    ):
        with pytest.raises(ValueError, match=r"\w"):
            call()


@pytest.mark.parametrize("spacing", [1.0, (1.0,), (1.0, 0.0), (1.0, np.nan), (np.inf, 1), "ab"])
def test_a_spacing_is_two_lengths(spacing):
    with pytest.raises(UsageError, match="height and width of a pixel"):
        check_spacing(spacing)
