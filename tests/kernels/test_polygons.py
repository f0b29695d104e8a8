from __future__ import annotations

from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.formats.polygons import fill, signed_area
from pixelwise.kernels import polygons as door

FIELDS = ("points", "rings", "polygons", "label", "area", "first")


def twin(labels, **options):
    with mock.patch.object(door, "COMPILED", False):
        return kernels.trace_polygons(labels, **options)


WAYS = {"compiled": kernels.trace_polygons, "twin": twin}


@st.composite
def label_maps(draw, most=14):
    """Noise of few or many labels, in blocks of pixels or pixel by pixel, of each type."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.uint8, np.uint16, np.int32]))
    shape = draw(st.tuples(st.integers(1, most), st.integers(1, most)))
    values = np.array(
        [0, 1, 200, 7, np.iinfo(dtype).max, np.iinfo(dtype).min][: draw(st.integers(1, 6))]
    )
    labels = random.choice(values, shape).astype(dtype)
    block = draw(st.integers(1, 3))
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


tolerances = st.sampled_from([None, 0, 0.8, 1, 2.5, 20])


def assert_equal(one, other):
    for name in FIELDS:
        first, second = getattr(one, name), getattr(other, name)
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second, err_msg=name)


@settings(max_examples=50)
@given(labels=label_maps(), tolerance=tolerances, ignore=st.sampled_from([None, 1]))
def test_the_twin_gives_the_same(labels, tolerance, ignore):
    random = np.random.default_rng(0)
    options = {
        "tolerance": tolerance,
        "ignore": ignore,
        "weights": random.random(len(labels)),
        "values": random.random(labels.shape).astype(np.float32),
    }
    ours, theirs = kernels.trace_polygons(labels, **options), twin(labels, **options)
    assert_equal(ours, theirs)
    np.testing.assert_allclose(ours.weighted_area, theirs.weighted_area, rtol=1e-12)
    np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-12)


@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(2, 5),
    tolerance=st.sampled_from([1, 3, 9]),
)
def test_the_twin_gives_the_same_of_winding_borders(seed, classes, tolerance):
    labels = smooth_map(np.random.default_rng(seed), (40, 50), classes)
    options = {"tolerance": tolerance}
    assert_equal(kernels.trace_polygons(labels, **options), twin(labels, **options))


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=25)
@given(labels=label_maps(), ignore=st.sampled_from([None, 1]))
def test_filled_they_give_the_regions_back(way, labels, ignore):
    traced = WAYS[way](labels, ignore=ignore)
    distinct = np.searchsorted(np.unique(labels), labels).astype(np.uint8)
    regions = kernels.label_regions(distinct, connectivity=4)
    painted = np.full(labels.shape, -1)
    for index in range(len(traced)):
        exterior, *holes = traced.rings_of(index)
        assert signed_area(exterior) < 0
        assert all(signed_area(hole) > 0 for hole in holes)
        mask = fill([exterior, *holes], labels.shape)
        x, y = traced.first[index]
        number = regions.components[y, x]
        np.testing.assert_array_equal(mask, regions.components == number)
        assert traced.area[index] == regions.area[number] == mask.sum()
        assert traced.label[index] == labels[y, x]
        assert (painted[mask] == -1).all()
        painted[mask] = index
    np.testing.assert_array_equal(painted == -1, labels == ignore if ignore else painted == -2)
    order = [tuple(place) for place in traced.first[:, ::-1].tolist()]
    assert order == sorted(order)


@pytest.mark.parametrize("way", WAYS)
def test_rings_start_at_the_top_and_have_corners_alone(way):
    labels = np.zeros((5, 6), np.uint8)
    labels[1:4, 1:5] = 1
    labels[2, 2:4] = 0
    traced = WAYS[way](labels)
    assert traced.label.tolist() == [0, 1, 0]
    assert [len(traced.rings_of(n)) for n in range(3)] == [2, 2, 1]
    frame, hole = traced.rings_of(1)
    assert frame.tolist() == [[1, 1], [1, 4], [5, 4], [5, 1]]
    assert hole.tolist() == [[2, 2], [4, 2], [4, 3], [2, 3]]
    np.testing.assert_array_equal(traced.rings_of(0)[1], frame[[0, 3, 2, 1]])
    assert traced.mean is None
    assert traced.weighted_area.tolist() == [18, 10, 2]


@pytest.mark.parametrize("way", WAYS)
def test_a_region_that_touches_itself_at_a_corner_has_rings_that_do_not(way):
    labels = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 1]], np.uint8)
    traced = WAYS[way](labels)
    exterior, hole = traced.rings_of(0)
    assert exterior.tolist() == [[0, 0], [0, 3], [3, 3], [3, 1], [2, 1], [2, 0]]
    assert hole.tolist() == [[1, 1], [2, 1], [2, 2], [1, 2]]


def test_points_where_regions_meet_stay_with_a_tolerance_of_0():
    labels = np.array([[1, 2], [3, 3]], np.uint8)
    assert len(kernels.trace_polygons(labels).rings_of(2)[0]) == 4
    assert [1, 1] in kernels.trace_polygons(labels, tolerance=0).rings_of(2)[0].tolist()


@pytest.mark.parametrize("way", WAYS)
def test_the_steps_of_an_oblique_border_become_straight(way):
    labels = (np.arange(40)[:, None] > np.arange(40)).astype(np.uint8)
    upper, lower = (WAYS[way](labels, tolerance=1).rings_of(n)[0] for n in (0, 1))
    assert len(upper) <= 5
    assert len(lower) <= 5


@pytest.mark.parametrize("way", WAYS)
def test_small_regions_and_thin_ones_stay(way):
    labels = np.zeros((9, 9), np.uint8)
    labels[4, 1:8] = 1
    labels[2, 2] = 2
    labels[6, 2], labels[7, 3] = 3, 3
    traced = WAYS[way](labels, tolerance=100)
    assert sorted(traced.label.tolist()) == [0, 1, 2, 3, 3]
    assert all(signed_area(traced.rings_of(n)[0]) < 0 for n in range(len(traced)))


def gathered(labels, cuts, **options):
    stream = kernels.PolygonStream(labels.shape[1], **options)
    edges = [0, *sorted(cuts), len(labels)]
    parts = [stream.add(labels[a:b]) for a, b in pairwise(edges) if a < b]
    parts.append(stream.finish())
    assert stream.held == 0
    found = [
        (int(part.label[n]), int(part.area[n]), [ring.tolist() for ring in part.rings_of(n)])
        for part in parts
        for n in range(len(part))
    ]
    return found, parts


@settings(max_examples=50)
@given(labels=label_maps(), tolerance=tolerances, cuts=st.lists(st.integers(1, 42), max_size=4))
def test_stripes_give_what_the_whole_gives(labels, tolerance, cuts):
    cuts = [cut for cut in cuts if cut < len(labels)]
    striped, _ = gathered(labels, cuts, tolerance=tolerance)
    whole, _ = gathered(labels, [], tolerance=tolerance)
    assert striped == whole
    at_once = kernels.trace_polygons(labels, tolerance=tolerance)
    assert sorted(ring for _, _, ring in striped) == sorted(
        [ring.tolist() for ring in at_once.rings_of(n)] for n in range(len(at_once))
    )


@pytest.mark.parametrize("share", [0.03, 0.41, 0.59, 0.9])
@pytest.mark.parametrize("ignore", [None, 0, 1])
def test_a_map_without_weights_takes_another_way_to_the_same(share, ignore):
    """Holes in holes, rings that touch themselves, and many holes along one border."""
    labels = (np.random.default_rng(7).random((90, 131)) < share).astype(np.int32)
    faster = kernels.trace_polygons(labels, ignore=ignore)
    by_rows = kernels.trace_polygons(labels, ignore=ignore, weights=np.ones(90))
    assert_equal(faster, by_rows)
    np.testing.assert_array_equal(faster.weighted_area, by_rows.weighted_area)


def test_stripes_of_a_high_raster_give_what_the_whole_gives():
    random = np.random.default_rng(3)
    labels = np.repeat(np.repeat(random.integers(0, 3, (280, 6), np.uint8), 4, axis=0), 3, axis=1)
    for tolerance in (None, 1.5):
        whole, _ = gathered(labels, [], tolerance=tolerance)
        striped, parts = gathered(labels, range(7, 1120, 7), tolerance=tolerance)
        assert striped == whole
        assert len(parts[-1]) < len(whole) / 2
    assert_equal(kernels.trace_polygons(labels, tolerance=1.5), twin(labels, tolerance=1.5))


@pytest.mark.parametrize("way", WAYS)
def test_a_region_on_the_edge_of_two_bands_keeps_an_area(way):
    labels = np.zeros((600, 12), np.uint8)
    labels[511:513, 3:9] = 1
    labels[510:512, 10:] = 2
    traced = WAYS[way](labels, tolerance=50)
    assert traced.label.tolist() == [0, 2, 1]
    assert all(signed_area(traced.rings_of(n)[0]) < 0 for n in range(3))


def test_what_is_whole_leaves_memory():
    stripe = np.zeros((10, 300), np.uint8)
    stripe[2:5, 10::20] = 1
    stripe[6:9, 5] = 2
    for tolerance, rows in ((None, 10), (1, 520)):
        stream = kernels.PolygonStream(300, ignore=0, tolerance=tolerance)
        held = []
        for _ in range(200):
            stream.add(stripe)
            held.append(stream.held)
        assert max(held) <= rows / 10 * 70
        assert held[-1] < max(held) + 1


def test_weights_and_values_belong_to_rows_and_pixels():
    labels = np.array([[1, 1], [1, 2], [2, 2]], np.uint8)
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    stream = kernels.PolygonStream(2)
    weights = np.array([1.0, 10.0, 100.0])
    first = stream.add(labels[:2], weights=weights[:2], values=values[:2])
    last = stream.add(labels[2:], weights=weights[2:], values=values[2:])
    end = stream.finish()
    assert (len(first), last.weighted_area.tolist(), last.mean.tolist()) == (0, [12.0], [1.0])
    assert (end.weighted_area.tolist(), end.mean.tolist()) == ([210.0], [4.0])


def test_nothing_but_ignored_pixels_and_no_rows_at_all_give_no_polygons():
    for way in WAYS.values():
        assert len(way(np.full((4, 5), 9, np.uint8), ignore=9)) == 0
    empty = kernels.PolygonStream(5).finish()
    assert (len(empty), empty.points.shape) == (0, (0, 2))


def test_more_rows_than_can_be_counted_are_refused():
    labels = np.broadcast_to(np.zeros((1, 1), np.uint8), (2**31, 1))
    with pytest.raises(ArrayError, match="more rows than can be counted"):
        kernels.trace_polygons(labels)


def test_other_arguments_are_refused():
    labels = np.zeros((3, 4), np.uint8)
    for wrong in (labels.astype(float), labels[0], labels[:0], labels.astype(np.int64), "labels"):
        with pytest.raises(ArrayError, match="labels"):
            kernels.trace_polygons(wrong)
    for tolerance in (-1, float("nan"), float("inf"), "1"):
        with pytest.raises(UsageError, match="tolerance"):
            kernels.trace_polygons(labels, tolerance=tolerance)
    for ignore in (2**31, 1.5, "0"):
        with pytest.raises(UsageError, match="ignore"):
            kernels.trace_polygons(labels, ignore=ignore)
    with pytest.raises(ArrayError, match="weights"):
        kernels.trace_polygons(labels, weights=np.ones(4))
    with pytest.raises(ArrayError, match="weights"):
        kernels.trace_polygons(labels, weights=np.ones(3, np.float32))
    with pytest.raises(ArrayError, match="values"):
        kernels.trace_polygons(labels, values=np.ones((3, 3), np.float32))
    with pytest.raises(UsageError, match="width"):
        kernels.PolygonStream(0)
    stream = kernels.PolygonStream(4)
    stream.add(labels)
    with pytest.raises(ArrayError, match="another width"):
        stream.add(labels[:, :3])
    with pytest.raises(ArrayError, match="some stripes have values"):
        stream.add(labels, values=np.ones((3, 4), np.float32))
    stream.finish()
    with pytest.raises(UsageError, match="is finished"):
        stream.add(labels)
    assert len(stream.finish()) == 0
