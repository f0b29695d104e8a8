from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.refine.pieces import in_pieces, pieces_of


@st.composite
def cases(draw):
    size = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    return size, draw(st.integers(0, 15)), draw(st.integers(1, 5000))


@settings(max_examples=50)
@given(cases())
def test_pieces_cover_the_picture_once(case):
    size, margin, most_pixels = case
    total, at_once = np.zeros(size), np.zeros(size, int)
    pieces = pieces_of(size, margin=margin, most_pixels=most_pixels)
    for piece in pieces:
        window = piece.window
        assert 0 <= window.left < window.right <= size[1]
        assert 0 <= window.top < window.bottom <= size[0]
        weights = piece.rows[:, None] * piece.columns
        assert weights.min() >= 0
        part = np.s_[window.top : window.bottom, window.left : window.right]
        total[part] += weights
        at_once[part] += weights > 0
        # Where a piece ends and the picture goes on, the outer half of the margin has no say.
        if window.left > 0:
            assert not weights[:, : margin // 2].any()
        if window.bottom < size[0]:
            assert not weights[len(piece.rows) - margin // 2 :].any()
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert at_once.max() <= 4
    sides = [(len(piece.rows), len(piece.columns)) for piece in pieces]
    least = [min(side, 4 * margin) for side in size]
    assert max(h * w for h, w in sides) <= max(most_pixels, least[0] * size[1], least[1] * size[0])
    if size[0] * size[1] <= most_pixels:
        assert len(pieces) == 1


def test_large_pictures_take_pieces_of_the_size_that_is_allowed():
    pieces = pieces_of((3024, 4032), margin=160, most_pixels=1_300_000)
    areas = [len(piece.rows) * len(piece.columns) for piece in pieces]
    assert max(areas) <= 1_300_000
    assert sum(areas) < 2 * 3024 * 4032


def test_what_looks_no_further_than_half_a_margin_is_the_same_in_pieces():
    values = np.random.default_rng(0).normal(size=(2, 50, 61)).astype(np.float32)

    def neighbours(window):
        """The sum of each pixel's square of 7 × 7, as far as the window shows it."""
        part = values[:, window.top : window.bottom, window.left : window.right]
        padded = np.pad(part, ((0, 0), (3, 3), (3, 3)))
        return np.lib.stride_tricks.sliding_window_view(padded, (7, 7), (1, 2)).sum((-1, -2))

    pieces = pieces_of((50, 61), margin=6, most_pixels=700)
    assert len(pieces) > 4
    whole = neighbours(pieces_of((50, 61), margin=6, most_pixels=10**6)[0].window)
    np.testing.assert_allclose(in_pieces(pieces, values.shape, neighbours), whole, atol=1e-4)
