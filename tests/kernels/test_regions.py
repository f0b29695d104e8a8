from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference

NEIGHBOURS = {
    4: [(0, 1), (1, 0), (0, -1), (-1, 0)],
    8: [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x],
}


def flooded(labels, connectivity):
    """Region numbers by flood fill from each pixel in raster order."""
    height, width = labels.shape
    regions = np.full(labels.shape, -1)
    count = 0
    for start in np.ndindex(labels.shape):
        if regions[start] >= 0:
            continue
        regions[start] = count
        waiting = [start]
        while waiting:
            y, x = waiting.pop()
            for down, right in NEIGHBOURS[connectivity]:
                place = (y + down, x + right)
                inside = 0 <= place[0] < height and 0 <= place[1] < width
                if inside and regions[place] < 0 and labels[place] == labels[y, x]:
                    regions[place] = count
                    waiting.append(place)
        count += 1
    return regions


@st.composite
def label_pictures(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.tuples(st.integers(1, 30), st.integers(1, 30)))
    labels = rng.integers(0, draw(st.sampled_from([1, 2, 3, 6])), shape)
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    return (labels * (1 if dtype == np.uint8 else 257)).astype(dtype)


@pytest.mark.parametrize("module", [kernels, reference])
@settings(max_examples=40, deadline=None)
@given(labels=label_pictures(), connectivity=st.sampled_from([4, 8]))
def test_regions_are_those_of_a_flood_fill(module, labels, connectivity):
    regions = module.label_regions(labels, connectivity=connectivity)
    expected = flooded(labels, connectivity)
    np.testing.assert_array_equal(regions.components, expected)
    assert [array.dtype for array in (regions.components, regions.label, regions.area)] == [
        np.int32,
        np.uint16,
        np.int64,
    ]
    assert regions.box.dtype == np.int32
    assert regions.centroid.dtype == np.float64
    assert len(regions.area) == expected.max() + 1
    for n in range(len(regions.area)):
        y, x = np.nonzero(expected == n)
        assert regions.label[n] == labels[y[0], x[0]]
        assert regions.area[n] == len(x)
        assert regions.box[n].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
        assert regions.centroid[n].tolist() == [x.sum() / len(x), y.sum() / len(y)]


def test_a_single_region_has_the_picture_as_its_box():
    regions = kernels.label_regions(np.full((3, 7), 9, np.uint8))
    assert regions.label.tolist() == [9]
    assert regions.box.tolist() == [[0, 0, 7, 3]]
    assert regions.centroid.tolist() == [[3.0, 1.0]]
    assert not regions.components.any()


def test_a_diagonal_joins_at_8_and_not_at_4():
    labels = np.eye(6, dtype=np.uint8)
    assert len(kernels.label_regions(labels, connectivity=8).area) == 2
    assert len(kernels.label_regions(labels, connectivity=4).area) == 8


@pytest.mark.parametrize("module", [kernels, reference])
def test_a_spiral_is_one_region(module):
    labels = np.zeros((31, 31), np.uint8)
    for ring in range(0, 15, 2):
        labels[ring, max(0, ring - 1) : 31 - ring] = 1
        labels[ring : 31 - ring, 30 - ring] = 1
        labels[30 - ring, ring : 31 - ring] = 1
        labels[ring + 2 : 31 - ring, ring] = 1
    regions = module.label_regions(labels, connectivity=4)
    assert (regions.label == 1).sum() == 1


def test_a_chessboard_joins_by_colour_at_8():
    labels = (np.indices((20, 21)).sum(axis=0) % 2).astype(np.uint16)
    regions = kernels.label_regions(labels)
    assert regions.area.tolist() == [210, 210]
    assert len(kernels.label_regions(labels, connectivity=4).area) == 420


@pytest.mark.parametrize(
    "labels",
    [np.zeros((3, 3)), np.zeros((0, 3), np.uint8), np.zeros(3, np.uint8), np.zeros((3, 3), bool)],
)
def test_other_arrays_are_refused(labels):
    with pytest.raises(ArrayError, match="labels"):
        kernels.label_regions(labels)


@pytest.mark.parametrize("connectivity", [6, 0, "8", None])
def test_other_neighbourhoods_are_refused(connectivity):
    with pytest.raises(UsageError, match="connectivity"):
        kernels.label_regions(np.zeros((3, 3), np.uint8), connectivity=connectivity)


def test_a_picture_with_too_many_pixels_is_refused():
    labels = np.broadcast_to(np.zeros((), np.uint8), (1 << 16, 1 << 15))
    with pytest.raises(ArrayError, match="too many pixels"):
        kernels.label_regions(labels)
