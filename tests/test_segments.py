from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pixelwise import kernels, segments
from pixelwise.errors import UsageError
from pixelwise.formats.polygons import fill
from pixelwise.formats.rle import column_mask, unpack_counts
from pixelwise.formats.spacing import Spacing
from pixelwise.segments import boxes_of, class_summary, find_polygons, find_segments


@pytest.fixture
def labels():
    picture = np.zeros((20, 30), np.uint8)
    picture[2:10, 3:15] = 1
    picture[4:7, 6:9] = 0
    picture[12:14, 3:6] = 2
    picture[14:18, 6:7] = 2
    return picture


def found(labels, make_table, **options):
    confidence = np.where(labels == 1, np.float32(0.75), np.float32(0.5))
    return find_segments(labels, confidence, make_table(0, 1, 2), **{"min_area": 1} | options)


def test_segments_have_measures(labels, make_table):
    ground, block, *_ = found(labels, make_table)
    assert (ground.info.id, block.info.id) == (0, 1)
    assert block.confidence == 0.75
    assert block.orientation == pytest.approx(0, abs=0.02)
    assert block.perimeter > 2 * (11 + 7)
    assert block.box == (3, 2, 15, 10)


def test_polygons_filled_are_the_segment(labels, make_table):
    regions = kernels.label_regions(labels)
    for segment in found(labels, make_table):
        mask = np.zeros(labels.shape, np.bool_)
        for part in segment.polygons:
            assert part.info == segment.info
            own = fill([part.exterior, *part.holes], labels.shape)
            assert own.sum() == part.area
            assert not (mask & own).any()
            mask |= own
        y, x = np.nonzero(mask)
        number = regions.components[y[0], x[0]]
        np.testing.assert_array_equal(mask, regions.components == number)
        assert segment.area == mask.sum()


def test_a_region_that_hangs_together_at_a_corner_has_two_parts(labels, make_table):
    (hook,) = [part for part in found(labels, make_table) if part.info.id == 2]
    assert [part.area for part in hook.polygons] == [6, 4]
    np.testing.assert_array_equal(hook.contour, hook.polygons[0].exterior)
    assert hook.contour.tolist() == [[3, 12], [3, 14], [6, 14], [6, 12]]


def test_outlines_are_traced_once_and_only_when_asked(labels, make_table, monkeypatch):
    calls = []
    trace = kernels.trace_polygons

    def counted(*arguments, **options):
        calls.append(arguments)
        return trace(*arguments, **options)

    monkeypatch.setattr(segments.kernels, "trace_polygons", counted)
    all_segments = found(labels, make_table)
    assert not calls
    for segment in all_segments:
        assert segment.polygons
    assert len(calls) == 1


def test_segments_compare_by_what_they_are(labels, make_table):
    assert found(labels, make_table) == found(labels, make_table)
    assert "_outlines" not in repr(found(labels, make_table)[0])


def test_small_segments_are_left_out(labels, make_table):
    assert all(part.area >= 30 for part in found(labels, make_table, min_area=30))


def test_summary_of_a_class_lists_its_regions(labels, make_table):
    summary = class_summary("class 2", 10 / 600, found(labels, make_table))
    (region,) = summary["regions"]
    assert region["area"] == summary["area"] == 10
    assert set(region) >= {"orientation", "perimeter"}


def test_polygons_of_a_label_map_largest_first(labels, make_table):
    polygons = find_polygons(labels, make_table(0, 1, 2), tolerance=None, min_area=1)
    areas = [polygon.area for polygon in polygons]
    assert areas == sorted(areas, reverse=True)
    assert sum(areas) == labels.size
    (block,) = [polygon for polygon in polygons if polygon.info.id == 1]
    assert block.exterior.tolist() == [[3, 2], [3, 10], [15, 10], [15, 2]]
    assert [hole.tolist() for hole in block.holes] == [[[6, 4], [9, 4], [9, 7], [6, 7]]]
    large = find_polygons(labels, make_table(0, 1, 2), tolerance=2, min_area=9)
    assert [polygon.area for polygon in large] == [area for area in areas if area >= 9]


