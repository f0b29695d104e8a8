"""Pictures too large to be worked at once: overlapping pieces that fade into each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pixelwise.geometry import Window

__all__ = ["Piece", "in_pieces", "pieces_of"]


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of a picture, and how much it has to say of each pixel in it.

    Attributes:
        window: the part, margins included.
        rows: weights float32 `[h]`, 0..1; those of all pieces sum up to 1 at each pixel.
        columns: the same, `[w]`.
    """

    window: Window
    rows: NDArray[np.float32]
    columns: NDArray[np.float32]


def pieces_of(size: tuple[int, int], *, margin: int, most_pixels: int) -> list[Piece]:
    """Pieces that cover a picture, with the least work; one where the picture is small enough.

    Each piece reaches `margin` pixels over its own part on all sides. In the outer half of that it
    has no say, and in the other half it fades into its neighbour.

    Args:
        size: `(H, W)`.
        margin: in pixels, from 0.
        most_pixels: of a piece, if that is three margins wide and high; else it is larger.
    """
    height, width = size
    if height * width <= most_pixels:
        return [Piece(Window(0, 0, width, height), _ones(height), _ones(width))]
    choices = []
    # Parts as wide as a margin: at most two pieces have a say of one pixel along a side.
    for across in range(1, max(1, width // max(margin, 1)) + 1):
        widest = _longest(width, across, margin)
        core = max(1, most_pixels // widest - 2 * margin)
        down = min(math.ceil(height / core), max(1, height // max(margin, 1)))
        tallest = _longest(height, down, margin)
        work = (height + 2 * margin * (down - 1)) * (width + 2 * margin * (across - 1))
        choices.append((max(widest * tallest, most_pixels), work, across, down))
    *_, across, down = min(choices)
    return [
        Piece(Window(left, top, right, bottom), row_weights, column_weights)
        for top, bottom, row_weights in _spans(height, down, margin)
        for left, right, column_weights in _spans(width, across, margin)
    ]


def in_pieces(
    pieces: list[Piece],
    size: tuple[int, int, int],
    work: Callable[[Window], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """What `work` gives for the pieces, put together, float32 `[C, H, W]`.

    Args:
        pieces: of `pieces_of`.
        size: `(C, H, W)`.
        work: float32 `[C, h, w]` of a window, which may be written to.
    """
    if len(pieces) == 1:
        return work(pieces[0].window)
    out = np.zeros(size, np.float32)
    for piece in pieces:
        window = piece.window
        found = work(window)
        found *= piece.rows[:, None] * piece.columns
        out[:, window.top : window.bottom, window.left : window.right] += found
    return out


def _longest(length: int, count: int, margin: int) -> int:
    return length if count == 1 else min(length, math.ceil(length / count) + 2 * margin)


def _spans(length: int, count: int, margin: int) -> list[tuple[int, int, NDArray[np.float32]]]:
    """First and last pixel and weights of each of `count` pieces of a side."""
    edges = [round(place * length / count) for place in range(count + 1)]
    spans = []
    for first, last in pairwise(edges):
        begin, end = max(0, first - margin), min(length, last + margin)
        centres = np.arange(begin, end, dtype=np.float64) + 0.5
        weights = np.ones(end - begin)
        if first > 0:
            weights -= _share_before(centres, first, margin)
        if last < length:
            weights -= 1 - _share_before(centres, last, margin)
        spans.append((begin, end, weights.astype(np.float32)))
    return spans


def _share_before(centres: NDArray[np.float64], edge: int, margin: int) -> NDArray[np.float64]:
    """What the piece before an edge has to say, by pixel."""
    fade = max(margin / 2, 0.5)
    share: NDArray[np.float64] = np.clip((edge + fade - centres) / (2 * fade), 0, 1)
    return share


def _ones(length: int) -> NDArray[np.float32]:
    return np.ones(length, np.float32)
