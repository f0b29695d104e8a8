from __future__ import annotations

import numpy as np
import pytest

from pixelwise.classes import ClassTable
from pixelwise.data.targets import InstanceTarget, MultiClassTarget, MultiLabelTarget, layers_of
from pixelwise.errors import ArrayError

MASK = np.array([[0, 1], [10, 11]], np.uint8)


def test_sizes_are_height_and_width():
    mask = np.zeros((2, 3), np.uint8)
    assert MultiClassTarget(mask).size == (2, 3)
    assert InstanceTarget(mask, np.zeros((2, 3), np.int32)).size == (2, 3)
    layers = np.zeros((5, 2, 3), np.bool_)
    assert MultiLabelTarget(layers, np.zeros((2, 3), np.bool_)).size == (2, 3)


def test_layers_of_a_mask_are_one_where_the_class_is():
    classes = ClassTable.builtin("camvid")
    target = layers_of(MASK, classes)
    assert target.layers.shape == (11, 2, 2)
    for place, number in enumerate(classes.ids):
        np.testing.assert_array_equal(target.layers[place], number == MASK)
    np.testing.assert_array_equal(target.ignore, MASK == 11)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MultiClassTarget(MASK.astype(np.int64)),
        lambda: MultiClassTarget(MASK[None]),
        lambda: InstanceTarget(MASK, MASK),
        lambda: InstanceTarget(MASK, np.zeros((3, 2), np.int32)),
        lambda: MultiLabelTarget(MASK[None], MASK > 0),
        lambda: MultiLabelTarget(np.zeros((1, 3, 2), np.bool_), MASK > 0),
    ],
)
def test_other_arrays_are_refused(make):
    with pytest.raises(ArrayError):
        make()
