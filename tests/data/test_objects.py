"""Objects painted into targets, and found again in them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.objects import AnnotatedObject, objects_of, paint
from pixelwise.data.shapes import Pixels
from pixelwise.data.targets import InstanceTarget, MultiClassTarget, MultiLabelTarget

SIZE = (6, 8)
CLASSES = ClassTable(
    "toy",
    (
        ClassInfo(0, "background", (0, 0, 0)),
        ClassInfo(1, "car", (255, 0, 0), "thing"),
        ClassInfo(2, "cat", (0, 255, 0), "thing"),
        ClassInfo(7, "sky", (0, 0, 255)),
    ),
    255,
    "made for a test",
)
IDS = st.sampled_from([0, 1, 2, 7, 255])
SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=9)


def box(top, left, bottom, right):
    return Pixels(np.ones((bottom - top, right - left), np.bool_), top, left)


def painted(*objects, kind=None, uncovered=0):
    return paint(objects, CLASSES, SIZE, uncovered=uncovered, kind=kind)


@given(arrays(np.uint8, SHAPES, elements=IDS), st.sampled_from([0, 7, 255]))
def test_classes_come_back(mask, uncovered):
    objects = objects_of(MultiClassTarget(mask), CLASSES, uncovered=uncovered)
    again = paint(objects, CLASSES, mask.shape, uncovered=uncovered, kind="multi_class")
    np.testing.assert_array_equal(again.mask, mask)
    assert again.mask.dtype == np.uint8


@given(st.data(), SHAPES, st.sampled_from([0, 255]))
def test_instances_come_back(data, shape, uncovered):
    mask = data.draw(arrays(np.uint8, shape, elements=IDS))
    numbers = data.draw(arrays(np.int32, shape, elements=st.sampled_from([0, 1, 2, 70_000])))
    target = InstanceTarget(mask, np.where(np.isin(mask, (1, 2)), numbers, 0).astype(np.int32))
    objects = objects_of(target, CLASSES, uncovered=uncovered)
    again = paint(objects, CLASSES, shape, uncovered=uncovered)
    np.testing.assert_array_equal(again.mask, target.mask)
    np.testing.assert_array_equal(again.instances, target.instances)


@given(st.data(), SHAPES, st.sampled_from([0, 255]))
def test_layers_come_back(data, shape, uncovered):
    layers = data.draw(arrays(np.bool_, (4, *shape)))
    ignore = data.draw(arrays(np.bool_, shape))
    bare = ~(layers.any(axis=0) | ignore)
    layers[0] |= bare & (uncovered == 0)
    ignore |= bare & (uncovered == 255)
    objects = objects_of(MultiLabelTarget(layers, ignore), CLASSES, uncovered=uncovered)
    again = paint(objects, CLASSES, shape, uncovered=uncovered, kind="multi_label")
    np.testing.assert_array_equal(again.layers, layers)
    np.testing.assert_array_equal(again.ignore, ignore)


def test_smaller_objects_stay_visible():
    small, large = box(1, 1, 3, 3), box(0, 0, 5, 5)
    for order in ((small, large), (large, small)):
        things = [
            AnnotatedObject(1 if shape is small else 2, shape, instance=place)
            for place, shape in enumerate(order, 1)
        ]
        assert painted(*things).mask[1, 1] == 1


def test_of_equal_objects_the_later_is_seen():
    first, second = (AnnotatedObject(number, box(0, 0, 2, 2)) for number in (1, 2))
    assert painted(first, second).mask[0, 0] == 2
    assert painted(second, first).mask[0, 0] == 1


def test_higher_layers_hide_lower_ones_whatever_their_size():
    above = AnnotatedObject(1, box(0, 0, 6, 8), layer=1)
    below = AnnotatedObject(2, box(0, 0, 2, 2))
    assert (painted(above, below).mask == 1).all()


def test_crowds_have_a_class_but_no_number_and_lie_lowest():
    crowd = AnnotatedObject(1, box(0, 0, 2, 2), crowd=True, instance=3)
    single = AnnotatedObject(1, box(0, 0, 4, 2), instance=1)
    assert (painted(crowd, single).instances[:4, :2] == 1).all()
    alone = painted(crowd)
    assert alone.mask[0, 0] == 1
    assert not alone.instances.any()


def test_uncovered_pixels_are_what_is_said():
    assert (painted().mask == 0).all()
    assert (painted(uncovered=255).mask == 255).all()
    assert painted(kind="multi_label").layers[0].all()
    assert painted(kind="multi_label", uncovered=255).ignore.all()


def test_layers_keep_overlaps():
    target = painted(
        AnnotatedObject(1, box(0, 0, 4, 4)),
        AnnotatedObject(7, box(2, 2, 6, 6)),
        AnnotatedObject(255, box(5, 7, 6, 8)),
        kind="multi_label",
    )
    assert target.layers[[1, 3], 3, 3].all()
    assert not target.layers[0, 3, 3]
    assert target.ignore[5, 7]
    assert not target.layers[:, 5, 7].any()


def test_high_ids_need_two_bytes():
    wide = ClassTable("wide", (ClassInfo(300, "a", (1, 2, 3)),), None, "")
    assert paint([], wide, (2, 2), uncovered=300).mask.dtype == np.uint16
    ignored = ClassTable("wide", (ClassInfo(3, "a", (1, 2, 3)),), 65_535, "")
    assert (paint([], ignored, (2, 2), uncovered=65_535).mask == 65_535).all()


def test_single_pixels_of_things_are_crowds_only_where_instances_are_known():
    mask = np.array([[1, 7]], np.uint8)
    with_numbers = InstanceTarget(mask, np.zeros((1, 2), np.int32))
    assert [thing.crowd for thing in objects_of(with_numbers, CLASSES, uncovered=0)] == [
        True,
        False,
    ]
    plain = objects_of(MultiClassTarget(mask), CLASSES, uncovered=0)
    assert [thing.crowd for thing in plain] == [False, False]
