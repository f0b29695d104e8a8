from __future__ import annotations

import numpy as np

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.drawing import IGNORED, draw_labels, labels_of, object_borders
from pixelwise.data.targets import MultiClassTarget, MultiLabelTarget

RED, BLUE = (200, 0, 0), (0, 0, 220)
CLASSES = ClassTable("two", (ClassInfo(0, "red", RED), ClassInfo(7, "blue", BLUE)), 9, "")
IMAGE = np.full((20, 20, 3), 50, np.uint8)


def colours_in(drawn):
    return {tuple(map(int, pixel)) for pixel in drawn.reshape(-1, 3)}


def test_labels_are_ids_and_one_number_for_what_does_not_count():
    mask = np.array([[0, 7, 9]], np.uint8)
    np.testing.assert_array_equal(labels_of(MultiClassTarget(mask), CLASSES), [[0, 7, IGNORED]])


def test_of_several_classes_the_last_is_shown():
    layers = np.array([[[1, 1, 0, 1]], [[0, 1, 0, 1]]], np.bool_)
    target = MultiLabelTarget(layers, np.array([[0, 0, 0, 1]], np.bool_))
    np.testing.assert_array_equal(labels_of(target, CLASSES), [[0, 7, IGNORED, IGNORED]])


def test_colours_are_those_of_the_classes():
    drawn = draw_labels(IMAGE, np.full((20, 20), 7, np.uint16), CLASSES, opacity=1)
    assert colours_in(drawn) == {BLUE}


def test_what_is_ignored_is_striped_only():
    drawn = draw_labels(IMAGE, np.full((20, 20), IGNORED, np.uint16), CLASSES, opacity=0.5)
    assert colours_in(drawn) == {(96, 96, 100), (150, 150, 155)}


def test_what_is_to_stay_plain_stays():
    plain = np.zeros((20, 20), np.bool_)
    plain[:10] = True
    drawn = draw_labels(IMAGE, np.zeros((20, 20), np.uint16), CLASSES, opacity=1, plain=plain)
    assert colours_in(drawn[:10]) == {(50, 50, 50)}
    assert colours_in(drawn[10:]) == {RED}


def test_borders_lie_between_objects_only():
    instances = np.array([[0, 1, 1, 2, 0]], np.int32)
    np.testing.assert_array_equal(object_borders(instances), [[0, 0, 1, 0, 0]])
