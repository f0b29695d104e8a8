from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.data.nearness import near


@settings(max_examples=40)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 8), st.integers(0, 2**32 - 1))
def test_near_is_within_a_square(height, width, pixels, seed):
    inside = np.random.default_rng(seed).random((height, width)) < 0.15
    found = near(inside, pixels)
    rows, columns = np.nonzero(inside)
    for row in range(height):
        for column in range(width):
            distances = np.maximum(abs(rows - row), abs(columns - column))
            assert found[row, column] == bool((distances <= pixels).any())


@pytest.mark.parametrize("value", [True, False])
def test_all_and_nothing(value):
    assert (near(np.full((3, 4), value), 2) == value).all()
