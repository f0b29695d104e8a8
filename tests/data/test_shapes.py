"""Shapes of annotation files as the pixels that they cover."""

from __future__ import annotations

import numpy as np
import pytest

from pixelwise.data.shapes import Brush, ColumnRuns, Outline, Pixels, RowRuns
from pixelwise.errors import MaskFileError
from pixelwise.formats.rle import column_counts, pack_counts

SIZE = (6, 8)
SQUARES = (
    np.array([[0, 0], [6, 0], [6, 6], [0, 6]]),
    np.array([[2, 2], [4, 2], [4, 4], [2, 4]]),
)


def mask_of(shape):
    mask = np.zeros(SIZE, np.bool_)
    rows, columns, inside = shape.patch(SIZE)
    mask[rows, columns] = inside
    return mask


@pytest.mark.parametrize(("separate", "pixels"), [(True, 36), (False, 32)])
def test_separate_rings_join_and_others_cut_holes(separate, pixels):
    assert mask_of(Outline.of(SQUARES, separate=separate)).sum() == pixels


def test_shares_are_scaled_by_width_and_height():
    half = Outline.of([np.array([[0, 0], [0.5, 0], [0.5, 1], [0, 1]])], relative=True)
    mask = mask_of(half)
    assert mask[:, :4].all()
    assert not mask[:, 4:].any()


def test_rings_come_back_in_pixels():
    outline = Outline.of(SQUARES)
    for ring, expected in zip(outline.rings(SIZE), SQUARES, strict=True):
        np.testing.assert_array_equal(ring, expected)


@pytest.mark.parametrize("packed", [True, False])
def test_runs_down_the_columns_are_whole_masks(packed):
    mask = np.indices(SIZE).sum(axis=0) % 3 == 0
    counts = column_counts(mask)
    runs = ColumnRuns(pack_counts(counts) if packed else counts, SIZE)
    np.testing.assert_array_equal(mask_of(runs), mask)


def test_runs_along_rows_lie_in_a_box_and_are_cut_at_the_border():
    mask = mask_of(RowRuns(np.array([1, 3, 4, 8]), (4, 4), 1, 2))
    assert mask[1:5, 2:6].tolist() == [[0, 1, 1, 1], [0, 0, 0, 0], [1] * 4, [1] * 4]
    cut = mask_of(RowRuns(np.array([0, 16]), (4, 4), 4, -2))
    assert cut[4:, :2].all()
    assert cut.sum() == 4


@pytest.mark.parametrize(("top", "left"), [(9, 9), (-5, 0), (0, -5), (6, 0)])
def test_pixels_outside_the_picture_are_none(top, left):
    assert not mask_of(Pixels(np.ones((3, 3), np.bool_), top, left)).any()


@pytest.mark.parametrize(
    "shape",
    [
        ColumnRuns("0", (3, 3)),
        Brush(b"", (3, 3)),
        # A box larger than its picture would need memory that no picture needs.
        RowRuns(np.array([40_000**2]), (40_000, 40_000), 0, 0),
    ],
)
def test_runs_of_another_size_are_refused(shape):
    with pytest.raises(MaskFileError) as caught:
        mask_of(shape)
    assert caught.value.got.startswith("picture 6×8 · run lengths")
