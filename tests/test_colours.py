from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.colours
from pixelwise.colours import colour_codes, colour_of, distinct_colours
from pixelwise.errors import UsageError

colours = st.tuples(*[st.integers(0, 255)] * 3)


def test_public_names_are_sorted():
    assert pixelwise.colours.__all__ == sorted(pixelwise.colours.__all__)


def test_the_same_at_every_call_and_a_beginning_of_the_longer_list():
    assert distinct_colours(20) == distinct_colours(20) == distinct_colours(50)[:20]


def test_twenty_colours_are_far_apart():
    found = np.array(distinct_colours(20))
    pairs = itertools.combinations(found, 2)
    assert min(np.abs(one - two).max() for one, two in pairs) >= 50
    # Neither black nor white: both are too common in pictures and backgrounds.
    assert found.max(axis=1).min() >= 80
    assert (255 - found).max(axis=1).min() >= 60


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 700), st.lists(colours, max_size=20))
def test_colours_are_new_and_valid(count, taken):
    found = distinct_colours(count, taken=taken)
    assert len(found) == len(set(found)) == count
    assert not set(found) & set(taken)
    assert all(0 <= part <= 255 and type(part) is int for colour in found for part in colour)


def test_new_colours_are_found_where_the_separate_ones_are_all_taken():
    taken = list(itertools.product(range(0, 256, 17), repeat=3))
    found = distinct_colours(5, taken=taken)
    assert len(set(found) - set(taken)) == 5


def test_the_largest_table_has_colours():
    assert len(set(distinct_colours(65_535))) == 65_535


@pytest.mark.parametrize("count", [-1, 65_536])
def test_a_count_out_of_range_is_an_error(count):
    with pytest.raises(UsageError, match=f"count={count}"):
        distinct_colours(count)


def test_codes_of_colours_lead_back_to_them():
    colours = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    codes = colour_codes(colours)
    assert codes.shape == (5, 7)
    assert [colour_of(code) for code in codes.ravel().tolist()] == [
        tuple(colour) for colour in colours.reshape(-1, 3).tolist()
    ]
    assert colour_codes(np.array([[1, 2, 3]], np.uint8)).tolist() == [0x030201]
