from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.export.rounding import LARGEST_WEIGHT, rounded, weight_scales


def weights(seed, channels, inputs):
    random = np.random.default_rng(seed)
    return random.normal(0, random.uniform(0.01, 3, (channels, 1)), (channels, inputs)).astype(
        np.float32
    )


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 12))
def test_without_moments_each_weight_takes_the_nearest_step(seed, channels, inputs):
    rows = weights(seed, channels, inputs)
    scales = np.abs(rows).max(1) / LARGEST_WEIGHT
    whole = rounded(rows, scales)
    assert whole.dtype == np.int8
    assert np.all(np.abs(rows - whole * scales[:, None]) <= scales[:, None] * 0.5001)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(2, 12))
def test_the_chosen_steps_lose_no_more_than_those_of_the_widest_weight(seed, channels, inputs):
    rows = weights(seed, channels, inputs)
    widest = np.abs(rows).max(1) / LARGEST_WEIGHT

    def loss(scales):
        return ((rows - rounded(rows, scales) * scales[:, None]) ** 2).sum(1)

    assert np.all(loss(weight_scales(rows)) <= loss(widest) * 1.0001)


@pytest.mark.parametrize("groups", [1, 3])
def test_errors_cancel_for_inputs_that_go_together(groups):
    """As of even surfaces, where all inputs of a filter are nearly equal."""
    random = np.random.default_rng(0)
    channels, inputs = 6, 9
    rows = weights(1, channels, inputs)
    level = random.normal(3, 1, (groups, 400, 1))
    drawn = level + random.normal(0, 0.05, (groups, 400, inputs))
    moments = np.matmul(drawn.transpose(0, 2, 1), drawn) / 400
    scales = weight_scales(rows) * 8  # coarse, so that rounding matters

    def loss(whole):
        wrong = (rows - whole * scales[:, None]).reshape(groups, -1, inputs)
        return float((np.matmul(wrong, drawn.transpose(0, 2, 1)) ** 2).mean())

    whole = rounded(rows, scales, moments)
    assert np.abs(whole).max() <= LARGEST_WEIGHT
    assert loss(whole) < 0.5 * loss(rounded(rows, scales))


def test_channels_of_no_weight_and_inputs_that_never_come_are_no_trouble():
    rows = np.zeros((2, 4), np.float32)
    scales = weight_scales(rows)
    assert np.all(scales > 0)
    np.testing.assert_array_equal(rounded(rows, scales, np.zeros((1, 4, 4))), 0)
