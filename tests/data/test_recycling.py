from __future__ import annotations

import numpy as np
import pytest
import torch

from pixelwise.data.recycling import Recycler


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_when_nobody_holds_it():
    recycler = Recycler()
    first = recycler.empty((4, 1000), np.float32)
    assert first.shape == (4, 1000)
    assert first.dtype == np.float32
    first[:] = 1
    place = address(first)
    del first
    second = recycler.empty((1000, 2, 2), np.int32)
    assert address(second) == place
    assert not np.shares_memory(second, recycler.empty((4, 1000), np.float32))


@pytest.mark.parametrize(
    "hold",
    [
        lambda array: array,
        lambda array: array[1],
        lambda array: array[1:, ::2].T.reshape(-1, 2)[::3],
        lambda array: array.view(np.uint8)[:, 3:],
        lambda array: torch.from_numpy(array)[1, 5:].numpy(),
        memoryview,
    ],
)
def test_memory_that_anybody_holds_is_left_alone(hold):
    recycler = Recycler()
    first = recycler.empty((4, 1000), np.float32)
    first[:] = 7
    held = hold(first)
    before = np.array(held, copy=True)
    del first
    for _ in range(3):
        other = recycler.empty((4, 1000), np.float32)
        other[:] = 0
        assert not np.shares_memory(other, np.asarray(held))
    np.testing.assert_array_equal(np.asarray(held), before)


def test_arrays_of_nothing_are_fine():
    assert Recycler().empty((0, 3), np.float32).shape == (0, 3)
