from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.inference.seams import Seams
from pixelwise.inference.tile_axis import ScoreGrid, cut_side
from pixelwise.inference.tile_run import owned

GRIDS = st.sampled_from(
    [
        ScoreGrid(stride=1, step=1, remainder=0, corners=False),
        ScoreGrid(stride=2, step=4, remainder=1, corners=True),
    ]
)


def windows(axis):
    """Weight of every tile at every score of a side, float64 `[tiles, cells]`."""
    weights = np.zeros((axis.tiles, axis.cells))
    for index in range(axis.tiles):
        weights[index, owned(axis, index)[0]] = 1
    for index, zone in enumerate(axis.zones):
        places = np.arange(1, axis.fade + 1) / (axis.fade + 1)
        rise = 0.5 - 0.5 * np.cos(np.pi * places)
        weights[index, zone.start : zone.stop] = 1 - rise
        weights[index + 1, zone.start : zone.stop] = rise
    return weights


def joined(rows, columns, tiles):
    whole = np.zeros((1, rows.cells, columns.cells), np.float32)
    seams = Seams(rows, columns, 0, columns.tiles - 1, 1)
    for row in range(rows.tiles):
        for column in range(columns.tiles):
            tile = tiles[row, column].copy()
            seams.join(row, column, tile)
            down, tile_down = owned(rows, row)
            across, tile_across = owned(columns, column)
            whole[:, down, across] = tile[:, tile_down, tile_across]
    return whole


@settings(max_examples=25)
@given(
    grid=GRIDS,
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    steps=st.integers(3, 20),
    overlap=st.floats(0, 0.5),
    fade=st.booleans(),
)
def test_places_are_the_mean_of_tiles_weighed_by_their_windows(grid, size, steps, overlap, fade):
    tile = steps * grid.step + grid.remainder
    rows, columns = (cut_side(side, grid, tile, overlap, fade=fade) for side in size)
    shape = (rows.tiles, columns.tiles, 1, rows.tile_cells, columns.tile_cells)
    tiles = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = np.zeros((rows.cells, columns.cells))
    down, across = windows(rows), windows(columns)
    np.testing.assert_allclose(down.sum(0), 1)
    for row in range(rows.tiles):
        for column in range(columns.tiles):
            y, x = rows.first_cell(row), columns.first_cell(column)
            part = np.s_[y : y + rows.tile_cells, x : x + columns.tile_cells]
            weights = np.outer(down[row], across[column])[part]
            expected[part] += weights * tiles[row, column, 0]
    np.testing.assert_allclose(joined(rows, columns, tiles)[0], expected, atol=1e-5)