def test_masks_and_run_lengths_are_the_region(labels, make_table):
    whole = np.full(labels.shape, -1)
    for number, segment in enumerate(found(labels, make_table)):
        left, top, right, bottom = segment.box
        assert segment.mask.shape == (bottom - top, right - left)
        whole[top:bottom, left:right][segment.mask] = number
        np.testing.assert_array_equal(
            column_mask(unpack_counts(segment.rle["counts"]), labels.shape), whole == number
        )
    assert (whole >= 0).all()


@pytest.mark.parametrize(
    ("spacing", "square_millimetres", "said"),
    [
        (None, None, {}),
        ("px", None, {}),
        ("500µm", 0.25, {"area_mm2": 2.5}),
        ("2,3cm", 600, {"area_mm2": 6000}),
        (Spacing(0.5, 0.5, "m"), 250_000, {"area_m2": 2.5}),
        ("1km", 1e12, {"area_m2": 1e7}),
    ],
)
def test_areas_are_real_where_the_size_of_a_pixel_is_known(
    labels, make_table, spacing, square_millimetres, said
):
    parts = found(labels, make_table, spacing=spacing)
    (hook,) = [part for part in parts if part.info.id == 2]
    assert hook.area == 10
    if square_millimetres is None:
        assert (hook.area_mm2, hook.area_m2) == (None, None)
    else:
        assert hook.area_mm2 == pytest.approx(10 * square_millimetres)
        assert hook.area_m2 == pytest.approx(10 * square_millimetres / 1e6)
    assert hook.ground == pytest.approx(said)
    (entry,) = class_summary("class 2", 0.1, [hook])["regions"]
    assert {key: entry[key] for key in said} == hook.ground
    assert ("area_mm2" in entry) + ("area_m2" in entry) == len(said)


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({"min_area": 0}, "min_area=0"),
        ({"min_area": 1.5}, "min_area=1.5"),
        ({"spacing": "0mm"}, "0 × 0 mm"),
        ({"spacing": "nan mm"}, "nan mm"),
        ({"spacing": 0.5}, "spacing=0.5"),
    ],
)
def test_arguments_outside_their_range_are_refused(labels, make_table, options, got):
    with pytest.raises(UsageError) as caught:
        found(labels, make_table, **options)
    assert got in caught.value.got


def test_ignored_pixels_are_in_no_region(labels, make_table):
    classes = replace(make_table(0, 1, 2), ignore_index=255)
    labels[3:6, 4:7] = 255
    confidence = np.ones(labels.shape, np.float32)
    segments = find_segments(labels, confidence, classes, min_area=1)
    assert sum(segment.area for segment in segments) == (labels != 255).sum()
    assert {part.info.id for segment in segments for part in segment.polygons} == {0, 1, 2}
    polygons = find_polygons(labels, classes, tolerance=None, min_area=1)
    assert {part.info.id for part in polygons} == {0, 1, 2}


def test_boxes_are_those_of_a_detector(labels, make_table):
    classes = make_table(0, 1, 2)
    first = replace(classes.classes[0], name="background")
    classes = replace(classes, classes=(first, *classes.classes[1:]))
    confidence = np.where(labels == 1, np.float32(0.75), np.float32(0.5))
    segments = find_segments(labels, confidence, classes, min_area=1)
    boxes = boxes_of(segments, classes)
    assert (boxes.boxes.dtype, boxes.scores.dtype) == (np.float32, np.float32)
    assert boxes.boxes.tolist() == [[3, 2, 15, 10], [3, 12, 7, 18]]
    assert boxes.scores.tolist() == [0.75, 0.5]
    assert boxes.classes.tolist() == [1, 2]
    assert boxes_of([], classes).boxes.shape == (0, 4)
