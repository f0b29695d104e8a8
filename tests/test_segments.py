from __future__ import annotations

import numpy as np
import pytest

from pixelwise import kernels, segments
from pixelwise.formats.polygons import fill
from pixelwise.segments import class_summary, find_polygons, find_segments


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
