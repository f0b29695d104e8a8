from __future__ import annotations

import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import region_measures as door


def twin(labels, values, **options):
    with mock.patch.object(door, "COMPILED", False):
        return kernels.measure_regions(labels, values, **options)


WAYS = {"compiled": kernels.measure_regions, "twin": twin}


def measured(way, labels):
    return WAYS[way](labels, np.ones(labels.shape, np.float32))


def perimeter_of(mask):
    """By the definition: weights of 1, 2 and 10 around each border pixel, and a length for sums."""
    padded = np.pad(mask, 1)
    inside = padded.copy()
    for axis in (0, 1):
        inside &= np.roll(padded, 1, axis) & np.roll(padded, -1, axis)
    border = (padded & ~inside).astype(int)
    sums = np.zeros_like(border)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            weight = (1, 2, 10)[abs(down) + abs(right)]
            sums += weight * np.roll(border, (down, right), (0, 1))
    lengths = dict.fromkeys((5, 7, 15, 17, 25, 27), 1.0)
    lengths |= dict.fromkeys((21, 33), math.sqrt(2))
    lengths |= dict.fromkeys((13, 23), (1 + math.sqrt(2)) / 2)
    return sum(lengths.get(int(value), 0.0) for value in sums[border == 1])


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    block=st.integers(1, 4),
    connectivity=st.sampled_from([4, 8]),
)
def test_measures_are_those_of_each_mask(way, seed, shape, block, connectivity):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, shape).astype(np.uint8)
    labels = np.repeat(np.repeat(labels, block, axis=0), block, axis=1)[: shape[0], : shape[1]]
    values = random.random(labels.shape).astype(np.float32)
    found = WAYS[way](labels, values, connectivity=connectivity)
    regions = kernels.label_regions(labels, connectivity=connectivity)
    np.testing.assert_array_equal(found.regions.components, regions.components)
    for n in range(len(regions.area)):
        mask = regions.components == n
        y, x = np.nonzero(mask)
        expected = np.cov(np.stack([x, y]), bias=True).reshape(2, 2)
        got = found.covariance[n]
        np.testing.assert_allclose(got, [expected[0, 0], expected[0, 1], expected[1, 1]], atol=1e-9)
        assert found.perimeter[n] == pytest.approx(perimeter_of(mask))
        assert found.mean[n] == pytest.approx(values[mask].mean(dtype=np.float64))


@pytest.mark.parametrize("way", WAYS)
def test_a_rectangle_has_the_moments_of_one(way):
    labels = np.zeros((40, 50), np.uint8)
    labels[5:12, 10:41] = 1
    found = measured(way, labels)
    assert found.covariance[1].tolist() == [(31**2 - 1) / 12, 0, (7**2 - 1) / 12]
    assert found.perimeter[1] == 2 * (30 + 6)
    assert found.orientation()[1] == 0
    assert measured(way, labels.T.copy()).orientation()[1] == pytest.approx(math.pi / 2)


@pytest.mark.parametrize("way", WAYS)
def test_orientation_turns_counter_clockwise_as_seen(way):
    falling = np.eye(9, dtype=np.uint8)
    labels = falling * 1
    assert measured(way, labels).orientation()[labels[0, 0] - 1] == pytest.approx(-math.pi / 4)
    rising = falling[:, ::-1].copy()
    found = measured(way, rising)
    (line,) = np.flatnonzero(found.regions.label == 1)
    assert found.orientation()[line] == pytest.approx(math.pi / 4)
    for degrees in (10, 35, 80):
        y, x = np.indices((201, 201)) - 100
        angle = math.radians(degrees)
        along = x * math.cos(angle) - y * math.sin(angle)
        across = x * math.sin(angle) + y * math.cos(angle)
        labels = ((along / 80) ** 2 + (across / 20) ** 2 <= 1).astype(np.uint8)
        found = measured(way, labels)
        (ellipse,) = np.flatnonzero(found.regions.label == 1)
        assert math.degrees(found.orientation()[ellipse]) == pytest.approx(degrees, abs=0.3)


@pytest.mark.parametrize("way", WAYS)
def test_the_perimeter_of_a_disk_is_some_percent_long(way):
    y, x = np.indices((121, 121)) - 60
    labels = (x * x + y * y <= 50**2).astype(np.uint8)
    assert measured(way, labels).perimeter[1] / (2 * math.pi * 50) == pytest.approx(1.05, abs=0.01)


def test_far_from_the_origin_small_regions_keep_their_digits():
    labels = np.zeros((3, 200_000), np.uint8)
    labels[1, -5:-2] = 1
    found = measured("compiled", labels)
    assert found.covariance[1] == pytest.approx([2 / 3, 0, 0], abs=1e-15)


def test_other_arguments_are_refused():
    labels = np.zeros((3, 4), np.uint8)
    values = np.zeros((3, 4), np.float32)
    with pytest.raises(ArrayError, match="labels"):
        kernels.measure_regions(labels.astype(np.int32), values)
    with pytest.raises(ArrayError, match="values"):
        kernels.measure_regions(labels, values.astype(np.float64))
    with pytest.raises(ArrayError, match="differ in size"):
        kernels.measure_regions(labels, values[:2])
    with pytest.raises(UsageError, match="connectivity"):
        kernels.measure_regions(labels, values, connectivity=6)
