from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.inference.tile_axis import ScoreGrid, cut_side, fade_weights

GRIDS = st.sampled_from(
    [
        ScoreGrid(stride=1, step=1, remainder=0, corners=False),
        ScoreGrid(stride=4, step=32, remainder=0, corners=False),
        ScoreGrid(stride=3, step=3, remainder=0, corners=False),
        ScoreGrid(stride=2, step=32, remainder=1, corners=True),
        ScoreGrid(stride=1, step=8, remainder=1, corners=True),
        ScoreGrid(stride=1, step=4, remainder=0, corners=True),
    ]
)


@settings(max_examples=200)
@given(
    grid=GRIDS,
    side=st.integers(1, 5000),
    steps=st.integers(2, 40),
    overlap=st.floats(0, 0.5),
    fade=st.booleans(),
)
def test_the_laws_of_a_cut(grid, side, steps, overlap, fade):
    tile = steps * grid.step + grid.remainder
    axis = cut_side(side, grid, tile, overlap, fade=fade)
    assert axis.padded >= side
    assert axis.padded - side < grid.step
    assert axis.tile == min(tile, axis.padded)
    assert axis.origins[0] == 0
    assert axis.origins[-1] + axis.tile == axis.padded
    assert all(origin % grid.step == 0 for origin in axis.origins)
    assert all(before < after for before, after in pairwise(axis.origins))
    if axis.tiles > 1:
        assert axis.shared >= round(overlap * steps) * grid.step
        # One tile fewer would not share what was asked for.
        assert (axis.tiles - 2) * (tile - axis.shared) < axis.padded - tile
    for index, zone in enumerate(axis.zones):
        # Both tiles hold the zone, the second also the score before it.
        assert axis.first_cell(index + 1) <= zone.start - 1
        assert zone.start <= zone.stop <= axis.first_cell(index) + axis.tile_cells
        assert zone.stop - zone.start == axis.fade
        assert fade or axis.fade == 0
    # A score is mixed once, and one between two zones is left as it is.
    assert all(before.stop <= after.start - 1 for before, after in pairwise(axis.zones))


def test_a_zone_lies_in_the_middle_of_what_two_tiles_share():
    grid = ScoreGrid(stride=2, step=32, remainder=1, corners=True)
    axis = cut_side(3000, grid, 1025, 0.25, fade=True)
    shared = axis.first_cell(0) + axis.tile_cells - axis.first_cell(1)
    before = axis.zones[0].start - axis.first_cell(1)
    after = axis.first_cell(0) + axis.tile_cells - axis.zones[0].stop
    assert abs(before - after) <= 1
    assert axis.fade == shared // 2


def test_a_network_of_fixed_size_gets_its_size():
    grid = ScoreGrid(stride=1, step=1, remainder=0, corners=False)
    assert cut_side(5, grid, 16, 0.25, fade=True, fixed=True).padded == 16
    assert cut_side(5, grid, 16, 0.25, fade=True).padded == 5


@pytest.mark.parametrize("cells", [0, 1, 2, 7])
def test_weights_of_both_tiles_add_up_to_one(cells):
    weights = fade_weights(cells)
    assert weights.shape == (cells,)
    np.testing.assert_allclose(weights + weights[::-1], 1, atol=1e-7)
    assert ((weights > 0) & (weights < 1)).all()
    assert (np.diff(weights) > 0).all()
