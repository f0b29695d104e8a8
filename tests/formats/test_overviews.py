from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.formats.overviews import average_of_four, mode_of_four

CELLS = st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=30)


def as_picture(cells):
    """Cells `[n, 4]` beside each other, uint8 `[2, 2n, 1]`."""
    four = np.array(cells, np.uint8).reshape(-1, 2, 2)
    return np.concatenate(list(four), axis=1)[..., None]


@settings(max_examples=50)
@given(CELLS, st.sampled_from([0, 2, 3, 255]))
def test_the_commonest_value_wins_and_a_tie_takes_the_lowest(cells, fill):
    found = mode_of_four(as_picture(cells), fill)[0, :, 0]
    for cell, value in zip(cells, found, strict=True):
        counts = Counter(v for v in cell if v != fill)
        expected = min(counts, key=lambda v: (-counts[v], v)) if counts else fill
        assert value == expected, cell


@settings(max_examples=50)
@given(CELLS, st.sampled_from([0, 2, 255]))
def test_the_mean_leaves_out_what_is_not_known(cells, fill):
    found = average_of_four(as_picture(cells), fill)[0, :, 0]
    for cell, value in zip(cells, found, strict=True):
        known = [v for v in cell if v != fill]
        assert value == (int(np.floor(np.mean(known) + 0.5)) if known else fill), cell


@pytest.mark.parametrize("reduce", [mode_of_four, average_of_four])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_types_and_further_axes_stay(reduce, dtype):
    values = np.full((4, 6, 3), np.iinfo(dtype).max, dtype)
    values[..., 1] = 7
    out = reduce(values, 0)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, values[:2, :3])
