from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError
from pixelwise.kernels import reference_fade

SIDES = st.tuples(st.integers(1, 4), st.integers(1, 30), st.integers(1, 40))


def parts(shape, seed):
    """Two arrays of a size, as parts of larger ones, and the larger second one."""
    random = np.random.default_rng(seed)
    classes, height, width = shape
    larger = random.normal(size=(2, classes, height + 5, width + 7)).astype(np.float32)
    before, after = larger[:, :, 2 : 2 + height, 3 : 3 + width]
    return before, after, larger[1]


@settings(max_examples=50)
@given(shape=SIDES, along=st.sampled_from(["rows", "columns"]), seed=st.integers(0, 99))
def test_both_ways_give_the_mix(shape, along, seed):
    before, after, larger = parts(shape, seed)
    weights = np.random.default_rng(seed).random(shape[1 if along == "rows" else 2], np.float32)
    spread = weights[:, None] if along == "rows" else weights
    expected = (after - before) * spread + before
    outside = larger.copy()
    outside[:, 2 : 2 + shape[1], 3 : 3 + shape[2]] = expected
    twin = after.copy()
    kernels.fade(before, after, weights, along=along)
    np.testing.assert_array_equal(after, expected)
    np.testing.assert_array_equal(larger, outside)
    reference_fade.fade(before, twin, weights, along=along)
    np.testing.assert_array_equal(twin, expected)


def test_equal_values_stay_as_they_are():
    before, _, _ = parts((3, 20, 20), 1)
    after = before.copy()
    kernels.fade(before, after, np.linspace(0, 1, 20, dtype=np.float32), along="columns")
    np.testing.assert_array_equal(after, before)


def test_rows_that_are_not_contiguous_are_mixed_too():
    before, after, _ = parts((2, 6, 8), 2)
    weights = np.full(8, 0.25, np.float32)
    expected = after + (before - after) * 0.75
    turned = after[:, :, ::-1]
    kernels.fade(before[:, :, ::-1], turned, weights, along="columns")
    np.testing.assert_allclose(after, expected, atol=1e-6)


@pytest.mark.parametrize("length", [0, 1])
def test_nothing_is_mixed_with_nothing(length):
    empty = np.zeros((2, 0, length), np.float32)
    kernels.fade(empty, empty, np.zeros(0, np.float32), along="rows")


@pytest.mark.parametrize(
    ("before", "after", "weights"),
    [
        ((2, 3, 4), (2, 3, 5), (5,)),
        ((2, 3, 4), (2, 3, 4), (3,)),
        ((3, 4), (3, 4), (4,)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(before, after, weights):
    arrays = [np.zeros(shape, np.float32) for shape in (before, after, weights)]
    with pytest.raises(ArrayError, match="faded"):
        kernels.fade(*arrays, along="columns")
    with pytest.raises(ArrayError, match="faded"):
        kernels.fade(np.zeros((1, 1, 1)), np.zeros((1, 1, 1)), arrays[2][:1], along="columns")


@pytest.mark.parametrize("check", [kernels.all_finite, reference_fade.all_finite])
@pytest.mark.parametrize("size", [1, 100, 40_000])
def test_one_value_that_is_not_finite_is_found(check, size):
    values = np.random.default_rng(0).normal(size=size).astype(np.float32)
    values[0] = -np.finfo(np.float32).max
    assert check(values)
    for place in (0, size // 2, size - 1):
        for bad in (np.nan, np.inf, -np.inf, -np.nan):
            spoiled = values.copy()
            spoiled[place] = bad
            assert not check(spoiled)


def test_finite_arrays_of_any_shape():
    values = np.zeros((3, 4, 5), np.float32)
    assert kernels.all_finite(values)
    assert kernels.all_finite(values[:, ::2])
    with pytest.raises(ArrayError):
        kernels.all_finite(np.zeros(3))
