from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import pixelwise as pw
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data import InstanceTarget
from pixelwise.data.borders import (
    BORDER,
    BORDER_CLASSES,
    INSIDE,
    OUTSIDE,
    borders_of,
    instances_from_borders,
    with_borders,
)
from pixelwise.errors import ArrayError, MaskFileError, UsageError

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("PIXELWISE_DATA") or ROOT.parent / "shared/data")
FEW = settings(max_examples=80, deadline=None)
SIDES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=14)
INSTANCES = arrays.arrays(np.int32, SIDES, elements=st.integers(0, 3))
LABELS = arrays.arrays(np.uint8, SIDES, elements=st.integers(0, 3))


def squares(*sides):
    """Squares that stand side by side and touch."""
    instances = np.zeros((max(sides) + 4, sum(sides) + 4), np.int32)
    left = 2
    for number, side in enumerate(sides, start=1):
        instances[2 : 2 + side, left : left + side] = number
        left += side
    return instances


def overlap(one, other):
    """For each object of the first the best intersection over union with one of the second."""
    pairs = one.astype(np.int64) * (other.max() + 1) + other
    counts = np.bincount(pairs.ravel(), minlength=(one.max() + 1) * (other.max() + 1))
    counts = counts.reshape(one.max() + 1, -1)
    unions = counts.sum(1, keepdims=True) + counts.sum(0, keepdims=True) - counts
    there = counts.sum(1)[1:] > 0
    if other.max() == 0:
        return np.zeros(there.sum())
    return (counts / np.maximum(unions, 1))[1:, 1:].max(1)[there]


@FEW
@given(INSTANCES, st.integers(1, 4))
def test_inside_and_border_are_the_objects(instances, width):
    labels = borders_of(instances, width=width)
    np.testing.assert_array_equal(labels != OUTSIDE, instances > 0)


@FEW
@given(INSTANCES, st.integers(1, 4))
def test_every_object_keeps_a_quarter_inside(instances, width):
    labels = borders_of(instances, width=width)
    for number in set(np.unique(instances)) - {0}:
        own = labels[instances == number]
        assert (own == INSIDE).sum() >= max(1, len(own) / 4)


@FEW
@given(INSTANCES, st.integers(1, 3))
def test_a_border_is_as_wide_as_it_may_be(instances, width):
    labels = borders_of(instances, width=width)
    height, across = instances.shape
    for number in set(np.unique(instances)) - {0}:
        own = instances == number
        kept = own
        for step in range(width, 0, -1):
            deep = np.array(
                [
                    [
                        (
                            own[max(0, y - step) : y + step + 1, max(0, x - step) : x + step + 1]
                        ).all()
                        for x in range(across)
                    ]
                    for y in range(height)
                ]
            )
            if deep.sum() >= max(1, own.sum() / 4):
                kept = deep
                break
        np.testing.assert_array_equal((labels == INSIDE) & own, kept)


def test_the_edge_of_the_picture_is_no_border():
    assert (borders_of(np.ones((5, 6), np.int32), width=3) == INSIDE).all()


def test_objects_that_touch_come_apart():
    for sides, least in (((9, 12, 9), 1), ((9, 7, 12, 3), 0.6)):
        instances = squares(*sides)
        found = instances_from_borders(borders_of(instances, width=2))
        assert found.max() == len(sides)
        assert overlap(instances, found).min() >= least


@FEW
@given(LABELS)
def test_objects_are_insides_and_the_borders_around_them(labels):
    instances = instances_from_borders(labels)
    assert (instances[labels == INSIDE] > 0).all()
    assert (instances[(labels != INSIDE) & (labels != BORDER)] == 0).all()
    numbers = np.unique(instances)
    np.testing.assert_array_equal(numbers[numbers > 0], np.arange(1, instances.max() + 1))


def test_borders_that_hang_on_no_inside_are_no_objects():
    labels = np.array([[1, 2, 2, 0, 2, 2]], np.uint8)
    np.testing.assert_array_equal(instances_from_borders(labels), [[1, 1, 1, 0, 0, 0]])


def test_a_border_goes_to_the_nearer_inside_and_then_to_the_first():
    labels = np.array([[1, 2, 2, 2, 2, 2, 1]], np.uint8)
    np.testing.assert_array_equal(instances_from_borders(labels), [[1, 1, 1, 1, 2, 2, 2]])


def test_a_long_border_takes_no_more_than_its_length():
    labels = np.zeros((400, 400), np.uint8)
    labels[::2] = BORDER
    labels[1::4, -1] = labels[3::4, 0] = BORDER
    labels[0, 0] = INSIDE
    np.testing.assert_array_equal(instances_from_borders(labels) == 1, labels > 0)


class Given:
    def __init__(self, target):
        self.target = target

    def read(self, *_):
        return self.target


@pytest.fixture
def nuclei():
    return pw.data.open(ROOT / "examples" / "nuclei")


def test_a_data_set_gets_three_classes(nuclei):
    dataset = with_borders(nuclei, width=1)
    assert dataset.classes is BORDER_CLASSES
    np.testing.assert_array_equal(dataset[0].mask, borders_of(nuclei[0].target.instances, width=1))


def test_what_is_ignored_stays_so_and_crowds_too(nuclei):
    table = ClassTable(
        "t",
        (ClassInfo(3, "grass", (0, 0, 0)), ClassInfo(4, "cow", (9, 0, 0), "thing")),
        77,
        "",
    )
    target = InstanceTarget(
        np.array([[3, 4, 4, 77, 77]], np.uint8), np.array([[0, 0, 2, 0, 2]], np.int32)
    )
    dataset = replace(nuclei, classes=table, truth=Given(target))
    mask = with_borders(dataset).truth.read(None, nuclei.entries[0], BORDER_CLASSES, (1, 5)).mask
    np.testing.assert_array_equal(mask, [[OUTSIDE, 255, INSIDE, 255, INSIDE]])


def test_masks_without_objects_are_refused(nuclei):
    flat = pw.data.open(ROOT / "examples" / "nuclei", kind="multi_class")
    with pytest.raises(MaskFileError, match="does not tell objects apart"):
        with_borders(flat)[0]


@pytest.mark.parametrize("width", [0, 65, 1.5])
def test_widths_have_limits(nuclei, width):
    with pytest.raises(UsageError):
        with_borders(nuclei, width=width)


@pytest.mark.parametrize("instances", [np.zeros((2, 2)), np.zeros(3, np.int32)])
def test_other_arrays_are_refused(instances):
    with pytest.raises(ArrayError, match="whole numbers"):
        borders_of(instances)


@pytest.mark.skipif(
    not (DATA / "dsb2018").is_dir(), reason="no dsb2018: set PIXELWISE_DATA to its folder"
)
def test_real_nuclei_come_apart():
    dataset = pw.data.open(DATA / "dsb2018")
    truths = [dataset[place].target.instances for place in range(0, len(dataset), 10)]
    found = [instances_from_borders(borders_of(truth)) for truth in truths]
    wanted = sum(len(np.unique(truth)) - 1 for truth in truths)
    assert sum(int(each.max()) for each in found) == pytest.approx(wanted, rel=0.03)
    matched = np.concatenate(
        [overlap(one, other) for one, other in zip(truths, found, strict=True)]
    )
    assert matched.mean() > 0.98


def test_insides_that_touch_at_a_corner_are_two():
    np.testing.assert_array_equal(
        instances_from_borders(np.array([[1, 0], [0, 1]], np.uint8)), [[1, 0], [0, 2]]
    )
