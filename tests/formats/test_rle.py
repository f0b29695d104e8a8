"""Run lengths: there and back, and never a crash."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pixelwise.errors import MaskFileError
from pixelwise.formats.rle import (
    brush_mask,
    column_counts,
    column_mask,
    pack_counts,
    patch_counts,
    row_mask,
    unpack_counts,
)

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=24))


def packed_bits(values, *, widths=(3, 4, 8, 16), repeat=True):
    """A brush stream of bytes, written part by part as the format says."""
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{width - 1:04b}" for width in widths)
    runs = np.split(values, np.flatnonzero(np.diff(values)) + 1) if repeat else [values]
    for run in runs:
        for part in np.array_split(run, -(-len(run) // 2 ** max(widths))):
            choice = next(i for i, width in enumerate(widths) if len(part) <= 2**width)
            bits += f"{int(repeat)}{choice:02b}{len(part) - 1:0{widths[choice]}b}"
            bits += "".join(f"{value:08b}" for value in (part[:1] if repeat else part))
    bits += "0" * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


@given(MASKS)
def test_masks_come_back_from_counts(mask):
    np.testing.assert_array_equal(column_mask(column_counts(mask), mask.shape), mask)


@given(MASKS)
def test_counts_come_back_from_text(mask):
    counts = column_counts(mask)
    np.testing.assert_array_equal(unpack_counts(pack_counts(counts)), counts)


@given(st.lists(st.integers(0, 2**31)))
def test_any_counts_come_back_from_text(counts):
    assert unpack_counts(pack_counts(counts)).tolist() == counts


def test_counts_go_down_the_columns():
    mask = np.array([[0, 1], [0, 1], [1, 0]], np.bool_)
    assert column_counts(mask).tolist() == [2, 3, 1]
    np.testing.assert_array_equal(row_mask([1, 1, 1, 2, 1], (3, 2)), mask)


def test_counts_start_with_zeros():
    assert column_counts(np.ones((2, 2), np.bool_)).tolist() == [0, 4]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([3], "3 pixels, expected 2×2 = 4"),
        ([3, 2], "5 pixels"),
        ([], "0 pixels"),
        ([2**39] * 8, "4,398,046,511,104 pixels"),
        ([-1, 5], "a count of -1"),
        ([2**60, 4], "a count of"),
        ([2**70], "not whole"),
        ([1.5, 2.5], "not whole"),
        ([[1, 3]], "not whole"),
        (["4"], "not whole"),
        ([None], "not whole"),
        ([True, True], "not whole"),
        ([[1], [2, 3]], "not whole"),
    ],
)
def test_counts_that_do_not_fit_are_refused(counts, said):
    with pytest.raises(MaskFileError) as caught:
        column_mask(counts, (2, 2))
    assert said in caught.value.got


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (2**20, 2**20)])
def test_sizes_are_bounded(size):
    with pytest.raises(MaskFileError, match="no such size"):
        column_mask([4], size)


@pytest.mark.parametrize(
    ("text", "said"),
    [("P", "cut off"), ("00p", "character 'p' at 2"), ("é", "ASCII"), ("o" * 99 + "0", "100 char")],
)
def test_damaged_text_is_refused(text, said):
    with pytest.raises(MaskFileError) as caught:
        unpack_counts(text)
    assert said in caught.value.got


@given(
    st.one_of(st.text(), st.binary(), st.text(st.characters(min_codepoint=48, max_codepoint=111)))
)
def test_no_text_crashes(text):
    try:
        counts = unpack_counts(text)
        column_mask(counts, (5, 5))
    except MaskFileError:
        return
    assert counts.sum() == 25


@given(MASKS, st.booleans(), st.sampled_from([(3, 4, 8, 16), (1, 2, 3, 4), (16, 16, 16, 16)]))
def test_brush_masks_are_read(mask, repeat, widths):
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[mask] = (7, 200, 0, 255)
    rle = packed_bits(pixels.ravel(), widths=widths, repeat=repeat)
    np.testing.assert_array_equal(brush_mask(rle, mask.shape), mask)


@given(st.lists(st.integers(0, 255), max_size=40), st.integers(1, 9))
def test_no_brush_stream_crashes(rest, side):
    for rle in (rest, [0, 0, 0, 4 * side, 57, 27, 255, *rest]):
        with contextlib.suppress(MaskFileError):
            assert brush_mask(rle, (1, side)).shape == (1, side)


def test_brush_streams_of_another_size_are_refused():
    rle = packed_bits(np.zeros(16, np.uint8))
    with pytest.raises(MaskFileError) as caught:
        brush_mask(rle, (2, 3))
    assert caught.value.got == "4 pixels, expected 2×3 = 6"


@pytest.mark.parametrize("rle", [10**12, None, [256], [-1], ["a"], "text", [1, 2, 3]])
def test_brush_streams_that_are_none_are_refused(rle):
    with pytest.raises(MaskFileError, match="damaged"):
        brush_mask(rle, (2, 3))


@given(st.data(), arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)))
def test_the_runs_of_a_patch_are_those_of_the_whole_mask(data, mask):
    sides = []
    for length in mask.shape:
        first = data.draw(st.integers(0, length))
        sides.append(slice(first, data.draw(st.integers(first, length))))
    whole = np.zeros_like(mask)
    whole[tuple(sides)] = mask[tuple(sides)]
    found = patch_counts(mask[tuple(sides)], *sides, mask.shape)
    np.testing.assert_array_equal(found, column_counts(whole))
